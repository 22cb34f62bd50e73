// The kernels of float codecs, by how many queries they are made for. _many differs from _few in how many
// queries share a row while it is in the caches.
#include "score_float.cuh"

#define GD_FLOAT_KERNELS(name, codec)                                                                   \
    GD_KERNEL __launch_bounds__(GD_THREADS, 4) gd_score_##name##_1(GD_ARGUMENTS(gd_score_args) a) {     \
        GD_SHARED double totals[32];                                                                    \
        score_floats<codec, 1, 1, codec == GD_F32 ? 8 : 16, 1, GD_ROWS_1>(a, totals);                   \
    }                                                                                                   \
    GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_##name##_few(GD_ARGUMENTS(gd_score_args) a) {   \
        double *totals = (double *)shared_memory();                                                     \
        score_floats<codec, 2, 4, codec == GD_F32 ? 4 : 8, GD_QUERIES_FEW, GD_ROWS_FEW>(a, totals);     \
    }                                                                                                   \
    GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_##name##_many(GD_ARGUMENTS(gd_score_args) a) {  \
        double *totals = (double *)shared_memory();                                                     \
        score_floats<codec, 2, 4, codec == GD_F32 ? 4 : 8, GD_QUERIES_MANY, GD_ROWS_MANY>(a, totals);   \
    }

GD_FLOAT_KERNELS(f32, GD_F32)
GD_FLOAT_KERNELS(f16, GD_F16)
GD_FLOAT_KERNELS(bf16, GD_BF16)
