/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/migrations_private.h: what the files of the driver share. Nobody else includes it.
 *
 *     migrations.c   the thread, its inputs, its life
 *     attempts.c     the attempts that this node has a part in
 *     at_source.c    attempts to move a daemon of this node
 *     take_back.c    one that was released and runs here again
 *     at_target.c    attempts to move one here
 *     choosing.c     where it could go, and of what kind one elsewhere is
 *     hearing.c      what has become of its subscriptions there, told and heard
 *     admit.c        may it come, and can it
 *     fetching.c     the plugin that it needs, fetched from its source
 *     serving.c      and sent, at the source
 *     check.c        what has come of it
 *     early.c        the key goes ahead of the state
 *     received.c     messages: to which attempt, and what is answered to those of none
 *     ordering.c     migrations that were begun here
 *     changes.c      what happens to all of them, for those who watch
 *     journal.c      what is written to the store, and read again at the start
 *
 * All of struct migrations belongs to its thread, but what is marked otherwise. Plugin code, and
 * all that waits for it, runs on the workers.
 */
#ifndef MIGRATE_MIGRATIONS_PRIVATE_H
#define MIGRATE_MIGRATIONS_PRIVATE_H

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "chain/container_tags.h"
#include "daemon/heap.h"
#include "daemon/moving.h"
#include "migrate/fetch.h"
#include "migrate/migrations.h"
#include "migrate/orchestrator.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "store/attempts.h"

#include <pthread.h>

#define S_NS            INT64_C(1000000000)
#define WORKERS         2
#define INBOX_MAX       (64u << 20)  /* bytes of messages that wait for the thread */
#define OVER_MAX        256          /* migrations that are over and can be looked at */
#define CHANGES_MAX     256          /* of phases and outcomes, for those who watch */
#define ORDER_LIFE_S    3600         /* of orders made here */
#define ENDED_NS        (600 * S_NS) /* an attempt that is over answers for so long */
#define PRESENCE_LIFE_S (24 * 3600)
#define PROVEN_NS       INT64_C(2000000) /* for so long what a session has proven is not asked again */
#define PRECOPY_FROM    (1u << 20) /* a smaller state is sent sooner than it is worked around */

/* Something for the thread; run frees it. ended: the thread has ended, only let go. */
typedef struct input input;
struct input {
    input *next;
    void (*run)(migrations *x, input *in, bool ended);
};

/* Something for a worker: work on its thread, then done on ours. */
typedef struct job job;
struct job {
    input back; /* first */
    job *next;
    void (*work)(job *j);
};

typedef struct migration migration;
typedef struct early early;         /* early.c */
typedef struct fetching fetching;   /* fetching.c */
typedef struct following following; /* following.c */
typedef struct serving serving;     /* serving.c */

typedef struct attempt {
    heap_node due; /* first */
    migrations *x;
    uint8_t id[ATTEMPT_SIZE];
    uint64_t origin;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t peer; /* the other node, */
    uint8_t peer_entity[BERTH_ENTITY_SIZE];
    unsigned pending; /* answers that are still to come */
    bool over;
    int64_t began_ns, ended_ns, phase_ns;
    move_phase phase;
    int64_t entered_ns[MOVE_PHASE_COUNT]; /* 0: not */
    char name[128], kind[128];
    move_outcome outcome;
    int64_t not_after_s;
    migration_view view; /* [lock] as of its last change */
    move_hearing hearing;

    source *source; /* or */
    target *target;
    early *early; /* or NULL */

    /* At the source. */
    uint64_t orchestrator; /* node; 0: this one */
    migration *mine;       /* [lock] begun here, or NULL; changed by its thread */
    move_offer offer;      /* its strings lie in kind and plugin */
    char plugin[128];
    uint8_t peer_static[32];
    departure *departure;
    following *following; /* of one that goes on while its state is sent; else NULL */
    handover handover;
    buf *stream, *seal;
    uint64_t held, incarnation, sequence;
    int64_t closed_ns, opened_ns, snapshot_ns;
    bool attested;    /* an operator says that the target is gone */
    serving *serving; /* the target has asked for the plugin; or NULL */

    /* At the target. */
    arrival *arrival;
    buf *offer_bytes, *seal_bytes;
    uint8_t nonce[MOVE_NONCE_SIZE];
    uint64_t promised;  /* bytes */
    uint64_t built;     /* bytes of the stream that its rounds have brought */
    bool prepared;      /* the journal has it */
    bool arrived;       /* the mesh knows that it is here */
    bool owned;         /* and the journal */
    fetching *fetching; /* its offer waits for this; or NULL */
    bool fetched;       /* it has: not a second time */
    presence presence;
    buf *how;
    int64_t hearing_ns, hearing_pause_ns; /* when to look at its subscriptions again; 0: not */
} attempt;

