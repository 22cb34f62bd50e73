// Batches of queries against bits, by tables: the sums that four elements of a query can give with
// four bits are sixteen numbers from -128 to 124, a table of bytes. vpermb looks up 64 bytes in
// four such tables at once, and vpdpbusd adds what four lookups found: two instructions for 256
// products, of which multiplying makes 64. On Zen 4 that scores bits at 2.3 times the peak of
// vpdpbusd (2.9 times it in the innermost loop).
//
// The price is packed queries of four bytes an element, and speed where rows are few: below 16 rows
// a call, vectors are not full, and from about 10 on down multiplying would be faster.
//
// Lanes are rows: in a vector of indices every 32-bit lane holds sixteen bits of a row, a byte for
// each four, with the number of its table in bits 4 and 5.
//
// Included by batch_avx512.c, inside a target attribute that has VBMI as well.
#include "batch_internal.h"

#define GK_STEP_BITS 16     // of a row, in a 32-bit lane of indices
#define GK_TABLES_BYTES 64  // those of a query for a step
#define GK_LOT_ROWS 16      // in a vector
#define GK_TILE_LOTS 4      // a register tile is 64 rows
#define GK_TILE_QUERIES 4   // by four queries

// Indices of a block take 16 KiB, its sums 32 KiB, tables that meet in a register tile 8 KiB.
// Tables of many queries come from the L3 cache, hence so many rows. They are also prefetched: at
// 32,768 dims by 128 queries, that is twice as fast.
#define GK_TABLES_ROWS 128
#define GK_TABLES_STEPS 32
#define GK_TABLES_DIMS (GK_TABLES_STEPS * GK_STEP_BITS)
#define GK_TABLES_QUERIES 64
#define GK_TABLES_LOTS (GK_TABLES_ROWS / GK_LOT_ROWS)

GK_INLINE size_t gk_table_steps(size_t dims) { return (dims + GK_STEP_BITS - 1) / GK_STEP_BITS; }

// ---- packed queries: for each tile of queries, for each step, the tables of each query ----

static size_t gk_tables_packed_bytes(size_t dims, size_t query_count) {
    return query_count * gk_table_steps(dims) * GK_TABLES_BYTES;
}

// Byte e of table p is the sum of the elements 4p + j whose bit j is set in e.
GK_INLINE __m512i gk_tables_of(const int8_t *query, size_t count) {
    const __mmask64 has_bit[4] = {0xaaaaaaaaaaaaaaaa, 0xcccccccccccccccc, 0xf0f0f0f0f0f0f0f0,
                                  0xff00ff00ff00ff00};
    const __m512i first = _mm512_set_epi32(
        0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c, 0x08080808, 0x08080808, 0x08080808,
        0x08080808, 0x04040404, 0x04040404, 0x04040404, 0x04040404, 0, 0, 0, 0);
    const __mmask16 here = (__mmask16)gk_first_bits(count < GK_STEP_BITS ? count : GK_STEP_BITS);
    const __m128i six = _mm_and_si128(_mm_maskz_loadu_epi8(here, query), _mm_set1_epi8(63));
    const __m128i sign = _mm_set1_epi8(32);
    const __m128i elements = _mm_sub_epi8(_mm_xor_si128(six, sign), sign);
    const __m512i all = _mm512_broadcast_i32x4(elements);
    __m512i sums = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (char j = 0; j < 4; j++) {
        const __m512i at = _mm512_add_epi8(first, _mm512_set1_epi8(j));
        sums = _mm512_add_epi8(sums, _mm512_maskz_shuffle_epi8(has_bit[(int)j], all, at));
    }
    return sums;
}

static void gk_tables_pack(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                           void *packed) {
    char *to = packed;
    for (size_t q = 0; q < query_count; q += GK_TILE_QUERIES)
        for (size_t i = 0; i < dims; i += GK_STEP_BITS)
            for (size_t j = q; j < query_count && j < q + GK_TILE_QUERIES; j++) {
                _mm512_store_si512(to, gk_tables_of(queries + j * stride + i, dims - i));
                to += GK_TABLES_BYTES;
            }
}

// ---- indices ----

