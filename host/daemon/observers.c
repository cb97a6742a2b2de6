/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/observers.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct observer {
    struct observer *next;
    uint64_t id;
    uint64_t origin; /* of a delivery observer */
    void (*lifecycle)(void *ctx, const berth_lifecycle_event *event);
    void (*delivery)(void *ctx, uint64_t origin, const berth_event *event);
    void *ctx;
    unsigned running, refs;
    bool dead;
} observer;

/* The observer that this thread is running: it may unobserve itself. */
static _Thread_local const observer *running_here;

void observers_init(observers *o)
{
    memset(o, 0, sizeof(*o));
    o->log = log_get_capture();
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->work, NULL);
    pthread_cond_init(&o->quiet, NULL);
}

static void *callback_thread(void *arg)
{
    observers *o = arg;
    dispatcher_enter(true);
    log_set_capture(o->log);
    pthread_mutex_lock(&o->lock);
    for (;;) {
        callback *c = o->head;
        if (!c) {
            if (o->stop)
                break;
            pthread_cond_wait(&o->work, &o->lock);
            continue;
        }
        o->head = c->next;
        if (!o->head)
            o->tail = NULL;
        pthread_mutex_unlock(&o->lock);
        c->run(c);
        pthread_mutex_lock(&o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* Under the lock. */
static bool ensure_thread(observers *o)
{
    if (o->started)
        return true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    o->started = pthread_create(&o->thread, NULL, callback_thread, o) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (o->started)
        pthread_setname_np(o->thread, "berth-callback");
    return o->started;
}

bool observers_call(observers *o, callback *c)
{
    c->next = NULL;
    pthread_mutex_lock(&o->lock);
    bool ok = !o->stop && ensure_thread(o);
    if (ok) {
        if (o->tail)
            o->tail->next = c;
        else
            o->head = c;
        o->tail = c;
        pthread_cond_signal(&o->work);
    }
    pthread_mutex_unlock(&o->lock);
    return ok;
}

/* Under the lock. */
static void put(observers *o, observer *x)
{
    if (--x->refs == 0)
        free(x);
    (void)o;
}

void observers_fini(observers *o)
{
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_signal(&o->work);
    bool started = o->started;
    pthread_mutex_unlock(&o->lock);
    if (started)
        pthread_join(o->thread, NULL);
    while (o->list) {
        observer *x = o->list;
        o->list = x->next;
        put(o, x);
    }
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->work);
    pthread_cond_destroy(&o->quiet);
}

static uint64_t add(observers *o, observer *x)
{
    pthread_mutex_lock(&o->lock);
    x->id = ++o->next_id;
    x->refs = 1;
    observer **at = &o->list;
    while (*at)
        at = &(*at)->next;
    *at = x;
    atomic_fetch_add(x->lifecycle ? &o->lifecycle : &o->delivery, 1);
    uint64_t id = x->id;
    pthread_mutex_unlock(&o->lock);
    return id;
}

uint64_t observers_add_lifecycle(observers *o, void (*fn)(void *, const berth_lifecycle_event *),
                                 void *ctx)
{
    observer *x = calloc(1, sizeof(*x));
    if (!x)
        return 0;
    x->lifecycle = fn;
    x->ctx = ctx;
    return add(o, x);
}

uint64_t observers_add_delivery(observers *o, uint64_t origin,
                                void (*fn)(void *, uint64_t, const berth_event *), void *ctx)
{
    observer *x = calloc(1, sizeof(*x));
    if (!x)
        return 0;
    x->delivery = fn;
    x->origin = origin;
    x->ctx = ctx;
    return add(o, x);
}

uint64_t observers_remove(observers *o, uint64_t id)
{
    uint64_t origin = 0;
    pthread_mutex_lock(&o->lock);
    observer *x = NULL;
    for (observer **at = &o->list; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            x = *at;
            *at = x->next;
            break;
        }
    if (x) {
        origin = x->delivery ? x->origin : 0;
        atomic_fetch_sub(x->lifecycle ? &o->lifecycle : &o->delivery, 1);
        x->dead = true;
        unsigned mine = running_here == x;
        while (x->running > mine)
            pthread_cond_wait(&o->quiet, &o->lock);
        put(o, x);
    }
    pthread_mutex_unlock(&o->lock);
    return origin;
}

void observers_refresh(observers *o, struct daemon *d)
{
    if (!atomic_load(&o->delivery) && !atomic_load(&d->observed))
        return;
    bool any = false;
    pthread_mutex_lock(&o->lock);
    for (const observer *x = o->list; x && !any; x = x->next)
        any = x->delivery && x->origin == d->origin;
    atomic_store(&d->observed, any);
    pthread_mutex_unlock(&o->lock);
}

/* Call each observer that matches, in order of registration, without the lock. */
static void notify(observers *o, uint64_t origin, const berth_lifecycle_event *life,
                   const berth_event *event)
{
    uint64_t after = 0;
    pthread_mutex_lock(&o->lock);
    for (;;) {
        observer *x = o->list;
        while (x &&
               (x->id <= after || (life ? !x->lifecycle : !x->delivery || x->origin != origin)))
            x = x->next;
        if (!x)
            break;
        after = x->id;
        x->refs++;
        x->running++;
        pthread_mutex_unlock(&o->lock);
        const observer *before = running_here;
        running_here = x;
        if (life)
            x->lifecycle(x->ctx, life);
        else
            x->delivery(x->ctx, origin, event);
        running_here = before;
        pthread_mutex_lock(&o->lock);
        x->running--;
        if (x->dead)
            pthread_cond_broadcast(&o->quiet);
        put(o, x);
    }
    pthread_mutex_unlock(&o->lock);
}

void observers_delivered(observers *o, uint64_t origin, const berth_event *event)
{
    notify(o, origin, NULL, event);
}

typedef struct told {
    callback base;
    observers *o;
    berth_lifecycle_event event;
    char strings[];
} told;

static void tell(callback *c)
{
    told *t = (told *)c;
    notify(t->o, 0, &t->event, NULL);
    free(t);
}

void observers_tell(observers *o, berth_lifecycle_type type, struct daemon *d, uint32_t value,
                    const char *text)
{
    if (!atomic_load_explicit(&o->lifecycle, memory_order_relaxed))
        return;
    const char *kind = daemon_kind_name(d);
    size_t name_len = strlen(d->name) + 1, kind_len = strlen(kind) + 1, text_len = strlen(text) + 1;
    told *t = calloc(1, sizeof(*t) + name_len + kind_len + text_len);
    if (!t)
        return;
    t->base.run = tell;
    t->o = o;
    t->event = (berth_lifecycle_event){
        .type = type, .value = value, .origin = d->origin, .mono_ns = clock_mono_ns()};
    t->event.name = memcpy(t->strings, d->name, name_len);
    t->event.kind = memcpy(t->strings + name_len, kind, kind_len);
    t->event.text = memcpy(t->strings + name_len + kind_len, text, text_len);
    if (!observers_call(o, &t->base))
        free(t);
}
