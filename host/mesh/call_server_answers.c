/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "mesh/call_server_private.h"

#include <assert.h>
#include <stdlib.h>

#define BOUNCES_MAX 256 /* per node */

/* ---- Entries --------------------------------------------------------------------------------- */

static void drop_answer(call_server *s, entry *e)
{
    if (call_listed(&e->kept)) {
        call_list_remove(&e->kept);
        e->caller->bytes -= e->answer->len;
        s->stats.kept--;
        s->stats.kept_bytes -= e->answer->len;
    }
    call_list_remove(&e->unsent);
    buf_unref(e->answer);
    e->answer = NULL;
}

void call_caller_rest(call_server *s, caller *c)
{
    if (c->entries.count || c->timer.place)
        return;
    c->timer.due_ns = c->forget_ns;
    /* Without memory for this it stays until the node calls again, or is gone. */
    heap_push(&s->idle, &c->timer);
}

void call_entry_end(call_server *s, entry *e)
{
    caller *c = e->caller;

    call_numbers_add(&c->over, e->number);
    drop_answer(s, e);
    if (e->handle) {
        map64_del(&s->handles, e->handle);
        c->running--;
        s->stats.running--;
    }
    heap_remove(&s->timers, &e->timer);
    call_list_remove(&e->open);
    map64_del(&c->entries, e->number);
    s->entries--;
    free(e);
    call_caller_rest(s, c);
}

