// graddb_tensor: vectors in the caller's memory.

import CGradDB
import GradDB

/// The tensors of one call as a source of vectors, checked as far as that is possible.
///
/// - Parameters:
///   - name: what errors call them.
///   - projectors: by layer, what made them.
/// - Throws: `.badInput` for shapes and types that cannot be.
func batch(
    _ tensors: UnsafeBufferPointer<graddb_tensor>, _ name: String,
    projectors: [String: ProjectorDocument] = [:]
) throws -> TensorBatch {
    var named: [String: TensorBatch.Tensor] = [:]
    for tensor in tensors {
        let layer = try optionalText(tensor.name, "name of a tensor") ?? ""
        let place = layer.isEmpty ? name : "\(name), tensor '\(layer)'"
        guard named.updateValue(try checked(tensor, place), forKey: layer) == nil else {
            throw GradDBError(.badInput, "\(place): it comes twice; give each layer one tensor")
        }
    }
    return TensorBatch(name: name, named, projectors: projectors)
}

private func checked(_ tensor: graddb_tensor, _ place: String) throws -> TensorBatch.Tensor {
    let element = try vectorElement(tensor.dtype, place)
    let (rows, dims) = (Int(tensor.rows), Int(tensor.dims))
    let size = rows.multipliedReportingOverflow(by: dims)
    let span = rows.multipliedReportingOverflow(by: Int(tensor.row_stride))
    guard rows >= 0, dims > 0, !size.overflow, size.partialValue <= Int.max / 8, !span.overflow
    else {
        throw GradDBError(
            .badInput,
            "\(place) has shape [\(rows), \(dims)] with a row stride of \(tensor.row_stride) "
                + "bytes; [rows, dims] with 1 dim or more is needed")
    }
    guard let start = tensor.data ?? (rows == 0 ? UnsafeRawPointer(bitPattern: 64) : nil) else {
        throw GradDBError(.badInput, "\(place) has \(rows) rows, but its data is NULL")
    }
    return TensorBatch.Tensor(
        element, rows: rows, dims: dims, start: start, stride: Int(tensor.row_stride))
}

/// The element type that a caller names.
func vectorElement(_ dtype: Int32, _ place: String) throws -> VectorElement {
    switch dtype {
    case Int32(GRADDB_F32): return .f32
    case Int32(GRADDB_F16): return .f16
    case Int32(GRADDB_BF16): return .bf16
    default:
        throw GradDBError(
            .badInput, "\(place): there is no dtype \(dtype); use f32, f16 or bf16")
    }
}
