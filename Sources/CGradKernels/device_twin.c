// The kernels of a device (graddb_device.h), in host memory: what runs where the device is the
// host, and what the device's own kernels must equal.
#include "device_twin.h"

#include <math.h>
#include <string.h>

static int norms(uint32_t grid_x, const gd_norms_args *args) {
    const gd_item *items = gd_pointer(args->items);
    double *norms = gd_pointer(args->norms);
    const size_t item_count = gd_covered(args->item_count, grid_x, 1);
    for (size_t i = 0; i < item_count; i++) {
        const gd_statistics *statistics = gd_pointer(items[i].statistics);
        double *out = norms + items[i].first;
        for (size_t r = 0; r < items[i].rows; r++)
            out[r] = (args->is_first ? 0.0 : out[r]) + statistics[r].squared_norm;
    }
    return 0;
}

static int cosines(uint32_t grid_x, uint32_t grid_y, const gd_cosines_args *args) {
    const double *norms = gd_pointer(args->norms);
    const double *query_norms = gd_pointer(args->query_norms);
    const size_t rows = gd_covered(args->rows, grid_x, GD_THREADS);
    const size_t query_count = gd_covered(args->query_count, grid_y, 1);
    for (size_t q = 0; q < query_count; q++) {
        double *dots = (double *)gd_pointer(args->dots) + q * args->stride;
        for (size_t r = 0; r < rows; r++) {
            const double norm = sqrt(norms[r]);
            dots[r] = norm == 0 ? 0 : dots[r] / (norm * query_norms[q]);
        }
    }
    return 0;
}

static int read_all(uint32_t grid_x, const gd_stream_args *args) {
    const gk_kernels *kernels = gk_kernels_for(gk_best_variant());
    uint64_t *results = gd_pointer(args->target);
    const uint64_t result = kernels->read_bytes(gd_pointer(args->source), args->bytes);
    for (size_t block = 0; block < grid_x; block++) results[block] = result;
    return 0;
}

static int copy_all(uint32_t grid_x, const gd_stream_args *args) {
    if (grid_x > 0) memcpy(gd_pointer(args->target), gd_pointer(args->source), args->bytes);
    return 0;
}

static int multiply(uint32_t grid_x, const gd_multiply_args *args) {
    const gk_kernels *kernels = gk_kernels_for(gk_best_variant());
    const uint64_t wanted = args->rounds * grid_x * GD_MULTIPLY_PRODUCTS;
    for (uint64_t done = 0; done < wanted;) done += kernels->multiply_int8(1024);
    memset(gd_pointer(args->result), 0, (size_t)4 * GD_THREADS * grid_x);
    return 0;
}

int gd_twin_launch(const char *kernel, uint32_t grid_x, uint32_t grid_y, const void *arguments) {
    static const char score[] = "gd_score_";
    if (strncmp(kernel, score, sizeof score - 1) == 0)
        return gd_twin_score(kernel + sizeof score - 1, grid_x, grid_y, arguments);
    static const char estimate[] = "gd_estimate_";
    if (strncmp(kernel, estimate, sizeof estimate - 1) == 0)
        return gd_twin_estimate(kernel + sizeof estimate - 1, grid_x, grid_y, arguments);
    static const char rescore[] = "gd_rescore_";
    if (strncmp(kernel, rescore, sizeof rescore - 1) == 0)
        return gd_twin_rescore(kernel + sizeof rescore - 1, grid_x, arguments);
    if (strcmp(kernel, "gd_pack") == 0 || strcmp(kernel, "gd_halves") == 0) return 0;
    if (strcmp(kernel, "gd_norms") == 0) return norms(grid_x, arguments);
    if (strcmp(kernel, "gd_cosines") == 0) return cosines(grid_x, grid_y, arguments);
    if (strcmp(kernel, "gd_select_begin") == 0) return gd_twin_select_begin(grid_x, arguments);
    if (strcmp(kernel, "gd_select_count") == 0)
        return gd_twin_select_count(grid_x, grid_y, arguments);
    if (strcmp(kernel, "gd_select_narrow") == 0) return gd_twin_select_narrow(grid_x, arguments);
    if (strcmp(kernel, "gd_select_take") == 0)
        return gd_twin_select_take(grid_x, grid_y, arguments);
    if (strcmp(kernel, "gd_read") == 0) return read_all(grid_x, arguments);
    if (strcmp(kernel, "gd_copy") == 0) return copy_all(grid_x, arguments);
    if (strcmp(kernel, "gd_multiply_int8") == 0) return multiply(grid_x, arguments);
    return GD_TWIN_UNKNOWN;
}
