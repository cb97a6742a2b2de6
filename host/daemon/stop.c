/* SPDX-License-Identifier: Apache-2.0 */
/* The end of daemons: one, and all. */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A FINISH on its way. Two hold it: the daemon, and who waits; who waits may give up. */
typedef struct finish {
    command command; /* first */
    atomic_uint refs;
    bool forget; /* its rows too */
    latch wait;
    latch forgotten; /* the rows are gone */
} finish;

static void release_finish(finish *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    latch_fini(&f->wait);
    latch_fini(&f->forgotten);
    free(f);
}

/* Add what a daemon counted to what those that are gone counted. */
static void count_out(struct daemon *d)
{
    runtime *rt = d->rt;
    atomic_fetch_add(&rt->processed, atomic_load(&d->processed));
    atomic_fetch_add(&rt->emitted, atomic_load(&d->emitted));
    atomic_fetch_add(&rt->errors, atomic_load(&d->errors));
    atomic_fetch_add(&rt->lost, atomic_load(&d->lost));
    atomic_fetch_add(&rt->snapshots, atomic_load(&d->snapshots));
    atomic_fetch_add(&rt->breaks, atomic_load(&d->breaks));
    atomic_fetch_add(&rt->overruns, atomic_load(&d->overruns));
    atomic_fetch_add(&rt->stopped, 1);
}

static void leave_table(struct daemon *d)
{
    if (!registry_remove(&d->rt->registry, d))
        return;
    observers_tell(&d->rt->observers, BERTH_LIFECYCLE_UNREGISTERED, d, 0, "");
    count_out(d);
    daemon_unref(d); /* the table's */
}

static void rows_gone(void *ctx, berth_status status, const berth_error *error)
{
    finish *f = ctx;
    /* a daemon that was never recorded has nothing to forget */
    latch_answer(&f->forgotten, status == BERTH_ERR_NOT_FOUND ? BERTH_OK : status, error);
    release_finish(f);
}

/* The mark that remains says exactly how far the chain has come, so that the daemon can go on from
 * its last snapshot without a gap if that is where it stopped. */
static void forget_rows(finish *f, struct daemon *d)
{
    store *s = d->rt->store;
    store_daemon row = {.sequence_limit = d->chain.head.sequence};
    memcpy(row.entity, d->make->key.entity, sizeof(row.entity));
    atomic_fetch_add(&f->refs, 1);
    store_update_daemon(s, &row, STORE_SET_LIMIT, NULL, NULL);
    store_remove_daemon(s, row.entity, rows_gone, f);
}

/*
 * Nothing of d can run any more: only now are its name and identity free. Its rows go first; the
 * store works in order, so whoever takes the identity next finds them gone.
 */
static void finished(command *c, struct daemon *d)
{
    finish *f = (finish *)c;
    runtime *rt = d->rt;
    leave_table(d);
    if (f->forget && !atomic_exchange(&d->forgotten, true))
        forget_rows(f, d);
    else if (f->forget) /* another stop did it: by now they may be those of a successor */
        latch_answer(&f->forgotten, BERTH_OK, NULL);
    if (!atomic_exchange(&d->over, true)) { /* two may stop it at the same time */
        registry_release_name(&rt->registry, d);
        factories_remove(&rt->factories, d->make);
        /* Whoever still looks at d must not keep its plugin from being unloaded. */
        plugin_kind_ref_facts(d->make->kind);
        d->make->facts_only = true;
        plugin_kind_unref(d->make->kind);
    }
    buf_unref(c->container);
    atomic_fetch_sub(&rt->underway, 1);
    daemon_unref(d); /* the FINISH's */
}

static void ended(command *c)
{
    finish *f = (finish *)c;
    latch_answer(&f->wait, BERTH_OK, NULL);
    release_finish(f);
}

/* Start the end of d. NULL: no memory. The caller drops the finish with release_finish. */
static finish *begin_finish(struct daemon *d, bool keep, bool drained, bool forget)
{
    finish *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->forget = forget && d->rt->store;
    latch_init(&f->forgotten, 1);
    f->command = (command){.kind = COMMAND_FINISH,
                           .keep = keep,
                           .clean = keep,
                           .when_drained = drained,
                           .done = finished,
                           .after = ended};
    atomic_init(&f->refs, 2);
    latch_init(&f->wait, 1);
    atomic_fetch_add(&d->rt->underway, 1);
    daemon_ref(d);
    pthread_mutex_lock(&d->lock);
    d->refusing = true;
    d->state = BERTH_DAEMON_STOPPING;
    if (d->tap) /* what it has yet to run goes nowhere */
        tap_break(d->tap, BERTH_ERR_BROKEN, "it is being stopped");
    pthread_mutex_unlock(&d->lock);
    if (!mailbox_command(d, &f->command)) { /* it has ended already */
        finished(&f->command, d);
        ended(&f->command);
    }
    return f;
}

void daemon_end(struct daemon *d)
{
    finish *f = begin_finish(d, false, false, false);
    leave_table(d);
    if (!f)
        return;
    if (!dispatcher_inside())
        latch_wait(&f->wait, NULL);
    release_finish(f);
}

