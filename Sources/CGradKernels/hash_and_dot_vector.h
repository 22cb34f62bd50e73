// The hash of a chunk of rows and their scores, in one pass over memory. Hashing a chunk first and
// scoring it from the L1 cache afterwards leaves the memory idle meanwhile: measured on a Zen 4
// core, that scans int8 rows at 0.67 of the speed of reading alone, where one pass has 0.93.
//
// It is the long form of XXH3, which is frozen, taken apart: stripes of 64 bytes, each hashed with
// a secret that starts 8 bytes after the one before; after a block of 16 stripes the accumulators
// are scrambled and the secrets start over; the last stripe has a secret of its own. Here a
// stripe is also scored, while it is in registers. Shapes in which stripes cross rows, and chunks
// that XXH3 hashes by a shorter form, take two passes.
//
// The names in capitals and XXH3_accumulate_512, XXH3_scrambleAcc, XXH3_mergeAccs and XXH3_kSecret
// are xxhash's own, not part of its documented interface: the same from release 0.8.0 to 0.8.3.
//
// Include it after xxhash.h (inlined), dot_int8_vector.h and dot_float_vector.h.
#include "kernels_internal.h"

#define GK_STRIPES_A_BLOCK 16
#define GK_SECRET_SCRAMBLE (XXH3_kSecret + XXH_SECRET_DEFAULT_SIZE - XXH_STRIPE_LEN)
#define GK_SECRET_LAST (GK_SECRET_SCRAMBLE - XXH_SECRET_LASTACC_START)

// The size of a row's elements stands for their type, and is known when compiling: 1 for int8,
// 2 for f16, 4 for f32.

typedef struct gk_row_sums {
    __m256i integers[GK_INT8_CHAINS];
    __m256d lanes[GK_PARTS];
} gk_row_sums;

// Element `i` of the query.
GK_INLINE const void *gk_query_at(const void *query, size_t size, size_t i) {
    return (const char *)query + i * (size == 1 ? sizeof(int8_t) : sizeof(float));
}

GK_INLINE void gk_hash_and_score(xxh_u64 *accumulators, const xxh_u8 *secret, gk_row_sums *sums,
                                 size_t chain, const char *row, size_t size, const void *query) {
    XXH3_accumulate_512(accumulators, (const xxh_u8 *)row, secret);
    if (size == 1) {
        gk_score(&sums->integers[chain], row, query);
        return;
    }
    for (size_t i = 0; i < XXH_STRIPE_LEN / size; i += GK_LANES)
        gk_dot_sixteen(sums->lanes, row + i * size, size, (const float *)query + i);
}

// Up to a block of stripes, all of one row. `secret` is that of the first.
GK_INLINE void gk_hash_and_score_run(xxh_u64 *accumulators, const xxh_u8 *secret,
                                     gk_row_sums *sums, const char *row, size_t size,
                                     const void *query, size_t stripes) {
    const size_t elements = XXH_STRIPE_LEN / size;  // in a stripe
    size_t i = 0;
    if (size == 1)  // floats have lanes enough, and too few registers for more at a time
        for (; i + GK_INT8_CHAINS <= stripes; i += GK_INT8_CHAINS)
#pragma clang loop unroll(full)
            for (size_t j = i; j < i + GK_INT8_CHAINS; j++)
                gk_hash_and_score(accumulators, secret + j * XXH_SECRET_CONSUME_RATE, sums, j - i,
                                  row + j * XXH_STRIPE_LEN, size,
                                  gk_query_at(query, size, j * elements));
#pragma clang loop unroll(disable)
    for (; i < stripes; i++)
        gk_hash_and_score(accumulators, secret + i * XXH_SECRET_CONSUME_RATE, sums, 0,
                          row + i * XXH_STRIPE_LEN, size, gk_query_at(query, size, i * elements));
}

