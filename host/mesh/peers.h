/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/peers.h: the other nodes: who they are, where they are, whether they live, and which session
 * to use for each.
 *
 * A machine above mesh/transport.h, without input, output or clock. Its owner tells it what the
 * endpoint calls back (up, down, message, datagram, room) and calls peers_tick when peers_deadline
 * has come; it dials, greets, pings, passes on records and closes through the functions it was
 * given. One thread at a time, the endpoint's. Nothing blocks.
 *
 * Configured peers are dialled for ever. Others are learned from their signed records, which a
 * peer passes on; so joining takes one known peer. Up to full_mesh peers, each has a session with
 * each. Beyond, a node makes sessions with a few that it draws, accepts others', and knows the rest
 * by their records: a session with one of them is made when somebody wants it (peers_want) and ends
 * when it has been idle for a while. So neither sessions nor messages of a node grow with the mesh.
 *
 * Between two nodes one session is used. When there are several, the node with the higher id
 * chooses; the others end only after the chosen one has carried the peer's greeting.
 *
 * Subscribers are called when a call into the machine is about to return and all is settled; they
 * may call back into it.
 */
#ifndef MESH_PEERS_H
#define MESH_PEERS_H

#include "mesh/detector.h"
#include "mesh/record.h"
#include "mesh/transport.h"

typedef struct peers peers;

/* What is needed of a transport, with the signatures of transport.h. `close` ends in `peers_down`,
 * at once or later. */
typedef struct peers_transport {
    endpoint *endpoint;
    berth_status (*dial)(endpoint *e, const address *to, const uint8_t static_key[32],
                         int64_t now_ns, session **out, berth_error *error);
    berth_status (*send)(session *s, lane l, buf *message, int64_t now_ns);
    berth_status (*datagram)(session *s, const void *bytes, size_t len, int64_t now_ns);
    void (*close)(session *s, session_end why, const char *text, int64_t now_ns);
    void (*set_user)(session *s, void *user);
    void *(*user)(const session *s);
    const peer_identity *(*peer)(const session *s);
    void (*info)(const session *s, session_info *out);
} peers_transport;

typedef struct peers_config {
    const berth_keypair *identity; /* full; outlives the table */
    uint8_t static_key[32];        /* the public half of the endpoint's */
    char name[RECORD_NAME_MAX + 1];
    address addresses[RECORD_ADDRESSES_MAX]; /* under which others reach this node */
    unsigned address_count;
    peers_transport transport;
    void (*random)(void *ctx, void *out, size_t len); /* NULL: the system's */
    int64_t (*wall_s)(void *ctx); /* seconds since the Unix epoch; NULL: the system's */
    /* Is a node that was learned worth a handshake? NULL: all are. */
    bool (*may_dial)(void *ctx, const peer_record *r);
    /* An address by which a node that does not answer can be reached in another way (a relay);
     * false: there is none now. May be NULL. */
    bool (*relayed)(void *ctx, uint64_t node, address *out);
    /* Is that such an address? NULL: none is. */
    bool (*is_relayed)(void *ctx, const address *path);
    void *ctx;
    verify_signature *verify; /* NULL: berth_verify */
    /* 0: the default in brackets. */
    uint32_t max_peers;      /* [4096], at most 16384 */
    uint32_t max_dials;      /* at once [64] */
    uint32_t full_mesh;      /* up to so many peers, a session with each [64] */
    uint32_t neighbours;     /* beyond: sessions made by this node unasked [8]; at most 64 */
    int64_t idle_ns;         /* beyond: any other is kept so long after it was wanted [60 s] */
    int64_t heartbeat_ns;    /* between pings [5 s]; at least 10 ms */
    int64_t timeout_ns;      /* of the failure detector [30 s]; more than heartbeat_ns */
    int64_t backoff_ns;      /* after the first failed dial [500 ms], doubling */
    int64_t backoff_max_ns;  /* [30 s] */
    int64_t yield_ns;        /* the lower id leaves a dial to the other for so long [1 s] */
    int64_t linger_ns;       /* an unused session is kept for so long [2 s] */
    int64_t gossip_ns;       /* between exchanges with a random peer [5 s] */
    int64_t session_life_ns; /* as the endpoint's [24 h] */
    int64_t forget_ns;       /* a learned peer without a session is forgotten [30 timeouts] */
    int64_t record_life_s;   /* [2 h]; signed anew at half of it */
} peers_config;

/* INVALID: the reason is in error. now_ns: any time from which the calls go on. */
berth_status peers_new(const peers_config *config, int64_t now_ns, peers **out, berth_error *error);
/* After endpoint_free: no session may be there any more that could call back. */
void peers_free(peers *p);

/* ---- Who ------------------------------------------------------------------------------------- */

/* A peer of the configuration; addresses may be none: then it is waited for. A peer of that name
 * or key is changed. INVALID: the key is ours. LIMIT: the table is full. */
berth_status peers_configure(peers *p, const char *name, const uint8_t static_key[32],
                             const address *addresses, unsigned count, int64_t now_ns,
                             berth_error *error);
/* Ends its sessions and forgets it. NOT_FOUND. */
berth_status peers_remove(peers *p, const char *name, int64_t now_ns);
/* A record kept from an earlier run, or given by a person. */
berth_status peers_learn(peers *p, slice record, int64_t now_ns, berth_error *error);
/* Our own addresses have changed: sign anew and tell all. */
berth_status peers_readdress(peers *p, const address *addresses, unsigned count, int64_t now_ns,
                             berth_error *error);
