/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers and liars send: it costs little, changes nothing that lasts, and harms nobody. */
#include "mesh_net.h"

enum { KEPT = 2048 };

static net n;
static net_node *const a = &n.nodes[0], *const b = &n.nodes[1], *const c = &n.nodes[2];

static struct kept {
    size_t len;
    uint8_t bytes[1500];
} kept[KEPT];
static unsigned kept_count;

static bool keep(const uint8_t *bytes, size_t len)
{
    if (kept_count < KEPT && len <= sizeof kept->bytes) {
        kept[kept_count].len = len;
        memcpy(kept[kept_count++].bytes, bytes, len);
    }
    return true;
}

static bool tap_all(net *of, const address *from, const address *to, const uint8_t *bytes,
                    size_t len)
{
    (void)of;
    (void)from;
    (void)to;
    return keep(bytes, len);
}

/* Of c: to b it never gets. */
static bool tap_of_c(net *of, const address *from, const address *to, const uint8_t *bytes,
                     size_t len)
{
    (void)of;
    (void)to;
    if (!net_same(from, &c->at))
        return true;
    keep(bytes, len);
    return false;
}

static int teardown(void **state)
{
    (void)state;
    net_fini(&n);
    kept_count = 0;
    return 0;
}

static endpoint_counters counters(const net_node *of)
{
    endpoint_counters k;

    endpoint_get_counters(of->e, &k);
    return k;
}

static void to_b(const address *from, const struct kept *k)
{
    endpoint_receive(b->e, &b->at, from, k->bytes, k->len, 0, n.now_ns);
}

static void a_replayed_first_message_costs_nothing_lasting(void **state)
{
    endpoint_counters before, after;

    (void)state;
    net_pair(&n, 1);
    n.tap = tap_all;
    net_connect(&n);
    n.tap = NULL;
    session_close(a->sessions[0].s, END_LOCAL, "done", n.now_ns);
    net_run(&n, 20 * NET_SECOND);
    before = counters(b);
    for (unsigned i = 0; i < 500; i++) {
        address from = i % 2 ? a->at : net_address(1000 + i, 1 + i);

        to_b(&from, &kept[0]);
        net_run(&n, NET_MS);
    }
    after = counters(b);
    /* One handshake for all of them: the connection id is that of the first. */
    assert_true(after.handshakes <= 1);
    net_run(&n, 20 * NET_SECOND);
    after = counters(b);
    assert_int_equal(after.handshakes, 0);
    assert_int_equal(after.sessions, 0);
    assert_int_equal(after.accepted, before.accepted);
    assert_int_equal(b->ups, 1);
    assert_int_equal(b->downs, 1);
}

static void replayed_packets_change_nothing_in_a_session(void **state)
{
    (void)state;
    net_pair(&n, 2);
    n.tap = tap_all;
    net_connect(&n);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, i, 100), BERTH_OK);
    net_run(&n, NET_SECOND);
    n.tap = NULL;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < kept_count; i++) {
            to_b(&a->at, &kept[i]);
            endpoint_receive(a->e, &a->at, &b->at, kept[i].bytes, kept[i].len, 0, n.now_ns);
        }
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 20);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, 20, 100), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 21);
    assert_int_equal(a->ups + b->ups, 2);
    assert_int_equal(a->downs + b->downs, 0);
}

static void forget(void *ctx, session *s, session_end why, const char *text)
{
    (void)ctx;
    (void)s;
    (void)why;
    (void)text;
}

static void a_flood_of_first_messages_is_bounded_and_others_still_come_in(void **state)
{
    endpoint_counters k;

    (void)state;
    net_init(&n, 3);
    for (unsigned i = 0; i < 3; i++)
        net_add(&n);
    b->config.max_handshakes = 64;
    c->config.events.down = forget;
    for (unsigned i = 0; i < 3; i++)
        net_start(&n.nodes[i]);
    n.tap = tap_of_c;
    for (unsigned i = 0; i < 1500; i++) {
        berth_error error = {0};
        session *s;

        assert_int_equal(endpoint_dial(c->e, &b->at, b->static_public, n.now_ns, &s, &error), 0);
        net_flush(&n);
    }
    assert_true(kept_count >= 1500);
    for (unsigned i = 0; i < 1500; i++) {
        address from = net_address(5000 + i, 1024);

        to_b(&from, &kept[i]);
        k = counters(b);
        assert_true(k.handshakes <= 32);
        if (i % 20 == 0)
            net_flush(&n);
    }
    k = counters(b);
    assert_int_equal(k.handshakes, 32);
    assert_true(k.cookies_sent > 1000);
    net_dial(a, b);
    net_run(&n, NET_SECOND);
    assert_true(a->sessions[0].up);
    /* The cookie is not tied to the flood's end; and then all is as before. */
    net_stop(c);
    net_run(&n, 10 * NET_SECOND);
    assert_int_equal(counters(b).handshakes, 0);
    assert_int_equal(counters(b).sessions, 1);
}

