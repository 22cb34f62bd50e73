// The instructions that the kernels are made of: inline PTX here; Tests/gpu/emulator defines the same
// functions for a processor.
#ifndef GRADDB_PRIMITIVES_CUH
#define GRADDB_PRIMITIVES_CUH

#include "graddb_device.h"

struct Words2 {
    uint32_t word[2];
};
struct alignas(16) Words4 {
    uint32_t word[4];
};
struct alignas(16) Doubles2 {
    double value[2];
};

#ifdef GRADDB_EMULATOR
#include "emulator.h"
#else

#define GD_KERNEL extern "C" __global__ void
#define GD_ARGUMENTS(type) const __grid_constant__ type
#define GD_SHARED __shared__
#define GD_ALL_LANES 0xffffffffu

// What the launch gives of shared memory.
inline uint8_t *shared_memory() {
    extern __shared__ __align__(16) uint8_t gd_shared[];
    return gd_shared;
}

// ---- loads ----
// Of what is read once: it is not to push anything out of the first-level cache.
inline Words4 load_once_16(const void *from) {
    Words4 v;
    asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
        : "l"(from));
    return v;
}
inline Words2 load_once_8(const void *from) {
    Words2 v;
    asm("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0, %1}, [%2];"
        : "=r"(v.word[0]), "=r"(v.word[1])
        : "l"(from));
    return v;
}
inline uint32_t load_once_4(const void *from) {
    uint32_t v;
    asm("ld.global.nc.L1::no_allocate.L2::256B.u32 %0, [%1];" : "=r"(v) : "l"(from));
    return v;
}
// Of what others read, too. All of it is constant while the kernel runs.
inline Words4 load_shared_use_16(const void *from) {
    Words4 v;
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
        : "l"(from));
    return v;
}
inline Doubles2 load_doubles(const void *from) {
    Doubles2 v;
    asm("ld.global.nc.v2.f64 {%0, %1}, [%2];" : "=d"(v.value[0]), "=d"(v.value[1]) : "l"(from));
    return v;
}

// ---- four products of bytes, and their sum ----
inline int32_t dot_s8(uint32_t a, uint32_t b, int32_t sum) {
    int32_t v;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
inline int32_t dot_u8_s8(uint32_t a, uint32_t b, int32_t sum) {
    int32_t v;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}

// Four matrices of 8 rows of 16 bytes: lane l says where row l % 8 of matrix l / 8 is, and gets bytes
// 4 * (l % 4) ... of row l / 4 of each.
inline void load_matrices(uint32_t (&v)[4], const void *row) {
    const uint32_t from = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(from)
                 : "memory");
}

// ---- matrices of bytes: 16 rows, 8 columns, 32 products each ----
// Lane l has of a: rows l / 4 (0 and 2) and l / 4 + 8 (1 and 3), and of b: column l / 4, each at
// k = 4 * (l % 4) (0 and 1; 0) and 16 more (2 and 3; 1); of c: rows as of a, columns 2 * (l % 4) and
// one more. Volatile, so that none is moved to where only some lanes come by.
inline void multiply_s8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
inline void multiply_u8_s8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- matrices of 16-bit floats: 16 rows, 8 columns, 16 products each ----
// Lanes have the same bytes of a and b as above, two numbers in each word, and the same places of c. How
// sums are rounded, and in what order they are taken, nobody says.
inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- copies to shared memory that go on in the background ----
// Sixteen bytes of zeros unless `is_there`; then nothing is read.
inline void copy_begin(void *to, const void *from, bool is_there) {
    const uint32_t target = (uint32_t)__cvta_generic_to_shared(to);
    const uint32_t bytes = is_there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(target), "l"(from),
                 "r"(bytes)
                 : "memory");
}
// Those begun since the last commit are a group.
inline void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// This thread's groups are done, all but the last `pending`.
template <int pending>
inline void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// What was loaded from shared memory before is not kept in registers for later.
inline void forget_loads() { asm volatile("" ::: "memory"); }

// ---- numbers ----
inline float half_to_float(uint32_t bits) {
    float v;
    asm("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(v) : "r"(bits));
    return v;
}
// The product is exact wherever this is used, so that it is rounded once either way.
inline double add_product(double a, double b, double sum) { return __fma_rn(a, b, sum); }
inline double add_exactly(double a, double b) { return __dadd_rn(a, b); }
inline double multiply(double a, double b) { return __dmul_rn(a, b); }
inline double divide(double a, double b) { return __ddiv_rn(a, b); }
inline double square_root(double a) { return __dsqrt_rn(a); }
inline double to_double(int64_t v) { return __ll2double_rn(v); }
inline uint64_t bits_of(double v) { return (uint64_t)__double_as_longlong(v); }
inline double double_of(uint64_t bits) { return __longlong_as_double((long long)bits); }
inline float float_of(uint32_t bits) { return __uint_as_float(bits); }
inline uint32_t bits_of_single(float v) { return __float_as_uint(v); }
inline float to_single(double v) { return __double2float_rn(v); }
inline float add_singles(float a, float b) { return __fadd_rn(a, b); }

// ---- lanes of a warp, all 32 of them ----
inline double from_lane_above(double v, int by) { return __shfl_down_sync(GD_ALL_LANES, v, by); }
inline int64_t from_lane_across(int64_t v, int mask) { return __shfl_xor_sync(GD_ALL_LANES, v, mask); }
inline uint32_t from_lane(uint32_t v, int lane) { return __shfl_sync(GD_ALL_LANES, v, lane); }
inline uint32_t lanes_where(bool is_so) { return __ballot_sync(GD_ALL_LANES, is_so); }
// The lanes that have the same value.
inline uint32_t lanes_alike(uint32_t v) { return __match_any_sync(GD_ALL_LANES, v); }
inline uint32_t add_atomically(uint32_t *to, uint32_t v) { return atomicAdd(to, v); }
inline int count_ones(uint32_t v) { return __popc(v); }
inline int lowest_one(uint32_t v) { return __ffs((int)v) - 1; }
inline void block_barrier() { __syncthreads(); }
// A barrier, too.
inline bool any_in_block(bool is_so) { return __syncthreads_or(is_so) != 0; }

#endif
#endif
