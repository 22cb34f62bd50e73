// Batches of queries in vectors: every lane of a vector is a query.
//
// The rows' elements are expanded to what the multiplication takes, a block of rows and dims at a
// time, in a buffer that the L1 cache holds, and are read from there by all queries. A register
// tile is some rows by some vectors of queries: per step (four bytes of each expanded row and
// query) it loads its queries, spreads the step of each row over all lanes, and multiplies each of
// them with each of the queries. Nothing is summed across lanes.
//
// A batch, or the end of one, that fills too little of a vector is scored dims side by side
// (batch_rest.h).
//
// The including file defines, for its target:
//   GK_ELEMENT          the type of an expanded element of a query: int8_t or int16_t
//   GK_WIDTH            32-bit sums in a vector
//   GK_TILE_VECTORS     vectors of queries in a register tile
//   GK_BIAS(codec)      what expanding adds to every element of a row
//   gk_vector           a vector, a clang type
//   gk_spread(step)     the step at `step` in all lanes
//   gk_multiply(sums, row, queries)     sums + the products of the lanes' steps
//   gk_expand(codec, elements, count)   a vector of a row's elements, from element 0 of
//                       `elements`; `count` of them may be read (more of them than a vector has,
//                       or fewer); the others are anything
//   GK_EXPANDS_BITS     if it expands bits, rather than scoring them in another way
//   gk_add_sums(out, sums, count)       adds the first `count` sums (at most a vector) to out
#include "batch_internal.h"

#define GK_VECTOR_BYTES sizeof(gk_vector)
#define GK_VECTOR_ELEMENTS (GK_VECTOR_BYTES / sizeof(GK_ELEMENT))

#define GK_STEP_BYTES 4
#define GK_STEP_DIMS (GK_STEP_BYTES / sizeof(GK_ELEMENT))

#define GK_TILE_ROWS 6
#define GK_TILE_SUMS (GK_TILE_ROWS * GK_TILE_VECTORS)

// A block of expanded rows takes 16 KiB, the sums of a block 32 KiB (where one block of dims is not
// all), the queries that meet in a register tile 16 KiB or less.
#define GK_BLOCK_STEPS 64
#define GK_BLOCK_BYTES (GK_BLOCK_STEPS * GK_STEP_BYTES)
#define GK_BLOCK_DIMS (GK_BLOCK_STEPS * GK_STEP_DIMS)
#define GK_BLOCK_ROWS 64
#define GK_BLOCK_VECTORS (128 / GK_WIDTH)

// ---- packed queries ----

// Packed are, one behind the other: a 32-bit sum for each query, from which its dot products start
// (it takes back the bias of the rows); the vectors of queries in groups of those that meet in a
// register tile, for each step the group's vectors; the rest (see batch_rest.h).
typedef struct gk_layout {
    size_t vectors, steps;
    size_t rest;  // queries beyond those in vectors
    size_t groups_at, rest_at, bytes;
} gk_layout;

GK_INLINE size_t gk_rest_limit(size_t dims);

static gk_layout gk_layout_of(size_t dims, size_t query_count) {
    const size_t limit = gk_rest_limit(dims);
    gk_layout layout = {.rest = query_count <= limit ? query_count : query_count % GK_WIDTH};
    if (layout.rest > limit) layout.rest = 0;  // better a vector that is not full
    layout.vectors = (query_count - layout.rest + GK_WIDTH - 1) / GK_WIDTH;
    layout.steps = (dims + GK_STEP_DIMS - 1) / GK_STEP_DIMS;
    const size_t starts = layout.vectors * GK_WIDTH + layout.rest;
    // Starts are read four at a time, or a vector.
    layout.groups_at = gk_round_up((starts + 3) * sizeof(int32_t), 64);
    layout.rest_at = layout.groups_at + layout.vectors * layout.steps * GK_VECTOR_BYTES;
    layout.rest_at = gk_round_up(layout.rest_at, 64);
    const size_t rest_dims = gk_round_up(dims, GK_VECTOR_ELEMENTS);
    layout.bytes = layout.rest_at + layout.rest * rest_dims * sizeof(GK_ELEMENT);
    return layout;
}

