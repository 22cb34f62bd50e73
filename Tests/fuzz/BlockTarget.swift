// Blocks: an input is a block's bytes, written over a block in a table file that a reader has mapped;
// then all that reads blocks reads them.
//
//   0  which block   1  what becomes of checksums   2 … the block, the sound one's bytes behind it
//
// Checksums are left as they are; or are those of the sound block, so that no change may get through;
// or are made right again, so that what is behind them is reached.

import Foundation
import GradDB
import Synchronization

final class BlockTarget: FuzzTarget {
    /// A stored block, and the answers that it gives.
    private struct Place {
        let key: BlockKey
        let file: Int32
        let offset: Int
        let sound: [UInt8]
        let layout: BlockLayout
        let column: ScanColumn
        let queries: [[EncodedQuery]]
        var answers: [[UInt64]] = []
    }

    private enum Checksums: UInt8 {
        case asTheyAre, sound, right, alsoRight
    }

    private let database: TestDatabase
    private let view: TableView
    private let checkpoint: CheckpointDocument
    private let kernels: KernelSet
    private var places: [Place] = []

    let expected: Set<GradDBError.Kind> = [.corrupt, .formatTooNew]

    var seeds: [[UInt8]] {
        places.indices.flatMap { index in
            [Checksums.asTheyAre, .sound, .right].map {
                [UInt8(index), $0.rawValue] + places[index].sound
            }
        }
    }

    init() throws {
        kernels = try KernelSet.chosen()
        database = try SmallDatabase.vectors()
        view = try Database(path: database.path).table("t").newest
        guard let checkpoint = view.newestCheckpoint, let files = view.store.blockFiles else {
            report("the database has no blocks")
        }
        self.checkpoint = checkpoint
        var random = SeededRandom(seed: 9)
        for layer in view.table.layers {
            let encoding = try view.finestEncoding(of: layer)
            let codec = try view.table.codec(layer, encoding.codec, kernels)
            let queries = try (0..<2).map { _ in
                [try codec.encodeQuery(random.vector(layer.dims))]
            }
            let column = ScanColumn(
                layer: layer, encoding: encoding, slabs: codec.geometry.slabCount,
                target: encoding.codec)
            // The first row group is full, the last is not.
            for unit in view.units(of: checkpoint) where unit.group != 1 {
                for slab in 0..<codec.geometry.slabCount {
                    let key = view.blockKey(encoding, unit.segment, group: unit.group, slab: slab)
                    guard let sound = try view.store.get(.blocks, key.bytes),
                        let part = try files.parts(of: key.bytes).first
                    else { report("\(key) is missing") }
                    let file = open(part.path, O_RDWR)
                    let all = [UInt8](try Data(contentsOf: URL(fileURLWithPath: part.path)))
                    guard file >= 0,
                        let offset = (part.offset..<part.offset + part.bytes).first(where: {
                            all[$0...].starts(with: sound)
                        })
                    else { report("\(key) is not where it should be") }
                    places.append(
                        Place(
                            key: key, file: file, offset: offset, sound: sound,
                            layout: BlockLayout(
                                rows: unit.segment.rows(ofGroup: unit.group),
                                stride: codec.geometry.bytes(ofSlab: slab), hasStatistics: slab == 0
                            ), column: column, queries: queries))
                }
            }
        }
        for index in places.indices {
            places[index].answers = try readings(places[index]).map { try $0() }
        }
    }

    // MARK: running

    func run(_ input: [UInt8]) throws {
        guard input.count >= 2 else { return }
        let place = places[Int(input[0]) % places.count]
        let checksums = Checksums(rawValue: input[1] & 3) ?? .asTheyAre
        var block = Array(input[2...].prefix(place.sound.count))
        block += place.sound[block.count...]
        switch checksums {
        case .asTheyAre: break
        case .sound: eachChecksum(place) { block.replaceSubrange($0, with: place.sound[$0]) }
        case .right, .alsoRight: seal(&block, place)
        }
        // As long as it is: what is behind it is not its own.
        if input.count >= 2 + BlockLayout.headerBytes { readHeader(Array(input[2...]), place) }
        write(block, place)
        defer { write(place.sound, place) }
        view.store.verifiedBlocks.removeAll()

        let isSound = block == place.sound
        var failures = 0
        for (reading, answer) in zip(readings(place), place.answers) {
            do {
                let read = try reading()
                if isSound || checksums == .sound, read != answer {
                    report("\(place.key) gives another answer and no error")
                }
            } catch let error as GradDBError where expected.contains(error.kind) {
                failures += 1
            }
        }
        if isSound, failures > 0 { report("\(place.key) is refused, and nothing is wrong with it") }
        if !isSound, checksums == .sound, failures == 0 {
            report("nobody sees that \(place.key) is not what was written")
        }
    }

