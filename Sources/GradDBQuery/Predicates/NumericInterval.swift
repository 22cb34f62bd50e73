// A comparison of a numeric column with a constant, as the closed interval of the column's own type
// for which it is true. The constant may be of the other type: the interval is worked out once and
// exactly, so that the loop over the rows compares like with like.

/// The values from `lower` to `upper`, both included; empty when `lower` is above `upper`.
package struct NumericInterval<Value: Comparable & Sendable>: Equatable, Sendable {
    package let lower: Value
    package let upper: Value

    package init(_ lower: Value, _ upper: Value) {
        self.lower = lower
        self.upper = upper
    }

    package func intersection(_ other: Self) -> Self {
        Self(Swift.max(lower, other.lower), Swift.min(upper, other.upper))
    }
}

extension NumericInterval<Int64> {
    package static let empty = Self(.max, .min)

    /// The integers of which `x <comparison> constant` is true; not for `!=`, which has a hole.
    package init(_ comparison: ComparisonOperator, _ constant: Int64) {
        switch comparison {
        case .less: self = constant == .min ? .empty : Self(.min, constant - 1)
        case .lessOrEqual: self = Self(.min, constant)
        case .greater: self = constant == .max ? .empty : Self(constant + 1, .max)
        case .greaterOrEqual: self = Self(constant, .max)
        case .equal, .notEqual: self = Self(constant, constant)
        }
    }

    package init(_ comparison: ComparisonOperator, _ constant: Double) {
        if let whole = Int64(exactly: constant) {
            self.init(comparison, whole)
            return
        }
        // Between two integers, or beyond all of them.
        switch comparison {
        case .less, .lessOrEqual:
            self = constant < -0x1p63 ? .empty : Self(.min, Self.clamp(constant.rounded(.down)))
        case .greater, .greaterOrEqual:
            self = constant >= 0x1p63 ? .empty : Self(Self.clamp(constant.rounded(.up)), .max)
        case .equal, .notEqual: self = .empty
        }
    }

    private static func clamp(_ whole: Double) -> Int64 {
        whole >= 0x1p63 ? .max : whole < -0x1p63 ? .min : Int64(whole)
    }
}

extension NumericInterval<Double> {
    package static let empty = Self(.infinity, -.infinity)

    /// The floats of which `x <comparison> constant` is true; not for `!=`, which has a hole.
    ///
    /// - Precondition: the constant is finite, as every literal is.
    package init(_ comparison: ComparisonOperator, _ constant: Double) {
        switch comparison {
        case .less: self = Self(-.infinity, constant.nextDown)
        case .lessOrEqual: self = Self(-.infinity, constant)
        case .greater: self = Self(constant.nextUp, .infinity)
        case .greaterOrEqual: self = Self(constant, .infinity)
        case .equal, .notEqual: self = Self(constant, constant)
        }
    }

    package init(_ comparison: ComparisonOperator, _ constant: Int64) {
        let nearest = Double(constant)
        let order = NumericOrder.compare(constant, nearest)
        if order == 0 {
            self.init(comparison, nearest)
            return
        }
        // Between two neighbouring floats.
        let below = order < 0 ? nearest.nextDown : nearest
        switch comparison {
        case .less, .lessOrEqual: self = Self(-.infinity, below)
        case .greater, .greaterOrEqual: self = Self(below.nextUp, .infinity)
        case .equal, .notEqual: self = .empty
        }
    }
}
