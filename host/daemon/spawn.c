/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "identity/entity.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LEN_MAX (64 * 1024)

bool daemon_name_valid(const char *name)
{
    size_t n = strlen(name);
    size_t ok = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n >= 1 && n <= DAEMON_NAME_MAX && ok == n;
}

berth_status runtime_check(const runtime *rt, bool blocks, berth_error *error)
{
    switch (atomic_load(&rt->state)) {
    case BERTH_RUNTIME_REGISTERING:
        return fail(error, BERTH_ERR_NOT_READY, "the runtime is not started yet");
    case BERTH_RUNTIME_READY:
        break;
    default:
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down");
    }
    if (blocks && dispatcher_inside())
        return fail(
            error, BERTH_ERR_DEADLOCK,
            "a call that waits for a daemon, from a daemon's or a callback's thread: use the calls "
            "that do not wait");
    return BERTH_OK;
}

plugin_kind *spawn_find_kind(runtime *rt, slice name, berth_error *error)
{
    plugin_kind *kind = plugins_kind(rt->plugins, name);
    if (!kind)
        fail(error, BERTH_ERR_KIND_UNKNOWN,
             "no loaded plugin provides kind '%.*s': load one with `berth plugin load FILE`",
             (int)(name.len < 127 ? name.len : 127), (const char *)name.ptr);
    return kind;
}

uint32_t spawn_durability(const plugin_kind *kind, uint32_t asked)
{
    if (asked)
        return asked;
    return kind->facts->durability == DURABILITY_VOLATILE ? DURABILITY_VOLATILE
                                                          : DURABILITY_SNAPSHOT;
}

/* As far as the caller's version has it; what is behind is not said. */
static berth_status take_config(berth_daemon_config *out, const berth_daemon_config *c,
                                berth_error *error)
{
    *out = (berth_daemon_config){.size = sizeof(*out)};
    if (!c)
        return BERTH_OK;
    if (c->size < offsetof(berth_daemon_config, subscribe))
        return fail(error, BERTH_ERR_INVALID, "berth_daemon_config.size is not set");
    memcpy(out, c, c->size < sizeof(*out) ? c->size : sizeof(*out));
    return BERTH_OK;
}

static berth_status check_config(const plugin_kind *kind, const berth_daemon_config *c,
                                 berth_error *error)
{
    if (c->name && !daemon_name_valid(c->name))
        return fail(error, BERTH_ERR_INVALID,
                    "'%s' is no name for a daemon: use 1 to 127 of a-z A-Z 0-9 - _ .", c->name);
    if (c->config_len > CONFIG_LEN_MAX)
        return fail(error, BERTH_ERR_LIMIT, "the configuration has %llu bytes, 65536 are allowed",
                    (unsigned long long)c->config_len);
    if (c->config_len && kind->facts->config == CONFIG_NONE)
        return fail(error, BERTH_ERR_INVALID, "kind '%s' takes no configuration",
                    kind->facts->name);
    if (c->durability > DURABILITY_SNAPSHOT)
        return fail(error, BERTH_ERR_UNSUPPORTED,
                    "durability %u is not supported: use volatile or snapshot", c->durability);
    if (!kind->facts->stateful && c->auto_snapshot)
        return fail(error, BERTH_ERR_INVALID,
                    "kind '%s' has no state to snapshot every %llu events", kind->facts->name,
                    (unsigned long long)c->auto_snapshot);
    return BERTH_OK;
}

static factory *make_factory(const spawn_wish *wish, const berth_daemon_config *c,
                             berth_error *error)
{
    factory *f = factory_new();
    if (!f)
        goto memory;
    f->kind = plugin_kind_ref(wish->kind);
    f->origin = wish->identity->origin;
    f->key = *wish->identity;
    f->has_key = berth_keypair_is_full(&f->key);
    f->rehearsed = wish->rehearsal;
    f->durability = spawn_durability(wish->kind, c->durability);
    f->auto_snapshot = c->auto_snapshot;
    if (c->config_len) {
        f->config = buf_new(c->config_len + 1);
        if (!f->config)
            goto memory;
        memcpy(f->config->data, c->config, c->config_len);
        f->config->data[c->config_len] = 0;
    }
    return f;
memory:
    if (f)
        factory_unref(f);
    fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return NULL;
}

