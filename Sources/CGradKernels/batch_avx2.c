// Batches of queries, the AVX2 variant.
//
// vpmaddwd multiplies signed 16-bit numbers and adds pairs of products in 32 bits: exact for all
// bytes, unlike vpmaddubsw, which saturates. So rows and queries are widened to 16 bits.
#include "batch_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

#define GK_ELEMENT int16_t
#define GK_WIDTH 8
#define GK_TILE_VECTORS 2
#define GK_BIAS(codec) 0
#define GK_REST_ROWS 2
#define GK_REST_QUERIES 4
typedef __m256i gk_vector;

GK_INLINE gk_vector gk_spread(const char *step) {
    return _mm256_set1_epi32((int32_t)*(const gk_u32 *)step);
}

GK_INLINE gk_vector gk_multiply(gk_vector sums, gk_vector row, gk_vector queries) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(row, queries));
}

// Two codes of a byte to two elements: the lower half stays, the higher moves on by 12 bits.
GK_INLINE gk_vector gk_expand_int4(const char *codes) {
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)codes));
    const __m256i both = _mm256_or_si256(wide, _mm256_slli_epi32(wide, 12));
    return _mm256_and_si256(both, _mm256_set1_epi16(15));
}

GK_INLINE gk_vector gk_expand(gk_codec codec, const char *elements, size_t count) {
    char padded[16] = {0};
    if (count < 16) elements = memcpy(padded, elements, gk_codec_bytes(codec, count));
    if (codec == GK_CODEC_INT4) return gk_expand_int4(elements);
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)elements));
}

GK_INLINE void gk_add_four(int64_t *out, __m128i sums) {
    const __m256i before = _mm256_loadu_si256((const void *)out);
    _mm256_storeu_si256((void *)out, _mm256_add_epi64(before, _mm256_cvtepi32_epi64(sums)));
}

GK_INLINE void gk_add_sums(int64_t *out, gk_vector sums, size_t count) {
    if (count >= GK_WIDTH) {
        gk_add_four(out, _mm256_castsi256_si128(sums));
        gk_add_four(out + 4, _mm256_extracti128_si256(sums, 1));
        return;
    }
    int32_t each[GK_WIDTH];
    memcpy(each, &sums, sizeof each);
    for (size_t q = 0; q < count; q++) out[q] += each[q];
}

GK_INLINE void gk_fold_into(int64_t *out, const gk_vector *sums, size_t queries,
                            const int32_t *starts) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i ab = _mm256_hadd_epi32(sums[0], queries > 1 ? sums[1] : zero);
    const __m256i cd =
        _mm256_hadd_epi32(queries > 2 ? sums[2] : zero, queries > 3 ? sums[3] : zero);
    const __m256i abcd = _mm256_hadd_epi32(ab, cd);
    const __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
    int32_t each[4];
    memcpy(each, &four, sizeof each);
#pragma clang loop unroll(full)
    for (size_t q = 0; q < queries; q++) out[q] += each[q] + starts[q];
}

// Seven of eight queries in a vector are worse than folding, from 64 dims on (measured on Zen 4).
GK_INLINE size_t gk_rest_limit(size_t dims) { return dims < 64 ? 3 : 7; }

#include "batch_blocked.h"
#include "batch_bits_avx2.h"

#pragma clang attribute pop

const gk_batch_kernels gk_batch_avx2 = {
    .packed_bytes_int8 = gk_packed_bytes,
    .packed_bytes_int4 = gk_packed_bytes,
    .packed_bytes_bit = gk_tables_packed_bytes,
    .pack_int8 = gk_batch_pack_int8,
    .pack_int4 = gk_batch_pack_int4,
    .pack_bit = gk_tables_pack,
    .dot_int8 = gk_batch_dot_int8,
    .dot_int4 = gk_batch_dot_int4,
    .dot_bit = gk_tables_dot,
};

#endif
