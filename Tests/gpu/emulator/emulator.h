// What primitives.cuh takes from a device, for a processor: so that the kernels' own source runs where
// there is no GPU. A thread of a block is a fiber; fibers change at barriers and where the lanes of a warp
// work together, in a random order. Whatever a device would not promise is made to fail: a copy in the
// background is done at once or not before it is waited for, shared memory begins with rubbish and ends
// at a guard page, addresses that are not aligned end the program.
#ifndef GRADDB_EMULATOR_H
#define GRADDB_EMULATOR_H

#include <math.h>
#include <string.h>

#define GD_KERNEL extern "C" void
#define GD_ARGUMENTS(type) const type
#define GD_SHARED static thread_local
#define __launch_bounds__(...)

struct EmulatedIndex {
    uint32_t x, y;
};
struct EmulatedThread {
    EmulatedIndex thread, block, grid;
    uint8_t *shared;
};
extern thread_local EmulatedThread *emulated_thread;
#define threadIdx (emulated_thread->thread)
#define blockIdx (emulated_thread->block)
#define gridDim (emulated_thread->grid)

[[noreturn]] void emulator_fails(const char *why);

// ---- where lanes and warps meet (emulator.cpp) ----
void emulated_barrier();
bool emulated_barrier_any(bool is_so);
uint64_t emulated_from_lane(uint64_t v, int lane);
uint32_t emulated_ballot(bool is_so);
uint32_t emulated_match(uint32_t v);
void emulated_multiply(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool a_is_signed);
void emulated_multiply_halves(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool is_f16);
void emulated_load_matrices(uint32_t (&v)[4], const void *row);
void emulated_copy_begin(void *to, const void *from, bool is_there);
void emulated_copies_commit();
void emulated_copies_wait(int pending);

inline uint8_t *shared_memory() { return emulated_thread->shared; }

template <typename T>
inline T emulated_load(const void *from) {
    if ((uintptr_t)from % sizeof(T) != 0) emulator_fails("a load from an address that is not aligned");
    T v;
    memcpy(&v, from, sizeof v);
    return v;
}
inline Words4 load_once_16(const void *from) { return emulated_load<Words4>(from); }
inline Words2 load_once_8(const void *from) { return emulated_load<Words2>(from); }
inline uint32_t load_once_4(const void *from) { return emulated_load<uint32_t>(from); }
inline Words4 load_shared_use_16(const void *from) { return emulated_load<Words4>(from); }
inline Doubles2 load_doubles(const void *from) { return emulated_load<Doubles2>(from); }

inline int32_t dot_s8(uint32_t a, uint32_t b, int32_t sum) {
    for (int i = 0; i < 32; i += 8) sum += (int8_t)(a >> i) * (int8_t)(b >> i);
    return sum;
}
inline int32_t dot_u8_s8(uint32_t a, uint32_t b, int32_t sum) {
    for (int i = 0; i < 32; i += 8) sum += (uint8_t)(a >> i) * (int8_t)(b >> i);
    return sum;
}
inline void load_matrices(uint32_t (&v)[4], const void *row) { emulated_load_matrices(v, row); }
inline void multiply_s8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulated_multiply(c, a, b0, b1, true);
}
inline void multiply_u8_s8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulated_multiply(c, a, b0, b1, false);
}
inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulated_multiply_halves(c, a, b0, b1, true);
}
inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulated_multiply_halves(c, a, b0, b1, false);
}
inline void copy_begin(void *to, const void *from, bool is_there) { emulated_copy_begin(to, from, is_there); }
inline void copies_commit() { emulated_copies_commit(); }
template <int pending>
inline void copies_wait() {
    emulated_copies_wait(pending);
}

inline void forget_loads() {}

inline double double_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
inline uint64_t bits_of(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof v);
    return bits;
}
inline float float_of(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
inline uint32_t bits_of_single(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
inline float to_single(double v) { return (float)v; }
inline float add_singles(float a, float b) { return a + b; }
inline float half_to_float(uint32_t bits) {
    const int exponent = bits >> 10 & 31;
    const float fraction = (float)(bits & 1023);
    const float magnitude = exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                            : exponent == 0 ? ldexpf(fraction, -24)
                                            : ldexpf(fraction + 1024, exponent - 25);
    return bits >> 15 & 1 ? -magnitude : magnitude;
}
inline double add_product(double a, double b, double sum) { return fma(a, b, sum); }
inline double add_exactly(double a, double b) { return a + b; }
inline double multiply(double a, double b) { return a * b; }
inline double divide(double a, double b) { return a / b; }
inline double square_root(double a) { return sqrt(a); }
inline double to_double(int64_t v) { return (double)v; }

inline double from_lane_above(double v, int by) {
    const int lane = threadIdx.x % 32;
    return double_of(emulated_from_lane(bits_of(v), lane + by < 32 ? lane + by : lane));
}
inline int64_t from_lane_across(int64_t v, int mask) {
    return (int64_t)emulated_from_lane((uint64_t)v, (threadIdx.x % 32) ^ mask);
}
inline uint32_t from_lane(uint32_t v, int lane) { return (uint32_t)emulated_from_lane(v, lane); }
inline uint32_t lanes_where(bool is_so) { return emulated_ballot(is_so); }
inline uint32_t lanes_alike(uint32_t v) { return emulated_match(v); }
inline uint32_t add_atomically(uint32_t *to, uint32_t v) { return __atomic_fetch_add(to, v, __ATOMIC_SEQ_CST); }
inline int count_ones(uint32_t v) { return __builtin_popcount(v); }
inline int lowest_one(uint32_t v) { return __builtin_ffs((int)v) - 1; }
inline void block_barrier() { emulated_barrier(); }
inline bool any_in_block(bool is_so) { return emulated_barrier_any(is_so); }

#endif
