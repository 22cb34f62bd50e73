// Element-wise kernels, one source for every variant: plain loops that the compiler vectorises
// for the target of the file that includes this, or vectors of sixteen that it cuts up. Every
// step is an integer operation or one IEEE operation per element, so the width of a vector cannot
// show in the result.
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

GK_ELEMENTWISE void gk_elementwise_f32_to_bf16(const float *source, uint16_t *target,
                                               size_t count) {
    const gk_u32 *restrict from = (const gk_u32 *)source;
    gk_u16 *restrict to = target;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = from[i];
        // Half an ulp less one, and one more where the kept bits are odd; as for halves.
        const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        const uint32_t nan = bits >> 16 | 0x40u;
        to[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
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

// Sixteen elements at a time, in vectors that the compiler cuts to the width of the target's.
typedef float gk_f32x16 __attribute__((ext_vector_type(16)));
typedef double gk_f64x16 __attribute__((ext_vector_type(16)));
typedef float gk_f32x4 __attribute__((ext_vector_type(4)));
typedef double gk_f64x4 __attribute__((ext_vector_type(4)));
typedef int32_t gk_s32x16 __attribute__((ext_vector_type(16)));
typedef uint64_t gk_u64x8 __attribute__((ext_vector_type(8)));
typedef uint8_t gk_u8x8 __attribute__((ext_vector_type(8)));
typedef _Bool gk_bits16 __attribute__((ext_vector_type(16)));

// Rounds down, in sixteen lanes.
GK_INLINE void gk_round_down(gk_f32x16 *value) {
#if GK_WITHOUT_FLOOR
    // Towards zero, and one less where that went up.
    const gk_s32x16 whole = __builtin_convertvector(*value, gk_s32x16);
    const gk_f32x16 rounded = __builtin_convertvector(whole, gk_f32x16);
    *value = rounded > *value ? rounded - 1.0f : rounded;
#else
    *value = __builtin_elementwise_floor(*value);
#endif
}

// Sixteen codes, in eight bytes, and their levels. Adds the levels' squares to `squares`. Nothing
// but exact products is added to, so that contraction is harmless.
GK_INLINE void gk_quantize_int4_sixteen(const gk_f32 *x, float inverse_step, uint8_t *codes,
                                        float *levels, gk_f32x16 *squares) {
#pragma STDC FP_CONTRACT ON
    gk_f32x16 value;
    memcpy(&value, x, sizeof value);
    value *= inverse_step;
    value = value < 7.0f ? value : 7.0f;  // the code 15, as all up to the next integer
    value = value > -8.0f ? value : -8.0f;
    gk_round_down(&value);
    // 1.5 x 2^23 has an ulp of one: codes are in the lowest bits, of the first half of a pair in
    // bits 0-3, of the second in bits 32-35.
    const gk_f32x16 code = value + (0x1.8p23f + 8.0f);
    gk_u64x8 pairs;
    memcpy(&pairs, &code, sizeof pairs);
    const gk_u8x8 bytes = __builtin_convertvector(pairs | (pairs >> 28 & 0xf0), gk_u8x8);
    memcpy(codes, &bytes, sizeof bytes);
    const gk_f32x16 level = value * 2.0f + 1.0f;
    memcpy(levels, &level, sizeof level);
    *squares += level * level;
}

// The products of a level and an element are exact in double: harmless here, too.
GK_INLINE void gk_dot_levels(const float *levels, const gk_f32 *x, gk_f64x4 lanes[GK_LANES / 4]) {
#pragma STDC FP_CONTRACT ON
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_LANES / 4; p++) {
        gk_f32x4 level, element;
        memcpy(&level, levels + 4 * p, sizeof level);
        memcpy(&element, x + 4 * p, sizeof element);
        lanes[p] += __builtin_convertvector(level, gk_f64x4) *
                    __builtin_convertvector(element, gk_f64x4);
    }
}

// Levels are kept for so many elements and multiplied afterwards, in narrower vectors: in one
// pass, or with wider ones, it all takes a quarter longer (Zen 4).
#define GK_LEVELS 256

// `count` is a multiple of sixteen, up to GK_LEVELS. Returns the sum of the levels' squares.
GK_INLINE uint64_t gk_quantize_int4_part(const gk_f32 *x, size_t count, float inverse_step,
                                         uint8_t *codes, gk_f64x4 lanes[GK_LANES / 4]) {
    float levels[GK_LEVELS] __attribute__((aligned(64)));
    gk_f32x16 squares = 0;
    for (size_t i = 0; i < count; i += GK_LANES)
        gk_quantize_int4_sixteen(x + i, inverse_step, codes + i / 2, levels + i, &squares);
    for (size_t i = 0; i < count; i += GK_LANES) gk_dot_levels(levels + i, x + i, lanes);
    // Exact: whole numbers, GK_LEVELS x 15^2 < 2^24.
    return (uint64_t)__builtin_reduce_add(__builtin_convertvector(squares, gk_s32x16));
}

// The last elements, fewer than sixteen.
GK_INLINE uint64_t gk_quantize_int4_tail(const gk_f32 *x, size_t count, float inverse_step,
                                         uint8_t *codes, gk_f64x4 lanes[GK_LANES / 4]) {
    float padded[GK_LANES] = {0};  // zeros add 0 to the dot product, whatever their level
    uint8_t padded_codes[GK_LANES / 2];
    memcpy(padded, x, count * sizeof *x);
    gk_quantize_int4_part(padded, GK_LANES, inverse_step, padded_codes, lanes);

    uint64_t squares = 0;
    for (size_t i = 0; i < count; i++) {
        const int level = 2 * (padded_codes[i / 2] >> i % 2 * 4 & 15) - 15;
        squares += (uint64_t)(level * level);
    }
    if (count % 2) padded_codes[count / 2] &= 15;
    memcpy(codes, padded_codes, (count + 1) / 2);
    return squares;
}

GK_ELEMENTWISE gk_levels gk_elementwise_quantize_int4(const float *x, size_t count,
                                                      float inverse_step, uint8_t *codes) {
    const gk_f32 *from = x;
    gk_f64x4 lanes[GK_LANES / 4] = {0};
    gk_levels found = {0};
    size_t i = 0;
    for (; i + GK_LEVELS <= count; i += GK_LEVELS)
        found.squares +=
            gk_quantize_int4_part(from + i, GK_LEVELS, inverse_step, codes + i / 2, lanes);
    const size_t whole = (count - i) / GK_LANES * GK_LANES;
    found.squares += gk_quantize_int4_part(from + i, whole, inverse_step, codes + i / 2, lanes);
    i += whole;
    if (i < count)
        found.squares +=
            gk_quantize_int4_tail(from + i, count - i, inverse_step, codes + i / 2, lanes);
    double sixteen[GK_LANES];
    memcpy(sixteen, lanes, sizeof sixteen);
    found.dot = gk_fold(sixteen);
    return found;
}

// Sixteen bits, in two bytes. Adds the magnitudes to the lanes.
GK_INLINE void gk_quantize_bit_block(const gk_f32 *x, uint8_t *bits, gk_f64x16 *lanes) {
    gk_s32x16 representation;
    memcpy(&representation, x, sizeof representation);
    const gk_bits16 positive = __builtin_convertvector(representation >= 0, gk_bits16);
    memcpy(bits, &positive, sizeof positive);
    const gk_s32x16 magnitude = representation & 0x7fffffff;
    gk_f32x16 value;
    memcpy(&value, &magnitude, sizeof value);
    *lanes += __builtin_convertvector(value, gk_f64x16);
}

GK_ELEMENTWISE double gk_elementwise_quantize_bit(const float *x, size_t count, uint8_t *bits) {
    const gk_f32 *from = x;
    gk_f64x16 sums = 0;
    size_t i = 0;
    for (; i + GK_LANES <= count; i += GK_LANES)
        gk_quantize_bit_block(from + i, bits + i / 8, &sums);
    if (i < count) {
        const size_t rest = count - i;
        float tail[GK_LANES] = {0};
        uint8_t tail_bits[GK_LANES / 8];
        memcpy(tail, from + i, rest * sizeof *from);
        for (size_t j = rest; j < GK_LANES; j++) tail[j] = -0.0f;  // no bit, and no magnitude
        gk_quantize_bit_block(tail, tail_bits, &sums);
        memcpy(bits + i / 8, tail_bits, (rest + 7) / 8);
    }
    double lanes[GK_LANES];
    memcpy(lanes, &sums, sizeof lanes);
    return gk_fold(lanes);
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

// As gk_elementwise_sum_of_squares, in four times as many lanes: additions then wait for memory and
// not for each other. Projections take it, whose sums no format defines.
GK_ELEMENTWISE double gk_elementwise_squared_length(const float *x, size_t count) {
    enum { SETS = 4, STEP = SETS * GK_LANES };
    const gk_f32 *from = x;
    gk_f64x16 sets[SETS] = {0};
    size_t i = 0;
    for (; i + STEP <= count; i += STEP)
#pragma clang loop unroll(full)
        for (int set = 0; set < SETS; set++) {
            gk_f32x16 values;
            memcpy(&values, from + i + set * GK_LANES, sizeof values);
            const gk_f64x16 wide = __builtin_convertvector(values, gk_f64x16);
            sets[set] += wide * wide;
        }
    sets[0] += sets[2];
    sets[1] += sets[3];
    sets[0] += sets[1];
    double lanes[GK_LANES];
    memcpy(lanes, sets, sizeof lanes);
    for (size_t j = 0; i + j < count; j++) {
        const double value = from[i + j];
        lanes[j % GK_LANES] += value * value;
    }
    return gk_fold(lanes);
}

GK_ELEMENTWISE void gk_elementwise_add_scaled(const float *x, size_t count, float scale,
                                              float *sums) {
    const gk_f32 *restrict from = x;
    gk_f32 *restrict to = sums;
    for (size_t i = 0; i < count; i++) to[i] += from[i] * scale;
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
