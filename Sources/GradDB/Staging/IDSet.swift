// Which ids a rank has seen. A rank may have tens of millions, so of each only 128 bits are kept.

/// A set of row ids, each by two XXH3-64s of its key. Two different ids among ten million are taken
/// for the same with a probability of 10⁻²⁵.
struct IDSet {
    private struct Mark: Hashable {
        var first: UInt64
        var second: UInt64
    }

    private var marks: Set<Mark> = []
    private let kernels: KernelSet

    init(_ kernels: KernelSet) { self.kernels = kernels }

    /// Inserts the id with this key (`Keys.id`); false when it was there.
    @discardableResult
    mutating func insert(_ key: [UInt8]) -> Bool { marks.insert(mark(key)).inserted }

    func contains(_ key: [UInt8]) -> Bool { marks.contains(mark(key)) }

    mutating func formUnion(_ other: IDSet) { marks.formUnion(other.marks) }

    mutating func removeAll() { marks.removeAll(keepingCapacity: true) }

    private func mark(_ key: [UInt8]) -> Mark {
        Mark(
            first: key.withUnsafeBytes { kernels.hash($0) },
            second: (key + [0xFF]).withUnsafeBytes { kernels.hash($0) })
    }
}
