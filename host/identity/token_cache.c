/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/token_cache.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/map.h"
#include "identity/entity.h"

#include <pthread.h>
#include <stdlib.h>

/* Chains are kept as their bytes: a full berth_token_chain takes eight tokens, most have one. */
typedef struct kept {
    struct kept *next;
    uint64_t end_s; /* of the first of its tokens */
    uint32_t scope; /* of the last */
    size_t len;
    uint8_t bytes[];
} kept;

#define KEY_SIZE (BERTH_ENTITY_SIZE + 8 + 1)

typedef struct slot {
    uint8_t key[KEY_SIZE]; /* subject, channel or zeros, whether for all channels */
    kept *first;
    size_t count;
} slot;

struct token_cache {
    pthread_mutex_t lock;
    strmap slots;
    token_revocations *revoked;
    size_t max_slots, count;
    size_t wildcards; /* slots for all channels: mostly there is none to look at */
    uint64_t due_s;
    uint32_t skew_s;
};

token_cache *token_cache_new(uint32_t skew_s, token_revocations *revoked, size_t max_slots)
{
    token_cache *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->skew_s = skew_s < BERTH_TOKEN_SKEW_MAX ? skew_s : BERTH_TOKEN_SKEW_MAX;
    c->revoked = revoked;
    c->max_slots = max_slots ? max_slots : TOKEN_CACHE_SLOTS;
    c->due_s = UINT64_MAX;
    return c;
}

