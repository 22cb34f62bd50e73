// What the twins of the device's kernels share.
#ifndef GRADDB_DEVICE_TWIN_H
#define GRADDB_DEVICE_TWIN_H

#include <stddef.h>

#include "graddb_device.h"
#include "graddb_kernels.h"

#pragma STDC FP_CONTRACT OFF

static inline void *gd_pointer(gd_address address) { return (void *)(uintptr_t)address; }

// Whether a row of the output counts; an address of 0 says that all do.
static inline int gd_counts(gd_address counting, size_t row) {
    const uint32_t *words = gd_pointer(counting);
    return words == NULL || (words[row / 32] >> row % 32 & 1);
}

// How many of `count` things a grid of so many blocks covers.
static inline size_t gd_covered(size_t count, size_t blocks, size_t per_block) {
    return count < blocks * per_block ? count : blocks * per_block;
}

// All of these return what gd_twin_launch does. Names begin behind "gd_score_", "gd_estimate_" and "gd_rescore_".
int gd_twin_score(const char *name, uint32_t grid_x, uint32_t grid_y, const gd_score_args *args);
int gd_twin_estimate(const char *name, uint32_t grid_x, uint32_t grid_y,
                     const gd_estimate_args *args);
int gd_twin_rescore(const char *name, uint32_t grid_x, const gd_rescore_args *args);
int gd_twin_select_begin(uint32_t grid_x, const gd_select_args *args);
int gd_twin_select_count(uint32_t grid_x, uint32_t grid_y, const gd_select_args *args);
int gd_twin_select_narrow(uint32_t grid_x, const gd_select_args *args);
int gd_twin_select_take(uint32_t grid_x, uint32_t grid_y, const gd_select_args *args);

#endif
