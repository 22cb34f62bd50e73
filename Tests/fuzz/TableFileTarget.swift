// Table files of blocks: an input is a whole file, of which all blocks are asked for.
//
//   0  whether the checksums of what finds entries are made right again   1 … the file

import Foundation
import GradDB

final class TableFileTarget: FuzzTarget {
    private static let footerBytes = 53

    private let directory = TemporaryDirectory()
    private let file: InputFile
    private let kernels: KernelSet
    private let keys: [[UInt8]]
    private let sound: [UInt8]

    let expected: Set<GradDBError.Kind> = [.corrupt]
    var seeds: [[UInt8]] { [[0] + sound, [1] + sound] }

    init() throws {
        kernels = try KernelSet.chosen()
        file = InputFile(directory, "000009.sst")
        let path = directory.file("sound.sst")
        let writer = try SSTWriter(path: path)
        // Some share a part of the file, and one has a part of its own.
        let blocks = [0, 1, 2, 3, 4, 5].map { number in
            (
                key: BlockKey(
                    table: 1, segment: 7, rowGroup: number / 2, encoding: 2, slab: number % 2
                ).bytes,
                value: [UInt8](repeating: UInt8(number), count: number == 3 ? 4_500 : 40)
            )
        }
        for (key, value) in blocks { try value.withUnsafeBytes { try writer.put(key, $0) } }
        try writer.finish()
        keys = blocks.map(\.key)
        sound = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    func run(_ input: [UInt8]) throws {
        guard input.count > 1 else { return }
        var bytes = Array(input[1...])
        if input[0] & 1 == 1 { seal(&bytes) }
        file.write(bytes)
        let files = try BlockFiles(
            [
                LiveFile(
                    family: "blocks", path: file.path, bytes: bytes.count, smallest: keys[0],
                    largest: keys[keys.count - 1])
            ], tolerating: false)
        for key in keys {
            do {
                // All of a value can be read: it lies within the file.
                if let value = try files.value(key) {
                    _ = value.withBytes { bytes in bytes.reduce(UInt8(0), ^) }
                }
                _ = try files.parts(of: key)
            } catch let error as GradDBError where error.kind == .corrupt {
                guard error.message.contains("000009.sst") else { report("no file: \(error)") }
            }
        }
        _ = try files.damage(deep: true, threads: 1, cancellation: Cancellation())
    }

    // MARK: checksums

    /// Makes the checksums right of the list of parts, of what it lists, and of the index.
    private func seal(_ bytes: inout [UInt8]) {
        let footer = bytes.count - Self.footerBytes
        guard footer >= 0 else { return }
        var place = footer + 1
        guard let metaindex = Self.range(bytes, &place, limit: footer),
            let index = Self.range(bytes, &place, limit: footer)
        else { return }
        seal(&bytes, index)
        // Key and value of each entry, up to the restarts, which no sound parse reaches.
        var at = metaindex.lowerBound
        while at < metaindex.upperBound, Self.varint(bytes, &at) != nil,
            let own = Self.varint(bytes, &at), let size = Self.varint(bytes, &at),
            own + size <= metaindex.upperBound - at
        {
            var value = at + own
            at = value + size
            if let part = Self.range(bytes, &value, limit: footer) { seal(&bytes, part) }
        }
        seal(&bytes, metaindex)
    }

    private func seal(_ bytes: inout [UInt8], _ range: Range<Int>) {
        let sum = bytes[range].withUnsafeBytes { kernels.hash($0) }
        bytes.put(sum, at: range.upperBound + 1, bytes: 4)
    }

    /// Where a part lies, and five bytes behind it.
    private static func range(_ bytes: [UInt8], _ place: inout Int, limit: Int) -> Range<Int>? {
        guard let start = varint(bytes, &place), let count = varint(bytes, &place),
            start <= limit, count <= limit - start - 5
        else { return nil }
        return start..<start + count
    }

    private static func varint(_ bytes: [UInt8], _ place: inout Int) -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            guard place < bytes.count else { return nil }
            defer { place += 1 }
            value |= Int(bytes[place] & 0x7F) << shift
            if bytes[place] < 0x80 {
                return value
            }
        }
        return nil
    }
}
