/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/channel_rules.h: which channels there are here, and who may publish on them or subscribe.
 *
 * A rule is for one name, or for all names that begin with a prefix. One thread at a time; nothing
 * blocks.
 */
#ifndef MESH_CHANNEL_RULES_H
#define MESH_CHANNEL_RULES_H

#include "base/buf.h"
#include "identity/token_revocation.h"

struct capability_filter;

#define CHANNEL_RULES_MAX 65536

typedef struct channel_rule {
    slice name;
    bool prefix;          /* for every name that begins so */
    bool require_token;   /* also implied by roots */
    const uint8_t *roots; /* root_count entity ids, one behind the other */
    size_t root_count;
    /* What a node has to say of itself, or NULL; advice, not security: anyone can say it. Borrowed;
     * outlive the rule. */
    const struct capability_filter *publish, *subscribe;
} channel_rule;

typedef struct channel_rules channel_rules;

channel_rules *channel_rules_new(void); /* NULL: out of memory */
void channel_rules_free(channel_rules *r);
/* Take all rules out. */
void channel_rules_clear(channel_rules *r);

/* Copied, but for the filters. Replaces the rule of that name. INVALID, LIMIT, NO_MEMORY. A rule
 * that requires a token and has no roots is taken, and lets nobody through; *closed (may be NULL)
 * says so, for a warning. */
berth_status channel_rules_put(channel_rules *r, const channel_rule *rule, bool *closed,
                               berth_error *error);
bool channel_rules_remove(channel_rules *r, slice name, bool prefix);

/* The rule of this name, else that of the longest prefix; NULL: there is no such channel. */
const channel_rule *channel_rules_find(const channel_rules *r, slice name);
/* The rule for a name with this hash, unless there are several: then NULL. */
const channel_rule *channel_rules_find_hash(const channel_rules *r, uint64_t hash);
size_t channel_rules_count(const channel_rules *r);
/* The names without prefixes, in order, malloc'd; they live until the rules change. */
slice *channel_rules_names(const channel_rules *r, size_t *count);

static inline bool channel_rule_wants_token(const channel_rule *rule)
{
    return rule->require_token || rule->root_count;
}

/* What a gate is asked. */
typedef struct channel_claim {
    uint32_t action;          /* BERTH_SCOPE_PUBLISH or BERTH_SCOPE_SUBSCRIBE */
    slice channel;            /* the name itself, also under a prefix */
    slice chain;              /* of tokens, as bytes; empty or malformed: none */
    const uint8_t *presenter; /* proven */
    uint64_t now_s;
    uint32_t skew_s;
    bool presigned; /* these very bytes were verified before */
    token_revocations *revoked;
} channel_claim;

/*
 * May it? OK at once when the rule wants no token. Otherwise *until_s (may be NULL) is when the
 * leave ends by itself, and a refusal has its fault: ROOT without roots, FORMAT without a chain,
 * then as berth_token_chain_verify.
 */
berth_status channel_rule_gate(const channel_rule *rule, const channel_claim *claim,
                               uint64_t *until_s, berth_token_fault *fault, berth_error *error);

#endif
