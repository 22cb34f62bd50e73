// Matrices of doubles, row by row in memory that is not initialised twice and never moves.

#if canImport(Glibc)
    import Glibc
#endif

/// Part of a matrix: `rows` x `columns` numbers, rows `stride` numbers apart.
package struct DoubleBlock: @unchecked Sendable {  // who shares one between threads parts it first
    package let pointer: UnsafeMutablePointer<Double>
    package let rows: Int
    package let columns: Int
    package let stride: Int

    package subscript(rows: Range<Int>, columns: Range<Int>) -> DoubleBlock {
        DoubleBlock(
            pointer: pointer + rows.lowerBound * stride + columns.lowerBound, rows: rows.count,
            columns: columns.count, stride: stride)
    }

    package subscript(rows: Range<Int>) -> DoubleBlock { self[rows, 0..<columns] }

    package func row(_ row: Int) -> UnsafeMutableBufferPointer<Double> {
        UnsafeMutableBufferPointer(start: pointer + row * stride, count: columns)
    }
}

/// A matrix that owns its numbers, zeros at first. Memory that nobody writes to takes no room.
package final class DoubleMatrix: @unchecked Sendable {  // as its blocks
    package let block: DoubleBlock

    /// - Throws: `.failed` without so much memory.
    package init(rows: Int, columns: Int) throws {
        let count = max(1, rows * columns)
        guard let memory = calloc(count, MemoryLayout<Double>.stride) else {
            throw GradDBError(
                .failed, "there is no memory for a matrix of \(rows) x \(columns) numbers")
        }
        block = DoubleBlock(
            pointer: memory.bindMemory(to: Double.self, capacity: count), rows: rows,
            columns: columns, stride: columns)
    }

    deinit { free(block.pointer) }

    package var rows: Int { block.rows }
    package var columns: Int { block.columns }

    /// All numbers, row by row.
    package var numbers: UnsafeMutableBufferPointer<Double> {
        UnsafeMutableBufferPointer(start: block.pointer, count: rows * columns)
    }
}
