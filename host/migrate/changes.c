/* SPDX-License-Identifier: Apache-2.0 */
/* What changes, for those who watch: a circle of the last changes, and readers with a position of
 * their own. Nobody waits for a reader: one that is too slow misses changes, and is told how many.
 */
#include "migrate/migrations_private.h"

#include "base/error.h"

#include <stdlib.h>

struct migration_watch {
    migrations *x;
    migration_watch *next;
    bool has_only;
    migration_id only;
    uint64_t at; /* index of the next change to look at */
    void (*wake)(void *ctx);
    void *ctx;
    bool armed; /* its last read found nothing: wake it */
    unsigned waking;
};

/* ---- What happened --------------------------------------------------------------------------- */

/* Under the lock. Instants become durations. */
static void push(migrations *x, const migration_view *v, int64_t at_ns)
{
    migration_change *c = &x->changes[x->change_count % CHANGES_MAX];

    *c = (migration_change){
        .index = x->change_count++, .wall_ns = clock_wall_ns() - (now_of() - at_ns), .view = *v};
    c->view.elapsed_ns = at_ns - v->elapsed_ns;
    c->view.phase_ns = 0;
}

/* Called with the lock, returns without it. */
static void wake_and_unlock(migrations *x)
{
    migration_watch *due[16];

    for (;;) {
        unsigned n = 0;

        for (migration_watch *w = x->watches; w && n < sizeof due / sizeof *due; w = w->next)
            if (w->armed) {
                w->armed = false;
                w->waking++;
                due[n++] = w;
            }
        pthread_mutex_unlock(&x->lock);
        for (unsigned i = 0; i < n; i++)
            due[i]->wake(due[i]->ctx);
        if (!n)
            return;
        pthread_mutex_lock(&x->lock);
        for (unsigned i = 0; i < n; i++)
            due[i]->waking--;
        pthread_cond_broadcast(&x->quiet);
    }
}

static bool is_told(const migration_view *before, const migration_view *now)
{
    return now->over != before->over || (!now->over && now->in_doubt != before->in_doubt);
}

/* Of a phase that it went through on its way to the present one. */
static migration_view in_phase(const migration_view *now, move_phase phase)
{
    migration_view v = *now;

    v.phase = phase;
    v.over = v.in_doubt = false;
    v.outcome = (move_outcome){.moved = false};
    return v;
}

/* Under the lock. */
static void count_end(migration_role_counters *c, const attempt *a)
{
    const int64_t *entered = &a->entered_ns[a->phase];

    if (*entered)
        c->phase_ns[a->phase] += (uint64_t)(a->ended_ns - *entered);
    if (a->outcome.moved)
        c->moved++;
    else
        c->failed[a->outcome.reason]++;
}

void attempt_changed(attempt *a, const migration_view *before, const migration_view *now)
{
    migrations *x = a->x;
    migration_role_counters *c = a->source ? &x->counters.at_source : &x->counters.at_target;
    move_phase left = before->attempts ? before->phase : MOVE_PHASE_COUNT;
    migration_view shown = *now;
    orchestrator_view o;

    if (a->mine) { /* told as a part of what was begun here */
        orchestrator_look(a->mine->machine, &o);
        shown.id = a->mine->id;
        shown.attempts = o.attempts;
        shown.elapsed_ns = a->mine->began_ns;
    }
    pthread_mutex_lock(&x->lock);
    for (unsigned i = 0; i <= now->phase; i++) {
        migration_view v = in_phase(&shown, (move_phase)i);

        if (!a->entered_ns[i] || (left != MOVE_PHASE_COUNT && i <= left))
            continue;
        if (left != MOVE_PHASE_COUNT && a->entered_ns[left])
            c->phase_ns[left] += (uint64_t)(a->entered_ns[i] - a->entered_ns[left]);
        left = (move_phase)i;
        c->entered[i]++;
        push(x, &v, a->entered_ns[i]);
    }
    if (now->over && !before->over)
        count_end(c, a);
    if (!a->mine && is_told(before, now))
        push(x, &shown, now_of());
    wake_and_unlock(x);
}

void migration_changed(migration *g, const migration_view *before, const migration_view *now)
{
    migrations *x = g->x;
    bool phase = before->attempts != now->attempts || before->phase != now->phase;
    migration_view v = in_phase(now, now->phase);

    pthread_mutex_lock(&x->lock);
    if (phase && !g->local && now->attempts && !now->over) /* those of a local one are told above */
        push(x, &v, now_of());
    if (is_told(before, now))
        push(x, now, now_of());
    wake_and_unlock(x);
}

