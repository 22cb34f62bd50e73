// The twins of what bounds the dot products of 16-bit floats, in plain single precision, and of what then
// scores candidates, by the kernels of the CPU.
#include "device_twin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What is added up at a time, as on a device: the elements of 64 bytes.
#define PIECE 32

static uint32_t codec_named(const char *name) {
    return strcmp(name, "f16") == 0 ? GD_F16 : strcmp(name, "bf16") == 0 ? GD_BF16 : 0;
}

static size_t slab_elements(const gd_layer *layer, size_t slab) {
    return (slab + 1 < layer->slabs ? layer->pitch : layer->last_pitch) / 2;
}

static const float *query_at(const gd_layer *layer, size_t query) {
    return (const float *)((const char *)gd_pointer(layer->queries) + query * layer->query_stride);
}

static const char *row_at(const gd_layer *layer, const gd_item *item, size_t row, size_t slab) {
    return (const char *)gd_pointer(item->slabs) + slab * gd_slab_bytes(item->rows, layer->pitch) +
           row * slab_elements(layer, slab) * 2;
}

// The sum of a slab's products.
static float slab_sum(const float *restrict row, const float *restrict query, size_t count) {
    float sum = 0;
    for (size_t first = 0; first < count; first += PIECE) {
        const size_t end = count - first < PIECE ? count : first + PIECE;
        float chains[8] = {0};
        for (size_t i = first; i < end; i++) chains[i % 8] += row[i] * query[i];
        for (size_t half = 4; half > 0; half /= 2)
            for (size_t j = 0; j < half; j++) chains[j] += chains[j + half];
        sum += chains[0];
    }
    return sum;
}

// Adds to both ends of a row's and a query's sum.
static void add_interval(const gd_estimate_args *args, size_t query, size_t row, float sum, double norm) {
    const gd_score_args *score = &args->score;
    const gd_estimate_term *term = (const gd_estimate_term *)gd_pointer(args->terms) + query;
    double *low = (double *)gd_pointer(score->dots) + query * score->stride + row;
    double *high = (double *)gd_pointer(args->highs) + query * score->stride + row;
    const double middle = sum * term->unit, error = term->factor * norm + term->least;
    const int is_known = isfinite(middle) && isfinite(error);
    *low = (score->is_first ? 0.0 : *low) + (is_known ? middle - error : -INFINITY);
    *high = (score->is_first ? 0.0 : *high) + (is_known ? middle + error : INFINITY);
}

typedef struct rooms {
    float *row;      // of a row's elements
    float *queries;  // those of a block, scaled
} rooms;

// Queries that are taken at a time.
#define BLOCK 16

static void estimate_tile(const gd_estimate_args *args, const gd_tile *tile, size_t first_query,
                          size_t query_count, size_t elements, rooms rooms) {
    const gd_score_args *score = &args->score;
    const gd_layer *layer = &score->layer;
    const gk_kernels *kernels = gk_kernels_for(gk_best_variant());
    const gd_item *item = (const gd_item *)gd_pointer(score->items) + tile->item;
    const gd_statistics *statistics = gd_pointer(item->statistics);
    for (size_t r = tile->row; r < item->rows && r < (size_t)tile->row + GD_ROWS_FEW; r++) {
        if (!gd_counts(score->counting, item->first + r)) continue;
        for (size_t slab = 0, at = 0; slab < layer->slabs; slab++) {
            const uint16_t *halves = (const uint16_t *)row_at(layer, item, r, slab);
            const size_t count = slab_elements(layer, slab);
            if (layer->codec == GD_F16) kernels->f16_to_f32(halves, rooms.row + at, count);
            else kernels->bf16_to_f32(halves, rooms.row + at, count);
            at += count;
        }
        for (size_t q = 0; q < query_count; q++) {
            float total = 0;
            for (size_t slab = 0, at = 0; slab < layer->slabs; slab++) {
                const size_t count = slab_elements(layer, slab);
                total += slab_sum(rooms.row + at, rooms.queries + q * elements + at, count);
                at += count;
            }
            add_interval(args, first_query + q, item->first + r, total, sqrt(statistics[r].squared_norm));
        }
    }
}

