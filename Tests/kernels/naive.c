#include "naive.h"

#include "kernel_cases.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

// A format of 16 bits with a sign: `fraction` bits behind the point, the rest but one exponent.
static double value_of(uint16_t half, int fraction) {
    const int bias = (1 << (14 - fraction)) - 1, highest = 2 * bias + 1;
    const int exponent = (half & 0x7fff) >> fraction;
    const double low_bits = half & ((1 << fraction) - 1);
    double magnitude = ldexp(low_bits + (exponent > 0 ? 1 << fraction : 0),
                             (exponent > 0 ? exponent : 1) - bias - fraction);
    if (exponent == highest) magnitude = low_bits > 0 ? (double)NAN : (double)INFINITY;
    return half & 0x8000 ? -magnitude : magnitude;
}

static uint16_t half_of(double value, int fraction) {
    const int bias = (1 << (14 - fraction)) - 1;
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const uint16_t infinity = (uint16_t)((2 * bias + 1) << fraction);
    const double magnitude = fabs(value);
    if (isinf(magnitude)) return sign | infinity;
    int exponent = magnitude > 0 ? ilogb(magnitude) : -bias;
    if (exponent < 1 - bias) exponent = 1 - bias;
    // In units of the last place: at most 2^(fraction + 1), which is a carry into the exponent,
    // and below 2^fraction where the number is subnormal.
    const double units = nearbyint(ldexp(magnitude, fraction - exponent));
    const int32_t bits = ((exponent + bias - 1) << fraction) + (int32_t)units;
    return sign | (bits < infinity ? (uint16_t)bits : infinity);
}

double naive_value_of_f16(uint16_t half) {
    static double values[65536];
    if (values[0x3c00] == 0)
        for (uint32_t i = 0; i < 65536; i++) values[i] = value_of((uint16_t)i, 10);
    return values[half];
}

double naive_value_of_bf16(uint16_t half) {
    static double values[65536];
    if (values[0x3f80] == 0)
        for (uint32_t i = 0; i < 65536; i++) values[i] = value_of((uint16_t)i, 7);
    return values[half];
}

uint16_t naive_f16_of(double value) { return half_of(value, 10); }
uint16_t naive_bf16_of(double value) { return half_of(value, 7); }

// Halves are summed by themselves, so that rounding grows with the depth of halving.
double naive_sum(const double *terms, size_t count) {
    const size_t half = count / 2;
    if (count > 32) return naive_sum(terms, half) + naive_sum(terms + half, count - half);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += terms[i];
    return sum;
}

double naive_sum_of_magnitudes(const double *terms, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += fabs(terms[i]);
    return sum;
}

double naive_sum_in_lanes(const double *terms, size_t count) {
    double lanes[16] = {0};
    for (size_t i = 0; i < count; i++) lanes[i % 16] += terms[i];
    for (int j = 0; j < 8; j++) lanes[j] += lanes[j + 8];
    for (int j = 0; j < 4; j++) lanes[j] += lanes[j + 4];
    for (int j = 0; j < 2; j++) lanes[j] += lanes[j + 2];
    return lanes[0] + lanes[1];
}

int naive_is_sum(double sum, double expected, double magnitude) {
    if (isnan(expected)) return bits_of_f64(sum) == 0x7ff8000000000000u;
    if (isinf(expected)) return sum == expected;
    return fabs(sum - expected) <= 1e-12 * magnitude;
}

// The stages up to count/2: those of either half, then the one that joins them.
static void butterflies(float *x, size_t count) {
    if (count == 1) return;
    const size_t half = count / 2;
    butterflies(x, half);
    butterflies(x + half, half);
    for (size_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
    }
}

void naive_rotate(float *x, size_t count, const uint64_t *signs, float scale) {
    for (size_t i = 0; i < count; i++)
        if (signs[i / 64] >> i % 64 & 1) x[i] = -x[i];
    butterflies(x, count);
    for (size_t i = 0; i < count; i++) {
        x[i] *= scale;
        const uint32_t nan_bits = 0x7fc00000u;
        if (isnan(x[i])) x[i] = f32_at(&nan_bits, 0);
    }
}
