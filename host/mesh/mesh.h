/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/mesh.h: one node's part in the mesh, running: the machines of this room on a loop, with real
 * sockets and clocks, behind the runtime's route (daemon/route.h).
 *
 *     m = mesh_new(config)             nothing runs yet
 *     runtime_new(route = mesh_route)  daemons come back, what they send waits
 *     mesh_start(m, rt)                sockets open, peers are dialled
 *     mesh_leave(m, ms)                what is under way arrives, then goodbye
 *     berth_runtime_free(rt)           may still call the route
 *     mesh_free(m)
 *
 * Functions may be called from any thread but a daemon's, unless they say that they do not block;
 * those that block wait for the loop's thread, never for the network. Callbacks come on the loop's
 * thread, without locks.
 */
#ifndef MESH_MESH_H
#define MESH_MESH_H

#include "daemon/runtime.h"
#include "mesh/announcements.h"
#include "mesh/call.h"
#include "mesh/call_pick.h"
#include "mesh/channel_rules.h"
#include "mesh/directory.h"
#include "mesh/flow.h"
#include "mesh/membership.h"
#include "mesh/peers.h"
#include "mesh/subscriptions.h"
#include "mesh/trust.h"
#include "mesh/udp.h"

typedef struct mesh mesh;

/* ---- The loop: a thread on which any number of nodes run ------------------------------------- */

typedef struct mesh_loop mesh_loop;

berth_status mesh_loop_new(mesh_loop **out, berth_error *error);
/* The last reference ends the thread; not from it. */
mesh_loop *mesh_loop_ref(mesh_loop *l);
void mesh_loop_unref(mesh_loop *l);

/* ---- Configuration --------------------------------------------------------------------------- */

#define MESH_LISTEN_MAX 8

/* A peer as the operator knows it. All strings and arrays are copied. */
typedef struct mesh_peer {
    char name[CERTIFICATE_NAME_MAX + 1];
    bool has_key, has_entity;
    uint8_t key[32], entity[BERTH_ENTITY_SIZE];
    address addresses[RECORD_ADDRESSES_MAX];
    unsigned address_count;
    uint32_t may; /* TRUST_MAY_* */
} mesh_peer;

typedef struct mesh_realm {
    uint8_t id[BERTH_ENTITY_SIZE];
    slice revocations; /* its list, or empty; borrowed for the call */
} mesh_realm;

/* What may change while the mesh runs. Arrays are borrowed for the call. */
typedef struct mesh_policy {
    const mesh_peer *peers;
    size_t peer_count;
    const mesh_realm *realms;
    size_t realm_count;
    /* Channels; none: all names are open to whoever is let in. */
    const channel_rule *channels;
    size_t channel_count;
    /* The text of identity/token_revocation.h; may be empty. What has been revoked stays so. */
    slice revoked_tokens;
} mesh_policy;

typedef struct mesh_config {
    const char *name;              /* what this node calls itself; a certificate's rules apply */
    const berth_keypair *identity; /* full; copied */
    uint8_t static_secret[32];
    uint8_t reset_key[32];
    uint64_t boot; /* above that of every earlier start of this node */
    slice certificate;
    uint8_t psks[PSK_MAX][32];
    unsigned psk_count;
    address listen[MESH_LISTEN_MAX];
    unsigned listen_count;
    address advertise[RECORD_ADDRESSES_MAX]; /* none: the addresses it listens at, where they say
                                                one */
    unsigned advertise_count;
    mesh_loop *loop; /* NULL: one of its own */
    /* The version of the last announcement (mesh/announcement_own.h), kept by keep_version. */
    uint64_t announcement_version;
    berth_status (*keep_version)(void *ctx, uint64_t version);
    /* A peer's record is new, or this node leaves: worth keeping for the next start. On the loop's
     * thread; may be NULL. bytes of length 0: the node is forgotten. */
    void (*keep_record)(void *ctx, uint64_t node, slice bytes);
    /* A peer has brought a realm's revocation list that is newer than ours. As above. */
    void (*keep_revocations)(void *ctx, slice list);
    void *ctx;
    /* 0: the default in brackets; those of transport.h and peers.h where they are named alike. */
    uint32_t max_peers;
    uint32_t max_packet;
    bool discover_mtu;
    uint64_t max_message;
    int64_t heartbeat_ns, timeout_ns, idle_ns;
    int64_t session_life_ns;
    int64_t resend_ns;      /* of flows [500 ms] */
    int64_t unknown_ns;     /* an origin that nobody knows for so long is given up [30 s] */
    uint64_t outbox_bytes;  /* of one daemon [64 MiB] */
    uint32_t outbox_events; /* [65536] */
    enum {
        MESH_SENDERS_ALL,   /* daemons here take events of every node that is let in */
        MESH_SENDERS_PEERS, /* of nodes that the policy names */
        MESH_SENDERS_NONE
    } senders;
    unsigned udp_without; /* UDP_CAN_* that are not to be used */
} mesh_config;

