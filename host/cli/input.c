/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static berth_status read_standard_input(size_t max, buf **out, berth_error *error)
{
    berth_status status = BERTH_OK;
    buf *room = buf_new(max + 1);
    size_t len = 0;
    ssize_t n = 1;

    if (!room)
        return fail(error, BERTH_ERR_NO_MEMORY, "standard input: out of memory");
    while (len <= max && n) {
        n = read(STDIN_FILENO, room->data + len, max + 1 - len);
        if (n < 0 && errno != EINTR) {
            status = fail_errno(error, errno, "standard input");
            break;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    if (!status && len > max)
        status = fail(error, BERTH_ERR_LIMIT,
                      "standard input: has more than the %zu bytes that this may have", max);
    if (!status && !(*out = buf_copy(room->data, len)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "standard input: out of memory");
    sodium_memzero(room->data, len);
    buf_unref(room);
    return status;
}

berth_status input_read(const char *path, size_t max, buf **out, berth_error *error)
{
    *out = NULL;
    return strcmp(path, "-") == 0 ? read_standard_input(max, out, error)
                                  : file_read(path, max, 0, out, error);
}

berth_status lock_beside(const char *path, int *lock, berth_error *error)
{
    char *copy = strdup(path);
    berth_status status;

    *lock = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (*lock >= 0 && flock(*lock, LOCK_EX) == 0) {
        free(copy);
        return BERTH_OK;
    }
    status = fail_errno(error, errno, "%s: its directory", path);
    free(copy);
    lock_drop(*lock);
    *lock = -1;
    return status;
}

void lock_drop(int lock)
{
    if (lock >= 0)
        close(lock);
}
