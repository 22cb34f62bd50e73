// What a scan on a device computes of some row groups, and how it comes back.

import CGradKernels

/// Room for the scores of some rows. Two of them take turns: while one is read, the other is computed.
final class DeviceOutput {
    let workspace: DeviceWorkspace
    let queries: Int
    /// Rows that there is room for.
    let capacity: Int
    let selection: ScanSelection?
    private let candidateCapacity: Int

    // On the device.
    let dots: DeviceAddress
    /// Upper bounds, while `dots` are lower ones; nil where there is no room for them.
    private(set) var highs: DeviceAddress?
    let norms: DeviceAddress
    let counting: DeviceAddress
    private let candidates: DeviceAddress
    let found: DeviceAddress
    private var addresses: [DeviceAddress] = []
    /// Pinned: what comes back of all scores, or of the selection.
    private let pinned: UnsafeMutableRawBufferPointer
    /// When what comes back is there.
    private var isComputed: (any DeviceEvent)?

    /// More than are found of outputs without many equal scores.
    private static func candidateCapacity(_ selection: ScanSelection?, queries: Int) -> Int {
        selection.map { min(2 * queries * ($0.top + $0.bottom) + 8192, 1 << 22) } ?? 0
    }

    /// Bytes of the device for each row, about.
    static func bytesPerRow(queries: Int) -> Int { 8 * (queries + 1) + 1 }

    init(
        _ workspace: DeviceWorkspace, queries: Int, capacity: Int, selection: ScanSelection?
    ) throws {
        self.workspace = workspace
        self.queries = queries
        self.capacity = capacity
        self.selection = selection
        candidateCapacity = Self.candidateCapacity(selection, queries: queries)
        let candidateBytes = candidateCapacity * MemoryLayout<gd_candidate>.stride
        pinned = try workspace.takePinned(
            max(capacity * 8 * (queries + 1), candidateBytes + 64))
        var taken: [DeviceAddress] = []
        func take(_ bytes: Int) throws -> DeviceAddress {
            let address = try workspace.allocate(bytes, for: "scores")
            taken.append(address)
            return address
        }
        do {
            dots = try take(capacity * 8 * queries)
            norms = try take(capacity * 8)
            counting = try take((capacity + 31) / 32 * 4)
            candidates = try take(max(1, candidateBytes))
            found = try take(4)
        } catch {
            for address in taken { workspace.heap.free(address) }
            workspace.givePinned(pinned)
            throw error
        }
        addresses = taken
    }

    /// Makes room for bounds of scores.
    ///
    /// - Returns: false where the device's memory does not suffice.
    func reserveHighs() -> Bool {
        guard let address = workspace.heap.allocate(capacity * 8 * queries) else { return false }
        addresses.append(address)
        highs = address
        return true
    }

    /// To be called when no queue uses it any more.
    func free() {
        for address in addresses { workspace.heap.free(address) }
        addresses = []
        workspace.givePinned(pinned)
    }

    // MARK: computing

    /// Turns dot products into what is wanted, and brings it back.
    ///
    /// - Parameters:
    ///   - rows: how many of the output's rows are used.
    ///   - selector: what has been selected so far; nil: all scores are wanted.
    ///   - bounded: the layers whose bounds `dots` and `highs` are, in order, with all items of the
    ///     output in the order of their rows; empty where dot products are exact.
    func complete(
        rows: Int, _ selector: DeviceSelector?, bounded: [(column: DeviceColumn, items: [gd_item])]
    ) throws {
        let queue = workspace.compute
        if let selector {
            try selector.select(
                dots: dots, highs: bounded.isEmpty ? nil : highs, norms: norms, counting: counting,
                candidates: candidates, found: found, capacity: candidateCapacity,
                stride: capacity, rows: rows)
            try rescore(bounded, selector)
            try queue.copy(
                found, to: UnsafeMutableRawBufferPointer(rebasing: pinned[..<4]))
        } else {
            try copyScores(rows: rows)
        }
        isComputed = try queue.record()
    }

    /// Gives candidates their exact scores.
    private func rescore(
        _ bounded: [(column: DeviceColumn, items: [gd_item])], _ selector: DeviceSelector
    ) throws {
        for (number, layer) in bounded.enumerated() {
            var arguments = gd_rescore_args()
            arguments.items = try workspace.upload(layer.items, []).items.value
            arguments.item_count = UInt32(layer.items.count)
            arguments.candidates = candidates.value
            arguments.found = found.value
            arguments.capacity = UInt32(candidateCapacity)
            arguments.is_first = number == 0 ? 1 : 0
            if number == bounded.count - 1, let queryNorms = selector.cosineNorms {
                arguments.norms = norms.value
                arguments.query_norms = queryNorms.value
            }
            try layer.column.rescore(arguments, on: workspace.compute)
        }
    }

    /// Query after query, then the norms, `rows` of each.
    private func copyScores(rows: Int) throws {
        for query in 0...queries {
            let source = query < queries ? dots + query * capacity * 8 : norms
            let place = query * rows * 8
            try workspace.compute.copy(
                source,
                to: UnsafeMutableRawBufferPointer(rebasing: pinned[place..<place + rows * 8]))
        }
    }