void daemon_default_name(char out[DAEMON_NAME_MAX + 1], const char *kind, uint64_t origin)
{
    size_t n = strnlen(kind, DAEMON_NAME_MAX - ID_TEXT);
    memcpy(out, kind, n);
    out[n] = '-';
    id_encode(out + n + 1, origin);
}

/* The one that was asked for, else the one it had, else one that is its own. */
static void choose_name(char name[DAEMON_NAME_MAX + 1], const factory *f, const char *asked,
                        slice had)
{
    if (asked) {
        memcpy(name, asked, strlen(asked) + 1); /* valid, so it fits */
        return;
    }
    if (had.len && had.len <= DAEMON_NAME_MAX) {
        memcpy(name, had.ptr, had.len);
        name[had.len] = 0;
        if (daemon_name_valid(name) && registry_name_fits(name, f->origin))
            return;
    }
    daemon_default_name(name, f->kind->facts->name, f->origin);
}

static struct daemon *make_daemon(runtime *rt, factory *f, const berth_daemon_config *config,
                                  slice had)
{
    char name[DAEMON_NAME_MAX + 1];
    choose_name(name, f, config->name, had);
    size_t name_size = strlen(name) + 1;
    struct daemon *d = calloc(1, sizeof(*d) + name_size);
    if (!d)
        return NULL;
    d->name = memcpy(d + 1, name, name_size);
    atomic_init(&d->refs, 1);
    d->handle.host = runtime_host_table();
    d->task.run = daemon_task;
    d->rt = rt;
    d->make = f;
    d->origin = f->origin;
    pthread_mutex_init(&d->lock, NULL);
    d->state = BERTH_DAEMON_RUNNING;
    d->seed = runtime_seed(rt);
    d->incarnation = 1;
    d->epoch = 1;
    d->started_wall_ns = clock_wall_ns();
    d->sequence_limit = rt->store ? rt->sequence_block : UINT64_MAX;
    chain_init(&d->chain, d->origin);
    return d;
}

void daemon_unref(struct daemon *d)
{
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (d->more) {
        strmap_fini_values(&d->more->cursors);
        map64_fini(&d->more->timers);
        map64_fini(&d->more->requests);
        ledger_fini(&d->more->ledger);
        bonds_fini(&d->more->bonds);
        bonds_fini(&d->more->wants);
        free(d->more);
    }
    horizon_fini(&d->seen);
    ring_unref(d->outputs);
    buf_unref(d->last_snapshot);
    pthread_mutex_destroy(&d->lock);
    free(d->quarantine);
    buf_unref(d->came);
    buf_unref(d->tokens);
    buf_unref(d->accept);
    factory_unref(d->make);
    free(d);
}

/* ---- Building -------------------------------------------------------------------------------- */

typedef struct creation {
    latch wait;
    instance *made;
} creation;

static void created(void *ctx, berth_status status, instance *made, const berth_error *error)
{
    creation *c = ctx;
    c->made = made;
    latch_answer(&c->wait, status, error);
}

