// Which rows may be among the best: the digits of the k-th best score, most significant first, from
// histograms. A score's key is a number of 64 bits that orders as scores do; for the lowest scores all of
// its bits are turned over, so that both ends look for great keys.
#include "rows.cuh"

constexpr uint64_t key_of_infinity = 0xfff0000000000000ull;
constexpr uint64_t key_of_minus_infinity = 0x000fffffffffffffull;

// -0 has the key of 0.
inline uint64_t key_of(double score, int end) {
    const uint64_t bits = bits_of(add_exactly(score, 0.0));
    const uint64_t key = bits >> 63 ? ~bits : bits | 1ull << 63;
    return end == 0 ? key : ~key;
}

// The score of a key, or where the key is of none, the infinity beyond which it is.
inline double score_of(uint64_t key, int end) {
    if (end != 0) key = ~key;
    if (key > key_of_infinity) key = key_of_infinity;
    if (key < key_of_minus_infinity) key = key_of_minus_infinity;
    return double_of(key >> 63 ? key & ~(1ull << 63) : ~key);
}

struct SelectEnd {
    uint32_t bins[GD_SELECT_BINS];
    uint64_t prefix;  // the digits decided so far
    uint32_t wanted;  // rows, of those that have the prefix
    uint32_t zero;
};
static_assert(2 * sizeof(SelectEnd) == GD_SELECT_STATE_BYTES, "as the host was told");

inline SelectEnd *end_of(const gd_select_args &a, uint32_t query, int end) {
    return (SelectEnd *)a.state + query * 2ull + end;
}
inline double *floor_of(const gd_select_args &a, uint32_t query, int end) {
    return (double *)a.floors + query * 2ull + end;
}
// The scores that decide how far an end's floor goes, and those that have to reach it.
inline const double *sure_scores(const gd_select_args &a, uint32_t query, int end) {
    return (const double *)(end == 0 || a.highs == 0 ? a.scores : a.highs) + query * a.stride;
}
inline const double *possible_scores(const gd_select_args &a, uint32_t query, int end) {
    return (const double *)(end != 0 || a.highs == 0 ? a.scores : a.highs) + query * a.stride;
}
inline uint32_t rows_wanted(const gd_select_args &a, int end) { return end == 0 ? a.top : a.bottom; }

GD_KERNEL __launch_bounds__(GD_THREADS) gd_select_begin(GD_ARGUMENTS(gd_select_args) a) {
    for (int end = 0; end < 2; end++) {
        SelectEnd *state = end_of(a, blockIdx.x, end);
        for (uint32_t bin = threadIdx.x; bin < GD_SELECT_BINS; bin += GD_THREADS) state->bins[bin] = 0;
        if (threadIdx.x != 0) continue;
        state->prefix = 0;
        state->wanted = 0;
        state->zero = 0;
        *floor_of(a, blockIdx.x, end) = score_of(0, end);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) *(uint32_t *)a.found = 0;
}

// Counts, of the rows that have the prefix and reach the floor, those with each next digit.
GD_KERNEL __launch_bounds__(GD_THREADS) gd_select_count(GD_ARGUMENTS(gd_select_args) a) {
    GD_SHARED uint32_t bins[2][GD_SELECT_BINS];
    const uint32_t query = blockIdx.y;
    for (uint32_t bin = threadIdx.x; bin < 2 * GD_SELECT_BINS; bin += GD_THREADS)
        bins[bin / GD_SELECT_BINS][bin % GD_SELECT_BINS] = 0;
    block_barrier();
    const uint32_t lane = threadIdx.x % 32, first = blockIdx.x * GD_SELECT_ROWS + threadIdx.x;
    const uint32_t shift = 64 - GD_SELECT_BITS * (a.pass + 1);
    for (int end = 0; end < 2; end++) {
        const SelectEnd *state = end_of(a, query, end);
        const double *scores = sure_scores(a, query, end);
        if (rows_wanted(a, end) == 0 || (a.pass > 0 && state->wanted == 0)) continue;
        const uint64_t floor = key_of(*floor_of(a, query, end), end), prefix = state->prefix;
        for (uint32_t turn = 0; turn < GD_SELECT_ROWS / GD_THREADS; turn++) {
            const uint64_t row = (uint64_t)first + turn * GD_THREADS;
            uint32_t digit = GD_SELECT_BINS;  // of a row that does not count here
            if (row < a.rows && is_counting(a.counting, row)) {
                const uint64_t key = key_of(scores[row], end);
                const bool has_prefix = a.pass == 0 || key >> (shift + GD_SELECT_BITS) == prefix;
                if (has_prefix && key >= floor) digit = (uint32_t)(key >> shift) % GD_SELECT_BINS;
            }
            // Scores crowd in few bins: lanes that agree add once.
            const uint32_t alike = lanes_alike(digit);
            if (digit < GD_SELECT_BINS && lane == (uint32_t)lowest_one(alike))
                add_atomically(&bins[end][digit], (uint32_t)count_ones(alike));
        }
    }
    block_barrier();
    for (int end = 0; end < 2; end++)
        for (uint32_t bin = threadIdx.x; bin < GD_SELECT_BINS; bin += GD_THREADS)
            if (bins[end][bin] != 0) add_atomically(&end_of(a, query, end)->bins[bin], bins[end][bin]);
}

