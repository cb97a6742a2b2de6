/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a daemon between two events: snapshot, status, rebuild, end. */
#include "daemon/operation.h"
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

static void got_state(void *ctx, berth_status status, buf *state, slice text)
{
    struct daemon *d = ctx;
    command *c = d->doing;
    c->state = state;
    c->status = status;
    if (status != BERTH_OK)
        fail(&c->error, status, "daemon '%s' gave no snapshot%s%.*s", d->name, text.len ? ": " : "",
             (int)text.len, text.len ? (const char *)text.ptr : "");
    operation_answered(d);
}

static void got_status(void *ctx, berth_status status, const berth_daemon_status *report)
{
    struct daemon *d = ctx;
    d->doing->status = status;
    d->doing->report = *report;
    operation_answered(d);
}

static void got_instance(void *ctx, berth_status status, instance *made, const berth_error *error)
{
    struct daemon *d = ctx;
    d->doing->status = status;
    d->doing->made = made;
    d->doing->error = *error;
    operation_answered(d);
}

static void got_destroyed(void *ctx)
{
    operation_answered(ctx);
}

static bool ask_snapshot(struct daemon *d, runner *on)
{
    const manifest_kind *facts = d->make->kind->facts;
    return operation_stay(d, d->inst->ops->snapshot(d->inst, on, facts->state_writes,
                                                    d->rt->limits.max_state, got_state, d));
}

/* A host that ends must not say that all is well when this did not succeed. */
static void final_stored(void *ctx, berth_status status, const berth_error *error)
{
    struct daemon *d = ctx;
    if (status != BERTH_OK) {
        log_error("daemon", "%s: its final snapshot was not stored: %s", d->name,
                  error ? error->text : berth_status_text(status));
        atomic_fetch_add(&d->rt->unkept, 1);
    }
    daemon_unref(d);
}

/* The state is there: make a container of it and give it to the store. */
static void keep_state(struct daemon *d, command *c)
{
    if (c->status != BERTH_OK)
        return;
    keep_size(d, c->state->len);
    if (c->to_go) {
        c->status =
            keep_encode_apart(d, slice_of(c->state->data, c->state->len),
                              d->make->kind->facts->state_writes, &c->head, &c->tail, &c->error);
        return;
    }
    c->status =
        keep_encode(d, c->state, d->make->kind->facts->state_writes, &c->container, &c->error);
    buf_unref(c->state);
    c->state = NULL;
    if (c->status != BERTH_OK)
        return;
    atomic_fetch_add_explicit(&d->snapshots, 1, memory_order_relaxed);
    if (d->rt->store && c->kind == COMMAND_FINISH)
        keep_store(d, c->container, c->clean, final_stored, daemon_ref(d));
    else
        keep_store(d, c->container, c->clean, c->on_disk ? store_answered : NULL, c->on_disk);
}

static void finish_command(struct daemon *d, command *c)
{
    d->doing = NULL;
    bool own = c->own;
    if (own && c->status != BERTH_OK)
        log_warn("daemon", "%s: %s", d->name, c->error.text);
    if (own)
        buf_unref(c->container);
    bool after = c->after != NULL;
    if (c->done)
        c->done(c, d);
    else if (own)
        free(c);
    if (after) {
        c->next = d->ends;
        d->ends = c;
    }
}

/* Everything it has goes; who waits is told. */
static void farewell(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    d->gone = true;
    d->finished = true;
    pthread_mutex_unlock(&d->lock);
    daemon_set_tap(d, NULL);
    daemon_leave_all(d);
    dues_drop(d);
    outbox_drop(d);
    mailbox_cancel(d);
    daemon_unlink(d);
    ring *r = atomic_load(&d->outputs);
    if (r)
        ring_end(r);
}

