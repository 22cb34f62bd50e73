/* Stands between a process and the C library (LD_PRELOAD): sees every call that changes a file
 * system below the directories of FAULTS_ROOTS, numbers it, records it with its data, and can kill
 * the process at it or make it fail. README.md beside this file says how it is used.
 *
 *   FAULTS_ROOTS   absolute directories, separated by ':'
 *   FAULTS_LOG     where calls are recorded (struct record, below); none: nothing is recorded
 *   FAULTS_AT      the number of the call to act at, from 1
 *   FAULTS_MATCH   or else: kinds '|' glob '|' glob '|' k: the k-th call of one of these kinds (one
 *                  character each) whose paths match (the second glob is a rename's or link's
 *                  target; '*' matches a slash, too, and an absent path)
 *   FAULTS_ACTION  kill-before, kill-middle (of a write), kill-after; EIO, ENOSPC, EDQUOT: the call
 *                  fails and does nothing; short: a write takes half of its bytes;
 *                  short-ENOSPC: and every later one fails
 *   FAULTS_STICKY  1: calls after it fail, too; of ENOSPC and EDQUOT those that need room
 *   FAULTS_NOSYNC  1: syncs return at once, for programs that only look at what was built
 *
 * A call is made, numbered and recorded under one lock, so that the record has the order in which
 * the file system saw the calls. Reads are not calls here, and neither are opens for reading, but
 * those are recorded, so that a later fsync of the descriptor can be told what it is of.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    LOOK = 'o',     /* open for reading, or of a directory; not numbered */
    OPEN = 'O',     /* open that may write, make or truncate */
    WRITE = 'w',
    TRUNCATE = 't',
    ALLOCATE = 'a', /* fallocate */
    SYNC = 's',     /* fsync, fdatasync */
    RANGE = 'g',    /* sync_file_range: makes nothing durable */
    RENAME = 'r',
    LINK = 'l',
    UNLINK = 'u',
    MAKE = 'm',     /* mkdir */
    REMOVE = 'd',   /* rmdir */
    SYMLINK = 'y',
    FOREIGN = '?',  /* a call that this library does not model; tests fail when they see one */
};

/* Followed by path, other path and data. */
struct record {
    uint32_t kind;
    uint32_t flags; /* of open and fallocate */
    uint64_t number; /* 0: not numbered */
    int64_t result; /* or minus errno */
    int64_t handle; /* given by an open, of a file and all its duplicates */
    int64_t offset;
    int64_t length; /* of a truncation or allocation: the size; of a write: what was asked for */
    uint32_t injected;
    uint32_t path_bytes, other_bytes, data_bytes;
};

#define MOST_FILES 65536
static struct entry {
    int64_t handle; /* 0: not ours */
    char *path;     /* as it was when opened; never freed, tests are short */
} files[MOST_FILES];

enum action { NOTHING, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, FAIL, SHORT };
static enum action action;
static int action_errno, short_then_fails, sticky, has_fired, no_sync;
static uint64_t number, act_at, match_left;
static char match_kinds[32], match_path[PATH_MAX], match_other[PATH_MAX];
static char roots[8][PATH_MAX];
static int root_count, log_file = -1;
static int64_t next_handle = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void) {
    static int is_started;
    if (is_started) return;
    is_started = 1;
    const char *list = getenv("FAULTS_ROOTS");
    while (list && *list && root_count < 8) {
        size_t bytes = strcspn(list, ":");
        if (bytes && bytes < PATH_MAX) memcpy(roots[root_count++], list, bytes);
        list += bytes + (list[bytes] == ':');
    }
    no_sync = getenv("FAULTS_NOSYNC") != NULL;
    sticky = getenv("FAULTS_STICKY") != NULL;
    const char *name = getenv("FAULTS_LOG");
    if (name) {
        int file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        log_file = syscall(SYS_fcntl, file, F_DUPFD_CLOEXEC, 900);
        syscall(SYS_close, file);
        if (log_file < 0) abort();
    }
    const char *what = getenv("FAULTS_ACTION");
    if (!what) return;
    if (!strcmp(what, "kill-before")) action = KILL_BEFORE;
    else if (!strcmp(what, "kill-middle")) action = KILL_MIDDLE;
    else if (!strcmp(what, "kill-after")) action = KILL_AFTER;
    else if (!strncmp(what, "short", 5)) {
        action = SHORT;
        action_errno = ENOSPC;
        short_then_fails = what[5] != 0;
    } else {
        action = FAIL;
        action_errno = !strcmp(what, "EIO") ? EIO : !strcmp(what, "ENOSPC") ? ENOSPC
            : !strcmp(what, "EDQUOT") ? EDQUOT : 0;
        if (!action_errno) abort();
    }
    const char *at = getenv("FAULTS_AT"), *match = getenv("FAULTS_MATCH");
    if (at) act_at = strtoull(at, NULL, 10);
    unsigned long long k = 0;
    if (match && sscanf(match, "%31[^|]|%4095[^|]|%4095[^|]|%llu", match_kinds, match_path,
                        match_other, &k) != 4) abort();
    match_left = k;
}

