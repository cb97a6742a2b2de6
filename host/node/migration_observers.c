/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migration_observers.h"

#include "base/error.h"
#include "node/node_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES 16

typedef struct observer {
    callback call; /* first */
    struct observer *next;
    migration_observers *of;
    migration_watch *watch;
    uint64_t id;
    void (*fn)(void *ctx, const berth_migration_event *event);
    void *ctx;
    unsigned pending; /* [lock] times that the callback thread has to look */
    bool dead;        /* [lock] */
    bool orphan;      /* [lock] removed by itself: it goes when it returns */
} observer;

struct migration_observers {
    migrations *x;
    runtime *rt;
    pthread_mutex_t lock;
    pthread_cond_t quiet; /* one is not pending any more, or an orphan has gone */
    observer *list;       /* [lock] */
    unsigned orphans;     /* [lock] */
    uint64_t next_id;     /* [lock] */
};

/* The one that this thread is running: it may remove itself. */
static _Thread_local const observer *running_here;

/* ---- Telling --------------------------------------------------------------------------------- */

void migration_outcome_of(berth_migration_outcome *out, const move_outcome *how,
                          const migration_view *view)
{
    *out = (berth_migration_outcome){.size = sizeof *out,
                                     .moved = how->moved,
                                     .word = "",
                                     .attempts = view ? view->attempts : 1,
                                     .blackout_ns = view ? (uint64_t)view->blackout_ns : 0};
    if (how->moved)
        return;
    out->reason = (uint16_t)how->reason;
    out->word = move_reason_word(how->reason);
    memcpy(out->text, how->text, sizeof out->text);
}

static void tell(observer *o, const migration_change *c, uint64_t missed)
{
    const migration_view *v = &c->view;
    berth_migration_outcome outcome;
    berth_migration_event e = {.size = sizeof e,
                               .role = (berth_migration_role)v->role,
                               .origin = v->origin,
                               .source = v->source,
                               .target = v->target,
                               .name = v->name,
                               .kind = v->kind,
                               .phase = (berth_migration_phase)v->phase,
                               .in_doubt = v->in_doubt,
                               .attempts = v->attempts,
                               .fetching = v->fetching,
                               .bytes_sent = v->bytes_sent,
                               .bytes_total = v->bytes_total,
                               .held_events = v->held,
                               .blackout_ns = (uint64_t)v->blackout_ns,
                               .wall_ns = c->wall_ns,
                               .missed = missed};

    memcpy(e.id, v->id.bytes, sizeof e.id);
    if (v->over) {
        migration_outcome_of(&outcome, &v->outcome, v);
        e.outcome = &outcome;
    }
    o->fn(o->ctx, &e);
}

static bool is_dead(observer *o)
{
    bool dead;

    pthread_mutex_lock(&o->of->lock);
    dead = o->dead;
    pthread_mutex_unlock(&o->of->lock);
    return dead;
}

static void observer_free(observer *o)
{
    migration_watch_close(o->watch);
    free(o);
}

static void tell_all(observer *o)
{
    migration_change items[CHANGES];
    uint64_t missed = 0, more;
    bool ended;

    while (!is_dead(o)) {
        size_t n = migration_watch_read(o->watch, items, CHANGES, &more, &ended);

        missed += more;
        if (!n && !more) /* it wakes us when there is more */
            break;
        for (size_t i = 0; i < n && !is_dead(o); i++, missed = 0)
            tell(o, &items[i], missed);
    }
}

/* On the callback thread. */
static void look(callback *call)
{
    observer *o = (observer *)call;
    migration_observers *of = o->of;
    const observer *before = running_here;
    bool gone;

    running_here = o;
    tell_all(o);
    running_here = before;
    pthread_mutex_lock(&of->lock);
    gone = --o->pending == 0 && o->orphan;
    if (!gone)
        pthread_cond_broadcast(&of->quiet);
    pthread_mutex_unlock(&of->lock);
    if (!gone)
        return;
    observer_free(o);
    pthread_mutex_lock(&of->lock);
    of->orphans--;
    pthread_cond_broadcast(&of->quiet);
    pthread_mutex_unlock(&of->lock);
}

/* On the migrations' thread, or who adds it. */
static void wake(void *ctx)
{
    observer *o = ctx;

    pthread_mutex_lock(&o->of->lock);
    if (!o->dead && runtime_call_back(o->of->rt, &o->call))
        o->pending++;
    pthread_mutex_unlock(&o->of->lock);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

migration_observers *migration_observers_new(migrations *x, runtime *rt)
{
    migration_observers *o = calloc(1, sizeof *o);

    if (!o)
        return NULL;
    o->x = x;
    o->rt = rt;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->quiet, NULL);
    return o;
}

void migration_observers_free(migration_observers *o)
{
    if (!o)
        return;
    while (o->list)
        migration_observers_remove(o, o->list->id);
    pthread_mutex_lock(&o->lock);
    while (o->orphans)
        pthread_cond_wait(&o->quiet, &o->lock);
    pthread_mutex_unlock(&o->lock);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->quiet);
    free(o);
}

berth_status migration_observers_add(migration_observers *o,
                                     void (*fn)(void *ctx, const berth_migration_event *event),
                                     void *ctx, uint64_t *id, berth_error *error)
{
    observer *x = calloc(1, sizeof *x);

    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    *x = (observer){.call.run = look, .of = o, .fn = fn, .ctx = ctx};
    if (migrations_watch(o->x, NULL, wake, x, &x->watch, error) != BERTH_OK) {
        free(x);
        return BERTH_ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&o->lock);
    *id = x->id = ++o->next_id;
    x->next = o->list;
    o->list = x;
    pthread_mutex_unlock(&o->lock);
    wake(x); /* it reads once, and from then on is woken */
    return BERTH_OK;
}

void migration_observers_remove(migration_observers *o, uint64_t id)
{
    observer *x = NULL;
    bool mine;

    pthread_mutex_lock(&o->lock);
    for (observer **at = &o->list; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            x = *at;
            *at = x->next;
            break;
        }
    mine = x && running_here == x;
    if (x) {
        x->dead = true;
        x->orphan = mine;
        o->orphans += mine;
    }
    while (x && !mine && x->pending)
        pthread_cond_wait(&o->quiet, &o->lock);
    pthread_mutex_unlock(&o->lock);
    if (x && !mine)
        observer_free(x);
}

berth_status berth_observe_migrations(berth_node *node,
                                      void (*fn)(void *ctx, const berth_migration_event *event),
                                      void *ctx, uint64_t *id, berth_error *error)
{
    berth_error unread = {0};

    *id = 0;
    if (!node_observers(node))
        return fail(error, BERTH_ERR_UNSUPPORTED,
                    "this host has no mesh: give its configuration a section `mesh`");
    return migration_observers_add(node_observers(node), fn, ctx, id, error ? error : &unread);
}

void berth_unobserve_migrations(berth_node *node, uint64_t id)
{
    if (node_observers(node))
        migration_observers_remove(node_observers(node), id);
}
