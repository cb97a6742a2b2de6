/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin_file.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static berth_status hash_all(int fd, const char *path, uint8_t *hash, uint64_t *size,
                             berth_error *error)
{
    uint8_t *piece = (uint8_t *)malloc(PIECE);
    minisign_hash state;
    uint64_t total = 0;
    ssize_t n;

    if (!piece)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);
    minisign_hash_init(&state);
    while ((n = read(fd, piece, PIECE)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) {
            minisign_hash_update(&state, piece, (size_t)n);
            total += (uint64_t)n;
        }
    }
    free(piece);
    if (n < 0)
        return fail_errno(error, errno, "%s", path);
    minisign_hash_final(&state, hash);
    if (size)
        *size = total;
    return BERTH_OK;
}

berth_status plugin_file_hash(const char *path, uint8_t hash[MINISIGN_HASH_BYTES], uint64_t *size,
                              berth_error *error)
{
    /* Without O_NONBLOCK a pipe of that name would keep us waiting for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    berth_status status;
    struct stat st;

    if (fd < 0)
        return fail_errno(error, errno, "%s", path);
    if (fstat(fd, &st) != 0)
        status = fail_errno(error, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        status = fail(error, BERTH_ERR_INVALID, "%s: is not a regular file", path);
    else
        status = hash_all(fd, path, hash, size, error);
    close(fd);
    return status;
}

berth_status plugin_file_signature(const char *path, minisign_signature *out, bool *there,
                                   berth_error *error)
{
    char name[4096 + 16];
    buf *text = NULL;
    berth_status status;

    *there = false;
    if ((size_t)snprintf(name, sizeof name, "%s.minisig", path) >= sizeof name)
        return fail(error, BERTH_ERR_INVALID, "%s: the name is too long", path);
    status = file_read(name, MINISIGN_FILE_MAX, 0, &text, error);
    if (status == BERTH_ERR_NOT_FOUND) {
        if (error)
            *error = (berth_error){0};
        return BERTH_OK;
    }
    if (status != BERTH_OK)
        return status;
    *there = true;
    status = minisign_signature_parse(slice_of(text->data, text->len), out, error);
    if (status != BERTH_OK)
        fail_prefix(error, "%s", name);
    buf_unref(text);
    return status;
}
