// Batches of queries, the AVX-512 variants: F, BW, DQ, VL and VNNI. The one with VPOPCNTDQ scores
// bits by tables, for which it needs VBMI too: all processors that have both VPOPCNTDQ and BW have
// it (Ice Lake, Zen 4 and later).
//
// vpdpbusd multiplies unsigned by signed bytes, four products to a 32-bit sum. Elements of rows are
// the unsigned ones: int8 as row + 128, codes and bits as they are. Sums hold for GK_BATCH_DIMS:
// 32,768 x (255 + 128) x 128 < 2^31.
#include "batch_internal.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2"))),                 \
    apply_to = function)

#define GK_ELEMENT int8_t
#define GK_WIDTH 16
#define GK_TILE_VECTORS 4
#define GK_EXPANDS_BITS
#define GK_BIAS(codec) ((codec) == GK_CODEC_INT8 ? 128 : 0)
#define GK_REST_ROWS 4
#define GK_REST_QUERIES 6
typedef __m512i gk_vector;

GK_INLINE gk_vector gk_spread(const char *step) {
    return _mm512_set1_epi32((int32_t)*(const gk_u32 *)step);
}

GK_INLINE gk_vector gk_multiply(gk_vector sums, gk_vector row, gk_vector queries) {
    return _mm512_dpbusd_epi32(sums, row, queries);
}

// The first `count` bits, or all.
GK_INLINE uint64_t gk_first_bits(size_t count) {
    return count < 64 ? ((uint64_t)1 << count) - 1 : ~(uint64_t)0;
}

GK_INLINE gk_vector gk_expand_int8(const char *elements, size_t count) {
    const __m512i bytes = count >= 64 ? _mm512_loadu_si512(elements)
                                      : _mm512_maskz_loadu_epi8(gk_first_bits(count), elements);
    return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
}

// Two codes of a byte to two bytes: the lower half stays, the higher moves on by 4 bits.
GK_INLINE gk_vector gk_expand_int4(const char *elements, size_t count) {
    const __mmask32 here = (__mmask32)gk_first_bits((count + 1) / 2);
    const __m256i codes = count >= 64 ? _mm256_loadu_si256((const void *)elements)
                                      : _mm256_maskz_loadu_epi8(here, elements);
    const __m512i wide = _mm512_cvtepu8_epi16(codes);
    const __m512i both = _mm512_or_si512(wide, _mm512_slli_epi16(wide, 4));
    return _mm512_and_si512(both, _mm512_set1_epi8(15));
}

GK_INLINE gk_vector gk_expand_bit(const char *elements, size_t count) {
    uint64_t bits = 0;
    if (count >= 64) memcpy(&bits, elements, sizeof bits);
    else memcpy(&bits, elements, (count + 7) / 8);
    return _mm512_maskz_set1_epi8(bits, 1);
}

GK_INLINE gk_vector gk_expand(gk_codec codec, const char *elements, size_t count) {
    if (codec == GK_CODEC_INT8) return gk_expand_int8(elements, count);
    return codec == GK_CODEC_INT4 ? gk_expand_int4(elements, count)
                                  : gk_expand_bit(elements, count);
}

GK_INLINE void gk_add_eight(int64_t *out, __m256i sums) {
    const __m512i before = _mm512_loadu_si512(out);
    _mm512_storeu_si512(out, _mm512_add_epi64(before, _mm512_cvtepi32_epi64(sums)));
}

GK_INLINE void gk_add_four(int64_t *out, __m128i sums) {
    const __m256i before = _mm256_loadu_si256((const void *)out);
    _mm256_storeu_si256((void *)out, _mm256_add_epi64(before, _mm256_cvtepi32_epi64(sums)));
}

GK_INLINE void gk_add_two(int64_t *out, __m128i sums) {
    const __m128i before = _mm_loadu_si128((const void *)out);
    _mm_storeu_si128((void *)out, _mm_add_epi64(before, _mm_cvtepi32_epi64(sums)));
}

// In parts of four, two and one, never masked: a masked store reaches over the sums of the next
// row, which then wait for it (three queries took twice the time of four, at 64 dims on Zen 4).
GK_INLINE void gk_add_some(int64_t *out, __m256i sums, size_t count) {
    __m128i left = _mm256_castsi256_si128(sums);
    if (count & 4) {
        gk_add_four(out, left);
        left = _mm256_extracti128_si256(sums, 1);
        out += 4;
    }
    if (count & 2) {
        gk_add_two(out, left);
        left = _mm_unpackhi_epi64(left, left);
        out += 2;
    }
    if (count & 1) *out += _mm_cvtsi128_si32(left);
}

GK_INLINE void gk_add_sums(int64_t *out, gk_vector sums, size_t count) {
    const __m256i low = _mm512_castsi512_si256(sums), high = _mm512_extracti64x4_epi64(sums, 1);
    if (count < 8) {
        gk_add_some(out, low, count);
        return;
    }
    gk_add_eight(out, low);
    if (count >= GK_WIDTH) gk_add_eight(out + 8, high);
    else gk_add_some(out + 8, high, count - 8);
}

// Four vectors of sums to four sums.
GK_INLINE __m128i gk_fold_four(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab =
        _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd =
        _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i abcd =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

GK_INLINE void gk_fold_into(int64_t *out, const gk_vector *sums, size_t queries,
                            const int32_t *starts) {
    const __m512i zero = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (size_t q = 0; q < queries; q += 4) {
        const __m128i four = gk_fold_four(
            sums[q], q + 1 < queries ? sums[q + 1] : zero, q + 2 < queries ? sums[q + 2] : zero,
            q + 3 < queries ? sums[q + 3] : zero);
        const __m128i total = _mm_add_epi32(four, _mm_loadu_si128((const void *)(starts + q)));
        if (queries - q >= 4) gk_add_four(out + q, total);
        else gk_add_some(out + q, _mm256_castsi128_si256(total), queries - q);
    }
}

// Measured on Zen 4. Where dims are many, folding costs nothing, and dims side by side reach 0.95
// of the peak of vpdpbusd with three queries as with thirty; a tile of one vector of queries
// reaches 0.8 of it where the vector is full.
GK_INLINE size_t gk_rest_limit(size_t dims) {
    if (dims < 128) return 6;
    if (dims < 256) return 8;
    if (dims < 512) return 12;
    return dims < 2048 ? 15 : 28;
}

#include "batch_blocked.h"

#pragma clang attribute pop

// ---- bits, by tables ----

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx2"))),      \
    apply_to = function)
#include "batch_bits_avx512.h"
#pragma clang attribute pop

const gk_batch_kernels gk_batch_avx512 = {
    .packed_bytes_int8 = gk_packed_bytes,
    .packed_bytes_int4 = gk_packed_bytes,
    .packed_bytes_bit = gk_packed_bytes,
    .pack_int8 = gk_batch_pack_int8,
    .pack_int4 = gk_batch_pack_int4,
    .pack_bit = gk_batch_pack_bit,
    .dot_int8 = gk_batch_dot_int8,
    .dot_int4 = gk_batch_dot_int4,
    .dot_bit = gk_batch_dot_bit,
};

const gk_batch_kernels gk_batch_avx512_vpopcntdq = {
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
