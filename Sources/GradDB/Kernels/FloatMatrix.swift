// Matrix products in single precision, by OpenBLAS.

import COpenBLAS

enum FloatMatrix {
    /// Scans have threads of their own, each with its own rows: OpenBLAS must not add more.
    private static let isSingleThreaded: Bool = {
        openblas_set_num_threads(1)
        return true
    }()

    /// product[r * columns + c] = the sum over i of left[r * inner + i] · right[c * inner + i].
    static func multiply(
        _ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>, rows: Int, columns: Int,
        inner: Int, into product: UnsafeMutablePointer<Float>
    ) {
        guard isSingleThreaded else { return }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(inner), 1,
            left, Int32(inner), right, Int32(inner), 0, product, Int32(columns))
    }
}
