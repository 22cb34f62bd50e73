// Runs the values of a condition over one batch of columns, a whole column at a time: each node
// makes one column. A stored column is taken as it is, without a copy.

import GradDB

extension PredicateEvaluator {
    /// The values of every row; what they are where none is present means nothing.
    func values(of node: ValueNode) throws(GradDBError) -> FieldColumn {
        switch node {
        case .constant(let literal): return constant(literal)
        case .column(let name): return try column(name)
        case .negative(let operand):
            var numbers = try numbers(of: operand)
            numbers.negate()
            return column(numbers)
        case .float(let operand): return try number(of: operand) { $0.convertToFloats() }
        case .arithmetic(let first, let steps):
            var numbers = try numbers(of: first)
            for step in steps {
                try checkCancellation()
                numbers.form(step.operation, try self.numbers(of: step.operand))
            }
            return column(numbers)
        case .call(let function, let arguments): return try call(function, arguments)
        }
    }

    private func call(
        _ function: ValueFunction, _ arguments: [ValueNode]
    ) throws(GradDBError) -> FieldColumn {
        switch function {
        case .length:
            return try ints(of: arguments[0]) { StringFunctions.length($0) }
        case .lower: return try strings(of: arguments[0]) { StringFunctions.lower($0) }
        case .upper: return try strings(of: arguments[0]) { StringFunctions.upper($0) }
        case .trim: return try strings(of: arguments[0]) { StringFunctions.trim($0) }
        case .substr: return try substr(arguments)
        case .abs: return try number(of: arguments[0]) { $0.formMagnitude() }
        case .floor: return try number(of: arguments[0]) { $0.round(.down) }
        case .ceil: return try number(of: arguments[0]) { $0.round(.up) }
        case .round: return try number(of: arguments[0]) { $0.round(.toNearestOrAwayFromZero) }
        case .coalesce: return try coalesce(arguments)
        }
    }

    // MARK: Constants and columns

    private func constant(_ literal: Literal) -> FieldColumn {
        let values: FieldColumn.Values =
            switch literal {
            case .int(let value): .int(Array(repeating: value, count: rowCount))
            case .float(let value): .float(Array(repeating: value, count: rowCount))
            case .bool(let value): .bool(Array(repeating: value, count: rowCount))
            case .string(let value):
                .string(dictionary: [value], codes: Array(repeating: 0, count: rowCount))
            case .null: .int(Array(repeating: 0, count: rowCount))
            }
        return FieldColumn(
            firstRow: 0, values: values,
            isPresent: Array(repeating: literal != .null, count: rowCount))
    }

    private func column(_ numbers: NumberColumn) -> FieldColumn {
        let values: FieldColumn.Values =
            switch numbers.values {
            case .int(let values): .int(values)
            case .float(let values): .float(values)
            }
        return FieldColumn(firstRow: 0, values: values, isPresent: numbers.isPresent)
    }

    // MARK: Numbers

    private func numbers(of node: ValueNode) throws(GradDBError) -> NumberColumn {
        let column = try values(of: node)
        return switch column.values {
        case .int(let values): NumberColumn(values: .int(values), isPresent: column.isPresent)
        case .float(let values): NumberColumn(values: .float(values), isPresent: column.isPresent)
        case .bool, .string: throw Self.otherType
        }
    }

    private func number(
        of node: ValueNode, _ change: (inout NumberColumn) -> Void
    ) throws(GradDBError) -> FieldColumn {
        var numbers = try numbers(of: node)
        change(&numbers)
        return column(numbers)
    }

    // MARK: Strings

    private func strings(
        of node: ValueNode, _ function: (String) -> String
    ) throws(GradDBError) -> FieldColumn {
        var column = try values(of: node)
        guard case .string(let dictionary, let codes) = column.values else { throw Self.otherType }
        column.values = .string(dictionary: dictionary.map(function), codes: codes)
        return column
    }

    private func ints(
        of node: ValueNode, _ function: (String) -> Int64
    ) throws(GradDBError) -> FieldColumn {
        var column = try values(of: node)
        guard case .string(let dictionary, let codes) = column.values else { throw Self.otherType }
        let table = dictionary.map(function)
        var ints = [Int64](repeating: 0, count: codes.count)
        for row in codes.indices where column.isPresent[row] {
            ints[row] = table[try Self.entry(codes[row], of: dictionary)]
        }
        column.values = .int(ints)
        return column
    }

