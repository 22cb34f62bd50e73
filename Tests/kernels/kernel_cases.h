// Cases for the kernels: what a case is, where its operands lie, and what they hold.
//
// A check makes operands, runs one kernel of the variant under test, and compares with arithmetic
// of its own (naive.h): with what the header promises, not with another variant. Only where it
// promises no more than the same bits everywhere are those of the scalar variant looked at.
#ifndef GRADDB_KERNEL_CASES_H
#define GRADDB_KERNEL_CASES_H

#include "graddb_kernels.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Where operands lie: their last byte just before a page that cannot be read; their first byte
// just behind one; or some bytes behind one, at any alignment.
typedef enum placing { BEFORE_A_GUARD, BEHIND_A_GUARD, ANYWHERE, PLACING_COUNT } placing;

// What operands hold. Only SPECIAL has NaNs and infinities.
typedef enum values { ORDINARY, WIDE, EXTREME, CONSTANT, SPARSE, SPECIAL, VALUES_COUNT } values;

typedef struct kernel_case {
    const gk_kernels *kernels;  // the variant under test
    const char *name;           // of the kernel
    size_t dims;                // or the count of elements or bytes
    size_t rows, queries;
    size_t gap;  // bytes between one row and the next
    placing placing;
    values values;
    uint64_t number, seed;  // in the random cases: which one, and of which run
    uint64_t random;        // the state of the generator
    size_t buffers;         // how many this case has taken
} kernel_case;

// How to check each kernel.
void check_dot_int8(kernel_case *c);
void check_dot_int4(kernel_case *c);
void check_dot_bit(kernel_case *c);
void check_pair_int8(kernel_case *c);
void check_pair_int4(kernel_case *c);
void check_pair_bit(kernel_case *c);
void check_hash_and_dot_int8(kernel_case *c);
void check_hash_and_dot_int4(kernel_case *c);
void check_hash_and_dot_bit(kernel_case *c);
void check_dot_f16(kernel_case *c);
void check_dot_bf16(kernel_case *c);
void check_dot_f32(kernel_case *c);
void check_estimate_f16(kernel_case *c);
void check_estimate_bf16(kernel_case *c);
void check_hash_and_dot_f16(kernel_case *c);
void check_hash_and_dot_bf16(kernel_case *c);
void check_hash_and_dot_f32(kernel_case *c);
void check_hash_and_estimate_f16(kernel_case *c);
void check_hash_and_estimate_bf16(kernel_case *c);
void check_batch_int8(kernel_case *c);
void check_batch_int4(kernel_case *c);
void check_batch_bit(kernel_case *c);
void check_quantize_int8(kernel_case *c);
void check_quantize_int4(kernel_case *c);
void check_quantize_bit(kernel_case *c);
void check_rotate(kernel_case *c);
void check_sum_of_squares(kernel_case *c);
void check_max_magnitude(kernel_case *c);
void check_find_nonfinite(kernel_case *c);
void check_f16_to_f32(kernel_case *c);
void check_bf16_to_f32(kernel_case *c);
void check_f32_to_f16(kernel_case *c);
void check_f32_to_bf16(kernel_case *c);
void check_hash(kernel_case *c);
void check_read_bytes(kernel_case *c);
void check_multiply_int8(kernel_case *c);
void check_sketch(kernel_case *c);
void check_add_signed(kernel_case *c);
void check_add_scaled(kernel_case *c);
void check_squared_length(kernel_case *c);
void check_twin_score(kernel_case *c);
void check_twin_cosines(kernel_case *c);
void check_twin_select(kernel_case *c);

// Every half that can be read, and every number halfway between two that can be written.
void check_all_halves(kernel_case *c);

// Says what went wrong in which case, and ends the program.
__attribute__((format(printf, 2, 3), noreturn)) void fail(const kernel_case *c, const char *format,
                                                          ...);

// ---- memory between guards (guarded.c) ----

// The next buffer of this case, between marks that check_surroundings() finds again. `alignment`
// is a power of two. Its contents are what an earlier case left there.
void *guarded(kernel_case *c, size_t bytes, size_t alignment);
// Fails where something was written outside the buffers of this case.
void check_surroundings(const kernel_case *c);

// ---- random operands (operands.c) ----

uint64_t next_random(kernel_case *c);
size_t random_below(kernel_case *c, size_t bound);
void fill_bytes(kernel_case *c, void *bytes, size_t count);
// As `c->values` says. They need no alignment.
void fill_integers(kernel_case *c, int8_t *integers, size_t count, int lowest, int highest);
void fill_f32(kernel_case *c, float *floats, size_t count);
void fill_f16(kernel_case *c, uint16_t *halves, size_t count);
void fill_bf16(kernel_case *c, uint16_t *halves, size_t count);

// ---- memory of any alignment ----

static inline float f32_at(const void *floats, size_t i) {
    float value;
    memcpy(&value, (const char *)floats + i * sizeof value, sizeof value);
    return value;
}

static inline uint32_t u32_at(const void *words, size_t i) {
    uint32_t value;
    memcpy(&value, (const char *)words + i * sizeof value, sizeof value);
    return value;
}

static inline uint16_t u16_at(const void *halves, size_t i) {
    uint16_t value;
    memcpy(&value, (const char *)halves + i * sizeof value, sizeof value);
    return value;
}

static inline uint64_t bits_of_f64(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline uint32_t bits_of_f32(float value) { return u32_at(&value, 0); }

#endif
