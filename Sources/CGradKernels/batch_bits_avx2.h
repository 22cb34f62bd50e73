// Batches of queries against bits, by tables: the sums that four elements of a query can give with
// four bits are sixteen numbers from -128 to 124, a table of bytes, which vpshufb looks up for 32
// rows at once. With what it takes to add bytes in 16 bits, that is four instructions for 128
// products, of which vpmaddwd alone makes 16: on Zen 4 it is four times as fast.
//
// The price is packed queries of four bytes an element, and speed where rows are few: below 32 rows
// a call, vectors are not full.
//
// Lanes are rows: in a vector of indices every byte holds four bits of a row.
//
// Included by batch_avx2.c, inside its target attribute.
#include "batch_internal.h"

#define GK_STEP_BITS 4     // of a row, in a byte of indices
#define GK_TABLE_BYTES 16  // that of a query for a step
#define GK_TABLE_BIAS 128  // tables hold what they stand for + 128, without a sign
#define GK_LOT_ROWS 32     // in a vector
#define GK_TILE_QUERIES 4  // a register tile is a lot by four queries

// Sums of a block hold in 16 bits: 256 x 252 < 65,536. Its indices take 16 KiB, the sums 16 KiB,
// the tables that meet in a register tile 16 KiB.
#define GK_TABLES_ROWS 64
#define GK_TABLES_STEPS 256
#define GK_TABLES_DIMS (GK_TABLES_STEPS * GK_STEP_BITS)
#define GK_TABLES_QUERIES 64

GK_INLINE size_t gk_table_steps(size_t dims) { return (dims + GK_STEP_BITS - 1) / GK_STEP_BITS; }

// ---- packed queries: for each tile of queries, for each step, the table of each query ----

static size_t gk_tables_packed_bytes(size_t dims, size_t query_count) {
    return query_count * gk_table_steps(dims) * GK_TABLE_BYTES;
}

// Byte e is the sum of the elements j whose bit is set in e.
GK_INLINE __m128i gk_table_of(const int8_t *query, size_t count) {
    const __m128i index =
        _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i sums = _mm_set1_epi8((char)GK_TABLE_BIAS);
    for (size_t j = 0; j < gk_smaller(count, GK_STEP_BITS); j++) {
        const __m128i bit = _mm_set1_epi8((char)(1 << j));
        const __m128i has_bit = _mm_cmpeq_epi8(_mm_and_si128(index, bit), bit);
        const __m128i element = _mm_set1_epi8((char)gk_query_element(GK_CODEC_BIT, query[j]));
        sums = _mm_add_epi8(sums, _mm_and_si128(has_bit, element));
    }
    return sums;
}

static void gk_tables_pack(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                           void *packed) {
    char *to = packed;
    for (size_t q = 0; q < query_count; q += GK_TILE_QUERIES)
        for (size_t i = 0; i < dims; i += GK_STEP_BITS)
            for (size_t j = q; j < query_count && j < q + GK_TILE_QUERIES; j++) {
                _mm_store_si128((void *)to, gk_table_of(queries + j * stride + i, dims - i));
                to += GK_TABLE_BYTES;
            }
}

// ---- indices ----

// In each half of the vectors: sixteen rows of bytes to columns. A round rotates the eight bits of
// a byte's place (four of the vector's number, four of the place in it) by one, four of them swap
// row and column.
GK_INLINE void gk_transpose(__m256i v[16]) {
#pragma clang loop unroll(full)
    for (int round = 0; round < 4; round++) {
        __m256i from[16];
        memcpy(from, v, sizeof from);
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            v[2 * i] = _mm256_unpacklo_epi8(from[i], from[i + 8]);
            v[2 * i + 1] = _mm256_unpackhi_epi8(from[i], from[i + 8]);
        }
    }
}

// Sixteen bytes of a row, or as many as there are.
GK_INLINE __m128i gk_load_some(const char *row, size_t count) {
    char padded[16] = {0};
    if (count < 16) row = memcpy(padded, row, count);
    return _mm_loadu_si128((const void *)row);
}

// The indices of up to GK_LOT_ROWS rows, a vector for each step. `rows` are at the first of `dims`
// bits. Lanes beyond the last row hold it again, and are not looked at.
static void gk_index_lot(const char *rows, size_t row_count, size_t stride, size_t dims,
                         __m256i *indices) {
    const size_t bytes = (dims + 7) / 8;
    const __m256i low = _mm256_set1_epi8(15);
    for (size_t i = 0; i < bytes; i += 16) {
        __m256i v[16];
#pragma clang loop unroll(full)
        for (size_t r = 0; r < 16; r++) {
            const char *first = rows + gk_smaller(r, row_count - 1) * stride + i;
            const char *second = rows + gk_smaller(r + 16, row_count - 1) * stride + i;
            v[r] = _mm256_set_m128i(gk_load_some(second, bytes - i),
                                    gk_load_some(first, bytes - i));
        }
        gk_transpose(v);
        for (size_t j = 0; j < gk_smaller(bytes - i, 16); j++) {
            indices[2 * (i + j)] = _mm256_and_si256(v[j], low);
            indices[2 * (i + j) + 1] = _mm256_and_si256(_mm256_srli_epi16(v[j], 4), low);
        }
    }
}

// ---- a register tile ----

