/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/temporary.h"
#include "base/error.h"
#include "base/text.h"
#include "plugin/content_dir.h"
#include "plugin/plugins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "berth-plugins-"
#define RANDOM 6 /* characters of mkdtemp */
/* In each, so that a directory that happens to have such a name is not taken for one of ours. */
#define MARK "goes-with-its-process"

static const char *parent_directory(void)
{
    const char *parent = getenv("TMPDIR");

    /* The dynamic loader would expand a '$'. */
    return parent && parent[0] == '/' && !strchr(parent, '$') ? parent : "/tmp";
}

/* Nobody else may put something else in our directory's place: code is run from it. */
static berth_status check_parent(const char *path, berth_error *error)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return fail_errno(error, errno, "%s", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
        ((st.st_mode & 0022) && !(st.st_mode & S_ISVTX)))
        return fail(error, BERTH_ERR_PERMISSION,
                    "%s: others may move what is in there, so no plugin is kept there: set TMPDIR "
                    "to a directory of yours",
                    path);
    return BERTH_OK;
}

/* Whether a content store gives files such names. */
static bool ours(const char *name)
{
    uint8_t digest[DIGEST_BYTES];

    if (strncmp(name, CONTENT_TEMPORARY, strlen(CONTENT_TEMPORARY)) == 0 ||
        strncmp(name, ".new-", 5) == 0)
        return true;
    return strlen(name) >= 2 * DIGEST_BYTES &&
           hex_decode(digest, sizeof digest, slice_of(name, 2 * DIGEST_BYTES)) &&
           (strcmp(name + 2 * DIGEST_BYTES, ".so") == 0 ||
            strcmp(name + 2 * DIGEST_BYTES, ".so.minisig") == 0);
}

/* The mark goes last: what is interrupted here is taken up by the next one. */
static void empty(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    bool foreign = false;

    if (!list) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((entry = readdir(list))) {
        const char *name = entry->d_name;

        if (ours(name))
            unlinkat(dir, name, 0);
        else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, MARK) != 0)
            foreign = true;
    }
    closedir(list);
    if (!foreign)
        unlinkat(dir, MARK, 0);
}

/* One that may be someone's, or no one's any more. */
static void sweep_one(int parent, const char *name)
{
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (dir < 0)
        return;
    if (fstat(dir, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0077) == 0 &&
        flock(dir, LOCK_EX | LOCK_NB) == 0) {
        if (faccessat(dir, MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            empty(dir);
        /* Only if it is empty: its maker may have ended before the mark was made. */
        unlinkat(parent, name, AT_REMOVEDIR);
    }
    close(dir);
}

static void sweep(const char *path)
{
    DIR *list = opendir(path);
    struct dirent *entry;

    if (!list)
        return;
    while ((entry = readdir(list))) {
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
            strlen(entry->d_name) == sizeof PREFIX - 1 + RANDOM)
            sweep_one(dirfd(list), entry->d_name);
    }
    closedir(list);
}

/* Lock what was just made. False: someone swept it before it was locked. */
static bool take(const char *path, int dir)
{
    struct stat here, there;
    int mark;

    /* Where directories cannot be locked (some network file systems) it has no mark either, and
     * nobody will sweep it. */
    if (flock(dir, LOCK_EX | LOCK_NB) != 0)
        return errno != EWOULDBLOCK;
    if (fstat(dir, &here) != 0 || lstat(path, &there) != 0 || here.st_dev != there.st_dev ||
        here.st_ino != there.st_ino)
        return false;
    mark = openat(dir, MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (mark >= 0)
        close(mark);
    return true;
}

berth_status temporary_make(char out[PATH_MAX], int *lock, berth_error *error)
{
    const char *parent = parent_directory();
    berth_status status = check_parent(parent, error);

    *lock = -1;
    if (status)
        return status;
    sweep(parent);
    for (int i = 0; i < 100; i++) {
        if (snprintf(out, PATH_MAX, "%s/" PREFIX "XXXXXX", parent) >= PATH_MAX)
            return fail_errno(error, ENAMETOOLONG, "%s", parent);
        if (!mkdtemp(out)) /* mode 0700 */
            return fail_errno(error, errno, "%s: cannot make a directory", parent);
        *lock = open(out, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (*lock >= 0 && take(out, *lock))
            return BERTH_OK;
        if (*lock < 0 && errno != ENOENT) {
            int why = errno;

            rmdir(out);
            return fail_errno(error, why, "%s: cannot open", out);
        }
        if (*lock >= 0)
            close(*lock);
        *lock = -1;
    }
    return fail(error, BERTH_ERR_BUSY,
                "%s: every directory made there is removed at once: choose "
                "another with TMPDIR",
                parent);
}

void temporary_remove(const char *path, int lock)
{
    empty(lock);
    rmdir(path);
    close(lock);
}
