// What a device is told: plain structures in its memory, and the arguments of its kernels. Shared by
// the host (Swift, C) and by the kernels (cuda/*.cu, and their twins in device_twin.c). Every kernel
// takes one of the structures below, by value. Addresses are of device memory. Little-endian.
//
// All variants give the same bits as the kernels of the CPU (graddb_kernels.h).
#ifndef GRADDB_DEVICE_H
#define GRADDB_DEVICE_H

#ifdef __CUDACC_RTC__
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef signed char int8_t;
typedef int int32_t;
typedef long long int64_t;
#else
#include <stdint.h>
#endif

typedef uint64_t gd_address;

// A row of a slab starts at a multiple of this, and what is behind its last byte, up to the next
// row, is zero.
#define GD_ROW_ALIGNMENT 16
// A slab of an item starts at a multiple of this.
#define GD_SLAB_ALIGNMENT 256
// An item's rows start, in the output, at a multiple of this.
#define GD_FIRST_ALIGNMENT 32

// Numbers as in block headers (format-spec/codecs.md).
typedef enum gd_codec { GD_F32 = 1, GD_F16 = 2, GD_BF16 = 3, GD_INT8 = 4, GD_INT4 = 5, GD_BIT = 6 } gd_codec;

// As block headers' statistics have it.
typedef struct gd_statistics {
    float scale;
    float residual_norm;
    double squared_norm;
} gd_statistics;

// The rows of one row group in one encoding: slab after slab, each slab row after row.
typedef struct gd_item {
    gd_address slabs;
    gd_address statistics;  // gd_statistics for each row
    uint32_t rows;
    uint32_t first;  // where its first row lies in the output
} gd_item;

// Some rows of an item: what a thread block takes at a time.
typedef struct gd_tile {
    uint32_t item;
    uint32_t row;  // the first of them; they end with the item, or after tile_rows
} gd_tile;

// How a sum becomes a dot product: double(factor * sum + addend) * (double(row's scale) * scale) of
// integers, the sum itself of floats.
typedef struct gd_term {
    int64_t addend;
    double scale;
} gd_term;

// One layer and its queries.
typedef struct gd_layer {
    uint32_t codec;
    uint32_t slabs;
    uint32_t pitch;       // bytes from row to row in all slabs but the last
    uint32_t last_pitch;  // in the last one
    int64_t factor;
    // Elements of queries, one query after the other, `query_stride` bytes apart: int8 for integer
    // codecs (from -32 to 31 for bit), f32 for floats, in natural order. The elements of slab s start at element
    // s * (elements in `pitch` bytes); behind the last one there are zeros, to the end of last_pitch.
    gd_address queries;
    uint64_t query_stride;
    gd_address terms;  // gd_term for each query
    uint32_t query_count;
    uint32_t zero;
} gd_layer;

// Bytes from slab to slab of an item.
static inline uint64_t gd_slab_bytes(uint32_t rows, uint32_t pitch) {
    return ((uint64_t)rows * pitch + GD_SLAB_ALIGNMENT - 1) / GD_SLAB_ALIGNMENT * GD_SLAB_ALIGNMENT;
}

// ---- gd_pack: queries in the form that the kernels of a codec want, once per scan and layer ----
// Elements of a query: all that a row has room for, up to the end of last_pitch.
// Grid: (ceil(elements of a query / GD_PACK_ELEMENTS), query_count).
#define GD_PACK_ELEMENTS 1024

typedef struct gd_pack_args {
    gd_layer layer;  // `queries` as above
    gd_address packed;
} gd_pack_args;

// Bytes of a plane of a packed query of int4 or bit: plane p has, for byte b of a row, the element that
// is multiplied with the p-th element of the byte (2 * b + p, or 8 * b + p). f16 and bf16: see gd_halves.
static inline uint64_t gd_plane_bytes(uint32_t codec, uint64_t query_stride) {
    const uint64_t planes =
        codec == GD_BIT ? 8 : codec == GD_INT4 || codec == GD_F16 || codec == GD_BF16 ? 2 : 1;
    return (query_stride + 16 * planes - 1) / (16 * planes) * 16;
}

