/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon leaves, and runs while most of it is on its way: its state is taken between two events,
 * what it runs from there on is recorded, and only for the rest of that does it stand still. In the
 * turn in which its state is taken the tap is set, so that no event is in neither, or in both.
 */
#include "daemon/departure.h"

#include "base/clock.h"
#include "base/error.h"

/* The runner's. */
static void take_off(command *c, struct daemon *d)
{
    const departure *x = c->ctx;
    if (d->tap == x->tap)
        daemon_set_tap(d, NULL);
}

static void taken_off(command *c, struct daemon *d)
{
    (void)d;
    departure_unref(c->ctx);
}

void follow_end(departure *x)
{
    pthread_mutex_lock(&x->lock);
    bool tapped = x->tapped;
    x->tapped = false;
    pthread_mutex_unlock(&x->lock);
    /* At once, so that it waits for nobody; the tap itself is the runner's to take off. */
    tap_break(x->tap, BERTH_ERR_CANCELLED, "it stays");
    if (!tapped)
        return;
    x->untap = (command){.kind = COMMAND_CALL, .fn = take_off, .done = taken_off, .ctx = x};
    atomic_fetch_add(&x->refs, 1);
    if (!mailbox_command(x->d, &x->untap)) /* it has ended, and its tap with it */
        departure_unref(x);
}

/* On the runner's thread: the state was taken, or could not be. */
static void followed(command *c, struct daemon *d)
{
    departure *x = (departure *)c;
    berth_error error = c->error;
    berth_status status = c->status;
    departure_take_state(x);
    if (status == BERTH_OK && !(x->state.make = departure_make(d, &error)))
        status = error.code;
    departure_note(x, d);
    pthread_mutex_lock(&x->lock);
    if (status == BERTH_OK && x->over) {
        status = fail(&error, BERTH_ERR_CANCELLED, "it stays");
    } else if (status == BERTH_OK) {
        daemon_set_tap(d, tap_ref(x->tap));
        x->tapped = true;
    }
    pthread_mutex_unlock(&x->lock);
    departure_answer(x, status, &error);
}

berth_status departure_follow(runtime *rt, uint64_t origin, uint64_t room, departure_done *done,
                              void *ctx, departure **out, berth_error *error)
{
    effect_limits limits = {rt->limits.max_outputs, rt->limits.max_output_bytes};
    berth_error local = {0};
    berth_status status = departure_new(rt, origin, done, ctx, out, &local);
    if (status == BERTH_OK && !(*out)->d->make->kind->facts->deterministic)
        status = fail(&local, BERTH_ERR_REFUSED,
                      "kind '%s' is not declared deterministic: what it runs cannot be run again",
                      daemon_kind_name((*out)->d));
    if (status == BERTH_OK && !((*out)->tap = tap_new(room, &limits)))
        status = fail(&local, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = departure_start(
            *out, (command){.kind = COMMAND_SNAPSHOT, .to_go = true, .done = followed}, &local);
    return departure_begun(out, status, &local, error);
}

berth_status departure_executed(departure *x, buf **out, uint32_t *count, berth_error *error)
{
    berth_status status = tap_take(x->tap, out, count, error);
    mailbox_kick(x->d);
    return status;
}

void departure_set_room(departure *x, uint64_t room)
{
    tap_set_room(x->tap, room);
}

/* On the runner's thread, with nothing half run: all but the state. */
static void close_up(command *c, struct daemon *d)
{
    departure *x = (departure *)c;
    departed *s = &x->state;
    c->status = tap_take(x->tap, &s->executed, &s->executed_count, &c->error);
    if (c->status == BERTH_OK)
        c->status = keep_encode_apart(d, (slice){0}, d->make->kind->facts->state_writes,
                                      &s->container_head, &s->container_tail, &c->error);
}

static void closed(command *c, struct daemon *d)
{
    berth_error error = c->error;
    departure_freeze((departure *)c, d, c->status, &error);
}

berth_status departure_close(departure *x, departure_done *done, void *ctx, berth_error *error)
{
    berth_error local = {0};
    departure_packed(x);
    atomic_fetch_add(&x->refs, 1); /* done may come, and x go, before this returns */
    x->done = done;
    x->ctx = ctx;
    x->state.closed_ns = clock_mono_ns();
    x->state.snapshot_ns = 0;
    berth_status status = departure_command(
        x, (command){.kind = COMMAND_CALL, .when_still = true, .fn = close_up, .done = closed},
        &local);
    if (status == BERTH_OK) {
        /* What was begun is run to its end; nothing else is. */
        tap_lift(x->tap);
        mailbox_kick(x->d);
    } else if (error) {
        *error = local;
    }
    departure_unref(x);
    return status;
}
