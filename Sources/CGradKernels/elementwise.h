// Element-wise kernels, one source for every variant: plain loops that the compiler vectorises
// for the target of the file that includes this. Every step is an integer operation or one IEEE
// operation per element, so the width of a vector cannot show in the result.
//
// Include it after kernels_internal.h, inside the variant's target attribute. The functions are
// static; a variant may leave some unused.
#ifndef GRADDB_ELEMENTWISE_H
#define GRADDB_ELEMENTWISE_H

#include "kernels_internal.h"

#pragma STDC FP_CONTRACT OFF

#define GK_ELEMENTWISE static __attribute__((unused))

// ---- half precision, without hardware ----

// The bits that vcvtph2ps gives: NaNs keep their payload and become quiet.
GK_INLINE uint32_t gk_f32_bits_of_f16(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    // Subnormal halves are multiples of 2^-24, and exact in f32 as such.
    const uint32_t subnormal = gk_bits_of_f32((float)(int32_t)magnitude * 0x1p-24f);
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t quiet = magnitude > 0x7c00u ? 0x00400000u : 0u;
    const uint32_t special = 0x7f800000u | magnitude << 13 | quiet;
    const uint32_t finite = magnitude < 0x0400u ? subnormal : normal;
    return sign | (magnitude < 0x7c00u ? finite : special);
}

// The bits that vcvtps2ph gives when it rounds half to even.
GK_INLINE uint16_t gk_f16_of_f32_bits(uint32_t bits) {
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    // 0.5 has an ulp of 2^-24, the unit of subnormal halves: the addition rounds for us.
    const uint32_t subnormal =
        gk_bits_of_f32(gk_f32_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    // Half an ulp less one, and one more where the kept bits are odd. A carry runs on into the
    // exponent, where it belongs; from 65520 on it makes infinity.
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    const uint32_t normal = (rounded - (112u << 23)) >> 13;
    const uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const uint32_t special = magnitude > 0x7f800000u ? nan : 0x7c00u;
    return (uint16_t)(sign | (magnitude < 0x47800000u ? finite : special));
}

GK_ELEMENTWISE void gk_elementwise_f16_to_f32(const uint16_t *source, float *target,
                                              size_t count) {
    const gk_u16 *restrict from = source;
    gk_u32 *restrict to = (gk_u32 *)target;
    for (size_t i = 0; i < count; i++) to[i] = gk_f32_bits_of_f16(from[i]);
}

GK_ELEMENTWISE void gk_elementwise_f32_to_f16(const float *source, uint16_t *target,
                                              size_t count) {
    const gk_u32 *restrict from = (const gk_u32 *)source;
    gk_u16 *restrict to = target;
    for (size_t i = 0; i < count; i++) to[i] = gk_f16_of_f32_bits(from[i]);
}

// ---- reading gradients ----

GK_ELEMENTWISE void gk_elementwise_bf16_to_f32(const uint16_t *source, float *target,
                                               size_t count) {
    const gk_u16 *restrict from = source;
    gk_u32 *restrict to = (gk_u32 *)target;
    for (size_t i = 0; i < count; i++) to[i] = (uint32_t)from[i] << 16;
}

GK_ELEMENTWISE size_t gk_elementwise_find_nonfinite(const float *x, size_t count) {
    enum { STEP = 256 };  // elements looked at before the first branch on them
    const uint32_t exponent = 0x7f800000u;
    const gk_u32 *bits = (const gk_u32 *)x;
    size_t i = 0;
    for (; i + STEP <= count; i += STEP) {
        uint32_t found = 0;
        for (size_t j = 0; j < STEP; j++) found |= (bits[i + j] & exponent) == exponent;
        if (found) break;
    }
    for (; i < count; i++)
        if ((bits[i] & exponent) == exponent) return i;
    return count;
}

// ---- encoding ----

// Magnitudes order as their bits do, as integers, so that the order of comparing is free.
GK_ELEMENTWISE float gk_elementwise_max_magnitude(const float *x, size_t count) {
    const gk_u32 *bits = (const gk_u32 *)x;
    int32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t magnitude = (int32_t)(bits[i] & 0x7fffffffu);
        largest = magnitude > largest ? magnitude : largest;
    }
    return gk_f32_of_bits((uint32_t)largest);
}

GK_ELEMENTWISE uint64_t gk_elementwise_quantize_int8(const float *x, size_t count,
                                                     float inverse_scale, int8_t *q) {
    enum { STEP = 65536 };  // squares of a step fit 32 bits: 65,536 x 127^2 < 2^31
    const gk_f32 *restrict from = x;
    gk_s8 *restrict to = q;
    uint64_t sum = 0;
    for (size_t begin = 0; begin < count; begin += STEP) {
        const size_t end = count - begin < STEP ? count : begin + STEP;
        int32_t step_sum = 0;
        for (size_t i = begin; i < end; i++) {
            float value = from[i] * inverse_scale;
            value = value < 127.0f ? value : 127.0f;  // a NaN becomes 127
            value = value > -127.0f ? value : -127.0f;
            // 1.5 x 2^23 has an ulp of one: the addition rounds half to even, and the integer
            // is what it adds to the bits. Clamping first changes nothing, the ends are integers.
            const uint32_t bits = gk_bits_of_f32(value + 0x1.8p23f);
            const int32_t level = (int32_t)(bits - 0x4b400000u);
            to[i] = (int8_t)level;
            step_sum += level * level;
        }
        sum += (uint64_t)step_sum;
    }
    return sum;
}

GK_ELEMENTWISE double gk_elementwise_sum_of_squares(const float *x, size_t count) {
    const gk_f32 *from = x;
    double lanes[GK_LANES] = {0};
    size_t i = 0;
    for (; i + GK_LANES <= count; i += GK_LANES)
        for (size_t j = 0; j < GK_LANES; j++) {
            const double value = from[i + j];
            lanes[j] += value * value;
        }
    for (size_t j = 0; i + j < count; j++) {
        const double value = from[i + j];
        lanes[j] += value * value;
    }
    return gk_fold(lanes);
}

// ---- measuring ----

// Vectors of 32 bytes, also where there are wider ones: hardware prefetchers keep ahead of them by
// themselves, whereas 64 bytes at a time overtake them (a tenth slower from memory, on Zen 4).
GK_ELEMENTWISE uint64_t gk_elementwise_read_bytes(const void *bytes, size_t count) {
    typedef uint64_t words __attribute__((vector_size(32)));
    typedef words unaligned_words __attribute__((aligned(1), may_alias));
    const char *from = bytes;
    words a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 4 * sizeof a <= count; i += 4 * sizeof a) {
        const unaligned_words *next = (const unaligned_words *)(from + i);
        a ^= next[0];
        b ^= next[1];
        c ^= next[2];
        d ^= next[3];
    }
    uint64_t rest = 0;
    for (; i < count; i++) rest ^= (unsigned char)from[i];
    a ^= b ^ c ^ d;
    return rest ^ a[0] ^ a[1] ^ a[2] ^ a[3];
}

#endif
