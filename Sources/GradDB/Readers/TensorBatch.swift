// Vectors that are in memory already: what a caller of the library, or of the C ABI, hands over.

/// Named tensors in the caller's memory, row after row.
///
/// The memory belongs to the caller, who keeps it there and unchanged for as long as the batch is
/// in use.
package struct TensorBatch: VectorSource, @unchecked Sendable {
    // The pointers are only read from, and only while the caller vouches for them.

    /// One tensor: `rows` rows of `dims` elements, each row contiguous.
    package struct Tensor {
        package var element: VectorElement
        package var rows: Int
        package var dims: Int
        /// Where row 0 starts.
        package var start: UnsafeRawPointer
        /// Bytes from one row to the next; at least a row's own.
        package var stride: Int
        /// What the memory goes with, where it is not the caller's.
        private let owner: (any AnyObject & Sendable)?

        package init(
            _ element: VectorElement, rows: Int, dims: Int, start: UnsafeRawPointer,
            stride: Int? = nil, owner: (any AnyObject & Sendable)? = nil
        ) {
            self.owner = owner
            self.element = element
            self.rows = rows
            self.dims = dims
            self.start = start
            self.stride = stride ?? dims * element.byteCount
        }
    }

    package let name: String
    package let tensors: [String: TensorInfo]
    package let projectors: [String: ProjectorDocument]
    private let memory: [String: Tensor]

    /// - Parameters:
    ///   - name: what errors call it.
    ///   - projectors: by tensor, what made them.
    package init(
        name: String, _ tensors: [String: Tensor], projectors: [String: ProjectorDocument] = [:]
    ) {
        self.name = name
        self.projectors = projectors
        memory = tensors
        self.tensors = tensors.mapValues {
            TensorInfo(
                dtype: $0.element.dtype, shape: [$0.rows, $0.dims], byteOffset: 0,
                byteCount: $0.rows * $0.dims * $0.element.byteCount)
        }
    }

    /// The batch for a table with these layers: a tensor without a name (the empty one) is that of
    /// the only layer.
    ///
    /// - Throws: `.badInput` for a nameless tensor where there are several layers.
    package func named(forLayers layers: [String]) throws(GradDBError) -> TensorBatch {
        guard let tensor = memory[""] else { return self }
        guard layers.count == 1, memory.count == 1 else {
            throw .badInput(
                "\(name) is one tensor without a name, but the table has \(layers.count) layers; "
                    + "name a tensor for each of \(Excerpt.list(layers))")
        }
        return TensorBatch(
            name: name, [layers[0]: tensor],
            projectors: projectors)
    }

    package var byteCount: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

    package func read(
        tensor: String, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        guard let source = memory[tensor], let target = buffer.baseAddress else { return }
        let rowBytes = source.dims * source.element.byteCount
        for (index, row) in rows.enumerated() {
            (target + index * rowBytes).copyMemory(
                from: source.start + row * source.stride, byteCount: rowBytes)
        }
    }
}

extension VectorElement {
    package var dtype: TensorDType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        }
    }
}
