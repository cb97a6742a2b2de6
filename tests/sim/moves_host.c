/* SPDX-License-Identifier: Apache-2.0 */
/* Life and death of a host, and the messages that no machine is there for. */
#include "moves.h"

#include <stdlib.h>

/* ---- Gates ---- */

/* The one seam: does this host's journal say that the daemon is its own, at this epoch? */
bool host_may_run(const world *w, int n, int d, uint64_t epoch)
{
    const own_row *own = &w->hosts[n].own[d];

    return (own->owned && own->epoch == epoch) || FAULT(REOPEN_AT_RESTART);
}

void host_open(world *w, int n, int d, uint64_t epoch, const counts *c)
{
    if (!host_may_run(w, n, d, epoch))
        return;
    moves_trace(w, "host %d runs daemon %d at epoch %llu", n, d, (unsigned long long)epoch);
    w->hosts[n].run[d] =
        (running){.loaded = true, .gate = true, .epoch = epoch, .counts = *c, .moving = -1};
    check_opened(w, n, d, epoch, c);
}

/* ---- Life and death ---- */

static void recover(world *w, int n)
{
    host *h = &w->hosts[n];

    for (int a = 0; a < w->attempt_count; a++) {
        if (h->rows[a].kind == ROW_RELEASED && FAULT(REOPEN_AT_RESTART)) {
            int d = w->attempts[a].daemon;

            host_open(w, n, d, h->own[d].epoch, &h->own[d].counts);
        }
        if (h->rows[a].kind == ROW_RELEASED)
            source_recover_row(w, n, a);
        if (h->rows[a].kind == ROW_OWNED ||
            (h->rows[a].kind == ROW_PREPARED && !FAULT(FORGET_PREPARED)))
            target_recover_row(w, n, a);
    }
}

void host_start(world *w, int n)
{
    host *h = &w->hosts[n];

    moves_trace(w, "host %d starts", n);
    h->up = true;
    h->boot++;
    h->wake_at = INT64_MAX;
    h->ready_at = w->now + (moves_chance(w, 0.3) ? (int64_t)moves_random(w, 8 * SEC) : 0);
    for (int d = 0; d < w->options.daemons; d++) {
        h->run[d] = (running){.moving = -1};
        if (h->own[d].owned)
            host_open(w, n, d, h->own[d].epoch, &h->own[d].counts);
    }
    recover(w, n);
    host_pump(w, n);
}

void host_kill(world *w, int n)
{
    host *h = &w->hosts[n];

    moves_trace(w, "host %d is killed", n);
    h->up = false;
    for (int a = 0; a < ATTEMPTS; a++) {
        source_free(h->sources[a]);
        target_free(h->targets[a]);
        free(h->stream[a]);
        h->sources[a] = NULL;
        h->targets[a] = NULL;
        h->stream[a] = NULL;
        h->stream_len[a] = 0;
        h->beginning[a] = h->tried[a] = h->has_ended[a] = false;
    }
    for (int d = 0; d < DAEMONS; d++)
        h->run[d] = (running){.moving = -1};
    disk_kill(w, n);
    for (int c = 0; c < w->call_count; c++)
        if (w->calls[c].host == n && w->calls[c].o) {
            w->calls[c].lost = !w->calls[c].over;
            orchestrator_free(w->calls[c].o);
            w->calls[c].o = NULL;
        }
}

