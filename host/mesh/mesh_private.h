/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/mesh_private.h: what the files of the driver share. Nobody else includes it.
 *
 *     mesh.c            birth, start, leaving, end
 *     mesh_loop.c       the thread, and what is handed to it
 *     mesh_net.c        sockets, timer, turns of the loop
 *     mesh_sessions.c   what sessions and peers tell
 *     mesh_revocations.c what realms have taken back, from node to node
 *     mesh_relay.c      sessions by way of another node
 *     mesh_policy.c     who is let in; peers that come and go
 *     mesh_link.c       the route's side of a daemon: what its runner calls
 *     mesh_flows.c      events out, answers in
 *     mesh_receive.c    events in, answers out
 *     mesh_deliver.c    from there to the daemons
 *     mesh_places.c     where origins live: presences of our own, questions, hints
 *     mesh_names.c      what daemons of other nodes are called
 *     mesh_channels.c   subscriptions both ways
 *     mesh_publish.c    what daemons publish, to all who hear it
 *     mesh_calls.c      batches for daemons of other nodes, as calls
 *     mesh_serve.c      calls of other nodes to daemons here
 *     mesh_request.c    requests to names that daemons serve, here or elsewhere
 *     mesh_announce.c   what this node says of itself, and hears of others
 *     mesh_moving.c     daemons that go and come
 *     mesh_view.c       looking
 *
 * WHO MAY TOUCH WHAT: all of struct mesh belongs to the loop's thread, but what is marked [const],
 * or with the lock that guards it. A link has a lock of its own, held for as long as its outbox
 * takes to queue or hand out a frame. No lock is held while another is taken, nor while the runtime
 * or a callback runs.
 */
#ifndef MESH_MESH_PRIVATE_H
#define MESH_MESH_PRIVATE_H

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/announcement_own.h"
#include "mesh/call.h"
#include "mesh/event_wire.h"
#include "mesh/impair.h"
#include "mesh/mesh.h"
#include "mesh/message.h"
#include "mesh/services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define MS_NS 1000000
#define S_NS  INT64_C(1000000000)
#define NEVER INT64_MAX

#define SWEEP_NS        S_NS          /* how often what has no deadline of its own is looked at */
#define IDLE_LOOK_NS    (10 * S_NS)   /* how often flows that nobody uses are looked for */
#define WALK_STEP       16            /* nodes that are met at once in search of an origin, */
#define WALK_NS         (S_NS / 4)    /* and how often */
#define JUDGE_NS        (S_NS / 4000) /* a node may have so much of our time per record ... */
#define JUDGE_AHEAD_NS  (2 * S_NS)    /* ... on the average, and so many at once */
#define PRESENCE_LIFE_S (24 * 3600)   /* and signed anew when half of it is over */
#define RECEIVE_WINDOW  2048          /* events of one flow that may wait here */
#define RECEIVE_BATCH   256           /* events given to a daemon at once */
#define SOURCES_MAX     2048          /* flows to one daemon: half of its cursors */
#define OUTS_MAX        4             /* incarnations of one sender with events under way */

/* ---- mesh_loop.c ----------------------------------------------------------------------------- */

/* Something for the loop's thread; run frees it. closed: the mesh has ended. */
typedef struct mesh_task mesh_task;
struct mesh_task {
    mesh_task *next;
    void (*run)(mesh *m, mesh_task *t, bool closed);
};

uv_loop_t *mesh_loop_uv(mesh_loop *l);
bool mesh_loop_inside(const mesh_loop *l);
/* Run fn on the loop's thread and wait. From that thread: at once. */
void mesh_loop_call(mesh_loop *l, void (*fn)(void *ctx), void *ctx);

/* Any thread; never blocks. Tasks run in the order in which they came. */
void mesh_post(mesh *m, mesh_task *t);
/* Run fn on the loop's thread and wait; at once when the mesh has ended. */
void mesh_ask(mesh *m, void (*fn)(mesh *m, void *ctx), void *ctx);
void mesh_run_tasks(mesh *m);
/* Have the loop take a turn. Any thread. */
void mesh_wake(mesh *m);

/* ---- Links ----------------------------------------------------------------------------------- */

/* Batches for one daemon, on their way to it (mesh_calls.h). */
typedef struct calls_line calls_line;

