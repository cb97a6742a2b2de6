/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions over a network that is as bad as its rules say, in a clock of its own. */
#include "mesh_net.h"

#include "mesh/impair.h"

enum { MESSAGES = 400 };

#define BAD "delay=2500us jitter=500us loss=0.5% dup=0.5% reorder=1%/4ms"

static net n;
static net_node *const a = &n.nodes[0], *const b = &n.nodes[1];

/* Of both nodes: what leaves it, what comes to it. */
static impair *out_of[2], *in_to[2];

static unsigned index_of(const address *at)
{
    return net_same(at, &a->at) ? 0 : 1;
}

/* Each datagram that a node sends goes into its outgoing side, and the network sees no more of it.
 */
static bool tap(net *of, const address *from, const address *to, const uint8_t *bytes, size_t len)
{
    impair_offer(out_of[index_of(from)], to, from, bytes, len, 0, of->now_ns);
    return false;
}

static int setup(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        out_of[s] = impair_new(10 + s);
        in_to[s] = impair_new(20 + s);
        assert_non_null(out_of[s]);
        assert_non_null(in_to[s]);
    }
    net_pair(&n, 77);
    n.tap = tap;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_fini(&n);
    for (unsigned s = 0; s < 2; s++) {
        impair_free(out_of[s]);
        impair_free(in_to[s]);
    }
    return 0;
}

