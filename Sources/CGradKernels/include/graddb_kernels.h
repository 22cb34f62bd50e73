// The inner loops of GradDB: plain C on plain arguments, no allocation, no I/O, no state.
//
// One source of truth per operation: every variant (scalar, AVX2, AVX-512) of an operation gives
// the same bits, on any input. That is possible because
//   - integer dot products are exact, for any bytes and any dims below 2^24 (in 32 bits within one
//     slab: 4,096 x 128 x 128 < 2^31);
//   - float dot products add exact double products (f32 x f32 needs 48 bits of 53) into sixteen
//     lanes, element i into lane i mod 16, and fold the lanes in one fixed tree
//     (j with j+8, then j+4, j+2, j+1), so that vector width and FMA cannot show;
//   - the rotation and the quantiser are element-wise IEEE single precision, in a fixed order of
//     stages, compiled without contraction;
//   - where arithmetic gives a NaN it is the one positive, quiet NaN without payload.
#ifndef GRADDB_KERNELS_H
#define GRADDB_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gk_variant {
    GK_SCALAR = 0,
    GK_AVX2 = 1,    // AVX2 + FMA + F16C
    GK_AVX512 = 2,  // AVX-512 F, BW, DQ, VL and VNNI
} gk_variant;
#define GK_VARIANT_COUNT 3

// A table of functions for one variant. Pointers need no alignment unless said otherwise.
typedef struct gk_kernels {
    const char *name;  // "scalar", "avx2", "avx512"

    // XXH3, 64 bits, seed 0 (the checksum of every chunk and block header).
    uint64_t (*hash)(const void *bytes, size_t count);

    // ---- reading gradients: exact conversions to f32 ----
    void (*f16_to_f32)(const uint16_t *source, float *target, size_t count);
    void (*bf16_to_f32)(const uint16_t *source, float *target, size_t count);
    // Index of the first NaN or infinity; `count` when there is none.
    size_t (*find_nonfinite)(const float *x, size_t count);

    // ---- encoding ----
    // x[i] is negated where bit i%64 of signs[i/64] is 1; then a fast Walsh-Hadamard transform of
    // `count` (a power of two) elements in place, stages h = 1, 2, 4, ..., count/2, each
    // (a, b) -> (a + b, a - b); then every element is multiplied once by `scale`.
    void (*rotate)(float *x, size_t count, const uint64_t *signs, float scale);
    // max |x[i]| (0 for count 0). The input holds no NaN.
    float (*max_magnitude)(const float *x, size_t count);
    // q[i] = x[i] * inverse_scale, rounded half to even, clamped to -127...127 (a NaN becomes
    // 127). Returns the sum of q[i]^2.
    uint64_t (*quantize_int8)(const float *x, size_t count, float inverse_scale, int8_t *q);
    // Rounds half to even. Overflow gives infinity (callers check before or after).
    void (*f32_to_f16)(const float *source, uint16_t *target, size_t count);
    // Sum of x[i]^2 in double, sixteen lanes folded as above.
    double (*sum_of_squares)(const float *x, size_t count);

    // ---- scoring: `row_count` rows of `dims` elements, `stride` bytes apart ----
    // out[r] += row[r] . query (exact). query_sum is the sum of the query's elements.
    void (*dot_int8)(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const int8_t *query, int32_t query_sum, int64_t *out);
    // out[r] += fold(lanes), the lanes starting from zero at each call.
    void (*dot_f16)(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                    const float *query, double *out);
    void (*dot_f32)(const float *rows, size_t row_count, size_t stride, size_t dims,
                    const float *query, double *out);

    // The same over rows without gaps (the stride is a row's bytes), and returns what `hash`
    // returns for all their bytes: one pass over memory instead of two. Where that is not the
    // stored hash, what was added to `out` means nothing.
    uint64_t (*hash_and_dot_int8)(const int8_t *rows, size_t row_count, size_t dims,
                                  const int8_t *query, int32_t query_sum, int64_t *out);
    uint64_t (*hash_and_dot_f16)(const uint16_t *rows, size_t row_count, size_t dims,
                                 const float *query, double *out);
    uint64_t (*hash_and_dot_f32)(const float *rows, size_t row_count, size_t dims,
                                 const float *query, double *out);

    // Reads every byte once, as fast as it goes (the limit that benchmarks compare with);
    // the result only keeps the reads from being optimised away.
    uint64_t (*read_bytes)(const void *bytes, size_t count);
} gk_kernels;

// True when this processor and operating system can run the variant. The answer is not kept, and
// takes microseconds.
int gk_variant_supported(gk_variant variant);
// The functions of a variant; NULL when it is not supported here.
const gk_kernels *gk_kernels_for(gk_variant variant);
// The fastest supported variant.
gk_variant gk_best_variant(void);

#ifdef __cplusplus
}
#endif
#endif
