// Vectors in memory for tests of the push interface.

import GradDB

/// Rows of layers as a batch; the memory lives as long as this does.
final class TestBatch {
    let source: TensorBatch
    private var memory: [UnsafeMutableBufferPointer<Float>] = []

    init(_ layers: [String: Matrix], projectors: [String: ProjectorDocument] = [:]) {
        var tensors: [String: TensorBatch.Tensor] = [:]
        for (name, rows) in layers {
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(
                capacity: max(1, rows.count * (rows.first?.count ?? 0)))
            _ = buffer.update(fromContentsOf: rows.joined())
            memory.append(buffer)
            tensors[name] = TensorBatch.Tensor(
                .f32, rows: rows.count, dims: rows.first?.count ?? 1,
                start: UnsafeRawPointer(buffer.baseAddress!))
        }
        source = TensorBatch(name: "batch", tensors, projectors: projectors)
    }

    deinit { for buffer in memory { buffer.deallocate() } }
}
