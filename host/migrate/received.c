/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: to which attempt they go, and what is answered to those of none. */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "identity/entity.h"

#include <stdlib.h>

typedef struct received {
    input in;
    uint64_t node;
    uint8_t entity[BERTH_ENTITY_SIZE];
    buf *msg;
} received;

static void send_message(migrations *x, uint64_t node, writer *w)
{
    buf *b = w->failed ? NULL : buf_copy(w->data, w->len);

    if (b)
        mesh_tell(x->config.mesh, node, LANE_CALL, b);
    buf_unref(b);
    writer_free(w);
}

void say_no(migrations *x, uint64_t node, uint16_t kind, const uint8_t id[ATTEMPT_SIZE],
            uint64_t origin, move_reason reason, bool final, const char *text)
{
    move_no no = {.head = {.kind = kind, .origin = origin},
                  .reason = reason,
                  .final = final,
                  .text = slice_str(text)};
    writer w = {0};

    memcpy(no.head.attempt, id, sizeof no.head.attempt);
    move_no_write(&w, &no);
    send_message(x, node, &w);
}

/* ---- To the source: move it ------------------------------------------------------------------ */

/* Who ordered it is told how it ended also by a source that has been restarted since. */
static bool say_ended(migrations *x, uint64_t node, const move_head *head)
{
    move_state s = {.head = *head, .phase = MOVE_PHASE_COMPLETE, .over = true};
    store_attempt_phase phase;
    uint64_t epoch;
    writer w = {0};

    if (!journal_phase(x, head->attempt, &phase, &epoch) ||
        (phase != STORE_HANDED_OVER && phase != STORE_TAKEN_BACK))
        return false;
    s.head.kind = MESSAGE_MOVE_STATE;
    s.moved = phase == STORE_HANDED_OVER;
    if (!s.moved) {
        s.reason = MOVE_REFUSED;
        s.text = slice_str("the target has refused it, and it runs at the source again");
    }
    move_state_write(&w, &s);
    send_message(x, node, &w);
    return true;
}

static void ordered(migrations *x, const received *r, slice msg)
{
    attempt *a;
    move_outcome why = {.moved = false};
    store_attempt_phase phase;
    berth_error error = {0};
    move_order m;
    uint64_t epoch;

    if (move_order_read(&m, msg, &error) != BERTH_OK) {
        count(x, &x->counters.malformed, 1);
        return;
    }
    a = attempt_find(x, m.head.attempt);
    if (a && a->source && a->orchestrator == r->node) {
        source_tell(a, r->node);
        return;
    }
    if (!a && say_ended(x, r->node, &m.head))
        return;
    if (a || journal_phase(x, m.head.attempt, &phase, &epoch))
        move_failed(&why, MOVE_UNKNOWN_ATTEMPT, "this attempt was used already");
    else if (!entity_eq(m.order.source, x->config.identity->entity) ||
             memcmp(m.order.attempt, m.head.attempt, sizeof m.order.attempt) != 0 ||
             berth_entity_origin(m.order.entity) != m.head.origin)
        move_failed(&why, MOVE_REFUSED, "the order is not for this node");
    else if (berth_runtime_get_state(x->rt) != BERTH_RUNTIME_READY)
        move_failed(&why, MOVE_SHUTTING_DOWN, "the source is starting or ending");
    else if (order_counts(x, &m.order, r->node, TRUST_MAY_ORCHESTRATE, &why)) {
        a = source_begin(x, &m.order, berth_entity_node_id(m.order.target), r->node, &m, &why);
        if (a) {
            attempt_pump(a);
            source_tell(a, r->node);
            return;
        }
    }
    log_warn("migrate", "node %016llx ordered that %016llx be moved: %s: %s",
             (unsigned long long)r->node, (unsigned long long)m.head.origin,
             move_reason_text(why.reason), why.text);
    say_no(x, r->node, MESSAGE_MOVE_REFUSED, m.head.attempt, m.head.origin, why.reason, true,
           why.text);
}

static void look(migrations *x, const received *r, const move_head *head)
{
    attempt *a = attempt_find(x, head->attempt);

    if (a && a->source && a->orchestrator == r->node)
        source_tell(a, r->node);
    else if (a || !say_ended(x, r->node, head))
        say_no(x, r->node, MESSAGE_MOVE_REFUSED, head->attempt, head->origin, MOVE_UNKNOWN_ATTEMPT,
               false, "the source has no such attempt");
}

