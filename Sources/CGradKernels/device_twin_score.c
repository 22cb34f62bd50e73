// The twins of the score kernels, by the kernels of the CPU: for a block of queries at a time, which
// is first brought into the form that those want, the tiles one after the other.
#include "device_twin.h"

#include <stdlib.h>
#include <string.h>

// What integer kernels take at once: at most GK_BATCH_DIMS elements of any codec.
#define PIECE_BYTES 4096
// Pieces of packed queries start at a multiple of this.
#define PACKED_ALIGNMENT 64

typedef struct variant {
    size_t block_queries;
    size_t tile_rows;
} variant;

typedef struct job {
    const gk_kernels *kernels;
    const gd_score_args *args;
    variant variant;
    size_t tile_count;
    size_t first_query;  // of the block
    size_t query_count;  // in the block
    // Integer codecs: the block's queries, piece after piece, and their sums for int8.
    unsigned char *packed;
    size_t packed_bytes;  // of a piece
    int32_t *query_sums;
    void *sums;  // a tile's: int64_t or double, row after row of queries
} job;

// A part of all rows of an item: a slab, or a piece of it.
typedef struct part {
    uint64_t offset;   // of the item's first row, from the beginning of its slabs
    uint32_t pitch;    // from row to row
    uint32_t bytes;    // of a row
    uint64_t element;  // the first of the query's
} part;

static size_t element_bits(uint32_t codec) {
    static const unsigned char bits[] = {
        [GD_F32] = 32, [GD_F16] = 16, [GD_BF16] = 16, [GD_INT8] = 8, [GD_INT4] = 4, [GD_BIT] = 1,
    };
    return codec < sizeof bits ? bits[codec] : 0;
}

static int is_float(uint32_t codec) { return codec <= GD_BF16; }

static size_t elements(const gd_layer *layer, size_t bytes) {
    return bytes * 8 / element_bits(layer->codec);
}

static size_t slab_parts(const gd_layer *layer, uint32_t pitch) {
    return is_float(layer->codec) ? 1 : (pitch + PIECE_BYTES - 1) / PIECE_BYTES;
}

static size_t part_count(const gd_layer *layer) {
    return (layer->slabs - 1) * slab_parts(layer, layer->pitch) +
           slab_parts(layer, layer->last_pitch);
}

static part part_at(const gd_layer *layer, uint32_t rows, size_t index) {
    const size_t per_slab = slab_parts(layer, layer->pitch);
    size_t slab = index / per_slab;
    if (slab > layer->slabs - 1) slab = layer->slabs - 1;
    const uint32_t begin = (uint32_t)(index - slab * per_slab) * PIECE_BYTES;
    const uint32_t pitch = slab == layer->slabs - 1 ? layer->last_pitch : layer->pitch;
    const uint32_t rest = pitch - begin;
    return (part){
        .offset = slab * gd_slab_bytes(rows, layer->pitch) + begin,
        .pitch = pitch,
        .bytes = is_float(layer->codec) || rest < PIECE_BYTES ? rest : PIECE_BYTES,
        .element = elements(layer, (uint64_t)slab * layer->pitch + begin),
    };
}

static const int8_t *query_at(const job *job, size_t query) {
    const gd_layer *layer = &job->args->layer;
    return (const int8_t *)gd_pointer(layer->queries) +
           (job->first_query + query) * layer->query_stride;
}

static size_t packed_part_bytes(const job *job, size_t dims, size_t query_count) {
    const gk_batch_kernels *batch = job->kernels->batch;
    const int is_single = job->variant.block_queries == 1;
    switch (job->args->layer.codec) {
    case GD_INT8: return is_single ? 0 : batch->packed_bytes_int8(dims, query_count);
    case GD_INT4: return is_single ? dims : batch->packed_bytes_int4(dims, query_count);
    case GD_BIT:
        return is_single ? dims / 8 * GK_BIT_PLANES : batch->packed_bytes_bit(dims, query_count);
    default: return 0;
    }
}

// Room for any part of so many queries, or of the rest of them: fewer queries, or dims, may take more.
static size_t most_packed_bytes(const job *job, size_t query_count, size_t rest) {
    const gd_layer *layer = &job->args->layer;
    size_t most = 0;
    for (size_t index = 0; index < part_count(layer); index++) {
        const size_t dims = elements(layer, part_at(layer, 0, index).bytes);
        const size_t all = packed_part_bytes(job, dims, query_count);
        const size_t last = rest > 0 ? packed_part_bytes(job, dims, rest) : 0;
        if (all > most) most = all;
        if (last > most) most = last;
    }
    return (most + PACKED_ALIGNMENT - 1) / PACKED_ALIGNMENT * PACKED_ALIGNMENT;
}

