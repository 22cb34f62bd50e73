// A message of a stream, small enough to be kept in memory.

final class MemoryBytes: ByteSource {
    private let storage: [UInt8]

    init(_ storage: [UInt8]) {
        self.storage = storage
    }

    var byteCount: Int { storage.count }

    func read(
        at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(ByteReadFailure) {
        let (end, overflow) = offset.addingReportingOverflow(buffer.count)
        guard offset >= 0, !overflow, end <= storage.count else {
            throw .ended(at: storage.count)
        }
        storage.withUnsafeBytes { all in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<end]))
        }
    }
}
