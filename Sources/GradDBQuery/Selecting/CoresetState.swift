// What a farthest-first traversal has chosen, and how far every row is from that.

import GradDB

struct CoresetState {
    /// Ordinals, in the order of their choice, with their distances then.
    private(set) var chosen: [Int] = []
    private(set) var scores: [Double] = []
    private(set) var isChosen: [Bool]
    /// By ordinal: to the nearest chosen row.
    private(set) var distances: [Double]

    init(rowCount: Int) {
        isChosen = Array(repeating: false, count: rowCount)
        distances = Array(repeating: .infinity, count: rowCount)
    }

    /// Rounding, and codecs of few levels, make cosines of more than 1.
    static func distance(_ cosine: Double) -> Double { max(0, 1 - cosine) }

    mutating func choose(_ ordinal: Int, score: Double) {
        chosen.append(ordinal)
        scores.append(score)
        isChosen[ordinal] = true
    }

    mutating func lower(_ ordinal: Int, to distance: Double) {
        distances[ordinal] = min(distances[ordinal], distance)
    }

    mutating func withDistances(
        _ body: (UnsafeMutableBufferPointer<Double>) throws -> Void
    ) rethrows {
        try distances.withUnsafeMutableBufferPointer { try body($0) }
    }

    // MARK: in a file

    /// The number of rows chosen, these with their scores, then all distances.
    var numbers: [UInt64] {
        [UInt64(chosen.count)] + chosen.map { UInt64($0) } + scores.map(\.bitPattern)
            + distances.map(\.bitPattern)
    }

    init(_ numbers: [UInt64], _ directory: RowDirectory) throws {
        let rowCount = directory.rows.count
        self.init(rowCount: rowCount)
        let count = numbers.first.flatMap { Int(exactly: $0) } ?? -1
        guard count >= 0, count <= rowCount, numbers.count == 1 + 2 * count + rowCount else {
            throw GradDBError(.badInput, "the progress of the selection does not fit the table")
        }
        for position in 0..<count {
            let ordinal = numbers[1 + position]
            guard ordinal < rowCount else {
                throw GradDBError(.badInput, "the progress of the selection does not fit the table")
            }
            choose(Int(ordinal), score: Double(bitPattern: numbers[1 + count + position]))
        }
        distances = numbers[(1 + 2 * count)...].map { Double(bitPattern: $0) }
    }
}
