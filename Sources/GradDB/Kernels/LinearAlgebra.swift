// Products, triangular systems and factorisations of matrices of doubles, by OpenBLAS and the LAPACK
// within it. LAPACK counts columns first: what is a matrix row by row here is its transpose there.

package struct LinearAlgebra: Sendable {
    /// cblas_dgemm: order, transposed a, transposed b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc.
    private typealias Multiply =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Double, UnsafePointer<Double>?, Int32,
            UnsafePointer<Double>?, Int32, Double, UnsafeMutablePointer<Double>?, Int32
        ) -> Void
    /// cblas_dtrsm: order, side, upper or lower, transposed, unit, m, n, alpha, a, lda, b, ldb.
    private typealias SolveTriangular =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Int32, Double, UnsafePointer<Double>?, Int32,
            UnsafeMutablePointer<Double>?, Int32
        ) -> Void
    private typealias Characters = UnsafePointer<CChar>
    private typealias Integer = UnsafeMutablePointer<Int32>
    private typealias Numbers = UnsafeMutablePointer<Double>
    /// dpotrf_: uplo, n, a, lda, info; the length of uplo.
    private typealias Factor =
        @convention(c) (Characters, Integer, Numbers, Integer, Integer, Int) -> Void
    /// dsyevd_: jobz, uplo, n, a, lda, w, work, lwork, iwork, liwork, info; lengths.
    private typealias Eigen =
        @convention(c) (
            Characters, Characters, Integer, Numbers, Integer, Numbers, Numbers, Integer, Integer,
            Integer, Integer, Int, Int
        ) -> Void
    /// dgesdd_: jobz, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, iwork, info; length.
    private typealias Singular =
        @convention(c) (
            Characters, Integer, Integer, Numbers, Integer, Numbers, Numbers, Integer, Numbers,
            Integer, Numbers, Integer, Integer, Integer, Int
        ) -> Void

    private let dgemm: Multiply
    private let dtrsm: SolveTriangular
    private let dpotrf: Factor
    private let dsyevd: Eigen
    private let dgesdd: Singular

    private static let rowMajor: Int32 = 101
    private static let plain: Int32 = 111
    private static let transposed: Int32 = 112
    private static let lower: Int32 = 122
    private static let notUnit: Int32 = 131
    private static let right: Int32 = 142

    private static let loaded: LinearAlgebra? = {
        guard let dgemm = OpenBLAS.function("cblas_dgemm", as: Multiply.self),
            let dtrsm = OpenBLAS.function("cblas_dtrsm", as: SolveTriangular.self),
            let dpotrf = OpenBLAS.function("dpotrf_", as: Factor.self),
            let dsyevd = OpenBLAS.function("dsyevd_", as: Eigen.self),
            let dgesdd = OpenBLAS.function("dgesdd_", as: Singular.self)
        else { return nil }
        return LinearAlgebra(
            dgemm: dgemm, dtrsm: dtrsm, dpotrf: dpotrf, dsyevd: dsyevd, dgesdd: dgesdd)
    }()

    /// - Throws: `.failed` where OpenBLAS with LAPACK is not installed.
    package static func required() throws -> LinearAlgebra {
        guard let loaded else {
            throw GradDBError(
                .failed,
                "preconditioners need OpenBLAS with LAPACK (libopenblas.so.0), which is not "
                    + "installed; install libopenblas0")
        }
        return loaded
    }

    /// A factor of a product: as it lies, or transposed.
    package enum Factors {
        case plain(DoubleBlock)
        case transposed(DoubleBlock)

        fileprivate var block: DoubleBlock {
            switch self {
            case .plain(let block), .transposed(let block): block
            }
        }
        fileprivate var isTransposed: Bool {
            if case .transposed = self { true } else { false }
        }
        fileprivate var columns: Int { isTransposed ? block.rows : block.columns }
    }

    /// target = kept · target + scale · left · right.
    package func multiply(
        _ left: Factors, _ right: Factors, scale: Double = 1, keeping kept: Double = 0,
        into target: DoubleBlock
    ) {
        dgemm(
            Self.rowMajor, left.isTransposed ? Self.transposed : Self.plain,
            right.isTransposed ? Self.transposed : Self.plain, Int32(target.rows),
            Int32(target.columns), Int32(left.columns), scale, left.block.pointer,
            Int32(left.block.stride), right.block.pointer, Int32(right.block.stride), kept,
            target.pointer, Int32(target.stride))
    }

    /// rows = rows · L⁻¹, or rows · L⁻ᵀ, of a lower triangle L; what is above it is not looked at.
    package func solve(_ rows: DoubleBlock, by triangle: DoubleBlock, transposed: Bool) {
        dtrsm(
            Self.rowMajor, Self.right, Self.lower, transposed ? Self.transposed : Self.plain,
            Self.notUnit, Int32(rows.rows), Int32(rows.columns), 1, triangle.pointer,
            Int32(triangle.stride), rows.pointer, Int32(rows.stride))
    }

    /// Puts L, with L Lᵀ the matrix, in the place of its lower triangle; false where the matrix is
    /// not positive definite.
    func factor(_ matrix: DoubleBlock) -> Bool {
        var order = Int32(matrix.rows)
        var stride = Int32(matrix.stride)
        var status: Int32 = 0
        dpotrf("U", &order, matrix.pointer, &stride, &status, 1)
        return status == 0
    }

    /// Eigenvalues of a symmetric matrix, of which the lower triangle is read, ascending; its rows
    /// become the eigenvectors.
    package func eigenvalues(_ matrix: DoubleMatrix) throws -> [Double] {
        var order = Int32(matrix.rows)
        var status: Int32 = 0
        var values = [Double](repeating: 0, count: matrix.rows)
        func run(_ work: inout [Double], _ integers: inout [Int32], query: Bool) {
            var stride = max(1, order)
            var count = query ? -1 : Int32(work.count)
            var integerCount = query ? -1 : Int32(integers.count)
            dsyevd(
                "V", "U", &order, matrix.block.pointer, &stride, &values, &work, &count, &integers,
                &integerCount, &status, 1, 1)
        }
        var work = [0.0]
        var integers: [Int32] = [0]
        run(&work, &integers, query: true)
        work = [Double](repeating: 0, count: Int(work[0]))
        integers = [Int32](repeating: 0, count: Int(integers[0]))
        run(&work, &integers, query: false)
        guard status == 0 else {
            throw GradDBError(.failed, "the eigenvalues of a matrix were not found (\(status))")
        }
        return values
    }

    /// Singular values, descending, and the right singular vectors as rows: as many as the matrix
    /// has rows or columns, whichever are fewer. The matrix is lost.
    package func singularVectors(
        _ matrix: DoubleBlock
    ) throws -> (values: [Double], vectors: DoubleMatrix) {
        let rank = min(matrix.rows, matrix.columns)
        let vectors = try DoubleMatrix(rows: rank, columns: matrix.columns)
        let others = try DoubleMatrix(rows: matrix.rows, columns: rank)
        var values = [Double](repeating: 0, count: rank)
        var integers = [Int32](repeating: 0, count: 8 * rank)
        var status: Int32 = 0
        func run(_ work: inout [Double], query: Bool) {
            var rows = Int32(matrix.columns)
            var columns = Int32(matrix.rows)
            var stride = Int32(matrix.stride)
            var vectorStride = rows
            var otherStride = Int32(rank)
            var count = query ? -1 : Int32(work.count)
            dgesdd(
                "S", &rows, &columns, matrix.pointer, &stride, &values, vectors.block.pointer,
                &vectorStride, others.block.pointer, &otherStride, &work, &count, &integers,
                &status, 1)
        }
        var work = [0.0]
        run(&work, query: true)
        work = [Double](repeating: 0, count: Int(work[0]))
        run(&work, query: false)
        guard status == 0 else {
            throw GradDBError(.failed, "the singular values of a matrix were not found (\(status))")
        }
        return (values, vectors)
    }
}
