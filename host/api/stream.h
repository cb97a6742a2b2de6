/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/stream.h: an answer of lines of JSON, as they come, without an end that is known before. A
 * reader that is slow costs nobody anything: what is held for it is bounded, the rest it misses and
 * is told.
 */
#ifndef API_STREAM_H
#define API_STREAM_H

#include "api/request.h"

/* Where the lines come from. Called by the thread of the API. */
typedef struct stream_source {
    /* Append lines, some 64 KiB at most. None: there is nothing now, and request_wake comes when
     * there is. A text: nothing more will come, and why; static. */
    const char *(*fill)(void *ctx, writer *lines);
    void (*close)(void *ctx);
} stream_source;

#define STREAM_LINES_BYTES (64 * 1024)

/* ctx is closed, whatever becomes of it. */
void stream_answer(request *r, const stream_source *source, void *ctx);

/* {"missed":n}, if any were. */
void stream_emit_missed(writer *lines, uint64_t missed);

#endif
