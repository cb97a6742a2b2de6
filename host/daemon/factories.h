/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/factories.h: from what a daemon of an origin can be built here, by spawn, by restart, or
 * when it arrives. An entry is a living daemon's, which it then leads to (daemon/registry.h), or a
 * placeholder's that expects one.
 *
 * Inserting is atomic on collision and never touches the incumbent (compute-core K9); a counted
 * factory is handed out, so that no lock is held while plugin code runs on it (§18.25). Any thread.
 */
#ifndef DAEMON_FACTORIES_H
#define DAEMON_FACTORIES_H

#include "base/map.h"
#include "berth/identity.h"
#include "berth/status.h"

#include <pthread.h>

struct factory;

#define FACTORY_SHARDS 64

typedef struct factory_shard {
    pthread_mutex_t lock; /* held to look up, insert or remove, never while anything else runs */
    map64 map;            /* origin -> factory, one reference each */
} factory_shard;

typedef struct factories {
    factory_shard shards[FACTORY_SHARDS];
} factories;

static inline factory_shard *factories_shard(factories *f, uint64_t origin)
{
    return &f->shards[origin % FACTORY_SHARDS]; /* origins are hashes already */
}

void factories_init(factories *f);
/* Drops every entry; keys are wiped with the last reference. */
void factories_fini(factories *f);

/* The registry takes a reference of its own. EXISTS ("already registered"), and says so when the
 * incumbent is another identity with the same origin (compute-core K25, §18.22). */
berth_status factories_add(factories *f, struct factory *entry, berth_error *error);
/* One reference, or NULL. What construct uses: it can be repeated. */
struct factory *factories_get(factories *f, uint64_t origin);
/* Remove this very entry, whose daemon is out of the registry; true: it was there. */
bool factories_remove(factories *f, struct factory *entry);
/* Remove and return with the registry's reference, or NULL. */
struct factory *factories_take(factories *f, uint64_t origin);
/* Say who may bring the daemon. False: no such entry, or bound to another node. */
bool factories_bind(factories *f, uint64_t origin, uint64_t orchestrator);
uint64_t factories_orchestrator(factories *f, uint64_t origin);
/* The key of this very entry, whose daemon has come for good. */
void factories_know(factories *f, struct factory *entry, const berth_keypair *key);
/* A copy of the key that was registered for whom is expected, or has come and not for good; the
 * caller wipes it. False: there is none. */
bool factories_key(factories *f, uint64_t origin, berth_keypair *out);
size_t factories_count(factories *f);
/* Remove every placeholder: those who build a daemon take out their own entries. */
void factories_expect_nothing(factories *f);

struct factory *factory_new(void);
struct factory *factory_ref(struct factory *f);
void factory_unref(struct factory *f);

#endif