typedef struct waiter {
    struct waiter *next;
    void (*wake)(void *ctx);
    void *ctx;
} waiter;

typedef struct outbox {
    uint64_t incarnation;
    flow_out *flows;
} outbox;

/* Through where a flow was applied by the daemon before it came to this host, or back. */
typedef struct source_seed {
    struct source_seed *next;
    flow_cursor cursor;
} source_seed;

/* A daemon that sends to other nodes, or came with what it had sent; or the node itself. */
struct route_link {
    heap_node due;                     /* first: when an outbox has something to resend */
    mesh *m;                           /* [const] */
    uint64_t origin;                   /* [const] */
    uint8_t entity[BERTH_ENTITY_SIZE]; /* [const] */
    bool node;                         /* [const] it is the node's own */
    berth_keypair key; /* [const] signs where it lives for what is under way when it has ended */
    _Atomic uint64_t epoch;
    pthread_mutex_t lock;
    outbox outs[OUTS_MAX]; /* [lock] the first is being sent */
    unsigned out_count;    /* [lock] */
    uint64_t published;    /* [lock] the sequence of its last publish, and whom it reached */
    uint64_t *reached;     /* [lock] origins */
    size_t reached_count, reached_cap;
    buf *verified;   /* [channels_lock] the chain whose signatures were found to hold last */
    waiter *waiters; /* [lock] */
    bool dirty;      /* [lock] in the list of those to be sent */
    route_link *dirty_next;
    source_seed *seeds;          /* before it is published its maker's, then the loop's */
    _Atomic uint64_t generation; /* of its receiving end; at least what was ever told */
    /* The loop's. */
    bool listed, detached;
    bool elsewhere; /* it goes on on another node */
    bool hushed;    /* it is not here yet [lock] */
    int64_t detached_ns;
    map64 hinted; /* node -> which presence it was told */
};

/* A daemon of this node that gets events from others; or the node itself. */
typedef struct inflow {
    uint64_t origin;
    uint64_t serial; /* answers of earlier ones are not ours */
    flow_in *in;
    batch *parked; /* for which the daemon has no room; in order */
    map64 sources; /* sender -> flow_id, malloc'd: whose cursor the daemon keeps */
    bool waiting;  /* for room */
    bool owes;     /* in the list of those with answers */
    uint32_t underway;
    struct inflow *owes_next;
} inflow;

/* Somebody to whom daemons of this node send. */
typedef struct outflow {
    uint64_t origin;
    route_link **links;
    size_t count, cap;
    int64_t unknown_ns; /* since when nobody knows where it is; 0: it is known */
} outflow;

/* Another node, as far as flows care. */
typedef struct stall_entry {
    route_link *link;
    uint64_t receiver;
} stall_entry;
typedef struct mesh_node {
    uint64_t id;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t life; /* rises when it forgets what it was told */
    bool up;
    uint64_t via;      /* the node by way of which its packets come, or came; 0: none did */
    int64_t judged_ns; /* up to when its allowance of signatures to verify is used */
    stall_entry *stalls;
    size_t stall_count, stall_cap;
} mesh_node;

/* A daemon of this node whose presence others know. */
typedef struct home {
    presence p;
    handover h; /* by which it came here */
    bool has_handover;
    uint64_t serial;
    bool chooses; /* not everybody may send to it: policy_daemon_takes_from knows who */
} home;

/* What a daemon here wants to hear from whoever publishes it. */
typedef struct wish {
    struct wish *next;
    uint8_t subscriber[BERTH_ENTITY_SIZE];
    uint64_t publisher;           /* 0: whoever it is; else this node, for a member of a group */
    buf *channel, *group, *token; /* group NULL: all of it; token NULL: none */
    int64_t retry_ns, pause_ns;   /* when to try again to be a member here */
} wish;

typedef struct ping {
    struct ping *next;
    uint64_t node;
    int64_t until_ns;
    void (*answer)(void *ctx, berth_status status, int64_t rtt_ns);
    void *ctx;
} ping;

typedef struct listener {
    struct listener *next;
    buf *channel;
} listener;

typedef struct known_peer {
    mesh_peer peer;
    bool added; /* by hand: a reload does not take it away */
} known_peer;

