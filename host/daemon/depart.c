/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon leaves.
 *
 * It is held (no batch is begun), and once no batch is half run and its outbox is empty its state
 * is taken. In the same turn its mailbox is frozen: what waits there is set aside, nothing more is
 * taken in but what the host itself makes, and senders wait for room. What was set aside is of
 * three sorts: events that were accepted for good (of daemons here) go along; those that somebody
 * else still answers for (flows of other nodes, clients) are told that they were not taken, or go
 * after the daemon; those that the host made of timers and requests are made again from the state.
 */
#include "daemon/departure.h"
#include "daemon/held.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void departure_unref(departure *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1)
        return;
    berth_keypair_wipe(&x->key);
    departure_packed(x);
    tap_unref(x->tap);
    daemon_unref(x->d);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

/* ---- What it is made of ---------------------------------------------------------------------- */

/* version u8 (1), durability u32, auto_snapshot u64, configuration (length u32, bytes), wishes (the
 * same) */
#define MAKE_VERSION 1

buf *departure_make(struct daemon *d, berth_error *error)
{
    writer w = {0}, wants = {0};
    const buf *config = d->make->config;
    buf *out = NULL;
    if (daemon_wants_bytes(d, &wants, error) == BERTH_OK) {
        writer_u8(&w, MAKE_VERSION);
        writer_u32(&w, d->make->durability);
        writer_u64(&w, d->make->auto_snapshot);
        writer_u32(&w, config ? (uint32_t)(config->len - 1) : 0);
        writer_bytes(&w, config ? config->data : NULL, config ? config->len - 1 : 0);
        writer_u32(&w, (uint32_t)wants.len);
        writer_bytes(&w, wants.data, wants.len);
        out = w.failed ? NULL : buf_copy(w.data, w.len);
        if (!out)
            fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    writer_free(&wants);
    writer_free(&w);
    return out;
}

berth_status moving_make_read(slice bytes, berth_daemon_config *config, slice *wants,
                              berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);
    *config = (berth_daemon_config){.size = sizeof(*config)};
    config->durability = reader_u32(&r);
    config->auto_snapshot = reader_u64(&r);
    slice text = reader_bytes(&r, reader_u32(&r));
    config->config = text.ptr;
    config->config_len = text.len;
    *wants = reader_bytes(&r, reader_u32(&r));
    if (reader_ok(&r) && version != MAKE_VERSION)
        return fail(error, BERTH_ERR_VERSION,
                    "what the daemon is made of is of version %u, only %d is known", version,
                    MAKE_VERSION);
    if (!reader_done(&r))
        return fail(error, BERTH_ERR_CORRUPT, "what the daemon is made of is damaged");
    return BERTH_OK;
}

berth_status moving_make_check(slice make, berth_error *error)
{
    berth_daemon_config config;
    slice wants;
    return moving_make_read(make, &config, &wants, error);
}

berth_status moving_held_count(slice held, uint32_t *count, berth_error *error)
{
    return held_read(held, NULL, NULL, count, error);
}

berth_status runtime_moving_facts(runtime *rt, uint64_t origin,
                                  void (*fn)(void *ctx, const moving_facts *f), void *ctx,
                                  berth_error *error)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    const manifest_kind *kind = d->make->kind->facts;
    plugin_info info;
    pthread_mutex_lock(&d->lock);
    bool fit = !d->gone && !d->refusing && d->state != BERTH_DAEMON_QUARANTINED;
    uint64_t incarnation = d->incarnation, epoch = d->epoch;
    berth_link head = d->turn_head;
    pthread_mutex_unlock(&d->lock);
    if (!fit) {
        daemon_unref(d);
        return fail(error, BERTH_ERR_BROKEN, "daemon %016llx is being stopped, or in quarantine",
                    (unsigned long long)origin);
    }
    plugin_kind_info(d->make->kind, &info);
    moving_facts f = {
        .key = &d->make->key,
        .name = d->name,
        .kind = kind->name,
        .plugin = kind_has_file(&info) ? info.manifest->name : "",
        .digest = info.digest,
        .state_version = kind->stateful ? kind->state_writes : 0,
        .state_bytes = atomic_load(&d->state_bytes),
        .epoch = epoch,
        .incarnation = incarnation,
        .deterministic = kind->deterministic,
        .stateful = kind->stateful,
    };
    berth_link_encode(f.head, &head);
    fn(ctx, &f);
    daemon_unref(d);
    return BERTH_OK;
}

