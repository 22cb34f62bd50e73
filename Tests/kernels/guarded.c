// Buffers between pages that cannot be read or written: whoever touches a byte beyond a buffer's
// end crashes at once. On the side that does not touch a guard lie marks, which show writes.
#define _GNU_SOURCE
#include "kernel_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BUFFERS 12
#define BUFFER_BYTES ((size_t)20 << 20)  // of address space; memory is what cases touch
#define GUARD_BYTES ((size_t)65536)      // at least a page anywhere
#define MARK_BYTES 64
#define MARK 0xa5

typedef struct buffer {
    unsigned char *memory;  // BUFFER_BYTES between two guards
    unsigned char *at;
    size_t bytes;
} buffer;

static buffer buffers[BUFFERS];

static unsigned char *map_between_guards(void) {
    const size_t all = BUFFER_BYTES + 2 * GUARD_BYTES;
    unsigned char *memory =
        mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED ||
        mprotect(memory + GUARD_BYTES, BUFFER_BYTES, PROT_READ | PROT_WRITE) != 0) {
        perror("kernel_cases: cannot map memory");
        exit(2);
    }
    return memory + GUARD_BYTES;
}

// The marks are those parts of MARK_BYTES on either side that lie between the guards.
static unsigned char *marks_begin(const buffer *b) {
    return b->at - b->memory < MARK_BYTES ? b->memory : b->at - MARK_BYTES;
}

static unsigned char *marks_end(const buffer *b) {
    unsigned char *end = b->at + b->bytes, *limit = b->memory + BUFFER_BYTES;
    return limit - end < MARK_BYTES ? limit : end + MARK_BYTES;
}

void *guarded(kernel_case *c, size_t bytes, size_t alignment) {
    if (c->buffers == BUFFERS || bytes + 2 * MARK_BYTES > BUFFER_BYTES)
        fail(c, "the case needs more memory than there is");
    buffer *b = &buffers[c->buffers++];
    if (!b->memory) b->memory = map_between_guards();
    b->bytes = bytes;
    b->at = b->memory;
    if (c->placing == BEFORE_A_GUARD) b->at += (BUFFER_BYTES - bytes) & ~(alignment - 1);
    if (c->placing == ANYWHERE) b->at += random_below(c, MARK_BYTES) & ~(alignment - 1);
    memset(marks_begin(b), MARK, (size_t)(b->at - marks_begin(b)));
    memset(b->at + bytes, MARK, (size_t)(marks_end(b) - b->at) - bytes);
    return b->at;
}

void check_surroundings(const kernel_case *c) {
    for (size_t i = 0; i < c->buffers; i++) {
        const buffer *b = &buffers[i];
        for (const unsigned char *at = marks_begin(b); at < marks_end(b); at++) {
            if (at == b->at && b->bytes > 0) at += b->bytes;
            if (at < marks_end(b) && *at != MARK)
                fail(c, "wrote at byte %td of a buffer of %zu (the %zuth of the case)", at - b->at,
                     b->bytes, i + 1);
        }
    }
}