static berth_status make_instance(struct daemon *d, const spawn_wish *wish, const container *from,
                                  runner *on, berth_error *error)
{
    berth_birth birth;
    creation c = {.made = NULL};
    rebuild_birth(d, from ? from->snapshot.state : (slice){0},
                  from ? rebuild_version(wish->kind, from) : 0, from != NULL, &birth);
    instance_spec spec = {
        .kind = wish->kind,
        .daemon = &d->handle,
        .birth = &birth,
        .limits = {d->rt->limits.max_outputs, d->rt->limits.max_output_bytes},
        .self = wish->self,
    };
    latch_init(&c.wait, 1);
    bool before = dispatcher_enter(true);
    atomic_store_explicit(&on->origin, d->origin, memory_order_relaxed);
    atomic_fetch_add_explicit(&on->calls, 1, memory_order_relaxed);
    d->rt->instances->create(&spec, on, created, &c);
    atomic_store_explicit(&on->origin, 0, memory_order_relaxed);
    dispatcher_enter(before);
    berth_status status = latch_wait(&c.wait, error);
    latch_fini(&c.wait);
    d->inst = c.made;
    return status;
}

static berth_status read_snapshot(const spawn_wish *wish, container *c, berth_error *error)
{
    berth_status status = rebuild_read(wish->snapshot, c, error);
    if (status != BERTH_OK)
        return status;
    if (!entity_eq(c->snapshot.entity, wish->identity->entity)) {
        char theirs[BERTH_ENTITY_DISPLAY], ours[BERTH_ENTITY_DISPLAY];
        return fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                    "the snapshot is of identity %s, not of %s: give the identity it was taken of",
                    berth_entity_display(theirs, c->snapshot.entity),
                    berth_entity_display(ours, wish->identity->entity));
    }
    return rebuild_check(wish->kind, c, error);
}

/* An identity that ran here before must not repeat (origin, sequence). */
static berth_status heed_mark(struct daemon *d, berth_error *error)
{
    uint64_t incarnation = 0, sequence = 0;
    berth_status status =
        store_get_mark(d->rt->store, d->make->key.entity, &incarnation, &sequence, error);
    if (status != BERTH_OK || !incarnation)
        return status;
    /* Restored where it stopped: nothing has left since, the chain goes on. */
    if (d->incarnation == incarnation && d->chain.head.sequence == sequence && sequence)
        d->sequence_limit = sequence + d->rt->sequence_block;
    else
        daemon_go_on_above(d, incarnation, sequence);
    return BERTH_OK;
}

/* Above the epoch at which another host got it: that one yields, should it turn up. */
static berth_status take_over(struct daemon *d, berth_error *error)
{
    uint64_t gone = 0;
    berth_status status =
        d->rt->store ? store_get_gone(d->rt->store, d->make->key.entity, &gone, error) : BERTH_OK;
    d->epoch = (gone > d->epoch ? gone : d->epoch) + 1;
    return status;
}

static void destroyed(void *ctx)
{
    latch_answer(ctx, BERTH_OK, NULL);
}

static void unmake_instance(struct daemon *d, runner *on)
{
    latch wait;
    latch_init(&wait, 1);
    bool before = dispatcher_enter(true);
    d->inst->ops->destroy(d->inst, on, destroyed, &wait);
    dispatcher_enter(before);
    latch_wait(&wait, NULL);
    latch_fini(&wait);
    d->inst = NULL;
}

/* Nothing comes in any more: a plugin's own thread, a timer or a channel may have reached a daemon
 * that nobody can find yet. */
static void close_mailbox(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    d->gone = d->finished = true;
    pthread_mutex_unlock(&d->lock);
    daemon_leave_all(d);
    dues_drop(d);
    mailbox_cancel(d);
    daemon_unlink(d);
}

/* The daemon, with identity and name its own. Nothing is left on an error. */
static berth_status claim(runtime *rt, const spawn_wish *wish, const berth_daemon_config *config,
                          slice had, struct daemon **out, berth_error *error)
{
    factory *f = make_factory(wish, config, error);
    if (!f)
        return BERTH_ERR_NO_MEMORY;
    /* The identity first: whoever has it keeps it, and no plugin code runs for nothing. */
    berth_status status = factories_add(&rt->factories, f, error);
    if (status != BERTH_OK) {
        factory_unref(f);
        return status;
    }
    struct daemon *d = make_daemon(rt, f, config, had);
    status = d ? registry_claim_name(&rt->registry, d, error)
               : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK) {
        *out = d;
        return status;
    }
    factories_remove(&rt->factories, f);
    if (d)
        daemon_unref(d);
    else
        factory_unref(f);
    return status;
}

