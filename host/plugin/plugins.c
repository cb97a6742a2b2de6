/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/plugins.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "plugin/list.h"
#include "plugin/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static berth_status open_files(plugins *set, const plugins_config *config, berth_error *error)
{
    char path[PATH_MAX];
    berth_status status;

    if (config->state_dir &&
        snprintf(path, sizeof path, "%s/plugins", config->state_dir) >= (int)sizeof path)
        return fail(error, BERTH_ERR_INVALID, "%s: the path is too long", config->state_dir);
    status = content_store_open(config->state_dir ? path : NULL, config->max_file_bytes,
                                &set->store, error);
    if (status)
        return status;
    if (!config->state_dir)
        return floors_open(NULL, &set->floors, error);
    if (snprintf(path, sizeof path, "%s/floors.json", content_store_dir(set->store)) >=
        (int)sizeof path)
        return fail(error, BERTH_ERR_INVALID, "%s: the path is too long", config->state_dir);
    return floors_open(path, &set->floors, error);
}

static berth_status copy_extensions(plugins *set, const plugins_config *config, berth_error *error)
{
    const char *const *id = config->extensions;

    for (; id && *id; id++) {
        if (!list_add(&set->extensions, slice_str(*id)))
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    set->extension_ids = calloc(set->extensions.count + 1, sizeof *set->extension_ids);
    if (!set->extension_ids)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < set->extensions.count; i++)
        set->extension_ids[i] = set->extensions.items[i];
    return BERTH_OK;
}

static void set_free(plugins *set)
{
    strmap_fini(&set->kinds);
    policy_unref(set->policy);
    floors_close(set->floors);
    content_store_close(set->store);
    list_free(&set->extensions);
    free(set->extension_ids);
    free(set->helper);
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->floors_lock);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

berth_status plugins_new(const plugins_config *config, plugins **out, berth_error *error)
{
    plugins *set = calloc(1, sizeof *set);
    berth_status status;

    *out = NULL;
    if (!set)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&set->lock, NULL);
    pthread_mutex_init(&set->floors_lock, NULL);
    pthread_cond_init(&set->changed, NULL);
    set->policy = policy_ref(config->policy);
    set->host = config->host;
    if (config->helper)
        set->helper = text_dup(slice_str(config->helper));
    status = config->helper && !set->helper ? fail(error, BERTH_ERR_NO_MEMORY, "out of memory")
                                            : copy_extensions(set, config, error);
    if (!status)
        status = open_files(set, config, error);
    if (status)
        set_free(set);
    else
        *out = set;
    return status;
}

void plugins_free(plugins *set)
{
    bool held = false, gone;
    char why_not[256];
    plugin *p;

    if (!set)
        return;
    /* The newest first: it may have been built on the others. */
    for (;;) {
        for (p = set->list; p && p->state != PLUGIN_PUBLISHED; p = p->next)
            ;
        if (!p)
            break;
        plugins_retire(set, slice_str(p->manifest->name), true, &gone, why_not, sizeof why_not,
                       NULL);
    }
    for (p = set->list; p; p = p->next) {
        log_error("plugin", "%s %s: %u references are left at the end; it stays in memory",
                  p->manifest->name, p->manifest->version, atomic_load(&p->kind_refs));
        held = true;
    }
    if (held)
        plugins_give_up(set);
    else
        set_free(set);
}

void plugins_give_up(plugins *set)
{
    content_store_give_up(set->store);
}

static plugin_kind *take_ref(plugin_kind *kind)
{
    atomic_fetch_add_explicit(&kind->owner->kind_refs, 1, memory_order_relaxed);
    return kind;
}

plugin_kind *plugins_kind(plugins *set, slice name)
{
    plugin_kind *kind;

    pthread_mutex_lock(&set->lock);
    kind = strmap_get(&set->kinds, name);
    if (kind)
        take_ref(kind);
    pthread_mutex_unlock(&set->lock);
    return kind;
}

plugin_kind *plugins_kind_of(plugins *set, const uint8_t digest[DIGEST_BYTES], slice name)
{
    plugin_kind *kind = NULL;

    pthread_mutex_lock(&set->lock);
    for (plugin *p = set->list; p && !kind; p = p->next) {
        const manifest_kind *facts;

        if (p->state == PLUGIN_CLOSING || !p->has_file ||
            memcmp(p->digest, digest, DIGEST_BYTES) != 0)
            continue;
        facts = manifest_find(p->manifest, name);
        if (facts)
            kind = take_ref(&p->kinds[facts - p->manifest->kinds]);
    }
    pthread_mutex_unlock(&set->lock);
    return kind;
}

plugin_kind *plugin_kind_ref(plugin_kind *kind)
{
    return take_ref(kind);
}

static void fill_info(const plugin *p, bool retired, plugin_info *out)
{
    *out = (plugin_info){
        .manifest = p->manifest,
        .key_name = p->key_name,
        .trusted_comment = p->trusted_comment,
        .path = p->path,
        .loaded_wall_ns = p->loaded_wall_ns,
        .kind_refs = atomic_load_explicit(&p->kind_refs, memory_order_relaxed),
        .retired = retired,
    };
    memcpy(out->digest, p->digest, DIGEST_BYTES);
}

