/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/lines.h: lines out of a body that comes in pieces, whatever the pieces' borders.
 *
 * Pure; one user at a time. A line that lies within one piece is handed out where it stands; only
 * one that crosses a border is copied.
 */
#ifndef API_LINES_H
#define API_LINES_H

#include "base/cursor.h"

typedef struct lines {
    writer part;    /* the begin of a line whose end has not come */
    uint64_t max;   /* longest line, without its line feed */
    uint64_t count; /* lines handed out */
    bool taken;     /* part was handed out; it goes at the next call */
} lines;

typedef enum lines_result {
    LINES_LINE,     /* *out is a line, without its line feed */
    LINES_MORE,     /* the piece is used up */
    LINES_TOO_LONG, /* line count + 1 is longer than max; nothing more will come */
    LINES_NO_MEMORY
} lines_result;

/* Zero-initialise and set max; lines_fini frees. */
void lines_fini(lines *l);

/*
 * The next line of the piece [*at, end); moves *at. out is valid until the next call, or until the
 * piece goes. A line that is too long is found as soon as max + 1 of its bytes were seen.
 */
lines_result lines_next(lines *l, const uint8_t **at, const uint8_t *end, slice *out);

/* At the end of the body: true when there is a last line without a line feed. */
bool lines_rest(lines *l, slice *out);

#endif
