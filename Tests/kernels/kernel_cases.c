// Checks every variant of the kernels that this machine can run.
//
//   kernel_cases [--cases N] [--seed S] [--variant NAME] [--thin]
//
// First a sweep: every kernel at every number of dims that ends a vector, a block or a step in
// another way, with operands that end just before memory that cannot be read, and that begin just
// behind it. Then N random cases. `--thin` leaves most of the sweep out, for emulators.
// Says for each variant how many cases there were; ends with status 1 at the first that is wrong.
#define _GNU_SOURCE
#include "kernel_cases.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct kernel_check {
    const char *name;
    void (*check)(kernel_case *c);
    int row_bits;  // bits of an element of a row; 0 where there are no rows
    int has_queries;
} kernel_check;

static const kernel_check kernel_checks[] = {
    {"dot_int8", check_dot_int8, 8, 0},
    {"dot_int4", check_dot_int4, 4, 0},
    {"dot_bit", check_dot_bit, 1, 0},
    {"pair_int8", check_pair_int8, 8, 0},
    {"pair_int4", check_pair_int4, 4, 0},
    {"pair_bit", check_pair_bit, 1, 0},
    {"hash_and_dot_int8", check_hash_and_dot_int8, 8, 0},
    {"hash_and_dot_int4", check_hash_and_dot_int4, 4, 0},
    {"hash_and_dot_bit", check_hash_and_dot_bit, 1, 0},
    {"batch dot_int8", check_batch_int8, 8, 1},
    {"batch dot_int4", check_batch_int4, 4, 1},
    {"batch dot_bit", check_batch_bit, 1, 1},
    {"dot_f16", check_dot_f16, 16, 0},
    {"dot_bf16", check_dot_bf16, 16, 0},
    {"dot_f32", check_dot_f32, 32, 0},
    {"estimate_f16", check_estimate_f16, 16, 0},
    {"estimate_bf16", check_estimate_bf16, 16, 0},
    {"hash_and_dot_f16", check_hash_and_dot_f16, 16, 0},
    {"hash_and_dot_bf16", check_hash_and_dot_bf16, 16, 0},
    {"hash_and_dot_f32", check_hash_and_dot_f32, 32, 0},
    {"hash_and_estimate_f16", check_hash_and_estimate_f16, 16, 0},
    {"hash_and_estimate_bf16", check_hash_and_estimate_bf16, 16, 0},
    {"quantize_int8", check_quantize_int8, 0, 0},
    {"quantize_int4", check_quantize_int4, 0, 0},
    {"quantize_bit", check_quantize_bit, 0, 0},
    {"rotate", check_rotate, 0, 0},
    {"sum_of_squares", check_sum_of_squares, 0, 0},
    {"max_magnitude", check_max_magnitude, 0, 0},
    {"find_nonfinite", check_find_nonfinite, 0, 0},
    {"f16_to_f32", check_f16_to_f32, 0, 0},
    {"bf16_to_f32", check_bf16_to_f32, 0, 0},
    {"f32_to_f16", check_f32_to_f16, 0, 0},
    {"f32_to_bf16", check_f32_to_bf16, 0, 0},
    {"hash", check_hash, 0, 0},
    {"read_bytes", check_read_bytes, 0, 0},
    {"multiply_int8", check_multiply_int8, 0, 0},
    {"sketch", check_sketch, 0, 0},
    {"add_signed", check_add_signed, 0, 0},
    {"add_scaled", check_add_scaled, 0, 0},
    {"squared_length", check_squared_length, 0, 0},
    {"the twins of scores", check_twin_score, 0, 0},
    {"the twins of cosines", check_twin_cosines, 0, 0},
    {"the twins of selecting", check_twin_select, 0, 0},
};
#define KERNEL_CHECKS (sizeof kernel_checks / sizeof *kernel_checks)

// ---- what went wrong ----

static const char *const placing_names[] = {"before a guard", "behind a guard", "anywhere"};
static const char *const values_names[] = {"ordinary", "wide",   "extreme",
                                           "constant", "sparse", "special"};

static const kernel_case *running;

static void print_case(const kernel_case *c) {
    printf("%s: %s: dims %zu, rows %zu, queries %zu, gap %zu, %s, %s values, seed %llu, ",
           c->kernels->name, c->name, c->dims, c->rows, c->queries, c->gap,
           placing_names[c->placing], values_names[c->values], (unsigned long long)c->seed);
    if (c->number) printf("case %llu: ", (unsigned long long)c->number);
    else printf("in the sweep: ");
}

