// From row numbers and scores to rows as the answer shows them.

import GradDB

/// Fills in ids, fields and names.
final class Hydrator {
    private let query: BoundQuery
    private let checkpoints: String
    private var records: [UInt64: RowRecord] = [:]
    private var recordBytes = 0

    /// Records are kept up to about so much: several answers may have the same rows.
    private static let mostRecordBytes = 64 << 20

    init(_ query: BoundQuery) {
        self.query = query
        checkpoints = query.checkpoints.map(\.document.name).joined(separator: "+")
    }

    /// - Parameters:
    ///   - groups: under GROUP BY, the group that the row is the first of.
    ///   - name: what the answer calls the query.
    ///   - layer: under PER LAYER, the one that the score is over.
    /// - Throws: `.corrupt`.
    func hydrated(
        _ ranked: RankedRow, rank: Int, in end: RankedEnd, groups: ScoredGroups?,
        query name: String,
        layer: String? = nil
    ) throws -> ResultRow {
        let group = groups.map { $0.index.group(of: ranked.row) }
        let record = groups == nil ? try record(ranked.row) : nil
        let id =
            groups.flatMap { groups in group.flatMap { groups.index.values[$0] } }
            ?? record?.id.fieldValue
        let values = query.columns.map { column -> FieldValue? in
            switch column.source {
            case .id, .group: id
            case .row: .int(Int64(ranked.row))
            case .score: .float(ranked.score)
            case .rank: .int(Int64(rank))
            case .query: .string(name)
            case .checkpoint: .string(checkpoints)
            case .example: record.map { .string(TokenID($0.id).example) }
            case .token: record.flatMap { TokenID($0.id).token }.map { .int($0) }
            case .layer: layer.map { .string($0) }
            case .field(let index): record?.values[index]
            case .rowCount:
                group.flatMap { group in groups.map { .int(Int64($0.rowCounts[group])) } }
            }
        }
        return ResultRow(
            query: name, rank: rank, end: end.end, id: id, score: ranked.score, layer: layer,
            interval: ranked.interval, expectedRecall: end.expectedRecall, values: values,
            row: ranked.row)
    }

    private func record(_ row: UInt64) throws -> RowRecord {
        if let known = records[row] { return known }
        let record = try query.view.record(row: row)
        if query.answerCount > 1 || query.isPerLayer, recordBytes < Self.mostRecordBytes {
            records[row] = record
            recordBytes +=
                64
                + record.values.reduce(0) { bytes, value in
                    if case .string(let text)? = value {
                        bytes + 32 + text.utf8.count
                    } else {
                        bytes + 32
                    }
                }
        }
        return record
    }
}
