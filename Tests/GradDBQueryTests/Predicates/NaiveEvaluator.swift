// What a condition is of one row, one node at a time, by the words of the specification.

import GradDB
import GradDBQuery

#if canImport(Glibc)
    import Glibc
#endif

/// One row, one node at a time; nil is unknown.
struct NaiveEvaluator {
    let row: [String: FieldValue]

    func truth(of condition: Expression) -> Bool? {
        switch condition.node {
        case .not(let operand): return truth(of: operand).map { !$0 }
        case .and(let operands): return all(operands.map { truth(of: $0) })
        case .or(let operands): return all(operands.map { truth(of: $0).map { !$0 } }).map { !$0 }
        case .comparison(let comparison, let left, let right):
            return compare(left, comparison, right)
        case .membership(let operand, let items, let isNegated):
            let unequal = items.map { compare(operand, .equal, $0).map { !$0 } }
            return all(unequal).map { !$0 != isNegated }
        case .between(let operand, let lower, let upper, let isNegated):
            return all([
                compare(operand, .greaterOrEqual, lower), compare(operand, .lessOrEqual, upper),
            ]).map { $0 != isNegated }
        case .like(let operand, let pattern, _, let isNegated):
            guard case .string(let text) = value(operand) else { return nil }
            return like(Array(pattern.value.unicodeScalars)[...], Array(text.unicodeScalars)[...])
                != isNegated
        case .isNull(let operand, let isNegated): return (value(operand) == nil) != isNegated
        case .column, .literal, .parameter, .sign, .arithmetic, .call:
            guard case .bool(let value) = value(condition) else { return nil }
            return value
        }
    }

    private func all(_ truths: [Bool?]) -> Bool? {
        if truths.contains(false) { return false }
        return truths.contains(nil) ? nil : true
    }

    private func value(_ operand: Expression) -> FieldValue? {
        switch operand.node {
        case .column(let name): row[name]
        case .literal(.int(let value)): .int(value)
        case .literal(.float(let value)): .float(value)
        case .literal(.bool(let value)): .bool(value)
        case .literal(.string(let value)): .string(value)
        case .sign(let isNegative, let inner):
            isNegative ? arithmetic(.int(0), .subtract, value(inner)) : value(inner)
        case .arithmetic(let first, let steps):
            steps.reduce(value(first)) { arithmetic($0, $1.operation, value($1.operand)) }
        case .call(let name, let arguments): call(name.value, arguments)
        default: nil
        }
    }

    private func arithmetic(
        _ left: FieldValue?, _ operation: ArithmeticOperator, _ right: FieldValue?
    ) -> FieldValue? {
        guard let left, let right else { return nil }
        if case .int(let a) = left, case .int(let b) = right, operation != .divide {
            if operation == .remainder, b == 0 { return nil }
            let (a, b) = (Int128(a), Int128(b))
            let exact =
                switch operation {
                case .add: a + b
                case .subtract: a - b
                case .multiply: a * b
                default: a % b
                }
            return Int64(exactly: exact).map { .int($0) }
        }
        let (a, b) = (double(left), double(right))
        let result =
            switch operation {
            case .add: a + b
            case .subtract: a - b
            case .multiply: a * b
            case .divide: b == 0 ? .nan : a / b
            case .remainder: b == 0 ? .nan : fmod(a, b)
            }
        return result.isFinite ? .float(result) : nil
    }

    private func double(_ value: FieldValue) -> Double {
        switch value {
        case .int(let value): Double(value)
        case .float(let value): value
        case .string, .bool: .nan
        }
    }

    private func call(_ name: String, _ arguments: [Expression]) -> FieldValue? {
        if name == "coalesce" { return coalesce(arguments) }
        let values = arguments.map { value($0) }
        guard !values.contains(nil), let first = values[0] else { return nil }
        switch (name, first) {
        case ("length", .string(let text)): return .int(Int64(Array(text.unicodeScalars).count))
        case ("lower", .string(let text)): return .string(text.lowercased())
        case ("upper", .string(let text)): return .string(text.uppercased())
        case ("trim", .string(let text)):
            let blanks: Set<Unicode.Scalar> = [" ", "\t", "\u{A0}"]
            let inner = text.unicodeScalars.drop { blanks.contains($0) }.reversed()
                .drop { blanks.contains($0) }.reversed()
            return .string(String(String.UnicodeScalarView(inner)))
        case ("substr", .string(let text)): return substr(text, values).map { .string($0) }
        case ("abs", .int(let value)):
            return Int64(exactly: Int128(value.magnitude)).map { .int($0) }
        case ("abs", .float(let value)): return .float(fabs(value))
        case (_, .int): return first
        case ("floor", .float(let value)): return .float(Glibc.floor(value))
        case ("ceil", .float(let value)): return .float(Glibc.ceil(value))
        case ("round", .float(let value)): return .float(Glibc.round(value))
        default: return nil
        }
    }

