// What an archive says of the snapshot in it: format-spec/archive.md.

/// The head of an archive.
struct ArchiveHead: Codable, Sendable {
    static let formatName = "graddb-archive"
    static let currentVersion = 1

    struct LayerPart: Codable, Sendable {
        var name: String
        var dims: Int
        var seed: String
        var projector: ProjectorDocument?
        /// From the finest to the coarsest.
        var codecs: [CodecKind]
    }

    struct CheckpointPart: Codable, Sendable {
        var name: String
        var step: Int64?
        var weight: Double?
        /// That have vectors at it.
        var rows: Int
    }

    var format = Self.formatName
    var formatVersion = Self.currentVersion
    var exported: String
    var table: String
    var snapshot: UInt64
    var committed: String?
    var message: String
    var unit: RowUnit
    var rowGroup: Int
    var idType: FieldType?
    var layers: [LayerPart]
    var fields: [Field]
    var checkpoints: [CheckpointPart]
    var rows: UInt64
    var tags: [String]
    var hash: String

    init(_ view: TableView, checkpointRows: [Int], hash: String) {
        exported = Timestamp.now()
        table = view.table.name
        snapshot = view.snapshot
        committed = view.document?.time
        message = view.document?.message ?? ""
        unit = view.table.unit
        rowGroup = view.table.rowsPerGroup
        idType = view.rowCount > 0 ? view.table.head.idType : nil
        layers = view.table.layers.map { layer in
            LayerPart(
                name: layer.name, dims: layer.dims, seed: layer.seed, projector: layer.projector,
                codecs: view.encodings(of: layer).map(\.codec))
        }
        fields = view.table.fields
        checkpoints = zip(view.archivedCheckpoints, checkpointRows).map { checkpoint, rows in
            CheckpointPart(
                name: checkpoint.name, step: checkpoint.step, weight: checkpoint.weight, rows: rows)
        }
        rows = view.rowCount
        tags = view.table.tags.filter { $0.value == view.snapshot }.map(\.key).sorted()
        self.hash = hash
    }

    /// The document of a table with this schema and no snapshot.
    ///
    /// - Throws: `.badInput` for a schema that no table has.
    func schema(table: UInt32, name: String) throws -> TableDocument {
        var schema = TableSchema(
            name: name,
            layers: layers.map {
                .init(name: $0.name, dims: $0.dims, codecs: $0.codecs, projector: $0.projector)
            }, fields: fields)
        schema.unit = unit
        schema.rowsPerGroup = rowGroup
        do {
            try schema.validate()
        } catch let error as GradDBError {
            throw GradDBError.badInput("the archive has a schema that no table has: \(error)")
        }
        var document = TableDocument(
            table: table, name: name, unit: unit, layers: [], fields: fields, rowGroup: rowGroup,
            created: Timestamp.now())
        for layer in layers {
            guard layer.codecs == layer.codecs.sorted(), layer.seed.hasPrefix("0x"),
                let seed = UInt64(layer.seed.dropFirst(2), radix: 16)
            else { throw GradDBError.badInput("the archive has a malformed layer") }
            let first = document.nextEncoding
            document.layers.append(
                Layer(
                    number: UInt32(document.layers.count), name: layer.name, dims: layer.dims,
                    encodings: zip(first..., layer.codecs).map {
                        LayerEncoding(number: $0, codec: $1, snapshots: SnapshotRanges(from: 0))
                    }, seed: seed, projector: layer.projector))
        }
        return document
    }
}

/// The end of an archive.
struct ArchiveEnd: Codable, Equatable, Sendable {
    /// Before it.
    var records: Int
    var rows: UInt64
    var vectors: Int
}

extension TableView {
    /// In the order of their numbers.
    var archivedCheckpoints: [CheckpointDocument] {
        checkpoints.sorted { $0.checkpoint < $1.checkpoint }
    }
}
