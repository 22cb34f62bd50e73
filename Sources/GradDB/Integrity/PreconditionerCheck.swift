// Whether a preconditioner has all its numbers and norms, or, deep, whether they can be used.

struct PreconditionerCheck {
    private let view: TableView
    private let preconditioner: PreconditionerDocument
    private let isDeep: Bool

    /// Nil for a preconditioner that no snapshot has.
    init?(_ table: Table, _ preconditioner: PreconditionerDocument, isDeep: Bool) throws {
        let newest = table.snapshots.last { preconditioner.snapshots.contains($0.snapshot) }
        guard let newest else { return nil }
        view = try table.view(snapshot: newest.snapshot)
        self.preconditioner = preconditioner
        self.isDeep = isDeep
    }

    func problems(cancellation: Cancellation) throws -> [String] {
        var problems: [String] = []
        func note(_ body: () throws -> Void) throws {
            try cancellation.check()
            do {
                try body()
            } catch let error as GradDBError where error.kind == .corrupt || error.kind == .io {
                problems.append(error.message)
            }
        }
        for part in preconditioner.parts { try note { try check(part) } }
        let checkpoints = Set(preconditioner.parts.map(\.checkpoint))
        for checkpoint in checkpoints.sorted() {
            guard let document = view.checkpoints.first(where: { $0.checkpoint == checkpoint })
            else {
                problems.append(
                    "preconditioner '\(preconditioner.name)' is of checkpoint \(checkpoint), which "
                        + "the table does not have")
                continue
            }
            for unit in view.units(of: document) { try note { try check(unit, document) } }
        }
        return problems
    }

    private func check(_ part: PreconditionerDocument.Part) throws {
        let dims = view.table.layers[Int(part.layer)].dims
        let numbers = StoredNumbers(view, preconditioner, part)
        if !isDeep {
            try numbers.requirePieces()
        } else if part.kind == .diagonal || (try? LinearAlgebra.required()) != nil {
            _ = try part.matrix(dims: dims, reading: numbers)
        } else {
            try numbers.readAll()
        }
    }

    private func check(_ unit: ScanUnit, _ checkpoint: CheckpointDocument) throws {
        _ = try view.storedNorms(
            preconditioner, of: unit, parts: preconditioner.parts(of: checkpoint).count)
    }
}