/* An orchestrator's abort; a source's goes to its target's machine. */
static bool abort_source(attempt *a, const received *r, slice msg)
{
    berth_error error = {0};
    move_outcome why;
    move_no no;

    if (a->orchestrator != r->node || move_no_read(&no, msg, &error) != BERTH_OK)
        return false;
    move_failed(&why, no.reason, "%.*s", (int)no.text.len, (const char *)no.text.ptr);
    if (source_abort(a->source, &why, now_of()) != BERTH_OK && !a->over)
        say_no(a->x, r->node, MESSAGE_MOVE_REFUSED, a->id, a->origin, MOVE_TOO_LATE, false, "");
    attempt_pump(a);
    return true;
}

/* ---- To the target --------------------------------------------------------------------------- */

static void offered(migrations *x, const received *r, slice msg)
{
    berth_error error = {0};
    move_offer offer;
    attempt *a;

    if (move_offer_read(&offer, msg, &error) != BERTH_OK) {
        count(x, &x->counters.malformed, 1);
        return;
    }
    /* Nobody else can use up an attempt that its source has not offered yet. */
    if (!entity_eq(offer.order.source, r->entity)) {
        count(x, &x->counters.unauthorized, 1);
        say_no(x, r->node, MESSAGE_MOVE_REFUSED, offer.head.attempt, offer.head.origin,
               MOVE_REFUSED, false, "the order names another source");
        return;
    }
    a = target_begin(x, r->node, r->entity, &offer, r->msg);
    if (a)
        attempt_pump(a);
}

/* ---- About attempts that no machine is there for ----------------------------------------------
 */

static void answer_step(migrations *x, uint64_t node, uint16_t kind, const move_step *asked)
{
    move_step s = *asked;
    writer w = {0};

    s.head.kind = kind;
    move_step_write(&w, &s);
    send_message(x, node, &w);
}

/* What is on disk is said again; what never was there was never decided. */
static void of_none(migrations *x, const received *r, const move_head *head, slice msg)
{
    store_attempt_phase phase;
    uint64_t epoch = 0;
    bool known = journal_phase(x, head->attempt, &phase, &epoch);
    berth_error error = {0};
    move_step step;

    switch (head->kind) {
    case MESSAGE_MOVE_COMMIT:
        if (move_step_read(&step, msg, &error) != BERTH_OK)
            break;
        if (known && phase == STORE_OWNED && step.epoch == epoch) {
            answer_step(x, r->node, MESSAGE_MOVE_OWNED, &step);
            return;
        }
        say_no(x, r->node, MESSAGE_MOVE_REFUSED, head->attempt, head->origin, MOVE_UNKNOWN_ATTEMPT,
               known && phase == STORE_REFUSED, "the target has nothing of this attempt");
        return;
    case MESSAGE_MOVE_ACCEPT:
    case MESSAGE_MOVE_GOT:
    case MESSAGE_MOVE_ASK:
    case MESSAGE_MOVE_PREPARED:
    case MESSAGE_MOVE_FETCH:
        if (known && phase != STORE_TAKEN_BACK) {
            /* It said OWNED once, and has forgotten: its state was rolled back. Nobody may decide
             * that but an operator. */
            log_error("migrate",
                      "node %016llx asks for a daemon (%016llx) that it has had already: "
                      "was its state directory put back to an earlier time?",
                      (unsigned long long)r->node, (unsigned long long)head->origin);
            return;
        }
        say_no(x, r->node, MESSAGE_MOVE_ABORT, head->attempt, head->origin, MOVE_UNKNOWN_ATTEMPT,
               false, "the source has nothing of this attempt");
        return;
    case MESSAGE_MOVE_KEY:
    case MESSAGE_MOVE_CHUNK:
    case MESSAGE_MOVE_SEAL:
        say_no(x, r->node, MESSAGE_MOVE_REFUSED, head->attempt, head->origin, MOVE_UNKNOWN_ATTEMPT,
               false, "the target has nothing of this attempt");
        return;
    default:
        break;
    }
    count(x, &x->counters.unknown, 1);
}

