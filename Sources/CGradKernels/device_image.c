// The kernels of a build, for the host that loads them. A build may have none: PTX is embedded apart.
#include <stddef.h>

#include "graddb_device.h"

extern const char gd_ptx[] __attribute__((weak));

const char *gd_device_image(void) { return gd_ptx; }

uint32_t gd_device_shared_bytes(const char *kernel) {
#ifdef GD_SHARED_LIMIT
    return gd_shared_bytes(kernel);
#else
    (void)kernel;
    return 0;
#endif
}
