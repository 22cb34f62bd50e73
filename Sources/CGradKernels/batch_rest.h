// The queries of a batch that fill too little of a vector in which each lane is a query: here the
// lanes are dims, and sums are folded at the end. Included by batch_blocked.h.
//
// Packed are, for each vector of dims, the vectors of all these queries. The including file
// defines, besides what batch_blocked.h asks for:
//   GK_REST_ROWS, GK_REST_QUERIES  the register tile
//   gk_fold_into(out, sums, queries, starts)  adds the folded sums of so many vectors, each that of
//                                  a query, and the query's start to out

GK_INLINE void gk_score_rest_tile(gk_codec codec, size_t row_count, size_t queries,
                                  const char *rows, size_t stride, size_t dims, const char *packed,
                                  size_t rest, const int32_t *starts, int64_t *out,
                                  size_t out_stride) {
    gk_vector sums[GK_REST_ROWS][GK_REST_QUERIES] = {0};
    for (size_t i = 0; i < dims; i += GK_VECTOR_ELEMENTS) {
        gk_vector elements[GK_REST_ROWS];
#pragma clang loop unroll(full)
        for (size_t r = 0; r < row_count; r++)
            elements[r] = gk_expand(codec, rows + r * stride + gk_codec_bytes(codec, i), dims - i);
#pragma clang loop unroll(full)
        for (size_t q = 0; q < queries; q++) {
            gk_vector query;
            memcpy(&query, packed + q * GK_VECTOR_BYTES, sizeof query);
#pragma clang loop unroll(full)
            for (size_t r = 0; r < row_count; r++)
                sums[r][q] = gk_multiply(sums[r][q], elements[r], query);
        }
        packed += rest * GK_VECTOR_BYTES;
    }
#pragma clang loop unroll(full)
    for (size_t r = 0; r < row_count; r++)
        gk_fold_into(out + r * out_stride, sums[r], queries, starts);
}

GK_INLINE void gk_score_rest_rows(gk_codec codec, size_t queries, const char *rows,
                                  size_t row_count, size_t stride, size_t dims, const char *packed,
                                  size_t rest, const int32_t *starts, int64_t *out,
                                  size_t out_stride) {
    size_t r = 0;
    for (; r + GK_REST_ROWS <= row_count; r += GK_REST_ROWS)
        gk_score_rest_tile(codec, GK_REST_ROWS, queries, rows + r * stride, stride, dims, packed,
                           rest, starts, out + r * out_stride, out_stride);
    for (; r < row_count; r++)
        gk_score_rest_tile(codec, 1, queries, rows + r * stride, stride, dims, packed, rest, starts,
                           out + r * out_stride, out_stride);
}

GK_INLINE void gk_score_rest(gk_codec codec, const char *rows, size_t row_count, size_t stride,
                             size_t dims, const char *packed, const int32_t *starts, size_t rest,
                             int64_t *out, size_t out_stride) {
    const size_t parts = (rest + GK_REST_QUERIES - 1) / GK_REST_QUERIES;
    size_t queries = 0;
    for (size_t q = 0, part = 0; q < rest; q += queries, part++) {
        queries = (rest - q + parts - part - 1) / (parts - part);  // of about one size
#define GK_REST_CASE(known)                                                                        \
    case known:                                                                                    \
        gk_score_rest_rows(codec, known, rows, row_count, stride, dims,                            \
                           packed + q * GK_VECTOR_BYTES, rest, starts + q, out + q, out_stride);   \
        break;
        switch (queries) {
            GK_REST_CASE(1)
            GK_REST_CASE(2)
            GK_REST_CASE(3)
            GK_REST_CASE(4)
#if GK_REST_QUERIES > 4
            GK_REST_CASE(5)
            GK_REST_CASE(6)
#endif
        }
#undef GK_REST_CASE
    }
}
