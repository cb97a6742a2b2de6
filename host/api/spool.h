/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/spool.h: an answer that is made before it is sent, of any length: small ones in memory, the
 * rest in a file without a name.
 *
 * One user at a time. Blocking file I/O, as a rule served by the page cache.
 */
#ifndef API_SPOOL_H
#define API_SPOOL_H

#include "base/cursor.h"
#include "berth/status.h"

#include <sys/types.h>

typedef struct spool {
    writer tail;     /* what is not in the file yet; make lines here, then spool_flush */
    int fd;          /* -1: all is in tail */
    uint64_t stored; /* bytes in the file */
    size_t in_memory;
    uint64_t max;
    const char *dir; /* borrowed */
} spool;

/* Nothing is allocated. dir is for the file; in_memory is when it begins to be needed. */
void spool_init(spool *s, const char *dir, size_t in_memory, uint64_t max);
void spool_fini(spool *s);

/* To be called between lines: moves tail into the file when there is much of it. LIMIT past max,
 * NO_SPACE, IO, NO_MEMORY; what was flushed before stays readable. */
berth_status spool_flush(spool *s, berth_error *error);

uint64_t spool_length(const spool *s);

/* Up to n bytes from pos; how many, 0 at the end, -1 when the file cannot be read. */
ssize_t spool_read(const spool *s, uint64_t pos, void *out, size_t n);

#endif
