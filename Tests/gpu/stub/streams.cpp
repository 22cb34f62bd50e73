// Streams: a thread each, which does things in order, and knows of other streams by events alone.
#include "stub.h"

#include <chrono>
#include <random>
#include <unistd.h>

static double now() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
}

void Moment::come() {
    std::lock_guard<std::mutex> lock(mutex);
    has_come = true;
    seconds = now();
    changed.notify_all();
}

void Moment::wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return has_come; });
}

Stream::Stream(Device *device) : device(device), thread([this] { run(); }) {}

Stream::~Stream() {
    {
        std::lock_guard<std::mutex> lock(mutex);
        is_ending = true;
        changed.notify_all();
    }
    thread.join();
}

void Stream::add(std::function<Result()> task) {
    std::lock_guard<std::mutex> lock(mutex);
    tasks.push_back(std::move(task));
    changed.notify_all();
}

void Stream::finish() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return tasks.empty() && !is_busy; });
}

void Stream::run() {
    std::minstd_rand random(static_cast<unsigned>(reinterpret_cast<uintptr_t>(this) >> 6));
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
        changed.wait(lock, [this] { return !tasks.empty() || is_ending; });
        if (tasks.empty()) return;
        const auto task = std::move(tasks.front());
        tasks.pop_front();
        is_busy = true;
        lock.unlock();
        if (settings().delay > 0) usleep(random() % unsigned(settings().delay + 1));
        // Events come on a lost device too: who waits for one is told by the next call.
        const Result code = task();
        if (code != OK) device->lose(code);
        lock.lock();
        is_busy = false;
        changed.notify_all();
    }
}
