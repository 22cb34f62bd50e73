// Metadata as JSON Lines: one object on each line, an `id` and the declared fields among its keys.
//
// A line goes through four steps, of which the usual one allocates little:
//  1. It is cut out of the file and must be UTF-8. A byte order mark before it and a carriage
//     return behind it are dropped, a blank line is skipped.
//  2. MetadataColumns finds the members that matter, and keys that occur twice: those are refused,
//     since it would be a guess which value was meant.
//  3. How each value is written must fit its column: 5.0 is no integer.
//  4. JSONDecoder decodes these values, and judges the line as a whole.

/// Reads the metadata of rows from front to back in bounded memory. Not for use from several
/// threads at once.
package final class MetadataReader {
    private let lines: LineReader
    private let fields: [Field]
    private let json = JSONText()
    private var columns: MetadataColumns
    private var plan: MetadataLinePlan

    /// Opens a file of JSON Lines. Throws `badInput` where it is missing or unreadable, and `usage`
    /// where a field is called `id`.
    package init(path: String, fields: [Field]) throws(GradDBError) {
        guard !fields.contains(where: { $0.name == "id" }) else {
            throw .usage("a field cannot be called \"id\", which is every row's key")
        }
        lines = try LineReader(path)
        columns = MetadataColumns(fields: fields)
        plan = MetadataLinePlan(
            keys: columns.names.map { JSONKey($0) }, types: [.string] + fields.map(\.type),
            isPresent: Array(repeating: false, count: columns.names.count))
        self.fields = fields
    }

    /// What errors call this input: its path.
    package var name: String { lines.name }

    /// Keys met so far that are neither `id` nor a field, the first thousand of them. Their values
    /// are not kept.
    package var undeclaredKeys: Set<String> { columns.undeclared }

    /// The next row, or nil behind the last line. Throws `badInput` naming file, line and field.
    package func next() throws(GradDBError) -> MetadataRow? {
        while true {
            let row = try lines.withNextLine { line throws(GradDBError) in try self.row(line) }
            guard let row else { return nil }
            if let row { return row }
        }
    }

    /// The row of one line; nil where the line is blank.
    private func row(_ rawLine: Span<UInt8>) throws(GradDBError) -> MetadataRow? {
        let line = rawLine.extracting(Self.contentStart(rawLine)...)
        if line.isEmpty { return nil }
        guard JSONText.isPlainUTF8(line) else {
            throw problem("is not valid UTF-8; write the file as UTF-8")
        }
        switch columns.find(in: line, json: json) {
        case .found: break
        case .malformed: throw notAnObject(line)
        case .repeated(let key):
            throw problem("has the key \(Excerpt.quoted(key)) twice; keep one of them")
        }
        if let misfit = fitColumns(line) {
            // A line that is no JSON at all is called that, not by what we made of its pieces.
            guard json.decode(AnyJSON.self, line) != nil else { throw notAnObject(line) }
            throw misfit
        }
        guard let decoded = json.decode(MetadataLine.self, line, configuration: plan) else {
            throw notAnObject(line)
        }
        if let column = decoded.refusedColumn { throw refused(column, line) }
        return try makeRow(decoded.values)
    }

    /// Fills the plan from how the values are written; returns what is wrong with the first that
    /// does not fit its column.
    private func fitColumns(_ line: Span<UInt8>) -> GradDBError? {
        for column in columns.names.indices {
            guard let range = columns.values[column] else {
                if column == 0 {
                    return problem("has no \"id\"; give every row a string or an integer")
                }
                plan.isPresent[column] = false
                continue
            }
            plan.isPresent[column] = true
            let kind = JSONKind(of: line.extracting(range))
            if column == 0 {
                guard kind == .string || kind == .integer else { return refused(column, line) }
                plan.types[0] = kind == .string ? .string : .int
            } else {
                guard kind?.fits(plan.types[column]) == true else { return refused(column, line) }
            }
        }
        return nil
    }

    /// The row of decoded columns, of which the first is the id.
    private func makeRow(_ columns: [FieldValue?]) throws(GradDBError) -> MetadataRow {
        var values = columns
        let id: RowID
        switch values.removeFirst() {
        case .string(let text)?:
            guard !text.isEmpty, text.utf8.count <= RowID.longestStringBytes else {
                throw problem(
                    "has an \"id\" of \(text.utf8.count) bytes; an id has 1 to "
                        + "\(RowID.longestStringBytes)")
            }
            id = .string(text)
        case .int(let number)?: id = .int(number)
        default: throw problem("has no \"id\"; give every row a string or an integer")
        }
        return MetadataRow(id: id, values: values, lineNumber: lines.lineNumber)
    }

    private func refused(_ column: Int, _ line: Span<UInt8>) -> GradDBError {
        let expected =
            column == 0
            ? "\"id\" must be a string or an integer of 64 bits"
            : "field \(Excerpt.quoted(fields[column - 1].name)) must be "
                + fields[column - 1].type.expectedWords
        guard let range = columns.values[column] else { return problem(expected) }
        let kind = JSONKind(of: line.extracting(range))
        let text = Excerpt.raw(line, range)
        if kind == .string, plan.types[column] == .string {
            return problem("\(expected), but \(text) has a wrong escape or a control character")
        }
        return problem("\(expected), found \(kind.map { $0.words + " " } ?? "")\(text)")
    }

    private func notAnObject(_ line: Span<UInt8>) -> GradDBError {
        let hint = " (NaN and Infinity are not JSON: write null)"
        let text = Excerpt.raw(line, 0..<line.count)
        let isPython = text.contains("NaN") || text.contains("Infinity")
        return problem(
            "is not a JSON object: \(text); metadata is one object on each line"
                + (isPython ? hint : ""))
    }

    private func problem(_ what: String) -> GradDBError {
        .badInput("\(lines.name), line \(lines.lineNumber): \(what)")
    }

    /// Where a line begins behind a byte order mark and white space. White space at its end, such
    /// as a carriage return, is JSON's own and does no harm.
    private static func contentStart(_ line: Span<UInt8>) -> Int {
        let hasMark = line.count >= 3 && (line[0], line[1], line[2]) == (0xEF, 0xBB, 0xBF)
        return JSONMembers.skipSpace(line, hasMark ? 3 : 0)
    }

    /// Any JSON value, parsed and forgotten.
    private struct AnyJSON: Decodable {
        init(from decoder: any Decoder) throws {}
    }
}