// Adds, or sets if they are the first, the sums of a lot: those of its even rows and those of its
// odd ones in 16 bits, to sums in 32.
GK_INLINE void gk_keep_lot(int32_t *sums, int is_first, __m256i even, __m256i odd) {
    const __m256i parts[2] = {_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd)};
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {  // eight rows each
        const __m256i part = parts[i % 2];
        const __m128i half =
            i < 2 ? _mm256_castsi256_si128(part) : _mm256_extracti128_si256(part, 1);
        __m256i *to = (__m256i *)sums + i;
        const __m256i wide = _mm256_cvtepi16_epi32(half);
        _mm256_storeu_si256(to, is_first ? wide : _mm256_add_epi32(_mm256_loadu_si256(to), wide));
    }
}

// Sums of each query: GK_TABLES_ROWS, of which those of a lot are written here. The next tables to
// be used are `ahead` bytes further.
GK_INLINE void gk_score_lot(size_t queries, const __m256i *indices, size_t steps,
                            const char *tables, size_t ahead, int is_first, int32_t *sums) {
    __m256i all[GK_TILE_QUERIES] = {0};  // even rows + 256 * odd rows, modulo 2^16
    __m256i odd[GK_TILE_QUERIES] = {0};
    for (size_t s = 0; s < steps; s++) {
        _mm_prefetch(tables + ahead, _MM_HINT_T1);
#pragma clang loop unroll(full)
        for (size_t q = 0; q < queries; q++) {
            const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const void *)tables));
            const __m256i found = _mm256_shuffle_epi8(table, indices[s]);
            all[q] = _mm256_add_epi16(all[q], found);
            odd[q] = _mm256_add_epi16(odd[q], _mm256_srli_epi16(found, 8));
            tables += GK_TABLE_BYTES;
        }
    }
    const __m256i bias = _mm256_set1_epi16((int16_t)(GK_TABLE_BIAS * steps));
#pragma clang loop unroll(full)
    for (size_t q = 0; q < queries; q++) {
        const __m256i even = _mm256_sub_epi16(all[q], _mm256_slli_epi16(odd[q], 8));
        gk_keep_lot(sums + q * GK_TABLES_ROWS, is_first, _mm256_sub_epi16(even, bias),
                    _mm256_sub_epi16(odd[q], bias));
    }
}

static void gk_score_lot_of(size_t queries, const __m256i *indices, size_t steps,
                            const char *tables, size_t ahead, int is_first, int32_t *sums) {
    switch (queries) {
    case 1:
        gk_score_lot(1, indices, steps, tables, ahead, is_first, sums);
        break;
    case 2:
        gk_score_lot(2, indices, steps, tables, ahead, is_first, sums);
        break;
    case 3:
        gk_score_lot(3, indices, steps, tables, ahead, is_first, sums);
        break;
    case 4:
        gk_score_lot(4, indices, steps, tables, ahead, is_first, sums);
        break;
    }
}

// ---- blocks ----

// Up to GK_TABLES_ROWS rows by GK_TABLES_QUERIES queries.
static void gk_tables_pass(const char *rows, size_t row_count, size_t stride, size_t dims,
                           const char *packed, size_t query_count, int64_t *out,
                           size_t out_stride) {
    __m256i indices[GK_TABLES_ROWS / GK_LOT_ROWS][GK_TABLES_STEPS];
    int32_t sums[GK_TABLES_QUERIES][GK_TABLES_ROWS];
    const size_t lots = (row_count + GK_LOT_ROWS - 1) / GK_LOT_ROWS;
    for (size_t i = 0; i < dims; i += GK_TABLES_DIMS) {
        const size_t count = gk_smaller(dims - i, GK_TABLES_DIMS);
        for (size_t l = 0, r = 0; l < lots; l++, r += GK_LOT_ROWS)
            gk_index_lot(rows + r * stride + i / 8, row_count - r, stride, count, indices[l]);
        for (size_t q = 0; q < query_count; q += GK_TILE_QUERIES) {
            const size_t queries = gk_smaller(query_count - q, GK_TILE_QUERIES);
            const char *tables = packed + (q * gk_table_steps(dims) +
                                           i / GK_STEP_BITS * queries) * GK_TABLE_BYTES;
            const size_t ahead = gk_table_steps(dims) * queries * GK_TABLE_BYTES;
            for (size_t l = 0; l < lots; l++)
                gk_score_lot_of(queries, indices[l], gk_table_steps(count), tables, ahead, i == 0,
                                sums[q] + l * GK_LOT_ROWS);
        }
    }
    for (size_t r = 0; r < row_count; r++)
        for (size_t q = 0; q < query_count; q++) out[r * out_stride + q] += sums[q][r];
}

static void gk_tables_dot(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                          const void *packed, size_t query_count, int64_t *out,
                          size_t out_stride) {
    for (size_t r = 0; r < row_count; r += GK_TABLES_ROWS)
        for (size_t q = 0; q < query_count; q += GK_TABLES_QUERIES)
            gk_tables_pass((const char *)rows + r * stride,
                           gk_smaller(row_count - r, GK_TABLES_ROWS), stride, dims,
                           (const char *)packed + q * gk_table_steps(dims) * GK_TABLE_BYTES,
                           gk_smaller(query_count - q, GK_TABLES_QUERIES),
                           out + r * out_stride + q, out_stride);
}
