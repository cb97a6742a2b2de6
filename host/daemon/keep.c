/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots, and what must be on disk before outputs may leave.
 */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "chain/container.h"
#include "daemon/blob.h"

#include <stdlib.h>
#include <string.h>

/* ---- Encoding -------------------------------------------------------------------------------- */

static bool fill_cursors(container *c, const extras *x)
{
    c->cursors = calloc(x->cursors.count + 1, sizeof(*c->cursors));
    if (!c->cursors)
        return false;
    slice source;
    void *value;
    for (size_t at = 0; strmap_next(&x->cursors, &at, &source, &value);)
        c->cursors[c->cursor_count++] =
            (container_cursor){source, ((const cursor_entry *)value)->sequence};
    return true;
}

static bool fill_dues(container *c, struct daemon *d)
{
    const extras *x = d->more;
    int64_t now = clock_mono_ns();
    c->timers = calloc(x->timers.count + 1, sizeof(*c->timers));
    c->requests = calloc(x->requests.count + 1, sizeof(*c->requests));
    if (!c->timers || !c->requests)
        return false;
    void *value;
    for (size_t at = 0; map64_next(&x->timers, &at, NULL, &value);) {
        const due *t = value;
        c->timers[c->timer_count++] = (container_timer){
            .number = t->number,
            .remaining_ns = t->node.due_ns - now,
            .deadline_wall = t->wall_ns,
            .data = t->data ? slice_of(t->data->data + EFFECT_HEAD, t->data->len - EFFECT_HEAD)
                            : (slice){0},
        };
    }
    for (size_t at = 0; map64_next(&x->requests, &at, NULL, &value);) {
        const due *r = value;
        c->requests[c->request_count++] = (container_request){r->number, r->target, r->wall_ns};
    }
    return true;
}

/* Hash tables have no order; equal daemons are to give equal bytes. */
static int by_source(const void *a, const void *b)
{
    const container_cursor *x = a, *y = b;
    size_t n = x->source.len < y->source.len ? x->source.len : y->source.len;
    int order = memcmp(x->source.ptr, y->source.ptr, n);
    return order ? order : (x->source.len > y->source.len) - (x->source.len < y->source.len);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const container_timer *)a)->number, y = ((const container_timer *)b)->number;
    return (x > y) - (x < y);
}

static int by_request(const void *a, const void *b)
{
    uint64_t x = ((const container_request *)a)->request,
             y = ((const container_request *)b)->request;
    return (x > y) - (x < y);
}

/* What stands around the state, borrowed from the daemon or kept here. */
typedef struct surroundings {
    container c;
    writer bindings, sent;
} surroundings;

static void surroundings_fini(surroundings *s)
{
    free(s->c.cursors);
    free(s->c.timers);
    free(s->c.requests);
    writer_free(&s->bindings);
    writer_free(&s->sent);
}

static berth_status fill_more(surroundings *s, struct daemon *d, berth_error *error)
{
    container *c = &s->c;
    berth_status status = BERTH_OK;
    if (!fill_cursors(c, d->more) || !fill_dues(c, d))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    else if (d->more->ledger.count)
        status = ledger_encode(&s->bindings, &d->more->ledger, error);
    qsort(c->cursors, c->cursor_count, sizeof(*c->cursors), by_source);
    qsort(c->timers, c->timer_count, sizeof(*c->timers), by_number);
    qsort(c->requests, c->request_count, sizeof(*c->requests), by_request);
    c->snapshot.bindings = slice_of(s->bindings.data, s->bindings.len);
    c->bonds = d->more->bonds; /* lent, like the horizon */
    return status;
}

