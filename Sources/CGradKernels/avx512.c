// The AVX-512 variant: F, BW, DQ, VL and VNNI.
#if defined(__x86_64__)

#define GK_HAS_VPOPCNTDQ 0
#define GK_TARGET                                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define GK_TABLE gk_avx512_kernels
#define GK_NAME "avx512"
#define GK_BATCH gk_batch_avx512
#include "avx512_variant.h"

#endif
