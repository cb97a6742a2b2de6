/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing the stored daemons back when the host starts.
 *
 * A chunk of them is built, their new incarnations are put on disk in one group, then they are
 * published. One that cannot come back stays in the store, and in the list of those that are down,
 * with the reason.
 */
#include "daemon/moving.h"
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "plugin/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256

typedef struct down {
    struct down *next;
    store_daemon row; /* its strings are ours */
    char reason[BERTH_ERROR_TEXT];
} down;

static void *copy_bytes(const void *ptr, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    if (copy) {
        if (len)
            memcpy(copy, ptr, len);
        copy[len] = 0;
    }
    return copy;
}

static bool row_copy(store_daemon *to, const store_daemon *from)
{
    char own_name[DAEMON_NAME_MAX + 1];
    const char *name = from->name;
    if (!name[0]) {
        daemon_default_name(own_name, from->kind, from->origin);
        name = own_name;
    }
    *to = *from;
    to->name = copy_bytes(name, strlen(name));
    to->kind = copy_bytes(from->kind, strlen(from->kind));
    to->plugin = copy_bytes(from->plugin, strlen(from->plugin));
    to->identity.ptr = copy_bytes(from->identity.ptr, from->identity.len);
    to->config.ptr = copy_bytes(from->config.ptr, from->config.len);
    to->wants.ptr = copy_bytes(from->wants.ptr, from->wants.len);
    return to->name && to->kind && to->plugin && to->identity.ptr && to->config.ptr &&
           to->wants.ptr;
}

static void row_fini(store_daemon *row)
{
    free((void *)row->name);
    free((void *)row->kind);
    free((void *)row->plugin);
    free((void *)row->identity.ptr);
    free((void *)row->config.ptr);
    free((void *)row->wants.ptr);
}

typedef struct rows {
    store_daemon *items;
    size_t count, cap;
    bool failed;
} rows;

static bool collect(void *ctx, const store_daemon *row)
{
    rows *r = ctx;
    if (row->desired != STORE_RUN)
        return true;
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        store_daemon *more = realloc(r->items, cap * sizeof(*more));
        if (!more) {
            r->failed = true;
            return false;
        }
        r->items = more;
        r->cap = cap;
    }
    r->failed = !row_copy(&r->items[r->count], row);
    r->count++;
    return !r->failed;
}

static void stays_down(runtime *rt, const store_daemon *row, const berth_error *why)
{
    log_error("daemon", "%s: stays down: %s", row->name, why->text);
    down *x = calloc(1, sizeof(*x));
    if (!x || !row_copy(&x->row, row)) {
        free(x);
        return;
    }
    snprintf(x->reason, sizeof(x->reason), "%s", why->text);
    pthread_mutex_lock(&rt->down_lock);
    x->next = rt->down;
    rt->down = x;
    pthread_mutex_unlock(&rt->down_lock);
}

static bool has_file(const store_daemon *row)
{
    static const uint8_t none[sizeof(row->digest)];
    return memcmp(row->digest, none, sizeof(none)) != 0;
}

/* The very copy it ran on, never another version of the plugin. */
static plugin_kind *kind_of(runtime *rt, const store_daemon *row, berth_error *error)
{
    slice name = slice_str(row->kind);
    plugin_kind *kind = has_file(row) ? plugins_kind_of(rt->plugins, row->digest, name)
                                      : plugins_kind(rt->plugins, name);
    if (!kind && has_file(row)) {
        plugins_load_options options = {.source = PLUGINS_RESTART};
        if (plugins_load_digest(rt->plugins, row->digest, &options, NULL, error) != BERTH_OK)
            return NULL;
        kind = plugins_kind_of(rt->plugins, row->digest, name);
    }
    if (!kind)
        fail(error, BERTH_ERR_KIND_UNKNOWN, "no loaded plugin provides its kind '%s'", row->kind);
    return kind;
}

