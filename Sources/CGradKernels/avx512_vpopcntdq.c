// The AVX-512 variant with VPOPCNTDQ.
#if defined(__x86_64__)

#define GK_HAS_VPOPCNTDQ 1
#define GK_TARGET                                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,"         \
                          "avx2,fma,f16c")))
#define GK_TABLE gk_avx512_vpopcntdq_kernels
#define GK_NAME "avx512-vpopcntdq"
#define GK_BATCH gk_batch_avx512_vpopcntdq
#include "avx512_variant.h"

#endif
