// What a device's limits are measured with: a queue, two pieces of its memory, and the launches of the
// kernels that do nothing but read, copy or multiply.

import CGradKernels

/// Owns what it allocates. Used by one thread.
final class DeviceProbe {
    let queue: any DeviceQueue
    let bytes: Int
    private let backend: any DeviceBackend
    private let source: DeviceAddress
    private let target: DeviceAddress
    /// Takes what kernels write for each block or thread.
    private let results: DeviceAddress

    /// Most thread blocks of a launch, for each processor.
    static let mostBlocksPerProcessor = 16

    /// - Parameter bytes: of each piece.
    init(_ backend: any DeviceBackend, bytes: Int) throws {
        self.backend = backend
        self.bytes = bytes
        queue = try backend.makeQueue()
        var taken: [DeviceAddress] = []
        do {
            let blocks = max(1, backend.processorCount) * Self.mostBlocksPerProcessor
            for size in [bytes, bytes, blocks * Int(GD_THREADS) * 4] {
                taken.append(try backend.allocate(size))
            }
            (source, target, results) = (taken[0], taken[1], taken[2])
            try queue.fill(source, bytes: bytes, with: 0x5A)
            try queue.finish()
        } catch {
            for address in taken { backend.free(address) }
            throw error
        }
    }

    deinit {
        try? queue.finish()
        for address in [source, target, results] { backend.free(address) }
    }

    func blocks(perProcessor count: Int) -> Int { max(1, backend.processorCount) * count }

    // MARK: launches

    func launchNothing() throws { try launch("gd_copy", blocks: 1, from: source, to: target, 0) }

    func read(blocks: Int) throws {
        try launch("gd_read", blocks: blocks, from: source, to: results, bytes)
    }

    func copy(blocks: Int) throws {
        try launch("gd_copy", blocks: blocks, from: source, to: target, bytes)
    }

    private func launch(
        _ kernel: String, blocks: Int, from: DeviceAddress, to: DeviceAddress, _ bytes: Int
    ) throws {
        var arguments = gd_stream_args()
        arguments.source = from.value
        arguments.target = to.value
        arguments.bytes = UInt64(bytes)
        try queue.launch(kernel, x: blocks, &arguments)
    }

    /// - Returns: products.
    func multiply(blocks: Int, rounds: Int) throws -> Double {
        var arguments = gd_multiply_args()
        arguments.result = results.value
        arguments.rounds = UInt64(rounds)
        try queue.launch("gd_multiply_int8", x: blocks, &arguments)
        return Double(blocks) * Double(rounds) * Self.productsOfRound
    }

    /// GD_MULTIPLY_PRODUCTS, whose arithmetic Swift does not read.
    private static let productsOfRound = 8.0 * 8 * 16 * 8 * 32

    // MARK: copies

    /// A copy of all of some pinned memory, which fits into a piece.
    func copyIn(_ pinned: UnsafeMutableRawBufferPointer) throws {
        try queue.copy(UnsafeRawBufferPointer(pinned), to: target)
    }

    func copyBack(_ pinned: UnsafeMutableRawBufferPointer) throws {
        try queue.copy(source, to: pinned)
    }
}
