/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on lanes: whole, in order, each lane for itself, and never more than the reader takes.
 */
#include "mesh_net.h"

static net n;

static net_node *const a = &n.nodes[0], *const b = &n.nodes[1];

static int teardown(void **state)
{
    (void)state;
    net_fini(&n);
    return 0;
}

static void messages_of_every_size_arrive_on_all_lanes_at_once(void **state)
{
    static const size_t sizes[] = {0,    1,     7,      8,       9,       1000,    1451,
                                   1452, 65535, 65536,  65537,   1000000, 0,       3,
                                   5,    100,   262144, 1048576, 3000000, 4194300, 4194305};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    unsigned next[LANE_COUNT] = {0};

    (void)state;
    net_pair(&n, 1);
    net_connect(&n);
    for (unsigned round = 0; round < 10000; round++) {
        unsigned done = 0;

        for (unsigned l = 0; l < LANE_COUNT; l++) {
            /* A lane's own order: each begins elsewhere. */
            while (next[l] < SIZES && net_send(&n, &a->sessions[0], (lane)l, next[l],
                                               sizes[(next[l] + l * 5) % SIZES]) == BERTH_OK)
                next[l]++;
            done += b->sessions[0].messages[l];
        }
        if (done == SIZES * LANE_COUNT)
            break;
        net_run(&n, 10 * NET_MS);
    }
    for (unsigned l = 0; l < LANE_COUNT; l++) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < SIZES; i++)
            sum += sizes[i];
        assert_int_equal(b->sessions[0].messages[l], SIZES);
        assert_int_equal(b->sessions[0].bytes[l], sum);
    }
    assert_int_equal(a->downs + b->downs, 0);
}

static void the_bytes_are_those_that_were_sent(void **state)
{
    buf *sent = net_numbered(0, 1234567);

    (void)state;
    net_pair(&n, 2);
    net_connect(&n);
    n.weather.loss = 50;
    n.weather.jitter_ns = 8 * NET_MS;
    assert_int_equal(session_send(a->sessions[0].s, LANE_BULK, sent, n.now_ns), BERTH_OK);
    net_run(&n, 30 * NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_BULK], 1);
    assert_memory_equal(b->sessions[0].last[LANE_BULK]->data, sent->data, sent->len);
    assert_int_equal(sent->refs, 1);
    buf_unref(sent);
}

static void bulk_does_not_delay_control(void **state)
{
    uint64_t queued = 0;

    (void)state;
    net_pair(&n, 3);
    net_connect(&n);
    for (unsigned i = 0; i < 64; i++)
        if (net_send(&n, &a->sessions[0], LANE_BULK, i, 1 << 20) == BERTH_OK)
            queued++;
    assert_true(queued >= 3);
    net_run(&n, 2 * NET_MS);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_CONTROL, i, 100), BERTH_OK);
        /* What is under way fills the window; the first acknowledgement of it lets this go. */
        net_run(&n, 16 * NET_MS);
        assert_int_equal(b->sessions[0].messages[LANE_CONTROL], i + 1);
    }
    assert_true(b->sessions[0].messages[LANE_BULK] < queued);
}

static void a_reader_that_refuses_stops_its_lane_and_no_other(void **state)
{
    uint64_t accepted = 0, taken;

    (void)state;
    net_pair(&n, 4);
    net_connect(&n);
    b->shut[LANE_EVENT] = true;
    for (unsigned i = 0; i < 400; i++) {
        if (net_send(&n, &a->sessions[0], LANE_EVENT, accepted, 100000) == BERTH_OK)
            accepted++;
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_CALL, i, 1000), BERTH_OK);
        net_run(&n, 20 * NET_MS);
    }
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 0);
    assert_int_equal(b->sessions[0].messages[LANE_CALL], 400);
    /* What waits is what the sender may queue, and one window of the reader. */
    assert_true(accepted * 100000 < (8u << 20) + 200000);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, accepted, 100000),
                     BERTH_ERR_WOULD_BLOCK);

    b->shut[LANE_EVENT] = false;
    session_resume(b->sessions[0].s, LANE_EVENT, n.now_ns);
    net_run(&n, 10 * NET_SECOND);
    taken = b->sessions[0].messages[LANE_EVENT];
    assert_int_equal(taken, accepted);
    assert_true(a->sessions[0].rooms > 0);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, accepted, 100000), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], accepted + 1);
}

static void a_reader_may_take_one_message_at_a_time(void **state)
{
    (void)state;
    net_pair(&n, 5);
    net_connect(&n);
    b->shut[LANE_EVENT] = true;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, i, i % 3 ? 0 : 300), BERTH_OK);
    net_run(&n, NET_SECOND);
    for (unsigned i = 0; i < 50; i++) {
        session_resume(b->sessions[0].s, LANE_EVENT, n.now_ns); /* still shut: refused again */
        assert_int_equal(b->sessions[0].messages[LANE_EVENT], 0);
    }
    b->shut[LANE_EVENT] = false;
    session_resume(b->sessions[0].s, LANE_EVENT, n.now_ns);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 50);
}

