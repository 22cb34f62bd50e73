// Several queries by the matrix units: integers here, 16-bit floats in estimate.cuh. Rows and queries come through stages in shared memory,
// which are filled while earlier ones are multiplied.
//
// A stage has `pieces` of 64 bytes of each row and, for each plane, of each query, piece after piece. The
// four vectors of 16 bytes of a piece change places by (row / 2) % 4, and in odd pieces neighbouring rows do:
// so that neither the copies nor the loads of eight rows at once meet the same banks.
#ifndef GRADDB_SCORE_MATRIX_CUH
#define GRADDB_SCORE_MATRIX_CUH

#include "rows.cuh"

// Of a block: its 8 warps are side by side in `warp_columns` columns, each with `row_tiles` times 16 rows
// and `query_tiles` times 8 queries.
template <int codec_, int warp_columns_, int row_tiles_, int query_tiles_, int pieces_, int stages_>
struct Blocking {
    static constexpr int codec = codec_, warp_columns = warp_columns_, row_tiles = row_tiles_;
    static constexpr int query_tiles = query_tiles_, pieces = pieces_, stages = stages_;
    static constexpr int rows = 8 / warp_columns * row_tiles * 16;
    static constexpr int queries = warp_columns * query_tiles * 8;
    static constexpr int planes = Planes<codec>::count;
    static constexpr int row_bytes = pieces * 64;  // in a stage
    static constexpr int stage_bytes = row_bytes * (rows + planes * queries);
    static constexpr int bytes = stage_bytes * stages;
    static_assert(bytes <= GD_SHARED_LIMIT, "more shared memory than there may be");
};

// Where a stage's next bytes are.
struct Place {
    uint32_t slab, at;
    template <int step>
    inline void advance(const gd_layer &layer) {
        at += step;
        if (at >= (slab + 1 < layer.slabs ? layer.pitch : layer.last_pitch)) at = 0, slab++;
    }
};

template <typename B>
struct MatrixScore {
    static constexpr int vectors = B::pieces * 4;  // of 16 bytes, of a row in a stage
    static constexpr int rows_at_once = GD_THREADS / vectors;
    static constexpr int row_turns = B::rows / rows_at_once;

    const gd_score_args &a;
    const uint8_t *slabs;
    uint64_t slab_bytes;
    uint8_t *shared;
    uint32_t first_row, first_query, query_count;
    uint32_t counting;  // bit t: in turn t this thread copies bytes of a row that counts

    static inline uint32_t counting_turns(const gd_score_args &a, const Rows &rows) {
        static_assert(row_turns <= 32, "a bit for each turn");
        uint32_t counting = 0;
        for (int turn = 0; turn < row_turns; turn++) {
            const uint32_t row = threadIdx.x / vectors + turn * rows_at_once;
            if (row < rows.count && is_counting(a.counting, rows.output + row)) counting |= 1u << turn;
        }
        return counting;
    }

    static inline uint8_t *row_place(uint8_t *stage, int piece, int row, int vector) {
        return stage + (piece * B::rows + (row ^ (piece & 1))) * 64 + (vector ^ (row / 2 & 3)) * 16;
    }
    static inline uint8_t *query_place(uint8_t *stage, int piece, int plane, int query, int vector) {
        return stage + B::rows * B::row_bytes +
               ((piece * B::planes + plane) * B::queries + (query ^ (piece & 1))) * 64 +
               (vector ^ (query / 2 & 3)) * 16;
    }

    // What is behind a row's end is zero; then it does not matter what integers are there of the queries. Floats
    // must be zeros, too: zero times infinity is none.
    inline void fill(uint8_t *stage, const Place &place) const {
        const uint32_t pitch = place.slab + 1 < a.layer.slabs ? a.layer.pitch : a.layer.last_pitch;
        const int vector = threadIdx.x % vectors, first = threadIdx.x / vectors;
        const uint32_t at = place.at + vector * 16;
        const bool is_there = at < pitch;
        const uint8_t *source = slabs + place.slab * slab_bytes + (uint64_t)first_row * pitch;
#pragma unroll(B::planes == 1 ? row_turns : 1)
        for (int turn = 0; turn < row_turns; turn++) {
            const int row = first + turn * rows_at_once;
            if (counting >> turn & 1)
                copy_begin(row_place(stage, vector / 4, row, vector % 4),
                           is_there ? source + (uint64_t)row * pitch + at : source, is_there);
        }
        if (!is_there && !Planes<B::codec>::is_half) return;
        uint64_t plane_bytes;
        const uint8_t *planes = query_planes<B::codec>(a, first_query, &plane_bytes);
        const uint64_t query_bytes = B::planes == 1 ? a.layer.query_stride : plane_bytes * B::planes;
        planes += (uint64_t)place.slab * a.layer.pitch + at;
#pragma unroll 1
        for (int query = first; query < (int)query_count; query += rows_at_once)
#pragma unroll 1
            for (int plane = 0; plane < B::planes; plane++)
                copy_begin(query_place(stage, vector / 4, plane, query, vector % 4),
                           is_there ? planes + query * query_bytes + plane * plane_bytes : (uint8_t *)a.packed,
                           is_there);
    }

