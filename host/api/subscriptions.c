/* SPDX-License-Identifier: Apache-2.0 */
/* What one daemon hears and serves, who may send to it, and the tokens that it holds: shown, and
 * changed. */
#include "api/emit.h"
#include "api/find.h"
#include "api/orders.h"
#include "api/server.h"
#include "base/error.h"
#include "chain/bonds.h"
#include "identity/token.h"

#include <stdlib.h>
#include <string.h>

/* ---- Showing --------------------------------------------------------------------------------- */

static void emit_hearing(void *ctx, const runtime_hearing *h)
{
    writer *w = ctx;

    emit_next(w);
    emit_text(w, "{");
    emit_key(w, "channel");
    emit_string(w, h->channel);
    if (h->group.len) {
        emit_key(w, "group");
        emit_string(w, h->group);
    }
    if (h->publisher)
        emit_member_id(w, "publisher", h->publisher);
    emit_text(w, "}");
}

static void emit_service(void *ctx, const runtime_hearing *h)
{
    writer *w = ctx;
    slice service = runtime_channel_service(h->channel);

    if (!service.len)
        return;
    emit_next(w);
    emit_string(w, service);
}

void emit_hearings(writer *w, runtime *rt, uint64_t origin)
{
    emit_key(w, "hears");
    emit_text(w, "[");
    runtime_hearings(rt, origin, emit_hearing, w);
    emit_text(w, "]");
    emit_key(w, "serves");
    emit_text(w, "[");
    runtime_hearings(rt, origin, emit_service, w);
    emit_text(w, "]");
}

static void emit_token(writer *w, const bonds_token *t)
{
    const berth_token *last = &t->chain.links[t->chain.count - 1];
    uint64_t end_s = berth_token_chain_end(&t->chain);
    char scope[TOKEN_SCOPE_TEXT];

    emit_next(w);
    emit_text(w, "{");
    emit_member_string(w, "scope", token_scope_text(scope, last->scope));
    if (!(last->scope & BERTH_SCOPE_WILDCARD))
        emit_member_id(w, "channel_hash", last->channel);
    emit_member_hex(w, "issuer", slice_of(last->issuer, sizeof last->issuer));
    emit_member_time(w, "until",
                     end_s < INT64_MAX / 1000000000 ? (int64_t)end_s * 1000000000 : INT64_MAX);
    emit_text(w, "}");
}

void emit_tokens(writer *w, runtime *rt, uint64_t origin)
{
    buf *held = runtime_tokens(rt, origin);
    bonds b = {0};

    emit_key(w, "tokens");
    emit_text(w, "[");
    if (held && bonds_read(&b, slice_of(held->data, held->len), NULL) == BERTH_OK)
        for (uint32_t i = 0; i < b.token_count; i++)
            emit_token(w, b.tokens[i]);
    emit_text(w, "]");
    bonds_fini(&b);
    buf_unref(held);
}

static void emit_accepted(void *ctx, const runtime_face *face)
{
    writer *w = ctx;

    emit_key(w, "accept");
    emit_string(w, face->accept.len ? face->accept : slice_str("realm"));
}

void emit_accept(writer *w, runtime *rt, uint64_t origin)
{
    runtime_face_of(rt, origin, emit_accepted, w);
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void subscribe_job(request *r)
{
    subscribe_order order;
    berth_error error = {0};
    uint64_t origin;

    if (subscribe_order_read(&order, slice_of(r->body.data, r->body.len), &error)) {
        request_fail(r, &error);
        return;
    }
    if (!request_daemon(r, 2, &origin))
        return;
    if (runtime_subscribe(r->api->rt, origin, slice_str(order.channel), slice_str(order.group),
                          true, &error))
        request_fail(r, &error);
    else
        answer_daemon(r, 200, origin);
}

void subscriptions_post(request *r)
{
    request_job(r, subscribe_job);
}

static void unsubscribe_job(request *r)
{
    const char *channel = target_param_get(&r->target, "channel");
    berth_error error = {0};
    uint64_t origin;

    if (!channel)
        fail(&error, BERTH_ERR_INVALID, "channel: is missing; say which to leave");
    if (error.code) {
        request_fail(r, &error);
        return;
    }
    if (!request_daemon(r, 2, &origin))
        return;
    if (runtime_subscribe(r->api->rt, origin, slice_str(channel), (slice){0}, false, &error))
        request_fail(r, &error);
    else
        answer_daemon(r, 200, origin);
}

void subscriptions_delete(request *r)
{
    request_job(r, unsubscribe_job);
}

static void token_job(request *r)
{
    berth_error error = {0};
    void *bytes = NULL;
    size_t len = 0;
    uint64_t origin;

    if (token_order_read(&bytes, &len, slice_of(r->body.data, r->body.len), &error)) {
        request_fail(r, &error);
    } else if (request_daemon(r, 2, &origin)) {
        if (berth_give_token(r->api->rt, origin, bytes, len, &error))
            request_fail(r, &error);
        else
            answer_daemon(r, 200, origin);
    }
    free(bytes);
}

void tokens_post(request *r)
{
    request_job(r, token_job);
}
