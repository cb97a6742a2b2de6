/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/orders.h"
#include "api/server.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *config_name(manifest_config config)
{
    return config == CONFIG_TEXT ? "text" : config == CONFIG_JSON ? "json" : "none";
}

static const char *isolation_name(manifest_isolation isolation)
{
    return isolation == ISOLATION_INLINE    ? "inline"
           : isolation == ISOLATION_PROCESS ? "process"
                                            : "any";
}

static const char *durability_name(manifest_durability durability)
{
    switch (durability) {
    case DURABILITY_VOLATILE:
        return "volatile";
    case DURABILITY_SNAPSHOT:
        return "snapshot";
    case DURABILITY_JOURNAL:
        return "journal";
    default:
        return "any";
    }
}

static void emit_list(writer *w, const char *name, const manifest_list *list)
{
    emit_key(w, name);
    emit_text(w, "[");
    for (size_t i = 0; i < list->count; i++) {
        emit_next(w);
        emit_cstring(w, list->items[i]);
    }
    emit_text(w, "]");
}

static void emit_kind(writer *w, const manifest_kind *kind)
{
    emit_next(w);
    emit_text(w, "{");
    emit_member_string(w, "name", kind->name);
    emit_member_string(w, "summary", kind->summary);
    emit_member_bool(w, "stateful", kind->stateful);
    if (kind->stateful) {
        emit_member_u64(w, "state_writes", kind->state_writes);
        emit_member_u64(w, "state_writes_oldest", kind->state_writes_oldest);
        emit_member_u64(w, "state_reads_oldest", kind->state_reads_oldest);
    }
    emit_member_bool(w, "deterministic", kind->deterministic);
    emit_member_bool(w, "fork_snapshot", kind->fork_snapshot);
    emit_member_string(w, "config", config_name(kind->config));
    emit_member_string(w, "isolation", isolation_name(kind->isolation));
    emit_member_string(w, "durability", durability_name(kind->durability));
    emit_member_u64(w, "memory_hint", kind->memory_hint);
    emit_text(w, "}");
}

/* ---- The daemons of plugins --------------------------------------------------------------------
 */

#define NAMES_SHOWN 3

/* A plugin, and the daemons that run its code. */
typedef struct crew {
    char plugin[128];
    uint8_t digest[DIGEST_BYTES]; /* zero: it is part of the host, and has the name of its kind */
    uint64_t count;
    char names[NAMES_SHOWN][128]; /* of some of them */
} crew;

typedef struct crews {
    crew *items;
    size_t count;
} crews;

static void add_crew(void *ctx, const plugin_info *info)
{
    crews *all = (crews *)ctx;
    crew *more = (crew *)realloc(all->items, (all->count + 1) * sizeof *more);

    if (!more)
        return;
    all->items = more;
    more += all->count++;
    *more = (crew){0};
    snprintf(more->plugin, sizeof more->plugin, "%s", info->manifest->name);
    memcpy(more->digest, info->digest, sizeof more->digest);
}

static bool count_daemon(void *ctx, const berth_daemon_info *info)
{
    static const uint8_t none[DIGEST_BYTES];
    crews *all = (crews *)ctx;
    bool linked_in = memcmp(info->plugin_digest, none, sizeof none) == 0;

    for (size_t i = 0; i < all->count; i++) {
        crew *c = &all->items[i];

        if (memcmp(c->digest, info->plugin_digest, sizeof c->digest) != 0 ||
            (linked_in && strcmp(c->plugin, info->kind) != 0))
            continue;
        if (c->count < NAMES_SHOWN)
            snprintf(c->names[c->count], sizeof c->names[0], "%s", info->name);
        c->count++;
        break;
    }
    return true;
}

/* One look at each daemon: for jobs. The caller frees the items. */
static crews muster(const request *r)
{
    crews all = {0};

    plugins_each(runtime_plugins(r->api->rt), add_crew, &all);
    berth_daemons_each((berth_runtime *)r->api->rt, count_daemon, &all);
    return all;
}

static uint64_t crew_of(const crews *all, const plugin_info *info)
{
    for (size_t i = 0; i < all->count; i++)
        if (memcmp(all->items[i].digest, info->digest, DIGEST_BYTES) == 0 &&
            strcmp(all->items[i].plugin, info->manifest->name) == 0)
            return all->items[i].count;
    return 0;
}

/* Who has to end before the plugin can go; false when no daemon is in its way. */
static bool name_crew(const crews *all, const char *name, char *out, size_t cap)
{
    const crew *c = NULL;
    size_t len;

    for (size_t i = 0; i < all->count && !c; i++)
        if (strcmp(all->items[i].plugin, name) == 0 && all->items[i].count)
            c = &all->items[i];
    if (!c)
        return false;
    len = (size_t)snprintf(out, cap, "plugin '%s' is in use by %llu daemon%s (", name,
                           (unsigned long long)c->count, c->count == 1 ? "" : "s");
    for (uint64_t i = 0; i < c->count && i < NAMES_SHOWN && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "", c->names[i]);
    if (len < cap)
        snprintf(out + len, cap - len, "%s): stop %s first", c->count > NAMES_SHOWN ? ", ..." : "",
                 c->count == 1 ? "it" : "them");
    return true;
}

