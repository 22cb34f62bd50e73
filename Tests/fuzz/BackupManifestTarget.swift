// Manifests of backups: an input is the manifest of the first of two backups. They are listed, verified,
// and restored.
//
//   0  whether the checksum in the last line is made right   1 … the manifest

import Foundation
import GradDB

final class BackupManifestTarget: FuzzTarget {
    private let database: TestDatabase
    private let directory = TemporaryDirectory()
    private let kernels: KernelSet
    private let manifest: InputFile
    private let sound: [UInt8]
    private var backups: String { directory.file("backups") }
    private var target: String { directory.file("restored") }

    let expected: Set<GradDBError.Kind> = [.corrupt, .formatTooNew]
    var seeds: [[UInt8]] { [[0] + sound, [1] + sound] }

    init() throws {
        kernels = try KernelSet.chosen()
        database = try SmallDatabase.everything()
        var options = BackupOptions()
        options.threads = 1
        let path = directory.file("backups")
        for tag in ["one", "two"] {
            _ = try Backup.create(of: database.path, in: path, options: options)
            _ = try DatabaseWriter(path: database.path).tag("t", tag, snapshot: nil)
        }
        manifest = InputFile(directory, "backups/backups/00000001.jsonl")
        sound = [UInt8](try Data(contentsOf: URL(fileURLWithPath: manifest.path)))
    }

    /// One of the lines.
    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? {
        guard input.count > 1 else { return nil }
        var lines = input[1...].split(separator: 10, omittingEmptySubsequences: false).map(
            Array.init)
        let index = mutator.below(lines.count)
        switch mutator.below(6) {
        case 0: lines.swapAt(index, mutator.below(lines.count))
        case 1: lines.remove(at: index)
        case 2: lines.insert(lines[index], at: mutator.below(lines.count))
        default: lines[index] = mutator.json(lines[index])
        }
        return [input[0]] + lines.joined(separator: [10])
    }

    func run(_ input: [UInt8]) throws {
        guard input.count > 1 else { return }
        let bytes = input[0] & 1 == 1 ? sealed(Array(input[1...])) : Array(input[1...])
        manifest.write(bytes)
        defer { manifest.write(sound) }
        let listings = try Backup.list(backups)
        guard listings.map(\.backup) == [1, 2], case .success = listings[1].manifest else {
            report("the other backup is gone")
        }
        var options = BackupOptions()
        options.threads = 1
        guard case .success = listings[0].manifest else {
            let found = try Backup.verify(backups, backup: 1, options: options)
            guard !found.isOK else { report("a manifest cannot be read, and is no problem") }
            return
        }
        // With the other one, which has the same objects.
        let found = try Backup.verify(backups, backup: nil, options: options)
        if bytes == sound, !found.isOK { report("\(found.problems), and nothing is wrong") }
        defer { try? FileManager.default.removeItem(atPath: target) }
        do {
            _ = try Backup.restore(backups, backup: 1, into: target, options: options)
        } catch {
            guard !Database.exists(at: target) else {
                report("a restore that failed left something")
            }
            throw error
        }
        // Objects may be missing in the manifest: what is there is what they say, or is not read.
        _ = try Check(try Database(path: target), deep: true, threads: 1).run()
    }

    /// As backup.md has it: the last line has the checksum of all before it; and the summary before
    /// it the numbers of objects and bytes, which are not made right.
    private func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var body = bytes[...]
        if body.last == 10 { body = body.dropLast() }
        let end = body.lastIndex(of: 10).map { $0 + 1 } ?? body.startIndex
        let kept = Array(body[..<end])
        var hashes: [UInt8] = []
        for piece in stride(from: 0, to: kept.count, by: 1 << 20) {
            hashes += SoundFiles.littleEndian(
                kept[piece..<min(kept.count, piece + 1 << 20)].withUnsafeBytes { kernels.hash($0) })
        }
        let hash = String(hashes.withUnsafeBytes { kernels.hash($0) }, radix: 16)
        let digits = String(repeating: "0", count: 16 - hash.count) + hash
        return kept + Array("{\"checksum\":\"\(digits)\"}\n".utf8)
    }
}
