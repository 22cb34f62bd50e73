// The kernels of integer codecs, by how many queries they are made for.
#include "score_matrix.cuh"
#include "score_one.cuh"

GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_int8_1(GD_ARGUMENTS(gd_score_args) a) { score_one<GD_INT8>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_int4_1(GD_ARGUMENTS(gd_score_args) a) { score_one<GD_INT4>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 2) gd_score_bit_1(GD_ARGUMENTS(gd_score_args) a) { score_one<GD_BIT>(a); }

GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_int8_few(GD_ARGUMENTS(gd_score_args) a) { score_few<GD_INT8>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_int4_few(GD_ARGUMENTS(gd_score_args) a) { score_few<GD_INT4>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_bit_few(GD_ARGUMENTS(gd_score_args) a) { score_few<GD_BIT>(a); }

GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_int8_many(GD_ARGUMENTS(gd_score_args) a) { score_many<GD_INT8>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_int4_many(GD_ARGUMENTS(gd_score_args) a) { score_many<GD_INT4>(a); }
GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_score_bit_many(GD_ARGUMENTS(gd_score_args) a) { score_many<GD_BIT>(a); }
