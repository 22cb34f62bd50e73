// What of tables stays in a device's memory between scans: the items used last, but never at the
// cost of what the same scan has used already. Else a scan of more than fits would push out, row
// group by row group, just what the next one begins with.

/// Items in a device's memory. To be used by one thread at a time.
package final class ResidentItems {
    private struct Entry {
        let address: DeviceAddress
        let bytes: Int
        var lastScan: UInt64
        var isPinned = false
    }

    private let heap: DeviceHeap
    /// Bytes that items may take.
    package let limit: Int
    private var entries: [DeviceItemKey: Entry] = [:]
    private var scan: UInt64 = 0
    /// Keys by the scan that used them last, the oldest first, as far as they are still right.
    private var order: [(key: DeviceItemKey, scan: UInt64)] = []
    private var nextVictim = 0

    package private(set) var bytes = 0
    package var count: Int { entries.count }

    package init(_ heap: DeviceHeap, limit: Int) {
        self.heap = heap
        self.limit = limit
    }

    /// What is used from here on belongs to a new scan.
    package func beginScan() {
        scan += 1
        // What was used again stands further behind, too.
        order = order[nextVictim...].filter { entries[$0.key]?.lastScan == $0.scan }
        nextVictim = 0
    }

    package func contains(_ key: DeviceItemKey) -> Bool { entries[key] != nil }

    /// Where an item lies; it is then used by this scan.
    package func use(_ key: DeviceItemKey) -> DeviceAddress? {
        guard let entry = entries[key] else { return nil }
        if entry.lastScan != scan {
            entries[key]?.lastScan = scan
            order.append((key, scan))
        }
        return entry.address
    }

    /// Room for an item that stays; nil where only items of this scan, and pinned ones, could go.
    package func admit(_ key: DeviceItemKey, bytes: Int, pinned: Bool) -> DeviceAddress? {
        let bytes = DeviceHeap.rounded(bytes)
        guard bytes <= limit, entries[key] == nil else { return nil }
        while true {
            if self.bytes + bytes <= limit, let address = heap.allocate(bytes) {
                entries[key] = Entry(
                    address: address, bytes: bytes, lastScan: scan, isPinned: pinned)
                order.append((key, scan))
                self.bytes += bytes
                return address
            }
            guard let victim = nextVictimKey() else { return nil }
            remove(victim)
        }
    }

    /// Items stay, or may go again.
    package func setPinned(_ isPinned: Bool, _ key: DeviceItemKey) {
        guard let entry = entries[key], entry.isPinned != isPinned else { return }
        entries[key]?.isPinned = isPinned
        // While it was pinned it may have been passed over.
        if !isPinned { order.insert((key, entry.lastScan), at: nextVictim) }
    }

    package func remove(_ key: DeviceItemKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        heap.free(entry.address)
        bytes -= entry.bytes
    }

    package func removeAll() {
        for key in Array(entries.keys) { remove(key) }
        order = []
        nextVictim = 0
    }

    /// The item that was used longest ago, and not by this scan.
    private func nextVictimKey() -> DeviceItemKey? {
        while nextVictim < order.count, order[nextVictim].scan < scan {
            let (key, lastScan) = order[nextVictim]
            nextVictim += 1
            if let entry = entries[key], entry.lastScan == lastScan, !entry.isPinned { return key }
        }
        return nil
    }
}