// Rows of sixteen 32-bit words to words of sixteen rows.
GK_INLINE void gk_transpose(__m512i v[16]) {
    __m512i a[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 4) {  // v[i + j]: words j, j + 4, j + 8, j + 12 of four rows
        v[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {  // parts of 128 bits, as a matrix of four by four
        a[j] = _mm512_shuffle_i32x4(v[j], v[j + 4], 0x44);
        a[j + 4] = _mm512_shuffle_i32x4(v[j], v[j + 4], 0xee);
        a[j + 8] = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0x44);
        a[j + 12] = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0xee);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        v[j] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0x88);
        v[j + 4] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0xdd);
        v[j + 8] = _mm512_shuffle_i32x4(a[j + 4], a[j + 12], 0x88);
        v[j + 12] = _mm512_shuffle_i32x4(a[j + 4], a[j + 12], 0xdd);
    }
}

// Indices of the sixteen bits from `bit` on of each 32-bit word.
GK_INLINE __m512i gk_indices(__m512i words, int64_t bit) {
    const __m512i shifts = _mm512_set1_epi64(0x2c2824200c080400 + bit * 0x0101010101010101);
    const __m512i four = _mm512_multishift_epi64_epi8(shifts, words);
    const __m512i table = _mm512_set1_epi32(0x30201000);
    return _mm512_or_si512(_mm512_and_si512(four, _mm512_set1_epi8(15)), table);
}

// The indices of up to GK_LOT_ROWS rows for up to GK_TABLES_STEPS steps, a vector for each, and
// GK_TABLES_LOTS vectors from step to step. `rows` are at the first of `dims` bits.
static void gk_index_lot(const char *rows, size_t row_count, size_t stride, size_t dims,
                         __m512i *indices) {
    const __mmask64 here = gk_first_bits((dims + 7) / 8);
    __m512i words[GK_LOT_ROWS];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < GK_LOT_ROWS; r++)
        words[r] = _mm512_maskz_loadu_epi8(r < row_count ? here : 0, rows + r * stride);
    gk_transpose(words);
#pragma clang loop unroll(full)
    for (size_t w = 0; w < 16; w++) {
        if (w * 2 * GK_STEP_BITS >= dims) continue;
        indices[2 * w * GK_TABLES_LOTS] = gk_indices(words[w], 0);
        indices[(2 * w + 1) * GK_TABLES_LOTS] = gk_indices(words[w], 16);
    }
}

// ---- a register tile ----

// Rows and dims of a block, and queries of a tile.
typedef struct gk_tables_block {
    const __m512i *indices;  // GK_TABLES_LOTS from step to step
    const __m512i *tables;
    size_t ahead;  // vectors from these tables to those that are used next
    size_t row_count, steps;
    int is_first, is_last;  // of the blocks that make up the dims
    __m512i *sums;          // in between
    int64_t *out;           // of the first row and query
    size_t out_stride;
} gk_tables_block;

// Adds the sums of a lot, a vector for each query, to the out of its rows.
static void gk_add_lot(const __m512i *sums, size_t queries, size_t row_count, int64_t *out,
                       size_t out_stride) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i b = queries > 1 ? sums[1] : zero, c = queries > 2 ? sums[2] : zero;
    const __m512i d = queries > 3 ? sums[3] : zero;
    const __m512i ab[2] = {_mm512_unpacklo_epi32(sums[0], b), _mm512_unpackhi_epi32(sums[0], b)};
    const __m512i cd[2] = {_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d)};
    __m512i rows[4];  // part p of rows[i] is row 4p + i
    for (int i = 0; i < 2; i++) {
        rows[2 * i] = _mm512_unpacklo_epi64(ab[i], cd[i]);
        rows[2 * i + 1] = _mm512_unpackhi_epi64(ab[i], cd[i]);
    }
    for (size_t r = 0; r < gk_smaller(row_count, GK_LOT_ROWS); r++) {
        const char *four = (const char *)&rows[r % 4] + r / 4 * 16;
        const __m128i row = _mm_load_si128((const void *)four);
        if (queries == 4) gk_add_four(out + r * out_stride, row);
        else gk_add_some(out + r * out_stride, _mm256_castsi128_si256(row), queries);
    }
}

GK_INLINE void gk_score_lots(size_t lots, size_t queries, const gk_tables_block *block,
                             size_t lot) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i *sums = block->sums + lot * queries;
    __m512i tile[GK_TILE_LOTS][GK_TILE_QUERIES] = {0};
    if (!block->is_first)
