// What a device keeps for as long as somebody wants it: the blocks of whole tables. What is wanted is
// known by key, apart from what is there: a device that failed and begins anew gets back what is wanted
// as scans bring it there.

import Synchronization

/// Items that stay on one device, with how many want each. Thread-safe.
package final class ItemPins: Sendable {
    private struct State {
        var items: [DeviceItemKey: (count: Int, bytes: Int)] = [:]
        var bytes = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Of all items, each counted once.
    package var bytes: Int { state.withLock { $0.bytes } }

    package func contains(_ key: DeviceItemKey) -> Bool {
        state.withLock { $0.items[key] != nil }
    }

    /// Wants items, by their bytes.
    ///
    /// - Returns: false, and nothing is changed, where all that is wanted would then be more than
    ///   `limit`.
    package func add(_ items: [DeviceItemKey: Int], limit: Int) -> Bool {
        state.withLock { state in
            let more = items.reduce(0) { $0 + (state.items[$1.key] == nil ? $1.value : 0) }
            guard state.bytes + more <= limit else { return false }
            state.bytes += more
            for (key, bytes) in items { state.items[key, default: (0, bytes)].count += 1 }
            return true
        }
    }

    /// Wants items no more, as often as they were added.
    package func remove(_ keys: some Sequence<DeviceItemKey>) {
        state.withLock { state in
            for key in keys {
                guard let item = state.items[key] else { continue }
                guard item.count == 1 else {
                    state.items[key]?.count -= 1
                    continue
                }
                state.items[key] = nil
                state.bytes -= item.bytes
            }
        }
    }
}

/// Items that a device keeps until they are released, or this goes. Thread-safe.
package final class KeptItems: Sendable {
    /// Of the device, as people know it.
    package let device: String
    /// Of the device's memory.
    package let bytes: Int
    package let rowGroups: Int
    private let releasing: Mutex<(@Sendable () -> Void)?>

    package init(
        device: String, bytes: Int, rowGroups: Int, _ releasing: @escaping @Sendable () -> Void
    ) {
        self.device = device
        self.bytes = bytes
        self.rowGroups = rowGroups
        self.releasing = Mutex(releasing)
    }

    deinit { release() }

    /// From now on others may take their place. What is released twice is released once.
    package func release() {
        let body = releasing.withLock { releasing in
            defer { releasing = nil }
            return releasing
        }
        body?()
    }
}

extension Scan {
    /// The items that a device brings to its memory to score some units, by their bytes.
    func items(_ units: [Int]) -> [DeviceItemKey: Int] {
        var items: [DeviceItemKey: Int] = [:]
        for column in columns {
            let layout = DeviceItemLayout(column.codec)
            for unit in units.map({ self.units[$0] }) {
                items[DeviceItemKey(request.view, column.column.encoding, unit)] =
                    DeviceHeap.rounded(
                        layout.byteCount(rows: unit.segment.rows(ofGroup: unit.group)))
            }
        }
        return items
    }
}

extension TableView {
    /// Brings the vectors of a checkpoint to a device, verified, and keeps them there: those that
    /// scores are defined by.
    ///
    /// - Throws: `.failed` where they do not fit beside what the device keeps already; `DeviceError`
    ///   where it fails; `.corrupt`.
    package func keep(
        _ checkpoint: CheckpointDocument, layers: [Layer], on device: any ScanDevice, threads: Int,
        _ cancellation: Cancellation
    ) throws -> KeptItems {
        let kernels = try KernelSet.chosen()
        var columns: [ScanColumn] = []
        var zero: [EncodedQuery] = []
        for layer in layers {
            let encoding = try finestEncoding(of: layer)
            let codec = try table.codec(layer, encoding.codec, kernels)
            columns.append(
                ScanColumn(layer, allOf: encoding, codec))
            do {
                zero.append(try codec.encodeQuery([Float](repeating: 0, count: codec.dims)))
            } catch {
                throw GradDBError(.failed, error.reason)
            }
        }
        // What brings blocks to a device is a scan: this one's answer is of no interest.
        let scan = try Scan(
            ScanRequest(
                view: self, checkpoint: checkpoint, columns: columns, queries: [zero], filter: nil,
                threads: threads, cancellation: cancellation))
        let live = try liveRows
        let units = try scan.units.indices.filter { index in
            guard let live else { return true }
            let unit = scan.units[index]
            return try rowMap(unit.segment, group: unit.group).contains(where: live.contains)
        }
        return try device.keep(scan, units: units)
    }
}
