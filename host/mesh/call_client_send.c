/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/call_client_private.h"

#include <stdlib.h>

#define NOTICES_MAX 1024 /* per node and kind that wait; one message */
#define NOTICES_NOW 64   /* acknowledgements that do not wait for more */

/* ---- Nodes ----------------------------------------------------------------------------------- */

peer *call_peer(call_client *c, uint64_t node)
{
    peer *p = map64_get(&c->peers, node);

    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (!p || !map64_put(&c->peers, node, p)) {
        free(p);
        return NULL;
    }
    p->node = node;
    /* Above all that this node was asked before it was forgotten here. */
    p->next_number = c->highest + 1;
    call_list_init(&p->sent);
    call_list_init(&p->waiting);
    return p;
}

static void peer_free(call_client *c, peer *p)
{
    heap_remove(&c->gathering, &p->timer);
    map64_del(&c->peers, p->node);
    free(p->acks.numbers);
    free(p->cancels.numbers);
    free(p);
}

void call_peer_done(call_client *c, peer *p)
{
    if (call_list_empty(&p->sent) && call_list_empty(&p->waiting) && !p->acks.count &&
        !p->cancels.count)
        peer_free(c, p);
}

static void notices_add(call_client *c, notices *n, uint64_t number)
{
    if (n->count == n->cap && n->cap < NOTICES_MAX) {
        uint32_t cap = n->cap ? 2 * n->cap : 8;
        uint64_t *numbers = realloc(n->numbers, cap * sizeof *numbers);

        if (numbers) {
            n->numbers = numbers;
            n->cap = cap;
        }
    }
    if (n->count == n->cap)
        c->stats.notices_dropped++;
    else
        n->numbers[n->count++] = number;
}

static void notices_clear(notices *n)
{
    free(n->numbers);
    *n = (notices){0};
}

void call_peer_silence(call_client *c, peer *p)
{
    p->blocked = false;
    notices_clear(&p->acks);
    notices_clear(&p->cancels);
    heap_remove(&c->gathering, &p->timer);
}

/* False: no more can be sent now. */
static bool say(call_client *c, peer *p, uint16_t kind, notices *n)
{
    berth_status status = BERTH_ERR_NO_MEMORY;
    buf *message;

    if (!n->count)
        return true;
    message = call_notice_write(kind, c->boot, n->numbers, n->count);
    if (message)
        status = c->config.send(c->config.ctx, p->node, LANE_CALL, message);
    buf_unref(message);
    p->blocked = status == BERTH_ERR_WOULD_BLOCK;
    if (status)
        return false;
    notices_clear(n);
    return true;
}

/* ---- The end of a call ----------------------------------------------------------------------- */

static void call_free(call_client *c, call *k)
{
    heap_remove(&c->deadlines, &k->timer);
    call_list_remove(&k->link);
    map64_del(&c->calls, k->id);
    c->stats.calls--;
    c->stats.bytes -= k->message->len;
    buf_unref(k->message);
    free(k);
}

void call_finish(call_client *c, call *k, call_outcome outcome)
{
    void *user = k->user;
    bool silent = k == c->beginning;

    outcome.id = k->id;
    outcome.node = k->node;
    call_free(c, k);
    if (silent)
        c->not_begun = outcome.status;
    else
        c->config.done(c->config.ctx, user, &outcome);
}

void call_finish_as(call_client *c, call *k, berth_status status, const char *text)
{
    call_finish(c, k,
                (call_outcome){.status = status,
                               .may_have_run = call_may_have_run(k),
                               .text = slice_str(text)});
}

void call_withdraw(call_client *c, call *k)
{
    if (k->peer && k->number)
        notices_add(c, &k->peer->cancels, k->number);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The message with its numbers as of now; NULL when memory is short. Who was given it before may
 * still have it: then it is another one. */
static buf *prepare(call *k, uint64_t number, int64_t now_ns)
{
    call_link *first = k->peer->sent.next;
    uint64_t open_from = number;

    if (atomic_load_explicit(&k->message->refs, memory_order_acquire) != 1) {
        buf *copy = buf_copy(k->message->data, k->message->len);

        if (!copy)
            return NULL;
        if (k->service.len)
            k->service.ptr = copy->data + (k->service.ptr - k->message->data);
        buf_unref(k->message);
        k->message = copy;
    }
    if (!call_list_empty(&k->peer->sent))
        open_from = CALL_ENTRY(first, call, link)->number;
    call_request_number(k->message, number, open_from,
                        (uint64_t)(k->deadline_ns > now_ns ? k->deadline_ns - now_ns : 0));
    if (!k->service.len)
        call_request_epoch(k->message, k->min_epoch);
    return k->message;
}

/* The first that waits. False: no more can be sent now. */
static bool send_first(call_client *c, peer *p, int64_t now_ns)
{
    call *k = CALL_ENTRY(p->waiting.next, call, link);
    uint64_t number = k->number ? k->number : p->next_number;
    buf *message = prepare(k, number, now_ns);
    berth_status status = BERTH_ERR_NOT_READY;

    if (message)
        status = c->config.send(c->config.ctx, p->node, LANE_CALL, message);
    p->blocked = status == BERTH_ERR_WOULD_BLOCK;
    switch (status) {
    case BERTH_OK:
        break;
    case BERTH_ERR_WOULD_BLOCK:
    case BERTH_ERR_NOT_READY:
    case BERTH_ERR_CANCELLED:
    case BERTH_ERR_NO_MEMORY:
        return false;
    default: /* never will be: too large for the session */
        call_finish_as(c, k, status, "the request cannot be sent");
        return true;
    }
    c->stats.sent++;
    c->stats.repeated += k->number != 0;
    if (!k->number)
        p->next_number++;
    if (c->highest < number)
        c->highest = number;
    k->number = number;
    call_list_remove(&k->link);
    call_list_append(&p->sent, &k->link);
    return true;
}

void call_flush(call_client *c, peer *p, int64_t now_ns)
{
    bool more = !p->blocked && say(c, p, MESSAGE_CALL_CANCEL, &p->cancels) &&
                say(c, p, MESSAGE_CALL_ACK, &p->acks);

    while (more && !call_list_empty(&p->waiting))
        more = send_first(c, p, now_ns);
    if (!p->acks.count)
        heap_remove(&c->gathering, &p->timer);
    call_peer_done(c, p);
}

void call_flush_node(call_client *c, uint64_t node, int64_t now_ns)
{
    peer *p = map64_get(&c->peers, node);

    if (p)
        call_flush(c, p, now_ns);
}

void call_enqueue(call *k, peer *p)
{
    k->peer = p;
    k->node = p->node;
    k->number = 0;
    call_list_append(&p->waiting, &k->link);
}

void call_acknowledge(call_client *c, uint64_t node, uint64_t number, int64_t now_ns)
{
    peer *p = call_peer(c, node);

    if (!p) {
        c->stats.notices_dropped++;
        return;
    }
    notices_add(c, &p->acks, number);
    if (p->acks.count >= NOTICES_NOW) {
        call_flush(c, p, now_ns);
    } else if (!p->timer.place) {
        p->timer.due_ns = now_ns + c->config.ack_ns;
        if (!heap_push(&c->gathering, &p->timer))
            call_flush(c, p, now_ns);
    }
}
