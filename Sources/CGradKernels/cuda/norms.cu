// Squared norms of rows, and cosines of dot products.
#include "rows.cuh"

GD_KERNEL __launch_bounds__(GD_THREADS) gd_norms(GD_ARGUMENTS(gd_norms_args) a) {
    const gd_item item = ((const gd_item *)a.items)[blockIdx.x];
    const gd_statistics *statistics = (const gd_statistics *)item.statistics;
    double *norms = (double *)a.norms + item.first;
    for (uint32_t row = threadIdx.x; row < item.rows; row += GD_THREADS)
        norms[row] = add_exactly(a.is_first ? 0.0 : norms[row], statistics[row].squared_norm);
}

GD_KERNEL __launch_bounds__(GD_THREADS) gd_cosines(GD_ARGUMENTS(gd_cosines_args) a) {
    const uint64_t row = (uint64_t)blockIdx.x * GD_THREADS + threadIdx.x;
    if (row >= a.rows) return;
    const double norm = square_root(((const double *)a.norms)[row]);
    double *dot = (double *)a.dots + blockIdx.y * a.stride + row;
    *dot = norm == 0 ? 0.0 : divide(*dot, multiply(norm, ((const double *)a.query_norms)[blockIdx.y]));
}