    private func substr(_ text: String, _ values: [FieldValue?]) -> String? {
        guard case .int(let first)? = values[1] else { return "?" }
        var end = Int128.max
        if values.count == 3, case .int(let count)? = values[2] {
            if count < 0 { return nil }
            end = Int128(first) + Int128(count)
        }
        var result = String.UnicodeScalarView()
        for (index, scalar) in text.unicodeScalars.enumerated() {
            let place = Int128(index + 1)
            if place >= Int128(first), place < end { result.append(scalar) }
        }
        return String(result)
    }

    /// Of integers and floats the first is a float.
    private func coalesce(_ arguments: [Expression]) -> FieldValue? {
        guard let found = arguments.lazy.compactMap({ value($0) }).first else { return nil }
        return arguments.contains { isFloat($0) } && isNumber(found) ? .float(double(found)) : found
    }

    private func isNumber(_ value: FieldValue) -> Bool {
        value.type == .int || value.type == .float
    }

    /// Whether the specification makes it a float, whatever the row.
    private func isFloat(_ operand: Expression) -> Bool {
        switch operand.node {
        case .column(let name): return name == "f" || name == "g"
        case .literal(.float): return true
        case .sign(_, let inner): return isFloat(inner)
        case .arithmetic(let first, let steps):
            return isFloat(first)
                || steps.contains { $0.operation == .divide || isFloat($0.operand) }
        case .call(let name, let arguments):
            return name.value != "length" && arguments.contains { isFloat($0) }
        default: return false
        }
    }

    /// A parameter as what it is compared with.
    private func value(_ operand: Expression, beside other: FieldValue?) -> FieldValue? {
        guard case .parameter(let name) = operand.node else { return value(operand) }
        guard let text = RandomCondition.parameters[name] else { return nil }
        return switch other {
        case .int, .float: Int64(text).map { .int($0) } ?? Double(text).map { .float($0) }
        case .bool: .bool(text.lowercased() == "true")
        case .string: .string(text)
        case nil: nil
        }
    }

    private func compare(
        _ left: Expression, _ comparison: ComparisonOperator, _ right: Expression
    ) -> Bool? {
        guard let left = value(left, beside: value(right)),
            let right = value(right, beside: left)
        else { return nil }
        let (isLess, isEqual) = (precedes(left, right), equals(left, right))
        return switch comparison {
        case .equal: isEqual
        case .notEqual: !isEqual
        case .less: isLess
        case .lessOrEqual: isLess || isEqual
        case .greater: !isLess && !isEqual
        case .greaterOrEqual: !isLess
        }
    }

    private func equals(_ left: FieldValue, _ right: FieldValue) -> Bool {
        switch (left, right) {
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.bool(let left), .bool(let right)): left == right
        default: order(left, right) == 0
        }
    }

    private func precedes(_ left: FieldValue, _ right: FieldValue) -> Bool {
        switch (left, right) {
        case (.string(let left), .string(let right)):
            left.utf8.lexicographicallyPrecedes(right.utf8)
        default: order(left, right) < 0
        }
    }

    private func order(_ left: FieldValue, _ right: FieldValue) -> Int {
        switch (left, right) {
        case (.int(let left), .int(let right)): left < right ? -1 : left > right ? 1 : 0
        case (.float(let left), .float(let right)): left < right ? -1 : left > right ? 1 : 0
        case (.int(let left), .float(let right)): order(left, right)
        case (.float(let left), .int(let right)): -order(right, left)
        default: 0
        }
    }

    /// Exact: floats beyond all integers are drawn nearer, others taken apart.
    private func order(_ left: Int64, _ right: Double) -> Int {
        let near = max(-0x1p100, min(0x1p100, right))
        let whole = Int128(Glibc.floor(near))
        if Int128(left) != whole { return Int128(left) < whole ? -1 : 1 }
        return near > Glibc.floor(near) ? -1 : 0
    }

    private func like(
        _ pattern: ArraySlice<Unicode.Scalar>, _ text: ArraySlice<Unicode.Scalar>
    ) -> Bool {
        guard var first = pattern.first else { return text.isEmpty }
        var rest = pattern.dropFirst()
        if first == "%" { return (0...text.count).contains { like(rest, text.dropFirst($0)) } }
        let isEscaped = first == "!"
        if isEscaped {
            first = rest.removeFirst()
        }
        guard let scalar = text.first, first == scalar || (first == "_" && !isEscaped) else {
            return false
        }
        return like(rest, text.dropFirst())
    }
}