typedef enum mesh_stage {
    STAGE_NEW,
    STAGE_RUNNING,
    STAGE_DRAINING, /* what was sent arrives */
    STAGE_LEAVING,  /* goodbyes */
    STAGE_ENDED
} mesh_stage;

typedef struct mesh_socket {
    mesh *m;
    udp *udp;
    struct queued_run *head, *tail; /* runs that came up at another socket's turn */
    size_t queued;
} mesh_socket;

struct mesh {
    mesh_config config;        /* [const]; its borrowed parts are not used after mesh_new */
    berth_keypair key;         /* [const] */
    char name[64];             /* [const] */
    buf *certificate;          /* NULL: none */
    uint8_t static_public[32]; /* [const] */
    route route;               /* [const] */
    runtime *rt;               /* [const] from mesh_start on */
    mesh_loop *loop;           /* [const] */
    const log_capture *log;    /* [const] */

    pthread_mutex_t task_lock;
    mesh_task *task_head, *task_tail; /* [task_lock] */
    bool ended;                       /* [task_lock] tasks run where they are posted */
    bool async_there;                 /* [task_lock] the handle may be used */
    route_link *dirty;                /* [task_lock] */

    /* The loop's, from here on. */
    mesh_stage stage;
    int64_t now_ns, stage_until_ns, drain_until_ns, sweep_ns, idle_look_ns, armed_ns;
    struct latch *stage_done;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_timer_t timer;
    unsigned handles; /* that are not closed yet */
    uint64_t turns;
    _Atomic int64_t skew_ns;  /* of the wall clock, in tests */
    _Atomic int64_t stall_ns; /* nothing is done until then, in tests */
    bool late;                /* a turn was, and has read its sockets first */
    bool stalled;             /* the sockets are not read */

    endpoint *endpoint;
    mesh_socket sockets[MESH_LISTEN_MAX];
    unsigned socket_count;
    impair *impair_in, *impair_out; /* NULL: nobody asked for it */
    udp_scratch *scratch;
    struct relayed *relayed, *relayed_tail; /* packets that came by way of another node */
    size_t relayed_bytes;
    mesh_relay_counters relay;
    trust *trust;
    uint64_t trust_counts[TRUST_REASON_COUNT];
    int64_t refused_said_ns, dial_said_ns; /* when the log had a line of this sort last */
    peers *peers;
    uint8_t realms[TRUST_REALMS_MAX][BERTH_ENTITY_SIZE]; /* those that are trusted */
    size_t realm_count;
    uint64_t revocations_told, revocations_taken, revocations_old, revocations_refused;
    known_peer *peer_list; /* of the configuration, and added by hand */
    size_t peer_count, peer_cap;
    map64 nodes; /* mesh_node */
    ping *pings;
    struct naming *naming; /* names that other nodes are asked for */
    size_t naming_count;
    struct {
        peer_subscriber *call;
        void *ctx;
    } watchers[4];
    unsigned watcher_count;

    announcements *announcements;
    announcer announcer;
    capabilities offered; /* [channels_lock] what it says of this node */
    _Atomic bool facts_flag;

    pthread_mutex_t places_lock;
    directory *directory; /* [places_lock] */
    _Atomic bool places_used;
    size_t walked; /* of the table of peers, in search of origins */
    uint64_t walk[WALK_STEP];
    size_t walk_count;
    map64 locals; /* local */
    uint64_t serial;

    map64 links; /* route_link, the living one of each origin */
    route_link **all_links;
    size_t link_count, link_cap;
    route_link *node_link;
    heap dues;
    map64 targets;   /* target */
    map64 receivers; /* receiver */
    inflow *owes;
    writer frame;

    pthread_mutex_t done_lock;
    struct delivery *done; /* [done_lock] batches that daemons are through with, newest first */
    struct room *rooms;    /* [done_lock] receivers for whom a daemon has room again */

    pthread_mutex_t channels_lock;
    channel_rules *rules;       /* [channels_lock]; NULL: all is open */
    membership *membership;     /* [channels_lock] */
    roster_picks picks;         /* [channels_lock] */
    token_revocations *revoked; /* [channels_lock] */
    _Atomic bool members;       /* there may be any */
    subscriptions *subscriptions;
    wish *wishes;
    int64_t members_ns; /* when to look whether those in groups are members here */
    listener *listeners;

