// The inner loops of GradDB: plain C on plain arguments, no allocation, no I/O, no state.
//
// One source of truth per operation: every variant of an operation gives the same bits, on any
// input (all but the estimates, which say so). That is possible because
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
    GK_NEON = 1,              // AArch64 with the dot product instructions
    GK_AVX2 = 2,              // AVX2 + FMA + F16C
    GK_AVX512 = 3,            // AVX-512 F, BW, DQ, VL and VNNI
    GK_AVX512_VPOPCNTDQ = 4,  // the same, with VPOPCNTDQ and VBMI: bits are counted by vectors
} gk_variant;
#define GK_VARIANT_COUNT 5

// Scoring a batch of queries: rows x queries, blocked so that operands stay in registers and
// caches. Queries are first packed, per slab, into a form of the variant's own.
//
// `rows` are as for the single-query kernels. Every function adds to out[r * out_stride + q], for
// r < row_count and q < query_count, exactly what the single-query kernel of the codec adds to
// out[r]. At most GK_BATCH_DIMS dims and any number of rows and queries.
#define GK_BATCH_DIMS 32768
typedef struct gk_batch_kernels {
    // Bytes of `packed` for so many queries of so many dims. `packed` is 64-byte aligned.
    size_t (*packed_bytes_int8)(size_t dims, size_t query_count);
    size_t (*packed_bytes_int4)(size_t dims, size_t query_count);
    size_t (*packed_bytes_bit)(size_t dims, size_t query_count);

    // Queries of int8 elements in natural order, `stride` bytes apart.
    void (*pack_int8)(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                      void *packed);
    void (*pack_int4)(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                      void *packed);
    // Elements from -32 to 31; other bits than the lower six are ignored.
    void (*pack_bit)(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                     void *packed);

    void (*dot_int8)(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const void *packed, size_t query_count, int64_t *out, size_t out_stride);
    void (*dot_int4)(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const void *packed, size_t query_count, int64_t *out, size_t out_stride);
    void (*dot_bit)(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                    const void *packed, size_t query_count, int64_t *out, size_t out_stride);
} gk_batch_kernels;

// A query is scored against bits as a number of six bits.
#define GK_BIT_PLANES 6

// What quantize_int4 finds out about the levels v[i] = 2 * code[i] - 15.
typedef struct gk_levels {
    double dot;        // sum of v[i] * x[i] in double, sixteen lanes folded as above
    uint64_t squares;  // sum of v[i]^2
} gk_levels;

