// The driver's functions for devices, contexts, modules and memory.
#include "calls.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

static std::mutex calls_mutex;
static std::map<std::string, int> call_counts;
static std::atomic<pid_t> initialized_by{0};
static thread_local std::vector<Device *> contexts;

static std::vector<std::unique_ptr<Device>> &devices() {
    static auto *const devices = [] {
        auto *made = new std::vector<std::unique_ptr<Device>>;
        for (int i = 0; i < settings().devices; i++) {
            made->push_back(std::make_unique<Device>());
            made->back()->ordinal = i;
        }
        return made;
    }();
    return *devices;
}

Result begin(const char *function, const std::string &about) {
    std::lock_guard<std::mutex> lock(calls_mutex);
    const int number = ++call_counts[function];
    if (!settings().log.empty())
        if (FILE *log = fopen(settings().log.c_str(), "a")) {
            fprintf(log, "%s%s%s\n", function, about.empty() ? "" : " ", about.c_str());
            fclose(log);
        }
    for (const Fault &fault : settings().faults)
        if (fault.function == function && fault.number == number) return fault.code;
    return OK;
}

Result current(Device *&device) {
    if (initialized_by != getpid()) return NOT_INITIALIZED;
    if (contexts.empty() || contexts.back()->retained == 0) return INVALID_CONTEXT;
    device = contexts.back();
    return device->failure();
}

Result enter(const char *function, Device *&device, const std::string &about) {
    const Result fault = begin(function, about);
    const Result code = current(device);
    if (code != OK) return code;
    // What a real device does not recover from loses this one too.
    return fault >= 700 && fault < 800 ? device->lose(fault) : fault;
}

// ---- starting ----

EXPORT Result cuInit(unsigned) {
    if (const Result fault = begin("cuInit")) return fault;
    if (settings().has_no_device) return NO_DEVICE;
    initialized_by = getpid();
    return OK;
}

EXPORT Result cuDriverGetVersion(int *version) {
    *version = settings().version;
    return begin("cuDriverGetVersion");
}