bool call_caller_evict(call_server *s, caller *c)
{
    entry *e;

    if (call_list_empty(&c->kept))
        return false;
    e = CALL_ENTRY(c->kept.next, entry, kept);
    s->stats.evicted++;
    if (call_listed(&e->unsent)) {
        bounce b = {e->id, e->number, CALL_OUTCOME_UNKNOWN};

        call_entry_end(s, e);
        call_bounce(s, c, c->node, b);
    } else {
        call_entry_end(s, e);
    }
    return true;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static berth_status send_message(call_server *s, uint64_t node, caller *c, buf *message)
{
    berth_status status =
        message ? s->config.send(s->config.ctx, node, LANE_CALL, message) : BERTH_ERR_NO_MEMORY;

    if (c)
        c->blocked = status == BERTH_ERR_WOULD_BLOCK;
    return status;
}

static berth_status send_bounce(call_server *s, uint64_t node, caller *c, const bounce *b)
{
    call_response r = {.id = b->id, .number = b->number, .result = {.status = b->status}};
    buf *message = NULL;
    berth_status status;

    call_response_write(&r, NULL, &message, NULL);
    status = send_message(s, node, c, message);
    buf_unref(message);
    return status;
}

static bool bounce_later(caller *c, bounce b)
{
    if (c->bounce_count == c->bounce_cap) {
        uint32_t cap = c->bounce_cap ? 2 * c->bounce_cap : 8;
        bounce *bounces = cap > BOUNCES_MAX ? NULL : realloc(c->bounces, cap * sizeof *bounces);

        if (!bounces)
            return false;
        c->bounces = bounces;
        c->bounce_cap = cap;
    }
    c->bounces[c->bounce_count++] = b;
    return true;
}

void call_bounce(call_server *s, caller *c, uint64_t node, bounce b)
{
    berth_status status = BERTH_ERR_WOULD_BLOCK;

    if (!c || !c->blocked)
        status = send_bounce(s, node, c, &b);
    /* Without a session it will be asked again. */
    if (status == BERTH_ERR_WOULD_BLOCK && (!c || !bounce_later(c, b)))
        s->stats.answers_dropped++;
}

void call_entry_send(call_server *s, entry *e)
{
    caller *c = e->caller;
    berth_status status = BERTH_ERR_WOULD_BLOCK;

    if (!c->blocked)
        status = send_message(s, c->node, c, e->answer);
    if (status == BERTH_ERR_WOULD_BLOCK) {
        if (!call_listed(&e->unsent))
            call_list_append(&c->unsent, &e->unsent);
        return;
    }
    /* Sent; or without a session, and then call_server_up sends it. */
    call_list_remove(&e->unsent);
    if (!call_listed(&e->kept))
        call_entry_end(s, e);
}

void call_server_flush(call_server *s, caller *c)
{
    uint32_t sent = 0;

    while (!c->blocked && !call_list_empty(&c->unsent))
        call_entry_send(s, CALL_ENTRY(c->unsent.next, entry, unsent));
    while (!c->blocked && sent < c->bounce_count)
        if (send_bounce(s, c->node, c, &c->bounces[sent]) != BERTH_ERR_WOULD_BLOCK)
            sent++;
    c->bounce_count -= sent;
    if (c->bounce_count) {
        memmove(c->bounces, c->bounces + sent, c->bounce_count * sizeof *c->bounces);
    } else {
        free(c->bounces);
        c->bounces = NULL;
        c->bounce_cap = 0;
    }
}

/* ---- What became of it ----------------------------------------------------------------------- */

/* The same outcome without what cannot be written. */
static berth_status write_without(call_response *r, berth_status why, const berth_error *error,
                                  buf **out)
{
    r->result.status = why == BERTH_ERR_LIMIT ? CALL_LIMIT : CALL_INTERNAL;
    r->result.text = slice_str(error->text);
    r->result.failure_count = r->result.output_count = 0;
    return call_response_write(r, NULL, out, NULL);
}

static berth_status write_answer(const entry *e, const call_result *result,
                                 const call_output *outputs, bool kept, buf **out)
{
    call_response r = {.id = e->id, .number = e->number, .kept = kept, .result = *result};
    berth_error error = {0};
    berth_status status;

    if (e->withdrawn && r.result.status == CALL_OK) {
        r.result.status = e->withdrawn;
        r.result.text = slice_of(NULL, 0);
        r.result.output_count = 0;
    }
    status = call_response_write(&r, outputs, out, &error);
    return status ? write_without(&r, status, &error, out) : status;
}

/* Send the answer, and keep it until it is acknowledged, in place of older ones. */
static void send_and_keep(call_server *s, entry *e)
{
    caller *c = e->caller;

    call_list_append(&c->kept, &e->kept);
    c->bytes += e->answer->len;
    s->stats.kept++;
    s->stats.kept_bytes += e->answer->len;
    call_list_append(&c->unsent, &e->unsent);
    call_server_flush(s, c);
    while (c->bytes > s->config.max_bytes && c->kept.next != &e->kept)
        call_caller_evict(s, c);
    /* What others keep is theirs: here this one itself may have to go. */
    while (s->stats.kept_bytes > s->config.total_bytes && call_caller_evict(s, c))
        continue;
}

void call_entry_conclude(call_server *s, entry *e, const call_result *result,
                         const call_output *outputs, int64_t now_ns)
{
    bool kept = e->number >= e->caller->over.base; /* else the caller has ended it */

    if (e->handle) {
        map64_del(&s->handles, e->handle);
        e->handle = 0;
        e->caller->running--;
        s->stats.running--;
    }
    s->stats.refused += !call_status_ran(result->status);
    heap_remove(&s->timers, &e->timer);
    if (write_answer(e, result, outputs, kept, &e->answer) != BERTH_OK) {
        call_entry_end(s, e); /* without memory: who asks again learns that it is over */
        return;
    }
    e->timer.due_ns = call_later(e->deadline_ns, s->config.keep_ns);
    if (e->timer.due_ns < now_ns)
        e->timer.due_ns = now_ns;
    if (kept && heap_push(&s->timers, &e->timer))
        send_and_keep(s, e);
    else
        call_entry_send(s, e);
}

berth_status call_answer(call_server *s, uint64_t handle, const call_result *result,
                         const call_output *outputs, int64_t now_ns)
{
    entry *e = map64_get(&s->handles, handle);

    if (!e) {
        s->stats.late++;
        return BERTH_ERR_NOT_FOUND;
    }
    s->stats.answered++;
    call_entry_conclude(s, e, result, outputs, now_ns);
    return BERTH_OK;
}
