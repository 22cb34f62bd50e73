// How fast gradients that are in memory are projected, beside loading every byte of them: what
// `gradctl bench --projector` measures. The two take turns, so that a slow moment of a shared machine
// hits both.

/// The speed of one projector, in GB/s of f32 input.
package struct ProjectionRates: Sendable {
    package var projection: Rate
    /// Loading every byte of the input once.
    package var read: Rate
    /// Medians of the rounds' ratios.
    package var ratio: Rate
}

package struct ProjectionBench {
    private static let rounds = 5
    private static let pieceBytes = 16 << 20

    private let threads: Int
    private let kernels: KernelSet
    private let memory: ScratchMemory
    private let cancellation: Cancellation

    /// - Throws: `.io` without memory.
    package init(threads: Int, cancellation: Cancellation) throws {
        self.threads = threads
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        memory = try ScratchMemory(threads: threads)
    }

    /// One long tensor per thread, piece by piece.
    ///
    /// - Throws: `.usage` for a projector that does not take tensors by themselves.
    package func measure(_ document: ProjectorDocument, seconds: Double) throws -> ProjectionRates {
        guard document.kind != .factored else {
            throw GradDBError.usage(
                "bench measures projectors of single tensors; factored takes pairs of them")
        }
        let one = try measure(document, threads: 1, seconds: seconds / 2)
        let all = threads > 1 ? try measure(document, threads: threads, seconds: seconds / 2) : one
        return ProjectionRates(
            projection: Rate(one: one.projection, all: all.projection),
            read: Rate(one: one.read, all: all.read), ratio: Rate(one: one.ratio, all: all.ratio))
    }

    private func measure(
        _ document: ProjectorDocument, threads: Int, seconds: Double
    ) throws -> (projection: Double, read: Double, ratio: Double) {
        let shares = (0..<threads).map { memory.share($0, of: threads) }
        var taken = document
        taken.tensors = [.init(name: "weight", shape: [shares[0].count / 4])]
        let projector = try Projector(taken, kernels: kernels)
        let tasks = shares.map { Task(projector, $0) }
        let slice = seconds / Double(2 * Self.rounds)
        var rounds: [(projection: Double, read: Double)] = []
        for _ in 0..<Self.rounds {
            let read = try rate(threads, slice) { tasks[$0].read() }
            let projection = try rate(threads, slice) { try tasks[$0].project() }
            rounds.append((projection / 1e9, read / 1e9))
        }
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        return (
            median(rounds.map(\.projection)), median(rounds.map(\.read)),
            median(rounds.map { $0.projection / $0.read })
        )
    }

    private func rate(
        _ threads: Int, _ seconds: Double, _ step: @escaping @Sendable (Int) throws -> Double
    ) throws -> Double {
        try Stopwatch.rate(
            threads: threads, seconds: seconds, cancellation: cancellation, step)
    }

    /// One thread's tensor, and how far it is read and projected.
    private final class Task: @unchecked Sendable {  // used by one thread at a time
        private let projector: Projector
        private let bytes: UnsafeRawBufferPointer
        private let pieceBytes: Int
        private var stream: ProjectionStream
        private var place = 0
        private var readPlace = 0
        private var kept: UInt64 = 0

        init(_ projector: Projector, _ bytes: UnsafeRawBufferPointer) {
            self.projector = projector
            self.bytes = bytes
            stream = ProjectionStream(projector, name: "the benchmark")
            let step = projector.stepBytes
            // The slow kinds take long enough for little.
            pieceBytes =
                projector.document.kind == .sketch
                ? max(1, ProjectionBench.pieceBytes / step) * step : step
        }

        func read() -> Double {
            let piece = next(&readPlace)
            kept ^= projector.kernels.table.read_bytes(piece.baseAddress, piece.count)
            return Double(piece.count)
        }

        func project() throws -> Double {
            if place == 0 { try stream.begin("weight", shape: projector.tensors[0].shape) }
            let piece = next(&place)
            try stream.append(piece, .f32)
            if place == bytes.count {
                try stream.end()
                stream = ProjectionStream(projector, name: "the benchmark", sharing: stream)
                place = 0
            }
            return Double(piece.count)
        }

        /// The end of the tensor is a piece of its own, so that `place` reaches it.
        private func next(_ place: inout Int) -> UnsafeRawBufferPointer {
            if place == bytes.count { place = 0 }
            let end = min(place + pieceBytes, bytes.count)
            defer { place = end }
            return UnsafeRawBufferPointer(rebasing: bytes[place..<end])
        }
    }

    /// What `bench --projector` prints for programs.
    package func json(_ results: [(ProjectorDocument, ProjectionRates)]) throws -> JSONObject {
        let key = try MachineKey.current(threads: threads)
        func pair(_ rate: Rate) -> JSONValue {
            .object(JSONObject([("one", .float(rate.one)), ("all", .float(rate.all))]))
        }
        let projections = results.map { document, rates in
            JSONValue.object(
                JSONObject([
                    ("projector", .object(document.json)), ("gb_per_s", pair(rates.projection)),
                    ("memory_gb_per_s", pair(rates.read)), ("read_ratio", pair(rates.ratio)),
                ]))
        }
        return JSONObject([
            ("measured", .string(Timestamp.now())), ("processor", .string(key.processor)),
            ("kernel", .string(key.kernel)), ("threads", .int(Int64(threads))),
            ("projections", .array(projections)),
        ])
    }
}
