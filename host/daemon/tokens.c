/* SPDX-License-Identifier: Apache-2.0 */
/* The permission tokens that a daemon holds, and shows where it subscribes or publishes. */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "chain/channel.h"

uint64_t daemon_now_s(void)
{
    return (uint64_t)(clock_wall_ns() / 1000000000);
}

berth_status daemon_token_check(const uint8_t entity[BERTH_ENTITY_SIZE], slice bytes,
                                berth_token_chain *out, berth_error *error)
{
    berth_token_fault fault;
    char who[BERTH_ENTITY_DISPLAY];
    berth_status status = berth_token_chain_decode(out, bytes.ptr, bytes.len, &fault, error);
    if (status != BERTH_OK)
        return status;
    const berth_token *last = &out->links[out->count - 1];
    /* By itself: which roots count, only whoever guards the channel knows. One that is not valid
     * yet is judged as of its beginning. */
    berth_token_policy policy = {
        .size = sizeof(policy),
        .action = last->scope & BERTH_SCOPE_SUBSCRIBE ? BERTH_SCOPE_SUBSCRIBE : BERTH_SCOPE_PUBLISH,
        .channel = last->channel,
        .roots = out->links[0].issuer,
        .root_count = 1,
        .presenter = entity,
        .now_s = daemon_now_s(),
        .skew_s = BERTH_TOKEN_SKEW};
    for (unsigned i = 0; i < out->count; i++)
        if (out->links[i].not_before_s > policy.now_s)
            policy.now_s = out->links[i].not_before_s;
    status = berth_token_chain_verify(out, &policy, &fault, error);
    if (status == BERTH_OK)
        return status;
    berth_entity_display(who, last->subject);
    if (fault == BERTH_TOKEN_PRESENTER) {
        char ours[BERTH_ENTITY_DISPLAY];
        return fail(error, BERTH_ERR_REFUSED,
                    "the token is for %s, and the daemon is %s: give the daemon the identity that "
                    "the token was issued for",
                    who, berth_entity_display(ours, entity));
    }
    fail_prefix(error, "the token for %s", who);
    return status;
}

/* What others may look at while the daemon runs. */
void daemon_show_tokens(struct daemon *d)
{
    const bonds *own = &d->more->bonds;
    bonds tokens = {.tokens = own->tokens, .token_count = own->token_count};
    writer w = {0};
    bonds_write(&w, &tokens);
    buf *shown = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    pthread_mutex_lock(&d->lock);
    buf *before = d->tokens;
    d->tokens = shown;
    pthread_mutex_unlock(&d->lock);
    buf_unref(before);
}

berth_status daemon_hold_token(struct daemon *d, const berth_token_chain *tokens, berth_error *error)
{
    extras *x = daemon_extras(d);
    berth_status status = x ? bonds_keep(&x->bonds, tokens, daemon_now_s(), error)
                            : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        daemon_show_tokens(d);
    return status;
}

buf *daemon_leave_to_publish(const struct daemon *d, slice channel)
{
    if (!d->more || !d->more->bonds.token_count)
        return NULL;
    const bonds_token *t = bonds_leave(&d->more->bonds, BERTH_SCOPE_PUBLISH, channel_hash(channel),
                                       daemon_now_s(), BERTH_TOKEN_SKEW);
    return t ? t->bytes : NULL;
}