/* ---- Time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const world *w, int n)
{
    const host *h = &w->hosts[n];
    int64_t at = INT64_MAX;

    for (int a = 0; a < w->attempt_count; a++) {
        if (h->sources[a])
            at = earlier(at, source_deadline(h->sources[a]));
        if (h->targets[a])
            at = earlier(at, target_deadline(h->targets[a]));
    }
    for (int c = 0; c < w->call_count; c++)
        if (w->calls[c].host == n && w->calls[c].o)
            at = earlier(at, orchestrator_deadline(w->calls[c].o));
    return at;
}

/* Everything that its machines want done, and when to look again. */
void host_pump(world *w, int n)
{
    host *h = &w->hosts[n];
    int64_t at;

    if (!h->up)
        return;
    for (int a = 0; a < w->attempt_count; a++) {
        source_pump(w, n, a);
        target_pump(w, n, a);
    }
    for (int c = 0; c < w->call_count; c++)
        if (w->calls[c].host == n && w->calls[c].o)
            call_pump(w, c);
    at = next_deadline(w, n);
    if (at == INT64_MAX)
        return;
    at = (int64_t)((double)(at - h->offset) / h->rate) + 1;
    if (at <= w->now)
        at = w->now + 1;
    if (at < h->wake_at || h->wake_at <= w->now) {
        h->wake_at = at;
        moves_later(w, at - w->now, WHAT_WAKE, n, 0);
    }
}

void host_wake(world *w, int n)
{
    host *h = &w->hosts[n];
    int64_t now = moves_now(w, n);

    if (h->wake_at > w->now)
        return; /* an earlier one came between */
    h->wake_at = INT64_MAX;
    for (int a = 0; a < w->attempt_count; a++) {
        if (h->sources[a] && source_deadline(h->sources[a]) <= now)
            source_expire(h->sources[a], now);
        if (h->targets[a] && target_deadline(h->targets[a]) <= now)
            target_expire(h->targets[a], now);
    }
    for (int c = 0; c < w->call_count; c++)
        if (w->calls[c].host == n && w->calls[c].o && orchestrator_deadline(w->calls[c].o) <= now)
            orchestrator_expire(w->calls[c].o, now);
    host_pump(w, n);
}

/* ---- Messages ---- */

int host_attempt(const world *w, const uint8_t id[ATTEMPT_SIZE])
{
    uint64_t a = load_u64(id) - 1;

    return a < (uint64_t)w->attempt_count ? (int)a : -1;
}

static void answer_no(world *w, int n, int to, const move_head *about, uint16_t kind,
                      move_reason reason, bool final)
{
    move_no m = {.head = *about, .reason = reason, .final = final};
    writer s = {0};

    m.head.kind = kind;
    move_no_write(&s, &m);
    moves_send(w, n, w->hosts[to].id, buf_copy(s.data, s.len));
    writer_free(&s);
}

static void begin_reuse(world *w, int n, int a)
{
    host *h = &w->hosts[n];

    if (!FAULT(REUSE_ATTEMPT) || h->beginning[a])
        return;
    source_free(h->sources[a]);
    h->sources[a] = NULL;
    h->has_ended[a] = false;
    free(h->stream[a]);
    h->stream[a] = NULL;
    h->stream_len[a] = 0;
    row_free(&h->rows[a]);
}

/* What is refused now must not begin when its order comes once more: that is on disk before anybody
 * is told. */
static void never(world *w, int n, int a, move_reason reason)
{
    host *h = &w->hosts[n];

    h->beginning[a] = true;
    h->ended_moved[a] = false;
    h->ended_reason[a] = reason;
    disk_write(w, n, OP_STOPPED, a, w->attempts[a].daemon, NULL, NULL);
}

static void on_order(world *w, int n, int from, int a, slice message)
{
    host *h = &w->hosts[n];
    move_outcome why;
    move_order m;

    if (move_order_read(&m, message, NULL) != BERTH_OK)
        return;
    begin_reuse(w, n, a);
    if (h->sources[a] || h->beginning[a] || h->rows[a].kind != ROW_NONE || h->has_ended[a])
        source_tell(w, n, a, from);
    else if (!source_begin(w, n, a, &m.order, &why)) {
        if (why.reason == MOVE_REFUSED)
            answer_no(w, n, from, &m.head, MESSAGE_MOVE_REFUSED, why.reason, false);
        else
            never(w, n, a, why.reason);
    }
}

