// Random scores of several outputs, of which the best are selected, and what makes cosines of them.

import CGradKernels

struct SelectionCase {
    private struct Shape {
        var rows: Int
        var queries: Int
        var top: Int
        var bottom: Int
        var capacity: Int
        var isCosine: Bool
    }

    static let kernels = [
        "gd_cosines", "gd_select_begin", "gd_select_count", "gd_select_narrow", "gd_select_take",
    ]

    /// - Returns: floors and candidates that differ from those of the twins, of how many.
    static func run(
        _ memory: PairedMemory, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        memory.removeAll()
        let rows =
            [1, 31, 4096, 4097, Int.random(in: 1...20_000, using: &random)]
            .randomElement(using: &random) ?? 1
        let shape = Shape(
            rows: rows, queries: Int.random(in: 1...6, using: &random),
            top: Int.random(in: 0...2, using: &random) * Int.random(in: 1...700, using: &random),
            bottom: Int.random(in: 0...2, using: &random) * Int.random(in: 1...700, using: &random),
            capacity: 1 << 17, isCosine: Bool.random(using: &random))
        let stride = rows.roundedUp(to: 32)
        // Few different scores make many equal ones.
        let isCoarse = Bool.random(using: &random)
        let scores = try memory.add(
            (0..<stride * shape.queries).map { _ in
                let score = Double(random.gaussian())
                return isCoarse ? (score * 4).rounded() : score
            })
        // Scores may be known to lie between two numbers only.
        let isBounded = !shape.isCosine && Bool.random(using: &random)
        let highs = try memory.add(
            memory.bytes(scores).bindMemory(to: Double.self).map {
                $0 + (isCoarse ? 1 : abs(Double(random.gaussian())) / 64)
            })
        let norms = try memory.add(
            (0..<stride).map { _ in
                Int.random(in: 0..<20, using: &random) == 0 ? 0 : abs(Double(random.gaussian()))
            })
        let queryNorms = try memory.add(
            (0..<shape.queries).map { _ in 1 + abs(Double(random.gaussian())) })
        let mask = PairedCases.mask(rows: stride, &random)
        let counting = try mask.map { try memory.add($0) }
        let floors = try memory.reserve(16 * shape.queries)
        let state = try memory.reserve(Int(GD_SELECT_STATE_BYTES) * shape.queries)
        let candidates = try memory.reserve(shape.capacity * MemoryLayout<gd_candidate>.stride)
        let found = try memory.reserve(4)
        try memory.send()

        if shape.isCosine {
            let blocks = (rows + Int(GD_THREADS) - 1) / Int(GD_THREADS)
            try memory.launch("gd_cosines", x: blocks, y: shape.queries) {
                gd_cosines_args(
                    dots: $0.at(scores), stride: UInt64(stride), norms: $0.at(norms),
                    query_norms: $0.at(queryNorms), rows: UInt32(rows),
                    query_count: UInt32(shape.queries))
            }
        }
        func arguments(_ pass: Int) -> (UInt64) -> gd_select_args {
            {
                gd_select_args(
                    scores: $0.at(scores), stride: UInt64(stride),
                    counting: counting.map($0.at) ?? 0, floors: $0.at(floors),
                    state: $0.at(state), candidates: $0.at(candidates), found: $0.at(found),
                    highs: isBounded ? $0.at(highs) : 0,
                    capacity: UInt32(shape.capacity), rows: UInt32(rows),
                    query_count: UInt32(shape.queries), top: UInt32(shape.top),
                    bottom: UInt32(shape.bottom), pass: UInt32(pass))
            }
        }
        let blocks = (rows + Int(GD_SELECT_ROWS) - 1) / Int(GD_SELECT_ROWS)
        try memory.launch("gd_select_begin", x: shape.queries, arguments(0))
        for pass in 0..<Int(GD_SELECT_PASSES) {
            try memory.launch("gd_select_count", x: blocks, y: shape.queries, arguments(pass))
            try memory.launch("gd_select_narrow", x: shape.queries, arguments(pass))
        }
        try memory.launch("gd_select_take", x: blocks, y: shape.queries, arguments(0))
        try memory.receive()
        let selected = compare(memory, floors: floors, candidates: candidates, found: found)
        let (there, here) = memory.results(scores, as: UInt64.self)
        return (
            selected.differing + zip(there, here).count { $0 != $1 }, selected.of + here.count
        )
    }