int gd_twin_estimate(const char *name, uint32_t grid_x, uint32_t grid_y,
                     const gd_estimate_args *args) {
    const gd_score_args *score = &args->score;
    const gd_layer *layer = &score->layer;
    if (codec_named(name) == 0) return GD_TWIN_UNKNOWN;
    if (layer->codec != codec_named(name) || layer->slabs == 0) return GD_TWIN_MISUSED;
    if ((layer->pitch | layer->last_pitch) % GD_ROW_ALIGNMENT != 0) return GD_TWIN_MISUSED;
    const size_t elements = ((size_t)(layer->slabs - 1) * layer->pitch + layer->last_pitch) / 2;
    const size_t query_count = gd_covered(layer->query_count, grid_y, GD_QUERIES_FEW);
    const size_t tile_count = gd_covered(score->tile_count, grid_x, 1);
    const gd_estimate_term *terms = gd_pointer(args->terms);
    const gd_tile *tiles = gd_pointer(score->tiles);
    const rooms rooms = {malloc(elements * sizeof(float)), malloc(elements * BLOCK * sizeof(float))};
    const int has_memory = rooms.row != NULL && rooms.queries != NULL;
    for (size_t first = 0; has_memory && first < query_count; first += BLOCK) {
        const size_t count = query_count - first < BLOCK ? query_count - first : BLOCK;
        for (size_t q = 0; q < count; q++)
            for (size_t i = 0; i < elements; i++)
                rooms.queries[q * elements + i] =
                    (float)(query_at(layer, first + q)[i] * (1 / terms[first + q].unit));
        for (size_t t = 0; t < tile_count; t++)
            estimate_tile(args, tiles + t, first, count, elements, rooms);
    }
    free(rooms.row);
    free(rooms.queries);
    return has_memory ? 0 : GD_TWIN_NO_MEMORY;
}

// The item that a row of the output belongs to; none where that is not its own.
static const gd_item *item_of(const gd_rescore_args *args, uint32_t row) {
    const gd_item *items = gd_pointer(args->items);
    size_t low = 0, high = args->item_count;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (items[middle].first <= row) low = middle;
        else high = middle;
    }
    const gd_item *item = items + low;
    return args->item_count > 0 && item->first <= row && row - item->first < item->rows ? item : NULL;
}

int gd_twin_rescore(const char *name, uint32_t grid_x, const gd_rescore_args *args) {
    const gd_layer *layer = &args->layer;
    const gk_kernels *kernels = gk_kernels_for(gk_best_variant());
    if (codec_named(name) == 0) return GD_TWIN_UNKNOWN;
    if (layer->codec != codec_named(name) || layer->slabs == 0) return GD_TWIN_MISUSED;
    gd_candidate *candidates = gd_pointer(args->candidates);
    const uint32_t found = *(const uint32_t *)gd_pointer(args->found);
    const size_t count = grid_x == 0 ? 0 : found < args->capacity ? found : args->capacity;
    for (size_t i = 0; i < count; i++) {
        gd_candidate *candidate = candidates + i;
        const gd_item *item = item_of(args, candidate->row);
        if (item == NULL || candidate->query >= layer->query_count) return GD_TWIN_MISUSED;
        double sum = 0;
        for (size_t slab = 0, at = 0; slab < layer->slabs; slab++) {
            const uint16_t *row =
                (const uint16_t *)row_at(layer, item, candidate->row - item->first, slab);
            const size_t dims = slab_elements(layer, slab);
            const float *query = query_at(layer, candidate->query) + at;
            if (layer->codec == GD_F16) kernels->dot_f16(row, 1, dims * 2, dims, query, &sum);
            else kernels->dot_bf16(row, 1, dims * 2, dims, query, &sum);
            at += dims;
        }
        double score = (args->is_first ? 0.0 : candidate->score) + sum;
        if (args->norms != 0) {
            const double norm = sqrt(((const double *)gd_pointer(args->norms))[candidate->row]);
            const double query_norm =
                ((const double *)gd_pointer(args->query_norms))[candidate->query];
            score = norm == 0 ? 0 : score / (norm * query_norm);
        }
        candidate->score = score;
    }
    return 0;
}
