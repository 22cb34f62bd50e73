// Dot products of 16-bit floats in single precision, by fused multiply-adds: one rounding a
// product, in sums so many that the order hides within the error that is allowed.
//
// Include it after rotate_vector.h (for gk_vector, GK_WIDTH). The including file defines:
//   gk_add_halves(form, sum, row, q)  sum + row * q, over GK_WIDTH elements of 16 bits
//   gk_reduce(v)                      the sum of a vector's elements
#include "kernels_internal.h"

#define GK_ESTIMATE_BLOCK 32  // elements: a stripe of the hash
#define GK_ESTIMATE_VECTORS (GK_ESTIMATE_BLOCK / GK_WIDTH)
#define GK_ESTIMATE_CHAINS 8  // sums, which hide the latency of the multiply-adds

typedef struct gk_estimate_sums {
    gk_vector chains[GK_ESTIMATE_CHAINS];
} gk_estimate_sums;

// Blocks that follow each other take turns at the sums.
GK_INLINE void gk_estimate_block(gk_form form, gk_estimate_sums *sums, size_t turn,
                                 const char *row, const gk_f32 *query) {
#pragma clang loop unroll(full)
    for (size_t v = 0; v < GK_ESTIMATE_VECTORS; v++) {
        gk_vector *sum = &sums->chains[(turn * GK_ESTIMATE_VECTORS + v) % GK_ESTIMATE_CHAINS];
        *sum = gk_add_halves(form, *sum, row + v * GK_WIDTH * 2, query + v * GK_WIDTH);
    }
}

GK_INLINE double gk_estimate_total(const gk_estimate_sums *sums) {
    gk_estimate_sums s = *sums;
#pragma clang loop unroll(full)
    for (size_t half = GK_ESTIMATE_CHAINS / 2; half > 0; half /= 2)
#pragma clang loop unroll(full)
        for (size_t j = 0; j < half; j++) s.chains[j] += s.chains[j + half];
    return gk_reduce(s.chains[0]);
}

GK_INLINE double gk_estimate_row(gk_form form, const char *row, size_t dims, const gk_f32 *query) {
    const size_t turns = GK_ESTIMATE_CHAINS / GK_ESTIMATE_VECTORS;
    const size_t unrolled = turns * GK_ESTIMATE_BLOCK;
    gk_estimate_sums sums = {0};
    size_t i = 0;
    for (; i + unrolled <= dims; i += unrolled)
#pragma clang loop unroll(full)
        for (size_t j = 0; j < turns; j++) {
            const size_t here = i + j * GK_ESTIMATE_BLOCK;
            gk_ask_ahead(form, row + 2 * here);
            gk_estimate_block(form, &sums, j, row + 2 * here, query + here);
        }
#pragma clang loop unroll(disable)
    for (; i + GK_ESTIMATE_BLOCK <= dims; i += GK_ESTIMATE_BLOCK)
        gk_estimate_block(form, &sums, 0, row + 2 * i, query + i);
    if (i < dims) {  // copied, because nothing may be read beyond a row
        char tail[GK_ESTIMATE_BLOCK * 2] = {0};
        float query_tail[GK_ESTIMATE_BLOCK] = {0};
        memcpy(tail, row + 2 * i, (dims - i) * 2);
        memcpy(query_tail, query + i, (dims - i) * sizeof *query);
        gk_estimate_block(form, &sums, 0, tail, query_tail);
    }
    return gk_estimate_total(&sums);
}

GK_INLINE void gk_estimate(gk_form form, const void *rows, size_t row_count, size_t stride,
                           size_t dims, const float *query, double *out) {
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * stride;
        out[r] = gk_canonical_f64(out[r] + gk_estimate_row(form, row, dims, query));
    }
}

static void gk_estimate_f16(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                            const float *query, double *out) {
    gk_estimate(GK_F16_ESTIMATE, rows, row_count, stride, dims, query, out);
}

static void gk_estimate_bf16(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                             const float *query, double *out) {
    gk_estimate(GK_BF16_ESTIMATE, rows, row_count, stride, dims, query, out);
}
