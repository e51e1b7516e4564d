// Loaded before libchdb by tests/store/injected.rs: fails or kills the process at the n-th rename, sync or write below a folder.
//
// INJECT_ORDER names a file with one line, `<number> <kill|eio> <rename|sync|write> <n>`, which is read at each such call. Under a new
// number counting begins anew. When the n-th call comes the file <INJECT_ORDER>.done is made.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long known = -1, calls = 0;

static int is_below(const char *path) {
    const char *folder = getenv("INJECT_FOLDER");
    // Merges go on beside what is tested, at moments of their own.
    return folder && path && strncmp(path, folder, strlen(folder)) == 0 && !strstr(path, "/tmp_merge_");
}

static int is_file_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

// Whether this call fails.
static int fails(const char *kind) {
    const char *order = getenv("INJECT_ORDER");
    char line[128] = "", what[16], of[16], done[PATH_MAX];
    long number, at;
    int fd = order ? open(order, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    if (length <= 0 || sscanf(line, "%ld %15s %15s %ld", &number, what, of, &at) != 4) return 0;
    if (strcmp(kind, of) != 0) return 0;

    pthread_mutex_lock(&lock);
    if (number != known) {
        known = number;
        calls = 0;
    }
    int is_it = ++calls == at;
    pthread_mutex_unlock(&lock);
    if (!is_it) return 0;

    snprintf(done, sizeof done, "%s.done", order);
    close(open(done, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (strcmp(what, "kill") == 0) kill(getpid(), SIGKILL);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(condition, kind) \
    if ((condition) && fails(kind)) { errno = EIO; return -1; }

int rename(const char *from, const char *to) {
    FAIL_IF(is_below(from), "rename")
    return REAL(rename)(from, to);
}

int fsync(int fd) {
    FAIL_IF(is_file_below(fd), "sync")
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    FAIL_IF(is_file_below(fd), "sync")
    return REAL(fdatasync)(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    FAIL_IF(is_file_below(fd), "write")
    return REAL(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    FAIL_IF(is_file_below(fd), "write")
    return REAL(pwrite)(fd, bytes, count, at);
}

long syscall(long number, ...) {
    va_list more;
    va_start(more, number);
    long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long);
    long d = va_arg(more, long), e = va_arg(more, long), f = va_arg(more, long);
    va_end(more);
    FAIL_IF(number == SYS_renameat2 && is_below((const char *)b), "rename")
    return REAL(syscall)(number, a, b, c, d, e, f);
}
