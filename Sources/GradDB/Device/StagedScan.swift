// A scan on a device. Row groups are taken some at a time, a shipment, whose scores fit into one
// output. What of a shipment's blocks the device has already is scored where it lies; the rest goes
// through the ring: threads verify and copy blocks into a pinned buffer, the copy queue brings it
// to the device, and the compute queue scores it once it is there. While one shipment's scores are
// read, the next one is computed.
//
// A row's layers are added in the table's order: all that a shipment needs, buffers and launches over
// what is resident, is done in one order, that of its layers.

import CGradKernels

final class StagedScan {
    /// A row group of a shipment.
    struct Place {
        let unit: Int
        /// Where its rows are in the output.
        let first: Int
        let rows: [UInt64]
        let mask: [Bool]?
    }

    struct Shipment {
        let units: ArraySlice<Int>
        let places: [Place]
        /// Of the output that are used.
        let rows: Int
        let output: DeviceOutput
        /// By layer all its items, where they lie on the device already and scores are bounded before
        /// the best are computed; else empty.
        var bounded: [[gd_item]] = []
    }

    /// Items of one layer that are scored together.
    struct Run {
        let column: Int
        var items: [gd_item] = []
    }

    /// Blocks of one item, on their way.
    struct Load {
        /// Within the slot.
        let offset: Int
        let bytes: Int
        /// Where it stays; nil: where the slot lands.
        let stays: DeviceAddress?
    }

    struct Filling {
        let slot: DeviceWorkspace.Slot
        let number: Int
        var used = 0
        var loads: [Load] = []
        var runs: [Run] = []
        var work: [@Sendable () throws -> Void] = []
    }

    /// What is done in order.
    enum Step {
        case score(Run, Shipment)
        case land(Filling, StagingReaders.Batch, Shipment)
        case complete(Shipment)
    }

    let workspace: DeviceWorkspace
    let scan: Scan
    let consumer: ScanConsumer
    let threads: Int
    private let kernels: KernelSet
    var columns: [DeviceColumn]
    private let readers: StagingReaders
    var selector: DeviceSelector?
    /// Whether scores of what the device has are bounded first.
    var hasBounds = false
    private var outputs: [DeviceOutput] = []
    var steps: [Step] = []
    private var filling: Filling?
    private var nextSlot = 0
    /// Items that were given a place to stay, by this scan.
    private var admitted: [DeviceItemKey] = []
    /// Set by readers as they verify.
    private let verified = Monitor(0)
    var counters = ScanCounters()
    var timed = Timed()

    typealias Span = (from: any DeviceEvent, to: any DeviceEvent)

    /// When the queues did what.
    struct Timed {
        var copies: [Span] = []
        var launches: [Span] = []
        /// Of those, what only selects, and what only scores.
        var selections: [Span] = []
        var scores: [Span] = []
    }

    init(
        _ workspace: DeviceWorkspace, _ scan: Scan, threads: Int, _ consumer: ScanConsumer
    ) throws {
        self.workspace = workspace
        self.scan = scan
        self.consumer = consumer
        self.threads = threads
        kernels = try KernelSet.chosen()
        columns = scan.columns.map { DeviceColumn($0, on: workspace.backend) }
        readers = StagingReaders(threads: threads)
    }

    var queries: Int { scan.request.queries.count }

    // MARK: run

    func run(units: [Int], done: (ArraySlice<Int>) -> Void) throws {
        defer { close() }
        do {
            try scan(units, done)
        } catch {
            // Nobody knows which of them have arrived.
            for key in admitted { workspace.resident.remove(key) }
            throw error
        }
    }

    private func scan(_ units: [Int], _ done: (ArraySlice<Int>) -> Void) throws {
        counters.device = DeviceCounters(name: workspace.backend.name)
        guard !units.isEmpty else { return }
        let began = ContinuousClock.now
        try prepare(units)
        let (units, resident) = hasBounds ? residentFirst(units) : (units, 0)
        counters.device?.prepareSeconds = (ContinuousClock.now - began).seconds
        var pending: Shipment?
        for range in shipments(units[..<resident]) + shipments(units[resident...]) {
            try scan.request.cancellation.check()
            let shipment = try issue(
                units[range], to: outputs[pending?.output === outputs[0] ? 1 : 0])
            if let pending {
                try collect(pending)
                done(pending.units)
            }
            pending = shipment
        }
        if let pending {
            try collect(pending)
            done(pending.units)
        }
        try workspace.finish()
        counters.verifiedBlocks += verified.withLock { $0 }
        counters.device?.copySeconds = try Self.seconds(timed.copies)
        counters.device?.computeSeconds = try Self.seconds(timed.launches)
        counters.device?.selectSeconds = try Self.seconds(timed.selections)
        counters.device?.scoreSeconds = try Self.seconds(timed.scores)
    }