#pragma clang loop unroll(full)
        for (size_t l = 0; l < lots; l++) memcpy(tile[l], sums + l * queries, queries * 64);
    for (size_t s = 0; s < block->steps; s++) {
        __m512i indices[GK_TILE_LOTS];
        memcpy(indices, block->indices + s * GK_TABLES_LOTS + lot, lots * sizeof *indices);
#pragma clang loop unroll(full)
        for (size_t q = 0; q < queries; q++) {
            const __m512i *tables = block->tables + s * queries + q;
            _mm_prefetch(tables + block->ahead, _MM_HINT_T1);
#pragma clang loop unroll(full)
            for (size_t l = 0; l < lots; l++) {
                const __m512i found = _mm512_permutexvar_epi8(indices[l], *tables);
                tile[l][q] = _mm512_dpbusd_epi32(tile[l][q], ones, found);
            }
        }
    }
#pragma clang loop unroll(full)
    for (size_t l = 0; l < lots; l++) {
        const size_t row = (lot + l) * GK_LOT_ROWS;
        memcpy(sums + l * queries, tile[l], queries * 64);
        if (block->is_last)
            gk_add_lot(sums + l * queries, queries, block->row_count - row,
                       block->out + row * block->out_stride, block->out_stride);
    }
}

GK_INLINE void gk_score_tables(size_t queries, const gk_tables_block *block) {
    const size_t lots = (block->row_count + GK_LOT_ROWS - 1) / GK_LOT_ROWS;
    size_t l = 0;
    for (; l + GK_TILE_LOTS <= lots; l += GK_TILE_LOTS)
        gk_score_lots(GK_TILE_LOTS, queries, block, l);
    if ((lots - l) & 2) gk_score_lots(2, queries, block, l);
    if ((lots - l) & 1) gk_score_lots(1, queries, block, lots - 1);
}

static void gk_score_tables_of(size_t queries, const gk_tables_block *block) {
    switch (queries) {
    case 1:
        gk_score_tables(1, block);
        break;
    case 2:
        gk_score_tables(2, block);
        break;
    case 3:
        gk_score_tables(3, block);
        break;
    case 4:
        gk_score_tables(4, block);
        break;
    }
}

// ---- blocks ----

// Up to GK_TABLES_ROWS rows by GK_TABLES_QUERIES queries.
static void gk_tables_pass(const char *rows, size_t row_count, size_t stride, size_t dims,
                           const char *packed, size_t query_count, int64_t *out,
                           size_t out_stride) {
    __m512i indices[GK_TABLES_STEPS * GK_TABLES_LOTS];
    __m512i sums[GK_TABLES_LOTS * GK_TABLES_QUERIES];
    for (size_t i = 0; i < dims; i += GK_TABLES_DIMS) {
        const size_t count = gk_smaller(dims - i, GK_TABLES_DIMS);
        for (size_t r = 0; r < row_count; r += GK_LOT_ROWS)
            gk_index_lot(rows + r * stride + i / 8, row_count - r, stride, count,
                         indices + r / GK_LOT_ROWS);
        for (size_t q = 0; q < query_count; q += GK_TILE_QUERIES) {
            const size_t queries = gk_smaller(query_count - q, GK_TILE_QUERIES);
            const char *tables = packed + q * gk_table_steps(dims) * GK_TABLES_BYTES;
            const gk_tables_block block = {
                .indices = indices,
                .tables = (const __m512i *)(tables + i / GK_STEP_BITS * queries * GK_TABLES_BYTES),
                .ahead = gk_table_steps(dims) * queries,
                .row_count = row_count,
                .steps = gk_table_steps(count),
                .is_first = i == 0,
                .is_last = i + count == dims,
                .sums = sums + q * GK_TABLES_LOTS,
                .out = out + q,
                .out_stride = out_stride,
            };
            gk_score_tables_of(queries, &block);
        }
    }
}

static void gk_tables_dot(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                          const void *packed, size_t query_count, int64_t *out,
                          size_t out_stride) {
    for (size_t r = 0; r < row_count; r += GK_TABLES_ROWS)
        for (size_t q = 0; q < query_count; q += GK_TABLES_QUERIES)
            gk_tables_pass((const char *)rows + r * stride,
                           gk_smaller(row_count - r, GK_TABLES_ROWS), stride, dims,
                           (const char *)packed + q * gk_table_steps(dims) * GK_TABLES_BYTES,
                           gk_smaller(query_count - q, GK_TABLES_QUERIES),
                           out + r * out_stride + q, out_stride);
}
