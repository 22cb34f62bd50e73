// Counting the bits that a row and each plane of a query share, with VPOPCNTDQ.
#include "kernels_internal.h"

typedef struct gk_bit_sums {
    __m512i counts[GK_BIT_PLANES];
} gk_bit_sums;

GK_INLINE void gk_score_bit(gk_bit_sums *sums, const char *row, const gk_query *query, size_t at) {
    const __m512i bits = _mm512_loadu_si512(row);
    // Planes are equally far from each other: that takes fewer registers than six addresses.
    const char *plane = query->parts[0] + at;
    const size_t distance = (size_t)(query->parts[1] - query->parts[0]);
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_BIT_PLANES; p++) {
        const __m512i shared = _mm512_and_si512(bits, _mm512_loadu_si512(plane + p * distance));
        sums->counts[p] = _mm512_add_epi64(sums->counts[p], _mm512_popcnt_epi64(shared));
    }
}

GK_INLINE int64_t gk_bit_total(const gk_bit_sums *sums) {
    __m512i total = _mm512_setzero_si512();  // ((-c5 * 2 + c4) * 2 + c3) ...
#pragma clang loop unroll(full)
    for (int p = GK_BIT_PLANES - 1; p >= 0; p--) {
        total = _mm512_add_epi64(total, total);
        total = p == GK_BIT_PLANES - 1 ? _mm512_sub_epi64(total, sums->counts[p])
                                       : _mm512_add_epi64(total, sums->counts[p]);
    }
    return _mm512_reduce_add_epi64(total);
}
