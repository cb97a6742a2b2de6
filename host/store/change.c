/* SPDX-License-Identifier: Apache-2.0 */
#include "store/change.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

change *change_new(change_type type, size_t extra)
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
    if (c->type >= CHANGE_PREPARE && c->type <= CHANGE_EXPIRE) {
        buf_unref(c->attempt.state);
        buf_unref(c->attempt.snapshot.container);
    }
    free(c->text);
    free(c);
}

const buf *change_container(const change *c)
{
    if (c->type == CHANGE_SNAPSHOT)
        return c->snapshot.container;
    return c->type == CHANGE_OWN || c->type == CHANGE_TAKE_BACK ? c->attempt.snapshot.container
                                                                : NULL;
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

void change_refuse(change *c, const berth_error *error)
{
    change_fail(c, error);
    c->refused = true;
}

slice change_put(uint8_t **at, slice from)
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

    change_put(at, slice_of(text, strlen(text) + 1));
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
        change_refuse(c, &error);
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

size_t change_row_size(const store_daemon *row)
{
    return (row->name ? strlen(row->name) : 0) + (row->kind ? strlen(row->kind) : 0) +
           (row->plugin ? strlen(row->plugin) : 0) + 3 + row->identity.len + row->config.len +
           row->wants.len;
}

bool change_put_row(change *c, const store_daemon *row, store_daemon *own, uint8_t **at)
{
    const char *name = row->name ? row->name : "";
    const char *kind = row->kind ? row->kind : "";
    const char *plugin = row->plugin ? row->plugin : "";

    if (!row_fits(c, row, name, kind, plugin))
        return false;
    *own = *row;
    own->name = put_text(at, name);
    own->kind = put_text(at, kind);
    own->plugin = put_text(at, plugin);
    own->identity = change_put(at, row->identity);
    own->config = change_put(at, row->config);
    own->wants = change_put(at, row->wants);
    return true;
}

change *change_add(const store_daemon *row)
{
    change *c = change_new(CHANGE_ADD, change_row_size(row));
    uint8_t *at;

    if (!c)
        return NULL;
    at = (uint8_t *)(c + 1);
    change_put_row(c, row, &c->daemon.row, &at);
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
    c->daemon.row.config = change_put(&at, config);
    c->daemon.row.wants = change_put(&at, wants);
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

buf *change_put_body(change *c, buf *body, const char *what)
{
    berth_error error;

    if (body->len <= STORE_INLINE_SNAPSHOT)
        c->weight += body->len;
    if (body->len > STORE_SNAPSHOT_MAX) {
        fail(&error, BERTH_ERR_LIMIT, "%s of %zu bytes: at most %llu can be stored", what,
             body->len, (unsigned long long)STORE_SNAPSHOT_MAX);
        change_refuse(c, &error);
    }
    return buf_ref(body);
}

void change_put_container(change *c, new_snapshot *to, const uint8_t entity[32],
                          uint64_t incarnation, uint64_t sequence, buf *container)
{
    memcpy(to->entity, entity, 32);
    to->incarnation = incarnation;
    to->sequence = sequence;
    to->taken = clock_wall_ns();
    to->container = container ? change_put_body(c, container, "a snapshot") : NULL;
}

change *change_snapshot(const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean)
{
    change *c = change_new(CHANGE_SNAPSHOT, 0);

    if (!c)
        return NULL;
    change_put_container(c, &c->snapshot, entity, incarnation, sequence, container);
    c->snapshot.clean = clean;
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
        change_refuse(c, &error);
        return c;
    }
    at = (uint8_t *)(c + 1);
    c->fact.key = put_text(&at, key);
    c->fact.value = change_put(&at, value);
    return c;
}

change *change_barrier(void)
{
    return change_new(CHANGE_BARRIER, 0);
}