struct migration {
    heap_node due; /* first */
    migrations *x;
    migration_id id;
    migration_spec spec;
    orchestrator *machine;
    attempt *local;    /* the present one, where the source is this node */
    const order *made; /* for the first attempt, until it is begun */
    uint64_t source;
    int64_t began_ns;
    unsigned refs;                 /* [lock] who waits */
    bool over;                     /* [lock] */
    move_outcome outcome;          /* [lock] */
    migration_ending *endings;     /* [lock] */
    migration *next, *before;      /* [lock] in its list */
    migration_view view;           /* as of its last change */
    uint8_t attempt[ATTEMPT_SIZE]; /* the present one, or the last; zero: none yet */
};

/* The newest first. */
typedef struct migration_list {
    migration *first, *last;
    size_t count;
} migration_list;

struct migrations {
    migrations_config config;  /* [const] but its policy */
    uint8_t static_public[32]; /* [const] of the config's secret */
    char (*accept)[128];       /* [lock] */
    size_t accept_count;
    uint8_t (*operators)[BERTH_ENTITY_SIZE]; /* [lock] */
    size_t operator_count;
    bool expected_only;    /* [lock] */
    bool fetch;            /* [lock] plugins may be fetched */
    uint64_t precopy_from; /* [lock] */
    runtime *rt;           /* [const] from start on, as these: */
    void (*loaded)(void *ctx);
    void *loaded_ctx;

    pthread_mutex_t lock;
    pthread_cond_t wake, work, change; /* for the thread, the workers, who waits */
    input *head, *tail;                /* [lock] */
    job *jobs, *jobs_tail;             /* [lock] */
    size_t inbox_bytes;                /* [lock] */
    bool stopping, ended;              /* [lock] */
    bool running;
    pthread_t thread, workers[WORKERS];

    strmap attempts; /* id -> attempt; changed under the lock */
    map64 by_origin; /* of this node's, those that are not over: origin -> attempt */
    map64 coming;    /* of others', the one that is not over: origin -> attempt */
    heap dues;       /* of attempts, */
    heap orders;     /* of migrations */
    fetching *fetchings;
    uint64_t bytes_promised;
    map64 promised;                /* of these, those to each node: node -> bytes */
    migration_list underway;       /* [lock] */
    migration_list over;           /* [lock] the latest that ended, OVER_MAX of them */
    strmap by_id;                  /* [lock] of both: id -> migration */
    strmap ordered;                /* of both: present, or last, attempt -> migration */
    migration_view past[OVER_MAX]; /* [lock] of attempts that others began */
    size_t past_count;             /* [lock] in all; the newest is at (count - 1) % OVER_MAX */
    migrations_counters counters;  /* [lock] */
    mesh_peer_view proven;         /* [lock] the last one that was asked for, as of proven_ns */
    int64_t proven_ns;             /* [lock] */
    migration_change *changes;     /* [lock] a circle of CHANGES_MAX */
    uint64_t change_count;         /* [lock] in all; the newest is at (count - 1) % CHANGES_MAX */
    migration_watch *watches;      /* [lock] */
    struct inquiry *inquiries;     /* [lock] */
    pthread_cond_t quiet;          /* no wake of a watch is running */
    int64_t expire_ns;
};

/* ---- migrations.c ---- */
void migrations_post(migrations *x, input *in);
void migrations_work(migrations *x, job *j);
/* Its threads have: what still answers is only let go. */
bool migrations_have_ended(migrations *x);
static inline int64_t now_of(void)
{
    return clock_mono_ns();
}
static inline uint16_t message_kind_of(const buf *msg)
{
    return msg->len < MESSAGE_KIND_SIZE ? 0 : (uint16_t)(msg->data[0] | msg->data[1] << 8);
}
void count(migrations *x, uint64_t *which, uint64_t by);
/* A node that is connected, as its session has proven it. */
bool peer_find(migrations *x, uint64_t node, mesh_peer_view *out);
attempt *attempt_find(migrations *x, const uint8_t id[ATTEMPT_SIZE]);
/* NULL: no memory. */
attempt *attempt_new(migrations *x, const uint8_t id[ATTEMPT_SIZE], uint64_t origin);
/* After anything was done with its machine: do what it needs. */
void attempt_pump(attempt *a);
/* When to look at it next. */
void attempt_schedule(attempt *a, int64_t at_ns);
/* One answer that was pending has come. */
void attempt_unpend(attempt *a);
/* Something that the store is asked for an attempt, and what is done when it has answered. */
typedef struct attempt_stored {
    input in;
    attempt *a;
    void (*then)(attempt *a, berth_status status, const berth_error *error);
    berth_status status;
    berth_error error;
} attempt_stored;
/* The context of attempt_has_stored, whoever answers. NULL: no memory. */
attempt_stored *attempt_answer(attempt *a, void (*then)(attempt *a, berth_status status,
                                                        const berth_error *error));
