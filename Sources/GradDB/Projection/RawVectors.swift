// Raw gradients as an ingest sees them: as a source of the layers' vectors, which are projected
// when they are read. So whoever reads rows on several threads projects them on several threads.

/// A file of raw tensors, looked at through the projectors of a table's layers.
package struct RawVectors: VectorSource {
    package let tensors: [String: TensorInfo]
    package let projectors: [String: ProjectorDocument]
    private let raw: RawRows
    private let projection: RowProjection
    /// Positions in `projection`, by layer.
    private let numbers: [String: Int]
    private let rowBytes: [String: Int]

    /// - Parameter layers: by name, what each takes; with tensors once they are known.
    /// - Throws: `.badInput` where the file has not the tensors that they take.
    package init(
        _ source: any RawTensorSource, layers: [(name: String, projector: ProjectorDocument)],
        kernels: KernelSet, cancellation: Cancellation
    ) throws {
        let raw = RawRows(source)
        self.raw = raw
        var tensors: [String: TensorInfo] = [:]
        var assigned: [String: ProjectorDocument] = [:]
        var numbers: [String: Int] = [:]
        var rowBytes: [String: Int] = [:]
        var projectors: [Projector] = []
        var used: Set<String> = []
        for (name, projector) in layers {
            let document = try raw.assign(projector, layer: name)
            let names = (document.tensors ?? []).map(\.name)
            let rows = try raw.count(of: names)
            used.formUnion(names)
            assigned[name] = document
            numbers[name] = projectors.count
            rowBytes[name] = try names.reduce(0) { try $0 + raw.tensor($1).rowBytes }
            projectors.append(try Projector(document, kernels: kernels))
            tensors[name] = TensorInfo(
                dtype: .f32, shape: [rows, document.dims], byteOffset: 0,
                byteCount: 4 * rows * document.dims)
        }
        // What no layer takes is shown, so that it can be told.
        for (name, info) in source.tensors where !used.contains(name) && tensors[name] == nil {
            tensors[name] = info
        }
        self.tensors = tensors
        self.projectors = assigned
        self.numbers = numbers
        self.rowBytes = rowBytes
        projection = RowProjection(raw, projectors, threads: 1, cancellation: cancellation)
    }

    package var name: String { raw.source.name }
    package var byteCount: Int { raw.source.byteCount }

    package func inputBytes(perRowOf tensor: String) -> Int { rowBytes[tensor] ?? 0 }

    package func read(
        tensor: String, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        guard let number = numbers[tensor] else { return }
        let dims = projection.projectors[number].dims
        let floats = buffer.bindMemory(to: Float.self)
        for (index, sourceRow) in rows.enumerated() {
            do {
                try projection.project(
                    row: sourceRow, number,
                    into: .init(rebasing: floats[index * dims..<(index + 1) * dims]))
            } catch let error as GradDBError {
                throw error
            } catch {
                throw GradDBError(.failed, "\(name): \(error)")
            }
        }
    }
}

/// Turns files of raw tensors into sources of vectors, one after the other: the first that knows
/// the tensors of a layer binds the others.
package final class RawInputs {
    private var layers: [(name: String, projector: ProjectorDocument)]
    private let kernels: KernelSet
    private let cancellation: Cancellation

    /// - Throws: `.usage` where a layer of the table has no projector.
    package init(_ table: Table, cancellation: Cancellation) throws {
        layers = try table.layers.map { layer in
            guard let projector = layer.projector else {
                throw GradDBError.usage(
                    "layer '\(layer.name)' of table '\(table.name)' has no projector, so raw "
                        + "gradients cannot be projected for it; make the table with --projector, "
                        + "or ingest projected vectors")
            }
            return (layer.name, projector)
        }
        kernels = try KernelSet.chosen()
        self.cancellation = cancellation
    }

    package func vectors(of source: TensorFile) throws(GradDBError) -> RawVectors {
        do {
            let vectors = try RawVectors(
                source, layers: layers, kernels: kernels, cancellation: cancellation)
            for index in layers.indices {
                layers[index].projector =
                    vectors.projectors[layers[index].name] ?? layers[index].projector
            }
            return vectors
        } catch let error as GradDBError {
            throw error
        } catch {
            throw GradDBError(.failed, "\(source.name): \(error)")
        }
    }
}
