/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a daemon back together: from a container at its start, and from its last snapshot when
 * its instance broke. A daemon that breaks again and again goes into quarantine: its gate is
 * closed, its mail waits, and an operator decides.
 */
#include "daemon/rebuild.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "identity/entity.h"

#include <stdlib.h>
#include <string.h>

#define BREAK_WINDOW_NS 60000000000

berth_status rebuild_read(slice bytes, container *out, berth_error *error)
{
    berth_status status = container_decode(out, bytes, error);
    if (status != BERTH_OK)
        return fail_prefix(error, "snapshot");
    if (out->guessed)
        log_warn("daemon",
                 "%.*s: the snapshot does not carry the hash its chain continues with: the link "
                 "after it is a guess",
                 (int)out->name.len, (const char *)out->name.ptr);
    return BERTH_OK;
}

static berth_status restore_cursors(struct daemon *d, const container *c)
{
    if (!c->cursor_count)
        return BERTH_OK;
    extras *x = daemon_extras(d);
    for (size_t i = 0; x && i < c->cursor_count && i < CURSORS_MAX; i++) {
        cursor_entry *e = malloc(sizeof(*e) + c->cursors[i].source.len + 1);
        if (!e)
            return BERTH_ERR_NO_MEMORY;
        e->sequence = c->cursors[i].sequence;
        memcpy(e->source, c->cursors[i].source.ptr, c->cursors[i].source.len);
        e->source[c->cursors[i].source.len] = 0;
        if (!strmap_put(&x->cursors, slice_of(e->source, c->cursors[i].source.len), e)) {
            free(e);
            return BERTH_ERR_NO_MEMORY;
        }
    }
    return x ? BERTH_OK : BERTH_ERR_NO_MEMORY;
}

/* What it has sent to other nodes, and received from there. */
static berth_status restore_link(struct daemon *d, const container *c, berth_error *error)
{
    const route *r = &d->rt->route;
    bool needed = c->sent.len != 0;
    for (size_t i = 0; i < c->cursor_count && !needed; i++)
        needed = r->receives && r->receives(r->ctx, c->cursors[i].source);
    if (!needed)
        return BERTH_OK;
    if (!r->attach) {
        log_warn("daemon",
                 "%s: its snapshot has events to daemons on other nodes: this host has no mesh, "
                 "they are dropped",
                 d->name);
        return BERTH_OK;
    }
    route_link *link = daemon_link(d);
    if (!link)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < c->cursor_count; i++)
        r->applied(r->ctx, link, c->cursors[i].source, c->cursors[i].sequence);
    return c->sent.len ? r->restore(r->ctx, link, c->sent, error) : BERTH_OK;
}

berth_status rebuild_restore(struct daemon *d, const container *c, berth_error *error)
{
    chain_resume(&d->chain, &c->snapshot.link, c->snapshot.next_parent);
    atomic_store_explicit(&d->sequence, d->chain.head.sequence, memory_order_relaxed);
    d->inputs = d->committed = c->inputs;
    d->started = c->started;
    keep_size(d, c->snapshot.state.len);
    if (c->incarnation > d->incarnation)
        d->incarnation = c->incarnation;
    if (c->epoch > d->epoch)
        d->epoch = c->epoch;
    if (!horizon_clone(&d->seen, &c->horizon) || restore_cursors(d, c) != BERTH_OK)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (c->came.len && !d->came && !(d->came = buf_copy(c->came.ptr, c->came.len)))
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (c->snapshot.bindings.len) {
        extras *x = daemon_extras(d);
        if (!x)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        berth_status status = ledger_decode(&x->ledger, c->snapshot.bindings, error);
        if (status != BERTH_OK)
            return status;
    }
    if (!bonds_empty(&c->bonds)) {
        extras *x = daemon_extras(d);
        berth_status status = x ? bonds_copy(&x->bonds, &c->bonds, error)
                                : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        if (status != BERTH_OK)
            return status;
    }
    return restore_link(d, c, error);
}

void rebuild_dues(struct daemon *d, const container *c, int64_t now_wall)
{
    for (size_t i = 0; i < c->timer_count; i++) {
        const container_timer *t = &c->timers[i];
        /* By the calendar: a timer that was due while the host was down fires at once. */
        int64_t in = t->deadline_wall > now_wall ? t->deadline_wall - now_wall : 0;
        if (in > t->remaining_ns && t->remaining_ns >= 0)
            in = t->remaining_ns; /* a clock that was set back must not delay it */
        buf *data = buf_new(EFFECT_HEAD + t->data.len);
        if (!data)
            continue;
        if (t->data.len)
            memcpy(data->data + EFFECT_HEAD, t->data.ptr, t->data.len);
        due_set(d, false, t->number, 0, data, in, t->deadline_wall);
        buf_unref(data);
    }
    for (size_t i = 0; i < c->request_count; i++) {
        const container_request *r = &c->requests[i];
        int64_t in = r->deadline_wall > now_wall ? r->deadline_wall - now_wall : 0;
        due_set(d, true, r->request, r->target, NULL, in, r->deadline_wall);
    }
}

