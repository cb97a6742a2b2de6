/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/announcements_parts.h: what announcements*.c share; for nobody else.
 */
#ifndef MESH_ANNOUNCEMENTS_PARTS_H
#define MESH_ANNOUNCEMENTS_PARTS_H

#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/announcements.h"
#include "mesh/capability_index.h"

/*
 * All that is known of one node. Live: its announcement stands in the index, in the heap of what
 * expires, and in the list of what is passed on, by the order of the last change. Otherwise only
 * the versions are remembered, in the list of those that are gone.
 */
typedef struct known {
    heap_node expiry; /* first: the heap hands it back */
    uint64_t node_id;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t seen[2];  /* highest version that came over hops [0], from the node itself [1] */
    uint64_t version;  /* the live one's, or the last one's */
    uint64_t stamp;    /* when it changed, in the order of all changes */
    int64_t credit_ns; /* until when its announcements are paid for */
    bool live, own;
    unsigned hops;
    uint64_t sender, via; /* who brought it first, who by the shortest way; 0: nobody now */
    capabilities set;
    buf *message; /* as it is passed on */
    struct known *prev, *next;
} known;

typedef struct known_list {
    known *first, *last;
    size_t count;
} known_list;

typedef struct listener {
    uint64_t node_id;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t cursor; /* has all changes up to this stamp */
    bool blocked;
} listener;

struct announcements {
    announcements_config config;
    announcements_events events;
    void *ctx;
    map64 nodes, peers;
    known_list live, gone;
    heap expiry;
    capability_index index;
    size_t bytes;
    uint64_t stamp;
    announcements_counters counters;
};

/* The node's record, made if need be; NULL when memory is short. */
known *known_at(announcements *t, uint64_t node);
/* The oldest memories beyond their bound go: once nobody holds a record. */
void known_trim(announcements *t);
/* A record that never said anything goes again. */
void known_drop_empty(announcements *t, known *k);
/* Out of index, list and heap; its versions stay. */
void known_retire(announcements *t, known *k);
/* Room for one more live node of that many bytes and tags. What came over hops gives way to what
 * did not (direct). */
bool known_room(announcements *t, const known *k, size_t bytes, size_t tags, bool direct);

/* Make this what is live of the node; takes over set and message, also on failure. A farewell is
 * nothing to tell as learned. */
berth_status known_install(announcements *t, known *k, capabilities *set, buf *message,
                           int64_t expires_ns, bool tell, berth_error *error);
/* Everything that is new for them goes to all peers that have room. */
void announcements_pump(announcements *t);

#endif
