/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/random.h"
#include "mesh/call_client_private.h"

#include <inttypes.h>
#include <stdlib.h>

#define ANEW_MAX 3 /* times that a call with a source begins again */

static void system_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    random_bytes(out, len);
}

static uint64_t draw(call_client *c)
{
    uint64_t id;

    do
        c->config.random(c->config.ctx, &id, sizeof id);
    while (!id);
    return id;
}

call_client *call_client_new(const call_client_config *config)
{
    call_client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->config = *config;
    if (!c->config.random)
        c->config.random = system_random;
    if (!c->config.max_calls)
        c->config.max_calls = 16384;
    if (!c->config.max_bytes)
        c->config.max_bytes = 256u << 20;
    if (!c->config.ack_ns)
        c->config.ack_ns = 10 * 1000 * 1000;
    c->boot = draw(c);
    return c;
}

/* ---- Begin, cancel, redirect ----------------------------------------------------------------- */

static berth_status check(const call_client *c, const call_spec *spec, berth_error *error)
{
    if (spec->deadline_ns <= 0 || spec->deadline_ns > CALL_DEADLINE_MAX)
        return fail(error, BERTH_ERR_INVALID,
                    "call: a deadline in %" PRId64 " ns; give one above 0, within 24 hours",
                    spec->deadline_ns);
    if (c->stats.calls >= c->config.max_calls)
        return fail(error, BERTH_ERR_WOULD_BLOCK, "call: %u are open; wait for some to end",
                    c->config.max_calls);
    return BERTH_OK;
}

static berth_status encode(const call_client *c, const call_spec *spec, call *k, buf **out,
                           berth_error *error)
{
    call_request request = {.id = k->id,
                            .boot = c->boot,
                            .number = 1, /* these three are set when it is sent */
                            .open_from = 1,
                            .left_ns = (uint64_t)spec->deadline_ns,
                            .want_outputs = spec->want_outputs,
                            .is_service = spec->service.len > 0,
                            .origin = spec->origin,
                            .min_epoch = spec->min_epoch,
                            .service = spec->service,
                            .source = spec->source,
                            .source_seq = spec->source_seq,
                            .count = spec->count};
    berth_status status = call_request_write(&request, spec->events, out, error);

    if (!status && c->stats.calls && c->stats.bytes + (*out)->len > c->config.max_bytes) {
        buf_unref(*out);
        *out = NULL;
        return fail(error, BERTH_ERR_WOULD_BLOCK,
                    "call: the open ones have %" PRIu64 " bytes; wait for some to end",
                    c->stats.bytes);
    }
    return status;
}

/* Enter it everywhere, or nowhere. */
static bool enter(call_client *c, call *k)
{
    peer *p = call_peer(c, k->node);

    if (!p)
        return false;
    k->timer.due_ns = k->deadline_ns;
    if (heap_push(&c->deadlines, &k->timer)) {
        if (map64_put(&c->calls, k->id, k)) {
            call_enqueue(k, p);
            return true;
        }
        heap_remove(&c->deadlines, &k->timer);
    }
    call_peer_done(c, p);
    return false;
}

berth_status call_begin(call_client *c, const call_spec *spec, int64_t now_ns, uint64_t *id,
                        berth_error *error)
{
    berth_status status = check(c, spec, error);
    call_request mine;
    call *k;

    if (status)
        return status;
    k = calloc(1, sizeof *k);
    if (!k)
        return fail(error, BERTH_ERR_NO_MEMORY, "call: out of memory");
    do
        k->id = draw(c);
    while (map64_get(&c->calls, k->id));
    status = encode(c, spec, k, &k->message, error);
    if (status) {
        free(k);
        return status;
    }
    call_request_read(&mine, slice_of(k->message->data, k->message->len), NULL);
    k->service = mine.service;
    k->node = spec->node;
    k->origin = spec->origin;
    k->min_epoch = spec->min_epoch;
    k->has_source = spec->source.len > 0;
    k->deadline_ns =
        spec->deadline_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + spec->deadline_ns;
    k->user = spec->user;
    if (!enter(c, k)) {
        buf_unref(k->message);
        free(k);
        return fail(error, BERTH_ERR_NO_MEMORY, "call: out of memory");
    }
    c->stats.calls++;
    c->stats.bytes += k->message->len;
    c->stats.begun++;
    *id = k->id;
    c->beginning = k;
    c->not_begun = BERTH_OK;
    call_flush(c, k->peer, now_ns);
    c->beginning = NULL;
    if (!c->not_begun)
        return BERTH_OK;
    c->stats.begun--;
    return fail(error, c->not_begun, "call: the request cannot be sent: %s",
                berth_status_text(c->not_begun));
}

