// Random access to the bytes of one input, wherever they lie. The parsers above it cannot tell a
// file from a message that was kept in memory.

/// Bytes of a known number that can be read at any offset, from several threads at once.
protocol ByteSource: Sendable {
    var byteCount: Int { get }
    /// Fills all of `buffer` from `offset` on.
    func read(
        at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(ByteReadFailure)
}

/// Why bytes that should be there could not be read; `at` is the offset of the first missing one.
enum ByteReadFailure: Error {
    case ended(at: Int)
    case refused(SystemFailure, at: Int)

    /// The failure as a message about `subject`, for example `a.safetensors, tensor "grad"`.
    func reading(_ subject: String) -> GradDBError {
        switch self {
        case .ended(let offset):
            .badInput(
                "\(subject): the data ends at byte \(offset), though it was longer when it was "
                    + "opened; read it again once nothing else writes to it")
        case .refused(let failure, let offset):
            GradDBError(.io, "\(subject): cannot read at byte \(offset): \(failure.text)")
        }
    }
}

extension ByteSource {
    /// A copy of `range`, which must be small enough to hold: a header of the input `name`.
    func header(_ range: Range<Int>, of name: String) throws(GradDBError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var failure: ByteReadFailure?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ByteReadFailure) {
                try read(at: range.lowerBound, into: buffer)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure.reading("\(name), header") }
        return bytes
    }
}
