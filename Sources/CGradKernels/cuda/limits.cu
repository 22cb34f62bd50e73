// What benchmarks compare with: how fast memory is read and copied, and bytes are multiplied.
#include "primitives.cuh"

GD_KERNEL __launch_bounds__(GD_THREADS) gd_read(GD_ARGUMENTS(gd_stream_args) a) {
    constexpr int depth = 8;
    const uint64_t vectors = a.bytes / 16, stride = (uint64_t)gridDim.x * GD_THREADS * depth;
    const uint8_t *source = (const uint8_t *)a.source;
    uint32_t seen = 0;
    for (uint64_t first = (uint64_t)blockIdx.x * GD_THREADS * depth; first < vectors; first += stride) {
        Words4 words[depth];
#pragma unroll
        for (int d = 0; d < depth; d++) {
            const uint64_t at = first + d * GD_THREADS + threadIdx.x;
            words[d] = load_once_16(source + (at < vectors ? at : vectors - 1) * 16);
        }
#pragma unroll
        for (int d = 0; d < depth; d++)
            seen |= words[d].word[0] ^ words[d].word[1] ^ words[d].word[2] ^ words[d].word[3];
    }
    for (uint64_t at = vectors * 16 + threadIdx.x; at < a.bytes; at += GD_THREADS) seen |= source[at];
    // Any of the block's threads may be the last to write; the value means nothing.
    if (seen != 0) ((uint64_t *)a.target)[blockIdx.x] = seen;
}

GD_KERNEL __launch_bounds__(GD_THREADS) gd_copy(GD_ARGUMENTS(gd_stream_args) a) {
    constexpr int depth = 4;
    const uint64_t vectors = a.bytes / 16, stride = (uint64_t)gridDim.x * GD_THREADS * depth;
    const uint8_t *source = (const uint8_t *)a.source;
    uint8_t *target = (uint8_t *)a.target;
    for (uint64_t first = (uint64_t)blockIdx.x * GD_THREADS * depth; first < vectors; first += stride) {
        Words4 words[depth];
#pragma unroll
        for (int d = 0; d < depth; d++) {
            const uint64_t at = first + d * GD_THREADS + threadIdx.x;
            if (at < vectors) words[d] = load_once_16(source + at * 16);
        }
#pragma unroll
        for (int d = 0; d < depth; d++) {
            const uint64_t at = first + d * GD_THREADS + threadIdx.x;
            if (at < vectors) *(Words4 *)(target + at * 16) = words[d];
        }
    }
    if (blockIdx.x == 0)
        for (uint64_t at = vectors * 16 + threadIdx.x; at < a.bytes; at += GD_THREADS) target[at] = source[at];
}

GD_KERNEL __launch_bounds__(GD_THREADS) gd_multiply_int8(GD_ARGUMENTS(gd_multiply_args) a) {
    constexpr int accumulators = 8;
    int32_t sums[accumulators][4];
    uint32_t left[4];
#pragma unroll
    for (int i = 0; i < 4; i++) left[i] = (threadIdx.x * 4 + i) * 0x01030507u;
    const uint32_t right[2] = {threadIdx.x * 0x07050301u, threadIdx.x * 0x01010101u};
#pragma unroll
    for (int n = 0; n < accumulators; n++)
#pragma unroll
        for (int c = 0; c < 4; c++) sums[n][c] = n;
#pragma unroll 1
    for (uint64_t round = 0; round < a.rounds; round++)
#pragma unroll
        for (int n = 0; n < accumulators; n++) multiply_s8(sums[n], left, right[0], right[1]);
    uint32_t result = 0;
#pragma unroll
    for (int n = 0; n < accumulators; n++)
#pragma unroll
        for (int c = 0; c < 4; c++) result += (uint32_t)sums[n][c];
    ((uint32_t *)a.result)[blockIdx.x * GD_THREADS + threadIdx.x] = result;
}
