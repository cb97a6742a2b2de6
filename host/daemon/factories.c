/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/factories.h"

#include "base/error.h"
#include "daemon/daemon.h"
#include "identity/entity.h"

#include <stdlib.h>
#include <string.h>

factory *factory_new(void)
{
    factory *f = calloc(1, sizeof(*f));
    if (f)
        atomic_init(&f->refs, 1);
    return f;
}

factory *factory_ref(factory *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void factory_unref(factory *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    berth_keypair_wipe(&f->key);
    buf_unref(f->config);
    if (f->kind && f->facts_only)
        plugin_kind_unref_facts(f->kind);
    else if (f->kind)
        plugin_kind_unref(f->kind);
    free(f);
}

void factories_init(factories *f)
{
    memset(f, 0, sizeof(*f));
    for (unsigned i = 0; i < FACTORY_SHARDS; i++)
        pthread_mutex_init(&f->shards[i].lock, NULL);
}

void factories_fini(factories *f)
{
    for (unsigned i = 0; i < FACTORY_SHARDS; i++) {
        void *entry;
        for (size_t at = 0; map64_next(&f->shards[i].map, &at, NULL, &entry);)
            factory_unref(entry);
        map64_fini(&f->shards[i].map);
        pthread_mutex_destroy(&f->shards[i].lock);
    }
}

/* Take out the first placeholder from *at on. */
static factory *take_expected(factory_shard *s, size_t *at)
{
    void *entry;
    factory *found = NULL;
    pthread_mutex_lock(&s->lock);
    while (!found && map64_next(&s->map, at, NULL, &entry))
        if (((factory *)entry)->expected)
            found = entry;
    if (found) {
        map64_del(&s->map, found->origin);
        --*at; /* what came behind it may have moved up into its slot */
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

void factories_expect_nothing(factories *f)
{
    for (unsigned i = 0; i < FACTORY_SHARDS; i++) {
        factory *entry;
        for (size_t at = 0; (entry = take_expected(&f->shards[i], &at));)
            factory_unref(entry); /* without the lock: its plugin may leave memory */
    }
}

berth_status factories_add(factories *f, factory *entry, berth_error *error)
{
    void *there;
    bool other = false, expected = false;
    factory_shard *s = factories_shard(f, entry->origin);
    pthread_mutex_lock(&s->lock);
    bool added = map64_add(&s->map, entry->origin, entry, &there);
    const factory *incumbent = there;
    if (added) {
        factory_ref(entry);
    } else if (incumbent) {
        expected = incumbent->expected;
        other = incumbent->has_key && entry->has_key &&
                !entity_eq(incumbent->key.entity, entry->key.entity);
    }
    pthread_mutex_unlock(&s->lock);
    berth_status status = added ? BERTH_OK : there ? BERTH_ERR_EXISTS : BERTH_ERR_NO_MEMORY;
    if (other)
        return fail(error, status,
                    "origin %016llx is already registered, for another identity whose origin is "
                    "the same: use a new identity",
                    (unsigned long long)entry->origin);
    if (status == BERTH_ERR_EXISTS && expected)
        return fail(error, status,
                    "origin %016llx is already registered: a daemon is expected to arrive there",
                    (unsigned long long)entry->origin);
    if (status == BERTH_ERR_EXISTS)
        return fail(error, status,
                    "the daemon with origin %016llx is already registered: stop it first, or use "
                    "another identity",
                    (unsigned long long)entry->origin);
    return status == BERTH_OK ? status : fail(error, status, "out of memory");
}

factory *factories_get(factories *f, uint64_t origin)
{
    factory_shard *s = factories_shard(f, origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, origin);
    if (entry)
        factory_ref(entry);
    pthread_mutex_unlock(&s->lock);
    return entry;
}

bool factories_remove(factories *f, factory *entry)
{
    factory_shard *s = factories_shard(f, entry->origin);
    pthread_mutex_lock(&s->lock);
    bool there = map64_get(&s->map, entry->origin) == entry;
    if (there)
        map64_del(&s->map, entry->origin);
    pthread_mutex_unlock(&s->lock);
    if (there)
        factory_unref(entry);
    return there;
}

factory *factories_take(factories *f, uint64_t origin)
{
    factory_shard *s = factories_shard(f, origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_del(&s->map, origin);
    pthread_mutex_unlock(&s->lock);
    return entry;
}

bool factories_bind(factories *f, uint64_t origin, uint64_t orchestrator)
{
    factory_shard *s = factories_shard(f, origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, origin);
    bool bound = entry && (!entry->orchestrator || entry->orchestrator == orchestrator);
    if (bound)
        entry->orchestrator = orchestrator;
    pthread_mutex_unlock(&s->lock);
    return bound;
}

uint64_t factories_orchestrator(factories *f, uint64_t origin)
{
    factory_shard *s = factories_shard(f, origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, origin);
    uint64_t node = entry ? entry->orchestrator : 0;
    pthread_mutex_unlock(&s->lock);
    return node;
}

void factories_know(factories *f, factory *entry, const berth_keypair *key)
{
    factory_shard *s = factories_shard(f, entry->origin);
    pthread_mutex_lock(&s->lock);
    entry->key = *key;
    entry->has_key = true;
    entry->rehearsed = false;
    pthread_mutex_unlock(&s->lock);
}

bool factories_key(factories *f, uint64_t origin, berth_keypair *out)
{
    factory_shard *s = factories_shard(f, origin);
    pthread_mutex_lock(&s->lock);
    const factory *entry = map64_get(&s->map, origin);
    bool has = entry && (entry->expected || entry->rehearsed) && entry->has_key;
    if (has)
        *out = entry->key;
    pthread_mutex_unlock(&s->lock);
    return has;
}

size_t factories_count(factories *f)
{
    size_t n = 0;
    for (unsigned i = 0; i < FACTORY_SHARDS; i++) {
        pthread_mutex_lock(&f->shards[i].lock);
        n += f->shards[i].map.count;
        pthread_mutex_unlock(&f->shards[i].lock);
    }
    return n;
}