/* surroundings_fini is the caller's, whatever it answers. */
static berth_status surround(surroundings *s, struct daemon *d, slice state, uint32_t state_version,
                             berth_error *error)
{
    plugin_info info;
    plugin_kind_info(d->make->kind, &info);
    container *c = &s->c;
    *s = (surroundings){
        .c = {
            .name = slice_str(d->name),
            .kind = slice_str(daemon_kind_name(d)),
            .plugin_name = kind_has_file(&info) ? slice_str(info.manifest->name) : (slice){0},
            .state_version = d->make->kind->facts->stateful ? state_version : 0,
            .started = d->started,
            .incarnation = d->incarnation,
            .epoch = d->epoch,
            .inputs = d->inputs,
            .horizon = d->seen, /* lent: not freed here */
            .came = d->came ? slice_of(d->came->data, d->came->len) : (slice){0},
        }};
    memcpy(c->plugin_digest, info.digest, sizeof(c->plugin_digest));
    c->snapshot = (snapshot){
        .link = d->chain.head,
        .created_at = (uint64_t)clock_wall_ns(),
        .state = state,
        .has_next_parent = true,
        .next_parent = d->chain.next_parent,
    };
    memcpy(c->snapshot.entity, d->make->key.entity, sizeof(c->snapshot.entity));
    berth_status status = d->more ? fill_more(s, d, error) : BERTH_OK;
    if (status == BERTH_OK && d->link) {
        d->rt->route.save(d->rt->route.ctx, d->link, &s->sent);
        c->sent = slice_of(s->sent.data, s->sent.len);
        if (s->sent.failed)
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    return status;
}

berth_status keep_encode(struct daemon *d, buf *state, uint32_t state_version, buf **out,
                         berth_error *error)
{
    surroundings s;
    writer w = {0};
    berth_status status = surround(&s, d, slice_of(state->data, state->len), state_version, error);
    blob_begin(&w);
    if (status == BERTH_OK)
        status = container_encode(&w, &s.c, error);
    *out = status == BERTH_OK ? blob_end(&w) : NULL;
    if (status == BERTH_OK && !*out)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    writer_free(&w);
    surroundings_fini(&s);
    return status;
}

berth_status keep_encode_apart(struct daemon *d, slice state, uint32_t state_version, buf **before,
                               buf **behind, berth_error *error)
{
    surroundings s;
    writer head = {0}, rest = {0};
    berth_status status = surround(&s, d, state, state_version, error);
    *before = *behind = NULL;
    if (status == BERTH_OK)
        status = container_encode_apart(&head, &rest, &s.c, error);
    if (status == BERTH_OK) {
        *before = buf_copy(head.data, head.len);
        *behind = buf_copy(rest.data, rest.len);
        if (!*before || !*behind) {
            buf_unref(*before);
            buf_unref(*behind);
            *before = *behind = NULL;
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        }
    }
    writer_free(&head);
    writer_free(&rest);
    surroundings_fini(&s);
    return status;
}

/* ---- Storing --------------------------------------------------------------------------------- */

static void stored(void *ctx, berth_status status, const berth_error *error)
{
    struct daemon *d = ctx;
    if (status != BERTH_OK)
        log_error("daemon", "%s: its snapshot was not stored: %s", d->name,
                  error ? error->text : berth_status_text(status));
    daemon_unref(d);
}

void keep_store(struct daemon *d, buf *bytes, bool clean, store_done *done, void *ctx)
{
    store *s = d->rt->store;
    buf_unref(d->last_snapshot);
    /* Where there is a store it is read again when it is needed: states can be large. */
    d->last_snapshot = s ? NULL : buf_ref(bytes);
    atomic_fetch_add_explicit(&d->rt->snapshot_bytes, bytes->len, memory_order_relaxed);
    if (s)
        store_put_snapshot(s, d->make->key.entity, d->incarnation, d->chain.head.sequence, bytes,
                           clean, done ? done : stored, done ? ctx : daemon_ref(d));
}

/* ---- Reserving sequences --------------------------------------------------------------------- */

typedef struct reservation {
    command command; /* first */
    struct daemon *d;
    uint64_t limit, incarnation;
    bool stored;
} reservation;

/* One of an incarnation that is over says nothing about what the present one may release. */
static void take_reservation(command *c, struct daemon *d)
{
    reservation *r = (reservation *)c;
    if (r->incarnation != d->incarnation)
        return;
    d->reserving = false;
    if (!r->stored)
        return; /* the next output tries again */
    d->sequence_limit = r->limit;
    d->raising = false;
    keep_reserve(d); /* the chain has gone on meanwhile, perhaps beyond it */
}

static void free_reservation(command *c, struct daemon *d)
{
    (void)d;
    free(c);
}

static void reserved(void *ctx, berth_status status, const berth_error *error)
{
    reservation *r = ctx;
    struct daemon *d = r->d;
    r->stored = status == BERTH_OK;
    if (status != BERTH_OK)
        log_error("daemon", "%s: cannot reserve sequences, its outputs wait: %s", d->name,
                  error ? error->text : berth_status_text(status));
    if (!mailbox_command(d, &r->command))
        free(r);
    daemon_unref(d);
}

/* Until the row says so, d->sequence_limit stays where it is. */
static void reserve(struct daemon *d, uint64_t limit)
{
    reservation *r = calloc(1, sizeof(*r));
    if (!r)
        return;
    d->reserving = true;
    r->d = daemon_ref(d);
    r->limit = limit;
    r->incarnation = d->incarnation;
    r->command = (command){.kind = COMMAND_CALL, .fn = take_reservation, .done = free_reservation};
    store_daemon row = {.sequence_limit = limit, .incarnation = d->incarnation};
    memcpy(row.entity, d->make->key.entity, sizeof(row.entity));
    unsigned set = STORE_SET_LIMIT;
    if (d->raising)
        set |= STORE_SET_INCARNATION | STORE_SET_CLEAN;
    store_update_daemon(d->rt->store, &row, set, reserved, r);
}

static uint64_t ahead_of(const struct daemon *d)
{
    uint64_t head = d->chain.head.sequence, block = d->rt->sequence_block;
    return head > UINT64_MAX - block ? UINT64_MAX : head + block;
}

void keep_reserve(struct daemon *d)
{
    if (d->rt->store && !d->reserving &&
        (d->raising || d->chain.head.sequence + d->rt->sequence_block / 2 >= d->sequence_limit))
        reserve(d, ahead_of(d));
}

void keep_raise(struct daemon *d)
{
    if (d->rt->store) {
        /* Nothing of the new incarnation leaves, and of the one before only what might anyway. */
        if (d->sequence_limit >= d->chain.head.sequence)
            d->sequence_limit = d->chain.head.sequence - 1;
        d->raising = true;
        reserve(d, ahead_of(d));
    }
    commit_record(d);
}