static void a_cookie_is_good_for_its_address_alone(void **state)
{
    endpoint_counters k;
    address other = net_address(99, 99);
    unsigned used = 0;

    (void)state;
    net_pair(&n, 4);
    b->config.max_handshakes = 2;
    net_add(&n);
    for (unsigned i = 0; i < 3; i++)
        net_start(&n.nodes[i]);
    /* c begins and stops, so that b demands cookies. */
    n.tap = tap_of_c;
    net_dial(c, b);
    net_flush(&n);
    to_b(&c->at, &kept[0]);
    assert_int_equal(counters(b).handshakes, 1);
    kept_count = 0;
    n.tap = tap_all;
    net_dial(a, b);
    net_run(&n, 100 * NET_MS);
    n.tap = NULL;
    assert_true(a->sessions[0].up);
    assert_int_equal(counters(b).cookies_sent, 1);
    session_close(a->sessions[0].s, END_LOCAL, "done", n.now_ns);
    net_run(&n, 4 * NET_SECOND);
    k = counters(b);
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].len >= 1200 && kept[i].bytes[0] >> 4 == 0xc) {
            to_b(&other, &kept[i]);
            used++;
        }
    assert_true(used >= 2);
    assert_true(counters(b).dropped_token > k.dropped_token);
    assert_int_equal(counters(b).accepted, k.accepted);
}

static void random_datagrams_are_dropped_and_counted(void **state)
{
    static uint8_t bytes[2000];
    endpoint_counters k;
    uint64_t dropped;

    (void)state;
    net_pair(&n, 5);
    net_connect(&n);
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = net_random(&n) % sizeof bytes;
        address from = i % 3 ? a->at : net_address(300 + i, 5);

        net_bytes(&n, bytes, len);
        if (i % 2 && len > 16) { /* nearly a first packet */
            static const uint8_t head[] = {0xc0, 0x42, 0x45, 0x00, 0x01, 8};

            memcpy(bytes, head, sizeof head);
            bytes[0] ^= (uint8_t)(net_random(&n) % 64);
            bytes[14] = 8;
            if (len > 26)
                bytes[23] = 0;
        }
        endpoint_receive(b->e, &b->at, &from, bytes, len, (uint8_t)i, n.now_ns);
        if (i % 100 == 0)
            net_run(&n, NET_MS);
    }
    k = counters(b);
    dropped = k.dropped_short + k.dropped_version + k.dropped_unknown + k.dropped_filter +
              k.dropped_token + k.dropped_full + k.dropped_invalid;
    assert_true(dropped > 19000);
    assert_int_equal(b->ups, 1);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, 0, 100), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 1);
}

/* Every packet of a whole session, damaged in every way that is cheap to make. */
static void damaged_packets_do_no_harm(void **state)
{
    (void)state;
    net_pair(&n, 6);
    n.tap = tap_all;
    net_connect(&n);
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, 0, 3000), BERTH_OK);
    net_run(&n, NET_SECOND);
    n.tap = NULL;
    for (unsigned i = 0; i < kept_count; i++)
        for (unsigned change = 0; change < 300; change++) {
            struct kept k = kept[i];
            net_node *to = change % 2 ? a : b;

            if (change % 3)
                k.bytes[net_random(&n) % (change % 5 ? 40 : k.len)] ^=
                    (uint8_t)(1 + net_random(&n) % 255);
            else
                k.len = net_random(&n) % k.len;
            if (k.len == 0)
                continue;
            endpoint_receive(to->e, &to->at, to == a ? &b->at : &a->at, k.bytes, k.len, 0,
                             n.now_ns);
            if (change % 50 == 0)
                net_run(&n, NET_MS);
        }
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, 1, 100), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 2);
    assert_int_equal(a->downs + b->downs, 0);
    assert_int_equal(a->ups + b->ups, 2);
}

static void an_address_of_no_family_is_dropped(void **state)
{
    address none = {0}, odd = net_address(3, 3);
    uint8_t bytes[1200] = {0xc0, 0x42, 0x45, 0x00, 0x01, 8};

    (void)state;
    net_pair(&n, 7);
    net_start(b);
    bytes[14] = 8;
    endpoint_receive(b->e, &b->at, &none, bytes, sizeof bytes, 0, n.now_ns);
    odd.len = 3;
    endpoint_receive(b->e, &none, &odd, bytes, sizeof bytes, 0, n.now_ns);
    odd = net_address(3, 0);
    endpoint_receive(b->e, &none, &odd, bytes, sizeof bytes, 0, n.now_ns);
    assert_int_equal(counters(b).dropped_invalid, 3);
}

static void no_more_sessions_than_are_allowed(void **state)
{
    berth_error error = {0};
    session *s;

    (void)state;
    net_init(&n, 8);
    for (unsigned i = 0; i < 6; i++)
        net_add(&n);
    b->config.max_sessions = 3;
    for (unsigned i = 0; i < 6; i++)
        net_start(&n.nodes[i]);
    for (unsigned i = 0; i < 6; i++)
        if (i != 1)
            net_dial(&n.nodes[i], b);
    net_run(&n, NET_SECOND);
    assert_int_equal(b->ups, 3);
    assert_true(counters(b).dropped_full > 0);
    assert_int_equal(endpoint_dial(b->e, &a->at, a->static_public, n.now_ns, &s, &error),
                     BERTH_ERR_LIMIT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_replayed_first_message_costs_nothing_lasting),
        TEST(replayed_packets_change_nothing_in_a_session),
        TEST(a_flood_of_first_messages_is_bounded_and_others_still_come_in),
        TEST(a_cookie_is_good_for_its_address_alone),
        TEST(random_datagrams_are_dropped_and_counted),
        TEST(damaged_packets_do_no_harm),
        TEST(an_address_of_no_family_is_dropped),
        TEST(no_more_sessions_than_are_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
