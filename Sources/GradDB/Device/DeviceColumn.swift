// One layer of a scan as kernels take it: its queries and their terms, in a device's memory.

import CGradKernels

/// A column with its queries on a device. Whoever makes it frees it.
struct DeviceColumn {
    let scorer: ColumnScorer
    let layout: DeviceItemLayout
    private(set) var layer: gd_layer
    /// Where bounds of dot products are wanted.
    var halves: DeviceHalves?
    private let kernel: String
    /// What a block of the kernel takes.
    private let queriesPerBlock: Int
    let rowsPerTile: Int
    private(set) var packed = DeviceAddress(0)
    var addresses: [DeviceAddress] = []

    /// More queries than this are a product of matrices.
    private static let mostFew = Int(GD_QUERIES_FEW)

    init(_ scorer: ColumnScorer, on backend: any DeviceBackend) {
        self.scorer = scorer
        layout = DeviceItemLayout(scorer.codec)
        let kind = scorer.column.encoding.codec
        let queries = scorer.queries.count
        let few = "gd_score_\(kind.rawValue)_few"
        let many = "gd_score_\(kind.rawValue)_many"
        let suffix: String
        switch queries {
        case _ where queries == 1 || !backend.canLaunch(few) || !backend.canLaunch(many):
            (suffix, queriesPerBlock, rowsPerTile) = ("1", 1, Int(GD_ROWS_1))
        case ...Self.mostFew:
            (suffix, queriesPerBlock, rowsPerTile) = ("few", Int(GD_QUERIES_FEW), Int(GD_ROWS_FEW))
        default:
            (suffix, queriesPerBlock, rowsPerTile) = (
                "many", Int(GD_QUERIES_MANY), Int(GD_ROWS_MANY)
            )
        }
        kernel = "gd_score_\(kind.rawValue)_\(suffix)"
        layer = gd_layer()
        layer.codec = UInt32(kind.number)
        layer.slabs = UInt32(layout.slabs)
        layer.pitch = UInt32(layout.pitch(ofSlab: 0))
        layer.last_pitch = UInt32(layout.pitch(ofSlab: layout.slabs - 1))
        layer.query_count = UInt32(queries)
        layer.query_stride = UInt64(layout.queryElements * elementBytes)
        layer.factor = 1
        if case .integers(let factor, _, _)? = scorer.terms.first { layer.factor = factor }
    }

    private var elementBytes: Int { scorer.codec.isFloat ? 4 : 1 }

    /// Brings queries and terms to the device.
    ///
    /// - Returns: false where its memory does not suffice.
    mutating func upload(_ workspace: DeviceWorkspace) throws -> Bool {
        let stride = Int(layer.query_stride)
        guard let queries = workspace.heap.allocate(stride * scorer.queries.count) else {
            return false
        }
        addresses.append(queries)
        let used = scorer.codec.dims * elementBytes
        for (number, query) in scorer.queries.enumerated() {
            let elements = query.integers ?? query.elements
            try workspace.upload(to: queries + number * stride, bytes: stride) { target in
                target.copyMemory(
                    from: UnsafeRawBufferPointer(
                        start: elements.pointer(at: 0, as: UInt8.self), count: used))
                UnsafeMutableRawBufferPointer(rebasing: target[used...])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
        }
        let termBytes = MemoryLayout<gd_term>.stride * scorer.terms.count
        guard let terms = workspace.heap.allocate(termBytes) else { return false }
        addresses.append(terms)
        try workspace.upload(to: terms, bytes: termBytes) { target in
            for (term, place) in zip(scorer.terms, target.bindMemory(to: gd_term.self).indices) {
                var value = gd_term(addend: 0, scale: 1)
                if case .integers(_, let addend, let scale) = term {
                    value = gd_term(addend: addend, scale: scale)
                }
                target.bindMemory(to: gd_term.self)[place] = value
            }
        }
        layer.queries = queries.value
        layer.terms = terms.value
        let packedBytes = Int(
            gd_packed_bytes(layer.codec, layer.query_stride, layer.query_count))
        guard packedBytes > 0 else { return true }
        guard let packed = workspace.heap.allocate(packedBytes) else { return false }
        addresses.append(packed)
        self.packed = packed
        var arguments = gd_pack_args()
        arguments.layer = layer
        arguments.packed = packed.value
        let blocks = (layout.queryElements + Int(GD_PACK_ELEMENTS) - 1) / Int(GD_PACK_ELEMENTS)
        try workspace.compute.launch("gd_pack", x: blocks, y: scorer.queries.count, &arguments)
        return true
    }

    /// Where a launch reads and writes.
    struct Place {
        var items: DeviceAddress
        var tiles: DeviceAddress
        var tileCount: Int
        var counting: DeviceAddress
        var dots: DeviceAddress
        /// Rows from query to query.
        var stride: Int
        var isFirst: Bool
    }

    func scoreArguments(_ place: Place) -> gd_score_args {
        var arguments = gd_score_args()
        arguments.layer = layer
        arguments.packed = packed.value
        arguments.items = place.items.value
        arguments.tiles = place.tiles.value
        arguments.counting = place.counting.value
        arguments.dots = place.dots.value
        arguments.stride = UInt64(place.stride)
        arguments.is_first = place.isFirst ? 1 : 0
        arguments.tile_count = UInt32(place.tileCount)
        return arguments
    }

    func score(_ place: Place, on queue: any DeviceQueue) throws {
        var arguments = scoreArguments(place)
        try queue.launch(
            kernel, x: place.tileCount,
            y: (scorer.queries.count + queriesPerBlock - 1) / queriesPerBlock, &arguments)
    }
}

extension DeviceQueue {
    /// Launches a kernel with the structure of graddb_device.h that it takes.
    func launch<Arguments>(_ kernel: String, x: Int, y: Int = 1, _ arguments: inout Arguments)
        throws
    {
        try withUnsafePointer(to: &arguments) {
            try launch(DeviceLaunch(kernel, x: x, y: y, UnsafeRawPointer($0)))
        }
    }
}
