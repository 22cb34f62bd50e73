// Running sums of scores by answer and row, for sums across checkpoints.

import GradDB

/// Memory: 8 bytes per row and answer, and one per row.
final class ScoreSums: @unchecked Sendable {
    // Within one scan every row belongs to one row group and every row group to one thread, so no
    // two threads touch the same element; scans follow one another.
    private let answers: Int
    private let rows: Int
    private let sums: UnsafeMutableBufferPointer<Double>
    private let isPresent: UnsafeMutableBufferPointer<Bool>

    init(answers: Int, rows: Int) {
        self.answers = answers
        self.rows = rows
        sums = .allocate(capacity: answers * rows)
        sums.initialize(repeating: 0)
        isPresent = .allocate(capacity: rows)
        isPresent.initialize(repeating: false)
    }

    deinit {
        sums.deallocate()
        isPresent.deallocate()
    }

    /// Adds the weighted scores of the rows of a group that count.
    func add(
        _ scores: UnsafeBufferPointer<Double>, of group: GroupScores, weight: Double, answer: Int
    ) {
        for index in scores.indices where group.mask?[index] ?? true {
            let row = Int(group.rows[index])
            sums[answer * rows + row] += weight * scores[index]
            isPresent[row] = true
        }
    }

    func visit(
        _ body: (_ answer: Int, _ row: UInt64, _ score: Double) throws -> Void
    ) rethrows {
        for answer in 0..<answers {
            for row in 0..<rows where isPresent[row] {
                try body(answer, UInt64(row), sums[answer * rows + row])
            }
        }
    }
}