    private static func seconds(_ spans: [Span]) throws -> Double {
        try spans.reduce(0) { try $0 + $1.to.seconds(since: $1.from) }
    }

    /// Bytes that the outputs may take, both.
    private var outputBytes: Int { min(128 << 20, workspace.heap.limit / 8) }

    private func prepare(_ units: [Int]) throws {
        let largest = units.lazy.map { self.rowCount($0) }.max() ?? 0
        let items = columns.map { $0.layout.byteCount(rows: largest) }
        try workspace.prepareRing(holding: items.max() ?? 0)
        workspace.resident.beginScan()
        for index in columns.indices {
            if try columns[index].upload(workspace) { continue }
            workspace.resident.removeAll()
            guard try columns[index].upload(workspace) else {
                throw DeviceError(
                    .outOfMemory,
                    "\(workspace.backend.name) has no memory for the queries; give more by "
                        + "--gpu-memory, or ask fewer of them at a time")
            }
        }
        let rows = units.reduce(0) { $0 + rowCount($1) }
        hasBounds = try prepareHalves(rows: rows)
        let perRow =
            DeviceOutput.bytesPerRow(queries: queries) + (hasBounds ? 8 * queries : 0)
        let needed = Self.aligned(largest)
        let capacity = Self.aligned(
            max(
                needed,
                min(
                    1 << 20, outputBytes / 2 / perRow,
                    units.reduce(0) { $0 + Self.aligned(rowCount($1)) })))
        let selection = consumer.selection
        if let selection { selector = try DeviceSelector(workspace, selection, queries: queries) }
        for _ in 0..<2 {
            outputs.append(
                try DeviceOutput(
                    workspace, queries: queries, capacity: capacity, selection: selection))
        }
        hasBounds = hasBounds && outputs.allSatisfy { $0.reserveHighs() }
        try selector?.begin(outputs.map(\.found))
    }

    private func close() {
        readers.stop()
        try? workspace.finish()
        for output in outputs { output.free() }
        selector?.free()
        for column in columns { for address in column.addresses { workspace.heap.free(address) } }
        for slot in workspace.slots { slot.isFree = nil }
    }

    private func rowCount(_ unit: Int) -> Int {
        scan.units[unit].segment.rows(ofGroup: scan.units[unit].group)
    }

    private static func aligned(_ rows: Int) -> Int {
        rows.roundedUp(to: Int(GD_FIRST_ALIGNMENT))
    }

    /// Units whose rows fit into an output, in order.
    private func shipments(_ units: ArraySlice<Int>) -> [Range<Int>] {
        var shipments: [Range<Int>] = []
        var first = units.startIndex
        var rows = 0
        for index in units.indices {
            let more = Self.aligned(rowCount(units[index]))
            if rows + more > outputs[0].capacity {
                shipments.append(first..<index)
                (first, rows) = (index, 0)
            }
            rows += more
        }
        if first < units.endIndex { shipments.append(first..<units.endIndex) }
        return shipments
    }

    // MARK: issue

    /// Puts all that a shipment needs into the order of steps, and does as much of it as the ring
    /// demands.
    private func issue(_ units: ArraySlice<Int>, to output: DeviceOutput) throws -> Shipment {
        let places = try self.places(units)
        let rows = places.last.map { $0.first + Self.aligned($0.rows.count) } ?? 0
        var shipment = Shipment(units: units, places: places, rows: rows, output: output)
        if hasBounds { shipment.bounded = itemsToBound(places) }
        try uploadCounting(shipment)
        for column in columns.indices { try issue(column, shipment) }
        closeFilling(shipment)
        steps.append(.complete(shipment))
        return shipment
    }

    private func places(_ units: ArraySlice<Int>) throws -> [Place] {
        let request = scan.request
        let scan = scan
        let first = units.startIndex
        let maps = try Parallel.map(units.count, threads: units.count < 16 ? 1 : threads) { index in
            let unit = scan.units[units[first + index]]
            let rows = try request.view.rowMap(unit.segment, group: unit.group)
            return (rows, request.filter.map { filter in rows.map(filter.contains) })
        }
        var places: [Place] = []
        var end = 0
        for (unit, (rows, mask)) in zip(units, maps) {
            let counted = mask.map { $0.count { $0 } } ?? rows.count
            counters.consideredRows += counted
            guard counted > 0 else {
                counters.skippedRowGroups += 1
                continue
            }
            counters.rows += counted
            counters.rowGroups += 1
            places.append(Place(unit: unit, first: end, rows: rows, mask: mask))
            end += Self.aligned(rows.count)
        }
        return places
    }

    /// A bit for each row of the output; what lies between row groups has none.
    private func uploadCounting(_ shipment: Shipment) throws {
        guard shipment.rows > 0 else { return }
        try workspace.upload(to: shipment.output.counting, bytes: shipment.rows / 8) { target in
            target.initializeMemory(as: UInt8.self, repeating: 0)
            for place in shipment.places {
                for row in place.rows.indices where place.mask?[row] ?? true {
                    target[(place.first + row) / 8] |= 1 << UInt8(row % 8)
                }
            }
        }
    }