    private func readHeader(_ bytes: [UInt8], _ place: Place) {
        _ = bytes.withUnsafeBytes { bytes in
            try? BlockHeader(verifying: bytes, at: place.key) { kernels.hash($0) }
        }
    }

    private func write(_ block: [UInt8], _ place: Place) {
        let count = block.withUnsafeBytes {
            pwrite(place.file, $0.baseAddress, $0.count, off_t(place.offset))
        }
        guard count == block.count else { report("cannot write a block") }
    }

    // MARK: checksums

    private func eachChecksum(_ place: Place, _ body: (Range<Int>) -> Void) {
        body(BlockHeader.checksumOffset..<BlockHeader.checksumOffset + 8)
        body(place.layout.checksumsOffset..<place.layout.byteCount)
    }

    private func seal(_ block: inout [UInt8], _ place: Place) {
        let layout = place.layout
        func hash(_ range: Range<Int>) -> UInt64 {
            block[range].withUnsafeBytes { kernels.hash($0) }
        }
        for chunk in 0..<layout.chunkCount {
            block.put(
                hash(layout.bytes(ofRows: layout.rows(ofChunk: chunk))),
                at: layout.checksumsOffset + 8 * chunk)
        }
        var sum = hash(0..<BlockHeader.checksumOffset)
        // As block.md has it: what the header says, not what there should be.
        let statistics = Int(block.number(at: 32, bytes: 4)) * BlockLayout.statisticsBytesPerRow
        if block[56] & 1 == 1, statistics > 0, statistics <= block.count - BlockLayout.headerBytes {
            let own = hash(BlockLayout.headerBytes..<BlockLayout.headerBytes + statistics)
            sum ^= own << 1 | own >> 63
        }
        block.put(sum, at: BlockHeader.checksumOffset)
    }

    // MARK: all that reads blocks

    /// Each as bits, so that NaNs compare.
    private func readings(_ place: Place) -> [() throws -> [UInt64]] {
        let ids = (0..<SmallDatabase.rows).map { RowID.string("x\($0)") }
        let layer = place.column.layer
        return [
            { try self.scores(place) { $0 } },
            {
                try self.scores(place) {
                    $0.columns[0].isSinglePrecision = true
                    return $0
                }
            },
            {
                try self.scores(place) {
                    $0.mayMatter = { _, bounds in bounds[0] > 3 }
                    return $0
                }
            },
            {
                let places = (0..<SmallDatabase.rows).map {
                    RowPlace(unit: $0 / 4, index: $0 % 4, queries: [0, 1])
                }
                let found = Mutex<[UInt64: [UInt64]]>([:])
                _ = try Scan(self.request(place)).run(rows: places) { _, scores in
                    let bits = scores.dots.map(\.bitPattern) + [scores.squaredNorm.bitPattern]
                    found.withLock { $0[scores.row] = bits }
                }
                return found.withLock { $0.sorted { $0.key < $1.key }.flatMap(\.value) }
            },
            {
                let norms = try RowNorms(
                    self.view, layers: [layer], encodings: [place.column.encoding])
                return try self.view.units(of: self.checkpoint).flatMap {
                    try norms.squaredNorms(of: $0).map(\.bitPattern)
                }
            },
            {
                var floats = [Float](repeating: 0, count: ids.count * layer.dims)
                let reader = try VectorReader(self.view, layer: layer, checkpoint: self.checkpoint)
                try floats.withUnsafeMutableBufferPointer {
                    try reader.read(ids, into: $0, threads: 1)
                }
                return floats.map { UInt64($0.bitPattern) }
            },
            {
                let codec = try self.view.table.codec(
                    layer, place.column.encoding.codec, self.kernels)
                return try (0..<UInt64(SmallDatabase.rows)).map { row in
                    guard let location = try self.view.location(of: row, in: self.checkpoint) else {
                        report("row \(row) is nowhere")
                    }
                    let stored = try self.view.vector(layer, place.column.encoding, at: location)
                    return codec.query(fromRow: stored.bytes, stored.statistics).squaredNorm
                        .bitPattern
                }
            },
        ]
    }

    private func request(_ place: Place) -> ScanRequest {
        ScanRequest(
            view: view, checkpoint: checkpoint, columns: [place.column], queries: place.queries,
            filter: nil, threads: 1, cancellation: Cancellation())
    }

    private func scores(
        _ place: Place, _ change: (inout ScanRequest) -> ScanRequest
    ) throws -> [UInt64] {
        var request = request(place)
        let scan = try Scan(change(&request))
        let found = Mutex<[Int: [UInt64]]>([:])
        _ = try scan.run { _, scores in
            let rows = scores.rows.indices.filter { scores.mask?[$0] ?? true }
            let bits = rows.flatMap { row in
                [scores.dots[row].bitPattern, scores.squaredNorms[row].bitPattern]
            }
            found.withLock { $0[scores.unit] = bits }
        }
        return found.withLock { $0.sorted { $0.key < $1.key }.flatMap(\.value) }
    }
}
