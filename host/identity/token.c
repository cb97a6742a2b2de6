/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/token.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/random.h"
#include "identity/entity.h"

#include <stdio.h>
#include <time.h>

static const struct fault_row {
    berth_status status;
    const char *word, *text;
} faults[] = {{BERTH_OK, "fine", "is fine"},
#define ROW(name, value, status, word, text) [value] = {status, word, text},
              BERTH_TOKEN_FAULT_TABLE(ROW)
#undef ROW
};

static const struct scope_row {
    uint32_t bit;
    const char *word;
} scopes[] = {
    {BERTH_SCOPE_PUBLISH, "publish"},   {BERTH_SCOPE_SUBSCRIBE, "subscribe"},
    {BERTH_SCOPE_ADMIN, "admin"},       {BERTH_SCOPE_DELEGATE, "delegate"},
    {BERTH_SCOPE_WILDCARD, "wildcard"},
};

static const struct fault_row *row_of(berth_token_fault fault)
{
    static const struct fault_row unknown = {BERTH_ERR_INTERNAL, "unknown", "is not known"};
    size_t at = (size_t)fault;

    return at < sizeof faults / sizeof *faults ? &faults[at] : &unknown;
}

const char *berth_token_fault_word(berth_token_fault fault)
{
    return row_of(fault)->word;
}

const char *berth_token_fault_text(berth_token_fault fault)
{
    return row_of(fault)->text;
}

berth_status token_fault_status(berth_token_fault fault)
{
    return row_of(fault)->status;
}