bool command_step(struct daemon *d, runner *on)
{
    for (;;) {
        command *c = d->doing;
        bool here = true;
        operation_begin(d, on);
        atomic_fetch_add_explicit(&on->calls, 1, memory_order_relaxed);
        switch (c->kind << 4 | c->step++) {
        case COMMAND_CALL << 4:
            c->fn(c, d);
            c->step = 15;
            break;

        case COMMAND_SNAPSHOT << 4:
            if (!c->to_go) {
                d->want_snapshot = false;
                d->since_snapshot = 0; /* one that fails is tried again after as many events */
            }
            if (!d->inst) {
                c->status = fail(&c->error, BERTH_ERR_BROKEN, "daemon '%s' is down: %s", d->name,
                                 d->quarantine ? d->quarantine : "it broke");
                c->step = 15;
                break;
            }
            c->took_ns = clock_mono_ns();
            here = ask_snapshot(d, on);
            break;
        case COMMAND_SNAPSHOT << 4 | 1:
            c->took_ns = clock_mono_ns() - c->took_ns;
            keep_state(d, c);
            d->broken = c->status == BERTH_ERR_BROKEN;
            c->step = 15;
            break;

        case COMMAND_STATUS << 4:
            if (d->inst)
                here = operation_stay(d, d->inst->ops->status(d->inst, on, got_status, d));
            else
                c->status = BERTH_ERR_BROKEN;
            break;
        case COMMAND_STATUS << 4 | 1:
            c->step = 15;
            break;

        case COMMAND_REBUILD << 4:
            if (d->tap)
                tap_break(d->tap, BERTH_ERR_BROKEN, "it broke, and was rebuilt");
            if (d->inst)
                here = operation_stay(d, d->inst->ops->destroy(d->inst, on, got_destroyed, d));
            break;
        case COMMAND_REBUILD << 4 | 1:
            d->inst = NULL;
            here = operation_stay(d, daemon_remake(d, on, got_instance));
            break;
        case COMMAND_REBUILD << 4 | 2:
            d->inst = c->made;
            daemon_remade(d, c->status, &c->error);
            c->status = BERTH_OK;
            c->step = 15;
            break;

        case COMMAND_FINISH << 4:
            if (c->keep && d->inst && !d->broken)
                here = ask_snapshot(d, on);
            else
                c->step = 2;
            break;
        case COMMAND_FINISH << 4 | 1:
            /* The chain resumes exactly only if all of it has left. */
            c->clean = c->clean && outbox_empty(d) && !d->raising;
            keep_state(d, c);
            if (c->status != BERTH_OK) {
                log_error("daemon", "%s: no final snapshot: %s", d->name, c->error.text);
                atomic_fetch_add(&d->rt->unkept, 1);
            }
            break;
        case COMMAND_FINISH << 4 | 2:
            farewell(d);
            if (d->inst)
                here = operation_stay(d, d->inst->ops->destroy(d->inst, on, got_destroyed, d));
            break;
        case COMMAND_FINISH << 4 | 3:
            d->inst = NULL;
            c->step = 15;
            break;
        }
        operation_leave(on);
        if (!here)
            return false;
        if (c->step == 15) {
            finish_command(d, c);
            return true;
        }
    }
}

void command_begin_own(struct daemon *d, command_kind kind)
{
    command *c = calloc(1, sizeof(*c));
    if (!c)
        return; /* the next look finds the same need again */
    c->kind = kind;
    c->own = true;
    d->doing = c;
}

command *command_take(struct daemon *d)
{
    bool drained = !d->mail_head && !d->urgent_head && outbox_empty(d);
    command *before = NULL;
    for (command *c = d->command_head; c; before = c, c = c->next) {
        if (c->when_drained && !d->force && !drained)
            continue;
        if (c->when_still && !d->force && (!outbox_empty(d) || mailbox_begun(d)))
            continue;
        if (before)
            before->next = c->next;
        else
            d->command_head = c->next;
        if (d->command_tail == c)
            d->command_tail = before;
        return c;
    }
    return NULL;
}