/* INVALID and what is wrong. Opens nothing. */
berth_status mesh_new(const mesh_config *config, mesh **out, berth_error *error);
/* For runtime_parts; valid as long as m. */
const route *mesh_route(mesh *m);
/* rt ends after mesh_leave or mesh_kill, and before mesh_free. IO, PERMISSION: an address cannot be
 * had; INVALID and others of mesh_set_policy. */
berth_status mesh_start(mesh *m, runtime *rt, const mesh_policy *policy, berth_error *error);
/* Wait, at most so long, until what daemons sent has arrived; say goodbye; end. Afterwards nothing
 * calls the runtime any more, and the route answers as if every way were blocked. Idempotent. */
void mesh_leave(mesh *m, uint64_t grace_ms);
/* End at once, as if the machine lost its power: nobody is told. For tests. */
void mesh_kill(mesh *m);
/* After the runtime. NULL is allowed. */
void mesh_free(mesh *m);

/* ---- Changing -------------------------------------------------------------------------------- */

/* All or nothing: what is wrong is found before anything changes. Peers that are let in no longer
 * are closed; peers that were added by mesh_peer_add stay. */
berth_status mesh_set_policy(mesh *m, const mesh_policy *policy, berth_error *error);
/* The certificate that this node shows from now on, in new sessions and in those that are renewed;
 * empty: none. Copied. NOT_READY; INVALID: longer than any. */
berth_status mesh_set_certificate(mesh *m, slice certificate, berth_error *error);
/* Until the next start, or in place of what the configuration said. EXISTS, INVALID, LIMIT. */
berth_status mesh_peer_add(mesh *m, const mesh_peer *peer, berth_error *error);
/* NOT_FOUND. Its sessions end; a node that the mesh passes on comes back. */
berth_status mesh_peer_remove(mesh *m, const char *name, berth_error *error);
/* A record that keep_record was given in an earlier run. Blocks. The errors of record_decode and
 * record_verify; LIMIT. */
berth_status mesh_learn(mesh *m, slice record, berth_error *error);
/* Which daemon of another node is called so there? answer is called once, on the loop's thread: OK,
 * NOT_FOUND, TIMEOUT, NOT_READY (no session). Does not block. */
void mesh_find_daemon(mesh *m, uint64_t node, const char *name, int64_t timeout_ns,
                      void (*answer)(void *ctx, berth_status status, uint64_t origin), void *ctx);

/* Kinds, services or ABI have changed: announce. Does not block. */
void mesh_facts_changed(mesh *m);

/* ---- Requests to what daemons serve ---------------------------------------------------------- */

typedef struct mesh_reply {
    berth_status status; /* as call_outcome's (mesh/call.h); NOT_FOUND: nobody serves the name */
    slice text;          /* for people; "" with OK */
    uint64_t node;       /* that answered, or was asked last; 0: none */
    slice link, payload; /* with OK: of the daemon's last output; empty: it emitted none */
} mesh_reply;

typedef struct mesh_request_spec {
    slice service; /* copied, as is data */
    slice data;
    uint64_t node;       /* 0: whoever serves the name */
    int64_t deadline_ns; /* from now; above 0 */
    call_policy policy;
    uint64_t key; /* with CALL_STICKY */
} mesh_request_spec;

/* One event to the daemon that serves the name, on this node or another; answer is called once, on
 * the loop's thread, and what the reply points to lives for the call. A node that says that it does
 * not serve the name any more is passed over for another. Does not block. */