// Finds the digit in whose bin the last wanted row is; after the last one, raises the floor.
GD_KERNEL __launch_bounds__(GD_THREADS) gd_select_narrow(GD_ARGUMENTS(gd_select_args) a) {
    constexpr uint32_t own = GD_SELECT_BINS / GD_THREADS;
    GD_SHARED uint32_t from[GD_THREADS + 1];  // rows in the bins of this thread and those above
    for (int end = 0; end < 2; end++) {
        SelectEnd *state = end_of(a, blockIdx.x, end);
        const uint32_t wanted = a.pass == 0 ? rows_wanted(a, end) : state->wanted;
        const uint64_t prefix = a.pass == 0 ? 0 : state->prefix;
        uint32_t counts[own], sum = 0;
        for (uint32_t i = 0; i < own; i++) {
            counts[i] = state->bins[threadIdx.x * own + i];
            state->bins[threadIdx.x * own + i] = 0;
            sum += counts[i];
        }
        from[threadIdx.x] = sum;
        if (threadIdx.x == 0) from[GD_THREADS] = 0;
        block_barrier();
        for (uint32_t by = 1; by < GD_THREADS; by *= 2) {
            const uint32_t more = threadIdx.x + by < GD_THREADS ? from[threadIdx.x + by] : 0;
            block_barrier();
            from[threadIdx.x] += more;
            block_barrier();
        }
        uint32_t above = from[threadIdx.x + 1];
        if (wanted > 0 && above < wanted && from[threadIdx.x] >= wanted) {
            uint32_t digit = own - 1;
            while (above + counts[digit] < wanted) above += counts[digit--];
            state->prefix = prefix << GD_SELECT_BITS | (threadIdx.x * own + digit);
            state->wanted = wanted - above;
            if (a.pass + 1 == GD_SELECT_PASSES) {
                double *floor = floor_of(a, blockIdx.x, end);
                const uint64_t key = state->prefix << (64 - GD_SELECT_PASSES * GD_SELECT_BITS);
                if (key > key_of(*floor, end)) *floor = score_of(key, end);
            }
        }
        // With fewer rows than are wanted there is nothing to raise the floor by.
        if (threadIdx.x == 0 && from[0] < wanted) state->wanted = 0;
        block_barrier();
    }
}

// Appends the rows that reach a floor, as many lanes of a warp at once as there are.
GD_KERNEL __launch_bounds__(GD_THREADS) gd_select_take(GD_ARGUMENTS(gd_select_args) a) {
    const uint32_t query = blockIdx.y, lane = threadIdx.x % 32;
    const double *scores = (const double *)a.scores + query * a.stride;
    const double *of_top = possible_scores(a, query, 0), *of_bottom = possible_scores(a, query, 1);
    const uint64_t top = key_of(*floor_of(a, query, 0), 0), bottom = key_of(*floor_of(a, query, 1), 1);
    for (uint32_t turn = 0; turn < GD_SELECT_ROWS / GD_THREADS; turn++) {
        const uint64_t row = (uint64_t)blockIdx.x * GD_SELECT_ROWS + turn * GD_THREADS + threadIdx.x;
        double score = 0;
        bool is_taken = false;
        if (row < a.rows && is_counting(a.counting, row)) {
            score = scores[row];
            is_taken = (a.top > 0 && key_of(of_top[row], 0) >= top) ||
                       (a.bottom > 0 && key_of(of_bottom[row], 1) >= bottom);
        }
        const uint32_t taken = lanes_where(is_taken);
        if (taken == 0) continue;
        uint32_t place = 0;
        if (lane == 0) place = add_atomically((uint32_t *)a.found, (uint32_t)count_ones(taken));
        place = from_lane(place, 0) + (uint32_t)count_ones(taken & ((1u << lane) - 1));
        if (!is_taken || place >= a.capacity) continue;
        ((gd_candidate *)a.candidates)[place] = {query, (uint32_t)row, score};
    }
}
