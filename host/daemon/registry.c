/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/registry.h"

#include "base/error.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/factories.h"

#include <stdlib.h>
#include <string.h>

void registry_init(registry *r, factories *table)
{
    memset(r, 0, sizeof(*r));
    r->table = table;
    pthread_mutex_init(&r->names_lock, NULL);
}

void registry_fini(registry *r)
{
    strmap_fini(&r->names);
    pthread_mutex_destroy(&r->names_lock);
}

struct daemon *registry_get(registry *r, uint64_t origin)
{
    factory_shard *s = factories_shard(r->table, origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, origin);
    struct daemon *d = entry && entry->daemon ? daemon_ref(entry->daemon) : NULL;
    pthread_mutex_unlock(&s->lock);
    return d;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Whether the name is an origin, or ends in "-" and one. */
static bool ends_in_origin(slice name, uint64_t *origin)
{
    /* A name that is nothing but an origin would hide the daemon that has it. */
    return id_decode(origin, name) ||
           (name.len > ID_TEXT && name.ptr[name.len - ID_TEXT] == '-' &&
            id_decode(origin, slice_of(name.ptr + name.len - (ID_TEXT - 1), ID_TEXT - 1)));
}

bool registry_name_fits(const char *name, uint64_t origin)
{
    uint64_t said;
    return !ends_in_origin(slice_str(name), &said) || said == origin;
}

static struct daemon *get_by_suffix(registry *r, slice name, uint64_t origin)
{
    struct daemon *d = registry_get(r, origin);
    if (d && !slice_eq(slice_str(d->name), name)) {
        daemon_unref(d);
        d = NULL;
    }
    return d;
}

struct daemon *registry_get_name(registry *r, slice name)
{
    uint64_t origin;
    if (ends_in_origin(name, &origin))
        return get_by_suffix(r, name, origin);
    pthread_mutex_lock(&r->names_lock);
    struct daemon *d = strmap_get(&r->names, name);
    if (d)
        daemon_ref(d);
    pthread_mutex_unlock(&r->names_lock);
    if (d && !registry_is_current(r, d)) { /* it is still being built, or ending */
        daemon_unref(d);
        d = NULL;
    }
    return d;
}

berth_status registry_claim_name(registry *r, struct daemon *d, berth_error *error)
{
    void *incumbent;
    uint64_t origin;
    if (ends_in_origin(slice_str(d->name), &origin))
        return origin == d->origin ? BERTH_OK
                                   : fail(error, BERTH_ERR_INVALID,
                                          "the name '%s' ends in an origin that is not this "
                                          "daemon's: choose another",
                                          d->name);
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
    uint64_t origin;
    if (ends_in_origin(name, &origin))
        return;
    pthread_mutex_lock(&r->names_lock);
    if (strmap_get(&r->names, name) == d)
        strmap_del(&r->names, name);
    pthread_mutex_unlock(&r->names_lock);
}

/* ---- Daemons --------------------------------------------------------------------------------- */

berth_status registry_add(registry *r, struct daemon *d)
{
    factory_shard *s = factories_shard(r->table, d->origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, d->origin);
    bool added = entry && !entry->daemon;
    if (added)
        entry->daemon = daemon_ref(d);
    pthread_mutex_unlock(&s->lock);
    if (added)
        atomic_fetch_add(&r->count, 1);
    return added ? BERTH_OK : entry ? BERTH_ERR_EXISTS : BERTH_ERR_NOT_FOUND;
}

struct daemon *registry_replace(registry *r, struct daemon *d)
{
    factory_shard *s = factories_shard(r->table, d->origin);
    struct daemon *before = NULL;
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, d->origin);
    if (entry) {
        before = entry->daemon;
        entry->daemon = daemon_ref(d);
    }
    pthread_mutex_unlock(&s->lock);
    if (entry && !before)
        atomic_fetch_add(&r->count, 1);
    return before;
}

bool registry_remove(registry *r, struct daemon *d)
{
    factory_shard *s = factories_shard(r->table, d->origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, d->origin);
    bool current = entry && entry->daemon == d;
    if (current)
        entry->daemon = NULL;
    pthread_mutex_unlock(&s->lock);
    if (current)
        atomic_fetch_sub(&r->count, 1);
    return current;
}

bool registry_is_current(registry *r, struct daemon *d)
{
    factory_shard *s = factories_shard(r->table, d->origin);
    pthread_mutex_lock(&s->lock);
    factory *entry = map64_get(&s->map, d->origin);
    bool current = entry && entry->daemon == d;
    pthread_mutex_unlock(&s->lock);
    return current;
}

struct daemon **registry_list(registry *r, size_t *count)
{
    struct daemon **list = NULL;
    size_t n = 0, cap = 0;
    for (unsigned i = 0; i < FACTORY_SHARDS; i++) {
        factory_shard *s = &r->table->shards[i];
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
        while (map64_next(&s->map, &at, NULL, &value)) {
            factory *entry = value;
            if (entry->daemon)
                list[n++] = daemon_ref(entry->daemon);
        }
        pthread_mutex_unlock(&s->lock);
    }
    *count = n;
    return list;
}