/* All that stands around the state, before plugin code runs. */
static berth_status furnish(struct daemon *d, const spawn_wish *wish,
                            const berth_daemon_config *config, const container *from,
                            berth_error *error)
{
    berth_status status = BERTH_OK;
    if (wish->row) {
        d->incarnation = wish->row->incarnation;
        d->epoch = wish->row->epoch;
        d->sequence_limit = wish->row->sequence_limit;
    }
    d->quiet = wish->epoch != 0;
    if (from && wish->came.len && !(d->came = buf_copy(wish->came.ptr, wish->came.len)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (from && status == BERTH_OK)
        status = rebuild_restore(d, from, error);
    if (status == BERTH_OK)
        status = daemon_wants(d, config, wish->row ? wish->row->wants : wish->wants, error);
    if (status == BERTH_OK)
        status = daemon_claim_all(d, error);
    if (status == BERTH_OK && d->more && d->more->bonds.token_count)
        daemon_show_tokens(d);
    return status;
}

/* What is due, and from which sequence on it may speak. */
static berth_status settle(struct daemon *d, const spawn_wish *wish,
                           const berth_daemon_config *config, const container *from,
                           berth_error *error)
{
    runtime *rt = d->rt;
    berth_status status = BERTH_OK;
    if (from)
        rebuild_dues(d, from, clock_wall_ns());
    if (from && rt->store && !wish->row)
        d->sequence_limit = d->chain.head.sequence + rt->sequence_block;
    if (wish->epoch)
        d->epoch = wish->epoch;
    if (config->takeover && !wish->row)
        status = take_over(d, error);
    if (status == BERTH_OK && rt->store && !wish->row && !wish->epoch)
        status = heed_mark(d, error);
    return status;
}

/* To rebuild it from, where no store has it. */
static berth_status remember(struct daemon *d, const spawn_wish *wish, berth_error *error)
{
    if (d->rt->store || !wish->snapshot.ptr)
        return BERTH_OK;
    d->last_snapshot = buf_copy(wish->snapshot.ptr, wish->snapshot.len);
    return d->last_snapshot ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static void unmake(struct daemon *d, runner *on)
{
    close_mailbox(d);
    if (d->inst)
        unmake_instance(d, on);
    registry_release_name(&d->rt->registry, d);
    factories_remove(&d->rt->factories, d->make);
    daemon_unref(d);
}

berth_status spawn_build(runtime *rt, const spawn_wish *wish, runner *on, struct daemon **out,
                         berth_error *error)
{
    container c = {0};
    const container *from = wish->snapshot.ptr ? &c : NULL;
    struct daemon *d = NULL;
    berth_daemon_config config;
    berth_status status = take_config(&config, wish->config, error);
    if (status == BERTH_OK)
        status = check_config(wish->kind, &config, error);
    if (status == BERTH_OK && !berth_keypair_is_full(wish->identity))
        status = fail(error, BERTH_ERR_READ_ONLY,
                      "the identity has no secret half: it cannot run a daemon");
    if (status == BERTH_OK && from)
        status = read_snapshot(wish, &c, error);
    if (status == BERTH_OK)
        status = claim(rt, wish, &config, c.name, &d, error);
    if (status == BERTH_OK)
        status = remember(d, wish, error);
    if (status == BERTH_OK)
        status = furnish(d, wish, &config, from, error);
    if (status == BERTH_OK)
        status = make_instance(d, wish, from, on, error);
    if (status == BERTH_OK)
        status = settle(d, wish, &config, from, error);
    container_fini(&c);
    if (status != BERTH_OK && d) {
        unmake(d, on);
        d = NULL;
    }
    *out = d;
    return status;
}

berth_status spawn_rehearse(runtime *rt, const spawn_wish *wish, runner *on, struct daemon **out,
                            berth_error *error)
{
    container c = {0};
    struct daemon *d = NULL;
    berth_status status = check_config(wish->kind, wish->config, error);
    if (status == BERTH_OK)
        status = read_snapshot(wish, &c, error);
    if (status == BERTH_OK)
        status = claim(rt, wish, wish->config, c.name, &d, error);
    if (status == BERTH_OK) {
        chain_resume(&d->chain, &c.snapshot.link, c.snapshot.next_parent);
        d->inputs = c.inputs;
        d->quiet = true;
        status = remember(d, wish, error);
    }
    if (status == BERTH_OK && !horizon_clone(&d->seen, &c.horizon))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = make_instance(d, wish, &c, on, error);
    container_fini(&c);
    if (status != BERTH_OK && d) {
        unmake(d, on);
        d = NULL;
    }
    *out = d;
    return status;
}

static berth_status check_reached(const struct daemon *d, const container *c, berth_error *error)
{
    const berth_link *is = &d->chain.head, *said = &c->snapshot.link;
    if (d->inputs != c->inputs)
        return fail(error, BERTH_ERR_CORRUPT,
                    "it has run %llu events, but %llu are known: some did not come",
                    (unsigned long long)c->inputs, (unsigned long long)d->inputs);
    if (is->sequence != said->sequence || is->horizon != said->horizon ||
        is->parent != said->parent || d->chain.next_parent != c->snapshot.next_parent)
        return fail(error, BERTH_ERR_PLUGIN,
                    "kind '%s' is not deterministic: run again, the same events came to another "
                    "chain (sequence %llu, it was %llu)",
                    daemon_kind_name(d), (unsigned long long)is->sequence,
                    (unsigned long long)said->sequence);
    return BERTH_OK;
}

berth_status spawn_perform(struct daemon *d, const spawn_wish *wish, berth_error *error)
{
    container c = {0};
    berth_status status = read_snapshot(wish, &c, error);
    if (status == BERTH_OK && !berth_keypair_is_full(wish->identity))
        status = fail(error, BERTH_ERR_READ_ONLY,
                      "the identity has no secret half: it cannot run a daemon");
    if (status == BERTH_OK)
        status = check_reached(d, &c, error);
    if (status == BERTH_OK) {
        factories_know(&d->rt->factories, d->make, wish->identity);
        horizon_fini(&d->seen); /* as the source has it: what of which node it is not told */
        status = furnish(d, wish, wish->config, &c, error);
    }
    if (status == BERTH_OK)
        status = settle(d, wish, wish->config, &c, error);
    container_fini(&c);
    return status;
}

void spawn_abandon(struct daemon *d, runner *on)
{
    unmake(d, on);
}

/* ---- Recording ------------------------------------------------------------------------------- */

berth_status spawn_row(struct daemon *d, void (*fn)(void *ctx, const store_daemon *row), void *ctx,
                       berth_error *error)
{
    const runtime *rt = d->rt;
    uint8_t sealed[SEAL_SIZE];
    plugin_info info;
    writer wants = {0};
    berth_status status =
        seal_identity(sealed, &d->make->key, rt->host_key, "daemon", d->epoch, error);
    if (status == BERTH_OK)
        status = daemon_wants_bytes(d, &wants, error);
    if (status != BERTH_OK) {
        writer_free(&wants);
        return status;
    }
    plugin_kind_info(d->make->kind, &info);
    char own_name[DAEMON_NAME_MAX + 1];
    daemon_default_name(own_name, daemon_kind_name(d), d->origin);
    const buf *config = d->make->config;
    store_daemon row = {
        .origin = d->origin,
        .name = strcmp(d->name, own_name) == 0 ? "" : d->name,
        .kind = daemon_kind_name(d),
        .plugin = kind_has_file(&info) ? info.manifest->name : "",
        .identity = slice_of(sealed, sizeof(sealed)),
        .config = config ? slice_of(config->data, config->len - 1) : (slice){0},
        .wants = slice_of(wants.data, wants.len),
        .desired = STORE_RUN,
        .durability = d->make->durability,
        .auto_snapshot = d->make->auto_snapshot,
        .incarnation = d->incarnation,
        .epoch = d->epoch,
        .sequence_limit = d->sequence_limit,
        .created_wall_ns = d->started_wall_ns,
    };
    memcpy(row.entity, d->make->key.entity, sizeof(row.entity));
    memcpy(row.digest, info.digest, sizeof(row.digest));
    fn(ctx, &row);
    writer_free(&wants);
    return BERTH_OK;
}

typedef struct recording {
    store *s;
    store_done *done;
    void *ctx;
} recording;

static void add_row(void *ctx, const store_daemon *row)
{
    const recording *r = ctx;
    store_add_daemon(r->s, row, r->done, r->ctx);
}

void spawn_record(struct daemon *d, store_done *done, void *ctx)
{
    recording r = {d->rt->store, done, ctx};
    berth_error error = {0};
    berth_status status = spawn_row(d, add_row, &r, &error);
    if (status != BERTH_OK)
        done(ctx, status, &error);
}

/* ---- Publishing ------------------------------------------------------------------------------ */

bool daemon_open_gate(struct daemon *d)
{
    const route *r = &d->rt->route;
    bool may = !r->may_run || r->may_run(r->ctx, d->make->key.entity, d->epoch);
    pthread_mutex_lock(&d->lock);
    d->gate_open = may;
    if (!d->refusing)
        d->state = may && !d->held ? BERTH_DAEMON_RUNNING : BERTH_DAEMON_HELD;
    pthread_mutex_unlock(&d->lock);
    if (may)
        mailbox_kick(d);
    else
        log_warn("daemon", "%s: held: this host may not run it now", d->name);
    return may;
}

berth_status spawn_publish(struct daemon *d, int32_t reason, runner *on, berth_error *error)
{
    runtime *rt = d->rt;
    send_start(d, reason);
    daemon_join_all(d);
    observers_tell(&rt->observers, BERTH_LIFECYCLE_REGISTERED, d, 0, "");
    atomic_fetch_add_explicit(&rt->spawned, 1, memory_order_relaxed);
    if (registry_add(&rt->registry, d) != BERTH_OK) {
        observers_tell(&rt->observers, BERTH_LIFECYCLE_UNREGISTERED, d, 0, "");
        spawn_abandon(d, on);
        return fail(error, BERTH_ERR_EXISTS, "the daemon's origin is already registered");
    }
    observers_refresh(&rt->observers, d);
    /* Whoever shuts down sees us in the table, or we see that it does (compute-core K11). Others
     * may have found the daemon by now, and the shutdown may be ending it: it ends as any other
     * does. */
    if (atomic_load(&rt->state) != BERTH_RUNTIME_READY) {
        daemon_end(d);
        daemon_unref(d);
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down");
    }
    daemon_open_gate(d);
    daemon_unref(d);
    return BERTH_OK;
}

berth_status spawn_finish(struct daemon *d, int32_t reason, berth_status recorded, runner *on,
                          berth_error *error)
{
    runtime *rt = d->rt;
    uint8_t entity[BERTH_ENTITY_SIZE];
    memcpy(entity, d->make->key.entity, sizeof(entity));
    if (recorded != BERTH_OK) {
        spawn_abandon(d, on);
        return recorded;
    }
    berth_status status = spawn_publish(d, reason, on, error);
    if (status != BERTH_OK && rt->store)
        store_remove_daemon(rt->store, entity, NULL, NULL);
    return status;
}