__attribute__((constructor)) static void load(void) { start(); }

/* Makes a path absolute and free of "//", "/./" and "/../", without looking at the disk. */
static void absolute(int directory, const char *path, char *out) {
    char whole[2 * PATH_MAX];
    whole[0] = 0;
    if (path[0] != '/') {
        if (directory == AT_FDCWD) {
            if (syscall(SYS_getcwd, whole, PATH_MAX) < 0) whole[0] = 0;
        } else {
            char name[64];
            snprintf(name, sizeof name, "/proc/self/fd/%d", directory);
            ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, name, whole, PATH_MAX - 1);
            whole[bytes < 0 ? 0 : bytes] = 0;
        }
        strncat(whole, "/", 2);
    }
    strncat(whole, path, PATH_MAX - 1);
    size_t end = 0;
    for (const char *p = whole; *p;) {
        while (*p == '/') p++;
        size_t bytes = strcspn(p, "/");
        if (bytes == 2 && p[0] == '.' && p[1] == '.') {
            while (end > 0 && out[--end] != '/') {}
        } else if (bytes && !(bytes == 1 && p[0] == '.') && end + bytes + 2 < PATH_MAX) {
            out[end++] = '/';
            memcpy(out + end, p, bytes);
            end += bytes;
        }
        p += bytes;
    }
    out[end] = 0;
}

static int is_ours(const char *path) {
    for (int i = 0; i < root_count; i++) {
        size_t bytes = strlen(roots[i]);
        if (!strncmp(path, roots[i], bytes) && (path[bytes] == '/' || !path[bytes])) return 1;
    }
    return 0;
}

