/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/announcements.h: what this node knows of all others by their announcements: receives them,
 * refuses what is wrong, passes on what is new, forgets what has expired, and finds who can do
 * what.
 *
 * A machine without input, output or clock: time is given, messages leave through a callback. A
 * message that a peer's session has no room for is not lost: the peer gets the newest of each node
 * when announcements_room says that there is room again.
 *
 * What it costs does not grow with the number of peers: our own announcement goes to all of them,
 * another's to a few that are drawn for it, and what misses a node that way is found when two peers
 * compare what they have (mesh/sums.h), which they do every few seconds, one peer at random at a
 * time. A new peer gets all that is known, or what a comparison says that it lacks.
 *
 * One thread at a time. Callbacks run inside calls and must not call back.
 */
#ifndef MESH_ANNOUNCEMENTS_H
#define MESH_ANNOUNCEMENTS_H

#include "mesh/announcement.h"
#include "mesh/capability_filter.h"

/* What may become of a received announcement. */
#define ANNOUNCEMENT_RESULTS(X)                                                                    \
    X(ACCEPTED, accepted)   /* the index has it now */                                             \
    X(SECOND, second)       /* known already, by another way */                                    \
    X(STRANGER, stranger)   /* from a session that is none of a peer */                            \
    X(MALFORMED, malformed) /* not an announcement, or too large */                                \
    X(IMPOSTOR, impostor)   /* no hops, but not of the peer that sent it */                        \
    X(OWN, own)             /* ours, come back */                                                  \
    X(DUPLICATE, duplicate) /* not newer than what came this way */                                \
    X(UNSIGNED, not_signed)                                                                        \
    X(SIGNATURE, signature) /* does not verify */                                                  \
    X(NODE_ID, node_id)     /* is not that of its entity */                                        \
    X(ENTITY, entity)       /* not that of the session, or not the first with this node id */      \
    X(PAST, past)           /* should have expired long ago */                                     \
    X(FUTURE, future)       /* its clock or its word is off */                                     \
    X(RATE, rate)           /* its node announces too often */                                     \
    X(FULL, full)           /* no room for another node */                                         \
    X(NO_MEMORY, no_memory)

typedef enum announcement_result {
#define ANNOUNCEMENT_RESULT(name, member) ANNOUNCEMENT_##name,
    ANNOUNCEMENT_RESULTS(ANNOUNCEMENT_RESULT)
#undef ANNOUNCEMENT_RESULT
        ANNOUNCEMENT_RESULT_COUNT
} announcement_result;

/* For logs and metrics: "impostor". */
const char *announcement_result_name(announcement_result result);

typedef struct announcements_config {
    uint64_t node_id; /* this node */
    /* Bounds; 0 stands for the default in brackets. */
    size_t max_nodes;      /* live (16,384) */
    size_t max_bytes;      /* of their announcements (64 MiB) */
    size_t max_tags;       /* nodes times tags in the index (1,048,576) */
    size_t max_remembered; /* nodes that are gone, whose highest version is still known (65,536) */
    size_t max_peers;      /* (4,096) */
    int64_t compare_ns;    /* between two comparisons (5 s) */
    uint64_t seed;         /* of what is drawn (the system's) */
    uint32_t max_ttl_s;    /* longer ones are cut to it (3,600) */
    uint32_t skew_s;       /* how far clocks may be apart (300) */
    verify_signature *verify; /* NULL: berth_verify */
    bool subnet_policy;       /* scope same-subnet lets nodes through whose subnet is not known */
} announcements_config;

typedef struct announcements_events {
    /* A message for a peer, LANE_CONTROL; borrowed: take a reference to keep it. OK, WOULD_BLOCK
     * (announcements_room follows), anything else: not sent, and not tried again. */
    berth_status (*send)(void *ctx, uint64_t peer, buf *message);
    /* A node is new or says something else than before; it expired, left or was forgotten. The set
     * is borrowed. NULL: not wanted. */
    void (*learned)(void *ctx, uint64_t node, const capabilities *set);
    void (*forgotten)(void *ctx, uint64_t node);
    /* node can be reached through via. NULL: not wanted. */
    void (*route)(void *ctx, uint64_t node, uint64_t via, unsigned metric);
    /* How a node's subnet is to ours, where that is known. NULL: never is. */
    subnet_relation (*subnet)(void *ctx, uint64_t node);
} announcements_events;

typedef struct announcements_counters {
    uint64_t results[ANNOUNCEMENT_RESULT_COUNT];
    uint64_t passed_on, held_back, not_sent; /* messages */
    uint64_t sums_in, sums_out, lists_in, lists_out, lists_bad;
    uint64_t ttl_cut, expired, displaced, memory_lost;
    uint64_t metadata_stripped, heat_stripped;
} announcements_counters;

typedef struct announcements announcements;

announcements *announcements_new(const announcements_config *config,
                                 const announcements_events *events, void *ctx);
void announcements_free(announcements *t);
void announcements_get_counters(const announcements *t, announcements_counters *out);
/* Live, remembered, bytes of live ones, entries of the index. */
typedef struct announcements_size {
    size_t nodes, remembered, bytes, tags, peers;
} announcements_size;
announcements_size announcements_get_size(const announcements *t);

/* A session with a proven peer is up: it gets all that is known. LIMIT: too many peers. */
berth_status announcements_peer_up(announcements *t, uint64_t peer,
                                   const uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error);
void announcements_peer_down(announcements *t, uint64_t peer);
/* The session has room after WOULD_BLOCK. */
void announcements_room(announcements *t, uint64_t peer);

/* A message of kind MESSAGE_ANNOUNCEMENT came, here without its kind. */
announcement_result announcements_receive(announcements *t, uint64_t peer, slice text,
                                          int64_t mono_ns, uint64_t wall_ns, berth_error *error);

/* A message of kind MESSAGE_ANNOUNCEMENT_SUMS or _LIST came, here without its kind. CORRUPT: it is
 * none; NOT_FOUND: from a session that is none of a peer. Nothing happens then. */
berth_status announcements_compare(announcements *t, uint64_t peer, uint16_t kind, slice body,
                                   int64_t mono_ns, berth_error *error);

/* Our own: into the index and to all peers. text is that of own, as announcer_next gave them. */
berth_status announcements_own(announcements *t, const announcement *own, slice text,
                               int64_t mono_ns, berth_error *error);

/* The detector holds a node for dead. A higher version brings it back, or itself over a session. */
void announcements_forget(announcements *t, uint64_t node);

/* When to call announcements_expire: something expires, or a comparison is due. */
int64_t announcements_deadline(const announcements *t);
void announcements_expire(announcements *t, int64_t now_ns);

/* What a node announced; NULL: nothing, which is not the same as nothing in it. */
const capabilities *announcements_get(const announcements *t, uint64_t node, int64_t now_ns);
uint64_t announcements_version(const announcements *t, uint64_t node);

/* Nodes that match, ascending, this one included; malloc'd, the caller frees. scope NULL: any. */
berth_status announcements_find(const announcements *t, const capability_filter *filter,
                                const capability_scope *scope, int64_t now_ns, uint64_t **nodes,
                                size_t *count, berth_error *error);

#endif
