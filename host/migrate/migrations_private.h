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
 *     check.c        what has come of it
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
#include "daemon/heap.h"
#include "daemon/moving.h"
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

    /* At the source. */
    uint64_t orchestrator; /* node; 0: this one */
    migration *mine;       /* begun here, or NULL */
    move_offer offer;      /* its strings lie in kind and plugin */
    char plugin[128];
    uint8_t peer_static[32];
    departure *departure;
    handover handover;
    buf *stream, *seal;
    uint64_t held, incarnation, sequence;
    int64_t closed_ns, opened_ns, snapshot_ns;
    bool attested; /* an operator says that the target is gone */

    /* At the target. */
    arrival *arrival;
    buf *offer_bytes, *seal_bytes;
    uint8_t nonce[MOVE_NONCE_SIZE];
    uint64_t promised; /* bytes */
    bool prepared;     /* the journal has it */
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
    attempt *local; /* the present one, where the source is this node */
    uint64_t source;
    int64_t began_ns;
    unsigned refs;             /* [lock] who waits, and the list */
    bool over;                 /* [lock] */
    move_outcome outcome;      /* [lock] */
    migration_ending *endings; /* [lock] */
    migration *next;           /* [lock] the newest first */
    migration_view view;       /* as of its last change */
};

struct migrations {
    migrations_config config; /* [const] but its policy */
    char (*accept)[128];      /* [lock] */
    size_t accept_count;
    uint8_t (*operators)[BERTH_ENTITY_SIZE]; /* [lock] */
    size_t operator_count;
    bool expected_only; /* [lock] */
    runtime *rt;        /* [const] from start on */

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
    heap dues;       /* of attempts, */
    heap orders;     /* of migrations */
    uint64_t bytes_promised;
    map64 promised;                /* of these, those to each node: node -> bytes */
    migration *list;               /* [lock] */
    migration_view past[OVER_MAX]; /* [lock] of attempts that others began */
    size_t past_count;             /* [lock] in all; the newest is at (count - 1) % OVER_MAX */
    migrations_counters counters;  /* [lock] */
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
/* The context of attempt_has_stored, which is to be called then. NULL: `then` has been told
 * already, OK where there is no store. */
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
/* Its gate opens again; epoch 0: as it was. */
void source_stay(attempt *a, uint64_t epoch);

/* ---- take_back.c ---- */
void attempt_take_back(attempt *a);

/* ---- at_target.c ---- */
attempt *target_begin(migrations *x, uint64_t node, const uint8_t *entity, const move_offer *offer,
                      buf *msg);
/* What it was promised room for has come, or will not. */
void target_unpromise(attempt *a);
void target_pump(attempt *a);
void target_let_go(attempt *a);
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
bool target_admits(attempt *a, move_outcome *why);
/* One reference to the kind that would run it here, or NULL. */
plugin_kind *target_kind(migrations *x, const move_offer *o);

/* Does this order count, brought by this node, which may be granted what the order is about? why:
 * if not. */
bool order_counts(migrations *x, const order *o, uint64_t node, uint32_t grant, move_outcome *why);

/* ---- check.c ---- */
/* Verify and build what has come; then go on. committed: after a restart, and then it is opened. */
void target_check(attempt *a, bool committed);

/* ---- received.c ---- */
mesh_moving migrations_received;
void say_no(migrations *x, uint64_t node, uint16_t kind, const uint8_t id[ATTEMPT_SIZE],
            uint64_t origin, move_reason reason, bool final, const char *text);

/* ---- ordering.c ---- */
void migration_pump(migration *g);
void migration_local_changed(attempt *a);
void migration_unref(migration *g);
bool migration_is(const migration *g, const uint8_t id[ATTEMPT_SIZE]);
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
