// GROUP BY: which rows have the same value in a column, and what their scores come to.

import GradDB

/// The group of every row of a snapshot: 4 bytes a row, and the distinct values.
struct GroupIndex: Sendable {
    /// By row number, positions in `values`.
    private let groups: [UInt32]
    /// What the rows of each group have in the column, in the order of the first rows.
    let values: [FieldValue?]

    /// - Throws: `.corrupt`, `.interrupted`.
    init(_ view: TableView, by column: Field, _ cancellation: Cancellation) throws {
        var groups: [UInt32] = []
        groups.reserveCapacity(Int(view.rowLimit))
        var numbers = GroupNumbers()
        try ColumnReader(view).forEachRun([column.name]) { columns, rows in
            try cancellation.check()
            guard let values = columns[column.name] else { return }
            // Of strings each entry of the dictionary is looked up once.
            var known: [UInt32: UInt32] = [:]
            for index in 0..<rows.count {
                guard values.isPresent[index], case .string(let entries, let codes) = values.values
                else {
                    groups.append(numbers.number(of: values[index]))
                    continue
                }
                let code = codes[index]
                guard code < entries.count else {
                    throw GradDBError.corrupt(
                        "a value of the field '\(column.name)' is not in its dictionary")
                }
                let number = known[code] ?? numbers.number(of: .string(entries[Int(code)]))
                known[code] = number
                groups.append(number)
            }
        }
        self.groups = groups
        values = numbers.values
    }

    func group(of row: UInt64) -> Int { Int(groups[Int(row)]) }
}

/// Numbers values as they come.
private struct GroupNumbers {
    private(set) var values: [FieldValue?] = []
    private var numbers: [Key: UInt32] = [:]

    /// What makes values equal: of strings their bytes (for Swift, two spellings of é are one), of
    /// floats their numbers (either zero is 0).
    private enum Key: Hashable {
        case null
        case bytes([UInt8])
        case int(Int64)
        case float(Double)
        case bool(Bool)

        init(_ value: FieldValue?) {
            switch value {
            case nil: self = .null
            case .string(let text): self = .bytes(Array(text.utf8))
            case .int(let number): self = .int(number)
            case .float(let number): self = .float(number)
            case .bool(let flag): self = .bool(flag)
            }
        }
    }

    mutating func number(of value: FieldValue?) -> UInt32 {
        let key = Key(value)
        if let known = numbers[key] { return known }
        let number = UInt32(values.count)
        numbers[key] = number
        values.append(value)
        return number
    }
}

/// The groups whose rows have scores: the same in all answers.
struct ScoredGroups: Sendable {
    let index: GroupIndex
    /// By group, how many of its rows have a score.
    let rowCounts: [Int]
    /// By group, the first row that has a score; what the group is known by.
    private let firstRows: [UInt64]

    init(_ index: GroupIndex, in table: ScoreTable) {
        self.index = index
        var counts = [Int](repeating: 0, count: index.values.count)
        var first = [UInt64](repeating: 0, count: index.values.count)
        table.forEach(answer: 0) { row, _ in
            let group = index.group(of: row)
            if counts[group] == 0 { first[group] = row }
            counts[group] += 1
        }
        rowCounts = counts
        firstRows = first
    }

    /// Groups that have rows.
    var count: Int { rowCounts.count { $0 > 0 } }

    /// The groups' scores in one answer, by their first rows. Rows are added up in the order of
    /// their numbers, whatever the threads that scored them.
    ///
    /// - Throws: `.usage` for sums that are not finite.
    func scores(
        _ table: ScoreTable, answer: Int, _ reduction: GroupReduction
    ) throws -> [ScoredRow] {
        let initial: Double =
            switch reduction {
            case .sum, .mean, .count: 0
            case .max: -.infinity
            case .min: .infinity
            }
        var values = [Double](repeating: initial, count: rowCounts.count)
        table.forEach(answer: answer) { row, score in
            let group = index.group(of: row)
            switch reduction {
            case .sum, .mean: values[group] += score
            case .max: values[group] = max(values[group], score)
            case .min: values[group] = min(values[group], score)
            case .count: values[group] += 1
            }
        }
        return try rowCounts.indices.filter { rowCounts[$0] > 0 }.map { group in
            let score =
                reduction == .mean ? values[group] / Double(rowCounts[group]) : values[group]
            guard score.isFinite else {
                throw GradDBError(
                    .usage,
                    "the scores of a group add up to \(score): the weights of the checkpoints "
                        + "are too large")
            }
            return ScoredRow(score: score, row: firstRows[group])
        }
    }
}
