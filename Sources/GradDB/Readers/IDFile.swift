// Ids of rows, one on each line: as they are, as JSON strings or numbers, or in JSON objects such as a
// query prints.

package enum IDFile {
    /// Reads all ids of a file, or of a pipe.
    ///
    /// - Parameter type: what the table's ids are, `string` or `int`.
    /// - Throws: `.badInput` naming file and line.
    package static func ids(path: String, type: FieldType) throws -> [RowID] {
        let lines = try LineReader(path)
        var ids: [RowID] = []
        while true {
            let read = try lines.withNextLine { line throws(GradDBError) -> RowID? in
                try id(line, type: type, place: "\(lines.name), line \(lines.lineNumber)")
            }
            guard let read else { return ids }
            if let id = read { ids.append(id) }
        }
    }

    /// Nil for an empty line.
    private static func id(
        _ line: Span<UInt8>, type: FieldType, place: String
    ) throws(GradDBError) -> RowID? {
        guard JSONText.isPlainUTF8(line) else {
            throw .badInput("\(place) is not valid UTF-8; write the file as UTF-8")
        }
        let whole = line.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        let text =
            whole.utf8.last == 13 ? String(decoding: whole.utf8.dropLast(), as: UTF8.self) : whole
        if text.isEmpty { return nil }
        let id: RowID
        if let written = try json(text, place: place) {
            id = written
        } else if type == .int {
            guard let number = Int64(text) else {
                throw .badInput(
                    "\(place): \(Excerpt.quoted(text)) is no integer, as the ids of this table are")
            }
            id = .int(number)
        } else {
            id = .string(text)
        }
        guard id.fieldValue.type == type else {
            throw .badInput(
                "\(place): id \(id) is of type \(id.fieldValue.type.rawValue), but the ids of the "
                    + "table are of type \(type.rawValue)")
        }
        return id
    }

    /// Nil for what is not written as JSON.
    private static func json(
        _ text: String, place: String
    ) throws(GradDBError) -> RowID? {
        guard let first = text.utf8.first, first == 0x7B || first == 0x22 else { return nil }
        let bytes = Array(text.utf8)
        let id =
            first == 0x7B
            ? JSONText().decode(Line.self, bytes.span)?.id.id
            : JSONText().decode(Value.self, bytes.span)?.id
        guard let id else {
            throw .badInput(
                "\(place): \(Excerpt.quoted(text)) is neither an id nor a JSON object with an id; "
                    + "write one id on each line")
        }
        return id
    }

    private struct Line: Decodable {
        var id: Value
    }

    private struct Value: Decodable {
        var id: RowID

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                id = .int(number)
            } else {
                id = .string(try container.decode(String.self))
            }
        }
    }
}
