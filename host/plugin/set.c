/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/set.h"
#include "base/error.h"
#include "base/log.h"
#include "plugin/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

plugin *plugin_new(plugins *set, manifest *m)
{
    plugin *p = calloc(1, sizeof *p);

    if (p)
        p->kinds = calloc(m->kind_count, sizeof *p->kinds);
    if (!p || !p->kinds) {
        free(p);
        return NULL;
    }
    p->set = set;
    p->manifest = m;
    p->state = PLUGIN_LOADING;
    atomic_init(&p->memory_refs, 1);
    atomic_init(&p->kind_refs, 0);
    return p;
}

void plugin_unref(plugin *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->memory_refs, 1, memory_order_acq_rel) != 1)
        return;
    manifest_free(p->manifest);
    free(p->key_name);
    free(p->trusted_comment);
    free(p->path);
    free(p->stored_path);
    free(p->kinds);
    free(p);
}

/* ---- Reservations; the lock is held */

static bool same_digest(const plugin *p, const loading *l)
{
    return p->has_file && l->has_digest && memcmp(p->digest, l->digest, DIGEST_BYTES) == 0;
}

static bool collide(const loading *a, const loading *b)
{
    if (a->has_digest && b->has_digest && memcmp(a->digest, b->digest, DIGEST_BYTES) == 0)
        return true;
    if (!a->manifest || !b->manifest)
        return false;
    if (strcmp(a->manifest->name, b->manifest->name) == 0)
        return true;
    for (size_t i = 0; i < a->manifest->kind_count; i++) {
        if (manifest_find(b->manifest, slice_str(a->manifest->kinds[i].name)))
            return true;
    }
    return false;
}

static bool must_wait(const plugins *set, const loading *l)
{
    for (const loading *other = set->loading; other; other = other->next) {
        if (collide(l, other))
            return true;
    }
    for (const plugin *p = set->list; p; p = p->next) {
        if (p->state == PLUGIN_CLOSING && same_digest(p, l))
            return true;
    }
    return false;
}

static berth_status names_free(const plugins *set, const manifest *m, berth_error *error)
{
    for (const plugin *p = set->list; p; p = p->next) {
        if (p->state == PLUGIN_PUBLISHED && strcmp(p->manifest->name, m->name) == 0)
            return fail(error, BERTH_ERR_EXISTS,
                        "is version %s of plugin '%s', of which version %s is loaded: unload that "
                        "first (berth plugin unload %s)",
                        m->version, m->name, p->manifest->version, m->name);
    }
    for (size_t i = 0; i < m->kind_count; i++) {
        const plugin_kind *taken = strmap_get(&set->kinds, slice_str(m->kinds[i].name));

        if (taken)
            return fail(error, BERTH_ERR_KIND_EXISTS,
                        "provides kind '%s', which plugin '%s' provides already: unload that, or "
                        "rename the kind",
                        m->kinds[i].name, taken->owner->manifest->name);
    }
    return BERTH_OK;
}

static bool put_kinds(plugins *set, plugin *p)
{
    size_t i;

    for (i = 0; i < p->manifest->kind_count; i++) {
        if (!strmap_put(&set->kinds, slice_str(p->kinds[i].facts->name), &p->kinds[i]))
            break;
    }
    if (i == p->manifest->kind_count)
        return true;
    while (i-- > 0)
        strmap_del(&set->kinds, slice_str(p->kinds[i].facts->name));
    return false;
}

static void take_kinds(plugins *set, plugin *p)
{
    for (size_t i = 0; i < p->manifest->kind_count; i++)
        strmap_del(&set->kinds, slice_str(p->kinds[i].facts->name));
}

static plugin *find_digest(plugins *set, const loading *l, plugin_state state)
{
    for (plugin *p = set->list; p; p = p->next) {
        if (p->state == state && same_digest(p, l))
            return p;
    }
    return NULL;
}

static void drop_loading(plugins *set, loading *l)
{
    loading **at = &set->loading;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    pthread_cond_broadcast(&set->changed);
}

berth_status set_reserve(plugins *set, loading *l, bool *already, berth_error *error)
{
    berth_status status = BERTH_OK;
    plugin *retired;

    pthread_mutex_lock(&set->lock);
    while (!(*already = find_digest(set, l, PLUGIN_PUBLISHED) != NULL) && must_wait(set, l))
        pthread_cond_wait(&set->changed, &set->lock);
    if (*already)
        goto out;
    status = names_free(set, l->manifest, error);
    if (status)
        goto out;
    /* A retired copy of the same file that is still in use: it was never closed, so it can go on.
     */
    retired = find_digest(set, l, PLUGIN_RETIRED);
    if (retired) {
        if (l->look_only) {
            *already = true;
        } else if (put_kinds(set, retired)) {
            retired->state = PLUGIN_PUBLISHED;
            *already = true;
        } else {
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        }
        goto out;
    }
    if (l->look_only)
        goto out;
    l->next = set->loading;
    set->loading = l;

out:
    pthread_mutex_unlock(&set->lock);
    return status;
}

