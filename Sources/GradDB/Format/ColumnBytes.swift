// A field column as bytes (before compression):
//
//   version u8 = 1, type u8, zero u16, count u32, first row u64, presence bitmap, then
//   int: i64 x count · float: f64 x count · bool: bitmap ·
//   string: dictionary size u32, offsets u32 x (size + 1), UTF-8, codes u32 x count

extension FieldColumn {
    private static let version: UInt8 = 1

    package func encode() -> [UInt8] {
        var bytes: [UInt8] = [Self.version, type.code, 0, 0]
        bytes.append(littleEndian: UInt32(count))
        bytes.append(littleEndian: firstRow)
        bytes.append(bitmap: isPresent)
        switch values {
        case .int(let values): bytes.append(littleEndianArray: values)
        case .float(let values): bytes.append(littleEndianArray: values.map(\.bitPattern))
        case .bool(let values): bytes.append(bitmap: values)
        case .string(let dictionary, let codes):
            bytes.append(littleEndian: UInt32(dictionary.count))
            var offset: UInt32 = 0
            bytes.append(littleEndian: offset)
            for text in dictionary {
                offset += UInt32(text.utf8.count)
                bytes.append(littleEndian: offset)
            }
            for text in dictionary { bytes.append(contentsOf: text.utf8) }
            bytes.append(littleEndianArray: codes)
        }
        return bytes
    }

    package init(decoding bytes: [UInt8], what: String) throws {
        self = try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw, what: what)
            guard try reader.integer(UInt8.self) == Self.version else {
                throw GradDBError(.formatTooNew, "\(what) has an unknown version")
            }
            let type = FieldType(code: try reader.integer(UInt8.self))
            _ = try reader.integer(UInt16.self)
            let count = Int(try reader.integer(UInt32.self))
            let firstRow = try reader.integer(UInt64.self)
            let isPresent = try reader.bitmap(count: count)
            let values: Values
            switch type {
            case .int: values = .int(try reader.array(of: Int64.self, count: count))
            case .float:
                values = .float(
                    try reader.array(of: UInt64.self, count: count).map(Double.init(bitPattern:)))
            case .bool: values = .bool(try reader.bitmap(count: count))
            case .string: values = try reader.stringColumn(count: count, what: what)
            case nil: throw GradDBError.corrupt("\(what) has an unknown type")
            }
            try reader.expectEnd()
            return FieldColumn(firstRow: firstRow, values: values, isPresent: isPresent)
        }
    }

    package var type: FieldType {
        switch values {
        case .int: .int
        case .float: .float
        case .bool: .bool
        case .string: .string
        }
    }
}

extension ByteReader {
    fileprivate mutating func stringColumn(
        count: Int, what: String
    ) throws -> FieldColumn.Values {
        let size = Int(try integer(UInt32.self))
        let offsets = try array(of: UInt32.self, count: size + 1)
        var dictionary: [String] = []
        dictionary.reserveCapacity(size)
        for (start, end) in zip(offsets, offsets.dropFirst()) {
            guard start <= end else { throw GradDBError.corrupt("\(what) has a broken dictionary") }
            dictionary.append(try string(byteCount: Int(end - start)))
        }
        let codes = try array(of: UInt32.self, count: count)
        // NULLs too have a code (0), so that a lookup by code needs no test.
        guard codes.allSatisfy({ Int($0) < size }) else {
            throw GradDBError.corrupt("\(what) has a code outside its dictionary")
        }
        return .string(dictionary: dictionary, codes: codes)
    }
}