/* An orchestrator's wish to stop it. */
static void on_stop(world *w, int n, int from, int a, const move_head *head)
{
    host *h = &w->hosts[n];
    move_outcome why;

    if (from != w->attempts[a].from)
        return;
    move_failed(&why, MOVE_CANCELLED, "cancelled");
    if (h->sources[a] && source_abort(h->sources[a], &why, moves_now(w, n)) == BERTH_ERR_BUSY) {
        answer_no(w, n, from, head, MESSAGE_MOVE_REFUSED, MOVE_TOO_LATE, false);
    } else if (!h->sources[a] && !h->beginning[a] && h->rows[a].kind == ROW_NONE &&
               !h->has_ended[a]) {
        never(w, n, a, MOVE_CANCELLED);
    }
    host_pump(w, n);
    source_tell(w, n, a, from);
}

/* Of an attempt for which there is no machine: the disk answers. */
static void without_machine(world *w, int n, int from, int a, const move_head *head, slice message)
{
    host *h = &w->hosts[n];
    row_kind kind = h->rows[a].kind;
    bool is_source = n == w->attempts[a].source && from == w->attempts[a].target;
    bool is_target = n == w->attempts[a].target && from == w->attempts[a].source;

    if (FAULT(FORGET_PREPARED) && kind == ROW_PREPARED)
        kind = ROW_NONE;
    if (head->kind == MESSAGE_MOVE_OFFER && n != w->attempts[a].source) {
        target_offered(w, n, from, a, message);
    } else if (is_source &&
               (head->kind == MESSAGE_MOVE_ASK || head->kind == MESSAGE_MOVE_PREPARED ||
                head->kind == MESSAGE_MOVE_ACCEPT)) {
        if (kind != ROW_RELEASED && kind != ROW_FINISHED && !h->beginning[a])
            answer_no(w, n, from, head, MESSAGE_MOVE_ABORT, MOVE_UNKNOWN_ATTEMPT, false);
    } else if (is_target && head->kind == MESSAGE_MOVE_COMMIT && kind == ROW_OWNED) {
        target_recover_row(w, n, a);
    } else if (is_target && (head->kind == MESSAGE_MOVE_COMMIT ||
                             head->kind == MESSAGE_MOVE_CHUNK || head->kind == MESSAGE_MOVE_SEAL)) {
        answer_no(w, n, from, head, MESSAGE_MOVE_REFUSED,
                  kind == ROW_REFUSED ? h->rows[a].reason : MOVE_UNKNOWN_ATTEMPT,
                  kind == ROW_REFUSED);
    }
}

static void to_orchestrator(world *w, int n, int from, int a, slice message)
{
    int c = w->attempts[a].call;

    if (c >= 0 && w->calls[c].host == n && w->calls[c].o)
        orchestrator_message(w->calls[c].o, w->hosts[from].id, message, moves_now(w, n));
}

static void to_machine(world *w, int n, int from, int a, const move_head *head, slice message)
{
    host *h = &w->hosts[n];
    int64_t now = moves_now(w, n);

    if (h->sources[a])
        source_message(h->sources[a], w->hosts[from].id, message, now);
    else if (h->targets[a])
        target_message(h->targets[a], w->hosts[from].id, message, now);
    else
        without_machine(w, n, from, a, head, message);
}

void host_message(world *w, int n, int from, buf *bytes)
{
    slice message = slice_of(bytes->data, bytes->len);
    move_head head;
    int a;

    if (move_head_read(&head, message, NULL) != BERTH_OK)
        return;
    a = host_attempt(w, head.attempt);
    if (a < 0)
        return;
    if (head.kind == MESSAGE_MOVE_ORDER)
        on_order(w, n, from, a, message);
    else if (head.kind == MESSAGE_MOVE_LOOK)
        source_tell(w, n, a, from);
    else if (head.kind == MESSAGE_MOVE_STATE)
        to_orchestrator(w, n, from, a, message);
    else if (head.kind == MESSAGE_MOVE_ABORT && n == w->attempts[a].source)
        on_stop(w, n, from, a, &head);
    else {
        if (head.kind == MESSAGE_MOVE_REFUSED)
            to_orchestrator(w, n, from, a, message);
        to_machine(w, n, from, a, &head, message);
    }
    host_pump(w, n);
}

