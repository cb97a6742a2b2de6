/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/ndjson.h: a stream of bytes, in whatever pieces it comes, as lines.
 *
 * Pure. Lines that lie in one piece are handed out in place; only what spans pieces is copied.
 */
#ifndef CLI_NDJSON_H
#define CLI_NDJSON_H

#include "base/cursor.h"

#include <stdbool.h>

typedef struct ndjson {
    /* One line without its line feed; borrowed for the call. False stops the feeding. */
    bool (*line)(void *ctx, slice line);
    void *ctx;
    size_t max;  /* bytes of the longest line */
    writer held; /* the begin of a line whose end has not come */
} ndjson;

typedef enum ndjson_result {
    NDJSON_MORE,    /* all of it was taken */
    NDJSON_STOPPED, /* line said so */
    NDJSON_LONG,    /* a line is longer than max, or memory is short */
} ndjson_result;

ndjson_result ndjson_feed(ndjson *n, const void *ptr, size_t len);
/* Whether the stream ended in the middle of a line. */
bool ndjson_is_partial(const ndjson *n);
void ndjson_fini(ndjson *n);

#endif