static void set(impair *i, const char *text)
{
    berth_error error = {0};
    impair_rule rule;

    if (impair_parse(&rule, slice_str(text), &error) != BERTH_OK ||
        impair_set(i, NULL, &rule, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void set_all(const char *text)
{
    for (unsigned s = 0; s < 2; s++) {
        set(out_of[s], text);
        set(in_to[s], text);
    }
}

static void deliver(void)
{
    impaired d;

    for (unsigned s = 0; s < 2; s++)
        while (impair_next(out_of[s], n.now_ns, &d))
            impair_offer(in_to[index_of(&d.remote)], &d.local, &d.remote, d.bytes, d.len, d.ecn,
                         n.now_ns);
    for (unsigned s = 0; s < 2; s++)
        while (impair_next(in_to[s], n.now_ns, &d))
            endpoint_receive(n.nodes[s].e, &d.local, &d.remote, d.bytes, d.len, d.ecn, n.now_ns);
}

static int64_t due(int64_t until)
{
    for (unsigned s = 0; s < 2; s++) {
        int64_t out = impair_deadline(out_of[s]), in = impair_deadline(in_to[s]);

        until = out < until ? out : until;
        until = in < until ? in : until;
    }
    return until;
}

static void run(int64_t for_ns)
{
    int64_t until = n.now_ns + for_ns;

    for (;;) {
        net_flush(&n); /* before the deadlines are looked at */
        if (net_step(&n, due(until)))
            continue;
        if (n.now_ns >= until && due(INT64_MAX) > n.now_ns)
            return;
        deliver();
    }
}

static void connect_both(void)
{
    net_start(a);
    net_start(b);
    net_dial(a, b);
    run(NET_SECOND);
    assert_true(a->sessions[0].up);
    assert_true(b->sessions[0].up);
}

/* The session that is used: the youngest. */
static net_session *current(net_node *node)
{
    return &node->sessions[node->count - 1];
}

/* Numbered messages both ways on every lane; the one who takes them checks their order. */
static void talk(unsigned first, unsigned count, int64_t pause)
{
    for (unsigned m = first; m < first + count; m++) {
        for (unsigned l = 0; l < LANE_COUNT; l++) {
            assert_int_equal(net_send(&n, current(a), (lane)l, m, 100 + m % 7 * 400), BERTH_OK);
            assert_int_equal(net_send(&n, current(b), (lane)l, m, 100 + m % 5 * 300), BERTH_OK);
        }
        run(pause);
    }
}

static void assert_all_arrived(unsigned count)
{
    for (unsigned l = 0; l < LANE_COUNT; l++) {
        assert_int_equal(current(a)->messages[l], count);
        assert_int_equal(current(b)->messages[l], count);
    }
}

static void with_loss_duplicates_and_reordering_all_arrives_in_order_on_each_lane(void **state)
{
    impair_counters c;
    session_info info;

    (void)state;
    set_all(BAD);
    connect_both();
    talk(0, MESSAGES, 5 * NET_MS);
    run(5 * NET_SECOND);
    assert_all_arrived(MESSAGES);
    assert_int_equal(a->downs + b->downs, 0);
    for (unsigned s = 0; s < 2; s++) {
        impair_get_counters(out_of[s], &c);
        assert_true(c.dropped_loss > 0 && c.duplicated > 0 && c.reordered > 0);
        impair_get_counters(in_to[s], &c);
        assert_true(c.dropped_loss > 0 && c.duplicated > 0 && c.reordered > 0);
    }
    session_get_info(current(a)->s, &info);
    assert_in_range(info.rtt_min_ns, 10 * NET_MS, 12 * NET_MS);
}

static void the_same_seeds_give_the_same_session(void **state)
{
    uint8_t trace[2][16];

    (void)state;
    for (unsigned r = 0; r < 2; r++) {
        if (r) {
            teardown(NULL);
            setup(NULL);
        }
        set_all(BAD);
        connect_both();
        talk(0, 50, 5 * NET_MS);
        crypto_generichash_final(&n.trace, trace[r], 16);
    }
    assert_memory_equal(trace[0], trace[1], 16);
}

static void a_partition_of_three_seconds_is_survived(void **state)
{
    (void)state;
    set_all(BAD);
    connect_both();
    talk(0, 100, 5 * NET_MS);
    set_all("drop");
    talk(100, 30, 100 * NET_MS);
    set_all(BAD);
    run(10 * NET_SECOND);
    talk(130, 100, 5 * NET_MS);
    run(5 * NET_SECOND);
    assert_int_equal(a->downs + b->downs, 0);
    assert_all_arrived(230);
}

static void what_was_cut_off_for_long_is_renewed_by_a_dial_after_the_heal(void **state)
{
    (void)state;
    set_all(BAD);
    connect_both();
    set_all("drop");
    run(40 * NET_SECOND);
    assert_int_equal(a->sessions[0].why, END_IDLE);
    assert_int_equal(b->sessions[0].why, END_IDLE);
    set_all(BAD);
    net_dial(a, b);
    run(NET_SECOND);
    assert_true(current(a)->up);
    assert_true(current(b)->up);
    talk(0, 100, 5 * NET_MS);
    run(5 * NET_SECOND);
    assert_all_arrived(100);
}

static void a_blackhole_in_one_direction_ends_the_session_as_idle(void **state)
{
    impair_counters c;

    (void)state;
    set_all("delay=2500us");
    connect_both();
    set(in_to[1], "drop"); /* b hears nothing; a would hear b */
    assert_int_equal(net_send(&n, current(b), LANE_EVENT, 0, 100), BERTH_OK);
    run(100 * NET_MS);
    assert_int_equal(a->sessions[0].messages[LANE_EVENT], 1);
    run(90 * NET_SECOND);
    assert_int_equal(b->sessions[0].why, END_IDLE);
    assert_int_equal(a->sessions[0].why, END_IDLE);
    impair_get_counters(in_to[1], &c);
    assert_true(c.dropped_blackhole > 0);
}

static void a_narrow_line_slows_and_loses_nothing(void **state)
{
    (void)state;
    set_all("delay=2500us");
    set(out_of[0], "delay=2500us rate=1Mbit queue=16KiB");
    connect_both();
    for (unsigned m = 0; m < 20; m++)
        assert_int_equal(net_send(&n, current(a), LANE_BULK, m, 50000), BERTH_OK);
    run(7 * NET_SECOND); /* a million bytes need eight */
    assert_true(current(b)->bytes[LANE_BULK] < 1000000);
    assert_true(current(b)->bytes[LANE_BULK] > 500000);
    run(8 * NET_SECOND);
    assert_int_equal(current(b)->messages[LANE_BULK], 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(with_loss_duplicates_and_reordering_all_arrives_in_order_on_each_lane),
        TEST(the_same_seeds_give_the_same_session),
        TEST(a_partition_of_three_seconds_is_survived),
        TEST(what_was_cut_off_for_long_is_renewed_by_a_dial_after_the_heal),
        TEST(a_blackhole_in_one_direction_ends_the_session_as_idle),
        TEST(a_narrow_line_slows_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
