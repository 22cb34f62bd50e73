// Reads a stream in large pieces, one of them ahead of whoever works on the one before.

struct PieceReader {
    private let stream: TensorStream
    private let isAhead: Bool
    private let pieceBytes: Int
    private let buffers: Buffers

    private final class Buffers: @unchecked Sendable {
        // One is being read into while the other is looked at; never the same.
        let pieces: [UnsafeMutableRawBufferPointer]

        init(_ byteCount: Int) {
            pieces = (0..<2).map { _ in .allocate(byteCount: byteCount, alignment: 64) }
        }

        deinit { for piece in pieces { piece.deallocate() } }
    }

    /// - Parameter isAhead: whether there is a thread to read ahead on.
    init(_ stream: TensorStream, pieceBytes: Int, isAhead: Bool) {
        self.stream = stream
        self.pieceBytes = pieceBytes
        self.isAhead = isAhead
        buffers = Buffers(pieceBytes)
    }

    /// Calls `body` with the next `byteCount` bytes, piece by piece. A piece ends at the end of
    /// all, or at a multiple of the size of pieces.
    func forEachPiece(
        _ byteCount: Int, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var start = 0
        var reading: BackgroundTask?
        if byteCount > 0 { try read(0, byteCount, start) }
        var number = 0
        while start < byteCount {
            let size = min(pieceBytes, byteCount - start)
            let next = start + size
            if next < byteCount, isAhead {
                let (stream, buffers, pieceBytes) = (stream, buffers, pieceBytes)
                let ahead = (number + 1) % 2
                let aheadSize = min(pieceBytes, byteCount - next)
                reading = BackgroundTask {
                    try stream.next(into: .init(rebasing: buffers.pieces[ahead][..<aheadSize]))
                }
            }
            let outcome = Result {
                try body(UnsafeRawBufferPointer(rebasing: buffers.pieces[number % 2][..<size]))
            }
            // Waited for in any case: the buffers must outlive it.
            let read = Result { try reading?.wait() }
            try outcome.get()
            try read.get()
            if next < byteCount, reading == nil { try self.read((number + 1) % 2, byteCount, next) }
            reading = nil
            start = next
            number += 1
        }
    }

    /// Passes over bytes.
    func skip(_ byteCount: Int) throws { try forEachPiece(byteCount) { _ in } }

    private func read(_ number: Int, _ byteCount: Int, _ start: Int) throws {
        let size = min(pieceBytes, byteCount - start)
        try stream.next(into: .init(rebasing: buffers.pieces[number][..<size]))
    }
}
