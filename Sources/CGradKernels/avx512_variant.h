// The two AVX-512 variants, in one source: they differ in how bits are counted.
//
// The including file defines:
//   GK_HAS_VPOPCNTDQ             whether there is an instruction for that
//   GK_TARGET                    the target attribute
//   GK_TABLE, GK_NAME, GK_BATCH  the table's name in C, its name, and the batch kernels
#include "kernels_internal.h"

#include <immintrin.h>

#pragma clang attribute push(GK_TARGET, apply_to = function)

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX512
#include <xxhash.h>

#include "elementwise.h"
#include "pairs.h"

// ---- the rotation ----

typedef __m512 gk_vector;
#define GK_WIDTH 16
#define GK_LEAF 16

GK_INLINE gk_vector gk_flip(gk_vector v, const unsigned char *bits) {
    __mmask16 mask;
    memcpy(&mask, bits, sizeof mask);
    return _mm512_mask_xor_ps(v, mask, v, _mm512_set1_ps(-0.0f));
}

// One stage within a vector: a lane holds v and meets the other of its pair. In the lanes of
// `seconds` the result is met + -1 * v, rounded once: exactly met - v.
GK_INLINE gk_vector gk_stage(gk_vector v, gk_vector met, __mmask16 seconds) {
    const __m512 sign = _mm512_mask_blend_ps(seconds, _mm512_set1_ps(1), _mm512_set1_ps(-1));
    return _mm512_fmadd_ps(v, sign, met);
}

GK_INLINE gk_vector gk_stages_within(gk_vector v) {
    v = gk_stage(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);        // 1 0 3 2 in each four
    v = gk_stage(v, _mm512_permute_ps(v, 0x4e), 0xcccc);        // 2 3 0 1
    v = gk_stage(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);  // the same with fours
    return gk_stage(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
}

GK_INLINE gk_vector gk_canonical(gk_vector v) {
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(v, nan, _mm512_set1_ps(gk_f32_of_bits(GK_NAN_BITS_F32)));
}

#include "rotate_vector.h"

// ---- projecting ----

typedef __m512i gk_lanes;

GK_INLINE gk_lanes gk_lanes_of(unsigned m) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_xor_si512(lane, _mm512_set1_epi32((int)m));
}

GK_INLINE gk_vector gk_move(gk_vector v, gk_lanes lanes) {
    return _mm512_permutexvar_ps(lanes, v);
}

GK_INLINE gk_vector gk_flip_by(gk_vector v, uint64_t bits) {
    return _mm512_mask_xor_ps(v, (__mmask16)bits, v, _mm512_set1_ps(-0.0f));
}

#include "sketch_vector.h"

// ---- dot products ----

// vpdpbusd multiplies unsigned by signed bytes: rows go in as row + 128, which is flipping their
// sign bit, and 128 times the query's sum comes off at the end. On 32 bytes at a time, for the
// reason that read_bytes gives: 64 cost a fifth of the speed from memory (Zen 4), and gain nothing
// from the caches.
#define GK_INT8_BIAS 128

GK_INLINE void score_32(__m256i *sums, const char *row, const char *query) {
    const __m256i elements = _mm256_loadu_si256((const void *)row);
    const __m256i biased = _mm256_xor_si256(elements, _mm256_set1_epi8(-128));
    *sums = _mm256_dpbusd_epi32(*sums, biased, _mm256_loadu_si256((const void *)query));
}

GK_INLINE void gk_score_int8(__m256i *sums, const char *row, const char *query) {
    score_32(sums, row, query);
    score_32(sums, row + 32, query + 32);
}

// Codes are unsigned as they are. On 64 bytes, as they are hashed: out of halves of what was loaded
// for the hash, clang 21 makes eighths.
typedef __m512i gk_code_sum;

GK_INLINE gk_code_sum gk_score_int4(gk_code_sum sum, const char *row, const char *even,
                                    const char *odd) {
    const __m512i codes = _mm512_loadu_si512(row), half = _mm512_set1_epi8(15);
    const __m512i low = _mm512_and_si512(codes, half);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), half);
    sum = _mm512_dpbusd_epi32(sum, low, _mm512_loadu_si512(even));
    return _mm512_dpbusd_epi32(sum, high, _mm512_loadu_si512(odd));
}

