/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/registry.h: which daemons live here, by origin and by name.
 *
 * A daemon stands in the table of factories, under the factory of its origin: one lookup finds
 * either. The table's lock is held to look up, insert or remove, never while anything else runs
 * (compute-core K2). Any thread.
 *
 * A name that ends in "-" and an origin in hex (16 digits, as in the names that daemons have by
 * default) can only be that of the daemon with this origin; so it is found by its origin, and a map
 * holds just the other names.
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include "base/map.h"
#include "berth/status.h"

#include <pthread.h>
#include <stdatomic.h>

struct daemon;

struct factories;

typedef struct registry {
    struct factories *table;
    _Atomic uint64_t count;
    pthread_mutex_t names_lock;
    strmap names; /* name -> struct daemon; borrowed: an entry goes before its daemon does */
} registry;

/* table outlives the registry. */
void registry_init(registry *r, struct factories *table);
void registry_fini(registry *r);

/* One reference for the caller, or NULL. */
struct daemon *registry_get(registry *r, uint64_t origin);
struct daemon *registry_get_name(registry *r, slice name);

/* Whether a daemon of this origin may have the name at all. */
bool registry_name_fits(const char *name, uint64_t origin);

/* Claim the name before the daemon is built: EXISTS when taken, INVALID when it does not fit. */
berth_status registry_claim_name(registry *r, struct daemon *d, berth_error *error);
void registry_release_name(registry *r, struct daemon *d);

/* Insert if absent; the registry takes a reference. EXISTS: the incumbent is untouched. NOT_FOUND:
 * its origin has no factory in the table. */
berth_status registry_add(registry *r, struct daemon *d);

/* Put d where its origin's daemon is, in one step; the one before is returned with the registry's
 * reference, NULL: there was none, or no factory (then d is not in either). */
struct daemon *registry_replace(registry *r, struct daemon *d);

/* Remove d if it is still the one; true: it was, and its reference is the caller's. */
bool registry_remove(registry *r, struct daemon *d);

/* Whether d is still the one with its origin. */
bool registry_is_current(registry *r, struct daemon *d);

/* A reference to each; *count of them. The array is the caller's to free. NULL: none, or no memory.
 */
struct daemon **registry_list(registry *r, size_t *count);

#endif
