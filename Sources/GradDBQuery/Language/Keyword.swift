// The words of the language.

package enum Keyword: String, CaseIterable, Sendable {
    case explain, analyze
    case select, `as`, from, at
    case score, dot, cosine, `self`, to, row, rows, each, mean, sum, max
    case layers, across, weight, all, precondition
    case `where`, and, or, not, `in`, between, like, escape, `is`, null, `true`, `false`
    case group, by, with, count, min, per, layer
    case top, bottom, exact, confidence, budget

    /// The keyword that a word is, in upper or lower case; only ASCII letters have a case here.
    package init?(word: String) {
        guard word.utf8.count <= Self.maximumLength else { return nil }
        self.init(rawValue: Self.lowered(word))
    }

    /// A word as it is compared where case does not matter.
    static func lowered(_ word: String) -> String {
        let lowered = word.utf8.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")) ~= $0 ? $0 | 32 : $0 }
        return String(decoding: lowered, as: UTF8.self)
    }

    /// The canonical spelling: measures in lower case, all else in capitals.
    package var spelling: String {
        switch self {
        case .dot, .cosine, .`self`: rawValue
        default: rawValue.uppercased()
        }
    }

    /// Whether a name spelled like this must be quoted wherever it stands.
    ///
    /// Words that are told from a name by their place alone stay free, because fields are called
    /// like that: `score`, `row`, `weight`, `confidence`.
    package var isReserved: Bool {
        switch self {
        case .select, .as, .from, .at, .to, .layers, .across, .precondition, .where, .and, .or,
            .not, .in, .between, .like, .escape, .is, .null, .true, .false, .group, .top, .bottom,
            .exact:
            true
        default: false
        }
    }

    private static let maximumLength = allCases.map(\.rawValue.utf8.count).max() ?? 0
}
