/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "identity/entity.h"
#include "identity/token.h"

#include <string.h>

void berth_token_chain_of(berth_token_chain *out, const berth_token *token)
{
    berth_token copy = *token; /* may be one of out's own */

    memset(out, 0, sizeof *out);
    out->links[0] = copy;
    out->count = 1;
}

berth_status berth_token_chain_add(berth_token_chain *chain, const berth_token *token,
                                   berth_error *error)
{
    if (chain->count >= BERTH_TOKEN_LINKS)
        return fail(error, BERTH_ERR_LIMIT,
                    "permission token: a chain has %d tokens at most; ask somebody nearer to its "
                    "root",
                    BERTH_TOKEN_LINKS);
    chain->links[chain->count++] = *token;
    return BERTH_OK;
}

size_t berth_token_chain_encode(uint8_t out[BERTH_TOKEN_CHAIN_SIZE], const berth_token_chain *chain)
{
    size_t count = chain->count < BERTH_TOKEN_LINKS ? chain->count : BERTH_TOKEN_LINKS;

    out[0] = (uint8_t)count;
    for (size_t i = 0; i < count; i++)
        berth_token_encode(out + 1 + i * BERTH_TOKEN_SIZE, &chain->links[i]);
    return 1 + count * BERTH_TOKEN_SIZE;
}

static berth_status malformed(berth_token_fault *fault, berth_error *error, const char *what)
{
    if (fault)
        *fault = BERTH_TOKEN_FORMAT;
    return fail(error, BERTH_ERR_CORRUPT, "permission token: %s", what);
}

berth_status berth_token_chain_decode(berth_token_chain *out, const void *bytes, size_t len,
                                      berth_token_fault *fault, berth_error *error)
{
    const uint8_t *at = (const uint8_t *)bytes;

    memset(out, 0, sizeof *out);
    if (!len)
        return malformed(fault, error, "there are no bytes");
    if (!at[0] || at[0] > BERTH_TOKEN_LINKS)
        return malformed(fault, error, "a chain has between 1 and 8 tokens");
    if (len != 1 + (size_t)at[0] * BERTH_TOKEN_SIZE)
        return malformed(fault, error, "the length of the chain is not that of its tokens");
    for (size_t i = 0; i < at[0]; i++)
        berth_token_decode(&out->links[i], at + 1 + i * BERTH_TOKEN_SIZE, BERTH_TOKEN_SIZE, NULL,
                           NULL);
    out->count = at[0];
    return BERTH_OK;
}

uint64_t berth_token_chain_end(const berth_token_chain *chain)
{
    uint64_t end = chain->count ? UINT64_MAX : 0;

    for (size_t i = 0; i < chain->count; i++)
        if (chain->links[i].not_after_s < end)
            end = chain->links[i].not_after_s;
    return end;
}

/* ---- Verification ---------------------------------------------------------------------------- */

static bool is_root(const berth_token_policy *policy, const uint8_t *entity)
{
    for (size_t i = 0; i < policy->root_count; i++)
        if (entity_eq(policy->roots + i * BERTH_ENTITY_SIZE, entity))
            return true;
    return false;
}

static berth_token_fault link_fault(const berth_token *link, const berth_token_policy *policy)
{
    berth_token_fault fault = policy->presigned ? BERTH_TOKEN_FINE : token_signature_fault(link);

    if (!fault)
        fault = token_time_fault(link, policy->now_s, policy->skew_s);
    if (fault)
        return fault;
    if (policy->revoked && policy->revoked(policy->revoked_ctx, link))
        return BERTH_TOKEN_REVOKED;
    if (!berth_scope_has(link->scope, policy->action))
        return BERTH_TOKEN_ACTION;
    if (!berth_token_allows(link, policy->action, policy->channel))
        return BERTH_TOKEN_CHANNEL;
    return BERTH_TOKEN_FINE;
}

static berth_token_fault pair_fault(const berth_token *parent, const berth_token *child)
{
    if (!entity_eq(child->issuer, parent->subject))
        return BERTH_TOKEN_BROKEN;
    if (!berth_scope_has(parent->scope, BERTH_SCOPE_DELEGATE))
        return BERTH_TOKEN_NOT_DELEGABLE;
    if (child->depth >= parent->depth)
        return BERTH_TOKEN_DEPTH;
    if (child->not_before_s < parent->not_before_s || child->not_after_s > parent->not_after_s)
        return BERTH_TOKEN_WINDOW;
    return BERTH_TOKEN_FINE;
}

static berth_status refuse_link(const berth_token_chain *chain, size_t at, berth_token_fault what,
                                berth_token_fault *fault, berth_error *error)
{
    berth_status status = token_refuse(what, &chain->links[at], fault, error);

    if (error && chain->count > 1)
        fail_prefix(error, "link %zu of %u", at + 1, chain->count);
    return status;
}

berth_status berth_token_chain_verify(const berth_token_chain *chain,
                                      const berth_token_policy *policy, berth_token_fault *fault,
                                      berth_error *error)
{
    berth_token_fault found;

    if (policy->size < sizeof *policy || !policy->presenter ||
        (policy->root_count && !policy->roots) || !policy->action)
        return fail(error, BERTH_ERR_INVALID,
                    "permission token: the policy lacks its size, action, presenter or roots");
    if (!chain->count || chain->count > BERTH_TOKEN_LINKS)
        return malformed(fault, error, "there is none");
    if (!is_root(policy, chain->links[0].issuer))
        return refuse_link(chain, 0, BERTH_TOKEN_ROOT, fault, error);
    if (!entity_eq(chain->links[chain->count - 1].subject, policy->presenter))
        return refuse_link(chain, chain->count - 1U, BERTH_TOKEN_PRESENTER, fault, error);
    for (size_t i = 0; i < chain->count; i++) {
        found = link_fault(&chain->links[i], policy);
        if (found)
            return refuse_link(chain, i, found, fault, error);
    }
    for (size_t i = 0; i + 1 < chain->count; i++) {
        found = pair_fault(&chain->links[i], &chain->links[i + 1]);
        if (found)
            return refuse_link(chain, i + (found == BERTH_TOKEN_NOT_DELEGABLE ? 0 : 1), found,
                               fault, error);
    }
    return BERTH_OK;
}
