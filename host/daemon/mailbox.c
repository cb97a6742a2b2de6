/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for a daemon, and who waits for room. */
#include "daemon/runtime_private.h"

#include <stdlib.h>

/* A send that goes over the mark, because waiting would deadlock, may go this far over it. */
#define HARD_CAP 8

static void append(batch **head, batch **last, batch *b)
{
    b->next = NULL;
    if (*last)
        (*last)->next = b;
    else
        *head = b;
    *last = b;
}

/* Under d->lock: whether a runner would find something to do. */
static bool has_work(const struct daemon *d)
{
    bool drained = !d->mail_head && !d->urgent_head;
    for (command *c = d->command_head; c; c = c->next)
        if (d->force || ((!c->when_drained || (drained && !d->out_held)) &&
                         (!c->when_still || (!d->out_held && !mailbox_begun(d)))))
            return true;
    if (atomic_load(&d->blocked))
        return false;
    return d->out_ready || mailbox_next(d);
}

/* Under d->lock: true if the caller has to push d->task, once it has let go of the lock. The
 * queue's reference is taken here. */
static bool schedule(struct daemon *d)
{
    if (d->turn != TURN_IDLE || !has_work(d))
        return false;
    d->turn = TURN_QUEUED;
    daemon_ref(d);
    return true;
}

void mailbox_kick(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    bool push = schedule(d);
    pthread_mutex_unlock(&d->lock);
    if (push)
        dispatcher_push(d->rt->dispatcher, &d->task);
}

/* Under d->lock. More than the whole mailbox may go into an empty one. */
static bool fits(const struct daemon *d, uint32_t events, uint64_t bytes, unsigned times)
{
    const runtime_limits *l = &d->rt->limits;
    return d->mail_events == 0 || (d->mail_events + events <= l->mailbox_events * times &&
                                   d->mail_bytes + bytes <= l->mailbox_bytes * times);
}

/* Under d->lock. */
static berth_status check_room(const struct daemon *d, const batch *b, mail_rule rule)
{
    if (d->gone || (d->refusing && rule == MAIL_CREDIT))
        return BERTH_ERR_NOT_FOUND;
    if (d->frozen && rule != MAIL_SYSTEM && rule != MAIL_URGENT)
        return BERTH_ERR_WOULD_BLOCK;
    switch (rule) {
    case MAIL_SYSTEM:
    case MAIL_URGENT:
        return BERTH_OK;
    case MAIL_OVER:
        return fits(d, b->count, b->bytes, HARD_CAP) ? BERTH_OK : BERTH_ERR_LOST;
    default:
        return fits(d, b->count, b->bytes, 1) ? BERTH_OK : BERTH_ERR_WOULD_BLOCK;
    }
}

bool mailbox_has_room(struct daemon *d, uint32_t events, uint64_t bytes, credit *waiter)
{
    pthread_mutex_lock(&d->lock);
    bool room = d->gone || (!d->frozen && fits(d, events, bytes, 1));
    if (!room && waiter) {
        waiter->next = d->credits;
        d->credits = waiter;
    }
    pthread_mutex_unlock(&d->lock);
    return room;
}

berth_status mailbox_put(struct daemon *d, batch *b, mail_rule rule, credit *waiter)
{
    pthread_mutex_lock(&d->lock);
    berth_status status = check_room(d, b, rule);
    bool push = false;
    if (status == BERTH_OK) {
        b->unfinished = b->count;
        if (rule == MAIL_URGENT) {
            append(&d->urgent_head, &d->urgent_tail, b);
        } else {
            append(&d->mail_head, &d->mail_tail, b);
            if (rule != MAIL_SYSTEM) {
                d->mail_events += b->count;
                d->mail_bytes += b->bytes;
            }
        }
        b->system = rule == MAIL_SYSTEM || rule == MAIL_URGENT;
        push = schedule(d);
    } else if (status == BERTH_ERR_WOULD_BLOCK && waiter) {
        waiter->next = d->credits;
        d->credits = waiter;
    }
    pthread_mutex_unlock(&d->lock);
    if (push)
        dispatcher_push(d->rt->dispatcher, &d->task);
    return status;
}

bool mailbox_command(struct daemon *d, command *c)
{
    pthread_mutex_lock(&d->lock);
    bool finished = d->finished;
    bool push = false;
    if (!finished) {
        c->next = NULL;
        if (d->command_tail)
            d->command_tail->next = c;
        else
            d->command_head = c;
        d->command_tail = c;
        push = schedule(d);
    }
    pthread_mutex_unlock(&d->lock);
    if (push)
        dispatcher_push(d->rt->dispatcher, &d->task);
    return !finished;
}

