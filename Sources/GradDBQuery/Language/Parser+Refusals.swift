// What to say of a word that has a meaning, but not here: clauses out of order, and the habits of
// SQL.

extension Parser {
    /// Where the order is fixed and SCORE has not come yet: a clause that belongs behind it.
    func refusalBeforeScore() -> QueryError? {
        guard let keyword = current.keyword, keyword.isClauseWord else { return nil }
        guard Self.trailingKeywords.contains(keyword) else { return nil }
        return source.error(
            "\(keyword.spelling) stands before SCORE", at: current.range,
            expected: "SCORE … TO … first", hint: Self.orderHint)
    }

    /// Behind SCORE: a word of the language that cannot stand there.
    func refusal(of keyword: Keyword) -> QueryError {
        let place =
            switch keyword {
            case .explain: "EXPLAIN at the very beginning"
            case .select: "SELECT at the beginning"
            case .from: "FROM before SCORE"
            case .at: "AT behind the name of the table"
            case .score: "SCORE once"
            case .to: "TO behind the measure of SCORE"
            case .each, .mean, .sum, .max:
                "\(keyword.spelling) right behind the source of the queries"
            case .weight: "WEIGHT behind a checkpoint of ACROSS"
            case .per: "PER LAYER behind the columns of SELECT"
            default: "\(keyword.spelling) elsewhere"
            }
        return source.error(
            "\(keyword.spelling) is misplaced", at: current.range, expected: place,
            hint: Self.orderHint)
    }

    private static let orderHint =
        "the order is SELECT … FROM … AT … SCORE … TO … EACH, MEAN, SUM or MAX, then the other clauses"

    /// SELECT names columns only.
    func functionInSelect(_ name: Located<String>) -> QueryError {
        source.error(
            "SELECT takes no functions such as \(SourceExcerpt.quotable(name.value))",
            at: name.range, expected: "the name of a column",
            hint: "functions stand in conditions: WHERE \(SourceExcerpt.quotable(name.value))(…)")
    }

    /// What a word that other query languages have is called here.
    func hintForForeignWord() -> String? {
        guard case .word(let word) = current.kind else { return nil }
        return switch word.uppercased() {
        case "LIMIT", "FETCH":
            "TOP n returns the n highest scores, BOTTOM n the n lowest"
        case "ORDER", "SORT":
            "rows come in the order of their scores: TOP n the highest, BOTTOM n the lowest"
        case "JOIN", "HAVING", "UNION", "OFFSET": "there is no \(word.uppercased())"
        case "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER":
            "statements only ask; gradctl has commands that change a table"
        default: nil
        }
    }
}

extension Keyword {
    /// Whether the word begins or belongs to a clause, so that it can be misplaced.
    var isClauseWord: Bool {
        switch self {
        case .explain, .select, .from, .at, .score, .to, .each, .mean, .sum, .max, .layers,
            .across, .weight, .all, .precondition, .where, .group, .per, .top, .bottom, .exact,
            .confidence, .budget:
            true
        default: false
        }
    }
}
