// Dot products of two stored rows, one source for every variant: plain loops over integers, which the
// compiler vectorises for the target of the file that includes this. Sums are exact, so the width of
// a vector cannot show in them.
//
// Include it after kernels_internal.h, inside the variant's target attribute.
#ifndef GRADDB_PAIRS_H
#define GRADDB_PAIRS_H

#include "kernels_internal.h"

enum { GK_PAIR_STEP = 65536 };  // elements of which products fit 32 bits: 65,536 x 128 x 128 = 2^30

static void gk_pair_int8(const int8_t *a, const int8_t *b, size_t dims, int64_t *out) {
    const gk_s8 *left = a, *right = b;
    for (size_t begin = 0; begin < dims; begin += GK_PAIR_STEP) {
        const size_t end = dims - begin < GK_PAIR_STEP ? dims : begin + GK_PAIR_STEP;
        int32_t sum = 0;
        for (size_t i = begin; i < end; i++) sum += (int32_t)left[i] * right[i];
        *out += sum;
    }
}

// Of the levels 2a - 15 and 2b - 15: 4ab - 30(a + b) + 225.
static void gk_pair_int4(const uint8_t *a, const uint8_t *b, size_t dims, int64_t *out) {
    const size_t bytes = dims / 2;
    int64_t products = 0, codes = 0;
    for (size_t begin = 0; begin < bytes; begin += GK_PAIR_STEP) {
        const size_t end = bytes - begin < GK_PAIR_STEP ? bytes : begin + GK_PAIR_STEP;
        int32_t product = 0, code = 0;
        for (size_t j = begin; j < end; j++) {
            const int32_t low = a[j] & 15, high = a[j] >> 4;
            const int32_t other_low = b[j] & 15, other_high = b[j] >> 4;
            product += low * other_low + high * other_high;
            code += low + high + other_low + other_high;
        }
        products += product;
        codes += code;
    }
    if (dims % 2) {
        products += (a[bytes] & 15) * (b[bytes] & 15);
        codes += (a[bytes] & 15) + (b[bytes] & 15);
    }
    *out += 4 * products - 30 * codes + 225 * (int64_t)dims;
}

// Of the levels 1 and -1: the elements that agree less those that do not.
static void gk_pair_bit(const uint8_t *a, const uint8_t *b, size_t dims, int64_t *out) {
    const gk_u64 *left = (const gk_u64 *)a, *right = (const gk_u64 *)b;
    const size_t words = dims / 64;
    int64_t different = 0;
    for (size_t j = 0; j < words; j++) different += __builtin_popcountll(left[j] ^ right[j]);
    for (size_t i = words * 64; i < dims; i += 8) {
        const unsigned here = dims - i < 8 ? (1u << (dims - i)) - 1 : 255u;
        different += __builtin_popcount((unsigned)(a[i / 8] ^ b[i / 8]) & here);
    }
    *out += (int64_t)dims - 2 * different;
}

#endif
