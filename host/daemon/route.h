/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/route.h: what a daemon's surroundings answer: may it run, where does an event go whose
 * receiver is not here, who else hears a channel. The mesh implements it; without one every answer
 * is that of a host that is alone.
 *
 * No function blocks, and none calls back into the runtime before it returns. Those with a link are
 * called by the daemon's runner, one at a time; the others on any thread.
 */
#ifndef DAEMON_ROUTE_H
#define DAEMON_ROUTE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/abi.h"
#include "berth/identity.h"
#include "berth/status.h"

#include <stdbool.h>

/* berth_ref.w[3] of a request made by a daemon; w: origin, request, incarnation. */
#define REPLY_TO_DAEMON 1

struct batch;

/* What the route remembers of one daemon. */
typedef struct route_link route_link;

/* One event on its way out. The bytes that event->data points into lie in hold, behind their causal
 * link if there is one; take a reference to keep them. */
typedef struct route_event {
    uint64_t incarnation, epoch; /* of the sender */
    const berth_event *event;
    buf *hold;
    buf *leave; /* of a publish: the chain of tokens that it shows; NULL: none */
} route_event;

typedef struct route {
    void *ctx;
    /*
     * Asked, without locks, before every opening of a daemon's gate: whether this host may run the
     * entity at this epoch. NULL: yes.
     */
    bool (*may_run)(void *ctx, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch);

    /* Made when a daemon first needs one, given back when it has ended. key is borrowed for the
     * call. NULL: no memory. When attach is NULL, all that follows is. elsewhere: it goes on on
     * another host, which sends what was under way and keeps what it hears. */
    route_link *(*attach)(void *ctx, const berth_keypair *key);
    void (*detach)(void *ctx, route_link *link, bool elsewhere);

    /* Of a daemon that is not here yet: nothing is sent over its link, nothing said of it; or, from
     * now on, everything, at this epoch. */
    void (*hush)(void *ctx, route_link *link, bool on, uint64_t epoch);

    /* Send to an origin that is not on this host. OK: accepted, it will arrive or be counted as
     * lost. WOULD_BLOCK: wake is called once there is room; it may be NULL. LOST: it cannot be. */
    berth_status (*send)(void *ctx, route_link *link, uint64_t target, const route_event *e,
                         void (*wake)(void *wake_ctx), void *wake_ctx);
    /* To everyone on other nodes who hears event->channel, and to one of each queue group, wherever
     * it is, also here: all or, with WOULD_BLOCK, nobody. link NULL: from outside. REFUSED: the
     * channel's rules do not let this daemon, and nobody is to get it. */
    berth_status (*publish)(void *ctx, route_link *link, const route_event *e,
                            void (*wake)(void *wake_ctx), void *wake_ctx, berth_error *error);
    /* Does the channel ask for leave to hear it? Then publish reaches those of this host who have
     * it as well, and nobody is to get it in another way. */
    bool (*guards)(void *ctx, slice channel);
    /* The daemon hears this channel of a node (0: of any), or does no longer. group empty: all of
     * it; else in turn with others. Again with another group or token: so from now on. */
    void (*subscribe)(void *ctx, route_link *link, uint64_t publisher, slice channel, slice group,
                      slice token, bool on);
    /* Somebody on this host follows a channel. */
    void (*listen)(void *ctx, slice channel);

    /* Has something that it sent there not arrived for sure? Did its publish with this sequence, if
     * that was its last, go there? For receivers that move while they are sent to. */
    bool (*owes)(void *ctx, route_link *link, uint64_t target);
    bool (*picked)(void *ctx, route_link *link, uint64_t sequence, uint64_t target);

    /* For a snapshot: what was sent and is not known to have arrived. Before the daemon is
     * published: that again, and through which number which source was applied. */
    void (*save)(void *ctx, route_link *link, writer *out);
    berth_status (*restore)(void *ctx, route_link *link, slice saved, berth_error *error);
    bool (*receives)(void *ctx, slice source); /* is it one of the route's? */
    void (*applied)(void *ctx, route_link *link, slice source, uint64_t sequence);

    /* runtime_submit for an origin that is not on this host. What is handed in for one origin is
     * executed in that order, wherever it is. */
    berth_status (*submit)(void *ctx, uint64_t target, struct batch *b, void (*credit)(void *ctx),
                           void *credit_ctx, berth_error *error);
    /* Of a daemon that leaves, while it can still be found here: what it had not run yet, in order,
     * before all that is handed in for it from now on. Takes over the list, and is never full. */
    void (*follow)(void *ctx, uint64_t target, struct batch *list);
    /* Is something of what was handed in here for that origin still on its way? Then what follows
     * goes by submit, too, even to a daemon that is here. */
    bool (*behind)(void *ctx, uint64_t target);
} route;

#endif
