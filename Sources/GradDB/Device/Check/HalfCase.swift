// Random rows of 16-bit floats whose dot products are bounded, scored, and scored again as candidates.

import CGradKernels

struct HalfCase {
    let codec: CodecKind

    var kernels: [String] {
        ["gd_halves", "gd_estimate_\(codec.rawValue)", "gd_rescore_\(codec.rawValue)"]
    }

    /// How a layer lies in memory: one item.
    private struct Shape {
        var rows: Int
        var slabs: Int
        var pitch: Int
        var queries: Int

        var dims: Int { slabs * pitch / 2 }
        var outputRows: Int { rows.roundedUp(to: Int(GD_FIRST_ALIGNMENT)) }
        var scores: Int { outputRows * queries }
    }

    /// What is where.
    private struct Places {
        var item: PairedPlace
        var tiles: PairedPlace
        var queries: PairedPlace
        var terms: PairedPlace
        var packed: PairedPlace
        var halves: PairedPlace
        var dots: PairedPlace
        var lows: PairedPlace
        var highs: PairedPlace
        var candidates: PairedPlace
        var found: PairedPlace
    }

    /// - Returns: scores that are not within their bounds, on the device or by the twins, and candidates
    ///   whose scores differ from those of the twins; of how many.
    func run(
        _ memory: PairedMemory, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        memory.removeAll()
        let shape = Shape(
            rows: [1, 33, 256, 257, 500].randomElement(using: &random) ?? 1,
            slabs: Int.random(in: 1...3, using: &random),
            pitch: [4096, 512, 64, 48].randomElement(using: &random) ?? 64,
            queries: [2, 8, 9, 64, 65, 130].randomElement(using: &random) ?? 2)
        let places = try places(memory, shape, &random)
        try memory.send()
        func layer(_ start: UInt64) -> gd_layer {
            gd_layer(
                codec: UInt32(codec.number), slabs: UInt32(shape.slabs), pitch: UInt32(shape.pitch),
                last_pitch: UInt32(shape.pitch), factor: 1, queries: start.at(places.queries),
                query_stride: UInt64(4 * shape.dims), terms: 0, query_count: UInt32(shape.queries),
                zero: 0)
        }
        func score(_ start: UInt64, packed: PairedPlace, dots: PairedPlace) -> gd_score_args {
            gd_score_args(
                layer: layer(start), packed: start.at(packed), items: start.at(places.item),
                tiles: start.at(places.tiles), counting: 0, dots: start.at(dots),
                stride: UInt64(shape.outputRows), is_first: 1, tile_count: tileCount(shape))
        }
        let groups = (shape.queries + Int(GD_QUERIES_FEW) - 1) / Int(GD_QUERIES_FEW)
        let blocks = (shape.dims + Int(GD_PACK_ELEMENTS) - 1) / Int(GD_PACK_ELEMENTS)
        let tiles = Int(tileCount(shape))
        try memory.launch("gd_pack", x: blocks, y: shape.queries) {
            gd_pack_args(layer: layer($0), packed: $0.at(places.packed))
        }
        try memory.launch("gd_score_\(codec.rawValue)_few", x: tiles, y: groups) {
            score($0, packed: places.packed, dots: places.dots)
        }
        try memory.launch("gd_halves", x: blocks, y: shape.queries) {
            gd_halves_args(
                layer: layer($0), halves: $0.at(places.halves), terms: $0.at(places.terms))
        }
        try memory.launch("gd_estimate_\(codec.rawValue)", x: tiles, y: groups) {
            gd_estimate_args(
                score: score($0, packed: places.halves, dots: places.lows),
                highs: $0.at(places.highs), terms: $0.at(places.terms))
        }
        try memory.launch("gd_rescore_\(codec.rawValue)", x: 3) {
            gd_rescore_args(
                layer: layer($0), packed: $0.at(places.packed), items: $0.at(places.item),
                candidates: $0.at(places.candidates), found: $0.at(places.found), norms: 0,
                query_norms: 0, item_count: 1, capacity: UInt32(Self.candidates), is_first: 1,
                zero: 0)
        }
        try memory.receive()
        return compare(memory, places, shape)
    }

