/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/daemon.h: a daemon as this room sees it. Private to the room.
 *
 * WHO MAY TOUCH WHAT
 *
 * A daemon is run by one runner at a time: whoever turned `turn` from IDLE (or took it from a run
 * queue) owns it until it gives it up. Members are marked
 *   [const]   set before the daemon is published
 *   [lock]    under lock, which is held for a few instructions only, never across calls out of the
 * room [runner]  by the runner [atomic]  by anyone
 *
 * Locks are taken in the order block_lock (runtime) -> lock (daemon) -> the runtime's maps; most
 * code holds one at a time.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/map.h"
#include "berth/runtime.h"
#include "chain/bonds.h"
#include "chain/chain.h"
#include "chain/continuity.h"
#include "chain/horizon.h"
#include "chain/ledger.h"
#include "daemon/batch.h"
#include "daemon/dispatcher.h"
#include "daemon/heap.h"
#include "daemon/instance.h"
#include "daemon/ring.h"
#include "daemon/runtime.h"
#include "daemon/tap.h"

#include <pthread.h>

struct daemon;
struct latch;

/* ---- Factory: what a daemon is rebuilt from (daemon/factories.h) ------------------------------
 */

typedef struct factory {
    atomic_uint refs;
    bool facts_only;        /* its daemon has ended: kind is a reference to facts */
    bool expected;          /* a placeholder: nobody is building a daemon from it */
    bool has_key;           /* else the key comes with the migration. Under the table's lock */
    bool rehearsed;         /* its daemon has come, not yet for good. Under the table's lock */
    uint32_t durability;    /* DURABILITY_VOLATILE or _SNAPSHOT */
    plugin_kind *kind;      /* one reference */
    buf *config;            /* a zero behind it, not counted; NULL: empty */
    uint64_t auto_snapshot; /* events */
    uint64_t orchestrator;  /* node; 0: the first that asks. Under the table's lock */
    struct daemon *daemon;  /* the one that lives, NULL: none. Under the table's lock */
    uint64_t origin;
    berth_keypair key;
} factory;

/* ---- Commands: what is done to a daemon between two events ------------------------------------
 */

typedef enum command_kind {
    COMMAND_CALL,     /* run fn: something that needs the runner's members */
    COMMAND_SNAPSHOT, /* answer with a container */
    COMMAND_STATUS,   /* ask the instance how it is */
    COMMAND_REBUILD,  /* destroy the instance, make one from the last snapshot */
    COMMAND_FINISH    /* the last one: (final snapshot,) destroy, gone */
} command_kind;

typedef struct command command;
struct command {
    command *next;
    command_kind kind;
    bool when_drained; /* waits until nothing is in the mailbox or outbox */
    bool when_still;   /* waits until no batch is half run and nothing is in the outbox */
    bool to_go;        /* SNAPSHOT: it goes to another host, not to the store */
    bool clean;        /* SNAPSHOT, FINISH: mark the stored snapshot as the resting point */
    bool keep;         /* FINISH: take a final snapshot if durable */
    bool own;          /* the runner's own, freed by it */
    uint8_t step;
    /* Once; without locks, on the runner's thread or, where plugin code answers later, another. The
     * command is the callee's again. */
    void (*done)(command *c, struct daemon *d);
    /* FINISH: after done, once the turn is given up: whoever is told now finds nothing of the
     * daemon held any more, neither its kind nor its memory. The command is its again. */
    void (*after)(command *c);
    void (*fn)(command *c, struct daemon *d); /* CALL */
    void *ctx;
    berth_status status;
    berth_error error;
    buf *container;        /* SNAPSHOT: one reference; NULL if to_go: */
    buf *head, *tail;      /* one reference each: around state, which is the callee's then, too */
    struct latch *on_disk; /* SNAPSHOT: answered when the store has it; NULL: nobody waits */
    int64_t took_ns;       /* SNAPSHOT: the instance, for its state */
    /* What the instance answered, until the runner goes on. */
    buf *state;
    instance *made;
    berth_daemon_status report;
};

/* ---- What few daemons have ------------------------------------------------------------------- */

