// Conversions, bit for bit, and the kernels that only read bytes.
#include "kernel_cases.h"

#include "naive.h"

#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// ---- reading ----

typedef void (*reader)(const uint16_t *source, float *target, size_t count);
typedef double (*half_value)(uint16_t half);

// A number's f32 is its value exactly. A NaN keeps its sign and payload.
static void check_floats_of(kernel_case *c, reader read, half_value value, int is_f16,
                            const uint16_t *source, size_t count) {
    float *target = guarded(c, count * sizeof *target, 1);
    memset(target, 0x55, count * sizeof *target);
    read(source, target, count);
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = u16_at(source, i);
        const double number = value(half);
        uint32_t expected = bits_of_f32((float)number);
        if (isnan(number))  // becomes quiet in f16, in bf16 it stays as it was
            expected = is_f16 ? (half & 0x8000u) << 16 | 0x7fc00000u | (half & 0x03ffu) << 13
                              : (uint32_t)half << 16;
        if (u32_at(target, i) != expected)
            fail(c, "%04x becomes %08x, not %08x, at %zu", half, u32_at(target, i), expected, i);
    }
    check_surroundings(c);
}

void check_f16_to_f32(kernel_case *c) {
    uint16_t *source = guarded(c, c->dims * sizeof *source, 1);
    fill_f16(c, source, c->dims);
    check_floats_of(c, c->kernels->f16_to_f32, naive_value_of_f16, 1, source, c->dims);
}

void check_bf16_to_f32(kernel_case *c) {
    uint16_t *source = guarded(c, c->dims * sizeof *source, 1);
    fill_bf16(c, source, c->dims);
    check_floats_of(c, c->kernels->bf16_to_f32, naive_value_of_bf16, 0, source, c->dims);
}

// ---- writing ----

typedef void (*writer)(const float *source, uint16_t *target, size_t count);
typedef uint16_t (*nearest_half)(double value);

static int is_nan_of(half_value value, uint16_t half) { return isnan(value(half)); }

static void check_halves_of(kernel_case *c, writer write, writer scalar_write, nearest_half nearest,
                            half_value value, const float *source, size_t count) {
    uint16_t *target = guarded(c, count * sizeof *target, 1);
    uint16_t *scalar = guarded(c, count * sizeof *scalar, 1);
    memset(target, 0x55, count * sizeof *target);
    write(source, target, count);
    scalar_write(source, scalar, count);
    for (size_t i = 0; i < count; i++) {
        const float number = f32_at(source, i);
        const uint16_t half = u16_at(target, i);
        if (isnan(number) ? !is_nan_of(value, half) : half != nearest((double)number))
            fail(c, "%a (%08x) becomes %04x at %zu", (double)number, u32_at(source, i), half, i);
        if (half != u16_at(scalar, i))
            fail(c, "%a (%08x) becomes %04x, but %04x in the scalar variant, at %zu",
                 (double)number, u32_at(source, i), half, u16_at(scalar, i), i);
    }
    check_surroundings(c);
}

static void check_f16_of(kernel_case *c, const float *source, size_t count) {
    check_halves_of(c, c->kernels->f32_to_f16, gk_kernels_for(GK_SCALAR)->f32_to_f16, naive_f16_of,
                    naive_value_of_f16, source, count);
}

static void check_bf16_of(kernel_case *c, const float *source, size_t count) {
    check_halves_of(c, c->kernels->f32_to_bf16, gk_kernels_for(GK_SCALAR)->f32_to_bf16,
                    naive_bf16_of, naive_value_of_bf16, source, count);
}

// Floats whose lower bits are mostly those of ties or nearly; for f16 of its exponents, too.
static void fill_near_ties(kernel_case *c, float *floats, size_t count, int is_f16) {
    fill_f32(c, floats, count);
    if (c->values != WIDE && c->values != SPECIAL) return;
    for (size_t i = 0; i < count; i++) {
        const uint64_t random = next_random(c);
        const uint32_t tie = is_f16 ? 0x1000u : 0x8000u, exponent = 102 + random % 42;
        uint32_t bits = u32_at(floats, i);
        if ((bits & 0x7f800000u) == 0x7f800000u || random >> 63) continue;
        if (is_f16) bits = (bits & 0x807fffffu) | exponent << 23;
        bits = (bits & ~(2 * tie - 1)) + tie + (uint32_t)(random >> 32) % 3 - 1;
        memcpy((char *)floats + i * sizeof bits, &bits, sizeof bits);
    }
}

