// GPUs: what there are, and whether they compute what the processor does.

import ArgumentParser
import GradDB

struct DevicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices", abstract: "List GPUs, and check what they compute.",
        discussion: """
            Examples:
              gradctl devices list
              gradctl devices check --device gpu:0
            """,
        subcommands: [DeviceListCommand.self, DeviceCheckCommand.self])
}

struct DeviceListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the GPUs that scans can run on.",
        discussion: """
            Examples:
              gradctl devices list
              gradctl devices list --json
            """)

    @OptionGroup var globals: GlobalOptions

    func run() throws {
        let devices: [CUDADevice]
        do {
            devices = try CUDADevices.all()
        } catch let error as DeviceError {
            globals.note("no GPU can be used: \(error.message)")
            return
        }
        let version = CUDALibrary.text(ofVersion: try CUDALibrary.standard().version)
        if globals.json {
            for device in devices { try Console.print(json(device, version).text) }
            return
        }
        var text = TextTable([
            .init(title: "device"), .init(title: "name"),
            .init(title: "memory", alignment: .right), .init(title: "free", alignment: .right),
            .init(title: "capability", alignment: .right),
            .init(title: "processors", alignment: .right), .init(title: "bus"),
            .init(title: "CUDA", alignment: .right),
        ])
        for device in devices {
            text.append([
                "gpu:\(device.ordinal)", device.name, Units.bytes(UInt64(device.memoryBytes)),
                free(device).map { Units.bytes(UInt64($0)) } ?? "–", capability(device),
                "\(device.processorCount)", device.bus, version,
            ])
        }
        try text.printed()
    }

    private func capability(_ device: CUDADevice) -> String {
        "\(device.capabilityMajor).\(device.capabilityMinor)"
    }

    /// Nil where the GPU cannot be asked.
    private func free(_ device: CUDADevice) -> Int? {
        try? CUDAMemory.free(gpu: device.ordinal)
    }

    private func json(_ device: CUDADevice, _ version: String) -> JSONObject {
        JSONObject([
            ("device", .string("gpu:\(device.ordinal)")), ("name", .string(device.name)),
            ("memory_bytes", .int(Int64(device.memoryBytes))),
            ("free_bytes", free(device).map { .int(Int64($0)) } ?? .null),
            ("capability", .string(capability(device))),
            ("processors", .int(Int64(device.processorCount))), ("bus", .string(device.bus)),
            ("cuda", .string(version)),
        ])
    }
}

struct DeviceCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check that devices compute what the processor does.",
        discussion: """
            Runs every kernel with random inputs, and scans of a table that is made for it, and
            compares all results to the bit. Needs no database.

            Examples:
              gradctl devices check
              gradctl devices check --device gpu:0 --cases 1000
            """)

    @OptionGroup var globals: GlobalOptions

    @Option(help: "gpu (all of them), gpu:N, gpu:N,M or staged.") var device = "gpu"

    @Option(help: "Random inputs of each kernel, and scans.") var cases = 50

    @Option(help: "What repeats the random inputs (default: another one each time).")
    var seed: UInt64?

    func validate() throws {
        guard (1...100_000).contains(cases) else {
            throw ValidationError("--cases takes a number from 1 to 100000, not \(cases).")
        }
    }

    func run() throws {
        let cancellation = Interruption.watch()
        // A number that JSON readers keep exactly.
        let seed = seed ?? UInt64.random(in: 0..<1 << 32)
        let check = DeviceCheck(seed: seed, cases: cases, cancellation: cancellation)
        var differing = 0
        for subject in try DeviceCheck.subjects(try DeviceChoice(named: device)) {
            differing += try run(check, on: subject, seed)
        }
        guard differing == 0 else {
            throw GradDBError(
                .failed,
                "\(differing.grouped) values differ from the processor's: do not use this device, and "
                    + "report it with the seed \(seed)")
        }
    }

    /// - Returns: values that differ.
    private func run(
        _ check: DeviceCheck, on subject: DeviceCheck.Subject, _ seed: UInt64
    ) throws -> Int {
        let started = ContinuousClock.now
        if !globals.json, !globals.quiet {
            try Console.print("\(subject.device): \(subject.name), seed \(seed)")
        }
        var all = DeviceCheckResult(name: "")
        func found(_ result: DeviceCheckResult) throws {
            all.cases += result.cases
            all.values += result.values
            all.differing += result.differing
            try report(result, subject.device)
        }
        do {
            let unchecked = try check.checkKernels(of: subject.backend, found)
            try TemporaryDirectory.with { directory in
                try found(
                    try check.checkScans(
                        on: subject.scanDevice, in: directory, threads: globals.threadCount))
            }
            let seconds = (ContinuousClock.now - started).seconds
            try report(all, subject, seed, unchecked, seconds)
        } catch let error as DeviceError {
            throw GradDBError(.failed, error.message)
        }
        return all.differing
    }

    private func report(_ result: DeviceCheckResult, _ device: String) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("device", .string(device)), ("check", .string(result.name)),
                    ("cases", .int(Int64(result.cases))), ("values", .int(Int64(result.values))),
                    ("differing", .int(Int64(result.differing))),
                ]).text)
        } else if !globals.quiet {
            let outcome =
                result.differing == 0 ? "the same" : "\(result.differing.grouped) DIFFER"
            try Console.print("  \(result.name): \(result.values.grouped) values, \(outcome)")
        }
        try Console.flush()
    }

    private func report(
        _ all: DeviceCheckResult, _ subject: DeviceCheck.Subject, _ seed: UInt64,
        _ unchecked: [String], _ seconds: Double
    ) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("device", .string(subject.device)), ("name", .string(subject.name)),
                    ("seed", .int(Int64(clamping: seed))), ("cases", .int(Int64(all.cases))),
                    ("values", .int(Int64(all.values))), ("differing", .int(Int64(all.differing))),
                    ("unchecked", .array(unchecked.map { .string($0) })),
                    ("seconds", .float(seconds)),
                ]).text)
        } else if !unchecked.isEmpty {
            try Console.print("  not checked, since the device cannot launch them:")
            try Console.print("  \(unchecked.joined(separator: " "))")
        }
        try Console.flush()
    }
}
