/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event's effects become, once its handler has returned 0: links in the chain, then
 * releases.
 *
 * Outputs are released in the order of the chain. One that may not leave yet (its commit index is
 * not reached, its sequence is not reserved on disk, its receiver has no room) goes into the
 * outbox, and everything after it queues up behind.
 */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

extras *daemon_extras(struct daemon *d)
{
    if (!d->more)
        d->more = calloc(1, sizeof(*d->more));
    return d->more;
}

void batch_settle(batch *b)
{
    if (--b->unfinished)
        return;
    if (b->done)
        b->done(b->ctx, b);
    else
        batch_free(b);
}

void batch_give_up(batch *b, berth_status status)
{
    for (; b->at < b->count; b->at++) {
        batch_fail(b, b->at, status, NULL, 0);
        if (b->at + 1 < b->count)
            b->unfinished--;
    }
    batch_settle(b);
}

berth_status commit_check(const struct daemon *d, const effects *e)
{
    /* Far from the end, which is nearly always, no need to count. */
    if (d->chain.head.sequence < UINT64_MAX - e->count)
        return BERTH_OK;
    uint64_t chained = 0;
    for (uint32_t i = 0; i < e->count; i++)
        chained += effect_is_chained(&e->items[i]);
    return chained <= UINT64_MAX - d->chain.head.sequence ? BERTH_OK : BERTH_ERR_SEQUENCE;
}

/* ---- Releasing one output ----------------------------------------------------------------------
 */

ring *daemon_outputs(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    if (!d->outputs)
        d->outputs = ring_new(&d->rt->rings, true);
    ring *r = d->outputs;
    pthread_mutex_unlock(&d->lock);
    return r;
}

void outputs_show(struct daemon *d)
{
    unshown *u = d->unshown;
    ring *r = u && u->count ? daemon_outputs(d) : NULL;
    if (r)
        ring_give(r, u->items, u->count);
    for (unsigned i = 0; u && !r && i < u->count; i++)
        tail_item_release(&u->items[i]);
    if (u)
        u->count = 0;
}

static void show(struct daemon *d, const effect *e)
{
    outputs_show(d); /* what came before it */
    ring *r = daemon_outputs(d);
    if (!r)
        return;
    tail_item item = {
        .bytes = e->bytes,
        .wall_ns = d->last_time_ns,
        .to = e->to,
        .target = e->to == BERTH_TO_DAEMON  ? e->peer
                  : e->to == BERTH_TO_REPLY ? e->reply_to.w[0]
                                            : 0,
        .channel = e->to == BERTH_TO_CHANNEL ? e->name : NULL,
    };
    ring_put(r, &item);
}

static berth_event event_of(struct daemon *d, const effect *e, uint16_t type)
{
    return (berth_event){
        .type = type,
        .origin = d->origin,
        .sequence = load_u64(e->bytes->data + 16),
        .data = {e->bytes->data + EFFECT_HEAD, e->bytes->len - EFFECT_HEAD},
    };
}

static berth_ref reply_ref(const struct daemon *d, uint64_t request)
{
    return (berth_ref){{d->origin, request, d->incarnation, REPLY_TO_DAEMON}};
}

static void lost(struct daemon *d, const effect *e, int32_t status)
{
    atomic_fetch_add_explicit(&d->lost, 1, memory_order_relaxed);
    if (e->to == BERTH_TO_DAEMON && e->request) {
        berth_ref ref = reply_ref(d, e->request);
        send_answer(d->rt, NULL, &ref, status, e->peer, (slice){0});
    }
}

/* OK: it is on its way, or has ended in a status. WOULD_BLOCK: d is blocked, try again when it is
 * not. */
static berth_status release_send(struct daemon *d, pending_output *p)
{
    effect *e = &p->effect;
    berth_event event = event_of(d, e, BERTH_EVENT_MESSAGE);
    if (e->request && !p->started) {
        /* The deadline runs from the first try; the request is open before an answer can come. */
        int64_t in = e->delay_ns ? e->delay_ns : d->rt->limits.send_deadline_ns;
        if (due_set(d, true, e->request, e->peer, NULL, in, d->last_time_ns + in) != BERTH_OK) {
            atomic_fetch_add_explicit(&d->lost, 1, memory_order_relaxed);
            due_refused(d, e->request, e->peer);
            return BERTH_OK;
        }
    }
    if (e->request)
        event.reply_to = reply_ref(d, e->request);
    p->started = true;
    berth_status status = send_event(d->rt, d, e->peer, &event, e->bytes, &p->deadline_ns);
    if (status == BERTH_ERR_WOULD_BLOCK)
        return status;
    if (status != BERTH_OK)
        lost(d, e, status == BERTH_ERR_NOT_FOUND ? BERTH_REPLY_UNKNOWN : BERTH_REPLY_LOST);
    return BERTH_OK;
}