/* A timer under its number, or the deadline of a request. */
typedef struct due {
    heap_node node; /* first; under the runtime's due_lock */
    struct daemon *owner;
    uint64_t number;
    uint32_t generation;
    bool is_request;
    buf *data;       /* of a timer */
    uint64_t target; /* of a request */
    int64_t wall_ns; /* when it is due, by the calendar: for snapshots */
} due;

/* An output that could not be released yet. */
typedef struct pending_output {
    struct pending_output *next;
    effect effect;
    batch *batch; /* whose event caused it, or NULL */
    uint32_t input;
    uint64_t sequence;
    uint64_t commit; /* released when the daemon's committed index has reached it */
    int64_t deadline_ns;
    berth_ref caller;        /* who waits for the event, for outputs to the caller */
    bool last;               /* of those to the caller in its event */
    bool shown;              /* the ring and the client have it */
    bool started;            /* tried before: its request is open, its targets are known */
    bool routed;             /* those on other hosts have it */
    struct daemon **targets; /* of a channel, one reference each */
    uint32_t target_count, target_at;
} pending_output;

typedef struct extras {
    map64 timers;   /* number -> due */
    map64 requests; /* number -> due */
    strmap cursors; /* source -> cursor */
    ledger ledger;
    bonds bonds; /* groups on channels of the ledger, tokens */
    bonds wants; /* what its operator wants it to hear, and has given it */
    int64_t refusal_told_ns;
    uint64_t refusals; /* of publishes, since then */
    pending_output *out_head, *out_tail;
    uint64_t next_anonymous; /* number for the next timer without one */
    uint32_t next_generation;
    discontinuity record; /* of this incarnation; valid if has_record */
    bool has_record;
} extras;

/* Outputs of a run that its ring will get in one go, while nobody reads it. */
#define UNSHOWN_MAX 32
typedef struct unshown {
    unsigned count;
    tail_item items[UNSHOWN_MAX];
} unshown;

typedef struct cursor_entry {
    uint64_t sequence;
    char source[];
} cursor_entry;

#define CURSORS_MAX 4096
#define DUES_MAX    1024

/* ---- The daemon ------------------------------------------------------------------------------ */

typedef enum turn { TURN_IDLE, TURN_QUEUED, TURN_RUNNING } turn;

struct daemon {
    struct berth_daemon handle; /* first: plugins hold a pointer to it. [const] */
    task task;                  /* in a run queue */
    atomic_uint refs;
    runtime *rt;      /* [const] */
    factory *make;    /* [const] one reference; the origin and key are its */
    const char *name; /* [const] behind the daemon, in its memory */
    uint64_t origin;

    pthread_mutex_t lock;
    uint8_t turn;   /* [lock] */
    uint8_t state;  /* berth_daemon_state [lock] */
    bool gate_open; /* [lock] */
    bool gone;      /* out of the table: takes nothing more [lock] */
    bool finished;  /* destroyed: not even commands [lock] */
    bool refusing;  /* stopping: takes nothing from outside [lock] */
    bool leaving;   /* a departure is under way [lock] */
    bool held;      /* leaving: no batch is begun [lock] */
    bool frozen;    /* leaving: nothing is taken in but the host's own [lock] */
    bool force;     /* do not wait for drained [lock] */
    bool out_held;  /* its outbox is not empty, as of the last turn [lock] */
    bool out_ready; /* and its first output may leave [lock] */
    /* [lock] the end of its chain, as of the last turn */
    berth_link turn_head;
    uint32_t mail_events;
    uint64_t mail_bytes;
    batch *urgent_head, *urgent_tail; /* before all mail: start, controls [lock] */
    batch *mail_head, *mail_tail;     /* [lock] */
    command *command_head, *command_tail;
    struct credit *credits; /* who waits for room [lock] */
    tap *tap; /* records what it runs, or NULL; one reference. Set by the runner [lock] */

    atomic_bool blocked;       /* waits for a target's room; set and cleared under block_lock */
    struct daemon *block_next; /* in the runtime's list of blocked daemons; block_lock */
    int64_t blocked_until_ns;

