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
    guard tensor.device == Int32(GRADDB_HOST) else {
        let copy = try HostCopy(tensor, element, place)
        return TensorBatch.Tensor(
            element, rows: rows, dims: dims, start: UnsafeRawPointer(copy.start), owner: copy)
    }
    return TensorBatch.Tensor(
        element, rows: rows, dims: dims, start: start, stride: Int(tensor.row_stride))
}

/// The rows of a tensor that lies in a GPU's memory, one after the other.
private final class HostCopy: @unchecked Sendable {  // only read from, once it is made
    let start: UnsafeMutableRawPointer

    /// - Throws: `.failed`, with the driver's words, where they cannot be read.
    init(_ tensor: graddb_tensor, _ element: VectorElement, _ place: String) throws {
        let gpu = Int(tensor.device) - Int(GRADDB_GPU_0)
        guard gpu >= 0 else {
            throw GradDBError(.badInput, "\(place): there is no device \(tensor.device)")
        }
        let bytes = Int(tensor.rows) * Int(tensor.dims) * element.byteCount
        start = .allocate(byteCount: max(1, bytes), alignment: 64)
        // From here on it is freed with the object, whatever fails.
        try CUDAMemory.read(
            UInt64(UInt(bitPattern: tensor.data)), rows: Int(tensor.rows),
            stride: Int(tensor.row_stride), gpu: gpu,
            into: UnsafeMutableRawBufferPointer(start: start, count: bytes))
    }

    deinit { start.deallocate() }
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
