/* Fails the n-th call of one kind into the system, for files under given folders only.

   cc -shared -fPIC -O1 -o shim.so shim.c -ldl; LD_PRELOAD=./shim.so ...

   A process arms it for itself with faults_arm and reads faults_count afterwards. What isn't armed counts
   nothing. Folders that are said to be read-only are so whoever asks, root too.

   Kinds: write (also pwrite, writev, fwrite, sendfile, copy_file_range), fsync (also fdatasync), rename (also
   renameat, renameat2), link (also linkat, symlink, symlinkat), mkdir (also mkdirat) and open (for writing). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE, FSYNC, RENAME, LINK, MKDIR, OPEN, KINDS };
static const char *const names[KINDS] = {"write", "fsync", "rename", "link", "mkdir", "open"};

static char roots[4096];      /* folders, with ':' between them */
static char read_only[4096];  /* folders in which nothing can be made or changed: EROFS */
static int armed_kind = -1;
static int armed_errno;
static long armed_at;         /* the first call that fails, from 1 on */
static int armed_on;          /* whether all later ones fail as well: a full disk stays full */
static long counts[KINDS];
static long failed;
static char failed_path[PATH_MAX]; /* the first that failed */

static int kind_of(const char *kind) {
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(names[i], kind)) return i;
    return -1;
}

/* Returns 0, or -1 for a kind that there isn't. n 0 only counts. */
int faults_arm(const char *folders, const char *kind, long n, int error, int on) {
    memset(counts, 0, sizeof counts);
    failed = 0;
    *failed_path = 0;
    snprintf(roots, sizeof roots, "%s", folders);
    armed_at = n;
    armed_errno = error;
    armed_on = on;
    armed_kind = kind_of(kind);
    return armed_kind < 0 ? -1 : 0;
}

void faults_read_only(const char *folders) { snprintf(read_only, sizeof read_only, "%s", folders); }

long faults_count(const char *kind) { return __atomic_load_n(&counts[kind_of(kind)], __ATOMIC_SEQ_CST); }
long faults_failed(void) { return __atomic_load_n(&failed, __ATOMIC_SEQ_CST); }

const char *faults_path(void) { return failed_path; }

static int under(const char *folders, const char *path) {
    for (const char *at = folders; *at;) {
        const char *end = strchr(at, ':');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        if (length && !strncmp(path, at, length) && (path[length] == '/' || !path[length])) return 1;
        at += length + (end != NULL);
    }
    return 0;
}

static int of_descriptor(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int of_name(int folder, const char *name, char *path) {
    char before[PATH_MAX];
    if (!name) return 0;
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (folder == AT_FDCWD ? !getcwd(before, sizeof before) : !of_descriptor(folder, before)) return 0;
    return snprintf(path, PATH_MAX, "%s/%s", before, name) < PATH_MAX;
}

/* Whether a folder isn't there and its parent is: else the call fails for that, whatever the disk's state. */
static int would_make(const char *path) {
    char parent[PATH_MAX];
    struct stat status;
    int before = errno;
    snprintf(parent, sizeof parent, "%s", path);
    char *end = strrchr(parent, '/');
    if (end) *end = 0;
    int makes = lstat(path, &status) != 0 && end && (!*parent || stat(parent, &status) == 0);
    errno = before;
    return makes;
}

/* Whether this call is the one to fail; errno is set then. */
static int fails(int kind, const char *path) {
    if (*read_only && kind != FSYNC && under(read_only, path)) {
        errno = EROFS;
        return 1;
    }
    if (armed_kind < 0 || !under(roots, path)) return 0;
    if (kind == MKDIR && !would_make(path)) return 0;
    long now = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_SEQ_CST);
    if (armed_kind != kind || !armed_at || now < armed_at || (now > armed_at && !armed_on)) return 0;
    if (__atomic_add_fetch(&failed, 1, __ATOMIC_SEQ_CST) == 1) snprintf(failed_path, sizeof failed_path, "%s", path);
    errno = armed_errno;
    return 1;
}

static int fails_fd(int kind, int fd) {
    char path[PATH_MAX];
    if (armed_kind < 0 && !*read_only) return 0;
    int before = errno, found = of_descriptor(fd, path);
    errno = before;
    return found && fails(kind, path);
}

