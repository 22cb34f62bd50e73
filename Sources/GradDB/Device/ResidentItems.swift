// What of tables stays in a device's memory between scans: the items used last, but never at the
// cost of what the same scan has used already. Else a scan of more than fits would push out, row
// group by row group, just what the next one begins with.

/// Items in a device's memory. To be used by one thread at a time.
package final class ResidentItems {
    private struct Entry {
        let address: DeviceAddress
        let bytes: Int
        var lastScan: UInt64
    }

    private let heap: DeviceHeap
    /// Bytes that items may take.
    package let limit: Int
    private var entries: [DeviceItemKey: Entry] = [:]
    private var scan: UInt64 = 0
    /// Keys by the scan that used them last, the oldest first, as far as they are still right.
    private var order: [(key: DeviceItemKey, scan: UInt64)] = []
    private var nextVictim = 0
    private let pins: ItemPins
    /// Those that were passed over as they are kept: the next scan looks at them again.
    private var passed: [(key: DeviceItemKey, scan: UInt64)] = []

    package private(set) var bytes = 0
    package var count: Int { entries.count }

    /// - Parameter pins: what stays for as long as it is pinned.
    package init(_ heap: DeviceHeap, limit: Int, pins: ItemPins = ItemPins()) {
        self.heap = heap
        self.limit = limit
        self.pins = pins
    }

    /// What is used from here on belongs to a new scan.
    package func beginScan() {
        scan += 1
        // What was used again stands further behind, too.
        order = (passed + order[nextVictim...]).filter { entries[$0.key]?.lastScan == $0.scan }
        passed = []
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
    package func admit(_ key: DeviceItemKey, bytes: Int) -> DeviceAddress? {
        let bytes = DeviceHeap.rounded(bytes)
        guard bytes <= limit, entries[key] == nil else { return nil }
        while true {
            if self.bytes + bytes <= limit, let address = heap.allocate(bytes) {
                entries[key] = Entry(address: address, bytes: bytes, lastScan: scan)
                order.append((key, scan))
                self.bytes += bytes
                return address
            }
            guard let victim = nextVictimKey() else { return nil }
            remove(victim)
        }
    }

    package func remove(_ key: DeviceItemKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        heap.free(entry.address)
        bytes -= entry.bytes
    }

    /// Makes room: what is pinned stays.
    package func removeAll() {
        for key in Array(entries.keys) where !pins.contains(key) { remove(key) }
    }

    /// The item that was used longest ago, and not by this scan.
    private func nextVictimKey() -> DeviceItemKey? {
        while nextVictim < order.count, order[nextVictim].scan < scan {
            let (key, lastScan) = order[nextVictim]
            nextVictim += 1
            guard let entry = entries[key], entry.lastScan == lastScan else { continue }
            guard pins.contains(key) else { return key }
            passed.append((key, lastScan))
        }
        return nil
    }
}
