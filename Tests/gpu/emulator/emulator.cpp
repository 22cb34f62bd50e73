// Runs kernels, block after block, on the calling thread; other threads may do so at the same time.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fiber.h"
#include "graddb.cu"
#include "matrices.h"

#define GD_EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

constexpr int thread_count = GD_THREADS, warp_count = GD_THREADS / 32;
constexpr size_t stack_bytes = 128 << 10, shared_room = 256 << 10;
constexpr int copy_room = 512;

enum class State { ready, at_barrier, in_warp, done };
enum class Meeting {
    barrier,
    barrier_any,
    from_lane,
    ballot,
    match,
    load_matrices,
    multiply_signed,
    multiply_unsigned,
    multiply_f16,
    multiply_bf16,
};

struct Copy {
    void *to;
    const void *from;
    bool is_there, is_done;
};

struct Fiber {
    EmulatedThread visible;
    State state;
    void *stack;
    Meeting meeting;
    uint64_t value, answer;
    int lane;
    uint32_t left[4], right[2];
    int32_t sums[4];  // or floats
    Copy copies[copy_room];
    int copy_count;
    int groups[copy_room];  // how many copies had been begun when it was committed
    int group_count;
};

struct Machine {
    Fiber fibers[thread_count];
    uint8_t *stacks;
    uint8_t *shared_end;
    void *stack;  // of the scheduler
    Fiber *running;
    void (*kernel)(const void *);
    const void *arguments;
    uint64_t random;
    bool any;

    uint32_t next_random(uint32_t below) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        return (uint32_t)((random >> 33) % below);
    }
};

pthread_key_t machine_key;
pthread_once_t machine_once = PTHREAD_ONCE_INIT;
thread_local Machine *machine;
uint64_t seed = 1, launches;

uint8_t *pages(size_t bytes) {
    const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (memory == MAP_FAILED) emulator_fails("there is no memory for it");
    return (uint8_t *)memory;
}

constexpr size_t shared_bytes_mapped = shared_room + (64 << 10);

void release(void *old) {
    Machine *m = (Machine *)old;
    munmap(m->stacks, thread_count * stack_bytes);
    munmap(m->shared_end - shared_room, shared_bytes_mapped);
    munmap(m, sizeof *m);
}

Machine *own_machine() {
    if (machine) return machine;
    pthread_once(&machine_once, [] { pthread_key_create(&machine_key, release); });
    machine = (Machine *)pages(sizeof(Machine));
    machine->stacks = pages(thread_count * stack_bytes);
    machine->shared_end = pages(shared_bytes_mapped) + shared_room;
    if (mprotect(machine->shared_end, 64 << 10, PROT_NONE) != 0) emulator_fails("mprotect failed");
    // The lowest page of each stack is a guard.
    for (int i = 0; i < thread_count; i++)
        if (mprotect(machine->stacks + i * stack_bytes, 4096, PROT_NONE) != 0) emulator_fails("mprotect failed");
    pthread_setspecific(machine_key, machine);
    return machine;
}

void fiber_main() {
    machine->kernel(machine->arguments);
    Fiber *fiber = machine->running;
    fiber->state = State::done;
    gd_fiber_switch(&fiber->stack, machine->stack);
    emulator_fails("a thread that had ended went on");
}

void pause(State state, Meeting meeting) {
    Fiber *fiber = machine->running;
    fiber->state = state;
    fiber->meeting = meeting;
    gd_fiber_switch(&fiber->stack, machine->stack);
}

void resume(Fiber &fiber) {
    machine->running = &fiber;
    emulated_thread = &fiber.visible;
    gd_fiber_switch(&machine->stack, fiber.stack);
}

// ---- what a warp does together ----
template <bool is_signed>
void multiply_matrices(Fiber *lanes) {
    int16_t a[16][32], b[8][32];
    for (int lane = 0; lane < 32; lane++) {
        const Fiber &fiber = lanes[lane];
        for (int i = 0; i < 4; i++)
            for (int byte = 0; byte < 4; byte++) {
                const uint8_t v = (uint8_t)(fiber.left[i] >> (8 * byte));
                a[lane / 4 + i % 2 * 8][i / 2 * 16 + lane % 4 * 4 + byte] = is_signed ? (int8_t)v : v;
            }
        for (int i = 0; i < 2; i++)
            for (int byte = 0; byte < 4; byte++)
                b[lane / 4][i * 16 + lane % 4 * 4 + byte] = (int8_t)(fiber.right[i] >> (8 * byte));
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            const int16_t *row = a[lane / 4 + i / 2 * 8], *column = b[lane % 4 * 2 + i % 2];
            int32_t sum = 0;
            for (int k = 0; k < 32; k++) sum += row[k] * column[k];
            lanes[lane].sums[i] = (int32_t)((uint32_t)lanes[lane].sums[i] + (uint32_t)sum);
        }
}