// The vectors of a group, when so many are left: the last two groups are of about one size.
GK_INLINE size_t gk_group_vectors(size_t left) {
    if (left <= GK_TILE_VECTORS) return left;
    return left < 2 * GK_TILE_VECTORS ? (left + 1) / 2 : GK_TILE_VECTORS;
}

static size_t gk_packed_bytes(size_t dims, size_t query_count) {
    return gk_layout_of(dims, query_count).bytes;
}

// Puts a query, whose elements are `side` side by side, at `packed`, and the next `side` of its
// elements `distance` bytes further.
GK_INLINE void gk_pack_query(gk_codec codec, const int8_t *query, size_t dims, char *packed,
                             size_t side, size_t distance) {
    for (size_t i = 0; i < dims; i += side)
        for (size_t j = 0; j < side && i + j < dims; j++) {
            const GK_ELEMENT element = (GK_ELEMENT)gk_query_element(codec, query[i + j]);
            memcpy(packed + i / side * distance + j * sizeof element, &element, sizeof element);
        }
}

GK_INLINE void gk_pack(gk_codec codec, const int8_t *queries, size_t stride, size_t query_count,
                       size_t dims, void *packed) {
    const gk_layout layout = gk_layout_of(dims, query_count);
    int32_t *starts = packed;
    memset(packed, 0, layout.bytes);
    for (size_t q = 0; q < query_count; q++) {
        int32_t sum = 0;
        for (size_t i = 0; i < dims; i++) sum += gk_query_element(codec, queries[q * stride + i]);
        starts[q] = -GK_BIAS(codec) * sum;
    }
    char *group = (char *)packed + layout.groups_at;
    size_t q = 0;
    for (size_t left = layout.vectors; left > 0;) {
        const size_t vectors = gk_group_vectors(left), distance = vectors * GK_VECTOR_BYTES;
        for (size_t j = 0; j < vectors * GK_WIDTH && q < query_count; j++, q++)
            gk_pack_query(codec, queries + q * stride, dims, group + j * GK_STEP_BYTES,
                          GK_STEP_DIMS, distance);
        group += layout.steps * distance;
        left -= vectors;
    }
    char *rest = (char *)packed + layout.rest_at;
    for (size_t j = 0; j < layout.rest; j++, q++)
        gk_pack_query(codec, queries + q * stride, dims, rest + j * GK_VECTOR_BYTES,
                      GK_VECTOR_ELEMENTS, layout.rest * GK_VECTOR_BYTES);
}

// ---- a register tile ----

// A block of rows and dims, and a group of queries.
typedef struct gk_block {
    const char *elements;  // of the rows, GK_BLOCK_BYTES from row to row
    size_t row_count, steps;
    const char *group;      // the group's vectors at the first of the steps
    const int32_t *starts;  // of the group's queries; NULL where earlier steps left sums
    gk_vector *sums;        // in between, tile by tile
    int64_t *out;           // of the first row and query; NULL where more steps follow
    size_t out_stride, query_count;
} gk_block;

GK_INLINE void gk_start_tile(gk_vector *tile, size_t rows, size_t vectors, const gk_block *block,
                             size_t row) {
    const gk_vector *sums = block->sums + row * vectors;
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < vectors; v++)
            if (block->starts)
                memcpy(&tile[r * vectors + v], block->starts + v * GK_WIDTH, GK_VECTOR_BYTES);
            else
                tile[r * vectors + v] = sums[r * vectors + v];
}

GK_INLINE void gk_finish_tile(const gk_vector *tile, size_t rows, size_t vectors,
                              const gk_block *block, size_t row) {
    gk_vector *sums = block->sums + row * vectors;
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < vectors; v++)
            if (block->out)
                gk_add_sums(block->out + (row + r) * block->out_stride + v * GK_WIDTH,
                            tile[r * vectors + v], block->query_count - v * GK_WIDTH);
            else
                sums[r * vectors + v] = tile[r * vectors + v];
}

