/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/membership.h: the publisher's side of channels: who asks to subscribe, whether it may, and
 * who gets what is published.
 *
 * A machine without input, output or clock. It answers through `send`, from inside of the calls
 * below. One thread at a time; nothing blocks. now_ns is monotonic, now_s the wall clock.
 */
#ifndef MESH_MEMBERSHIP_H
#define MESH_MEMBERSHIP_H

#include "mesh/channel_message.h"
#include "mesh/channel_rules.h"
#include "mesh/roster.h"

typedef struct membership membership;

typedef struct membership_config {
    void *ctx;
    /* Queue a message for a node; may fail: the other side asks again. None of these functions may
     * call back into the machine. */
    void (*send)(void *ctx, uint64_t node, slice message);
    /* Has this node proven that it is, or runs, the subscriber? NULL: yes. */
    bool (*hosts)(void *ctx, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE]);
    /* May this node see the channel at all? NULL: yes. */
    bool (*visible)(void *ctx, uint64_t node, slice channel);
    /* Does what the node says of itself match? A node of which nothing is known has the empty set.
     * NULL: it does not. */
    bool (*capable)(void *ctx, uint64_t node, const struct capability_filter *filter);
    /* Borrowed. NULL rules: every channel is there, and open. */
    const channel_rules *rules;
    token_revocations *revoked; /* may be NULL */
    roster_limits limits;
    uint32_t skew_s;
    /* 0: the default in brackets. UINT32_MAX failures and INT64_MAX mean never. */
    uint32_t failures;   /* refusals [16] within ... */
    int64_t window_ns;   /* ... this time [60 s] ... */
    int64_t throttle_ns; /* ... earn a node this much silence [30 s] */
    int64_t sweep_ns;    /* between two looks at all members [30 s] */
} membership_config;

typedef struct membership_counters {
    uint64_t accepted, renewed, left;
    uint64_t refused[CHANNEL_REASON_LAST + 1];
    uint64_t malformed; /* messages; no answer */
    uint64_t swept;     /* members whose leave had ended */
    uint64_t skipped;   /* the same, found by a publish */
} membership_counters;

membership *membership_new(const membership_config *config); /* NULL: out of memory */
void membership_free(membership *m);

/* A Subscribe or Unsubscribe from a node, whose session has proven which it is. CORRUPT for what is
 * none; nothing is answered then. */
berth_status membership_receive(membership *m, uint64_t node, slice message, int64_t now_ns,
                                uint64_t now_s, berth_error *error);

/*
 * A daemon of this very node, so that it takes its turns in a group: what its node would be told by
 * a Subscribe; the node that is given is not throttled. REFUSED with the reason; LIMIT.
 */
berth_status membership_join(membership *m, uint64_t node,
                             const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel,
                             slice group, slice chain, int64_t now_ns, uint64_t now_s,
                             berth_error *error);
/* False: it was no member. */
bool membership_leave(membership *m, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                      slice channel);

/*
 * Who gets one publish. Members whose leave has ended since, or who are not visible, are passed
 * over, and a group goes on to its next. The picks live until the next call of membership_*.
 */
berth_status membership_recipients(membership *m, slice channel, uint64_t now_s, roster_picks *out);
/* It was not published after all: groups go on where they were. Before anything else changes. */
void membership_recall(membership *m, const roster_picks *picks);

/* May this daemon of ours publish? presigned: these very bytes were verified before. filter: told
 * whether our own capabilities match. */
berth_status membership_may_publish(const membership *m, slice channel, slice chain, bool presigned,
                                    const uint8_t publisher[BERTH_ENTITY_SIZE],
                                    bool (*matches)(void *ctx, const struct capability_filter *f),
                                    void *ctx, uint64_t now_s, berth_error *error);

/* The node is gone: so are its members. */
size_t membership_node_gone(membership *m, uint64_t node);
/* A daemon is not on that node any more. */
size_t membership_unhost(membership *m, uint64_t node, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* Revocations or rules have changed: look at all members as soon as possible. */
void membership_recheck(membership *m);
/* A daemon has gone to another node, and hears there what it heard; from 0: wherever it was. How
 * many channels. */
size_t membership_rehost(membership *m, uint64_t from, uint64_t to,
                         const uint8_t entity[BERTH_ENTITY_SIZE]);
/* When to call membership_expire; INT64_MAX: not before something happens. */
int64_t membership_deadline(const membership *m);
void membership_expire(membership *m, int64_t now_ns, uint64_t now_s);

const roster *membership_roster(const membership *m);
void membership_get_counters(const membership *m, membership_counters *out);

#endif
