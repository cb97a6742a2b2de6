/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/registry.h"

#include "base/error.h"
#include "daemon/daemon.h"

#include <stdlib.h>
#include <string.h>

void registry_init(registry *r)
{
    memset(r, 0, sizeof(*r));
    for (unsigned i = 0; i < REGISTRY_SHARDS; i++)
        pthread_mutex_init(&r->shards[i].lock, NULL);
    pthread_mutex_init(&r->names_lock, NULL);
}

void registry_fini(registry *r)
{
    for (unsigned i = 0; i < REGISTRY_SHARDS; i++) {
        map64_fini(&r->shards[i].map);
        pthread_mutex_destroy(&r->shards[i].lock);
    }
    strmap_fini(&r->names);
    pthread_mutex_destroy(&r->names_lock);
}

static registry_shard *shard_of(registry *r, uint64_t origin)
{
    return &r->shards[origin % REGISTRY_SHARDS]; /* origins are hashes already */
}

struct daemon *registry_get(registry *r, uint64_t origin)
{
    registry_shard *s = shard_of(r, origin);
    pthread_mutex_lock(&s->lock);
    struct daemon *d = map64_get(&s->map, origin);
    if (d)
        daemon_ref(d);
    pthread_mutex_unlock(&s->lock);
    return d;
}

struct daemon *registry_get_name(registry *r, slice name)
{
    pthread_mutex_lock(&r->names_lock);
    struct daemon *d = strmap_get(&r->names, name);
    if (d)
        daemon_ref(d);
    pthread_mutex_unlock(&r->names_lock);
    return d;
}

berth_status registry_claim_name(registry *r, struct daemon *d, berth_error *error)
{
    void *incumbent;
    pthread_mutex_lock(&r->names_lock);
    bool added = strmap_add(&r->names, slice_str(d->name), d, &incumbent);
    berth_status status = added ? BERTH_OK : incumbent ? BERTH_ERR_EXISTS : BERTH_ERR_NO_MEMORY;
    pthread_mutex_unlock(&r->names_lock);
    if (status == BERTH_ERR_EXISTS)
        fail(error, status,
             "the name '%s' is already registered: stop that daemon or choose another", d->name);
    else if (status != BERTH_OK)
        fail(error, status, "out of memory");
    return status;
}

void registry_release_name(registry *r, struct daemon *d)
{
    slice name = slice_str(d->name);
    pthread_mutex_lock(&r->names_lock);
    if (strmap_get(&r->names, name) == d)
        strmap_del(&r->names, name);
    pthread_mutex_unlock(&r->names_lock);
}

berth_status registry_add(registry *r, struct daemon *d)
{
    void *incumbent;
    registry_shard *s = shard_of(r, d->origin);
    pthread_mutex_lock(&s->lock);
    bool added = map64_add(&s->map, d->origin, d, &incumbent);
    if (added)
        daemon_ref(d);
    pthread_mutex_unlock(&s->lock);
    if (added)
        atomic_fetch_add(&r->count, 1);
    return added ? BERTH_OK : incumbent ? BERTH_ERR_EXISTS : BERTH_ERR_NO_MEMORY;
}

struct daemon *registry_replace(registry *r, struct daemon *d)
{
    registry_shard *s = shard_of(r, d->origin);
    daemon_ref(d);
    pthread_mutex_lock(&s->lock);
    struct daemon *before = map64_get(&s->map, d->origin);
    bool put = map64_put(&s->map, d->origin, d);
    pthread_mutex_unlock(&s->lock);
    if (!put) { /* only a first insertion can lack memory */
        daemon_unref(d);
        return NULL;
    }
    if (!before)
        atomic_fetch_add(&r->count, 1);
    return before;
}

bool registry_remove(registry *r, struct daemon *d)
{
    registry_shard *s = shard_of(r, d->origin);
    pthread_mutex_lock(&s->lock);
    bool current = map64_get(&s->map, d->origin) == d;
    if (current)
        map64_del(&s->map, d->origin);
    pthread_mutex_unlock(&s->lock);
    if (current)
        atomic_fetch_sub(&r->count, 1);
    return current;
}

bool registry_is_current(registry *r, struct daemon *d)
{
    registry_shard *s = shard_of(r, d->origin);
    pthread_mutex_lock(&s->lock);
    bool current = map64_get(&s->map, d->origin) == d;
    pthread_mutex_unlock(&s->lock);
    return current;
}

struct daemon **registry_list(registry *r, size_t *count)
{
    struct daemon **list = NULL;
    size_t n = 0, cap = 0;
    for (unsigned i = 0; i < REGISTRY_SHARDS; i++) {
        registry_shard *s = &r->shards[i];
        pthread_mutex_lock(&s->lock);
        if (n + s->map.count > cap) {
            cap = (n + s->map.count) * 2;
            struct daemon **more = realloc(list, cap * sizeof(*list));
            if (!more) {
                pthread_mutex_unlock(&s->lock);
                break;
            }
            list = more;
        }
        size_t at = 0;
        void *value;
        while (map64_next(&s->map, &at, NULL, &value))
            list[n++] = daemon_ref(value);
        pthread_mutex_unlock(&s->lock);
    }
    *count = n;
    return list;
}
