/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold: delivery, section 7, as far as moving is concerned. */
#include "moves.h"

/* ---- What is said: nothing before it is on disk ---- */

void check_sent(world *w, int from, int to, const buf *message)
{
    slice bytes = slice_of(message->data, message->len);
    move_head head;
    move_no no;
    attempt *x;
    row_kind kind;
    int a;

    if (move_head_read(&head, bytes, NULL) != BERTH_OK || (a = host_attempt(w, head.attempt)) < 0) {
        moves_fail(w, "host %d sends what nobody reads", from);
        return;
    }
    x = &w->attempts[a];
    kind = w->hosts[from].rows[a].kind;
    if (head.kind == MESSAGE_MOVE_COMMIT) {
        x->commit_sent = true;
        if (kind != ROW_RELEASED && kind != ROW_FINISHED)
            moves_fail(w, "attempt %d: COMMIT before RELEASED is on disk", a);
    } else if (head.kind == MESSAGE_MOVE_PREPARED) {
        if (kind != ROW_PREPARED && kind != ROW_OWNED)
            moves_fail(w, "attempt %d: PREPARED before it is on disk", a);
    } else if (head.kind == MESSAGE_MOVE_OWNED) {
        if (kind != ROW_OWNED)
            moves_fail(w, "attempt %d: OWNED before it is on disk", a);
    } else if (head.kind == MESSAGE_MOVE_REFUSED) {
        if (move_no_read(&no, bytes, NULL) == BERTH_OK && no.final && kind != ROW_REFUSED)
            moves_fail(w, "attempt %d: refused for good before that is on disk", a);
    } else if (head.kind == MESSAGE_MOVE_ABORT && from == x->source && to == x->target) {
        if (kind == ROW_RELEASED || kind == ROW_FINISHED)
            moves_fail(w, "attempt %d: ABORT after RELEASED", a);
    }
}

/* ---- Gates ---- */

void check_step(world *w)
{
    for (int d = 0; d < w->options.daemons; d++) {
        int open = 0;

        for (int n = 0; n < w->options.hosts; n++)
            open += w->hosts[n].up && w->hosts[n].run[d].gate;
        if (open > 1)
            moves_fail(w, "daemon %d has %d open gates", d, open);
    }
}

void check_opened(world *w, int n, int d, uint64_t epoch, const counts *c)
{
    daemon *x = &w->daemons[d];

    if (epoch < x->epoch)
        moves_fail(w, "daemon %d: its epoch falls", d);
    else if (epoch == x->epoch && n != x->at)
        moves_fail(w, "daemon %d: one epoch on two hosts", d);
    x->epoch = epoch;
    x->at = n;
    for (int i = 0; i < CLIENTS; i++) {
        if (c->seen[i] < x->promised[i])
            moves_fail(w, "daemon %d: what was acknowledged is lost", d);
        if (c->seen[i] != c->applied[i] || c->applied[i] > x->sent[i])
            moves_fail(w, "daemon %d: an event is applied twice, or never was sent", d);
    }
}

/* ---- The end ---- */

static bool source_is_over(const world *w, int n, int a)
{
    source_view view;

    if (!w->hosts[n].sources[a])
        return !w->hosts[n].beginning[a];
    source_look(w->hosts[n].sources[a], &view);
    return view.over;
}

static bool target_is_over(const world *w, int n, int a)
{
    target_view view;

    if (!w->hosts[n].targets[a])
        return true;
    target_look(w->hosts[n].targets[a], &view);
    return view.stage == TARGET_OWNED || view.stage == TARGET_ENDED;
}

bool check_quiet(const world *w)
{
    for (int d = 0; d < w->options.daemons; d++)
        for (int c = 0; c < CLIENTS; c++)
            if (w->daemons[d].acked[c] != w->daemons[d].sent[c])
                return false;
    for (int n = 0; n < w->options.hosts; n++) {
        if (w->disk[n])
            return false;
        for (int a = 0; a < w->attempt_count; a++)
            if (!source_is_over(w, n, a) || !target_is_over(w, n, a))
                return false;
    }
    for (int c = 0; c < w->call_count; c++)
        if (!w->calls[c].over && !w->calls[c].lost)
            return false;
    return true;
}

/* ---- A host that never comes back: who waits for it says so, and nobody else waits ---- */

