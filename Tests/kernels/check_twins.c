// The twins of a device's kernels (graddb_device.h), which choose the variant themselves.
#include "kernel_cases.h"

#include "graddb_device.h"
#include "naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static gd_address address(const void *pointer) { return (gd_address)(uintptr_t)pointer; }

static double random_f64(kernel_case *c) {
    float value;
    const values kind = c->values;
    if (kind == SPECIAL) c->values = WIDE;
    fill_f32(c, &value, 1);
    c->values = kind;
    return value;
}

// A bit for most rows, or for all.
static const uint32_t *random_counting(kernel_case *c, size_t rows) {
    const size_t words = (rows + 31) / 32;
    uint32_t *counting = guarded(c, words * 4, 4);
    fill_bytes(c, counting, words * 4);
    if (random_below(c, 4) == 0) memset(counting, 0, words * 4);
    return random_below(c, 2) ? counting : NULL;
}

static int counts(const uint32_t *counting, size_t row) {
    return counting == NULL || (counting[row / 32] >> row % 32 & 1);
}

static void launch(kernel_case *c, const char *kernel, size_t x, size_t y, const void *arguments) {
    const int code = gd_twin_launch(kernel, (uint32_t)x, (uint32_t)y, arguments);
    if (code != 0) fail(c, "%s gives %d", kernel, code);
}

// ---- items ----

enum { MOST_ITEMS = 3 };

typedef struct items {
    size_t count, output_rows;
    gd_item *items;
} items;

// Items one behind the other in the output, their statistics too; the slabs are to come.
static items random_items(kernel_case *c) {
    items o = {.count = 1 + random_below(c, MOST_ITEMS)};
    o.items = guarded(c, o.count * sizeof *o.items, 8);
    size_t rows = 0;
    for (size_t i = 0; i < o.count; i++) {
        gd_item *item = o.items + i;
        item->first = (uint32_t)o.output_rows;
        item->rows = 1 + (uint32_t)random_below(c, 2 + 10 * c->rows);
        rows += item->rows;
        o.output_rows += (item->rows + GD_FIRST_ALIGNMENT - 1) / GD_FIRST_ALIGNMENT *
                         GD_FIRST_ALIGNMENT;
    }
    gd_statistics *statistics = guarded(c, rows * sizeof *statistics, 8);
    for (size_t r = 0; r < rows; r++)
        statistics[r] = (gd_statistics){(float)random_f64(c), 0, fabs(random_f64(c))};
    for (size_t i = 0; i < o.count; i++) {
        o.items[i].statistics = address(statistics);
        statistics += o.items[i].rows;
    }
    return o;
}

// ---- scores ----

static const char *const codec_names[] = {"", "f32", "f16", "bf16", "int8", "int4", "bit"};
static const size_t codec_bits[] = {0, 32, 16, 16, 8, 4, 1};

static void fill_rows(kernel_case *c, uint32_t codec, void *rows, size_t bytes) {
    if (codec == GD_F32) fill_f32(c, rows, bytes / 4);
    else if (codec == GD_F16) fill_f16(c, rows, bytes / 2);
    else if (codec == GD_BF16) fill_bf16(c, rows, bytes / 2);
    else fill_integers(c, rows, bytes, -128, 127);
}

static double element(uint32_t codec, const unsigned char *row, size_t i) {
    switch (codec) {
    case GD_F32: return f32_at(row, i);
    case GD_F16: return naive_value_of_f16(u16_at(row, i));
    case GD_BF16: return naive_value_of_bf16(u16_at(row, i));
    case GD_INT8: return (int8_t)row[i];
    case GD_INT4: return row[i / 2] >> (i % 2 ? 4 : 0) & 15;
    default: return row[i / 8] >> i % 8 & 1;
    }
}