    pthread_mutex_t calls_lock;
    _Atomic uint64_t calls_open; /* [calls_lock to write] batches on their way to other nodes */
    uint64_t calls_bytes;        /* [calls_lock] of their events */
    waiter *calls_waiting;       /* [calls_lock] for room */
    map64 calls_lines;           /* [calls_lock] calls_line, by origin */
    calls_line *calls_due;       /* [calls_lock] to be looked at */
    bool calls_posted;           /* [calls_lock] calls_task will do it */
    mesh_task calls_task;
    uint64_t calls_searching; /* lines whose daemon is being looked for */
    call_client *call_client;
    call_server *call_server;
    struct served *served_waiting; /* for room in their daemon's mailbox */
    services *services;
    struct request *requests; /* under way, to names that are served */
    uint64_t request_turn;

    _Atomic uint64_t published, refused_publish;
    mesh_flow_counters flows;
    uint64_t unknown_messages, moving_unsent;
    mesh_moving *moving; /* [const] from mesh_start on */
    void *moving_ctx;    /* [const] */
};

static inline int64_t mesh_wall_ns(const mesh *m)
{
    return clock_wall_ns() + atomic_load_explicit(&m->skew_ns, memory_order_relaxed);
}

static inline int64_t mesh_wall_s(const mesh *m)
{
    return mesh_wall_ns(m) / S_NS;
}

/* Something may become overdue: it is looked at no later than after this time. */
static inline void mesh_sweep_in(mesh *m, int64_t in_ns)
{
    if (m->sweep_ns > m->now_ns + in_ns)
        m->sweep_ns = m->now_ns + in_ns;
}

/* 0 for one that has none. */
static inline uint16_t message_kind(slice msg)
{
    return msg.len < MESSAGE_KIND_SIZE ? 0 : (uint16_t)(msg.ptr[0] | msg.ptr[1] << 8);
}

/* ---- mesh_net.c ------------------------------------------------------------------------------ */

berth_status net_open(mesh *m, berth_error *error);
void net_begin(mesh *m); /* turns are taken from now on */
/* The addresses under which others reach this node. */
unsigned net_addresses(const mesh *m, address out[RECORD_ADDRESSES_MAX]);
/* Send now what sessions have to say. */
void net_flush(mesh *m);
/* Close sockets and handles; calls net_closed of mesh.c when all are gone. */
void net_close(mesh *m);
void mesh_closed(mesh *m);
void mesh_stage_step(mesh *m);

/* ---- mesh_sessions.c ------------------------------------------------------------------------- */

extern const peers_transport mesh_transport;
transport_events mesh_transport_events(mesh *m);
peer_subscriber mesh_peer_changed;
mesh_node *mesh_node_of(mesh *m, uint64_t id); /* made when there is none; NULL: no memory */
/* Send on the node's session. NOT_READY: there is none. Takes no reference. */
berth_status mesh_send(mesh *m, uint64_t node, lane l, slice msg);
/* To every node with a session. */
void mesh_broadcast(mesh *m, lane l, slice msg);
void sessions_sweep(mesh *m);
/* The records of all peers, as they are now: those that were kept before may have been renewed. */
void sessions_keep(mesh *m);
/* May the log have a line of a sort of which it had one at *said_ns? From others comes as much as
 * they like; every one of them is counted. */
bool mesh_may_say(const mesh *m, int64_t *said_ns, int64_t pause_ns);

/* ---- mesh_relay.c ---------------------------------------------------------------------------- */

address relay_address(uint64_t node);
bool relay_is(const address *a, uint64_t *node);
/* For peers_config.relayed. */
bool relay_find(void *ctx, uint64_t node, address *out);
/* For peers_config.is_relayed. */
bool relay_leads(void *ctx, const address *path);
/* A session has ended; after the table of peers knows. */
void relay_over(mesh *m, const session *s, session_end why);
void relay_send(mesh *m, uint64_t node, const outgoing *run);
void relay_message(mesh *m, const session *s, slice msg);
void relay_receive(mesh *m); /* what has come, into the sessions */
void relay_fini(mesh *m);

/* ---- mesh_policy.c --------------------------------------------------------------------------- */

