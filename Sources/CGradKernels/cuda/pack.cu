// Queries in the form that the kernels of a codec read: integers of less than a byte in planes, one for each
// place in a row's byte; floats as doubles. Once per scan and layer: not worth more than being plain.
#include "rows.cuh"

template <int codec>
inline void pack_planes(const gd_pack_args &a, uint64_t row_bytes) {
    constexpr int planes = Planes<codec>::count;
    const uint64_t elements = row_bytes * planes;
    const uint64_t plane_bytes = gd_plane_bytes(codec, a.layer.query_stride);
    const int8_t *source = (const int8_t *)a.layer.queries + blockIdx.y * a.layer.query_stride;
    int8_t *target = (int8_t *)a.packed + blockIdx.y * plane_bytes * planes;
    const uint64_t step = (uint64_t)gridDim.x * GD_PACK_ELEMENTS;
    for (uint64_t first = (uint64_t)blockIdx.x * GD_PACK_ELEMENTS; first < elements; first += step)
        for (uint64_t i = first + threadIdx.x; i < first + GD_PACK_ELEMENTS && i < elements; i += GD_THREADS)
            target[i % planes * plane_bytes + i / planes] = source[i];
}

inline void pack_doubles(const gd_pack_args &a, uint64_t elements) {
    const float *source = (const float *)(a.layer.queries + blockIdx.y * a.layer.query_stride);
    double *target = (double *)(a.packed + blockIdx.y * a.layer.query_stride * 2);
    const uint64_t step = (uint64_t)gridDim.x * GD_PACK_ELEMENTS;
    for (uint64_t first = (uint64_t)blockIdx.x * GD_PACK_ELEMENTS; first < elements; first += step)
        for (uint64_t i = first + threadIdx.x; i < first + GD_PACK_ELEMENTS && i < elements; i += GD_THREADS)
            target[i] = (double)source[i];
}

GD_KERNEL __launch_bounds__(GD_THREADS) gd_pack(GD_ARGUMENTS(gd_pack_args) a) {
    const uint64_t row_bytes = (uint64_t)(a.layer.slabs - 1) * a.layer.pitch + a.layer.last_pitch;
    if (a.layer.codec == GD_BIT) pack_planes<GD_BIT>(a, row_bytes);
    else if (a.layer.codec == GD_INT4) pack_planes<GD_INT4>(a, row_bytes);
    else if (a.layer.codec == GD_F32) pack_doubles(a, row_bytes / 4);
    else if (a.layer.codec != GD_INT8) pack_doubles(a, row_bytes / 2);
}
