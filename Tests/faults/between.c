/* Stands between a process and the C library (LD_PRELOAD): at one call that looks at a file system or
 * changes it, another command runs from its beginning to its end, and the process goes on.
 *
 *   BETWEEN_ROOT   the absolute directory below which calls count
 *   BETWEEN_LOG    where they are listed, a line each: what it is, and the path
 *   BETWEEN_AT     the call before which the other command runs, from 1
 *   BETWEEN_RUN    that command, for a shell
 *
 * Whoever waits for a lock waits in vain, and so not at all: usleep comes back at once, and the clock by
 * which gradctl's patience ends (ContinuousClock's) goes on by as much.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int at, calls, log_file = -1;

__attribute__((constructor)) static void load(void) {
    const char *name = getenv("BETWEEN_ROOT"), *number = getenv("BETWEEN_AT"), *list = getenv("BETWEEN_LOG");
    if (name) strncpy(root, name, sizeof root - 1);
    if (number) at = atoi(number);
    if (list) log_file = syscall(SYS_openat, AT_FDCWD, list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    unsetenv("BETWEEN_AT");
    unsetenv("BETWEEN_LOG");
}

static void pass(const char *what, const char *path) {
    size_t bytes = strlen(root);
    if (!bytes || !path || strncmp(path, root, bytes) || (path[bytes] && path[bytes] != '/')) return;
    pthread_mutex_lock(&lock);
    calls++;
    if (log_file >= 0) dprintf(log_file, "%s %s\n", what, path);
    if (calls == at && system(getenv("BETWEEN_RUN")) < 0) abort();
    pthread_mutex_unlock(&lock);
}

static void pass_file(const char *what, int file) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t bytes = readlink(name, path, sizeof path - 1);
    path[bytes < 0 ? 0 : bytes] = 0;
    pass(what, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                                \
    int name(const char *path, int flags, ...) {                                                  \
        va_list list;                                                                             \
        va_start(list, flags);                                                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                   \
        va_end(list);                                                                             \
        pass(flags & O_CREAT ? "make" : "open", path);                                            \
        return openat(AT_FDCWD, path, flags, mode);                                               \
    }
OPEN(open)
OPEN(open64)

DIR *opendir(const char *path) { pass("list", path); return REAL(opendir)(path); }
int stat(const char *path, struct stat *out) { pass("stat", path); return REAL(stat)(path, out); }
int lstat(const char *path, struct stat *out) { pass("stat", path); return REAL(lstat)(path, out); }
int access(const char *path, int mode) { pass("stat", path); return REAL(access)(path, mode); }
int mkdir(const char *path, mode_t mode) { pass("mkdir", path); return REAL(mkdir)(path, mode); }
int rmdir(const char *path) { pass("rmdir", path); return REAL(rmdir)(path); }
int unlink(const char *path) { pass("unlink", path); return REAL(unlink)(path); }
int link(const char *path, const char *other) { pass("link", other); return REAL(link)(path, other); }
int rename(const char *path, const char *other) { pass("rename", other); return REAL(rename)(path, other); }
int renameat2(int from, const char *path, int to, const char *other, unsigned flags) {
    pass("exchange", other);
    return REAL(renameat2)(from, path, to, other, flags);
}
int flock(int file, int operation) { pass_file("flock", file); return REAL(flock)(file, operation); }
int fsync(int file) { pass_file("sync", file); return REAL(fsync)(file); }
int fdatasync(int file) { pass_file("sync", file); return REAL(fdatasync)(file); }

static atomic_llong slept;
int usleep(useconds_t time) {
    slept += time;
    return 0;
}
int clock_gettime(clockid_t clock, struct timespec *out) {
    int result = syscall(SYS_clock_gettime, clock, out);
    if (clock == CLOCK_BOOTTIME && !result) {
        long long nanoseconds = out->tv_nsec + slept % 1000000 * 1000;
        out->tv_sec += slept / 1000000 + nanoseconds / 1000000000;
        out->tv_nsec = nanoseconds % 1000000000;
    }
    return result;
}
