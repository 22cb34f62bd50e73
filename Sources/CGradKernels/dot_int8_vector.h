// Integer dot products in vectors.
//
// One row after the other, never several side by side: rows lie one behind the other in memory,
// and a single stream of ascending addresses is what hardware prefetchers follow best. Measured on
// a Zen 4 core, four rows side by side scan memory at 0.75 of the speed of one (and the L1 cache at
// 1.2 of it), and prefetch instructions ahead of that one stream cost a fifth.
//
// The including file includes immintrin.h and defines, for its target:
//   gk_score(sums, row, q)  adds the products of GK_INT8_BLOCK elements to eight 32-bit sums
//   GK_INT8_BIAS            what gk_score adds to every element of a row beforehand
#include "kernels_internal.h"

// A step is summed in 32 bits (at most 65,536 x 255 x 128 < 2^31), steps are added in 64: exact
// for any number of dims, until the query's sum leaves its own 32 bits past 2^24 dims.
#define GK_INT8_STEP 65536
#define GK_INT8_BLOCK 64
#define GK_INT8_CHAINS 4  // independent sums, which hide the latency of the multiplications

GK_INLINE int64_t gk_total(const __m256i sums[GK_INT8_CHAINS]) {
    const __m256i all = _mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]),
                                         _mm256_add_epi32(sums[2], sums[3]));
    const __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

// row . query, over at most GK_INT8_STEP elements. What does not fill a block is scored with the
// elements before it, as the row's last block: `query_end` is 0 where those were scored already.
GK_INLINE int64_t gk_dot_int8_step(const char *row, size_t dims, const char *query,
                                   const char *query_end) {
    const size_t unrolled = GK_INT8_CHAINS * GK_INT8_BLOCK;
    __m256i sums[GK_INT8_CHAINS] = {0};
    size_t i = 0;
    for (; i + unrolled <= dims; i += unrolled)
#pragma clang loop unroll(full)
        for (size_t j = 0; j < GK_INT8_CHAINS; j++)
            gk_score(&sums[j], row + i + j * GK_INT8_BLOCK, query + i + j * GK_INT8_BLOCK);
    for (; i + GK_INT8_BLOCK <= dims; i += GK_INT8_BLOCK) gk_score(&sums[0], row + i, query + i);
    if (i < dims) gk_score(&sums[1], row + dims - GK_INT8_BLOCK, query_end);
    return gk_total(sums);
}

static void gk_dot_int8(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                        const int8_t *query, int32_t query_sum, int64_t *out) {
    const char *q = (const char *)query;
    const size_t rest = dims % GK_INT8_BLOCK;
    char query_end[GK_INT8_BLOCK] = {0};
    memcpy(query_end + GK_INT8_BLOCK - rest, q + dims - rest, rest);
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * stride;
        int64_t sum = -GK_INT8_BIAS * (int64_t)query_sum;
        char padded[GK_INT8_BLOCK] = {0};
        if (dims < GK_INT8_BLOCK)  // nothing may be read before the row
            row = memcpy(padded + GK_INT8_BLOCK - dims, row, dims);
        for (size_t i = 0; i < dims; i += GK_INT8_STEP) {
            const size_t step = dims - i < GK_INT8_STEP ? dims - i : GK_INT8_STEP;
            sum += gk_dot_int8_step(row + i, step, q + i, query_end);
        }
        out[r] += sum;
    }
}
