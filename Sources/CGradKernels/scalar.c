// The scalar variant: plain C, for any processor, and what the other variants must equal bit for
// bit. Nothing here is clever; where a loop looks slow, the point is that it is clearly right.
#include "kernels_internal.h"

// XXH3 picks the vectors that every processor of the architecture has.
#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#define GK_WITHOUT_FLOOR 1  // rounding to integers came later, and floorf is slow
#endif
#include "elementwise.h"
#include "pairs.h"
#include "rotate_plain.h"
#include "sketch_words.h"

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

static void sketch_scalar(const float *x, size_t count, uint64_t first_unit, uint64_t sign_key,
                          uint64_t place_key, uint64_t units, float *sums) {
    const gk_f32 *from = x;
    gk_f32 *to = sums;
    for (size_t begin = 0; begin < count; begin += GK_UNIT) {
        const uint64_t unit = first_unit + begin / GK_UNIT;
        const uint64_t word = gk_mix(gk_counter(sign_key, unit)), exchange = gk_exchange(word);
        const uint64_t rotation = gk_rotation(place_key, unit / units, units);
        const uint64_t base = (unit % units + rotation) % units * GK_UNIT;
        const size_t rest = count - begin < GK_UNIT ? count - begin : GK_UNIT;
        for (size_t i = 0; i < rest; i++)
            to[base + (i ^ exchange)] += gk_signed(from[begin + i], word >> i);
    }
}

static void add_signed_scalar(const float *x, size_t count, uint64_t first, uint64_t key,
                              size_t dims, float *sums) {
    const gk_f32 *from = x;
    gk_f32 *to = sums;
    const uint64_t blocks = dims / GK_UNIT + (dims % GK_UNIT != 0);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < dims; k++) {
            const uint64_t word = gk_mix(gk_counter(key, (first + i) * blocks + k / GK_UNIT));
            to[k] += gk_signed(from[i], word >> k % GK_UNIT);
        }
}

static size_t int4_row_bytes(size_t dims) { return dims / 2 + dims % 2; }

static void dot_int4_scalar(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                            const int8_t *even, const int8_t *odd, int64_t *out) {
    for (size_t r = 0; r < row_count; r++) {
        const uint8_t *row = rows + r * stride;
        int64_t sum = 0;
        for (size_t j = 0; j < int4_row_bytes(dims); j++)
            sum += (row[j] & 15) * even[j] + (row[j] >> 4) * odd[j];
        out[r] += sum;
    }
}

static size_t bit_row_bytes(size_t dims) { return dims / 8 + (dims % 8 != 0); }

static void dot_bit_scalar(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                           const uint8_t *planes, int64_t *out) {
    const int weights[GK_BIT_PLANES] = {1, 2, 4, 8, 16, -32};
    const size_t row_bytes = bit_row_bytes(dims);
    for (size_t r = 0; r < row_count; r++) {
        const uint8_t *row = rows + r * stride;
        for (size_t p = 0; p < GK_BIT_PLANES; p++) {
            const uint8_t *plane = planes + p * row_bytes;
            int64_t count = 0;
            for (size_t j = 0; j < row_bytes; j++) count += __builtin_popcount(row[j] & plane[j]);
            out[r] += weights[p] * count;
        }
    }
}

static size_t float_bytes(gk_form form) { return form == GK_F32 ? 4 : 2; }

GK_INLINE float float_at(gk_form form, const char *row, size_t i) {
    if (form == GK_F32) return ((const gk_f32 *)row)[i];
    const uint32_t half = ((const gk_u16 *)row)[i];
    return gk_f32_of_bits(form == GK_BF16 ? half << 16 : gk_f32_bits_of_f16((uint16_t)half));
}

GK_INLINE void dot_floats(gk_form form, const void *rows, size_t row_count, size_t stride,
                          size_t dims, const float *query, double *out) {
    const gk_f32 *q = query;
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * stride;
        double lanes[GK_LANES] = {0};
        for (size_t i = 0; i < dims; i++)
            lanes[i % GK_LANES] += (double)float_at(form, row, i) * (double)q[i];
        out[r] = gk_canonical_f64(out[r] + gk_fold(lanes));
    }
}

// The first two are the estimates as well: here the sum itself costs no more.
static void dot_f16_scalar(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                           const float *query, double *out) {
    dot_floats(GK_F16, rows, row_count, stride, dims, query, out);
}

static void dot_bf16_scalar(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                            const float *query, double *out) {
    dot_floats(GK_BF16, rows, row_count, stride, dims, query, out);
}

