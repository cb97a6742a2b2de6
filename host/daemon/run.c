/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a daemon: one operation after the other (a run over events, or a command), by one runner
 * at a time.
 */
#include "daemon/operation.h"
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_NS     2000000 /* then others have their turn */
#define SLICE_EVENTS 64      /* between two looks at the clock */

/* Of the text that comes with a failure. */
#define PLUGIN_WORDS_MAX 1024

typedef struct work {
    instance_run run; /* first */
    struct daemon *d;
    batch *b;
    uint32_t index;    /* of the event that the instance has */
    berth_event event; /* that event; what all of b have in common stays in it */
    uint32_t left;     /* events until the next look at the clock; 0 with a guest: no limit */
    int64_t until_ns;  /* of the slice */
    bool guest;        /* b is the calling thread's own, not in the mailbox */
    uint32_t took_events;
    uint64_t took_bytes;
    uint64_t processed, failed;
    bool ran;        /* an event, and not only what is none */
    unshown unshown; /* last: not cleared */
} work;

/* ---- A run over events -------------------------------------------------------------------------
 */

static uint64_t next_seed(struct daemon *d)
{
    /* SplitMix64 (Steele, Lea, Flood 2014) from a random start */
    uint64_t z = d->seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* An event that the daemon must not see: its number was applied before, its timer is gone, or it is
 * none. */
static bool is_void(struct daemon *d, batch *b)
{
    if (b->source[0]) {
        extras *x = d->more;
        const cursor_entry *c = x ? strmap_get(&x->cursors, slice_str(b->source)) : NULL;
        if (c && b->source_seq + b->at <= c->sequence) {
            b->duplicates++;
            atomic_fetch_add_explicit(&d->rt->duplicates, 1, memory_order_relaxed);
            return true;
        }
    }
    uint64_t number = b->common.request;
    if (b->common.type == EVENT_MARK)
        return true;
    if (b->common.type == BERTH_EVENT_TIMER)
        return b->generation && !due_accept(d, false, number, b->generation);
    if (b->common.type == BERTH_EVENT_REPLY)
        return b->generation != GENERATION_ANY &&
               !(b->generation ? due_accept(d, true, number, b->generation)
                               : due_known(d, true, number));
    return false;
}

/* The cursor of the batch's source, made when there is none. NULL: the table is full. */
static cursor_entry *cursor_of(struct daemon *d, const batch *b)
{
    extras *x = daemon_extras(d);
    cursor_entry *c = x ? strmap_get(&x->cursors, slice_str(b->source)) : NULL;
    if (x && !c && x->cursors.count < CURSORS_MAX) {
        size_t len = strlen(b->source) + 1;
        c = malloc(sizeof(*c) + len);
        if (c) {
            c->sequence = 0; /* the event that it is made for sets it */
            memcpy(c->source, b->source, len);
            if (!strmap_put(&x->cursors, slice_of(c->source, len - 1), c)) {
                free(c);
                c = NULL;
            }
        }
    }
    return c;
}

/* An event of a source that cannot be remembered could be applied twice: it is not run. */
static void refuse_source(work *w)
{
    static const char why[] = "the daemon remembers as many sources as it can: close some";
    batch *b = w->b;
    w->failed++;
    w->took_events++;
    w->took_bytes += b->messages[b->at].len;
    batch_fail(b, b->at, BERTH_ERR_LIMIT, why, sizeof(why) - 1);
    b->unfinished--;
}

static void observe(struct daemon *d, uint64_t peer, const message *m)
{
    uint32_t limit = (uint32_t)d->rt->limits.horizon_origins;
    switch (daemon_observe(d, peer, m->origin, m->sequence, limit)) {
    case HORIZON_KEPT:
        break;
    case HORIZON_FULL:
        atomic_fetch_add_explicit(&d->rt->horizon_full, 1, memory_order_relaxed);
        break;
    case HORIZON_PEER_FULL:
        atomic_fetch_add_explicit(&d->rt->horizon_peer_full, 1, memory_order_relaxed);
        break;
    case HORIZON_NO_MEMORY:
        log_warn("daemon", "%s: out of memory for its horizon", d->name);
        break;
    }
}

static const berth_event *next_event(instance_run *run)
{
    work *w = (work *)run;
    struct daemon *d = w->d;
    batch *b = w->b;
    if (d->broken || d->want_snapshot || daemon_waits_for_tap(d) ||
        atomic_load_explicit(&d->blocked, memory_order_relaxed))
        return NULL;
    if (!w->guest && w->left-- == 0) {
        if (clock_mono_ns() >= w->until_ns)
            return NULL;
        w->left = SLICE_EVENTS;
    }
    for (; b->at < b->count; b->at++) {
        const message *m = &b->messages[b->at];
        if (is_void(d, b)) {
            w->took_events++;
            w->took_bytes += m->len;
            b->unfinished--; /* the run itself ends the batch, if this was the last */
            continue;
        }
        if (b->source[0] && !cursor_of(d, b)) {
            refuse_source(w);
            continue;
        }
        if (m->origin)
            observe(d, b->peer, m);
        berth_event *e = &w->event;
        e->data = (berth_bytes){m->data, m->len};
        e->origin = m->origin ? m->origin : b->common.origin;
        e->sequence = m->origin ? m->sequence : b->common.sequence;
        e->seed[0] = next_seed(d);
        e->seed[1] = next_seed(d);
        if (e->type == BERTH_EVENT_REPLY && !(e->flags & BERTH_MORE))
            due_cancel(d, true, e->request);
        w->index = b->at++;
        return e;
    }
    return NULL;
}

static berth_status status_of(const struct daemon *d, berth_code code, const effects *recorded,
                              slice *text)
{
    if (code == BERTH_E_BROKEN)
        return BERTH_ERR_BROKEN;
    if (recorded->limit) {
        *text = slice_str(recorded->limit);
        return BERTH_ERR_LIMIT;
    }
    return code == BERTH_OK ? commit_check(d, recorded) : BERTH_ERR_REJECTED;
}

/* The runner's, before the effects are taken over. */
static void record(struct daemon *d, const work *w, berth_code code, bool counts)
{
    const batch *b = w->b;
    executed_event e = {.event = w->event,
                        .observed = b->messages[w->index].origin != 0,
                        .peer = b->peer,
                        .code = code,
                        .counts = counts};
    if (code == BERTH_E_BROKEN)
        tap_break(d->tap, BERTH_ERR_BROKEN, "it broke");
    else
        tap_event(d->tap, &e);
}

void daemon_set_tap(struct daemon *d, tap *t)
{
    pthread_mutex_lock(&d->lock);
    tap *before = d->tap;
    d->tap = t;
    pthread_mutex_unlock(&d->lock);
    tap_unref(before);
}

static void event_result(instance_run *run, berth_code code, effects *recorded, slice text)
{
    work *w = (work *)run;
    struct daemon *d = w->d;
    batch *b = w->b;
    const berth_event *e = &w->event;
    bool counts = e->type != BERTH_EVENT_START && e->type != BERTH_EVENT_CONTROL;
    d->inputs++;
    w->ran = true;
    w->took_events++;
    w->took_bytes += e->data.len;
    berth_status status = status_of(d, code, recorded, &text);
    if (d->tap)
        record(d, w, code, status == BERTH_OK);
    if (b->source[0])
        cursor_of(d, b)->sequence = b->source_seq + w->index;
    if (status == BERTH_OK) {
        w->processed += counts;
        b->applied++;
        if (recorded->count)
            commit_effects(d, b, w->index, recorded);
        if (atomic_load_explicit(&d->observed, memory_order_relaxed))
            observers_delivered(&d->rt->observers, d->origin, e);
        if (counts && d->make->auto_snapshot && ++d->since_snapshot >= d->make->auto_snapshot)
            d->want_snapshot = true;
    } else {
        char words[PLUGIN_WORDS_MAX + 1];
        text_escape(words, sizeof(words), (const char *)text.ptr, text.len);
        w->failed++;
        d->broken = status == BERTH_ERR_BROKEN;
        send_answer(d->rt, d, &e->reply_to, BERTH_REPLY_REFUSED, d->origin, slice_str(words));
        batch_fail(b, w->index, status, words, strlen(words));
        effects_clear(recorded);
    }
    b->unfinished--; /* never the end of the batch: the run itself holds one */
}

static bool request_in_use(void *run, uint64_t request)
{
    struct daemon *d = ((work *)run)->d;
    bool open = due_known(d, true, request);
    if (open && d->tap)
        tap_in_use(d->tap, request);
    return open;
}

static void run_finished(instance_run *run)
{
    operation_answered(((work *)run)->d);
}

static bool begin_run(struct daemon *d, batch *b, runner *on, bool guest, int64_t now)
{
    work *w = malloc(sizeof(*w));
    if (!w) {
        log_error("daemon", "%s: out of memory to run it", d->name);
        return true;
    }
    memset(w, 0, offsetof(work, unshown.items));
    w->run = (instance_run){next_event, event_result, request_in_use, run_finished, on, NULL};
    w->d = d;
    w->b = b;
    w->guest = guest;
    w->until_ns = now + SLICE_NS;
    w->left = SLICE_EVENTS;
    int64_t time_ns = clock_wall_ns();
    if (d->last_time_ns < time_ns)
        d->last_time_ns = time_ns;
    w->event = b->common;
    w->event.time_ns = d->last_time_ns;
    w->event.attempt = 1;
    b->unfinished++; /* for the run itself */
    d->running = w;
    d->unshown = &w->unshown;
    operation_begin(d, on);
    bool here = operation_stay(d, d->inst->ops->run(d->inst, &w->run));
    operation_leave(on);
    return here;
}

/* Take a batch that was run to its end out of the mailbox. */
static void unlink_batch(struct daemon *d, batch *b)
{
    pthread_mutex_lock(&d->lock);
    if (d->urgent_head == b) {
        d->urgent_head = b->next;
        if (!d->urgent_head)
            d->urgent_tail = NULL;
    } else {
        d->mail_head = b->next;
        if (!d->mail_head)
            d->mail_tail = NULL;
    }
    pthread_mutex_unlock(&d->lock);
}

static void end_run(struct daemon *d)
{
    work *w = d->running;
    batch *b = w->b;
    outputs_show(d);
    d->unshown = NULL;
    d->running = NULL;
    if (atomic_load_explicit(&d->busy_since_ns, memory_order_relaxed))
        atomic_store_explicit(&d->busy_since_ns, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->processed, w->processed, memory_order_relaxed);
    if (d->emitted_here)
        atomic_fetch_add_explicit(&d->emitted, d->emitted_here, memory_order_relaxed);
    d->emitted_here = 0;
    if (w->failed)
        atomic_fetch_add_explicit(&d->errors, w->failed, memory_order_relaxed);
    bool over = b->at == b->count;
    if (over && !w->guest)
        unlink_batch(d, b);
    else if (!over && w->guest)
        mailbox_unget(d, b);
    if (!b->system && !w->guest && w->took_events)
        mailbox_took(d, w->took_events, w->took_bytes);
    bool ran = w->ran;
    free(w);
    if (ran)
        status_mark_dirty(d);
    if (over)
        batch_settle(b);
    else
        b->unfinished--;
}

/* ---- The loop -------------------------------------------------------------------------------- */

/* Give d up: to the run queue if it is to go on at once, else it is idle until something comes. */
static void yield_turn(struct daemon *d, bool again)
{
    command *ends = again ? NULL : d->ends;
    if (!again)
        d->ends = NULL;
    pthread_mutex_lock(&d->lock);
    d->turn = again ? TURN_QUEUED : TURN_IDLE;
    d->out_held = !outbox_empty(d);
    d->out_ready = outbox_ready(d);
    d->turn_head = d->chain.head;
    pthread_mutex_unlock(&d->lock);
    if (again) {
        dispatcher_push(d->rt->dispatcher, &d->task);
        return;
    }
    mailbox_kick(d);
    daemon_unref(d); /* the turn's */
    while (ends) {
        command *c = ends;
        ends = c->next;
        c->after(c);
    }
}

/*
 * Run d, whose turn we have, until there is nothing to do, its slice is over, or an instance
 * answers later. A guest does one operation only.
 */
static void drive(struct daemon *d, runner *on, bool guest)
{
    int64_t now = guest ? 0 : clock_mono_ns();
    int64_t until = now + SLICE_NS;
    for (bool first = true;; first = false) {
        if (d->running)
            end_run(d);
        else if (d->doing && !command_step(d, on))
            return;
        if (!first && !guest)
            now = clock_mono_ns();
        if (guest || now >= until) {
            yield_turn(d, !guest || d->broken || d->want_snapshot);
            return;
        }
        if (!outbox_empty(d) && !atomic_load(&d->blocked))
            outbox_flush(d);
        if (d->broken)
            command_begin_own(d, COMMAND_REBUILD);
        else if (d->want_snapshot)
            command_begin_own(d, COMMAND_SNAPSHOT);
        if (d->doing)
            continue;
        pthread_mutex_lock(&d->lock);
        batch *b = NULL;
        d->doing = command_take(d);
        if (!d->doing && !atomic_load(&d->blocked))
            b = mailbox_next(d);
        pthread_mutex_unlock(&d->lock);
        if (b && !begin_run(d, b, on, false, now))
            return;
        if (!b && !d->doing) {
            yield_turn(d, false);
            return;
        }
    }
}

void daemon_task(task *t, runner *on)
{
    struct daemon *d = (struct daemon *)((char *)t - offsetof(struct daemon, task));
    pthread_mutex_lock(&d->lock);
    d->turn = TURN_RUNNING;
    pthread_mutex_unlock(&d->lock);
    drive(d, on, false);
}

bool daemon_run_here(struct daemon *d, batch *b, runner *on)
{
    pthread_mutex_lock(&d->lock);
    bool mine = d->turn == TURN_IDLE && d->gate_open && !d->gone && !d->refusing && !d->held &&
                !d->mail_head && !d->urgent_head && !d->command_head && !atomic_load(&d->blocked) &&
                !daemon_waits_for_tap(d);
    if (mine)
        d->turn = TURN_RUNNING;
    pthread_mutex_unlock(&d->lock);
    if (!mine)
        return false;
    daemon_ref(d); /* the turn's */
    b->unfinished = b->count;
    if (begin_run(d, b, on, true, 0))
        drive(d, on, true);
    return true;
}