    /// Candidates are found in any order.
    private static func compare(
        _ memory: PairedMemory, floors: PairedPlace, candidates: PairedPlace, found: PairedPlace
    ) -> (differing: Int, of: Int) {
        struct Key: Hashable {
            var query: UInt32
            var row: UInt32
            var score: UInt64
        }
        func keys(_ candidates: [gd_candidate], _ count: UInt32) -> Set<Key> {
            Set(
                candidates.prefix(Int(count)).map {
                    Key(query: $0.query, row: $0.row, score: $0.score.bitPattern)
                })
        }
        let counts = memory.results(found, as: UInt32.self)
        let lists = memory.results(candidates, as: gd_candidate.self)
        let ends = memory.results(floors, as: UInt64.self)
        let there = keys(lists.device, counts.device[0])
        let here = keys(lists.twin, counts.twin[0])
        let differing =
            there.symmetricDifference(here).count
            + zip(ends.device, ends.twin).count { $0 != $1 }
            + (counts.device[0] == counts.twin[0] ? 0 : 1)
        return (differing, here.count + ends.twin.count + 1)
    }
}

/// Squared norms of rows, and bytes that are copied and read.
struct PlainCase {
    static let kernels = ["gd_norms", "gd_copy", "gd_read", "gd_multiply_int8"]

    static func run(
        _ memory: PairedMemory, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        let norms = try norms(memory, &random)
        let copies = try copies(memory, &random)
        return (norms.differing + copies.differing, norms.of + copies.of)
    }

    private static func norms(
        _ memory: PairedMemory, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        memory.removeAll()
        var items: [gd_item] = []
        var places: [(slabs: PairedPlace, statistics: PairedPlace)] = []
        var first = 0
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            let rows = Int.random(in: 1...3000, using: &random)
            let statistics = try memory.add(
                (0..<rows).map { _ in
                    gd_statistics(
                        scale: 1, residual_norm: 0, squared_norm: abs(Double(random.gaussian())))
                })
            items.append(
                gd_item(slabs: 0, statistics: 0, rows: UInt32(rows), first: UInt32(first)))
            places.append((statistics, statistics))
            first += rows.roundedUp(to: Int(GD_FIRST_ALIGNMENT))
        }
        let list = try memory.add(items, places)
        let norms = try memory.add((0..<first).map { _ in Double(random.gaussian()) })
        let isFirst: UInt32 = Bool.random(using: &random) ? 1 : 0
        try memory.send()
        try memory.launch("gd_norms", x: items.count) {
            gd_norms_args(
                items: $0.at(list), norms: $0.at(norms), is_first: isFirst,
                item_count: UInt32(items.count))
        }
        try memory.receive()
        let (there, here) = memory.results(norms, as: UInt64.self)
        return (zip(there, here).count { $0 != $1 }, here.count)
    }

    /// What reading and multiplying leave means nothing: that they end is what is looked at.
    private static func copies(
        _ memory: PairedMemory, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        memory.removeAll()
        let bytes = Int.random(in: 1...1 << 20, using: &random)
        let source = try memory.add(
            (0..<bytes).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        let target = try memory.add([UInt8](repeating: 0xA5, count: bytes + 64))
        let blocks = Int.random(in: 1...300, using: &random)
        let unused = try memory.reserve(4 * Int(GD_THREADS) * blocks)
        try memory.send()
        try memory.launch("gd_copy", x: blocks) {
            gd_stream_args(source: $0.at(source), target: $0.at(target), bytes: UInt64(bytes))
        }
        try memory.launch("gd_read", x: blocks) {
            gd_stream_args(source: $0.at(source), target: $0.at(unused), bytes: UInt64(bytes))
        }
        try memory.launch("gd_multiply_int8", x: blocks) {
            gd_multiply_args(result: $0.at(unused), rounds: 2)
        }
        try memory.receive()
        let (there, here) = memory.results(target, as: UInt8.self)
        return (zip(there, here).count { $0 != $1 }, here.count)
    }
}
