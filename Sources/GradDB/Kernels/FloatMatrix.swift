// Products of f32 matrices by OpenBLAS.

struct FloatMatrix: Sendable {
    /// cblas_sgemm: order, transposed a, transposed b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc.
    private typealias Multiply =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>?, Int32,
            UnsafePointer<Float>?, Int32, Float, UnsafeMutablePointer<Float>?, Int32
        ) -> Void

    private let sgemm: Multiply
    private static let rowMajor: Int32 = 101
    private static let plain: Int32 = 111
    private static let transposed: Int32 = 112

    /// Nil where OpenBLAS is not installed.
    static let loaded = OpenBLAS.function("cblas_sgemm").map { FloatMatrix(sgemm: $0) }

    /// product[r * columns + c] = the sum over i of left[r * inner + i] · right[c * inner + i], in
    /// any order.
    func multiply(
        _ left: UnsafePointer<Float>?, byTransposed right: UnsafePointer<Float>?, rows: Int,
        columns: Int, inner: Int, into product: UnsafeMutablePointer<Float>?
    ) {
        sgemm(
            Self.rowMajor, Self.plain, Self.transposed, Int32(rows), Int32(columns),
            Int32(inner), 1, left, Int32(inner), right, Int32(inner), 0, product, Int32(columns))
    }
}
