/* SPDX-License-Identifier: Apache-2.0 */
#include "api/spool.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void spool_init(spool *s, const char *dir, size_t in_memory, uint64_t max)
{
    *s = (spool){.fd = -1, .in_memory = in_memory, .max = max, .dir = dir};
}

void spool_fini(spool *s)
{
    writer_free(&s->tail);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* A file without a name, also where the file system knows no O_TMPFILE. */
static int open_nameless(const char *dir)
{
    char path[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    if (snprintf(path, sizeof path, "%s/.reply-XXXXXX", dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

berth_status spool_flush(spool *s, berth_error *error)
{
    if (s->tail.failed)
        return fail(error, BERTH_ERR_NO_MEMORY, "answer: out of memory");
    if (spool_length(s) > s->max)
        return fail(error, BERTH_ERR_LIMIT,
                    "answer: longer than %llu bytes; ask for less at a time",
                    (unsigned long long)s->max);
    if (s->tail.len <= s->in_memory)
        return BERTH_OK;
    if (s->fd < 0)
        s->fd = open_nameless(s->dir);
    if (s->fd < 0 || !file_write_all(s->fd, s->tail.data, s->tail.len))
        return fail_errno(error, errno, "answer: temporary file in %s", s->dir);
    s->stored += s->tail.len;
    s->tail.len = 0;
    return BERTH_OK;
}

uint64_t spool_length(const spool *s)
{
    return s->stored + s->tail.len;
}

ssize_t spool_read(const spool *s, uint64_t pos, void *out, size_t n)
{
    ssize_t got;

    if (pos < s->stored) {
        if (n > s->stored - pos)
            n = (size_t)(s->stored - pos);
        got = pread(s->fd, out, n, (off_t)pos);
        return got > 0 ? got : -1;
    }
    pos -= s->stored;
    if (pos >= s->tail.len)
        return 0;
    if (n > s->tail.len - pos)
        n = s->tail.len - (size_t)pos;
    memcpy(out, s->tail.data + pos, n);
    return (ssize_t)n;
}
