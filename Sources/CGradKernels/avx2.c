// The AVX2 variant: AVX2, FMA and F16C.
#include "kernels_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX2
#include <xxhash.h>

#include "elementwise.h"

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

// ---- dot products ----

// vpmaddwd multiplies signed 16-bit numbers and adds pairs of products in 32 bits: exact for all
// bytes, unlike vpmaddubsw, which saturates.
#define GK_INT8_BIAS 0

GK_INLINE __m256i products_16(const char *row, const char *query) {
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)row)),
                             _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)query)));
}

GK_INLINE void gk_score(__m256i *sums, const char *row, const char *query) {
    const __m256i low =
        _mm256_add_epi32(products_16(row, query), products_16(row + 16, query + 16));
    const __m256i high =
        _mm256_add_epi32(products_16(row + 32, query + 32), products_16(row + 48, query + 48));
    *sums = _mm256_add_epi32(*sums, _mm256_add_epi32(low, high));
}

#include "dot_float_vector.h"
#include "dot_int8_vector.h"
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
    .hash = hash_avx2,
    .f16_to_f32 = f16_to_f32_avx2,
    .bf16_to_f32 = gk_elementwise_bf16_to_f32,
    .find_nonfinite = gk_elementwise_find_nonfinite,
    .rotate = gk_rotate,
    .max_magnitude = gk_elementwise_max_magnitude,
    .quantize_int8 = gk_elementwise_quantize_int8,
    .f32_to_f16 = f32_to_f16_avx2,
    .sum_of_squares = gk_elementwise_sum_of_squares,
    .dot_int8 = gk_dot_int8,
    .dot_f16 = gk_dot_f16,
    .dot_f32 = gk_dot_f32,
    .hash_and_dot_int8 = gk_hash_and_dot_int8,
    .hash_and_dot_f16 = gk_hash_and_dot_f16,
    .hash_and_dot_f32 = gk_hash_and_dot_f32,
    .read_bytes = gk_elementwise_read_bytes,
};

#endif