/* The same of the store. NULL: `then` has been told already, OK where there is no store. */
attempt_stored *attempt_store(attempt *a, void (*then)(attempt *a, berth_status status,
                                                       const berth_error *error));
store_done attempt_has_stored;
void attempt_free(attempt *a);
/* Its time has come. */
void attempt_expire(attempt *a, int64_t now_ns);

/* ---- at_source.c ---- */
/* Begin one. why: when it is NULL. */
attempt *source_begin(migrations *x, const order *o, uint64_t to, uint64_t ordered_by,
                      const move_order *limits, move_outcome *why);
void source_pump(attempt *a);
void source_state(const attempt *a, move_state *out);
void source_tell(attempt *a, uint64_t node);
void source_let_go(attempt *a);
/* Its gate is to be closed now: nothing holds that up any more. */
void source_depart(attempt *a, source_piece piece);
/* What there is of it once its gate is closed, as the stream has it. One reference; NULL: no
 * memory.
 */
buf *source_last_piece(const departed *d);
/* That of its container. */
void source_digest(uint8_t out[CONTAINER_DIGEST], const departed *d);
/* Its gate opens again; epoch 0: as it was. */
void source_stay(attempt *a, uint64_t epoch);

/* ---- following.c ---- */
/* False: no memory. */
bool following_new(attempt *a);
void following_free(attempt *a);
/* As departure_begin, but the daemon goes on. */
berth_status following_begin(attempt *a, departure_done *done, void *ctx, berth_error *error);
/* It has come, or has not: on goes the machine. */
void following_state(attempt *a, berth_status status, const berth_error *error);
/* The next piece: what it has run. */
void following_executed(attempt *a);
/* It is to run no faster than it is sent. */
void following_slow(attempt *a);
/* The last piece: hash and length of the whole stream. */
void following_last(attempt *a, buf *last, uint8_t hash[MOVE_HASH_SIZE], uint64_t *total);

/* ---- take_back.c ---- */
void attempt_take_back(attempt *a);

/* ---- at_target.c ---- */
attempt *target_begin(migrations *x, uint64_t node, const uint8_t *entity, const move_offer *offer,
                      buf *msg);
/* What it was promised room for has come, or will not. */
void target_unpromise(attempt *a);
void target_pump(attempt *a);
/* May it come? Answers its machine, now, or when the plugin that it needs is here. */
void target_admission(attempt *a);
/* The answer; why NULL: it may. */
void target_answer(attempt *a, const move_outcome *why);
void target_let_go(attempt *a);
/* It is the one attempt that may make its daemon ours, unless there is one already, which stays so
 * until it is decided. False: no memory. */
bool target_undecided(attempt *a);
void target_decided(attempt *a);
/* What came of it does not do. */
void target_tell_refused(attempt *a, const move_outcome *why);
/* It is committed: open it. */
void target_take_over(attempt *a);

/* ---- choosing.c ---- */
#define KIND_MAX 255
typedef struct inquiry inquiry;
/* A KIND, or what is REFUSED. False: nobody here has asked for it. */
bool inquiry_message(migrations *x, uint64_t node, const move_head *head, slice msg);
void inquiry_answer(migrations *x, uint64_t node, const move_head *head);

/* ---- hearing.c ---- */
/* At the target, which has it: look what it hears, and tell the source, behind what that is told
 * next; until all is made. */
void hearing_begin(attempt *a);
/* When that is due, INT64_MAX: not. */
int64_t hearing_deadline(const attempt *a);
void hearing_expire(attempt *a, int64_t now_ns);
/* At the source: what the target says. False: it has no business to. */
bool hearing_message(attempt *a, uint64_t node, slice msg);
/* At who ordered it, and has heard its end already. False: it is nothing to it. */
bool hearing_state(migration *g, uint64_t node, slice msg);

/* ---- admit.c ---- */
typedef enum admission {
    ADMISSION_NO,
    ADMISSION_LACKS, /* nothing is against it so far, but that its kind is not here */
    ADMISSION_YES
} admission;
/* why: if not YES. */
admission target_admits(attempt *a, move_outcome *why);
bool is_operator(migrations *x, const uint8_t key[BERTH_ENTITY_SIZE]);
/* One reference to the kind that would run it here, or NULL. */
plugin_kind *target_kind(migrations *x, const move_offer *o);

/* Does this order count, brought by this node, which may be granted what the order is about? why:
 * if not. */
