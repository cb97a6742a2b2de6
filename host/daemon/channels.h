/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/channels.h: who on this host hears which channel.
 *
 * A table of names with the daemons subscribed to each (by reference) and a ring for tails. The
 * ledger of a daemon says what it is subscribed to, and moves with it; this table is derived from
 * the ledgers. Two daemons on one channel are two entries: one that leaves does not silence the
 * other (compute-core §18.7). The members of a queue group take turns: each message is for the one
 * that has waited longest. A channel "SERVICE.requests" has one daemon, which serves SERVICE
 * (channels §16.1). Short internal lock; any thread.
 */
#ifndef DAEMON_CHANNELS_H
#define DAEMON_CHANNELS_H

#include "base/map.h"
#include "daemon/ring.h"
#include "daemon/runtime.h"

#include <pthread.h>

struct daemon;

typedef struct channels {
    pthread_mutex_t lock;
    strmap map;      /* name -> struct channel */
    size_t sweep_at; /* so many names: look for those that nobody hears any more */
} channels;

void channels_init(channels *c);
void channels_fini(channels *c);

/* Idempotent per (daemon, publisher); another group than before: it moves there. group empty:
 * broadcast. EXISTS: a service that another daemon serves. NO_MEMORY. */
berth_status channels_join(channels *c, slice name, uint64_t publisher, slice group,
                           struct daemon *d, berth_error *error);
void channels_leave(channels *c, slice name, uint64_t publisher, struct daemon *d);

/* The service whose requests come on this channel; of no bytes: it is no such channel. */
slice channels_service(slice name);
/* The daemon is going to join: nobody else can serve what it will. OK for other channels. EXISTS,
 * NO_MEMORY. channels_leave takes it back. */
berth_status channels_claim(channels *c, slice name, struct daemon *d, berth_error *error);
/* False: nobody serves it. */
bool channels_server(channels *c, slice service, uint64_t *origin);
/* Call fn, without the lock, for each service that is served, with the origin that serves it. */
void channels_services(channels *c, void (*fn)(void *ctx, slice service, uint64_t origin),
                       void *ctx);

/* Call fn, without the lock, for each subscription of the daemon, ordered by channel. */
void channels_of(channels *c, const struct daemon *d,
                 void (*fn)(void *ctx, const runtime_hearing *h), void *ctx);

/*
 * Who hears what `publisher` publishes on name: a reference each, every daemon once; the array is
 * the caller's to free; *tails is the channel's ring with one reference, or NULL. groups: also one
 * of each queue group, whose turn this was then.
 */
struct daemon **channels_hearers(channels *c, slice name, uint64_t publisher, bool groups,
                                 uint32_t *count, ring **tails);

/* The ring of the channel's tails with one reference; NULL: none. */
ring *channels_ring(channels *c, slice name);

/* A tail; the channel is there as long as it or a subscriber is. */
tail *channels_tail(channels *c, slice name, ring_budget *budget, void (*wake)(void *ctx),
                    void *ctx);

void channels_each(channels *c, void (*fn)(void *ctx, const channel_info *info), void *ctx);

#endif
