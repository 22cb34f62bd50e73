// Ids of tokens: `a/b/7` is token 7 of the example `a/b` (format-spec/query-language.md, Names). The
// only place that knows it.

/// What the id of a token says: whose token it is, and which.
package struct TokenID: Equatable, Sendable {
    /// What stands before the last `/`; the whole id where there is none.
    package let example: String
    /// What stands behind the last `/`, an integer of digits alone; nil where it is none.
    package let token: Int64?

    package init(_ id: RowID) {
        switch id {
        case .int(let number): self.init(example: String(number), token: nil)
        case .string(let text): self.init(text)
        }
    }

    package init(_ text: String) {
        guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")) else {
            self.init(example: text, token: nil)
            return
        }
        let digits = text[text.utf8.index(after: slash)...]
        let isNumber = digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }
        self.init(example: String(text[..<slash]), token: isNumber ? Int64(digits) : nil)
    }

    private init(example: String, token: Int64?) {
        self.example = example
        self.token = token
    }
}

extension FieldColumn {
    /// Of ids, the examples that they belong to: what the column `example` of a table of tokens is.
    package var examples: FieldColumn {
        var result = ColumnBuilder(type: .string, firstRow: firstRow)
        switch values {
        case .string(let dictionary, let codes):
            let ids = dictionary.map { TokenID($0).example }
            for (row, code) in codes.enumerated() {
                result.append(isPresent[row] ? .string(ids[Int(code)]) : nil)
            }
        case .int(let ids):
            for (row, id) in ids.enumerated() {
                result.append(isPresent[row] ? .string(TokenID(.int(id)).example) : nil)
            }
        case .float, .bool: for _ in 0..<count { result.append(nil) }
        }
        return result.take() ?? self
    }

    /// Of ids, the numbers of the tokens: what the column `token` is.
    package var tokens: FieldColumn {
        var numbers = [Int64](repeating: 0, count: count)
        var isNumber = [Bool](repeating: false, count: count)
        if case .string(let dictionary, let codes) = values {
            let tokens = dictionary.map { TokenID($0).token }
            for (row, code) in codes.enumerated() where isPresent[row] {
                guard let token = tokens[Int(code)] else { continue }
                (numbers[row], isNumber[row]) = (token, true)
            }
        }
        return FieldColumn(firstRow: firstRow, values: .int(numbers), isPresent: isNumber)
    }
}

extension Table {
    /// The columns that every row has beside its fields, where no field is called so: `id` and
    /// `row`, and of tokens `example` and `token`.
    package var rowColumns: [Field] {
        var columns = [
            Field(name: "id", type: head.idType ?? .string), Field(name: "row", type: .int),
        ]
        if unit == .token {
            columns += [Field(name: "example", type: .string), Field(name: "token", type: .int)]
        }
        return columns.filter { column in !fields.contains { $0.name == column.name } }
    }
}