    instance *inst;              /* NULL: could not be made again [runner] */
    struct work *running;        /* the run in progress [runner] */
    unshown *unshown;            /* of that run [runner] */
    command *doing;              /* the command in progress [runner] */
    command *ends;               /* done, their `after` is to come [runner] */
    atomic_int op;               /* who goes on when an instance has answered; see operation.h */
    bool broken;                 /* the instance asked to be destroyed [runner] */
    bool want_snapshot;          /* enough events since the last one [runner] */
    uint32_t emitted_here;       /* outputs of the run in progress [runner] */
    bool raising;                /* its incarnation is not on disk yet [runner] */
    bool reserving;              /* a reservation of sequences is on its way to disk [runner] */
    bool dirty;                  /* ran since its last status poll [runner]; cleared by the poll */
    bool started;                /* on_start has run, in this or an earlier incarnation [runner] */
    chain chain;                 /* [runner] */
    horizon seen;                /* [runner] */
    extras *more;                /* NULL: nothing [runner] */
    route_link *link;            /* NULL: needed none yet [runner] */
    ring *_Atomic outputs;       /* NULL: never emitted, never tailed; made under lock */
    uint64_t seed;               /* [runner] */
    int64_t last_time_ns;        /* [runner] */
    uint64_t inputs;             /* events run; the commit index [runner] */
    uint64_t committed;          /* [runner] */
    uint64_t sequence_limit;     /* [runner] */
    uint64_t since_snapshot;     /* [runner] */
    uint64_t incarnation, epoch; /* [runner]; read by info under lock */
    buf *last_snapshot;          /* to rebuild from when it breaks [runner] */
    atomic_bool observed;        /* someone observes its deliveries */
    atomic_bool muted;           /* it runs again what it ran elsewhere: says nothing */
    atomic_bool forgotten;       /* its rows are gone, or going */
    atomic_bool over;            /* its name, identity and kind are free */
    atomic_bool moved_in;        /* what was sent to it before may still be under way */
    atomic_bool moved_out;       /* it lives elsewhere */
    bool quiet;                  /* not here yet: its link is hushed [runner] */
    buf *came;                   /* how it came here, for the route; NULL: it began here [const] */

    _Atomic uint64_t sequence, processed, emitted, errors, snapshots, breaks, lost, overruns;
    _Atomic int64_t busy_since_ns;
    int64_t overrun_told_ns; /* the watchdog's */
    _Atomic uint32_t health, saturation_ppm, subscriptions;
    _Atomic uint64_t state_bytes;
    int64_t started_wall_ns;  /* [const] */
    uint32_t told_saturation; /* [runner] */
    uint32_t recent_breaks;   /* [runner] */
    int64_t break_window_ns;  /* [runner] */
    char *quarantine;         /* why, or NULL [lock] */
    buf *tokens;              /* bonds with those that it holds, or NULL [lock] */
    buf *accept;              /* who may send to it (accept.h); NULL: everybody [const] */
};

static inline struct daemon *daemon_ref(struct daemon *d)
{
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}
/* The last one frees the memory; the instance was destroyed by FINISH. */
void daemon_unref(struct daemon *d);

static inline const char *daemon_kind_name(const struct daemon *d)
{
    return d->make->kind->facts->name;
}

/* Whether a plugin is a file, or linked into the process. */
static inline bool kind_has_file(const plugin_info *info)
{
    uint8_t any = 0;
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        any |= info->digest[i];
    return any != 0;
}

/* common.type of a batch that is no event: whoever put it into the mailbox waits for it to come up.
 */
#define EVENT_MARK 0

/* The runner's extras, made when first needed. NULL when memory is short. */
extras *daemon_extras(struct daemon *d);

/* ---- mailbox.c ------------------------------------------------------------------------------- */

/* Someone to call when there is room. */
typedef struct credit {
    struct credit *next;
    void (*fn)(void *ctx);
    void *ctx;
} credit;

typedef enum mail_rule {
    MAIL_CREDIT, /* from outside: WOULD_BLOCK when full; refused while stopping */
    MAIL_SEND,   /* from a daemon: WOULD_BLOCK when full */
    MAIL_OVER,   /* from a daemon, over the mark, up to the hard cap: then LOST */
    MAIL_SYSTEM, /* the host's own: always */
    MAIL_URGENT  /* the same, before all else */
} mail_rule;

