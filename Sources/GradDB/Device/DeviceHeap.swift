// Pieces of a device's memory. Asking a driver for memory takes a millisecond and stops what is under
// way, so it is asked for much at a time, and no more than is needed: others may use the device too.

/// Memory of one device, up to a limit, given out in pieces. To be used by one thread at a time.
package final class DeviceHeap {
    /// Where pieces begin.
    package static let alignment = 256

    private struct Extent {
        let address: DeviceAddress
        let bytes: Int
    }

    private let backend: any DeviceBackend
    package let limit: Int
    private let extentBytes: Int
    private var extents: [Extent] = []
    /// What is free, by address: no two touch, unless they belong to different extents.
    private var holes: [(address: DeviceAddress, bytes: Int)] = []
    private var pieces: [DeviceAddress: Int] = [:]

    /// - Parameters:
    ///   - limit: bytes that it may take of the device.
    ///   - extentBytes: what it asks the device for at a time.
    package init(_ backend: any DeviceBackend, limit: Int, extentBytes: Int = 256 << 20) {
        self.backend = backend
        self.limit = limit
        self.extentBytes = extentBytes
    }

    deinit { for extent in extents { backend.free(extent.address) } }

    /// Bytes of all pieces that are in use.
    package private(set) var usedBytes = 0

    /// A piece of memory; nil where there is no room.
    package func allocate(_ bytes: Int) -> DeviceAddress? {
        let bytes = Self.rounded(bytes)
        if let address = take(bytes) { return address }
        guard grow(by: bytes) else { return nil }
        return take(bytes)
    }

    package func free(_ address: DeviceAddress) {
        guard var bytes = pieces.removeValue(forKey: address) else {
            preconditionFailure("no piece begins at \(address.value)")
        }
        usedBytes -= bytes
        var start = address
        var index = holes.partitioningIndex { $0.address > address }
        let extent = extents.first { $0.address <= address && address < $0.address + $0.bytes }
        if index < holes.count, holes[index].address == start + bytes,
            extent.map({ holes[index].address < $0.address + $0.bytes }) ?? false
        {
            bytes += holes.remove(at: index).bytes
        }
        if index > 0, holes[index - 1].address + holes[index - 1].bytes == start,
            extent.map({ $0.address <= holes[index - 1].address }) ?? false
        {
            index -= 1
            start = holes[index].address
            bytes += holes.remove(at: index).bytes
        }
        holes.insert((start, bytes), at: index)
    }

    package static func rounded(_ bytes: Int) -> Int {
        max(1, bytes).roundedUp(to: alignment)
    }

    /// From the smallest hole that is large enough.
    private func take(_ bytes: Int) -> DeviceAddress? {
        var best: Int?
        for (index, hole) in holes.enumerated() where hole.bytes >= bytes {
            if best.map({ hole.bytes < holes[$0].bytes }) ?? true { best = index }
        }
        guard let best else { return nil }
        let hole = holes[best]
        if hole.bytes == bytes {
            holes.remove(at: best)
        } else {
            holes[best] = (hole.address + bytes, hole.bytes - bytes)
        }
        pieces[hole.address] = bytes
        usedBytes += bytes
        return hole.address
    }

    /// Asks the device for more.
    private func grow(by bytes: Int) -> Bool {
        let left = limit - extents.reduce(0) { $0 + $1.bytes }
        guard bytes <= left else { return false }
        for wanted in Set([min(left, max(bytes, extentBytes)), bytes]).sorted(by: >) {
            // The device may have less than the limit.
            guard let address = try? backend.allocate(wanted) else { continue }
            extents.append(Extent(address: address, bytes: wanted))
            let index = holes.partitioningIndex { $0.address > address }
            holes.insert((address, wanted), at: index)
            return true
        }
        return false
    }
}

extension Array {
    /// The first index whose element is, as all behind it are; the array is sorted so.
    fileprivate func partitioningIndex(where isBehind: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
