// Columns for predicate tests, and the condition that they are asked.

import GradDB
import GradDBQuery

/// A batch of rows written as optional values, column by column.
struct PredicateBatch {
    var columns: [String: FieldColumn] = [:]
    var schema: [Field] = []
    var rowCount = 0

    mutating func add(_ name: String, _ type: FieldType, _ values: [FieldValue?]) {
        rowCount = values.count
        schema.append(Field(name: name, type: type))
        columns[name] = FieldColumn(
            firstRow: 1000, values: Self.encode(type, values), isPresent: values.map { $0 != nil })
    }

    /// The rows of which the condition is true.
    func rows(where condition: String, parameters: [String: String] = [:]) throws -> [Int] {
        let source = SourceText(condition)
        let predicate = try BoundPredicate(
            Expression.parse(source), in: source, schema: schema, parameters: parameters)
        let mask = try predicate.mask(over: columns, rowCount: rowCount)
        return mask.indices.filter { mask[$0] }
    }

    private static func encode(_ type: FieldType, _ values: [FieldValue?]) -> FieldColumn.Values {
        switch type {
        case .int: .int(values.map { if case .int(let value) = $0 { value } else { -99 } })
        case .float: .float(values.map { if case .float(let value) = $0 { value } else { .nan } })
        case .bool: .bool(values.map { if case .bool(let value) = $0 { value } else { true } })
        case .string:
            encodeStrings(
                values.map { if case .string(let value) = $0 { value } else { nil } })
        }
    }

    private static func encodeStrings(_ values: [String?]) -> FieldColumn.Values {
        var dictionary: [String] = []
        var codes: [UInt32] = []
        for value in values {
            guard let value else {
                codes.append(.max)  // a placeholder need not be in the dictionary
                continue
            }
            let known = dictionary.firstIndex { $0.utf8.elementsEqual(value.utf8) }
            if known == nil { dictionary.append(value) }
            codes.append(UInt32(known ?? dictionary.count - 1))
        }
        return .string(dictionary: dictionary, codes: codes)
    }
}
