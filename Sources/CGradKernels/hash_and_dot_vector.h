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
// Include it after xxhash.h (inlined), dot_integer_vector.h, dot_float_vector.h and
// estimate_vector.h.
#include "kernels_internal.h"

#define GK_STRIPES_A_BLOCK 16
#define GK_SECRET_SCRAMBLE (XXH3_kSecret + XXH_SECRET_DEFAULT_SIZE - XXH_STRIPE_LEN)
#define GK_SECRET_LAST (GK_SECRET_SCRAMBLE - XXH_SECRET_LASTACC_START)

GK_INLINE int gk_is_integer(gk_form form) { return form <= GK_BIT; }
GK_INLINE int gk_is_estimate(gk_form form) { return form >= GK_F16_ESTIMATE; }

// The sums of one row, of which a form uses one.
typedef struct gk_row_sums {
    gk_integer_sums integers;
    gk_estimate_sums estimates;
    __m256d lanes[GK_PARTS];
} gk_row_sums;

// Stripes that follow each other take turns at the sums. `at` is the stripe's place in its row.
GK_INLINE void gk_hash_and_score(gk_form form, xxh_u64 *accumulators, const xxh_u8 *secret,
                                 gk_row_sums *sums, size_t turn, const char *row,
                                 const gk_query *query, size_t at) {
    const char *stripe = row + at;
    gk_ask_ahead(form, stripe);
    XXH3_accumulate_512(accumulators, (const xxh_u8 *)stripe, secret);
    if (gk_is_integer(form)) {
        gk_score_integers(form, &sums->integers, turn, stripe, query, at);
        return;
    }
    const size_t size = gk_float_bytes(form);
    const gk_f32 *q = (const gk_f32 *)query->parts[0] + at / size;
    if (gk_is_estimate(form)) {
        gk_estimate_block(form, &sums->estimates, turn, stripe, q);
        return;
    }
    for (size_t i = 0; i < XXH_STRIPE_LEN / size; i += GK_LANES)
        gk_dot_sixteen(form, sums->lanes, stripe + i * size, q + i);
}

// Stripes that are written out one after the other in the loop over them.
GK_INLINE size_t gk_unrolled_stripes(gk_form form) {
    if (form == GK_BIT) return 1;  // six counters are chains enough
    if (gk_is_integer(form)) return GK_CHAINS;
    if (gk_is_estimate(form)) return GK_ESTIMATE_CHAINS / GK_ESTIMATE_VECTORS;
    return 1;  // lanes are chains enough, and there are too few registers for more
}

// Up to a block of stripes, all of one row, from its byte `at` on. `secret` is that of the first.
GK_INLINE void gk_hash_and_score_run(gk_form form, xxh_u64 *accumulators, const xxh_u8 *secret,
                                     gk_row_sums *sums, const char *row, const gk_query *query,
                                     size_t at, size_t stripes) {
    const size_t unrolled = gk_unrolled_stripes(form);
    size_t i = 0;
    if (unrolled > 1)
        for (; i + unrolled <= stripes; i += unrolled)
#pragma clang loop unroll(full)
            for (size_t j = i; j < i + unrolled; j++)
                gk_hash_and_score(form, accumulators, secret + j * XXH_SECRET_CONSUME_RATE, sums,
                                  j - i, row, query, at + j * XXH_STRIPE_LEN);
#pragma clang loop unroll(disable)
    for (; i < stripes; i++)
        gk_hash_and_score(form, accumulators, secret + i * XXH_SECRET_CONSUME_RATE, sums, 0, row,
                          query, at + i * XXH_STRIPE_LEN);
}

// Adds a row's sum to *out, an int64_t or a double.
GK_INLINE void gk_add_total(gk_form form, const gk_row_sums *sums, const gk_query *query,
                            void *out) {
    if (gk_is_integer(form)) {
        *(int64_t *)out += gk_integer_total(form, &sums->integers) + query->bias;
        return;
    }
    const double total = gk_is_estimate(form) ? gk_estimate_total(&sums->estimates)
                                              : gk_fold_vectors(sums->lanes);
    *(double *)out = gk_canonical_f64(*(double *)out + total);
}

static int gk_can_hash_and_dot(size_t row_count, size_t row_bytes) {
    return row_bytes % XXH_STRIPE_LEN == 0 && row_count * row_bytes > XXH3_MIDSIZE_MAX;
}

// Integers are summed in 32 bits over a whole row here.
static int gk_can_hash_and_dot_integers(size_t row_count, size_t row_bytes) {
    return row_bytes <= GK_STEP && gk_can_hash_and_dot(row_count, row_bytes);
}

