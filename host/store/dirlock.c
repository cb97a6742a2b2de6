/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dirlock.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define WAIT_NS 2000000000

/* The pid in the file, or 0 when it says nothing of use. */
static long holder(int fd)
{
    char text[24] = "", *end;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid;

    if (n <= 0)
        return 0;
    pid = strtol(text, &end, 10);
    return *end == '\n' && pid > 0 && pid <= INT_MAX ? pid : 0;
}

/* Whether the host that had the lock last is gone, so that the lock is about to be free. */
static bool holder_ended(int fd)
{
    long pid = holder(fd);

    return pid && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static int lock_soon(int fd)
{
    int64_t deadline = clock_mono_ns() + WAIT_NS;

    for (;;) {
        int why = flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;

        if (why != EWOULDBLOCK || !holder_ended(fd) || clock_mono_ns() >= deadline)
            return why;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static berth_status locked(int fd, const char *dir, berth_error *error)
{
    long pid = holder(fd);

    if (pid == (long)getpid())
        return fail(error, BERTH_ERR_LOCKED,
                    "%s: this process already uses the state directory: close it first", dir);
    if (pid)
        return fail(
            error, BERTH_ERR_LOCKED,
            "%s: another host (pid %ld) uses the state directory: stop it, or choose another "
            "directory",
            dir, pid);
    return fail(error, BERTH_ERR_LOCKED,
                "%s: another host uses the state directory: stop it, or choose another directory",
                dir);
}

berth_status dirlock_take(const char *dir, int *out, berth_error *error)
{
    char path[PATH_MAX], text[24];
    berth_status status;
    int fd, n, why;

    *out = -1;
    n = snprintf(path, sizeof path, "%s/lock", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return fail_errno(error, ENAMETOOLONG, "%s", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    why = lock_soon(fd);
    if (why) {
        status = why == EWOULDBLOCK ? locked(fd, dir, error)
                                    : fail_errno(error, why, "%s: cannot lock", path);
        close(fd);
        return status;
    }
    /* On a full disk the pid cannot be written; then the second host is told less. */
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        (void)!ftruncate(fd, 0);
    *out = fd;
    return BERTH_OK;
}

void dirlock_drop(int fd)
{
    if (fd >= 0)
        close(fd);
}