moving_place runtime_moving_place(runtime *rt, uint64_t origin, const char *kind)
{
    factory *f = factories_get(&rt->factories, origin);
    moving_place p = {.taken = f && !f->expected, .expected = f && f->expected};
    if (p.expected) {
        p.other_kind = strcmp(f->kind->facts->name, kind) != 0;
        p.has_key = f->has_key;
        p.orchestrator = factories_orchestrator(&rt->factories, origin);
    }
    if (f)
        factory_unref(f);
    return p;
}

bool runtime_moving_key(runtime *rt, uint64_t origin, berth_keypair *out)
{
    return factories_key(&rt->factories, origin, out);
}

bool runtime_has(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (d)
        daemon_unref(d);
    return d != NULL;
}

bool runtime_entity_of(runtime *rt, uint64_t origin, uint8_t entity[BERTH_ENTITY_SIZE])
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return false;
    memcpy(entity, d->make->key.entity, BERTH_ENTITY_SIZE);
    daemon_unref(d);
    return true;
}

bool runtime_kind_of(runtime *rt, uint64_t origin, char *kind, size_t size)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return false;
    snprintf(kind, size, "%s", daemon_kind_name(d));
    daemon_unref(d);
    return true;
}

/* ---- Freezing -------------------------------------------------------------------------------- */

/* The runner's, under x->lock: all that goes along. */
static berth_status take_held(departure *x, berth_error *error)
{
    writer w = {0};
    uint32_t count = 0;
    held_begin(&w);
    for (const batch *b = x->aside; b; b = b->next)
        if (held_takes(b))
            held_add(&w, b, &count);
    held_end(&w, 0, count);
    if (count)
        x->state.held = w.failed ? NULL : buf_copy(w.data, w.len);
    x->state.held_count = count;
    writer_free(&w);
    return count && !x->state.held ? fail(error, BERTH_ERR_NO_MEMORY, "out of memory") : BERTH_OK;
}

bool departure_is_over(departure *x)
{
    pthread_mutex_lock(&x->lock);
    bool over = x->over;
    pthread_mutex_unlock(&x->lock);
    return over;
}

void departure_let_go(departure *x)
{
    pthread_mutex_lock(&x->lock);
    bool before = x->over;
    batch *aside = x->aside;
    x->aside = NULL;
    x->over = true;
    pthread_mutex_unlock(&x->lock);
    if (before)
        return;
    if (x->tap)
        follow_end(x);
    /* What is under way is answered now: it may never be still. */
    pthread_mutex_lock(&x->d->lock);
    x->command.when_still = false;
    pthread_mutex_unlock(&x->d->lock);
    mailbox_thaw(x->d, aside);
}

void departure_note(departure *x, struct daemon *d)
{
    x->key = d->make->key;
    x->state.key = &x->key;
    x->state.epoch = d->epoch;
    x->state.incarnation = d->incarnation;
    x->state.sequence = d->chain.head.sequence;
    berth_link_encode(x->state.head, &d->chain.head);
}

void departure_freeze(departure *x, struct daemon *d, berth_status status, berth_error *error)
{
    pthread_mutex_lock(&d->lock);
    bool ends = d->refusing || d->gone;
    pthread_mutex_unlock(&d->lock);
    if (status == BERTH_OK && ends)
        status = fail(error, BERTH_ERR_CANCELLED, "it stays");
    if (status == BERTH_OK && !(x->state.make = departure_make(d, error)))
        status = error->code;
    if (status == BERTH_OK) {
        departure_note(x, d);
        pthread_mutex_lock(&x->lock);
        /* Whoever resumes it from here on finds it frozen. */
        if (!x->over) {
            x->aside = mailbox_freeze(d);
            status = take_held(x, error);
        }
        pthread_mutex_unlock(&x->lock);
    }
    if (status == BERTH_OK && departure_is_over(x))
        status = fail(error, BERTH_ERR_CANCELLED, "it stays");
    departure_answer(x, status, error);
}

void departure_answer(departure *x, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK)
        departure_let_go(x);
    x->done(x->ctx, x, status, error);
    departure_unref(x);
}

/* On the runner's thread: the state was taken, or could not be. */
static void taken(command *c, struct daemon *d)
{
    departure *x = (departure *)c;
    berth_error error = c->error;
    departure_take_state(x);
    departure_freeze(x, d, c->status, &error);
}

void departure_take_state(departure *x)
{
    command *c = &x->command;
    x->state.snapshot_ns = c->took_ns;
    x->state.container_head = c->head;
    x->state.state = c->state;
    x->state.container_tail = c->tail;
    c->head = c->state = c->tail = NULL;
}

