/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/roster.h: who has subscribed to the channels that are published here.
 *
 * A member is a daemon on a node, or the node itself. Of each channel it is either a broadcast
 * member, who gets everything, or in one queue group, whose members take turns. A node stays on a
 * channel until the last of its members has left. What leave a member has shown stays with it, and
 * goes with it: there is no other table of who may hear.
 *
 * One thread at a time; nothing blocks; knows no clock. All counts are bounded by the limits.
 */
#ifndef MESH_ROSTER_H
#define MESH_ROSTER_H

#include "base/buf.h"
#include "berth/token.h"

typedef struct roster roster;

/* 0: the default in brackets. */
typedef struct roster_limits {
    size_t members;            /* in all [262,144] */
    size_t channels_per_node;  /* [1,024] */
    size_t members_per_node;   /* [16,384] */
    size_t groups_per_channel; /* [1,024] */
} roster_limits;

/* Read it only; valid until the roster changes. */
typedef struct roster_member {
    uint64_t node;
    uint64_t origin; /* of subscriber */
    uint8_t subscriber[BERTH_ENTITY_SIZE];
    slice channel;
    slice group;      /* empty: broadcast */
    slice chain;      /* of tokens, as it was shown; empty: none */
    uint64_t until_s; /* when leave ends; UINT64_MAX: not by itself */
} roster_member;

roster *roster_new(const roster_limits *limits); /* NULL: out of memory; limits may be NULL */
void roster_free(roster *r);

/*
 * OK, with *changed false when the member was there in the same mode. A member in another mode is
 * moved. chain and until_s replace what was kept. LIMIT, which names it; NO_MEMORY.
 */
berth_status roster_add(roster *r, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                        slice channel, slice group, slice chain, uint64_t until_s, bool *changed,
                        berth_error *error);

/* In whichever mode. False when it was not there. */
bool roster_remove(roster *r, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                   slice channel);
/* All members of a node; how many there were. */
size_t roster_remove_node(roster *r, uint64_t node);

const roster_member *roster_find(const roster *r, uint64_t node,
                                 const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel);

size_t roster_count(const roster *r);         /* members in all */
size_t roster_channel_count(const roster *r); /* that have members */
size_t roster_members(const roster *r, slice channel);
size_t roster_nodes(const roster *r, slice channel); /* with members in it */
size_t roster_node_channels(const roster *r, uint64_t node);
size_t roster_node_members(const roster *r, uint64_t node);
/* How many of the node's members are on the channel. */
size_t roster_node_on(const roster *r, uint64_t node, slice channel);
/* Would one more channel for this node be within the limits? */
bool roster_may_add_channel(const roster *r, uint64_t node, slice channel);

/* Members picked, in memory that is used again. Zero-initialise; picks_fini frees. */
typedef struct roster_picks {
    const roster_member **items;
    size_t count, cap;
} roster_picks;
void roster_picks_fini(roster_picks *p);

/*
 * Who gets one publish: every broadcast member, and one of each group: the next in turn that admit
 * accepts. admit (NULL: all are) is asked once for each candidate and must not change the roster.
 * NO_MEMORY, with nobody picked and no turn taken.
 */
berth_status roster_pick(roster *r, slice channel,
                         bool (*admit)(void *ctx, const roster_member *member), void *ctx,
                         roster_picks *out);

/* Nobody got it: whose turn it was, it is again. The roster has not changed since the pick. */
void roster_unpick(roster *r, const roster_picks *picks);

/* All members, in no order; for sweeps. NO_MEMORY with none. */
berth_status roster_all(const roster *r, roster_picks *out);
/* All of one node. */
berth_status roster_of_node(const roster *r, uint64_t node, roster_picks *out);

/* Names of channels that have members: start with *at = 0; false at the end. */
bool roster_next_channel(const roster *r, size_t *at, slice *name);

#endif
