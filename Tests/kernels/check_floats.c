// Float dot products: near the sum in double, and the bits that the format defines; estimates
// within their bound.
#include "kernel_cases.h"

#include "naive.h"

#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef enum format { F16, BF16, F32 } format;

typedef struct operands {
    format format;
    size_t stride;
    unsigned char *rows;
    float *query;
    double *out, *before;
    double *terms;  // of one row
} operands;

static size_t bytes_of(format format) { return format == F32 ? 4 : 2; }

static void fill(kernel_case *c, format format, void *elements, size_t count) {
    if (format == F16) fill_f16(c, elements, count);
    if (format == BF16) fill_bf16(c, elements, count);
    if (format == F32) fill_f32(c, elements, count);
}

// What is in `out` already: between -1/2 and 1/2, or no number.
static double sum_before(kernel_case *c) {
    const double specials[] = {(double)INFINITY, (double)-INFINITY, (double)-NAN, -0.0};
    const uint64_t random = next_random(c);
    if (c->values == SPECIAL && random % 4 == 0) return specials[random >> 62];
    return ldexp((double)(int64_t)random, -64);
}

static operands new_operands(kernel_case *c, format format, size_t gap) {
    operands o = {.format = format, .stride = c->dims * bytes_of(format) + gap};
    const size_t bytes = c->rows ? c->rows * o.stride - gap : 0;
    o.query = guarded(c, c->dims * sizeof(float), 1);
    fill_f32(c, o.query, c->dims);
    o.rows = guarded(c, bytes, 1);
    memset(o.rows, 0xff, bytes);  // between rows lie NaNs
    for (size_t r = 0; r < c->rows; r++) fill(c, format, o.rows + r * o.stride, c->dims);
    o.out = guarded(c, c->rows * sizeof *o.out, sizeof *o.out);
    o.before = guarded(c, c->rows * sizeof *o.out, sizeof *o.out);
    o.terms = guarded(c, (c->dims + 1) * sizeof *o.terms, sizeof *o.terms);
    for (size_t r = 0; r < c->rows; r++) o.before[r] = o.out[r] = sum_before(c);
    return o;
}

static double element(format format, const unsigned char *row, size_t i) {
    if (format == F16) return naive_value_of_f16(u16_at(row, i));
    return format == BF16 ? naive_value_of_bf16(u16_at(row, i)) : (double)f32_at(row, i);
}

// The terms of what belongs in out[r], what was there before being the last of dims + 1.
static void set_terms(const kernel_case *c, const operands *o, size_t r) {
    const unsigned char *row = o->rows + r * o->stride;
    for (size_t i = 0; i < c->dims; i++)
        o->terms[i] = element(o->format, row, i) * (double)f32_at(o->query, i);
    o->terms[c->dims] = o->before[r];
}

static void check_sums(kernel_case *c, const operands *o) {
    for (size_t r = 0; r < c->rows; r++) {
        set_terms(c, o, r);
        const double expected = naive_sum(o->terms, c->dims + 1);
        const double magnitude = naive_sum_of_magnitudes(o->terms, c->dims + 1);
        if (!naive_is_sum(o->out[r], expected, magnitude))
            fail(c, "stride %zu: row %zu is %.17g (%a), not %.17g (magnitude %g)", o->stride, r,
                 o->out[r], o->out[r], expected, magnitude);
        const double defined = o->before[r] + naive_sum_in_lanes(o->terms, c->dims);
        if (isfinite(defined) && bits_of_f64(o->out[r]) != bits_of_f64(defined))
            fail(c, "stride %zu: row %zu is %a, but %a by definition", o->stride, r, o->out[r],
                 defined);
    }
    check_surroundings(c);
}

// Sums that may leave single precision mean nothing; below its normal numbers every product may be
// off by one unit of subnormals; errors grow with their own errors, hence the little more.
static void check_estimates(kernel_case *c, const operands *o) {
    for (size_t r = 0; r < c->rows; r++) {
        set_terms(c, o, r);
        const double expected = naive_sum(o->terms, c->dims + 1);
        const double magnitude = naive_sum_of_magnitudes(o->terms, c->dims);
        if (!(magnitude + fabs(o->before[r]) < 0x1p126)) continue;
        const double dims = (double)c->dims, relative = dims * 0x1p-24;
        const double bound = relative * (1 + relative) * magnitude + dims * 0x1p-149 +
                             1e-15 * (magnitude + fabs(o->before[r]));
        if (!(fabs(o->out[r] - expected) <= bound))
            fail(c, "stride %zu: row %zu is about %.17g, not %.17g: off by %g, but at most by %g",
                 o->stride, r, o->out[r], expected, o->out[r] - expected, bound);
    }
    check_surroundings(c);
}

static void check_hash_of_rows(kernel_case *c, const operands *o, uint64_t hash) {
    const uint64_t expected = XXH3_64bits(o->rows, c->rows * o->stride);
    if (hash != expected)
        fail(c, "the hash is %016llx, not %016llx", (unsigned long long)hash,
             (unsigned long long)expected);
}

#define CHECK_DOT(name, element, format)                                                           \
    void check_##name(kernel_case *c) {                                                            \
        const operands o = new_operands(c, format, c->gap);                                        \
        c->kernels->name((const element *)o.rows, c->rows, o.stride, c->dims, o.query, o.out);     \
        check_sums(c, &o);                                                                         \
    }                                                                                              \
    void check_hash_and_##name(kernel_case *c) {                                                   \
        const operands o = new_operands(c, format, 0);                                             \
        const uint64_t hash = c->kernels->hash_and_##name((const element *)o.rows, c->rows,        \
                                                          c->dims, o.query, o.out);                \
        check_hash_of_rows(c, &o, hash);                                                           \
        check_sums(c, &o);                                                                         \
    }

#define CHECK_ESTIMATE(name, format)                                                               \
    void check_##name(kernel_case *c) {                                                            \
        const operands o = new_operands(c, format, c->gap);                                        \
        c->kernels->name((const uint16_t *)o.rows, c->rows, o.stride, c->dims, o.query, o.out);    \
        check_estimates(c, &o);                                                                    \
    }                                                                                              \
    void check_hash_and_##name(kernel_case *c) {                                                   \
        const operands o = new_operands(c, format, 0);                                             \
        const uint64_t hash = c->kernels->hash_and_##name((const uint16_t *)o.rows, c->rows,       \
                                                          c->dims, o.query, o.out);                \
        check_hash_of_rows(c, &o, hash);                                                           \
        check_estimates(c, &o);                                                                    \
    }

CHECK_DOT(dot_f16, uint16_t, F16)
CHECK_DOT(dot_bf16, uint16_t, BF16)
CHECK_DOT(dot_f32, float, F32)
CHECK_ESTIMATE(estimate_f16, F16)
CHECK_ESTIMATE(estimate_bf16, BF16)
