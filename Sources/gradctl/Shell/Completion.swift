// What may stand where the cursor is: keywords, the names that a table has, or a file. It looks at
// the words before the cursor and not at the grammar: half a statement has none.

import GradDB
import GradDBQuery

struct Completion {
    /// Whole words that begin like the one at the cursor.
    var candidates: [String] = []
    /// What follows a word that is the only candidate: a space, or the quote that closes it.
    var closing: Unicode.Scalar = " "
    /// Whether the name of a file stands here.
    var isFile = false
}

struct Completer {
    /// Opens what the names come from; nil where nothing can be opened.
    let open: () -> Database?
    /// The table that is meant without FROM.
    let defaultTable: String?

    /// - Parameters:
    ///   - before: the statement up to the word at the cursor, earlier lines among it.
    ///   - word: the beginning of a word, or nothing.
    func completion(before: String, word: String) -> Completion {
        let line = before.split(separator: "\n", omittingEmptySubsequences: false).last ?? ""
        if line.hasPrefix(".") || (line.isEmpty && word.hasPrefix(".")) {
            return command(String(line), word)
        }
        let (words, quote) = Self.words(before)
        let place = words.last { Self.places.contains($0) } ?? ""
        if quote == "'" {
            if place == "TO" { return Completion(closing: "'", isFile: true) }
            return matching(word, strings(place, words), closing: "'")
        }
        var names = self.names(place, words)
        if quote == "\"" { return matching(word, names, closing: "\"") }
        names = names.map(Spelling.name)
        return matching(word, names + Self.keywords(like: word), closing: " ")
    }

    private static let places: Set = [
        "SELECT", "FROM", "AT", "SCORE", "TO", "LAYERS", "ACROSS", "PRECONDITION", "WHERE", "BY",
        "TOP", "BOTTOM",
    ]

    /// Keywords in the case in which the word was begun.
    private static func keywords(like word: String) -> [String] {
        let isLower = word.utf8.first.map { $0 >= UInt8(ascii: "a") } ?? false
        return Keyword.allCases.map { isLower ? $0.rawValue : $0.rawValue.uppercased() }
    }

    private func matching(
        _ word: String, _ names: [String], closing: Unicode.Scalar
    ) -> Completion {
        var seen: Set<String> = []
        let matches = names.filter { $0.hasPrefix(word) && seen.insert($0).inserted }
        return Completion(candidates: matches, closing: closing)
    }

    // MARK: Names

    private func names(_ place: String, _ words: [String]) -> [String] {
        guard let database = open() else { return [] }
        switch place {
        case "FROM": return (try? database.tableNames()) ?? []
        case "SELECT", "WHERE", "BY":
            // SELECT comes before FROM: then the fields of all tables.
            let tables = table(words, in: database).map { [$0] } ?? all(in: database)
            let pseudo = place == "SELECT" ? ["score", "rank", "checkpoint", "query"] : []
            return tables.flatMap { $0.fields.map(\.name) + $0.rowColumns.map(\.name) } + pseudo
                + (place == "WHERE" ? ValueFunction.allCases.map(\.rawValue) : [])
        case "PRECONDITION":
            return table(words, in: database)?.activePreconditioners.map(\.name) ?? []
        default: return []
        }
    }

    /// What stands between single quotes.
    private func strings(_ place: String, _ words: [String]) -> [String] {
        guard let database = open(), let table = table(words, in: database) else { return [] }
        switch place {
        case "AT": return table.tags.keys.sorted()
        case "LAYERS": return table.layers.map(\.name)
        case "ACROSS": return (try? table.checkpoints.map(\.name)) ?? []
        default: return []
        }
    }

    /// The table that FROM names, the caller's, or the only one.
    private func table(_ words: [String], in database: Database) -> Table? {
        var name = defaultTable
        if let from = words.lastIndex(of: "FROM"), from + 1 < words.count { name = words[from + 1] }
        if name == nil, let names = try? database.tableNames(), names.count == 1 { name = names[0] }
        return name.flatMap { try? database.table($0) }
    }

    private func all(in database: Database) -> [Table] {
        ((try? database.tableNames()) ?? []).compactMap { try? database.table($0) }
    }

    /// The words of half a statement, keywords in capitals, and the quote that is open at its end.
    private static func words(_ text: String) -> (words: [String], quote: Character?) {
        var words: [String] = []
        var word = ""
        var quote: Character?
        func end() {
            if !word.isEmpty { words.append(Keyword(word: word)?.rawValue.uppercased() ?? word) }
            word = ""
        }
        for character in text {
            if let open = quote {
                if character == open {
                    words.append(word)
                    (word, quote) = ("", nil)
                } else {
                    word.append(character)
                }
            } else if character == "'" || character == "\"" {
                end()
                quote = character
            } else if character.isLetter || character.isNumber || character == "_" {
                word.append(character)
            } else {
                end()
            }
        }
        if quote == nil { end() }
        return (words, quote)
    }

    // MARK: Dot commands

    private func command(_ line: String, _ word: String) -> Completion {
        guard let name = line.split(separator: " ").first.map(String.init), !line.isEmpty else {
            return matching(word, Shell.commands.map(\.name), closing: " ")
        }
        switch name {
        case ".schema": return matching(word, (try? open()?.tableNames()) ?? [], closing: " ")
        case ".mode": return matching(word, Shell.modes.map(\.rawValue), closing: " ")
        case ".timer", ".explain": return matching(word, ["on", "off"], closing: " ")
        case ".read", ".output": return Completion(isFile: true)
        default: return Completion()
        }
    }
}