GK_INLINE void gk_score_tile(size_t rows, size_t vectors, const gk_block *block, size_t row) {
    const char *elements = block->elements + row * GK_BLOCK_BYTES;
    const char *group = block->group;
    gk_vector tile[GK_TILE_SUMS];
    gk_start_tile(tile, rows, vectors, block, row);
    for (size_t s = 0; s < block->steps; s++) {
        gk_vector queries[GK_TILE_VECTORS];
        memcpy(queries, group + s * vectors * GK_VECTOR_BYTES, vectors * GK_VECTOR_BYTES);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < rows; r++) {
            const gk_vector step = gk_spread(elements + r * GK_BLOCK_BYTES + s * GK_STEP_BYTES);
#pragma clang loop unroll(full)
            for (size_t v = 0; v < vectors; v++)
                tile[r * vectors + v] = gk_multiply(tile[r * vectors + v], step, queries[v]);
        }
    }
    gk_finish_tile(tile, rows, vectors, block, row);
}

// ---- blocks ----

GK_INLINE void gk_score_block(size_t vectors, const gk_block *block) {
    size_t r = 0;
    for (; r + GK_TILE_ROWS <= block->row_count; r += GK_TILE_ROWS)
        gk_score_tile(GK_TILE_ROWS, vectors, block, r);
    const size_t left = block->row_count - r;
    if (left & 4) gk_score_tile(4, vectors, block, r);
    if (left & 2) gk_score_tile(2, vectors, block, r + (left & 4));
    if (left & 1) gk_score_tile(1, vectors, block, r + (left & 6));
}

static void gk_score_block_of(size_t vectors, const gk_block *block) {
    switch (vectors) {
    case 1:
        gk_score_block(1, block);
        break;
    case 2:
        gk_score_block(2, block);
        break;
#if GK_TILE_VECTORS > 2
    case 3:
        gk_score_block(3, block);
        break;
    case 4:
        gk_score_block(4, block);
        break;
#endif
    }
}

// `rows` are at the first of `dims` elements.
GK_INLINE void gk_expand_block(gk_codec codec, const char *rows, size_t row_count, size_t stride,
                               size_t dims, char *expanded) {
    for (size_t r = 0; r < row_count; r++)
        for (size_t i = 0; i < dims; i += GK_VECTOR_ELEMENTS) {
            const char *elements = rows + r * stride + gk_codec_bytes(codec, i);
            const gk_vector v = gk_expand(codec, elements, dims - i);
            memcpy(expanded + r * GK_BLOCK_BYTES + i * sizeof(GK_ELEMENT), &v, sizeof v);
        }
}

// Up to GK_BLOCK_ROWS rows against queries in up to GK_BLOCK_VECTORS vectors.
typedef struct gk_pass {
    const char *rows;
    size_t row_count, stride, dims;
    const int32_t *starts;
    const char *groups;
    size_t vectors;       // of this pass
    size_t vectors_left;  // in all, including those of later passes
    int64_t *out;
    size_t out_stride, query_count;
} gk_pass;

GK_INLINE void gk_score_pass(gk_codec codec, const gk_pass *pass) {
    _Alignas(64) char expanded[GK_BLOCK_ROWS * GK_BLOCK_BYTES];
    gk_vector sums[GK_BLOCK_ROWS * GK_BLOCK_VECTORS];
    const size_t steps = (pass->dims + GK_STEP_DIMS - 1) / GK_STEP_DIMS;
    for (size_t i = 0; i < pass->dims; i += GK_BLOCK_DIMS) {
        const size_t dims = gk_smaller(pass->dims - i, GK_BLOCK_DIMS);
        const int is_first = i == 0, is_last = i + dims == pass->dims;
        gk_expand_block(codec, pass->rows + gk_codec_bytes(codec, i), pass->row_count, pass->stride,
                        dims, expanded);
        size_t vectors = 0;
        for (size_t v = 0; v < pass->vectors; v += vectors) {
            vectors = gk_group_vectors(pass->vectors_left - v);
            const char *group = pass->groups + v * steps * GK_VECTOR_BYTES;
            const gk_block block = {
                .elements = expanded,
                .row_count = pass->row_count,
                .steps = (dims + GK_STEP_DIMS - 1) / GK_STEP_DIMS,
                .group = group + i / GK_STEP_DIMS * vectors * GK_VECTOR_BYTES,
                .starts = is_first ? pass->starts + v * GK_WIDTH : NULL,
                .sums = sums + v * GK_BLOCK_ROWS,
                .out = is_last ? pass->out + v * GK_WIDTH : NULL,
                .out_stride = pass->out_stride,
                .query_count = pass->query_count - v * GK_WIDTH,
            };
            gk_score_block_of(vectors, &block);
        }
    }
}

