// Measures a MachineProfile: a list of probes, each a short loop over one kernel, run round by
// round, so that a slow moment of a shared machine hits one round of all and not all of one. What
// counts is each probe's median.

#if canImport(Glibc)
    import Glibc
#endif

/// A measurement of this machine.
package struct MachineBench {
    private let threads: Int
    private let kernels: KernelSet
    private let cancellation: Cancellation
    private let desks: [Desk]
    private let memory: ScratchMemory
    private var probes: [Probe] = []

    /// Works on a desk and says how many bytes or multiply-adds that were.
    private typealias Step = @Sendable (Desk) -> Double

    private struct Probe {
        let step: Step
        /// Puts the result, in billions, where it belongs.
        let store: (inout MachineProfile, Rate) -> Void
    }

    private static let rounds = 5
    /// The rest goes to the disk.
    private static let kernelShare = 0.8
    private static let mostQueries = 128

    /// Measures everything.
    ///
    /// - Parameters:
    ///   - seconds: about how long it takes.
    ///   - disk: what to read from the disk; nil leaves the disk out.
    /// - Returns: the profile and what could not be measured, as sentences.
    /// - Throws: `.interrupted`, `.usage` for a kernel that does not run here, `.io` without memory.
    package static func measure(
        threads: Int, seconds: Double, disk: DiskSource?, cancellation: Cancellation
    ) throws -> (profile: MachineProfile, notes: [String]) {
        var bench = try MachineBench(threads: threads, cancellation: cancellation)
        try bench.addProbes()
        var profile = MachineProfile(
            key: try MachineKey.current(threads: threads), measured: Timestamp.now())
        var notes = bench.addFloatPeak(to: &profile)
        try bench.run(seconds: seconds * kernelShare, into: &profile)
        if let disk {
            let rate = try bench.diskRate(disk, seconds: seconds * (1 - kernelShare))
            switch rate {
            case .success(let rate): profile.diskRead = rate
            case .failure(let error): notes.append("the disk was not measured: \(error.message)")
            }
        }
        return (profile, notes)
    }

    private init(threads: Int, cancellation: Cancellation) throws {
        self.threads = threads
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        let memory = try ScratchMemory(threads: threads)
        self.memory = memory
        let sumCount = QueryBatch.rowBytes / SlabGeometry.slabBytes * Self.mostQueries
        desks = (0..<threads).map { worker in
            Desk(bytes: memory.share(worker, of: threads), sumCount: sumCount)
        }
    }

    /// Runs all probes, round after round.
    private func run(seconds: Double, into profile: inout MachineProfile) throws {
        let slice = seconds / Double(2 * Self.rounds * probes.count)
        var one = [[Double]](repeating: [], count: probes.count)
        var all = one
        for _ in 0..<Self.rounds {
            for (index, probe) in probes.enumerated() {
                one[index].append(try rate(probe.step, threads: 1, seconds: slice))
                all[index].append(try rate(probe.step, threads: threads, seconds: slice))
            }
        }
        for (index, probe) in probes.enumerated() {
            probe.store(&profile, Rate(one: one[index].median / 1e9, all: all[index].median / 1e9))
        }
    }

    private func rate(_ step: @escaping Step, threads: Int, seconds: Double) throws -> Double {
        let desks = self.desks
        return try Stopwatch.rate(threads: threads, seconds: seconds, cancellation: cancellation) {
            step(desks[$0])
        }
    }

    /// A disk that cannot be measured is no reason to fail.
    private func diskRate(_ disk: DiskSource, seconds: Double) throws -> Result<Double, GradDBError>
    {
        do {
            return .success(
                try DiskProbe.readRate(
                    disk, seconds: seconds, filler: memory.bytes, cancellation: cancellation))
        } catch let error as GradDBError where error.kind == .io {
            return .failure(error)
        }
    }

    // MARK: probes

    private mutating func add(
        _ step: @escaping Step, _ store: @escaping (inout MachineProfile, Rate) -> Void
    ) {
        probes.append(Probe(step: step, store: store))
    }

    private mutating func addProbes() throws {
        let kernels = self.kernels
        let read: Step = { desk in
            let bytes = desk.next(QueryBatch.rowBytes)
            _ = kernels.table.read_bytes(bytes.baseAddress, bytes.count)
            return Double(bytes.count)
        }
        let multiply: Step = { _ in Double(kernels.table.multiply_int8(1000)) }
        add(read) { $0.memoryRead = $1 }
        add(multiply) { $0.int8Peak = $1 }
        for kind in CodecKind.allCases { try addProbes(of: kind) }
    }

    /// Bytes that stay in the L2 cache, but not in the L1 cache.
    private static let cacheBytes = 128 << 10

    private mutating func addProbes(of kind: CodecKind) throws {
        // Of one full slab, as the scan sees rows.
        let dims = Int(Double(SlabGeometry.slabBytes) * kind.multiplicationsPerByte)
        let codec = kind.codec(dims: dims, seed: 1, kernels: kernels)
        let queries = try (0..<Self.mostQueries).map { number in
            try Self.query(number, codec)
        }
        let query = queries[0]
        let cached: Step = { Self.score($0.same(Self.cacheBytes), codec, query, $0) }
        let streamed: Step = { Self.score($0.next(QueryBatch.rowBytes), codec, query, $0) }
        add(cached) { $0[kind].cache = $1 }
        add(streamed) { $0[kind].memory = $1 }
        addBatch(kind, codec, Array(queries.prefix(16))) { $0[kind].batch16 = $1 }
        addBatch(kind, codec, queries) { $0[kind].batch128 = $1 }
    }

    private mutating func addBatch(
        _ kind: CodecKind, _ codec: any Codec, _ queries: [EncodedQuery],
        _ store: @escaping (inout MachineProfile, Rate) -> Void
    ) {
        guard let batch = QueryBatch(queries, codec: codec) else { return }
        let products = kind.multiplicationsPerByte * Double(queries.count)
        let scored: Step = { desk in
            let rows = desk.same(QueryBatch.rowBytes)
            batch.accumulate(
                rows, rowCount: rows.count / SlabGeometry.slabBytes, slab: 0, into: desk.sums)
            return Double(rows.count) * products
        }
        add(scored, store)
    }

    /// Verifies and scores rows chunk by chunk, as a scan for one query does (floats of 16 bits in single
    /// precision).
    private static func score(
        _ rows: UnsafeRawBufferPointer, _ codec: any Codec, _ query: EncodedQuery, _ desk: Desk
    ) -> Double {
        let chunkBytes = BlockLayout.targetChunkBytes
        for start in stride(from: 0, to: rows.count, by: chunkBytes) {
            _ = codec.hashAndEstimate(
                UnsafeRawBufferPointer(rebasing: rows[start..<start + chunkBytes]),
                rowCount: chunkBytes / SlabGeometry.slabBytes, slab: 0, query: query,
                into: desk.sums)
        }
        return Double(rows.count)
    }

    private static func query(_ number: Int, _ codec: any Codec) throws -> EncodedQuery {
        var random = SeededNumbers(seed: UInt64(number))
        do {
            return try codec.encodeQuery(random.gaussians(codec.dims))
        } catch {
            throw GradDBError(.failed, "a random query cannot be encoded: \(error.reason)")
        }
    }

    /// - Returns: why there is none.
    private mutating func addFloatPeak(to profile: inout MachineProfile) -> [String] {
        guard let matrix = FloatMatrix.loaded else {
            return ["the peak of f32 was not measured: OpenBLAS is not installed"]
        }
        // A product of this size takes below a millisecond, and its operands fit the L2 cache.
        let side = 384
        let step: Step = { scratch in
            let floats = scratch.bytes.assumingMemoryBound(to: Float.self).baseAddress
            withUnsafeTemporaryAllocation(of: Float.self, capacity: side * side) { product in
                matrix.multiply(
                    floats, byTransposed: floats, rows: side, columns: side, inner: side,
                    into: product.baseAddress)
            }
            return Double(side * side * side)
        }
        add(step) { $0.f32Peak = $1 }
        return []
    }
}

extension [Double] {
    /// The middle one, or the mean of the two in the middle; 0 of none.
    var median: Double {
        guard !isEmpty else { return 0 }
        let sorted = self.sorted()
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }
}