void mesh_request(mesh *m, const mesh_request_spec *spec,
                  void (*answer)(void *ctx, const mesh_reply *reply), void *ctx);

typedef struct mesh_service_view {
    slice name;
    uint64_t node;   /* that serves it */
    uint64_t origin; /* the daemon, if the node is this one */
} mesh_service_view;
/* All names that are served, as far as this node knows, by name and node. Blocks. */
void mesh_services_each(mesh *m, void (*fn)(void *ctx, const mesh_service_view *view), void *ctx);

/* ---- Daemons that move (migrate) ------------------------------------------------------------- */

/* A message 0x0800 to 0x08ff of a node whose session proved this entity. On the loop's thread;
 * must not block; keep the message with buf_ref. */
typedef void mesh_moving(void *ctx, uint64_t node, const uint8_t entity[BERTH_ENTITY_SIZE],
                         buf *message);
/* Before mesh_start. */
void mesh_on_moving(mesh *m, mesh_moving *call, void *ctx);
/* Send one, if there is a session with room: who wants to be sure asks again. Takes a reference of
 * its own. Does not block. */
void mesh_tell(mesh *m, uint64_t node, lane l, buf *message);
/* On the loop's thread, or, with NO_MEMORY, at once; must not block. SHUTTING_DOWN: the mesh has
 * ended. error: borrowed, its text says why when it is not OK. */
typedef void mesh_moved(void *ctx, berth_status status, const berth_error *error);
/* The daemon is the other node's from now on: events are forwarded, senders are told, what is
 * published here reaches it there. It ends here after `done`. h is copied. Does not block. */
void mesh_depart(mesh *m, const handover *h, mesh_moved *done, void *ctx);
/* It is ours, and runs: events for it are taken from now on, before anything is done that is asked
 * for later. how: of mesh/came.h. STALE, BUSY: it must not run; its gate has been closed. p and how
 * are copied. Does not block. */
void mesh_arrive(mesh *m, const presence *p, slice how, mesh_moved *done, void *ctx);

/* What has become of the subscriptions of a daemon that runs here. */
typedef struct mesh_hearing {
    uint32_t total;
    uint32_t pending;   /* of these, asked for the first time and not answered yet */
    uint32_t missing;   /* not made; they are tried again. Of the first of them: */
    char channel[256];  /* CHANNEL_NAME_MAX, and its end */
    uint64_t publisher; /* node */
    char why[64];
} mesh_hearing;
/* Blocks. */
void mesh_hearing_of(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], mesh_hearing *out);

/* Make the ways to and from an address (NULL: all) as bad as told (mesh/impair.h), from now on, at
 * this node's end; NULL: leave that direction as it is. For tests. Blocks. */
struct impair_rule;
berth_status mesh_impair(mesh *m, const address *remote, const struct impair_rule *in,
                         const struct impair_rule *out, uint64_t seed, berth_error *error);
/* A clock that jumps: what this node holds for the wall's time is off by so much. For tests. */
void mesh_wall_skew(mesh *m, int64_t seconds);
/* Nothing of this node moves for so long, as if its process were stopped: what comes waits in the
 * kernel for as much as that holds. Those who look, kill or change its links are served. For tests.
 * Does not block. */
void mesh_stall(mesh *m, int64_t ns);

/* ---- Looking --------------------------------------------------------------------------------- */

typedef struct mesh_peer_view {
    uint64_t node; /* 0: not met yet */
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t key[32];
    char name[64];
    bool configured, left, dialled;
    health health;
    bool up, dialling;
    session_info session; /* with up */
    int64_t rtt_ns;       /* of pings; 0: not measured */
    unsigned failures;
    int64_t dial_in_ns; /* until the next dial; INT64_MAX: none is due */
    uint32_t may;       /* grants, as of now */
    address addresses[RECORD_ADDRESSES_MAX];
    unsigned address_count;
    const capabilities *capabilities; /* what it announced, or NULL */
} mesh_peer_view;

/* All peers, by name and node. fn is called on the loop's thread and must be short. Blocks. */
void mesh_peers_each(mesh *m, void (*fn)(void *ctx, const mesh_peer_view *view), void *ctx);
/* A name, a node id in hex, or a unique prefix of either. NOT_FOUND, AMBIGUOUS. Blocks. */
berth_status mesh_peer_find(mesh *m, const char *text, mesh_peer_view *out, berth_error *error);
/* Who the node is whose session is up, as that has proven: entity, key, and what may be done (may),
 * nothing else of *out. False: none is. Blocks. */
