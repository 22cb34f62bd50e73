// The AVX-512 variant: F, BW, DQ, VL and VNNI.
#include "kernels_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define GK_AVX512_TARGET                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#pragma clang attribute push(GK_AVX512_TARGET, apply_to = function)

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX512
#include <xxhash.h>

#include "elementwise.h"

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

GK_INLINE void gk_score(__m256i *sums, const char *row, const char *query) {
    score_32(sums, row, query);
    score_32(sums, row + 32, query + 32);
}

#include "dot_float_vector.h"
#include "dot_int8_vector.h"
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

const gk_kernels gk_avx512_kernels = {
    .name = "avx512",
    .hash = hash_avx512,
    .f16_to_f32 = f16_to_f32_avx512,
    .bf16_to_f32 = gk_elementwise_bf16_to_f32,
    .find_nonfinite = gk_elementwise_find_nonfinite,
    .rotate = gk_rotate,
    .max_magnitude = gk_elementwise_max_magnitude,
    .quantize_int8 = gk_elementwise_quantize_int8,
    .f32_to_f16 = f32_to_f16_avx512,
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
