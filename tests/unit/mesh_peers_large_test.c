/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh that is too large for sessions between all: here more than eight nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/peers_codec.h"
#include "peers_net.h"

#define FULL       8
#define NEIGHBOURS 3
#define MANY       40

static net n;

static void begin(unsigned count, uint64_t seed)
{
    net_init(&n, count, seed);
    n.base.full_mesh = FULL;
    n.base.neighbours = NEIGHBOURS;
    n.base.idle_ns = 20 * S;
    n.base.record_life_s = 600;
    for (unsigned i = 0; i < count; i++)
        node_start(&n, i);
    for (unsigned i = 1; i < count; i++)
        assert_int_equal(knows(&n, i, i / 2), BERTH_OK);
}

static bool all_know_all(void)
{
    for (unsigned a = 0; a < n.count; a++)
        for (unsigned b = 0; b < n.count; b++) {
            peer_view v;
            if (a != b && n.nodes[a].table && n.nodes[b].table &&
                (!peers_find(n.nodes[a].table, n.nodes[b].key.node_id, &v) || !v.record))
                return false;
        }
    return true;
}

static void settle(void)
{
    int64_t from = n.now;

    while (!all_know_all() && n.now - from < 120 * S)
        net_run(&n, n.now + S, NULL);
    assert_true(all_know_all());
    net_run(&n, n.now + 60 * S, NULL); /* what nobody needs has ended */
}

/* Two that have no session; neither is configured with the other, whose id is not the lowest. */
static void strangers(unsigned *a, unsigned *b)
{
    for (*a = 1; *a < n.count; ++*a)
        for (*b = n.count - 1; *b > *a; --*b)
            if (!between(&n, *a, *b))
                return;
    fail();
}

static bool have_a_peer_in_common(unsigned a, unsigned b)
{
    for (unsigned i = 0; i < n.count; i++)
        if (i != a && i != b && between(&n, a, i) && between(&n, i, b))
            return true;
    return false;
}

/* Two whom no third one has sessions with. */
static void far_apart(unsigned *a, unsigned *b)
{
    for (*a = 1; *a < n.count; ++*a)
        for (*b = n.count - 1; *b > *a; --*b)
            if (!between(&n, *a, *b) && !have_a_peer_in_common(*a, *b))
                return;
    fail();
}

static void all_know_all_over_a_few_sessions_each(void **state)
{
    size_t sessions = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin(MANY, seed);
        settle();
        sessions = 0;
        for (unsigned a = 0; a < MANY; a++) {
            peers_counters c;
            sessions += peers_live(n.nodes[a].table);
            peers_get_counters(n.nodes[a].table, &c);
            assert_int_equal(c.malformed + c.lies + c.records_bad, 0);
            assert_true(c.records_in < 8 * MANY);
            for (unsigned b = 0; b < MANY; b++)
                assert_true(a == b || sessions_between(&n, a, b) <= 1);
        }
        /* Each has made its own and one that is configured, and each has two ends. */
        assert_true(sessions <= (size_t)2 * MANY * (NEIGHBOURS + 1));
        assert_true(sessions >= (size_t)2 * MANY);
        net_fini(&n);
    }
}

static void a_session_is_made_when_it_is_wanted_and_ends_when_it_is_idle(void **state)
{
    unsigned a = 0, b = 0;

    (void)state;
    begin(MANY, 4);
    settle();
    strangers(&a, &b);
    uint64_t id = n.nodes[b].key.node_id;
    assert_int_equal(peers_want(n.nodes[a].table, 12345, n.now), BERTH_ERR_NOT_FOUND);
    assert_int_equal(peers_want(n.nodes[a].table, id, n.now), BERTH_ERR_NOT_READY);
    net_run(&n, n.now + 3 * S, NULL);
    assert_true(joined(&n, a, b));
    for (unsigned i = 0; i < 10; i++) { /* who goes on wanting keeps it */
        assert_int_equal(peers_want(n.nodes[a].table, id, n.now), BERTH_OK);
        net_run(&n, n.now + 15 * S, NULL);
        assert_true(joined(&n, a, b));
    }
    unsigned suspected = n.nodes[a].suspected + n.nodes[b].suspected;
    net_run(&n, n.now + 25 * S, NULL);
    assert_null(between(&n, a, b));
    assert_null(between(&n, b, a));
    /* It ended in peace: nobody is held for ill. */
    net_run(&n, n.now + 200 * S, NULL);
    assert_int_equal(n.nodes[a].suspected + n.nodes[b].suspected, suspected);
    assert_int_equal(seen(&n, a, b), HEALTH_UNKNOWN);
    peers_counters c;
    peers_get_counters(n.nodes[a].table, &c);
    assert_true(c.rested > 0);
    net_fini(&n);
}

