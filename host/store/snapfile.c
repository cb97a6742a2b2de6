/* SPDX-License-Identifier: Apache-2.0 */
#include "store/snapfile.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "store/db.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define SUFFIX           ".bsn"
#define TEMPORARY_PREFIX ".new-" /* as file_write names what it has not finished */

void snapshot_digest(uint8_t out[SNAPSHOT_DIGEST], slice bytes)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.ptr, bytes.len));
    memcpy(out, canonical.digest, SNAPSHOT_DIGEST);
}

bool snapfile_is_name(const char *name)
{
    if (strlen(name) != SNAPFILE_NAME - 1 || strcmp(name + 33, SUFFIX) != 0 || name[16] != '-')
        return false;
    for (int i = 0; i < 33; i++)
        if (i != 16 && !strchr("0123456789abcdef", name[i]))
            return false;
    return true;
}

static bool path_of(const char *dir, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    return n > 0 && n < PATH_MAX;
}

berth_status snapfile_write(const char *dir, const uint8_t owner[8], slice bytes,
                            char name[SNAPFILE_NAME], berth_error *error)
{
    char path[PATH_MAX], head[17], unique[ID_TEXT];
    berth_status status;

    snprintf(name, SNAPFILE_NAME, "%s-%s" SUFFIX, hex_encode(head, slice_of(owner, 8)),
             id_encode(unique, random_u64()));
    if (!path_of(dir, name, path))
        return fail_errno(error, ENAMETOOLONG, "%s", dir);
    status = file_write(path, bytes.ptr, bytes.len, 0600, error);
    if (status)
        unlink(path);
    return status;
}

berth_status snapfile_read(const char *dir, const char *name, uint64_t len, buf **out,
                           berth_error *error)
{
    char path[PATH_MAX];
    berth_status status;

    *out = NULL;
    if (!path_of(dir, name, path))
        return fail_errno(error, ENAMETOOLONG, "%s", dir);
    status = file_read(path, len, FILE_NOFOLLOW | FILE_SAFE, out, error);
    if (status == BERTH_ERR_LIMIT || (!status && (*out)->len != len)) {
        buf_unref(*out);
        *out = NULL;
        return fail(error, BERTH_ERR_CORRUPT, "%s: is not as long as it was written", path);
    }
    return status;
}

void snapfile_remove(const char *dir, const char *name)
{
    char path[PATH_MAX];

    /* What stays is swept at the next open. */
    if (path_of(dir, name, path) && unlink(path) != 0 && errno != ENOENT)
        log_warn("store", "%s: cannot remove an old snapshot: %s", path, strerrordesc_np(errno));
}

static bool is_temporary(const char *name)
{
    return strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0;
}

berth_status snapfile_sweep(const char *dir, sqlite3 *db, berth_error *error)
{
    sqlite3_stmt *named = NULL;
    berth_status status;
    struct dirent *entry;
    unsigned swept = 0;
    DIR *d;

    status = db_prepare(db,
                        "SELECT 1 FROM snapshot WHERE file = ?1 "
                        "UNION ALL SELECT 1 FROM attempt_state WHERE file = ?1 "
                        "UNION ALL SELECT 1 FROM attempt_base WHERE file = ?1",
                        &named, error);
    if (status)
        return status;
    d = opendir(dir);
    if (!d) {
        status = fail_errno(error, errno, "%s: cannot open", dir);
        goto out;
    }
    while ((entry = readdir(d))) {
        int rc = SQLITE_OK;

        if (!snapfile_is_name(entry->d_name) && !is_temporary(entry->d_name))
            continue;
        rc = sqlite3_bind_text(named, 1, entry->d_name, -1, SQLITE_STATIC);
        if (!rc)
            rc = sqlite3_step(named);
        sqlite3_reset(named);
        if (rc == SQLITE_DONE) {
            snapfile_remove(dir, entry->d_name);
            swept++;
        } else if (rc != SQLITE_ROW) {
            status = db_fail(db, rc, error);
            goto out;
        }
    }
    if (swept)
        log_info("store", "%s: removed %u unfinished or superseded snapshot files", dir, swept);

out:
    sqlite3_finalize(named);
    if (d)
        closedir(d);
    return status;
}

bool snapfile_any(const char *dir)
{
    struct dirent *entry;
    bool found = false;
    DIR *d = opendir(dir);

    if (!d)
        return false;
    while (!found && (entry = readdir(d)))
        found = snapfile_is_name(entry->d_name);
    closedir(d);
    return found;
}
