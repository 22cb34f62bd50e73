// Writes a preconditioner's numbers and norms ahead of the commit that publishes it, piece by piece,
// so that no more than a few pieces are in memory.

package final class NumberWriter {
    /// Numbers in a piece.
    static let pieceCount = 1 << 19
    /// A batch larger than this is written.
    private static let batchBytes = 32 << 20
    /// Doubles of gradients hardly compress: the fastest level finds what there is.
    private static let level: Int32 = 1

    private let store: RocksStore
    private let table: UInt32
    private let preconditioner: UInt32
    private let batch: WriteBatch

    package init(_ store: RocksStore, table: UInt32, preconditioner: UInt32) {
        self.store = store
        self.table = table
        self.preconditioner = preconditioner
        batch = WriteBatch(store)
    }

    /// Writes a part's numbers.
    ///
    /// - Returns: how many there are.
    package func write(part: UInt32, _ matrix: any InverseMatrix, cancellation: Cancellation) throws
        -> Int
    {
        var piece: [Double] = []
        piece.reserveCapacity(Self.pieceCount)
        var pieces: UInt32 = 0
        var count = 0
        func flush() throws {
            try cancellation.check()
            let key = Keys.piece(
                table: table, preconditioner: preconditioner, part: part, piece: pieces)
            try put(key, piece)
            pieces += 1
            count += piece.count
            piece.removeAll(keepingCapacity: true)
        }
        try matrix.forEachRun { run in
            var rest = run[...]
            while !rest.isEmpty {
                let taken = rest.prefix(Self.pieceCount - piece.count)
                piece.append(contentsOf: taken)
                rest = rest.dropFirst(taken.count)
                if piece.count == Self.pieceCount { try flush() }
            }
        }
        if !piece.isEmpty { try flush() }
        return count
    }

    /// Writes the norms of one row group.
    package func write(norms: [Double], of unit: ScanUnit) throws {
        let key = Keys.norms(
            table: table, preconditioner: preconditioner, segment: unit.segment.segment,
            rowGroup: UInt32(unit.group))
        try put(key, norms)
    }

    /// Writes what is left.
    package func finish() throws { if batch.byteCount > 0 { try writeBatch() } }

    private func put(_ key: [UInt8], _ numbers: [Double]) throws {
        batch.put(.fields, key, try Self.encode(numbers))
        if batch.byteCount > Self.batchBytes { try writeBatch() }
    }

    /// Numbers as they are stored.
    package static func encode(_ numbers: [Double]) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(numbers.count * 8)
        bytes.append(littleEndianArray: numbers.map(\.bitPattern))
        return try Zstd.compress(bytes, level: level)
    }

    /// Not synced: the publication is, and comes after it in the log.
    private func writeBatch() throws {
        try store.requireRoom(for: batch.byteCount)
        try store.write(batch, sync: false)
        batch.clear()
    }
}