berth_status departure_new(runtime *rt, uint64_t origin, departure_done *done, void *ctx,
                           departure **out, berth_error *error)
{
    *out = NULL;
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    departure *x = calloc(1, sizeof(*x));
    if (!x) {
        daemon_unref(d);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    *x = (departure){.d = d, .done = done, .ctx = ctx};
    atomic_init(&x->refs, 1);
    pthread_mutex_init(&x->lock, NULL);
    *out = x;
    return BERTH_OK;
}

berth_status departure_start(departure *x, command c, berth_error *error)
{
    struct daemon *d = x->d;
    if (!mailbox_leave(d))
        return fail(error, BERTH_ERR_BUSY, "daemon %016llx is leaving already, or ending",
                    (unsigned long long)d->origin);
    if (departure_command(x, c, error) == BERTH_OK)
        return BERTH_OK;
    mailbox_thaw(d, NULL);
    return error->code;
}

berth_status departure_command(departure *x, command c, berth_error *error)
{
    struct daemon *d = x->d;
    x->command = c;
    atomic_fetch_add(&x->refs, 1);
    /* Only what is to be still is held. */
    if ((!c.when_still || mailbox_hold(d)) && mailbox_command(d, &x->command))
        return BERTH_OK;
    atomic_fetch_sub(&x->refs, 1);
    return fail(error, BERTH_ERR_NOT_FOUND, "daemon %016llx has ended",
                (unsigned long long)d->origin);
}

berth_status departure_begin(runtime *rt, uint64_t origin, departure_done *done, void *ctx,
                             departure **out, berth_error *error)
{
    berth_error local = {0};
    berth_status status = departure_new(rt, origin, done, ctx, out, &local);
    if (status == BERTH_OK) {
        (*out)->state.closed_ns = clock_mono_ns();
        status = departure_start(
            *out,
            (command){.kind = COMMAND_SNAPSHOT, .when_still = true, .to_go = true, .done = taken},
            &local);
    }
    return departure_begun(out, status, &local, error);
}

berth_status departure_begun(departure **out, berth_status status, const berth_error *why,
                             berth_error *error)
{
    if (status == BERTH_OK)
        return status;
    if (*out)
        departure_unref(*out);
    *out = NULL;
    if (error)
        *error = *why;
    return status;
}

const departed *departure_state(const departure *x)
{
    return &x->state;
}

void departure_packed(departure *x)
{
    departed *s = &x->state;
    buf_unref(s->make);
    buf_unref(s->container_head);
    buf_unref(s->state);
    buf_unref(s->container_tail);
    buf_unref(s->executed);
    buf_unref(s->held);
    s->make = s->container_head = s->state = s->container_tail = s->executed = s->held = NULL;
}

void departure_resume(departure *x, uint64_t epoch)
{
    if (epoch) { /* frozen: nobody runs it */
        pthread_mutex_lock(&x->d->lock);
        x->d->epoch = epoch;
        pthread_mutex_unlock(&x->d->lock);
    }
    departure_let_go(x);
    runtime_gate_again(x->d->rt, x->d->origin);
}

void departure_free(departure *x)
{
    if (x)
        departure_unref(x);
}

/* ---- Gone ------------------------------------------------------------------------------------ */

/* A batch that a client of this host waits for. */
static bool follows(const runtime *rt, const batch *b)
{
    bool flow = b->source[0] && rt->route.receives &&
                rt->route.receives(rt->route.ctx, slice_str(b->source));
    return rt->route.follow && !flow && !b->from_call && (b->done || b->source[0]) &&
           b->common.type == BERTH_EVENT_MESSAGE;
}

/* Flows of other nodes are sent again, calls of other nodes are told that it is not here: their
 * hosts keep the order of what they send. The rest went along, or is made again there. */
static void tell_not_taken(batch *list)
{
    while (list) {
        batch *b = list;
        list = b->next;
        b->next = NULL;
        batch_give_up(b, b->from_call ? BERTH_ERR_NOT_FOUND : BERTH_ERR_CANCELLED);
    }
}

void departure_release(departure *x)
{
    struct daemon *d = x->d;
    runtime *rt = d->rt;
    batch *following = NULL, *rest = NULL, **follow_end = &following, **end = &rest;
    pthread_mutex_lock(&x->lock);
    batch *list = x->aside;
    x->aside = NULL;
    pthread_mutex_unlock(&x->lock);
    for (batch *b = list, *next; b; b = next) {
        next = b->next;
        b->next = NULL;
        batch ***to = follows(rt, b) ? &follow_end : &end;
        if (to == &follow_end)
            b->system = false;
        **to = b;
        *to = &b->next;
    }
    /* While it is found here what clients hand in has to wait: so that goes behind this. */
    if (following)
        rt->route.follow(rt->route.ctx, d->origin, following);
    atomic_store(&d->moved_out, true);
    daemon_vanish(d);
    tell_not_taken(rest);
    tell_not_taken(mailbox_empty(d));
    daemon_leave_for_good(d);
}