static void call_credits(credit *list)
{
    while (list) {
        credit *c = list;
        list = c->next;
        c->fn(c->ctx);
        free(c);
    }
}

void mailbox_took(struct daemon *d, uint32_t events, uint64_t bytes)
{
    credit *ready = NULL;
    pthread_mutex_lock(&d->lock);
    d->mail_events -= events;
    d->mail_bytes -= bytes;
    /* Half empty, so that each waiter's wake-up is worth its cost. */
    if (d->credits && !d->frozen && d->mail_events <= d->rt->limits.mailbox_events / 2 &&
        d->mail_bytes <= d->rt->limits.mailbox_bytes / 2) {
        ready = d->credits;
        d->credits = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    call_credits(ready);
}

static void cancel_list(struct daemon *d, batch *b)
{
    while (b) {
        batch *next = b->next;
        for (uint32_t i = b->at; i < b->count; i++)
            send_answer(d->rt, NULL, &b->common.reply_to, BERTH_REPLY_LOST, d->origin,
                        slice_str("the daemon was stopped"));
        batch_give_up(b, BERTH_ERR_CANCELLED);
        b = next;
    }
}

void mailbox_unget(struct daemon *d, batch *b)
{
    pthread_mutex_lock(&d->lock);
    b->system = true; /* it has taken no credit */
    b->next = d->mail_head;
    d->mail_head = b;
    if (!d->mail_tail)
        d->mail_tail = b;
    pthread_mutex_unlock(&d->lock);
}

void mailbox_cancel(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    batch *urgent = d->urgent_head, *mail = d->mail_head;
    credit *waiting = d->credits;
    d->urgent_head = d->urgent_tail = d->mail_head = d->mail_tail = NULL;
    d->credits = NULL;
    d->mail_events = 0;
    d->mail_bytes = 0;
    pthread_mutex_unlock(&d->lock);
    cancel_list(d, urgent);
    cancel_list(d, mail);
    call_credits(waiting);
}

/* ---- While it leaves ------------------------------------------------------------------------- */

bool mailbox_leave(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    bool can = !d->leaving && !d->gone && !d->refusing;
    if (can)
        d->leaving = true;
    pthread_mutex_unlock(&d->lock);
    return can;
}

bool mailbox_hold(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    bool can = !d->gone && !d->refusing;
    if (can) {
        d->held = true;
        d->state = BERTH_DAEMON_HELD;
    }
    pthread_mutex_unlock(&d->lock);
    return can;
}

/* Under d->lock: everything, what is urgent first. */
static batch *take_all(struct daemon *d)
{
    batch *list = d->urgent_head;
    if (list)
        d->urgent_tail->next = d->mail_head;
    else
        list = d->mail_head;
    d->urgent_head = d->urgent_tail = d->mail_head = d->mail_tail = NULL;
    return list;
}

batch *mailbox_freeze(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    batch *list = take_all(d);
    d->frozen = true;
    pthread_mutex_unlock(&d->lock);
    return list;
}

void mailbox_thaw(struct daemon *d, batch *list)
{
    pthread_mutex_lock(&d->lock);
    d->leaving = d->held = d->frozen = false;
    if (d->state == BERTH_DAEMON_HELD && d->gate_open)
        d->state = BERTH_DAEMON_RUNNING;
    if (list) {
        batch *last = list;
        while (last->next)
            last = last->next;
        last->next = d->mail_head;
        if (!d->mail_head)
            d->mail_tail = last;
        d->mail_head = list;
    }
    credit *waiting = d->credits;
    d->credits = NULL;
    bool push = schedule(d);
    pthread_mutex_unlock(&d->lock);
    if (push)
        dispatcher_push(d->rt->dispatcher, &d->task);
    call_credits(waiting); /* who still finds no room waits again */
}

batch *mailbox_empty(struct daemon *d)
{
    pthread_mutex_lock(&d->lock);
    batch *list = take_all(d);
    credit *waiting = d->credits;
    d->credits = NULL;
    d->gone = true;
    d->mail_events = 0;
    d->mail_bytes = 0;
    pthread_mutex_unlock(&d->lock);
    call_credits(waiting);
    return list;
}