static struct daemon *bring_back(runtime *rt, const store_daemon *row, runner *on, int32_t *reason,
                                 berth_error *error)
{
    struct daemon *d = NULL;
    buf *stored = NULL;
    berth_keypair identity = {0};
    plugin_kind *kind = kind_of(rt, row, error);
    if (!kind)
        return NULL;
    if (unseal_identity(&identity, row->identity, row->entity, rt->host_key, "daemon", row->epoch,
                        error) != BERTH_OK) {
        fail_prefix(error,
                    "its identity does not open: is the host key the one it was sealed with?");
        goto out;
    }
    if (row->has_snapshot && store_get_snapshot(rt->store, row->entity, &stored, error) != BERTH_OK)
        goto out;
    berth_daemon_config config = {
        .size = sizeof(config),
        .durability = row->durability,
        .name = row->name,
        .config = row->config.ptr,
        .config_len = row->config.len,
        .auto_snapshot = row->auto_snapshot,
    };
    spawn_wish wish = {
        .kind = kind,
        .identity = &identity,
        .config = &config,
        .snapshot = stored ? slice_of(stored->data, stored->len) : (slice){0},
        .row = row,
    };
    *reason = stored ? BERTH_START_RESTORED : BERTH_START_NEW;
    if (spawn_build(rt, &wish, on, &d, error) != BERTH_OK)
        goto out;
    if (!row->clean || !stored) {
        /* Outputs up to the reserved sequence may have left: go on above it, and say so. */
        daemon_go_on_above(d, row->incarnation, row->sequence_limit);
    }
out:
    buf_unref(stored);
    berth_keypair_wipe(&identity);
    plugin_kind_unref(kind);
    return d;
}

static void resume_chunk(runtime *rt, const store_daemon *list, size_t count, runner *on)
{
    struct daemon *built[CHUNK];
    int32_t reasons[CHUNK];
    latch stored;
    latch_init(&stored, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        berth_error error = {0};
        built[i] = bring_back(rt, &list[i], on, &reasons[i], &error);
        if (!built[i]) {
            stays_down(rt, &list[i], &error);
            latch_answer(&stored, BERTH_OK, NULL);
            continue;
        }
        /* Not clean any more from here on, whatever happens next. */
        store_daemon row = {.incarnation = built[i]->incarnation,
                            .sequence_limit = built[i]->sequence_limit,
                            .clean = false};
        memcpy(row.entity, list[i].entity, sizeof(row.entity));
        store_update_daemon(rt->store, &row,
                            STORE_SET_INCARNATION | STORE_SET_LIMIT | STORE_SET_CLEAN,
                            store_answered, &stored);
    }
    berth_error error = {0};
    bool durable = latch_wait(&stored, &error) == BERTH_OK;
    latch_fini(&stored);
    for (size_t i = 0; i < count; i++) {
        if (!built[i])
            continue;
        if (!durable)
            spawn_abandon(built[i], on);
        else if (spawn_publish(built[i], reasons[i], on, &error) == BERTH_OK)
            continue;
        stays_down(rt, &list[i], &error);
    }
}

/* Chunk after chunk; r is used up. */
static void resume_rows(runtime *rt, rows *r, runner *on,
                        void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx)
{
    for (size_t at = 0; at < r->count; at += CHUNK) {
        size_t n = r->count - at < CHUNK ? r->count - at : CHUNK;
        resume_chunk(rt, r->items + at, n, on);
        if (progress)
            progress(ctx, at + n, r->count);
    }
}

static void rows_fini(rows *r)
{
    for (size_t i = 0; i < r->count; i++)
        row_fini(&r->items[i]);
    free(r->items);
}

berth_status runtime_resume(runtime *rt, void (*progress)(void *ctx, uint64_t done, uint64_t total),
                            void *ctx, berth_error *error)
{
    rows r = {0};
    berth_error damage = {0};
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK || !rt->store)
        return status;
    runner *on = dispatcher_borrow(rt->dispatcher);
    status = store_each_daemon(rt->store, collect, &r, &damage);
    if (status == BERTH_ERR_CORRUPT) {
        /* One that is damaged must not keep the others down; the store has named it. */
        log_error("daemon", "some daemons cannot be read from the store: %s", damage.text);
        status = BERTH_OK;
    } else if (status != BERTH_OK && error) {
        *error = damage;
    }
    if (status == BERTH_OK && (r.failed || !on))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory for %zu daemons", r.count);
    if (status == BERTH_OK)
        resume_rows(rt, &r, on, progress, ctx);
    if (on)
        dispatcher_return(rt->dispatcher, on);
    rows_fini(&r);
    return status;
}

berth_status runtime_resume_down(runtime *rt, berth_error *error)
{
    rows r = {0};
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    runner *on = dispatcher_borrow(rt->dispatcher);
    if (!on)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_lock(&rt->down_lock);
    down *list = rt->down;
    rt->down = NULL;
    pthread_mutex_unlock(&rt->down_lock);
    while (list) {
        down *x = list;
        list = x->next;
        r = (rows){.items = &x->row, .count = 1};
        resume_rows(rt, &r, on, NULL, NULL); /* puts it back if it stays down */
        row_fini(&x->row);
        free(x);
    }
    dispatcher_return(rt->dispatcher, on);
    return BERTH_OK;
}

