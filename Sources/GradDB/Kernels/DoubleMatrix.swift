// Matrices of doubles, row by row in memory that is not initialised twice and never moves.

#if canImport(Glibc)
    import Glibc
#endif

/// Part of a matrix, which it keeps: `rows` x `columns` numbers, rows `stride` numbers apart.
package struct DoubleBlock: @unchecked Sendable {  // who shares one between threads parts it first
    package let pointer: UnsafeMutablePointer<Double>
    package let rows: Int
    package let columns: Int
    package let stride: Int
    /// Whose memory it is.
    fileprivate let owner: DoubleMatrix

    package subscript(rows: Range<Int>, columns: Range<Int>) -> DoubleBlock {
        DoubleBlock(
            pointer: pointer + rows.lowerBound * stride + columns.lowerBound, rows: rows.count,
            columns: columns.count, stride: stride, owner: owner)
    }

    package subscript(rows: Range<Int>) -> DoubleBlock { self[rows, 0..<columns] }

    /// A row's numbers; valid while the block, or its matrix, is kept.
    package func row(_ row: Int) -> UnsafeMutableBufferPointer<Double> {
        UnsafeMutableBufferPointer(start: pointer + row * stride, count: columns)
    }
}

/// A matrix that owns its numbers, zeros at first. Memory that nobody writes to takes no room.
package final class DoubleMatrix: @unchecked Sendable {  // as its blocks
    private let pointer: UnsafeMutablePointer<Double>
    package let rows: Int
    package let columns: Int

    /// - Throws: `.failed` without so much memory.
    package init(rows: Int, columns: Int) throws {
        let count = max(1, rows * columns)
        guard let memory = calloc(count, MemoryLayout<Double>.stride) else {
            throw GradDBError(
                .failed, "there is no memory for a matrix of \(rows) x \(columns) numbers")
        }
        pointer = memory.bindMemory(to: Double.self, capacity: count)
        self.rows = rows
        self.columns = columns
    }

    deinit { free(pointer) }

    /// All of it.
    package var block: DoubleBlock {
        DoubleBlock(pointer: pointer, rows: rows, columns: columns, stride: columns, owner: self)
    }

    /// All numbers, row by row; valid while the matrix is kept.
    package var numbers: UnsafeMutableBufferPointer<Double> {
        UnsafeMutableBufferPointer(start: pointer, count: rows * columns)
    }
}