// Bytes of the packed form of a layer's queries: two or eight planes of integers, or doubles for floats;
// 0 for int8, whose kernels take queries as they are, so that gd_pack is not to be called.
static inline uint64_t gd_packed_bytes(uint32_t codec, uint64_t query_stride, uint32_t query_count) {
    if (codec == GD_INT8) return 0;
    if (codec == GD_BIT) return 8 * gd_plane_bytes(codec, query_stride) * query_count;
    if (codec == GD_INT4) return 2 * gd_plane_bytes(codec, query_stride) * query_count;
    return 2 * query_stride * query_count;
}

// ---- gd_score_CODEC_1, _few, _many: the dot products of rows and queries ----
// For each row r of each tile whose bit in `counting` is set, and each query q:
//   dots[q * stride + item.first + r] = (is_first ? 0.0 : the same) + the layer's dot product.
// Rows whose bit is not set may be written to or not. Grid: (tile_count, ceil(query_count /
// queries per block)).
//
//   kernel   queries per block   rows of a tile
//   _1       1                   GD_ROWS_1
//   _few     GD_QUERIES_FEW      GD_ROWS_FEW
//   _many    GD_QUERIES_MANY     GD_ROWS_MANY
#define GD_QUERIES_FEW 64
#define GD_QUERIES_MANY 128
#define GD_ROWS_1 32
#define GD_ROWS_FEW 256
#define GD_ROWS_MANY 256

// Bytes of dynamic shared memory that a launch has to give (gd_shared_bytes). Above 48 KiB a kernel must
// be allowed to have them first (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES). A device that has not
// as many (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) scores by the _1 kernels alone.
#define GD_SHARED_LIMIT 163840
#define GD_SHARED_INT8_FEW (4 * 128 * (GD_ROWS_FEW + GD_QUERIES_FEW))
#define GD_SHARED_INT4_FEW (3 * 128 * (GD_ROWS_FEW + 2 * GD_QUERIES_FEW))
#define GD_SHARED_BIT_FEW (3 * 64 * (GD_ROWS_FEW + 8 * GD_QUERIES_FEW))
#define GD_SHARED_INT8_MANY (3 * 128 * (GD_ROWS_MANY + GD_QUERIES_MANY))
#define GD_SHARED_INT4_MANY (4 * 64 * (GD_ROWS_MANY + 2 * GD_QUERIES_MANY))
#define GD_SHARED_BIT_MANY (2 * 64 * (GD_ROWS_MANY + 8 * GD_QUERIES_MANY))
#define GD_SHARED_ESTIMATE (3 * 128 * (GD_ROWS_FEW + 2 * GD_QUERIES_FEW))
#define GD_SHARED_FLOAT_FEW (64 * GD_QUERIES_FEW * 8)
#define GD_SHARED_FLOAT_MANY (64 * GD_QUERIES_MANY * 8)

typedef struct gd_score_args {
    gd_layer layer;
    gd_address packed;  // what gd_pack made; 0 where gd_packed_bytes is
    gd_address items;
    gd_address tiles;
    gd_address counting;  // a bit for each row of the output, in words of 32; 0: all rows count
    gd_address dots;
    uint64_t stride;
    uint32_t is_first;
    uint32_t tile_count;
} gd_score_args;

// ---- gd_halves, gd_estimate_CODEC: f16 and bf16, between which two numbers a dot product lies ----
// A query's term. With s = 1 / unit, a power of two, and y = s * q: |y| <= 2^15 for f16, 1 for bf16. A sum that
// the matrix units have made of s * x . q, times unit, is at most factor * |x| + least off the layer's dot
// product as _1, _few and _many define it (docs/gpu-kernels.md has the proof).
typedef struct gd_estimate_term {
    double unit;
    double factor;
    double least;
} gd_estimate_term;

// gd_halves: of each element y of a query two numbers of the codec, the nearest to y and the nearest to what is
// left: planes 0 and 1 of gd_plane_bytes each, query after query. Grid: as of gd_pack.
typedef struct gd_halves_args {
    gd_layer layer;
    gd_address halves;
    gd_address terms;  // gd_estimate_term for each query
} gd_halves_args;