    // MARK: reading

    /// Waits until it is computed.
    func wait() throws { try isComputed?.wait() }

    /// The rows that were selected; nil where there were more than expected: then `loadScores` and
    /// `scores` give all of them.
    func selected() throws -> UnsafeBufferPointer<gd_candidate>? {
        let count = Int(pinned.load(as: UInt32.self))
        try workspace.compute.fill(found, bytes: 4, with: 0)
        guard count <= candidateCapacity else { return nil }
        let bytes = count * MemoryLayout<gd_candidate>.stride
        let target = UnsafeMutableRawBufferPointer(rebasing: pinned[64..<64 + bytes])
        if bytes > 0 {
            try workspace.compute.copy(candidates, to: target)
            try workspace.compute.record().wait()
        }
        return UnsafeBufferPointer(target.bindMemory(to: gd_candidate.self))
    }

    /// Brings back all scores of an output of which the selection was wanted.
    func loadScores(rows: Int) throws {
        try copyScores(rows: rows)
        try workspace.compute.record().wait()
    }

    /// Some rows' scores for a query, or behind the last query the rows' squared norms.
    func scores(_ query: Int, rows: Int, _ range: Range<Int>) -> UnsafeBufferPointer<Double> {
        let all = UnsafeBufferPointer(pinned.bindMemory(to: Double.self))
        let first = query * rows
        return UnsafeBufferPointer(
            rebasing: all[first + range.lowerBound..<first + range.upperBound])
    }
}

/// What a scan has found so far, on a device: for each query a score that those who want to be among
/// the best must reach.
final class DeviceSelector {
    private let workspace: DeviceWorkspace
    private let selection: ScanSelection
    private let queries: Int
    private let floors: DeviceAddress
    private let state: DeviceAddress
    private let queryNorms: DeviceAddress

    init(_ workspace: DeviceWorkspace, _ selection: ScanSelection, queries: Int) throws {
        self.workspace = workspace
        self.selection = selection
        self.queries = queries
        floors = try workspace.allocate(16 * queries, for: "the selection")
        state = try workspace.allocate(
            Int(GD_SELECT_STATE_BYTES) * queries, for: "the selection")
        queryNorms = try workspace.allocate(8 * queries, for: "the selection")
        if let norms = selection.cosineNorms {
            try workspace.upload(to: queryNorms, bytes: 8 * queries) { target in
                norms.withUnsafeBytes { target.copyMemory(from: $0) }
            }
        }
    }

    /// Of the queries, on the device; nil where rows are ranked by dot product.
    var cosineNorms: DeviceAddress? { selection.cosineNorms == nil ? nil : queryNorms }

    /// To be called when no queue uses it any more.
    func free() {
        for address in [floors, state, queryNorms] { workspace.heap.free(address) }
    }

    private func arguments() -> gd_select_args {
        var arguments = gd_select_args()
        arguments.floors = floors.value
        arguments.state = state.value
        arguments.query_count = UInt32(queries)
        arguments.top = UInt32(selection.top)
        arguments.bottom = UInt32(selection.bottom)
        return arguments
    }

    /// Begins a scan whose candidates are counted at each of `founds`.
    func begin(_ founds: [DeviceAddress]) throws {
        for found in founds {
            var arguments = arguments()
            arguments.found = found.value
            try workspace.compute.launch("gd_select_begin", x: queries, &arguments)
        }
    }

    /// Ranks the rows of an output with those that came before.
    ///
    /// - Parameter highs: nil where `dots` are exact; else what they are not more than.
    func select(
        dots: DeviceAddress, highs: DeviceAddress?, norms: DeviceAddress, counting: DeviceAddress,
        candidates: DeviceAddress, found: DeviceAddress, capacity: Int, stride: Int, rows: Int
    ) throws {
        let queue = workspace.compute
        for scores in [dots, highs] where selection.cosineNorms != nil {
            guard let scores else { continue }
            var arguments = gd_cosines_args()
            arguments.dots = scores.value
            arguments.stride = UInt64(stride)
            arguments.norms = norms.value
            arguments.query_norms = queryNorms.value
            arguments.rows = UInt32(rows)
            arguments.query_count = UInt32(queries)
            let blocks = (rows + Int(GD_THREADS) - 1) / Int(GD_THREADS)
            try queue.launch("gd_cosines", x: blocks, y: queries, &arguments)
        }
        var arguments = arguments()
        arguments.scores = dots.value
        arguments.highs = highs?.value ?? 0
        arguments.stride = UInt64(stride)
        arguments.counting = counting.value
        arguments.candidates = candidates.value
        arguments.found = found.value
        arguments.capacity = UInt32(capacity)
        arguments.rows = UInt32(rows)
        let blocks = (rows + Int(GD_SELECT_ROWS) - 1) / Int(GD_SELECT_ROWS)
        for pass in 0..<UInt32(GD_SELECT_PASSES) {
            arguments.pass = pass
            try queue.launch("gd_select_count", x: blocks, y: queries, &arguments)
            try queue.launch("gd_select_narrow", x: queries, &arguments)
        }
        try queue.launch("gd_select_take", x: blocks, y: queries, &arguments)
    }
}
