// The driver's functions for streams and events: what they are given is done by the streams' threads.
#include "calls.h"

#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

// What a thing for a stream begins with: of a device that is not lost, whose context is current.
static Result enter_stream(const char *function, Stream *stream, Result &fault,
                           const std::string &about = "") {
    fault = begin(function, about);
    Device *device;
    if (const Result code = current(device)) return code;
    return stream && stream->device == device ? OK : INVALID_HANDLE;
}

// Gives the stream a task, or a failure in its place.
static Result give(Stream *stream, Result fault, std::function<Result()> task) {
    Device *device = stream->device;
    stream->add([=] {
        if (const Result code = device->failure()) return code;
        return fault ? fault : task();
    });
    return OK;
}

// ---- streams ----

EXPORT Result cuStreamCreate(Stream **stream, unsigned) {
    Device *device;
    if (const Result code = enter("cuStreamCreate", device)) return code;
    const auto made = std::make_shared<Stream>(device);
    *stream = made.get();
    std::lock_guard<std::mutex> lock(device->mutex);
    device->streams[*stream] = made;
    return OK;
}

EXPORT Result cuStreamDestroy_v2(Stream *stream) {
    begin("cuStreamDestroy_v2");
    std::shared_ptr<Stream> last;  // let go of without the lock: it waits for the stream's thread
    Device *device = stream->device;
    std::lock_guard<std::mutex> lock(device->mutex);
    const auto found = device->streams.find(stream);
    if (found == device->streams.end()) return INVALID_HANDLE;
    last = std::move(found->second);
    device->streams.erase(found);
    return OK;
}

EXPORT Result cuStreamSynchronize(Stream *stream) {
    Result fault;
    if (const Result code = enter_stream("cuStreamSynchronize", stream, fault)) return code;
    stream->finish();
    return fault ? stream->device->lose(fault) : stream->device->failure();
}

// ---- copies and kernels ----

EXPORT Result cuMemcpyHtoDAsync_v2(uint64_t target, const void *source, size_t bytes, Stream *stream) {
    Result fault;
    const std::string about = std::to_string(bytes);
    if (const Result code = enter_stream("cuMemcpyHtoDAsync_v2", stream, fault, about)) return code;
    if (!pinned.contains(reinterpret_cast<uintptr_t>(source), bytes)) {
        say("a copy of %zu bytes from memory that is not pinned", bytes);
        return INVALID_VALUE;
    }
    if (!stream->device->memory.contains(target, bytes)) return INVALID_VALUE;
    return give(stream, fault, [=] {
        memcpy(reinterpret_cast<void *>(target), source, bytes);
        return OK;
    });
}

EXPORT Result cuMemcpyDtoHAsync_v2(void *target, uint64_t source, size_t bytes, Stream *stream) {
    Result fault;
    const std::string about = std::to_string(bytes);
    if (const Result code = enter_stream("cuMemcpyDtoHAsync_v2", stream, fault, about)) return code;
    if (!pinned.contains(reinterpret_cast<uintptr_t>(target), bytes)) {
        say("a copy of %zu bytes to memory that is not pinned", bytes);
        return INVALID_VALUE;
    }
    if (!stream->device->memory.contains(source, bytes)) return INVALID_VALUE;
    return give(stream, fault, [=] {
        memcpy(target, reinterpret_cast<const void *>(source), bytes);
        return OK;
    });
}

// In the order of the default stream, which nothing here uses, and done when it returns.
EXPORT Result cuMemcpyDtoH_v2(void *target, uint64_t source, size_t bytes) {
    Device *device;
    if (const Result code = enter("cuMemcpyDtoH_v2", device, std::to_string(bytes))) return code;
    if (!device->memory.contains(source, bytes)) return INVALID_VALUE;
    memcpy(target, reinterpret_cast<const void *>(source), bytes);
    return OK;
}

EXPORT Result cuMemsetD8Async(uint64_t target, unsigned char byte, size_t bytes, Stream *stream) {
    Result fault;
    const std::string about = std::to_string(bytes);
    if (const Result code = enter_stream("cuMemsetD8Async", stream, fault, about)) return code;
    if (!stream->device->memory.contains(target, bytes)) return INVALID_VALUE;
    return give(stream, fault, [=] {
        memset(reinterpret_cast<void *>(target), byte, bytes);
        return OK;
    });
}

EXPORT Result cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                             unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                             Stream *stream, void **arguments, void **extra) {
    Result fault;
    const std::string about =
        function->name + " " + std::to_string(grid_x) + " " + std::to_string(grid_y);
    if (const Result code = enter_stream("cuLaunchKernel", stream, fault, about)) return code;
    if (function->device != stream->device) return INVALID_HANDLE;
    const bool is_grid = grid_x > 0 && grid_x < 1u << 31 && grid_y > 0 && grid_y < 65536 && grid_z == 1;
    const bool is_block = block_x == 256 && block_y == 1 && block_z == 1;
    if (!is_grid || !is_block || !arguments || extra) return INVALID_VALUE;
    if (shared > unsigned(function->shared_limit)) {
        say("the kernel %s was not given %u bytes of shared memory", function->name.c_str(), shared);
        return INVALID_VALUE;
    }
    const char *bytes = static_cast<const char *>(arguments[0]);
    const std::vector<char> copied(bytes, bytes + function->argument_bytes);
    return give(stream, fault,
                [=, kernel = *function] { return run_kernel(kernel, grid_x, grid_y, copied); });
}

// ---- events ----

EXPORT Result cuEventCreate(Event **event, unsigned) {
    Device *device;
    if (const Result code = enter("cuEventCreate", device)) return code;
    *event = new Event{device, nullptr};
    std::lock_guard<std::mutex> lock(device->mutex);
    device->events.insert(*event);
    return OK;
}

EXPORT Result cuEventDestroy_v2(Event *event) {
    begin("cuEventDestroy_v2");
    Device *device = event->device;
    std::lock_guard<std::mutex> lock(device->mutex);
    if (device->events.erase(event) == 0) return INVALID_HANDLE;
    delete event;
    return OK;
}

EXPORT Result cuEventRecord(Event *event, Stream *stream) {
    Result fault;
    if (const Result code = enter_stream("cuEventRecord", stream, fault)) return code;
    if (fault) return stream->device->lose(fault);
    if (event->device != stream->device) return INVALID_HANDLE;
    const auto moment = std::make_shared<Moment>();
    event->moment = moment;
    stream->add([=] {
        moment->come();
        return OK;
    });
    return OK;
}

// Waits for the moment that is the event's last one now; for none, where it was never recorded.
EXPORT Result cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    Result fault;
    if (const Result code = enter_stream("cuStreamWaitEvent", stream, fault)) return code;
    if (fault) return stream->device->lose(fault);
    if (const auto moment = event->moment)
        stream->add([=] {
            moment->wait();
            return OK;
        });
    return OK;
}

EXPORT Result cuEventSynchronize(Event *event) {
    Device *device;
    if (const Result code = enter("cuEventSynchronize", device)) return code;
    if (const auto moment = event->moment) moment->wait();
    return device->failure();
}

EXPORT Result cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    Device *device;
    if (const Result code = enter("cuEventElapsedTime", device)) return code;
    if (!start->moment || !end->moment) return INVALID_HANDLE;
    for (const auto &moment : {start->moment, end->moment}) {
        std::lock_guard<std::mutex> lock(moment->mutex);
        if (!moment->has_come) return NOT_READY;
    }
    *milliseconds = float((end->moment->seconds - start->moment->seconds) * 1000);
    return OK;
}
