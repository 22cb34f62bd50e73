// Reads a preconditioner's numbers and norms as they are stored: RocksDB and zstd verify the bytes,
// sizes are compared with what the catalog says.

/// The numbers of a part, piece by piece.
final class StoredNumbers: NumberSource {
    private let view: TableView
    private let preconditioner: PreconditionerDocument
    private let part: PreconditionerDocument.Part
    private var left: Int
    private var pieces: UInt32 = 0
    private var piece: [UInt8] = []
    private var next = 0

    init(
        _ view: TableView, _ preconditioner: PreconditionerDocument,
        _ part: PreconditionerDocument.Part
    ) {
        self.view = view
        self.preconditioner = preconditioner
        self.part = part
        left = Int(part.bytes) / 8
    }

    func read(into target: UnsafeMutableBufferPointer<Double>) throws {
        var filled = 0
        while filled < target.count {
            if next == piece.count { try load() }
            let taken = min(target.count - filled, (piece.count - next) / 8)
            piece.withUnsafeBytes { bytes in
                for index in 0..<taken {
                    let bits = bytes.loadUnaligned(
                        fromByteOffset: next + index * 8, as: UInt64.self)
                    target[filled + index] = Double(bitPattern: UInt64(littleEndian: bits))
                }
            }
            filled += taken
            next += taken * 8
        }
    }

    /// Reads all pieces, and nothing more.
    func readAll() throws { while left > 0 { try load() } }

    /// - Throws: `.corrupt` where a piece is missing.
    func requirePieces() throws {
        let count = (left + NumberWriter.pieceCount - 1) / NumberWriter.pieceCount
        for piece in 0..<UInt32(count) {
            guard try view.store.pinned(.fields, key(of: piece)) != nil else {
                throw GradDBError.corrupt("\(name(of: piece)) is missing")
            }
        }
    }

    private func name(of piece: UInt32) -> String {
        "piece \(piece) of part \(part.part) of preconditioner '\(preconditioner.name)'"
    }

    private func key(of piece: UInt32) -> [UInt8] {
        Keys.piece(
            table: view.table.document.table, preconditioner: preconditioner.number,
            part: part.part, piece: piece)
    }

    private func load() throws {
        let what = name(of: pieces)
        let count = min(left, NumberWriter.pieceCount)
        piece = try view.storedNumbers(key(of: pieces), count: count, what: what)
        pieces += 1
        left -= count
        next = 0
        guard count > 0 else { throw GradDBError.corrupt("\(what) is missing") }
    }
}

extension TableView {
    /// The bytes of so many numbers.
    fileprivate func storedNumbers(_ key: [UInt8], count: Int, what: String) throws -> [UInt8] {
        guard let value = try store.pinned(.fields, key) else {
            throw GradDBError.corrupt("\(what) is missing")
        }
        let bytes = try value.withBytes { try Zstd.decompress($0, what: what) }
        guard bytes.count == count * 8 else {
            throw GradDBError.corrupt("\(what) has \(bytes.count) bytes, not \(count * 8)")
        }
        return bytes
    }

    /// Norms of a row group that were stored with a preconditioner, part by part of the checkpoint;
    /// nil where there are none.
    func storedNorms(
        _ preconditioner: PreconditionerDocument, of unit: ScanUnit, parts: Int
    ) throws -> [Double]? {
        guard preconditioner.hasNorms(of: unit.segment) else { return nil }
        let what =
            "the norms of segment \(unit.segment.segment), row group \(unit.group), of "
            + "preconditioner '\(preconditioner.name)'"
        let count = parts * unit.segment.rows(ofGroup: unit.group)
        let bytes = try storedNumbers(
            Keys.norms(
                table: table.document.table, preconditioner: preconditioner.number,
                segment: unit.segment.segment, rowGroup: UInt32(unit.group)),
            count: count, what: what)
        let norms = bytes.withUnsafeBytes { bytes in
            (0..<count).map {
                Double(
                    bitPattern: UInt64(
                        littleEndian: bytes.loadUnaligned(
                            fromByteOffset: $0 * 8, as: UInt64.self)))
            }
        }
        guard norms.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
            throw GradDBError.corrupt("\(what) are not norms")
        }
        return norms
    }
}