char *token_time_text(char out[TOKEN_TIME_TEXT], uint64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm utc;

    if (at_s > 253402300799 || !gmtime_r(&at, &utc)) /* the end of the year 9999 */
        snprintf(out, TOKEN_TIME_TEXT, "second %llu", (unsigned long long)at_s);
    else
        strftime(out, TOKEN_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

berth_status token_refuse(berth_token_fault what, const berth_token *token,
                          berth_token_fault *fault, berth_error *error)
{
    const struct fault_row *row = row_of(what);
    char who[BERTH_ENTITY_DISPLAY], when[TOKEN_TIME_TEXT];

    if (fault)
        *fault = what;
    if (!token)
        return fail(error, row->status, "permission token: %s", row->text);
    switch (what) {
    case BERTH_TOKEN_EARLY:
        return fail(error, row->status,
                    "permission token: %s: it begins at %s; are the clocks set?", row->text,
                    token_time_text(when, token->not_before_s));
    case BERTH_TOKEN_EXPIRED:
        return fail(error, row->status, "permission token: %s: it ended at %s; ask %s for another",
                    row->text, token_time_text(when, token->not_after_s),
                    berth_entity_display(who, token->issuer));
    case BERTH_TOKEN_REVOKED:
    case BERTH_TOKEN_ROOT:
    case BERTH_TOKEN_SIGNATURE:
    case BERTH_TOKEN_BROKEN:
        return fail(error, row->status, "permission token: %s: the issuer is %s", row->text,
                    berth_entity_display(who, token->issuer));
    case BERTH_TOKEN_PRESENTER:
    case BERTH_TOKEN_SIGNER:
        return fail(error, row->status, "permission token: %s: its subject is %s", row->text,
                    berth_entity_display(who, token->subject));
    default:
        return fail(error, row->status, "permission token: %s", row->text);
    }
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

bool berth_scope_has(uint32_t scope, uint32_t action)
{
    return action && (scope & action) == action;
}

bool berth_token_allows(const berth_token *token, uint32_t action, uint64_t channel)
{
    return berth_scope_has(token->scope, action) &&
           (berth_scope_has(token->scope, BERTH_SCOPE_WILDCARD) || token->channel == channel);
}

char *token_scope_text(char out[TOKEN_SCOPE_TEXT], uint32_t scope)
{
    size_t used = 0;

    snprintf(out, TOKEN_SCOPE_TEXT, "nothing");
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        if (!(scope & scopes[i].bit))
            continue;
        used += (size_t)snprintf(out + used, TOKEN_SCOPE_TEXT - used, "%s%s", used ? ", " : "",
                                 scopes[i].word);
        scope &= ~scopes[i].bit;
    }
    if (scope)
        snprintf(out + used, TOKEN_SCOPE_TEXT - used, "%s0x%x", used ? ", " : "", scope);
    return out;
}

bool token_scope_parse(slice word, uint32_t *scope)
{
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        if (slice_eq(word, slice_str(scopes[i].word))) {
            *scope = scopes[i].bit;
            return true;
        }
    return false;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void store_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

void berth_token_encode(uint8_t out[BERTH_TOKEN_SIZE], const berth_token *token)
{
    memcpy(out, token->issuer, 32);
    memcpy(out + 32, token->subject, 32);
    store_u32(out + 64, token->scope);
    store_u64(out + 68, token->channel);
    store_u32(out + 76, token->generation);
    store_u64(out + 80, token->not_before_s);
    store_u64(out + 88, token->not_after_s);
    out[96] = token->depth;
    store_u64(out + 97, token->nonce);
    memcpy(out + TOKEN_SIGNED_SIZE, token->signature, BERTH_SIGNATURE_SIZE);
}

berth_status berth_token_decode(berth_token *out, const void *bytes, size_t len,
                                berth_token_fault *fault, berth_error *error)
{
    reader r = reader_of(bytes, len);

    memset(out, 0, sizeof *out);
    if (len != BERTH_TOKEN_SIZE) {
        if (fault)
            *fault = BERTH_TOKEN_FORMAT;
        return fail(error, BERTH_ERR_CORRUPT, "permission token: has %zu bytes instead of %d", len,
                    BERTH_TOKEN_SIZE);
    }
    reader_copy(&r, out->issuer, sizeof out->issuer);
    reader_copy(&r, out->subject, sizeof out->subject);
    out->scope = reader_u32(&r);
    out->channel = reader_u64(&r);
    out->generation = reader_u32(&r);
    out->not_before_s = reader_u64(&r);
    out->not_after_s = reader_u64(&r);
    out->depth = reader_u8(&r);
    out->nonce = reader_u64(&r);
    reader_copy(&r, out->signature, sizeof out->signature);
    return BERTH_OK;
}

void berth_token_id(uint8_t out[BERTH_TOKEN_ID_SIZE], const berth_token *token)
{
    uint8_t bytes[BERTH_TOKEN_SIZE], digest[DERIVED_SIZE];

    berth_token_encode(bytes, token);
    identity_derive(digest, "berth-token-id-v1", slice_of(bytes, TOKEN_SIGNED_SIZE));
    memcpy(out, digest, BERTH_TOKEN_ID_SIZE);
}

/* ---- Judging one ----------------------------------------------------------------------------- */

static uint64_t skewed(uint32_t skew_s)
{
    return skew_s < BERTH_TOKEN_SKEW_MAX ? skew_s : BERTH_TOKEN_SKEW_MAX;
}

bool berth_token_is_expired(const berth_token *token, uint64_t now_s, uint32_t skew_s)
{
    uint64_t end = token->not_after_s, skew = skewed(skew_s);

    end = end > UINT64_MAX - skew ? UINT64_MAX : end + skew;
    return now_s >= end;
}

berth_token_fault token_time_fault(const berth_token *token, uint64_t now_s, uint32_t skew_s)
{
    uint64_t begin = token->not_before_s, skew = skewed(skew_s);

    begin = begin < skew ? 0 : begin - skew;
    if (now_s < begin)
        return BERTH_TOKEN_EARLY;
    return berth_token_is_expired(token, now_s, skew_s) ? BERTH_TOKEN_EXPIRED : BERTH_TOKEN_FINE;
}

berth_token_fault token_signature_fault(const berth_token *token)
{
    uint8_t bytes[BERTH_TOKEN_SIZE];

    berth_token_encode(bytes, token);
    return berth_verify(token->issuer, bytes, TOKEN_SIGNED_SIZE, token->signature) == BERTH_OK
               ? BERTH_TOKEN_FINE
               : BERTH_TOKEN_SIGNATURE;
}

berth_status berth_token_verify(const berth_token *token, uint64_t now_s, uint32_t skew_s,
                                berth_token_fault *fault, berth_error *error)
{
    berth_token_fault found = token_signature_fault(token);

    if (!found)
        found = token_time_fault(token, now_s, skew_s);
    return found ? token_refuse(found, token, fault, error) : BERTH_OK;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static berth_status finish(berth_token *token, const berth_keypair *key, berth_token_fault *fault,
                           berth_error *error)
{
    uint8_t bytes[BERTH_TOKEN_SIZE];

    if (!berth_keypair_is_full(key))
        return token_refuse(BERTH_TOKEN_READ_ONLY, NULL, fault, error);
    /* To pass on alone, or everywhere alone, is nothing that anybody can do. */
    if (!(token->scope & ~(uint32_t)(BERTH_SCOPE_DELEGATE | BERTH_SCOPE_WILDCARD)))
        return token_refuse(BERTH_TOKEN_EMPTY, NULL, fault, error);
    memcpy(token->issuer, key->entity, sizeof token->issuer);
    berth_token_encode(bytes, token);
    return berth_sign(key, bytes, TOKEN_SIGNED_SIZE, token->signature);
}

berth_status token_issue_with(berth_token *out, const berth_keypair *issuer,
                              const berth_token_grant *grant, uint64_t now_s, uint64_t nonce,
                              berth_token_fault *fault, berth_error *error)
{
    berth_token made = {
        .channel = grant->channel,
        .not_before_s = now_s,
        .not_after_s = now_s > UINT64_MAX - grant->ttl_s ? UINT64_MAX : now_s + grant->ttl_s,
        .nonce = nonce,
        .scope = grant->scope,
        .generation = grant->generation,
        .depth = grant->depth,
    };
    berth_status status;

    if (!grant->ttl_s)
        return token_refuse(BERTH_TOKEN_ZERO_TTL, NULL, fault, error);
    if (grant->ttl_s > BERTH_TOKEN_TTL_MAX)
        return token_refuse(BERTH_TOKEN_LONG_TTL, NULL, fault, error);
    memcpy(made.subject, grant->subject, sizeof made.subject);
    status = finish(&made, issuer, fault, error);
    if (!status)
        *out = made;
    return status;
}

berth_status berth_token_issue(berth_token *out, const berth_keypair *issuer,
                               const berth_token_grant *grant, uint64_t now_s,
                               berth_token_fault *fault, berth_error *error)
{
    return token_issue_with(out, issuer, grant, now_s, random_u64(), fault, error);
}

berth_status berth_token_delegate(berth_token *out, const berth_token *parent,
                                  const berth_keypair *signer, const berth_token_grant *grant,
                                  uint64_t now_s, berth_token_fault *fault, berth_error *error)
{
    berth_token made = {0};
    berth_status status = berth_token_verify(parent, now_s, 0, fault, error);

    if (status)
        return status;
    if (!parent->depth)
        return token_refuse(BERTH_TOKEN_EXHAUSTED, parent, fault, error);
    if (!berth_scope_has(parent->scope, BERTH_SCOPE_DELEGATE))
        return token_refuse(BERTH_TOKEN_NOT_DELEGABLE, parent, fault, error);
    if (!entity_eq(signer->entity, parent->subject))
        return token_refuse(BERTH_TOKEN_SIGNER, parent, fault, error);
    memcpy(made.subject, grant->subject, sizeof made.subject);
    made.scope = grant->scope & parent->scope;
    made.channel = parent->channel;
    /* Leave for all channels may be narrowed to one: every link of a chain is asked about it. */
    if (berth_scope_has(parent->scope, BERTH_SCOPE_WILDCARD) &&
        !berth_scope_has(made.scope, BERTH_SCOPE_WILDCARD))
        made.channel = grant->channel;
    made.generation = parent->generation;
    made.not_before_s = now_s;
    made.not_after_s = parent->not_after_s;
    if (grant->ttl_s && grant->ttl_s < parent->not_after_s - now_s)
        made.not_after_s = now_s + grant->ttl_s;
    made.depth = grant->depth < parent->depth ? grant->depth : (uint8_t)(parent->depth - 1);
    made.nonce = random_u64();
    status = finish(&made, signer, fault, error);
    if (!status)
        *out = made;
    return status;
}