/*
 * Put b into the mailbox and schedule the daemon. OK takes b over. WOULD_BLOCK registers *waiter
 * (if not NULL, heap-allocated; then taken over). NOT_FOUND: the daemon is gone, or refuses.
 */
berth_status mailbox_put(struct daemon *d, batch *b, mail_rule rule, credit *waiter);
/* Whether so much would be taken now; if not, *waiter (heap-allocated, may be NULL) is taken over.
 */
bool mailbox_has_room(struct daemon *d, uint32_t events, uint64_t bytes, credit *waiter);
/* Under d->lock: a batch was begun, and what is left of it comes next. */
static inline bool mailbox_begun(const struct daemon *d)
{
    return (d->urgent_head && d->urgent_head->at) || (d->mail_head && d->mail_head->at);
}
/* What it runs is recorded, and there is no room for more. Under d->lock, or the runner's. */
static inline bool daemon_waits_for_tap(const struct daemon *d)
{
    return d->tap && tap_full(d->tap);
}
/* Under d->lock: the batch to run next, or NULL. */
static inline batch *mailbox_next(const struct daemon *d)
{
    if (!d->gate_open || (d->held && !mailbox_begun(d)) || daemon_waits_for_tap(d))
        return NULL;
    if (d->held && d->mail_head && d->mail_head->at)
        return d->mail_head;
    return d->urgent_head ? d->urgent_head : d->mail_head;
}
/* Add a command and schedule. False, and nothing happens, when the daemon has finished. */
bool mailbox_command(struct daemon *d, command *c);
/* Schedule if there is something to do. */
void mailbox_kick(struct daemon *d);
/* For the runner: n events of so many bytes are through. Calls credits when there is room again. */
void mailbox_took(struct daemon *d, uint32_t events, uint64_t bytes);
/* Put a batch that was begun at the front, so that it goes on when the daemon does. */
void mailbox_unget(struct daemon *d, batch *b);
/* Everything in the mailbox ends as CANCELLED; everyone who waits for room is called. d is gone. */
void mailbox_cancel(struct daemon *d);
/* A departure begins; false: one is under way, or d is ending. mailbox_thaw ends it. */
bool mailbox_leave(struct daemon *d);
/* Begin no other batch; false: d is ending. */
bool mailbox_hold(struct daemon *d);
/* Take in nothing more but the host's own; what is there is the caller's, in order. */
batch *mailbox_freeze(struct daemon *d);
/* All of this is over; list goes in front of what has come since. */
void mailbox_thaw(struct daemon *d, batch *list);
/* All that is there; d takes nothing more, and who waits for room is called. */
batch *mailbox_empty(struct daemon *d);

/* ---- run.c ----------------------------------------------------------------------------------- */

/* The task of a daemon: run what there is to run, within a slice. */
void daemon_task(task *t, runner *on);
/* Run b on the calling thread if the daemon has nothing else to do. False: it has, nothing
 * happened. */
bool daemon_run_here(struct daemon *d, batch *b, runner *on);

/* An event with a causal link, from the node peer (0: this one). Of the origins that a daemon can
 * remember exactly, one node names at most half. The runner's. */
static inline horizon_seen daemon_observe(struct daemon *d, uint64_t peer, uint64_t origin,
                                          uint64_t sequence, uint32_t limit)
{
    return horizon_observe_from(&d->seen, peer, limit / 2 + limit % 2, origin, sequence, limit);
}
/* What d runs from now on is recorded by t (takes over the reference); NULL: nothing is. The
 * runner's. */
void daemon_set_tap(struct daemon *d, tap *t);

/* ---- command.c ------------------------------------------------------------------------------- */

/* The next command whose time has come, out of the queue, or NULL. Under d->lock. */
command *command_take(struct daemon *d);
/* Make a command of the runner's own d->doing; nothing when memory is short: the need stays. */
void command_begin_own(struct daemon *d, command_kind kind);
/* Go on with d->doing from its step. False: the instance will answer later, d is no longer ours. */
bool command_step(struct daemon *d, runner *on);

/* ---- commit.c: what an event's effects become --------------------------------------------------
 */

