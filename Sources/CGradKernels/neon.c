// The NEON variant: AArch64 with the dot product instructions (Armv8.2 DotProd). Rows are read one
// after the other, and tails are scored as in dot_integer_vector.h and dot_float_vector.h, for the
// reasons given there.
#include "kernels_internal.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_NEON
#include <xxhash.h>

#include "elementwise.h"
#include "pairs.h"

#pragma STDC FP_CONTRACT OFF

// ---- the rotation ----

// Two registers: the signs of a vector are then a whole byte.
typedef float gk_vector __attribute__((vector_size(32)));
#define GK_WIDTH 8
#define GK_LEAF 8

typedef uint32_t gk_vector_bits __attribute__((vector_size(32)));

GK_INLINE gk_vector gk_flip(gk_vector v, const unsigned char *bits) {
    const gk_vector_bits lane = {31, 30, 29, 28, 27, 26, 25, 24};
    const gk_vector_bits moved = ((gk_vector_bits){0} + *bits) << lane;  // bit j to bit 31
    return (gk_vector)((gk_vector_bits)v ^ (moved & 0x80000000u));
}

// One stage within a vector: a lane holds v and meets the other of its pair. In the second of the
// two, where `sign` is -1, the result is met + -1 * v, rounded once: exactly met - v.
GK_INLINE gk_vector gk_stages_within(gk_vector v) {
    const gk_vector ones = {1, -1, 1, -1, 1, -1, 1, -1};
    const gk_vector twos = {1, 1, -1, -1, 1, 1, -1, -1};
    const gk_vector fours = {1, 1, 1, 1, -1, -1, -1, -1};
    gk_vector met = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
    v = __builtin_elementwise_fma(v, ones, met);
    met = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
    v = __builtin_elementwise_fma(v, twos, met);
    met = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    return __builtin_elementwise_fma(v, fours, met);
}

GK_INLINE gk_vector gk_canonical(gk_vector v) {
    const gk_vector_bits number = (gk_vector_bits)(v == v);  // all ones where it is one
    return (gk_vector)(((gk_vector_bits)v & number) | (GK_NAN_BITS_F32 & ~number));
}

#include "rotate_vector.h"

// ---- projecting ----

// Of bytes: those of the first register; for the second, those 16 further on.
typedef uint8x16_t gk_lanes;

GK_INLINE gk_lanes gk_lanes_of(unsigned m) {
    const uint8x16_t byte = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return veorq_u8(byte, vdupq_n_u8((uint8_t)(4 * m)));
}

GK_INLINE gk_vector gk_move(gk_vector v, gk_lanes lanes) {
    uint8x16x2_t bytes;
    memcpy(&bytes, &v, sizeof bytes);
    const uint8x16_t moved[2] = {vqtbl2q_u8(bytes, lanes),
                                 vqtbl2q_u8(bytes, veorq_u8(lanes, vdupq_n_u8(16)))};
    memcpy(&v, moved, sizeof v);
    return v;
}

GK_INLINE gk_vector gk_flip_by(gk_vector v, uint64_t bits) {
    const gk_vector_bits lane = {31, 30, 29, 28, 27, 26, 25, 24};
    const gk_vector_bits moved = ((gk_vector_bits){0} + (uint32_t)bits) << lane;
    return (gk_vector)((gk_vector_bits)v ^ (moved & 0x80000000u));
}

#include "sketch_vector.h"

// ---- integer dot products ----

// A step is summed in 32 bits: at most 65,536 bytes x 128 x 128 < 2^31, over both halves of a byte
// 65,536 x 2 x 15 x 128 < 2^31, over bits far less.
#define INTEGER_STEP 65536
#define BYTES 16  // in a vector

GK_INLINE int8x16_t load_s8(const void *from) { return vld1q_s8(from); }
GK_INLINE uint8x16_t load_u8(const void *from) { return vld1q_u8(from); }

// A query in up to GK_BIT_PLANES parts, each as long as a row (int8: one; int4: even and odd
// elements; bit: the planes), and the ends of the parts: what does not fill a vector, behind zeros
// for the elements that were scored before it.
typedef struct query_parts {
    size_t bytes;
    const uint8_t *parts[GK_BIT_PLANES], *ends[GK_BIT_PLANES];
    uint8_t end_bytes[GK_BIT_PLANES][BYTES];
} query_parts;

GK_INLINE void add_part(query_parts *query, size_t p, const void *part) {
    const size_t rest = query->bytes % BYTES;
    query->parts[p] = part;
    query->ends[p] = query->end_bytes[p];
    memcpy(query->end_bytes[p] + BYTES - rest, query->parts[p] + query->bytes - rest, rest);
}

