// Decides which input rows make the next row group, and what their row numbers are.

/// Rows of one input that go, together and in order, into one row group.
package struct InputPiece: Sendable {
    package var source: any VectorSource
    package var sourceRows: Range<Int>
    /// Where the first of them goes within the group.
    package var groupOffset: Int
}

extension [InputPiece] {
    /// Adds a row: to the last piece where it follows that one's rows.
    ///
    /// - Parameters:
    ///   - offset: where it goes within the group; rows come in this order, without gaps.
    ///   - isOfLastSource: whether the last piece, if there is one, is of the same source.
    package mutating func append(
        row: Int, of source: any VectorSource, at offset: Int, isOfLastSource: Bool
    ) {
        if isOfLastSource, let last = indices.last, self[last].sourceRows.upperBound == row {
            self[last].sourceRows = self[last].sourceRows.lowerBound..<row + 1
        } else {
            append(InputPiece(source: source, sourceRows: row..<row + 1, groupOffset: offset))
        }
    }
}

/// One row group before its vectors are read.
package struct RowGroupPlan: Sendable {
    package var pieces: [InputPiece] = []
    /// Row numbers in stored order.
    package var rows: [UInt64] = []
    /// For error messages.
    package var ids: [RowID] = []
}

/// Walks through all inputs and the metadata beside them, group by group.
package final class RowGroupPlanner {
    private let table: TableDocument
    private let inputs: InputSet
    private let metadata: (any MetadataSource)?
    private let registry: RowRegistry
    private let rowsPerGroup: Int
    private let skipPresent: Bool
    private var nextAutomaticID: Int64
    private var source: (any VectorSource)?
    private var nextSourceRow = 0
    /// Whether the plan's last piece is of `source`.
    private var continuesPiece = false
    package private(set) var skipped = 0
    package private(set) var inputRows = 0
    /// Tensors that no layer is named after: a caller may warn of them.
    package private(set) var unusedTensors: Set<String> = []
    /// What made the vectors of the inputs so far, beside what the layers have.
    package private(set) var agreement: ProjectorAgreement

    package init(
        table: TableDocument, inputs: InputSet, metadata: (any MetadataSource)?,
        registry: RowRegistry, rowsPerGroup: Int, firstAutomaticID: Int64, skipPresent: Bool,
        agreement: ProjectorAgreement
    ) {
        self.agreement = agreement
        self.table = table
        self.inputs = inputs
        self.metadata = metadata
        self.registry = registry
        self.rowsPerGroup = rowsPerGroup
        self.skipPresent = skipPresent
        nextAutomaticID = firstAutomaticID
    }

    /// The next group; nil when inputs and metadata have ended, together.
    package func next() throws -> RowGroupPlan? {
        var plan = RowGroupPlan()
        while plan.rows.count < rowsPerGroup {
            if source == nil {
                guard let opened = try inputs.next() else {
                    try expectMetadataEnd()
                    break
                }
                try check(opened)
                source = opened
                nextSourceRow = 0
                continuesPiece = false
            }
            guard let source else { break }
            try take(from: source, into: &plan)
            if nextSourceRow == (try rowCount(source)) { self.source = nil }
        }
        return plan.rows.isEmpty ? nil : plan
    }

    private func take(from source: any VectorSource, into plan: inout RowGroupPlan) throws {
        let end = try rowCount(source)
        while nextSourceRow < end, plan.rows.count < rowsPerGroup {
            let sourceRow = nextSourceRow
            let (id, values) = try nextIdentity(source, sourceRow)
            nextSourceRow += 1
            inputRows += 1
            switch try registry.register(
                id, values: values, place: "\(source.name), row \(sourceRow)")
            {
            case .accepted(let row):
                plan.pieces.append(
                    row: sourceRow, of: source, at: plan.rows.count,
                    isOfLastSource: continuesPiece)
                continuesPiece = true
                plan.rows.append(row)
                plan.ids.append(id)
            case .present:
                guard skipPresent else {
                    throw GradDBError.badInput(
                        "\(source.name), row \(sourceRow): the checkpoint has a vector for id "
                            + "\(id) already; remove the duplicate, or leave such rows out with "
                            + "--resume")
                }
                skipped += 1
            case .repeated:
                throw GradDBError.badInput(
                    "\(source.name), row \(sourceRow): id \(id) already came earlier in this "
                        + "ingest; remove the duplicate")
            }
        }
    }

    private func nextIdentity(
        _ source: any VectorSource, _ sourceRow: Int
    ) throws -> (RowID, [FieldValue?]?) {
        guard let metadata else {
            defer { nextAutomaticID += 1 }
            return (.int(nextAutomaticID), nil)
        }
        let row = try metadata.row(
            after: inputRows, for: "\(source.name) goes on with row \(sourceRow)")
        return (row.id, row.values)
    }

    private func expectMetadataEnd() throws {
        try metadata?.expectEnd(after: inputRows)
    }

    // MARK: checking an input against the schema

    private func rowCount(_ source: any VectorSource) throws -> Int {
        try source.rowCount(of: table.layers.map(\.name))
    }

    private func check(_ source: any VectorSource) throws {
        try source.check(against: table)
        try agreement.check(source)
        let known = Set(table.layers.map(\.name))
        unusedTensors.formUnion(source.tensors.keys.filter { !known.contains($0) })
    }
}

extension VectorSource {
    /// - Throws: `.badInput` where a layer's tensor is missing, or its rows are of another size.
    package func check(against table: TableDocument) throws {
        for layer in table.layers {
            let matrix = try matrix(layer.name, allowVector: false)
            guard matrix.dims == layer.dims else {
                throw GradDBError.badInput(
                    "\(name): tensor '\(layer.name)' has \(matrix.dims) dims, but layer "
                        + "'\(layer.name)' of table '\(table.name)' has \(layer.dims)")
            }
        }
        _ = try rowCount(of: table.layers.map(\.name))
    }
}
