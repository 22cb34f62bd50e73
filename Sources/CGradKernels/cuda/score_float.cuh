// Floats, as they are defined: sixteen sums in double for each row, slab and query, each in order. A sum
// cannot be shared between threads, so eight threads have two sums of a row each (elements 2c and 2c + 1
// of every sixteen), a warp four rows, a block 32 rows, or `rows` times as many. What a row has been
// converted to serves `queries` queries. Queries come as doubles (gd_pack).
#ifndef GRADDB_SCORE_FLOAT_CUH
#define GRADDB_SCORE_FLOAT_CUH

#include "rows.cuh"

// Two elements of a row, as they are stored and as doubles.
template <int codec>
struct Pair {
    static constexpr int element_bytes = codec == GD_F32 ? 4 : 2;
    uint32_t word[codec == GD_F32 ? 2 : 1];

    inline void clear() {
        for (uint32_t &w : word) w = 0;
    }
    inline void load(const uint8_t *from) {
        if (codec == GD_F32) {
            const Words2 words = load_once_8(from);
            word[0] = words.word[0];
            word[codec == GD_F32] = words.word[1];
        } else {
            word[0] = load_once_4(from);
        }
    }
    inline double element(int e) const {
        if (codec == GD_F32) return (double)float_of(word[codec == GD_F32 ? e : 0]);
        if (codec == GD_F16) return (double)half_to_float(e ? word[0] >> 16 : word[0] & 0xffff);
        return (double)float_of(e ? word[0] & 0xffff0000u : word[0] << 16);
    }
};

// Lanes that are eight to a row: the sum of sixteen, in the first of them.
inline double folded(const double (&sum)[2]) {
    double low = add_exactly(sum[0], from_lane_above(sum[0], 4));
    double high = add_exactly(sum[1], from_lane_above(sum[1], 4));
    low = add_exactly(low, from_lane_above(low, 2));
    high = add_exactly(high, from_lane_above(high, 2));
    low = add_exactly(low, from_lane_above(low, 1));
    high = add_exactly(high, from_lane_above(high, 1));
    return add_exactly(low, high);
}

// Of one slab, `rows` rows and `queries` queries.
template <int codec, int rows, int queries, int depth>
inline void add_slab(double (&sums)[rows][queries][2], const uint8_t *const (&row)[rows],
                     const uint8_t *const (&query)[queries], uint32_t pitch) {
    constexpr uint32_t step = 16 * Pair<codec>::element_bytes;
    const uint32_t own = threadIdx.x % 8 * 2 * Pair<codec>::element_bytes;
#pragma unroll 1
    for (uint32_t at = 0; at < pitch; at += depth * step) {
        Pair<codec> pairs[depth][rows];
#pragma unroll
        for (int d = 0; d < depth; d++)
#pragma unroll
            for (int r = 0; r < rows; r++) {
                pairs[d][r].clear();
                if (at + d * step + own < pitch) pairs[d][r].load(row[r] + at + d * step);
            }
#pragma unroll
        for (int d = 0; d < depth; d++) {
            if (at + d * step + own >= pitch) break;
            double x[rows][2];
#pragma unroll
            for (int r = 0; r < rows; r++)
#pragma unroll
                for (int e = 0; e < 2; e++) x[r][e] = pairs[d][r].element(e);
#pragma unroll
            for (int q = 0; q < queries; q++) {
                const Doubles2 y =
                    load_doubles(query[q] + (uint64_t)(at + d * step) * (8 / Pair<codec>::element_bytes));
#pragma unroll
                for (int r = 0; r < rows; r++)
#pragma unroll
                    for (int e = 0; e < 2; e++) sums[r][q][e] = add_product(x[r][e], y.value[e], sums[r][q][e]);
            }
        }
    }
}

// `queries_of_block` queries of a tile. `totals`: room for 32 * rows rows and `queries_of_block` queries.
template <int codec, int rows, int queries, int depth, int queries_of_block, int tile_rows>
inline void score_floats(const gd_score_args &a, double *totals) {
    constexpr uint32_t element_bytes = Pair<codec>::element_bytes;
    const Task task = task_of_block();
    const Rows tile = rows_of_tile(a, task.tile, tile_rows);
    const uint32_t first = task.queries * queries_of_block;
    const uint32_t left = a.layer.query_count - first;
    const uint32_t count = left < queries_of_block ? left : queries_of_block;
    const uint32_t own = threadIdx.x % 8 * 2, slot = threadIdx.x / 8;
    const uint64_t query_bytes = a.layer.query_stride * 2;

    for (uint32_t done = 0; done < tile.count; done += 32 * rows) {
        uint32_t index[rows];
        bool counts[rows], any = false;
#pragma unroll
        for (int r = 0; r < rows; r++) {
            index[r] = done + slot + 32 * r;
            counts[r] = index[r] < tile.count && is_counting(a.counting, tile.output + index[r]);
            any = any || counts[r];
        }
        if (lanes_where(any) == 0) continue;
        // In place of a row that does not count, another one that does.
        uint32_t some = 0;
#pragma unroll
        for (int r = 0; r < rows; r++)
            if (counts[r]) some = index[r];
#pragma unroll
        for (int r = 0; r < rows; r++)
            if (!counts[r]) index[r] = some;

        for (uint32_t slab = 0; slab < a.layer.slabs; slab++) {
            const bool is_last = slab + 1 == a.layer.slabs;
            const uint32_t pitch = is_last ? a.layer.last_pitch : a.layer.pitch;
            const uint8_t *row[rows];
#pragma unroll
            for (int r = 0; r < rows; r++)
                row[r] = tile.slabs + slab * tile.slab_bytes + (uint64_t)(tile.first + index[r]) * pitch +
                         own * element_bytes;
            for (uint32_t q = 0; q < count; q += queries) {
                const uint8_t *query[queries];
                double sums[rows][queries][2];
#pragma unroll
                for (int i = 0; i < queries; i++) {
                    // Behind the last query, that one again.
                    const uint32_t number = first + (q + i < count ? q + i : count - 1);
                    query[i] = (const uint8_t *)a.packed + number * query_bytes +
                               ((uint64_t)slab * (a.layer.pitch / element_bytes) + own) * 8;
#pragma unroll
                    for (int r = 0; r < rows; r++) sums[r][i][0] = sums[r][i][1] = 0;
                }
                add_slab<codec, rows, queries, depth>(sums, row, query, any ? pitch : 0);
#pragma unroll
                for (int r = 0; r < rows; r++)
#pragma unroll
                    for (int i = 0; i < queries; i++) {
                        const double sum = folded(sums[r][i]);
                        if (own != 0 || !counts[r] || q + i >= count) continue;
                        double *total = totals + (slot + 32 * r) * queries_of_block + q + i;
                        *total = add_exactly(slab == 0 ? 0.0 : *total, sum);
                        if (is_last) add_to_dots(a, first + q + i, tile.output + index[r], *total);
                    }
            }
        }
    }
}

#endif