    // Has each stage used once it is there, while others are filled. `use(stage, place of its bytes)`.
    template <typename Use>
    inline void for_each_stage(const Use &use) const {
        const uint32_t slab_steps = (a.layer.pitch + B::row_bytes - 1) / B::row_bytes;
        const uint32_t steps =
            (a.layer.slabs - 1) * slab_steps + (a.layer.last_pitch + B::row_bytes - 1) / B::row_bytes;
        Place next = {0, 0}, used_place = {0, 0};
        block_barrier();  // What is in the stages has been used.
#pragma unroll
        for (int stage = 0; stage < B::stages - 1; stage++) {
            if (next.slab < a.layer.slabs) {
                fill(shared + stage * B::stage_bytes, next);
                next.template advance<B::row_bytes>(a.layer);
            }
            copies_commit();
        }
        int filled = B::stages - 1, used = 0;
#pragma unroll 1
        for (uint32_t step = 0; step < steps; step++) {
            copies_wait<B::stages - 2>();
            block_barrier();
            if (next.slab < a.layer.slabs) {
                fill(shared + filled * B::stage_bytes, next);
                next.template advance<B::row_bytes>(a.layer);
            }
            copies_commit();
            use(shared + used * B::stage_bytes, used_place);
            used_place.template advance<B::row_bytes>(a.layer);
            filled = filled + 1 == B::stages ? 0 : filled + 1;
            used = used + 1 == B::stages ? 0 : used + 1;
        }
        copies_wait<0>();
    }

    using Sums = int32_t[B::row_tiles][B::query_tiles][4];

    inline void multiply_stage(uint8_t *stage, Sums &sums, int row, int query, int query_tiles) const {
        const int lane = threadIdx.x % 32, matrix = lane / 8, line = lane % 8;
#pragma unroll
        for (int piece = 0; piece < B::pieces; piece++) {
#pragma unroll(B::planes == 8 ? 1 : B::planes)
            for (int plane = 0; plane < B::planes; plane++) {
                // Rows are loaded again for each plane: beside the sums no registers are left to keep them in.
                if (plane > 0) forget_loads();
                uint32_t left[B::row_tiles][2][4];
#pragma unroll
                for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int r = row + m * 16 + matrix % 2 * 8 + line;
                        load_matrices(left[m][half], row_place(stage, piece, r, half * 2 + matrix / 2));
#pragma unroll
                        for (uint32_t &bytes : left[m][half]) bytes = unpacked(bytes, plane);
                    }
#pragma unroll
                for (int n = 0; n < B::query_tiles; n++) {
                    if (n >= query_tiles) break;
                    uint32_t right[4];
                    load_matrices(right, query_place(stage, piece, plane, query + n * 8 + line, matrix));
#pragma unroll
                    for (int half = 0; half < 2; half++)
#pragma unroll
                        for (int m = 0; m < B::row_tiles; m++) {
                            const uint32_t b0 = right[half * 2], b1 = right[half * 2 + 1];
                            if (B::codec == GD_INT8) multiply_s8(sums[m][n], left[m][half], b0, b1);
                            else multiply_u8_s8(sums[m][n], left[m][half], b0, b1);
                        }
                }
            }
        }
    }

    static inline uint32_t unpacked(uint32_t bytes, int plane) {
        if (B::codec == GD_INT8) return bytes;
        if (B::codec == GD_INT4) return bytes >> (4 * plane) & 0x0f0f0f0fu;
        return bytes >> plane & 0x01010101u;
    }

    // Sums of 64 bits have room beside those of 32 only where a block has fewer queries.
    template <bool is_wide>
    inline void run() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int row = warp / B::warp_columns * B::row_tiles * 16;
        const int query = warp % B::warp_columns * B::query_tiles * 8;
        const int queries_left = (int)query_count - query;
        const int query_tiles = queries_left <= 0 ? 0 : (queries_left + 7) / 8;

        Sums sums;
        int64_t wide[is_wide ? B::row_tiles : 1][B::query_tiles][4];
#pragma unroll
        for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
            for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    sums[m][n][c] = 0;
                    if (is_wide) wide[m][n][c] = 0;
                }

        const uint32_t safe_steps = Planes<B::codec>::safe_bytes / B::row_bytes;
        uint32_t safe = safe_steps;
        for_each_stage([&](uint8_t *stage, const Place &) {
            multiply_stage(stage, sums, row, query, query_tiles);
            if (is_wide && --safe == 0) {
                safe = safe_steps;
                widen(sums, wide);
            }
        });
        if (is_wide) widen(sums, wide);

        // Not kept until here: all registers are wanted before.
        const Rows rows = rows_of_tile(a, task_of_block().tile, B::rows);
        float scales[B::row_tiles * 2];
        uint32_t wanted = 0;  // bit i: the row of scales[i] counts
#pragma unroll
        for (int i = 0; i < B::row_tiles * 2; i++) {
            const uint32_t r = row + lane / 4 + i * 8;
            if (r >= rows.count || !is_counting(a.counting, rows.output + r)) continue;
            scales[i] = rows.statistics[r].scale;
            wanted |= 1u << i;
        }
