// Batches of queries, the scalar variant: packed queries are the queries without gaps, and a batch
// is one query after the other.
#include "batch_internal.h"

GK_INLINE int row_element(gk_codec codec, const uint8_t *row, size_t i) {
    if (codec == GK_CODEC_INT8) return (int8_t)row[i];
    return row[gk_codec_bytes(codec, i + 1) - 1] >> i * codec % 8 & ((1 << codec) - 1);
}

static size_t packed_bytes(size_t dims, size_t query_count) { return dims * query_count; }

GK_INLINE void pack(gk_codec codec, const int8_t *queries, size_t stride, size_t query_count,
                    size_t dims, int8_t *packed) {
    for (size_t q = 0; q < query_count; q++)
        for (size_t i = 0; i < dims; i++)
            packed[q * dims + i] = (int8_t)gk_query_element(codec, queries[q * stride + i]);
}

// Row by row, its elements decoded a block at a time for all queries.
GK_INLINE void dot(gk_codec codec, const void *rows, size_t row_count, size_t stride, size_t dims,
                   const int8_t *packed, size_t query_count, int64_t *out, size_t out_stride) {
    enum { BLOCK = 256 };  // 256 x 128 x 128 < 2^31
    for (size_t r = 0; r < row_count; r++)
        for (size_t begin = 0; begin < dims; begin += BLOCK) {
            const uint8_t *row = (const uint8_t *)rows + r * stride;
            const size_t count = gk_smaller(dims - begin, BLOCK);
            int16_t elements[BLOCK];
            for (size_t i = 0; i < count; i++)
                elements[i] = (int16_t)row_element(codec, row, begin + i);
            for (size_t q = 0; q < query_count; q++) {
                const int8_t *query = packed + q * dims + begin;
                int32_t sum = 0;
                for (size_t i = 0; i < count; i++) sum += elements[i] * query[i];
                out[r * out_stride + q] += sum;
            }
        }
}

static void pack_int8(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                      void *packed) {
    pack(GK_CODEC_INT8, queries, stride, query_count, dims, packed);
}

static void pack_int4(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                      void *packed) {
    pack(GK_CODEC_INT4, queries, stride, query_count, dims, packed);
}

static void pack_bit(const int8_t *queries, size_t stride, size_t query_count, size_t dims,
                     void *packed) {
    pack(GK_CODEC_BIT, queries, stride, query_count, dims, packed);
}

static void dot_int8(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const void *packed, size_t query_count, int64_t *out, size_t out_stride) {
    dot(GK_CODEC_INT8, rows, row_count, stride, dims, packed, query_count, out, out_stride);
}

static void dot_int4(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                     const void *packed, size_t query_count, int64_t *out, size_t out_stride) {
    dot(GK_CODEC_INT4, rows, row_count, stride, dims, packed, query_count, out, out_stride);
}

static void dot_bit(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                    const void *packed, size_t query_count, int64_t *out, size_t out_stride) {
    dot(GK_CODEC_BIT, rows, row_count, stride, dims, packed, query_count, out, out_stride);
}

const gk_batch_kernels gk_batch_scalar = {
    .packed_bytes_int8 = packed_bytes,
    .packed_bytes_int4 = packed_bytes,
    .packed_bytes_bit = packed_bytes,
    .pack_int8 = pack_int8,
    .pack_int4 = pack_int4,
    .pack_bit = pack_bit,
    .dot_int8 = dot_int8,
    .dot_int4 = dot_int4,
    .dot_bit = dot_bit,
};
