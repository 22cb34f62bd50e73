// Dot products of integer codes: exact, so compared with a sum of products and nothing else.
#include "kernel_cases.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef enum codec { BIT = 1, INT4 = 4, INT8 = 8 } codec;  // by the bits of an element

typedef struct operands {
    size_t row_bytes, stride;
    unsigned char *rows;
    int8_t *query;  // in natural order
    int8_t *even, *odd;
    uint8_t *planes;
    int32_t query_sum;
    int64_t *out, *before;
} operands;

static int8_t *new_query(kernel_case *c, codec codec) {
    int8_t *query = guarded(c, c->dims, 1);
    fill_integers(c, query, c->dims, codec == BIT ? -32 : -128, codec == BIT ? 31 : 127);
    return query;
}

static void split_into_even_and_odd(kernel_case *c, operands *o) {
    const size_t half = (c->dims + 1) / 2;
    o->even = guarded(c, half, 1);
    o->odd = guarded(c, half, 1);
    memset(o->odd, 0, half);
    for (size_t i = 0; i < c->dims; i++) (i % 2 ? o->odd : o->even)[i / 2] = o->query[i];
}

static void split_into_planes(kernel_case *c, operands *o) {
    o->planes = guarded(c, GK_BIT_PLANES * o->row_bytes, 1);
    memset(o->planes, 0, GK_BIT_PLANES * o->row_bytes);
    for (size_t i = 0; i < c->dims; i++)
        for (size_t p = 0; p < GK_BIT_PLANES; p++)
            if ((unsigned)o->query[i] >> p & 1)
                o->planes[p * o->row_bytes + i / 8] |= (uint8_t)(1u << i % 8);
}

// Rows of any bytes, also where a row's last byte is not full and between rows.
static unsigned char *new_rows(kernel_case *c, codec codec, size_t row_bytes, size_t stride) {
    const size_t bytes = c->rows ? (c->rows - 1) * stride + row_bytes : 0;
    unsigned char *rows = guarded(c, bytes, 1);
    fill_integers(c, (int8_t *)rows, bytes, -128, 127);
    if (codec != INT8 && c->values == CONSTANT) memset(rows, next_random(c) % 4 ? 0xff : 0, bytes);
    return rows;
}

static operands new_operands(kernel_case *c, codec codec, size_t gap) {
    operands o = {.row_bytes = (c->dims * codec + 7) / 8};
    o.stride = o.row_bytes + gap;
    o.query = new_query(c, codec);
    if (codec == INT8)
        for (size_t i = 0; i < c->dims; i++) o.query_sum += o.query[i];
    if (codec == INT4) split_into_even_and_odd(c, &o);
    if (codec == BIT) split_into_planes(c, &o);
    o.rows = new_rows(c, codec, o.row_bytes, o.stride);
    o.out = guarded(c, c->rows * sizeof *o.out, sizeof *o.out);
    o.before = guarded(c, c->rows * sizeof *o.out, sizeof *o.out);
    for (size_t r = 0; r < c->rows; r++) o.before[r] = o.out[r] = (int64_t)next_random(c) >> 20;
    return o;
}

static int element(codec codec, const unsigned char *row, size_t i) {
    switch (codec) {
    case BIT: return row[i / 8] >> i % 8 & 1;
    case INT4: return row[i / 2] >> (i % 2 ? 4 : 0) & 15;
    default: return (int8_t)row[i];
    }
}

// Inlined where the codec is known, because most of the time goes here.
static inline __attribute__((always_inline)) int64_t dot_of(codec codec, const unsigned char *row,
                                                            const int8_t *query, size_t dims) {
    int64_t sum = 0;
    for (size_t i = 0; i < dims; i++) sum += element(codec, row, i) * query[i];
    return sum;
}

static int64_t dot(codec codec, const unsigned char *row, const int8_t *query, size_t dims) {
    if (codec == BIT) return dot_of(BIT, row, query, dims);
    return codec == INT4 ? dot_of(INT4, row, query, dims) : dot_of(INT8, row, query, dims);
}