typedef struct one_row {
    const uint8_t *entity;
    rows rows;
} one_row;

static bool collect_one(void *ctx, const store_daemon *row)
{
    one_row *o = ctx;
    return memcmp(row->entity, o->entity, sizeof(row->entity)) != 0 || collect(&o->rows, row);
}

typedef struct resealing {
    runtime *rt;
    const uint8_t *entity;
    uint64_t epoch;
    uint8_t *out;
    berth_status status;
    berth_error *error;
} resealing;

static bool reseal(void *ctx, const store_daemon *row)
{
    resealing *r = ctx;
    berth_keypair key = {0};
    if (memcmp(row->entity, r->entity, sizeof(row->entity)) != 0)
        return true;
    r->status = unseal_identity(&key, row->identity, row->entity, r->rt->host_key, "daemon",
                                row->epoch, r->error);
    if (r->status == BERTH_OK)
        r->status = seal_identity(r->out, &key, r->rt->host_key, "daemon", r->epoch, r->error);
    berth_keypair_wipe(&key);
    return false;
}

berth_status runtime_reseal(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch,
                            uint8_t *out, berth_error *error)
{
    resealing r = {rt, entity, epoch, out, BERTH_ERR_NOT_FOUND, error};
    berth_status status = store_each_daemon(rt->store, reseal, &r, error);
    if (status == BERTH_OK && r.status == BERTH_ERR_NOT_FOUND)
        return fail(error, r.status, "its row is not there any more");
    return status == BERTH_OK ? r.status : status;
}

berth_status runtime_resume_one(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE],
                                berth_error *error)
{
    one_row o = {.entity = entity};
    berth_status status = runtime_check(rt, true, error);
    runner *on = status == BERTH_OK && rt->store ? dispatcher_borrow(rt->dispatcher) : NULL;
    if (!on)
        return status;
    status = store_each_daemon(rt->store, collect_one, &o, error);
    if (o.rows.count)
        resume_rows(rt, &o.rows, on, NULL, NULL);
    else if (status == BERTH_OK)
        status = fail(error, BERTH_ERR_NOT_FOUND, "the store has no such daemon that is to run");
    dispatcher_return(rt->dispatcher, on);
    rows_fini(&o.rows);
    return status;
}

/* ---- Those that are down --------------------------------------------------------------------- */

void runtime_down_each(runtime *rt,
                       void (*fn)(void *ctx, const store_daemon *row, const char *reason),
                       void *ctx)
{
    /* Copies, so that fn runs without the lock. */
    down *copies = NULL;
    pthread_mutex_lock(&rt->down_lock);
    for (down *x = rt->down; x; x = x->next) {
        down *c = calloc(1, sizeof(*c));
        if (!c)
            break;
        *c = *x;
        if (!row_copy(&c->row, &x->row)) {
            row_fini(&c->row);
            free(c);
            break;
        }
        c->next = copies;
        copies = c;
    }
    pthread_mutex_unlock(&rt->down_lock);
    while (copies) {
        down *c = copies;
        copies = c->next;
        fn(ctx, &c->row, c->reason);
        row_fini(&c->row);
        free(c);
    }
}

berth_status runtime_forget_down(runtime *rt, const char *text, berth_error *error)
{
    down *found = NULL;
    pthread_mutex_lock(&rt->down_lock);
    for (down **at = &rt->down; *at; at = &(*at)->next) {
        char hex[17];
        snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)(*at)->row.origin);
        if (strcmp((*at)->row.name, text) == 0 || strcasecmp(hex, text) == 0) {
            found = *at;
            *at = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&rt->down_lock);
    if (!found)
        return fail(error, BERTH_ERR_NOT_FOUND, "no daemon '%s' is down", text);
    latch gone;
    latch_init(&gone, 1);
    store_remove_daemon(rt->store, found->row.entity, store_answered, &gone);
    berth_status status = latch_wait(&gone, error);
    latch_fini(&gone);
    row_fini(&found->row);
    free(found);
    return status;
}

void down_forget(runtime *rt)
{
    while (rt->down) {
        down *x = rt->down;
        rt->down = x->next;
        row_fini(&x->row);
        free(x);
    }
}
