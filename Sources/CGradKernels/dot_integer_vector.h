// Integer dot products in vectors: elements of eight bits, of four, and of one.
//
// One row after the other, never several side by side: rows lie one behind the other in memory,
// and a single stream of ascending addresses is what hardware prefetchers follow best. Measured on
// a Zen 4 core, four int8 rows side by side scan memory at 0.75 of the speed of one (and the L1
// cache at 1.2 of it), and prefetch instructions ahead of that one stream cost a fifth. (They pay
// where there is more to compute: hash_and_dot_vector.h.)
//
// A query comes in parts, which are read beside a row byte for byte: int8 elements are one part,
// for four bits there is one of the even and one of the odd elements, for one bit the planes.
//
// The including file includes immintrin.h and defines, for its target:
//   gk_score_int8(sums, row, q)          adds the products of GK_BLOCK bytes to eight 32-bit sums
//   gk_code_sum                          a vector of 32-bit sums
//   gk_score_int4(sum, row, even, odd)   the same for codes, added to one of those
//   GK_INT8_BIAS                         what gk_score_int8 adds to every element beforehand
//   gk_bit_sums                          a type in which bits are counted, from all zeros
//   gk_score_bit(sums, row, q, at)       counts GK_BLOCK bytes; q's planes from their byte `at` on
//   gk_bit_total(sums)                   the weighted sum of what was counted
#include "kernels_internal.h"

// A step is summed in 32 bits (at most 65,536 x 255 x 128 < 2^31), steps are added in 64: exact
// for any number of dims, until an int8 query's sum leaves its own 32 bits past 2^24 dims.
#define GK_STEP 65536
#define GK_CHAINS 4  // independent sums, which hide the latency of the multiplications

typedef struct gk_integer_sums {
    __m256i products[GK_CHAINS];
    gk_code_sum codes[GK_CHAINS];
    gk_bit_sums bits;
} gk_integer_sums;

// As numbers of 32 bits.
typedef int32_t gk_s32x8 __attribute__((vector_size(32)));
typedef int32_t gk_code_numbers __attribute__((vector_size(sizeof(gk_code_sum))));

GK_INLINE int64_t gk_integer_total(gk_form form, const gk_integer_sums *sums) {
    if (form == GK_BIT) return gk_bit_total(&sums->bits);
    gk_s32x8 products = {0};
    gk_code_numbers codes = {0};
#pragma clang loop unroll(full)
    for (size_t j = 0; j < GK_CHAINS; j++) {
        products += (gk_s32x8)sums->products[j];
        codes += (gk_code_numbers)sums->codes[j];
    }
    return form == GK_INT8 ? __builtin_reduce_add(products) : __builtin_reduce_add(codes);
}

// A block of a row, and what of the query begins at byte `at` of each part.
GK_INLINE void gk_score_integers(gk_form form, gk_integer_sums *sums, size_t chain,
                                 const char *row, const gk_query *query, size_t at) {
    const char *const *parts = query->parts;
    __m256i *products = &sums->products[chain % GK_CHAINS];
    gk_code_sum *codes = &sums->codes[chain % GK_CHAINS];
    if (form == GK_INT8) gk_score_int8(products, row, parts[0] + at);
    if (form == GK_INT4) *codes = gk_score_int4(*codes, row, parts[0] + at, parts[1] + at);
    if (form == GK_BIT) gk_score_bit(&sums->bits, row, query, at);
}

// How far ahead of a block the second-level cache is asked for memory. Hardware prefetchers stop
// at the end of a page and start over in the next, and the more there is to compute, the less of
// that the processor hides: on Zen 4, asking for it takes estimates from 0.6 to 0.9 of the speed
// of reading on one core, and rows of 4 KiB of bits from 0.26 to 0.54. A multiple of 4 KiB does
// worse by a twentieth, and the first-level cache is no place for it: the query is there. Bytes
// need none, they have 0.9 without and less with it.
#define GK_AHEAD 9216

GK_INLINE void gk_ask_ahead(gk_form form, const char *block) {
    if (form == GK_INT8) return;
    __builtin_prefetch((const void *)((uintptr_t)block + GK_AHEAD), 0, 2);
}

