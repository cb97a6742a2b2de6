/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An orchestrator and any sequence of messages, answers, wishes to stop and times: it never
 * crashes, has one outcome, and tells of success only what its source has said of the present
 * attempt.
 */
#include "driven.h"
#include "mesh/message.h"
#include "migrate/orchestrator.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE_NODE 79
#define ORIGIN_OF   0x1234

typedef struct driven {
    orchestrator *o;
    int64_t now;
    bool local, begin_out, said_moved;
    uint8_t attempts; /* that were begun; the number of the present one */
    unsigned asked, over;
    move_outcome outcome;
} driven;

static void pump(driven *d)
{
    orchestrator_need need;
    orchestrator_view v;

    while (orchestrator_next(d->o, &need, d->now)) {
        must(!d->over);
        switch (need.kind) {
        case ORCHESTRATOR_SEND:
            must(need.node == SOURCE_NODE && need.message && d->attempts);
            must(!d->local || need.message->data[0] == (MESSAGE_MOVE_ABORT & 0xff));
            buf_unref(need.message);
            break;
        case ORCHESTRATOR_BEGIN:
            must(!d->begin_out);
            d->begin_out = true;
            d->asked++;
            break;
        case ORCHESTRATOR_OVER:
            must(++d->over == 1 && !d->begin_out);
            d->outcome = *orchestrator_outcome(d->o);
            must(!d->outcome.moved || d->said_moved);
            break;
        default:
            abort();
        }
    }
    orchestrator_look(d->o, &v);
    must(v.attempts == d->asked);
    if (d->over)
        must(v.over && memcmp(&d->outcome, orchestrator_outcome(d->o), sizeof d->outcome) == 0);
}

static void begun(driven *d, uint8_t how)
{
    move_order given = {.order = {.verbs = ORDER_MOVE, .not_before_s = 1, .not_after_s = 2}};
    move_outcome why;

    if (!d->begin_out)
        return;
    d->begin_out = false;
    if (how & 1) {
        move_failed(&why, how & 2 ? MOVE_NOT_READY : MOVE_REFUSED, "as the input says");
        orchestrator_begun(d->o, BERTH_ERR_REFUSED, NULL, &why, d->now);
        return;
    }
    d->attempts++;
    d->said_moved = false;
    memset(given.order.attempt, d->attempts, ATTEMPT_SIZE);
    given.head = (move_head){.kind = MESSAGE_MOVE_ORDER, .origin = ORIGIN_OF};
    memset(given.head.attempt, d->attempts, ATTEMPT_SIZE);
    orchestrator_begun(d->o, BERTH_OK, &given, NULL, d->now);
}

static move_state state_of(const driven *d, uint8_t how)
{
    move_state s = {.head = {.kind = MESSAGE_MOVE_STATE, .origin = ORIGIN_OF},
                    .phase = (move_phase)(how & 3),
                    .over = how & 4,
                    .target = 5,
                    .text = slice_str("so it is")};

    memset(s.head.attempt, d->attempts + (how == 0xff), ATTEMPT_SIZE);
    s.moved = s.over && how & 8;
    s.in_doubt = !s.over && how & 16;
    if (s.over && !s.moved)
        s.reason = how & 32 ? MOVE_NOT_READY : MOVE_STATE_FAILED;
    return s;
}

static void message(driven *d, uint8_t op, uint8_t how)
{
    move_state s = state_of(d, how);
    writer w = {0};
    bool taken;

    if (op & 1) {
        move_no no = {.head = s.head, .reason = (move_reason)(how & 15), .text = slice_str("no")};

        no.head.kind = op & 2 ? MESSAGE_MOVE_ABORT : MESSAGE_MOVE_REFUSED;
        move_no_write(&w, &no);
    } else {
        move_state_write(&w, &s);
    }
    if (op & 4 && w.len)
        w.len = how % w.len; /* cut off */
    if (op & 8 && w.len)
        w.data[how % w.len] ^= 0x55;
    taken = orchestrator_message(d->o, op & 16 ? SOURCE_NODE + 1 : SOURCE_NODE,
                                 slice_of(w.data, w.len), d->now);
    must(!taken || !(op & 16));
    d->said_moved |= taken && !(op & 1);
    writer_free(&w);
}

static void step(driven *d, uint8_t op, uint8_t how)
{
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        message(d, op / 8, how);
        break;
    case 3:
        begun(d, how);
        break;
    case 4:
        if (d->local && d->attempts && !d->begin_out && how != 0xff) {
            move_state s = state_of(d, how);

            orchestrator_state(d->o, &s, d->now);
            d->said_moved |= s.moved;
        }
        break;
    case 5:
        orchestrator_source_up(d->o, d->now);
        break;
    case 6:
        orchestrator_cancel(d->o, d->now);
        break;
    default:
        d->now += (int64_t)how * how * 10000000;
        orchestrator_expire(d->o, d->now);
        break;
    }
    pump(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how = next(&data, &size);
    orchestrator_config config = {.origin = ORIGIN_OF,
                                  .source = SOURCE_NODE,
                                  .local = how & 1,
                                  .retry_not_ready_ns = how & 2 ? INT64_C(30000000000) : 0};
    driven d = {.local = how & 1};

    d.o = orchestrator_new(&config, 0);
    if (!d.o)
        abort();
    pump(&d);
    while (size) {
        uint8_t op = next(&data, &size);

        if (d.attempts == UINT8_MAX)
            break;
        step(&d, op, next(&data, &size));
    }
    orchestrator_free(d.o);
    return 0;
}
