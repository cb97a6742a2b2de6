/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator wants a daemon to hear and to serve, who may send to it, and the tokens that it
 * was given: said at its spawn and with `berth channel sub`, kept in its stored row, and so again
 * when the host starts, whatever the daemon itself has subscribed to or left meanwhile.
 *
 * In the row: bonds (chain/bonds.h); then, if not everybody may send, length u16 and the text.
 */
#include "daemon/accept.h"
#include "daemon/spawn.h"

#include "base/error.h"
#include "chain/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that "SERVICE.replies." with an origin behind it is a channel's name too. */
#define SERVICE_NAME_MAX 230

static berth_status too_many(berth_error *error, const char *what, int max)
{
    return fail(error, BERTH_ERR_LIMIT, "a daemon is given at most %d %s", max, what);
}

static berth_status take_subscriptions(bonds *out, const berth_daemon_config *c, berth_error *error)
{
    berth_status status = BERTH_OK;
    if (c->subscribe_count > WANTS_SUBSCRIPTIONS_MAX)
        return too_many(error, "subscriptions", WANTS_SUBSCRIPTIONS_MAX);
    for (uint64_t i = 0; i < c->subscribe_count && status == BERTH_OK; i++) {
        slice channel, group, before;
        status = channel_subscription_parse(slice_str(c->subscribe[i]), &channel, &group, error);
        if (status == BERTH_OK && bonds_find(out, channel, &before))
            status = fail(error, BERTH_ERR_INVALID, "the channel is there twice");
        if (status == BERTH_OK)
            status = bonds_put(out, channel, group, error);
        if (status != BERTH_OK)
            fail_prefix(error, "subscribe '%.300s'", c->subscribe[i]);
    }
    return status;
}

static berth_status take_services(bonds *out, const berth_daemon_config *c, berth_error *error)
{
    berth_status status = BERTH_OK;
    if (c->serve_count > WANTS_SERVICES_MAX)
        return too_many(error, "services", WANTS_SERVICES_MAX);
    for (uint64_t i = 0; i < c->serve_count && status == BERTH_OK; i++) {
        char name[CHANNEL_NAME_MAX + 1];
        int len = snprintf(name, sizeof(name), "%s.requests", c->serve[i]);
        if (!c->serve[i][0])
            status = fail(error, BERTH_ERR_INVALID, "a service needs a name");
        else if (len < 0 || strlen(c->serve[i]) > SERVICE_NAME_MAX)
            status = fail(error, BERTH_ERR_LIMIT, "a service's name has at most %d bytes",
                          SERVICE_NAME_MAX);
        else
            status = bonds_put(out, slice_str(name), (slice){0}, error);
        if (status != BERTH_OK)
            fail_prefix(error, "serve '%.300s'", c->serve[i]);
    }
    return status;
}

static berth_status take_tokens(bonds *out, const berth_daemon_config *c, const uint8_t *entity,
                                berth_error *error)
{
    berth_status status = BERTH_OK;
    if (c->token_count > BONDS_TOKENS_MAX)
        return too_many(error, "tokens", BONDS_TOKENS_MAX);
    for (uint64_t i = 0; i < c->token_count && status == BERTH_OK; i++) {
        const berth_daemon_token *t = &c->tokens[i];
        berth_token_chain tokens;
        status = daemon_token_check(entity, slice_of(t->bytes, t->len), &tokens, error);
        if (status == BERTH_OK)
            status = bonds_keep(out, &tokens, daemon_now_s(), error);
        if (status != BERTH_OK && t->name)
            fail_prefix(error, "%s", t->name);
        else if (status != BERTH_OK)
            fail_prefix(error, "token %llu", (unsigned long long)i + 1);
    }
    return status;
}

/* As if it had subscribed itself; the table and the mesh learn of it when it is published. */
static berth_status adopt(struct daemon *d, berth_error *error)
{
    extras *x = d->more;
    berth_status status = BERTH_OK;
    for (uint32_t i = 0; i < x->wants.token_count && status == BERTH_OK; i++)
        status = bonds_keep(&x->bonds, &x->wants.tokens[i]->chain, daemon_now_s(), error);
    for (uint32_t i = 0; i < x->wants.channel_count && status == BERTH_OK; i++) {
        bonds_channel c = bonds_at(&x->wants, i);
        binding before = {0};
        ledger_find(&x->ledger, 0, c.name, &before);
        const bonds_token *held =
            bonds_leave(&x->bonds, BERTH_SCOPE_SUBSCRIBE, channel_hash(c.name), daemon_now_s(),
                        BERTH_TOKEN_SKEW);
        slice token = held ? slice_of(held->bytes->data, held->bytes->len) : before.token;
        status =
            ledger_record(&x->ledger, 0, c.name, held || before.has_token ? &token : NULL, error);
        if (status == BERTH_OK && c.group.len)
            status = bonds_put(&x->bonds, c.name, c.group, error);
        else
            bonds_forget(&x->bonds, c.name);
    }
    return status;
}

/* What is said now stands above what was kept. */
static berth_status take_accept(struct daemon *d, const char *said, reader *stored,
                                berth_error *error)
{
    slice text = {0};
    if (reader_left(stored)) {
        text = reader_bytes(stored, reader_u16(stored));
        if (!reader_done(stored) || accept_check(text, NULL) != BERTH_OK)
            return fail(error, BERTH_ERR_CORRUPT,
                        "who may send to it does not decode: its row is damaged or was tampered "
                        "with");
    }
    if (said) {
        text = slice_str(said);
        berth_status status = accept_check(text, error);
        if (status != BERTH_OK)
            return status;
    }
    if (!text.len)
        return BERTH_OK;
    d->accept = buf_copy(text.ptr, text.len);
    return d->accept ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

berth_status daemon_wants(struct daemon *d, const berth_daemon_config *c, slice stored,
                          berth_error *error)
{
    reader r = reader_of(stored.ptr, stored.len);
    if (!stored.len && !c->subscribe_count && !c->serve_count && !c->token_count && !c->accept)
        return BERTH_OK;
    extras *x = daemon_extras(d);
    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    berth_status status = bonds_read_front(&x->wants, &r, error);
    if (status == BERTH_OK)
        status = take_accept(d, c->accept, &r, error);
    if (status == BERTH_OK)
        status = take_subscriptions(&x->wants, c, error);
    if (status == BERTH_OK)
        status = take_services(&x->wants, c, error);
    if (status == BERTH_OK)
        status = take_tokens(&x->wants, c, d->make->key.entity, error);
    return status == BERTH_OK ? adopt(d, error) : status;
}

berth_status daemon_wants_bytes(const struct daemon *d, writer *out, berth_error *error)
{
    static const bonds none;
    const bonds *wants = d->more ? &d->more->wants : &none;
    if (bonds_empty(wants) && !d->accept)
        return BERTH_OK;
    bonds_write(out, wants);
    if (d->accept) {
        writer_u16(out, (uint16_t)d->accept->len);
        writer_bytes(out, d->accept->data, d->accept->len);
    }
    return out->failed ? fail(error, BERTH_ERR_NO_MEMORY, "out of memory") : BERTH_OK;
}