/* The event's handler returned 0: chain, outbox, release. The effects are taken over. */
void commit_effects(struct daemon *d, batch *b, uint32_t index, effects *e);
/* Whether the effects can be committed at all; else the status they fail with. */
berth_status commit_check(const struct daemon *d, const effects *e);
/* One event or output of the batch is through; the last one ends it. */
void batch_settle(batch *b);
/* What of it was not run ends in this status, and so does the batch. */
void batch_give_up(batch *b, berth_status status);
/* Try to release what waits in the outbox. True: it is empty. */
bool outbox_flush(struct daemon *d);
void outbox_drop(struct daemon *d);
bool outbox_ready(const struct daemon *d);
/* Give the ring what a run has gathered for it. */
void outputs_show(struct daemon *d);
/* The discontinuity record of the incarnation that has just begun goes the way of outputs, behind
 * those of the one before. */
void commit_record(struct daemon *d);
/* The ring of outputs, made when first needed; NULL when memory is short. */
ring *daemon_outputs(struct daemon *d);
static inline bool outbox_empty(const struct daemon *d)
{
    return !d->more || !d->more->out_head;
}

/* ---- dues.c: timers and requests ---------------------------------------------------------------
 */

/* batch.generation of an answer that is to come though no request is open. */
#define GENERATION_ANY UINT32_MAX

berth_status due_set(struct daemon *d, bool request, uint64_t number, uint64_t target, buf *data,
                     int64_t in_ns, int64_t wall_ns);
void due_cancel(struct daemon *d, bool request, uint64_t number);
bool due_known(const struct daemon *d, bool request, uint64_t number);
/* Whether an event of this generation still counts; a timer's is then forgotten. */
bool due_accept(struct daemon *d, bool request, uint64_t number, uint32_t generation);
void dues_drop(struct daemon *d);
/* There was no room to remember a request: it is answered as lost. */
void due_refused(struct daemon *d, uint64_t number, uint64_t target);

/* ---- send.c: from one daemon to another ---------------------------------------------------------
 */

/*
 * One event of a daemon's to an origin. WOULD_BLOCK: from has to wait and is now blocked;
 * *deadline_ns is when it gives up (set at the first try). LOST: the deadline has passed, or there
 * is no room at all.
 */
berth_status send_event(runtime *rt, struct daemon *from, uint64_t target, const berth_event *event,
                        buf *hold, int64_t *deadline_ns);
/* The same to a daemon that is, or was, here. */
berth_status send_near(runtime *rt, struct daemon *from, struct daemon *target,
                       const berth_event *event, buf *hold, int64_t *deadline_ns);
berth_status send_to(runtime *rt, struct daemon *from, struct daemon *target,
                     const berth_event *event, buf *hold, int64_t *deadline_ns);
/* One event of the host's to a daemon we have; over all limits. Takes no reference. */
void send_system(struct daemon *d, const berth_event *event, buf *hold, bool urgent,
                 uint32_t generation);
void send_start(struct daemon *d, int32_t reason);
/* Answer a daemon's request in the host's words; nothing if nobody waits. from: who was asked, to
 * reach one on another host; NULL: the answer is the host's own, to a daemon here. */
void send_answer(runtime *rt, struct daemon *from, const berth_ref *reply_to, int32_t status,
                 uint64_t origin, slice text);
/* An output of a daemon's to a channel, to those who hear it on other hosts. As send_event. */
berth_status send_publish(struct daemon *from, const berth_event *event, buf *hold,
                          int64_t *deadline_ns);
/* The daemon's link, made when first needed; NULL: there is no route, or no memory. */
route_link *daemon_link(struct daemon *d);
void daemon_unlink(struct daemon *d);
void block_clear(struct daemon *d);

/* ---- keep.c: snapshots ----------------------------------------------------------------------- */

/* The runner's: the state that the instance wrote, with all that stands around it, as BSN1 bytes.
 */
berth_status keep_encode(struct daemon *d, buf *state, uint32_t state_version, buf **out,
                         berth_error *error);
/* The same around a state that stays where it is: before, state, behind are those bytes. */
berth_status keep_encode_apart(struct daemon *d, slice state, uint32_t state_version, buf **before,
                               buf **behind, berth_error *error);