void token_cache_free(token_cache *c)
{
    size_t at = 0;
    void *value;
    slice key;

    if (!c)
        return;
    while (strmap_next(&c->slots, &at, &key, &value)) {
        slot *s = value;

        while (s->first) {
            kept *k = s->first;

            s->first = k->next;
            free(k);
        }
        free(s);
    }
    strmap_fini(&c->slots);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static slice make_key(uint8_t key[KEY_SIZE], const uint8_t *subject, uint64_t channel, bool all)
{
    memcpy(key, subject, BERTH_ENTITY_SIZE);
    store_u64(key + BERTH_ENTITY_SIZE, all ? 0 : channel);
    key[KEY_SIZE - 1] = all;
    return slice_of(key, KEY_SIZE);
}

static uint64_t with_skew(const token_cache *c, uint64_t end_s)
{
    return end_s > UINT64_MAX - c->skew_s ? UINT64_MAX : end_s + c->skew_s;
}

/* ---- Insert ---------------------------------------------------------------------------------- */

static berth_status examine(const berth_token_chain *chain, berth_token_fault *fault,
                            berth_error *error)
{
    if (!chain->count || chain->count > BERTH_TOKEN_LINKS)
        return token_refuse(BERTH_TOKEN_FORMAT, NULL, fault, error);
    for (size_t i = 0; i < chain->count; i++) {
        if (token_signature_fault(&chain->links[i]))
            return token_refuse(BERTH_TOKEN_SIGNATURE, &chain->links[i], fault, error);
        if (i && !entity_eq(chain->links[i].issuer, chain->links[i - 1].subject))
            return token_refuse(BERTH_TOKEN_BROKEN, &chain->links[i], fault, error);
    }
    return BERTH_OK;
}

static slot *slot_for(token_cache *c, slice key, berth_error *error)
{
    slot *s = strmap_get(&c->slots, key);

    if (s)
        return s;
    if (c->slots.count >= c->max_slots) {
        fail(error, BERTH_ERR_LIMIT,
             "permission token: credentials for %zu subjects and channels are held already",
             c->max_slots);
        return NULL;
    }
    s = calloc(1, sizeof *s);
    if (s)
        memcpy(s->key, key.ptr, key.len);
    if (!s || !strmap_put(&c->slots, slice_of(s->key, KEY_SIZE), s)) {
        free(s);
        fail(error, BERTH_ERR_NO_MEMORY, "permission token: out of memory");
        return NULL;
    }
    c->wildcards += s->key[KEY_SIZE - 1];
    return s;
}

/* The place of a chain of this scope, or the end of the list. */
static kept **place_of(slot *s, uint32_t scope)
{
    kept **at = &s->first;

    while (*at && (*at)->scope != scope)
        at = &(*at)->next;
    return at;
}

static void drop(token_cache *c, slot *s, kept **at)
{
    kept *k = *at;

    *at = k->next;
    free(k);
    s->count--;
    c->count--;
}

static void drop_if_empty(token_cache *c, slot *s)
{
    if (s->count)
        return;
    strmap_del(&c->slots, slice_of(s->key, KEY_SIZE));
    c->wildcards -= s->key[KEY_SIZE - 1];
    free(s);
}

static berth_status put(token_cache *c, slot *s, kept *k, berth_error *error)
{
    kept **at = place_of(s, k->scope);

    if (*at)
        drop(c, s, at);
    else if (s->count >= TOKEN_CACHE_PER_SLOT)
        return fail(error, BERTH_ERR_LIMIT,
                    "permission token: its subject holds %d of other scopes for this channel",
                    TOKEN_CACHE_PER_SLOT);
    k->next = s->first;
    s->first = k;
    s->count++;
    c->count++;
    if (with_skew(c, k->end_s) < c->due_s)
        c->due_s = with_skew(c, k->end_s);
    return BERTH_OK;
}

berth_status token_cache_insert(token_cache *c, const berth_token_chain *chain,
                                berth_token_fault *fault, berth_error *error)
{
    berth_status status = examine(chain, fault, error);
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE], key[KEY_SIZE];
    const berth_token *leaf;
    size_t len;
    slot *s;
    kept *k;

    if (status)
        return status;
    leaf = &chain->links[chain->count - 1];
    len = berth_token_chain_encode(bytes, chain);
    k = malloc(sizeof *k + len);
    if (!k)
        return fail(error, BERTH_ERR_NO_MEMORY, "permission token: out of memory");
    *k = (kept){.end_s = berth_token_chain_end(chain), .scope = leaf->scope, .len = len};
    memcpy(k->bytes, bytes, len);
    make_key(key, leaf->subject, leaf->channel, berth_scope_has(leaf->scope, BERTH_SCOPE_WILDCARD));
    pthread_mutex_lock(&c->lock);
    s = slot_for(c, slice_of(key, sizeof key), error);
    if (!s) {
        status = c->slots.count >= c->max_slots ? BERTH_ERR_LIMIT : BERTH_ERR_NO_MEMORY;
    } else {
        status = put(c, s, k, error);
        drop_if_empty(c, s);
    }
    pthread_mutex_unlock(&c->lock);
    if (status)
        free(k);
    return status;
}

/* ---- Find ------------------------------------------------------------------------------------ */

/* What is wrong now with a chain whose signatures were verified when it was inserted. */
static berth_token_fault judge(const token_cache *c, const berth_token_chain *chain, uint64_t now_s,
                               const berth_token **where)
{
    for (size_t i = 0; i < chain->count; i++) {
        const berth_token *link = &chain->links[i];
        berth_token_fault fault = token_time_fault(link, now_s, c->skew_s);

        *where = link;
        if (!fault && c->revoked && token_revocations_has(c->revoked, link))
            fault = BERTH_TOKEN_REVOKED;
        if (fault)
            return fault;
    }
    return BERTH_TOKEN_FINE;
}

typedef struct search {
    uint32_t action;
    uint64_t channel, now_s;
    berth_token_chain chain; /* the one looked at; the one found */
    berth_token_fault fault; /* why one of them did not do */
    berth_token faulty;
} search;

/* Copies, so that nobody else is asked under the lock. */
static kept *copy_of(const kept *k)
{
    kept *copy = malloc(sizeof *k + k->len);

    if (copy) {
        *copy = (kept){.end_s = k->end_s, .scope = k->scope, .len = k->len};
        memcpy(copy->bytes, k->bytes, k->len);
    }
    return copy;
}

