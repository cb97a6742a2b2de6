/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "mesh/call_server_private.h"

#include <stdlib.h>

call_server *call_server_new(const call_server_config *config)
{
    call_server *s = calloc(1, sizeof *s);
    call_server_config *mine;

    if (!s)
        return NULL;
    s->config = *config;
    mine = &s->config;
    if (!mine->max_nodes)
        mine->max_nodes = 65536;
    if (!mine->max_running)
        mine->max_running = 256;
    if (!mine->max_entries)
        mine->max_entries = 4096;
    if (!mine->total_entries)
        mine->total_entries = 65536;
    if (!mine->max_bytes)
        mine->max_bytes = 64u << 20;
    if (!mine->total_bytes)
        mine->total_bytes = 256u << 20;
    if (!mine->keep_ns)
        mine->keep_ns = INT64_C(60) * 1000 * 1000 * 1000;
    return s;
}

/* ---- Callers --------------------------------------------------------------------------------- */

static caller *caller_new(call_server *s, uint64_t node, uint64_t boot)
{
    caller *c = s->callers.count < s->config.max_nodes ? calloc(1, sizeof *c) : NULL;

    if (!c || !map64_put(&s->callers, node, c)) {
        free(c);
        return NULL;
    }
    c->node = node;
    c->boot = boot;
    call_list_init(&c->open);
    call_list_init(&c->kept);
    call_list_init(&c->unsent);
    return c;
}

static void caller_free(call_server *s, caller *c)
{
    heap_remove(&s->idle, &c->timer);
    map64_del(&s->callers, c->node);
    map64_fini(&c->entries);
    call_numbers_fini(&c->over);
    free(c->bounces);
    free(c);
}

static void withdraw(call_server *s, entry *e, call_status why)
{
    if (e->withdrawn)
        return;
    e->withdrawn = why;
    if (why == CALL_CANCELLED)
        s->stats.cancelled++;
    if (s->config.cancelled)
        s->config.cancelled(s->config.ctx, e->handle, why);
}

/* The caller neither waits for it nor needs the answer. */
static void give_up(call_server *s, entry *e)
{
    if (e->handle)
        withdraw(s, e, CALL_CANCELLED);
    else
        call_entry_end(s, e);
}

/* Nobody can be told anything any more. */
static void end_all(call_server *s, caller *c)
{
    while (!call_list_empty(&c->open)) {
        entry *e = CALL_ENTRY(c->open.next, entry, open);
        uint64_t handle = e->handle;

        call_entry_end(s, e);
        if (handle && s->config.cancelled)
            s->config.cancelled(s->config.ctx, handle, CALL_LOST);
    }
    free(c->bounces);
    c->bounces = NULL;
    c->bounce_count = c->bounce_cap = 0;
    c->blocked = false;
}

void call_server_restarted(call_server *s, uint64_t node)
{
    caller *c = map64_get(&s->callers, node);

    if (!c)
        return;
    end_all(s, c);
    caller_free(s, c);
}

void call_server_node_gone(call_server *s, uint64_t node, int64_t now_ns)
{
    caller *c = map64_get(&s->callers, node);

    if (!c)
        return;
    end_all(s, c);
    if (c->forget_ns <= now_ns)
        caller_free(s, c);
}

/* Of this node in this boot: a new one where there is none. */
static caller *caller_of(call_server *s, uint64_t node, uint64_t boot)
{
    caller *c = map64_get(&s->callers, node);

    if (c && c->boot == boot)
        return c;
    call_server_restarted(s, node);
    return caller_new(s, node, boot);
}

void call_server_up(call_server *s, uint64_t node)
{
    caller *c = map64_get(&s->callers, node);

    if (!c)
        return;
    for (call_link *l = c->kept.next; l != &c->kept; l = l->next) {
        entry *e = CALL_ENTRY(l, entry, kept);

        call_list_remove(&e->unsent);
        call_list_append(&c->unsent, &e->unsent);
    }
    call_server_room(s, node);
}