static void check_waiting(world *w, int n, int a)
{
    const attempt *x = &w->attempts[a];
    const host *h = &w->hosts[n];
    source_view sv;
    target_view tv;

    if (!source_is_over(w, n, a)) {
        if (h->sources[a])
            source_look(h->sources[a], &sv);
        if (!h->sources[a] || !sv.released || !sv.in_doubt || x->target != w->options.dead)
            moves_fail(w, "attempt %d: its source waits, and does not say for whom", a);
    }
    if (!target_is_over(w, n, a)) {
        target_look(h->targets[a], &tv);
        if (tv.stage != TARGET_PREPARED || x->source != w->options.dead)
            moves_fail(w, "attempt %d: its target waits for nobody", a);
    }
}

static void check_call_waiting(world *w, int i)
{
    const call *c = &w->calls[i];
    orchestrator_view view;

    if (c->over || c->lost || !c->o)
        return;
    orchestrator_look(c->o, &view);
    if (!view.state.in_doubt || (c->source != w->options.dead && c->target != w->options.dead))
        moves_fail(w, "call %d waits, and does not say for whom", i);
}

/* Without the dead host's disk at most one runs it; none only if it was there, or may go there. */
static void check_without(world *w)
{
    for (int a = 0; a < w->attempt_count; a++)
        for (int n = 0; n < w->options.hosts; n++)
            check_waiting(w, n, a);
    for (int i = 0; i < w->call_count; i++)
        check_call_waiting(w, i);
    for (int d = 0; d < w->options.daemons; d++) {
        bool runs = false, dead = w->hosts[w->options.dead].own[d].owned;

        for (int n = 0; n < w->options.hosts; n++)
            runs = runs || w->hosts[n].run[d].gate;
        for (int a = 0; a < w->attempt_count; a++)
            dead =
                dead || (w->attempts[a].daemon == d && (w->attempts[a].source == w->options.dead ||
                                                        w->attempts[a].target == w->options.dead));
        if (!runs && !dead)
            moves_fail(w, "daemon %d does not run, and no dead host is why", d);
    }
}

static void check_attempt(world *w, int a)
{
    const attempt *x = &w->attempts[a];
    const host *s = &w->hosts[x->source];
    bool owned = w->hosts[x->target].rows[a].kind == ROW_OWNED;

    for (int n = 0; n < w->options.hosts; n++)
        if (!source_is_over(w, n, a) || !target_is_over(w, n, a))
            moves_fail(w, "attempt %d: host %d never comes to an end of it", a, n);
    if (s->has_ended[a] && s->ended_moved[a] != owned)
        moves_fail(w, "attempt %d: its source says that it %s", a,
                   owned ? "stayed, and it moved" : "moved, and it stayed");
    if (owned && s->rows[a].kind != ROW_FINISHED)
        moves_fail(w, "attempt %d: moved, and its source does not know", a);
}

static void check_call(world *w, int i)
{
    const call *c = &w->calls[i];
    bool moved = false;

    for (int a = 0; a < w->attempt_count; a++)
        if (w->attempts[a].call == i)
            moved = moved || w->hosts[c->target].rows[a].kind == ROW_OWNED;
    if (!c->over && !c->lost)
        moves_fail(w, "call %d never hears how it ended", i);
    if (c->over && !c->outcome.unknown && c->outcome.moved != moved)
        moves_fail(w, "call %d is told that it %s", i,
                   moved ? "stayed, and it moved" : "moved, and it stayed");
}

static void check_daemon(world *w, int d)
{
    const daemon *x = &w->daemons[d];
    int open = 0;

    for (int n = 0; n < w->options.hosts; n++)
        if (w->hosts[n].up && w->hosts[n].run[d].gate) {
            open++;
            check_opened(w, n, d, w->hosts[n].run[d].epoch, &w->hosts[n].run[d].counts);
        }
    if (open != 1)
        moves_fail(w, "daemon %d runs on %d hosts in the end", d, open);
    for (int c = 0; c < CLIENTS; c++)
        if (x->acked[c] != x->sent[c])
            moves_fail(w, "daemon %d: an event of client %d never arrives", d, c);
}

void check_end(world *w)
{
    if (w->options.dead >= 0) {
        check_without(w);
        return;
    }
    for (int a = 0; a < w->attempt_count; a++)
        check_attempt(w, a);
    for (int d = 0; d < w->options.daemons; d++)
        check_daemon(w, d);
    for (int c = 0; c < w->call_count; c++)
        check_call(w, c);
}