// One function for each codec: adds the products of 16 bytes of a row with those of the query's
// parts from `i` on.

GK_INLINE int32x4_t score_int8(int32x4_t sum, const uint8_t *row, const uint8_t *const *parts,
                               size_t i) {
    return vdotq_s32(sum, load_s8(row), load_s8(parts[0] + i));
}

GK_INLINE int32x4_t score_int4(int32x4_t sum, const uint8_t *row, const uint8_t *const *parts,
                               size_t i) {
    const uint8x16_t codes = load_u8(row);
    const int8x16_t even = vreinterpretq_s8_u8(vandq_u8(codes, vdupq_n_u8(15)));
    const int8x16_t odd = vreinterpretq_s8_u8(vshrq_n_u8(codes, 4));
    sum = vdotq_s32(sum, even, load_s8(parts[0] + i));
    return vdotq_s32(sum, odd, load_s8(parts[1] + i));
}

// The bits of a byte are counted, and the counts weighed: the lowest plane 1, the sign's -32.
GK_INLINE int32x4_t score_bit(int32x4_t sum, const uint8_t *row, const uint8_t *const *parts,
                              size_t i) {
    const uint8x16_t bits = load_u8(row);
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_BIT_PLANES; p++) {
        const int8_t weight = (int8_t)(p == GK_BIT_PLANES - 1 ? -(1 << p) : 1 << p);
        const uint8x16_t counts = vcntq_u8(vandq_u8(bits, load_u8(parts[p] + i)));
        sum = vdotq_s32(sum, vreinterpretq_s8_u8(counts), vdupq_n_s8(weight));
    }
    return sum;
}

typedef int32x4_t (*score_function)(int32x4_t, const uint8_t *, const uint8_t *const *, size_t);

// row . query over the bytes from `begin` to `end`, which is the row's end or a whole number of
// vectors away. Two independent sums hide the latency of the instructions.
GK_INLINE int64_t dot_step(score_function score, const uint8_t *row, const query_parts *query,
                           size_t begin, size_t end) {
    int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    size_t i = begin;
    for (; i + 2 * BYTES <= end; i += 2 * BYTES) {
        sums[0] = score(sums[0], row + i, query->parts, i);
        sums[1] = score(sums[1], row + i + BYTES, query->parts, i + BYTES);
    }
    for (; i + BYTES <= end; i += BYTES) sums[0] = score(sums[0], row + i, query->parts, i);
    if (i < end) sums[1] = score(sums[1], row + end - BYTES, query->ends, 0);
    return vaddlvq_s32(vaddq_s32(sums[0], sums[1]));
}

GK_INLINE void dot_integers(score_function score, const uint8_t *rows, size_t row_count,
                            size_t stride, const query_parts *query, int64_t *out) {
    const size_t bytes = query->bytes;
    for (size_t r = 0; r < row_count; r++) {
        const uint8_t *row = rows + r * stride;
        uint8_t padded[BYTES] = {0};
        if (bytes < BYTES) {  // nothing may be read before the row
            memcpy(padded + BYTES - bytes, row, bytes);
            out[r] += vaddlvq_s32(score(vdupq_n_s32(0), padded, query->ends, 0));
            continue;
        }
        for (size_t i = 0; i < bytes; i += INTEGER_STEP) {
            const size_t end = bytes - i < INTEGER_STEP ? bytes : i + INTEGER_STEP;
            out[r] += dot_step(score, row, query, i, end);
        }
    }
}

static void dot_int8_neon(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                          const int8_t *query, int32_t query_sum, int64_t *out) {
    (void)query_sum;  // other variants score row + 128, this one the row itself
    query_parts parts = {.bytes = dims};
    add_part(&parts, 0, query);
    dot_integers(score_int8, (const uint8_t *)rows, row_count, stride, &parts, out);
}

static void dot_int4_neon(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                          const int8_t *even, const int8_t *odd, int64_t *out) {
    query_parts parts = {.bytes = (dims + 1) / 2};
    add_part(&parts, 0, even);
    add_part(&parts, 1, odd);
    dot_integers(score_int4, rows, row_count, stride, &parts, out);
}

static void dot_bit_neon(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                         const uint8_t *planes, int64_t *out) {
    query_parts parts = {.bytes = (dims + 7) / 8};
    for (size_t p = 0; p < GK_BIT_PLANES; p++) add_part(&parts, p, planes + p * parts.bytes);
    dot_integers(score_bit, rows, row_count, stride, &parts, out);
}

