// The twins of the selecting kernels: a radix search for the worst score that is still among the
// best, GD_SELECT_BITS bits of the scores' keys in a pass. The lower bits stay undecided: a floor is
// the worst score with the bits that were found, so it is reached by a few rows more, never less.
#include "device_twin.h"

#include <math.h>
#include <string.h>

// The bits of a key below those that passes decide.
#define REST_BITS (64 - GD_SELECT_PASSES * GD_SELECT_BITS)

typedef struct end_state {
    uint32_t bins[GD_SELECT_BINS];
    uint64_t prefix;  // of the key, decided by the passes before
    uint32_t above;   // rows with a greater prefix
    uint32_t has_too_few;
} end_state;
_Static_assert(2 * sizeof(end_state) <= GD_SELECT_STATE_BYTES, "the room that the host reserves");

enum { TOP = 0, BOTTOM = 1, ENDS = 2 };

static end_state *state_of(const gd_select_args *args, size_t query) {
    return (end_state *)((char *)gd_pointer(args->state) + query * GD_SELECT_STATE_BYTES);
}

// Where scores lie between two: the end that decides how far a floor goes, and the one that has to reach it.
static const double *sure_scores(const gd_select_args *args, size_t query, int end) {
    const int is_low = end == TOP || args->highs == 0;
    return (const double *)gd_pointer(is_low ? args->scores : args->highs) + query * args->stride;
}

static const double *possible_scores(const gd_select_args *args, size_t query, int end) {
    const int is_low = end == BOTTOM || args->highs == 0;
    return (const double *)gd_pointer(is_low ? args->scores : args->highs) + query * args->stride;
}

static uint32_t wanted(const gd_select_args *args, int end) {
    return end == TOP ? args->top : args->bottom;
}

// Numbers in the order of the scores, the other way round for BOTTOM.
static uint64_t key_of(double score, int end) {
    const double ordinary = score == 0 ? 0.0 : score;
    const uint64_t sign = (uint64_t)1 << 63;
    uint64_t bits;
    memcpy(&bits, &ordinary, sizeof bits);
    const uint64_t key = bits & sign ? ~bits : bits | sign;
    return end == TOP ? key : ~key;
}

// The worst score whose key begins with the prefix. (Keys beyond those of infinity are of no number.)
static double floor_of(uint64_t prefix, int end) {
    const uint64_t sign = (uint64_t)1 << 63;
    const uint64_t key = end == TOP ? prefix << REST_BITS : ~(prefix << REST_BITS);
    const uint64_t bits = key & sign ? key ^ sign : ~key;
    double score;
    memcpy(&score, &bits, sizeof score);
    return isnan(score) ? (end == TOP ? -INFINITY : INFINITY) : score;
}

int gd_twin_select_begin(uint32_t grid_x, const gd_select_args *args) {
    double *floors = gd_pointer(args->floors);
    const size_t query_count = gd_covered(args->query_count, grid_x, 1);
    for (size_t q = 0; q < query_count; q++) {
        floors[2 * q] = -INFINITY;
        floors[2 * q + 1] = INFINITY;
        memset(state_of(args, q), 0, GD_SELECT_STATE_BYTES);
    }
    if (grid_x > 0) *(uint32_t *)gd_pointer(args->found) = 0;
    return 0;
}

int gd_twin_select_count(uint32_t grid_x, uint32_t grid_y, const gd_select_args *args) {
    if (args->pass >= GD_SELECT_PASSES) return GD_TWIN_MISUSED;
    const size_t rows = gd_covered(args->rows, grid_x, GD_SELECT_ROWS);
    const size_t query_count = gd_covered(args->query_count, grid_y, 1);
    const unsigned shift = 64 - (args->pass + 1) * GD_SELECT_BITS;
    for (size_t q = 0; q < query_count; q++) {
        for (int end = TOP; end < ENDS; end++) {
            const double *scores = sure_scores(args, q, end);
            end_state *state = state_of(args, q) + end;
            if (wanted(args, end) == 0 || state->has_too_few) continue;
            for (size_t r = 0; r < rows; r++) {
                if (!gd_counts(args->counting, r)) continue;
                const uint64_t key = key_of(scores[r], end) >> shift;
                if (args->pass > 0 && key >> GD_SELECT_BITS != state->prefix) continue;
                state->bins[key % GD_SELECT_BINS]++;
            }
        }
    }
    return 0;
}

// Decides the next bits of the prefix.
static void narrow(end_state *state, uint32_t wanted) {
    size_t bin = GD_SELECT_BINS;
    uint32_t above = state->above;
    while (bin > 0 && above + state->bins[bin - 1] < wanted) above += state->bins[--bin];
    if (bin == 0) {
        state->has_too_few = 1;
    } else {
        state->prefix = state->prefix * GD_SELECT_BINS + (bin - 1);
        state->above = above;
    }
}

int gd_twin_select_narrow(uint32_t grid_x, const gd_select_args *args) {
    if (args->pass >= GD_SELECT_PASSES) return GD_TWIN_MISUSED;
    const size_t query_count = gd_covered(args->query_count, grid_x, 1);
    const int is_last = args->pass == GD_SELECT_PASSES - 1;
    for (size_t q = 0; q < query_count; q++) {
        double *floors = (double *)gd_pointer(args->floors) + 2 * q;
        for (int end = TOP; end < ENDS; end++) {
            end_state *state = state_of(args, q) + end;
            if (wanted(args, end) == 0) continue;
            if (!state->has_too_few) narrow(state, wanted(args, end));
            memset(state->bins, 0, sizeof state->bins);
            if (!is_last) continue;
            if (!state->has_too_few) {
                const double floor = floor_of(state->prefix, end);
                if (end == TOP ? floor > floors[end] : floor < floors[end]) floors[end] = floor;
            }
            memset(state, 0, sizeof *state);
        }
    }
    return 0;
}

int gd_twin_select_take(uint32_t grid_x, uint32_t grid_y, const gd_select_args *args) {
    const double *floors = gd_pointer(args->floors);
    gd_candidate *candidates = gd_pointer(args->candidates);
    uint32_t *found = gd_pointer(args->found);
    const size_t rows = gd_covered(args->rows, grid_x, GD_SELECT_ROWS);
    const size_t query_count = gd_covered(args->query_count, grid_y, 1);
    for (size_t q = 0; q < query_count; q++) {
        const double *scores = (const double *)gd_pointer(args->scores) + q * args->stride;
        const double *of_top = possible_scores(args, q, TOP);
        const double *of_bottom = possible_scores(args, q, BOTTOM);
        for (size_t r = 0; r < rows; r++) {
            const int is_top = args->top > 0 && of_top[r] >= floors[2 * q];
            const int is_bottom = args->bottom > 0 && of_bottom[r] <= floors[2 * q + 1];
            if (!(is_top || is_bottom) || !gd_counts(args->counting, r)) continue;
            if (*found < args->capacity)
                candidates[*found] =
                    (gd_candidate){.query = (uint32_t)q, .row = (uint32_t)r, .score = scores[r]};
            ++*found;
        }
    }
    return 0;
}
