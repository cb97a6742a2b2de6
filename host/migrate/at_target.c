/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to move a daemon of another node here. */
#include "migrate/migrations_private.h"

#include "base/error.h"

#include <sodium.h>
#include <stdlib.h>

attempt *target_begin(migrations *x, uint64_t node, const uint8_t *entity, const move_offer *offer,
                      buf *msg)
{
    attempt *a = attempt_new(x, offer->head.attempt, offer->head.origin);
    target_config config = {
        .source = node, .max_stream = x->config.max_stream, .resend_ns = x->config.resend_ns};

    if (!a)
        return NULL;
    a->peer = node;
    memcpy(a->peer_entity, entity, sizeof a->peer_entity);
    memcpy(a->entity, offer->order.entity, sizeof a->entity);
    snprintf(a->kind, sizeof a->kind, "%.*s", (int)offer->kind.len, (const char *)offer->kind.ptr);
    a->not_after_s = offer->order.not_after_s;
    a->offer_bytes = buf_ref(msg);
    a->target = target_new(&config, slice_of(msg->data, msg->len), now_of());
    if (a->target && target_undecided(a))
        return a;
    attempt_free(a);
    return NULL;
}

/* ---- The journal ----------------------------------------------------------------------------- */

static void prepared(attempt *a, berth_status status, const berth_error *error)
{
    a->prepared = status == BERTH_OK;
    if (status != BERTH_OK)
        log_error("migrate", "a daemon from node %016llx cannot be kept: %s",
                  (unsigned long long)a->peer, error->text);
    else if (a->x->config.store) { /* it can be had from there */
        buf_unref(a->stream);
        a->stream = NULL;
    }
    target_prepared(a->target, status, now_of());
}

static void prepare(attempt *a)
{
    attempt_stored *s = attempt_store(a, prepared);

    if (s)
        journal_prepare(a, a->stream, attempt_has_stored, s);
}

static void forget_secret(attempt *a)
{
    early_forget(a);
    if (a->seal_bytes)
        sodium_memzero(a->seal_bytes->data, a->seal_bytes->len);
    buf_unref(a->seal_bytes);
    a->seal_bytes = NULL;
    buf_unref(a->stream);
    a->stream = NULL;
}

static void owned(attempt *a, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK) {
        /* It runs, and what it emits waits: PREPARED is on disk, the next start goes on from there.
         */
        log_error("migrate",
                  "daemon '%s' has come, but that is not on disk, and its outputs wait: "
                  "%s",
                  a->name, error->text);
        return;
    }
    arrival_kept(a->arrival);
    a->arrival = NULL;
    forget_secret(a);
    count(a->x, &a->x->counters.received, 1);
    log_info("migrate", "daemon '%s' (%016llx) has come from node %016llx", a->name,
             (unsigned long long)a->origin, (unsigned long long)a->peer);
    target_owned(a->target, BERTH_OK, NULL, now_of());
    a->owned = true;
    if (a->arrived)
        hearing_begin(a);
}

static void put_row(void *ctx, const store_daemon *row, uint64_t incarnation, uint64_t sequence,
                    buf *bytes)
{
    attempt_stored *s = ctx;

    store_attempt_own(s->a->x->config.store, s->a->id, row, incarnation, sequence, bytes,
                      attempt_has_stored, s);
}

/* The mesh knows that it is here. */
static void arrived(attempt *a, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK && status != BERTH_ERR_SHUTTING_DOWN)
        log_error("migrate", "daemon '%s' has come, and is held: %s", a->name, error->text);
    a->arrived = true;
    if (a->owned)
        hearing_begin(a);
}

static void arrive(attempt *a)
{
    attempt_stored *s = attempt_answer(a, arrived);
    berth_error error = {0};

    if (s)
        mesh_arrive(a->x->config.mesh, &a->presence, slice_of(a->how->data, a->how->len),
                    attempt_has_stored, s);
    else
        arrived(a, fail(&error, BERTH_ERR_NO_MEMORY, "out of memory"), &error);
}