void rebuild_birth(struct daemon *d, slice state, uint32_t state_version, bool restored,
                   berth_birth *out)
{
    const runtime_limits *l = &d->rt->limits;
    const buf *config = d->make->config;
    *out = (berth_birth){
        .size = sizeof(*out),
        .state_version = restored ? state_version : 0,
        .origin = d->origin,
        .daemon = &d->handle,
        .name = {d->name, strlen(d->name)},
        .config = {config ? (const void *)config->data : "", config ? config->len - 1 : 0},
        .max_event = l->max_event,
        .max_outputs = l->max_outputs,
        .max_output_bytes = l->max_output_bytes,
        .max_state = l->max_state,
        .time_ns = clock_wall_ns(),
        .seed = {runtime_seed(d->rt), runtime_seed(d->rt)},
    };
    /* State of no bytes is state all the same: never NULL. A kind without state is born new. */
    if (restored && d->make->kind->facts->stateful)
        out->state = (berth_bytes){state.ptr ? state.ptr : (const uint8_t *)"", state.len};
    if (out->time_ns > d->last_time_ns)
        d->last_time_ns = out->time_ns;
}

berth_status rebuild_check(const plugin_kind *kind, const container *c, berth_error *error)
{
    const manifest_kind *f = kind->facts;
    if (!f->stateful && c->snapshot.state.len)
        return fail(error, BERTH_ERR_CORRUPT,
                    "kind '%s' is stateless but the snapshot has %zu bytes of state: is it of "
                    "another kind?",
                    f->name, c->snapshot.state.len);
    if (!f->stateful || c->bare)
        return BERTH_OK;
    if (c->state_version > f->state_writes)
        return fail(
            error, BERTH_ERR_VERSION,
            "the snapshot has state version %u, kind '%s' reads %u to %u: load a newer plugin",
            c->state_version, f->name, f->state_reads_oldest, f->state_writes);
    if (c->state_version < f->state_reads_oldest)
        return fail(
            error, BERTH_ERR_VERSION,
            "the snapshot has state version %u, kind '%s' reads %u to %u: upgrade through an older "
            "plugin that reads it",
            c->state_version, f->name, f->state_reads_oldest, f->state_writes);
    return BERTH_OK;
}

/* ---- After a break --------------------------------------------------------------------------- */

/* What is lent to create until it answers, which may be after daemon_remake has returned. */
typedef struct remaking {
    struct daemon *d;
    instance_created *done;
    berth_birth birth;
    instance_spec spec;
} remaking;

static void remaking_over(void *ctx, berth_status status, instance *made, const berth_error *error)
{
    remaking *r = ctx;
    r->done(r->d, status, made, error);
    free(r);
}

/* Where there is a store, the last snapshot is there, not in memory. */
static berth_status fetch_last(struct daemon *d, berth_error *error)
{
    store *s = d->rt->store;
    if (!s)
        return BERTH_OK;
    store_barrier(s,
                  NULL); /* one may still be on its way; whether it arrived its `done` has told */
    berth_status status = store_get_snapshot(s, d->make->key.entity, &d->last_snapshot, error);
    if (status == BERTH_ERR_NOT_FOUND) {
        *error = (berth_error){0};
        status = BERTH_OK;
    }
    return status;
}

static void drop_last(struct daemon *d)
{
    if (!d->rt->store)
        return;
    buf_unref(d->last_snapshot);
    d->last_snapshot = NULL;
}

instance_answer daemon_remake(struct daemon *d, runner *on, instance_created *done)
{
    container c = {0};
    berth_error error = {0};
    remaking *r = calloc(1, sizeof(*r));
    d->broken = false;
    atomic_fetch_add_explicit(&d->breaks, 1, memory_order_relaxed);
    if (!r)
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    else if (fetch_last(d, &error) == BERTH_OK && d->last_snapshot)
        rebuild_read(slice_of(d->last_snapshot->data, d->last_snapshot->len), &c, &error);
    if (!r || error.code) {
        free(r);
        done(d, error.code, NULL, &error);
        return INSTANCE_DONE;
    }
    /* The state lies in last_snapshot, which stays. */
    rebuild_birth(d, c.snapshot.state, rebuild_version(d->make->kind, &c), d->last_snapshot != NULL,
                  &r->birth);
    r->d = d;
    r->done = done;
    r->spec = (instance_spec){
        .kind = d->make->kind,
        .daemon = &d->handle,
        .birth = &r->birth,
        .limits = {d->rt->limits.max_outputs, d->rt->limits.max_output_bytes},
    };
    container_fini(&c);
    return d->rt->instances->create(&r->spec, on, remaking_over, r);
}