void fail(const kernel_case *c, const char *format, ...) {
    print_case(c);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    exit(1);
}

// Not what a signal handler may do in general, but nothing but a kernel or a check is interrupted.
static void crash(int signal) {
    if (running) print_case(running);
    printf("%s\n", signal == SIGILL ? "illegal instruction" : "touched memory that is not its own");
    fflush(stdout);
    _exit(1);
}

// ---- cases ----

static void run_case(const kernel_check *check, kernel_case *c) {
    c->name = check->name;
    c->buffers = 0;
    running = c;
    check->check(c);
    running = NULL;
}

static uint64_t mixed(uint64_t seed, uint64_t number) {
    kernel_case generator = {.random = seed + number * 0x9e3779b97f4a7c15u};
    return next_random(&generator);
}

// Most vectors are short, and the long ones are few: the time goes evenly to all.
static size_t random_dims(kernel_case *c) {
    const size_t most[] = {64, 200, 200, 600, 600, 1100, 4200, 1100};
    return 1 + random_below(c, most[random_below(c, 8)]) + (random_below(c, 256) == 0) * 28000;
}

static size_t at_most(size_t value, size_t limit) { return value < limit ? value : limit; }

static void run_random_case(const gk_kernels *kernels, uint64_t seed, uint64_t number) {
    kernel_case c = {.kernels = kernels, .number = number, .seed = seed};
    c.random = mixed(seed, number);
    const kernel_check *check = &kernel_checks[random_below(&c, KERNEL_CHECKS)];
    c.dims = random_dims(&c);
    c.rows = at_most(random_below(&c, 16), 1 + 8000 / c.dims);
    c.queries = check->has_queries ? at_most(random_below(&c, 40), 1 + 40000 / c.dims) : 0;
    c.gap = random_below(&c, 2) ? random_below(&c, 70) : 0;
    if (!check->row_bits && random_below(&c, 64) == 0) c.dims = 0;
    c.placing = (placing)random_below(&c, PLACING_COUNT);
    c.values = (values)random_below(&c, VALUES_COUNT);
    run_case(check, &c);
}

// ---- the sweep ----

typedef struct sweep {
    const gk_kernels *kernels;
    uint64_t seed, cases;
    size_t thinning;  // one of so many cases is run
    uint64_t skipped;
} sweep;

// One case between either guard; gaps and values take their turns.
static void sweep_case(sweep *s, const kernel_check *check, size_t dims, size_t rows,
                       size_t queries) {
    const size_t gaps[] = {0, 1, 3, 16, 61};
    for (int placing = BEFORE_A_GUARD; placing <= BEHIND_A_GUARD; placing++) {
        if (s->skipped++ % s->thinning) continue;
        kernel_case c = {.kernels = s->kernels, .dims = dims, .rows = rows, .queries = queries};
        c.seed = s->seed;
        c.random = mixed(s->seed, ++s->cases);
        c.placing = (enum placing)placing;
        c.gap = gaps[random_below(&c, 5)];
        c.values = (values)random_below(&c, VALUES_COUNT);
        run_case(check, &c);
    }
}

static void sweep_dims(sweep *s, const kernel_check *check, size_t dims, size_t most_rows) {
    if (!check->row_bits) most_rows = 3;  // three times, with other values
    for (size_t rows = 1; rows <= most_rows; rows++)
        sweep_case(s, check, dims, rows, check->has_queries ? 1 + (dims + 5 * rows) % 19 : 0);
}

// Every number of rows with every number of queries: blocks of either end in every way.
static void sweep_rows_and_queries(sweep *s, const kernel_check *check) {
    const size_t dims[] = {1, 63, 64, 130, 513};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t rows = 0; rows <= 9; rows++)
            for (size_t queries = 0; queries <= 33; queries++)
                sweep_case(s, check, dims[d], rows, queries);
    sweep_case(s, check, 257, 70, 70);
    sweep_case(s, check, 1100, 150, 70);  // more than a block of dims, rows and queries
    sweep_case(s, check, 700, 66, 140);
    sweep_case(s, check, 40, 300, 5);
    sweep_case(s, check, 40, 5, 300);
}

