// What a recode is told, and what it says when it is done.

/// How to recode a layer.
public struct RecodeOptions: Sendable {
    /// The layer's name; may be nil where the table has only one.
    public var layer: String?
    public var codec: CodecKind
    /// Keep the other encodings beside the new one, instead of replacing them.
    public var beside = false
    /// A tag for the new snapshot.
    public var tag: String?
    public var message = ""
    /// Threads that decode and encode.
    public var threads = 2

    public init(layer: String?, codec: CodecKind) {
        self.layer = layer
        self.codec = codec
    }
}

/// What a recode did.
public struct RecodeResult: Sendable {
    /// The snapshot that has the layer so.
    public var snapshot: UInt64
    /// The layer's name.
    public var layer: String
    /// The codec that rows were decoded from; nil where the new one was there already, so that
    /// others were only removed.
    public var source: CodecKind?
    /// The layer's codecs in the new snapshot, finest first.
    public var codecs: [CodecKind]
    /// Vectors stored, at all checkpoints together.
    public var rows: Int
    /// Bytes of the blocks written.
    public var bytes: UInt64
    public var seconds: Double
}

/// How far a recode is.
public struct RecodeProgress: Sendable {
    public var rows: Int
    /// Bytes of encoded rows that were read, and that there are.
    public var bytes: UInt64
    public var totalBytes: UInt64
}
