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
#include "mesh/sums.h"

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
    bool asked; /* came because we lacked it: so others ask for it, too */
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

#define FANOUT  3 /* peers, about, that what came from another is passed on to at once */
#define FEW     4 /* so many get everything */
#define AT_ONCE 8 /* so many a new peer is sent without being asked what it has */

typedef struct listener {
    uint64_t node_id;
    uint8_t entity[BERTH_ENTITY_SIZE];
    size_t place;    /* in listeners */
    uint64_t cursor; /* was offered all changes up to this stamp */
    uint64_t since;  /* gets all changes up to this one, and its share of those after it */
    bool blocked;
    bool compare;     /* as soon as may be */
    int64_t asked_ns; /* up to when what comes is what we asked for */
} listener;

struct announcements {
    announcements_config config;
    announcements_events events;
    void *ctx;
    map64 nodes, peers;
    listener **listeners; /* the peers in an order that is the same in each run */
    size_t listeners_cap, to_compare;
    int64_t now_ns, compare_ns;
    int64_t listed_ns; /* when a peer was asked for all that we lack */
    uint64_t chance;
    sums sums; /* of what is live */
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
berth_status known_install(announcements *t, known *k, uint64_t version, capabilities *set,
                           buf *message, int64_t expires_ns, bool tell, berth_error *error);
bool known_is_for(const known *k, const listener *p);
/* Everything that is new for them goes to all peers that have room. */
void announcements_pump(announcements *t);
/* The same for one. */
void listener_pump(announcements *t, listener *p);
/* k, whatever has been drawn. False: there is no room now, and the peer is marked. */
bool listener_send(announcements *t, listener *p, const known *k);

/* ---- announcements_compare.c ---- */

void announcements_advance(announcements *t, int64_t now_ns);
/* Compare with it as soon as may be. */
void listener_compare_soon(announcements *t, listener *p);
void listener_compare_never(announcements *t, listener *p);
int64_t announcements_compare_deadline(const announcements *t);
/* Those that are due. */
void announcements_compare_tick(announcements *t);
uint64_t announcements_chance(announcements *t);

#endif
