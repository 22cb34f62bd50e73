// What may stand on either side of a comparison, and what to say when it may not.

import GradDB

extension PredicateBinder {
    func unknownColumn(_ name: String, at range: SourceRange) -> QueryError {
        var hint = NearestName.hint(for: name, among: names.map(Spelling.name))
        if hint == nil, source.bytes[range.start] == UInt8(ascii: "\"") {
            hint = "double quotes name a column; a string stands between single quotes"
        }
        let listed = names.prefix(Self.maximumListedNames).map(Spelling.name)
            .joined(separator: ", ")
        let rest = names.count > Self.maximumListedNames ? ", …" : ""
        return source.error(
            "there is no column '\(SourceExcerpt.quotable(name))'", at: range,
            expected: "one of \(listed)\(rest)", hint: hint)
    }

    private static var maximumListedNames: Int { 12 }

    /// Refuses a comparison of values that have no order or equality between them.
    func check(
        _ left: Operand, _ comparison: ComparisonOperator, _ right: Operand
    ) throws(QueryError) {
        if let leftKind = left.kind, let rightKind = right.kind, leftKind != rightKind {
            // A column is what it is: of it and a constant, the constant is the wrong one.
            let isLeftWrong = left.node.constant != nil && right.node.constant == nil
            let (wrong, other) = isLeftWrong ? (left, right) : (right, left)
            throw source.error(
                "\(wrong.wording) cannot be compared with \(other.wording)",
                at: wrong.range, expected: (isLeftWrong ? rightKind : leftKind).wanted)
        }
        guard comparison.isOrdering else { return }
        for operand in [left, right] where operand.kind == .bool {
            throw source.error(
                "\(operand.wording) has no order", at: operand.range,
                expected: "a number or a string; bools compare with = and != only")
        }
    }
}
