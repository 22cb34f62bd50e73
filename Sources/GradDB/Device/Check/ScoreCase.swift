// One layer of random rows and queries, scored by a kernel.

import CGradKernels

/// What a scoring kernel is given.
struct ScoreCase {
    let codec: CodecKind
    /// "1", "few" or "many".
    let variant: String

    var kernel: String { "gd_score_\(codec.rawValue)_\(variant)" }

    private var limits: (queries: Int, rows: Int) {
        switch variant {
        case "1": (1, Int(GD_ROWS_1))
        case "few": (Int(GD_QUERIES_FEW), Int(GD_ROWS_FEW))
        default: (Int(GD_QUERIES_MANY), Int(GD_ROWS_MANY))
        }
    }

    /// How a layer lies in memory.
    private struct Shape {
        var rows: [Int]
        var slabs: Int
        var pitch: Int
        var lastPitch: Int
        var queries: Int

        var firsts: [Int] {
            var next = 0
            return rows.map { rows in
                defer { next += rows.roundedUp(to: Int(GD_FIRST_ALIGNMENT)) }
                return next
            }
        }
        var outputRows: Int {
            rows.reduce(0) { $0 + $1.roundedUp(to: Int(GD_FIRST_ALIGNMENT)) }
        }
        func pitch(_ slab: Int) -> Int { slab == slabs - 1 ? lastPitch : pitch }
    }

    private func shape(_ random: inout SeededNumbers) -> Shape {
        let pitch = [4096, 4096, 512, 64].randomElement(using: &random) ?? 4096
        let slabs = Int.random(in: 1...3, using: &random)
        let most = pitch == 4096 ? 300 : 900
        let queries =
            variant == "1"
            ? [1, 1, 2, 5] : [2, 3, 8, 9, 63, 64, 65, 127, 128, 130, 200]
        return Shape(
            rows: (0..<Int.random(in: 1...4, using: &random)).map { _ in
                [1, 7, 32, 33, 257, Int.random(in: 1...most, using: &random)]
                    .randomElement(using: &random) ?? 1
            },
            slabs: slabs, pitch: pitch,
            lastPitch: 16 * Int.random(in: 1...pitch / 16, using: &random),
            queries: queries.randomElement(using: &random) ?? 1)
    }

