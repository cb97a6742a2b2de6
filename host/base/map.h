/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/map.h: hash maps from a 64-bit id, or from a byte string, to a pointer.
 *
 * Open addressing, linear probing, backward-shift deletion; grows at 3/4. Not thread-safe: the
 * owner locks. Values are never NULL and never owned. A zeroed struct is an empty map; *_fini frees
 * it. Ids are mixed with a per-process random key, so that chosen ids cannot make a bucket long.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/buf.h"

#include <stdbool.h>

typedef struct map64_slot {
    uint64_t key;
    void *value; /* NULL: free */
} map64_slot;

typedef struct map64 {
    map64_slot *slots;
    size_t count, cap; /* cap is 0 or a power of two */
} map64;

void map64_fini(map64 *m);
void *map64_get(const map64 *m, uint64_t key);
/* False when memory is short; the map is then unchanged. Replaces silently. */
bool map64_put(map64 *m, uint64_t key, void *value);
/* Put unless there is one: false with *incumbent then, and with NULL there when memory is short. */
bool map64_add(map64 *m, uint64_t key, void *value, void **incumbent);
/* The removed value, or NULL. */
void *map64_del(map64 *m, uint64_t key);
/* Iterate: start with *at = 0; false at the end. The map must not change meanwhile. */
bool map64_next(const map64 *m, size_t *at, uint64_t *key, void **value);

typedef struct strmap_slot {
    slice key; /* borrowed: lives in the value */
    uint64_t hash;
    void *value;
} strmap_slot;

typedef struct strmap {
    strmap_slot *slots;
    size_t count, cap;
} strmap;

void strmap_fini(strmap *m);
/* The same where the values are the map's and came from malloc: they are freed, too. */
void strmap_fini_values(strmap *m);
void *strmap_get(const strmap *m, slice key);
/* key must live as long as the entry. */
bool strmap_put(strmap *m, slice key, void *value);
bool strmap_add(strmap *m, slice key, void *value, void **incumbent);
void *strmap_del(strmap *m, slice key);
bool strmap_next(const strmap *m, size_t *at, slice *key, void **value);

#endif
