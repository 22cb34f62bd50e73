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
    private static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

    private let isStopped = Atomic<Bool>(false)
    /// Turns that the scan has begun.
    private let begun = Atomic<Int>(0)
    private let thread = Mutex<BackgroundTask?>(nil)

    /// Nil where there is nothing to run ahead of.
    init?(_ scan: Scan, order: @escaping @Sendable (Int) -> Int) {
        guard scan.units.count > 1 else { return nil }
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
        for turn in scan.units.indices {
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
            guard turn > begun.load(ordering: .relaxed) else { continue }
            let bytes = try ask(for: scan.units[order(turn)], scan)
            guard bytes > 0 else { continue }
            asked.append((turn, bytes))
            outstanding += bytes
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

    private static func ask(for block: UnsafeRawBufferPointer) -> Int {
        guard let start = block.baseAddress, !block.isEmpty else { return 0 }
        let first = Int(bitPattern: start) / pageBytes * pageBytes
        let count = Int(bitPattern: start) + block.count - first
        guard let pages = UnsafeMutableRawPointer(bitPattern: first) else { return 0 }
        // A block is read at once and forgotten at once: its ends tell whether it is there.
        let last = pages + (count - 1) / pageBytes * pageBytes
        if isResident(pages), isResident(last) { return 0 }
        return madvise(pages, count, MADV_WILLNEED) == 0 ? count : 0
    }

    private static func isResident(_ page: UnsafeMutableRawPointer) -> Bool {
        var state: UInt8 = 0
        // Where the system does not say, nothing is asked for.
        return mincore(page, 1, &state) != 0 || state & 1 == 1
    }
}
