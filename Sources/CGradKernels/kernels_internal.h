// What the variants share: their tables, memory without alignment, and the two rules on which
// "the same bits everywhere" rests where arithmetic alone does not settle it, the order in which
// lanes are folded and the bits of a NaN.
#ifndef GRADDB_KERNELS_INTERNAL_H
#define GRADDB_KERNELS_INTERNAL_H

#include "graddb_kernels.h"

#include <string.h>

extern const gk_kernels gk_scalar_kernels;
#if defined(__x86_64__)
extern const gk_kernels gk_avx2_kernels;
extern const gk_kernels gk_avx512_kernels;
#endif

#define GK_INLINE static inline __attribute__((always_inline))

// Elements in memory: of any alignment, and readable as numbers or as bits.
typedef float gk_f32 __attribute__((aligned(1), may_alias));
typedef int8_t gk_s8 __attribute__((may_alias));
typedef uint16_t gk_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t gk_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t gk_u64 __attribute__((aligned(1), may_alias));


// Float dot products are summed in this many lanes, whatever the width of a vector.
#define GK_LANES 16

GK_INLINE uint32_t gk_bits_of_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

GK_INLINE float gk_f32_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Which NaN an addition returns depends on the order of its operands, which compilers may swap,
// and on the architecture. So no kernel lets an arithmetic NaN out: results are one fixed NaN.
#define GK_NAN_BITS_F32 0x7fc00000u
GK_INLINE float gk_canonical_f32(float value) {
    return value == value ? value : gk_f32_of_bits(GK_NAN_BITS_F32);
}
GK_INLINE double gk_canonical_f64(double value) {
    const uint64_t nan_bits = 0x7ff8000000000000u;
    double canonical;
    memcpy(&canonical, &nan_bits, sizeof canonical);
    return value == value ? value : canonical;
}

// The one tree in which sixteen lanes become a sum. Destroys the lanes.
GK_INLINE double gk_fold(double lanes[GK_LANES]) {
    for (int width = GK_LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++) lanes[j] += lanes[j + width];
    return gk_canonical_f64(lanes[0]);
}

#endif
