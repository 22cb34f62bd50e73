// What two checkpoints have in common, as it adds up row by row.

import GradDB

/// What is compared.
public struct DriftOptions: Sendable {
    /// Its checkpoints do not count.
    public var scope: SelectionScopeOptions
    public var from: String
    public var to: String
    /// A file of query vectors whose answers are compared.
    public var query: String?
    public var measure = InfluenceOptions.Measure.cosine
    /// Rows that are listed: those that turned most, and the first of each query's answers.
    public var top = 10

    public init(_ scope: SelectionScopeOptions, from: String, to: String) {
        self.scope = scope
        self.from = from
        self.to = to
    }
}

/// A row at two checkpoints. Norms are over the chosen layers together, nil where the checkpoint lacks
/// the row.
public struct DriftRow: Sendable {
    package var row: UInt64
    /// Nil where a checkpoint lacks the row, or it is zero at one.
    public var cosine: Double?
    /// The norm at the later one over that at the first; nil where a checkpoint lacks the row, or it is
    /// zero at the first.
    public var ratio: Double?
    public var fromNorm: Double?
    public var toNorm: Double?
    /// By chosen layer, where there are several.
    public var layerCosines: [Double?]

    /// Whether it has turned more than another: the smaller cosine, of equal ones the smaller number.
    fileprivate func precedes(_ other: DriftRow) -> Bool {
        (cosine ?? .infinity, row) < (other.cosine ?? .infinity, other.row)
    }
}

/// Cosines and ratios of the rows that two checkpoints have.
public struct DriftSpread: Sendable {
    public fileprivate(set) var cosine = Spread(.cosine)
    public fileprivate(set) var ratio = Spread(.ratio)
    public fileprivate(set) var histogram = CosineHistogram()
    /// Rows that both have and that are zero at one of them at least.
    public fileprivate(set) var zeroRows = 0

    fileprivate mutating func insert(_ cosine: Double?, _ ratio: Double?) {
        if let ratio { self.ratio.insert(ratio) }
        guard let cosine else {
            zeroRows += 1
            return
        }
        self.cosine.insert(cosine)
        histogram.insert(cosine)
    }
}

/// One layer of it.
public struct LayerDrift: Sendable {
    public var name: String
    public var dims: Int
    /// The codec that defines its scores.
    public var codec: CodecKind
    public fileprivate(set) var spread = DriftSpread()
}

/// What was found.
public struct DriftReport: Sendable {
    public let snapshot: UInt64
    public let from: String
    public let to: String
    /// In the table's order.
    public fileprivate(set) var layers: [LayerDrift]
    /// Over the chosen layers together.
    public fileprivate(set) var together = DriftSpread()
    /// Rows at both checkpoints, and at one of them only.
    public fileprivate(set) var rows = 0
    public fileprivate(set) var fromOnly = 0
    public fileprivate(set) var toOnly = 0
    /// Payload bytes that were looked at.
    public internal(set) var bytes: UInt64 = 0
    fileprivate let top: Int
    private var candidates: [DriftRow] = []

    init(_ query: BoundQuery, _ options: DriftOptions) {
        snapshot = query.view.snapshot
        from = options.from
        to = options.to
        top = options.top
        layers = zip(query.layers, query.tiers[0]).map { layer, encoding in
            LayerDrift(name: layer.name, dims: layer.dims, codec: encoding.codec)
        }
    }

    /// Those that turned most, first.
    public var mostTurned: [DriftRow] {
        Array(candidates.sorted { $0.precedes($1) }.prefix(top))
    }

    /// Adds the rows of a row group, in order.
    mutating func add(_ group: RowGroupDrift) {
        rows += group.rows.count
        fromOnly += group.fromOnly
        toOnly += group.toOnly
        for row in group.rows {
            together.insert(row.cosine, row.ratio)
            guard top > 0, row.cosine != nil else { continue }
            candidates.append(row)
        }
        for (layer, values) in group.layers.enumerated() {
            for (cosine, ratio) in values { layers[layer].spread.insert(cosine, ratio) }
        }
        guard candidates.count > 2 * top + 4096 else { return }
        candidates = mostTurned
    }
}

/// The rows of one row group.
struct RowGroupDrift: Sendable {
    /// Those that both checkpoints have.
    var rows: [DriftRow] = []
    var fromOnly = 0
    var toOnly = 0
    /// By layer, then by row as above.
    var layers: [[(cosine: Double?, ratio: Double?)]] = []
    /// A line for each row of the group, where they are asked for.
    var lines: String?
}
