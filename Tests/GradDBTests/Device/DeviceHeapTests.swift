// Pieces of device memory: they never overlap, and what is freed can be had again.

import GradDB
import Testing

@Suite struct DeviceHeapTests {
    @Test func randomPiecesNeverOverlapAndMemoryComesBack() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let limit = 1 << 20
        for _ in 0..<20 * TestScale.factor {
            let backend = HostBackend(memoryBytes: limit)
            let heap = DeviceHeap(backend, limit: limit, extentBytes: limit / 4)
            var pieces: [(address: DeviceAddress, bytes: Int)] = []
            for _ in 0..<400 {
                if pieces.isEmpty || Int.random(in: 0..<5, using: &random) < 3 {
                    let bytes = 1 << Int.random(in: 0..<17, using: &random)
                    let wanted = Int.random(in: 1...bytes, using: &random)
                    guard let address = heap.allocate(wanted) else { continue }
                    #expect(address.value % UInt64(DeviceHeap.alignment) == 0)
                    for piece in pieces {
                        let apart =
                            address + wanted <= piece.address
                            || piece.address + piece.bytes <= address
                        #expect(apart, "seed \(seed)")
                    }
                    pieces.append((address, wanted))
                } else {
                    let index = Int.random(in: 0..<pieces.count, using: &random)
                    heap.free(pieces.remove(at: index).address)
                }
                let used = pieces.reduce(0) { $0 + DeviceHeap.rounded($1.bytes) }
                #expect(heap.usedBytes == used && used <= limit, "seed \(seed)")
            }
            for piece in pieces { heap.free(piece.address) }
            #expect(heap.usedBytes == 0)
            // Neighbours have become one again: an extent's worth is to be had.
            #expect(heap.allocate(limit / 4) != nil, "seed \(seed)")
        }
    }

    @Test func nothingIsTakenBeyondTheLimit() throws {
        let backend = HostBackend(memoryBytes: 1 << 20)
        let heap = DeviceHeap(backend, limit: 1 << 16, extentBytes: 1 << 14)
        #expect(heap.allocate(1 << 17) == nil)
        #expect(heap.allocate(1 << 16) != nil)
        #expect(heap.allocate(1) == nil)
        #expect(try backend.memory().free == (1 << 20) - (1 << 16))
    }

    @Test func aDeviceWithLessThanTheLimitGivesWhatItHas() throws {
        let heap = DeviceHeap(
            HostBackend(memoryBytes: 1 << 16), limit: 1 << 20, extentBytes: 1 << 18)
        #expect(heap.allocate(1 << 15) != nil)
        #expect(heap.allocate(1 << 17) == nil)
    }

    @Test func itsMemoryGoesWithIt() throws {
        let backend = HostBackend(memoryBytes: 1 << 20)
        do {
            let heap = DeviceHeap(backend, limit: 1 << 20)
            #expect(heap.allocate(1 << 10) != nil)
        }
        #expect(try backend.memory().free == 1 << 20)
    }
}

@Suite struct ResidentItemsTests {
    private let bytes = 1 << 10

    private func items(_ count: Int, _ pins: ItemPins = ItemPins()) -> ResidentItems {
        let limit = count * bytes
        return ResidentItems(
            DeviceHeap(HostBackend(memoryBytes: limit), limit: limit, extentBytes: limit),
            limit: limit, pins: pins)
    }

    private func key(_ group: Int, database: String = "d") -> DeviceItemKey {
        DeviceItemKey(
            database: database,
            block: BlockKey(
                table: 1, segment: 1, rowGroup: UInt32(group), encoding: 1, slab: 0))
    }

    /// Uses row groups in order, as a scan does; gives those that were there.
    private func scan(_ items: ResidentItems, _ groups: Range<Int>) -> [Int] {
        items.beginScan()
        return groups.filter { group in
            if items.use(key(group)) != nil { return true }
            _ = items.admit(key(group), bytes: bytes)
            return false
        }
    }

    @Test func aScanOfMoreThanFitsFindsWhatItLeft() {
        let items = items(10)
        #expect(scan(items, 0..<30) == [])
        for _ in 0..<3 { #expect(scan(items, 0..<30) == Array(0..<10)) }
        #expect(items.count == 10 && items.bytes == 10 * bytes)
    }

    @Test func whatWasUsedLongestAgoGoesFirst() {
        let items = items(10)
        _ = scan(items, 0..<5)
        _ = scan(items, 5..<10)
        #expect(scan(items, 0..<3) == [0, 1, 2])
        // 3 and 4 are the oldest, then 5 ...
        _ = scan(items, 20..<23)
        #expect([3, 4, 5].allSatisfy { !items.contains(key($0)) })
        #expect([0, 1, 2, 6, 7, 8, 9, 20, 21, 22].allSatisfy { items.contains(key($0)) })
    }

    @Test func whatIsPinnedStaysUntilNobodyKeepsIt() {
        let pins = ItemPins()
        let items = items(4, pins)
        #expect(pins.add([key(0): bytes, key(1): bytes], limit: 4 * bytes))
        _ = scan(items, 0..<2)
        // Another who keeps it, and one for whom there is no room beside them.
        #expect(pins.add([key(0): bytes], limit: 2 * bytes) && pins.bytes == 2 * bytes)
        #expect(!pins.add([key(2): bytes], limit: 3 * bytes - 1) && !pins.contains(key(2)))
        func pushOut() {
            _ = scan(items, 10..<20)
            _ = scan(items, 30..<40)
            items.removeAll()
        }
        pushOut()
        #expect(items.contains(key(0)) && items.contains(key(1)) && items.count == 2)
        pins.remove([key(0), key(1)])
        pushOut()
        #expect(items.contains(key(0)) && !items.contains(key(1)) && pins.bytes == bytes)
        pins.remove([key(0), key(3)])
        _ = scan(items, 10..<20)
        #expect(!items.contains(key(0)) && items.count == 4 && pins.bytes == 0)
    }

    @Test func databasesAreToldApart() {
        let items = items(4)
        items.beginScan()
        _ = items.admit(key(0), bytes: bytes)
        #expect(items.use(key(0, database: "e")) == nil)
        #expect(items.admit(key(1), bytes: 5 * bytes) == nil)
        items.removeAll()
        #expect(items.count == 0 && items.bytes == 0 && items.use(key(0)) == nil)
    }
}
