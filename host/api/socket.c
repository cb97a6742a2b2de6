/* SPDX-License-Identifier: Apache-2.0 */
#include "api/socket.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The directory must exist (it is made) and be ours, and nobody else may enter it. */
static berth_status check_directory(const char *path, berth_error *error)
{
    char dir[sizeof((listener *)NULL)->path];
    char *slash;
    struct stat st;
    berth_status status;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        slash[slash == dir] = '\0';
    status = file_mkdirs(dir, error);
    if (status)
        return status;
    if (stat(dir, &st) < 0)
        return fail_errno(error, errno, "%s", dir);
    if (st.st_uid != geteuid())
        return fail(error, BERTH_ERR_PERMISSION,
                    "socket directory %s: belongs to user %u; choose a directory of yours", dir,
                    (unsigned)st.st_uid);
    if (st.st_mode & 077)
        return fail(
            error, BERTH_ERR_PERMISSION,
            "socket directory %s: others may enter it (mode %03o); make it private (chmod 700 %s), "
            "or choose one that is",
            dir, (unsigned)st.st_mode & 0777, dir);
    return BERTH_OK;
}

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static berth_status nobody_answers(const struct sockaddr_un *address, berth_error *error)
{
    const char *path = address->sun_path;
    int fd = unix_socket(), answer;

    if (fd < 0)
        return fail_errno(error, errno, "socket %s", path);
    answer = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(fd);
    if (answer != ECONNREFUSED && answer != ENOENT)
        return fail(error, BERTH_ERR_LOCKED,
                    "socket %s: another host answers there; stop it or choose another path", path);
    return BERTH_OK;
}

berth_status listener_check(const char *path, berth_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(path) >= sizeof address.sun_path || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return BERTH_OK;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return nobody_answers(&address, error);
}

/* Make room at the path: nothing is there, or a socket that nobody answers at. */
static berth_status clear_path(const struct sockaddr_un *address, berth_error *error)
{
    const char *path = address->sun_path;
    struct stat st;
    berth_status status;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? BERTH_OK : fail_errno(error, errno, "socket %s", path);
    if (!S_ISSOCK(st.st_mode))
        return fail(error, BERTH_ERR_EXISTS,
                    "socket %s: is a file, not a socket; choose another path", path);
    status = nobody_answers(address, error);
    if (status != BERTH_OK)
        return status;
    if (unlink(path) < 0 && errno != ENOENT)
        return fail_errno(error, errno, "socket %s: stale, but cannot be removed", path);
    return BERTH_OK;
}

berth_status listener_open(listener *l, const char *path, berth_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    berth_status status;

    *l = (listener){.fd = -1};
    if (!*path)
        return fail(error, BERTH_ERR_INVALID, "socket: the path is empty");
    if (strlen(path) >= sizeof address.sun_path)
        return fail(error, BERTH_ERR_INVALID, "socket %s: a socket's path has at most %zu bytes",
                    path, sizeof address.sun_path - 1);
    snprintf(l->path, sizeof l->path, "%s", path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    status = check_directory(path, error);
    if (!status)
        status = clear_path(&address, error);
    if (status)
        return status;
    l->fd = unix_socket();
    /* the mode of the unbound socket becomes that of the file */
    if (l->fd < 0 || fchmod(l->fd, 0600) < 0 ||
        bind(l->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        status = fail_errno(error, errno, "socket %s", l->path);
        goto fail;
    }
    if (listen(l->fd, 128) < 0 || stat(path, &st) < 0) {
        status = fail_errno(error, errno, "socket %s", l->path);
        unlink(path);
        goto fail;
    }
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->made = st.st_mtim;
    return BERTH_OK;
fail:
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    return status;
}

void listener_unlink(const listener *l)
{
    struct stat st;

    if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino &&
        st.st_mtim.tv_sec == l->made.tv_sec && st.st_mtim.tv_nsec == l->made.tv_nsec)
        unlink(l->path);
}

bool peer_allowed(int fd, uid_t ours)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof peer)
        return false;
    return peer.uid == ours || peer.uid == 0;
}
