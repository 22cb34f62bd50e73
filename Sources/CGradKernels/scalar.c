// The scalar variant: plain C, for any processor, and what the other variants must equal bit for
// bit. Nothing here is clever; where a loop looks slow, the point is that it is clearly right.
#include "kernels_internal.h"

// XXH3 picks the vectors that every processor of the architecture has.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "elementwise.h"
#include "rotate_plain.h"

#pragma STDC FP_CONTRACT OFF

static uint64_t hash_scalar(const void *bytes, size_t count) {
    return XXH3_64bits(bytes, count);
}

static void dot_int8_scalar(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                            const int8_t *query, int32_t query_sum, int64_t *out) {
    enum { STEP = 65536 };  // products of a step fit 32 bits: 65,536 x 128 x 128 = 2^30
    (void)query_sum;        // other variants score row + 128, this one the row itself
    for (size_t r = 0; r < row_count; r++) {
        const gk_s8 *row = rows + r * stride;
        for (size_t begin = 0; begin < dims; begin += STEP) {
            const size_t end = dims - begin < STEP ? dims : begin + STEP;
            int32_t sum = 0;
            for (size_t i = begin; i < end; i++) sum += (int32_t)row[i] * query[i];
            out[r] += sum;
        }
    }
}

// The two float dot products differ only in how they read an element of a row.
#define GK_DOT_FLOAT_SCALAR(name, element, memory_type, read)                                      \
    static void name(const element *rows, size_t row_count, size_t stride, size_t dims,            \
                     const float *query, double *out) {                                            \
        const gk_f32 *q = query;                                                                   \
        for (size_t r = 0; r < row_count; r++) {                                                   \
            const memory_type *row = (const memory_type *)((const char *)rows + r * stride);       \
            double lanes[GK_LANES] = {0};                                                          \
            size_t i = 0;                                                                          \
            for (; i + GK_LANES <= dims; i += GK_LANES)                                            \
                for (size_t j = 0; j < GK_LANES; j++)                                              \
                    lanes[j] += (double)read(row[i + j]) * (double)q[i + j];                       \
            for (size_t j = 0; i + j < dims; j++)                                                  \
                lanes[j] += (double)read(row[i + j]) * (double)q[i + j];                           \
            out[r] = gk_canonical_f64(out[r] + gk_fold(lanes));                                    \
        }                                                                                          \
    }

#define GK_READ_F16(half) gk_f32_of_bits(gk_f32_bits_of_f16(half))
#define GK_READ_F32(value) (value)
GK_DOT_FLOAT_SCALAR(dot_f16_scalar, uint16_t, gk_u16, GK_READ_F16)
GK_DOT_FLOAT_SCALAR(dot_f32_scalar, float, gk_f32, GK_READ_F32)

static uint64_t hash_and_dot_int8_scalar(const int8_t *rows, size_t row_count, size_t dims,
                                         const int8_t *query, int32_t query_sum, int64_t *out) {
    dot_int8_scalar(rows, row_count, dims, dims, query, query_sum, out);
    return XXH3_64bits(rows, row_count * dims);
}

static uint64_t hash_and_dot_f16_scalar(const uint16_t *rows, size_t row_count, size_t dims,
                                        const float *query, double *out) {
    dot_f16_scalar(rows, row_count, 2 * dims, dims, query, out);
    return XXH3_64bits(rows, row_count * 2 * dims);
}

static uint64_t hash_and_dot_f32_scalar(const float *rows, size_t row_count, size_t dims,
                                        const float *query, double *out) {
    dot_f32_scalar(rows, row_count, 4 * dims, dims, query, out);
    return XXH3_64bits(rows, row_count * 4 * dims);
}

const gk_kernels gk_scalar_kernels = {
    .name = "scalar",
    .hash = hash_scalar,
    .f16_to_f32 = gk_elementwise_f16_to_f32,
    .bf16_to_f32 = gk_elementwise_bf16_to_f32,
    .find_nonfinite = gk_elementwise_find_nonfinite,
    .rotate = gk_rotate_plain,
    .max_magnitude = gk_elementwise_max_magnitude,
    .quantize_int8 = gk_elementwise_quantize_int8,
    .f32_to_f16 = gk_elementwise_f32_to_f16,
    .sum_of_squares = gk_elementwise_sum_of_squares,
    .dot_int8 = dot_int8_scalar,
    .dot_f16 = dot_f16_scalar,
    .dot_f32 = dot_f32_scalar,
    .hash_and_dot_int8 = hash_and_dot_int8_scalar,
    .hash_and_dot_f16 = hash_and_dot_f16_scalar,
    .hash_and_dot_f32 = hash_and_dot_f32_scalar,
    .read_bytes = gk_elementwise_read_bytes,
};
