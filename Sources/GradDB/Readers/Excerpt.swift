// Pieces of somebody else's data inside our messages: quoted, escaped and cut to a bearable length,
// since a damaged file may offer a megabyte of control characters as a name.

enum Excerpt {
    private static let longestText = 80
    private static let longestList = 8

    /// `text` in double quotes, control characters escaped, cut after 80 characters.
    static func quoted(_ text: some StringProtocol) -> String {
        let head = text.prefix(longestText)
        let dots = head.endIndex < text.endIndex ? "…" : ""
        return String(reflecting: String(head) + dots)
    }

    /// Raw bytes as text without quotes, for a value copied out of a document: cut alike, control
    /// characters escaped, and the document's own quotes left as they are.
    static func raw(_ bytes: some Collection<UInt8>) -> String {
        let text = String(decoding: bytes.prefix(4 * longestText), as: UTF8.self)
        let head = text.prefix(longestText)
        var shown = ""
        for scalar in head.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control
            shown += isControl ? scalar.escaped(asASCII: true) : String(scalar)
        }
        return head.utf8.count < bytes.count ? shown + "…" : shown
    }

    static func raw(_ text: Span<UInt8>, _ range: Range<Int>) -> String {
        text.extracting(range).withUnsafeBufferPointer { raw($0) }
    }

    /// The first few names, quoted, and how many more there are.
    static func list(_ names: [String]) -> String {
        let shown = names.prefix(longestList).map { quoted($0) }.joined(separator: ", ")
        let hidden = names.count - longestList
        return hidden > 0 ? "\(shown) and \(hidden) more" : shown
    }

    /// A shape as Python writes a list, cut where it has absurdly many dimensions.
    static func shape(_ shape: [Int]) -> String {
        let shown = shape.prefix(longestList).map(String.init).joined(separator: ", ")
        return shape.count > longestList ? "[\(shown), …]" : "[\(shown)]"
    }
}