static struct entry *file_of(int file) {
    start();
    return file >= 0 && file < MOST_FILES && files[file].handle ? &files[file] : NULL;
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

static int needs_room(enum kind kind, uint32_t flags) {
    return kind == WRITE || kind == ALLOCATE || kind == MAKE || kind == LINK || kind == SYMLINK
        || (kind == OPEN && flags & O_CREAT);
}

/* Numbers a call, and says what is to happen at it: with the lock held. May not come back. */
static enum action decide(enum kind kind, const char *path, const char *other, uint32_t flags) {
    number++;
    if (action == NOTHING) return NOTHING;
    int is_it = 0;
    if (match_left) {
        is_it = strchr(match_kinds, kind) && !fnmatch(match_path, path ? path : "", 0)
            && !fnmatch(match_other, other ? other : "", 0) && --match_left == 0;
    } else if (number == act_at) {
        is_it = 1;
    }
    if (is_it) {
        has_fired = 1;
        if (action == KILL_BEFORE || (action == KILL_MIDDLE && kind != WRITE)) die();
        if (action == SHORT && kind != WRITE) return NOTHING;
        return action;
    }
    if (!has_fired) return NOTHING;
    if (action == FAIL && sticky) {
        if (action_errno == EIO) return FAIL;
        return needs_room(kind, flags) ? FAIL : NOTHING;
    }
    if (action == SHORT && short_then_fails && kind == WRITE) return FAIL;
    return NOTHING;
}

static void keep(enum kind kind, int is_numbered, int64_t result, const struct entry *file,
                 const char *path, const char *other, uint32_t flags, int64_t offset,
                 int64_t length, const void *data, size_t data_bytes, enum action done) {
    if (log_file < 0) return;
    struct record record = {
        .kind = kind, .flags = flags, .number = is_numbered ? number : 0, .result = result,
        .handle = file ? file->handle : 0, .offset = offset, .length = length,
        .injected = done == FAIL || done == SHORT,
        .path_bytes = path ? strlen(path) : 0, .other_bytes = other ? strlen(other) : 0,
        .data_bytes = data_bytes,
    };
    struct iovec parts[] = {
        {&record, sizeof record}, {(void *)path, record.path_bytes},
        {(void *)other, record.other_bytes}, {(void *)data, data_bytes},
    };
    ssize_t all = sizeof record + record.path_bytes + record.other_bytes + data_bytes;
    if (syscall(SYS_writev, log_file, parts, 4) != all) abort();
}

/* Runs `call`, or fails in its place, records it, and leaves the outcome in `result`. */
#define PERFORM(result, kind, file, path, other, flags, offset, length, call)                     \
    do {                                                                                          \
        enum action what_ = decide(kind, path, other, flags);                                     \
        if (what_ == FAIL) {                                                                      \
            errno = action_errno;                                                                 \
            result = -1;                                                                          \
        } else {                                                                                  \
            result = (call);                                                                      \
        }                                                                                         \
        int saved_ = errno;                                                                       \
        keep(kind, 1, result < 0 ? -saved_ : result, file, path, other, flags, offset, length,    \
             NULL, 0, what_);                                                                     \
        if (what_ == KILL_AFTER) die();                                                           \
        errno = saved_;                                                                           \
    } while (0)

/* MARK: files */

static int open_file(int directory, const char *name, int flags, mode_t mode) {
    start();
    char path[PATH_MAX];
    if (name) absolute(directory, name, path);
    if (!name || !is_ours(path))
        return syscall(SYS_openat, directory, name, flags, mode);
    int is_look = !(flags & (O_CREAT | O_TRUNC)) && (flags & O_ACCMODE) == O_RDONLY;
    pthread_mutex_lock(&lock);
    enum action what = is_look ? NOTHING : decide(OPEN, path, NULL, flags);
    int file = -1;
    struct stat status;
    int64_t was_there = 1;
    if (what == FAIL) {
        errno = action_errno;
    } else {
        was_there = syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0) == 0;
        file = syscall(SYS_openat, directory, name, flags, mode);
    }
    int saved = errno;
    if (file >= 0 && file < MOST_FILES) {
        files[file] = (struct entry){next_handle++, strdup(path)};
    }
    enum kind kind = is_look ? LOOK : (flags & O_TMPFILE) == O_TMPFILE ? FOREIGN : OPEN;
    if (!is_look || file >= 0)
        keep(kind, !is_look, file < 0 ? -saved : 0, file_of(file), path, NULL, flags, 0, was_there,
             NULL, 0, what);
    if (what == KILL_AFTER) die();
    pthread_mutex_unlock(&lock);
    errno = saved;
    return file;
}

#define MODE(last)                                                                                \
    mode_t mode = 0;                                                                              \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                          \
        va_list list;                                                                             \
        va_start(list, last);                                                                     \
        mode = va_arg(list, mode_t);                                                              \
        va_end(list);                                                                             \
    }
