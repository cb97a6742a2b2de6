/* SPDX-License-Identifier: Apache-2.0 */
/* Fifty nodes that know one of them, through partitions, losses and restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peers_net.h"

#define MANY 50

static net n;

static void begin(uint64_t seed)
{
    net_init(&n, MANY, seed);
    for (unsigned i = 0; i < MANY; i++)
        node_start(&n, i);
    for (unsigned i = 1; i < MANY; i++)
        assert_int_equal(knows(&n, i, 0), BERTH_OK);
}

static int64_t until_joined(int64_t at_most)
{
    int64_t from = n.now;

    while (!all_joined(&n) && n.now - from < at_most)
        net_run(&n, n.now + 100 * MS, NULL);
    assert_true(all_joined(&n));
    return n.now - from;
}

static void assert_one_session_a_pair(void)
{
    net_run(&n, n.now + 5 * S, NULL); /* those that linger end */
    assert_true(all_joined(&n));
    for (unsigned a = 0; a < MANY; a++) {
        assert_int_equal(peers_live(n.nodes[a].table), MANY - 1);
        assert_int_equal(peers_count(n.nodes[a].table), MANY - 1);
        for (unsigned b = 0; b < MANY; b++)
            if (a != b) {
                assert_int_equal(sessions_between(&n, a, b), 1);
                assert_int_equal(seen(&n, a, b), HEALTH_HEALTHY);
            }
    }
}

static void nodes_that_know_one_learn_all_the_rest(void **state)
{
    peers_counters c;

    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        begin(seed);
        until_joined(20 * S);
        assert_one_session_a_pair();
        /* Lists are compared, not repeated: everybody got each record a few times at most. */
        for (unsigned i = 0; i < MANY; i++) {
            peers_get_counters(n.nodes[i].table, &c);
            assert_true(c.records_in < 20 * MANY);
            assert_int_equal(c.records_bad + c.malformed + c.lies, 0);
        }
        net_fini(&n);
    }
}

/* mesh-transport §24.7: partition, healing, asymmetric three-node; §12.2: nodes that start anew */
static void partitions_and_restarts_leave_a_full_mesh_when_they_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        begin(seed);
        n.loss = seed % 3 * 10;
        until_joined(20 * S);
        for (unsigned turn = 0; turn < 12; turn++) {
            switch (net_random(&n) % 4) {
            case 0: { /* two halves */
                uint64_t side = net_random(&n);
                for (unsigned a = 0; a < MANY; a++)
                    for (unsigned b = 0; b < MANY; b++)
                        n.cut[a][b] = (side >> a & 1) != (side >> b & 1);
                break;
            }
            case 1: /* single ways */
                for (unsigned k = 0; k < 200; k++)
                    n.cut[net_random(&n) % MANY][net_random(&n) % MANY] = true;
                break;
            case 2: /* some start anew; they know what they are configured with */
                for (unsigned k = 0; k < 10; k++) {
                    unsigned at = (unsigned)(net_random(&n) % MANY);
                    node_kill(&n, at);
                    node_start(&n, at);
                    if (at)
                        assert_int_equal(knows(&n, at, 0), BERTH_OK);
                }
                break;
            default:
                memset(n.cut, 0, sizeof n.cut);
            }
            net_run(&n, n.now + (int64_t)(net_random(&n) % 50000) * MS, NULL);
        }
        memset(n.cut, 0, sizeof n.cut);
        until_joined(120 * S);
        assert_one_session_a_pair();
        net_fini(&n);
    }
}

static uint64_t trace;

static void note(net *of)
{
    for (unsigned i = 0; i < of->count; i++)
        trace = (trace ^ peers_live(of->nodes[i].table) ^ (uint64_t)of->now) * 0x100000001b3;
}

static void the_same_seed_gives_the_same_run(void **state)
{
    uint64_t runs[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        trace = 0;
        begin(i < 2 ? 7 : 8);
        net_run(&n, n.now + 10 * S, note);
        runs[i] = trace;
        net_fini(&n);
    }
    assert_true(runs[0] == runs[1]);
    assert_true(runs[0] != runs[2]);
}

/* mesh-transport G19: what is idle wakes seldom, however many peers it has */
static void an_idle_table_wakes_a_bounded_number_of_times(void **state)
{
    unsigned wakes = 0;
    int64_t last = 0;

    (void)state;
    begin(3);
    until_joined(20 * S);
    net_run(&n, n.now + 20 * S, NULL);
    int64_t from = n.now;
    while (n.now < from + 50 * S) {
        int64_t next = peers_deadline(n.nodes[5].table);
        wakes += next != last;
        last = next;
        net_run(&n, next, NULL);
    }
    /* 16 steps of the grid in each heartbeat, and a few for lists and records. */
    assert_true(wakes <= 10 * 17 + 30);
    net_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_that_know_one_learn_all_the_rest),
        cmocka_unit_test(partitions_and_restarts_leave_a_full_mesh_when_they_end),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(an_idle_table_wakes_a_bounded_number_of_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