static const struct {
    Result code;
    const char *name, *text;
} codes[] = {
    {OK, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

EXPORT Result cuGetErrorName(Result code, const char **name) {
    *name = nullptr;
    for (const auto &one : codes)
        if (one.code == code) *name = one.name;
    return *name ? OK : INVALID_VALUE;
}

EXPORT Result cuGetErrorString(Result code, const char **text) {
    *text = nullptr;
    for (const auto &one : codes)
        if (one.code == code) *text = one.text;
    return *text ? OK : INVALID_VALUE;
}

// ---- devices ----

static Result find(const char *function, int number, Device *&device) {
    if (const Result fault = begin(function)) return fault;
    if (initialized_by != getpid()) return NOT_INITIALIZED;
    if (number < 0 || number >= int(devices().size())) return INVALID_DEVICE;
    device = devices()[size_t(number)].get();
    return OK;
}

EXPORT Result cuDeviceGetCount(int *count) {
    if (const Result fault = begin("cuDeviceGetCount")) return fault;
    if (initialized_by != getpid()) return NOT_INITIALIZED;
    *count = int(devices().size());
    return OK;
}

EXPORT Result cuDeviceGet(int *handle, int ordinal) {
    Device *device;
    const Result code = find("cuDeviceGet", ordinal, device);
    if (code == OK) *handle = ordinal;
    return code;
}

EXPORT Result cuDeviceGetName(char *name, int bytes, int handle) {
    Device *device;
    const Result code = find("cuDeviceGetName", handle, device);
    if (code == OK) snprintf(name, size_t(bytes), "Stub GPU");
    return code;
}

EXPORT Result cuDeviceGetPCIBusId(char *bus, int bytes, int handle) {
    Device *device;
    const Result code = find("cuDeviceGetPCIBusId", handle, device);
    if (code == OK) snprintf(bus, size_t(bytes), "0000:%02X:00.0", 0xA0 + handle);
    return code;
}

EXPORT Result cuDeviceTotalMem_v2(size_t *bytes, int handle) {
    Device *device;
    const Result code = find("cuDeviceTotalMem_v2", handle, device);
    if (code == OK) *bytes = settings().memory;
    return code;
}

EXPORT Result cuDeviceGetAttribute(int *value, int attribute, int handle) {
    Device *device;
    if (const Result code = find("cuDeviceGetAttribute", handle, device)) return code;
    switch (attribute) {
    case 16: *value = 2; return OK;
    case 75: *value = settings().capability_major; return OK;
    case 76: *value = settings().capability_minor; return OK;
    case 97: *value = settings().shared; return OK;
    default: return INVALID_VALUE;
    }
}

// ---- contexts ----

EXPORT Result cuDevicePrimaryCtxRetain(Device **context, int handle) {
    if (const Result code = find("cuDevicePrimaryCtxRetain", handle, *context)) return code;
    std::lock_guard<std::mutex> lock((*context)->mutex);
    (*context)->retained++;
    return OK;
}

// What the last one leaves behind is said: a driver would free it in silence.
EXPORT Result cuDevicePrimaryCtxRelease_v2(int handle) {
    Device *device;
    if (const Result code = find("cuDevicePrimaryCtxRelease_v2", handle, device)) return code;
    std::lock_guard<std::mutex> lock(device->mutex);
    if (device->retained == 0) return INVALID_CONTEXT;
    if (--device->retained > 0) return OK;
    const size_t left[] = {device->memory.count(), device->streams.size(), device->events.size(),
                           device->modules.size()};
    if (left[0] + left[1] + left[2] + left[3] > 0) {
        char text[200];
        snprintf(text, sizeof text, "left behind: %zu allocations, %zu streams, %zu events, %zu modules",
                 left[0], left[1], left[2], left[3]);
        say("%s", text);
        begin("leak", text);
    }
    device->memory.clear();
    device->lost = OK;
    return OK;
}

EXPORT Result cuCtxPushCurrent_v2(Device *device) {
    if (initialized_by != getpid()) return NOT_INITIALIZED;
    if (!device || device->retained == 0) return INVALID_CONTEXT;
    contexts.push_back(device);
    return OK;
}

EXPORT Result cuCtxPopCurrent_v2(Device **device) {
    if (contexts.empty()) return INVALID_CONTEXT;
    *device = contexts.back();
    contexts.pop_back();
    return OK;
}

// ---- modules ----

EXPORT Result cuModuleLoadDataEx(Module **module, const void *image, unsigned option_count,
                                 const unsigned *options, void **values) {
    Device *device;
    if (const Result code = enter("cuModuleLoadDataEx", device)) return code;
    std::string error;
    auto parsed = parse_module(device, static_cast<const char *>(image), error);
    if (!parsed) {
        char *log = nullptr;
        size_t bytes = 0;
        for (unsigned i = 0; i < option_count; i++) {
            if (options[i] == 5) log = static_cast<char *>(values[i]);
            if (options[i] == 6) bytes = reinterpret_cast<uintptr_t>(values[i]);
        }
        if (log && bytes > 0) snprintf(log, bytes, "%s", error.c_str());
        return INVALID_PTX;
    }
    std::lock_guard<std::mutex> lock(device->mutex);
    device->modules.insert(*module = parsed.release());
    return OK;
}

EXPORT Result cuModuleUnload(Module *module) {
    begin("cuModuleUnload");
    Device *device = module->device;
    std::lock_guard<std::mutex> lock(device->mutex);
    if (device->modules.erase(module) == 0) return INVALID_HANDLE;
    delete module;
    return OK;
}

EXPORT Result cuModuleGetFunction(Function **function, Module *module, const char *name) {
    Device *device;
    if (const Result code = enter("cuModuleGetFunction", device, name)) return code;
    if (module->device != device) return INVALID_HANDLE;
    const auto found = module->functions.find(name);
    if (found == module->functions.end()) return NOT_FOUND;
    *function = &found->second;
    return OK;
}

EXPORT Result cuFuncSetAttribute(Function *function, int attribute, int value) {
    Device *device;
    if (const Result code = enter("cuFuncSetAttribute", device, function->name)) return code;
    if (attribute != 8 || value < 0 || value > settings().shared) return INVALID_VALUE;
    function->shared_limit = std::max(function->shared_limit, value);
    return OK;
}

// ---- memory ----

EXPORT Result cuMemGetInfo_v2(size_t *free, size_t *total) {
    Device *device;
    if (const Result code = enter("cuMemGetInfo_v2", device)) return code;
    *total = settings().memory;
    *free = *total - device->memory.used();
    return OK;
}

EXPORT Result cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    Device *device;
    if (const Result code = enter("cuMemAlloc_v2", device, std::to_string(bytes))) return code;
    if (bytes == 0) return INVALID_VALUE;
    *address = device->memory.allocate(bytes, settings().memory);
    return *address ? OK : OUT_OF_MEMORY;
}

// As a driver does, only once the device has done what it was given.
EXPORT Result cuMemFree_v2(uint64_t address) {
    Device *device;
    const Result code = enter("cuMemFree_v2", device);
    if (code == NOT_INITIALIZED || code == INVALID_CONTEXT) return code;
    std::vector<std::shared_ptr<Stream>> streams;
    {
        std::lock_guard<std::mutex> lock(device->mutex);
        for (const auto &[handle, stream] : device->streams) streams.push_back(stream);
    }
    for (const auto &stream : streams) stream->finish();
    return device->memory.free(address) ? code : INVALID_VALUE;
}

EXPORT Result cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
    Device *device;
    if (const Result code = enter("cuMemHostAlloc", device, std::to_string(bytes))) return code;
    const uint64_t address = pinned.allocate(bytes, SIZE_MAX / 2);
    *memory = reinterpret_cast<void *>(address);
    return address ? OK : OUT_OF_MEMORY;
}

EXPORT Result cuMemFreeHost(void *memory) {
    begin("cuMemFreeHost");
    return pinned.free(reinterpret_cast<uintptr_t>(memory)) ? OK : INVALID_VALUE;
}