static void drop_cursors(struct daemon *d)
{
    void *value;
    for (size_t at = 0; strmap_next(&d->more->cursors, &at, NULL, &value);)
        free(value);
    strmap_fini(&d->more->cursors);
}

/*
 * What stands around the state goes back with it: timers and requests as they were, or the daemon
 * would wait for what came already; cursors, or what it has forgotten could not be sent again. Of
 * its subscriptions none is taken away: some were made by others.
 */
static void go_back(struct daemon *d)
{
    container c = {0};
    ledger before = {0};
    berth_error error = {0};
    if (d->more) {
        dues_drop(d);
        drop_cursors(d);
    }
    if (!d->last_snapshot)
        return;
    berth_status status =
        rebuild_read(slice_of(d->last_snapshot->data, d->last_snapshot->len), &c, &error);
    if (status == BERTH_OK) {
        rebuild_dues(d, &c, clock_wall_ns());
        status = restore_cursors(d, &c);
    }
    if (status == BERTH_OK && c.snapshot.bindings.len)
        status = ledger_decode(&before, c.snapshot.bindings, &error);
    for (size_t i = 0; status == BERTH_OK && i < before.count; i++) {
        binding b = ledger_at(&before, i);
        slice group = {0};
        if (d->more && ledger_has(&d->more->ledger, b.publisher, b.channel))
            continue; /* as it is now: its token may be newer */
        bonds_find(&c.bonds, b.channel, &group);
        status = daemon_subscribe(d, b.publisher, b.channel, &group, b.has_token ? &b.token : NULL,
                                  true, &error);
    }
    if (status != BERTH_OK)
        log_error("daemon", "%s: not all that stood around its state is back: %s", d->name,
                  error.text[0] ? error.text : berth_status_text(status));
    ledger_fini(&before);
    container_fini(&c);
}

static void quarantine(struct daemon *d, const char *why)
{
    char *copy = strdup(why);
    pthread_mutex_lock(&d->lock);
    d->gate_open = false;
    d->state = BERTH_DAEMON_QUARANTINED;
    free(d->quarantine);
    d->quarantine = copy;
    pthread_mutex_unlock(&d->lock);
    atomic_fetch_add_explicit(&d->rt->quarantined, 1, memory_order_relaxed);
    log_error("daemon", "%s: quarantined, its mail waits: %s", d->name, why);
}

static void go_on_after_break(struct daemon *d, berth_status status, const berth_error *error)
{
    runtime *rt = d->rt;
    int64_t now = clock_mono_ns();
    if (now - d->break_window_ns > BREAK_WINDOW_NS) {
        d->break_window_ns = now;
        d->recent_breaks = 0;
    }
    d->recent_breaks++;
    observers_tell(&rt->observers, BERTH_LIFECYCLE_CRASHED, d, 0,
                   status == BERTH_OK ? "it asked to be destroyed" : error->text);
    if (status != BERTH_OK) {
        quarantine(d, error->text);
        return;
    }
    if (d->recent_breaks > rt->limits.breaks_allowed) {
        quarantine(d, "it breaks again and again");
        return;
    }
    log_warn("daemon", "%s: it broke and was rebuilt %s", d->name,
             d->last_snapshot ? "from its last snapshot" : "without state");
    go_back(d);
    daemon_new_incarnation(d, d->incarnation + 1, d->chain.head.sequence + 1);
    keep_raise(d);
    send_start(d, d->last_snapshot ? BERTH_START_RESTORED : BERTH_START_NEW);
}

void daemon_remade(struct daemon *d, berth_status status, const berth_error *error)
{
    go_on_after_break(d, status, error);
    drop_last(d);
}

void daemon_new_incarnation(struct daemon *d, uint64_t incarnation, uint64_t base_sequence)
{
    extras *x = daemon_extras(d);
    berth_error error = {0};
    if (!x || discontinuity_make(&x->record, &d->make->key, &d->chain.head, incarnation,
                                 base_sequence, &error) != BERTH_OK) {
        log_error("daemon", "%s: no discontinuity record: %s", d->name,
                  x ? error.text : "out of memory");
        return;
    }
    x->has_record = true;
    discontinuity_chain(&d->chain, &x->record);
    atomic_store_explicit(&d->sequence, d->chain.head.sequence, memory_order_relaxed);
    pthread_mutex_lock(&d->lock);
    d->incarnation = incarnation;
    pthread_mutex_unlock(&d->lock);
}

void daemon_go_on_above(struct daemon *d, uint64_t incarnation, uint64_t sequence)
{
    uint64_t head = d->chain.head.sequence, block = d->rt->sequence_block;
    uint64_t base = (sequence > head ? sequence : head) + 1;
    if (incarnation < d->incarnation)
        incarnation = d->incarnation;
    daemon_new_incarnation(d, incarnation + 1, base);
    d->sequence_limit = base > UINT64_MAX - block ? UINT64_MAX : base + block;
    commit_record(d); /* nobody sees it before the daemon is published */
}