static void a_neighbour_that_dies_is_noticed_and_another_takes_its_place(void **state)
{
    (void)state;
    begin(MANY, 5);
    settle();
    unsigned dead = 7, noticed = 0, had = 0;
    for (unsigned i = 0; i < MANY; i++)
        had += i != dead && between(&n, i, dead);
    node_kill(&n, dead);
    net_run(&n, n.now + 100 * S, NULL);
    for (unsigned i = 0; i < MANY; i++)
        noticed += i != dead && n.nodes[i].failed > 0;
    assert_true(noticed >= had && had > 0);
    for (unsigned i = 0; i < MANY; i++)
        if (i != dead)
            assert_true(peers_live(n.nodes[i].table) >= NEIGHBOURS);
    /* Its record runs out: then nobody knows it but those who are configured with it. */
    net_run(&n, n.now + 620 * S, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        peer_view v;
        if (i != dead && peers_find(n.nodes[i].table, n.nodes[dead].key.node_id, &v))
            assert_true(v.configured && v.health != HEALTH_HEALTHY);
    }
    net_fini(&n);
}

static void who_leaves_is_forgotten_also_where_it_had_no_session(void **state)
{
    (void)state;
    begin(MANY, 6);
    settle();
    unsigned gone = MANY - 1; /* nobody is configured with it */
    peers_leave(n.nodes[gone].table, n.now);
    net_run(&n, n.now + 5 * S, NULL);
    assert_true(peers_gone(n.nodes[gone].table));
    node_kill(&n, gone);
    net_run(&n, n.now + 320 * S, NULL); /* half of what its record would have lasted */
    for (unsigned i = 0; i < gone; i++) {
        peer_view v;
        if (peers_find(n.nodes[i].table, n.nodes[gone].key.node_id, &v))
            assert_true(v.left); /* who was told so by itself remembers that */
        assert_null(between(&n, i, gone));
    }
    net_fini(&n);
}

static void a_partition_heals_into_one_graph(void **state)
{
    (void)state;
    begin(MANY, 7);
    settle();
    for (unsigned a = 0; a < MANY; a++)
        for (unsigned b = 0; b < MANY; b++)
            n.cut[a][b] = a % 2 != b % 2;
    net_run(&n, n.now + 200 * S, NULL);
    memset(n.cut, 0, sizeof n.cut);
    settle();
    unsigned across = 0;
    for (unsigned a = 0; a < MANY; a += 2)
        for (unsigned b = 1; b < MANY; b += 2)
            across += joined(&n, a, b);
    assert_true(across >= MANY / 2);
    net_fini(&n);
}

/* mesh-transport §24.7: one hop over somebody else, also where few have a session with both */
static void whom_a_node_wants_and_cannot_reach_somebody_else_can(void **state)
{
    unsigned a = 0, b = 0;
    uint64_t via = 0;
    bool found = false;

    (void)state;
    begin(MANY, 8);
    settle();
    far_apart(&a, &b);
    cut(&n, a, b, true);
    for (unsigned i = 0; i < 120 && !found; i++) {
        peers_want(n.nodes[a].table, n.nodes[b].key.node_id, n.now);
        net_run(&n, n.now + S, NULL);
        found = peers_relay(n.nodes[a].table, n.nodes[b].key.node_id, n.now, &via);
    }
    assert_true(found);
    for (unsigned i = 0; i < MANY; i++)
        if (n.nodes[i].key.node_id == via)
            assert_true(joined(&n, a, i) && joined(&n, i, b));
    net_fini(&n);
}

