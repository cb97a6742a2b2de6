/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/runtime.h: the runtime, for the rooms above: what berth/runtime.h offers, without waiting.
 *
 * In the rooms berth_runtime is called runtime; they are one type.
 */
#ifndef DAEMON_RUNTIME_H
#define DAEMON_RUNTIME_H

#include "berth/runtime.h"
#include "daemon/batch.h"
#include "daemon/observers.h"
#include "daemon/route.h"
#include "daemon/tail.h"
#include "plugin/plugins.h"
#include "store/store.h"

typedef struct runtime_parts {
    const berth_runtime_config *config;
    plugins *plugins;        /* borrowed for the runtime's life; NULL: it makes one of its own */
    store *store;            /* borrowed; NULL: nothing survives */
    const uint8_t *host_key; /* 32 bytes, copied; needed with a store: seals identities */
    uint64_t node_id;
    const route *route; /* borrowed; NULL: every origin that is not here is unknown */
} runtime_parts;

berth_status runtime_new(const runtime_parts *parts, runtime **out, berth_error *error);

/* The berth_host table to give to plugins; valid as long as the runtime. */
const berth_host *runtime_host_table(void);
plugins *runtime_plugins(runtime *rt);

/*
 * Hand a batch to a daemon. OK: it is in the mailbox and belongs to the daemon, `done` will come.
 * Any other answer: it still belongs to the caller.
 *
 * WOULD_BLOCK: no room. If credit is not NULL, credit(ctx) is then called once, without locks, from
 * any thread, when there is room or the daemon is gone; it must not block. LIMIT: an event over
 * max_event.
 */
berth_status runtime_submit(runtime *rt, uint64_t origin, batch *b, void (*credit)(void *ctx),
                            void *ctx, berth_error *error);

/* Run c on the callback thread, where lifecycle observers run. False: there is no thread to be had,
 * or the runtime ends; c is the caller's. */
bool runtime_call_back(runtime *rt, callback *c);

/* Whether runtime_submit reaches daemons of other hosts, by their origins. */
bool runtime_reaches_others(const runtime *rt);

/* The same, but NOT_FOUND when the daemon is not on this host. */
berth_status runtime_submit_here(runtime *rt, uint64_t origin, batch *b, void (*credit)(void *ctx),
                                 void *ctx, berth_error *error);

/* What a daemon is known by to other nodes. key is borrowed for the call of fn. */
typedef struct runtime_face {
    const berth_keypair *key;
    const char *name, *kind;
    uint64_t incarnation, epoch;
    slice came;   /* how it came here, as it was given to arrival_build; empty: it began here */
    slice accept; /* who on other nodes may send to it (accept.h); empty: everybody */
} runtime_face;
/* Call fn with it, without locks, on this thread; false: there is no such daemon here, or it is
 * being stopped. */
bool runtime_face_of(runtime *rt, uint64_t origin, void (*fn)(void *ctx, const runtime_face *face),
                     void *ctx);

/* The daemon here of exactly this name, or whose origin it is in hex. */
bool runtime_find_exactly(runtime *rt, const char *name, uint64_t *origin);

/* Give the daemon a link of the route, if it has none. */
void runtime_need_link(runtime *rt, uint64_t origin);

/* Ask the route again whether the daemon may run (route.h), and open or close its gate. */
void runtime_gate_again(runtime *rt, uint64_t origin);

/* What a daemon of this host sent to `origin` cannot be delivered: counted, and, with a request,
 * answered with status (BERTH_REPLY_*). */
void runtime_undelivered(runtime *rt, uint64_t sender, uint64_t origin, uint64_t request,
                         int32_t status);

/* Publish from outside to everyone subscribed to a channel on this host. *reached: how many
 * daemons. WOULD_BLOCK, with nothing sent, when a subscriber has no room: credit as above. */
berth_status runtime_publish(runtime *rt, slice channel, slice data, void (*credit)(void *ctx),
                             void *ctx, uint64_t *reached, berth_error *error);
/* The same, showing leave: a chain of tokens for this node's own entity, or NULL. REFUSED: the
 * channel's rules do not let it. */
berth_status runtime_publish_with(runtime *rt, slice channel, slice data, buf *leave,
                                  void (*credit)(void *ctx), void *ctx, uint64_t *reached,
                                  berth_error *error);