static int gk_can_hash_and_dot(size_t row_count, size_t row_bytes) {
    return row_bytes % XXH_STRIPE_LEN == 0 && row_count * row_bytes > XXH3_MIDSIZE_MAX;
}

// Calls for gk_can_hash_and_dot. The sum of row r is added to out[r], an int64_t or a double.
GK_INLINE uint64_t gk_hash_and_dot(const void *rows, size_t size, size_t row_count, size_t dims,
                                   const void *query, int32_t query_sum, void *out) {
    XXH_ALIGN(XXH_ACC_ALIGN) xxh_u64 accumulators[XXH_ACC_NB] = XXH3_INIT_ACC;
    const size_t row_bytes = dims * size;
    size_t hashed = 0;  // stripes of this block
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * row_bytes;
        const int is_last = r + 1 == row_count;
        const size_t end = row_bytes - (is_last ? XXH_STRIPE_LEN : 0);
        gk_row_sums sums = {0};
        for (size_t i = 0; i < end;) {
            const size_t left = (end - i) / XXH_STRIPE_LEN, room = GK_STRIPES_A_BLOCK - hashed;
            const size_t stripes = left < room ? left : room;
            gk_hash_and_score_run(accumulators, XXH3_kSecret + hashed * XXH_SECRET_CONSUME_RATE,
                                  &sums, row + i, size, gk_query_at(query, size, i / size),
                                  stripes);
            i += stripes * XXH_STRIPE_LEN;
            hashed += stripes;
            if (hashed == GK_STRIPES_A_BLOCK) {
                XXH3_scrambleAcc(accumulators, GK_SECRET_SCRAMBLE);
                hashed = 0;
            }
        }
        if (is_last)
            gk_hash_and_score(accumulators, GK_SECRET_LAST, &sums, 0, row + end, size,
                              gk_query_at(query, size, end / size));
        if (size == 1) {
            ((int64_t *)out)[r] += gk_total(sums.integers) - GK_INT8_BIAS * (int64_t)query_sum;
        } else {
            double *sum = (double *)out + r;
            *sum = gk_canonical_f64(*sum + gk_fold_vectors(sums.lanes));
        }
    }
    // A copy, so that nothing needs the address of the accumulators above: they stay in registers.
    XXH_ALIGN(XXH_ACC_ALIGN) xxh_u64 merged[XXH_ACC_NB];
    memcpy(merged, accumulators, sizeof merged);
    return XXH3_mergeAccs(merged, XXH3_kSecret + XXH_SECRET_MERGEACCS_START,
                          row_count * row_bytes * XXH_PRIME64_1);
}

static uint64_t gk_hash_and_dot_int8(const int8_t *rows, size_t row_count, size_t dims,
                                     const int8_t *query, int32_t query_sum, int64_t *out) {
    if (dims <= GK_INT8_STEP && gk_can_hash_and_dot(row_count, dims))
        return gk_hash_and_dot(rows, 1, row_count, dims, query, query_sum, out);
    gk_dot_int8(rows, row_count, dims, dims, query, query_sum, out);
    return XXH3_64bits(rows, row_count * dims);
}

static uint64_t gk_hash_and_dot_f16(const uint16_t *rows, size_t row_count, size_t dims,
                                    const float *query, double *out) {
    if (gk_can_hash_and_dot(row_count, 2 * dims))
        return gk_hash_and_dot(rows, 2, row_count, dims, query, 0, out);
    gk_dot_f16(rows, row_count, 2 * dims, dims, query, out);
    return XXH3_64bits(rows, row_count * 2 * dims);
}

static uint64_t gk_hash_and_dot_f32(const float *rows, size_t row_count, size_t dims,
                                    const float *query, double *out) {
    if (gk_can_hash_and_dot(row_count, 4 * dims))
        return gk_hash_and_dot(rows, 4, row_count, dims, query, 0, out);
    gk_dot_f32(rows, row_count, 4 * dims, dims, query, out);
    return XXH3_64bits(rows, row_count * 4 * dims);
}