// A single query as the kernels of one query want it.
static void arrange(const job *job, const int8_t *query, size_t dims, size_t index) {
    unsigned char *packed = job->packed + index * job->packed_bytes;
    if (job->args->layer.codec == GD_INT8) {
        int32_t sum = 0;
        for (size_t i = 0; i < dims; i++) sum += query[i];
        job->query_sums[index] = sum;
    } else if (job->args->layer.codec == GD_INT4) {
        for (size_t i = 0; i < dims; i++) packed[i % 2 * (dims / 2) + i / 2] = (uint8_t)query[i];
    } else {
        memset(packed, 0, dims / 8 * GK_BIT_PLANES);
        for (size_t plane = 0; plane < GK_BIT_PLANES; plane++)
            for (size_t i = 0; i < dims; i++)
                packed[plane * (dims / 8) + i / 8] |= (uint8_t)((query[i] >> plane & 1) << i % 8);
    }
}

static void pack(const job *job) {
    const gd_layer *layer = &job->args->layer;
    const gk_batch_kernels *batch = job->kernels->batch;
    for (size_t index = 0; index < part_count(layer); index++) {
        const part part = part_at(layer, 0, index);
        const size_t dims = elements(layer, part.bytes);
        const int8_t *query = query_at(job, 0) + part.element;
        unsigned char *packed = job->packed + index * job->packed_bytes;
        if (job->variant.block_queries == 1)
            arrange(job, query, dims, index);
        else if (layer->codec == GD_INT8)
            batch->pack_int8(query, layer->query_stride, job->query_count, dims, packed);
        else if (layer->codec == GD_INT4)
            batch->pack_int4(query, layer->query_stride, job->query_count, dims, packed);
        else
            batch->pack_bit(query, layer->query_stride, job->query_count, dims, packed);
    }
}

// Adds a part's integer products to the sums of a tile.
static void add_integers(const job *job, const void *rows, size_t row_count, part part,
                         size_t index) {
    const gk_kernels *kernels = job->kernels;
    const gd_layer *layer = &job->args->layer;
    const size_t dims = elements(layer, part.bytes), count = job->query_count;
    const unsigned char *packed = job->packed + index * job->packed_bytes;
    const int is_single = job->variant.block_queries == 1;
    int64_t *sums = job->sums;
    if (layer->codec == GD_INT8 && is_single)
        kernels->dot_int8(rows, row_count, part.pitch, dims, query_at(job, 0) + part.element,
                          job->query_sums[index], sums);
    else if (layer->codec == GD_INT8)
        kernels->batch->dot_int8(rows, row_count, part.pitch, dims, packed, count, sums, count);
    else if (layer->codec == GD_INT4 && is_single)
        kernels->dot_int4(rows, row_count, part.pitch, dims, (const int8_t *)packed,
                          (const int8_t *)packed + dims / 2, sums);
    else if (layer->codec == GD_INT4)
        kernels->batch->dot_int4(rows, row_count, part.pitch, dims, packed, count, sums, count);
    else if (is_single)
        kernels->dot_bit(rows, row_count, part.pitch, dims, packed, sums);
    else
        kernels->batch->dot_bit(rows, row_count, part.pitch, dims, packed, count, sums, count);
}

// The same of floats, query by query: their sums lie query after query.
static void add_floats(const job *job, const void *rows, size_t row_count, part part) {
    const gk_kernels *kernels = job->kernels;
    const gd_layer *layer = &job->args->layer;
    const size_t dims = elements(layer, part.bytes);
    for (size_t q = 0; q < job->query_count; q++) {
        const float *query = (const float *)query_at(job, q) + part.element;
        double *sums = (double *)job->sums + q * row_count;
        if (layer->codec == GD_F32)
            kernels->dot_f32(rows, row_count, part.pitch, dims, query, sums);
        else if (layer->codec == GD_F16)
            kernels->dot_f16(rows, row_count, part.pitch, dims, query, sums);
        else
            kernels->dot_bf16(rows, row_count, part.pitch, dims, query, sums);
    }
}

static double dot_product(const job *job, float row_scale, size_t r, size_t row_count, size_t q) {
    const gd_layer *layer = &job->args->layer;
    if (is_float(layer->codec)) return ((const double *)job->sums)[q * row_count + r];
    const int64_t sum = ((const int64_t *)job->sums)[r * job->query_count + q];
    const gd_term *term = (const gd_term *)gd_pointer(layer->terms) + job->first_query + q;
    return (double)(layer->factor * sum + term->addend) * ((double)row_scale * term->scale);
}