// Calls for gk_can_hash_and_dot. The sum of row r is added to out[r], an int64_t or a double.
GK_INLINE uint64_t gk_hash_and_dot(gk_form form, const void *rows, size_t row_count,
                                   size_t row_bytes, const gk_query *query, void *out) {
    XXH_ALIGN(XXH_ACC_ALIGN) xxh_u64 accumulators[XXH_ACC_NB] = XXH3_INIT_ACC;
    size_t hashed = 0;  // stripes of this block
    for (size_t r = 0; r < row_count; r++) {
        const char *row = (const char *)rows + r * row_bytes;
        const int is_last = r + 1 == row_count;
        const size_t end = row_bytes - (is_last ? XXH_STRIPE_LEN : 0);
        gk_row_sums sums = {0};
        for (size_t i = 0; i < end;) {
            const size_t left = (end - i) / XXH_STRIPE_LEN, room = GK_STRIPES_A_BLOCK - hashed;
            const size_t stripes = left < room ? left : room;
            gk_hash_and_score_run(form, accumulators,
                                  XXH3_kSecret + hashed * XXH_SECRET_CONSUME_RATE, &sums, row,
                                  query, i, stripes);
            i += stripes * XXH_STRIPE_LEN;
            hashed += stripes;
            if (hashed == GK_STRIPES_A_BLOCK) {
                XXH3_scrambleAcc(accumulators, GK_SECRET_SCRAMBLE);
                hashed = 0;
            }
        }
        if (is_last)
            gk_hash_and_score(form, accumulators, GK_SECRET_LAST, &sums, 0, row, query, end);
        gk_add_total(form, &sums, query, (int64_t *)out + r);
    }
    // A copy, so that nothing needs the address of the accumulators above: they stay in registers.
    XXH_ALIGN(XXH_ACC_ALIGN) xxh_u64 merged[XXH_ACC_NB];
    memcpy(merged, accumulators, sizeof merged);
    return XXH3_mergeAccs(merged, XXH3_kSecret + XXH_SECRET_MERGEACCS_START,
                          row_count * row_bytes * XXH_PRIME64_1);
}

static uint64_t gk_hash_and_dot_int8(const int8_t *rows, size_t row_count, size_t dims,
                                     const int8_t *query, int32_t query_sum, int64_t *out) {
    const gk_query q = gk_int8_query(query, query_sum);
    if (gk_can_hash_and_dot_integers(row_count, dims))
        return gk_hash_and_dot(GK_INT8, rows, row_count, dims, &q, out);
    gk_dot_int8(rows, row_count, dims, dims, query, query_sum, out);
    return XXH3_64bits(rows, row_count * dims);
}

static uint64_t gk_hash_and_dot_int4(const uint8_t *rows, size_t row_count, size_t dims,
                                     const int8_t *even, const int8_t *odd, int64_t *out) {
    const size_t row_bytes = gk_int4_row_bytes(dims);
    const gk_query q = gk_int4_query(even, odd);
    if (gk_can_hash_and_dot_integers(row_count, row_bytes))
        return gk_hash_and_dot(GK_INT4, rows, row_count, row_bytes, &q, out);
    gk_dot_int4(rows, row_count, row_bytes, dims, even, odd, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static uint64_t gk_hash_and_dot_bit(const uint8_t *rows, size_t row_count, size_t dims,
                                    const uint8_t *planes, int64_t *out) {
    const size_t row_bytes = gk_bit_row_bytes(dims);
    const gk_query q = gk_bit_query(planes, row_bytes);
    if (gk_can_hash_and_dot_integers(row_count, row_bytes))
        return gk_hash_and_dot(GK_BIT, rows, row_count, row_bytes, &q, out);
    gk_dot_bit(rows, row_count, row_bytes, dims, planes, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

// All forms of floats. Both ways of summing are known when compiling.
GK_INLINE uint64_t gk_hash_and_dot_floats(gk_form form, const void *rows, size_t row_count,
                                          size_t dims, const float *query, double *out) {
    const size_t row_bytes = dims * gk_float_bytes(form);
    const gk_query q = {.parts = {(const char *)query}, .part_count = 1};
    if (gk_can_hash_and_dot(row_count, row_bytes))
        return gk_hash_and_dot(form, rows, row_count, row_bytes, &q, out);
    if (gk_is_estimate(form)) gk_estimate(form, rows, row_count, row_bytes, dims, query, out);
    else gk_dot_float(form, rows, row_count, row_bytes, dims, query, out);
    return XXH3_64bits(rows, row_count * row_bytes);
}

static uint64_t gk_hash_and_dot_f16(const uint16_t *rows, size_t row_count, size_t dims,
                                    const float *query, double *out) {
    return gk_hash_and_dot_floats(GK_F16, rows, row_count, dims, query, out);
}

static uint64_t gk_hash_and_dot_bf16(const uint16_t *rows, size_t row_count, size_t dims,
                                     const float *query, double *out) {
    return gk_hash_and_dot_floats(GK_BF16, rows, row_count, dims, query, out);
}

static uint64_t gk_hash_and_dot_f32(const float *rows, size_t row_count, size_t dims,
                                    const float *query, double *out) {
    return gk_hash_and_dot_floats(GK_F32, rows, row_count, dims, query, out);
}

static uint64_t gk_hash_and_estimate_f16(const uint16_t *rows, size_t row_count, size_t dims,
                                         const float *query, double *out) {
    return gk_hash_and_dot_floats(GK_F16_ESTIMATE, rows, row_count, dims, query, out);
}

static uint64_t gk_hash_and_estimate_bf16(const uint16_t *rows, size_t row_count, size_t dims,
                                          const float *query, double *out) {
    return gk_hash_and_dot_floats(GK_BF16_ESTIMATE, rows, row_count, dims, query, out);
}
