// One query, integers: a warp takes up to four rows at a time, a lane sixteen bytes of each. Bounded by
// the memory that rows come from; the query stays in the first-level cache, and is loaded once for four
// rows. Nothing is shared between warps.
#ifndef GRADDB_SCORE_ONE_CUH
#define GRADDB_SCORE_ONE_CUH

#include "rows.cuh"

template <int codec>
struct OneSum {
    int32_t of_plane[codec == GD_BIT ? 8 : 1];

    inline void clear() {
        for (int32_t &sum : of_plane) sum = 0;
    }
    // Of bits, a plane's products are left where the plane's bit was: shifting sums is cheaper than
    // shifting rows, and masks and products go to different units.
    inline void add(const Words4 &row, const Words4 &query, int plane) {
#pragma unroll
        for (int w = 0; w < 4; w++) {
            if (codec == GD_INT8) {
                of_plane[0] = dot_s8(row.word[w], query.word[w], of_plane[0]);
            } else if (codec == GD_INT4) {
                const uint32_t codes = (row.word[w] >> (4 * plane)) & 0x0f0f0f0fu;
                of_plane[0] = dot_u8_s8(codes, query.word[w], of_plane[0]);
            } else {
                const uint32_t bits = row.word[w] & (0x01010101u << plane);
                of_plane[plane] = dot_u8_s8(bits, query.word[w], of_plane[plane]);
            }
        }
    }
    inline int64_t total() const {
        if (codec != GD_BIT) return of_plane[0];
        int64_t sum = 0;
#pragma unroll
        for (int plane = 0; plane < 8; plane++) sum += of_plane[plane] >> plane;
        return sum;
    }
};

// `depth` times 16 bytes of each row, 512 bytes apart.
template <int rows, int depth>
struct Piece {
    Words4 bytes[depth][rows];

    inline void load(const uint8_t *const (&row)[rows], uint32_t at) {
#pragma unroll
        for (int d = 0; d < depth; d++)
#pragma unroll
            for (int r = 0; r < rows; r++) bytes[d][r] = load_once_16(row[r] + at + d * 512);
    }

    template <int codec>
    inline void add_to(OneSum<codec> (&sums)[rows], const uint8_t *query, uint64_t plane_bytes,
                       uint32_t at) const {
#pragma unroll
        for (int d = 0; d < depth; d++)
#pragma unroll
            for (int plane = 0; plane < Planes<codec>::count; plane++) {
                const Words4 elements = load_shared_use_16(query + plane * plane_bytes + at + d * 512);
#pragma unroll
                for (int r = 0; r < rows; r++) sums[r].add(bytes[d][r], elements, plane);
            }
    }
};

// Scores the first `wanted` of `count` rows of the tile; the others are only there to fill up. Byte r of
// `places` is the number of row r: four registers less.
template <int codec, int count>
inline void score_rows_of_warp(const gd_score_args &a, const Rows &rows, uint32_t places,
                               uint32_t wanted, uint32_t query) {
    // Bits have so many sums that there is room for few bytes: the next are loaded while these are added.
    constexpr int depth = codec == GD_BIT ? 1 : codec == GD_INT4 && count == 4 ? 2 : 4;
    const uint32_t lane = threadIdx.x % 32;
    uint64_t plane_bytes;
    const uint8_t *planes = query_planes<codec>(a, query, &plane_bytes) + lane * 16;
    // Of each thread, over all slabs; here, because registers are for bytes on their way.
    GD_SHARED int64_t totals[count][GD_THREADS];
    OneSum<codec> sums[count];
#pragma unroll 1
    for (uint32_t slab = 0; slab < a.layer.slabs; slab++) {
        const uint32_t pitch = slab + 1 < a.layer.slabs ? a.layer.pitch : a.layer.last_pitch;
        const uint8_t *row[count];
#pragma unroll
        for (int r = 0; r < count; r++) {
            const uint64_t number = rows.first + (places >> (8 * r) & 31);
            row[r] = rows.slabs + slab * rows.slab_bytes + number * pitch + lane * 16;
            sums[r].clear();
        }
        const uint8_t *part = planes + (uint64_t)slab * a.layer.pitch;
        uint32_t at = 0;
        if (codec == GD_BIT) {
            Piece<count, 1> piece, next;
            if (lane * 16 < pitch) next.load(row, 0);
#pragma unroll 1
            for (; at + lane * 16 < pitch; at += 512) {
                piece = next;
                if (at + 512 + lane * 16 < pitch) next.load(row, at + 512);
                piece.add_to(sums, part, plane_bytes, at);
            }
        } else {
#pragma unroll 1
            for (; at + depth * 512 <= pitch; at += depth * 512) {
                Piece<count, depth> piece;
                piece.load(row, at);
                piece.add_to(sums, part, plane_bytes, at);
            }
#pragma unroll 1
            for (; at + lane * 16 < pitch; at += 512) {
                Piece<count, 1> piece;
                piece.load(row, at);
                piece.add_to(sums, part, plane_bytes, at);
            }
        }
#pragma unroll
        for (int r = 0; r < count; r++) {
            int64_t *total = &totals[r][threadIdx.x];
            *total = (slab == 0 ? 0 : *total) + sums[r].total();
        }
    }
    // Not kept until here, for the registers.
    const Task task = task_of_block();
    const Rows tile = rows_of_tile(a, task.tile, GD_ROWS_1);
#pragma unroll
    for (int r = 0; r < count; r++) {
        int64_t total = totals[r][threadIdx.x];
#pragma unroll
        for (int by = 16; by > 0; by /= 2) total += from_lane_across(total, by);
        const uint32_t place = places >> (8 * r) & 31;
        if (lane == (uint32_t)r && lane < wanted)
            add_to_dots(a, task.queries, tile.output + place,
                        scaled(a.layer.factor, ((const gd_term *)a.layer.terms)[task.queries], total,
                               tile.statistics[place].scale));
    }
}

template <int codec>
inline void score_one(const gd_score_args &a) {
    const Task task = task_of_block();
    const Rows rows = rows_of_tile(a, task.tile, GD_ROWS_1);
    uint32_t left = counting_bits(a.counting, rows.output, rows.count);
    // The rows that count, in even shares.
    const uint32_t counting = (uint32_t)count_ones(left);
    const uint32_t share = (counting + GD_THREADS / 32 - 1) / (GD_THREADS / 32);
    const uint32_t start = threadIdx.x / 32 * share;
    if (start >= counting) return;
    const uint32_t wanted = counting - start < share ? counting - start : share;
    for (uint32_t skipped = 0; skipped < start; skipped++) left &= left - 1;
    uint32_t places = 0;
    const uint32_t some = (uint32_t)lowest_one(left);
#pragma unroll
    for (uint32_t r = 0; r < 4; r++) {
        places |= (r < wanted ? (uint32_t)lowest_one(left) : some) << (8 * r);
        left &= left - 1;
    }
    const uint32_t query = task.queries;
    if (wanted == 1) score_rows_of_warp<codec, 1>(a, rows, places, wanted, query);
    else if (wanted == 2) score_rows_of_warp<codec, 2>(a, rows, places, wanted, query);
    else score_rows_of_warp<codec, 4>(a, rows, places, wanted, query);
}

#endif
