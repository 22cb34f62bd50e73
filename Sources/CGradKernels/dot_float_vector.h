// Float dot products in vectors of doubles; sixteen lanes are GK_PARTS vectors. Row after row, for
// the reason that dot_integer_vector.h gives.
//
// The product of two f32 has 48 significant bits and an exponent between -298 and 256: a double
// holds it exactly. So a fused multiply-add rounds once, and so does a multiplication followed by
// an addition: the same sum either way, which is what lets this equal the scalar variant.
// Lanes start at +0 and so never become -0; the zeros that fill up a tail change nothing.
//
// Vectors are 256 bits wide, also where there are wider ones: converting floats to 512 bits of
// doubles costs more than it saves (on Zen 4, f32 rows from cache at 0.7 of the speed).
//
// Include it after immintrin.h, inside the target attribute of a variant that has AVX2, FMA, F16C.
#include "kernels_internal.h"

#pragma STDC FP_CONTRACT OFF

#define GK_DOUBLES 4                      // in a vector
#define GK_PARTS (GK_LANES / GK_DOUBLES)  // vectors in sixteen lanes

GK_INLINE size_t gk_float_bytes(gk_form form) { return form == GK_F32 ? 4 : 2; }

// Four elements of a row.
GK_INLINE __m256d gk_doubles_of(gk_form form, const void *elements) {
    if (form == GK_F16) return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(elements)));
    if (form == GK_F32) return _mm256_cvtps_pd(_mm_loadu_ps(elements));
    const __m128i bits = _mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(elements)), 16);
    return _mm256_cvtps_pd(_mm_castsi128_ps(bits));
}

// lanes += row * query, over sixteen elements.
GK_INLINE void gk_dot_sixteen(gk_form form, __m256d lanes[GK_PARTS], const char *row,
                              const gk_f32 *query) {
#pragma clang loop unroll(full)
    for (size_t p = 0; p < GK_PARTS; p++) {
        const size_t first = p * GK_DOUBLES;
        const __m256d elements = gk_doubles_of(form, row + first * gk_float_bytes(form));
        const __m256d q = gk_doubles_of(GK_F32, query + first);
        lanes[p] = _mm256_fmadd_pd(elements, q, lanes[p]);
    }
}

GK_INLINE double gk_fold_vectors(const __m256d lanes[GK_PARTS]) {
    double sixteen[GK_LANES];
    memcpy(sixteen, lanes, sizeof sixteen);
    return gk_fold(sixteen);
}

GK_INLINE double gk_dot_float_row(gk_form form, const char *row, size_t dims,
                                  const gk_f32 *query) {
    const size_t size = gk_float_bytes(form);
    __m256d lanes[GK_PARTS] = {0};
    size_t i = 0;
    for (; i + GK_LANES <= dims; i += GK_LANES)
        gk_dot_sixteen(form, lanes, row + i * size, query + i);
    if (i < dims) {  // copied, because nothing may be read beyond a row
        char tail[GK_LANES * sizeof(float)] = {0};
        float query_tail[GK_LANES] = {0};
        memcpy(tail, row + i * size, (dims - i) * size);
        memcpy(query_tail, query + i, (dims - i) * sizeof *query);
        gk_dot_sixteen(form, lanes, tail, query_tail);
    }
    return gk_fold_vectors(lanes);
}

GK_INLINE void gk_dot_float(gk_form form, const void *rows, size_t row_count, size_t stride,
                            size_t dims, const float *query, double *out) {
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * stride;
        out[r] = gk_canonical_f64(out[r] + gk_dot_float_row(form, row, dims, query));
    }
}

static void gk_dot_f16(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                       const float *query, double *out) {
    gk_dot_float(GK_F16, rows, row_count, stride, dims, query, out);
}

static void gk_dot_bf16(const uint16_t *rows, size_t row_count, size_t stride, size_t dims,
                        const float *query, double *out) {
    gk_dot_float(GK_BF16, rows, row_count, stride, dims, query, out);
}

static void gk_dot_f32(const float *rows, size_t row_count, size_t stride, size_t dims,
                       const float *query, double *out) {
    gk_dot_float(GK_F32, rows, row_count, stride, dims, query, out);
}
