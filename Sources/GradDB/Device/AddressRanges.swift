// Which memory has been allocated: so that a device can refuse a copy that goes astray.

/// Ranges of addresses that do not overlap.
struct AddressRanges {
    /// In ascending order.
    private var starts: [UInt] = []
    private var sizes: [Int] = []

    var isEmpty: Bool { starts.isEmpty }

    /// How many ranges start at or before an address.
    private func rank(_ address: UInt) -> Int {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func insert(_ start: UInt, bytes: Int) {
        let place = rank(start)
        starts.insert(start, at: place)
        sizes.insert(bytes, at: place)
    }

    /// The bytes of the range that starts there, which is taken out; nil where there is none.
    mutating func remove(_ start: UInt) -> Int? {
        let place = rank(start) - 1
        guard place >= 0, starts[place] == start else { return nil }
        starts.remove(at: place)
        return sizes.remove(at: place)
    }

    /// Whether all of these bytes lie in one of the ranges.
    func contains(_ address: UInt, bytes: Int) -> Bool {
        let place = rank(address) - 1
        guard place >= 0, bytes >= 0 else { return false }
        let offset = address - starts[place]
        return offset <= UInt(sizes[place]) && UInt(bytes) <= UInt(sizes[place]) - offset
    }

    /// All of them, which are taken out.
    mutating func removeAll() -> [UInt] {
        defer { self = AddressRanges() }
        return starts
    }
}
