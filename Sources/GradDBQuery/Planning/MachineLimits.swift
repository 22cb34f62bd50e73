// What a pass over stored bytes costs on this machine: a roofline. A pass takes as long as the
// slowest of what it asks for: bytes of the disk, bytes of memory, and what the cores do with them.
// The rates are those that `gradctl bench` measured here, else those of common machines.

import GradDB
import Synchronization

/// How fast a scan can be. Rates are in units a second on all threads of the statement.
package struct MachineLimits: Sendable {
    /// Whether `gradctl bench` has measured this machine.
    package let isMeasured: Bool
    private let threads: Int
    private let profile: MachineProfile?

    /// How precisely a pass computes.
    package enum Precision: Sendable {
        /// As scores are defined.
        case defined
        /// Floats in single precision, with a bound on the error.
        case single
    }

    package init(threads: Int) {
        self.init(threads: threads, profile: Self.profile(threads: threads))
    }

    private static let profiles = Mutex<[Int: MachineProfile?]>([:])

    /// The stored profile, read once in a process: that takes as long as a scan of 50 MB.
    private static func profile(threads: Int) -> MachineProfile? {
        profiles.withLock { profiles in
            if let known = profiles[threads] { return known }
            let profile = MachineProfile.load(threads: threads)
            profiles[threads] = .some(profile)
            return profile
        }
    }

    package init(threads: Int, profile: MachineProfile?) {
        self.threads = max(1, threads)
        self.profile = profile
        isMeasured = profile != nil
    }

    /// Bytes a second of plain reads.
    package var memory: Double {
        profile.map { $0.memoryRead.all * 1e9 } ?? min(24e9, 12e9 * Double(threads))
    }

    package var disk: Double { (profile?.diskRead ?? 1) * 1e9 }

    /// Bytes a second that are scored against one query from the cache, in single precision where
    /// the codec has floats.
    private func cache(_ codec: CodecKind) -> Double {
        if let profile, profile[codec].cache.all > 0 { return profile[codec].cache.all * 1e9 }
        let common: Double =
            switch codec {
            case .int8, .int4: 20
            case .f32, .f16, .bf16: 15
            case .bit: 7
            }
        return common * 1e9 * Double(threads)
    }

    /// Multiplications a second of a batch.
    private func batch(_ codec: CodecKind, queries: Int) -> Double {
        if codec.isFloat {
            return (profile?.f32Peak?.all ?? 30 * Double(threads)) * 1e9
        }
        let measured = profile.flatMap { queries < 64 ? $0[codec].batch16 : $0[codec].batch128 }
        return (measured?.all ?? (codec == .bit ? 200 : 70) * Double(threads)) * 1e9
    }

    /// Widening to double and adding in the order of the definition halves the speed of 16-bit
    /// floats; single precision has neither (docs/measurements.md, Kernels).
    private static let definedShare = 0.48

    /// Seconds of one pass over `bytes` of a codec.
    ///
    /// - Parameters:
    ///   - coldShare: how much of it is not in memory.
    package func seconds(
        _ codec: CodecKind, bytes: Double, queries: Int, _ precision: Precision, coldShare: Double
    ) -> Double {
        let reading = max(bytes / memory, bytes * coldShare / disk)
        let queries = Double(queries)
        let oneByOne = bytes * queries / cache(codec)
        let multiplying = bytes * codec.multiplicationsPerByte * queries
        let scoring: Double
        switch (codec.isFloat, precision) {
        case (true, .defined):
            scoring = codec == .f32 ? oneByOne : oneByOne / Self.definedShare
        case (true, .single) where FloatBatch.pays(queries: Int(queries)):
            // Rows are widened once for all queries.
            scoring = bytes / cache(codec) + multiplying / batch(codec, queries: Int(queries))
        case (true, .single): scoring = oneByOne
        case (false, _) where queries == 1: scoring = oneByOne
        case (false, _): scoring = multiplying / batch(codec, queries: Int(queries))
        }
        return max(reading, scoring)
    }

    // MARK: what does not depend on bytes

    /// Seconds for what every pair of a row and a query costs beside its bytes: the last step of
    /// the score, and looking whether it is among the best.
    package func pairs(_ count: Double, areEstimated: Bool) -> Double {
        count * (areEstimated ? 12e-9 : 4e-9) / Double(threads)
    }

    /// Seconds for scoring `count` single rows of `rowBytes` each: a jump and a chunk's checksum
    /// for every slab.
    package func rows(_ count: Double, rowBytes: Double) -> Double {
        let slabs = max(1, rowBytes / Double(SlabGeometry.slabBytes))
        return count * (4e-6 + slabs * 1e-6 + rowBytes * 4 / memory) / Double(threads)
    }

    /// Seconds for reading `count` row records and asking a condition of them.
    package func records(_ count: Double) -> Double { count * 8e-6 }
}