template <bool is_f16>
void multiply_matrices_of_halves(Machine &m, Fiber *lanes) {
    // One device is of one kind.
    const MatrixUnit unit(seed);
    double a[16][16], b[8][16];
    const auto value = [&](uint32_t half) {
        if (is_f16 && unit.is_flushing && (half & 0x7c00) == 0) return 0.0f;
        return is_f16 ? half_to_float(half) : float_of(half << 16);
    };
    for (int lane = 0; lane < 32; lane++) {
        const Fiber &fiber = lanes[lane];
        for (int i = 0; i < 4; i++)
            for (int odd = 0; odd < 2; odd++)
                a[lane / 4 + i % 2 * 8][i / 2 * 8 + lane % 4 * 2 + odd] =
                    value(fiber.left[i] >> (16 * odd) & 0xffff);
        for (int i = 0; i < 2; i++)
            for (int odd = 0; odd < 2; odd++)
                b[lane / 4][i * 8 + lane % 4 * 2 + odd] = value(fiber.right[i] >> (16 * odd) & 0xffff);
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            float sum;
            memcpy(&sum, &lanes[lane].sums[i], sizeof sum);
            sum = unit.add(sum, a[lane / 4 + i / 2 * 8], b[lane % 4 * 2 + i % 2], m.next_random(16));
            memcpy(&lanes[lane].sums[i], &sum, sizeof sum);
        }
}

void meet(Machine &m, Fiber *lanes) {
    for (int lane = 1; lane < 32; lane++)
        if (lanes[lane].meeting != lanes[0].meeting)
            emulator_fails("lanes of a warp do different things together");
    switch (lanes[0].meeting) {
    case Meeting::from_lane:
        for (int lane = 0; lane < 32; lane++) lanes[lane].answer = lanes[lanes[lane].lane].value;
        break;
    case Meeting::ballot: {
        uint32_t bits = 0;
        for (int lane = 0; lane < 32; lane++) bits |= (uint32_t)(lanes[lane].value != 0) << lane;
        for (int lane = 0; lane < 32; lane++) lanes[lane].answer = bits;
        break;
    }
    case Meeting::match:
        for (int lane = 0; lane < 32; lane++) {
            lanes[lane].answer = 0;
            for (int other = 0; other < 32; other++)
                lanes[lane].answer |= (uint64_t)(lanes[other].value == lanes[lane].value) << other;
        }
        break;
    case Meeting::load_matrices:
        for (int lane = 0; lane < 32; lane++)
            for (int matrix = 0; matrix < 4; matrix++) {
                const uint8_t *row = (const uint8_t *)lanes[matrix * 8 + lane / 4].value;
                memcpy(&lanes[lane].left[matrix], row + lane % 4 * 4, 4);
            }
        break;
    case Meeting::multiply_signed: multiply_matrices<true>(lanes); break;
    case Meeting::multiply_unsigned: multiply_matrices<false>(lanes); break;
    case Meeting::multiply_f16: multiply_matrices_of_halves<true>(m, lanes); break;
    case Meeting::multiply_bf16: multiply_matrices_of_halves<false>(m, lanes); break;
    default: emulator_fails("not what a warp does");
    }
    for (int lane = 0; lane < 32; lane++) lanes[lane].state = State::ready;
}

// Runs a warp until it waits for others, or for a while.
void run_warp(Machine &m, int warp) {
    Fiber *lanes = m.fibers + warp * 32;
    do {
        const uint32_t start = m.next_random(32), step = m.next_random(16) * 2 + 1;
        int meeting = 0, ran = 0;
        for (uint32_t i = 0; i < 32; i++) {
            Fiber &fiber = lanes[(start + i * step) % 32];
            if (fiber.state == State::ready) resume(fiber), ran++;
        }
        for (int lane = 0; lane < 32; lane++) meeting += lanes[lane].state == State::in_warp;
        if (meeting == 32) meet(m, lanes);
        else if (meeting > 0) emulator_fails("lanes of a warp wait for some that have gone elsewhere");
        if (ran == 0) return;
    } while (m.next_random(16) != 0);
}