/* A hearer that came here, or went, while it was published may be both a member of another node and
 * in this host's table: it gets it once. */
static bool was_picked(struct daemon *d, struct daemon *t, uint64_t sequence)
{
    const route *r = &d->rt->route;
    return d->link && (atomic_load(&t->moved_in) || atomic_load(&t->moved_out)) &&
           r->picked(r->ctx, d->link, sequence, t->origin);
}

static berth_status release_publish(struct daemon *d, pending_output *p)
{
    effect *e = &p->effect;
    slice name = slice_of(e->name->data, e->name->len);
    berth_event event = event_of(d, e, BERTH_EVENT_MESSAGE);
    if (!p->routed) {
        event.channel = (berth_bytes){name.ptr, name.len};
        berth_status status = send_publish(d, &event, e->bytes, &p->deadline_ns);
        if (status == BERTH_ERR_WOULD_BLOCK)
            return status;
        if (status != BERTH_OK)
            lost(d, e, BERTH_REPLY_LOST);
        if (status == BERTH_ERR_REFUSED)
            return BERTH_OK; /* nobody gets what it may not say */
        p->routed = true;
    }
    if (!p->started) {
        ring *tails;
        p->targets = channels_hearers(&d->rt->channels, name, d->rt->node_id,
                                      runtime_hearers(d->rt, name), &p->target_count, &tails);
        if (tails) {
            tail_item item = {.bytes = e->bytes,
                              .wall_ns = d->last_time_ns,
                              .to = BERTH_TO_CHANNEL,
                              .channel = e->name};
            ring_put(tails, &item);
            ring_unref(tails);
        }
        p->started = true;
    }
    /* The channel's name has to live as long as the event: behind the payload it does. */
    buf *bytes = NULL;
    if (p->target_at < p->target_count) {
        bytes = buf_new(e->bytes->len + e->name->len);
        if (!bytes)
            return BERTH_OK;
        memcpy(bytes->data, e->bytes->data, e->bytes->len);
        memcpy(bytes->data + e->bytes->len, e->name->data, e->name->len);
        event.data.ptr = bytes->data + EFFECT_HEAD;
        event.channel = (berth_bytes){bytes->data + e->bytes->len, e->name->len};
    }
    while (p->target_at < p->target_count) {
        struct daemon *t = p->targets[p->target_at];
        berth_status status = was_picked(d, t, event.sequence)
                                  ? BERTH_OK
                                  : send_near(d->rt, d, t, &event, bytes, &p->deadline_ns);
        if (status == BERTH_ERR_WOULD_BLOCK) {
            buf_unref(bytes);
            return status;
        }
        if (status == BERTH_ERR_LOST)
            lost(d, e, BERTH_REPLY_LOST);
        daemon_unref(t);
        p->target_at++;
    }
    buf_unref(bytes);
    return BERTH_OK;
}

/* An answer: through reply_to, or an output to the caller where the caller is a daemon. */
static berth_status release_answer(struct daemon *d, pending_output *p, const berth_ref *to,
                                   bool more)
{
    effect *e = &p->effect;
    if (to->w[3] != REPLY_TO_DAEMON)
        return BERTH_OK; /* a client's: it gets the outputs through its batch */
    berth_event event = event_of(d, e, BERTH_EVENT_REPLY);
    event.request = to->w[1];
    event.flags = more ? BERTH_MORE : 0;
    event.status = e->flags & BERTH_REFUSE ? BERTH_REPLY_REFUSED : BERTH_REPLY_OK;
    berth_status status = send_event(d->rt, d, to->w[0], &event, e->bytes, &p->deadline_ns);
    if (status == BERTH_ERR_WOULD_BLOCK)
        return status;
    if (status != BERTH_OK)
        lost(d, e, BERTH_REPLY_LOST);
    return BERTH_OK;
}

