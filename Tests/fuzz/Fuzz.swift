// What libFuzzer calls: once to begin, then with input after input. One program has all targets;
// GRADDB_FUZZ_TARGET says which one it is, GRADDB_FUZZ_SEEDS where its sound inputs are to be written.
//
// An input is fine where its target returns, or throws an error of a kind that such input may cause.
// All else ends the process, so that libFuzzer keeps the input: traps, what the address sanitizer
// finds, errors of another kind, answers that are wrong, more memory or time than the limits.

import Foundation
import GradDB

/// One kind of input.
protocol FuzzTarget {
    /// Inputs that nothing is wrong with.
    var seeds: [[UInt8]] { get }
    /// The errors that an input may cause.
    var expected: Set<GradDBError.Kind> { get }
    /// An input that is changed in a way that libFuzzer would not think of; nil for none.
    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]?
    func run(_ input: [UInt8]) throws
}

extension FuzzTarget {
    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? { nil }
}

enum FuzzTargets {
    static let makers: [String: @Sendable () throws -> any FuzzTarget] = [
        "block": { try BlockTarget() },
        "table-file": { try TableFileTarget() },
        "catalog": { try CatalogTarget() },
        "safetensors": { try TensorFileTarget(.safetensors) },
        "npy": { try TensorFileTarget(.npy) },
        "stream": { try StreamTarget() },
        "metadata": { try MetadataTarget() },
        "archive": { try ArchiveTarget() },
        "backup-manifest": { try BackupManifestTarget() },
        "statement": { try StatementTarget() },
    ]
}

/// What was found to be wrong: libFuzzer keeps the input.
func report(_ what: String) -> Never {
    FileHandle.standardError.write(Data("fuzz: \(what)\n".utf8))
    abort()
}

// libFuzzer is one thread.
nonisolated(unsafe) private var target: (any FuzzTarget)?

@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer, _: UnsafeMutableRawPointer) -> CInt {
    let environment = ProcessInfo.processInfo.environment
    let name = environment["GRADDB_FUZZ_TARGET"] ?? ""
    guard let make = FuzzTargets.makers[name] else {
        report("GRADDB_FUZZ_TARGET is one of \(FuzzTargets.makers.keys.sorted())")
    }
    do {
        let made = try make()
        // What is sound must be taken, or its mutants test nothing.
        for seed in made.seeds { try made.run(seed) }
        if let directory = environment["GRADDB_FUZZ_SEEDS"] {
            for (number, seed) in made.seeds.enumerated() {
                try Data(seed).write(to: URL(fileURLWithPath: "\(directory)/\(number)"))
            }
        }
        target = made
    } catch {
        report("cannot begin: \(error)")
    }
    return 0
}

private func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let target else { return -1 }
    do {
        try target.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    } catch let error as GradDBError {
        guard target.expected.contains(error.kind) else {
            report("an error of kind \(error.kind.name): \(error)")
        }
        guard !error.message.isEmpty, error.message.utf8.count < 8_000 else {
            report("an error of \(error.message.utf8.count) bytes: \(error.message.prefix(500))")
        }
    } catch {
        report("an error that is no GradDBError: \(error)")
    }
    return 0
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutableRawPointer,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// What the package manager has the linker take for main.
@_cdecl("fuzz_main")
public func main(_ count: CInt, _ arguments: UnsafeMutableRawPointer) -> CInt {
    var (count, arguments) = (count, arguments)
    return withUnsafeMutablePointer(to: &count) { count in
        withUnsafeMutablePointer(to: &arguments) { runDriver(count, $0, testOneInput) }
    }
}

@_silgen_name("LLVMFuzzerMutate")
private func mutate(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ limit: Int) -> Int

/// Half of the time the target's way of changing inputs, if it has one; else libFuzzer's.
@_cdecl("LLVMFuzzerCustomMutator")
public func customMutator(
    _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ limit: Int, _ seed: CUnsignedInt
) -> Int {
    var mutator = Mutator(seed: UInt64(seed))
    guard seed % 2 == 0,
        let mutant = target?.mutant(
            of: Array(UnsafeBufferPointer(start: bytes, count: count)), &mutator),
        mutant.count <= limit
    else { return mutate(bytes, count, limit) }
    for (index, byte) in mutant.enumerated() { bytes[index] = byte }
    return mutant.count
}