/* Its state was seen, and has so many bytes: until it says so itself, if its kind can. */
static inline void keep_size(struct daemon *d, uint64_t bytes)
{
    bool says = d->make->kind->table.status && atomic_load(&d->state_bytes);
    if (!says && bytes)
        atomic_store_explicit(&d->state_bytes, bytes, memory_order_relaxed);
}
/* Hand a container to the store, and remember it for rebuilding. */
/* Where there is a store, done gets its answer; NULL: a failure is logged. */
void keep_store(struct daemon *d, buf *bytes, bool clean, store_done *done, void *ctx);

/* Raise d->committed as far as the daemon's level allows; the rest comes when the disk has it. */
static inline void keep_commit(struct daemon *d)
{
    /* volatile and snapshot promise nothing of inputs: they are committed when they are applied */
    d->committed = d->inputs;
}
/* Put the incarnation on disk; until it is there no output leaves, and nobody sees its record. */
void keep_raise(struct daemon *d);
/* See to it that sequences stay reserved ahead of the chain. */
void keep_reserve(struct daemon *d);

/* ---- subscribe.c ----------------------------------------------------------------------------- */

/* The runner's: into the ledger and the channel table, or out of both. group, token NULL: as they
 * are. EXISTS, with nothing changed: another daemon serves what this channel is the requests of. */
berth_status daemon_subscribe(struct daemon *d, uint64_t publisher, slice channel,
                              const slice *group, const slice *token, bool on, berth_error *error);
/* Join, or leave, every channel of the ledger. */
void daemon_join_all(struct daemon *d);
void daemon_leave_all(struct daemon *d);
/* Before it is published: what it will serve, nobody else can. EXISTS. */
berth_status daemon_claim_all(struct daemon *d, berth_error *error);
/* The runner's: it holds another token; subscriptions that are better off with it get it. */
berth_status daemon_renew(struct daemon *d, berth_error *error);

/* ---- tokens.c -------------------------------------------------------------------------------- */

uint64_t daemon_now_s(void);
/* Whether it is a chain that this daemon can show, now or later; which roots count is not known
 * here. CORRUPT, SIGNATURE, REFUSED, naming subject and reason. */
berth_status daemon_token_check(const uint8_t entity[BERTH_ENTITY_SIZE], slice bytes,
                                berth_token_chain *out, berth_error *error);
/* The runner's: keep one that was checked. LIMIT, NO_MEMORY. */
berth_status daemon_hold_token(struct daemon *d, const berth_token_chain *chain,
                               berth_error *error);
/* The runner's: what to show when it publishes there; lives until it holds others. NULL: nothing.
 */
buf *daemon_leave_to_publish(const struct daemon *d, slice channel);
/* Bonds have come from elsewhere. */
void daemon_show_tokens(struct daemon *d);

/* ---- wants.c --------------------------------------------------------------------------------- */

/* Before it is published: what the configuration, or else the stored row, wants it to hear, gives
 * it and lets send to it. Errors name the channel, service or token. */
berth_status daemon_wants(struct daemon *d, const berth_daemon_config *config, slice stored,
                          berth_error *error);
/* The same as bytes for the row; empty when there is nothing. */
berth_status daemon_wants_bytes(const struct daemon *d, writer *out, berth_error *error);

/* ---- wish.c --------------------------------------------------------------------------------- */

/* A daemon's wish to spawn: done on a dispatcher thread, answered through on_reply. */
void spawn_for(struct daemon *d, const effect *e);

/* ---- stop.c ---------------------------------------------------------------------------------- */

/* Take a published daemon out again and destroy it, without a last snapshot; when this returns, if
 * the calling thread may wait, else soon. Its rows are the caller's to remove. */
void daemon_end(struct daemon *d);
/* Nobody finds it here any more. */
void daemon_vanish(struct daemon *d);
/* It lives elsewhere: what is left of it here ends, without a word to store or mesh. Does not wait.
 */
void daemon_leave_for_good(struct daemon *d);

/* ---- rebuild.c ------------------------------------------------------------------------------- */

/* Make an instance from the last snapshot; answers through done with d as its context. */
instance_answer daemon_remake(struct daemon *d, runner *on, instance_created *done);
/* It is there (d->inst), or could not be made: go on, or into quarantine. */
void daemon_remade(struct daemon *d, berth_status status, const berth_error *error);

#endif