/* Sessions that are up again, gone, or only thought to be: at any time, for any attempt. */
void host_session(world *w, int n)
{
    host *h = &w->hosts[n];
    int64_t now = moves_now(w, n);
    bool gone = moves_chance(w, 0.1);

    if (!h->up || h->paused_until > w->now)
        return;
    for (int a = 0; a < w->attempt_count; a++) {
        if (h->sources[a] && gone)
            source_target_gone(h->sources[a], now);
        else if (h->sources[a])
            source_target_up(h->sources[a], now);
        if (h->targets[a] && moves_chance(w, 0.5))
            target_still_there(h->targets[a], now);
        else if (h->targets[a])
            target_source_up(h->targets[a], now);
    }
    for (int c = 0; c < w->call_count; c++)
        if (w->calls[c].host == n && w->calls[c].o)
            orchestrator_source_up(w->calls[c].o, now);
    host_pump(w, n);
}

/* ---- Somebody who says what is not his to say; and a target that mumbles ---- */

void host_stranger(world *w, int n)
{
    static const uint16_t kinds[] = {
        MESSAGE_MOVE_ABORT,    MESSAGE_MOVE_COMMIT, MESSAGE_MOVE_REFUSED, MESSAGE_MOVE_OWNED,
        MESSAGE_MOVE_PREPARED, MESSAGE_MOVE_ASK,    MESSAGE_MOVE_ORDER,   MESSAGE_MOVE_OFFER};
    int a = w->attempt_count - 1 - (int)moves_random(w, 3);
    attempt *x = a >= 0 ? &w->attempts[a] : NULL;
    uint16_t kind = kinds[moves_random(w, 8)];
    bool mumbles = x && n == x->target;
    move_head head = {.kind = kind};
    move_no no = {.reason = MOVE_CANCELLED, .final = kind == MESSAGE_MOVE_REFUSED && !mumbles};
    writer s = {0};

    if (!x || w->healed || n == x->source || (mumbles && kind != MESSAGE_MOVE_REFUSED) ||
        !w->hosts[n].up || (kind == MESSAGE_MOVE_ORDER && w->calls[x->call].local))
        return; /* a local order is not known to others before it has begun */
    memcpy(head.attempt, x->order.attempt, ATTEMPT_SIZE);
    head.origin = w->daemons[x->daemon].origin;
    no.head = head;
    if (kind == MESSAGE_MOVE_ABORT || kind == MESSAGE_MOVE_REFUSED) {
        move_no_write(&s, &no);
    } else if (kind == MESSAGE_MOVE_ASK) {
        move_bare_write(&s, &head);
    } else if (kind == MESSAGE_MOVE_ORDER) {
        move_order_write(&s, &(move_order){.head = head, .order = x->order});
    } else if (kind == MESSAGE_MOVE_OFFER) {
        move_offer m = {.head = head, .epoch = x->epoch + 2, .kind = slice_str("sim")};

        m.order = x->order;
        move_offer_write(&s, &m);
    } else {
        move_step m = {.head = head, .epoch = x->epoch < 2 ? 2 : x->epoch};

        memcpy(m.hash, x->hash, sizeof m.hash);
        move_step_write(&s, &m);
    }
    moves_trace(w, "stranger %d says 0x%x of attempt %d", n, kind, a);
    /* Its own network: the checks of what may be sent are for honest hosts. */
    for (int to = 0; to < w->options.hosts; to++)
        if (to != n && (to == x->target || to == x->source))
            moves_later(w, (int64_t)moves_random(w, 50 * MS), WHAT_MESSAGE, to, n)->bytes =
                buf_copy(s.data, s.len);
    writer_free(&s);
}
