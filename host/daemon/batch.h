/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/batch.h: events on their way to one daemon, and what became of them.
 *
 * A batch is what a sender hands in, what a mailbox holds, and the ticket that the sender gets
 * back: one allocation for many events, so that a client that streams pays per batch, not per
 * event. A batch of one is how timers, replies and other daemons' sends travel.
 *
 * Stages: queued (submit returned OK), applied (the handler returned; effects are in the outbox),
 * durable (the commit index of the daemon's durability level has passed the batch's last event;
 * then its outputs are released). For volatile and snapshot daemons applied and durable are one.
 *
 * The sender fills a batch alone, gives it away with submit, and reads results from `done` on.
 */
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include "base/buf.h"
#include "berth/abi.h"
#include "berth/status.h"

#include <stdbool.h>

/* One event of a batch: what is its own. The rest all events of a batch have in common. */
typedef struct message {
    const void *data;
    uint64_t len;
    buf *hold; /* owns the data (and the channel's name), or NULL */
    /* Of the causal link it came with; origin 0: it came without. */
    uint64_t origin, sequence;
} message;

typedef struct output {
    buf *bytes;     /* 32 bytes of link, then the payload; one reference */
    uint32_t input; /* index of the event in the batch */
} output;

typedef struct batch batch;

/*
 * Called once, when every event of the batch has been dealt with, on the thread that dealt with the
 * last one, without any lock. It must not block, nor wait for a daemon. It owns the batch
 * (batch_free).
 */
typedef void batch_done(void *ctx, batch *b);

struct batch {
    batch *next; /* in the mailbox */
    uint32_t count, cap;
    uint32_t at;         /* next to run */
    uint32_t unfinished; /* events not run yet, and outputs not released yet (the daemon's) */
    bool want_outputs;   /* collect what goes to the caller */
    bool system;         /* from the host itself: takes no credit, and is never refused for room */
    bool from_call;      /* its sender's host calls again where the daemon went */
    bool stored;         /* the events' bytes lie in store */
    uint32_t generation; /* of a timer or request: an event of an older one is void */
    uint64_t bytes;      /* of all events: what the mailbox counts */
    /* What the events have in common: type, channel, reply_to, request, status, flags. What a
     * daemon sees of an event is made of this and its message when it is run. */
    berth_event common;
    uint64_t peer;    /* the node that they came from; 0: this one */
    batch_done *done; /* may be NULL: batch_free */
    void *ctx;
    /* Dedupe: the first event has this number, the next the next one. source empty: none. */
    char source[65];
    uint64_t source_seq;
    /* Results. */
    uint32_t applied, failed, duplicates;
    berth_status first_status; /* OK, or of the first event that failed */
    uint32_t first_failed;     /* its index */
    char *first_text;          /* the daemon's words on it, or NULL */
    int32_t *codes;            /* per event, allocated when the first one fails; else NULL */
    output *outputs;
    uint32_t output_count, output_cap;
    /* Storage for the events' bytes. */
    uint8_t *store;
    size_t store_len, store_cap;
    message messages[];
};

/* Room for cap events (1 to 1<<20) and, to begin with, bytes of data. NULL when memory is short. */
batch *batch_new(uint32_t cap, size_t bytes);

/* An empty batch again, with room for cap events, in b's memory if that is enough. b may be NULL.
 */
batch *batch_renew(batch *b, uint32_t cap);

/* Append a MESSAGE event with bytes that stay where they are until the batch is done. */
static inline bool batch_add_borrowed(batch *b, const void *data, size_t len)
{
    if (b->count == b->cap)
        return false;
    b->messages[b->count++] = (message){.data = data, .len = len};
    b->bytes += len;
    return true;
}

/* Append a MESSAGE event from outside with a copy of these bytes. False when cap or memory is
 * reached. May move earlier bytes: pointers into the batch are set at submit. */
bool batch_add(batch *b, const void *data, size_t len);

/* A batch of this one event, which holds its bytes by reference: takes over one reference of hold
 * (may be NULL). With a sequence, origin and sequence are those of its causal link. */
batch *batch_of_event(const berth_event *event, buf *hold);

/* Event i failed with this code; text may be NULL. */
void batch_fail(batch *b, uint32_t index, berth_status status, const char *text, size_t text_len);

/* Room for one more output; false when memory is short. */
bool batch_grow_outputs(batch *b);

/* Append an output; takes over the reference. */
static inline void batch_output(batch *b, uint32_t index, buf *bytes)
{
    if (b->output_count == b->output_cap && !batch_grow_outputs(b))
        buf_unref(bytes);
    else
        b->outputs[b->output_count++] = (output){bytes, index};
}

/* Make the events point at the stored bytes; submit does it. */
void batch_seal(batch *b);

void batch_free(batch *b);

#endif