static inline uint64_t gd_halves_bytes(uint32_t codec, uint64_t query_stride, uint32_t query_count) {
    return 2 * gd_plane_bytes(codec, query_stride) * query_count;
}

// As _few, with the same tiles and queries per block, but `score.packed` is what gd_halves made and there are
// two results, of which both take part in the sum: low <= the layer's dot product <= high, by what the rows'
// squared norms say, where the sum is no finite number -infinity and infinity.
//   score.dots[...] = (is_first ? 0.0 : the same) + low, highs[...] = (is_first ? 0.0 : the same) + high.
// Both are rounded as dot products are, so that they stay below and above the sums of these.
typedef struct gd_estimate_args {
    gd_score_args score;
    gd_address highs;
    gd_address terms;  // gd_estimate_term for each query
} gd_estimate_args;

// ---- gd_norms: squared norms ----
// norms[item.first + r] = (is_first ? 0.0 : the same) + the statistics' squared norm. Grid: item_count.
typedef struct gd_norms_args {
    gd_address items;
    gd_address norms;
    uint32_t is_first;
    uint32_t item_count;
} gd_norms_args;

// ---- gd_cosines: dot products become cosines, in place ----
// dots[q * stride + r] = norm(r) == 0 ? 0 : dots[...] / (norm(r) * query_norms[q]) with norm(r) the
// square root of norms[r], for r < rows. Grid: (ceil(rows / GD_THREADS), query_count).
typedef struct gd_cosines_args {
    gd_address dots;
    uint64_t stride;
    gd_address norms;
    gd_address query_norms;
    uint32_t rows;
    uint32_t query_count;
} gd_cosines_args;

// ---- selecting: rows that may be among the best ----
// Launch gd_select_begin once before a scan's first selection, and for each output gd_select_count and
// gd_select_narrow for pass = 0 ... GD_SELECT_PASSES - 1, and gd_select_take. For each query and end:
//   floors[2 * q]     a score that at least `top` rows of all outputs so far reach (from below), or
//                     -infinity;
//   floors[2 * q + 1] a score that at least `bottom` rows do not exceed, or +infinity.
// count and narrow raise the floors by what this output has; take appends a gd_candidate for every
// row that counts and reaches the floor of either end (once, if both). So the union of the candidates
// of all outputs holds the best rows, whichever order decides between equal scores. -0 equals 0.
// Where scores are only known to lie between `scores` and `highs`, floors are what the worse ends give, and the
// better end is to reach them: the candidates are then more than are wanted, and hold them as well.
// Where there are more than `capacity`, `found` says how many there were, and only so many are there.
#define GD_SELECT_BITS 11
#define GD_SELECT_BINS 2048
#define GD_SELECT_PASSES 3

typedef struct gd_candidate {
    uint32_t query;
    uint32_t row;  // of the output
    double score;  // as it is in `scores`
} gd_candidate;

typedef struct gd_select_args {
    gd_address scores;  // scores[q * stride + r]
    uint64_t stride;
    gd_address counting;  // as for gd_score
    gd_address floors;
    // Room for passes: GD_SELECT_STATE_BYTES for each query.
    gd_address state;
    gd_address candidates;
    gd_address found;  // u32, set to 0 by gd_select_begin and by whoever has read it
    gd_address highs;  // 0: `scores` are exact
    uint32_t capacity;
    uint32_t rows;
    uint32_t query_count;
    uint32_t top;
    uint32_t bottom;
    uint32_t pass;
} gd_select_args;

// For each end: a histogram, and the prefix of the key that has been decided, with how many rows are
// still wanted of those that have it. 2 * (4 * GD_SELECT_BINS + 16), as a number, which Swift reads.
#define GD_SELECT_STATE_BYTES 16416
// Grids: begin and narrow (query_count); count and take (ceil(rows / GD_SELECT_ROWS), query_count).
#define GD_SELECT_ROWS 4096