// Slab by slab: of integers the exact sum, which a double holds.
static double sum_of(const gd_layer *layer, const gd_item *item, size_t row, size_t query) {
    const char *elements = (char *)(uintptr_t)layer->queries + query * layer->query_stride;
    const int is_float = layer->codec <= GD_BF16;
    double total = 0;
    for (size_t s = 0, first = 0; s < layer->slabs; s++) {
        const size_t pitch = s + 1 == layer->slabs ? layer->last_pitch : layer->pitch;
        const size_t dims = pitch * 8 / codec_bits[layer->codec];
        const unsigned char *stored = (unsigned char *)(uintptr_t)item->slabs +
                                      s * gd_slab_bytes(item->rows, layer->pitch) + row * pitch;
        double *terms = malloc(dims * sizeof *terms);
        for (size_t i = 0; i < dims; i++)
            terms[i] = element(layer->codec, stored, i) *
                       (is_float ? f32_at(elements, first + i) : (int8_t)elements[first + i]);
        total += naive_sum_in_lanes(terms, dims);
        free(terms);
        first += dims;
    }
    return total;
}

static size_t random_pitch(kernel_case *c) {
    const size_t most[] = {4, 20, 60, 300};  // the last above what is scored at once
    return GD_ROW_ALIGNMENT * (1 + random_below(c, most[random_below(c, 4)]));
}

static gd_layer random_layer(kernel_case *c) {
    gd_layer layer = {
        .codec = GD_F32 + (uint32_t)random_below(c, 6),
        .slabs = 1 + (uint32_t)random_below(c, 3),
        .pitch = (uint32_t)random_pitch(c),
        .last_pitch = (uint32_t)random_pitch(c),
        .factor = 1 + (int64_t)random_below(c, 2),
        .query_count = 1 + (uint32_t)random_below(c, random_below(c, 8) ? 12 : 150),
    };
    const size_t bytes = (layer.slabs - 1) * layer.pitch + layer.last_pitch;
    const size_t dims = bytes * 8 / codec_bits[layer.codec];
    layer.query_stride = dims * (layer.codec <= GD_BF16 ? 4 : 1) + 16 * random_below(c, 3);
    if (layer.query_count * layer.query_stride > 4u << 20) layer.query_count = 2;
    void *queries = guarded(c, layer.query_count * layer.query_stride, 16);
    if (layer.codec <= GD_BF16)
        fill_f32(c, queries, layer.query_count * layer.query_stride / 4);
    else if (layer.codec == GD_BIT)
        fill_integers(c, queries, layer.query_count * layer.query_stride, -32, 31);
    else
        fill_integers(c, queries, layer.query_count * layer.query_stride, -128, 127);
    gd_term *terms = guarded(c, layer.query_count * sizeof *terms, 8);
    for (size_t q = 0; q < layer.query_count; q++)
        terms[q] = (gd_term){(int64_t)random_below(c, 100000) - 50000, random_f64(c)};
    layer.queries = address(queries);
    layer.terms = address(terms);
    return layer;
}

static size_t add_tiles(const items *o, size_t tile_rows, gd_tile *tiles) {
    size_t count = 0;
    for (size_t i = 0; i < o->count; i++)
        for (size_t row = 0; row < o->items[i].rows; row += tile_rows, count++)
            if (tiles) tiles[count] = (gd_tile){(uint32_t)i, (uint32_t)row};
    return count;
}

