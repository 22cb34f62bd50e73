// Scores by answer and row: what several checkpoints, or several parts of the queries, add up in,
// and what groups, matrices and whole rankings are made from.

import GradDB

/// Which rows a table of scores has room for.
enum TableRows: Sendable {
    /// All below a number.
    case all(Int)
    /// Few, ascending.
    case some([UInt64])

    var count: Int {
        switch self {
        case .all(let count): count
        case .some(let rows): rows.count
        }
    }

    /// Where a row's scores are; nil where there is no room for it.
    func position(of row: UInt64) -> Int? {
        switch self {
        case .all(let count): return row < count ? Int(row) : nil
        case .some(let rows):
            var low = 0
            var high = rows.count
            while low < high {
                let middle = (low + high) / 2
                if rows[middle] < row { low = middle + 1 } else { high = middle }
            }
            return low < rows.count && rows[low] == row ? low : nil
        }
    }

    func row(at position: Int) -> UInt64 {
        switch self {
        case .all: UInt64(position)
        case .some(let rows): rows[position]
        }
    }
}

/// Memory: 8 bytes per row and answer, and one per row.
final class ScoreTable: @unchecked Sendable {
    // Within one scan every row belongs to one row group and every row group to one thread, so no
    // two threads touch the same element; scans follow one another.
    let answers: Int
    let rows: TableRows
    private let count: Int
    private let values: UnsafeMutableBufferPointer<Double>
    private let isPresent: UnsafeMutableBufferPointer<Bool>

    /// - Parameter initial: what rows have before anything is added.
    init(answers: Int, rows: TableRows, initial: Double = 0) {
        self.answers = answers
        self.rows = rows
        count = rows.count
        values = .allocate(capacity: answers * count)
        values.initialize(repeating: initial)
        isPresent = .allocate(capacity: count)
        isPresent.initialize(repeating: false)
    }

    deinit {
        values.deallocate()
        isPresent.deallocate()
    }

    // MARK: filling it

    /// Where the rows of a row group that count have their scores; the others are -1.
    func positions(of rows: [UInt64], _ mask: [Bool]?) -> [Int] {
        rows.indices.map { index in
            mask?[index] ?? true ? self.rows.position(of: rows[index]) ?? -1 : -1
        }
    }

    /// Adds to an answer the scores of the rows at these positions, times `weight`; without one,
    /// they are the answer's scores.
    func add(
        _ scores: UnsafeBufferPointer<Double>, at positions: [Int], weight: Double?, answer: Int
    ) {
        for (index, position) in positions.enumerated() where position >= 0 {
            let place = answer * count + position
            values[place] = weight.map { values[place] + $0 * scores[index] } ?? scores[index]
            isPresent[position] = true
        }
    }

    /// Calls `body` with what the rows at these positions have in the one answer, and keeps what it
    /// makes of it.
    func update(at positions: [Int], _ body: (inout [Double]) -> Void) {
        var taken = positions.map { $0 < 0 ? 0 : values[$0] }
        body(&taken)
        for (index, position) in positions.enumerated() where position >= 0 {
            values[position] = taken[index]
            isPresent[position] = true
        }
    }

    /// Adds the one answer of another table, times `weight`; without one, it takes its place.
    func add(_ other: ScoreTable, weight: Double?) {
        for position in 0..<count where other.isPresent[position] {
            let score = other.values[position]
            values[position] = weight.map { values[position] + $0 * score } ?? score
            isPresent[position] = true
        }
    }

    /// Keeps the larger of what there is and what any answer of another table has.
    func takeLargest(of other: ScoreTable) {
        for position in 0..<count where other.isPresent[position] {
            for answer in 0..<other.answers {
                values[position] = max(values[position], other.values[answer * count + position])
            }
            isPresent[position] = true
        }
    }

    /// Makes means of sums.
    func divide(by divisor: Double) {
        for index in values.indices { values[index] /= divisor }
    }

    // MARK: reading it

    /// Rows that have a score: the same in all answers.
    var presentCount: Int { isPresent.count { $0 } }

    /// Calls `body` with the rows that have a score, in the order of their numbers.
    func forEach(
        answer: Int, _ body: (_ row: UInt64, _ score: Double) throws -> Void
    ) rethrows {
        for position in 0..<count where isPresent[position] {
            try body(rows.row(at: position), values[answer * count + position])
        }
    }

    /// The score of a row that has one.
    func score(of row: UInt64, answer: Int) -> Double? {
        guard let position = rows.position(of: row), isPresent[position] else { return nil }
        return values[answer * count + position]
    }

    // MARK: keeping it

    /// All of it as numbers: scores, then a bit for each row that has one.
    var numbers: [UInt64] {
        var present = [UInt64](repeating: 0, count: (count + 63) / 64)
        for position in 0..<count where isPresent[position] {
            present[position / 64] |= 1 << UInt64(position % 64)
        }
        return values.map(\.bitPattern) + present
    }

    /// Takes the numbers of a table of the same answers and rows.
    ///
    /// - Returns: whether they are as many as this table has.
    func restore(_ numbers: ArraySlice<UInt64>) -> Bool {
        guard numbers.count == values.count + (count + 63) / 64 else { return false }
        let first = numbers.startIndex
        for index in values.indices { values[index] = Double(bitPattern: numbers[first + index]) }
        for position in 0..<count {
            let word = numbers[first + values.count + position / 64]
            isPresent[position] = word >> UInt64(position % 64) & 1 == 1
        }
        return true
    }
}
