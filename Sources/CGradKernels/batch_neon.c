// Batches of queries, AArch64 with the dot product instructions: sdot multiplies signed bytes, four
// products to a 32-bit sum.
#include "batch_internal.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#define GK_ELEMENT int8_t
#define GK_WIDTH 4
#define GK_TILE_VECTORS 4
#define GK_EXPANDS_BITS
#define GK_BIAS(codec) 0
#define GK_REST_ROWS 4
#define GK_REST_QUERIES 4
typedef int32x4_t gk_vector;

GK_INLINE gk_vector gk_spread(const char *step) {
    int32_t four;
    memcpy(&four, step, sizeof four);
    return vdupq_n_s32(four);
}

GK_INLINE gk_vector gk_multiply(gk_vector sums, gk_vector row, gk_vector queries) {
    return vdotq_s32(sums, vreinterpretq_s8_s32(row), vreinterpretq_s8_s32(queries));
}

GK_INLINE int8x16_t gk_expand_int4(const char *elements) {
    const uint8x8_t codes = vld1_u8((const uint8_t *)elements);
    const uint8x8_t low = vand_u8(codes, vdup_n_u8(15)), high = vshr_n_u8(codes, 4);
    return vreinterpretq_s8_u8(vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high)));
}

GK_INLINE int8x16_t gk_expand_bit(const char *elements) {
    static const uint8_t bit_of_lane[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                            1, 2, 4, 8, 16, 32, 64, 128};
    const uint8_t *bits = (const uint8_t *)elements;
    const uint8x16_t all = vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1]));
    return vreinterpretq_s8_u8(vshrq_n_u8(vtstq_u8(all, vld1q_u8(bit_of_lane)), 7));
}

GK_INLINE gk_vector gk_expand(gk_codec codec, const char *elements, size_t count) {
    char padded[16] = {0};
    if (count < 16) elements = memcpy(padded, elements, gk_codec_bytes(codec, count));
    if (codec == GK_CODEC_INT8) return vreinterpretq_s32_s8(vld1q_s8((const int8_t *)elements));
    return vreinterpretq_s32_s8(codec == GK_CODEC_INT4 ? gk_expand_int4(elements)
                                                       : gk_expand_bit(elements));
}

GK_INLINE void gk_add_sums(int64_t *out, gk_vector sums, size_t count) {
    if (count >= GK_WIDTH) {
        vst1q_s64(out, vaddw_s32(vld1q_s64(out), vget_low_s32(sums)));
        vst1q_s64(out + 2, vaddw_high_s32(vld1q_s64(out + 2), sums));
        return;
    }
    int32_t each[GK_WIDTH];
    vst1q_s32(each, sums);
    for (size_t q = 0; q < count; q++) out[q] += each[q];
}

GK_INLINE void gk_fold_into(int64_t *out, const gk_vector *sums, size_t queries,
                            const int32_t *starts) {
#pragma clang loop unroll(full)
    for (size_t q = 0; q < queries; q++) out[q] += vaddvq_s32(sums[q]) + starts[q];
}

// Three queries leave a quarter of a vector empty, which costs less than folding.
GK_INLINE size_t gk_rest_limit(size_t dims) { return dims < 256 ? 1 : 2; }

#include "batch_blocked.h"

#pragma clang attribute pop

const gk_batch_kernels gk_batch_neon = {
    .packed_bytes_int8 = gk_packed_bytes,
    .packed_bytes_int4 = gk_packed_bytes,
    .packed_bytes_bit = gk_packed_bytes,
    .pack_int8 = gk_batch_pack_int8,
    .pack_int4 = gk_batch_pack_int4,
    .pack_bit = gk_batch_pack_bit,
    .dot_int8 = gk_batch_dot_int8,
    .dot_int4 = gk_batch_dot_int4,
    .dot_bit = gk_batch_dot_bit,
};

#endif