/* Our own record, as long as the table is not called. */
slice peers_own_record(const peers *p);

/* ---- What the endpoint calls back ------------------------------------------------------------ */

void peers_up(peers *p, session *s, int64_t now_ns);
void peers_down(peers *p, session *s, session_end why, const char *text, int64_t now_ns);
/* Messages of the kinds in MESSAGE_PEERS_FIRST..LAST; false: it is none of these. */
bool peers_message(peers *p, session *s, slice message, int64_t now_ns);
bool peers_datagram(peers *p, session *s, slice message, int64_t now_ns);
void peers_room(peers *p, session *s, lane l, int64_t now_ns);

int64_t peers_deadline(const peers *p);
void peers_tick(peers *p, int64_t now_ns);

/* Say goodbye to all, and dial nobody any more. The sessions end within linger_ns. */
void peers_leave(peers *p, int64_t now_ns);
/* After peers_leave: all sessions have ended. */
bool peers_gone(const peers *p);

/* ---- For the layers above -------------------------------------------------------------------- */

/* The session to send on; NULL: there is none now. Ask again for every message. */
session *peers_session(const peers *p, uint64_t node);
/* Somebody has something for node, or got something from it: where there is no session with
 * everybody, make one, and keep it for idle_ns from now on. OK: there is one. NOT_READY: PEER_UP
 * may follow. NOT_FOUND: nobody has told us of such a node. */
berth_status peers_want(peers *p, uint64_t node, int64_t now_ns);
/* Who is at the other end; 0: the session is not one in use. */
uint64_t peers_node(const peers *p, const session *s);
/* When there is no session with node: the peer through which it is nearest, among those that said
 * lately that they have one; first those with the fewest failures. Neither session of the two is
 * relayed itself. */
bool peers_relay(const peers *p, uint64_t node, int64_t now_ns, uint64_t *via);
/* By way of via nothing came of it. */
void peers_relay_failed(peers *p, uint64_t node, uint64_t via);
/* Ping now; PEER_PONG follows, or nothing. NOT_FOUND: there is no session. */
berth_status peers_ping(peers *p, uint64_t node, int64_t now_ns);

typedef enum peer_change {
    PEER_LEARNED,   /* a node we did not know */
    PEER_UP,        /* there is a session, and it has proved itself */
    PEER_RENEWED,   /* another session is used from now on */
    PEER_RESTARTED, /* it has lost its memory: what it knew of us must be said again */
    PEER_DOWN,      /* there is no session any more */
    PEER_LEFT,      /* it said goodbye */
    PEER_SUSPECTED,
    PEER_FAILED,
    PEER_RECOVERED, /* heard of after it was suspected or failed */
    PEER_FORGOTTEN,
    PEER_PONG
} peer_change;

typedef struct peer_event {
    peer_change change;
    uint64_t node;
    uint8_t entity[BERTH_ENTITY_SIZE];
    session_end why; /* PEER_DOWN */
    char text[64];   /* PEER_DOWN */
    int64_t rtt_ns;  /* PEER_PONG */
} peer_event;

#define PEERS_SUBSCRIBERS_MAX 16
typedef void peer_subscriber(void *ctx, const peer_event *event);
/* LIMIT: too many. */
berth_status peers_subscribe(peers *p, peer_subscriber *call, void *ctx);
void peers_unsubscribe(peers *p, peer_subscriber *call, void *ctx);

typedef struct peer_view {
    uint64_t node;                     /* 0: not known yet */
    uint8_t entity[BERTH_ENTITY_SIZE]; /* zeros: not known yet */
    const uint8_t *static_key;
    const char *name;
    bool configured, left;
    health health;
    session *session; /* NULL: none */
    int64_t rtt_ns;   /* smoothed; 0: not measured */
    unsigned failures;
    bool dialling;             /* a dial is under way */
    int64_t dial_at_ns;        /* INT64_MAX: no dial is due */
    const peer_record *record; /* NULL: none */
    slice record_bytes;        /* to keep for the next run */
} peer_view;

/* Valid until the table is called again. False: no such peer. */
bool peers_find(const peers *p, uint64_t node, peer_view *out);
bool peers_find_name(const peers *p, const char *name, peer_view *out);
/* Call for every peer; it must not change the table. */
void peers_each(const peers *p, void (*call)(void *ctx, const peer_view *v), void *ctx);

typedef struct peers_counters {
    uint64_t dials, dials_failed, ups, downs, restarts, renewals, duplicates, leaves;
    uint64_t pings, pongs, pings_unsent, pongs_unknown;
    uint64_t records_in, records_new, records_old, records_expired, records_bad, records_paced,
        records_full, records_out;
    uint64_t digests_in, digests_out, unsent; /* control messages that found no room */
    uint64_t malformed, lies;                 /* each ended its session */
    uint64_t full, forgotten, rested;         /* rested: sessions that nobody needed any more */
} peers_counters;
void peers_get_counters(const peers *p, peers_counters *out);
size_t peers_count(const peers *p);
/* More than have sessions with each other all. */
bool peers_are_many(const peers *p);
/* With a session that has proved itself. */
size_t peers_live(const peers *p);

#endif
