/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds whose code is linked into the process, and daemons made of kinds. */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* The facts of a table that has no manifest: its name, that it has state if it can write it, and
 * what is said of it (NULL: nothing). */
static char *manifest_of(const berth_kind *table, const berth_factory_facts *facts,
                         berth_error *error)
{
    if (!table || table->size < offsetof(berth_kind, extension) || !table->name.ptr ||
        !table->name.len || !table->create || !table->destroy || !table->process) {
        fail(error, BERTH_ERR_INVALID,
             "the kind's table is not complete: size, name, create, destroy and process are "
             "required");
        return NULL;
    }
    json_object *root = json_object_new_object(), *kinds = json_object_new_array();
    json_object *kind = json_object_new_object(), *abi = json_object_new_array();
    char *text = NULL;
    slice name = slice_of(table->name.ptr, table->name.len);
    if (root && kinds && kind && abi) {
        json_put_string(root, "name", name);
        json_put_string(root, "version", slice_str("0.0.0"));
        json_put_string(root, "license", slice_str("unknown"));
        json_object_array_add(abi, json_object_new_int(BERTH_ABI_MAJOR));
        json_object_array_add(abi, json_object_new_int(0));
        json_object_object_add(root, "abi", abi);
        json_put_string(kind, "name", name);
        json_put_string(kind, "config", slice_str("text"));
        if (facts && facts->deterministic)
            json_put_bool(kind, "deterministic", true);
        if (table->snapshot) {
            json_object *state = json_object_new_object();
            json_put_u64(state, "writes", 1);
            json_put_u64(state, "writes_oldest", 1);
            json_put_u64(state, "reads_oldest", 1);
            json_object_object_add(kind, "state", state);
        }
        json_object_array_add(kinds, kind);
        json_object_object_add(root, "kinds", kinds);
        text = strdup(json_object_to_json_string(root));
    }
    json_object_put(root);
    if (!text)
        fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return text;
}

/* table: NULL when no plugin set may see it. */
static berth_status provide(runtime *rt, const berth_kind *table, const berth_factory_facts *facts,
                            plugin_kind **detached, berth_error *error)
{
    char *json = manifest_of(table, facts, error);
    if (!json)
        return error && error->code ? error->code : BERTH_ERR_INVALID;
    const berth_kind *kinds[] = {table};
    berth_plugin p = {.size = sizeof(p), .kind_count = 1, .kinds = kinds};
    berth_status status =
        detached ? plugins_detached_kind(rt->plugins, &p, slice_str(json), detached, error)
                 : plugins_add_static(rt->plugins, &p, slice_str(json), NULL, error);
    free(json);
    return status;
}

berth_status berth_register_factory(berth_runtime *rt, const berth_kind *table, berth_error *error)
{
    return berth_register_factory_with(rt, table, NULL, error);
}

berth_status berth_register_factory_with(berth_runtime *rt, const berth_kind *table,
                                         const berth_factory_facts *facts, berth_error *error)
{
    berth_error local = {0};
    if (facts && facts->size < sizeof(*facts))
        return fail(error, BERTH_ERR_INVALID,
                    "the facts of a kind have no size, or one that is too small");
    if (atomic_load(&rt->state) == BERTH_RUNTIME_SHUTTING_DOWN)
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down");
    berth_status status = provide(rt, table, facts, NULL, &local);
    if (status == BERTH_ERR_EXISTS)
        status = local.code = BERTH_ERR_KIND_EXISTS;
    if (status != BERTH_OK && error)
        *error = local;
    return status;
}

berth_status berth_unregister_factory(berth_runtime *rt, const char *kind, berth_error *error)
{
    bool gone;
    char why[160];
    return plugins_retire(rt->plugins, slice_str(kind), false, &gone, why, sizeof(why), error);
}

/* ---- Spawning -------------------------------------------------------------------------------- */

/* The rows of one daemon, and the snapshot that it comes from. */
static berth_status record_and_wait(struct daemon *d, slice taken, berth_error *error)
{
    store *s = d->rt->store;
    latch stored;
    latch_init(&stored, 1);
    spawn_record(d, store_answered, &stored);
    berth_status status = latch_wait(&stored, error);
    latch_fini(&stored);
    buf *from = status == BERTH_OK && taken.ptr ? buf_copy(taken.ptr, taken.len) : NULL;
    if (from)
        store_put_snapshot(s, d->make->key.entity, d->incarnation, d->chain.head.sequence, from,
                           false, NULL, NULL);
    buf_unref(from);
    return status;
}

