/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/registry.h: which daemons live here, by origin and by name.
 *
 * Sharded maps of references. A shard's lock is held to look up, insert or remove, never while
 * anything else runs (compute-core K2). Any thread.
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include "base/map.h"
#include "berth/status.h"

#include <pthread.h>
#include <stdatomic.h>

struct daemon;

#define REGISTRY_SHARDS 64

typedef struct registry_shard {
    pthread_mutex_t lock;
    map64 map;
} registry_shard;

typedef struct registry {
    registry_shard shards[REGISTRY_SHARDS];
    _Atomic uint64_t count;
    pthread_mutex_t names_lock;
    strmap names; /* name -> struct daemon; borrowed: an entry goes before its daemon does */
} registry;

void registry_init(registry *r);
void registry_fini(registry *r);

/* One reference for the caller, or NULL. */
struct daemon *registry_get(registry *r, uint64_t origin);
struct daemon *registry_get_name(registry *r, slice name);

/* Claim the name before the daemon is built: EXISTS when taken. */
berth_status registry_claim_name(registry *r, struct daemon *d, berth_error *error);
void registry_release_name(registry *r, struct daemon *d);

/* Insert if absent; the registry takes a reference. EXISTS: the incumbent is untouched. */
berth_status registry_add(registry *r, struct daemon *d);

/* Put d where its origin's daemon is, in one step; the one before is returned with the registry's
 * reference, NULL: there was none. */
struct daemon *registry_replace(registry *r, struct daemon *d);

/* Remove d if it is still the one; true: it was, and its reference is the caller's. */
bool registry_remove(registry *r, struct daemon *d);

/* Whether d is still the one with its origin. */
bool registry_is_current(registry *r, struct daemon *d);

/* A reference to each; *count of them. The array is the caller's to free. NULL: none, or no memory.
 */
struct daemon **registry_list(registry *r, size_t *count);

#endif
