/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/random.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MIN_CAP 8

/* Set once, before the first entry of any map, and only read afterwards. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t mix[2];
static uint8_t sip_key[crypto_shorthash_KEYBYTES];

static void choose_keys(void)
{
    random_bytes(mix, sizeof mix);
    mix[1] |= 1;
    random_bytes(sip_key, sizeof sip_key);
}

/* One wide multiplication by a secret: both halves of the product depend on all bits of the id. */
static size_t hash64(uint64_t key)
{
    __uint128_t product = (__uint128_t)(key ^ mix[0]) * mix[1];

    return (size_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

static uint64_t hash_bytes(slice key)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t hash;

    crypto_shorthash(out, key.ptr ? key.ptr : (const uint8_t *)"", key.len, sip_key);
    memcpy(&hash, out, sizeof hash);
    return hash;
}

/* True while an entry whose home is `home` and that now lies at `at` may be moved back to `hole`:
 * the hole must lie on its way from home, going round the end of the table. */
static bool reaches(size_t home, size_t hole, size_t at, size_t mask)
{
    return ((at - home) & mask) >= ((at - hole) & mask);
}

static bool must_grow(size_t count, size_t cap)
{
    return count + 1 > cap / 4 * 3;
}

void map64_fini(map64 *m)
{
    free(m->slots);
    *m = (map64){0};
}

/* The slot of key, or the free slot where it would go. */
static map64_slot *find64(const map64 *m, uint64_t key)
{
    size_t mask = m->cap - 1, at = hash64(key) & mask;

    while (m->slots[at].value && m->slots[at].key != key)
        at = (at + 1) & mask;
    return &m->slots[at];
}

void *map64_get(const map64 *m, uint64_t key)
{
    return m->count ? find64(m, key)->value : NULL;
}

static bool grow64(map64 *m)
{
    map64 bigger = {0};

    bigger.cap = m->cap ? 2 * m->cap : MIN_CAP;
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *find64(&bigger, m->slots[i].key) = m->slots[i];
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

/* The slot of key, or a free one that may be filled; NULL when memory is short. */
static map64_slot *slot64(map64 *m, uint64_t key)
{
    map64_slot *slot = NULL;

    pthread_once(&once, choose_keys);
    if (m->cap) {
        slot = find64(m, key);
        if (slot->value || !must_grow(m->count, m->cap))
            return slot;
    }
    return grow64(m) ? find64(m, key) : NULL;
}

bool map64_put(map64 *m, uint64_t key, void *value)
{
    map64_slot *slot = slot64(m, key);

    if (!slot)
        return false;
    m->count += slot->value == NULL;
    *slot = (map64_slot){key, value};
    return true;
}

bool map64_add(map64 *m, uint64_t key, void *value, void **incumbent)
{
    map64_slot *slot = slot64(m, key);

    *incumbent = slot ? slot->value : NULL;
    if (!slot || slot->value)
        return false;
    *slot = (map64_slot){key, value};
    m->count++;
    return true;
}

void *map64_del(map64 *m, uint64_t key)
{
    size_t mask = m->cap - 1, hole, at;
    map64_slot *slot;
    void *value;

    if (!m->count)
        return NULL;
    slot = find64(m, key);
    value = slot->value;
    if (!value)
        return NULL;
    hole = (size_t)(slot - m->slots);
    for (at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (reaches(hash64(m->slots[at].key) & mask, hole, at, mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (map64_slot){0};
    m->count--;
    return value;
}

bool map64_next(const map64 *m, size_t *at, uint64_t *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        const map64_slot *slot = &m->slots[*at];

        if (!slot->value)
            continue;
        if (key)
            *key = slot->key;
        if (value)
            *value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

void strmap_fini(strmap *m)
{
    free(m->slots);
    *m = (strmap){0};
}

void strmap_fini_values(strmap *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].value);
    strmap_fini(m);
}

static strmap_slot *find_str(const strmap *m, slice key, uint64_t hash)
{
    size_t mask = m->cap - 1, at = (size_t)hash & mask;

    while (m->slots[at].value && !(m->slots[at].hash == hash && slice_eq(m->slots[at].key, key)))
        at = (at + 1) & mask;
    return &m->slots[at];
}

void *strmap_get(const strmap *m, slice key)
{
    return m->count ? find_str(m, key, hash_bytes(key))->value : NULL;
}

static bool grow_str(strmap *m)
{
    strmap bigger = {0};

    bigger.cap = m->cap ? 2 * m->cap : MIN_CAP;
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *find_str(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

static strmap_slot *slot_str(strmap *m, slice key, uint64_t *hash)
{
    strmap_slot *slot = NULL;

    pthread_once(&once, choose_keys);
    *hash = hash_bytes(key);
    if (m->cap) {
        slot = find_str(m, key, *hash);
        if (slot->value || !must_grow(m->count, m->cap))
            return slot;
    }
    return grow_str(m) ? find_str(m, key, *hash) : NULL;
}

bool strmap_put(strmap *m, slice key, void *value)
{
    uint64_t hash;
    strmap_slot *slot = slot_str(m, key, &hash);

    if (!slot)
        return false;
    m->count += slot->value == NULL;
    /* The old key lay in the old value, which may go now. */
    *slot = (strmap_slot){key, hash, value};
    return true;
}

bool strmap_add(strmap *m, slice key, void *value, void **incumbent)
{
    uint64_t hash;
    strmap_slot *slot = slot_str(m, key, &hash);

    *incumbent = slot ? slot->value : NULL;
    if (!slot || slot->value)
        return false;
    *slot = (strmap_slot){key, hash, value};
    m->count++;
    return true;
}

void *strmap_del(strmap *m, slice key)
{
    size_t mask = m->cap - 1, hole, at;
    strmap_slot *slot;
    void *value;

    if (!m->count)
        return NULL;
    slot = find_str(m, key, hash_bytes(key));
    value = slot->value;
    if (!value)
        return NULL;
    hole = (size_t)(slot - m->slots);
    for (at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (reaches((size_t)m->slots[at].hash & mask, hole, at, mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (strmap_slot){0};
    m->count--;
    return value;
}

bool strmap_next(const strmap *m, size_t *at, slice *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        const strmap_slot *slot = &m->slots[*at];

        if (!slot->value)
            continue;
        if (key)
            *key = slot->key;
        if (value)
            *value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}