berth_status call_cancel(call_client *c, uint64_t id, int64_t now_ns)
{
    call *k = map64_get(&c->calls, id);
    uint64_t node;

    if (!k)
        return BERTH_ERR_NOT_FOUND;
    node = k->node;
    call_withdraw(c, k);
    c->stats.cancelled++;
    call_finish_as(c, k, BERTH_ERR_CANCELLED, "cancelled by the caller");
    call_flush_node(c, node, now_ns);
    return BERTH_OK;
}

berth_status call_redirect(call_client *c, uint64_t id, uint64_t node, uint64_t min_epoch,
                           int64_t now_ns)
{
    call *k = map64_get(&c->calls, id);
    peer *before, *p;

    if (!k)
        return BERTH_ERR_NOT_FOUND;
    if (k->number && !k->has_source)
        return BERTH_ERR_BUSY;
    p = call_peer(c, node);
    if (!p)
        return BERTH_ERR_NO_MEMORY;
    before = k->peer;
    call_withdraw(c, k);
    k->ran_elsewhere |= k->number != 0;
    k->min_epoch = min_epoch;
    call_list_remove(&k->link);
    call_enqueue(k, p);
    c->stats.redirected++;
    if (before && before != p)
        call_flush(c, before, now_ns);
    call_flush(c, p, now_ns);
    return BERTH_OK;
}

/* Nothing runs on the node it was sent to. Asks for another one, or ends it. */
static void offer(call_client *c, call *k, bool gone, call_status why, berth_status status,
                  slice text, const call_result *result, buf *hold)
{
    call_moved moved = {.id = k->id,
                        .node = k->node,
                        .gone = gone,
                        .status = why,
                        .is_service = k->service.len > 0,
                        .origin = k->origin,
                        .min_epoch = k->min_epoch,
                        .service = k->service};

    c->stats.moved++;
    k->number = 0;
    k->peer = NULL;
    call_list_remove(&k->link);
    if (c->config.moved && c->config.moved(c->config.ctx, k->user, &moved))
        return;
    c->stats.no_route += gone;
    call_finish(c, k,
                (call_outcome){.status = status,
                               .may_have_run = k->ran_elsewhere,
                               .text = text,
                               .result = result,
                               .hold = hold});
}

/* ---- What becomes of sessions ---------------------------------------------------------------- */

void call_client_up(call_client *c, uint64_t node, int64_t now_ns)
{
    peer *p = map64_get(&c->peers, node);

    if (!p)
        return;
    call_list_prepend_all(&p->waiting, &p->sent);
    p->blocked = false;
    call_flush(c, p, now_ns);
}

void call_client_room(call_client *c, uint64_t node, int64_t now_ns)
{
    peer *p = map64_get(&c->peers, node);

    if (!p)
        return;
    p->blocked = false;
    call_flush(c, p, now_ns);
}

/* What was asked, and cannot be asked again, has ended. */
static void end_in_doubt(call_client *c, call_link *list, const char *text)
{
    for (call_link *l = list->next, *next; l != list; l = next) {
        call *k = CALL_ENTRY(l, call, link);

        next = l->next;
        if (!k->number)
            continue;
        k->ran_elsewhere = true;
        if (k->has_source)
            continue;
        c->stats.unknown_outcomes++;
        call_finish_as(c, k, BERTH_ERR_OUTCOME_UNKNOWN, text);
    }
}

/* The node knows nothing of what it was asked, or never will. */
static peer *lose(call_client *c, uint64_t node, const char *text)
{
    peer *p = map64_get(&c->peers, node);

    if (!p)
        return NULL;
    call_peer_silence(c, p);
    end_in_doubt(c, &p->sent, text);
    end_in_doubt(c, &p->waiting, text);
    return p;
}

void call_client_restarted(call_client *c, uint64_t node)
{
    peer *p = lose(c, node, "the node has restarted; whether it was executed cannot be known");

    if (!p)
        return;
    call_list_prepend_all(&p->waiting, &p->sent);
    call_peer_done(c, p);
}

static void offer_all(call_client *c, call_link *list)
{
    while (!call_list_empty(list)) {
        call *k = CALL_ENTRY(list->next, call, link);

        offer(c, k, true, CALL_LOST, BERTH_ERR_LOST, slice_str("the node is gone"), NULL, NULL);
    }
}