static void a_mesh_that_has_become_small_is_full_again(void **state)
{
    (void)state;
    begin(12, 9);
    settle();
    assert_false(all_joined(&n));
    for (unsigned i = 5; i < 12; i++)
        node_kill(&n, i);
    net_run(&n, n.now + 700 * S, NULL);
    /* Those that are configured with the dead remember them: the tree of who knows whom at first.
     */
    assert_true(all_joined(&n));
    net_fini(&n);
}

static buf *record_by(uint16_t number)
{
    uint8_t seed[32] = {(uint8_t)number, (uint8_t)(number >> 8), 0x99};
    berth_keypair key;
    peer_record r = {.sequence = 1, .not_after_s = WALL + 4000, .address_count = 1};
    buf *b;

    berth_keypair_from_seed(&key, seed);
    memset(r.static_key, number & 0xff, 32);
    r.addresses[0] = n.nodes[0].where;
    r.addresses[0].u.in.sin_addr.s_addr = htonl(0x0a0000fa);
    assert_int_equal(record_sign(&r, &key, &b, NULL), BERTH_OK);
    return b;
}

static void made_up_nodes_do_not_make_a_mesh_large(void **state)
{
    (void)state;
    begin(5, 10);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(all_joined(&n));
    for (uint16_t i = 0; i < 200; i++) {
        buf *r = record_by(i), *m = records_encode(&r, 1);
        if (between(&n, 0, 1))
            fake_send(between(&n, 1, 0), LANE_CONTROL, m, n.now);
        buf_unref(r);
        buf_unref(m);
        net_run(&n, n.now + 20 * MS, NULL);
    }
    net_run(&n, n.now + 60 * S, NULL);
    assert_true(peers_count(n.nodes[0].table) > FULL);
    assert_true(all_joined(&n));
    /* Nor are they passed on. */
    assert_int_equal(peers_count(n.nodes[2].table), 4);
    net_fini(&n);
}

static void hearsay_makes_room_for_who_has_proven_itself(void **state)
{
    (void)state;
    net_init(&n, 3, 11);
    n.base.max_peers = 6;
    n.base.full_mesh = 1;
    node_start(&n, 0);
    node_start(&n, 1);
    knows(&n, 1, 0);
    net_run(&n, n.now + 10 * S, NULL);
    assert_true(joined(&n, 0, 1));
    for (uint16_t i = 0; i < 6; i++) {
        buf *r = record_by(i);
        peers_learn(n.nodes[0].table, slice_of(r->data, r->len), n.now, NULL);
        buf_unref(r);
    }
    assert_int_equal(peers_count(n.nodes[0].table), 6);
    node_start(&n, 2);
    knows(&n, 2, 0);
    net_run(&n, n.now + 10 * S, NULL);
    assert_true(joined(&n, 0, 2));
    assert_int_equal(peers_count(n.nodes[0].table), 6);
    net_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_know_all_over_a_few_sessions_each),
        cmocka_unit_test(a_session_is_made_when_it_is_wanted_and_ends_when_it_is_idle),
        cmocka_unit_test(a_neighbour_that_dies_is_noticed_and_another_takes_its_place),
        cmocka_unit_test(who_leaves_is_forgotten_also_where_it_had_no_session),
        cmocka_unit_test(a_partition_heals_into_one_graph),
        cmocka_unit_test(whom_a_node_wants_and_cannot_reach_somebody_else_can),
        cmocka_unit_test(a_mesh_that_has_become_small_is_full_again),
        cmocka_unit_test(made_up_nodes_do_not_make_a_mesh_large),
        cmocka_unit_test(hearsay_makes_room_for_who_has_proven_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