static berth_status release_output(struct daemon *d, pending_output *p)
{
    effect *e = &p->effect;
    if (effect_is_chained(e) && !p->shown) {
        p->shown = true;
        show(d, e);
        if (e->to == BERTH_TO_CALLER && p->batch && p->batch->want_outputs)
            batch_output(p->batch, p->input, buf_ref(e->bytes));
    }
    switch (e->to) {
    case BERTH_TO_CALLER:
        return release_answer(d, p, &p->caller, !p->last);
    case BERTH_TO_DAEMON:
        return release_send(d, p);
    case BERTH_TO_CHANNEL:
        return release_publish(d, p);
    case BERTH_TO_REPLY:
        return release_answer(d, p, &e->reply_to, e->flags & BERTH_MORE);
    case BERTH_TO_SELF:
        if (e->flags & BERTH_CANCEL) {
            due_cancel(d, false, e->request);
            return BERTH_OK;
        }
        if (due_set(d, false, e->request, 0, e->bytes, e->delay_ns,
                    d->last_time_ns + e->delay_ns) != BERTH_OK)
            lost(d, e, BERTH_REPLY_LOST);
        return BERTH_OK;
    default:
        return BERTH_OK;
    }
}

static void join_or_leave(struct daemon *d, const effect *e)
{
    slice name = slice_of(e->name->data, e->name->len);
    berth_error error = {0};
    if (daemon_subscribe(d, e->peer, name, NULL, NULL, e->op == EFFECT_SUBSCRIBE, &error) !=
        BERTH_OK)
        log_warn("daemon", "%s: %s", d->name, error.text);
}

static void show_record(struct daemon *d, buf *record)
{
    ring *r = daemon_outputs(d);
    tail_item item = {.bytes = record, .wall_ns = clock_wall_ns(), .to = TAIL_TO_RECORD};
    if (r)
        ring_put(r, &item);
}

/* WOULD_BLOCK leaves p as it is, to be tried again. */
static berth_status release(struct daemon *d, pending_output *p)
{
    switch (p->effect.op) {
    case EFFECT_OUTPUT:
        return release_output(d, p);
    case EFFECT_SPAWN:
        spawn_for(d, &p->effect);
        return BERTH_OK;
    case EFFECT_RECORD:
        show_record(d, p->effect.bytes);
        return BERTH_OK;
    default:
        join_or_leave(d, &p->effect);
        return BERTH_OK;
    }
}

static void pending_fini(pending_output *p)
{
    for (; p->target_at < p->target_count; p->target_at++)
        daemon_unref(p->targets[p->target_at]);
    free(p->targets);
    buf_unref(p->effect.bytes);
    buf_unref(p->effect.name);
    buf_unref(p->effect.label);
}

/* ---- The outbox ------------------------------------------------------------------------------ */

/* Whether the promise behind the output is kept: its input is as durable as its level says, and no
 * later incarnation can use its sequence again. */
static bool may_leave(const struct daemon *d, const pending_output *p)
{
    return p->commit <= d->committed && p->sequence <= d->sequence_limit;
}

bool outbox_ready(const struct daemon *d)
{
    return !outbox_empty(d) && may_leave(d, d->more->out_head);
}

static void queue_output(struct daemon *d, const pending_output *p)
{
    extras *x = daemon_extras(d);
    pending_output *q = x ? malloc(sizeof(*q)) : NULL;
    if (!q) {
        log_error("daemon", "%s: out of memory for its outbox: an output is lost", d->name);
        pending_output copy = *p;
        lost(d, &copy.effect, BERTH_REPLY_LOST);
        pending_fini(&copy);
        return;
    }
    *q = *p;
    q->next = NULL;
    if (q->batch)
        q->batch->unfinished++;
    if (x->out_tail)
        x->out_tail->next = q;
    else
        x->out_head = q;
    x->out_tail = q;
}

static void drop_head(struct daemon *d)
{
    extras *x = d->more;
    pending_output *p = x->out_head;
    x->out_head = p->next;
    if (!x->out_head)
        x->out_tail = NULL;
    batch *b = p->batch;
    pending_fini(p);
    free(p);
    if (b)
        batch_settle(b);
}

bool outbox_flush(struct daemon *d)
{
    while (!outbox_empty(d)) {
        pending_output *p = d->more->out_head;
        if (!may_leave(d, p) || release(d, p) == BERTH_ERR_WOULD_BLOCK)
            return false;
        drop_head(d);
    }
    return true;
}

