// Random operands, a kind for each way in which arithmetic goes wrong.
#include "kernel_cases.h"

#include <float.h>
#include <math.h>

// splitmix64
uint64_t next_random(kernel_case *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t random_below(kernel_case *c, size_t bound) { return bound ? next_random(c) % bound : 0; }

void fill_bytes(kernel_case *c, void *bytes, size_t count) {
    unsigned char *to = bytes;
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const uint64_t word = next_random(c);
        memcpy(to + i, &word, 8);
    }
    const uint64_t word = next_random(c);
    memcpy(to + i, &word, count - i);
}

// ---- integers ----

// Random bytes first, each of which then becomes an integer.
void fill_integers(kernel_case *c, int8_t *integers, size_t count, int lowest, int highest) {
    const int extremes[] = {lowest, highest, lowest, highest, lowest + 1, -1, 0, 1};
    const int constant = next_random(c) % 4 ? lowest : highest, range = highest - lowest + 1;
    const values kind = c->values;
    fill_bytes(c, integers, count);
    for (size_t i = 0; i < count; i++) {
        const uint8_t byte = (uint8_t)integers[i];
        int integer = lowest + (byte * range >> 8);
        if (kind == EXTREME) integer = extremes[byte % 8];
        if (kind == CONSTANT) integer = constant;
        if (kind == SPARSE && byte % 16 != 15) integer = 0;
        integers[i] = (int8_t)integer;
    }
}

// ---- floats ----

static int is_rare(kernel_case *c) { return next_random(c) % 16 == 0; }

static float f32_of(uint32_t bits) { return f32_at(&bits, 0); }

static float ordinary_f32(kernel_case *c) {
    return (float)(int32_t)next_random(c) * 0x1p-31f;  // from -1 to 1
}

// Any finite number: subnormal or huge, all exponents alike.
static float wide_f32(kernel_case *c) {
    uint32_t bits;
    do bits = (uint32_t)next_random(c);
    while ((bits & 0x7f800000u) == 0x7f800000u);
    return f32_of(bits);
}

static float extreme_f32(kernel_case *c) {
    const float extremes[] = {0.0f, FLT_MAX, FLT_MIN, FLT_TRUE_MIN, FLT_MIN - FLT_TRUE_MIN,
                              1.0f, 65504.0f, FLT_EPSILON};
    const uint64_t random = next_random(c);
    const float value = extremes[random % 8];
    return random >> 8 & 1 ? -value : value;
}

static float special_f32(kernel_case *c) {
    const uint32_t specials[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00000u,
                                 0x7f800001u, 0xffbfffffu, 0x7fffffffu, 0x80000000u};
    return f32_of(specials[next_random(c) % 8]);
}

void fill_f32(kernel_case *c, float *floats, size_t count) {
    const float constant = next_random(c) % 2 ? wide_f32(c) : extreme_f32(c);
    for (size_t i = 0; i < count; i++) {
        float value = constant;
        switch (c->values) {
        case ORDINARY: value = ordinary_f32(c); break;
        case WIDE: value = wide_f32(c); break;
        case EXTREME: value = extreme_f32(c); break;
        case SPARSE: value = is_rare(c) ? wide_f32(c) : 0.0f; break;
        case SPECIAL: value = is_rare(c) ? special_f32(c) : wide_f32(c); break;
        default: break;
        }
        memcpy((char *)floats + i * sizeof value, &value, sizeof value);
    }
}

// Halves of either kind, `exponent` being the bits of their exponent.
static void fill_halves(kernel_case *c, uint16_t *halves, size_t count, uint16_t exponent) {
    const uint16_t lowest = exponent & -exponent;  // the exponent's last bit
    const uint16_t one = exponent - (1u << 14);    // the exponent of 1
    const uint16_t extremes[] = {0, 1, lowest - 1, lowest, exponent - 1, one, one - lowest, 0};
    const uint16_t constant = extremes[next_random(c) % 8] | (next_random(c) & 0x8000u);
    for (size_t i = 0; i < count; i++) {
        const uint64_t random = next_random(c);
        uint16_t half = (uint16_t)random;
        if ((half & exponent) == exponent && c->values != SPECIAL) half ^= lowest;
        const uint16_t near_one = one - (uint16_t)(random >> 62) * lowest;
        switch (c->values) {
        case ORDINARY: half = (half & ~exponent) | near_one; break;
        case EXTREME: half = (half & 0x8000u) | extremes[random >> 61]; break;
        case CONSTANT: half = constant; break;
        case SPARSE: half = random >> 60 ? 0 : half; break;
        default: break;
        }
        memcpy((char *)halves + i * sizeof half, &half, sizeof half);
    }
}

void fill_f16(kernel_case *c, uint16_t *halves, size_t count) {
    fill_halves(c, halves, count, 0x7c00u);
}

void fill_bf16(kernel_case *c, uint16_t *halves, size_t count) {
    fill_halves(c, halves, count, 0x7f80u);
}
