// How many rows a selection takes.

import GradDB

public enum SelectionSize: Sendable, Equatable {
    case count(Int)
    /// Of the rows that there are, rounded up; above 0, at most 100.
    case percent(Double)

    /// Of so many rows.
    package func rows(of count: Int) -> Int {
        switch self {
        case .count(let wanted): min(wanted, count)
        case .percent(let percent):
            BoundLimits.rows(.percent(percent), of: count)
        }
    }

    /// What stands behind TOP.
    package var limit: String {
        switch self {
        case .count(let count): "\(count)"
        case .percent(let percent): "\(percent)%"
        }
    }

    /// Reads a share: `5%` or `0.05`.
    ///
    /// - Throws: `.usage` for what is no number, not above 0, or above all.
    public init(fraction text: String) throws {
        let isPercent = text.hasSuffix("%")
        let number = Double(isPercent ? String(text.dropLast()) : text)
        guard let number, number > 0, number <= (isPercent ? 100 : 1) else {
            throw GradDBError(
                .usage,
                "a fraction is above 0%, and at most 100%, such as 5% or 0.05; '\(text)' is not")
        }
        // The decimal number times 100; the nearest double to 0.07 times 100 is not 7.
        self = .percent(isPercent ? number : Double(text + "e2") ?? number * 100)
    }
}