bool set_reserve_digest(plugins *set, loading *l)
{
    bool used = false;

    pthread_mutex_lock(&set->lock);
    for (const plugin *p = set->list; p; p = p->next)
        used = used || same_digest(p, l);
    for (const loading *other = set->loading; other; other = other->next)
        used = used || collide(l, other);
    if (!used) {
        l->next = set->loading;
        set->loading = l;
    }
    pthread_mutex_unlock(&set->lock);
    return !used;
}

void set_release(plugins *set, loading *l)
{
    pthread_mutex_lock(&set->lock);
    drop_loading(set, l);
    pthread_mutex_unlock(&set->lock);
}

berth_status set_publish(plugins *set, plugin *p, loading *l, berth_error *error)
{
    berth_status status = BERTH_OK;

    pthread_mutex_lock(&set->lock);
    /* A key may have been taken away since: whoever did that looked only at what was loaded. */
    if (l->policy && l->policy != set->policy) {
        status = fail(error, BERTH_ERR_BUSY,
                      "was judged by a policy that was replaced meanwhile: try again");
    } else if (put_kinds(set, p)) {
        p->state = PLUGIN_PUBLISHED;
        atomic_fetch_add_explicit(&p->memory_refs, 1, memory_order_relaxed);
        p->next = set->list;
        set->list = p;
        drop_loading(set, l);
    } else {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    pthread_mutex_unlock(&set->lock);
    return status;
}

/* ---- The end of a plugin */

bool set_close(plugin *p, char *why_not, size_t cap)
{
    plugins *set = p->set;
    plugin **at;
    bool gone;

    plugin_deinit(p);
    gone = plugin_unmap(p, why_not, cap);
    if (p->has_file && gone)
        log_info("plugin", "%s %s: left memory", p->manifest->name, p->manifest->version);
    else if (p->has_file)
        log_warn("plugin", "%s %s: is retired, but stays in memory: %s", p->manifest->name,
                 p->manifest->version, why_not);
    pthread_mutex_lock(&set->lock);
    for (at = &set->list; *at != p; at = &(*at)->next)
        ;
    *at = p->next;
    pthread_cond_broadcast(&set->changed);
    pthread_mutex_unlock(&set->lock);
    plugin_unref(p);
    return gone;
}

berth_status plugins_retire(plugins *set, slice name, bool defer, bool *gone, char *why_not,
                            size_t why_not_cap, berth_error *error)
{
    berth_status status = BERTH_OK;
    bool close_now = false;
    unsigned refs = 0;
    plugin *p;

    *gone = false;
    pthread_mutex_lock(&set->lock);
    for (p = set->list; p; p = p->next) {
        if (p->state == PLUGIN_PUBLISHED && slice_eq(slice_str(p->manifest->name), name))
            break;
    }
    if (!p) {
        status = fail(error, BERTH_ERR_NOT_FOUND,
                      "no plugin '%.*s' is loaded: berth plugin ls shows those that are",
                      (int)(name.len < 128 ? name.len : 128), (const char *)name.ptr);
        goto out;
    }
    refs = atomic_load(&p->kind_refs);
    if (refs && !defer) {
        status = fail(error, BERTH_ERR_BUSY,
                      "plugin '%s' is in use (%u references of daemons, factories and calls): stop "
                      "its daemons first",
                      p->manifest->name, refs);
        goto out;
    }
    take_kinds(set, p);
    close_now = refs == 0;
    p->state = close_now ? PLUGIN_CLOSING : PLUGIN_RETIRED;

out:
    pthread_mutex_unlock(&set->lock);
    if (close_now)
        *gone = set_close(p, why_not, why_not_cap);
    else if (!status)
        snprintf(why_not, why_not_cap, "%u references of daemons, factories and calls hold it",
                 refs);
    return status;
}

void plugin_kind_unref(plugin_kind *kind)
{
    plugin *p = kind->owner;
    unsigned refs = atomic_load_explicit(&p->kind_refs, memory_order_relaxed);
    bool close_now;
    char why_not[256];

    /* The last reference is dropped under the lock, so that nobody finds the plugin meanwhile. */
    while (refs > 1) {
        if (atomic_compare_exchange_weak_explicit(&p->kind_refs, &refs, refs - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    pthread_mutex_lock(&p->set->lock);
    close_now = atomic_fetch_sub_explicit(&p->kind_refs, 1, memory_order_acq_rel) == 1 &&
                p->state == PLUGIN_RETIRED;
    if (close_now)
        p->state = PLUGIN_CLOSING;
    pthread_mutex_unlock(&p->set->lock);
    if (close_now)
        set_close(p, why_not, sizeof why_not);
}