static void dot_f32_scalar(const float *rows, size_t row_count, size_t stride, size_t dims,
                           const float *query, double *out) {
    dot_floats(GK_F32, rows, row_count, stride, dims, query, out);
}

static uint64_t hash_and_dot_int8_scalar(const int8_t *rows, size_t row_count, size_t dims,
                                         const int8_t *query, int32_t query_sum, int64_t *out) {
    dot_int8_scalar(rows, row_count, dims, dims, query, query_sum, out);
    return XXH3_64bits(rows, row_count * dims);
}

static uint64_t hash_and_dot_int4_scalar(const uint8_t *rows, size_t row_count, size_t dims,
                                         const int8_t *even, const int8_t *odd, int64_t *out) {
    const size_t row_bytes = int4_row_bytes(dims);
    dot_int4_scalar(rows, row_count, row_bytes, dims, even, odd, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static uint64_t hash_and_dot_bit_scalar(const uint8_t *rows, size_t row_count, size_t dims,
                                        const uint8_t *planes, int64_t *out) {
    const size_t row_bytes = bit_row_bytes(dims);
    dot_bit_scalar(rows, row_count, row_bytes, dims, planes, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

GK_INLINE uint64_t hash_and_dot_floats(gk_form form, const void *rows, size_t row_count,
                                       size_t dims, const float *query, double *out) {
    const size_t row_bytes = dims * float_bytes(form);
    dot_floats(form, rows, row_count, row_bytes, dims, query, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static uint64_t hash_and_dot_f16_scalar(const uint16_t *rows, size_t row_count, size_t dims,
                                        const float *query, double *out) {
    return hash_and_dot_floats(GK_F16, rows, row_count, dims, query, out);
}

static uint64_t hash_and_dot_bf16_scalar(const uint16_t *rows, size_t row_count, size_t dims,
                                         const float *query, double *out) {
    return hash_and_dot_floats(GK_BF16, rows, row_count, dims, query, out);
}

static uint64_t hash_and_dot_f32_scalar(const float *rows, size_t row_count, size_t dims,
                                        const float *query, double *out) {
    return hash_and_dot_floats(GK_F32, rows, row_count, dims, query, out);
}

const gk_kernels gk_scalar_kernels = {
    .name = "scalar",
    .batch = &gk_batch_scalar,
    .hash = hash_scalar,
    .f16_to_f32 = gk_elementwise_f16_to_f32,
    .bf16_to_f32 = gk_elementwise_bf16_to_f32,
    .find_nonfinite = gk_elementwise_find_nonfinite,
    .sketch = sketch_scalar,
    .add_signed = add_signed_scalar,
    .add_scaled = gk_elementwise_add_scaled,
    .squared_length = gk_elementwise_squared_length,
    .rotate = gk_rotate_plain,
    .max_magnitude = gk_elementwise_max_magnitude,
    .quantize_int8 = gk_elementwise_quantize_int8,
    .quantize_int4 = gk_elementwise_quantize_int4,
    .quantize_bit = gk_elementwise_quantize_bit,
    .f32_to_f16 = gk_elementwise_f32_to_f16,
    .f32_to_bf16 = gk_elementwise_f32_to_bf16,
    .sum_of_squares = gk_elementwise_sum_of_squares,
    .dot_int8 = dot_int8_scalar,
    .dot_int4 = dot_int4_scalar,
    .dot_bit = dot_bit_scalar,
    .dot_bf16 = dot_bf16_scalar,
    .dot_f16 = dot_f16_scalar,
    .dot_f32 = dot_f32_scalar,
    .pair_int8 = gk_pair_int8,
    .pair_int4 = gk_pair_int4,
    .pair_bit = gk_pair_bit,
    .estimate_f16 = dot_f16_scalar,
    .estimate_bf16 = dot_bf16_scalar,
    .hash_and_dot_int8 = hash_and_dot_int8_scalar,
    .hash_and_dot_int4 = hash_and_dot_int4_scalar,
    .hash_and_dot_bit = hash_and_dot_bit_scalar,
    .hash_and_estimate_f16 = hash_and_dot_f16_scalar,
    .hash_and_estimate_bf16 = hash_and_dot_bf16_scalar,
    .hash_and_dot_bf16 = hash_and_dot_bf16_scalar,
    .hash_and_dot_f16 = hash_and_dot_f16_scalar,
    .hash_and_dot_f32 = hash_and_dot_f32_scalar,
    .read_bytes = gk_elementwise_read_bytes,
    .multiply_int8 = gk_peak_scalar,
};
