// Quantisers, the rotation and the reductions: by their definitions, in wider types.
#include "kernel_cases.h"

#include "naive.h"

#include <float.h>
#include <math.h>

static float *new_floats(kernel_case *c, size_t count) {
    float *x = guarded(c, count * sizeof *x, 1);
    fill_f32(c, x, count);
    return x;
}

// Without NaNs and infinities, which some kernels are not asked about.
static float *new_finite_floats(kernel_case *c, size_t count) {
    if (c->values == SPECIAL) c->values = WIDE;
    return new_floats(c, count);
}

// A sum of `terms` in sixteen lanes: near their sum, and with the bits that the lanes give.
static void check_sum(const kernel_case *c, const char *name, double sum, const double *terms) {
    const double expected = naive_sum(terms, c->dims);
    if (!naive_is_sum(sum, expected, naive_sum_of_magnitudes(terms, c->dims)))
        fail(c, "the %s is %.17g (%a), not %.17g", name, sum, sum, expected);
    const double defined = naive_sum_in_lanes(terms, c->dims);
    if (isfinite(defined) && bits_of_f64(sum) != bits_of_f64(defined))
        fail(c, "the %s is %a, but %a by definition", name, sum, defined);
}

static float largest_magnitude(const float *x, size_t count) {
    float largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmaxf(largest, fabsf(f32_at(x, i)));
    return largest;
}

// What brings the largest magnitude near `levels`, as encoders choose it; or any scale at all.
// Or one that puts many products right between two levels.
static float new_inverse_scale(kernel_case *c, const float *x, float levels) {
    const uint64_t choice = next_random(c) % 4;
    const float wanted = levels / largest_magnitude(x, c->dims);
    if (choice == 0) return ldexpf(0.5f, (int)random_below(c, 252) - 125);
    if (choice == 1) return fabsf(f32_at(&(uint32_t){(uint32_t)next_random(c) % 0x7f800000u}, 0));
    return wanted < FLT_MAX ? wanted : FLT_MAX;
}

// Elements become odd multiples of half a level: ties of either parity.
static void make_ties(kernel_case *c, float *x, float inverse_scale) {
    for (size_t i = 0; i < c->dims; i++) {
        const float tie = (float)random_below(c, 600) - 300.0f;
        const float value = tie * 0.5f / inverse_scale;
        if (isfinite(value)) memcpy((char *)x + i * sizeof value, &value, sizeof value);
    }
}

// Rounded to single precision once: the product of two floats is exact in double.
static float product(const float *x, size_t i, float factor) {
    return (float)((double)f32_at(x, i) * (double)factor);
}