static berth_status spawn_one(runtime *rt, const spawn_wish *wish, int32_t reason, uint64_t *origin,
                              berth_error *error)
{
    berth_error local = {0};
    struct daemon *d = NULL;
    runner *on = dispatcher_borrow(rt->dispatcher);
    if (!on)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    berth_status status = spawn_build(rt, wish, on, &d, &local);
    if (status == BERTH_OK) {
        uint64_t made = d->origin;
        if (rt->store)
            status = record_and_wait(d, wish->snapshot, &local);
        status = spawn_finish(d, reason, status, on, &local);
        if (status == BERTH_OK)
            *origin = made;
    }
    dispatcher_return(rt->dispatcher, on);
    if (status != BERTH_OK && error)
        *error = local;
    return status;
}

/* The kind of a spawn: a provided one by name, or a table of the caller's own. */
static berth_status spawn_kind(runtime *rt, const char *name, const berth_kind *table,
                               slice container_bytes, plugin_kind **out, berth_error *error)
{
    berth_error local = {0};
    if (table) {
        berth_status status = provide(rt, table, NULL, out, &local);
        if (status != BERTH_OK && error)
            *error = local;
        return status;
    }
    if (name) {
        *out = spawn_find_kind(rt, slice_str(name), error);
        return *out ? BERTH_OK : BERTH_ERR_KIND_UNKNOWN;
    }
    container c = {0};
    berth_status status = rebuild_read(container_bytes, &c, error);
    if (status == BERTH_OK && !c.kind.len)
        status =
            fail(error, BERTH_ERR_INVALID, "the snapshot does not name its kind: say which it is");
    if (status == BERTH_OK) {
        *out = spawn_find_kind(rt, c.kind, error);
        status = *out ? BERTH_OK : BERTH_ERR_KIND_UNKNOWN;
    }
    container_fini(&c);
    return status;
}

static berth_status spawn(runtime *rt, const char *kind, const berth_kind *table, void *self,
                          const berth_keypair *identity, slice from,
                          const berth_daemon_config *config, uint64_t *origin, berth_error *error)
{
    uint64_t ignored;
    berth_keypair fresh;
    spawn_wish wish = {.identity = identity, .config = config, .snapshot = from, .self = self};
    berth_status status = runtime_check(rt, true, error);
    if (status == BERTH_OK)
        status = spawn_kind(rt, kind, table, from, &wish.kind, error);
    if (status != BERTH_OK)
        return status;
    if (!identity) {
        berth_keypair_generate(&fresh);
        wish.identity = &fresh;
    }
    status = spawn_one(rt, &wish, from.ptr ? BERTH_START_RESTORED : BERTH_START_NEW,
                       origin ? origin : &ignored, error);
    if (!identity)
        berth_keypair_wipe(&fresh);
    plugin_kind_unref(wish.kind);
    return status;
}

berth_status berth_spawn_kind(berth_runtime *rt, const char *kind, const berth_keypair *identity,
                              const berth_daemon_config *config, uint64_t *origin,
                              berth_error *error)
{
    return spawn(rt, kind, NULL, NULL, identity, (slice){0}, config, origin, error);
}

/* The batch is recorded while it is being built: the store's thread works beside this one. */
static berth_status build_batch(runtime *rt, spawn_wish *wish, const berth_keypair *identities,
                                struct daemon **built, uint64_t count, runner *on,
                                berth_error *error)
{
    berth_status status = BERTH_OK, recorded = BERTH_OK;
    berth_error why = {0};
    latch stored;
    latch_init(&stored, (unsigned)count);
    for (uint64_t i = 0; i < count; i++) {
        wish->identity = &identities[i];
        if (status == BERTH_OK)
            status = spawn_build(rt, wish, on, &built[i], error);
        if (built[i] && rt->store)
            spawn_record(built[i], store_answered, &stored);
        else
            latch_answer(&stored, BERTH_OK, NULL);
    }
    recorded = latch_wait(&stored, &why);
    latch_fini(&stored);
    if (status == BERTH_OK && recorded != BERTH_OK) {
        status = recorded;
        *error = why;
    }
    return status;
}

berth_status berth_spawn_batch(berth_runtime *rt, const char *kind, const berth_keypair *identities,
                               uint64_t count, const berth_daemon_config *config, uint64_t *origins,
                               berth_error *error)
{
    berth_error local = {0};
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    if (!count || count > UINT32_MAX || (config && config->name))
        return fail(error, BERTH_ERR_INVALID,
                    "a batch has 1 to 2^32 - 1 daemons, and no name for them");
    spawn_wish wish = {.kind = spawn_find_kind(rt, slice_str(kind), error), .config = config};
    if (!wish.kind)
        return BERTH_ERR_KIND_UNKNOWN;
    struct daemon **built = calloc(count, sizeof(*built));
    runner *on = dispatcher_borrow(rt->dispatcher);
    if (!built || !on)
        status = fail(&local, BERTH_ERR_NO_MEMORY, "out of memory");
    else
        status = build_batch(rt, &wish, identities, built, count, on, &local);
    for (uint64_t i = 0; built && i < count; i++) {
        if (!built[i])
            continue;
        if (origins)
            origins[i] = built[i]->origin;
        bool publish = status == BERTH_OK;
        if (publish)
            status = spawn_publish(built[i], BERTH_START_NEW, on, &local);
        else
            spawn_abandon(built[i], on);
        if (status != BERTH_OK && rt->store)
            store_remove_daemon(rt->store, identities[i].entity, NULL, NULL);
    }
    if (on)
        dispatcher_return(rt->dispatcher, on);
    free(built);
    plugin_kind_unref(wish.kind);
    if (status != BERTH_OK && error)
        *error = local;
    return status;
}

