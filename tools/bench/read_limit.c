// The limit that scans are held against: reads mapped files once per pass, with wide loads on
// several threads, and prints GB/s of each pass.
//
//   read_limit THREADS PASSES FILE...
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

// Four MiB at a time, as the scan takes blocks.
#define UNIT ((size_t)4 << 20)

typedef uint64_t vector __attribute__((vector_size(64), aligned(1)));

typedef struct file {
    const char *start;
    size_t bytes;
} file;

static file *files;
static size_t file_count;
static _Atomic size_t next_unit;
static volatile uint64_t sink;

static uint64_t read_all(const char *bytes, size_t count) {
    vector a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 256 <= count; i += 256) {
        a ^= *(const vector *)(bytes + i);
        b ^= *(const vector *)(bytes + i + 64);
        c ^= *(const vector *)(bytes + i + 128);
        d ^= *(const vector *)(bytes + i + 192);
    }
    a ^= b ^ c ^ d;
    uint64_t sum = 0;
    for (int j = 0; j < 8; j++) sum ^= a[j];
    for (; i < count; i++) sum ^= (unsigned char)bytes[i];
    return sum;
}

static void *work(void *unused) {
    (void)unused;
    uint64_t sum = 0;
    for (;;) {
        size_t unit = next_unit++;
        size_t f = 0;
        for (; f < file_count; f++) {
            const size_t units = (files[f].bytes + UNIT - 1) / UNIT;
            if (unit < units) break;
            unit -= units;
        }
        if (f == file_count) break;
        const size_t begin = unit * UNIT;
        const size_t left = files[f].bytes - begin;
        sum ^= read_all(files[f].start + begin, left < UNIT ? left : UNIT);
    }
    sink ^= sum;
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 4) return 64;
    const int threads = atoi(argv[1]), passes = atoi(argv[2]);
    file_count = (size_t)argc - 3;
    files = calloc(file_count, sizeof *files);
    double total = 0;
    for (size_t f = 0; f < file_count; f++) {
        const int descriptor = open(argv[f + 3], O_RDONLY);
        struct stat status;
        if (descriptor < 0 || fstat(descriptor, &status) != 0) return perror(argv[f + 3]), 74;
        files[f].bytes = (size_t)status.st_size;
        files[f].start = mmap(NULL, files[f].bytes, PROT_READ, MAP_SHARED, descriptor, 0);
        if (files[f].start == MAP_FAILED) return perror(argv[f + 3]), 74;
        total += (double)files[f].bytes;
    }
    pthread_t *pool = calloc((size_t)threads, sizeof *pool);
    for (int pass = 0; pass < passes; pass++) {
        next_unit = 0;
        const double started = now();
        for (int t = 0; t < threads; t++) pthread_create(&pool[t], NULL, work, NULL);
        for (int t = 0; t < threads; t++) pthread_join(pool[t], NULL);
        printf("%.3f\n", total / (now() - started) / 1e9);
    }
    return 0;
}