static void a_send_says_why_not(void **state)
{
    buf *large;
    net_session *s;

    (void)state;
    net_pair(&n, 6);
    a->config.max_message = 1000;
    a->config.max_queued = 10000;
    net_start(a);
    net_start(b);
    s = net_dial(a, b);
    assert_int_equal(net_send(&n, s, LANE_EVENT, 0, 10), BERTH_ERR_NOT_READY);
    net_run(&n, NET_SECOND);
    assert_int_equal(net_send(&n, s, LANE_EVENT, 0, 1001), BERTH_ERR_LIMIT);
    assert_int_equal(net_send(&n, s, LANE_COUNT, 0, 10), BERTH_ERR_INVALID);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(net_send(&n, s, LANE_EVENT, i, 1000), BERTH_OK);
    assert_int_equal(net_send(&n, s, LANE_EVENT, 9, 1000), BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(net_send(&n, s, LANE_CALL, 0, 1000), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(s->rooms, 1);
    large = buf_new(10);
    session_close(s->s, END_LOCAL, "done", n.now_ns);
    buf_unref(large);
}

static void one_message_larger_than_the_queue_goes_through(void **state)
{
    (void)state;
    net_pair(&n, 7);
    a->config.max_queued = 1000;
    net_connect(&n);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_BULK, 0, 20 << 20), BERTH_OK);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_BULK, 1, 1), BERTH_ERR_WOULD_BLOCK);
    net_run(&n, 60 * NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_BULK], 1);
}

static void a_message_longer_than_the_peer_takes_ends_the_session(void **state)
{
    (void)state;
    net_pair(&n, 8);
    b->config.max_message = 1000;
    net_connect(&n);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_BULK, 0, 1001), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].why, END_ERROR);
    assert_true(a->sessions[0].over);
}

static void datagrams_arrive_when_nothing_is_lost(void **state)
{
    uint8_t bytes[2000] = {0};
    size_t max;

    (void)state;
    net_pair(&n, 9);
    net_connect(&n);
    max = session_datagram_max(a->sessions[0].s);
    assert_true(max >= 1100 && max < 1452);
    assert_int_equal(session_datagram(a->sessions[0].s, bytes, max + 1, n.now_ns), BERTH_ERR_LIMIT);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(session_datagram(a->sessions[0].s, bytes, i % 2 ? max : i, n.now_ns),
                         BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].datagrams, 20);
}

static void datagrams_that_nobody_sends_yet_are_bounded(void **state)
{
    uint8_t bytes[1000] = {0};
    berth_status status = BERTH_OK;
    unsigned i = 0;

    (void)state;
    net_pair(&n, 10);
    net_connect(&n);
    while (status == BERTH_OK && i++ < 1000)
        status = session_datagram(a->sessions[0].s, bytes, sizeof bytes, n.now_ns);
    assert_int_equal(status, BERTH_ERR_WOULD_BLOCK);
    assert_true(i < 300);
}

static void many_sessions_on_one_endpoint_do_not_disturb_each_other(void **state)
{
    enum { OTHERS = 10 };

    (void)state;
    net_init(&n, 11);
    for (unsigned i = 0; i <= OTHERS; i++) {
        net_add(&n);
        net_start(&n.nodes[i]);
    }
    for (unsigned i = 1; i <= OTHERS; i++)
        net_dial(&n.nodes[i], &n.nodes[0]);
    net_run(&n, NET_SECOND);
    assert_int_equal(n.nodes[0].ups, OTHERS);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < OTHERS; i++) {
            assert_int_equal(net_send(&n, &n.nodes[0].sessions[i], LANE_EVENT, round, 2000),
                             BERTH_OK);
            assert_int_equal(net_send(&n, &n.nodes[i + 1].sessions[0], LANE_CALL, round, 500),
                             BERTH_OK);
        }
        net_run(&n, 20 * NET_MS);
    }
    net_run(&n, NET_SECOND);
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_int_equal(n.nodes[0].sessions[i].messages[LANE_CALL], 50);
        assert_int_equal(n.nodes[i + 1].sessions[0].messages[LANE_EVENT], 50);
    }
}

static void jumbo_packets_go_where_they_are_configured(void **state)
{
    session_info info;

    (void)state;
    net_pair(&n, 12);
    a->config.max_packet = b->config.max_packet = 16000;
    net_connect(&n);
    session_get_info(a->sessions[0].s, &info);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_BULK, 0, 3 << 20), BERTH_OK);
    n.datagrams = n.bytes = 0;
    net_run(&n, 2 * NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_BULK], 1);
    session_get_info(a->sessions[0].s, &info);
    assert_int_equal(info.packet_size, 16000);
    assert_true(n.datagrams < 800);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_of_every_size_arrive_on_all_lanes_at_once),
        TEST(the_bytes_are_those_that_were_sent),
        TEST(bulk_does_not_delay_control),
        TEST(a_reader_that_refuses_stops_its_lane_and_no_other),
        TEST(a_reader_may_take_one_message_at_a_time),
        TEST(a_send_says_why_not),
        TEST(one_message_larger_than_the_queue_goes_through),
        TEST(a_message_longer_than_the_peer_takes_ends_the_session),
        TEST(datagrams_arrive_when_nothing_is_lost),
        TEST(datagrams_that_nobody_sends_yet_are_bounded),
        TEST(many_sessions_on_one_endpoint_do_not_disturb_each_other),
        TEST(jumbo_packets_go_where_they_are_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