static void check_sums(kernel_case *c, codec codec, const operands *o) {
    for (size_t r = 0; r < c->rows; r++) {
        const int64_t expected =
            o->before[r] + dot(codec, o->rows + r * o->stride, o->query, c->dims);
        if (o->out[r] != expected)
            fail(c, "stride %zu: row %zu is %lld, not %lld", o->stride, r, (long long)o->out[r],
                 (long long)expected);
    }
    check_surroundings(c);
}

static void check_hash_of_rows(kernel_case *c, const operands *o, uint64_t hash) {
    const uint64_t expected = XXH3_64bits(o->rows, c->rows * o->row_bytes);
    if (hash != expected)
        fail(c, "the hash is %016llx, not %016llx", (unsigned long long)hash,
             (unsigned long long)expected);
}

void check_dot_int8(kernel_case *c) {
    const operands o = new_operands(c, INT8, c->gap);
    c->kernels->dot_int8((const int8_t *)o.rows, c->rows, o.stride, c->dims, o.query, o.query_sum,
                         o.out);
    check_sums(c, INT8, &o);
}

void check_dot_int4(kernel_case *c) {
    const operands o = new_operands(c, INT4, c->gap);
    c->kernels->dot_int4(o.rows, c->rows, o.stride, c->dims, o.even, o.odd, o.out);
    check_sums(c, INT4, &o);
}

void check_dot_bit(kernel_case *c) {
    const operands o = new_operands(c, BIT, c->gap);
    c->kernels->dot_bit(o.rows, c->rows, o.stride, c->dims, o.planes, o.out);
    check_sums(c, BIT, &o);
}

void check_hash_and_dot_int8(kernel_case *c) {
    const operands o = new_operands(c, INT8, 0);
    const uint64_t hash = c->kernels->hash_and_dot_int8((const int8_t *)o.rows, c->rows, c->dims,
                                                        o.query, o.query_sum, o.out);
    check_hash_of_rows(c, &o, hash);
    check_sums(c, INT8, &o);
}

void check_hash_and_dot_int4(kernel_case *c) {
    const operands o = new_operands(c, INT4, 0);
    const uint64_t hash =
        c->kernels->hash_and_dot_int4(o.rows, c->rows, c->dims, o.even, o.odd, o.out);
    check_hash_of_rows(c, &o, hash);
    check_sums(c, INT4, &o);
}

void check_hash_and_dot_bit(kernel_case *c) {
    const operands o = new_operands(c, BIT, 0);
    const uint64_t hash =
        c->kernels->hash_and_dot_bit(o.rows, c->rows, c->dims, o.planes, o.out);
    check_hash_of_rows(c, &o, hash);
    check_sums(c, BIT, &o);
}

// ---- pairs of rows ----

// The number that an element stands for between stored rows.
static int level(codec codec, const unsigned char *row, size_t i) {
    const int code = element(codec, row, i);
    return codec == INT8 ? code : codec == INT4 ? 2 * code - 15 : 2 * code - 1;
}

static void check_pairs(kernel_case *c, codec codec) {
    const operands o = new_operands(c, codec, c->gap);
    const unsigned char *others = new_rows(c, codec, o.row_bytes, o.stride);
    for (size_t r = 0; r < c->rows; r++) {
        const unsigned char *a = o.rows + r * o.stride, *b = others + r * o.stride;
        int64_t expected = o.before[r];
        for (size_t i = 0; i < c->dims; i++) expected += level(codec, a, i) * level(codec, b, i);
        if (codec == INT8)
            c->kernels->pair_int8((const int8_t *)a, (const int8_t *)b, c->dims, o.out + r);
        else
            (codec == INT4 ? c->kernels->pair_int4 : c->kernels->pair_bit)(a, b, c->dims, o.out + r);
        if (o.out[r] != expected)
            fail(c, "stride %zu: pair %zu is %lld, not %lld", o.stride, r, (long long)o.out[r],
                 (long long)expected);
    }
    check_surroundings(c);
}

void check_pair_int8(kernel_case *c) { check_pairs(c, INT8); }
void check_pair_int4(kernel_case *c) { check_pairs(c, INT4); }
void check_pair_bit(kernel_case *c) { check_pairs(c, BIT); }

// ---- batches ----

// Queries `query_stride` bytes apart, scored against every row into rows of `out`.
typedef struct batch {
    size_t query_stride, out_stride, out_count;
    int8_t *queries;
    void *packed;
    operands o;  // but for the query
} batch;