static void check_dots(kernel_case *c, const gd_score_args *args, const items *o,
                       const double *before) {
    const gd_layer *layer = &args->layer;
    const double *dots = (double *)(uintptr_t)args->dots;
    const uint32_t *counting = (uint32_t *)(uintptr_t)args->counting;
    for (size_t i = 0; i < o->count; i++) {
        const gd_item *item = o->items + i;
        const gd_statistics *statistics = (gd_statistics *)(uintptr_t)item->statistics;
        for (size_t q = 0; q < layer->query_count; q++)
            for (size_t r = 0; r < item->rows; r++) {
                if (!counts(counting, item->first + r)) continue;
                const size_t at = q * args->stride + item->first + r;
                const gd_term *term = (gd_term *)(uintptr_t)layer->terms + q;
                double dot = sum_of(layer, item, r, q);
                if (layer->codec > GD_BF16)
                    dot = (double)(layer->factor * (int64_t)dot + term->addend) *
                          ((double)statistics[r].scale * term->scale);
                volatile const double rounded = dot;  // before the sum, whatever the compiler likes
                const double expected = (args->is_first ? 0.0 : before[at]) + rounded;
                if (bits_of_f64(dots[at]) != bits_of_f64(expected))
                    fail(c, "%s, %u slabs of %u and %u bytes, item %zu, row %zu, query %zu: %a, not %a",
                         codec_names[layer->codec], layer->slabs, layer->pitch, layer->last_pitch, i, r,
                         q, dots[at], expected);
            }
    }
}

void check_twin_score(kernel_case *c) {
    static const struct {
        const char *name;
        size_t queries, rows;
    } variants[] = {{"1", 1, GD_ROWS_1},
                    {"few", GD_QUERIES_FEW, GD_ROWS_FEW},
                    {"many", GD_QUERIES_MANY, GD_ROWS_MANY}};
    const size_t v = random_below(c, 3);
    if (c->values == SPECIAL) c->values = ORDINARY;
    items o = random_items(c);
    gd_score_args args = {.layer = random_layer(c), .is_first = (uint32_t)random_below(c, 2)};
    const gd_layer *layer = &args.layer;

    size_t bytes = 0, offsets[MOST_ITEMS];
    for (size_t i = 0; i < o.count; i++) {
        gd_item *item = o.items + i;
        if ((uint64_t)item->rows * layer->pitch * layer->query_count > 4u << 20) item->rows = 3;
        offsets[i] = bytes;
        bytes += (layer->slabs - 1) * gd_slab_bytes(item->rows, layer->pitch);
        bytes += gd_slab_bytes(item->rows, layer->last_pitch);
    }
    char *slabs = guarded(c, bytes, GD_SLAB_ALIGNMENT);
    fill_rows(c, layer->codec, slabs, bytes);
    for (size_t i = 0; i < o.count; i++) o.items[i].slabs = address(slabs + offsets[i]);

    args.tile_count = (uint32_t)add_tiles(&o, variants[v].rows, NULL);
    gd_tile *tiles = guarded(c, args.tile_count * sizeof *tiles, 4);
    add_tiles(&o, variants[v].rows, tiles);
    args.items = address(o.items);
    args.tiles = address(tiles);
    args.stride = o.output_rows + random_below(c, 9);
    args.counting = address(random_counting(c, o.output_rows));
    const size_t dot_bytes = layer->query_count * args.stride * sizeof(double);
    double *dots = guarded(c, dot_bytes, 8), *before = malloc(dot_bytes);
    for (size_t i = 0; i < dot_bytes / 8; i++) before[i] = random_f64(c);
    memcpy(dots, before, dot_bytes);
    args.dots = address(dots);

    char kernel[40];
    snprintf(kernel, sizeof kernel, "gd_score_%s_%s", codec_names[layer->codec], variants[v].name);
    const size_t blocks = (layer->query_count + variants[v].queries - 1) / variants[v].queries;
    launch(c, kernel, args.tile_count, blocks, &args);
    check_dots(c, &args, &o, before);
    check_surroundings(c);

    // What the grid does not cover stays as it is.
    memcpy(dots, before, dot_bytes);
    launch(c, kernel, 0, blocks, &args);
    if (memcmp(dots, before, dot_bytes) != 0) fail(c, "%s wrote without a block", kernel);
    args.layer.last_pitch++;
    if (gd_twin_launch(kernel, args.tile_count, 1, &args) != GD_TWIN_MISUSED)
        fail(c, "%s takes rows that are not aligned", kernel);
    free(before);
}

// ---- norms and cosines ----