    private func issue(_ column: Int, _ shipment: Shipment) throws {
        let layout = columns[column].layout
        var resident = Run(column: column)
        var missing: [Place] = []
        for place in shipment.places {
            counters.blocks += layout.slabs
            let counted = place.mask.map { $0.count { $0 } } ?? place.rows.count
            counters.bytes += UInt64(counted * layout.geometry.rowBytes)
            counters.multiplications += UInt64(
                counted * columns[column].scorer.codec.dims * queries)
            if let address = workspace.resident.use(key(column, place)) {
                resident.items.append(item(at: address, place, layout))
                counters.device?.residentBytes += UInt64(layout.byteCount(rows: place.rows.count))
            } else {
                missing.append(place)
            }
        }
        if !resident.items.isEmpty {
            closeFilling(shipment)
            steps.append(.score(resident, shipment))
        }
        for place in missing { try load(column, place, shipment) }
    }

    func key(_ column: Int, _ place: Place) -> DeviceItemKey { key(column, unit: place.unit) }

    func key(_ column: Int, unit: Int) -> DeviceItemKey {
        DeviceItemKey(
            scan.request.view, columns[column].scorer.column.encoding, scan.units[unit])
    }

    func item(
        at address: DeviceAddress, _ place: Place, _ layout: DeviceItemLayout
    ) -> gd_item {
        gd_item(
            slabs: (address + layout.offset(ofSlab: 0, rows: place.rows.count)).value,
            statistics: address.value, rows: UInt32(place.rows.count), first: UInt32(place.first))
    }

    /// Puts an item's blocks into the buffer that is being filled, or the next one.
    private func load(_ column: Int, _ place: Place, _ shipment: Shipment) throws {
        try scan.request.cancellation.check()
        let layout = columns[column].layout
        let rows = place.rows.count
        let bytes = layout.byteCount(rows: rows)
        if let filling, filling.used + bytes > filling.slot.pinned.count { closeFilling(shipment) }
        if filling == nil { filling = try acquire() }
        guard var filling, let pinned = filling.slot.pinned.baseAddress else { return }
        self.filling = nil
        let key = key(column, place)
        let stays = workspace.resident.admit(key, bytes: bytes)
        if stays != nil { admitted.append(key) }
        let address = stays ?? filling.slot.landing + filling.used
        if filling.runs.last?.column != column { filling.runs.append(Run(column: column)) }
        filling.runs[filling.runs.count - 1].items.append(item(at: address, place, layout))
        filling.loads.append(Load(offset: filling.used, bytes: bytes, stays: stays))
        let target = Target(pinned: pinned + filling.used, rows: rows)
        for slab in 0..<layout.slabs {
            filling.work.append(reading(columns[column], scan.units[place.unit], slab, target))
        }
        filling.used += bytes
        counters.device?.stagedBytes += UInt64(bytes)
        self.filling = filling
    }

    /// Where an item is put together.
    private struct Target: @unchecked Sendable {  // each reader writes a part of its own
        let pinned: UnsafeMutableRawPointer
        let rows: Int
    }

    /// Brings one block into pinned memory.
    private func reading(
        _ column: DeviceColumn, _ unit: ScanUnit, _ slab: Int, _ target: Target
    ) -> @Sendable () throws -> Void {
        let (view, cancellation) = (scan.request.view, scan.request.cancellation)
        let (scorer, layout, kernels, verified) = (column.scorer, column.layout, kernels, verified)
        return {
            try cancellation.check()
            let block = try scorer.block(view, unit, rows: target.rows, slab: slab)
            if slab == 0 {
                block.statistics().withUnsafeBytes {
                    target.pinned.copyMemory(
                        from: $0.baseAddress ?? UnsafeRawPointer(target.pinned), byteCount: $0.count
                    )
                }
            }
            try block.stage(
                into: target.pinned + layout.offset(ofSlab: slab, rows: target.rows),
                pitch: layout.pitch(ofSlab: slab), kernels: kernels)
            guard !block.isVerified else { return }
            view.store.verifiedBlocks.insert(block.key)
            verified.withLock { $0 += 1 }
        }
    }

    /// A buffer that nothing uses any more.
    private func acquire() throws -> Filling {
        let number = nextSlot
        nextSlot = (nextSlot + 1) % workspace.slots.count
        while steps.contains(where: {
            if case .land(let filling, _, _) = $0 { return filling.number == number }
            return false
        }) { try advance() }
        try workspace.slots[number].isFree?.wait()
        return Filling(slot: workspace.slots[number], number: number)
    }

    private func closeFilling(_ shipment: Shipment) {
        guard let filled = filling else { return }
        filling = nil
        steps.append(.land(filled, readers.add(filled.work), shipment))
    }
}