void check_f32_to_f16(kernel_case *c) {
    float *source = guarded(c, c->dims * sizeof *source, 1);
    fill_near_ties(c, source, c->dims, 1);
    check_f16_of(c, source, c->dims);
}

void check_f32_to_bf16(kernel_case *c) {
    float *source = guarded(c, c->dims * sizeof *source, 1);
    fill_near_ties(c, source, c->dims, 0);
    check_bf16_of(c, source, c->dims);
}

// ---- all of them ----

// Halves, and the numbers halfway from each to the next, as they are and one unit to either side.
// The NaNs among them have all kinds of payloads.
static void fill_around_half(float *floats, size_t at, uint16_t half, half_value value) {
    const double number = value(half), next = value((uint16_t)(half + 1));
    const float middle = (float)(isfinite(number) && isfinite(next) ? (number + next) / 2 : number);
    uint32_t bits = bits_of_f32(middle);
    if (isnan(number)) bits = (half & 0x8000u) << 16 | 0x7f800000u | (half & 0x3ffu) * 0x2003u;
    for (size_t i = 0; i < 3; i++, bits++) {
        const uint32_t around = bits - 1;
        memcpy(floats + at + i, &around, sizeof around);
    }
}

void check_all_halves(kernel_case *c) {
    enum { ALL = 65536 };
    uint16_t *halves = guarded(c, ALL * sizeof *halves, 1);
    float *around = guarded(c, 3 * ALL * sizeof *around, sizeof *around);
    for (size_t i = 0; i < ALL; i++) memcpy(halves + i, &(uint16_t){(uint16_t)i}, sizeof *halves);
    const size_t buffers = c->buffers;

    c->name = "f16_to_f32";
    check_floats_of(c, c->kernels->f16_to_f32, naive_value_of_f16, 1, halves, ALL);
    c->name = "bf16_to_f32";
    c->buffers = buffers;
    check_floats_of(c, c->kernels->bf16_to_f32, naive_value_of_bf16, 0, halves, ALL);

    c->name = "f32_to_f16";
    c->buffers = buffers;
    for (size_t i = 0; i < ALL; i++)
        fill_around_half(around, 3 * i, (uint16_t)i, naive_value_of_f16);
    check_f16_of(c, around, 3 * ALL);
    c->name = "f32_to_bf16";
    c->buffers = buffers;
    for (size_t i = 0; i < ALL; i++)
        fill_around_half(around, 3 * i, (uint16_t)i, naive_value_of_bf16);
    check_bf16_of(c, around, 3 * ALL);
}

// ---- bytes ----

void check_hash(kernel_case *c) {
    unsigned char *bytes = guarded(c, c->dims, 1);
    fill_bytes(c, bytes, c->dims);
    const uint64_t hash = c->kernels->hash(bytes, c->dims), expected = XXH3_64bits(bytes, c->dims);
    if (hash != expected)
        fail(c, "%016llx, not %016llx", (unsigned long long)hash, (unsigned long long)expected);
    check_surroundings(c);
}

void check_read_bytes(kernel_case *c) {
    unsigned char *bytes = guarded(c, c->dims, 1);
    fill_bytes(c, bytes, c->dims);
    const uint64_t result = c->kernels->read_bytes(bytes, c->dims);
    const uint64_t scalar = gk_kernels_for(GK_SCALAR)->read_bytes(bytes, c->dims);
    if (result != scalar)
        fail(c, "%016llx, but %016llx in the scalar variant", (unsigned long long)result,
             (unsigned long long)scalar);
    check_surroundings(c);
}

void check_multiply_int8(kernel_case *c) {
    const uint64_t rounds = c->dims, products = c->kernels->multiply_int8(rounds);
    if (rounds > 0 ? products == 0 || products % rounds != 0 : products != 0)
        fail(c, "%llu products in %llu rounds", (unsigned long long)products,
             (unsigned long long)rounds);
}