// The largest products there are, in more dims than sums of 32 bits hold: the longest rows that
// are allowed.
static void sweep_long_rows(sweep *s, const kernel_check *check) {
    const size_t dims[] = {GK_BATCH_DIMS, 65535, 65537, 131071, 131137, 1048577, (1u << 24) - 1};
    size_t count = check->row_bits > 8 ? 5 : s->thinning > 1 ? 6 : 7;
    if (check->has_queries) count = 1;
    for (size_t d = 0; d < count; d++)
        for (int i = 0; i < (d < 6 ? 4 : 2); i++) {
            kernel_case c = {.kernels = s->kernels, .dims = dims[d], .rows = 1};
            c.queries = check->has_queries ? 3 + (size_t)i * 8 : 0;
            c.seed = s->seed;
            c.random = mixed(s->seed, ++s->cases);
            c.values = i == 0 ? EXTREME : CONSTANT;
            run_case(check, &c);
        }
}

static void sweep_kernel(sweep *s, const kernel_check *check) {
    const size_t ends[] = {256, 512, 1024, 4096, 8192};
    for (size_t dims = 1; dims <= 200; dims++) sweep_dims(s, check, dims, 9);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (size_t dims = ends[i] - 1; dims <= ends[i] + 1; dims++) sweep_dims(s, check, dims, 5);
    sweep_dims(s, check, 32768, 5);
    if (check->row_bits && !check->has_queries) {
        sweep_case(s, check, 100, 0, 0);
        sweep_case(s, check, 100, 100, 0);
        sweep_case(s, check, 1000, 33, 0);
        sweep_case(s, check, 1024, 70, 0);  // whole stripes of the hash, in whatever codec
    }
    if (check->has_queries) sweep_rows_and_queries(s, check);
    if (check->row_bits) sweep_long_rows(s, check);
    else sweep_case(s, check, 0, 0, 0);
    if (check->check == check_rotate)
        for (size_t dims = 16384; dims <= 1u << 19; dims *= 2) sweep_case(s, check, dims, 0, 0);
    if (check->check == check_hash)
        for (size_t dims = 201; dims <= 1100; dims++) sweep_case(s, check, dims, 0, 0);
}

static uint64_t run_sweep(const gk_kernels *kernels, uint64_t seed, size_t thinning) {
    sweep s = {.kernels = kernels, .seed = seed, .thinning = thinning};
    for (size_t i = 0; i < KERNEL_CHECKS; i++) sweep_kernel(&s, &kernel_checks[i]);
    for (int placing = BEFORE_A_GUARD; placing <= BEHIND_A_GUARD; placing++) {
        kernel_case c = {.kernels = kernels, .seed = seed, .placing = (enum placing)placing};
        run_case(&(kernel_check){"all halves", check_all_halves, 0, 0}, &c);
        s.cases++;
    }
    return s.cases;
}

// ---- the command line ----

typedef struct options {
    uint64_t cases, seed;
    const char *variant;
    size_t thinning;
} options;

static void end_with_usage(void) {
    fprintf(stderr, "usage: kernel_cases [--cases N] [--seed S] [--variant NAME] [--thin]\n");
    exit(64);
}

static uint64_t number_of(const char *text) {
    char *end;
    const uint64_t number = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end) end_with_usage();
    return number;
}

static options options_of(char **arguments) {
    options o = {.cases = 10000, .seed = 1, .thinning = 1};
    for (; *arguments; arguments++) {
        if (strcmp(*arguments, "--cases") == 0) o.cases = number_of(*++arguments);
        else if (strcmp(*arguments, "--seed") == 0) o.seed = number_of(*++arguments);
        else if (strcmp(*arguments, "--variant") == 0) o.variant = *++arguments;
        else if (strcmp(*arguments, "--thin") == 0) o.thinning = 23;
        else end_with_usage();
        if (!*arguments) end_with_usage();
    }
    return o;
}

int main(int count, char **arguments) {
    (void)count;
    const options o = options_of(arguments + 1);
    signal(SIGSEGV, crash);
    signal(SIGBUS, crash);
    signal(SIGILL, crash);
    int variants = 0;
    for (int variant = GK_SCALAR; variant < GK_VARIANT_COUNT; variant++) {
        const gk_kernels *kernels = gk_kernels_for((gk_variant)variant);
        if (!kernels || (o.variant && strcmp(o.variant, kernels->name) != 0)) continue;
        const uint64_t swept = run_sweep(kernels, o.seed, o.thinning);
        for (uint64_t i = 1; i <= o.cases; i++) run_random_case(kernels, o.seed, i);
        printf("%s: %llu cases in the sweep, %llu random ones\n", kernels->name,
               (unsigned long long)swept, (unsigned long long)o.cases);
        fflush(stdout);
        variants++;
    }
    if (variants == 0) fprintf(stderr, "kernel_cases: no such variant here\n");
    return variants == 0;
}