plugin_kind *plugin_kind_ref_facts(plugin_kind *kind)
{
    atomic_fetch_add_explicit(&kind->owner->memory_refs, 1, memory_order_relaxed);
    return kind;
}

void plugin_kind_unref_facts(plugin_kind *kind)
{
    plugin_unref(kind->owner);
}

void plugin_kind_info(const plugin_kind *kind, plugin_info *out)
{
    plugin *p = kind->owner;
    bool retired;

    pthread_mutex_lock(&p->set->lock);
    retired = p->state != PLUGIN_PUBLISHED;
    pthread_mutex_unlock(&p->set->lock);
    fill_info(p, retired, out);
}

void plugins_each(plugins *set, void (*fn)(void *ctx, const plugin_info *info), void *ctx)
{
    struct {
        plugin *p;
        bool retired;
    } * all;
    size_t count = 0, i = 0;

    pthread_mutex_lock(&set->lock);
    for (plugin *p = set->list; p; p = p->next)
        count++;
    all = calloc(count + 1, sizeof *all);
    for (plugin *p = all ? set->list : NULL; p; p = p->next) {
        atomic_fetch_add_explicit(&p->memory_refs, 1, memory_order_relaxed);
        all[i].p = p;
        all[i++].retired = p->state != PLUGIN_PUBLISHED;
    }
    count = i;
    pthread_mutex_unlock(&set->lock);

    /* The list has the newest first; people want the oldest first, and the retired at the end. */
    for (int retired = 0; retired < 2 && all; retired++) {
        for (i = count; i-- > 0;) {
            plugin_info info;

            if (all[i].retired != (retired == 1))
                continue;
            fill_info(all[i].p, all[i].retired, &info);
            fn(ctx, &info);
        }
    }
    for (i = 0; all && i < count; i++)
        plugin_unref(all[i].p);
    free(all);
}

/* A plugin around a table that is linked in, or NULL with the reason in *status. The caller has its
 * one memory reference. */
static plugin *take_static(plugins *set, const berth_plugin *table, slice manifest_json, void *user,
                           berth_status *status, berth_error *error)
{
    manifest *m = NULL;
    plugin *p;

    *status = manifest_parse(manifest_json, &m, error);
    if (!m)
        return NULL;
    p = plugin_new(set, m);
    if (!p) {
        manifest_free(m);
        *status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    p->loaded_wall_ns = clock_wall_ns();
    *status = plugin_take_table(p, table, table->size, NULL, user, error);
    if (*status) {
        fail_prefix(error, "plugin '%s'", m->name);
        plugin_unref(p);
        return NULL;
    }
    return p;
}

berth_status plugins_detached_kind(plugins *set, const berth_plugin *table, slice manifest_json,
                                   plugin_kind **out, berth_error *error)
{
    berth_status status;
    plugin *p = take_static(set, table, manifest_json, NULL, &status, error);

    if (!p)
        return status;
    status = plugin_init(p, error);
    if (status) {
        fail_prefix(error, "plugin '%s'", p->manifest->name);
        plugin_unref(p);
        return status;
    }
    /* As if published and retired at once: it lives as long as someone refers to it. */
    atomic_store(&p->kind_refs, 1);
    pthread_mutex_lock(&set->lock);
    p->state = PLUGIN_RETIRED;
    p->next = set->list;
    set->list = p;
    pthread_mutex_unlock(&set->lock);
    *out = &p->kinds[0];
    return BERTH_OK;
}

berth_status plugins_add_static(plugins *set, const berth_plugin *table, slice manifest_json,
                                void *user, berth_error *error)
{
    bool already = false;
    berth_status status;
    plugin *p = take_static(set, table, manifest_json, user, &status, error);
    loading l;

    if (!p)
        return status;
    l = (loading){.manifest = p->manifest};
    status = set_reserve(set, &l, &already, error);
    if (status)
        goto out;
    status = plugin_init(p, error);
    if (!status) {
        status = set_publish(set, p, &l, error);
        if (status)
            plugin_deinit(p);
    }
    if (status)
        set_release(set, &l);

out:
    if (status)
        fail_prefix(error, "plugin '%s'", p->manifest->name);
    plugin_unref(p);
    return status;
}

static void warn_revoked(void *ctx, const plugin_info *info)
{
    if (policy_check_revoked(ctx, info->digest, NULL))
        log_warn("plugin", "%s %s: is loaded, and revoked from now on: unload it",
                 info->manifest->name, info->manifest->version);
}

void plugins_set_policy(plugins *set, plugin_policy *policy)
{
    plugin_policy *old;

    policy_ref(policy);
    pthread_mutex_lock(&set->lock);
    old = set->policy;
    set->policy = policy;
    pthread_mutex_unlock(&set->lock);
    plugins_each(set, warn_revoked, policy);
    policy_unref(old);
}

berth_status plugins_each_stored(plugins *set,
                                 bool (*fn)(void *ctx, const uint8_t digest[DIGEST_BYTES]),
                                 void *ctx, berth_error *error)
{
    return content_each(set->store, fn, ctx, error);
}
