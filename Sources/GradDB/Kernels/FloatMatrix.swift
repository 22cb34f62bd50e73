// Products of f32 matrices by OpenBLAS, one thread per call: scans have threads of their own. It is
// loaded when it is needed: linked, it would start a thread per core, and a Fortran run-time, in
// every process that opens a database.

#if canImport(Glibc)
    import Glibc
#endif

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
    static let loaded: FloatMatrix? = {
        // OpenBLAS reads this when it is loaded. Programs that load this library, and those that
        // they start, keep their own setting.
        let name = "OPENBLAS_NUM_THREADS"
        let before = getenv(name).map { String(cString: $0) }
        setenv(name, "1", 1)
        defer { if let before { setenv(name, before, 1) } else { unsetenv(name) } }
        guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
            let symbol = dlsym(library, "cblas_sgemm")
        else { return nil }
        return FloatMatrix(sgemm: unsafeBitCast(symbol, to: Multiply.self))
    }()

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
