// Collects the values of one field for consecutive new rows into column blocks.

package struct ColumnBuilder {
    /// Rows in a full column block: large enough to compress well, small enough to decode fast.
    package static let rowsPerBlock = 16384
    /// A block of long texts is cut earlier, so that neither writer nor reader needs much memory.
    package static let textBytesPerBlock = 16 << 20

    package let type: FieldType
    private var firstRow: UInt64
    private var ints: [Int64] = []
    private var floats: [Double] = []
    private var bools: [Bool] = []
    private var codes: [UInt32] = []
    private var dictionary: [String] = []
    /// By bytes: strings that merely look the same are different values.
    private var codeOfString: [[UInt8]: UInt32] = [:]
    private var isPresent: [Bool] = []
    /// Of the dictionary.
    private var textBytes = 0

    package init(type: FieldType, firstRow: UInt64) {
        self.type = type
        self.firstRow = firstRow
    }

    package var isFull: Bool {
        isPresent.count >= Self.rowsPerBlock || textBytes >= Self.textBytesPerBlock
    }

    /// Appends the next row's value, which is of the builder's type or nil.
    package mutating func append(_ value: FieldValue?) {
        isPresent.append(value != nil)
        switch type {
        case .int: if case .int(let v) = value { ints.append(v) } else { ints.append(0) }
        case .float: if case .float(let v) = value { floats.append(v) } else { floats.append(0) }
        case .bool: if case .bool(let v) = value { bools.append(v) } else { bools.append(false) }
        case .string: if case .string(let v) = value { append(code: v) } else { append(code: "") }
        }
    }

    private mutating func append(code string: String) {
        let bytes = Array(string.utf8)
        if let code = codeOfString[bytes] {
            codes.append(code)
        } else {
            let code = UInt32(dictionary.count)
            codeOfString[bytes] = code
            dictionary.append(string)
            textBytes += bytes.count
            codes.append(code)
        }
    }

    /// The column so far, and an empty builder for the rows after it; nil when there is nothing.
    package mutating func take() -> FieldColumn? {
        guard !isPresent.isEmpty else { return nil }
        let values: FieldColumn.Values =
            switch type {
            case .int: .int(ints)
            case .float: .float(floats)
            case .bool: .bool(bools)
            case .string: .string(dictionary: dictionary, codes: codes)
            }
        let column = FieldColumn(firstRow: firstRow, values: values, isPresent: isPresent)
        self = ColumnBuilder(type: type, firstRow: firstRow + UInt64(column.count))
        return column
    }
}