    /// - Returns: scores that differ from those of the twin, of how many.
    func run(_ memory: PairedMemory, _ random: inout SeededNumbers) throws -> (
        differing: Int, of: Int
    ) {
        memory.removeAll()
        let shape = shape(&random)
        let items = try items(memory, shape, &random)
        let tiles = try memory.add(
            shape.rows.enumerated().flatMap { number, rows in
                stride(from: 0, to: rows, by: limits.rows).map {
                    gd_tile(item: UInt32(number), row: UInt32($0))
                }
            })
        let tileCount = tiles.bytes / MemoryLayout<gd_tile>.stride
        let elements = (0..<shape.slabs).reduce(0) {
            $0 + Int(Double(shape.pitch($1)) * codec.multiplicationsPerByte)
        }
        let queries = try memory.add(
            PairedCases.queries(codec, count: elements * shape.queries, &random))
        let queryStride = UInt64(elements * (codec.isFloat ? 4 : 1))
        let terms = try memory.add(
            (0..<shape.queries).map { _ in
                codec.isFloat
                    ? gd_term(addend: 0, scale: 1)
                    : gd_term(
                        addend: Int64.random(in: -1000...1000, using: &random),
                        scale: Double(random.gaussian()))
            })
        let isFirst = Bool.random(using: &random)
        let outputRows = shape.outputRows.roundedUp(to: 32)
        let dots = try memory.add(
            (0..<outputRows * shape.queries).map { _ in
                isFirst ? Double.nan : Double(random.gaussian())
            })
        let mask = PairedCases.mask(rows: outputRows, &random)
        let counting = try mask.map { try memory.add($0) }
        let packedBytes = Int(
            gd_packed_bytes(UInt32(codec.number), queryStride, UInt32(shape.queries)))
        let packed = try memory.reserve(packedBytes)
        try memory.send()

        let factor = codec.isFloat ? 1 : Int64.random(in: 1...3, using: &random)
        func layer(_ start: UInt64) -> gd_layer {
            gd_layer(
                codec: UInt32(codec.number), slabs: UInt32(shape.slabs), pitch: UInt32(shape.pitch),
                last_pitch: UInt32(shape.lastPitch), factor: factor, queries: start.at(queries),
                query_stride: queryStride, terms: start.at(terms),
                query_count: UInt32(shape.queries),
                zero: 0)
        }
        if packedBytes > 0 {
            let blocks = (elements + Int(GD_PACK_ELEMENTS) - 1) / Int(GD_PACK_ELEMENTS)
            try memory.launch("gd_pack", x: blocks, y: shape.queries) {
                gd_pack_args(layer: layer($0), packed: $0.at(packed))
            }
        }
        try memory.launch(
            kernel, x: tileCount, y: (shape.queries + limits.queries - 1) / limits.queries
        ) { start in
            gd_score_args(
                layer: layer(start), packed: packedBytes > 0 ? start.at(packed) : 0,
                items: start.at(items), tiles: start.at(tiles),
                counting: counting.map { start.at($0) } ?? 0, dots: start.at(dots),
                stride: UInt64(outputRows), is_first: isFirst ? 1 : 0, tile_count: UInt32(tileCount)
            )
        }
        try memory.receive()
        return compare(memory, dots, shape, outputRows, mask)
    }

    /// Rows of random elements; behind the last byte of each there are zeros.
    private func items(
        _ memory: PairedMemory, _ shape: Shape, _ random: inout SeededNumbers
    ) throws -> PairedPlace {
        let used = shape.lastPitch - Int.random(in: 0..<16, using: &random) / 4 * 4
        var items: [gd_item] = []
        var places: [(slabs: PairedPlace, statistics: PairedPlace)] = []
        for (rows, first) in zip(shape.rows, shape.firsts) {
            let slabBytes = Int(gd_slab_bytes(UInt32(rows), UInt32(shape.pitch)))
            let lastBytes = Int(gd_slab_bytes(UInt32(rows), UInt32(shape.lastPitch)))
            let slabs = try memory.reserve((shape.slabs - 1) * slabBytes + lastBytes)
            let bytes = memory.bytes(slabs)
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            for slab in 0..<shape.slabs {
                let pitch = shape.pitch(slab)
                let count = slab == shape.slabs - 1 ? used : pitch
                for row in 0..<rows {
                    let start = slab * slabBytes + row * pitch
                    PairedCases.fill(
                        UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count]),
                        codec,
                        &random)
                }
            }
            let statistics = try memory.add(
                (0..<rows).map { _ in
                    gd_statistics(scale: random.gaussian(), residual_norm: 0, squared_norm: 1)
                })
            items.append(
                gd_item(slabs: 0, statistics: 0, rows: UInt32(rows), first: UInt32(first)))
            places.append((slabs, statistics))
        }
        return try memory.add(items, places)
    }

    private func compare(
        _ memory: PairedMemory, _ dots: PairedPlace, _ shape: Shape, _ outputRows: Int,
        _ mask: [UInt32]?
    ) -> (differing: Int, of: Int) {
        let (there, here) = memory.results(dots, as: UInt64.self)
        var result = (differing: 0, of: 0)
        for query in 0..<shape.queries {
            for (first, rows) in zip(shape.firsts, shape.rows) {
                for row in first..<first + rows where PairedCases.counts(mask, row) {
                    let place = query * outputRows + row
                    result.of += 1
                    if there[place] != here[place] { result.differing += 1 }
                }
            }
        }
        return result
    }
}
