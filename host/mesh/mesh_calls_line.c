/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of batches on their way to daemons, and what is handed in to them. */
#include "mesh/mesh_calls.h"

#include "base/error.h"

#include <stdlib.h>

#define CALLS_MAX   1024        /* batches under way, or looking for their daemon */
#define CALLS_BYTES (64u << 20) /* of their events */

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Under calls_lock. */
void line_done(mesh *m, calls_line *l)
{
    if (l->head || l->due || l->pinned)
        return;
    m->calls_searching -= l->until_ns != 0;
    map64_del(&m->calls_lines, l->origin);
    free(l);
}

/* Under calls_lock. True: calls_post follows, once that is let go. */
bool line_due(mesh *m, calls_line *l)
{
    bool first = !m->calls_posted;

    if (!l->due) {
        l->due = true;
        l->due_next = m->calls_due;
        m->calls_due = l;
    }
    m->calls_posted = true;
    return first;
}

/* Under calls_lock. */
calls_line *line_of(mesh *m, uint64_t origin)
{
    calls_line *l = map64_get(&m->calls_lines, origin);

    if (l)
        return l;
    l = calloc(1, sizeof *l);
    if (!l || !map64_put(&m->calls_lines, origin, l)) {
        free(l);
        return NULL;
    }
    l->origin = origin;
    return l;
}

/* Under calls_lock: before that one, or last. */
static void line_put(calls_line *l, struct outcall *c, struct outcall *before)
{
    c->line = l;
    c->next = before;
    c->prev = before ? before->prev : l->tail;
    *(c->prev ? &c->prev->next : &l->head) = c;
    *(before ? &before->prev : &l->tail) = c;
    l->count++;
}

/* Under calls_lock. */
static void line_take(calls_line *l, struct outcall *c)
{
    *(c->prev ? &c->prev->next : &l->head) = c->next;
    *(c->next ? &c->next->prev : &l->tail) = c->prev;
    l->count--;
    l->asked -= c->asked;
}

void line_search(mesh *m, calls_line *l, int64_t until_ns)
{
    m->calls_searching += (until_ns != 0) - (l->until_ns != 0);
    l->until_ns = until_ns;
}

static void calls_task(mesh *m, mesh_task *t, bool closed);

void calls_post(mesh *m)
{
    m->calls_task.run = calls_task;
    mesh_post(m, &m->calls_task);
}

/* Under calls_lock. */
static bool has_room(const mesh *m, uint64_t bytes)
{
    return !m->calls_open || (m->calls_open < CALLS_MAX && m->calls_bytes + bytes <= CALLS_BYTES);
}

void outcall_drop(mesh *m, struct outcall *c)
{
    calls_line *l = c->line;
    bool post = false;
    waiter *list;

    pthread_mutex_lock(&m->calls_lock);
    line_take(l, c);
    if (l->count > l->asked && !l->pinned)
        post = line_due(m, l);
    line_done(m, l);
    m->calls_open--;
    m->calls_bytes -= c->bytes;
    list = m->calls_waiting;
    m->calls_waiting = NULL;
    pthread_mutex_unlock(&m->calls_lock);
    free(c);
    if (post)
        calls_post(m);
    while (list) {
        waiter *w = list;

        list = w->next;
        w->wake(w->ctx);
        free(w);
    }
}

calls_line *line_next_due(mesh *m)
{
    calls_line *l;

    pthread_mutex_lock(&m->calls_lock);
    l = m->calls_due;
    if (l) {
        m->calls_due = l->due_next;
        l->due = false;
        l->pinned = true;
    }
    pthread_mutex_unlock(&m->calls_lock);
    return l;
}

void outcall_tell(batch *b)
{
    b->at = b->count;
    if (b->done)
        b->done(b->ctx, b);
    else
        batch_free(b);
}

/* Under calls_lock. */
static struct outcall *one_of_all(mesh *m)
{
    void *value;

    for (size_t at = 0; map64_next(&m->calls_lines, &at, NULL, &value);)
        if (((calls_line *)value)->head)
            return ((calls_line *)value)->head;
    return NULL;
}

struct outcall *calls_any(mesh *m)
{
    struct outcall *c;

    pthread_mutex_lock(&m->calls_lock);
    c = one_of_all(m);
    pthread_mutex_unlock(&m->calls_lock);
    return c;
}

