// 16-bit floats, many queries: bounds of all dot products, and the exact ones of the rows that these leave.
#include "estimate.cuh"
#include "score_float.cuh"

// ---- queries ----
// The number of the codec that is nearest, of two such the even one. |v| is at most 2^15.
template <int codec>
inline uint32_t nearest_half(float v) {
    const uint32_t bits = bits_of_single(v), sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (codec == GD_BF16) return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    // Below 2^-14 numbers are multiples of 2^-24, as single precision's are from 1/2 on.
    if (magnitude < 0x38800000u) return sign | (bits_of_single(add_singles(float_of(magnitude), 0.5f)) - 0x3f000000u);
    return sign | (magnitude + 0xfffu + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
}

template <int codec>
inline float single_of(uint32_t half) {
    return codec == GD_BF16 ? float_of(half << 16) : half_to_float(half);
}

template <int codec>
inline void make_halves(const gd_halves_args &a) {
    const uint32_t query = blockIdx.y;
    const uint64_t elements = ((uint64_t)(a.layer.slabs - 1) * a.layer.pitch + a.layer.last_pitch) / 2;
    const uint64_t plane_bytes = gd_plane_bytes(codec, a.layer.query_stride);
    const float *source = (const float *)(a.layer.queries + query * a.layer.query_stride);
    uint16_t *high = (uint16_t *)(a.halves + query * plane_bytes * 2);
    uint16_t *low = (uint16_t *)((uint8_t *)high + plane_bytes);
    const double scale = divide(1.0, ((const gd_estimate_term *)a.terms)[query].unit);
    const uint64_t step = (uint64_t)gridDim.x * GD_PACK_ELEMENTS;
    for (uint64_t first = (uint64_t)blockIdx.x * GD_PACK_ELEMENTS; first < elements; first += step)
        for (uint64_t i = first + threadIdx.x; i < first + GD_PACK_ELEMENTS && i < elements; i += GD_THREADS) {
            const float v = to_single(multiply((double)source[i], scale));
            const uint32_t nearest = nearest_half<codec>(v);
            high[i] = (uint16_t)nearest;
            low[i] = (uint16_t)nearest_half<codec>(add_singles(v, -single_of<codec>(nearest)));
        }
}

GD_KERNEL __launch_bounds__(GD_THREADS) gd_halves(GD_ARGUMENTS(gd_halves_args) a) {
    if (a.layer.codec == GD_F16) make_halves<GD_F16>(a);
    else if (a.layer.codec == GD_BF16) make_halves<GD_BF16>(a);
}

// ---- candidates ----
// The last item that begins at or before a row of the output.
inline const gd_item *item_of(const gd_rescore_args &a, uint32_t row) {
    const gd_item *items = (const gd_item *)a.items;
    uint32_t low = 0, high = a.item_count - 1;
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;
        if (items[middle].first <= row) low = middle;
        else high = middle - 1;
    }
    return items + low;
}

// Eight threads to a candidate, as to a row in score_float.cuh.
template <int codec>
inline void rescore(const gd_rescore_args &a) {
    const uint32_t found = *(const uint32_t *)a.found, count = found < a.capacity ? found : a.capacity;
    if (count == 0) return;
    const uint32_t own = threadIdx.x % 8 * 2, group = threadIdx.x % 32 / 8;
    const uint64_t step = (uint64_t)gridDim.x * (GD_THREADS / 8);
    for (uint64_t first = (uint64_t)blockIdx.x * (GD_THREADS / 8) + threadIdx.x / 32 * 4; first < count;
         first += step) {
        // Behind the last candidate, that one again.
        const bool is_there = first + group < count;
        gd_candidate *candidate =
            (gd_candidate *)a.candidates + (is_there ? first + group : (uint64_t)count - 1);
        const gd_item item = *item_of(a, candidate->row);
        const uint64_t row_number = candidate->row - item.first;
        const uint64_t slab_bytes = gd_slab_bytes(item.rows, a.layer.pitch);
        double total = 0;
        for (uint32_t slab = 0; slab < a.layer.slabs; slab++) {
            const uint32_t pitch = slab + 1 < a.layer.slabs ? a.layer.pitch : a.layer.last_pitch;
            const uint8_t *row[1] = {(const uint8_t *)item.slabs + slab * slab_bytes + row_number * pitch + own * 2};
            const uint8_t *query[1] = {(const uint8_t *)a.packed + candidate->query * a.layer.query_stride * 2 +
                                       ((uint64_t)slab * (a.layer.pitch / 2) + own) * 8};
            double sums[1][1][2] = {};
            add_slab<codec, 1, 1, 16>(sums, row, query, pitch);
            const double sum = folded(sums[0][0]);
            total = add_exactly(slab == 0 ? 0.0 : total, sum);
        }
        if (own != 0 || !is_there) continue;
        double score = add_exactly(a.is_first ? 0.0 : candidate->score, total);
        if (a.norms != 0) {
            const double norm = square_root(((const double *)a.norms)[candidate->row]);
            const double query_norm = ((const double *)a.query_norms)[candidate->query];
            score = norm == 0 ? 0.0 : divide(score, multiply(norm, query_norm));
        }
        candidate->score = score;
    }
}

#define GD_HALF_KERNELS(name, codec)                                                                     \
    GD_KERNEL __launch_bounds__(GD_THREADS, 1) gd_estimate_##name(GD_ARGUMENTS(gd_estimate_args) a) {    \
        estimate<codec>(a);                                                                              \
    }                                                                                                    \
    GD_KERNEL __launch_bounds__(GD_THREADS, 3) gd_rescore_##name(GD_ARGUMENTS(gd_rescore_args) a) {      \
        rescore<codec>(a);                                                                               \
    }

GD_HALF_KERNELS(f16, GD_F16)
GD_HALF_KERNELS(bf16, GD_BF16)
