/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dirlock.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

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
    int fd, n;

    *out = -1;
    n = snprintf(path, sizeof path, "%s/lock", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return fail_errno(error, ENAMETOOLONG, "%s", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? locked(fd, dir, error)
                                      : fail_errno(error, errno, "%s: cannot lock", path);
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
