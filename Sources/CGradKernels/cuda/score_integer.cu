// The kernels of integer codecs, by how many queries they are made for.
#include "score_matrix.cuh"
#include "score_one.cuh"

// Two blocks of _1 are on a processor at a time; a block of the others has most of its shared memory.
#define GD_INTEGER_KERNELS(name, codec)                                                            \
    GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_##name##_1(GD_ARGUMENTS(gd_score_args) a) { \
        score_one<codec>(a);                                                                       \
    }                                                                                              \
    GD_KERNEL __launch_bounds__(GD_THREADS, 1)                                                     \
        gd_score_##name##_few(GD_ARGUMENTS(gd_score_args) a) {                                     \
        score_few<codec>(a);                                                                       \
    }                                                                                              \
    GD_KERNEL __launch_bounds__(GD_THREADS, 1)                                                     \
        gd_score_##name##_many(GD_ARGUMENTS(gd_score_args) a) {                                    \
        score_many<codec>(a);                                                                      \
    }

GD_INTEGER_KERNELS(int8, GD_INT8)
GD_INTEGER_KERNELS(int4, GD_INT4)
GD_INTEGER_KERNELS(bit, GD_BIT)
