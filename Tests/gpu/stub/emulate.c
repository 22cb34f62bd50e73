// The kernels of the stub where it is given no emulator of theirs: their twins.
#include "graddb_device.h"

int gd_emulate(const char *kernel, uint32_t grid_x, uint32_t grid_y, const void *arguments) {
    return gd_twin_launch(kernel, grid_x, grid_y, arguments);
}
