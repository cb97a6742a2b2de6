/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/channels.h: who on this host hears which channel.
 *
 * A table of names with the daemons subscribed to each (by reference) and a ring for tails. The
 * ledger of a daemon says what it is subscribed to, and moves with it; this table is derived from
 * the ledgers. Two daemons on one channel are two entries: one that leaves does not silence the
 * other (compute-core §18.7). Short internal lock; any thread.
 */
#ifndef DAEMON_CHANNELS_H
#define DAEMON_CHANNELS_H

#include "base/map.h"
#include "daemon/ring.h"

#include <pthread.h>

struct daemon;

typedef struct channels {
    pthread_mutex_t lock;
    strmap map;      /* name -> struct channel */
    size_t sweep_at; /* so many names: look for those that nobody hears any more */
} channels;

void channels_init(channels *c);
void channels_fini(channels *c);

/* Idempotent per (daemon, publisher). False when memory is short. */
bool channels_join(channels *c, slice name, uint64_t publisher, struct daemon *d);
void channels_leave(channels *c, slice name, uint64_t publisher, struct daemon *d);

/*
 * Who hears what `publisher` publishes on name: a reference each, every daemon once; the array is
 * the caller's to free; *tails is the channel's ring with one reference, or NULL.
 */
struct daemon **channels_hearers(channels *c, slice name, uint64_t publisher, uint32_t *count,
                                 ring **tails);

/* The ring of the channel's tails with one reference; NULL: none. */
ring *channels_ring(channels *c, slice name);

/* A tail; the channel is there as long as it or a subscriber is. */
tail *channels_tail(channels *c, slice name, ring_budget *budget, void (*wake)(void *ctx),
                    void *ctx);

typedef struct channel_info channel_info;
void channels_each(channels *c, void (*fn)(void *ctx, const channel_info *info), void *ctx);

#endif