/* The mesh has ended, and this is any thread: what came too late. */
static void refuse_all(mesh *m)
{
    for (;;) {
        struct outcall *c;

        pthread_mutex_lock(&m->calls_lock);
        c = one_of_all(m);
        if (c) {
            line_take(c->line, c);
            m->calls_open--;
            m->calls_bytes -= c->bytes;
        }
        pthread_mutex_unlock(&m->calls_lock);
        if (!c)
            return;
        for (uint32_t i = 0; i < c->b->count; i++)
            batch_fail(c->b, i, BERTH_ERR_SHUTTING_DOWN, NULL, 0);
        outcall_tell(c->b);
        free(c);
    }
}

static void calls_task(mesh *m, mesh_task *t, bool closed)
{
    (void)t;
    pthread_mutex_lock(&m->calls_lock);
    m->calls_posted = false;
    pthread_mutex_unlock(&m->calls_lock);
    if (closed)
        refuse_all(m);
    else
        calls_look(m);
}

/* ---- What is handed in ------------------------------------------------------------------------
 */

static struct outcall *outcall_new(uint64_t bytes, batch *b)
{
    struct outcall *c = calloc(1, sizeof *c);

    if (c)
        *c = (struct outcall){.user = {outcall_done, outcall_moved}, .b = b, .bytes = bytes};
    return c;
}

/* Under calls_lock. False: out of memory. */
static bool wait_for_room(mesh *m, void (*credit)(void *), void *ctx)
{
    waiter *w = malloc(sizeof *w);

    if (!w)
        return false;
    *w = (waiter){m->calls_waiting, credit, ctx};
    m->calls_waiting = w;
    return true;
}

/* route.submit: any thread. */
berth_status calls_submit(void *ctx, uint64_t origin, batch *b, void (*credit)(void *),
                          void *credit_ctx, berth_error *error)
{
    mesh *m = ctx;
    struct outcall *c = outcall_new(b->bytes, b);
    berth_status status = BERTH_ERR_NO_MEMORY;
    bool post = false;
    calls_line *l;

    pthread_mutex_lock(&m->calls_lock);
    if (c && !has_room(m, b->bytes)) {
        if (!credit || wait_for_room(m, credit, credit_ctx))
            status = BERTH_ERR_WOULD_BLOCK;
    } else if (c && (l = line_of(m, origin))) {
        status = BERTH_OK;
        m->calls_open++;
        m->calls_bytes += c->bytes;
        line_put(l, c, NULL);
        post = line_due(m, l);
    }
    pthread_mutex_unlock(&m->calls_lock);
    if (post)
        calls_post(m);
    if (status == BERTH_OK)
        return BERTH_OK;
    free(c);
    return status == BERTH_ERR_WOULD_BLOCK
               ? fail(error, status, "too much is on its way to other nodes already")
               : fail(error, status, "out of memory");
}

/* route.follow: any thread. */
void calls_follow(void *ctx, uint64_t origin, batch *list)
{
    mesh *m = ctx;
    batch *refused = NULL;
    bool post = false;
    struct outcall *before;
    calls_line *l;

    pthread_mutex_lock(&m->calls_lock);
    l = line_of(m, origin);
    before = l ? l->head : NULL;
    while (list) {
        batch *b = list;
        struct outcall *c = l ? outcall_new(b->bytes, b) : NULL;

        list = b->next;
        b->next = c ? NULL : refused;
        if (c) {
            m->calls_open++;
            m->calls_bytes += c->bytes;
            line_put(l, c, before);
        } else {
            refused = b;
        }
    }
    if (l)
        post = line_due(m, l);
    pthread_mutex_unlock(&m->calls_lock);
    if (post)
        calls_post(m);
    while (refused) {
        batch *b = refused;

        refused = b->next;
        b->next = NULL;
        for (uint32_t i = 0; i < b->count; i++)
            batch_fail(b, i, BERTH_ERR_CANCELLED, NULL, 0);
        outcall_tell(b);
    }
}

/* route.behind: any thread. */
bool calls_behind(void *ctx, uint64_t origin)
{
    mesh *m = ctx;
    const calls_line *l;
    bool open;

    if (!atomic_load_explicit(&m->calls_open, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&m->calls_lock);
    l = map64_get(&m->calls_lines, origin);
    open = l && l->head;
    pthread_mutex_unlock(&m->calls_lock);
    return open;
}

void calls_fini(mesh *m)
{
    void *value;

    for (size_t at = 0; map64_next(&m->calls_lines, &at, NULL, &value);)
        free(value);
    map64_fini(&m->calls_lines);
}