// ---- gd_rescore_CODEC: f16 and bf16, the exact scores of candidates ----
// For each candidate that is there, score = (is_first ? 0.0 : the same) + the layer's dot product of its row and
// query; then, if `norms` is not 0, the cosine as of gd_cosines. `packed` is what gd_pack made; items are in the
// order of `first`, and all rows of candidates are theirs. Grid: any.
typedef struct gd_rescore_args {
    gd_layer layer;
    gd_address packed;
    gd_address items;
    gd_address candidates;
    gd_address found;
    gd_address norms;
    gd_address query_norms;
    uint32_t item_count;
    uint32_t capacity;
    uint32_t is_first;
    uint32_t zero;
} gd_rescore_args;

// Threads of every block of every kernel.
#define GD_THREADS 256

// ---- limits that benchmarks compare with ----
// gd_read: reads `bytes` once, as fast as it goes; `result` takes 8 bytes for each block, so that
// nothing is optimised away. gd_copy: copies them. Grid: any.
typedef struct gd_stream_args {
    gd_address source;
    gd_address target;
    uint64_t bytes;
} gd_stream_args;
// gd_multiply_int8: `rounds` times as many int8 products as fit, added up in registers by the matrix
// units; `result` takes 4 bytes for each thread. One block does GD_MULTIPLY_PRODUCTS products a round.
typedef struct gd_multiply_args {
    gd_address result;
    uint64_t rounds;
} gd_multiply_args;
// 8 warps, 8 accumulators each, of 16 x 8 x 32 products.
#define GD_MULTIPLY_PRODUCTS (8ull * 8 * 16 * 8 * 32)

#ifndef __CUDACC__
#include <stddef.h>
#include <string.h>

// What a launch of the kernel of that name needs.
static inline uint32_t gd_shared_bytes(const char *kernel) {
    static const struct {
        const char *name;
        uint32_t bytes;
    } needs[] = {
        {"gd_score_int8_few", GD_SHARED_INT8_FEW}, {"gd_score_int8_many", GD_SHARED_INT8_MANY},
        {"gd_score_int4_few", GD_SHARED_INT4_FEW}, {"gd_score_int4_many", GD_SHARED_INT4_MANY},
        {"gd_score_bit_few", GD_SHARED_BIT_FEW},   {"gd_score_bit_many", GD_SHARED_BIT_MANY},
        {"gd_score_f32_few", GD_SHARED_FLOAT_FEW}, {"gd_score_f32_many", GD_SHARED_FLOAT_MANY},
        {"gd_score_f16_few", GD_SHARED_FLOAT_FEW}, {"gd_score_f16_many", GD_SHARED_FLOAT_MANY},
        {"gd_score_bf16_few", GD_SHARED_FLOAT_FEW}, {"gd_score_bf16_many", GD_SHARED_FLOAT_MANY},
        {"gd_estimate_f16", GD_SHARED_ESTIMATE},   {"gd_estimate_bf16", GD_SHARED_ESTIMATE},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (strcmp(kernel, needs[i].name) == 0) return needs[i].bytes;
    return 0;
}

// ---- the kernels (cuda/*.cu), compiled ----
// The text that a driver compiles for its device (device_ptx.c), ended by a zero.
#ifdef __cplusplus
extern "C" {
#endif
const char *gd_device_ptx(void);
#ifdef __cplusplus
}
#endif
#endif

// ---- the twins (device_twin.c): the same, in host memory ----
#ifndef __CUDACC__
#ifdef __cplusplus
extern "C" {
#endif
// Why a twin has done nothing.
#define GD_TWIN_UNKNOWN 1  // there is no kernel of that name
#define GD_TWIN_NO_MEMORY 2
#define GD_TWIN_MISUSED 3  // the arguments are not as they are described above
// Does what the kernel of that name does, for a whole grid, by the calling thread. Returns 0, or one of
// the above. What a grid does not cover is not done. gd_pack and gd_halves do nothing: twins of
// scores take `layer.queries`, not what was packed.
int gd_twin_launch(const char *kernel, uint32_t grid_x, uint32_t grid_y, const void *arguments);
#ifdef __cplusplus
}
#endif
#endif
#endif
