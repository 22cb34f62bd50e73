// Float dot products in vectors of doubles; sixteen lanes are GK_PARTS vectors. Row after row, for
// the reason that dot_int8_vector.h gives.
//
// The product of two f32 has 48 significant bits and an exponent between -298 and 256: a double
// holds it exactly. So a fused multiply-add rounds once, and so does a multiplication followed by
// an addition: the same sum either way, which is what lets this equal the scalar variant.
// Lanes start at +0 and so never become -0; the zeros that fill up a tail change nothing.
//
// The including file defines, for its target:
//   GK_DOUBLES, gk_doubles   doubles in a vector, and its type (a clang vector)
//   GK_PARTS                 vectors in sixteen lanes: 16 / GK_DOUBLES
//   gk_doubles_of_f16(p)     GK_DOUBLES elements at any address
//   gk_doubles_of_f32(p)
//   gk_fused(a, b, c)        a * b + c, rounded once
#include "kernels_internal.h"

#pragma STDC FP_CONTRACT OFF

// Half of what one element costs is converting the query's: it is done once for all rows, where
// the query fits this many doubles (16 KiB, half of an L1 cache).
#define GK_QUERY_DOUBLES 2048

// Elements of a row between two prefetches: a line of halves, two lines of floats.
#define GK_DOT_STEP 32

// Elements by their size, which is known when compiling: halves, floats or doubles.
GK_INLINE gk_doubles gk_doubles_of(const char *elements, size_t size) {
    if (size == 2) return gk_doubles_of_f16(elements);
    if (size == 4) return gk_doubles_of_f32(elements);
    gk_doubles same;
    memcpy(&same, elements, sizeof same);
    return same;
}

// lanes += row * query, over sixteen elements.
GK_INLINE void gk_dot_sixteen(gk_doubles lanes[GK_PARTS], const char *row, size_t size,
                              const char *query, size_t query_size) {
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_PARTS; p++) {
        const gk_doubles elements = gk_doubles_of(row + p * GK_DOUBLES * size, size);
        const gk_doubles q = gk_doubles_of(query + p * GK_DOUBLES * query_size, query_size);
        lanes[p] = gk_fused(elements, q, lanes[p]);
    }
}

GK_INLINE double gk_fold_vectors(const gk_doubles lanes[GK_PARTS]) {
    double sixteen[GK_LANES];
    memcpy(sixteen, lanes, sizeof sixteen);
    return gk_fold(sixteen);
}

GK_INLINE double gk_dot_float_row(const char *row, size_t size, size_t dims, const char *query,
                                  size_t query_size, gk_prefetch *prefetch) {
    const size_t step_bytes = GK_DOT_STEP * size;
    const size_t fetched = gk_prefetch_steps(prefetch, step_bytes) * GK_DOT_STEP;
    const size_t fetching = fetched < dims ? fetched : dims - dims % GK_DOT_STEP;
    gk_doubles lanes[GK_PARTS] = {0};
    size_t i = 0;
    for (; i < fetching; i += GK_DOT_STEP) {
        gk_prefetch_take(prefetch, step_bytes);
#pragma clang loop unroll(full)
        for (size_t j = i; j < i + GK_DOT_STEP; j += GK_LANES)
            gk_dot_sixteen(lanes, row + j * size, size, query + j * query_size, query_size);
    }
    for (; i + GK_LANES <= dims; i += GK_LANES)
        gk_dot_sixteen(lanes, row + i * size, size, query + i * query_size, query_size);
    if (i < dims) {  // copied, because nothing may be read beyond a row
        char tail[GK_LANES * sizeof(float)] = {0}, query_tail[GK_LANES * sizeof(double)] = {0};
        memcpy(tail, row + i * size, (dims - i) * size);
        memcpy(query_tail, query + i * query_size, (dims - i) * query_size);
        gk_dot_sixteen(lanes, tail, size, query_tail, query_size);
    }
    return gk_fold_vectors(lanes);
}

GK_INLINE void gk_dot_float_rows(const char *rows, size_t size, size_t row_count, size_t stride,
                                 size_t dims, const void *query, size_t query_size, double *out,
                                 gk_prefetch *prefetch) {
    for (size_t r = 0; r < row_count; r++) {
        const char *row = rows + r * stride;
        const double sum = gk_dot_float_row(row, size, dims, query, query_size, prefetch);
        out[r] = gk_canonical_f64(out[r] + sum);
    }
}

static void gk_query_as_doubles(const float *query, size_t dims, double *doubles) {
    const gk_f32 *from = query;
    for (size_t i = 0; i < dims; i++) doubles[i] = from[i];
}

GK_INLINE void gk_dot_float(const void *rows, size_t size, size_t row_count, size_t stride,
                            size_t dims, const float *query, double *out, const void *prefetch,
                            size_t prefetch_bytes) {
    gk_prefetch next = gk_prefetch_of(prefetch, prefetch_bytes);
    if (dims <= GK_QUERY_DOUBLES && row_count > 1) {
        double doubles[GK_QUERY_DOUBLES];
        gk_query_as_doubles(query, dims, doubles);
        gk_dot_float_rows(rows, size, row_count, stride, dims, doubles, sizeof *doubles, out, &next);
    } else {
        gk_dot_float_rows(rows, size, row_count, stride, dims, query, sizeof *query, out, &next);
    }
    gk_prefetch_rest(&next);
}

static void gk_dot_f16(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                       const float *query, double *out, const void *prefetch,
                       size_t prefetch_bytes) {
    gk_dot_float(rows, 2, row_count, stride, dims, query, out, prefetch, prefetch_bytes);
}

static void gk_dot_f32(const float *rows, size_t row_count, size_t stride, size_t dims,
                       const float *query, double *out, const void *prefetch,
                       size_t prefetch_bytes) {
    gk_dot_float(rows, 4, row_count, stride, dims, query, out, prefetch, prefetch_bytes);
}
