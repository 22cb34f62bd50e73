// Runs a predicate over one batch of columns, a whole column at a time: each node of the predicate
// makes one vector of truths, and AND, OR and NOT combine them by minimum, maximum and complement.
//
// The columns were checked against the predicate before; see `BoundPredicate`.

import GradDB

struct PredicateEvaluator {
    let columns: [String: FieldColumn]
    let rowCount: Int

    func truth(of node: PredicateNode) throws(GradDBError) -> TruthVector {
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
            return try compare(left, comparison, right)
        case .isNull(let name): return TruthVector(absenceIn: try column(name).isPresent)
        default: return try test(node)
        }
    }

    /// A node that asks about the values of one column.
    private func test(_ node: PredicateNode) throws(GradDBError) -> TruthVector {
        switch node {
        case .bool(let name):
            if case (.bool(let values), let isPresent) = try parts(name) {
                return TruthVector(of: values, where: isPresent) { $0 }
            }
        case .intInterval(let name, let interval):
            if case (.int(let values), let isPresent) = try parts(name) {
                let (lower, upper) = (interval.lower, interval.upper)
                return TruthVector(of: values, where: isPresent) { lower <= $0 && $0 <= upper }
            }
        case .floatInterval(let name, let interval):
            if case (.float(let values), let isPresent) = try parts(name) {
                let (lower, upper) = (interval.lower, interval.upper)
                return TruthVector(of: values, where: isPresent) { lower <= $0 && $0 <= upper }
            }
        case .intMembership(let name, let sorted):
            if case (.int(let values), let isPresent) = try parts(name) {
                return TruthVector(of: values, where: isPresent) { sorted.containsSorted($0) }
            }
        case .floatMembership(let name, let sorted):
            if case (.float(let values), let isPresent) = try parts(name) {
                return TruthVector(of: values, where: isPresent) { sorted.containsSorted($0) }
            }
        case .string(let name, let test):
            if case (.string(let dictionary, let codes), let isPresent) = try parts(name) {
                let table = dictionary.map(test.holds)
                guard let truth = TruthVector(of: codes, where: isPresent, in: table) else {
                    throw missingEntry(name)
                }
                return truth
            }
        default: break
        }
        throw GradDBError(.failed, "a column has another type than its predicate was bound to")
    }

    // MARK: Two columns

    private func compare(
        _ left: String, _ comparison: ComparisonOperator, _ right: String
    ) throws(GradDBError) -> TruthVector {
        let (leftColumn, rightColumn) = (try column(left), try column(right))
        let isPresent = (leftColumn.isPresent, rightColumn.isPresent)
        switch (leftColumn.values, rightColumn.values) {
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
            else { throw missingEntry("\(left)' or '\(right)") }
            return TruthVector(of: left, right, where: isPresent.0, isPresent.1) {
                comparison.holds(for: NumericOrder.compare($0, $1))
            }
        default:
            throw GradDBError(.failed, "columns '\(left)' and '\(right)' do not compare")
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

    private func column(_ name: String) throws(GradDBError) -> FieldColumn {
        guard let column = columns[name] else {
            throw GradDBError(.failed, "the predicate's column '\(name)' was not supplied")
        }
        return column
    }

    private func parts(_ name: String) throws(GradDBError) -> (FieldColumn.Values, [Bool]) {
        let column = try column(name)
        return (column.values, column.isPresent)
    }

    private func missingEntry(_ name: String) -> GradDBError {
        .corrupt("a value of the field '\(name)' is not in its dictionary")
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