bool mesh_proven(mesh *m, uint64_t node, mesh_peer_view *out);

/* One ping; answer is called once, on the loop's thread: OK with the round trip, TIMEOUT,
 * NOT_FOUND, NOT_READY (no session). Does not block. */
void mesh_ping(mesh *m, uint64_t node, int64_t timeout_ns,
               void (*answer)(void *ctx, berth_status status, int64_t rtt_ns), void *ctx);

/* Who is told of changes of peers; before mesh_start. */
berth_status mesh_watch(mesh *m, peer_subscriber *call, void *ctx);

typedef struct mesh_self {
    char name[64];
    uint64_t node;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t key[32]; /* static, public */
    address listening[MESH_LISTEN_MAX];
    unsigned listening_count;
    unsigned udp; /* UDP_CAN_* in use */
} mesh_self;
void mesh_get_self(mesh *m, mesh_self *out);

typedef struct mesh_channel_view {
    slice name;
    size_t members, nodes; /* on other nodes, of what is published here */
    size_t wanted, held;   /* subscriptions of this host to other nodes */
    channel_reason reason; /* of the last refusal among those that are not held */
} mesh_channel_view;
/* Channels with members elsewhere, or that daemons here hear from elsewhere. Blocks. */
void mesh_channels_each(mesh *m, void (*fn)(void *ctx, const mesh_channel_view *view), void *ctx);

/* What the driver counts beside the machines. */
typedef struct mesh_flow_counters {
    uint64_t sent, resent, acknowledged; /* events */
    uint64_t received, applied, repeated;
    uint64_t undelivered; /* given up: nobody knows the receiver */
    uint64_t refused;     /* frames: the node may not speak for the sender */
    uint64_t asked;       /* frames: the sender is not known yet */
    uint64_t not_here;    /* frames: the receiver is not here */
    uint64_t forwarded;   /* frames */
    uint64_t malformed;   /* events and frames */
    uint64_t paced;       /* presences that came too fast to be verified */
    uint64_t unsent;      /* frames without a session */
    uint64_t unsent_runs; /* datagrams for which no socket had room, or the family */
    uint64_t stalled;     /* frames that waited for room */
    uint64_t acks_unsent;
    uint64_t published, refused_publish; /* events to other nodes */
} mesh_flow_counters;

typedef struct mesh_relay_counters {
    uint64_t sent, received; /* packets of this node's own sessions */
    uint64_t passed_on;      /* of others */
    uint64_t refused;        /* who asked has no grant, or spoke for somebody else */
    uint64_t dropped, malformed;
} mesh_relay_counters;

typedef struct mesh_counters {
    endpoint_counters endpoint;
    udp_counters udp;
    peers_counters peers;
    announcements_counters announcements;
    announcements_size announced;
    directory_stats directory;
    membership_counters membership;
    subscriptions_counters subscriptions;
    mesh_flow_counters flows;
    mesh_relay_counters relay;
    call_client_stats asked;
    call_server_stats served;
    uint64_t trust[TRUST_REASON_COUNT];
    uint64_t revocations_told, revocations_taken, revocations_old, revocations_refused;
    uint64_t unknown_messages; /* of a kind that this node does not know */
    uint64_t peers_known, peers_live;
    uint64_t outbox_events, outbox_bytes; /* of all daemons, now */
    uint64_t subscriptions_wanted, members;
    uint64_t moving_unsent; /* messages of migrations without a session or room */
    uint64_t turns;         /* of the loop */
} mesh_counters;
/* Blocks. */
void mesh_get_counters(mesh *m, mesh_counters *out);

/* Where an origin lives, as this node knows; of one that it does not know it asks the others, and
 * may know the next time. Blocks. */
void mesh_where(mesh *m, uint64_t origin, directory_place *out);

/* Nodes whose announcements match, ascending; malloc'd. Blocks. */
berth_status mesh_find_nodes(mesh *m, const capability_filter *filter, uint64_t **nodes,
                             size_t *count, berth_error *error);

#endif
