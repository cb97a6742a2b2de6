/* SPDX-License-Identifier: Apache-2.0 */
/* mesh_calls.h: what the tests of calls share: a lane that remembers what was sent on it. */
#ifndef TESTS_MESH_CALLS_H
#define TESTS_MESH_CALLS_H

#include "mesh/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS  INT64_C(1000000)
#define SEC INT64_C(1000000000)

enum { LANE_MESSAGES = 8192 };

typedef struct sent {
    uint64_t node;
    buf *message;
} sent;

typedef struct test_lane {
    sent sent[LANE_MESSAGES];
    unsigned count, at;  /* at: the first that the test has not looked at */
    berth_status status; /* what the next sends answer */
    unsigned room;       /* with WOULD_BLOCK: so many are still taken */
} test_lane;

static inline berth_status lane_send(test_lane *l, uint64_t node, lane on, buf *message)
{
    assert_int_equal(on, LANE_CALL);
    if (l->status == BERTH_ERR_WOULD_BLOCK && l->room)
        l->room--;
    else if (l->status)
        return l->status;
    assert_true(l->count < LANE_MESSAGES);
    l->sent[l->count++] = (sent){node, buf_ref(message)};
    return BERTH_OK;
}

/* The next message; it must be for that node, and of that kind. */
static inline buf *lane_take(test_lane *l, uint64_t node, uint16_t kind)
{
    sent *s = &l->sent[l->at++];

    assert_true(l->at <= l->count);
    assert_int_equal(s->node, node);
    assert_int_equal(call_message_kind(slice_of(s->message->data, s->message->len)), kind);
    return s->message;
}

static inline void lane_quiet(const test_lane *l)
{
    assert_int_equal(l->at, l->count);
}

/* Forget all: nobody has them any more. */
static inline void lane_clear(test_lane *l)
{
    for (unsigned i = 0; i < l->count; i++)
        buf_unref(l->sent[i].message);
    l->count = l->at = 0;
}

static inline call_request take_request(test_lane *l, uint64_t node)
{
    buf *b = lane_take(l, node, MESSAGE_CALL_REQUEST);
    call_request r;

    assert_int_equal(call_request_read(&r, slice_of(b->data, b->len), NULL), BERTH_OK);
    return r;
}

static inline call_response take_answer(test_lane *l, uint64_t node)
{
    buf *b = lane_take(l, node, MESSAGE_CALL_ANSWER);
    call_response r;

    assert_int_equal(call_response_read(&r, slice_of(b->data, b->len), NULL), BERTH_OK);
    return r;
}

static inline call_notice take_notice(test_lane *l, uint64_t node, uint16_t kind)
{
    buf *b = lane_take(l, node, kind);
    call_notice n;

    assert_int_equal(call_notice_read(&n, slice_of(b->data, b->len), NULL), BERTH_OK);
    return n;
}

/* A notice about one call, this one. */
static inline void take_notice_of(test_lane *l, uint64_t node, uint16_t kind, uint64_t number)
{
    call_notice n = take_notice(l, node, kind);

    assert_int_equal(n.count, 1);
    assert_int_equal(call_notice_number(&n, 0), number);
}

#endif
