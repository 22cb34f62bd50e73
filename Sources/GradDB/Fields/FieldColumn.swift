// A run of consecutive rows' values of one field, column-wise: what filters evaluate over.

/// Values of one field for `count` consecutive rows, starting at row number `firstRow`.
///
/// Strings are dictionary-encoded: a predicate is evaluated once per distinct string, then looked
/// up by code. Where `isPresent[i]` is false the value at `i` is a placeholder and means NULL.
package struct FieldColumn: Equatable, Sendable {
    package enum Values: Equatable, Sendable {
        case int([Int64])
        case float([Double])
        case bool([Bool])
        case string(dictionary: [String], codes: [UInt32])
    }

    package var firstRow: UInt64
    package var values: Values
    package var isPresent: [Bool]

    package var count: Int { isPresent.count }

    package init(firstRow: UInt64, values: Values, isPresent: [Bool]) {
        self.firstRow = firstRow
        self.values = values
        self.isPresent = isPresent
    }

    /// The value of the row `firstRow + index`; nil is NULL.
    package subscript(index: Int) -> FieldValue? {
        guard isPresent[index] else { return nil }
        return switch values {
        case .int(let v): .int(v[index])
        case .float(let v): .float(v[index])
        case .bool(let v): .bool(v[index])
        case .string(let dictionary, let codes): .string(dictionary[Int(codes[index])])
        }
    }
}