berth_status berth_spawn_with_daemon(berth_runtime *rt, const berth_keypair *identity,
                                     const berth_daemon_config *config, const berth_kind *table,
                                     void *self, uint64_t *origin, berth_error *error)
{
    if (!table)
        return fail(error, BERTH_ERR_INVALID, "a table is needed");
    return spawn(rt, NULL, table, self, identity, (slice){0}, config, origin, error);
}

static berth_status check_restore(const berth_keypair *identity, const void *bytes,
                                  berth_error *error)
{
    if (!bytes)
        return fail(error, BERTH_ERR_INVALID, "a snapshot is needed");
    if (!identity)
        return fail(error, BERTH_ERR_INVALID,
                    "a snapshot does not carry its secret key: give the identity "
                    "it was taken of");
    return BERTH_OK;
}

berth_status berth_spawn_from_snapshot(berth_runtime *rt, const char *kind,
                                       const berth_keypair *identity, const void *bytes,
                                       uint64_t len, const berth_daemon_config *config,
                                       uint64_t *origin, berth_error *error)
{
    berth_status status = check_restore(identity, bytes, error);
    return status == BERTH_OK
               ? spawn(rt, kind, NULL, NULL, identity, slice_of(bytes, len), config, origin, error)
               : status;
}

berth_status berth_spawn_from_snapshot_with_daemon(berth_runtime *rt, const berth_keypair *identity,
                                                   const void *bytes, uint64_t len,
                                                   const berth_daemon_config *config,
                                                   const berth_kind *table, void *self,
                                                   uint64_t *origin, berth_error *error)
{
    berth_status status = check_restore(identity, bytes, error);
    if (status == BERTH_OK && !table)
        status = fail(error, BERTH_ERR_INVALID, "a table is needed");
    return status == BERTH_OK
               ? spawn(rt, NULL, table, self, identity, slice_of(bytes, len), config, origin, error)
               : status;
}

/* ---- Placeholders ---------------------------------------------------------------------------- */

static berth_status expect(runtime *rt, const char *kind, const berth_keypair *identity,
                           uint64_t origin, uint64_t orchestrator,
                           const berth_daemon_config *config, berth_error *error)
{
    if (atomic_load(&rt->state) == BERTH_RUNTIME_SHUTTING_DOWN)
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down");
    factory *f = factory_new();
    if (!f)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    berth_status status = BERTH_ERR_KIND_UNKNOWN;
    f->origin = origin;
    f->orchestrator = orchestrator;
    f->expected = true;
    if (identity) {
        f->key = *identity;
        f->has_key = true;
    }
    f->kind = spawn_find_kind(rt, slice_str(kind), error);
    if (!f->kind)
        goto out;
    if (config) {
        f->durability = spawn_durability(f->kind, config->durability);
        f->auto_snapshot = config->auto_snapshot;
    }
    status = factories_add(&rt->factories, f, error);
    /* As for spawn: a shutdown that did not see the entry is seen here (compute-core K12). */
    if (status == BERTH_OK && atomic_load(&rt->state) == BERTH_RUNTIME_SHUTTING_DOWN) {
        factories_remove(&rt->factories, f);
        status = fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down");
    }
out:
    factory_unref(f);
    return status;
}

berth_status berth_expect_migration(berth_runtime *rt, const char *kind, uint64_t origin,
                                    uint64_t orchestrator, const berth_daemon_config *config,
                                    berth_error *error)
{
    return expect(rt, kind, NULL, origin, orchestrator, config, error);
}

berth_status berth_register_migration_target_identity(berth_runtime *rt, const char *kind,
                                                      const berth_keypair *identity,
                                                      const berth_daemon_config *config,
                                                      berth_error *error)
{
    return expect(rt, kind, identity, identity->origin, 0, config, error);
}

berth_status berth_forget_placeholder(berth_runtime *rt, uint64_t origin, berth_error *error)
{
    factory *f = factories_get(&rt->factories, origin);
    if (!f)
        return fail(error, BERTH_ERR_NOT_FOUND, "nothing is expected at origin %016llx",
                    (unsigned long long)origin);
    berth_status status = BERTH_OK;
    if (f->expected)
        factories_remove(&rt->factories, f);
    else
        status = fail(error, BERTH_ERR_BUSY,
                      "a daemon of kind '%s' lives at origin %016llx: stop it instead",
                      f->kind->facts->name, (unsigned long long)origin);
    factory_unref(f);
    return status;
}