berth_status policy_take(mesh *m, const mesh_policy *p, berth_error *error);
transport_admit policy_admit;
void policy_review(mesh *m);
/* May daemons of this node send events to daemons here? */
bool policy_takes_from(const mesh *m, const mesh_node *from);
/* And does this daemon here? node: where the sender lives, whoever brings what it sends. */
bool policy_daemon_takes_from(const mesh *m, uint64_t receiver, uint64_t node);

/* ---- mesh_revocations.c ---------------------------------------------------------------------- */

void revocations_node_up(mesh *m, uint64_t node);
void revocations_message(mesh *m, uint64_t node, slice msg);

/* ---- mesh_link.c ----------------------------------------------------------------------------- */

void mesh_route_init(mesh *m);
route_link *link_new(mesh *m, const berth_keypair *key, bool node);
void link_free(route_link *l);
/* Something is to be sent; any thread. */
void link_touch(route_link *l);
/* Under l->lock: the outbox of this incarnation; NULL: no memory. */
flow_out *link_outbox(route_link *l, uint64_t incarnation);
/* Under l->lock: what waits, over all incarnations. */
void link_stats(const route_link *l, flow_out_stats *sum);
/* Queue one event for one receiver. Under l->lock. */
berth_status link_queue(route_link *l, uint64_t incarnation, uint64_t target, buf *bytes);
/* Under l->lock: wake is called when there is room. False: no memory. */
bool link_wait(route_link *l, void (*wake)(void *ctx), void *ctx);
void link_wake(route_link *l);

/* ---- mesh_flows.c ---------------------------------------------------------------------------- */

void flows_flush(mesh *m);  /* those that were touched */
void flows_expire(mesh *m); /* those that are due */
void flows_answer(mesh *m, uint64_t node, slice msg);
/* The origin is elsewhere, or may be: send again what it has not acknowledged. */
void flows_moved(mesh *m, uint64_t origin);
void flows_node_up(mesh *m, mesh_node *n);
void flows_node_room(mesh *m, mesh_node *n);
void flows_sweep(mesh *m);
bool flows_need_sweep(const mesh *m);
void flows_close_idle(mesh *m);
/* Take l out of everything that knows it. */
void flows_forget(mesh *m, route_link *l);
bool flows_quiet(mesh *m); /* nothing waits to be acknowledged */
void flows_fini(mesh *m);

/* ---- mesh_receive.c -------------------------------------------------------------------------- */

void receive_flow(mesh *m, uint64_t node, uint16_t kind, buf *msg);
void receive_answers(mesh *m); /* what is owed to senders */
/* The sender has begun anew. */
void receive_outlived(mesh *m, uint64_t sender, uint64_t incarnation);

/* ---- mesh_deliver.c -------------------------------------------------------------------------- */

/* Made when there is none, of a daemon that is here; NULL: no memory. */
inflow *inflow_of(mesh *m, uint64_t origin, uint64_t incarnation);
/* Give the daemon what has come, as far as it has room. r may be gone afterwards. */
void inflow_deliver(mesh *m, inflow *r);
/* There is something to answer. */
void inflow_owes(mesh *m, inflow *r);
/* The daemon has forgotten the flow's cursor. */
void inflow_closed(mesh *m, inflow *r, const flow_id *id);
void inflows_done(mesh *m); /* what daemons have applied, and who has room */
void inflows_forget(mesh *m, uint64_t origin);
void inflows_fini(mesh *m);

/* ---- mesh_places.c --------------------------------------------------------------------------- */

void places_message(mesh *m, uint64_t node, uint16_t kind, slice msg);
/* The presence of a daemon here, in this incarnation (0: the one it has), signed when needed. NULL:
 * it is not here, or may not be. */
const home *places_own(mesh *m, uint64_t origin, uint64_t incarnation);
/* Tell a node, on this lane, where a daemon of ours lives, unless it knows. */
void places_hint(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t incarnation,
                 mesh_node *to, lane l);
