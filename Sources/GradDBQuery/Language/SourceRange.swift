// A stretch of statement text, in UTF-8 offsets: what every token, syntax node and error carries.

/// A half-open range of UTF-8 byte offsets into the text of a statement or script.
public struct SourceRange: Hashable, Sendable {
    public let start: Int
    public let end: Int

    package init(_ start: Int, _ end: Int) {
        assert(start <= end, "a source range runs forwards")
        self.start = start
        self.end = end
    }

    /// The range from the start of this one to the end of `other`, which lies behind it.
    package func through(_ other: SourceRange) -> SourceRange { SourceRange(start, other.end) }
}
