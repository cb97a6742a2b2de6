/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd.h: thousands of nodes in one thread, each with the peer table and the announcements that a
 * host has, on a network that is a heap.
 *
 *     crowd_net.c    sessions: who dials whom, what arrives when, what is lost
 *     crowd_node.c   one node: its tables, and what wakes them
 *     crowd_check.c  what must hold
 *     crowd_world.c  bad weather
 *     crowd.c        the program: figures, or seeds
 *
 * All that happens follows from the seed. Records and announcements are really signed; a signature
 * is verified once, and remembered for all other nodes that meet it.
 */
#ifndef CROWD_H
#define CROWD_H

#include "daemon/heap.h"
#include "mesh/announcement_own.h"
#include "mesh/announcements.h"
#include "mesh/peers.h"

#define MS   INT64_C(1000000)
#define SEC  (1000 * MS)
#define WALL INT64_C(1900000000)

typedef struct crowd crowd;

/* What is counted of each kind of message, at its sender. */
#define CROWD_KINDS(X)                                                                             \
    X(GREETINGS, greetings, "HELLO, USE, LEAVE")                                                   \
    X(PINGS, pings, "PING, PONG")                                                                  \
    X(LISTS, lists, "who knows whom")                                                              \
    X(RECORDS, records, "RECORDS")                                                                 \
    X(SUMS, sums, "who has which announcements")                                                   \
    X(ANNOUNCEMENTS, announcements, "ANNOUNCEMENT")
typedef enum crowd_kind {
#define CROWD_KIND(name, member, text) KIND_##name,
    CROWD_KINDS(CROWD_KIND)
#undef CROWD_KIND
        KIND_COUNT
} crowd_kind;

typedef struct crowd_traffic {
    uint64_t messages[KIND_COUNT], bytes[KIND_COUNT];
    uint64_t dials;
} crowd_traffic;

/* One node: what its table takes for an endpoint. */
struct endpoint {
    heap_node wake; /* the first member */
    crowd *c;
    unsigned at, starts;
    peers *peers; /* NULL: it does not run */
    announcements *announcements;
    announcer announcer;
    bool leaving;
    int64_t down_ns;  /* since when it does not run */
    uint64_t version; /* of its last announcement: its disk */
    berth_keypair key;
    uint8_t static_key[32];
    address where;
    uint64_t random;
    unsigned side; /* of a partition */
    session *sessions;
    size_t session_count;
};

/* One node's end of a session. */
struct session {
    session *prev, *next; /* of the same node; while it lives */
    endpoint *owner;
    session *far; /* NULL: never there; it may be over */
    unsigned refs, starts, far_at;
    bool up, dialled, over, closing;
    bool blocked;  /* a send was refused */
    size_t queued; /* bytes on their way to it */
    void *user;
    peer_identity who;
    int64_t last_due, quiet_since;
};

typedef struct crowd_config {
    unsigned nodes;
    uint64_t seed;
    bool star;          /* all know the first one; else each knows one at random that is older */
    unsigned loss;      /* of packets, percent */
    unsigned strangers; /* of a thousand pairs, those that cannot reach each other */
    int64_t over_ns;    /* they start within so long */
    int64_t refresh_ns; /* of announcements; 0: the default */
    peers_config peers; /* limits and timings */
    announcements_config announcements;
} crowd_config;

struct crowd {
    crowd_config config;
    endpoint *nodes;
    map64 by_id; /* node id to endpoint */
    heap wire, timers;
    int64_t now, patrol_ns;
    uint64_t random, trace, steps;
    crowd_traffic sent;
    size_t sessions;      /* ends */
    size_t sessions_most; /* at one node, ever */
    uint64_t blocked;
    map64 verified; /* signatures met before */
    uint64_t verifications;
    char failure[256];
};

/* ---- crowd_net.c ----------------------------------------------------------------------------- */

uint64_t crowd_random(uint64_t *state);
uint64_t crowd_mix(uint64_t a, uint64_t b);
extern const peers_transport crowd_transport; /* without the endpoint */
/* All that is due now arrives. */
void crowd_deliver(crowd *c);
/* Silence ends sessions. */
void crowd_patrol(crowd *c);
/* Its sessions are gone without a word. */
void crowd_cut_off(endpoint *e);
void crowd_net_fini(crowd *c);
bool crowd_reaches(const crowd *c, unsigned a, unsigned b);

/* ---- crowd_node.c ---------------------------------------------------------------------------- */

void crowd_init(crowd *c, const crowd_config *config);
void crowd_fini(crowd *c);
/* Whom it knows when it starts for the first time: somebody older. */
unsigned crowd_begins_with(const crowd *c, unsigned at);
void crowd_start(crowd *c, unsigned at);
void crowd_kill(crowd *c, unsigned at);
void crowd_leave(crowd *c, unsigned at);
/* A message that is not of the peer table came. */
void crowd_heard(endpoint *e, session *s, slice message);
/* After any call into a node's machines: when it wakes next. */
void crowd_settle(endpoint *e);
void crowd_run(crowd *c, int64_t until);

/* ---- crowd_check.c --------------------------------------------------------------------------- */

void crowd_fail(crowd *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Everybody who runs knows everybody who runs, and what it announced last. */
bool crowd_converged(const crowd *c);
/* Between each two that run there is a session or, where they cannot reach each other, a relay. */
bool crowd_meshed(const crowd *c);
/* What is missing still, in words; until the next call. */
const char *crowd_why(const crowd *c);
/* Always: no table is larger than it may be. */
void crowd_check_bounds(crowd *c);
/* Once all is quiet: one session a pair, which both use; few at each; nobody believes in the dead;
 * the graph of sessions hangs together. */
void crowd_check_quiet(crowd *c);

/* ---- crowd_world.c --------------------------------------------------------------------------- */

/* False: failure says why. The crowd is there still. */
bool crowd_world(crowd *c, uint64_t seed);
bool crowd_bounds(crowd *c);

#endif
