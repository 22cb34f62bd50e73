// Memory in pages of its own, ending just before one that cannot be touched.
#include "stub.h"

#include <cstring>
#include <sys/mman.h>

Memory pinned;

static constexpr size_t PAGE = 65536, ALIGNMENT = 256;

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

uint64_t Memory::allocate(size_t bytes, size_t limit) {
    std::lock_guard<std::mutex> lock(mutex);
    const size_t size = round_up(bytes, ALIGNMENT);
    if (bytes == 0 || size < bytes || size > limit - used_bytes) return 0;
    const size_t inner = round_up(size, PAGE), mapped = inner + 2 * PAGE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapping = mmap(nullptr, mapped, PROT_NONE, flags, -1, 0);
    if (mapping == MAP_FAILED) return 0;
    char *begin = static_cast<char *>(mapping) + PAGE;
    if (mprotect(begin, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, mapped);
        return 0;
    }
    char *start = begin + inner - size;
    memset(begin, 0xFF, inner);
    const uint64_t address = reinterpret_cast<uintptr_t>(start);
    allocations[address] = {mapping, mapped, bytes};
    used_bytes += size;
    return address;
}

bool Memory::free(uint64_t address) {
    std::lock_guard<std::mutex> lock(mutex);
    const auto found = allocations.find(address);
    if (found == allocations.end()) return false;
    used_bytes -= round_up(found->second.bytes, ALIGNMENT);
    munmap(found->second.mapping, found->second.mapped);
    allocations.erase(found);
    return true;
}

bool Memory::contains(uint64_t address, size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = allocations.upper_bound(address);
    if (found == allocations.begin()) return false;
    --found;
    const uint64_t offset = address - found->first;
    return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

size_t Memory::used() {
    std::lock_guard<std::mutex> lock(mutex);
    return used_bytes;
}

size_t Memory::count() {
    std::lock_guard<std::mutex> lock(mutex);
    return allocations.size();
}

void Memory::clear() {
    std::lock_guard<std::mutex> lock(mutex);
    for (const auto &[address, allocation] : allocations) munmap(allocation.mapping, allocation.mapped);
    allocations.clear();
    used_bytes = 0;
}
