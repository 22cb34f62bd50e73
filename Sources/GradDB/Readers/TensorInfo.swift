// What a tensor file declares of one tensor, checked: everything here lies inside the file.

/// One tensor of an input: where its bytes are and what they mean.
package struct TensorInfo: Sendable, Equatable {
    package let dtype: TensorDType
    /// Row-major; empty for a scalar.
    package let shape: [Int]
    /// Counted from the first byte of the input, not of its data section.
    package let byteOffset: Int
    package let byteCount: Int
}

/// A tensor seen as rows of one layer: `rows` x `dims` elements, row after row.
package struct VectorMatrix: Sendable, Equatable {
    package let element: VectorElement
    package let rows: Int
    package let dims: Int
    /// `dims` elements.
    package let rowBytes: Int
}

extension TensorInfo {
    /// The tensor as `[rows, dims]`, or why it is not that. A vector `[dims]` counts as one row
    /// where `allowVector` says so, which is for queries.
    func matrix(allowVector: Bool) throws(FormatProblem) -> VectorMatrix {
        guard let element = dtype.vectorElement else {
            throw FormatProblem(
                "has dtype \(dtype.rawValue), but gradients are read from F32, F16 or BF16; "
                    + "convert it first, in PyTorch with .to(torch.float32)")
        }
        let rows: Int
        let dims: Int
        switch shape.count {
        case 2: (rows, dims) = (shape[0], shape[1])
        case 1 where allowVector: (rows, dims) = (1, shape[0])
        case 1:
            throw FormatProblem(
                "has shape \(shape), but [rows, dims] is needed; "
                    + "a single row is written as [1, \(shape[0])]")
        default:
            let wanted = allowVector ? "[rows, dims] or [dims]" : "[rows, dims]"
            throw FormatProblem(
                "has shape \(Excerpt.shape(shape)), but \(wanted) is needed; "
                    + "reshape it so that each row is one vector")
        }
        guard dims > 0 else {
            throw FormatProblem("has shape \(shape): its rows have no dimensions; write it again")
        }
        let (rowBytes, overflow) = dims.multipliedReportingOverflow(by: element.byteCount)
        guard !overflow else {
            throw FormatProblem("has shape \(shape): a row of it is larger than any memory")
        }
        return VectorMatrix(element: element, rows: rows, dims: dims, rowBytes: rowBytes)
    }
}