void daemon_vanish(struct daemon *d)
{
    leave_table(d);
}

void daemon_leave_for_good(struct daemon *d)
{
    finish *f = begin_finish(d, false, false, false);
    if (f)
        release_finish(f);
    else
        log_error("daemon", "%s: out of memory: what is left of it here stays", d->name);
}

/* Do not wait for its mail any longer. */
static void hurry(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    d->force = true;
    pthread_mutex_unlock(&d->lock);
    mailbox_kick(d);
}

static int64_t deadline_of(uint64_t grace_ms)
{
    int64_t now = clock_mono_ns();
    return grace_ms > (uint64_t)(INT64_MAX - now) / 1000000 ? INT64_MAX
                                                            : now + (int64_t)grace_ms * 1000000;
}

/* Plugin code that was begun cannot be ended: how long an ungracious stop waits for it. */
#define PATIENCE_MS 1000

berth_status berth_stop(berth_runtime *rt, uint64_t origin, uint64_t grace_ms, berth_error *error)
{
    if (atomic_load(&rt->state) == BERTH_RUNTIME_REGISTERING || dispatcher_inside())
        return runtime_check(rt, true, error);
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d) {
        if (atomic_load(&rt->state) == BERTH_RUNTIME_SHUTTING_DOWN)
            return BERTH_OK;
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    }
    berth_status status = BERTH_OK;
    int64_t deadline = deadline_of(grace_ms);
    if (grace_ms && d->make->kind->table.on_control) {
        berth_event event = {
            .type = BERTH_EVENT_CONTROL, .status = BERTH_CONTROL_SHUTDOWN, .request = grace_ms};
        send_system(d, &event, NULL, true, 0);
    }
    finish *f = begin_finish(d, false, grace_ms > 0, true);
    if (!f) {
        daemon_unref(d);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (!grace_ms || !latch_wait_until(&f->wait, deadline))
        hurry(d);
    if (!latch_wait_until(&f->wait, deadline_of(PATIENCE_MS))) {
        leave_table(d);
        status = fail(
            error, BERTH_ERR_TIMEOUT,
            "daemon '%s' is in a call that does not return: it takes no more events, and will be "
            "destroyed when the call returns",
            d->name);
    } else if (f->forget) {
        status = latch_wait(&f->forgotten, error);
    }
    release_finish(f);
    daemon_unref(d);
    return status;
}

void store_answered(void *ctx, berth_status status, const berth_error *error)
{
    latch_answer(ctx, status, error);
}

/* Also those whose stop gave up on them earlier. That is rare: looking again is good enough. */
static bool all_finished(const runtime *rt, int64_t deadline)
{
    while (atomic_load(&rt->underway)) {
        if (clock_mono_ns() >= deadline)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

berth_status berth_runtime_shutdown(berth_runtime *rt, uint64_t grace_ms, berth_error *error)
{
    if (dispatcher_inside())
        return fail(error, BERTH_ERR_DEADLOCK,
                    "a runtime cannot be shut down from a daemon's thread");
    atomic_store(&rt->state, BERTH_RUNTIME_SHUTTING_DOWN);
    int64_t deadline = deadline_of(grace_ms);
    size_t count;
    struct daemon **list = registry_list(&rt->registry, &count);
    finish **ends = calloc(count + 1, sizeof(*ends));
    berth_status status = BERTH_OK;
    for (size_t i = 0; ends && i < count; i++)
        ends[i] =
            begin_finish(list[i], list[i]->make->durability != DURABILITY_VOLATILE, true, false);
    for (size_t i = 0; ends && i < count; i++)
        if (ends[i] && !latch_wait_until(&ends[i]->wait, deadline))
            hurry(list[i]);
    int64_t patience = deadline_of(PATIENCE_MS);
    for (size_t i = 0; ends && i < count; i++) {
        if (!ends[i])
            continue;
        if (!latch_wait_until(&ends[i]->wait, patience) && status == BERTH_OK)
            status = fail(error, BERTH_ERR_TIMEOUT, "daemon '%s' is in a call that does not return",
                          list[i]->name);
        release_finish(ends[i]);
    }
    for (size_t i = 0; i < count; i++) {
        leave_table(list[i]); /* unless it did */
        daemon_unref(list[i]);
    }
    free(list);
    free(ends);
    if (!all_finished(rt, patience) && status == BERTH_OK)
        status = fail(error, BERTH_ERR_TIMEOUT,
                      "a daemon that was stopped before is in a call that does not return");
    /* With the daemons' own entries gone, nothing stays that holds a key (compute-core §18.10). */
    factories_expect_nothing(&rt->factories);
    if (rt->store)
        store_barrier(rt->store, NULL);
    uint64_t unkept = atomic_exchange(&rt->unkept, 0);
    if (unkept && rt->store && status == BERTH_OK)
        status = fail(error, BERTH_ERR_IO,
                      "%llu daemon(s) ended without a final snapshot: they will come back from the "
                      "one before; the log says why",
                      (unsigned long long)unkept);
    return status;
}
