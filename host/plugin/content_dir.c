/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/content_dir.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "plugin/content_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of name without this ending, or 0. */
static size_t without(const char *name, const char *ending)
{
    size_t n = strlen(name), e = strlen(ending);

    return n > e && strcmp(name + n - e, ending) == 0 ? n - e : 0;
}

/* What a host that was killed may leave: unfinished copies, files of base/file.h that were never
 * renamed, and signatures that came before a file that did not. */
static bool leftover(int dir, const char *name)
{
    size_t n = without(name, ".minisig");
    char code[NAME_MAX + 1];

    if (starts_with(name, CONTENT_TEMPORARY) || starts_with(name, ".new-"))
        return true;
    if (!n)
        return false;
    memcpy(code, name, n);
    code[n] = 0;
    return faccessat(dir, code, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static berth_status sweep(const char *path, berth_error *error)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        return fail_errno(error, errno, "%s: cannot read the directory", path);
    while ((entry = readdir(dir))) {
        if (leftover(dirfd(dir), entry->d_name))
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return BERTH_OK;
}

berth_status content_dir_open(const char *dir, char out[PATH_MAX], berth_error *error)
{
    berth_status status = file_mkdirs(dir, error);

    if (!status)
        status = file_check_safe(dir, error);
    if (status)
        return status;
    /* The loader must find the file whatever the working directory is. */
    if (!realpath(dir, out))
        return fail_errno(error, errno, "%s", dir);
    if (strchr(out, '$'))
        return fail(error, BERTH_ERR_INVALID,
                    "%s: the dynamic loader would expand the '$' in it: choose another state "
                    "directory",
                    out);
    return sweep(out, error);
}

berth_status content_each(content_store *store,
                          bool (*fn)(void *ctx, const uint8_t digest[DIGEST_BYTES]), void *ctx,
                          berth_error *error)
{
    const char *path = content_store_dir(store);
    DIR *dir = path ? opendir(path) : NULL;
    struct dirent *entry;
    uint8_t digest[DIGEST_BYTES];

    if (!path)
        return BERTH_OK;
    if (!dir)
        return fail_errno(error, errno, "%s: cannot read the directory", path);
    while ((entry = readdir(dir))) {
        size_t n = without(entry->d_name, ".so");

        if (n && hex_decode(digest, sizeof digest, slice_of(entry->d_name, n)) && !fn(ctx, digest))
            break;
    }
    closedir(dir);
    return BERTH_OK;
}