bool order_counts(migrations *x, const order *o, uint64_t node, uint32_t grant, move_outcome *why);

/* ---- fetching.c ---- */
/* It lacks its kind. True: the plugin is being fetched, and target_admission comes again. False:
 * it will not be; why is as it was, or says more. */
bool fetching_begin(attempt *a, move_outcome *why);
/* A PLUGIN or PART. False: it is not for us. */
bool fetching_message(attempt *a, uint64_t node, slice msg);
/* The session with its source is up again. */
void fetching_source_up(attempt *a);
/* True: its offer was answered. */
bool fetching_pump(attempt *a);
int64_t fetching_deadline(const attempt *a);
void fetching_expire(attempt *a, int64_t now_ns);
/* False: none is under way for it. */
bool fetching_progress(const attempt *a, uint64_t *bytes, uint64_t *total);
/* All of them, at the end: no thread is left. */
void fetching_free_all(migrations *x);

/* ---- serving.c ---- */
/* The target asks for (some of) the plugin. */
void serving_ask(attempt *a, const move_fetch *m);
/* After anything was done with its machine: it may have ended. */
void serving_pump(attempt *a);
/* False: the target does not fetch. */
bool serving_progress(const attempt *a, uint64_t *bytes, uint64_t *total);
void serving_free(attempt *a);
/* ---- rounds.c ---- */
/* A round has come: verify it, and build what can be. */
void target_build(attempt *a);

/* ---- check.c ---- */
/* Verify and build what has come; then go on. committed: after a restart, and then it is opened. */
void target_check(attempt *a, bool committed);

/* Is it what this attempt is about? Any thread. */
bool handover_fits(const handover *h, const attempt *a, uint64_t epoch);
/* That it lives here; to be signed. Any thread. */
presence presence_here(const attempt *a, uint64_t epoch, uint64_t incarnation);

/* ---- early.c ---- */
/* At the source: handover and envelope are made for a chain that ends with this link. */
void early_begin(attempt *a, const berth_keypair *key, const uint8_t head[BERTH_LINK_SIZE],
                 uint64_t incarnation);
/* The first piece is asked for: whether it has to wait for the target to be ready. It may be asked
 * again. */
bool early_waits(attempt *a);
bool early_is_waiting(const attempt *a);
int64_t early_deadline(const attempt *a);
/* The target is. */
void early_ready(attempt *a);
/* What was made goes into the seal; false: it is of another link, or there is nothing. */
bool early_signed(attempt *a, const uint8_t head[BERTH_LINK_SIZE], move_seal *out);
void handover_begin(handover *h, const attempt *a, const uint8_t head[BERTH_LINK_SIZE]);
/* At the target: false: not now, or not again, or it does not read. */
bool early_received(attempt *a, slice msg);
/* What has been verified, from now on the caller's; NULL: nothing. */
early *early_take(attempt *a);
/* Does the seal say the same? The others only if it does. NULL is allowed. */
bool early_is_same(const early *e, const move_seal *seal);
const berth_keypair *early_key(const early *e);
const presence *early_presence(const early *e, uint64_t incarnation); /* NULL: of another */
/* Wiped. NULL is allowed. */
void early_free(early *e);
void early_forget(attempt *a);

/* ---- received.c ---- */
mesh_moving migrations_received;
void say_no(migrations *x, uint64_t node, uint16_t kind, const uint8_t id[ATTEMPT_SIZE],
            uint64_t origin, move_reason reason, bool final, const char *text);

/* ---- ordering.c ---- */
void migration_pump(migration *g);
void migration_local_changed(attempt *a);
/* Under the lock. */
migration *migration_find(const migrations *x, const uint8_t id[ATTEMPT_SIZE]);
/* At the end: all of them. */
void migrations_forget(migrations *x);
void ordering_message(migrations *x, uint64_t node, const move_head *head, slice msg);

/* ---- changes.c: without the lock ---- */
/* It looked so, and looks so now. */
void attempt_changed(attempt *a, const migration_view *before, const migration_view *now);
void migration_changed(migration *g, const migration_view *before, const migration_view *now);
/* It is over now: whoever waits is told. */
void migration_ended(migration *g);
/* No more will come: x->ended is set. */
void changes_stop(migrations *x);

/* ---- journal.c ---- */
void journal_prepare(attempt *a, buf *stream, store_done *done, void *ctx);
void journal_release(attempt *a, store_done *done, void *ctx);
void journal_refuse(attempt *a, store_done *done, void *ctx);
/* What the journal says of an attempt that nothing else is known of. */
bool journal_phase(migrations *x, const uint8_t id[ATTEMPT_SIZE], store_attempt_phase *phase,
                   uint64_t *epoch);
berth_status journal_recover(migrations *x, berth_error *error);

#endif
