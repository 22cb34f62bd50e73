// A stand-in for NVIDIA's driver library, without a GPU: as many devices as it is told to have, their
// memory, streams and events on threads of this process, their kernels emulated. It is stricter than a
// driver, so that mistakes show:
//
//   - copies from and to memory that is not pinned are refused, as are those that leave an allocation;
//   - a kernel that leaves its allocations ends the process, with a message;
//   - streams go on beside each other, in any order but that of events, with random delays;
//   - memory that has not been written to holds all ones;
//   - what needs a context needs the right one, pushed by the calling thread.
//
// It is told what to be by the environment, or by lines NAME=VALUE of a file stub.env beside it:
//
//   GRADDB_STUB_DEVICES     how many GPUs there are (1)
//   GRADDB_STUB_MEMORY      bytes of memory that each has (1 GiB)
//   GRADDB_STUB_SHARED      bytes of shared memory that a block may have (232,448)
//   GRADDB_STUB_CAPABILITY  compute capability (9.0)
//   GRADDB_STUB_KERNELS     the library that has gd_emulate (libstub_kernels.so beside it)
//   GRADDB_STUB_DELAY       microseconds that a stream may wait before each thing it does (0)
//   GRADDB_STUB_LOG         a file that gets a line for each call
//   GRADDB_STUB_FAIL        what fails, separated by commas: no-device, old-driver, or NAME:N[:CODE] for
//                           the N-th call of the function of that name (719 for launches, 2 for
//                           allocations, else 999). Launches, copies and fills fail in their stream.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

using Result = uint32_t;

enum : Result {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_PTX = 218,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    UNKNOWN = 999,
};

// ---- what it is told (settings.cpp) ----

struct Fault {
    std::string function;
    int number;
    Result code;
};

struct Settings {
    int devices = 1;
    size_t memory = size_t(1) << 30;
    int shared = 232448;
    int capability_major = 9, capability_minor = 0;
    int version = 12040;
    bool has_no_device = false;
    std::string kernels, log;
    int delay = 0;
    std::vector<Fault> faults;
};

const Settings &settings();
// Where this library lies.
std::string own_directory();
// Says something on standard error.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- streams (streams.cpp) ----

struct Device;

// Every time that an event is recorded, it is a new moment.
struct Moment {
    std::mutex mutex;
    std::condition_variable changed;
    bool has_come = false;
    double seconds = 0;

    void come();
    void wait();
};

struct Event {
    Device *device;
    std::shared_ptr<Moment> moment;
};

struct Stream {
    explicit Stream(Device *device);
    ~Stream();
    // What the stream does next: gives 0, or what the device is lost by.
    void add(std::function<Result()> task);
    void finish();

    Device *const device;

private:
    void run();

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<Result()>> tasks;
    bool is_busy = false, is_ending = false;
    std::thread thread;
};

// ---- memory (memory.cpp) ----

struct Memory {
    // 0 where it is not there.
    uint64_t allocate(size_t bytes, size_t limit);
    bool free(uint64_t address);
    bool contains(uint64_t address, size_t bytes);
    size_t used();
    size_t count();
    void clear();

private:
    struct Allocation {
        void *mapping;
        size_t mapped, bytes;
    };
    std::mutex mutex;
    std::map<uint64_t, Allocation> allocations;
    size_t used_bytes = 0;
};

// Pinned memory, of all devices.
extern Memory pinned;

// ---- kernels (kernels.cpp) ----

struct Module;

struct Function {
    Device *device;
    std::string name;
    size_t argument_bytes;
    int shared_limit = 48 << 10;
};

struct Module {
    Device *device;
    std::map<std::string, Function> functions;
};

// The module that a text of PTX is; nothing, and why, where it is none.
std::unique_ptr<Module> parse_module(Device *device, const char *image, std::string &error);
// Runs a kernel on the calling thread.
Result run_kernel(const Function &function, uint32_t x, uint32_t y, const std::vector<char> &arguments);

// ---- devices (driver.cpp) ----

struct Device {
    int ordinal = 0;
    int retained = 0;
    Memory memory;
    std::mutex mutex;  // of what follows
    Result lost = OK;
    std::map<Stream *, std::shared_ptr<Stream>> streams;
    std::set<Event *> events;
    std::set<Module *> modules;

    Result lose(Result code) {
        std::lock_guard<std::mutex> lock(mutex);
        return lost = lost ? lost : code;
    }
    Result failure() {
        std::lock_guard<std::mutex> lock(mutex);
        return lost;
    }
};
