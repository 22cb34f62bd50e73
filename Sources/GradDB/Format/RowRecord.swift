// One row's id and fields in the `rows` column family: what a result line is filled from.
//
//   id tag u8 (1 integer, 2 string), then i64 or u32 length and UTF-8;
//   then for each field that is not NULL, in schema order: field number u32, type u8, value
//   (int i64 · float f64 · bool u8 · string u32 length and UTF-8).

package struct RowRecord: Equatable, Sendable {
    package var id: RowID
    /// By position in the table's schema; nil is NULL.
    package var values: [FieldValue?]

    package init(id: RowID, values: [FieldValue?]) {
        self.id = id
        self.values = values
    }

    package func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        switch id {
        case .int(let value):
            bytes.append(1)
            bytes.append(littleEndian: value)
        case .string(let text):
            bytes.append(2)
            bytes.append(string: text)
        }
        for (index, value) in values.enumerated() {
            guard let value else { continue }
            bytes.append(littleEndian: UInt32(index))
            bytes.append(value.type.code)
            switch value {
            case .int(let v): bytes.append(littleEndian: v)
            case .float(let v): bytes.append(littleEndian: v.bitPattern)
            case .bool(let v): bytes.append(v ? 1 : 0)
            case .string(let v): bytes.append(string: v)
            }
        }
        return bytes
    }

    package init(decoding raw: UnsafeRawBufferPointer, fieldCount: Int, what: String) throws {
        var reader = ByteReader(raw, what: what)
        switch try reader.integer(UInt8.self) {
        case 1: id = .int(try reader.integer(Int64.self))
        case 2: id = .string(try reader.prefixedString())
        default: throw GradDBError.corrupt("\(what) has an unknown kind of id")
        }
        values = Array(repeating: nil, count: fieldCount)
        var next = 0
        while reader.remaining > 0 {
            let index = Int(try reader.integer(UInt32.self))
            guard index < fieldCount, index >= next else {
                throw GradDBError.corrupt("\(what) names field \(index) of \(fieldCount)")
            }
            next = index + 1
            values[index] =
                switch FieldType(code: try reader.integer(UInt8.self)) {
                case .int: .int(try reader.integer(Int64.self))
                case .float: .float(Double(bitPattern: try reader.integer(UInt64.self)))
                case .bool: .bool(try reader.bool(what: what))
                case .string: .string(try reader.prefixedString())
                case nil: throw GradDBError.corrupt("\(what) has a field of unknown type")
                }
        }
    }
}

extension [UInt8] {
    package mutating func append(string: String) {
        append(littleEndian: UInt32(string.utf8.count))
        append(contentsOf: string.utf8)
    }
}

extension ByteReader {
    /// 0 or 1.
    fileprivate mutating func bool(what: String) throws -> Bool {
        let byte = try integer(UInt8.self)
        guard byte <= 1 else { throw GradDBError.corrupt("\(what) has \(byte) for a bool") }
        return byte == 1
    }

    package mutating func prefixedString() throws -> String {
        try string(byteCount: Int(try integer(UInt32.self)))
    }
}

extension FieldType {
    /// The type's number in stored bytes.
    package var code: UInt8 {
        switch self {
        case .int: 1
        case .float: 2
        case .bool: 3
        case .string: 4
        }
    }

    package init?(code: UInt8) {
        guard let type = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = type
    }
}
