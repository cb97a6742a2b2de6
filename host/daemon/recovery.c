/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/recovery.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    struct entry *next;
    uint64_t id;
    recovery_handler *fn;
    void *ctx;
    char name[];
} entry;

struct recovery {
    pthread_mutex_t lock;
    entry *list;    /* in order; empty during a run but for newcomers */
    entry *running; /* the list of a run that is going on */
    size_t count;
    uint64_t next_id;
};

recovery *recovery_new(void)
{
    recovery *r = calloc(1, sizeof(*r));
    if (r)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void free_list(entry *e)
{
    while (e) {
        entry *next = e->next;
        free(e);
        e = next;
    }
}

void recovery_free(recovery *r)
{
    if (!r)
        return;
    free_list(r->list);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Under the lock. */
static void append(entry **list, entry *e)
{
    while (*list)
        list = &(*list)->next;
    *list = e;
}

uint64_t recovery_register(recovery *r, const char *name, recovery_handler *fn, void *ctx,
                           size_t *count)
{
    size_t len = strlen(name) + 1;
    entry *e = calloc(1, sizeof(*e) + len);
    if (!e)
        return 0;
    memcpy(e->name, name, len);
    e->fn = fn;
    e->ctx = ctx;
    pthread_mutex_lock(&r->lock);
    uint64_t id = e->id = ++r->next_id;
    append(&r->list, e);
    r->count++;
    if (count)
        *count = r->count;
    pthread_mutex_unlock(&r->lock);
    return id;
}

bool recovery_unregister(recovery *r, uint64_t id)
{
    entry *found = NULL;
    bool there = false;
    pthread_mutex_lock(&r->lock);
    for (entry **at = &r->list; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            found = *at;
            *at = found->next;
            r->count--;
            there = true;
            break;
        }
    for (entry *e = r->running; e && !there; e = e->next)
        if (e->id == id) {
            e->fn = NULL; /* the run drops it */
            there = true;
        }
    pthread_mutex_unlock(&r->lock);
    free(found);
    return there;
}

size_t recovery_count(recovery *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

typedef struct tally {
    recovery_report *report;
    void *ctx;
    size_t slots;
} tally;

static void pass_on(void *ctx, const char *name, uint8_t slot)
{
    tally *t = ctx;
    t->slots++;
    if (t->report)
        t->report(t->ctx, name, slot);
}

size_t recovery_run(recovery *r, recovery_report *report, void *ctx)
{
    tally t = {report, ctx, 0};
    pthread_mutex_lock(&r->lock);
    if (r->running) {
        pthread_mutex_unlock(&r->lock);
        return 0;
    }
    r->running = r->list;
    r->list = NULL;
    r->count = 0;
    for (entry *e = r->running; e; e = e->next) {
        recovery_handler *fn = e->fn;
        void *handler_ctx = e->ctx;
        if (!fn)
            continue;
        pthread_mutex_unlock(&r->lock);
        berth_status status = fn(handler_ctx, pass_on, &t);
        pthread_mutex_lock(&r->lock);
        if (status != BERTH_OK) {
            e->fn = NULL;
            log_warn("daemon", "recovery handler '%s' failed and is taken out: %s", e->name,
                     berth_status_text(status));
        }
    }
    /* Survivors first, then those who came meanwhile. */
    entry *newcomers = r->list, *e = r->running;
    r->list = r->running = NULL;
    while (e) {
        entry *next = e->next;
        e->next = NULL;
        if (e->fn) {
            append(&r->list, e);
            r->count++;
        } else {
            free(e);
        }
        e = next;
    }
    append(&r->list, newcomers);
    pthread_mutex_unlock(&r->lock);
    return t.slots;
}
