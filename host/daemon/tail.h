/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/tail.h: the outputs of a daemon, or the messages of a channel, as they come.
 *
 * Each daemon that emits has a ring of its last outputs (DESIGN's tail ring: bounded per daemon and
 * in all). A tail is a reader with a position of its own: a slow one never holds the daemon up, it
 * misses outputs and is told how many.
 */
#ifndef DAEMON_TAIL_H
#define DAEMON_TAIL_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

typedef struct berth_runtime runtime;
typedef struct tail tail;

/* tail_item.to of a discontinuity record (chain/continuity.h): the payload is one, encoded. */
#define TAIL_TO_RECORD 0xffff

/* One item read from a tail. */
typedef struct tail_item {
    buf *bytes;      /* one reference, the reader's: 32 bytes of link, then the payload */
    uint64_t index;  /* position in the ring since the daemon's start, from 0 */
    int64_t wall_ns; /* when it was released */
    uint16_t to;     /* BERTH_TO_*, or TAIL_TO_RECORD */
    uint64_t target; /* TO_DAEMON: origin; else 0 */
    buf *channel;    /* TO_CHANNEL: its name, one reference of the reader's; else NULL */
} tail_item;

/* From the first output that the ring still has, or from now on. */
typedef enum tail_from { TAIL_FROM_NOW, TAIL_FROM_RING } tail_from;

/*
 * wake is called, from any thread and without locks, when there is something to read after a read
 * that found nothing, and once when the source ends. It must not block, and may call no tail
 * function.
 */
berth_status tail_open_daemon(runtime *rt, uint64_t origin, tail_from from, void (*wake)(void *ctx),
                              void *ctx, tail **out, berth_error *error);
berth_status tail_open_channel(runtime *rt, slice channel, void (*wake)(void *ctx), void *ctx,
                               tail **out, berth_error *error);

/* Up to cap items; *missed is how many were dropped before the first of them; *ended: no more will
 * come (the daemon is gone). Never blocks. One thread at a time. */
size_t tail_read(tail *t, tail_item *items, size_t cap, uint64_t *missed, bool *ended);
void tail_item_release(tail_item *item);

/* After it returns wake is not running and will not run. */
void tail_close(tail *t);

#endif