/* It is ours: it runs at once; what it emits waits until that is on disk. */
void target_take_over(attempt *a)
{
    berth_error error = {0};
    move_outcome why;
    attempt_stored *s;

    if (!a->arrival) {
        target_check(a, true); /* after a restart it is built first */
        return;
    }
    if (arrival_open(a->arrival, &error) != BERTH_OK) {
        a->arrival = NULL;
        if (error.code == BERTH_ERR_SHUTTING_DOWN)
            return; /* PREPARED is on disk: the next start asks again */
        move_failed(&why, MOVE_STATE_FAILED, "%s", error.text);
        target_owned(a->target, error.code, &why, now_of());
        return;
    }
    arrive(a);
    s = attempt_store(a, owned);
    if (s && arrival_row(a->arrival, put_row, s, &error) != BERTH_OK) {
        a->pending--;
        free(s);
        owned(a, error.code, &error);
    }
}

static void refused(attempt *a, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK)
        log_error("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error->text);
    target_refused(a->target, status, now_of());
}

/* ---- Undoing --------------------------------------------------------------------------------- */

typedef struct dropping {
    job job;
    attempt *a;
    arrival *arrival;
} dropping;

static void drop_work(job *j)
{
    arrival_abandon(((dropping *)j)->arrival);
}

static void dropped(migrations *x, input *in, bool ended)
{
    dropping *d = (dropping *)in;

    (void)x;
    (void)ended;
    attempt_unpend(d->a);
    free(d);
}

static void drop_arrival(attempt *a)
{
    dropping *d = a->arrival ? calloc(1, sizeof *d) : NULL;

    if (d) {
        *d = (dropping){
            .job = {.back = {.run = dropped}, .work = drop_work}, .a = a, .arrival = a->arrival};
        a->pending++;
        migrations_work(a->x, &d->job);
    }
    a->arrival = NULL;
}

static void refuse(attempt *a)
{
    attempt_stored *s;

    drop_arrival(a);
    forget_secret(a);
    s = attempt_store(a, refused);
    if (s)
        journal_refuse(a, attempt_has_stored, s);
}

static void drop(attempt *a)
{
    drop_arrival(a);
    forget_secret(a);
    if (a->prepared && a->x->config.store)
        store_attempt_drop(a->x->config.store, a->id, NULL, NULL);
    else if (a->built && a->x->config.store)
        store_attempt_unstage(a->x->config.store, a->id);
    a->prepared = false;
}

/* ---- What is needed -------------------------------------------------------------------------- */

void target_tell_refused(attempt *a, const move_outcome *why)
{
    count(a->x, &a->x->counters.refused, 1);
    log_warn("migrate", "a daemon of kind '%s' from node %016llx is not taken: %s: %s", a->kind,
             (unsigned long long)a->peer, move_reason_text(why->reason), why->text);
}

void target_answer(attempt *a, const move_outcome *why)
{
    uint8_t nonce[MOVE_NONCE_SIZE];

    if (why)
        target_tell_refused(a, why);
    randombytes_buf(nonce, sizeof nonce);
    target_admitted(a->target, why ? move_reason_status(why->reason) : BERTH_OK, nonce, why,
                    now_of());
}

void target_admission(attempt *a)
{
    move_outcome why = {.moved = false};
    admission may = target_admits(a, &why);

    if (may == ADMISSION_LACKS && fetching_begin(a, &why))
        return;
    target_answer(a, may == ADMISSION_YES ? NULL : &why);
}

static void over(attempt *a)
{
    a->over = true;
    a->ended_ns = now_of();
    a->outcome = *target_outcome(a->target);
    target_decided(a);
    target_unpromise(a);
}

static void pump(attempt *a)
{
    target_need need;

    while (target_next(a->target, &need, now_of())) {
        switch (need.kind) {
        case TARGET_SEND:
            mesh_tell(a->x->config.mesh, need.node, need.lane, need.message);
            buf_unref(need.message);
            break;
        case TARGET_ADMIT:
            target_admission(a);
            break;
        case TARGET_ROUND:
            target_build(a);
            break;
        case TARGET_CHECK:
            target_check(a, false);
            break;
        case TARGET_PREPARE:
            prepare(a);
            break;
        case TARGET_OWN:
            target_take_over(a);
            break;
        case TARGET_REFUSE:
            refuse(a);
            break;
        case TARGET_DROP:
            drop(a);
            break;
        case TARGET_OVER:
            over(a);
            break;
        case TARGET_NONE:
            return;
        }
    }
}

void target_pump(attempt *a)
{
    do
        pump(a);
    while (fetching_pump(a));
}

void target_let_go(attempt *a)
{
    if (a->arrival)
        arrival_abandon(a->arrival);
    a->arrival = NULL;
    forget_secret(a);
}
