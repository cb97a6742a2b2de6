/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/file.h: whole files, written so that a crash leaves the old one or the new one, and read
 * with every check made on the descriptor that is read from.
 *
 * Blocking; any thread. Errors name the path and the command that cures them.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    FILE_NOFOLLOW = 1, /* the last component must not be a symbolic link */
    FILE_SAFE = 2,     /* owned by our user or root, writable by the owner only */
    FILE_PRIVATE = 4,  /* owned by our user or root, no access for anyone else: for secrets */
};

/* Read a regular file of at most max bytes. On success *out has one reference, the caller's. A
 * larger file is BERTH_ERR_LIMIT; one that changes its length meanwhile is BERTH_ERR_BUSY. */
berth_status file_read(const char *path, size_t max, unsigned flags, buf **out, berth_error *error);

/* Replace path by these bytes: temporary file beside it, fsync, rename, fsync of the directory. The
 * mode is exactly the given one, whatever the umask. INVALID: what is there is no regular file. */
berth_status file_write(const char *path, const void *ptr, size_t len, mode_t mode,
                        berth_error *error);

/* The same, but an existing path is left as it is and the answer is BERTH_ERR_EXISTS. */
berth_status file_write_new(const char *path, const void *ptr, size_t len, mode_t mode,
                            berth_error *error);

/* Make a directory and those above it; the ones it makes have mode 0700. An existing directory is
 * not changed. */
berth_status file_mkdirs(const char *path, berth_error *error);

/* Make renames and new names in a directory durable. */
berth_status file_sync_dir(const char *path, berth_error *error);

/* The check of FILE_SAFE, for a file or a directory (symbolic links are followed). */
berth_status file_check_safe(const char *path, berth_error *error);
berth_status file_check_safe_fd(int fd, const char *path, berth_error *error);

/* All n bytes, however often it takes; false with errno set. */
bool file_write_all(int fd, const void *ptr, size_t n);

#endif
