// What a `graddb_projector` stands for. It learns its tensors from the first rows.

import CGradDB
import GradDB
import Synchronization

final class ProjectorObject: Sendable {
    private struct State {
        var document: ProjectorDocument
        /// Once its tensors are known.
        var projector: Projector?
    }

    private let state: Mutex<State>

    /// - Parameter text: the object of format-spec/projectors.md, or a specification as
    ///   `gradctl create --projector` takes it.
    init(_ text: String) throws {
        let isObject = text.drop { $0.isWhitespace }.first == "{"
        let document =
            try isObject
            ? ProjectorDocument(parsing: text) : ProjectorDocument(specification: text)
        try document.validate()
        state = Mutex(State(document: document))
    }

    var document: ProjectorDocument { state.withLock { $0.document } }

    /// Projects all rows of a batch to `vectors`, `rows` x `dims`.
    func project(
        _ batch: RawTensorBatch, rows: Int, into vectors: UnsafeMutableBufferPointer<Float>,
        threads: Int, cancellation: Cancellation
    ) throws {
        let raw = RawRows(batch)
        let document = try raw.assign(self.document, layer: "of this projector")
        let given = try raw.count(of: (document.tensors ?? []).map(\.name))
        guard given == rows else {
            throw GradDBError(.badInput, "the tensors have \(given) rows, not \(rows)")
        }
        let projector = try projector(document)
        try RowProjection(raw, [projector], threads: threads, cancellation: cancellation)
            .project(0..<rows, into: [vectors])
    }

    /// Made once; where two threads bring the first rows at once, both must bring the same tensors.
    private func projector(_ document: ProjectorDocument) throws -> Projector {
        if let ready = state.withLock({ $0.projector }) {
            guard ready.document.tensors == document.tensors else {
                throw GradDBError(
                    .badInput,
                    "another thread has given this projector other tensors; give all "
                        + "rows the same, or make a projector for each")
            }
            return ready
        }
        let made = try Projector(document, kernels: try KernelSet.chosen())
        state.withLock { state in
            guard state.projector == nil else { return }
            state.projector = made
            state.document = document
        }
        return try projector(document)
    }
}

/// Raw tensors of one call, checked as far as that is possible.
func rawBatch(
    _ tensors: UnsafeBufferPointer<graddb_raw_tensor>, rows: Int
) throws -> RawTensorBatch {
    var named: [String: RawTensorBatch.Tensor] = [:]
    for tensor in tensors {
        let name = try text(tensor.name, "name of a raw tensor")
        let place = "raw tensor '\(name)'"
        let element = try vectorElement(tensor.dtype, place)
        let extents = try elements(tensor.shape, Int(tensor.rank), "extents of \(place)")
        let shape = extents.map { Int($0) }
        var size = rows.multipliedReportingOverflow(by: 8)
        for extent in shape where !size.overflow {
            size =
                extent > 0
                ? size.partialValue.multipliedReportingOverflow(by: extent) : (0, true)
        }
        let span = rows.multipliedReportingOverflow(by: Int(tensor.row_stride))
        guard !size.overflow, !span.overflow else {
            throw GradDBError(
                .badInput,
                "\(place) has rows of shape \(shape), which cannot be; give every "
                    + "extent one element or more")
        }
        guard let start = tensor.data ?? (rows == 0 ? UnsafeRawPointer(bitPattern: 64) : nil) else {
            throw GradDBError(.badInput, "\(place): its data is NULL")
        }
        let checked = RawTensorBatch.Tensor(
            element, rows: rows, shape: shape, start: start, stride: Int(tensor.row_stride))
        guard named.updateValue(checked, forKey: name) == nil else {
            throw GradDBError(.badInput, "\(place) comes twice")
        }
    }
    return RawTensorBatch(name: "the raw tensors", named)
}
