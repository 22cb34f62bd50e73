// How names and strings are written so that the lexer reads them back.

package enum Spelling {
    package static func string(_ value: String) -> String { quoted(value, by: "'") }

    /// A name, in double quotes only where it has to be.
    package static func name(_ name: String) -> String {
        isPlain(name) && Keyword(word: name)?.isReserved != true ? name : quoted(name, by: "\"")
    }

    /// A table's name: there the word SCORE means that the name is missing.
    package static func table(_ name: String) -> String {
        Keyword(word: name) == .score ? quoted(name, by: "\"") : Spelling.name(name)
    }

    /// Whether the lexer reads a name as one word.
    private static func isPlain(_ name: String) -> Bool {
        guard let first = name.unicodeScalars.first else { return false }
        return (first == "_" || first.properties.isXIDStart)
            && name.unicodeScalars.dropFirst().allSatisfy(\.properties.isXIDContinue)
    }

    private static func quoted(_ text: String, by quote: Unicode.Scalar) -> String {
        var result = String.UnicodeScalarView([quote])
        for scalar in text.unicodeScalars {
            result.append(scalar)
            if scalar == quote { result.append(quote) }
        }
        result.append(quote)
        return String(result)
    }
}
