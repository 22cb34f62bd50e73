// What every rank of a staged ingest must agree on: `ingest.json` in its directory, as
// format-spec/staging.md has it.

/// `ingest.json`.
package struct StagedDocument: Codable, Equatable, Sendable {
    package static let formatName = "graddb-staged"
    package static let currentVersion = 1
    package static let maxRanks = 65_536

    package var format = Self.formatName
    package var formatVersion = Self.currentVersion
    /// When the database was made, which tells databases apart.
    package var database: String
    package var table: UInt32
    /// The table's.
    package var name: String
    /// Rank r writes the segment that comes r after this one.
    package var firstSegment: UInt64
    package var ranks: Int
    package var checkpoint: String
    package var step: Int64?
    package var weight: Double?
    /// Rows in every row group of a rank but its last.
    package var rowsPerGroup: Int
    /// What blocks looked like when it was begun.
    package var schema: String
    /// RFC 3339, UTC.
    package var begun: String
}

extension StagedDocument {
    /// - Throws: `.usage` where a writer was told something else than what this was begun with. What
    ///   it was not told is as it was begun.
    func requireAgreement(with options: StagedOptions) throws {
        func refuse(_ what: String, _ here: String, _ there: String) -> GradDBError {
            .usage(
                "the staged ingest of table '\(name)' at checkpoint '\(checkpoint)' was begun with "
                    + "\(what) \(here), not \(there); give all ranks the same, or abandon it with "
                    + "`gradctl staged \(name) --checkpoint '\(checkpoint)' --abandon`")
        }
        guard options.ranks == ranks else {
            throw refuse("ranks", "\(ranks)", "\(options.ranks)")
        }
        if let other = options.step, other != step {
            throw refuse("step", step.map { "\($0)" } ?? "unset", "\(other)")
        }
        if let other = options.weight, other != weight {
            throw refuse("weight", weight.map { "\($0)" } ?? "unset", "\(other)")
        }
        if let other = options.rowsPerGroup, other != rowsPerGroup {
            throw refuse("rows per group", "\(rowsPerGroup)", "\(other)")
        }
    }
}

/// All that decides what a block of a table looks like, and a row's record: its hash is the
/// document's `schema`. A recode changes it; a commit in between, a tag or a projector does not.
private struct BlockSchema: Encodable {
    struct Layer: Encodable {
        var name: String
        var dims: Int
        var seed: String
        var encodings: [Encoding]
    }

    struct Encoding: Encodable {
        var encoding: UInt32
        var codec: CodecKind
    }

    var table: UInt32
    var layers: [Layer]
    var fields: [Field]
}

extension TableView {
    package func stagedSchema(_ kernels: KernelSet) throws -> String {
        let schema = BlockSchema(
            table: table.document.table,
            layers: table.layers.map { layer in
                BlockSchema.Layer(
                    name: layer.name, dims: layer.dims, seed: layer.seed,
                    encodings: encodings(of: layer).sorted { $0.number < $1.number }
                        .map { BlockSchema.Encoding(encoding: $0.number, codec: $0.codec) })
            }, fields: table.fields)
        return kernels.hexHash(try DocumentJSON.encode(schema))
    }
}

extension KernelSet {
    /// XXH3-64 as 16 hexadecimal digits.
    func hexHash(_ bytes: some Collection<UInt8>) -> String {
        Catalog.Key.hex(Array(bytes).withUnsafeBytes { hash($0) })
    }
}
