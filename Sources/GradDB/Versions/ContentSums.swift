// What a snapshot holds, as numbers that can be added to and taken from: so that a commit knows the
// next one's by looking at what it changes. format-spec/versions.md defines them.

/// Sums modulo 2^64 over the rows of a snapshot, and over their vectors in each encoding.
package struct ContentSums: Equatable, Sendable {
    package var records: UInt64 = 0
    /// By the encoding's number.
    package var encodings: [UInt32: UInt64] = [:]

    package init() {}

    package static func += (sums: inout ContentSums, other: ContentSums) {
        sums.records &+= other.records
        sums.encodings.merge(other.encodings, uniquingKeysWith: &+)
    }

    package static func -= (sums: inout ContentSums, other: ContentSums) {
        sums.records &-= other.records
        for (encoding, sum) in other.encodings { sums.encodings[encoding, default: 0] &-= sum }
    }

    /// The snapshot's hash: that of everything it holds.
    ///
    /// - Parameter snapshot: says which encodings of `layers` count.
    package func hash(
        layers: [Layer], in snapshot: UInt64, checkpoints: [CheckpointDocument],
        _ kernels: KernelSet
    ) -> String {
        var words: [UInt64] = [
            records, checkpoints.reduce(0) { $0 &+ $1.contentHash(kernels) },
        ]
        for layer in layers {
            let name = kernels.hash(layer.name.utf8)
            for encoding in layer.encodings(in: snapshot) {
                words += [
                    name, UInt64(encoding.codec.number), encodings[encoding.number] ?? 0,
                ]
            }
        }
        return Catalog.Key.hex(kernels.hash(words))
    }

    /// Without the sums of other encodings than these.
    package func restricted(to encodings: Set<UInt32>) -> ContentSums {
        var sums = self
        sums.encodings = self.encodings.filter { encodings.contains($0.key) }
        return sums
    }
}

extension ContentSums: Codable {
    private enum CodingKeys: String, CodingKey { case records, encodings }

    private struct Part: Codable {
        var encoding: UInt32
        var sum: String
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func number(_ text: String) throws -> UInt64 {
            guard let number = UInt64(text, radix: 16), text.utf8.count == 16 else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: container.codingPath, debugDescription: "no sum: '\(text)'"))
            }
            return number
        }
        records = try number(try container.decode(String.self, forKey: .records))
        encodings = [:]
        for part in try container.decode([Part].self, forKey: .encodings) {
            encodings[part.encoding] = try number(part.sum)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Catalog.Key.hex(records), forKey: .records)
        try container.encode(
            encodings.sorted { $0.key < $1.key }.map {
                Part(encoding: $0.key, sum: Catalog.Key.hex($0.value))
            }, forKey: .encodings)
    }
}

/// Hashes of the parts of a row's content.
package struct ContentHash: Sendable {
    private let kernels: KernelSet

    package init(_ kernels: KernelSet) { self.kernels = kernels }

    /// Of a row's id and fields, as its record has them.
    package func record(_ bytes: [UInt8]) -> UInt64 { kernels.hash(bytes) }

    /// Of an id: a part of the hash of each of its vectors.
    package func id(_ id: RowID) -> UInt64 {
        kernels.hash(RowRecord(id: id, values: []).encode())
    }

    package func checkpoint(_ name: String) -> UInt64 { kernels.hash(name.utf8) }

    /// Of one row's vector in one encoding.
    ///
    /// - Parameters:
    ///   - slabs: the row's bytes in each slab.
    package func vector(
        id: UInt64, checkpoint: UInt64, _ statistics: RowStatistics,
        slabs: some Collection<UnsafeRawBufferPointer>
    ) -> UInt64 {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 3 + slabs.count) { words in
            words[0] = id.littleEndian
            words[1] = checkpoint.littleEndian
            words[2] = statistics.withStoredBytes { kernels.hash($0) }.littleEndian
            for (index, slab) in slabs.enumerated() {
                words[3 + index] = kernels.hash(slab).littleEndian
            }
            return kernels.hash(UnsafeRawBufferPointer(words))
        }
    }
}

extension CheckpointDocument {
    fileprivate func contentHash(_ kernels: KernelSet) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: kernels.hash(name.utf8))
        bytes.append(step == nil ? 0 : 1)
        bytes.append(littleEndian: step ?? 0)
        bytes.append(weight == nil ? 0 : 1)
        bytes.append(littleEndian: (weight ?? 0).bitPattern)
        return kernels.hash(bytes)
    }
}

extension RowStatistics {
    /// The 16 bytes that a block has of the row.
    fileprivate func withStoredBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: BlockLayout.statisticsBytesPerRow, alignment: 8) {
            store(toBytes: $0, at: 0)
            return body(UnsafeRawBufferPointer($0))
        }
    }
}

extension KernelSet {
    fileprivate func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { hash($0) } }

    fileprivate func hash(_ text: String.UTF8View) -> UInt64 { hash(Array(text)) }

    /// Of 64-bit words, little-endian.
    fileprivate func hash(_ words: [UInt64]) -> UInt64 {
        words.map(\.littleEndian).withUnsafeBytes { hash($0) }
    }
}