static int8_t level_of_int8(float value) {
    if (isnan(value)) return 127;
    const double rounded = nearbyint((double)value);
    return (int8_t)(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
}

void check_quantize_int8(kernel_case *c) {
    float *x = new_floats(c, c->dims);
    const float inverse_scale = new_inverse_scale(c, x, 127);
    if (next_random(c) % 4 == 0) make_ties(c, x, inverse_scale);
    int8_t *q = guarded(c, c->dims, 1);
    memset(q, 0x55, c->dims);
    const uint64_t squares = c->kernels->quantize_int8(x, c->dims, inverse_scale, q);
    uint64_t expected_squares = 0;
    for (size_t i = 0; i < c->dims; i++) {
        const int8_t expected = level_of_int8(product(x, i, inverse_scale));
        if (q[i] != expected)
            fail(c, "%a * %a becomes %d, not %d, at %zu", f32_at(x, i), inverse_scale, q[i],
                 expected, i);
        expected_squares += (uint64_t)(expected * expected);
    }
    if (squares != expected_squares)
        fail(c, "the squares' sum is %llu, not %llu", (unsigned long long)squares,
             (unsigned long long)expected_squares);
    check_surroundings(c);
}

static int code_of_int4(float value) {
    const double code = floor((double)value) + 8;
    return (int)(code < 0 ? 0 : code > 15 ? 15 : code);
}

static void check_levels(kernel_case *c, const float *x, float inverse_step, const uint8_t *codes,
                         gk_levels levels) {
    double *terms = guarded(c, c->dims * sizeof *terms, sizeof *terms);
    uint64_t squares = 0;
    for (size_t i = 0; i < c->dims; i++) {
        const int code = codes[i / 2] >> 4 * (i % 2) & 15;
        const int expected = code_of_int4(product(x, i, inverse_step)), level = 2 * expected - 15;
        if (code != expected)
            fail(c, "%a * %a becomes %d, not %d, at %zu", f32_at(x, i), inverse_step, code,
                 expected, i);
        terms[i] = level * (double)f32_at(x, i);
        squares += (uint64_t)(level * level);
    }
    if (c->dims % 2 && codes[c->dims / 2] >> 4) fail(c, "the last byte's high half is not 0");
    if (levels.squares != squares)
        fail(c, "the squares' sum is %llu, not %llu", (unsigned long long)levels.squares,
             (unsigned long long)squares);
    check_sum(c, "dot product", levels.dot, terms);
}

void check_quantize_int4(kernel_case *c) {
    float *x = new_finite_floats(c, c->dims);
    const float inverse_step = new_inverse_scale(c, x, 8);
    if (next_random(c) % 4 == 0) make_ties(c, x, inverse_step);
    const size_t bytes = (c->dims + 1) / 2;
    uint8_t *codes = guarded(c, bytes, 1);
    memset(codes, 0x55, bytes);
    const gk_levels levels = c->kernels->quantize_int4(x, c->dims, inverse_step, codes);
    check_levels(c, x, inverse_step, codes, levels);
    check_surroundings(c);
}

void check_quantize_bit(kernel_case *c) {
    const float *x = new_floats(c, c->dims);
    const size_t bytes = (c->dims + 7) / 8;
    uint8_t *bits = guarded(c, bytes, 1);
    double *terms = guarded(c, c->dims * sizeof *terms, sizeof *terms);
    memset(bits, 0x55, bytes);
    const double sum = c->kernels->quantize_bit(x, c->dims, bits);
    for (size_t i = 0; i < 8 * bytes; i++) {  // also those that fill up the last byte
        const int expected = i < c->dims && !(u32_at(x, i) >> 31);
        if ((bits[i / 8] >> i % 8 & 1) != expected) fail(c, "bit %zu is not %d", i, expected);
    }
    for (size_t i = 0; i < c->dims; i++) terms[i] = fabs((double)f32_at(x, i));
    check_sum(c, "sum", sum, terms);
    check_surroundings(c);
}

void check_sum_of_squares(kernel_case *c) {
    const float *x = new_floats(c, c->dims);
    double *terms = guarded(c, c->dims * sizeof *terms, sizeof *terms);
    const double sum = c->kernels->sum_of_squares(x, c->dims);
    for (size_t i = 0; i < c->dims; i++) terms[i] = (double)f32_at(x, i) * (double)f32_at(x, i);
    check_sum(c, "sum", sum, terms);
    check_surroundings(c);
}

void check_max_magnitude(kernel_case *c) {
    if (c->values == SPECIAL) c->values = next_random(c) % 2 ? SPARSE : ORDINARY;
    float *x = new_floats(c, c->dims);
    const float infinite = -INFINITY;
    if (c->dims && next_random(c) % 16 == 0)
        memcpy((char *)x + random_below(c, c->dims) * sizeof *x, &infinite, sizeof infinite);
    const float largest = c->kernels->max_magnitude(x, c->dims);
    const float expected = largest_magnitude(x, c->dims);
    if (bits_of_f32(largest) != bits_of_f32(expected)) fail(c, "%a, not %a", largest, expected);
    check_surroundings(c);
}

void check_find_nonfinite(kernel_case *c) {
    kernel_case finite = *c;  // most elements, so that the first is found anywhere
    if (c->values == SPECIAL && next_random(c) % 2) finite.values = WIDE;
    float *x = guarded(c, c->dims * sizeof *x, 1);
    fill_f32(&finite, x, c->dims);
    const uint32_t specials[] = {0x7f800000u, 0xff800000u, 0x7f800001u, 0xffffffffu};
    if (c->dims && c->values == SPECIAL)
        for (int i = 0; i < 2; i++)
            memcpy((char *)x + random_below(c, c->dims) * sizeof *x,
                   &specials[next_random(c) % 4], sizeof *x);
    size_t expected = 0;
    while (expected < c->dims && isfinite(f32_at(x, expected))) expected++;
    const size_t found = c->kernels->find_nonfinite(x, c->dims);
    if (found != expected) fail(c, "%zu, not %zu", found, expected);
    check_surroundings(c);
}

static size_t power_of_two(size_t at_most) {
    size_t power = 1;
    while (2 * power <= at_most) power *= 2;
    return power;
}

// The transform as a sum over all elements, for few of them: the recursion might be wrong too.
static void check_against_sums(kernel_case *c, const float *x, const float *rotated, size_t count,
                               const uint64_t *signs, float scale) {
    for (size_t i = 0; i < count; i++) {
        double sum = 0, magnitude = 0;
        for (size_t j = 0; j < count; j++) {
            const uint64_t negative =
                (signs[j / 64] >> j % 64 ^ (uint64_t)__builtin_popcountll(i & j)) & 1;
            sum += (negative ? -1.0 : 1.0) * (double)x[j];
            magnitude += fabs((double)x[j]);
        }
        const double error = fabs((double)rotated[i] - sum * (double)scale);
        if (error > 1e-5 * magnitude * fabs((double)scale))
            fail(c, "element %zu of %zu is %g, not about %g", i, count, (double)rotated[i],
                 sum * (double)scale);
    }
}

// Now and then a scale that no encoder chooses.
static float new_rotation_scale(kernel_case *c, size_t count) {
    const float usual = 1.0f / sqrtf((float)count);
    if (next_random(c) % 4) return usual;
    return usual * ldexpf(1.0f, (int)random_below(c, 64) - 32);
}

void check_rotate(kernel_case *c) {
    const size_t count = power_of_two(c->dims ? c->dims : 1), words = (count + 63) / 64;
    const size_t bytes = count * sizeof(float), sign_bytes = words * sizeof(uint64_t);
    void *x = guarded(c, bytes, 1), *signs = guarded(c, sign_bytes, 1);
    fill_f32(c, x, count);
    fill_bytes(c, signs, sign_bytes);
    float *before = guarded(c, bytes, 64), *naive = guarded(c, bytes, 64);
    uint64_t *naive_signs = guarded(c, sign_bytes, 64);
    memcpy(before, x, bytes);
    memcpy(naive, x, bytes);
    memcpy(naive_signs, signs, sign_bytes);
    const float scale = new_rotation_scale(c, count);

    c->kernels->rotate(x, count, signs, scale);
    naive_rotate(naive, count, naive_signs, scale);
    for (size_t i = 0; i < count; i++)
        if (u32_at(x, i) != bits_of_f32(naive[i]))
            fail(c, "element %zu of %zu is %a, not %a", i, count, f32_at(x, i), naive[i]);
    if (count <= 64 && c->values == ORDINARY)
        check_against_sums(c, before, naive, count, naive_signs, scale);
    check_surroundings(c);
}
