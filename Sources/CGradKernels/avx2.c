// The AVX2 variant: AVX2, FMA and F16C.
#include "kernels_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX2
#include <xxhash.h>

#include "elementwise.h"
#include "pairs.h"

// ---- the rotation ----

typedef __m256 gk_vector;
#define GK_WIDTH 8
#define GK_LEAF 8

GK_INLINE gk_vector gk_flip(gk_vector v, const unsigned char *bits) {
    const __m256i lane = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i moved = _mm256_sllv_epi32(_mm256_set1_epi32(*bits), lane);  // bit j to bit 31
    return _mm256_xor_ps(v, _mm256_and_ps(_mm256_castsi256_ps(moved), _mm256_set1_ps(-0.0f)));
}

// One stage within a vector: a lane holds v and meets the other of its pair. In the second of the
// two, where `sign` is -1, the result is met + -1 * v, rounded once: exactly met - v.
GK_INLINE gk_vector gk_stages_within(gk_vector v) {
    const __m256 ones = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
    const __m256 twos = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 fours = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    v = _mm256_fmadd_ps(v, ones, _mm256_permute_ps(v, 0xb1));  // 1 0 3 2 in each four
    v = _mm256_fmadd_ps(v, twos, _mm256_permute_ps(v, 0x4e));  // 2 3 0 1
    return _mm256_fmadd_ps(v, fours, _mm256_permute2f128_ps(v, v, 0x01));
}

GK_INLINE gk_vector gk_canonical(gk_vector v) {
    const __m256 nan = _mm256_set1_ps(gk_f32_of_bits(GK_NAN_BITS_F32));
    return _mm256_blendv_ps(v, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

#include "rotate_vector.h"

// ---- projecting ----

typedef __m256i gk_lanes;

GK_INLINE gk_lanes gk_lanes_of(unsigned m) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_xor_si256(lane, _mm256_set1_epi32((int)m));
}

GK_INLINE gk_vector gk_move(gk_vector v, gk_lanes lanes) {
    return _mm256_permutevar8x32_ps(v, lanes);
}

GK_INLINE gk_vector gk_flip_by(gk_vector v, uint64_t bits) {
    const __m256i lane = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i moved = _mm256_sllv_epi32(_mm256_set1_epi32((int)bits), lane);
    return _mm256_xor_ps(v, _mm256_and_ps(_mm256_castsi256_ps(moved), _mm256_set1_ps(-0.0f)));
}

#include "sketch_vector.h"

// ---- dot products ----

// vpmaddwd multiplies signed 16-bit numbers and adds pairs of products in 32 bits: exact for all
// bytes, unlike vpmaddubsw, which saturates.
#define GK_INT8_BIAS 0

GK_INLINE __m256i products_16(const char *row, const char *query) {
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)row)),
                             _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)query)));
}

GK_INLINE void gk_score_int8(__m256i *sums, const char *row, const char *query) {
    const __m256i low =
        _mm256_add_epi32(products_16(row, query), products_16(row + 16, query + 16));
    const __m256i high =
        _mm256_add_epi32(products_16(row + 32, query + 32), products_16(row + 48, query + 48));
    *sums = _mm256_add_epi32(*sums, _mm256_add_epi32(low, high));
}

// 32 bytes of codes, which vpmaddubsw takes without saturating: two products of a code and an
// element are at most 2 x 15 x 128, and eight such sums fit 16 bits.
GK_INLINE __m256i products_of_codes(const char *row, const char *even, const char *odd) {
    const __m256i codes = _mm256_loadu_si256((const void *)row), half = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(codes, half);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), half);
    return _mm256_add_epi16(_mm256_maddubs_epi16(low, _mm256_loadu_si256((const void *)even)),
                            _mm256_maddubs_epi16(high, _mm256_loadu_si256((const void *)odd)));
}

typedef __m256i gk_code_sum;

GK_INLINE gk_code_sum gk_score_int4(gk_code_sum sum, const char *row, const char *even,
                                    const char *odd) {
    const __m256i pairs = _mm256_add_epi16(products_of_codes(row, even, odd),
                                           products_of_codes(row + 32, even + 32, odd + 32));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

GK_INLINE __m256i gk_look_up(__m128i table, __m256i indices) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), indices);
}

GK_INLINE __m256i gk_sum_bytes(__m256i bytes) {
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

GK_INLINE gk_vector gk_add_halves(gk_form form, gk_vector sum, const char *row,
                                  const gk_f32 *query) {
    const __m128i halves = _mm_loadu_si128((const void *)row);
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
    const gk_vector elements =
        form == GK_F16_ESTIMATE ? _mm256_cvtph_ps(halves) : _mm256_castsi256_ps(bits);
    return _mm256_fmadd_ps(elements, gk_load(query), sum);
}

GK_INLINE float gk_reduce(gk_vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "dot_bit_nibbles.h"
#include "dot_float_vector.h"
#include "dot_integer_vector.h"
#include "estimate_vector.h"
#include "hash_and_dot_vector.h"

// ---- the rest ----

static uint64_t hash_avx2(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

static void f16_to_f32_avx2(const uint16_t *source, float *target, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(target + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(source + i))));
    gk_elementwise_f16_to_f32(source + i, target + i, count - i);
}

static void f32_to_f16_avx2(const float *source, uint16_t *target, size_t count) {
    enum { HALF_TO_EVEN = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(source + i), HALF_TO_EVEN);
        _mm_storeu_si128((void *)(target + i), halves);
    }
    gk_elementwise_f32_to_f16(source + i, target + i, count - i);
}

#pragma clang attribute pop

const gk_kernels gk_avx2_kernels = {
    .name = "avx2",
    .batch = &gk_batch_avx2,
    .hash = hash_avx2,
    .f16_to_f32 = f16_to_f32_avx2,
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
    .f32_to_f16 = f32_to_f16_avx2,
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
    .multiply_int8 = gk_peak_avx2,
};

#endif