/* Where an origin lives; asks the others when it is time to. */
void places_find(mesh *m, uint64_t origin, directory_place *out);
void places_ask(mesh *m, uint64_t origin, uint64_t epoch);
void places_ask_one(mesh *m, uint64_t node, uint64_t origin);
/* Meet some more of those who may know. */
void places_walk(mesh *m);
void places_gone(mesh *m, uint64_t origin);
/* It has come here, and its presence is signed. */
berth_status places_own_as(mesh *m, const presence *p, slice how, berth_error *error);
bool places_may_run(void *ctx, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch);

/* ---- mesh_moving.c --------------------------------------------------------------------------- */

void moving_message(mesh *m, const mesh_node *from, buf *msg);

/* ---- mesh_names.c ---------------------------------------------------------------------------- */

void names_message(mesh *m, uint64_t node, uint16_t kind, slice msg);
void names_node_down(mesh *m, uint64_t node);
void names_sweep(mesh *m);

/* ---- mesh_channels.c ------------------------------------------------------------------------- */

berth_status mesh_channels_open(mesh *m, berth_error *error);
void mesh_channels_message(mesh *m, uint64_t node, slice msg);
void mesh_channels_node_up(mesh *m, uint64_t node);
void mesh_channels_node_down(mesh *m, uint64_t node);
void mesh_channels_node_gone(mesh *m, uint64_t node);
int64_t mesh_channels_deadline(mesh *m);
void mesh_channels_expire(mesh *m);
void mesh_channels_sweep(mesh *m);
void mesh_channels_drop(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE]);
/* Under channels_lock: it goes on on that node; what it hears of this node it hears there. */
void mesh_channels_go(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t node);
/* It does not want anything here any more, and nobody is told. */
void mesh_channels_forget(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE]);
/* Under channels_lock: another node hosts it now; from 0: wherever it was. */
void mesh_channels_moved(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t from,
                         uint64_t to);
berth_status mesh_channels_publish(void *ctx, route_link *link, const route_event *e,
                                   void (*wake)(void *), void *wake_ctx, berth_error *error);
void mesh_channels_subscribe(void *ctx, route_link *link, uint64_t publisher, slice channel,
                             slice group, slice token, bool on);
/* It does not run here any more. Any thread. */
void mesh_channels_unhost(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE]);
/* Under channels_lock. */
bool mesh_channels_is_guarded(const mesh *m, slice channel);
/* A daemon of this node that has to be a member here, and is not. Loop. */
bool mesh_channels_lacks(mesh *m, const wish *w);
/* Under channels_lock: does what this node offers match? */
bool mesh_channels_offers(void *ctx, const capability_filter *filter);
bool mesh_channels_guards(void *ctx, slice channel);
void mesh_channels_listen(void *ctx, slice channel);
void mesh_channels_fini(mesh *m);
berth_status mesh_channels_set_rules(mesh *m, const mesh_policy *p, berth_error *error);

/* ---- mesh_calls.c, mesh_serve.c -------------------------------------------------------------- */

/* What the caller's side of calls knows of whoever made one; the first member of what does. */
typedef struct call_user call_user;
struct call_user {
    void (*done)(mesh *m, call_user *u, const call_outcome *o);
    bool (*moved)(mesh *m, call_user *u, const call_moved *moved); /* NULL: it ends then */
};

berth_status calls_open(mesh *m, berth_error *error);
call_send calls_send;
berth_status calls_submit(void *ctx, uint64_t origin, batch *b, void (*credit)(void *),
                          void *credit_ctx, berth_error *error);
void calls_follow(void *ctx, uint64_t origin, batch *list);
bool calls_behind(void *ctx, uint64_t origin);
void calls_search(mesh *m);
void calls_node_up(mesh *m, uint64_t node);
void calls_end(mesh *m);
void calls_fini(mesh *m);
berth_status serve_open(mesh *m, berth_error *error);
void serve_sweep(mesh *m);
/* The daemon here that serves a name. */
bool serve_find(const mesh *m, slice service, uint64_t *origin);
void requests_sweep(mesh *m);
void requests_end(mesh *m);
void serve_fini(mesh *m);

/* ---- mesh_announce.c ------------------------------------------------------------------------- */

berth_status announce_open(mesh *m, berth_error *error);
void announce_node_up(mesh *m, const peer_event *e);
int64_t announce_deadline(mesh *m);
void announce_expire(mesh *m);
void announce_farewell(mesh *m);
void announce_fini(mesh *m);

#endif
