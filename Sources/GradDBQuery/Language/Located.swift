// A leaf of the syntax tree with the place where it was written.

/// A value and the stretch of text it was read from.
///
/// Equality compares values only: two syntax trees are the same when they say the same, wherever
/// that was written.
package struct Located<Value: Equatable & Sendable>: Equatable, Sendable {
    package let value: Value
    package let range: SourceRange

    package init(_ value: Value, _ range: SourceRange) {
        self.value = value
        self.range = range
    }

    package static func == (left: Self, right: Self) -> Bool { left.value == right.value }
}
