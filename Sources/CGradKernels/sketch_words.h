// The random words of projectors (format-spec/projectors.md), and the sketch and the dense
// projection as they are defined: what the vector variants must equal bit for bit.
#ifndef GRADDB_SKETCH_WORDS_H
#define GRADDB_SKETCH_WORDS_H

#include "kernels_internal.h"

#pragma STDC FP_CONTRACT OFF

#define GK_GAMMA 0x9e3779b97f4a7c15u
#define GK_UNIT 64  // elements that share a word

GK_INLINE uint64_t gk_mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// What gk_mix takes for word `j` of stream `key`; the next word's is GK_GAMMA more.
GK_INLINE uint64_t gk_counter(uint64_t key, uint64_t j) { return key + (j + 1) * GK_GAMMA; }

// How far sheet `sheet` is rotated, in units.
GK_INLINE uint64_t gk_rotation(uint64_t place_key, uint64_t sheet, uint64_t units) {
    return ((gk_mix(gk_counter(place_key, sheet)) >> 32) * units) >> 32;
}

// Element i of a unit goes to accumulator i ^ gk_exchange(word).
GK_INLINE uint64_t gk_exchange(uint64_t word) { return (word * GK_GAMMA) >> 58; }

GK_INLINE float gk_signed(float value, uint64_t negated) {
    return gk_f32_of_bits(gk_bits_of_f32(value) ^ (uint32_t)(negated & 1) << 31);
}

#endif
