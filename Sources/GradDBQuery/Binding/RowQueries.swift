// Queries that are rows of the table: at each checkpoint a row's own vector there, as it is stored.

import GradDB

struct RowQueries: QueryVectors {
    private let view: TableView
    private let rows: [UInt64]
    /// By checkpoint, where its rows lie.
    private let places: [[Place]]
    private let units: [[ScanUnit]]
    private let encoder: QueryEncoder
    private let tiers: [[LayerEncoding]]
    /// The one row's name, where the statement has it.
    private let spelled: String?

    var count: Int { rows.count }

    private struct Place: Sendable {
        var unit: Int32
        var index: Int32
    }

    /// - Parameters:
    ///   - rows: ascending. Those that a checkpoint lacks are left out.
    ///   - spelled: what the statement calls the one row.
    init(
        _ rows: RowSet, in view: TableView, checkpoints: [CheckpointDocument],
        encoder: QueryEncoder, tiers: [[LayerEncoding]], spelled: String? = nil
    ) throws {
        self.view = view
        self.encoder = encoder
        self.tiers = tiers
        self.spelled = spelled
        units = checkpoints.map(view.units)
        let bounds = rows.bounds
        var found: [[UInt64: Place]] = []
        for units in units {
            var places: [UInt64: Place] = [:]
            for (number, unit) in units.enumerated()
            where bounds?.overlaps(unit.segment.firstRow...unit.segment.lastRow) ?? false {
                for (index, row) in try view.rowMap(unit.segment, group: unit.group).enumerated()
                where rows.contains(row) {
                    places[row] = Place(
                        unit: Int32(truncatingIfNeeded: number),
                        index: Int32(truncatingIfNeeded: index))
                }
            }
            found.append(places)
        }
        let everywhere = found.first.map { first in
            first.keys.filter { row in found.allSatisfy { $0[row] != nil } }.sorted()
        }
        self.rows = everywhere ?? []
        places = found.map { places in (everywhere ?? []).compactMap { places[$0] } }
    }

    /// - Throws: `.badInput` where a row's vectors at a checkpoint are zero.
    func refuseZero(layers: [Layer]) throws {
        for (units, places) in zip(units, places) {
            let norms = try RowNorms(view, layers: layers, encodings: tiers[0])
            var known: (unit: Int32, norms: [Double])?
            for (query, place) in places.enumerated() {
                if known?.unit != place.unit {
                    known = (place.unit, try norms.squaredNorms(of: units[Int(place.unit)]))
                }
                guard known?.norms[Int(place.index)] ?? 0 > 0 else {
                    throw FileQueries.zeroQuery(try name(of: query))
                }
            }
        }
    }

    func name(of query: Int) throws -> String {
        if let spelled { return spelled }
        switch try view.record(row: rows[query]).id {
        case .int(let value): return "ROW \(value)"
        case .string(let text): return "ROW \(Spelling.string(text))"
        }
    }

    func variant(of checkpoint: Int) -> Int { checkpoint }

    /// As it is stored for the finest encoding, which defines its score, and made anew from that
    /// for the coarser ones.
    func encoded(
        _ query: Int, checkpoint: Int, layer: Int, tier: Int
    ) throws -> EncodedQuery {
        guard tier > 0 else {
            let stored = try stored(query, checkpoint: checkpoint, layer: layer)
            return encoder.codecs[0][layer].query(fromRow: stored.bytes, stored.statistics)
        }
        let name = try name(of: query)
        return try encoder.encoded(
            try floats(query, checkpoint: checkpoint, layer: layer), layer: layer, tier: tier,
            what: name)
    }

    func floats(_ query: Int, checkpoint: Int, layer: Int) throws -> [Float] {
        let stored = try stored(query, checkpoint: checkpoint, layer: layer)
        let dims = encoder.layers[layer].dims
        return [Float](unsafeUninitializedCapacity: dims) { target, count in
            stored.bytes.withUnsafeBytes {
                let target = UnsafeMutableBufferPointer(rebasing: target[..<dims])
                encoder.codecs[0][layer].decode($0, stored.statistics, into: target)
            }
            count = dims
        }
    }

    private func stored(
        _ query: Int, checkpoint: Int, layer: Int
    ) throws -> TableView.StoredVector {
        let place = places[checkpoint][query]
        let unit = units[checkpoint][Int(place.unit)]
        return try view.vector(
            encoder.layers[layer], tiers[0][layer],
            at: (unit.segment, unit.group, Int(place.index)))
    }
}
