/* SPDX-License-Identifier: Apache-2.0 */
/* mesh_call_server.h: one node that is asked, and a look at all that it answers and runs. */
#ifndef TESTS_MESH_CALL_SERVER_H
#define TESTS_MESH_CALL_SERVER_H

#include "mesh_calls.h"

#define A    0xaa
#define B    0xbb
#define BOOT 0xb007

typedef struct withdrawn {
    uint64_t handle;
    call_status why;
} withdrawn;

typedef struct side {
    call_server *server;
    test_lane lane;
    call_status accept; /* what `execute` answers */
    uint64_t handles[8192];
    unsigned executed;
    call_server_request last;
    call_request last_request;
    withdrawn withdrawn[64];
    unsigned withdrawn_count;
    int64_t now;
} side;

static inline berth_status send_it(void *ctx, uint64_t node, lane l, buf *message)
{
    side *s = ctx;

    return lane_send(&s->lane, node, l, message);
}

static inline call_status execute(void *ctx, const call_server_request *r)
{
    side *s = ctx;

    s->last = *r;
    s->last_request = *r->request;
    if (s->accept == CALL_OK)
        s->handles[s->executed++] = r->handle;
    return s->accept;
}

static inline void cancelled(void *ctx, uint64_t handle, call_status why)
{
    side *s = ctx;

    s->withdrawn[s->withdrawn_count++] = (withdrawn){handle, why};
}

static inline side *side_new(const call_server_config *limits)
{
    side *s = calloc(1, sizeof *s);
    call_server_config config = limits ? *limits : (call_server_config){0};

    config.ctx = s;
    config.send = send_it;
    config.execute = execute;
    config.cancelled = cancelled;
    s->now = 1000 * SEC;
    s->server = call_server_new(&config);
    assert_non_null(s->server);
    return s;
}

static inline call_server_stats stats_of(const side *s)
{
    call_server_stats stats;

    call_server_get_stats(s->server, &stats);
    return stats;
}

static inline void pass(side *s, int64_t ns)
{
    s->now += ns;
    call_server_expire(s->server, s->now);
}

/* Long after all deadlines nothing is kept. Nothing may be running. */
static inline void side_free(side *s)
{
    call_server_stats stats;

    pass(s, 25 * 3600 * SEC);
    pass(s, 25 * 3600 * SEC);
    stats = stats_of(s);
    assert_int_equal(stats.nodes, 0);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.kept, 0);
    assert_int_equal(stats.kept_bytes, 0);
    assert_int_equal(call_server_deadline(s->server), INT64_MAX);
    lane_clear(&s->lane);
    call_server_free(s->server);
    free(s);
}

static const slice one_event = {(const uint8_t *)"event", 5};

static inline call_request request_of(uint64_t number)
{
    return (call_request){.id = 0x1d00 + number,
                          .boot = BOOT,
                          .number = number,
                          .open_from = 1,
                          .left_ns = 10 * SEC,
                          .origin = 0x77,
                          .count = 1};
}

static inline void receive(side *s, uint64_t node, const call_request *r)
{
    buf *b;

    assert_int_equal(call_request_write(r, &one_event, &b, NULL), BERTH_OK);
    assert_int_equal(call_server_receive(s->server, node, b, s->now, NULL), BERTH_OK);
    buf_unref(b);
}

static inline void ask(side *s, uint64_t node, uint64_t number)
{
    call_request r = request_of(number);

    receive(s, node, &r);
}

static inline void ask_from(side *s, uint64_t node, uint64_t number, uint64_t open_from)
{
    call_request r = request_of(number);

    r.open_from = open_from;
    receive(s, node, &r);
}

static inline void notice(side *s, uint64_t node, uint16_t kind, uint64_t number)
{
    buf *b = call_notice_write(kind, BOOT, &number, 1);

    assert_int_equal(call_server_receive(s->server, node, b, s->now, NULL), BERTH_OK);
    buf_unref(b);
}

static inline void acknowledge(side *s, uint64_t node, uint64_t number)
{
    notice(s, node, MESSAGE_CALL_ACK, number);
}

static inline void cancel(side *s, uint64_t node, uint64_t number)
{
    notice(s, node, MESSAGE_CALL_CANCEL, number);
}

static inline berth_status answer_as(side *s, unsigned i, call_status status)
{
    call_result r = {.status = status, .applied = 1};

    return call_answer(s->server, s->handles[i], &r, NULL, s->now);
}

/* What the i-th execution came to. */
static inline void answer(side *s, unsigned i)
{
    assert_int_equal(answer_as(s, i, CALL_OK), BERTH_OK);
}

static inline void expect_answer(side *s, uint64_t node, uint64_t number, call_status status)
{
    call_response r = take_answer(&s->lane, node);

    assert_int_equal(r.id, 0x1d00 + number);
    assert_int_equal(r.number, number);
    assert_int_equal(r.result.status, status);
}

#endif
