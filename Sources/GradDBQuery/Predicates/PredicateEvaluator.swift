// Runs a predicate over one batch of columns, a whole column at a time: each node of the predicate
// makes one vector of truths, and AND, OR and NOT combine them by minimum, maximum and complement.
//
// The columns were checked against the predicate before; see `BoundPredicate`.

import GradDB

struct PredicateEvaluator {
    let columns: [String: FieldColumn]
    let rowCount: Int
    var cancellation: Cancellation?

    /// Called for each node and step: a condition of a million of them takes its time.
    func checkCancellation() throws(GradDBError) {
        if let cancellation, cancellation.isCancelled { throw .interrupted }
    }

    func truth(of node: PredicateNode) throws(GradDBError) -> TruthVector {
        try checkCancellation()
        switch node {
        case .constant(let truth): return TruthVector(repeating: truth, count: rowCount)
        case .not(let inner):
            var result = try truth(of: inner)
            result.negate()
            return result
        case .and(let nodes):
            var result = TruthVector(repeating: .yes, count: rowCount)
            for node in nodes { result.formAnd(try truth(of: node)) }
            return result
        case .or(let nodes):
            var result = TruthVector(repeating: .no, count: rowCount)
            for node in nodes { result.formOr(try truth(of: node)) }
            return result
        case .comparison(let comparison, let left, let right):
            return try compare(try values(of: left), comparison, try values(of: right))
        case .membership(let value, let others):
            let value = try values(of: value)
            var result = TruthVector(repeating: .no, count: rowCount)
            for other in others {
                try checkCancellation()
                result.formOr(try compare(value, .equal, try values(of: other)))
            }
            return result
        case .isNull(let value): return TruthVector(absenceIn: try values(of: value).isPresent)
        default: return try test(node)
        }
    }

    /// A node that asks about one value of each row.
    private func test(_ node: PredicateNode) throws(GradDBError) -> TruthVector {
        switch node {
        case .bool(let value):
            if case (.bool(let values), let isPresent) = try parts(value) {
                return TruthVector(of: values, where: isPresent) { $0 }
            }
        case .intInterval(let value, let interval):
            if case (.int(let values), let isPresent) = try parts(value) {
                let (lower, upper) = (interval.lower, interval.upper)
                return TruthVector(of: values, where: isPresent) { lower <= $0 && $0 <= upper }
            }
        case .floatInterval(let value, let interval):
            if case (.float(let values), let isPresent) = try parts(value) {
                let (lower, upper) = (interval.lower, interval.upper)
                return TruthVector(of: values, where: isPresent) { lower <= $0 && $0 <= upper }
            }
        case .intMembership(let value, let sorted):
            if case (.int(let values), let isPresent) = try parts(value) {
                return TruthVector(of: values, where: isPresent) { sorted.containsSorted($0) }
            }
        case .floatMembership(let value, let sorted):
            if case (.float(let values), let isPresent) = try parts(value) {
                return TruthVector(of: values, where: isPresent) { sorted.containsSorted($0) }
            }
        case .string(let value, let test):
            if case (.string(let dictionary, let codes), let isPresent) = try parts(value) {
                let table = dictionary.map(test.holds)
                guard let truth = TruthVector(of: codes, where: isPresent, in: table) else {
                    throw missingEntry(in: value)
                }
                return truth
            }
        default: break
        }
        throw Self.otherType
    }

    // MARK: Two values

    private func compare(
        _ left: FieldColumn, _ comparison: ComparisonOperator, _ right: FieldColumn
    ) throws(GradDBError) -> TruthVector {
        let isPresent = (left.isPresent, right.isPresent)
        switch (left.values, right.values) {
        case (.int(let left), .int(let right)):
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: NumericOrder.compare($0, $1))
            }
        case (.int(let left), .float(let right)):
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: NumericOrder.compare($0, $1))
            }
        case (.float(let left), .int(let right)):
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: -NumericOrder.compare($1, $0))
            }
        case (.float(let left), .float(let right)):
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: NumericOrder.compare($0, $1))
            }
        case (.bool(let left), .bool(let right)):
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: $0 == $1 ? 0 : 1)
            }
        case (.string(let leftEntries, let leftCodes), .string(let rightEntries, let rightCodes)):
            let ranks = StringOrder.ranks(leftEntries, rightEntries)
            guard
                let left = gather(ranks.0, at: leftCodes, where: isPresent.0),
                let right = gather(ranks.1, at: rightCodes, where: isPresent.1)
            else { throw GradDBError.corrupt("a value of a string field is not in its dictionary") }
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: NumericOrder.compare($0, $1))
            }
        default:
            throw Self.otherType
        }
    }

    /// `table[code]` of each row that has a value; nil when a code is beyond the table.
    private func gather(_ table: [Int], at codes: [UInt32], where isPresent: [Bool]) -> [Int]? {
        var result = [Int](repeating: 0, count: codes.count)
        for row in 0..<codes.count where isPresent[row] {
            guard codes[row] < table.count else { return nil }
            result[row] = table[Int(codes[row])]
        }
        return result
    }

    // MARK: Columns

    func column(_ name: String) throws(GradDBError) -> FieldColumn {
        guard let column = columns[name] else {
            throw GradDBError(.failed, "the predicate's column '\(name)' was not supplied")
        }
        return column
    }

    private func parts(_ node: ValueNode) throws(GradDBError) -> (FieldColumn.Values, [Bool]) {
        let column = try values(of: node)
        return (column.values, column.isPresent)
    }

    private func missingEntry(in node: ValueNode) -> GradDBError {
        guard case .column(let name) = node else {
            return .corrupt("a value of a string field is not in its dictionary")
        }
        return .corrupt("a value of the field '\(name)' is not in its dictionary")
    }
}

extension Array where Element: Comparable {
    /// Whether an ascending array holds a value equal to `wanted`.
    @inline(__always)
    fileprivate func containsSorted(_ wanted: Element) -> Bool {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == wanted
    }
}