// The vectors of a pass, when so many are left.
GK_INLINE size_t gk_pass_vectors(size_t left) {
    size_t vectors = 0;
    while (vectors < left) {
        const size_t group = gk_group_vectors(left - vectors);
        if (vectors + group > GK_BLOCK_VECTORS) break;
        vectors += group;
    }
    return vectors;
}

#include "batch_rest.h"

GK_INLINE void gk_score_batch(gk_codec codec, const void *rows, size_t row_count, size_t stride,
                              size_t dims, const void *packed, size_t query_count, int64_t *out,
                              size_t out_stride) {
    const gk_layout layout = gk_layout_of(dims, query_count);
    const size_t in_vectors = query_count - layout.rest;
    for (size_t r = 0; r < row_count; r += GK_BLOCK_ROWS) {
        const char *block = (const char *)rows + r * stride;
        const size_t block_rows = gk_smaller(row_count - r, GK_BLOCK_ROWS);
        size_t vectors = 0;
        for (size_t v = 0; v < layout.vectors; v += vectors) {
            vectors = gk_pass_vectors(layout.vectors - v);
            const gk_pass pass = {
                .rows = block,
                .row_count = block_rows,
                .stride = stride,
                .dims = dims,
                .starts = (const int32_t *)packed + v * GK_WIDTH,
                .groups = (const char *)packed + layout.groups_at +
                          v * layout.steps * GK_VECTOR_BYTES,
                .vectors = vectors,
                .vectors_left = layout.vectors - v,
                .out = out + r * out_stride + v * GK_WIDTH,
                .out_stride = out_stride,
                .query_count = in_vectors - v * GK_WIDTH,
            };
            gk_score_pass(codec, &pass);
        }
        if (layout.rest)
            gk_score_rest(codec, block, block_rows, stride, dims,
                          (const char *)packed + layout.rest_at,
                          (const int32_t *)packed + in_vectors, layout.rest,
                          out + r * out_stride + in_vectors, out_stride);
    }
}

// ---- the functions of a table ----

static void gk_batch_pack_int8(const int8_t *queries, size_t stride, size_t query_count,
                               size_t dims, void *packed) {
    gk_pack(GK_CODEC_INT8, queries, stride, query_count, dims, packed);
}

static void gk_batch_pack_int4(const int8_t *queries, size_t stride, size_t query_count,
                               size_t dims, void *packed) {
    gk_pack(GK_CODEC_INT4, queries, stride, query_count, dims, packed);
}

static void gk_batch_dot_int8(const int8_t *rows, size_t row_count, size_t stride, size_t dims,
                              const void *packed, size_t query_count, int64_t *out,
                              size_t out_stride) {
    gk_score_batch(GK_CODEC_INT8, rows, row_count, stride, dims, packed, query_count, out,
                   out_stride);
}

static void gk_batch_dot_int4(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                              const void *packed, size_t query_count, int64_t *out,
                              size_t out_stride) {
    gk_score_batch(GK_CODEC_INT4, rows, row_count, stride, dims, packed, query_count, out,
                   out_stride);
}

#ifdef GK_EXPANDS_BITS
static void gk_batch_pack_bit(const int8_t *queries, size_t stride, size_t query_count,
                              size_t dims, void *packed) {
    gk_pack(GK_CODEC_BIT, queries, stride, query_count, dims, packed);
}

static void gk_batch_dot_bit(const uint8_t *rows, size_t row_count, size_t stride, size_t dims,
                             const void *packed, size_t query_count, int64_t *out,
                             size_t out_stride) {
    gk_score_batch(GK_CODEC_BIT, rows, row_count, stride, dims, packed, query_count, out,
                   out_stride);
}
#endif
