/* SPDX-License-Identifier: Apache-2.0 */
/* mesh_call_client.h: one caller, and a look at all that it says. */
#ifndef TESTS_MESH_CALL_CLIENT_H
#define TESTS_MESH_CALL_CLIENT_H

#include "mesh_calls.h"

#define A 0xaa
#define B 0xbb

typedef struct ended {
    uint64_t id, node;
    berth_status status;
    bool may_have_run, has_result;
    void *user;
} ended;

/* One client, and what it says. */
typedef struct side {
    call_client *client;
    test_lane lane;
    ended ended[4096];
    unsigned ended_count, moved_count;
    bool take; /* what `moved` answers */
    call_moved moved;
    int64_t now;
} side;

static inline berth_status send_it(void *ctx, uint64_t node, lane l, buf *message)
{
    side *s = ctx;

    return lane_send(&s->lane, node, l, message);
}

static inline void done(void *ctx, void *user, const call_outcome *o)
{
    side *s = ctx;

    assert_true(o->text.len > 0);
    assert_int_equal(o->result != NULL, o->hold != NULL);
    s->ended[s->ended_count++] =
        (ended){o->id, o->node, o->status, o->may_have_run, o->result != NULL, user};
}

static inline bool moved(void *ctx, void *user, const call_moved *m)
{
    side *s = ctx;

    (void)user;
    s->moved = *m;
    s->moved_count++;
    return s->take;
}

static inline side *side_new(const call_client_config *limits)
{
    side *s = calloc(1, sizeof *s);
    call_client_config config = limits ? *limits : (call_client_config){0};

    config.ctx = s;
    config.send = send_it;
    config.done = done;
    config.moved = moved;
    s->now = 1000 * SEC;
    s->client = call_client_new(&config);
    assert_non_null(s->client);
    return s;
}

static inline call_client_stats stats_of(const side *s)
{
    call_client_stats stats;

    call_client_get_stats(s->client, &stats);
    return stats;
}

/* All calls have ended, and with them all that was kept. */
static inline void side_free(side *s)
{
    call_client_stats stats;

    s->lane.status = BERTH_OK;
    call_client_room(s->client, A, s->now);
    call_client_room(s->client, B, s->now);
    s->now += SEC;
    call_client_expire(s->client, s->now);
    stats = stats_of(s);
    assert_int_equal(stats.calls, 0);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.nodes, 0);
    assert_int_equal(call_client_deadline(s->client), INT64_MAX);
    lane_clear(&s->lane);
    call_client_free(s->client);
    free(s);
}

static const slice one_event = {(const uint8_t *)"event", 5};

static inline call_spec spec_of(uint64_t node)
{
    return (call_spec){.node = node,
                       .origin = 0x77,
                       .min_epoch = 3,
                       .events = &one_event,
                       .count = 1,
                       .deadline_ns = 10 * SEC};
}

static inline uint64_t begin(side *s, const call_spec *spec)
{
    berth_error error = {0};
    uint64_t id = 0;

    assert_int_equal(call_begin(s->client, spec, s->now, &id, &error), BERTH_OK);
    assert_int_not_equal(id, 0);
    return id;
}

static inline uint64_t begin_at(side *s, uint64_t node)
{
    call_spec spec = spec_of(node);

    return begin(s, &spec);
}

static inline uint64_t begin_with_source(side *s, uint64_t node)
{
    call_spec spec = spec_of(node);

    spec.source = slice_str("source");
    spec.source_seq = 1;
    return begin(s, &spec);
}

static inline void answer_as(side *s, uint64_t node, uint64_t id, uint64_t number,
                             call_status status, bool kept)
{
    call_response r = {.id = id, .number = number, .kept = kept, .result = {.status = status}};
    buf *b;

    assert_int_equal(call_response_write(&r, NULL, &b, NULL), BERTH_OK);
    assert_int_equal(call_client_receive(s->client, node, b, s->now, NULL), BERTH_OK);
    buf_unref(b);
}

static inline void answer(side *s, uint64_t node, uint64_t id, uint64_t number)
{
    answer_as(s, node, id, number, CALL_OK, true);
}

/* The only call that has ended since the last look. */
static inline ended took_end(side *s)
{
    assert_int_equal(s->ended_count, 1);
    s->ended_count = 0;
    return s->ended[0];
}

static inline void expect_end(side *s, uint64_t id, berth_status status, bool may_have_run)
{
    ended e = took_end(s);

    assert_int_equal(e.id, id);
    assert_int_equal(e.status, status);
    assert_int_equal(e.may_have_run, may_have_run);
}

static inline void pass(side *s, int64_t ns)
{
    s->now += ns;
    call_client_expire(s->client, s->now);
}

#endif
