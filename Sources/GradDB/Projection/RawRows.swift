// Raw gradients: named tensors [rows, ...shape], or without the first axis where there is one row.

/// An input of raw tensors whose elements can be read anywhere.
package protocol RawTensorSource: Sendable {
    /// What errors call this input.
    var name: String { get }
    var byteCount: Int { get }
    var tensors: [String: TensorInfo] { get }
    /// Copies elements, counted row-major from the tensor's first, into all of `buffer`, as stored.
    /// Safe to call from several threads at once.
    func read(
        tensor: String, elements: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError)
}

extension TensorFile: RawTensorSource {}

/// The rows of an input of raw tensors.
package struct RawRows: Sendable {
    package let source: any RawTensorSource
    /// Whether tensors are those of one row and have no axis of rows.
    package let isSingle: Bool

    package init(_ source: any RawTensorSource, isSingle: Bool = false) {
        self.source = source
        self.isSingle = isSingle
    }

    /// One tensor, seen as rows.
    package struct Tensor: Sendable {
        package var element: VectorElement
        package var rows: Int
        package var rowShape: [Int]
        package var elementsPerRow: Int

        package var rowBytes: Int { elementsPerRow * element.byteCount }
    }

    /// - Throws: `.badInput` where it is missing or cannot be read as rows.
    package func tensor(_ name: String) throws(GradDBError) -> Tensor {
        func refuse(_ what: String) -> GradDBError {
            .badInput("\(source.name): tensor \(Excerpt.quoted(name)) \(what)")
        }
        guard let info = source.tensors[name] else {
            throw .badInput(
                "\(source.name) has no tensor \(Excerpt.quoted(name)); it holds "
                    + (source.tensors.isEmpty
                        ? "no tensors at all" : Excerpt.list(source.tensors.keys.sorted())))
        }
        guard let element = info.dtype.vectorElement else {
            throw refuse(
                "has dtype \(info.dtype.rawValue), but gradients are read from F32, F16 or BF16; "
                    + "convert it first, in PyTorch with .to(torch.float32)")
        }
        guard isSingle || !info.shape.isEmpty else {
            throw refuse(
                "has shape [], but [rows, ...] is needed; a file of one row without an axis of "
                    + "rows is read with --single")
        }
        let shape = isSingle ? info.shape : Array(info.shape.dropFirst())
        guard let count = ProjectorDocument.elementCount(shape) else {
            throw refuse("has shape \(Excerpt.shape(info.shape)): a row of it is too large")
        }
        return Tensor(
            element: element, rows: isSingle ? 1 : info.shape[0], rowShape: shape,
            elementsPerRow: count)
    }

    /// How many rows the named tensors have, all of them the same number.
    package func count(of names: [String]) throws(GradDBError) -> Int {
        var agreed: (name: String, rows: Int)?
        for name in names {
            let rows = try tensor(name).rows
            guard let first = agreed else {
                agreed = (name, rows)
                continue
            }
            guard rows == first.rows else {
                throw .badInput(
                    "\(source.name): tensor \(Excerpt.quoted(name)) has \(rows) rows, but "
                        + "\(Excerpt.quoted(first.name)) has \(first.rows); the first axis is the "
                        + "rows of the same examples. A file of one row without that axis is read "
                        + "with --single")
            }
        }
        return agreed?.rows ?? 0
    }

    /// What errors call a row.
    package func place(_ row: Int) -> String {
        isSingle ? source.name : "\(source.name), row \(row)"
    }

    /// The projector with the tensors that it takes of this input: those that it names, or else
    /// those that its patterns choose.
    ///
    /// - Parameter layer: for errors.
    /// - Throws: `.badInput` where a tensor is missing, new, or of another shape or type.
    package func assign(
        _ projector: ProjectorDocument, layer: String
    ) throws -> ProjectorDocument {
        let selected = source.tensors.keys.filter(projector.selects)
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard let known = projector.tensors else {
            guard !selected.isEmpty else {
                throw GradDBError.badInput(
                    "\(source.name) has no tensor for layer '\(layer)', which takes "
                        + "\(projector.match.map(Excerpt.list) ?? "all"); it holds "
                        + Excerpt.list(source.tensors.keys.sorted()))
            }
            var filled = projector
            filled.tensors = try selected.map { name in
                .init(name: name, shape: shape(try tensor(name).rowShape, projector.kind))
            }
            do {
                try filled.validate()
            } catch let error as GradDBError {
                throw GradDBError.badInput("\(source.name), layer '\(layer)': \(error.message)")
            }
            return filled
        }
        func refuse(_ what: String) -> GradDBError {
            .badInput(
                "\(source.name): \(what), but layer '\(layer)' takes the \(known.count) tensors "
                    + "that its first rows had (see `gradctl info`); all rows of a layer have the "
                    + "same tensors, of the same shapes")
        }
        for wanted in known {
            guard source.tensors[wanted.name] != nil else {
                throw refuse("tensor \(Excerpt.quoted(wanted.name)) is missing")
            }
            let found = shape(try tensor(wanted.name).rowShape, projector.kind)
            guard found == wanted.shape else {
                throw refuse(
                    "tensor \(Excerpt.quoted(wanted.name)) has rows of shape "
                        + "\(Excerpt.shape(found)) and not \(Excerpt.shape(wanted.shape))")
            }
        }
        let names = Set(known.map(\.name))
        if let extra = selected.first(where: { !names.contains($0) }) {
            throw refuse("tensor \(Excerpt.quoted(extra)) is new")
        }
        return projector
    }

    /// The number of positions may differ from row to row, and is no part of a projector.
    private func shape(_ shape: [Int], _ kind: ProjectorDocument.Kind) -> [Int] {
        kind == .factored && !shape.isEmpty ? [0] + shape.dropFirst() : shape
    }
}