static kept *candidates(token_cache *c, const uint8_t *subject, const search *q, bool all)
{
    uint8_t key[KEY_SIZE];
    kept *list = NULL;
    slot *s;

    pthread_mutex_lock(&c->lock);
    s = all && !c->wildcards ? NULL
                             : strmap_get(&c->slots, make_key(key, subject, q->channel, all));
    for (const kept *k = s ? s->first : NULL; k; k = k->next) {
        kept *copy = berth_scope_has(k->scope, q->action) ? copy_of(k) : NULL;

        if (copy) {
            copy->next = list;
            list = copy;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return list;
}

static bool search_slot(token_cache *c, const uint8_t *subject, search *q, bool all)
{
    kept *list = candidates(c, subject, q, all);
    bool found = false;

    while (list) {
        kept *k = list;
        const berth_token *where = NULL;
        berth_token_fault fault;

        list = k->next;
        if (!found) {
            berth_token_chain_decode(&q->chain, k->bytes, k->len, NULL, NULL);
            fault = judge(c, &q->chain, q->now_s, &where);
            found = !fault;
            if (fault) {
                q->fault = fault;
                q->faulty = *where;
            }
        }
        free(k);
    }
    return found;
}

berth_status token_cache_find(token_cache *c, const uint8_t subject[BERTH_ENTITY_SIZE],
                              uint32_t action, uint64_t channel, uint64_t now_s,
                              berth_token_chain *out, berth_token_fault *fault, berth_error *error)
{
    search q = {.action = action, .channel = channel, .now_s = now_s};
    char who[BERTH_ENTITY_DISPLAY];

    if (search_slot(c, subject, &q, false) || search_slot(c, subject, &q, true)) {
        if (out)
            *out = q.chain;
        return BERTH_OK;
    }
    if (q.fault)
        return token_refuse(q.fault, &q.faulty, fault, error);
    return fail(error, BERTH_ERR_NOT_FOUND, "permission token: none is held by %s for this channel",
                berth_entity_display(who, subject));
}

/* ---- Time ------------------------------------------------------------------------------------ */

static size_t sweep_slot(token_cache *c, slot *s, uint64_t now_s, uint64_t *due_s)
{
    size_t dropped = 0;

    for (kept **at = &s->first; *at;) {
        uint64_t end_s = with_skew(c, (*at)->end_s);

        if (now_s >= end_s) {
            drop(c, s, at);
            dropped++;
            continue;
        }
        *due_s = end_s < *due_s ? end_s : *due_s;
        at = &(*at)->next;
    }
    return dropped;
}

size_t token_cache_sweep(token_cache *c, uint64_t now_s)
{
    uint64_t due_s = UINT64_MAX;
    size_t at = 0, dropped = 0;
    slot **empty = NULL;
    size_t empty_count = 0;
    void *value;
    slice key;

    pthread_mutex_lock(&c->lock);
    if (now_s >= c->due_s) {
        empty = malloc((c->slots.count + 1) * sizeof(slot *));
        while (strmap_next(&c->slots, &at, &key, &value)) {
            slot *s = value;

            dropped += sweep_slot(c, s, now_s, &due_s);
            if (!s->count && empty)
                empty[empty_count++] = s;
        }
        for (size_t i = 0; i < empty_count; i++)
            drop_if_empty(c, empty[i]);
        free(empty);
        c->due_s = due_s;
    }
    pthread_mutex_unlock(&c->lock);
    return dropped;
}

uint64_t token_cache_due(token_cache *c)
{
    uint64_t due_s;

    pthread_mutex_lock(&c->lock);
    due_s = c->due_s;
    pthread_mutex_unlock(&c->lock);
    return due_s;
}

size_t token_cache_count(token_cache *c)
{
    size_t count;

    pthread_mutex_lock(&c->lock);
    count = c->count;
    pthread_mutex_unlock(&c->lock);
    return count;
}

size_t token_cache_slots(token_cache *c)
{
    size_t count;

    pthread_mutex_lock(&c->lock);
    count = c->slots.count;
    pthread_mutex_unlock(&c->lock);
    return count;
}