static batch new_batch(kernel_case *c, codec codec, size_t packed_bytes) {
    batch b = {.query_stride = c->dims + random_below(c, 3) * 7,
               .out_stride = c->queries + random_below(c, 3)};
    const size_t query_bytes = c->queries ? (c->queries - 1) * b.query_stride + c->dims : 0;
    b.queries = guarded(c, query_bytes, 1);
    if (codec == BIT) fill_integers(c, b.queries, query_bytes, -32, 31);
    else fill_integers(c, b.queries, query_bytes, -128, 127);
    b.packed = guarded(c, (packed_bytes + 63) & ~(size_t)63, 64);
    b.o.row_bytes = (c->dims * codec + 7) / 8;
    b.o.stride = b.o.row_bytes + c->gap;
    b.o.rows = new_rows(c, codec, b.o.row_bytes, b.o.stride);
    b.out_count = c->rows ? (c->rows - 1) * b.out_stride + c->queries : 0;
    b.o.out = guarded(c, b.out_count * sizeof *b.o.out, sizeof *b.o.out);
    b.o.before = guarded(c, b.out_count * sizeof *b.o.out, sizeof *b.o.out);
    for (size_t i = 0; i < b.out_count; i++)
        b.o.before[i] = b.o.out[i] = (int64_t)next_random(c) >> 20;
    return b;
}

static void check_batch_sums(kernel_case *c, codec codec, const batch *b) {
    for (size_t i = 0; i < b->out_count; i++) {
        const size_t r = i / b->out_stride, q = i % b->out_stride;
        int64_t expected = b->o.before[i];
        if (q < c->queries)
            expected += dot(codec, b->o.rows + r * b->o.stride, b->queries + q * b->query_stride,
                            c->dims);
        if (b->o.out[i] != expected)
            fail(c, "stride %zu, query stride %zu, out stride %zu: row %zu, query %zu is %lld, "
                 "not %lld", b->o.stride, b->query_stride, b->out_stride, r, q,
                 (long long)b->o.out[i], (long long)expected);
    }
    check_surroundings(c);
}

void check_batch_int8(kernel_case *c) {
    const gk_batch_kernels *k = c->kernels->batch;
    const batch b = new_batch(c, INT8, k->packed_bytes_int8(c->dims, c->queries));
    k->pack_int8(b.queries, b.query_stride, c->queries, c->dims, b.packed);
    k->dot_int8((const int8_t *)b.o.rows, c->rows, b.o.stride, c->dims, b.packed, c->queries,
                b.o.out, b.out_stride);
    check_batch_sums(c, INT8, &b);
}

void check_batch_int4(kernel_case *c) {
    const gk_batch_kernels *k = c->kernels->batch;
    const batch b = new_batch(c, INT4, k->packed_bytes_int4(c->dims, c->queries));
    k->pack_int4(b.queries, b.query_stride, c->queries, c->dims, b.packed);
    k->dot_int4(b.o.rows, c->rows, b.o.stride, c->dims, b.packed, c->queries, b.o.out,
                b.out_stride);
    check_batch_sums(c, INT4, &b);
}

// The upper two bits of a query's elements are noise while they are packed.
static void flip_upper_bits(kernel_case *c, const batch *b, uint64_t seed) {
    kernel_case noise = *c;
    noise.random = seed;
    for (size_t q = 0; q < c->queries; q++)
        for (size_t i = 0; i < c->dims; i++)
            b->queries[q * b->query_stride + i] ^= (int8_t)(next_random(&noise) & 0xc0);
}

void check_batch_bit(kernel_case *c) {
    const gk_batch_kernels *k = c->kernels->batch;
    const batch b = new_batch(c, BIT, k->packed_bytes_bit(c->dims, c->queries));
    const uint64_t seed = next_random(c);
    flip_upper_bits(c, &b, seed);
    k->pack_bit(b.queries, b.query_stride, c->queries, c->dims, b.packed);
    flip_upper_bits(c, &b, seed);
    k->dot_bit(b.o.rows, c->rows, b.o.stride, c->dims, b.packed, c->queries, b.o.out,
               b.out_stride);
    check_batch_sums(c, BIT, &b);
}