void outbox_drop(struct daemon *d)
{
    block_clear(d);
    while (!outbox_empty(d)) {
        if (d->more->out_head->effect.op != EFFECT_RECORD)
            lost(d, &d->more->out_head->effect, BERTH_REPLY_LOST);
        drop_head(d);
    }
}

/*
 * The common case: an output to the caller that may leave at once, with nobody but a client or a
 * tail to hear it. Nobody else has its bytes yet, so the second reference needs no atomic change.
 * While nobody reads the ring, it may as well get its items at the end of the run.
 */
static void release_at_once(struct daemon *d, batch *b, uint32_t index, buf *bytes)
{
    if (b->want_outputs) {
        atomic_store_explicit(&bytes->refs, 2, memory_order_relaxed);
        batch_output(b, index, bytes);
    }
    unshown *u = d->unshown;
    u->items[u->count++] =
        (tail_item){.bytes = bytes, .wall_ns = d->last_time_ns, .to = BERTH_TO_CALLER};
    ring *r = atomic_load_explicit(&d->outputs, memory_order_acquire);
    if (u->count == UNSHOWN_MAX || (r && ring_has_readers(r)))
        outputs_show(d);
}

void commit_record(struct daemon *d)
{
    const extras *x = d->more;
    buf *bytes = x && x->has_record ? buf_new(EFFECT_HEAD + DISCONTINUITY_SIZE) : NULL;
    if (!bytes)
        return;
    berth_link_encode(bytes->data, &x->record.base);
    discontinuity_encode(bytes->data + EFFECT_HEAD, &x->record);
    pending_output p = {.effect = {.op = EFFECT_RECORD, .bytes = bytes},
                        .sequence = x->record.base.sequence};
    if (!outbox_empty(d) || !may_leave(d, &p) || release(d, &p) == BERTH_ERR_WOULD_BLOCK)
        queue_output(d, &p);
    else
        pending_fini(&p);
}

static void commit_one(struct daemon *d, batch *b, uint32_t index, effect *e,
                       const berth_ref *caller, bool last)
{
    pending_output p = {
        .effect = *e,
        .batch = b,
        .input = index,
        .commit = d->inputs,
        .sequence = effect_is_chained(e) ? d->chain.head.sequence : 0,
        .last = last,
    };
    if (e->op == EFFECT_OUTPUT && e->to == BERTH_TO_CALLER)
        p.caller = *caller;
    if (!outbox_empty(d) || !may_leave(d, &p) || release(d, &p) == BERTH_ERR_WOULD_BLOCK)
        queue_output(d, &p);
    else
        pending_fini(&p);
}

void commit_effects(struct daemon *d, batch *b, uint32_t index, effects *e)
{
    const berth_ref *caller = &b->common.reply_to;
    uint64_t heard = horizon_encode(&d->seen);
    uint32_t emitted = 0, to_caller = 0;
    bool asked = caller->w[3] == REPLY_TO_DAEMON; /* then the last output has to be known */
    for (uint32_t i = 0; asked && i < e->count; i++)
        to_caller += e->items[i].op == EFFECT_OUTPUT && e->items[i].to == BERTH_TO_CALLER;
    keep_commit(d); /* a level that has to wait leaves d->committed behind d->inputs */
    for (uint32_t i = 0; i < e->count; i++) {
        effect *x = &e->items[i];
        bool here = x->op == EFFECT_OUTPUT && x->to == BERTH_TO_CALLER;
        if (effect_is_chained(x)) {
            chain_append(&d->chain, x->bytes->data, x->bytes->len - EFFECT_HEAD, heard, NULL);
            emitted++;
        }
        if (here && !asked && outbox_empty(d) && d->inputs <= d->committed &&
            d->chain.head.sequence <= d->sequence_limit)
            release_at_once(d, b, index, x->bytes);
        else
            commit_one(d, b, index, x, caller, here && asked && --to_caller == 0);
    }
    e->count = 0; /* the references have gone into the outputs */
    e->bytes = 0;
    if (!emitted)
        return;
    d->emitted_here += emitted;
    atomic_store_explicit(&d->sequence, d->chain.head.sequence, memory_order_relaxed);
    if (d->rt->store)
        keep_reserve(d);
}