/* ---- Plugins -----------------------------------------------------------------------------------
 */

static void emit_plugin(writer *w, const plugin_info *info, const crews *all)
{
    const manifest *m = info->manifest;
    static const uint8_t none[DIGEST_BYTES];
    char abi[32];

    snprintf(abi, sizeof abi, "%u.%u", m->abi_major, m->abi_minor);
    emit_text(w, "{");
    emit_member_string(w, "name", m->name);
    emit_member_string(w, "version", m->version);
    emit_member_string(w, "license", m->license);
    emit_member_string(w, "abi", abi);
    emit_member_string(w, "runtime", m->runtime);
    emit_key(w, "digest");
    if (memcmp(info->digest, none, sizeof none) == 0)
        emit_text(w, "null");
    else
        emit_hex(w, slice_of(info->digest, sizeof info->digest));
    emit_member_string(w, "signed_by", info->key_name);
    emit_member_string(w, "trusted_comment", info->trusted_comment);
    emit_member_string(w, "path", info->path);
    emit_member_time(w, "loaded", info->loaded_wall_ns);
    emit_member_u64(w, "daemons", crew_of(all, info));
    emit_member_u64(w, "references", info->kind_refs);
    emit_member_bool(w, "retired", info->retired);
    emit_list(w, "needs_extensions", &m->needs_extensions);
    emit_list(w, "needs_privileges", &m->needs_privileges);
    emit_key(w, "kinds");
    emit_text(w, "[");
    for (size_t i = 0; i < m->kind_count; i++)
        emit_kind(w, &m->kinds[i]);
    emit_text(w, "]}");
}

typedef struct plugin_search {
    const char *name; /* NULL: all */
    bool found;
    crews crews;
    writer w;
} plugin_search;

static void list_plugin(void *ctx, const plugin_info *info)
{
    plugin_search *s = (plugin_search *)ctx;

    emit_next(&s->w);
    emit_plugin(&s->w, info, &s->crews);
}

static void list_job(request *r)
{
    plugin_search s = {.crews = muster(r)};

    emit_text(&s.w, "{\"plugins\":[");
    plugins_each(runtime_plugins(r->api->rt), list_plugin, &s);
    emit_text(&s.w, "]}");
    free(s.crews.items);
    request_answer(r, 200, &s.w);
}

void plugins_list(request *r)
{
    request_job(r, list_job);
}

/* Published ones come first: a retired one of the name is shown only when there is no other. */
static void search_plugin(void *ctx, const plugin_info *info)
{
    plugin_search *s = (plugin_search *)ctx;

    if (s->found || strcmp(info->manifest->name, s->name) != 0)
        return;
    s->found = true;
    emit_plugin(&s->w, info, &s->crews);
}

static void answer_plugin(request *r, unsigned status, const char *name)
{
    plugin_search s = {.name = name, .crews = muster(r)};
    berth_error error = {0};

    plugins_each(runtime_plugins(r->api->rt), search_plugin, &s);
    free(s.crews.items);
    if (s.found) {
        request_answer(r, status, &s.w);
        return;
    }
    fail(&error, BERTH_ERR_NOT_FOUND, "plugin '%.127s': is not loaded", name);
    request_fail(r, &error);
}

static void get_job(request *r)
{
    answer_plugin(r, 200, r->target.segments[2]);
}

void plugins_get(request *r)
{
    request_job(r, get_job);
}

static void load_job(request *r)
{
    const api_config *hooks = &r->api->config;
    load_order order;
    api_loaded loaded = {0};
    berth_error error = {0};
    berth_status status = load_order_read(&order, slice_of(r->body.data, r->body.len), &error);

    if (!status)
        status = hooks->load
                     ? hooks->load(hooks->ctx, order.path, order.allow_downgrade, &loaded, &error)
                     : fail(&error, BERTH_ERR_UNSUPPORTED, "this host loads no plugins");
    if (status)
        request_fail(r, &error);
    else
        answer_plugin(r, loaded.already ? 200 : 201, loaded.name);
}

void plugins_post(request *r)
{
    request_job(r, load_job);
}

/* The one that has no mention of references, which are nobody's business here. */
static void refuse_unload(request *r, const char *name, berth_error *error)
{
    char text[BERTH_ERROR_TEXT];
    crews all;

    if (error->code == BERTH_ERR_BUSY) {
        all = muster(r);
        if (name_crew(&all, name, text, sizeof text))
            fail(error, BERTH_ERR_BUSY, "%s", text);
        free(all.items);
    }
    request_fail(r, error);
}

static void unload_job(request *r)
{
    const char *name = r->target.segments[2];
    berth_error error = {0};
    char why[512] = "";
    bool defer = false, gone = false;
    writer w = {0};

    if (!request_bool(r, "defer", &defer))
        return;
    if (plugins_retire(runtime_plugins(r->api->rt), slice_str(name), defer, &gone, why, sizeof why,
                       &error)) {
        refuse_unload(r, name, &error);
        return;
    }
    if (r->api->config.unloaded)
        r->api->config.unloaded(r->api->config.ctx);
    emit_text(&w, "{");
    emit_member_bool(&w, "gone", gone);
    if (!gone)
        emit_member_string(&w, "why", why);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

void plugins_delete(request *r)
{
    request_job(r, unload_job);
}
