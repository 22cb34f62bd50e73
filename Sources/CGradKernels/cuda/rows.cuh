// Which rows a thread block has, where they lie, which of them count, and what becomes of their sums.
#ifndef GRADDB_ROWS_CUH
#define GRADDB_ROWS_CUH

#include "primitives.cuh"

// The rows of a tile, and their item's place.
struct Rows {
    const uint8_t *slabs;
    const gd_statistics *statistics;
    uint64_t slab_bytes;  // from slab to slab
    uint32_t first;       // of the tile, in the item
    uint32_t count;
    uint64_t output;  // of the tile's first row
};

// A block's tile, and which of the groups of queries it takes. Blocks that run at the same time have the
// same rows, so that these come from the second-level cache to all of them but the first.
struct Task {
    uint32_t tile, queries;
};
inline Task task_of_block() {
    const uint64_t number = (uint64_t)blockIdx.y * gridDim.x + blockIdx.x;
    return {(uint32_t)(number / gridDim.y), (uint32_t)(number % gridDim.y)};
}

inline Rows rows_of_tile(const gd_score_args &a, uint32_t number, uint32_t tile_rows) {
    const gd_tile tile = ((const gd_tile *)a.tiles)[number];
    const gd_item item = ((const gd_item *)a.items)[tile.item];
    const uint32_t left = item.rows - tile.row;
    Rows rows;
    rows.slabs = (const uint8_t *)item.slabs;
    rows.statistics = (const gd_statistics *)item.statistics + tile.row;
    rows.slab_bytes = gd_slab_bytes(item.rows, a.layer.pitch);
    rows.first = tile.row;
    rows.count = left < tile_rows ? left : tile_rows;
    rows.output = (uint64_t)item.first + tile.row;
    return rows;
}

inline bool is_counting(gd_address counting, uint64_t row) {
    return counting == 0 || (((const uint32_t *)counting)[row / 32] >> (row % 32) & 1);
}

// Bit r: whether row `first` + r counts, for r < count <= 32.
inline uint32_t counting_bits(gd_address counting, uint64_t first, uint32_t count) {
    const uint32_t all = count < 32 ? (1u << count) - 1 : 0xffffffffu;
    if (counting == 0 || count == 0) return all;
    const uint32_t *words = (const uint32_t *)counting + first / 32;
    const uint32_t shift = first % 32;
    uint32_t bits = words[0] >> shift;
    if (shift + count > 32) bits |= words[1] << (32 - shift);
    return bits & all;
}

// Adds a layer's part to the dot product of a row of the output and a query.
inline void add_to_dots(const gd_score_args &a, uint32_t query, uint64_t row, double part) {
    double *dot = (double *)a.dots + (query * a.stride + row);
    *dot = add_exactly(a.is_first ? 0.0 : *dot, part);
}

// A sum of integers, as a part of a dot product.
inline double scaled(int64_t factor, const gd_term &term, int64_t sum, float row_scale) {
    return multiply(to_double(factor * sum + term.addend), multiply((double)row_scale, term.scale));
}

// Elements of a row byte: as many planes does the packed form of a query have. Plane p has, for each
// byte of a row, the query's element that is multiplied with the p-th of the byte's elements. Of 16-bit floats
// there are two: numbers of the row's kind whose sums are nearly the elements (gd_halves).
template <int codec>
struct Planes {
    static constexpr bool is_half = codec == GD_F16 || codec == GD_BF16;
    static constexpr int count = codec == GD_BIT ? 8 : codec == GD_INT4 || is_half ? 2 : 1;
    static constexpr int bits = 8 / count;
    // Bytes of a row whose products are sure to fit 32 bits: -128 ... 127 by -127 ... 127, 0 ... 15 by the same,
    // 0 and 1 by -32 ... 31; bits always do, as a layer has less than 2^24 of them.
    static constexpr uint32_t safe_bytes = codec == GD_BIT ? 1u << 22 : codec == GD_INT4 ? 1u << 19 : 1u << 17;
};

// A query as it is, or in planes.
template <int codec>
inline const uint8_t *query_planes(const gd_score_args &a, uint32_t query, uint64_t *plane_bytes) {
    *plane_bytes = gd_plane_bytes(codec, a.layer.query_stride);
    if (Planes<codec>::count == 1)
        return (const uint8_t *)a.layer.queries + query * a.layer.query_stride;
    return (const uint8_t *)a.packed + query * *plane_bytes * Planes<codec>::count;
}

#endif
