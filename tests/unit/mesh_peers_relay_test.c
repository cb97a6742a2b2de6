/* SPDX-License-Identifier: Apache-2.0 */
/* By way of whom a node is reached that cannot be reached directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peers_net.h"

static net n;

/* All have been told of the first one. */
static void meet(int64_t for_ns)
{
    for (unsigned i = 0; i < n.count; i++)
        node_start(&n, i);
    for (unsigned i = 1; i < n.count; i++)
        knows(&n, i, 0);
    net_run(&n, n.now + for_ns, NULL);
}

/* Two groups, 1-2 and 3-4, with 0 between them; all but 1 and 4 have met by way of it. */
static void groups(void)
{
    net_init(&n, 5, 11);
    for (unsigned a = 1; a < 3; a++)
        for (unsigned b = 3; b < 5; b++)
            n.detour[a][b] = n.detour[b][a] = true;
    cut(&n, 1, 4, true);
    meet(60 * S);
    assert_true(joined(&n, 1, 2) && joined(&n, 1, 3) && joined(&n, 2, 4) && joined(&n, 3, 4));
    assert_true(joined(&n, 0, 1) && joined(&n, 0, 4));
}

/* A packet takes one hop: who reaches only by a relay, or is reached only so, is none. */
static void who_is_met_by_way_of_a_relay_is_none(void **state)
{
    uint64_t via = 0, one, four;

    (void)state;
    groups();
    one = n.nodes[1].key.node_id;
    four = n.nodes[4].key.node_id;
    assert_true(peers_relay(n.nodes[1].table, four, n.now, &via));
    assert_true(via == n.nodes[0].key.node_id);
    assert_true(peers_relay(n.nodes[4].table, one, n.now, &via));
    assert_true(via == n.nodes[0].key.node_id);
    /* 2 and 3 still have sessions with both. */
    cut(&n, 0, 4, true);
    net_run(&n, n.now + 60 * S, NULL);
    assert_true(joined(&n, 2, 4) && joined(&n, 1, 3));
    assert_false(peers_relay(n.nodes[1].table, four, n.now, &via));
    assert_false(peers_relay(n.nodes[4].table, one, n.now, &via));
    net_fini(&n);
}

static void a_relay_that_fails_gives_way_to_another(void **state)
{
    uint64_t first = 0, second = 0, via = 0, two, unknown = 1;

    (void)state;
    net_init(&n, 4, 11);
    cut(&n, 1, 2, true);
    meet(20 * S);
    two = n.nodes[2].key.node_id;
    assert_true(peers_relay(n.nodes[1].table, two, n.now, &first));
    peers_relay_failed(n.nodes[1].table, two, first);
    assert_true(peers_relay(n.nodes[1].table, two, n.now, &second));
    assert_true(first != second);
    net_run(&n, n.now + 15 * S, NULL); /* what it says of itself does not help it */
    assert_true(peers_relay(n.nodes[1].table, two, n.now, &via) && via == second);
    peers_relay_failed(n.nodes[1].table, two, second);
    peers_relay_failed(n.nodes[1].table, two, second);
    assert_true(peers_relay(n.nodes[1].table, two, n.now, &via) && via == first);
    peers_relay_failed(n.nodes[1].table, two, unknown);
    peers_relay_failed(n.nodes[1].table, unknown, first);
    net_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_met_by_way_of_a_relay_is_none),
        cmocka_unit_test(a_relay_that_fails_gives_way_to_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