int open(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return open_file(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return open_file(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

static int duplicated(int from, int to) {
    if (to >= 0 && to < MOST_FILES) {
        pthread_mutex_lock(&lock);
        files[to] = from >= 0 && from < MOST_FILES ? files[from] : (struct entry){0, NULL};
        pthread_mutex_unlock(&lock);
    }
    return to;
}
int dup(int file) { return duplicated(file, syscall(SYS_dup, file)); }
int dup3(int file, int to, int flags) { return duplicated(file, syscall(SYS_dup3, file, to, flags)); }
int dup2(int file, int to) { return file == to ? to : dup3(file, to, 0); }

static int control(int file, int command, void *argument) {
    int result = syscall(SYS_fcntl, file, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(file, result) : result;
}
#define ARGUMENT(last)                                                                            \
    va_list list;                                                                                 \
    va_start(list, last);                                                                         \
    void *argument = va_arg(list, void *);                                                        \
    va_end(list);
int fcntl(int file, int command, ...) { ARGUMENT(command) return control(file, command, argument); }
int fcntl64(int file, int command, ...) { ARGUMENT(command) return control(file, command, argument); }

int close(int file) {
    start();
    if (file >= 0 && file == log_file) return 0;
    pthread_mutex_lock(&lock);
    if (file >= 0 && file < MOST_FILES) files[file].handle = 0;
    int result = syscall(SYS_close, file), saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

/* A call on one of our files that is not modelled: done, and entered in the record. */
static void foreign(const char *name, const char *path) {
    pthread_mutex_lock(&lock);
    keep(FOREIGN, 0, 0, NULL, path, name, 0, 0, 0, NULL, 0, NOTHING);
    pthread_mutex_unlock(&lock);
}

/* MARK: bytes */

/* Writes at the file's own position with `offset` -1. */
static ssize_t write_file(int file, const struct iovec *parts, int count, off_t offset) {
    struct entry *entry = file_of(file);
    if (!entry)
        return offset < 0 ? syscall(SYS_writev, file, parts, count)
                          : syscall(SYS_pwritev, file, parts, count, offset, (off_t)0);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    char *all = malloc(bytes + 1);
    if (!all) abort();
    bytes = 0;
    for (int i = 0; i < count; i++) {
        memcpy(all + bytes, parts[i].iov_base, parts[i].iov_len);
        bytes += parts[i].iov_len;
    }
    pthread_mutex_lock(&lock);
    enum action what = decide(WRITE, entry->path, NULL, 0);
    size_t take = (what == SHORT || what == KILL_MIDDLE) && bytes ? (bytes + 1) / 2 : bytes;
    if (what == SHORT && bytes == 1) take = 1;
    ssize_t result = -1;
    if (what == FAIL) {
        errno = action_errno;
    } else {
        result = offset < 0 ? syscall(SYS_write, file, all, take)
                            : syscall(SYS_pwrite64, file, all, take, offset);
    }
    int saved = errno;
    if (offset < 0) {
        offset = syscall(SYS_lseek, file, (off_t)0, SEEK_CUR);
        if (result > 0) offset -= result;
    }
    keep(WRITE, 1, result < 0 ? -saved : result, entry, entry->path, NULL, 0, offset, bytes, all,
         result < 0 ? 0 : result, what);
    if (what == KILL_AFTER || what == KILL_MIDDLE) die();
    pthread_mutex_unlock(&lock);
    free(all);
    errno = saved;
    return result;
}

ssize_t write(int file, const void *bytes, size_t count) {
    if (!file_of(file)) return syscall(SYS_write, file, bytes, count);
    return write_file(file, &(struct iovec){(void *)bytes, count}, 1, -1);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    if (!file_of(file)) return syscall(SYS_pwrite64, file, bytes, count, offset);
    return write_file(file, &(struct iovec){(void *)bytes, count}, 1, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) { return pwrite(file, bytes, count, offset); }
ssize_t writev(int file, const struct iovec *parts, int count) { return write_file(file, parts, count, -1); }
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) { return write_file(file, parts, count, offset); }
ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset) { return write_file(file, parts, count, offset); }

/* What is copied within the kernel is read and written here, so that the record has it. Callers
 * must cope with fewer bytes than they asked for. */
static ssize_t copy(int from, off_t *from_offset, int to, off_t *to_offset, size_t count) {
    char piece[65536];
    if (count > sizeof piece) count = sizeof piece;
    ssize_t got = from_offset ? syscall(SYS_pread64, from, piece, count, *from_offset)
                              : syscall(SYS_read, from, piece, count);
    if (got <= 0) return got;
    ssize_t done = to_offset ? pwrite(to, piece, got, *to_offset) : write(to, piece, got);
    if (done < 0) {
        if (!from_offset) syscall(SYS_lseek, from, (off_t)-got, SEEK_CUR);
        return done;
    }
    if (from_offset) *from_offset += done;
    else if (done < got) syscall(SYS_lseek, from, (off_t)(done - got), SEEK_CUR);
    if (to_offset) *to_offset += done;
    return done;
}
ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t count, unsigned flags) {
    if (!file_of(to)) return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, count, flags);
    return copy(from, from_offset, to, to_offset, count);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
    if (!file_of(to)) return syscall(SYS_sendfile, to, from, offset, count);
    return copy(from, offset, to, NULL, count);
}
ssize_t sendfile64(int to, int from, off_t *offset, size_t count) { return sendfile(to, from, offset, count); }

int ioctl(int file, unsigned long request, ...) {
    ARGUMENT(request)
    if ((request == FICLONE || request == FICLONERANGE) && file_of(file)) {
        errno = EOPNOTSUPP;  /* callers copy then */
        return -1;
    }
    return syscall(SYS_ioctl, file, request, argument);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset) {
    struct entry *entry = flags & MAP_ANONYMOUS ? NULL : file_of(file);
    if (entry && (flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE) foreign("mmap", entry->path);
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}
void *mmap64(void *address, size_t bytes, int protection, int flags, int file, off_t offset) {
    return mmap(address, bytes, protection, flags, file, offset);
}

#define LOCKED(body)                                                                              \
    do {                                                                                          \
        pthread_mutex_lock(&lock);                                                                \
        body;                                                                                     \
        int kept_ = errno;                                                                        \
        pthread_mutex_unlock(&lock);                                                              \
        errno = kept_;                                                                            \
    } while (0)

int ftruncate(int file, off_t bytes) {
    struct entry *entry = file_of(file);
    if (!entry) return syscall(SYS_ftruncate, file, bytes);
    int result;
    LOCKED(PERFORM(result, TRUNCATE, entry, entry->path, NULL, 0, 0, bytes, syscall(SYS_ftruncate, file, bytes)));
    return result;
}
int ftruncate64(int file, off_t bytes) { return ftruncate(file, bytes); }

int truncate(const char *name, off_t bytes) {
    start();
    char path[PATH_MAX];
    absolute(AT_FDCWD, name, path);
    if (is_ours(path)) foreign("truncate", path);
    return syscall(SYS_truncate, name, bytes);
}
int truncate64(const char *name, off_t bytes) { return truncate(name, bytes); }

int fallocate(int file, int mode, off_t offset, off_t bytes) {
    struct entry *entry = file_of(file);
    if (!entry) return syscall(SYS_fallocate, file, mode, offset, bytes);
    int result;
    LOCKED(PERFORM(result, ALLOCATE, entry, entry->path, NULL, mode, offset, bytes, syscall(SYS_fallocate, file, mode, offset, bytes)));
    return result;
}
int fallocate64(int file, int mode, off_t offset, off_t bytes) { return fallocate(file, mode, offset, bytes); }
int posix_fallocate(int file, off_t offset, off_t bytes) {
    int saved = errno, result = fallocate(file, 0, offset, bytes) == 0 ? 0 : errno;
    errno = saved;
    return result;
}
int posix_fallocate64(int file, off_t offset, off_t bytes) { return posix_fallocate(file, offset, bytes); }

/* MARK: durability */

static int sync_file(int file, long call) {
    struct entry *entry = file_of(file);
    if (!entry) return syscall(call, file);
    if (no_sync) return 0;
    int result;
    LOCKED(PERFORM(result, SYNC, entry, entry->path, NULL, 0, 0, 0, syscall(call, file)));
    return result;
}
int fsync(int file) { return sync_file(file, SYS_fsync); }
int fdatasync(int file) { return sync_file(file, SYS_fdatasync); }

int sync_file_range(int file, off64_t offset, off64_t bytes, unsigned flags) {
    struct entry *entry = file_of(file);
    if (!entry) return syscall(SYS_sync_file_range, file, offset, bytes, flags);
    /* Without flags the kernel does nothing, and cannot fail: RocksDB asks in this way whether there
     * is such a call. */
    if (no_sync || !flags) return 0;
    int result;
    LOCKED(PERFORM(result, RANGE, entry, entry->path, NULL, flags, offset, bytes, syscall(SYS_sync_file_range, file, offset, bytes, flags)));
    return result;
}
int syncfs(int file) {
    struct entry *entry = file_of(file);
    if (entry) foreign("syncfs", entry->path);
    return syscall(SYS_syncfs, file);
}
void sync(void) {
    start();
    foreign("sync", "");
    syscall(SYS_sync);
}

/* A disk without room says so when asked, too; one with a quota does not. */
static int room(int (*real)(const char *, struct statvfs *), const char *path, struct statvfs *space) {
    int result = real(path, space);
    if (!result && has_fired && sticky && action == FAIL && action_errno == ENOSPC) space->f_bavail = space->f_bfree = 0;
    return result;
}
int statvfs(const char *path, struct statvfs *space) { return room((int (*)(const char *, struct statvfs *))dlsym(RTLD_NEXT, "statvfs"), path, space); }
int statvfs64(const char *path, struct statvfs64 *space) { return statvfs(path, (struct statvfs *)space); }

/* MARK: names */

static int two_names(enum kind kind, int at, const char *from, int other_at, const char *to,
                     uint32_t flags) {
    start();
    char path[PATH_MAX], other[PATH_MAX];
    absolute(at, from, path);
    absolute(other_at, to, other);
    long call = kind == RENAME ? SYS_renameat2 : SYS_linkat;
    if (!is_ours(path) && !is_ours(other)) return syscall(call, at, from, other_at, to, flags);
    if (flags & ~(kind == RENAME ? RENAME_NOREPLACE | RENAME_EXCHANGE : 0)) foreign("rename or link with flags", path);
    int result;
    LOCKED(PERFORM(result, kind, NULL, path, other, flags, 0, 0, syscall(call, at, from, other_at, to, flags)));
    return result;
}
int rename(const char *from, const char *to) { return two_names(RENAME, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int at, const char *from, int other, const char *to) { return two_names(RENAME, at, from, other, to, 0); }
int renameat2(int at, const char *from, int other, const char *to, unsigned flags) { return two_names(RENAME, at, from, other, to, flags); }
int link(const char *from, const char *to) { return two_names(LINK, AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int at, const char *from, int other, const char *to, int flags) { return two_names(LINK, at, from, other, to, flags); }

static int one_name(enum kind kind, int at, const char *name, mode_t mode) {
    start();
    char path[PATH_MAX];
    absolute(at, name, path);
#define CALL                                                                                      \
    (kind == MAKE ? syscall(SYS_mkdirat, at, name, mode)                                          \
                  : syscall(SYS_unlinkat, at, name, kind == REMOVE ? AT_REMOVEDIR : 0))
    if (!is_ours(path)) return CALL;
    int result;
    LOCKED(PERFORM(result, kind, NULL, path, NULL, 0, 0, 0, CALL));
    return result;
}
int unlink(const char *path) { return one_name(UNLINK, AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return one_name(flags & AT_REMOVEDIR ? REMOVE : UNLINK, at, path, 0); }
int rmdir(const char *path) { return one_name(REMOVE, AT_FDCWD, path, 0); }
int mkdir(const char *path, mode_t mode) { return one_name(MAKE, AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return one_name(MAKE, at, path, mode); }
int remove(const char *path) {
    if (unlink(path) == 0) return 0;
    return errno == EISDIR || errno == EPERM ? rmdir(path) : -1;
}

int symlinkat(const char *target, int at, const char *name) {
    start();
    char path[PATH_MAX];
    absolute(at, name, path);
    if (!is_ours(path)) return syscall(SYS_symlinkat, target, at, name);
    int result;
    LOCKED(PERFORM(result, SYMLINK, NULL, path, target, 0, 0, 0, syscall(SYS_symlinkat, target, at, name)));
    return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

/* MARK: calls inside the C library that could not be seen */

static FILE *stream(const char *function, const char *name, const char *mode) {
    start();
    char path[PATH_MAX];
    absolute(AT_FDCWD, name, path);
    if (is_ours(path) && strpbrk(mode, "wa+")) foreign(function, path);
    return ((FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, function))(name, mode);
}
FILE *fopen(const char *path, const char *mode) { return stream("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return stream("fopen64", path, mode); }

/* Makes a file with a name of its own by calls that are seen. */
static int temporary(char *name, int suffix, int flags) {
    static uint64_t next;
    size_t bytes = strlen(name);
    for (int attempt = 0; attempt < 1000; attempt++) {
        char letters[7];
        snprintf(letters, sizeof letters, "%06x", (unsigned)(__atomic_add_fetch(&next, 7919, __ATOMIC_RELAXED) + getpid()) & 0xffffff);
        memcpy(name + bytes - suffix - 6, letters, 6);
        int file = open_file(AT_FDCWD, name, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
        if (file >= 0 || errno != EEXIST) return file;
    }
    return -1;
}
int mkstemp(char *name) { return temporary(name, 0, 0); }
int mkstemp64(char *name) { return temporary(name, 0, 0); }
int mkostemp(char *name, int flags) { return temporary(name, 0, flags); }
int mkostemp64(char *name, int flags) { return temporary(name, 0, flags); }
int mkstemps(char *name, int suffix) { return temporary(name, suffix, 0); }
