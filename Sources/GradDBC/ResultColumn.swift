// graddb_column as it goes out: memory that belongs to a result.

import CGradDB
import GradDB

/// Values of one column as they come, in C's form.
final class ColumnBuilder {
    let name: String
    private let type: FieldType
    /// Numbers and bools, one after the other; of strings their bytes.
    private var bytes: [UInt8] = []
    /// Of strings, where each begins, and where the last one ends.
    private var offsets: [Int64] = [0]
    private var validity: [UInt8] = []
    private var hasNull = false

    init(_ name: String, _ type: FieldType) {
        self.name = name
        self.type = type
    }

    /// Adds the value of one more row; nil is NULL, and so is one of another type.
    func append(_ value: FieldValue?) {
        let isValid = value?.type == type
        validity.append(isValid ? 1 : 0)
        if !isValid { hasNull = true }
        switch (type, value) {
        case (.int, .int(let number)?): append(number)
        case (.float, .float(let number)?): append(number)
        case (.bool, .bool(let flag)?): bytes.append(flag ? 1 : 0)
        case (.string, .string(let text)?): bytes.append(contentsOf: text.utf8)
        case (.int, _), (.float, _): append(Int64(0))
        case (.bool, _): bytes.append(0)
        case (.string, _): break
        }
        if type == .string { offsets.append(Int64(bytes.count)) }
    }

    private func append<Number>(_ number: Number) {
        withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
    }

    func finished() -> ResultColumn {
        ResultColumn(
            name, type, rows: validity.count, bytes: bytes,
            offsets: type == .string ? offsets : nil, validity: hasNull ? validity : nil)
    }
}

/// Values of one column in C's form. Never changed after it is made.
final class ResultColumn: @unchecked Sendable {  // constant after init
    private let name: CText
    private let type: FieldType
    private let rows: Int
    private let values: UnsafeMutableRawPointer
    private let offsets: UnsafeMutablePointer<Int64>?
    private let validity: UnsafeMutablePointer<UInt8>?

    /// - Parameters:
    ///   - bytes: as `graddb_column` has them.
    ///   - validity: nil where no value is NULL.
    fileprivate init(
        _ name: String, _ type: FieldType, rows: Int, bytes: [UInt8], offsets: [Int64]?,
        validity: [UInt8]?
    ) {
        self.name = CText(name)
        self.type = type
        self.rows = rows
        values = .allocate(byteCount: max(8, bytes.count), alignment: 64)
        self.offsets = offsets.map(Self.copy)
        self.validity = validity.map(Self.copy)
        bytes.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress {
                values.copyMemory(from: start, byteCount: bytes.count)
            }
        }
    }

    private static func copy<Element: BitwiseCopyable>(
        _ elements: [Element]
    ) -> UnsafeMutablePointer<Element> {
        let copy = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        copy.initialize(from: elements, count: elements.count)
        return copy
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
