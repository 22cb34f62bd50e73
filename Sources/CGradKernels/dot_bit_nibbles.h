// Counting the bits that a row and each plane of a query share, where there is no instruction for
// it: four bits at a time, looked up in a table of sixteen bytes.
//
// The tables hold counts times the plane's weight, so that the planes of positive weight add up in
// bytes: at most 8 x (1 + 2 + 4 + 8 + 16) = 248.
//
// Include it after rotate_vector.h (for gk_vector). The including file defines, in the types of
// immintrin.h:
//   gk_look_up(table, indices)  for each byte the byte of a table of sixteen, indices below 16
//   gk_sum_bytes(bytes)         sums of eight bytes each, in 64 bits
#include "kernels_internal.h"

typedef uint8_t gk_bytes __attribute__((vector_size(sizeof(gk_vector))));
typedef uint16_t gk_words __attribute__((vector_size(sizeof(gk_vector))));
typedef long long gk_integers __attribute__((vector_size(sizeof(gk_vector))));
typedef uint64_t gk_quads __attribute__((vector_size(sizeof(gk_vector))));
typedef uint8_t gk_table __attribute__((vector_size(16)));

#define GK_SIGN_PLANE (GK_BIT_PLANES - 1)

typedef struct gk_bit_sums {
    gk_quads positive, negative;
} gk_bit_sums;

// The high half of every byte, as a number; the bits above it belong to its neighbour.
GK_INLINE gk_bytes gk_high_halves(gk_bytes bytes) { return (gk_bytes)((gk_words)bytes >> 4); }

GK_INLINE gk_bytes gk_counts_of(gk_table table, gk_bytes halves) {
    return (gk_bytes)gk_look_up((__m128i)table, (gk_integers)halves);
}

// Per byte, the bits that are set both in the row, whose halves are given, and at `plane`.
GK_INLINE gk_bytes gk_weighted_counts(gk_bytes low, gk_bytes high, const char *plane, int weight) {
    const gk_table counts = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    const gk_table weighted = counts * (uint8_t)weight;
    gk_bytes bits;
    memcpy(&bits, plane, sizeof bits);
    return gk_counts_of(weighted, low & bits) + gk_counts_of(weighted, high & gk_high_halves(bits));
}

GK_INLINE void gk_score_bit(gk_bit_sums *sums, const char *row, const gk_query *query, size_t at) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < GK_BLOCK; i += sizeof(gk_bytes)) {
        gk_bytes bytes;
        memcpy(&bytes, row + i, sizeof bytes);
        const gk_bytes low = bytes & 15, high = gk_high_halves(bytes) & 15;
        gk_bytes positive = {0};
#pragma clang loop unroll(full)
        for (int p = 0; p < GK_SIGN_PLANE; p++)
            positive += gk_weighted_counts(low, high, query->parts[p] + at + i, 1 << p);
        sums->positive += (gk_quads)gk_sum_bytes((gk_integers)positive);
        const char *sign = query->parts[GK_SIGN_PLANE] + at + i;
        const gk_bytes negative = gk_weighted_counts(low, high, sign, 1);
        sums->negative += (gk_quads)gk_sum_bytes((gk_integers)negative);
    }
}

GK_INLINE int64_t gk_bit_total(const gk_bit_sums *sums) {
    const gk_quads all = sums->positive - (sums->negative << GK_SIGN_PLANE);
    int64_t total = 0;
    for (size_t j = 0; j < sizeof all / sizeof all[0]; j++) total += (int64_t)all[j];
    return total;
}
