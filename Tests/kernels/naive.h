// The arithmetic that the kernels are compared with: the definitions, as slow and plain as they
// read, in wider types. Shares nothing with the kernels.
#ifndef GRADDB_NAIVE_H
#define GRADDB_NAIVE_H

#include <stddef.h>
#include <stdint.h>

// ---- numbers of 16 bits ----

// Both read any pattern; a NaN has no payload afterwards.
double naive_value_of_f16(uint16_t half);
double naive_value_of_bf16(uint16_t half);
// The nearest half, ties to even, too large ones becoming infinite. Not for NaNs.
uint16_t naive_f16_of(double value);
uint16_t naive_bf16_of(double value);

// ---- sums ----

// The sum of `count` terms, off by less than 1e-14 of the sum of their magnitudes. Infinities and
// NaNs give what they give in any order.
double naive_sum(const double *terms, size_t count);
double naive_sum_of_magnitudes(const double *terms, size_t count);
// The same as the format defines it: term i goes to lane i mod 16, and the lanes are folded j with
// j + 8, then j + 4, j + 2, j + 1. Not for sums that are no numbers.
double naive_sum_in_lanes(const double *terms, size_t count);
// Whether `sum` equals `expected` as far as a sum in double of terms that magnitudes sum up to
// `magnitude` can; NaNs must be the one canonical NaN.
int naive_is_sum(double sum, double expected, double magnitude);

// ---- the rotation ----

// In single precision, by the recursive definition.
void naive_rotate(float *x, size_t count, const uint64_t *signs, float scale);

#endif