static int fails_at(int kind, int folder, const char *name) {
    char path[PATH_MAX];
    if (armed_kind < 0 && !*read_only) return 0;
    int before = errno, found = of_name(folder, name, path);
    errno = before;
    return found && fails(kind, path);
}

#define NEXT(result, name, ...)                                          \
    static result (*next)(__VA_ARGS__);                                  \
    if (!next) next = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    return fails_fd(WRITE, fd) ? -1 : next(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    NEXT(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return fails_fd(WRITE, fd) ? -1 : next(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails_fd(WRITE, fd) ? -1 : next(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    return fails_fd(WRITE, fd) ? -1 : next(fd, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    return fails_fd(WRITE, fileno(file)) ? 0 : next(data, size, count, file);
}

ssize_t sendfile(int to, int from, off_t *at, size_t count) {
    NEXT(ssize_t, "sendfile", int, int, off_t *, size_t);
    return fails_fd(WRITE, to) ? -1 : next(to, from, at, count);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t count) {
    NEXT(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    return fails_fd(WRITE, to) ? -1 : next(to, from, at, count);
}

ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags) {
    NEXT(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    return fails_fd(WRITE, to) ? -1 : next(from, in, to, out, size, flags);
}

int fsync(int fd) {
    NEXT(int, "fsync", int);
    return fails_fd(FSYNC, fd) ? -1 : next(fd);
}

int fdatasync(int fd) {
    NEXT(int, "fdatasync", int);
    return fails_fd(FSYNC, fd) ? -1 : next(fd);
}

int rename(const char *one, const char *other) {
    NEXT(int, "rename", const char *, const char *);
    return fails_at(RENAME, AT_FDCWD, other) ? -1 : next(one, other);
}

int renameat(int from, const char *one, int to, const char *other) {
    NEXT(int, "renameat", int, const char *, int, const char *);
    return fails_at(RENAME, to, other) ? -1 : next(from, one, to, other);
}

int renameat2(int from, const char *one, int to, const char *other, unsigned flags) {
    NEXT(int, "renameat2", int, const char *, int, const char *, unsigned);
    return fails_at(RENAME, to, other) ? -1 : next(from, one, to, other, flags);
}

int link(const char *one, const char *other) {
    NEXT(int, "link", const char *, const char *);
    return fails_at(LINK, AT_FDCWD, other) ? -1 : next(one, other);
}

int linkat(int from, const char *one, int to, const char *other, int flags) {
    NEXT(int, "linkat", int, const char *, int, const char *, int);
    return fails_at(LINK, to, other) ? -1 : next(from, one, to, other, flags);
}

int symlink(const char *to, const char *name) {
    NEXT(int, "symlink", const char *, const char *);
    return fails_at(LINK, AT_FDCWD, name) ? -1 : next(to, name);
}

int symlinkat(const char *to, int folder, const char *name) {
    NEXT(int, "symlinkat", const char *, int, const char *);
    return fails_at(LINK, folder, name) ? -1 : next(to, folder, name);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    return fails_at(MKDIR, AT_FDCWD, path) ? -1 : next(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    NEXT(int, "mkdirat", int, const char *, mode_t);
    return fails_at(MKDIR, folder, path) ? -1 : next(folder, path, mode);
}

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

#define OPENS(name)                                                                       \
    int name(const char *path, int flags, ...) {                                          \
        NEXT(int, #name, const char *, int, ...);                                         \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                     \
        return writes(flags) && fails_at(OPEN, AT_FDCWD, path) ? -1 : next(path, flags, mode); \
    }

#define OPENS_AT(name)                                                                    \
    int name(int folder, const char *path, int flags, ...) {                              \
        NEXT(int, #name, int, const char *, int, ...);                                    \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                     \
        return writes(flags) && fails_at(OPEN, folder, path) ? -1 : next(folder, path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

#define OPENS_FILE(name)                                                                  \
    FILE *name(const char *path, const char *mode) {                                      \
        NEXT(FILE *, #name, const char *, const char *);                                  \
        return (mode[0] != 'r' || strchr(mode, '+')) && fails_at(OPEN, AT_FDCWD, path)    \
                   ? NULL : next(path, mode);                                             \
    }

OPENS_FILE(fopen)
OPENS_FILE(fopen64)
