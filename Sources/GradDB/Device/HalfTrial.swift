// What bounds of scores take on trust of a device's matrix units, tried with rows whose dot products are known:
// subnormal numbers, which units may take for zeros, and sums that lose much in short registers.

import CGradKernels

struct HalfTrial {
    private let codec: CodecKind
    private static let rows = Int(GD_FIRST_ALIGNMENT)
    private static let queries = 8
    private static let dims = 64
    private static let pitch = 2 * dims

    /// Whether bounds hold on a device; it is tried once.
    ///
    /// - Returns: false where there is no memory to try it in, too.
    static func passes(_ codec: CodecKind, _ workspace: DeviceWorkspace) throws -> Bool {
        if let passed = workspace.trials[codec] { return passed }
        let passed = try HalfTrial(codec: codec).run(workspace)
        workspace.trials[codec] = passed
        return passed
    }

    // MARK: numbers

    /// Bits of a row's element.
    private func element(_ row: Int, _ dim: Int) -> UInt16 {
        let random = UInt16(truncatingIfNeeded: (row * 64 + dim) &* 40_503 >> 3)
        let fraction: UInt16 = codec == .f16 ? 0x3ff : 0x7f
        let one: UInt16 = codec == .f16 ? 0x3c00 : 0x3f80
        switch row % 4 {
        case 0: return max(1, random & fraction)  // subnormal
        case 1: return dim % 16 == 0 ? one : one - 11 * (fraction + 1) | random & fraction
        case 2: return one | random & fraction | (random & 0x400) << 5
        default: return random & fraction | (dim % 3 == 0 ? 1 << 15 : 0)
        }
    }

    private func query(_ number: Int, _ dim: Int) -> Float {
        let random = Float((number * 64 + dim) &* 30_011 % 4_093) / 4_096
        return number == 0 ? 1 : (dim % (number + 1) == 0 ? -1 : 1) * (1 + random)
    }

    private func value(_ bits: UInt16) -> Double { Self.value(bits, codec) }

    /// What the bits of a finite number of f16 or bf16 stand for.
    static func value(_ bits: UInt16, _ codec: CodecKind) -> Double {
        guard codec == .f16 else { return Double(Float(bitPattern: UInt32(bits) << 16)) }
        let exponent = Int(bits >> 10 & 31)
        let fraction = Double(bits & 0x3ff) + (exponent > 0 ? 1024 : 0)
        let size = fraction * Double(sign: .plus, exponent: max(1, exponent) - 25, significand: 1)
        return bits >> 15 == 0 ? size : -size
    }

    private func squaredNorm(_ element: (Int) -> Double) -> Double {
        (0..<Self.dims).reduce(0) { $0 + element($1) * element($1) }
    }

    // MARK: on the device

    /// One piece of the device's memory, with all that launches take.
    private struct Memory {
        let start: DeviceAddress
        private(set) var bytes = 0

        mutating func take(_ count: Int) -> DeviceAddress {
            defer { bytes += (count + 255) / 256 * 256 }
            return start + bytes
        }
    }

    private func run(_ workspace: DeviceWorkspace) throws -> Bool {
        let (rows, queries, dims) = (Self.rows, Self.queries, Self.dims)
        guard let start = workspace.heap.allocate(1 << 16) else { return false }
        let scores = rows * queries * 8
        let results = try workspace.backend.allocatePinned(2 * scores)
        defer {
            workspace.heap.free(start)
            workspace.backend.freePinned(results)
        }
        var memory = Memory(start: start)
        func upload<Value>(_ values: [Value]) throws -> DeviceAddress {
            let bytes = values.count * MemoryLayout<Value>.stride
            let target = memory.take(bytes)
            try workspace.upload(to: target, bytes: bytes) { place in
                values.withUnsafeBytes { place.copyMemory(from: $0) }
            }
            return target
        }
        let statistics = (0..<rows).map { row in
            gd_statistics(
                scale: 1, residual_norm: 0, squared_norm: squaredNorm { value(element(row, $0)) })
        }
        let slab = (0..<rows).flatMap { row in (0..<dims).map { element(row, $0) } }
        let item = gd_item(
            slabs: try upload(slab).value, statistics: try upload(statistics).value,
            rows: UInt32(rows), first: 0)
        let terms = (0..<queries).map { number in
            DeviceHalves.term(
                codec, dims: dims, slabs: 1,
                squaredNorm: squaredNorm { Double(query(number, $0)) })
        }

        var layer = gd_layer()
        layer.codec = UInt32(codec.number)
        layer.slabs = 1
        layer.pitch = UInt32(Self.pitch)
        layer.last_pitch = UInt32(Self.pitch)
        layer.factor = 1
        layer.query_count = UInt32(queries)
        layer.query_stride = UInt64(4 * dims)
        layer.queries =
            try upload((0..<queries).flatMap { q in (0..<dims).map { query(q, $0) } }).value
        var halves = gd_halves_args()
        halves.layer = layer
        halves.halves =
            memory.take(
                Int(gd_halves_bytes(layer.codec, layer.query_stride, layer.query_count))
            ).value
        halves.terms = try upload(terms).value
        var estimate = gd_estimate_args()
        estimate.score.layer = layer
        estimate.score.packed = halves.halves
        estimate.score.items = try upload([item]).value
        estimate.score.tiles = try upload([gd_tile(item: 0, row: 0)]).value
        let (lows, highs) = (memory.take(scores), memory.take(scores))
        estimate.score.dots = lows.value
        estimate.score.stride = UInt64(rows)
        estimate.score.is_first = 1
        estimate.score.tile_count = 1
        estimate.highs = highs.value
        estimate.terms = halves.terms
        precondition(memory.bytes <= 1 << 16)

        let queue = workspace.compute
        try queue.launch("gd_halves", x: 1, y: queries, &halves)
        try queue.launch("gd_estimate_\(codec.rawValue)", x: 1, &estimate)
        try queue.copy(lows, to: UnsafeMutableRawBufferPointer(rebasing: results[..<scores]))
        try queue.copy(highs, to: UnsafeMutableRawBufferPointer(rebasing: results[scores...]))
        try queue.finish()
        return areWithin(results.bindMemory(to: Double.self))
    }

    /// - Parameter bounds: lower ones, query after query, then upper ones.
    private func areWithin(_ bounds: UnsafeMutableBufferPointer<Double>) -> Bool {
        let count = Self.rows * Self.queries
        return (0..<count).allSatisfy { place in
            let (number, row) = place.quotientAndRemainder(dividingBy: Self.rows)
            let dot = (0..<Self.dims).reduce(0) { sum, dim in
                sum + value(element(row, dim)) * Double(query(number, dim))
            }
            return bounds[place] <= dot && dot <= bounds[count + place]
        }
    }
}