void run_block(Machine &m) {
    int order[warp_count];
    for (;;) {
        int done = 0, waiting = 0;
        for (const Fiber &fiber : m.fibers) {
            done += fiber.state == State::done;
            waiting += fiber.state == State::at_barrier;
        }
        if (done == thread_count) return;
        if (waiting > 0 && done > 0) emulator_fails("threads wait at a barrier, and others have ended");
        if (waiting == thread_count) {
            m.any = false;
            for (Fiber &fiber : m.fibers) {
                if (fiber.meeting != m.fibers[0].meeting) emulator_fails("threads wait at different barriers");
                m.any = m.any || fiber.value != 0;
                fiber.state = State::ready;
            }
        }
        for (int i = 0; i < warp_count; i++) {
            const int other = (int)m.next_random(i + 1);
            order[i] = order[other];
            order[other] = i;
        }
        for (int warp : order) run_warp(m, warp);
    }
}

template <typename Arguments, void (*function)(const Arguments)>
void call(const void *arguments) {
    function(*(const Arguments *)arguments);
}

const struct {
    const char *name;
    void (*call)(const void *);
} kernels[] = {
#define KERNEL(name, arguments) {#name, call<arguments, name>}
#define SCORES(codec)                                                                                    \
    KERNEL(gd_score_##codec##_1, gd_score_args), KERNEL(gd_score_##codec##_few, gd_score_args),          \
        KERNEL(gd_score_##codec##_many, gd_score_args)
    SCORES(int8), SCORES(int4), SCORES(bit), SCORES(f32), SCORES(f16), SCORES(bf16),
    KERNEL(gd_halves, gd_halves_args),
    KERNEL(gd_estimate_f16, gd_estimate_args),
    KERNEL(gd_estimate_bf16, gd_estimate_args),
    KERNEL(gd_rescore_f16, gd_rescore_args),
    KERNEL(gd_rescore_bf16, gd_rescore_args),
    KERNEL(gd_pack, gd_pack_args),
    KERNEL(gd_norms, gd_norms_args),
    KERNEL(gd_cosines, gd_cosines_args),
    KERNEL(gd_select_begin, gd_select_args),
    KERNEL(gd_select_count, gd_select_args),
    KERNEL(gd_select_narrow, gd_select_args),
    KERNEL(gd_select_take, gd_select_args),
    KERNEL(gd_read, gd_stream_args),
    KERNEL(gd_copy, gd_stream_args),
    KERNEL(gd_multiply_int8, gd_multiply_args),
};

}  // namespace

thread_local EmulatedThread *emulated_thread;

void emulator_fails(const char *why) {
    const EmulatedThread *at = emulated_thread;
    fprintf(stderr, "emulator: %s (seed %llu", why, (unsigned long long)seed);
    if (at) fprintf(stderr, ", block %u %u, thread %u", at->block.x, at->block.y, at->thread.x);
    fprintf(stderr, ")\n");
    abort();
}

void emulated_barrier() { pause(State::at_barrier, Meeting::barrier); }
bool emulated_barrier_any(bool is_so) {
    machine->running->value = is_so;
    pause(State::at_barrier, Meeting::barrier_any);
    return machine->any;
}
static uint64_t ask_warp(uint64_t value, Meeting meeting) {
    Fiber *fiber = machine->running;
    fiber->value = value;
    pause(State::in_warp, meeting);
    return fiber->answer;
}
uint64_t emulated_from_lane(uint64_t v, int lane) {
    machine->running->lane = lane;
    return ask_warp(v, Meeting::from_lane);
}
uint32_t emulated_ballot(bool is_so) { return (uint32_t)ask_warp(is_so, Meeting::ballot); }
uint32_t emulated_match(uint32_t v) { return (uint32_t)ask_warp(v, Meeting::match); }
void emulated_load_matrices(uint32_t (&v)[4], const void *row) {
    if ((uintptr_t)row % 16 != 0) emulator_fails("a matrix's row is not aligned");
    ask_warp((uint64_t)(uintptr_t)row, Meeting::load_matrices);
    memcpy(v, machine->running->left, sizeof v);
}
template <typename Sums>
static void ask_for_product(Sums &c, const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Meeting meeting) {
    Fiber *fiber = machine->running;
    memcpy(fiber->left, a, sizeof a);
    memcpy(fiber->sums, c, sizeof c);
    fiber->right[0] = b0;
    fiber->right[1] = b1;
    pause(State::in_warp, meeting);
    memcpy(c, fiber->sums, sizeof c);
}
void emulated_multiply(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool a_is_signed) {
    ask_for_product(c, a, b0, b1, a_is_signed ? Meeting::multiply_signed : Meeting::multiply_unsigned);
}
void emulated_multiply_halves(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool is_f16) {
    ask_for_product(c, a, b0, b1, is_f16 ? Meeting::multiply_f16 : Meeting::multiply_bf16);
}

static void do_copy(Copy &copy) {
    if (copy.is_done) return;
    if (copy.is_there) memcpy(copy.to, copy.from, 16);
    else memset(copy.to, 0, 16);
    copy.is_done = true;
}
void emulated_copy_begin(void *to, const void *from, bool is_there) {
    if (((uintptr_t)to | (uintptr_t)from) % 16 != 0)
        emulator_fails("a copy between addresses that are not aligned");
    Fiber *fiber = machine->running;
    if (fiber->copy_count == copy_room) emulator_fails("too many copies at once");
    Copy &copy = fiber->copies[fiber->copy_count++];
    copy = {to, from, is_there, false};
    if (machine->next_random(2) == 0) do_copy(copy);
}
void emulated_copies_commit() {
    Fiber *fiber = machine->running;
    if (fiber->group_count == copy_room) emulator_fails("too many groups of copies at once");
    fiber->groups[fiber->group_count++] = fiber->copy_count;
}
void emulated_copies_wait(int pending) {
    Fiber *fiber = machine->running;
    const int finished = fiber->group_count - pending;
    if (finished <= 0) return;
    const int copies = fiber->groups[finished - 1];
    for (int i = 0; i < copies; i++) do_copy(fiber->copies[i]);
    memmove(fiber->copies, fiber->copies + copies, (fiber->copy_count - copies) * sizeof *fiber->copies);
    fiber->copy_count -= copies;
    memmove(fiber->groups, fiber->groups + finished, pending * sizeof *fiber->groups);
    fiber->group_count = pending;
    for (int i = 0; i < pending; i++) fiber->groups[i] -= copies;
}

// From here on, launches are in the order that follows from `value` (and their own number).
GD_EXPORTED void gd_emulate_seed(uint64_t value) {
    __atomic_store_n(&seed, value, __ATOMIC_SEQ_CST);
    __atomic_store_n(&launches, 0, __ATOMIC_SEQ_CST);
}

// Does what the kernel of that name does, for a whole grid; 0, or 1 where there is none of that name.
GD_EXPORTED int gd_emulate(const char *kernel, uint32_t grid_x, uint32_t grid_y, const void *arguments) {
    void (*function)(const void *) = nullptr;
    for (const auto &known : kernels)
        if (strcmp(known.name, kernel) == 0) function = known.call;
    if (!function) return 1;
    Machine &m = *own_machine();
    m.kernel = function;
    m.arguments = arguments;
    m.random = (seed + __atomic_fetch_add(&launches, 1, __ATOMIC_SEQ_CST)) * 0x9e3779b97f4a7c15ull;
    const uint32_t shared = gd_shared_bytes(kernel);
    for (uint32_t y = 0; y < grid_y; y++)
        for (uint32_t x = 0; x < grid_x; x++) {
            memset(m.shared_end - shared, (int)m.next_random(256), shared);
            for (int i = 0; i < thread_count; i++) {
                Fiber &fiber = m.fibers[i];
                fiber.visible = {{(uint32_t)i, 0}, {x, y}, {grid_x, grid_y}, m.shared_end - shared};
                fiber.state = State::ready;
                fiber.value = 0;
                fiber.copy_count = fiber.group_count = 0;
                fiber.stack = fiber_start(m.stacks + (i + 1) * stack_bytes, fiber_main);
            }
            run_block(m);
        }
    emulated_thread = nullptr;
    return 0;
}
