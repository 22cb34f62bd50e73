// Whether a device computes what it should: its kernels against their twins in C, and whole scans
// against the processor, to the bit, with random inputs that a seed repeats.

/// What one kernel did, or scans.
package struct DeviceCheckResult: Sendable, Equatable {
    /// A kernel; kernels that are run together; "scans".
    package var name: String
    package var cases = 0
    /// Values that were compared, and those that were not the same.
    package var values = 0
    package var differing = 0

    package init(name: String) { self.name = name }
}

package struct DeviceCheck {
    private let seed: UInt64
    private let cases: Int
    private let cancellation: Cancellation
    static let memoryBytes = 64 << 20

    /// - Parameter cases: of each kernel, and of scans.
    package init(seed: UInt64, cases: Int, cancellation: Cancellation) {
        self.seed = seed
        self.cases = cases
        self.cancellation = cancellation
    }

    /// Checks all kernels that the device can launch.
    ///
    /// - Parameter found: called with the result of each.
    /// - Returns: kernels that were not checked: the device cannot launch them.
    /// - Throws: `DeviceError`, `.interrupted`.
    package func checkKernels(
        of backend: any DeviceBackend, _ found: (DeviceCheckResult) throws -> Void
    ) throws -> [String] {
        let memory = try PairedMemory(backend, bytes: Self.memoryBytes)
        var unchecked = Set(DeviceKernels.argumentBytes.keys).subtracting(["gd_pack"])
        for codec in CodecKind.allCases {
            for variant in ["1", "few", "many"] {
                let score = ScoreCase(codec: codec, variant: variant)
                guard backend.canLaunch(score.kernel) else { continue }
                unchecked.remove(score.kernel)
                try found(try repeated(score.kernel) { try score.run(memory, &$0) })
            }
        }
        for codec in [CodecKind.f16, .bf16] {
            let half = HalfCase(codec: codec)
            guard half.kernels.allSatisfy(backend.canLaunch) else { continue }
            unchecked.subtract(half.kernels)
            let name = half.kernels.joined(separator: ", ")
            try found(try repeated(name) { try half.run(memory, &$0) })
        }
        let others: [([String], Case)] = [
            (SelectionCase.kernels, { try SelectionCase.run(memory, &$0) }),
            (PlainCase.kernels, { try PlainCase.run(memory, &$0) }),
        ]
        for (kernels, run) in others {
            unchecked.subtract(kernels)
            try found(try repeated(kernels.joined(separator: ", "), run))
        }
        return unchecked.sorted()
    }

    private typealias Case = (inout SeededNumbers) throws -> (differing: Int, of: Int)

    private func repeated(_ name: String, _ run: Case) throws -> DeviceCheckResult {
        var result = DeviceCheckResult(name: name)
        var random = SeededNumbers(seed: seed)
        for _ in 0..<cases {
            try cancellation.check()
            let outcome = try run(&random)
            result.cases += 1
            result.values += outcome.of
            result.differing += outcome.differing
        }
        return result
    }

    /// Checks scans of a table that is made for it.
    ///
    /// - Parameter directory: an empty one, that the caller removes.
    /// - Throws: `DeviceError`, `.interrupted`, `.io`.
    package func checkScans(
        on device: any ScanDevice, in directory: String, threads: Int
    ) throws -> DeviceCheckResult {
        let scans = try ScanCheck(directory: directory, seed: seed, threads: threads)
        var random = SeededNumbers(seed: seed &+ 1)
        var result = DeviceCheckResult(name: "scans")
        for _ in 0..<cases {
            try cancellation.check()
            let outcome = try scans.run(on: device, cancellation, &random)
            result.cases += 1
            result.values += outcome.of
            result.differing += outcome.differing
        }
        return result
    }
}