void call_client_gone(call_client *c, uint64_t node)
{
    peer *p = lose(c, node, "the node is gone; whether it was executed cannot be known");

    if (!p)
        return;
    offer_all(c, &p->sent);
    offer_all(c, &p->waiting);
    call_peer_done(c, p);
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* The node remembers that it is over, but not how; the daemon does. */
static void begin_anew(call_client *c, call *k, int64_t now_ns)
{
    peer *p = k->peer;

    k->anew++;
    k->ran_elsewhere = true;
    call_list_remove(&k->link);
    call_enqueue(k, p);
    call_flush(c, p, now_ns);
}

static void answered(call_client *c, call *k, const call_response *r, buf *message)
{
    const call_result *result = &r->result;
    slice text = result->text.len ? result->text : slice_str(call_status_text(result->status));
    berth_status status = call_status_here(result->status);

    c->stats.answered++;
    if (result->status == CALL_NOT_HERE || result->status == CALL_UNKNOWN_SERVICE) {
        offer(c, k, false, result->status, status, text, result, message);
        return;
    }
    if (result->status == CALL_OUTCOME_UNKNOWN)
        c->stats.unknown_outcomes++;
    call_finish(c, k,
                (call_outcome){.status = status,
                               .may_have_run = k->ran_elsewhere || call_status_ran(result->status),
                               .text = text,
                               .result = result,
                               .hold = message});
}

berth_status call_client_receive(call_client *c, uint64_t node, buf *message, int64_t now_ns,
                                 berth_error *error)
{
    call_response r;
    berth_status status = call_response_read(&r, slice_of(message->data, message->len), error);
    call *k;
    peer *p;

    if (status) {
        c->stats.malformed++;
        return status;
    }
    k = map64_get(&c->calls, r.id);
    if (k && k->node != node) {
        c->stats.foreign++;
        return BERTH_OK;
    }
    if (!k || k->number != r.number)
        c->stats.late++;
    else if (r.result.status == CALL_OUTCOME_UNKNOWN && k->has_source && k->anew < ANEW_MAX)
        begin_anew(c, k, now_ns);
    else
        answered(c, k, &r, message);
    if (r.kept)
        call_acknowledge(c, node, r.number, now_ns);
    p = map64_get(&c->peers, node);
    if (p)
        call_peer_done(c, p);
    return BERTH_OK;
}

/* ---- Time ------------------------------------------------------------------------------------ */

int64_t call_client_deadline(const call_client *c)
{
    int64_t calls = heap_next(&c->deadlines), acks = heap_next(&c->gathering);

    return calls < acks ? calls : acks;
}

static void expire(call_client *c, call *k, int64_t now_ns)
{
    uint64_t node = k->node;
    peer *p = k->peer;

    call_withdraw(c, k);
    if (call_may_have_run(k) || (p && p->blocked)) {
        c->stats.timeouts++;
        call_finish_as(c, k, BERTH_ERR_TIMEOUT, "the deadline passed");
    } else {
        c->stats.no_route++;
        call_finish_as(c, k, BERTH_ERR_LOST,
                       p ? "no session with the node until the deadline"
                         : "nowhere to be found until the deadline");
    }
    call_flush_node(c, node, now_ns);
}

void call_client_expire(call_client *c, int64_t now_ns)
{
    heap_node *due;

    while ((due = heap_pop_due(&c->deadlines, now_ns)))
        expire(c, CALL_ENTRY(due, call, timer), now_ns);
    while ((due = heap_pop_due(&c->gathering, now_ns)))
        call_flush(c, CALL_ENTRY(due, peer, timer), now_ns);
}

void call_client_get_stats(const call_client *c, call_client_stats *out)
{
    *out = c->stats;
    out->nodes = c->peers.count;
}

void call_client_free(call_client *c)
{
    size_t at = 0;
    uint64_t key;
    void *value;

    if (!c)
        return;
    while (map64_next(&c->calls, &at, &key, &value)) {
        buf_unref(((call *)value)->message);
        free(value);
    }
    at = 0;
    while (map64_next(&c->peers, &at, &key, &value)) {
        peer *p = value;

        free(p->acks.numbers);
        free(p->cancels.numbers);
        free(p);
    }
    map64_fini(&c->calls);
    map64_fini(&c->peers);
    heap_fini(&c->deadlines);
    heap_fini(&c->gathering);
    free(c);
}