// row . query, over `count` bytes, at most GK_STEP, of which the first has the query's byte `at`.
// What does not fill a block is scored with the bytes before it, as the row's last block:
// `query_end` is 0 where those were scored already.
GK_INLINE int64_t gk_dot_step(gk_form form, const char *row, size_t count, const gk_query *query,
                              size_t at, const gk_query *query_end) {
    const size_t unrolled = GK_CHAINS * GK_BLOCK;
    gk_integer_sums sums = {0};
    size_t i = 0;
    for (; i + unrolled <= count; i += unrolled)
#pragma clang loop unroll(full)
        for (size_t j = 0; j < GK_CHAINS; j++) {
            const size_t here = i + j * GK_BLOCK;
            gk_ask_ahead(form, row + here);
            gk_score_integers(form, &sums, j, row + here, query, at + here);
        }
#pragma clang loop unroll(disable)
    for (; i + GK_BLOCK <= count; i += GK_BLOCK)
        gk_score_integers(form, &sums, 0, row + i, query, at + i);
    if (i < count) gk_score_integers(form, &sums, 1, row + count - GK_BLOCK, query_end, 0);
    return gk_integer_total(form, &sums);
}

// The last bytes of a query's parts that do not fill a block, each behind zeros in `block`.
GK_INLINE gk_query gk_query_end(const gk_query *query, size_t row_bytes,
                                char blocks[GK_BIT_PLANES][GK_BLOCK]) {
    gk_query end = *query;
    const size_t rest = row_bytes % GK_BLOCK;
    for (size_t p = 0; p < query->part_count; p++) {
        memset(blocks[p], 0, GK_BLOCK);
        memcpy(blocks[p] + GK_BLOCK - rest, query->parts[p] + row_bytes - rest, rest);
        end.parts[p] = blocks[p];
    }
    return end;
}

GK_INLINE void gk_dot_integers(gk_form form, const void *rows, size_t row_count, size_t stride,
                               size_t row_bytes, const gk_query *query, int64_t *out) {
    char blocks[GK_BIT_PLANES][GK_BLOCK];
    const gk_query query_end = gk_query_end(query, row_bytes, blocks);
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * stride;
        int64_t sum = query->bias;
        char padded[GK_BLOCK] = {0};
        if (row_bytes < GK_BLOCK)  // nothing may be read before the row
            row = memcpy(padded + GK_BLOCK - row_bytes, row, row_bytes);
        for (size_t i = 0; i < row_bytes; i += GK_STEP) {
            const size_t step = row_bytes - i < GK_STEP ? row_bytes - i : GK_STEP;
            sum += gk_dot_step(form, row + i, step, query, i, &query_end);
        }
        out[r] += sum;
    }
}

// ---- queries of each form ----

GK_INLINE gk_query gk_int8_query(const int8_t *query, int32_t query_sum) {
    return (gk_query){.parts = {(const char *)query},
                      .part_count = 1,
                      .bias = -GK_INT8_BIAS * (int64_t)query_sum};
}

GK_INLINE gk_query gk_int4_query(const int8_t *even, const int8_t *odd) {
    return (gk_query){.parts = {(const char *)even, (const char *)odd}, .part_count = 2};
}

GK_INLINE gk_query gk_bit_query(const uint8_t *planes, size_t plane_bytes) {
    gk_query query = {.part_count = GK_BIT_PLANES};
    for (size_t p = 0; p < GK_BIT_PLANES; p++)
        query.parts[p] = (const char *)planes + p * plane_bytes;
    return query;
}

GK_INLINE size_t gk_int4_row_bytes(size_t dims) { return dims / 2 + dims % 2; }
GK_INLINE size_t gk_bit_row_bytes(size_t dims) { return dims / 8 + (dims % 8 != 0); }

// ---- kernels ----

static void gk_dot_int8(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                        const int8_t *query, int32_t query_sum, int64_t *out) {
    const gk_query q = gk_int8_query(query, query_sum);
    gk_dot_integers(GK_INT8, rows, row_count, stride, dims, &q, out);
}

static void gk_dot_int4(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                        const int8_t *even, const int8_t *odd, int64_t *out) {
    const gk_query q = gk_int4_query(even, odd);
    gk_dot_integers(GK_INT4, rows, row_count, stride, gk_int4_row_bytes(dims), &q, out);
}

static void gk_dot_bit(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                       const uint8_t *planes, int64_t *out) {
    const size_t row_bytes = gk_bit_row_bytes(dims);
    const gk_query q = gk_bit_query(planes, row_bytes);
    gk_dot_integers(GK_BIT, rows, row_count, stride, row_bytes, &q, out);
}