static bool is_early(uint16_t kind)
{
    return kind == MESSAGE_MOVE_KEY || kind == MESSAGE_MOVE_READY;
}

static bool to_early(attempt *a, const received *r, uint16_t kind, slice msg)
{
    if (r->node != a->peer || (a->source ? MESSAGE_MOVE_READY : MESSAGE_MOVE_KEY) != kind)
        return false;
    if (a->target)
        return early_received(a, msg);
    early_ready(a);
    return true;
}

static void to_attempt(migrations *x, attempt *a, const received *r, const move_head *head,
                       slice msg)
{
    bool taken;

    if (a->source && head->kind == MESSAGE_MOVE_ABORT)
        taken = abort_source(a, r, msg);
    else if (is_early(head->kind))
        taken = to_early(a, r, head->kind, msg);
    else if (a->source && head->kind == MESSAGE_MOVE_HEARS)
        taken = hearing_message(a, r->node, msg);
    else if (a->source)
        taken = source_message(a->source, r->node, msg, now_of());
    else if (head->kind == MESSAGE_MOVE_PLUGIN || head->kind == MESSAGE_MOVE_PART)
        taken = fetching_message(a, r->node, msg);
    else
        taken = a->target && target_message(a->target, r->node, msg, now_of());
    if (taken && head->kind == MESSAGE_MOVE_CHUNK)
        count(x, &x->counters.bytes_in, msg.len);
    if (!taken)
        count(x, &x->counters.unauthorized, 1);
    attempt_pump(a);
}

static void take(migrations *x, input *in, bool ended)
{
    received *r = (received *)in;
    slice msg = slice_of(r->msg->data, r->msg->len);
    berth_error error = {0};
    move_head head;
    attempt *a;

    pthread_mutex_lock(&x->lock);
    x->inbox_bytes -= msg.len;
    pthread_mutex_unlock(&x->lock);
    if (ended) {
        buf_unref(r->msg);
        free(r);
        return;
    }
    if (move_head_read(&head, msg, &error) != BERTH_OK) {
        count(x, &x->counters.malformed, 1);
    } else if (head.kind == MESSAGE_MOVE_ORDER) {
        ordered(x, r, msg);
    } else if (head.kind == MESSAGE_MOVE_LOOK) {
        look(x, r, &head);
    } else if (head.kind == MESSAGE_MOVE_INQUIRE) {
        inquiry_answer(x, r->node, &head);
    } else if ((head.kind == MESSAGE_MOVE_KIND || head.kind == MESSAGE_MOVE_REFUSED) &&
               inquiry_message(x, r->node, &head, msg)) {
        /* who waits for it has it */
    } else if (head.kind == MESSAGE_MOVE_STATE) {
        ordering_message(x, r->node, &head, msg);
    } else if ((a = attempt_find(x, head.attempt)) != NULL &&
               (a->source || head.kind != MESSAGE_MOVE_REFUSED)) {
        to_attempt(x, a, r, &head, msg);
    } else if (head.kind == MESSAGE_MOVE_OFFER) {
        offered(x, r, msg);
    } else if (head.kind == MESSAGE_MOVE_REFUSED) {
        /* Of a source, to who ordered it: also where that is the target. */
        ordering_message(x, r->node, &head, msg);
    } else {
        of_none(x, r, &head, msg);
    }
    buf_unref(r->msg);
    free(r);
}

/* On the mesh's thread. What there is no room for is as if it had been lost. */
void migrations_received(void *ctx, uint64_t node, const uint8_t entity[BERTH_ENTITY_SIZE],
                         buf *msg)
{
    migrations *x = ctx;
    received *r = NULL;
    bool room;

    pthread_mutex_lock(&x->lock);
    room = !x->ended && x->inbox_bytes + msg->len <= INBOX_MAX;
    if (room)
        x->inbox_bytes += msg->len;
    else
        x->counters.dropped++;
    pthread_mutex_unlock(&x->lock);
    if (room)
        r = calloc(1, sizeof *r);
    if (!r)
        return;
    *r = (received){.in = {.run = take}, .node = node, .msg = buf_ref(msg)};
    memcpy(r->entity, entity, sizeof r->entity);
    migrations_post(x, &r->in);
}