    private static let candidates = 300

    private func tileCount(_ shape: Shape) -> UInt32 {
        UInt32((shape.rows + Int(GD_ROWS_FEW) - 1) / Int(GD_ROWS_FEW))
    }

    private func places(
        _ memory: PairedMemory, _ shape: Shape, _ random: inout SeededNumbers
    ) throws -> Places {
        let slabBytes = Int(gd_slab_bytes(UInt32(shape.rows), UInt32(shape.pitch)))
        let slabs = try memory.reserve(shape.slabs * slabBytes)
        let bytes = memory.bytes(slabs)
        PairedCases.fill(bytes, codec, &random)
        let statistics = (0..<shape.rows).map { row in
            var squares = 0.0
            for slab in 0..<shape.slabs {
                let start = slab * slabBytes + row * shape.pitch
                for at in stride(from: start, to: start + shape.pitch, by: 2) {
                    let value = HalfTrial.value(
                        bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self), codec)
                    squares += value * value
                }
            }
            return gd_statistics(scale: 1, residual_norm: 0, squared_norm: squares)
        }
        let item = gd_item(slabs: 0, statistics: 0, rows: UInt32(shape.rows), first: 0)
        let queries = (0..<shape.queries).map { _ in
            (0..<shape.dims).map { _ in random.gaussian() }
        }
        let terms = queries.map { query in
            DeviceHalves.term(
                codec, dims: shape.dims, slabs: shape.slabs,
                squaredNorm: query.reduce(0) { $0 + Double($1) * Double($1) })
        }
        let (number, queryBytes) = (UInt32(codec.number), UInt64(4 * shape.dims))
        let candidates = (0..<Self.candidates).map { _ in
            gd_candidate(
                query: UInt32.random(in: 0..<UInt32(shape.queries), using: &random),
                row: UInt32.random(in: 0..<UInt32(shape.rows), using: &random), score: 0)
        }
        return Places(
            item: try memory.add([item], [(slabs, try memory.add(statistics))]),
            tiles: try memory.add(
                (0..<tileCount(shape)).map { gd_tile(item: 0, row: $0 * UInt32(GD_ROWS_FEW)) }),
            queries: try memory.add(Array(queries.joined())), terms: try memory.add(terms),
            packed: try memory.reserve(
                Int(gd_packed_bytes(number, queryBytes, UInt32(shape.queries)))),
            halves: try memory.reserve(
                Int(gd_halves_bytes(number, queryBytes, UInt32(shape.queries)))),
            dots: try memory.reserve(8 * shape.scores), lows: try memory.reserve(8 * shape.scores),
            highs: try memory.reserve(8 * shape.scores), candidates: try memory.add(candidates),
            found: try memory.add([UInt32(Self.candidates)]))
    }

    private func compare(
        _ memory: PairedMemory, _ places: Places, _ shape: Shape
    ) -> (differing: Int, of: Int) {
        let dots = memory.results(places.dots, as: Double.self)
        let lows = memory.results(places.lows, as: Double.self)
        let highs = memory.results(places.highs, as: Double.self)
        let candidates = memory.results(places.candidates, as: gd_candidate.self)
        var result = (differing: 0, of: 0)
        for query in 0..<shape.queries {
            for row in 0..<shape.rows {
                let place = query * shape.outputRows + row
                result.of += 1
                let (there, here) = (dots.device[place], dots.twin[place])
                if !(lows.device[place] <= there && there <= highs.device[place])
                    || !(lows.twin[place] <= here && here <= highs.twin[place])
                {
                    result.differing += 1
                }
            }
        }
        for (there, here) in zip(candidates.device, candidates.twin) {
            result.of += 1
            let place = Int(here.query) * shape.outputRows + Int(here.row)
            if there.score.bitPattern != here.score.bitPattern
                || here.score.bitPattern != dots.twin[place].bitPattern
            {
                result.differing += 1
            }
        }
        return result
    }
}
