// f32 matrices through OpenBLAS, one thread per call. It is loaded when it is needed: linked, it
// would start a thread per core, and a Fortran run-time, in every process that opens a database.

#if canImport(Glibc)
    import Glibc
#endif

struct FloatMultiply: Sendable {
    /// cblas_sgemm: order, transposed a, transposed b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc.
    private typealias Multiply =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>?, Int32,
            UnsafePointer<Float>?, Int32, Float, UnsafeMutablePointer<Float>?, Int32
        ) -> Void

    private let multiply: Multiply
    /// Rows and columns: a product takes below a millisecond, and its operands fit the L2 cache.
    private static let side = 384
    private static let rowMajor: Int32 = 101
    private static let plain: Int32 = 111

    /// Nil where OpenBLAS is not installed.
    init?() {
        // OpenBLAS reads this when it is loaded.
        setenv("OPENBLAS_NUM_THREADS", "1", 1)
        guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
            let symbol = dlsym(library, "cblas_sgemm")
        else { return nil }
        multiply = unsafeBitCast(symbol, to: Multiply.self)
    }

    /// Multiplies two matrices of the floats in `bytes`, and says how many multiply-adds that took.
    func run(on bytes: UnsafeRawBufferPointer) -> Double {
        let side = Self.side
        let floats = bytes.assumingMemoryBound(to: Float.self).baseAddress
        withUnsafeTemporaryAllocation(of: Float.self, capacity: side * side) { product in
            multiply(
                Self.rowMajor, Self.plain, Self.plain, Int32(side), Int32(side), Int32(side), 1,
                floats, Int32(side), floats, Int32(side), 0, product.baseAddress, Int32(side))
        }
        return Double(side * side * side)
    }
}
