/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has become of a daemon's subscriptions at the node where it is now. They are made and, where
 * they cannot be, tried again by the mesh; here that is looked at, after the daemon runs, and told:
 * by the target to the source, and by that to who ordered the move. Nobody waits for it.
 */
#include "migrate/migrations_private.h"

#define HEARING_FIRST_NS INT64_C(10000000) /* an answer is not farther away */
#define HEARING_LAST_NS  (2 * S_NS)

/* What is over is looked at where it is kept. */
static void keep(migrations *x, const uint8_t id[ATTEMPT_SIZE], const move_hearing *h)
{
    size_t past = x->past_count < OVER_MAX ? x->past_count : OVER_MAX;
    migration *g = strmap_get(&x->ordered, slice_of(id, ATTEMPT_SIZE));

    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < past; i++)
        if (memcmp(x->past[i].id.bytes, id, ATTEMPT_SIZE) == 0)
            x->past[i].hearing = *h;
    if (g)
        g->view.hearing = *h;
    pthread_mutex_unlock(&x->lock);
}

/* ---- At the target --------------------------------------------------------------------------- */

static void look(const attempt *a, move_hearing *out)
{
    mesh_hearing h = {.total = 0};

    mesh_hearing_of(a->x->config.mesh, a->entity, &h);
    *out =
        (move_hearing){.known = true, .total = h.total, .pending = h.pending, .missing = h.missing};
    if (!h.missing)
        return;
    out->publisher = h.publisher;
    snprintf(out->channel, sizeof out->channel, "%s", h.channel);
    snprintf(out->why, sizeof out->why, "%s", h.why);
}

static void tell(const attempt *a)
{
    move_hears m = {.head = {.origin = a->origin}, .hearing = a->hearing};
    writer w = {0};
    buf *b;

    memcpy(m.head.attempt, a->id, sizeof m.head.attempt);
    move_hears_write(&w, &m);
    b = w.failed ? NULL : buf_copy(w.data, w.len);
    if (b)
        mesh_tell(a->x->config.mesh, a->peer, LANE_CALL, b);
    buf_unref(b);
    writer_free(&w);
}

static bool is_same(const move_hearing *a, const move_hearing *b)
{
    return a->known == b->known && a->total == b->total && a->pending == b->pending &&
           a->missing == b->missing && a->publisher == b->publisher &&
           strcmp(a->channel, b->channel) == 0 && strcmp(a->why, b->why) == 0;
}

void hearing_begin(attempt *a)
{
    a->hearing_ns = now_of();
    a->hearing_pause_ns = HEARING_FIRST_NS;
    a->hearing.known = false; /* so that it is told, again where the source has been away */
}

int64_t hearing_deadline(const attempt *a)
{
    return a->hearing_ns ? a->hearing_ns : INT64_MAX;
}

void hearing_expire(attempt *a, int64_t now)
{
    move_hearing fresh;

    if (!a->hearing_ns || now < a->hearing_ns)
        return;
    a->hearing_ns = 0;
    if (!runtime_has(a->x->rt, a->origin))
        return; /* it has gone on, or ended */
    look(a, &fresh);
    if (!is_same(&fresh, &a->hearing)) {
        a->hearing = fresh;
        tell(a);
        if (a->over)
            keep(a->x, a->id, &fresh);
    }
    if (!fresh.pending && !fresh.missing)
        return;
    a->hearing_ns = now + a->hearing_pause_ns;
    if (a->hearing_pause_ns < HEARING_LAST_NS)
        a->hearing_pause_ns *= 2;
}

/* ---- At the source, and at who ordered it ---------------------------------------------------- */

static void report(const attempt *a)
{
    const move_hearing *h = &a->hearing;

    if (h->missing)
        log_warn("migrate",
                 "daemon '%s' (%016llx): %u of %u subscriptions are not made yet on node %016llx: "
                 "channel '%s' of node %016llx: %s; it is tried again there",
                 a->name, (unsigned long long)a->origin, h->missing, h->total,
                 (unsigned long long)a->peer, h->channel, (unsigned long long)h->publisher, h->why);
}

bool hearing_message(attempt *a, uint64_t node, slice msg)
{
    bool missed = a->hearing.missing;
    source_view s;
    move_hears m;

    source_look(a->source, &s);
    if (node != a->peer || s.phase != MOVE_PHASE_COMPLETE || (a->over && !a->outcome.moved) ||
        move_hears_read(&m, msg, NULL) != BERTH_OK)
        return false;
    a->hearing = m.hearing;
    if (!missed)
        report(a);
    if (a->over)
        keep(a->x, a->id, &a->hearing);
    if (a->over && a->orchestrator)
        source_tell(a, a->orchestrator);
    return true;
}

bool hearing_state(migration *g, uint64_t node, slice msg)
{
    move_state m;

    if (node != g->source || !g->outcome.moved || move_state_read(&m, msg, NULL) != BERTH_OK ||
        !m.hearing.known)
        return false;
    pthread_mutex_lock(&g->x->lock);
    g->view.hearing = m.hearing;
    pthread_mutex_unlock(&g->x->lock);
    return true;
}