#pragma unroll
        for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
            for (int odd = 0; odd < 2; odd++) {
                const uint32_t q = query + n * 8 + lane % 4 * 2 + odd;
                if (q >= query_count) continue;
                const gd_term term = ((const gd_term *)a.layer.terms)[first_query + q];
                const uint64_t first = rows.output + row + lane / 4;
                double *dots = (double *)a.dots + ((first_query + q) * a.stride + first);
#pragma unroll
                for (int i = 0; i < B::row_tiles * 2; i++) {
                    const int c = i % 2 * 2 + odd;
                    const int64_t sum = is_wide ? wide[is_wide ? i / 2 : 0][n][c] : sums[i / 2][n][c];
                    if (wanted >> i & 1)
                        dots[i * 8] = add_exactly(a.is_first ? 0.0 : dots[i * 8],
                                                  scaled(a.layer.factor, term, sum, scales[i]));
                }
            }
    }

    template <typename Wide>
    static inline void widen(Sums &sums, Wide &wide) {
#pragma unroll
        for (int m = 0; m < B::row_tiles; m++)
#pragma unroll
            for (int n = 0; n < B::query_tiles; n++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    wide[m][n][c] += sums[m][n][c];
                    sums[m][n][c] = 0;
                }
    }
};

// Scores the block's rows and queries, `B::queries` of them at a time.
template <typename B, bool is_wide>
inline void score_matrix(const gd_score_args &a, uint32_t queries_of_block, uint8_t *shared) {
    const Task task = task_of_block();
    const Rows rows = rows_of_tile(a, task.tile, B::rows);
    const uint32_t first = task.queries * queries_of_block;
    const uint32_t left = a.layer.query_count - first;
    const uint32_t count = left < queries_of_block ? left : queries_of_block;

    using Score = MatrixScore<B>;
    const uint32_t counting = Score::counting_turns(a, rows);
    if (!any_in_block(counting != 0)) return;
    for (uint32_t done = 0; done < count; done += B::queries) {
        const uint32_t queries = count - done < (uint32_t)B::queries ? count - done : B::queries;
        Score score = {a, rows.slabs, rows.slab_bytes, shared, rows.first, first + done, queries, counting};
        score.template run<is_wide>();
    }
}

// Whether 32 bits do not hold all that a row may sum up to: of more than 131,072 dims, at least.
template <int codec>
inline bool needs_wide_sums(const gd_layer &layer) {
    const uint64_t row_bytes = (uint64_t)(layer.slabs - 1) * layer.pitch + layer.last_pitch;
    return codec != GD_BIT && row_bytes > Planes<codec>::safe_bytes;
}

// Blocks of either kind that need wide sums: rare, so that they may take the rows several times.
template <int codec>
using WideBlocking = Blocking<codec, 1, 2, 4, 1, 4>;

template <int codec>
inline void score_few(const gd_score_args &a) {
    using B = Blocking<codec, 1, 2, 8, codec == GD_BIT ? 1 : 2, codec == GD_INT8 ? 4 : 3>;
    static_assert(B::rows == GD_ROWS_FEW && B::queries == GD_QUERIES_FEW, "as the host was told");
    static_assert(B::bytes == (codec == GD_INT8   ? GD_SHARED_INT8_FEW
                               : codec == GD_INT4 ? GD_SHARED_INT4_FEW
                                                  : GD_SHARED_BIT_FEW),
                  "as the host was told");
    if (!needs_wide_sums<codec>(a.layer)) {
        score_matrix<B, false>(a, GD_QUERIES_FEW, shared_memory());
        return;
    }
    if constexpr (codec != GD_BIT) {
        static_assert(WideBlocking<codec>::rows == B::rows && WideBlocking<codec>::bytes <= B::bytes, "it fits");
        score_matrix<WideBlocking<codec>, true>(a, GD_QUERIES_FEW, shared_memory());
    }
}

template <int codec>
inline void score_many(const gd_score_args &a) {
    constexpr int stages = codec == GD_INT8 ? 3 : codec == GD_INT4 ? 4 : 2;
    using B = Blocking<codec, 2, 4, 8, codec == GD_INT8 ? 2 : 1, stages>;
    static_assert(B::rows == GD_ROWS_MANY && B::queries == GD_QUERIES_MANY, "as the host was told");
    static_assert(B::bytes == (codec == GD_INT8   ? GD_SHARED_INT8_MANY
                               : codec == GD_INT4 ? GD_SHARED_INT4_MANY
                                                  : GD_SHARED_BIT_MANY),
                  "as the host was told");
    if (!needs_wide_sums<codec>(a.layer)) {
        score_matrix<B, false>(a, GD_QUERIES_MANY, shared_memory());
        return;
    }
    if constexpr (codec != GD_BIT) {
        static_assert(WideBlocking<codec>::rows == B::rows && WideBlocking<codec>::bytes <= B::bytes, "it fits");
        score_matrix<WideBlocking<codec>, true>(a, GD_QUERIES_MANY, shared_memory());
    }
}

#endif
