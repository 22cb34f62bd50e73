// What this machine can do at most, as `gradctl bench` measured it: the limits that scans are held
// against, and that the planner estimates with.

/// Speed on one thread, and on all of them together.
public struct Rate: Codable, Hashable, Sendable {
    public var one = 0.0
    public var all = 0.0

    public init(one: Double = 0, all: Double = 0) {
        self.one = one
        self.all = all
    }
}

/// What one codec's kernels do. `cache` and `memory` are GB/s of stored bytes that one query is
/// scored against and that are verified in the same pass, from the L2 cache and from memory;
/// batches are GMAC/s from the L2 cache, nil where the codec scores queries one by one.
public struct CodecRates: Codable, Hashable, Sendable {
    public var cache = Rate()
    public var memory = Rate()
    public var batch16: Rate?
    public var batch128: Rate?

    public init() {}
}

/// Limits of one machine, with one kernel variant and number of threads.
public struct MachineProfile: Codable, Equatable, Sendable {
    public let key: MachineKey
    /// RFC 3339, UTC.
    public let measured: String
    /// GB/s of loading every byte once from memory.
    public var memoryRead = Rate()
    /// GB/s of sequential reads that bypass the page cache, sixteen at a time; nil where the disk
    /// could not be measured.
    public var diskRead: Double?
    /// GMAC/s of int8 numbers that stay in registers.
    public var int8Peak = Rate()
    /// GMAC/s of OpenBLAS multiplying f32 matrices; nil where there is no OpenBLAS.
    public var f32Peak: Rate?
    /// By name, which a JSON object can have for a key.
    private var codecs: [String: CodecRates] = [:]

    /// Zeros for a codec that was not measured.
    public subscript(codec: CodecKind) -> CodecRates {
        get { codecs[codec.rawValue] ?? CodecRates() }
        set { codecs[codec.rawValue] = newValue }
    }

    package init(key: MachineKey, measured: String) {
        self.key = key
        self.measured = measured
    }
}

extension CodecKind {
    /// Whether it stores floats, which are scored in floating point.
    package var isFloat: Bool {
        switch self {
        case .f32, .f16, .bf16: true
        case .int8, .int4, .bit: false
        }
    }

    /// Multiply-adds that a stored byte costs for each query.
    public var multiplicationsPerByte: Double {
        switch self {
        case .f32: 0.25
        case .f16, .bf16: 0.5
        case .int8: 1
        case .int4: 2
        case .bit: 8
        }
    }
}

extension MachineProfile {
    /// How long a scan from memory takes at least, by what was measured: the slower of reading and
    /// multiplying.
    ///
    /// - Parameters:
    ///   - bytes: stored bytes of all rows.
    ///   - queries: scored in one pass.
    /// - Returns: seconds on all threads; 0 where the codec was not measured.
    public func seconds(of codec: CodecKind, bytes: Double, queries: Int) -> Double {
        let rates = self[codec]
        guard queries > 1 else { return rates.memory.all > 0 ? bytes / rates.memory.all / 1e9 : 0 }
        let reading = memoryRead.all > 0 ? bytes / memoryRead.all / 1e9 : 0
        // The batch that was measured whose size is nearest; floats multiply as matrices.
        let batch = (queries < 64 ? rates.batch16 : rates.batch128) ?? f32Peak
        let multiplications = bytes * codec.multiplicationsPerByte * Double(queries)
        guard let batch, batch.all > 0 else { return reading }
        return max(reading, multiplications / batch.all / 1e9)
    }
}
