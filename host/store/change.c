/* SPDX-License-Identifier: Apache-2.0 */
#include "store/change.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static change *change_new(change_type type, size_t extra)
{
    change *c = malloc(sizeof *c + extra);

    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->type = type;
    c->weight = extra;
    return c;
}

void change_free(change *c)
{
    if (!c)
        return;
    if (c->type == CHANGE_SNAPSHOT)
        buf_unref(c->snapshot.container);
    free(c->text);
    free(c);
}

void change_clear(change *c)
{
    free(c->text);
    c->text = NULL;
    c->status = BERTH_OK;
}

void change_fail(change *c, const berth_error *error)
{
    change_clear(c);
    c->status = error->code;
    c->text = strdup(error->text);
}

static void refuse(change *c, const berth_error *error)
{
    change_fail(c, error);
    c->refused = true;
}

/* Copies at *at and moves it on. */
static slice put_slice(uint8_t **at, slice from)
{
    slice to = slice_of(*at, from.len);

    if (from.len)
        memcpy(*at, from.ptr, from.len);
    *at += from.len;
    return to;
}

static const char *put_text(uint8_t **at, const char *text)
{
    const char *to = (const char *)*at;

    put_slice(at, slice_of(text, strlen(text) + 1));
    return to;
}

static bool fits(change *c, const char *who, const char *what, size_t len, size_t max)
{
    berth_error error;

    if (len <= max)
        return true;
    fail(&error, BERTH_ERR_LIMIT, "daemon '%s': its %s has %zu bytes, at most %zu can be stored",
         who, what, len, max);
    if (!c->refused)
        refuse(c, &error);
    return false;
}

static bool row_fits(change *c, const store_daemon *row, const char *name, const char *kind,
                     const char *plugin)
{
    return fits(c, name, "name", strlen(name), STORE_NAME_MAX) &&
           fits(c, name, "kind's name", strlen(kind), STORE_NAME_MAX) &&
           fits(c, name, "plugin's name", strlen(plugin), STORE_NAME_MAX) &&
           fits(c, name, "identity", row->identity.len, STORE_IDENTITY_MAX) &&
           fits(c, name, "config", row->config.len, STORE_CONFIG_MAX) &&
           fits(c, name, "list of what it hears", row->wants.len, STORE_WANTS_MAX);
}

change *change_add(const store_daemon *row)
{
    const char *name = row->name ? row->name : "";
    const char *kind = row->kind ? row->kind : "";
    const char *plugin = row->plugin ? row->plugin : "";
    size_t texts = strlen(name) + strlen(kind) + strlen(plugin) + 3;
    change *c =
        change_new(CHANGE_ADD, texts + row->identity.len + row->config.len + row->wants.len);
    store_daemon *own;
    uint8_t *at;

    if (!c || !row_fits(c, row, name, kind, plugin))
        return c;
    at = (uint8_t *)(c + 1);
    own = &c->daemon.row;
    *own = *row;
    own->name = put_text(&at, name);
    own->kind = put_text(&at, kind);
    own->plugin = put_text(&at, plugin);
    own->identity = put_slice(&at, row->identity);
    own->config = put_slice(&at, row->config);
    own->wants = put_slice(&at, row->wants);
    return c;
}

change *change_update(const store_daemon *row, unsigned set)
{
    slice config = set & STORE_SET_CONFIG ? row->config : slice_of(NULL, 0);
    slice wants = set & STORE_SET_WANTS ? row->wants : slice_of(NULL, 0);
    change *c = change_new(CHANGE_UPDATE, config.len + wants.len);
    const char *name = row->name ? row->name : "";
    uint8_t *at;

    if (!c || !fits(c, name, "config", config.len, STORE_CONFIG_MAX) ||
        !fits(c, name, "list of what it hears", wants.len, STORE_WANTS_MAX))
        return c;
    at = (uint8_t *)(c + 1);
    c->daemon.row = *row;
    c->daemon.row.name = c->daemon.row.kind = c->daemon.row.plugin = NULL;
    c->daemon.row.identity = slice_of(NULL, 0);
    c->daemon.row.config = put_slice(&at, config);
    c->daemon.row.wants = put_slice(&at, wants);
    c->daemon.set = set;
    return c;
}

change *change_remove(const uint8_t entity[32])
{
    change *c = change_new(CHANGE_REMOVE, 0);

    if (c)
        memcpy(c->entity, entity, 32);
    return c;
}

change *change_snapshot(const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean)
{
    change *c = change_new(CHANGE_SNAPSHOT, 0);
    berth_error error;

    if (!c)
        return NULL;
    memcpy(c->snapshot.entity, entity, 32);
    c->snapshot.incarnation = incarnation;
    c->snapshot.sequence = sequence;
    c->snapshot.taken = clock_wall_ns();
    c->snapshot.container = buf_ref(container);
    c->snapshot.clean = clean;
    if (container->len <= STORE_INLINE_SNAPSHOT)
        c->weight += container->len;
    if (container->len > STORE_SNAPSHOT_MAX) {
        fail(&error, BERTH_ERR_LIMIT, "a snapshot of %zu bytes: at most %llu can be stored",
             container->len, (unsigned long long)STORE_SNAPSHOT_MAX);
        refuse(c, &error);
    }
    return c;
}

change *change_fact(const char *key, slice value)
{
    size_t len = strlen(key) + 1;
    change *c = change_new(CHANGE_FACT, len + value.len);
    berth_error error;
    uint8_t *at;

    if (!c)
        return NULL;
    if (len > STORE_NAME_MAX + 1 || value.len > STORE_FACT_MAX) {
        fail(&error, BERTH_ERR_LIMIT, "fact '%s': at most %d bytes can be stored", key,
             STORE_FACT_MAX);
        refuse(c, &error);
        return c;
    }
    at = (uint8_t *)(c + 1);
    c->fact.key = put_text(&at, key);
    c->fact.value = put_slice(&at, value);
    return c;
}

change *change_barrier(void)
{
    return change_new(CHANGE_BARRIER, 0);
}