/* ---- Who watches ----------------------------------------------------------------------------- */

/* Under the lock: the first change that is still there. */
static uint64_t oldest(const migrations *x)
{
    return x->change_count > CHANGES_MAX ? x->change_count - CHANGES_MAX : 0;
}

berth_status migrations_watch(migrations *x, const migration_id *only, void (*wake)(void *ctx),
                              void *ctx, migration_watch **out, berth_error *error)
{
    migration_watch *w = calloc(1, sizeof *w);

    *out = w;
    if (!w)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    *w = (migration_watch){.x = x, .has_only = only, .wake = wake, .ctx = ctx};
    if (only)
        w->only = *only;
    pthread_mutex_lock(&x->lock);
    w->at = only ? oldest(x) : x->change_count;
    w->next = x->watches;
    x->watches = w;
    pthread_mutex_unlock(&x->lock);
    return BERTH_OK;
}

size_t migration_watch_read(migration_watch *w, migration_change *items, size_t cap,
                            uint64_t *missed, bool *ended)
{
    migrations *x = w->x;
    uint64_t first;
    size_t n = 0;

    pthread_mutex_lock(&x->lock);
    first = oldest(x);
    *missed = w->at < first ? first - w->at : 0;
    x->counters.changes_missed += *missed;
    for (w->at += *missed; n < cap && w->at < x->change_count; w->at++) {
        const migration_change *c = &x->changes[w->at % CHANGES_MAX];

        if (!w->has_only || memcmp(&c->view.id, &w->only, sizeof w->only) == 0)
            items[n++] = *c;
    }
    *ended = x->ended && w->at == x->change_count;
    w->armed = !n && !*missed && !*ended;
    pthread_mutex_unlock(&x->lock);
    return n;
}

void migration_watch_close(migration_watch *w)
{
    migrations *x = w ? w->x : NULL;

    if (!w)
        return;
    pthread_mutex_lock(&x->lock);
    for (migration_watch **at = &x->watches; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    w->armed = false;
    while (w->waking)
        pthread_cond_wait(&x->quiet, &x->lock);
    pthread_mutex_unlock(&x->lock);
    free(w);
}

/* ---- Who waits for an end -------------------------------------------------------------------- */

/* Under the lock; they are told without it. */
static migration_ending *take_endings(migration *g)
{
    migration_ending *list = g->endings;

    g->endings = NULL;
    return list;
}

static void tell_endings(migration_ending *list, berth_status status, const migration_view *v)
{
    while (list) {
        migration_ending *e = list;

        list = e->next;
        e->fn(e, status, v);
    }
}

void migration_ended(migration *g)
{
    migration_ending *list;
    migration_view v;

    pthread_mutex_lock(&g->x->lock);
    list = take_endings(g);
    v = g->view;
    pthread_mutex_unlock(&g->x->lock);
    tell_endings(list, BERTH_OK, &v);
}

void changes_stop(migrations *x)
{
    migration_ending *all = NULL;

    pthread_mutex_lock(&x->lock);
    for (migration *g = x->underway.first; g; g = g->next)
        for (migration_ending *e = take_endings(g), *next; e; e = next) {
            next = e->next;
            e->next = all;
            all = e;
        }
    wake_and_unlock(x);
    tell_endings(all, BERTH_ERR_SHUTTING_DOWN, NULL);
}

berth_status migrations_on_end(migrations *x, const migration_id *id, migration_ending *e,
                               berth_error *error)
{
    migration *g;
    migration_view v;
    bool over = false, ended;

    e->next = NULL;
    pthread_mutex_lock(&x->lock);
    g = migration_find(x, id->bytes);
    ended = x->ended;
    if (g)
        v = g->view;
    if (g && g->over) {
        over = true;
    } else if (g && !ended) {
        e->next = g->endings;
        g->endings = e;
    }
    pthread_mutex_unlock(&x->lock);
    if (!g)
        return fail(error, BERTH_ERR_NOT_FOUND, "nothing is known of this migration any more");
    if (over)
        e->fn(e, BERTH_OK, &v);
    else if (ended)
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "this node is ending");
    return BERTH_OK;
}