void check_twin_cosines(kernel_case *c) {
    const items o = random_items(c);
    const size_t query_count = 1 + random_below(c, 4), stride = o.output_rows + random_below(c, 9);
    double *norms = guarded(c, o.output_rows * 8, 8), *dots = guarded(c, query_count * stride * 8, 8);
    double *query_norms = guarded(c, query_count * 8, 8);
    double *before = malloc(query_count * stride * 8);
    for (size_t r = 0; r < o.output_rows; r++) norms[r] = r % 3 ? 1 : 0;
    for (size_t q = 0; q < query_count; q++) query_norms[q] = 1 + fabs(random_f64(c));
    for (size_t i = 0; i < query_count * stride; i++) before[i] = dots[i] = random_f64(c);

    const gd_norms_args args = {address(o.items), address(norms), (uint32_t)random_below(c, 2),
                                (uint32_t)o.count};
    launch(c, "gd_norms", o.count, 1, &args);
    for (size_t i = 0; i < o.count; i++)
        for (size_t r = 0; r < o.items[i].rows; r++) {
            const size_t at = o.items[i].first + r;
            const double squared = ((gd_statistics *)(uintptr_t)o.items[i].statistics)[r].squared_norm;
            if (norms[at] != (args.is_first || at % 3 == 0 ? 0 : 1) + squared)
                fail(c, "squared norm %zu is %a", at, norms[at]);
        }

    const gd_cosines_args cosines = {address(dots), stride, address(norms), address(query_norms),
                                     (uint32_t)o.output_rows, (uint32_t)query_count};
    launch(c, "gd_cosines", (o.output_rows + GD_THREADS - 1) / GD_THREADS, query_count, &cosines);
    for (size_t q = 0; q < query_count; q++)
        for (size_t r = 0; r < stride; r++) {
            const double dot = before[q * stride + r];
            double expected = dot;
            if (r < o.output_rows)
                expected = norms[r] == 0 ? 0 : dot / (sqrt(norms[r]) * query_norms[q]);
            if (bits_of_f64(dots[q * stride + r]) != bits_of_f64(expected))
                fail(c, "cosine %zu of query %zu is %a, not %a", r, q, dots[q * stride + r], expected);
        }
    check_surroundings(c);
    free(before);
}

// ---- selecting ----

// Scores of all outputs together, of one query.
typedef struct seen {
    size_t count;
    double *scores;
} seen;

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double random_score(kernel_case *c) {
    const double few[] = {0.0, -0.0, 1, -1, INFINITY, -INFINITY, 1 + 0x1p-52, 0x1p-1074};
    return random_below(c, 3) == 0 ? few[random_below(c, 8)] : random_f64(c);
}

static void check_candidates(kernel_case *c, const gd_select_args *args, seen *seen) {
    const double *scores = (double *)(uintptr_t)args->scores;
    const double *floors = (double *)(uintptr_t)args->floors;
    const gd_candidate *candidates = (gd_candidate *)(uintptr_t)args->candidates;
    const uint32_t *counting = (uint32_t *)(uintptr_t)args->counting;
    const uint32_t found = *(uint32_t *)(uintptr_t)args->found;
    uint8_t *is_taken = calloc(args->query_count, args->rows + 1);
    uint32_t expected = 0;
    for (uint32_t i = 0; i < found && i < args->capacity; i++) {
        const gd_candidate *one = candidates + i;
        if (one->query >= args->query_count || one->row >= args->rows) fail(c, "a candidate of none");
        if (is_taken[one->query * args->rows + one->row]++) fail(c, "a candidate twice");
        if (bits_of_f64(one->score) != bits_of_f64(scores[one->query * args->stride + one->row]))
            fail(c, "a candidate's score is %a", one->score);
    }
    for (size_t q = 0; q < args->query_count; q++) {
        const double highest = floors[2 * q], lowest = floors[2 * q + 1];
        for (size_t r = 0; r < args->rows; r++) {
            const double score = scores[q * args->stride + r];
            const int is_wanted = counts(counting, r) && ((args->top && score >= highest) ||
                                                          (args->bottom && score <= lowest));
            expected += (uint32_t)is_wanted;
            if (found <= args->capacity && is_taken[q * args->rows + r] != is_wanted)
                fail(c, "row %zu of query %zu is %staken", r, q, is_wanted ? "not " : "");
            if (counts(counting, r)) seen[q].scores[seen[q].count++] = score;
        }
        qsort(seen[q].scores, seen[q].count, sizeof(double), ascending);
        const size_t count = seen[q].count;
        if (args->top && highest != -INFINITY)
            if (count < args->top || seen[q].scores[count - args->top] < highest)
                fail(c, "too few rows of query %zu reach %a", q, highest);
        if (args->bottom && lowest != INFINITY)
            if (count < args->bottom || seen[q].scores[args->bottom - 1] > lowest)
                fail(c, "too few rows of query %zu do not exceed %a", q, lowest);
    }
    if (found != expected) fail(c, "%u candidates were found, not %u", found, expected);
    free(is_taken);
}

