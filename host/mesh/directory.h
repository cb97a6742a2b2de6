/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/directory.h: where origins live, and who may say so.
 *
 * One node's view. What daemons of this node own is entered; of all others it keeps what their own
 * keys have signed (mesh/presence.h), as a cache that may be lost: whoever is asked for an origin
 * that is not here and of which nothing newer is known says so, and the sender asks around again.
 * An epoch never falls, nor does an incarnation. Two nodes with one epoch are a conflict: nothing
 * is delivered at either, until a higher epoch settles it.
 *
 * Any number of origins may be talked about; config bounds what is kept: of what is not owned here
 * and not in conflict, what was used longest ago goes first.
 *
 * A machine: no I/O, clock or threads; one thread at a time. now_s is wall time in seconds, now_ns
 * monotonic. Nodes are named by their whole entity, as the session has proven it.
 */
#ifndef MESH_DIRECTORY_H
#define MESH_DIRECTORY_H

#include "mesh/message.h"
#include "mesh/presence.h"

#define DIRECTORY_FORMER_MAX 8 /* earlier hosts of one daemon that are remembered */
#define DIRECTORY_HOPS_MAX   4

typedef struct directory directory;

typedef struct directory_config {
    uint8_t self[BERTH_ENTITY_SIZE]; /* this node */
    uint32_t max_entries;            /* 0: [65536] */
    int64_t ask_ns, ask_max_ns;      /* between two questions for an origin; 0: [250 ms, 10 s] */
    verify_signature *verify;        /* NULL: berth_verify */
    /* May this operator's key give a daemon to another node without the owner? NULL: none may. */
    bool (*may_take_over)(void *ctx, const uint8_t operator_key[BERTH_ENTITY_SIZE]);
    void *ctx;
} directory_config;

/* NULL when memory is short. */
directory *directory_new(const directory_config *config);
void directory_free(directory *d);

/* ---- What lives here ------------------------------------------------------------------------- */

/* This node runs the daemon from now on, or has a later presence of it. h: how it came here, NULL
 * for one that began here. STALE: a higher epoch is known elsewhere; BUSY: a conflict; both mean
 * that it must not run. INVALID: not a presence of this node. LIMIT, NO_MEMORY. */
berth_status directory_own(directory *d, const presence *p, const handover *h, berth_error *error);
/* It has gone: events are forwarded from now on. INVALID unless it is owned and h is the next
 * epoch. */
berth_status directory_release(directory *d, const handover *h, berth_error *error);
/* It ended here, or what is known of where it went is to be forgotten. */
void directory_forget(directory *d, uint64_t origin);
/* An earlier host, which may still forward events: those that came with the snapshot. */
void directory_add_former(directory *d, uint64_t origin, const uint8_t node[BERTH_ENTITY_SIZE]);
size_t directory_former(const directory *d, uint64_t origin,
                        uint8_t out[DIRECTORY_FORMER_MAX][BERTH_ENTITY_SIZE]);

/* ---- What others say ------------------------------------------------------------------------- */

/*
 * A record that the node `from` has sent; either may be NULL. OK: it counts, or did already. STALE:
 * older than what is known, or over. SIGNATURE, REFUSED (no right to the epoch, or believed too far
 * ahead), IDENTITY_MISMATCH (another daemon with the same origin), BUSY (a conflict now), LIMIT.
 * Whoever owns the daemon asks directory_owns again afterwards.
 */
berth_status directory_learn(directory *d, const uint8_t from[BERTH_ENTITY_SIZE], const presence *p,
                             const handover *h, int64_t now_s, berth_error *error);

/* The node says that an origin with this epoch is not there; believed of the node itself only. */
void directory_not_here(directory *d, uint64_t origin, uint64_t epoch,
                        const uint8_t node[BERTH_ENTITY_SIZE]);

/* ---- What is known --------------------------------------------------------------------------- */

typedef struct directory_place {
    bool known, local, conflict;
    bool ask; /* somebody should be asked now (directory_where_write) */
    uint8_t node[BERTH_ENTITY_SIZE];
    uint8_t entity[BERTH_ENTITY_SIZE]; /* of the daemon */
    uint64_t epoch, incarnation;       /* incarnation 0: not known */
} directory_place;

/* Where to send. Also begins to count: not known and ask is set at most once in a while. */
void directory_resolve(directory *d, uint64_t origin, int64_t now_ns, int64_t now_s,
                       directory_place *out);
/* The same without asking or counting as use; for status and checks. */
void directory_look(const directory *d, uint64_t origin, directory_place *out);
/* This node has it, at the highest known epoch and without a conflict: its gate may be open. */
bool directory_owns(const directory *d, uint64_t origin);

typedef enum directory_route {
    ROUTE_DELIVER,
    ROUTE_HOLD,    /* a conflict: no answer, it will be sent again */
    ROUTE_FORWARD, /* to place->node with place->epoch */
    ROUTE_NOT_HERE
} directory_route;

/* What to do with a message for this origin that carries this epoch and has come this far. */
directory_route directory_route_of(const directory *d, uint64_t origin, uint64_t min_epoch,
                                   unsigned hops, directory_place *place);

typedef enum directory_carrier {
    CARRIER_DIRECT,    /* the node where the sender lives */
    CARRIER_FORWARDER, /* an earlier host of the receiver */
    CARRIER_UNKNOWN,   /* no presence of the sender is known: ask for it, drop the message */
    CARRIER_REFUSED
} directory_carrier;

/* May this node hand in events of the sender in this incarnation, for this receiver? */
directory_carrier directory_carrier_of(const directory *d, uint64_t sender, uint64_t incarnation,
                                       uint64_t receiver, const uint8_t node[BERTH_ENTITY_SIZE],
                                       int64_t now_s);
/* May this node acknowledge for the receiver at this epoch? */
bool directory_speaks_for(const directory *d, uint64_t receiver, uint64_t epoch,
                          const uint8_t node[BERTH_ENTITY_SIZE]);

/* Both records of a conflict; false: there is none. */
bool directory_conflict(const directory *d, uint64_t origin, presence *a, presence *b);

typedef struct directory_stats {
    uint64_t entries, local, conflicts; /* now */
    uint64_t evicted, learnt, stale, forged, refused, collisions;
} directory_stats;
void directory_get_stats(const directory *d, directory_stats *out);

/* ---- Messages (mesh/message.h), whole, with their kind --------------------------------------- */

typedef struct directory_where {
    uint64_t origin, min_epoch;
} directory_where;
void directory_where_write(writer *w, const directory_where *q);
berth_status directory_where_read(directory_where *out, slice message, berth_error *error);

/* The answer to a question, or an announcement; false, and nothing written: not known here. */
bool directory_hint_write(const directory *d, uint64_t origin, uint64_t min_epoch, int64_t now_s,
                          writer *w);
typedef struct directory_hint {
    bool has_presence, has_handover;
    presence presence;
    handover handover;
} directory_hint;
berth_status directory_hint_read(directory_hint *out, slice message, berth_error *error);

typedef struct directory_absence {
    uint64_t origin, epoch; /* epoch: what the message that could not be delivered carried */
} directory_absence;
void directory_absence_write(writer *w, const directory_absence *a);
berth_status directory_absence_read(directory_absence *out, slice message, berth_error *error);

/* For both nodes of a conflict; each learns both records. */
void directory_conflict_write(writer *w, const presence *a, const presence *b);
berth_status directory_conflict_read(presence *a, presence *b, slice message, berth_error *error);

#endif
