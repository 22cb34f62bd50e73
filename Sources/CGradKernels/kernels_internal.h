// What the variants share: their tables, the forms in which rows are scored, memory without
// alignment, and the two rules on which "the same bits everywhere" rests where arithmetic alone
// does not settle it, the order in which lanes are folded and the bits of a NaN.
#ifndef GRADDB_KERNELS_INTERNAL_H
#define GRADDB_KERNELS_INTERNAL_H

#include "graddb_kernels.h"

#include <string.h>

extern const gk_kernels gk_scalar_kernels;
extern const gk_batch_kernels gk_batch_scalar;
uint64_t gk_peak_scalar(uint64_t rounds);
#if defined(__x86_64__)
extern const gk_kernels gk_avx2_kernels, gk_avx512_kernels, gk_avx512_vpopcntdq_kernels;
extern const gk_batch_kernels gk_batch_avx2, gk_batch_avx512, gk_batch_avx512_vpopcntdq;
uint64_t gk_peak_avx2(uint64_t rounds), gk_peak_avx512(uint64_t rounds);
#endif
#if defined(__aarch64__)
extern const gk_kernels gk_neon_kernels;
extern const gk_batch_kernels gk_batch_neon;
int gk_neon_supported(void);
uint64_t gk_peak_neon(uint64_t rounds);
#endif

#define GK_INLINE static inline __attribute__((always_inline))

// Elements in memory: of any alignment, and readable as numbers or as bits.
typedef float gk_f32 __attribute__((aligned(1), may_alias));
typedef int8_t gk_s8 __attribute__((may_alias));
typedef uint16_t gk_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t gk_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t gk_u64 __attribute__((aligned(1), may_alias));

// How rows are stored and summed. Where a function takes one, it is known when compiling.
typedef enum gk_form {
    GK_INT8,
    GK_INT4,
    GK_BIT,
    GK_F32,
    GK_F16,
    GK_BF16,
    GK_F16_ESTIMATE,
    GK_BF16_ESTIMATE,
} gk_form;

// Bytes of a row that are scored at a time: a stripe of the hash.
#define GK_BLOCK 64

// A query as the vector variants see it: parts that are read beside a row, and what is added to a
// row's sum once. Floats are one part; what integers have, dot_integer_vector.h says.
typedef struct gk_query {
    const char *parts[GK_BIT_PLANES];
    size_t part_count;
    int64_t bias;
} gk_query;

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
