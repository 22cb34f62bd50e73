// Sketches of gradients that others hold in memory, a tensor at a time: no copies, no sums of their
// own, no checks of the elements. The PyTorch recorder adds to its rows' vectors this way.

package enum SketchSums {
    /// Adds `rows` rows of a tensor's `count` elements to the rows' `dims` sums, in the order of the
    /// specification. Strides are in floats.
    ///
    /// - Throws: `.badInput` for sizes that cannot be.
    package static func add(
        seed: UInt64, tensor: String, dims: Int, elements: UnsafePointer<Float>, rows: Int,
        count: Int, stride: Int, to sums: UnsafeMutablePointer<Float>, sumsStride: Int
    ) throws {
        guard dims % 64 == 0, (64...(1 << 30)).contains(dims) else {
            throw GradDBError.badInput("a sketch of \(dims) dims")
        }
        guard rows >= 0, count >= 0, rows < 2 || (stride >= count && sumsStride >= dims) else {
            throw GradDBError.badInput(
                "\(rows) rows of \(count) elements, \(stride) apart, their sums \(sumsStride) apart"
            )
        }
        let sketch = TensorSketch(
            seed: seed, tensor: tensor, count: count, dims: dims, try KernelSet.chosen())
        for row in 0..<rows {
            sketch.add(
                UnsafeBufferPointer(start: elements + row * stride, count: count), from: 0,
                to: sums + row * sumsStride)
        }
    }
}