#if GK_HAS_VPOPCNTDQ
#include "dot_bit_counts.h"
#else
GK_INLINE __m512i gk_look_up(__m128i table, __m512i indices) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), indices);
}

GK_INLINE __m512i gk_sum_bytes(__m512i bytes) {
    return _mm512_sad_epu8(bytes, _mm512_setzero_si512());
}

#include "dot_bit_nibbles.h"
#endif

GK_INLINE gk_vector gk_add_halves(gk_form form, gk_vector sum, const char *row,
                                  const gk_f32 *query) {
    const __m256i halves = _mm256_loadu_si256((const void *)row);
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
    const gk_vector elements =
        form == GK_F16_ESTIMATE ? _mm512_cvtph_ps(halves) : _mm512_castsi512_ps(bits);
    return _mm512_fmadd_ps(elements, gk_load(query), sum);
}

GK_INLINE float gk_reduce(gk_vector v) { return _mm512_reduce_add_ps(v); }

#include "dot_float_vector.h"
#include "dot_integer_vector.h"
#include "estimate_vector.h"
#include "hash_and_dot_vector.h"

// ---- the rest ----

static uint64_t hash_avx512(const void *bytes, size_t count) {
    return XXH3_64bits(bytes, count);
}

static void f16_to_f32_avx512(const uint16_t *source, float *target, size_t count) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i halves = _mm256_loadu_si256((const void *)(source + i));
        _mm512_storeu_ps(target + i, _mm512_cvtph_ps(halves));
    }
    if (i < count) {
        const __mmask16 here = (__mmask16)((1u << (count - i)) - 1);
        const __m256i halves = _mm256_maskz_loadu_epi16(here, source + i);
        _mm512_mask_storeu_ps(target + i, here, _mm512_cvtph_ps(halves));
    }
}

static void f32_to_f16_avx512(const float *source, uint16_t *target, size_t count) {
    enum { HALF_TO_EVEN = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i halves = _mm512_cvtps_ph(_mm512_loadu_ps(source + i), HALF_TO_EVEN);
        _mm256_storeu_si256((void *)(target + i), halves);
    }
    if (i < count) {
        const __mmask16 here = (__mmask16)((1u << (count - i)) - 1);
        const __m512 floats = _mm512_maskz_loadu_ps(here, source + i);
        _mm256_mask_storeu_epi16(target + i, here, _mm512_cvtps_ph(floats, HALF_TO_EVEN));
    }
}

#pragma clang attribute pop

const gk_kernels GK_TABLE = {
    .name = GK_NAME,
    .batch = &GK_BATCH,
    .hash = hash_avx512,
    .f16_to_f32 = f16_to_f32_avx512,
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
    .f32_to_f16 = f32_to_f16_avx512,
    .f32_to_bf16 = gk_elementwise_f32_to_bf16,
    .sum_of_squares = gk_elementwise_sum_of_squares,
    .dot_int8 = gk_dot_int8,
    .dot_int4 = gk_dot_int4,
    .dot_bit = gk_dot_bit,
    .dot_bf16 = gk_dot_bf16,
    .dot_f16 = gk_dot_f16,
    .dot_f32 = gk_dot_f32,
    .pair_int8 = gk_pair_int8,
    .pair_int4 = gk_pair_int4,
    .pair_bit = gk_pair_bit,
    .estimate_f16 = gk_estimate_f16,
    .estimate_bf16 = gk_estimate_bf16,
    .hash_and_dot_int8 = gk_hash_and_dot_int8,
    .hash_and_dot_int4 = gk_hash_and_dot_int4,
    .hash_and_dot_bit = gk_hash_and_dot_bit,
    .hash_and_estimate_f16 = gk_hash_and_estimate_f16,
    .hash_and_estimate_bf16 = gk_hash_and_estimate_bf16,
    .hash_and_dot_bf16 = gk_hash_and_dot_bf16,
    .hash_and_dot_f16 = gk_hash_and_dot_f16,
    .hash_and_dot_f32 = gk_hash_and_dot_f32,
    .read_bytes = gk_elementwise_read_bytes,
    .multiply_int8 = gk_peak_avx512,
};
