// Rows of raw gradients to vectors, on several threads: across rows where there are enough, else
// across the parts of a row, whose results are added in the order of the tensors either way.

import Synchronization

/// Projects rows of one input with one or more projectors.
package struct RowProjection: Sendable {
    package let raw: RawRows
    package let projectors: [Projector]
    package let threads: Int
    package let cancellation: Cancellation
    private let pool: ScratchPool
    /// Results of parts that may wait for their turn.
    private static let waitingBytes = 256 << 20

    package init(
        _ raw: RawRows, _ projectors: [Projector], threads: Int,
        cancellation: Cancellation = Cancellation()
    ) {
        self.raw = raw
        self.projectors = projectors
        // Where sums are huge, fewer threads: each has its own.
        let most = projectors.map(\.scratchBytes).max() ?? 0
        self.threads = max(1, min(threads, (2 << 30) / max(1, most)))
        self.cancellation = cancellation
        pool = ScratchPool(projectors)
    }

    /// Projects consecutive rows: `results[p]` gets, row after row, those of projector p.
    ///
    /// - Throws: `.badInput` naming input, row, tensor and element for what is not finite.
    package func project(
        _ rows: Range<Int>, into results: [UnsafeMutableBufferPointer<Float>]
    ) throws {
        let targets = Targets(results)
        if rows.count * projectors.count >= threads {
            try Parallel.forEach(rows.count * projectors.count, threads: threads) { task, _ in
                try cancellation.check()
                let (row, number) = task.quotientAndRemainder(dividingBy: projectors.count)
                try project(
                    row: rows.lowerBound + row, number, into: targets.row(row, number, projectors))
            }
        } else {
            for row in 0..<rows.count {
                for number in projectors.indices {
                    try projectInParts(
                        row: rows.lowerBound + row, number,
                        into: targets.row(row, number, projectors))
                }
            }
        }
    }

    /// One row on the caller's thread. Several may be under way at once.
    package func project(
        row: Int, _ number: Int, into result: UnsafeMutableBufferPointer<Float>
    ) throws {
        let projector = projectors[number]
        let scratch = pool.take(number)
        defer { pool.giveBack(scratch, number) }
        result.update(repeating: 0)
        for part in projector.parts {
            let scale = try scratch.project(part, of: row, in: raw)
            projector.kernels.table.add_scaled(
                scratch.sums.baseAddress, projector.dims, scale, result.baseAddress)
            try cancellation.check()
        }
        try requireFinite(result, row, projector)
    }

    /// One row on all threads: a window of parts at a time, whose results are kept until all of it
    /// is there.
    private func projectInParts(
        row: Int, _ number: Int, into result: UnsafeMutableBufferPointer<Float>
    ) throws {
        let projector = projectors[number]
        let window = max(threads, min(64, Self.waitingBytes / max(1, 4 * projector.dims)))
        result.update(repeating: 0)
        var first = 0
        while first < projector.parts.count {
            let count = min(window, projector.parts.count - first)
            let waiting = Mutex<[Int: ([Float], Float)]>([:])
            let start = first
            try Parallel.forEach(count, threads: threads) { index, _ in
                try cancellation.check()
                let scratch = pool.take(number)
                defer { pool.giveBack(scratch, number) }
                let scale = try scratch.project(projector.parts[start + index], of: row, in: raw)
                let sums = Array(scratch.sums)
                waiting.withLock { $0[index] = (sums, scale) }
            }
            for index in 0..<count {
                guard let (sums, scale) = waiting.withLock({ $0[index] }) else { continue }
                projector.kernels.table.add_scaled(
                    sums, projector.dims, scale, result.baseAddress)
            }
            first += count
        }
        try requireFinite(result, row, projector)
    }

    private func requireFinite(
        _ result: UnsafeMutableBufferPointer<Float>, _ row: Int, _ projector: Projector
    ) throws {
        let bad = projector.kernels.table.find_nonfinite(result.baseAddress, result.count)
        guard bad == result.count else {
            throw TensorSums.Failure.overflow.refusal(raw.place(row), shape: [])
        }
    }

    /// Disjoint rows of the results, written by several threads.
    private struct Targets: @unchecked Sendable {
        let results: [UnsafeMutableBufferPointer<Float>]

        init(_ results: [UnsafeMutableBufferPointer<Float>]) { self.results = results }

        func row(
            _ row: Int, _ number: Int, _ projectors: [Projector]
        ) -> UnsafeMutableBufferPointer<Float> {
            let dims = projectors[number].dims
            return .init(rebasing: results[number][row * dims..<(row + 1) * dims])
        }
    }
}

/// Scratch space of each projector that no thread is using.
private final class ScratchPool: Sendable {
    private struct Free: @unchecked Sendable {  // taken out by one thread at a time
        var scratches: [[ProjectionScratch]]
    }

    private let projectors: [Projector]
    private let free: Mutex<Free>

    init(_ projectors: [Projector]) {
        self.projectors = projectors
        free = Mutex(Free(scratches: projectors.map { _ in [] }))
    }

    func take(_ number: Int) -> ProjectionScratch {
        let holder = free.withLock { Holder(scratch: $0.scratches[number].popLast()) }
        return holder.scratch ?? projectors[number].scratch()
    }

    func giveBack(_ scratch: ProjectionScratch, _ number: Int) {
        let holder = Holder(scratch: scratch)
        free.withLock { free in
            if let scratch = holder.scratch { free.scratches[number].append(scratch) }
        }
    }

    private struct Holder: @unchecked Sendable {
        var scratch: ProjectionScratch?
    }
}
