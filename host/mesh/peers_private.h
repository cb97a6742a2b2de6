/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/peers_private.h: what the files of the peer table share. Nobody else includes it.
 *
 *     peers.c          the table: configuration, entries, subscribers, goodbye
 *     peers_view.c     looking at it
 *     peers_choose.c   in a large mesh: with whom to have a session
 *     peers_compare.c  in a large mesh: which records another lacks
 *     peers_dial.c     whom to dial when; what is due
 *     peers_session.c  sessions: greeting, choosing among several, pings, ending
 *     peers_gossip.c   records and who reaches whom
 *
 * Every public function that changes something is between peers_enter and peers_exit; what is
 * told to subscribers waits until the outermost of them ends.
 */
#ifndef MESH_PEERS_PRIVATE_H
#define MESH_PEERS_PRIVATE_H

#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/peers.h"
#include "mesh/peers_codec.h"
#include "mesh/sums.h"

#define NEVER            INT64_MAX
#define SESSIONS_MAX     4 /* with one peer, those that linger included */
#define RELAYS_MAX       4
#define PINGS_MAX        4
#define ATTEMPTS_UNKNOWN 8  /* a node that never answered is given up after so many dials */
#define RUMOUR_FANOUT    3  /* peers that hear of a newcomer at once */
#define ASKED_MAX        8  /* peers asked who reaches one we do not */
#define VERIFY_PER_S     64 /* new records of one peer that are verified in a second */
#define STABLE_NS        10000000000 /* a session that lived so long was no failure */
#define NEIGHBOURS_MAX   64
#define RUMOUR_MAX       8         /* records that come together and are passed on at once */
#define COMPARE_PACE_NS  500000000 /* between two peers that are new */
#define FAREWELL_S       300       /* a record that says nothing but that its node has left */

typedef struct peer peer;

/* What is remembered with a session. It outlives its place in the table until `down`. */
typedef struct held {
    struct held *prev, *next; /* of all */
    struct held *sibling;     /* of the same peer */
    peer *peer;               /* NULL: given up, only waiting for `down` */
    session *s;
    bool dialled, up, proved;
    bool renewal;  /* dialled to replace another */
    bool use_owed; /* USE found no room */
    int64_t up_ns, ping_ns, renew_ns, close_ns;
    struct {
        uint64_t number;
        int64_t sent_ns;
        bool told; /* somebody waits for it */
    } pings[PINGS_MAX];
    unsigned ping_at;
} held;

typedef struct relay {
    uint64_t via;
    int64_t rtt_ns, heard_ns;
    unsigned failures;
} relay;

struct peer {
    heap_node due; /* the first member */
    peer *prev, *next;
    uint64_t node; /* 0: not known */
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t static_key[32];
    char name[64];
    bool keyed; /* in by_key: configured, or proven */
    bool configured, left;
    bool proven;  /* has had a session */
    bool chosen;  /* a neighbour */
    bool drawn;   /* is going to be one: peers_choose */
    bool listed;  /* stands in sums */
    bool compare; /* as soon as may be */
    address *configured_at;
    unsigned configured_count;
    address seen_at; /* where its last session led; len 0: none yet */
    buf *bytes;      /* its record; NULL: none. Of what is in it, only this is at hand: */
    uint64_t sequence;
    int64_t not_after_s;
    unsigned address_count;
    uint64_t introducer; /* who passed on the first record; 0: nobody, or proven since */
    unsigned introduced; /* unproven ones that it has passed on */
    held *sessions, *current, *dialling;
    unsigned session_count;
    size_t live_at; /* place in peers.live */
    uint64_t boot;  /* 0: not greeted yet */
    unsigned failures, turn;
    int64_t dial_ns, lost_ns; /* when to dial; since when without a session */
    int64_t wanted_ns;        /* up to when somebody wants it */
    int64_t expires_ns;       /* of the record, while it is listed */
    int64_t rtt_ns;
    int64_t paced_ns; /* up to when its allowance of records is used */
    relay *relays;    /* RELAYS_MAX; NULL: none was ever heard of */
    unsigned relay_count;
};

struct peers {
    peers_config config;
    peers_transport t;
    uint64_t self, boot, salt; /* salt: of what is drawn; nobody else knows it */
    detector detector;
    map64 by_node;
    strmap by_key;
    peer *all;
    size_t count;
    held *held;
    peer **live;
    size_t live_count, live_cap;
    heap due;
    unsigned dials; /* on their way */
    bool sparse;    /* there are too many for a session with each */
    unsigned chosen_count;
    uint64_t chosen_rank; /* the highest hash among them */
    sums sums;            /* of the records, our own included */
    size_t to_compare, proven_count;
    int64_t listed_ns; /* when a peer was asked for all that we lack */
    int64_t gossip_ns, resign_ns, leave_ns, choose_ns;
    bool leaving;
    buf *own;
    peer_record own_record;
    uint64_t number; /* of the next ping */
    struct {
        peer_subscriber *call;
        void *ctx;
    } subscribers[PEERS_SUBSCRIBERS_MAX];
    unsigned subscriber_count;
    peer_event *events;
    size_t event_count, event_cap;
    unsigned depth;
    bool telling;
    int64_t now_ns;
    peers_counters counters;
    peer_record *viewed; /* what peer_view.record points to */
};