static void score_tile(const job *job, const gd_item *item, size_t first_row, size_t row_count) {
    const gd_score_args *args = job->args;
    const gd_layer *layer = &args->layer;
    const gd_statistics *statistics = gd_pointer(item->statistics);
    const size_t first = item->first + first_row;

    size_t counting = 0;
    for (size_t r = 0; r < row_count; r++) counting += gd_counts(args->counting, first + r) != 0;
    if (counting == 0) return;

    memset(job->sums, 0, row_count * job->query_count * sizeof(int64_t));
    for (size_t index = 0; index < part_count(layer); index++) {
        const part part = part_at(layer, item->rows, index);
        const void *rows =
            (const char *)gd_pointer(item->slabs) + part.offset + first_row * part.pitch;
        if (is_float(layer->codec))
            add_floats(job, rows, row_count, part);
        else
            add_integers(job, rows, row_count, part, index);
    }
    for (size_t q = 0; q < job->query_count; q++) {
        double *dots = gd_pointer(args->dots);
        dots += (job->first_query + q) * args->stride + first;
        for (size_t r = 0; r < row_count; r++)
            if (gd_counts(args->counting, first + r))
                dots[r] = (args->is_first ? 0.0 : dots[r]) +
                          dot_product(job, statistics[first_row + r].scale, r, row_count, q);
    }
}

// The rows of a tile; 0 where it is none.
static size_t tile_rows(const job *job, const gd_tile *tile, const gd_item *item) {
    if (tile->row >= item->rows) return 0;
    const size_t rest = item->rows - tile->row;
    return rest < job->variant.tile_rows ? rest : job->variant.tile_rows;
}

static int is_aligned(const job *job) {
    const gd_score_args *args = job->args;
    const gd_item *items = gd_pointer(args->items);
    const gd_tile *tiles = gd_pointer(args->tiles);
    if ((args->layer.pitch | args->layer.last_pitch) % GD_ROW_ALIGNMENT != 0) return 0;
    for (size_t t = 0; t < job->tile_count; t++) {
        const gd_item *item = items + tiles[t].item;
        if (item->slabs % GD_SLAB_ALIGNMENT != 0 || item->first % GD_FIRST_ALIGNMENT != 0) return 0;
        if (tile_rows(job, tiles + t, item) == 0) return 0;
    }
    return 1;
}

static int score(job *job, size_t query_count) {
    const gd_score_args *args = job->args;
    const gd_item *items = gd_pointer(args->items);
    const gd_tile *tiles = gd_pointer(args->tiles);
    if (!is_aligned(job)) return GD_TWIN_MISUSED;
    if (query_count == 0) return 0;

    const size_t parts = part_count(&args->layer);
    const size_t most = job->variant.block_queries;
    const size_t block = query_count < most ? query_count : most;
    job->packed_bytes = most_packed_bytes(job, block, query_count % block);
    job->packed = aligned_alloc(PACKED_ALIGNMENT, job->packed_bytes * parts + PACKED_ALIGNMENT);
    job->query_sums = malloc(parts * sizeof *job->query_sums);
    job->sums = malloc(job->variant.tile_rows * block * sizeof(int64_t));
    const int has_memory = job->packed != NULL && job->query_sums != NULL && job->sums != NULL;

    for (size_t first = 0; has_memory && first < query_count; first += block) {
        job->first_query = first;
        job->query_count = query_count - first < block ? query_count - first : block;
        if (!is_float(args->layer.codec)) pack(job);
        for (size_t t = 0; t < job->tile_count; t++) {
            const gd_item *item = items + tiles[t].item;
            score_tile(job, item, tiles[t].row, tile_rows(job, tiles + t, item));
        }
    }
    free(job->packed);
    free(job->query_sums);
    free(job->sums);
    return has_memory ? 0 : GD_TWIN_NO_MEMORY;
}

int gd_twin_score(const char *name, uint32_t grid_x, uint32_t grid_y, const gd_score_args *args) {
    static const struct {
        const char *name;
        gd_codec codec;
    } codecs[] = {{"f32_", GD_F32},   {"f16_", GD_F16},   {"bf16_", GD_BF16},
                  {"int8_", GD_INT8}, {"int4_", GD_INT4}, {"bit_", GD_BIT}};
    static const struct {
        const char *name;
        variant variant;
    } variants[] = {{"1", {1, GD_ROWS_1}},
                    {"few", {GD_QUERIES_FEW, GD_ROWS_FEW}},
                    {"many", {GD_QUERIES_MANY, GD_ROWS_MANY}}};

    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        const size_t length = strlen(codecs[c].name);
        if (strncmp(name, codecs[c].name, length) != 0) continue;
        for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
            if (strcmp(name + length, variants[v].name) != 0) continue;
            if (args->layer.codec != codecs[c].codec || args->layer.slabs == 0)
                return GD_TWIN_MISUSED;
            job job = {
                .kernels = gk_kernels_for(gk_best_variant()),
                .args = args,
                .variant = variants[v].variant,
                .tile_count = gd_covered(args->tile_count, grid_x, 1),
            };
            return score(&job, gd_covered(args->layer.query_count, grid_y,
                                          job.variant.block_queries));
        }
    }
    return GD_TWIN_UNKNOWN;
}
