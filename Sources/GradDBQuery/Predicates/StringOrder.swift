// The order of strings: by their UTF-8 bytes, which is the order of their Unicode scalars. It is
// the same on every machine and in every locale. Swift's own `==` and `<` on strings are not used:
// they take different scalars that look alike for equal.

package enum StringOrder {
    /// Negative, zero or positive as `left` is less than, equal to or greater than `right`.
    package static func compare(_ left: String, _ right: String) -> Int {
        withBytes(of: left) { left in
            withBytes(of: right) { right in
                for index in 0..<min(left.count, right.count) where left[index] != right[index] {
                    return left[index] < right[index] ? -1 : 1
                }
                return left.count - right.count
            }
        }
    }

    /// Calls `body` with the UTF-8 bytes of a string, which are valid only during the call.
    @inline(__always)
    static func withBytes<Answer>(
        of string: String, _ body: (UnsafeBufferPointer<UInt8>) -> Answer
    ) -> Answer {
        // Swift's own strings are contiguous; only one bridged from elsewhere is copied.
        if let answer = string.utf8.withContiguousStorageIfAvailable(body) { return answer }
        return Array(string.utf8).withUnsafeBufferPointer(body)
    }

    /// For each string of two dictionaries its place in the order of all of them together; equal
    /// strings have the same place.
    static func ranks(_ left: [String], _ right: [String]) -> ([Int], [Int]) {
        let all = left + right
        var ranks = [Int](repeating: 0, count: all.count)
        var rank = 0
        var last: String?
        for index in all.indices.sorted(by: { compare(all[$0], all[$1]) < 0 }) {
            if let last, compare(last, all[index]) != 0 { rank += 1 }
            last = all[index]
            ranks[index] = rank
        }
        return (Array(ranks[..<left.count]), Array(ranks[left.count...]))
    }
}
