// Projecting: by the definitions of format-spec/projectors.md, element by element.
#include "kernel_cases.h"

#include <math.h>

static uint64_t mix(uint64_t z) {
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static const uint64_t gamma_64 = 0x9E3779B97F4A7C15u;

static uint64_t word(uint64_t key, uint64_t j) { return mix(key + (j + 1) * gamma_64); }

static uint64_t below(uint64_t w, uint64_t n) { return ((w >> 32) * n) >> 32; }

static float *new_floats(kernel_case *c, size_t count) {
    float *x = guarded(c, count * sizeof *x, 1);
    fill_f32(c, x, count);
    return x;
}

// By way of pointers that promise no alignment.
static void copy(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }

static void add_to(float *sums, size_t k, float value) {
    const float sum = f32_at(sums, k) + value;
    memcpy((char *)sums + k * sizeof sum, &sum, sizeof sum);
}

// Sums that are not finite only have to be not finite.
static void compare(const kernel_case *c, const float *sums, const float *expected, size_t count) {
    for (size_t k = 0; k < count; k++) {
        const int is_same = u32_at(sums, k) == u32_at(expected, k) ||
                            (!isfinite(f32_at(sums, k)) && !isfinite(f32_at(expected, k)));
        if (!is_same)
            fail(c, "accumulator %zu of %zu is %a, not %a", k, count, (double)f32_at(sums, k),
                 (double)f32_at(expected, k));
    }
    check_surroundings(c);
}

// The numbers of units that end groups of sheets, sheets and rotations in another way, small ones
// most of the time; more than those of which a variant takes several sheets at once.
static uint64_t random_units(kernel_case *c) {
    const uint64_t most[] = {1, 2, 5, 20, 70, 127, 140, 260};
    return 1 + random_below(c, most[random_below(c, 8)]);
}

void check_sketch(kernel_case *c) {
    const uint64_t units = random_units(c), sign_key = next_random(c), place_key = next_random(c);
    // Some elements; with luck, several groups of sheets and a part of one.
    size_t count = c->dims;
    if (next_random(c) % 4 == 0) count += random_below(c, 11) * units * 64;
    uint64_t first = random_below(c, 2) ? 0 : random_below(c, 5 * units + 2);
    if (random_below(c, 2)) first -= first % units;
    if (random_below(c, 16) == 0) first += (uint64_t)1 << 32;
    float *x = new_floats(c, count);
    float *sums = new_floats(c, units * 64), *expected = guarded(c, units * 64 * 4, 1);
    float *pieces = guarded(c, units * 64 * 4, 1);
    // Not -0, which sums that begin with 0 never become.
    for (size_t k = 0; k < units * 64; k++) add_to(sums, k, 0.0f);
    copy(expected, sums, units * 64 * sizeof *sums);
    copy(pieces, sums, units * 64 * sizeof *sums);
    c->kernels->sketch(x, count, first, sign_key, place_key, units, sums);
    for (size_t e = 0; e < count; e++) {
        const uint64_t u = first + e / 64, i = e % 64, s = u / units, p = u % units;
        const uint64_t w = word(sign_key, u), m = (w * gamma_64) >> 58;
        const uint64_t b = below(word(place_key, s), units);
        const float value = f32_at(x, e);
        add_to(expected, 64 * ((p + b) % units) + (i ^ m), w >> i & 1 ? -value : value);
    }
    compare(c, sums, expected, units * 64);
    // In pieces, however they are cut, the same bits.
    for (size_t done = 0; done < count;) {
        const size_t piece = 64 * (1 + random_below(c, 3 * units));
        const size_t step = count - done < piece ? count - done : piece;
        const float *from = (const float *)((const char *)x + done * sizeof *x);
        c->kernels->sketch(from, step, first + done / 64, sign_key, place_key, units, pieces);
        done += step;
    }
    compare(c, pieces, expected, units * 64);
}

void check_add_signed(kernel_case *c) {
    const size_t count = random_below(c, 2 + 20000 / (c->dims + 1)), blocks = (c->dims + 63) / 64;
    const uint64_t key = next_random(c);
    const uint64_t first = random_below(c, 4) ? random_below(c, 1000) : next_random(c) >> 30;
    float *x = new_floats(c, count);
    float *sums = new_floats(c, c->dims), *expected = guarded(c, c->dims * 4, 1);
    copy(expected, sums, c->dims * sizeof *sums);
    c->kernels->add_signed(x, count, first, key, c->dims, sums);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < c->dims; k++) {
            const uint64_t w = word(key, (first + i) * blocks + k / 64);
            add_to(expected, k, w >> k % 64 & 1 ? -f32_at(x, i) : f32_at(x, i));
        }
    compare(c, sums, expected, c->dims);
}

void check_add_scaled(kernel_case *c) {
    const float scale = ldexpf((float)(int32_t)next_random(c), (int)random_below(c, 40) - 50);
    float *x = new_floats(c, c->dims);
    float *sums = new_floats(c, c->dims), *expected = guarded(c, c->dims * 4, 1);
    copy(expected, sums, c->dims * sizeof *sums);
    c->kernels->add_scaled(x, c->dims, scale, sums);
    for (size_t i = 0; i < c->dims; i++) {
        const volatile float product = f32_at(x, i) * scale;
        add_to(expected, i, product);
    }
    compare(c, sums, expected, c->dims);
}

// In lanes, as the header says; and near the sum in long double.
void check_squared_length(kernel_case *c) {
    float *x = new_floats(c, c->dims);
    const double length = c->kernels->squared_length(x, c->dims);
    const size_t whole = c->dims / 64 * 64;
    double lanes[64] = {0};
    long double sum = 0;
    for (size_t i = 0; i < c->dims; i++) {
        const double value = f32_at(x, i);
        sum += (long double)value * value;
        if (i == whole)
            for (size_t j = 0; j < 16; j++)
                lanes[j] = (lanes[j] + lanes[j + 32]) + (lanes[j + 16] + lanes[j + 48]);
        const volatile double square = value * value;
        lanes[i < whole ? i % 64 : (i - whole) % 16] += square;
    }
    if (whole == c->dims)
        for (size_t j = 0; j < 16; j++)
            lanes[j] = (lanes[j] + lanes[j + 32]) + (lanes[j + 16] + lanes[j + 48]);
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t j = 0; j < width; j++) lanes[j] += lanes[j + width];
    if (isfinite(lanes[0]) != isfinite(length))
        fail(c, "the squared length is %a, not %a", length, lanes[0]);
    if (!isfinite(length)) return;
    if (bits_of_f64(length) != bits_of_f64(lanes[0]))
        fail(c, "the squared length is %a, not %a by definition", length, lanes[0]);
    if (fabsl((long double)length - sum) > 1e-13L * sum)
        fail(c, "the squared length is %.17g, not %.17Lg", length, sum);
    check_surroundings(c);
}
