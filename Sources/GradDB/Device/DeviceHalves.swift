// Bounds of the dot products of 16-bit floats and many queries, by a device's matrix units, and the exact
// scores of the rows that they leave (docs/gpu-kernels.md).

import CGradKernels

/// The queries of a layer as the matrix units take them, in a device's memory.
struct DeviceHalves {
    let numbers: DeviceAddress
    /// `gd_estimate_term` for each query.
    let terms: DeviceAddress

    /// Fewer queries are scored exactly at about the speed of memory.
    static let leastQueries = 8

    /// Whether bounds may pay for a scan: all layers are of 16-bit floats, and the answer is small beside
    /// the rows.
    static func mayPay(
        _ columns: [DeviceColumn], _ selection: ScanSelection?, queries: Int, rows: Int,
        on backend: any DeviceBackend
    ) -> Bool {
        guard let selection, queries >= leastQueries else { return false }
        guard 20 * (selection.top + selection.bottom) <= rows else { return false }
        return columns.allSatisfy { column in
            guard let name = column.halfName else { return false }
            return backend.canLaunch("gd_estimate_\(name)")
                && backend.canLaunch("gd_rescore_\(name)") && backend.canLaunch("gd_halves")
        }
    }

    /// What is known of a query's sums, if its squared norm is this.
    static func term(
        _ codec: CodecKind, dims: Int, slabs: Int, squaredNorm: Double
    ) -> gd_estimate_term {
        let norm = squaredNorm.squareRoot()
        guard norm > 0, norm.isFinite else {
            // Zeros have no error; of anything else nothing is known.
            let error = norm == 0 ? 0 : Double.infinity
            return gd_estimate_term(unit: 1, factor: error, least: error)
        }
        let dims = Double(dims)
        let isF16 = codec == .f16
        // Scaled queries are at most 2^15 or 1 long.
        let unit = Double(
            sign: .plus, exponent: Int(norm.exponent) + 1 - (isF16 ? 15 : 0), significand: 1)
        let left = isF16 ? 0x1p-22 + 0x1p-26 * dims.squareRoot() : 0x1p-16
        let units = 0x1p-15
        let sums = Double(64 + slabs) * 0x1p-23
        let definition = dims * 0x1p-52 + 0x1p-40
        return gd_estimate_term(
            unit: unit, factor: 1.02 * (units + sums + left + definition) * norm,
            least: dims * 0x1p-119 * unit)
    }
}

extension DeviceColumn {
    /// Of the kernels that bound; nil where there are none.
    var halfName: String? {
        switch scorer.column.encoding.codec {
        case .f16, .bf16: scorer.column.encoding.codec.rawValue
        case .f32, .int8, .int4, .bit: nil
        }
    }

    /// Brings what bounds need to the device, after `upload`.
    ///
    /// - Returns: false where its memory does not suffice.
    mutating func uploadHalves(_ workspace: DeviceWorkspace) throws -> Bool {
        let count = scorer.queries.count
        let bytes = Int(gd_halves_bytes(layer.codec, layer.query_stride, layer.query_count))
        let termBytes = MemoryLayout<gd_estimate_term>.stride * count
        guard let numbers = workspace.heap.allocate(bytes) else { return false }
        addresses.append(numbers)
        guard let terms = workspace.heap.allocate(termBytes) else { return false }
        addresses.append(terms)
        let (codec, dims, slabs) = (
            scorer.column.encoding.codec, scorer.codec.dims, layout.slabs
        )
        try workspace.upload(to: terms, bytes: termBytes) { target in
            let places = target.bindMemory(to: gd_estimate_term.self)
            for (number, query) in scorer.queries.enumerated() {
                places[number] = DeviceHalves.term(
                    codec, dims: dims, slabs: slabs, squaredNorm: query.squaredNorm)
            }
        }
        var arguments = gd_halves_args()
        arguments.layer = layer
        arguments.halves = numbers.value
        arguments.terms = terms.value
        let blocks = (layout.queryElements + Int(GD_PACK_ELEMENTS) - 1) / Int(GD_PACK_ELEMENTS)
        try workspace.compute.launch("gd_halves", x: blocks, y: count, &arguments)
        halves = DeviceHalves(numbers: numbers, terms: terms)
        return true
    }

    /// Adds the bounds of dot products to what is at `place.dots` and `highs`.
    func estimate(_ place: Place, highs: DeviceAddress, on queue: any DeviceQueue) throws {
        guard let halves, let halfName else { preconditionFailure("there are no halves") }
        var arguments = gd_estimate_args()
        arguments.score = scoreArguments(place)
        arguments.score.packed = halves.numbers.value
        arguments.highs = highs.value
        arguments.terms = halves.terms.value
        try queue.launch(
            "gd_estimate_\(halfName)", x: place.tileCount,
            y: (scorer.queries.count + Int(GD_QUERIES_FEW) - 1) / Int(GD_QUERIES_FEW), &arguments)
    }

    /// Tiles of the kernels that bound.
    static let rowsPerEstimateTile = Int(GD_ROWS_FEW)

    /// Blocks of a launch that rescores: enough to fill a device.
    private static let mostBlocks = 4096

    /// Adds the exact dot products to the candidates' scores.
    func rescore(_ candidates: gd_rescore_args, on queue: any DeviceQueue) throws {
        guard let halfName else { preconditionFailure("there are no halves") }
        var arguments = candidates
        arguments.layer = layer
        arguments.packed = packed.value
        let perBlock = Int(GD_THREADS) / 8
        let blocks = (Int(candidates.capacity) + perBlock - 1) / perBlock
        try queue.launch(
            "gd_rescore_\(halfName)", x: min(max(1, blocks), Self.mostBlocks), &arguments)
    }
}
