// Several queries, 16-bit floats, by the matrix units: not the dot products, but between which two numbers each
// of them lies. A query is two numbers of the rows' kind for each element (gd_halves). The matrix units add up
// one piece of 64 bytes at a time, from zero; those sums are added in single precision to a slab's, and slabs'
// to a row's, so that no long sum is in the hands of what rounds as it likes (docs/gpu-kernels.md).
#ifndef GRADDB_ESTIMATE_CUH
#define GRADDB_ESTIMATE_CUH

#include "score_matrix.cuh"

template <int codec>
using EstimateBlocking = Blocking<codec, 1, 2, 8, 2, 3>;

// What a query's sums mean.
struct Interval {
    double low, high;
    inline Interval(float sum, const gd_estimate_term &term, double norm) {
        const double middle = multiply((double)sum, term.unit);
        const double error = add_exactly(multiply(term.factor, norm), term.least);
        // Neither infinite nor no number.
        const bool is_known = middle - middle == 0 && error - error == 0;
        low = is_known ? add_exactly(middle, -error) : double_of(0xfff0000000000000ull);
        high = is_known ? add_exactly(middle, error) : double_of(0x7ff0000000000000ull);
    }
};

template <typename B>
struct Estimate : MatrixScore<B> {
    using Base = MatrixScore<B>;
    using Sums = float[B::row_tiles][B::query_tiles][4];

    static inline void clear(Sums &sums) {
#pragma unroll
        for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
            for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
                for (int c = 0; c < 4; c++) sums[m][n][c] = 0;
    }

    static inline void multiply_halves(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        if (B::codec == GD_F16) multiply_f16(c, a, b0, b1);
        else multiply_bf16(c, a, b0, b1);
    }

    static inline void add_stage(uint8_t *stage, Sums &sums, int row, int query_tiles) {
        const int lane = threadIdx.x % 32, matrix = lane / 8, line = lane % 8;
#pragma unroll
        for (int piece = 0; piece < B::pieces; piece++) {
            uint32_t left[B::row_tiles][2][4];
#pragma unroll
            for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int r = row + m * 16 + matrix % 2 * 8 + line;
                    load_matrices(left[m][half], Base::row_place(stage, piece, r, half * 2 + matrix / 2));
                }
#pragma unroll
            for (int n = 0; n < B::query_tiles; n++) {
                if (n >= query_tiles) break;
                float piece_sums[B::row_tiles][4] = {};
#pragma unroll
                for (int plane = B::planes - 1; plane >= 0; plane--) {
                    uint32_t right[4];
                    load_matrices(right, Base::query_place(stage, piece, plane, n * 8 + line, matrix));
#pragma unroll
                    for (int half = 0; half < 2; half++)
#pragma unroll
                        for (int m = 0; m < B::row_tiles; m++)
                            multiply_halves(piece_sums[m], left[m][half], right[half * 2], right[half * 2 + 1]);
                }
#pragma unroll
                for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
                    for (int c = 0; c < 4; c++) sums[m][n][c] = add_singles(sums[m][n][c], piece_sums[m][c]);
            }
        }
    }

    inline void run(const gd_estimate_args &e) const {
        const gd_score_args &a = e.score;
        const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * B::row_tiles * 16;
        const int query_tiles = ((int)this->query_count + 7) / 8;

        Sums of_slab, totals;
        clear(of_slab);
        clear(totals);
        this->for_each_stage([&](uint8_t *stage, const Place &place) {
            add_stage(stage, of_slab, row, query_tiles);
            const uint32_t pitch = place.slab + 1 < a.layer.slabs ? a.layer.pitch : a.layer.last_pitch;
            if (place.at + B::row_bytes < pitch) return;
#pragma unroll
            for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
                for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
                    for (int c = 0; c < 4; c++) totals[m][n][c] = add_singles(totals[m][n][c], of_slab[m][n][c]);
            clear(of_slab);
        });

        const Rows rows = rows_of_tile(a, task_of_block().tile, B::rows);
        double norms[B::row_tiles * 2];
        uint32_t wanted = 0;  // bit i: the row of norms[i] counts
#pragma unroll
        for (int i = 0; i < B::row_tiles * 2; i++) {
            const uint32_t r = row + lane / 4 + i * 8;
            norms[i] = 0;
            if (r >= rows.count || !is_counting(a.counting, rows.output + r)) continue;
            norms[i] = square_root(rows.statistics[r].squared_norm);
            wanted |= 1u << i;
        }
#pragma unroll
        for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
            for (int odd = 0; odd < 2; odd++) {
                const uint32_t q = n * 8 + lane % 4 * 2 + odd;
                if (q >= this->query_count) continue;
                const gd_estimate_term term = ((const gd_estimate_term *)e.terms)[this->first_query + q];
                const uint64_t first =
                    (this->first_query + q) * a.stride + rows.output + row + lane / 4;
                double *lows = (double *)a.dots + first, *highs = (double *)e.highs + first;
#pragma unroll
                for (int i = 0; i < B::row_tiles * 2; i++) {
                    if (!(wanted >> i & 1)) continue;
                    const Interval part(totals[i / 2][n][i % 2 * 2 + odd], term, norms[i]);
                    lows[i * 8] = add_exactly(a.is_first ? 0.0 : lows[i * 8], part.low);
                    highs[i * 8] = add_exactly(a.is_first ? 0.0 : highs[i * 8], part.high);
                }
            }
    }
};

template <int codec>
inline void estimate(const gd_estimate_args &e) {
    using B = EstimateBlocking<codec>;
    static_assert(B::rows == GD_ROWS_FEW && B::queries == GD_QUERIES_FEW, "as the host was told");
    static_assert(B::bytes == GD_SHARED_ESTIMATE, "as the host was told");
    const gd_score_args &a = e.score;
    const Task task = task_of_block();
    const Rows rows = rows_of_tile(a, task.tile, B::rows);
    const uint32_t counting = MatrixScore<B>::counting_turns(a, rows);
    if (!any_in_block(counting != 0)) return;
    const uint32_t first = task.queries * B::queries, left = a.layer.query_count - first;
    const uint32_t count = left < (uint32_t)B::queries ? left : B::queries;
    const Estimate<B> estimate{
        {a, rows.slabs, rows.slab_bytes, shared_memory(), rows.first, first, count, counting}};
    estimate.run(e);
}

#endif
