// The checksum of files that are hashed as they are written or read: XXH3 of the XXH3s, as u64, of
// the successive MiB.

struct PieceHash {
    static let pieceBytes = 1 << 20

    private let kernels: KernelSet
    private var hashes: [UInt8] = []

    init(_ kernels: KernelSet) { self.kernels = kernels }

    /// Takes the next piece; only the last one may be shorter than a MiB.
    mutating func append(_ piece: UnsafeRawBufferPointer) {
        guard piece.count > 0 else { return }
        hashes.append(littleEndian: kernels.hash(piece))
    }

    var value: UInt64 { hashes.withUnsafeBytes { kernels.hash($0) } }
}