// A table of functions for one variant. Pointers need no alignment unless said otherwise.
typedef struct gk_kernels {
    const char *name;  // "scalar", "neon", "avx2", "avx512", "avx512-vpopcntdq"
    const gk_batch_kernels *batch;

    // XXH3, 64 bits, seed 0 (the checksum of every chunk and block header).
    uint64_t (*hash)(const void *bytes, size_t count);

    // ---- reading gradients: exact conversions to f32 ----
    void (*f16_to_f32)(const uint16_t *source, float *target, size_t count);
    void (*bf16_to_f32)(const uint16_t *source, float *target, size_t count);
    // Index of the first NaN or infinity; `count` when there is none.
    size_t (*find_nonfinite)(const float *x, size_t count);

    // ---- projecting (format-spec/projectors.md); inputs hold no NaN and no infinity, else the
    //      sums that they meet are not finite, without a promise of their bits ----
    // Adds elements of a tensor to the 64 * `units` accumulators `sums` of a sketch, `x` being those
    // from element 64 * first_unit on; only the tensor's end may be in the middle of a unit. The
    // keys are those of the tensor's streams 0 and 1. Accumulators begin with 0, not -0.
    void (*sketch)(const float *x, size_t count, uint64_t first_unit, uint64_t sign_key,
                   uint64_t place_key, uint64_t units, float *sums);
    // sums[k] += x[i] or -x[i], for i from 0 and k < dims: negated where bit k%64 of word
    // (first + i) * ceil(dims / 64) + k/64 of stream `key` is 1.
    void (*add_signed)(const float *x, size_t count, uint64_t first, uint64_t key, size_t dims,
                       float *sums);
    // Sum of x[i]^2 in double: element i in lane i mod 64, but those that do not fill 64 in lane
    // i mod 16 of the first sixteen, after lanes j, j + 16, j + 32, j + 48 have been added to it as
    // (j + (j + 32)) + ((j + 16) + (j + 48)); then folded as above.
    double (*squared_length)(const float *x, size_t count);
    // sums[i] += x[i] * scale, rounded twice.
    void (*add_scaled)(const float *x, size_t count, float scale, float *sums);

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
    // Codes of four bits: code[i] = floor(x[i] * inverse_step) + 8, clamped to 0...15 (the product
    // rounded once, in single precision). Element 2j is the low half of byte j, element 2j+1 the
    // high half; the high half of an odd last byte is 0. The input holds no NaN.
    gk_levels (*quantize_int4)(const float *x, size_t count, float inverse_step, uint8_t *codes);
    // Bit i%8 of byte i/8 is 1 where the sign bit of x[i] is 0; bits beyond the last element are 0.
    // Returns the sum of |x[i]| in double, sixteen lanes folded as above.
    double (*quantize_bit)(const float *x, size_t count, uint8_t *bits);
    // Both round half to even. Overflow gives infinity (callers check before or after). A NaN stays
    // a NaN.
    void (*f32_to_f16)(const float *source, uint16_t *target, size_t count);
    void (*f32_to_bf16)(const float *source, uint16_t *target, size_t count);
    // Sum of x[i]^2 in double, sixteen lanes folded as above.
    double (*sum_of_squares)(const float *x, size_t count);

    // ---- scoring: `row_count` rows of `dims` elements, `stride` bytes apart ----
    // out[r] += row[r] . query (exact). query_sum is the sum of the query's elements.
    void (*dot_int8)(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const int8_t *query, int32_t query_sum, int64_t *out);
    // out[r] += the sum of code[i] * query[i] (exact), the codes being 0...15. Elements 2j of the
    // query are even[j], elements 2j+1 odd[j], each of (dims + 1) / 2 elements; where dims is odd,
    // the last of `odd` is 0.
    void (*dot_int4)(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const int8_t *even, const int8_t *odd, int64_t *out);
    // out[r] += the sum of bit[i] * query[i] (exact). The query comes in GK_BIT_PLANES planes of
    // (dims + 7) / 8 bytes each, one behind the other: bit i%8 of byte i/8 of plane p is bit p of
    // query[i] in two's complement (so plane 5 weighs -32). Bits beyond the last dim are 0. Planes
    // that start at a multiple of 64 bytes are up to a third faster.
    void (*dot_bit)(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                    const uint8_t *planes, int64_t *out);
    // out[r] += fold(lanes), the lanes starting from zero at each call.
    void (*dot_bf16)(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                     const float *query, double *out);
    void (*dot_f16)(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                    const float *query, double *out);
    void (*dot_f32)(const float *rows, size_t row_count, size_t stride, size_t dims,
                    const float *query, double *out);

    // *out += a . b (exact), both of them rows as they are stored: of int4 the levels 2 * code - 15, of
    // bits the levels 2 * bit - 1. What a last byte holds beyond the last element does not count.
    void (*pair_int8)(const int8_t *a, const int8_t *b, size_t dims, int64_t *out);
    void (*pair_int4)(const uint8_t *a, const uint8_t *b, size_t dims, int64_t *out);
    void (*pair_bit)(const uint8_t *a, const uint8_t *b, size_t dims, int64_t *out);

    // out[r] += about row[r] . query, summed in single precision in any order: faster than dot_f16,
    // off by at most (dims * 2^-24) * sum |row[i] * query[i]| + dims * 2^-149, and not the same from
    // variant to variant. Sums may overflow to infinity or NaN.
    void (*estimate_f16)(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                         const float *query, double *out);
    void (*estimate_bf16)(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                          const float *query, double *out);

    // The same over rows without gaps (the stride is a row's bytes), and returns what `hash`
    // returns for all their bytes: one pass over memory instead of two. Where that is not the
    // stored hash, what was added to `out` means nothing.
    uint64_t (*hash_and_dot_int8)(const int8_t *rows, size_t row_count, size_t dims,
                                  const int8_t *query, int32_t query_sum, int64_t *out);
    uint64_t (*hash_and_dot_int4)(const uint8_t *rows, size_t row_count, size_t dims,
                                  const int8_t *even, const int8_t *odd, int64_t *out);
    uint64_t (*hash_and_dot_bit)(const uint8_t *rows, size_t row_count, size_t dims,
                                 const uint8_t *planes, int64_t *out);
    uint64_t (*hash_and_estimate_f16)(const uint16_t *rows, size_t row_count, size_t dims,
                                      const float *query, double *out);
    uint64_t (*hash_and_estimate_bf16)(const uint16_t *rows, size_t row_count, size_t dims,
                                       const float *query, double *out);
    uint64_t (*hash_and_dot_bf16)(const uint16_t *rows, size_t row_count, size_t dims,
                                  const float *query, double *out);
    uint64_t (*hash_and_dot_f16)(const uint16_t *rows, size_t row_count, size_t dims,
                                 const float *query, double *out);
    uint64_t (*hash_and_dot_f32)(const float *rows, size_t row_count, size_t dims,
                                 const float *query, double *out);

    // Reads every byte once, as fast as it goes (the limit that benchmarks compare with);
    // the result only keeps the reads from being optimised away.
    uint64_t (*read_bytes)(const void *bytes, size_t count);
    // Multiplies int8 numbers and adds up the products, all of it in registers, with the widest
    // instructions that the variant has (the limit for batches). Returns how many products that
    // were, a multiple of `rounds`.
    uint64_t (*multiply_int8)(uint64_t rounds);
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
