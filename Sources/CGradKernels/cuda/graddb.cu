// All kernels: one program, of which tools/gpu/compile_kernels.py makes graddb.ptx.
#include "estimate.cu"
#include "limits.cu"
#include "norms.cu"
#include "pack.cu"
#include "score_float.cu"
#include "score_integer.cu"
#include "select.cu"
