/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/executed.h: events that a daemon has run, as bytes for a host that runs them again.
 * Private to the room.
 *
 *     version u8 (1), outputs u64, output bytes u64 (limits of a call), count u32; each:
 *     has u32: the sum of what follows, each if it is said:
 *           1 type u16         2 flags u16      4 status i32     8 time i64    10 attempt u32
 *          20 origin u64      40 sequence u64  80 request u64  100 reply 4 u64
 *         200 channel: length u16, bytes       400 peer u64: it was observed, and came from there
 *         800 (nothing) it was observed, and came from that very host       1000 code i32
 *        2000 (nothing) its effects did not count     4000 requests in use: count u16, u64 each
 *     seeds 2 u64, data: length u32, bytes
 *
 * What is left out is what it mostly is: a message, of attempt 1, at the time of the one before,
 * with a handler that returned 0. Said nevertheless it does not read, so that equal events are
 * equal bytes.
 */
#ifndef DAEMON_EXECUTED_H
#define DAEMON_EXECUTED_H

#include "base/cursor.h"
#include "berth/abi.h"
#include "berth/status.h"
#include "daemon/effects.h"

typedef struct executed_event {
    berth_event event; /* what the handler saw; its bytes are borrowed */
    bool observed;     /* the horizon took in its origin and sequence: */
    uint64_t peer;     /* from this node; 0: from the daemon's own */
    berth_code code;   /* what the handler returned */
    bool counts;       /* and its effects were committed */
    /* Numbers of open requests that it was told of: u64 each, little-endian. Borrowed. */
    const uint8_t *in_use;
    uint16_t in_use_count;
} executed_event;

/* One after the other. time_ns: of the event before; 0 before the first. Writers fail as ever. */
void executed_begin(writer *w, const effect_limits *limits);
void executed_add(writer *w, const executed_event *e, int64_t *time_ns);
/* The head says how many: begin is where executed_begin wrote. */
void executed_end(writer *w, size_t begin, uint32_t count);

typedef struct executed_reader {
    reader r;
    effect_limits limits;
    uint32_t count, at; /* events in all, and read */
    int64_t time_ns;
} executed_reader;

/* CORRUPT, VERSION; nothing is allocated, here or by reading. */
berth_status executed_open(executed_reader *x, slice bytes, berth_error *error);
/* The next of x->count; out points into the bytes. CORRUPT, naming the event; also when bytes
 * follow the last one. */
berth_status executed_next(executed_reader *x, executed_event *out, berth_error *error);

#endif
