// Which variants this machine can run. Nothing is remembered: asking costs a few CPUID
// instructions (ten microseconds under a hypervisor), callers keep the table they were given.
#include "kernels_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

// The register states that the operating system saves, or 0 where it does not say.
static uint64_t saved_states(uint32_t leaf1_ecx) {
    if (!(leaf1_ecx & bit_OSXSAVE)) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has_all(uint64_t present, uint64_t wanted) { return (present & wanted) == wanted; }

// A vector instruction set is usable when the processor has it and the operating system saves its
// registers on a switch of threads: bits 1-2 of the states are xmm and ymm, bits 5-7 the mask
// registers and the two parts of zmm.
static int x86_supports(gk_variant variant) {
    const uint32_t leaf1_wanted = bit_AVX | bit_FMA | bit_F16C;
    const uint32_t avx512_wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const uint64_t ymm_states = 0x06, zmm_states = 0xe6;

    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    const uint64_t states = saved_states(ecx);
    if (!has_all(ecx, leaf1_wanted) || !has_all(states, ymm_states)) return 0;

    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
    if (!has_all(ebx, bit_AVX2)) return 0;
    if (variant == GK_AVX2) return 1;
    // Processors with VPOPCNTDQ have VBMI, which batch_avx512.c uses; hypervisors may hide it.
    const uint32_t counting_bits = bit_AVX512VPOPCNTDQ | bit_AVX512VBMI;
    const uint32_t leaf7_wanted = bit_AVX512VNNI | (variant == GK_AVX512 ? 0 : counting_bits);
    return has_all(ebx, avx512_wanted) && has_all(ecx, leaf7_wanted) &&
           has_all(states, zmm_states);
}
#endif

int gk_variant_supported(gk_variant variant) {
    switch (variant) {
    case GK_SCALAR:
        return 1;
#if defined(__aarch64__)
    case GK_NEON:
        return gk_neon_supported();
#elif defined(__x86_64__)
    case GK_AVX2:
    case GK_AVX512:
    case GK_AVX512_VPOPCNTDQ:
        return x86_supports(variant);
#endif
    default:
        return 0;
    }
}

const gk_kernels *gk_kernels_for(gk_variant variant) {
    if (!gk_variant_supported(variant)) return NULL;
#if defined(__aarch64__)
    if (variant == GK_NEON) return &gk_neon_kernels;
#elif defined(__x86_64__)
    if (variant == GK_AVX2) return &gk_avx2_kernels;
    if (variant == GK_AVX512) return &gk_avx512_kernels;
    if (variant == GK_AVX512_VPOPCNTDQ) return &gk_avx512_vpopcntdq_kernels;
#endif
    return &gk_scalar_kernels;
}

gk_variant gk_best_variant(void) {
    int best = GK_VARIANT_COUNT - 1;
    while (best > GK_SCALAR && !gk_variant_supported((gk_variant)best)) best--;
    return (gk_variant)best;
}
