// How many int8 multiply-adds a core can do when nothing is loaded or stored: the widest
// instructions that each variant has for them, in twelve independent sums, which is more than any
// processor's latency times its units. Batches of queries are held against this.
#include "kernels_internal.h"

enum { SUMS = 12 };

// One loop for all variants. `place` is the constraint of a vector register; touching an operand
// there keeps the compiler from taking products that never change out of the loop.
#define PEAK(function, vector, place, zero, filled, products, step)                                \
    uint64_t function(uint64_t rounds) {                                                           \
        vector sums[SUMS], row = filled, query = filled;                                           \
        for (int s = 0; s < SUMS; s++) sums[s] = zero;                                             \
        for (uint64_t round = 0; round < rounds; round++) {                                        \
            _Pragma("clang loop unroll(full)") for (int s = 0; s < SUMS; s++) {                    \
                __asm__ volatile("" : "+" place(row));                                             \
                sums[s] = step(sums[s], row, query);                                               \
            }                                                                                      \
        }                                                                                          \
        for (int s = 0; s < SUMS; s++) __asm__ volatile("" : : place(sums[s]));                    \
        return rounds * SUMS * products;                                                           \
    }

#if defined(__x86_64__)

#include <immintrin.h>

GK_INLINE __m128i step_sse2(__m128i sums, __m128i row, __m128i query) {
    return _mm_add_epi32(sums, _mm_madd_epi16(row, query));
}
PEAK(gk_peak_scalar, __m128i, "x", _mm_setzero_si128(), _mm_set1_epi16(90), 8, step_sse2)

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
// Without regard to saturation, which the kernels may not have: a limit may be out of reach.
GK_INLINE __m256i step_avx2(__m256i sums, __m256i row, __m256i query) {
    const __m256i pairs = _mm256_maddubs_epi16(row, query);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
PEAK(gk_peak_avx2, __m256i, "x", _mm256_setzero_si256(), _mm256_set1_epi8(90), 32, step_avx2)
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni"))),               \
                             apply_to = function)
PEAK(gk_peak_avx512, __m512i, "v", _mm512_setzero_si512(), _mm512_set1_epi8(90), 64,
     _mm512_dpbusd_epi32)
#pragma clang attribute pop

#elif defined(__aarch64__)

#include <arm_neon.h>

GK_INLINE int32x4_t step_plain(int32x4_t sums, int32x4_t row, int32x4_t query) {
    const int8x8_t a = vget_low_s8(vreinterpretq_s8_s32(row));
    const int8x8_t b = vget_low_s8(vreinterpretq_s8_s32(query));
    return vpadalq_s16(sums, vmull_s8(a, b));
}
PEAK(gk_peak_scalar, int32x4_t, "w", vdupq_n_s32(0), vdupq_n_s32(0x5a5a5a5a), 8, step_plain)

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
GK_INLINE int32x4_t step_dot(int32x4_t sums, int32x4_t row, int32x4_t query) {
    return vdotq_s32(sums, vreinterpretq_s8_s32(row), vreinterpretq_s8_s32(query));
}
PEAK(gk_peak_neon, int32x4_t, "w", vdupq_n_s32(0), vdupq_n_s32(0x5a5a5a5a), 16, step_dot)
#pragma clang attribute pop

#else

GK_INLINE uint32_t step_one(uint32_t sum, uint32_t row, uint32_t query) {
    return sum + row * query;
}
PEAK(gk_peak_scalar, uint32_t, "r", 0, 90, 1, step_one)

#endif
