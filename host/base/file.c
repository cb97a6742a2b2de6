/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/error.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static berth_status check_owner(const struct stat *st, mode_t forbidden, const char *path,
                                berth_error *error)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return fail(error, BERTH_ERR_PERMISSION,
                    "%s: belongs to another user (uid %u), so it is not trusted: chown it to the "
                    "user of the host",
                    path, (unsigned)st->st_uid);
    if (st->st_mode & forbidden & 0022)
        return fail(error, BERTH_ERR_PERMISSION, "%s: others may write to it: chmod %s %s", path,
                    forbidden & 0044 ? "go=" : "go-w", path);
    if (st->st_mode & forbidden)
        return fail(error, BERTH_ERR_PERMISSION,
                    "%s: holds a secret but others have access to it: chmod go= %s", path, path);
    return BERTH_OK;
}

berth_status file_check_safe_fd(int fd, const char *path, berth_error *error)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_errno(error, errno, "%s", path);
    return check_owner(&st, 0022, path, error);
}

berth_status file_check_safe(const char *path, berth_error *error)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return fail_errno(error, errno, "%s", path);
    return check_owner(&st, 0022, path, error);
}

/* Fill b and make sure that the file ends there. */
static berth_status read_exactly(int fd, buf *b, const char *path, berth_error *error)
{
    size_t at = 0;
    uint8_t beyond;
    ssize_t n;

    for (;;) {
        n = at < b->len ? read(fd, b->data + at, b->len - at) : read(fd, &beyond, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "%s: cannot read", path);
        if (at == b->len && n == 0)
            return BERTH_OK;
        if (at == b->len || n == 0)
            return fail(error, BERTH_ERR_BUSY, "%s: changed while it was read: try again", path);
        at += (size_t)n;
    }
}

berth_status file_read(const char *path, size_t max, unsigned flags, buf **out, berth_error *error)
{
    /* O_NONBLOCK: opening a named pipe must not wait for a writer. */
    int open_flags =
        O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (flags & FILE_NOFOLLOW ? O_NOFOLLOW : 0);
    berth_status status = BERTH_OK;
    struct stat st;
    buf *b = NULL;
    int fd;

    *out = NULL;
    fd = open(path, open_flags);
    if (fd < 0 && errno == ELOOP && (flags & FILE_NOFOLLOW))
        return fail(error, BERTH_ERR_REFUSED, "%s: is a symbolic link: name the file itself", path);
    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    if (fstat(fd, &st) != 0)
        status = fail_errno(error, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        status = fail(error, BERTH_ERR_INVALID, "%s: is %s, not a regular file", path,
                      S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
    else if ((uint64_t)st.st_size > max)
        status = fail(error, BERTH_ERR_LIMIT, "%s: has %" PRIu64 " bytes, at most %zu are allowed",
                      path, (uint64_t)st.st_size, max);
    else if (flags & FILE_PRIVATE)
        status = check_owner(&st, 0077, path, error);
    else if (flags & FILE_SAFE)
        status = check_owner(&st, 0022, path, error);
    if (status)
        goto out;

    b = buf_new((size_t)st.st_size);
    if (!b) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);
        goto out;
    }
    status = read_exactly(fd, b, path, error);
    if (!status) {
        *out = b;
        b = NULL;
    }

out:
    buf_unref(b);
    close(fd);
    return status;
}

bool file_write_all(int fd, const void *ptr, size_t n)
{
    const uint8_t *p = ptr;

    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

berth_status file_sync_dir(const char *path, berth_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    berth_status status = BERTH_OK;

    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    if (fsync(fd) != 0 && errno != EINVAL) /* some file systems cannot sync a directory */
        status = fail_errno(error, errno, "%s: cannot sync", path);
    close(fd);
    return status;
}

/* The directory of path into dir, "." if it has none. False when it is too long. */
static bool directory_of(const char *path, char dir[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len >= PATH_MAX)
        return false;
    if (!slash)
        strcpy(dir, ".");
    else if (len == 0)
        strcpy(dir, "/");
    else {
        memcpy(dir, path, len);
        dir[len] = 0;
    }
    return true;
}

/* A rename would put a file in the place of a device or a pipe. */
static berth_status check_replaceable(const char *path, berth_error *error)
{
    struct stat st;

    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return BERTH_OK;
    return fail(error, BERTH_ERR_INVALID, "%s: is %s: name a file", path,
                S_ISDIR(st.st_mode) ? "a directory"
                                    : "no regular file, and is not replaced by one");
}

static berth_status write_whole(const char *path, const void *ptr, size_t len, mode_t mode,
                                bool replace, berth_error *error)
{
    char dir[PATH_MAX], temporary[PATH_MAX];
    berth_status status = BERTH_OK;
    int fd = -1, n;

    if (!directory_of(path, dir))
        return fail_errno(error, ENAMETOOLONG, "%s", path);
    if (replace && (status = check_replaceable(path, error)) != BERTH_OK)
        return status;
    n = snprintf(temporary, sizeof temporary, "%s/.new-%016" PRIx64, dir, random_u64());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return fail_errno(error, ENAMETOOLONG, "%s", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot create a file in %s", path, dir);

    if (!file_write_all(fd, ptr, len) || fchmod(fd, mode) != 0 || fsync(fd) != 0) {
        status = fail_errno(error, errno, "%s: cannot write", path);
        goto out;
    }
    if (replace ? rename(temporary, path) != 0 : link(temporary, path) != 0) {
        status = errno == EEXIST
                     ? fail(error, BERTH_ERR_EXISTS,
                            "%s: exists already: choose another name or remove it first", path)
                     : fail_errno(error, errno, "%s: cannot put the file in place", path);
        goto out;
    }
    if (replace)
        temporary[0] = 0;

out:
    close(fd);
    if (temporary[0])
        unlink(temporary);
    return status ? status : file_sync_dir(dir, error);
}

berth_status file_write(const char *path, const void *ptr, size_t len, mode_t mode,
                        berth_error *error)
{
    return write_whole(path, ptr, len, mode, true, error);
}

berth_status file_write_new(const char *path, const void *ptr, size_t len, mode_t mode,
                            berth_error *error)
{
    return write_whole(path, ptr, len, mode, false, error);
}

/* One directory; an existing one is fine, anything else in its place is not. */
static berth_status make_one(const char *path, berth_error *error)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        return BERTH_OK;
    if (errno != EEXIST)
        return fail_errno(error, errno, "%s: cannot make the directory", path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return BERTH_OK;
    return fail(error, BERTH_ERR_INVALID, "%s: is not a directory", path);
}

berth_status file_mkdirs(const char *path, berth_error *error)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    berth_status status;
    struct stat st;

    if (len == 0 || len >= sizeof part)
        return fail_errno(error, len ? ENAMETOOLONG : ENOENT, "'%s'", path);
    /* Usually it exists; and a parent that we may not write to is no obstacle then. */
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return BERTH_OK;
    memcpy(part, path, len + 1);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (stat(part, &st) != 0 || !S_ISDIR(st.st_mode)) {
            status = make_one(part, error);
            if (status)
                return status;
        }
        *p = '/';
    }
    return make_one(part, error);
}