/* ---- peers.c --------------------------------------------------------------------------------- */

void peers_enter(peers *p, int64_t now_ns);
void peers_exit(peers *p);
void peers_tell(peers *p, const peer *of, peer_change change);
void peers_tell_event(peers *p, const peer_event *event);
/* NULL: no room, or no memory. For one that has proven itself hearsay makes room. */
peer *peer_new(peers *p, bool proven);
/* Ends its sessions too. */
void peer_free(peers *p, peer *of);
/* All that is in its record; it has one. */
void peer_get_record(const peer *of, peer_record *out);
peer *peer_by_node(const peers *p, uint64_t node);
peer *peer_by_key(const peers *p, const uint8_t key[32]);
void peer_unkey(peers *p, peer *of);
void peer_key(peers *p, peer *of, const uint8_t key[32]);
/* False when memory is short. */
bool peer_name_node(peers *p, peer *of, const uint8_t entity[BERTH_ENTITY_SIZE]);
/* from's sessions and record become into's; from is gone. */
void peer_merge(peers *p, peer *into, peer *from);
void peer_clear_introducer(peers *p, peer *of);
uint64_t peers_random(peers *p);
int64_t peers_wall(const peers *p);
/* Sign our record anew, with a higher sequence; tell all when there is anybody. */
berth_status peers_resign(peers *p, uint64_t above, berth_error *error);

/* ---- peers_dial.c ---------------------------------------------------------------------------- */

/* Something about it has changed: compute anew when it is due. */
void peer_rearm(peers *p, peer *of);
/* A dial has failed, or a session was lost: when to dial again. */
void peer_redial(peers *p, peer *of);
/* Dial as soon as may be. */
void peer_dial_soon(peers *p, peer *of);
/* The dial on its way is over; dial what waits for its place. */
void peer_dial_over(peers *p, held *h);
/* Make a new session that is to replace the current one. */
void peer_renew(peers *p, peer *of);
/* base * [1/2, 1) */
int64_t peers_jitter(peers *p, int64_t base);

/* Worth a dial, and may be dialled at all. */
bool peer_may_dial(const peers *p, const peer *of);

/* ---- peers_choose.c -------------------------------------------------------------------------- */

/* Is it one to have a session with by now? */
bool peer_needed(const peers *p, const peer *of);
/* It has had a session; or it goes. */
void peer_prove(peers *p, peer *of, bool proven);
/* Too many for lists of all of them. */
/* Something of it has changed that may make it a neighbour, or no longer. */
void peer_consider(peers *p, const peer *of);
void peers_choose(peers *p);
void peer_want(peers *p, peer *of);
void peer_came_up(peers *p, peer *of);
/* When to close its session if nobody wants it before then. */
int64_t peer_idle_at(const peers *p, const peer *of);
void peer_rest(peers *p, peer *of);

/* ---- peers_compare.c ------------------------------------------------------------------------- */

/* Its record, node or goodbye is about to change; has changed. */
void peer_unlist(peers *p, peer *of);
void peer_list(peers *p, peer *of);
bool compare_send(peers *p, peer *to);
void compare_soon(peers *p, peer *with);
void compare_never(peers *p, peer *with);
void compare_sums(peers *p, held *from, slice body);
void compare_list(peers *p, held *from, slice body);

/* ---- peers_session.c ------------------------------------------------------------------------- */

held *held_new(peers *p, peer *of, session *s, bool dialled);
/* Out of the table, and closed. */
void held_close(peers *p, held *h, session_end why, const char *text);
void held_move(peer *into, held *h);
void held_step(peers *p, held *h);
void held_send_use(peers *p, held *h);
/* Takes the reference. False: it was not accepted. */
bool held_send(peers *p, held *h, buf *message);
bool held_ping(peers *p, held *h, bool told);
/* It has broken the protocol. */
void held_fault(peers *p, held *h, const char *text);
void peer_use(peers *p, peer *of, held *h);
void peer_lost(peers *p, peer *of, session_end why, const char *text);

/* ---- peers_gossip.c -------------------------------------------------------------------------- */

typedef struct record_batch {
    buf *records[RECORDS_MAX]; /* borrowed */
    size_t count;
} record_batch;
void record_batch_send(peers *p, peer *to, record_batch *b);
void record_batch_add(peers *p, peer *to, record_batch *b, buf *record);
/* May others hear of it from us? */
bool gossip_passes_on(const peers *p, const peer *of);
/* Keep a verified record if it is newer. Takes no reference. */
bool peer_keep_record(peers *p, peer *of, const peer_record *r, slice bytes);
void gossip_records(peers *p, held *from, slice body);
void gossip_known(peers *p, held *from, slice body);
void gossip_who_reaches(peers *p, held *from, uint64_t node);
void gossip_greet(peers *p, peer *with);
void gossip_rumour(peers *p, peer *about);
void gossip_ask(peers *p, peer *about);
void gossip_tick(peers *p);
void gossip_own(peers *p);

#endif