// ---- float dot products ----

GK_INLINE size_t bytes_of(gk_form form) { return form == GK_F32 ? 4 : 2; }

GK_INLINE float32x4_t load_four(const char *from, gk_form form) {
    if (form == GK_F32) return vreinterpretq_f32_u8(load_u8(from));
    const uint16x4_t halves = vreinterpret_u16_u8(vld1_u8((const uint8_t *)from));
    if (form == GK_F16) return vcvt_f32_f16(vreinterpret_f16_u16(halves));
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
}

// lanes += row * query over sixteen elements, exactly but for one rounding each.
GK_INLINE void dot_sixteen(float64x2_t lanes[GK_LANES / 2], const char *row, gk_form form,
                           const char *query) {
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_LANES / 4; p++) {
        const float32x4_t x = load_four(row + 4 * p * bytes_of(form), form);
        const float32x4_t q = load_four(query + 4 * p * sizeof(float), GK_F32);
        lanes[2 * p] = vfmaq_f64(lanes[2 * p], vcvt_f64_f32(vget_low_f32(x)),
                                 vcvt_f64_f32(vget_low_f32(q)));
        lanes[2 * p + 1] = vfmaq_f64(lanes[2 * p + 1], vcvt_high_f64_f32(x), vcvt_high_f64_f32(q));
    }
}

// The same in single precision.
GK_INLINE void estimate_sixteen(float32x4_t sums[GK_LANES / 4], const char *row, gk_form form,
                                const char *query) {
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_LANES / 4; p++)
        sums[p] = vfmaq_f32(sums[p], load_four(row + 4 * p * bytes_of(form), form),
                            load_four(query + 4 * p * sizeof(float), GK_F32));
}

// What does not fill sixteen elements is copied, because nothing may be read beyond a row.
typedef struct float_tail {
    char row[GK_LANES * sizeof(float)], query[GK_LANES * sizeof(float)];
} float_tail;

GK_INLINE float_tail tail_of(const char *row, size_t element_bytes, const char *query, size_t i,
                             size_t dims) {
    float_tail tail = {0};
    memcpy(tail.row, row + i * element_bytes, (dims - i) * element_bytes);
    memcpy(tail.query, query + i * sizeof(float), (dims - i) * sizeof(float));
    return tail;
}

GK_INLINE double dot_float_row(const char *row, gk_form form, size_t dims, const char *query) {
    float64x2_t lanes[GK_LANES / 2] = {0};
    size_t i = 0;
    for (; i + GK_LANES <= dims; i += GK_LANES)
        dot_sixteen(lanes, row + i * bytes_of(form), form, query + i * sizeof(float));
    if (i < dims) {
        const float_tail tail = tail_of(row, bytes_of(form), query, i, dims);
        dot_sixteen(lanes, tail.row, form, tail.query);
    }
    double sixteen[GK_LANES];
    memcpy(sixteen, lanes, sizeof sixteen);
    return gk_fold(sixteen);
}

GK_INLINE double estimate_row(const char *row, gk_form form, size_t dims, const char *query) {
    float32x4_t sums[GK_LANES / 4] = {0};
    size_t i = 0;
    for (; i + GK_LANES <= dims; i += GK_LANES)
        estimate_sixteen(sums, row + i * bytes_of(form), form, query + i * sizeof(float));
    if (i < dims) {
        const float_tail tail = tail_of(row, bytes_of(form), query, i, dims);
        estimate_sixteen(sums, tail.row, form, tail.query);
    }
    return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
}

// Both kinds of both half formats, and the exact one of f32.
#define GK_FLOAT_NEON(name, element, of_row, form)                                                 \
    static void name##_neon(const element *rows, size_t row_count, size_t stride, size_t dims,     \
                            const float *query, double *out) {                                     \
        for (size_t r = 0; r < row_count; r++) {                                                   \
            const char *row = (const char *)rows + r * stride;                                     \
            out[r] = gk_canonical_f64(out[r] + of_row(row, form, dims, (const char *)query));      \
        }                                                                                          \
    }                                                                                              \
    static uint64_t hash_and_##name##_neon(const element *rows, size_t row_count, size_t dims,     \
                                           const float *query, double *out) {                      \
        const size_t row_bytes = dims * sizeof(element);                                           \
        name##_neon(rows, row_count, row_bytes, dims, query, out);                                 \
        return XXH3_64bits(rows, row_count * row_bytes);                                           \
    }

