// Raw gradients that are in memory already: what a caller of the library hands over.

/// Named raw tensors `[rows, ...shape]` in the caller's memory, each row contiguous, row-major.
///
/// The memory belongs to the caller, who keeps it there and unchanged for as long as the batch is
/// in use.
package struct RawTensorBatch: RawTensorSource, @unchecked Sendable {
    // The pointers are only read from, and only while the caller vouches for them.

    /// One tensor of all rows.
    package struct Tensor {
        package var element: VectorElement
        package var rows: Int
        /// Of one row.
        package var shape: [Int]
        /// Where row 0 starts.
        package var start: UnsafeRawPointer
        /// Bytes from one row to the next.
        package var stride: Int

        package init(
            _ element: VectorElement, rows: Int, shape: [Int], start: UnsafeRawPointer, stride: Int
        ) {
            self.element = element
            self.rows = rows
            self.shape = shape
            self.start = start
            self.stride = stride
        }

        var rowElements: Int { shape.reduce(1, *) }
    }

    package let name: String
    package let tensors: [String: TensorInfo]
    private let memory: [String: Tensor]

    /// - Parameter name: what errors call it.
    package init(name: String, _ tensors: [String: Tensor]) {
        self.name = name
        memory = tensors
        self.tensors = tensors.mapValues {
            TensorInfo(
                dtype: $0.element.dtype, shape: [$0.rows] + $0.shape, byteOffset: 0,
                byteCount: $0.rows * $0.rowElements * $0.element.byteCount)
        }
    }

    package var byteCount: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

    package func read(
        tensor: String, elements: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        guard let source = memory[tensor], let target = buffer.baseAddress else { return }
        let (width, rowElements) = (source.element.byteCount, source.rowElements)
        precondition(buffer.count == elements.count * width, "buffer of another size")
        var next = elements.lowerBound
        while next < elements.upperBound {
            let (row, first) = next.quotientAndRemainder(dividingBy: rowElements)
            let count = min(elements.upperBound - next, rowElements - first)
            (target + (next - elements.lowerBound) * width).copyMemory(
                from: source.start + row * source.stride + first * width, byteCount: count * width)
            next += count
        }
    }
}