void call_server_room(call_server *s, uint64_t node)
{
    caller *c = map64_get(&s->callers, node);

    if (!c)
        return;
    c->blocked = false;
    call_server_flush(s, c);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* For the caller all below has ended. */
static void cut(call_server *s, caller *c, uint64_t open_from)
{
    for (call_link *l = c->open.next, *next; l != &c->open; l = next) {
        entry *e = CALL_ENTRY(l, entry, open);

        next = l->next;
        if (e->number >= open_from)
            break;
        give_up(s, e);
    }
    call_numbers_cut(&c->over, open_from);
}

static bool full(const call_server *s, const caller *c)
{
    return c->entries.count + c->over.count >= s->config.max_entries ||
           s->entries >= s->config.total_entries;
}

static void insert_by_number(caller *c, entry *e)
{
    call_link *before = &c->open;

    while (before->prev != &c->open && CALL_ENTRY(before->prev, entry, open)->number > e->number)
        before = before->prev;
    call_list_insert(before, &e->open);
}

/* The caller may ask again until then. */
static void remember(const call_server *s, caller *c, int64_t until_ns)
{
    int64_t forget_ns = call_later(until_ns, s->config.keep_ns);

    if (c->forget_ns < forget_ns)
        c->forget_ns = forget_ns;
}

/* NULL when there is no room, or no memory. */
static entry *entry_new(call_server *s, caller *c, const call_request *q, int64_t now_ns)
{
    bool room = !full(s, c) || (call_caller_evict(s, c) && !full(s, c));
    entry *e = room ? calloc(1, sizeof *e) : NULL;

    if (!e || !call_numbers_reserve(&c->over, c->entries.count + 1))
        goto fail;
    e->caller = c;
    e->id = q->id;
    e->number = q->number;
    e->deadline_ns = call_later(now_ns, (int64_t)q->left_ns);
    e->timer.due_ns = e->deadline_ns;
    if (!heap_push(&s->timers, &e->timer))
        goto fail;
    if (!map64_put(&c->entries, e->number, e)) {
        heap_remove(&s->timers, &e->timer);
        goto fail;
    }
    insert_by_number(c, e);
    heap_remove(&s->idle, &c->timer);
    remember(s, c, e->deadline_ns);
    s->entries++;
    return e;

fail:
    free(e);
    return NULL;
}

/* It will not be executed, as there is nothing to remember it with. A copy of it that comes when
 * there is room must not be either, as far as even that can be remembered. */
static void turn_away(call_server *s, caller *c, const call_request *q)
{
    s->stats.backpressure++;
    call_bounce(s, c, c->node, (bounce){q->id, q->number, CALL_BACKPRESSURE});
    if (c->over.count < 2 * (size_t)s->config.max_entries &&
        call_numbers_reserve(&c->over, c->entries.count + 1))
        call_numbers_add(&c->over, q->number);
}

static call_status try_execute(call_server *s, entry *e, const call_request *q, buf *hold)
{
    call_server_request r = {.handle = s->last_handle + 1,
                             .node = e->caller->node,
                             .deadline_ns = e->deadline_ns,
                             .request = q,
                             .hold = hold};
    call_status status;

    if (e->caller->running >= s->config.max_running || !map64_put(&s->handles, r.handle, e)) {
        s->stats.backpressure++;
        return CALL_BACKPRESSURE;
    }
    e->handle = ++s->last_handle;
    e->caller->running++;
    s->stats.running++;
    status = s->config.execute(s->config.ctx, &r);
    s->stats.executed += status == CALL_OK;
    return status;
}

static void execute(call_server *s, caller *c, const call_request *q, buf *hold, int64_t now_ns)
{
    entry *e = entry_new(s, c, q, now_ns);
    call_result refused = {0};

    if (!e) {
        turn_away(s, c, q);
        return;
    }
    refused.status = try_execute(s, e, q, hold);
    if (refused.status != CALL_OK)
        call_entry_conclude(s, e, &refused, NULL, now_ns);
}

static void request(call_server *s, uint64_t node, const call_request *q, buf *hold, int64_t now_ns)
{
    caller *c = caller_of(s, node, q->boot);
    bounce b = {q->id, q->number, CALL_BACKPRESSURE};
    entry *e;

    if (!c) {
        s->stats.backpressure++;
        call_bounce(s, NULL, node, b);
        return;
    }
    remember(s, c, now_ns);
    cut(s, c, q->open_from);
    e = map64_get(&c->entries, q->number);
    if (e) {
        s->stats.repeated++;
        if (!e->handle)
            call_entry_send(s, e);
    } else if (call_numbers_has(&c->over, q->number)) {
        s->stats.over++;
        b.status = CALL_OUTCOME_UNKNOWN;
        call_bounce(s, c, node, b);
    } else if (!q->left_ns) {
        s->stats.expired++;
        b.status = CALL_TIMEOUT;
        call_bounce(s, c, node, b);
    } else {
        execute(s, c, q, hold, now_ns);
    }
    call_caller_rest(s, c);
}

/* It says which call it is, and that is not being executed: then say that it was not understood. */
static void malformed(call_server *s, uint64_t node, const call_request *q)
{
    caller *c = map64_get(&s->callers, node);
    bounce b = {q->id, q->number, CALL_MALFORMED};

    if (q->id && q->number && (!c || !map64_get(&c->entries, q->number)))
        call_bounce(s, c, node, b);
}

static void notice(call_server *s, uint64_t node, const call_notice *n)
{
    caller *c = map64_get(&s->callers, node);

    if (!c || c->boot != n->boot)
        return;
    for (uint32_t i = 0; i < n->count; i++) {
        entry *e = map64_get(&c->entries, call_notice_number(n, i));

        if (!e)
            continue;
        if (n->kind == MESSAGE_CALL_CANCEL) {
            give_up(s, e);
        } else if (!e->handle) {
            s->stats.acknowledged++;
            call_entry_end(s, e);
        }
    }
}

berth_status call_server_receive(call_server *s, uint64_t node, buf *message, int64_t now_ns,
                                 berth_error *error)
{
    slice bytes = slice_of(message->data, message->len);
    berth_status status;
    call_request q;
    call_notice n;

    if (call_message_kind(bytes) == MESSAGE_CALL_REQUEST) {
        status = call_request_read(&q, bytes, error);
        if (!status)
            request(s, node, &q, message, now_ns);
        else
            malformed(s, node, &q);
    } else {
        status = call_notice_read(&n, bytes, error);
        if (!status)
            notice(s, node, &n);
    }
    s->stats.malformed += status != BERTH_OK;
    return status;
}

/* ---- Time ------------------------------------------------------------------------------------ */

int64_t call_server_deadline(const call_server *s)
{
    int64_t timers = heap_next(&s->timers), idle = heap_next(&s->idle);

    return timers < idle ? timers : idle;
}

void call_server_expire(call_server *s, int64_t now_ns)
{
    heap_node *due;

    while ((due = heap_pop_due(&s->timers, now_ns))) {
        entry *e = CALL_ENTRY(due, entry, timer);

        if (e->handle) {
            s->stats.expired++;
            withdraw(s, e, CALL_TIMEOUT);
        } else {
            s->stats.outlived++;
            call_entry_end(s, e);
        }
    }
    while ((due = heap_pop_due(&s->idle, now_ns))) {
        caller *c = CALL_ENTRY(due, caller, timer);

        if (c->forget_ns > now_ns)
            call_caller_rest(s, c);
        else
            caller_free(s, c);
    }
}

void call_server_get_stats(const call_server *s, call_server_stats *out)
{
    *out = s->stats;
    out->nodes = s->callers.count;
}

void call_server_free(call_server *s)
{
    size_t at = 0;
    uint64_t key;
    void *value;

    if (!s)
        return;
    s->config.cancelled = NULL;
    while (map64_next(&s->callers, &at, &key, &value)) {
        end_all(s, value);
        caller_free(s, value);
        at = 0; /* the map has changed */
    }
    map64_fini(&s->callers);
    map64_fini(&s->handles);
    heap_fini(&s->timers);
    heap_fini(&s->idle);
    free(s);
}