GK_FLOAT_NEON(dot_f16, uint16_t, dot_float_row, GK_F16)
GK_FLOAT_NEON(dot_bf16, uint16_t, dot_float_row, GK_BF16)
GK_FLOAT_NEON(dot_f32, float, dot_float_row, GK_F32)
GK_FLOAT_NEON(estimate_f16, uint16_t, estimate_row, GK_F16)
GK_FLOAT_NEON(estimate_bf16, uint16_t, estimate_row, GK_BF16)

// ---- the rest ----

static uint64_t hash_neon(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

static uint64_t hash_and_dot_int8_neon(const int8_t *rows, size_t row_count, size_t dims,
                                       const int8_t *query, int32_t query_sum, int64_t *out) {
    dot_int8_neon(rows, row_count, dims, dims, query, query_sum, out);
    return XXH3_64bits(rows, row_count * dims);
}

static uint64_t hash_and_dot_int4_neon(const uint8_t *rows, size_t row_count, size_t dims,
                                       const int8_t *even, const int8_t *odd, int64_t *out) {
    const size_t row_bytes = (dims + 1) / 2;
    dot_int4_neon(rows, row_count, row_bytes, dims, even, odd, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static uint64_t hash_and_dot_bit_neon(const uint8_t *rows, size_t row_count, size_t dims,
                                      const uint8_t *planes, int64_t *out) {
    const size_t row_bytes = (dims + 7) / 8;
    dot_bit_neon(rows, row_count, row_bytes, dims, planes, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static void f16_to_f32_neon(const uint16_t *source, float *target, size_t count) {
    gk_f32 *to = target;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float32x4_t floats = load_four((const char *)(source + i), GK_F16);
        memcpy(to + i, &floats, sizeof floats);
    }
    gk_elementwise_f16_to_f32(source + i, target + i, count - i);
}

static void f32_to_f16_neon(const float *source, uint16_t *target, size_t count) {
    gk_u16 *to = target;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float16x4_t halves = vcvt_f16_f32(load_four((const char *)(source + i), GK_F32));
        memcpy(to + i, &halves, sizeof halves);
    }
    gk_elementwise_f32_to_f16(source + i, target + i, count - i);
}

#pragma clang attribute pop

int gk_neon_supported(void) {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
    return 1;  // every Mac with such a processor has them
#else
    return 0;
#endif
}

const gk_kernels gk_neon_kernels = {
    .name = "neon",
    .batch = &gk_batch_neon,
    .hash = hash_neon,
    .f16_to_f32 = f16_to_f32_neon,
    .bf16_to_f32 = gk_elementwise_bf16_to_f32,
    .find_nonfinite = gk_elementwise_find_nonfinite,
    .sketch = gk_sketch,
    .add_signed = gk_add_signed,
    .add_scaled = gk_elementwise_add_scaled,
    .squared_length = gk_elementwise_squared_length,
    .rotate = gk_rotate,
    .max_magnitude = gk_elementwise_max_magnitude,
    .quantize_int8 = gk_elementwise_quantize_int8,
    .quantize_int4 = gk_elementwise_quantize_int4,
    .quantize_bit = gk_elementwise_quantize_bit,
    .f32_to_f16 = f32_to_f16_neon,
    .f32_to_bf16 = gk_elementwise_f32_to_bf16,
    .sum_of_squares = gk_elementwise_sum_of_squares,
    .dot_int8 = dot_int8_neon,
    .dot_int4 = dot_int4_neon,
    .dot_bit = dot_bit_neon,
    .dot_bf16 = dot_bf16_neon,
    .dot_f16 = dot_f16_neon,
    .dot_f32 = dot_f32_neon,
    .pair_int8 = gk_pair_int8,
    .pair_int4 = gk_pair_int4,
    .pair_bit = gk_pair_bit,
    .estimate_f16 = estimate_f16_neon,
    .estimate_bf16 = estimate_bf16_neon,
    .hash_and_dot_int8 = hash_and_dot_int8_neon,
    .hash_and_dot_int4 = hash_and_dot_int4_neon,
    .hash_and_dot_bit = hash_and_dot_bit_neon,
    .hash_and_estimate_f16 = hash_and_estimate_f16_neon,
    .hash_and_estimate_bf16 = hash_and_estimate_bf16_neon,
    .hash_and_dot_bf16 = hash_and_dot_bf16_neon,
    .hash_and_dot_f16 = hash_and_dot_f16_neon,
    .hash_and_dot_f32 = hash_and_dot_f32_neon,
    .read_bytes = gk_elementwise_read_bytes,
    .multiply_int8 = gk_peak_neon,
};

#endif
