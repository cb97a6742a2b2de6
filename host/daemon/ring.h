/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/ring.h: the last outputs of a daemon (or messages of a channel), and those who read them.
 *
 * Bounded three ways: items, bytes, and bytes of all rings together (the budget they share); the
 * oldest go first. An item that nobody could keep is counted as missed by every reader. Any thread;
 * short internal lock; wake functions are called without it.
 */
#ifndef DAEMON_RING_H
#define DAEMON_RING_H

#include "daemon/tail.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct ring ring;

/*
 * What rings share: limits, and the bytes held by all of them. Lives longer than any; what is not a
 * limit begins as zeros. When the total is used up, the ring that nobody reads and that has not
 * grown for the longest time gives up what it holds: the outputs of daemons that have fallen silent
 * do not blind those who follow others.
 */
typedef struct ring_budget {
    uint32_t items;
    uint64_t bytes;
    uint64_t total;
    _Atomic uint64_t used;
    pthread_mutex_t lock;
    ring *oldest, *newest; /* that hold something, by when they last took more */
} ring_budget;

/* One reference. keeps: what nobody reads is kept for who comes later; else only what somebody
 * reads is. NULL when memory is short. */
ring *ring_new(ring_budget *budget, bool keeps);
ring *ring_ref(ring *r);
void ring_unref(ring *r);

/* Append; takes references of bytes and channel of its own. Wakes readers. */
void ring_put(ring *r, const tail_item *item);
/* The same for several, whose references it takes over. */
void ring_give(ring *r, const tail_item *items, unsigned count);
/* A hint: whether anyone reads it. */
bool ring_has_readers(ring *r);

/* No more will come: readers learn it after what is left. */
void ring_end(ring *r);

/* A reader of its own; wake may be NULL. */
tail *ring_open(ring *r, tail_from from, void (*wake)(void *ctx), void *ctx);
/* Readers now. */
unsigned ring_readers(ring *r);

#endif