    /// The part of each string from one place on, so many scalars of it. With the same part of all
    /// rows, as it mostly is, it is taken once for each entry.
    private func substr(_ arguments: [ValueNode]) throws(GradDBError) -> FieldColumn {
        var column = try values(of: arguments[0])
        guard case .string(let dictionary, let codes) = column.values else { throw Self.otherType }
        let firsts = try whole(arguments[1])
        let counts = arguments.count == 2 ? nil : try whole(arguments[2])
        let isSame = arguments.dropFirst().allSatisfy { $0.constant != nil }
        if isSame, rowCount > 0, firsts.isPresent[0], counts?.isPresent[0] ?? true {
            let parts = dictionary.map {
                StringFunctions.substr($0, firsts.ints[0], counts.map { $0.ints[0] })
            }
            // Only a negative count gives nil, and then for all of them.
            if parts.contains(nil) { column.isPresent = column.isPresent.map { _ in false } }
            column.values = .string(dictionary: parts.map { $0 ?? "" }, codes: codes)
            return column
        }
        var parts: [String] = []
        var partCodes = [UInt32](repeating: 0, count: codes.count)
        for row in codes.indices where column.isPresent[row] {
            let text = dictionary[try Self.entry(codes[row], of: dictionary)]
            guard firsts.isPresent[row], counts?.isPresent[row] ?? true,
                let part = StringFunctions.substr(text, firsts.ints[row], counts?.ints[row])
            else {
                column.isPresent[row] = false
                continue
            }
            partCodes[row] = UInt32(parts.count)
            parts.append(part)
        }
        column.values = .string(dictionary: parts, codes: partCodes)
        return column
    }

    /// Numbers as integers, beyond 64 bits the nearest; what is no integer is NULL.
    private func whole(_ node: ValueNode) throws(GradDBError) -> (ints: [Int64], isPresent: [Bool])
    {
        let numbers = try numbers(of: node)
        switch numbers.values {
        case .int(let ints): return (ints, numbers.isPresent)
        case .float(let floats):
            let isWhole = floats.map { $0.rounded() == $0 }
            return (
                floats.map { Int64(exactly: $0.rounded()) ?? ($0 > 0 ? .max : .min) },
                zip(numbers.isPresent, isWhole).map { $0 && $1 }
            )
        }
    }

    // MARK: coalesce

    /// The first value that is present, row by row.
    private func coalesce(_ arguments: [ValueNode]) throws(GradDBError) -> FieldColumn {
        var result = try values(of: arguments[0])
        for argument in arguments.dropFirst() {
            try checkCancellation()
            // A later argument can only add to what is missing.
            if !result.isPresent.contains(false) { break }
            result = try Self.filled(result, from: try values(of: argument))
        }
        return result
    }

    private static func filled(
        _ column: FieldColumn, from other: FieldColumn
    ) throws(GradDBError) -> FieldColumn {
        var result = column
        let missing = column.isPresent.indices.filter {
            !column.isPresent[$0] && other.isPresent[$0]
        }
        if missing.isEmpty { return column }
        for row in missing { result.isPresent[row] = true }
        switch (column.values, other.values) {
        case (.int(var values), .int(let others)):
            for row in missing { values[row] = others[row] }
            result.values = .int(values)
        case (.float(var values), .float(let others)):
            for row in missing { values[row] = others[row] }
            result.values = .float(values)
        case (.bool(var values), .bool(let others)):
            for row in missing { values[row] = others[row] }
            result.values = .bool(values)
        case (.string(let dictionary, var codes), .string(let others, let otherCodes)):
            for row in codes.indices where column.isPresent[row] {
                _ = try entry(codes[row], of: dictionary)
            }
            for row in missing {
                codes[row] = UInt32(dictionary.count + (try entry(otherCodes[row], of: others)))
            }
            result.values = .string(dictionary: dictionary + others, codes: codes)
        default: throw otherType
        }
        return result
    }

    // MARK: Errors

    private static func entry(
        _ code: UInt32, of dictionary: [String]
    ) throws(GradDBError) -> Int {
        guard Int(code) < dictionary.count else {
            throw GradDBError.corrupt("a value of a string field is not in its dictionary")
        }
        return Int(code)
    }

    static var otherType: GradDBError {
        GradDBError(.failed, "a column has another type than its condition was bound to")
    }
}
