/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/subscriptions.h: the subscriber's side of channels: what the daemons of this host want to
 * hear from other nodes, and what has become of it.
 *
 * What is wanted stays wanted until it is taken back: it is asked for whenever a session with the
 * publisher comes up, again when no answer comes, and again, ever more seldom, after a refusal. All
 * attempts of one wish have one nonce, so that an answer that comes late is an answer.
 *
 * A machine without input, output or clock; it calls `send` and `changed` from inside of the calls
 * below. One thread at a time; nothing blocks. now_ns is monotonic.
 */
#ifndef MESH_SUBSCRIPTIONS_H
#define MESH_SUBSCRIPTIONS_H

#include "mesh/channel_message.h"

typedef struct subscriptions subscriptions;

typedef enum subscription_state {
    SUBSCRIPTION_WAITING, /* for a session with the publisher */
    SUBSCRIPTION_ASKING,  /* no answer yet */
    SUBSCRIPTION_HELD,
    SUBSCRIPTION_REFUSED, /* for `reason`; will ask again */
    SUBSCRIPTION_LEAVING  /* not wanted any more, and the publisher does not know yet */
} subscription_state;

/* Read it only; valid during a callback, and until the next call. */
typedef struct subscription {
    uint64_t publisher; /* node id */
    uint8_t subscriber[BERTH_ENTITY_SIZE];
    slice channel, group, token;
    subscription_state state;
    channel_reason reason; /* of the last refusal */
    unsigned attempts;     /* unanswered, or refused, in a row */
} subscription;

typedef struct subscriptions_config {
    void *ctx;
    /* Queue a message for a node; false: not now, it will be tried again. Must not call back into
     * the machine. */
    bool (*send)(void *ctx, uint64_t node, slice message);
    /* The state of one has changed. Must not call back into the machine. May be NULL. */
    void (*changed)(void *ctx, const subscription *s);
    void (*random)(void *ctx, void *out, size_t len); /* NULL: the system's */
    /* 0: the default in brackets. */
    size_t max;              /* [65,536] */
    int64_t answer_ns;       /* how long an answer may take [5 s] */
    int64_t refused_ns;      /* first pause after a refusal; doubles [5 s] up to ... */
    int64_t pause_ns;        /* ... this [10 min] */
    unsigned leave_attempts; /* then the publisher has to find out by itself [3] */
} subscriptions_config;

typedef struct subscriptions_counters {
    uint64_t asked, repeated, accepted, refused, ended, left;
    uint64_t foreign; /* answers from a node that was not asked, or to a nonce that is not ours */
    uint64_t malformed;
} subscriptions_counters;

subscriptions *subscriptions_new(const subscriptions_config *config); /* NULL: out of memory */
void subscriptions_free(subscriptions *s);

/*
 * Want it. The same again changes nothing, unless the group or the token is another: then it is
 * asked for anew. INVALID, LIMIT, NO_MEMORY. Unknown to the machine are nodes that have no session:
 * those are waited for.
 */
berth_status subscriptions_want(subscriptions *s, uint64_t publisher,
                                const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel,
                                slice group, slice token, int64_t now_ns, berth_error *error);
/* Do not want it. False: it was not wanted. */
bool subscriptions_drop(subscriptions *s, uint64_t publisher,
                        const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel, int64_t now_ns);
/* All that a daemon wanted: it has stopped, or lives elsewhere now. How many. */
size_t subscriptions_drop_all(subscriptions *s, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                              int64_t now_ns);

/* The same, but nobody is told: the daemon goes on elsewhere, and says so itself. */
size_t subscriptions_forget(subscriptions *s, const uint8_t subscriber[BERTH_ENTITY_SIZE]);

/* A session with the node is there, and what it has to know of us has been sent; it is gone. */
void subscriptions_up(subscriptions *s, uint64_t node, int64_t now_ns);
void subscriptions_down(subscriptions *s, uint64_t node, int64_t now_ns);

/* An ACK or ENDED. CORRUPT for what is none. */
berth_status subscriptions_receive(subscriptions *s, uint64_t node, slice message, int64_t now_ns,
                                   berth_error *error);

int64_t subscriptions_deadline(const subscriptions *s);
void subscriptions_expire(subscriptions *s, int64_t now_ns);

/* NULL: not wanted. */
const subscription *subscriptions_find(const subscriptions *s, uint64_t publisher,
                                       const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel);
/* All, in no order: start with *at = 0; NULL at the end. Nothing may change meanwhile. */
const subscription *subscriptions_next(const subscriptions *s, size_t *at);
/* How many daemons here hold this channel of this publisher: what comes is for all of them. */
size_t subscriptions_holders(const subscriptions *s, uint64_t publisher, slice channel);
size_t subscriptions_count(const subscriptions *s);
void subscriptions_get_counters(const subscriptions *s, subscriptions_counters *out);

#endif
