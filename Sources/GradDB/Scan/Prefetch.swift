// Reading ahead of a scan. Blocks are mapped files: touching a page that is not in memory stops the
// thread until the disk has brought it, with little more than one request under way. So one thread
// runs ahead of the scan, and asks for the blocks that are not in memory; asking does not wait.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

final class Prefetch: Sendable {
    /// Bytes that are asked for ahead of the scan: some hundred requests of the disk's size.
    private static let window = 128 << 20
    private static let mostSkipped = 15
    private static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

    private let isStopped = Atomic<Bool>(false)
    /// Turns that the scan has begun.
    private let begun = Atomic<Int>(0)
    private let thread = Mutex<BackgroundTask?>(nil)

    /// Row groups that tell whether a table is in memory.
    private static let samples = 16

    /// Nil where there is nothing to run ahead of, or nothing to ask for: a thread that finds all
    /// of a table in memory would only get in the way of those that scan it.
    init?(_ scan: Scan, order: @escaping @Sendable (Int) -> Int) {
        let count = scan.units.count
        guard count > 1 else { return nil }
        guard let column = scan.columns.first?.column,
            Self.coldShare(of: scan.units, column, scan.request.view) > 0
        else { return nil }
        let task = BackgroundTask(besides: { [self] in try run(scan, order) })
        thread.withLock { $0 = task }
    }

    /// Says that the scan begins with the unit of this turn.
    func begun(_ turn: Int) { _ = begun.max(turn, ordering: .relaxed) }

    /// Ends it, and waits until it has ended.
    func stop() {
        isStopped.store(true, ordering: .relaxed)
        // What it could not read, the scan will meet, and report.
        try? thread.withLock { $0.take() }?.wait()
    }

    private func run(_ scan: Scan, _ order: (Int) -> Int) throws {
        /// What was asked for at the turns that the scan has not begun, oldest first.
        var asked: [(turn: Int, bytes: Int)] = []
        var outstanding = 0
        /// Turns that are not looked at, because those before them were in memory: so a scan of
        /// memory is hardly disturbed.
        var skip = 0
        var turn = 0
        while turn < scan.units.count {
            while true {
                let reached = begun.load(ordering: .relaxed)
                while let first = asked.first, first.turn <= reached {
                    outstanding -= first.bytes
                    asked.removeFirst()
                }
                if isStopped.load(ordering: .relaxed) { return }
                if outstanding < Self.window { break }
                usleep(200)
            }
            // What is being scanned already is not worth asking for.
            guard turn > begun.load(ordering: .relaxed) else {
                turn += 1
                continue
            }
            let bytes = try ask(for: scan.units[order(turn)], scan)
            skip = bytes > 0 ? 0 : min(Self.mostSkipped, 2 * skip + 1)
            if bytes > 0 {
                asked.append((turn, bytes))
                outstanding += bytes
            }
            turn += 1 + skip
        }
    }

    /// Asks for the unit's blocks that are not in memory; gives their bytes.
    private func ask(for unit: ScanUnit, _ scan: Scan) throws -> Int {
        let view = scan.request.view
        var bytes = 0
        for column in scan.columns {
            for slab in 0..<column.column.slabs {
                let key = view.blockKey(
                    column.column.encoding, unit.segment, group: unit.group, slab: slab)
                guard let value = try view.store.pinned(.blocks, key.bytes) else { continue }
                bytes += value.withBytes(Self.ask)
            }
        }
        return bytes
    }

    /// How many of some row groups are not in memory, as a sample of them says.
    static func coldShare(of units: [ScanUnit], _ column: ScanColumn, _ view: TableView) -> Double {
        let sampled = Set((0..<samples).map { $0 * units.count / samples })
        guard !units.isEmpty else { return 0 }
        let cold = sampled.count { (try? isCold(units[$0], column, view)) ?? false }
        return Double(cold) / Double(sampled.count)
    }

    /// Whether the first block of a unit is not in memory.
    private static func isCold(
        _ unit: ScanUnit, _ column: ScanColumn, _ view: TableView
    ) throws -> Bool {
        guard
            let value = try view.store.pinned(
                .blocks,
                view.blockKey(column.encoding, unit.segment, group: unit.group, slab: 0).bytes)
        else { return false }
        return value.withBytes { block in
            guard let start = block.baseAddress else { return false }
            let end = (Int(bitPattern: start) + block.count - 1) / pageBytes * pageBytes
            return UnsafeMutableRawPointer(bitPattern: end).map { !isResident($0) } ?? false
        }
    }

    private static func ask(for block: UnsafeRawBufferPointer) -> Int {
        guard let start = block.baseAddress, !block.isEmpty else { return 0 }
        let first = Int(bitPattern: start) / pageBytes * pageBytes
        let count = Int(bitPattern: start) + block.count - first
        guard let pages = UnsafeMutableRawPointer(bitPattern: first) else { return 0 }
        // A block is read at once and forgotten at once: its end tells whether it is there.
        if isResident(pages + (count - 1) / pageBytes * pageBytes) { return 0 }
        return madvise(pages, count, MADV_WILLNEED) == 0 ? count : 0
    }

    private static func isResident(_ page: UnsafeMutableRawPointer) -> Bool {
        var state: UInt8 = 0
        // Where the system does not say, nothing is asked for.
        return mincore(page, 1, &state) != 0 || state & 1 == 1
    }
}

extension TableView {
    /// The share of a checkpoint's row groups that is on the disk and not in memory, as far as a
    /// sample and the system tell.
    package func coldShare(of checkpoint: CheckpointDocument, _ column: ScanColumn) -> Double {
        Prefetch.coldShare(of: units(of: checkpoint), column, self)
    }
}
