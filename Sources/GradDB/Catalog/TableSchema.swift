// What a user says of a new table, and which of it is allowed.

/// The schema of a table to be made.
public struct TableSchema: Sendable {
    /// A vector column to be made.
    public struct LayerSchema: Sendable {
        public var name: String
        public var dims: Int
        /// Every row is stored in each of them; their order means nothing.
        public var codecs: [CodecKind]
        /// What makes its vectors out of raw gradients; an ingest can say so later.
        public var projector: ProjectorDocument?

        public init(
            name: String, dims: Int, codecs: [CodecKind], projector: ProjectorDocument? = nil
        ) {
            self.name = name
            self.dims = dims
            self.codecs = codecs
            self.projector = projector
        }

        public init(name: String, dims: Int, codec: CodecKind = .int8) {
            self.init(name: name, dims: dims, codecs: [codec])
        }
    }

    /// Row groups stay under this, so that a writer can hold two of them in memory.
    public static let maxRowGroupBytes = 64 << 20
    /// More dims than this in one layer are a mistake in units, not a gradient.
    public static let maxDims = 1 << 30

    public var name: String
    public var layers: [LayerSchema]
    public var fields: [Field]
    public var unit: RowUnit = .example
    /// Most rows in a row group; wide rows make it smaller.
    public var rowsPerGroup = 1024

    public init(name: String, layers: [LayerSchema], fields: [Field] = []) {
        self.name = name
        self.layers = layers
        self.fields = fields
    }

    /// Names that mean something else in a query.
    package static let reservedFieldNames: Set<String> = [
        "id", "row", "score", "rank", "checkpoint", "query", "end", "layer", "token", "score_low",
        "score_high", "expected_recall",
    ]

    /// - Throws: `.usage` saying what is wrong.
    package func validate() throws {
        try Self.validate(name: name, of: "table")
        guard !layers.isEmpty else {
            throw GradDBError.usage("table '\(name)' needs a layer: --layer NAME:DIMS[:CODEC]")
        }
        guard rowsPerGroup >= 1, rowsPerGroup <= 1 << 20 else {
            throw GradDBError.usage("a row group has 1 to 1048576 rows, not \(rowsPerGroup)")
        }
        var seen: Set<String> = []
        for layer in layers {
            try Self.validate(name: layer.name, of: "layer")
            guard layer.dims >= 1, layer.dims <= Self.maxDims else {
                throw GradDBError.usage(
                    "layer '\(layer.name)' has \(layer.dims) dims; 1 to \(Self.maxDims) are "
                        + "possible")
            }
            guard !layer.codecs.isEmpty else {
                throw GradDBError.usage("layer '\(layer.name)' needs a codec")
            }
            var codecs: Set<CodecKind> = []
            for codec in layer.codecs {
                try codec.requireDims(layer.dims, layer: layer.name)
                guard codecs.insert(codec).inserted else {
                    throw GradDBError.usage(
                        "layer '\(layer.name)' has codec \(codec.rawValue) twice; name each once")
                }
            }
            guard seen.insert(layer.name).inserted else {
                throw GradDBError.usage("layer '\(layer.name)' is named twice")
            }
            try Self.validateProjector(of: layer)
        }
        seen = []
        for field in fields {
            try Self.validate(name: field.name, of: "field")
            guard !Self.reservedFieldNames.contains(field.name.lowercased()) else {
                throw GradDBError.usage(
                    "a field cannot be called '\(field.name)': in a query that is something else")
            }
            guard seen.insert(field.name).inserted else {
                throw GradDBError.usage("field '\(field.name)' is named twice")
            }
        }
    }

    private static func validateProjector(of layer: LayerSchema) throws {
        guard let projector = layer.projector else { return }
        do {
            try projector.validate()
        } catch {
            throw GradDBError.usage("the projector of layer '\(layer.name)': \(error)")
        }
        guard projector.dims == layer.dims else {
            throw GradDBError.usage(
                "layer '\(layer.name)' has \(layer.dims) dims, but its projector makes "
                    + "\(projector.dims); give both the same number")
        }
    }

    /// Names are `[A-Za-z_][A-Za-z0-9_.-]*`, at most 128 bytes.
    package static func validate(name: String, of what: String) throws {
        let bytes = Array(name.utf8)
        func isLetter(_ c: UInt8) -> Bool {
            (65...90).contains(c) || (97...122).contains(c) || c == UInt8(ascii: "_")
        }
        let isName =
            bytes.first.map(isLetter) ?? false
            && bytes.allSatisfy {
                isLetter($0) || (48...57).contains($0) || $0 == UInt8(ascii: ".")
                    || $0 == UInt8(ascii: "-")
            }
        guard isName, bytes.count <= 128 else {
            throw GradDBError.usage(
                "'\(name)' cannot be the name of a \(what): names start with a letter or _, go on "
                    + "with letters, digits, _ . -, and have at most 128 characters")
        }
    }
}

extension CodecKind {
    /// - Throws: `.usage` for a layer with too few dims.
    package func requireDims(_ dims: Int, layer: String) throws {
        guard dims >= minDims else {
            throw GradDBError.usage(
                "layer '\(layer)' has \(dims) dims, too few for codec \(rawValue), which needs "
                    + "\(minDims); use codec int8")
        }
    }
}
