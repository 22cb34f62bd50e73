// The rotation in vectors. The arithmetic is that of rotate_plain.h; only the order in which
// independent butterflies are done differs, so that memory is passed over few times:
//
//   1. The leaf pass keeps GK_LEAF contiguous vectors in registers. It flips signs, does the
//      stages within a vector by shuffles, then those between the vectors.
//   2. Each further pass joins up to GK_RADIX parts of equal length: one vector from each, all
//      their stages in registers, back to where they came from.
//   3. A long vector is cut in GK_RADIX parts, each is finished (recursively), then they are
//      joined, so that a cache sees all passes over what fits it before anything else.
//
// The including file defines, for its target:
//   GK_WIDTH, gk_vector  floats in a vector, and its type (a clang vector)
//   GK_LEAF              a power of two, at most half of the registers
//   gk_flip(v, bits)     negates lane j where bit j at `bits` is set
//   gk_stages_within(v)  the stages h = 1 ... GK_WIDTH/2
//   gk_canonical(v)      replaces NaNs by the canonical one
#include "rotate_plain.h"

#pragma STDC FP_CONTRACT OFF

#define GK_LEAF_COUNT (GK_LEAF * GK_WIDTH)
// Parts lie a power of two apart, in the same set of the L1 cache: more of them than it has ways
// would evict each other between load and store.
#define GK_RADIX 8
// Up to this many floats (64 KiB, in any L2 cache) a vector is joined in passes over all of it.
#define GK_CACHED_COUNT 16384

GK_INLINE gk_vector gk_load(const gk_f32 *from) {
    gk_vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

GK_INLINE void gk_store(gk_f32 *to, gk_vector v) { memcpy(to, &v, sizeof v); }

// The stages between `radix` vectors, first those between neighbours.
GK_INLINE void gk_stages_between(gk_vector *v, int radix) {
#pragma clang loop unroll(full)
    for (int half = 1; half < radix; half *= 2)
#pragma clang loop unroll(full)
        for (int i = 0; i < radix; i++)
            if (!(i & half)) {
                const gk_vector a = v[i], b = v[i + half];
                v[i] = a + b;
                v[i + half] = a - b;
            }
}

// The value of `scale` when a pass is not the last.
#define GK_UNSCALED NULL

GK_INLINE gk_vector gk_finish(gk_vector v, const float *scale) {
    return scale ? gk_canonical(v * *scale) : v;
}

// `bits` are the signs of the first element and on.
GK_INLINE void gk_leaf_pass_as(gk_f32 *x, size_t count, const unsigned char *bits,
                               const float *scale) {
    for (size_t i = 0; i < count; i += GK_LEAF_COUNT) {
        gk_vector v[GK_LEAF];
#pragma clang loop unroll(full)
        for (int j = 0; j < GK_LEAF; j++) {
            const size_t at = i + (size_t)j * GK_WIDTH;
            v[j] = gk_flip(gk_load(x + at), bits + at / 8);
            v[j] = gk_stages_within(v[j]);
        }
        gk_stages_between(v, GK_LEAF);
#pragma clang loop unroll(full)
        for (int j = 0; j < GK_LEAF; j++)
            gk_store(x + i + (size_t)j * GK_WIDTH, gk_finish(v[j], scale));
    }
}

// Joins `radix` parts of `part` elements each.
GK_INLINE void gk_join_as(gk_f32 *x, size_t part, int radix, const float *scale) {
    for (size_t i = 0; i < part; i += GK_WIDTH) {
        gk_vector v[GK_RADIX];
#pragma clang loop unroll(full)
        for (int j = 0; j < radix; j++) v[j] = gk_load(x + i + (size_t)j * part);
        gk_stages_between(v, radix);
#pragma clang loop unroll(full)
        for (int j = 0; j < radix; j++) gk_store(x + i + (size_t)j * part, gk_finish(v[j], scale));
    }
}

// The two passes below choose among copies of the two above, in which radix and scaling are known.

static void gk_leaf_pass(gk_f32 *x, size_t count, const unsigned char *bits, const float *scale) {
    if (scale) gk_leaf_pass_as(x, count, bits, scale);
    else gk_leaf_pass_as(x, count, bits, GK_UNSCALED);
}

static void gk_join(gk_f32 *x, size_t part, int radix, const float *scale) {
#define GK_JOIN_CASE(known)                                                                        \
    case known:                                                                                    \
        if (scale) gk_join_as(x, part, known, scale);                                              \
        else gk_join_as(x, part, known, GK_UNSCALED);                                              \
        break;
    switch (radix) {
        GK_JOIN_CASE(2)
        GK_JOIN_CASE(4)
        GK_JOIN_CASE(GK_RADIX)
    }
#undef GK_JOIN_CASE
}

// Up to GK_CACHED_COUNT elements, in passes over all of them.
static void gk_rotate_cached(gk_f32 *x, size_t count, const unsigned char *bits,
                             const float *scale) {
    size_t done = GK_LEAF_COUNT;  // stages h < done are done
    gk_leaf_pass(x, count, bits, done == count ? scale : GK_UNSCALED);
    while (done < count) {
        const size_t radix = count / done < GK_RADIX ? count / done : GK_RADIX;
        const float *now = done * radix == count ? scale : GK_UNSCALED;
        for (size_t i = 0; i < count; i += done * radix) gk_join(x + i, done, (int)radix, now);
        done *= radix;
    }
}

static void gk_rotate_part(gk_f32 *x, size_t count, const unsigned char *bits, const float *scale) {
    if (count <= GK_CACHED_COUNT) {
        gk_rotate_cached(x, count, bits, scale);
        return;
    }
    const size_t most = count / GK_CACHED_COUNT;  // parts
    const size_t radix = most < GK_RADIX ? most : GK_RADIX;
    const size_t part = count / radix;
    for (size_t i = 0; i < count; i += part) gk_rotate_part(x + i, part, bits + i / 8, GK_UNSCALED);
    gk_join(x, part, (int)radix, scale);
}

static void gk_rotate(float *x, size_t count, const uint64_t *signs, float scale) {
    if (count < GK_LEAF_COUNT) gk_rotate_plain(x, count, signs, scale);
    else gk_rotate_part(x, count, (const unsigned char *)signs, &scale);
}