/* Something from another node, for those who follow the channel here: 32 bytes of link (zeros:
 * none) and the payload; NULL: only look. False: nobody follows it. */
bool runtime_channel_hear(runtime *rt, slice channel, buf *bytes);

/*
 * What an operator wants: that the daemon hears a channel, whoever publishes, as a member of a
 * queue group (empty: all of it); or does not any more. As berth_subscribe_group; and it is so
 * again after a restart of the host, without a snapshot. NOT_FOUND: there is nothing to end.
 * Blocks.
 */
berth_status runtime_subscribe(runtime *rt, uint64_t origin, slice channel, slice group, bool on,
                               berth_error *error);

/* One subscription of a daemon. */
typedef struct runtime_hearing {
    slice channel, group;
    uint64_t publisher; /* node id; 0: any */
} runtime_hearing;
/* Call fn for each, ordered by channel, without locks; never waits for the daemon. */
void runtime_hearings(runtime *rt, uint64_t origin, void (*fn)(void *ctx, const runtime_hearing *h),
                      void *ctx);
/* The tokens that it holds: one reference to bonds (chain/bonds.h); NULL: none. Never waits. */
buf *runtime_tokens(runtime *rt, uint64_t origin);
/* The service whose requests come on this channel ("SERVICE.requests"); empty: of none. */
slice runtime_channel_service(slice channel);
/* Which daemon of this host serves it; false: none does. */
bool runtime_service_find(runtime *rt, slice service, uint64_t *origin);
/* Call fn for each service that a daemon of this host serves, without locks. */
void runtime_services(runtime *rt, void (*fn)(void *ctx, slice service, uint64_t origin),
                      void *ctx);

typedef struct channel_info {
    const char *name;
    uint64_t subscribers; /* daemons */
    uint64_t tails;
    uint64_t published;
} channel_info;
/* Each channel that has a subscriber or a tail. No lock is held during fn. */
void runtime_channels_each(runtime *rt, void (*fn)(void *ctx, const channel_info *info), void *ctx);

/*
 * Bring back every daemon of the store that is to run: the plugin copy by its digest, the last
 * snapshot, a new incarnation (durable first) where its chain cannot resume exactly. In batches. A
 * daemon that cannot come back (plugin refused, snapshot damaged) is logged, kept in the store, and
 * listed by runtime_down_each with the reason. Blocks. progress(ctx, done, total) may be NULL.
 */
berth_status runtime_resume(runtime *rt, void (*progress)(void *ctx, uint64_t done, uint64_t total),
                            void *ctx, berth_error *error);
void runtime_down_each(runtime *rt,
                       void (*fn)(void *ctx, const store_daemon *row, const char *reason),
                       void *ctx);
/* Try again to bring back those that are down: a plugin was loaded, say. Blocks. */
berth_status runtime_resume_down(runtime *rt, berth_error *error);
/* Forget a daemon that is down: its row and snapshots. NOT_FOUND. */
berth_status runtime_forget_down(runtime *rt, const char *name_or_origin, berth_error *error);

/* Forget the cursor of a source (batch.source) that sends no more to this daemon. */
berth_status runtime_close_source(runtime *rt, uint64_t origin, const char *source,
                                  berth_error *error);
/* The same without waiting: done (may be NULL) is called on a daemon's thread when it is forgotten,
 * without locks. False: the daemon is not here; done is not called. */
bool runtime_drop_source(runtime *rt, uint64_t origin, const char *source, void (*done)(void *ctx),
                         void *ctx);

/* Counters since start, for metrics. */
typedef struct runtime_counters {
    uint64_t events_processed, events_emitted, events_rejected, events_duplicate, events_lost;
    uint64_t snapshots_taken, snapshot_bytes, breaks, quarantined, overruns;
    uint64_t daemons, daemons_spawned, daemons_stopped, factories, kinds;
    uint64_t mailbox_events, ring_bytes, blocked_daemons;
    uint64_t threads, compensating_threads, steals;
    uint64_t timers, requests;
    /* Events with an origin that a daemon could not remember exactly: it has as many as it can; or
     * the node that they came from has had its share of them, which is half. */
    uint64_t horizon_full, horizon_peer_full;
} runtime_counters;
void runtime_get_counters(runtime *rt, runtime_counters *out);

#endif
