/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/channel_rules.h"
#include "base/error.h"
#include "base/map.h"
#include "chain/channel.h"

#include <stdlib.h>
#include <string.h>

typedef struct rule_entry {
    channel_rule rule;
    struct rule_entry *same_hash; /* others whose names have the same hash */
    uint8_t bytes[];              /* the name, then the roots */
} rule_entry;

struct channel_rules {
    strmap names, prefixes;
    map64 hashes; /* of names */
    size_t longest_prefix;
};

channel_rules *channel_rules_new(void)
{
    return calloc(1, sizeof(channel_rules));
}

void channel_rules_clear(channel_rules *r)
{
    strmap_fini_values(&r->names);
    strmap_fini_values(&r->prefixes);
    map64_fini(&r->hashes);
    *r = (channel_rules){0};
}

void channel_rules_free(channel_rules *r)
{
    if (!r)
        return;
    channel_rules_clear(r);
    free(r);
}

static berth_status check(const channel_rules *r, const channel_rule *rule, berth_error *error)
{
    if (rule->root_count && !rule->roots)
        return fail(error, BERTH_ERR_INVALID, "channel rule: there are roots, but not which");
    if (channel_rules_count(r) >= CHANNEL_RULES_MAX)
        return fail(error, BERTH_ERR_LIMIT, "channel rules: at most %d", CHANNEL_RULES_MAX);
    if (!rule->prefix)
        return channel_name_check(rule->name, error);
    if (rule->name.len > CHANNEL_NAME_MAX)
        return fail(error, BERTH_ERR_LIMIT, "channel rule: a prefix has at most %d bytes",
                    CHANNEL_NAME_MAX);
    return BERTH_OK;
}

static rule_entry *copy(const channel_rule *rule)
{
    size_t roots = rule->root_count * BERTH_ENTITY_SIZE;
    rule_entry *e = calloc(1, sizeof *e + rule->name.len + roots);

    if (!e)
        return NULL;
    e->rule = *rule;
    if (rule->name.len)
        memcpy(e->bytes, rule->name.ptr, rule->name.len);
    if (roots)
        memcpy(e->bytes + rule->name.len, rule->roots, roots);
    e->rule.name = slice_of(e->bytes, rule->name.len);
    e->rule.roots = e->bytes + rule->name.len;
    return e;
}

static bool index_hash(channel_rules *r, rule_entry *e)
{
    uint64_t hash = channel_hash(e->rule.name);

    e->same_hash = map64_get(&r->hashes, hash);
    return map64_put(&r->hashes, hash, e);
}

static void forget_hash(channel_rules *r, rule_entry *e)
{
    uint64_t hash = channel_hash(e->rule.name);
    rule_entry *first = map64_get(&r->hashes, hash), *at = first;

    if (first == e) {
        if (e->same_hash)
            map64_put(&r->hashes, hash, e->same_hash); /* replaces: takes no memory */
        else
            map64_del(&r->hashes, hash);
        return;
    }
    while (at && at->same_hash != e)
        at = at->same_hash;
    if (at)
        at->same_hash = e->same_hash;
}

bool channel_rules_remove(channel_rules *r, slice name, bool prefix)
{
    rule_entry *e = strmap_del(prefix ? &r->prefixes : &r->names, name);

    if (e && !prefix)
        forget_hash(r, e);
    free(e);
    return e != NULL;
}

berth_status channel_rules_put(channel_rules *r, const channel_rule *rule, bool *closed,
                               berth_error *error)
{
    berth_status status = check(r, rule, error);
    strmap *map = rule->prefix ? &r->prefixes : &r->names;
    rule_entry *e;

    if (status)
        return status;
    e = copy(rule);
    if (!e)
        return fail(error, BERTH_ERR_NO_MEMORY, "channel rules: out of memory");
    channel_rules_remove(r, rule->name, rule->prefix);
    if (!strmap_put(map, e->rule.name, e)) {
        free(e);
        return fail(error, BERTH_ERR_NO_MEMORY, "channel rules: out of memory");
    }
    if (!rule->prefix && !index_hash(r, e)) {
        free(strmap_del(map, e->rule.name));
        return fail(error, BERTH_ERR_NO_MEMORY, "channel rules: out of memory");
    }
    if (rule->prefix && rule->name.len > r->longest_prefix)
        r->longest_prefix = rule->name.len;
    if (closed)
        *closed = rule->require_token && !rule->root_count;
    return BERTH_OK;
}

const channel_rule *channel_rules_find(const channel_rules *r, slice name)
{
    const rule_entry *e = strmap_get(&r->names, name);
    size_t len = name.len < r->longest_prefix ? name.len : r->longest_prefix;

    if (e || !r->prefixes.count)
        return e ? &e->rule : NULL;
    for (;; len--) {
        e = strmap_get(&r->prefixes, slice_of(name.ptr, len));
        if (e || !len)
            return e ? &e->rule : NULL;
    }
}

const channel_rule *channel_rules_find_hash(const channel_rules *r, uint64_t hash)
{
    const rule_entry *e = map64_get(&r->hashes, hash);

    return e && !e->same_hash ? &e->rule : NULL;
}

size_t channel_rules_count(const channel_rules *r)
{
    return r->names.count + r->prefixes.count;
}

static int by_name(const void *a, const void *b)
{
    const slice *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

slice *channel_rules_names(const channel_rules *r, size_t *count)
{
    slice *names = malloc((r->names.count + 1) * sizeof *names);
    size_t at = 0;
    void *value;
    slice key;

    *count = 0;
    while (names && strmap_next(&r->names, &at, &key, &value))
        names[(*count)++] = key;
    if (names)
        qsort(names, *count, sizeof *names, by_name);
    return names;
}

berth_status channel_rule_gate(const channel_rule *rule, const channel_claim *claim,
                               uint64_t *until_s, berth_token_fault *fault, berth_error *error)
{
    berth_token_policy policy = {
        .size = sizeof policy,
        .action = claim->action,
        .channel = channel_hash(claim->channel),
        .roots = rule->roots,
        .root_count = rule->root_count,
        .presenter = claim->presenter,
        .now_s = claim->now_s,
        .skew_s = claim->skew_s,
        .presigned = claim->presigned,
        .revoked = claim->revoked ? token_revocations_has : NULL,
        .revoked_ctx = claim->revoked,
    };
    berth_token_chain chain;
    berth_status status;

    if (until_s)
        *until_s = UINT64_MAX;
    if (!channel_rule_wants_token(rule))
        return BERTH_OK;
    if (!rule->root_count)
        return token_refuse(BERTH_TOKEN_ROOT, NULL, fault, error);
    status = berth_token_chain_decode(&chain, claim->chain.ptr, claim->chain.len, fault, error);
    if (!status)
        status = berth_token_chain_verify(&chain, &policy, fault, error);
    if (!status && until_s)
        *until_s = berth_token_chain_end(&chain);
    return status;
}
