/* SPDX-License-Identifier: Apache-2.0 */
/* What a session does with a link that is narrow, loses packets, or has nothing to carry. In a time
 * of its own: the same seed gives the same figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh_world.h"

#define RATE 12500000 /* 100 Mbit/s */

static world w;

static void begin(unsigned loss, int64_t hold_ns)
{
    world_init(&w, 2);
    w.delay_ns = 5 * WORLD_MS;
    w.rate = RATE;
    w.hold_ns = hold_ns;
    w.loss = loss;
    world_start(&w);
    world_dial(&w);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(w.ends[1].ups, 1);
}

static uint64_t poured(unsigned loss, int64_t hold_ns)
{
    uint64_t bytes;

    begin(loss, hold_ns);
    world_pour(&w.ends[0], 16384);
    world_run(&w, 5 * WORLD_SECOND);
    bytes = w.ends[1].bytes;
    world_fini(&w);
    return bytes;
}

static void one_packet_lost_in_a_hundred_costs_less_than_three_bytes_in_ten(void **state)
{
    (void)state;
    for (int64_t hold_ns = 10 * WORLD_MS; hold_ns <= 50 * WORLD_MS; hold_ns += 40 * WORLD_MS) {
        uint64_t without = poured(0, hold_ns), with = poured(10000, hold_ns);

        assert_true(without > 5 * (uint64_t)RATE * 8 / 10);
        assert_true(with > without * 7 / 10);
    }
}

/* A link that holds little is not sent more than it holds: what is paced stays paced, though acks
 * come all the time and timers are coarse. */
static void what_is_sent_is_spread_over_time(void **state)
{
    uint64_t carried, full;

    (void)state;
    begin(0, 2 * WORLD_MS);
    world_pour(&w.ends[0], 16384);
    world_run(&w, 2 * WORLD_SECOND);
    carried = w.ends[0].out.carried;
    full = w.ends[0].out.full;
    world_run(&w, 5 * WORLD_SECOND);
    carried = w.ends[0].out.carried - carried;
    full = w.ends[0].out.full - full;
    assert_true(full < carried / 16);
    world_fini(&w);
}

/* A keep-alive each 5 s: it is due at both ends at about the same time, and its answer may wait. */
static void an_idle_session_has_no_busy_timer(void **state)
{
    (void)state;
    begin(0, 10 * WORLD_MS);
    world_run(&w, 10 * WORLD_SECOND);
    w.ends[0].wakeups = w.ends[1].wakeups = 0;
    world_run(&w, 60 * WORLD_SECOND);
    assert_in_range(w.ends[0].wakeups + w.ends[1].wakeups, 12, 60);
    world_fini(&w);
}

static void a_session_that_was_closed_is_forgotten_in_four_seconds(void **state)
{
    (void)state;
    begin(0, 10 * WORLD_MS);
    session_close(w.ends[0].s, END_LOCAL, "", w.now_ns);
    world_run(&w, 4 * WORLD_SECOND);
    for (int i = 0; i < 2; i++)
        assert_true(endpoint_deadline(w.ends[i].e) == INT64_MAX);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_packet_lost_in_a_hundred_costs_less_than_three_bytes_in_ten),
        cmocka_unit_test(what_is_sent_is_spread_over_time),
        cmocka_unit_test(an_idle_session_has_no_busy_timer),
        cmocka_unit_test(a_session_that_was_closed_is_forgotten_in_four_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
