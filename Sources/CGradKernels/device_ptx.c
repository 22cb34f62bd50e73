// The kernels for NVIDIA's GPUs, as text that their driver compiles. tools/gpu/compile_kernels.py writes the
// file that is taken in here.
#include "graddb_device.h"

#pragma clang diagnostic ignored "-Wc23-extensions"
static const char ptx[] = {
#embed "cuda/graddb.ptx" suffix(, 0)
};

const char *gd_device_ptx(void) { return ptx; }
