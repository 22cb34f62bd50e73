// graddb_column as it goes out: memory that belongs to a result.

import CGradDB
import GradDB

/// Values of one column in C's form. Never changed after `fill`.
final class ResultColumn: @unchecked Sendable {  // written to in its making only
    private let name: CText
    private let type: FieldType
    private let rows: Int
    private let values: UnsafeMutableRawPointer
    private let offsets: UnsafeMutablePointer<Int64>?
    private let validity: UnsafeMutablePointer<UInt8>?

    /// - Parameter value: of each row; nil is NULL, and so is one of another type.
    init(_ name: String, _ type: FieldType, rows: Int, _ value: (Int) -> FieldValue?) {
        self.name = CText(name)
        self.type = type
        self.rows = rows
        let validity = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, rows))
        for row in 0..<rows { validity[row] = value(row)?.type == type ? 1 : 0 }
        let hasNull = (0..<rows).contains { validity[$0] == 0 }
        self.validity = hasNull ? validity : nil
        if !hasNull { validity.deallocate() }

        guard type == .string else {
            let stride = type == .bool ? 1 : 8
            offsets = nil
            values = .allocate(byteCount: max(8, rows * stride), alignment: 64)
            for row in 0..<rows {
                switch (type, value(row)) {
                case (.int, .int(let number)?):
                    values.storeBytes(of: number, toByteOffset: row * 8, as: Int64.self)
                case (.float, .float(let number)?):
                    values.storeBytes(of: number, toByteOffset: row * 8, as: Double.self)
                case (.bool, .bool(let flag)?):
                    values.storeBytes(of: flag ? 1 : 0, toByteOffset: row, as: UInt8.self)
                default:
                    values.advanced(by: row * stride).initializeMemory(
                        as: UInt8.self, repeating: 0, count: stride)
                }
            }
            return
        }
        let offsets = UnsafeMutablePointer<Int64>.allocate(capacity: rows + 1)
        var bytes: [UInt8] = []
        for row in 0..<rows {
            offsets[row] = Int64(bytes.count)
            if case .string(let text)? = value(row) { bytes.append(contentsOf: text.utf8) }
        }
        offsets[rows] = Int64(bytes.count)
        self.offsets = offsets
        values = .allocate(byteCount: max(8, bytes.count), alignment: 64)
        bytes.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress {
                values.copyMemory(from: start, byteCount: bytes.count)
            }
        }
    }

    deinit {
        values.deallocate()
        offsets?.deallocate()
        validity?.deallocate()
    }

    /// The column for C; its pointers live as long as this object.
    var cColumn: graddb_column {
        let number: Int32 =
            switch type {
            case .string: Int32(GRADDB_STRING)
            case .int: Int32(GRADDB_INT)
            case .float: Int32(GRADDB_FLOAT)
            case .bool: Int32(GRADDB_BOOL)
            }
        return graddb_column(
            name: name.pointer, values: values, offsets: offsets, validity: validity,
            rows: Int64(rows), type: number)
    }
}
