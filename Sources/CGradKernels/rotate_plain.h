// The rotation as its definition reads: signs, butterflies stage by stage, scale. It is the whole
// of the scalar variant, and the others' answer to vectors too short for a pass of theirs.
#ifndef GRADDB_ROTATE_PLAIN_H
#define GRADDB_ROTATE_PLAIN_H

#include "kernels_internal.h"

#pragma STDC FP_CONTRACT OFF

// Stages h = 1 ... count/2. Halves are independent until the last stage joins them: finishing one
// half before the other starts keeps the work in cache, and every element still passes through
// its stages in order.
static void gk_butterflies_plain(gk_f32 *x, size_t count) {
    enum { STEP = 2048 };  // elements that are done stage by stage; 8 KiB
    size_t half = 1;
    if (count > STEP) {
        half = count / 2;
        gk_butterflies_plain(x, half);
        gk_butterflies_plain(x + half, half);
    }
    for (; half < count; half *= 2)
        for (size_t begin = 0; begin < count; begin += 2 * half) {
            gk_f32 *first = x + begin, *second = first + half;
            for (size_t i = 0; i < half; i++) {
                const float a = first[i], b = second[i];
                first[i] = a + b;
                second[i] = a - b;
            }
        }
}

static void gk_rotate_plain(float *x, size_t count, const uint64_t *signs, float scale) {
    gk_f32 *values = x;
    gk_u32 *bits = (gk_u32 *)x;
    const gk_u64 *words = signs;
    for (size_t i = 0; i < count; i++)
        bits[i] ^= (uint32_t)(words[i / 64] >> i % 64 & 1u) << 31;
    gk_butterflies_plain(values, count);
    for (size_t i = 0; i < count; i++) values[i] = gk_canonical_f32(values[i] * scale);
}

#endif