// The floors of the first output are as near as GD_SELECT_PASSES bring them.
static void check_floors(kernel_case *c, const gd_select_args *args, const seen *seen) {
    const double *floors = (double *)(uintptr_t)args->floors;
    for (size_t q = 0; q < args->query_count; q++) {
        if (!args->top || seen[q].count < args->top) continue;
        const double exact = seen[q].scores[seen[q].count - args->top];
        if (isfinite(exact) && exact - floors[2 * q] > fabs(exact) * 0x1p-20 + 0x1p-1040)
            fail(c, "the floor of query %zu is %a, far below %a", q, floors[2 * q], exact);
    }
}

void check_twin_select(kernel_case *c) {
    enum { OUTPUTS = 3 };
    const size_t most_rows = random_below(c, 8) ? 2 + 20 * c->rows : 9000;
    gd_select_args args = {
        .query_count = 1 + (uint32_t)random_below(c, 4),
        .top = (uint32_t)random_below(c, 12),
        .bottom = (uint32_t)random_below(c, 12),
        .capacity = (uint32_t)(random_below(c, 4) ? 8 * most_rows : 3),
    };
    args.floors = address(guarded(c, 16 * args.query_count, 8));
    args.state = address(guarded(c, GD_SELECT_STATE_BYTES * args.query_count, 8));
    args.candidates = address(guarded(c, args.capacity * sizeof(gd_candidate), 8));
    uint32_t *found = guarded(c, 4, 4);
    args.found = address(found);
    seen seen[4];
    for (size_t q = 0; q < args.query_count; q++)
        seen[q] = (struct seen){0, malloc(OUTPUTS * most_rows * sizeof(double))};

    launch(c, "gd_select_begin", args.query_count, 1, &args);
    const size_t buffers = c->buffers;
    for (int output = 0; output < OUTPUTS; output++) {
        check_surroundings(c);
        c->buffers = buffers;
        args.rows = 1 + (uint32_t)random_below(c, most_rows);
        args.stride = args.rows + random_below(c, 5);
        double *scores = guarded(c, args.query_count * args.stride * 8, 8);
        for (size_t i = 0; i < args.query_count * args.stride; i++) scores[i] = random_score(c);
        args.scores = address(scores);
        args.counting = address(random_counting(c, args.rows));
        const size_t blocks = (args.rows + GD_SELECT_ROWS - 1) / GD_SELECT_ROWS;
        for (args.pass = 0; args.pass < GD_SELECT_PASSES; args.pass++) {
            launch(c, "gd_select_count", blocks, args.query_count, &args);
            launch(c, "gd_select_narrow", args.query_count, 1, &args);
        }
        launch(c, "gd_select_take", blocks, args.query_count, &args);
        check_candidates(c, &args, seen);
        if (output == 0) check_floors(c, &args, seen);
        *found = 0;
    }
    check_surroundings(c);
    for (size_t q = 0; q < args.query_count; q++) free(seen[q].scores);
}
