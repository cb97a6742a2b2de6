/* SPDX-License-Identifier: Apache-2.0 */
/* Which names are served here, and which of the nodes that serve a name is asked. */
#include "chain/link.h"
#include "mesh/call_pick.h"
#include "mesh/services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static berth_status add(services *s, const char *name, uint64_t origin)
{
    return services_add(s, slice_str(name), origin, NULL);
}

/* channels §16.4 (AlreadyServing is checked before touching anything), §16.7, §21 row 12 */
static void who_comes_second_changes_nothing(void **state)
{
    services *s = services_new(0);
    berth_error error = {0};
    uint64_t origin = 0, version;

    (void)state;
    assert_int_equal(add(s, "echo", 1), BERTH_OK);
    version = services_version(s);
    assert_int_equal(services_add(s, slice_str("echo"), 2, &error), BERTH_ERR_EXISTS);
    assert_non_null(strstr(error.text, "'echo'"));
    assert_non_null(strstr(error.text, "0000000000000001"));
    assert_true(services_find(s, slice_str("echo"), &origin));
    assert_int_equal(origin, 1);
    assert_int_equal(services_version(s), version);
    assert_int_equal(add(s, "echo", 1), BERTH_OK); /* the same again is no change */
    assert_int_equal(services_version(s), version);
    assert_false(services_remove(s, slice_str("echo"), 2));
    assert_true(services_remove(s, slice_str("echo"), 1));
    assert_int_equal(add(s, "echo", 2), BERTH_OK);
    services_free(s);
}

/* channels §20.10 (dispatcher): a sibling survives */
static void a_daemon_that_ends_takes_its_names_and_no_others(void **state)
{
    services *s = services_new(0);
    const char *names[8];
    uint64_t origin, version;

    (void)state;
    assert_int_equal(add(s, "b", 1), BERTH_OK);
    assert_int_equal(add(s, "a/long", 1), BERTH_OK);
    assert_int_equal(add(s, "a", 2), BERTH_OK);
    assert_int_equal(add(s, "c", 1), BERTH_OK);
    assert_int_equal(services_names(s, names, 8), 4);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "a/long");
    assert_string_equal(names[3], "c");
    version = services_version(s);
    assert_int_equal(services_remove_origin(s, 1), 3);
    assert_int_not_equal(services_version(s), version);
    assert_int_equal(services_remove_origin(s, 1), 0);
    assert_false(services_find(s, slice_str("b"), &origin));
    assert_true(services_find(s, slice_str("a"), &origin));
    assert_int_equal(services_names(s, names, 0), 1);
    services_free(s);
}

static void there_is_room_for_so_many_names(void **state)
{
    services *s = services_new(0);
    char name[16];

    (void)state;
    for (int i = 0; i < SERVICES_MAX; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(add(s, name, (uint64_t)i), BERTH_OK);
    }
    assert_int_equal(add(s, "more", 1), BERTH_ERR_LIMIT);
    assert_int_equal(add(s, "s7", 8), BERTH_ERR_EXISTS);
    assert_true(services_remove(s, slice_str("s7"), 7));
    assert_int_equal(add(s, "more", 1), BERTH_OK);
    assert_int_equal(add(s, "No", 1), BERTH_ERR_INVALID);
    assert_int_equal(add(s, "", 1), BERTH_ERR_LIMIT);
    services_free(s);
}

#define PICK(policy, seed) call_pick(nodes, 4, policy, seed)

/* channels §16.5, §20.10 (service discovery) */
static void unhealthy_nodes_are_passed_over_and_unknown_ones_are_not(void **state)
{
    call_candidate nodes[4] = {{1, CALL_HEALTH_GOOD, -1},
                               {2, CALL_HEALTH_BAD, 1},
                               {3, CALL_HEALTH_UNKNOWN, -1},
                               {4, CALL_HEALTH_GOOD, -1}};
    unsigned seen = 0;

    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        const uint64_t expected[] = {1, 3, 4};

        assert_int_equal(PICK(CALL_ROUND_ROBIN, i)->node, expected[i % 3]);
    }
    for (uint64_t i = 0; i < 100; i++)
        seen |= 1u << PICK(CALL_RANDOM, i * UINT64_C(0x9e3779b97f4a7c15))->node;
    assert_int_equal(seen, 1u << 1 | 1u << 3 | 1u << 4);
    for (int i = 0; i < 4; i++)
        nodes[i].health = CALL_HEALTH_BAD;
    for (int policy = CALL_ROUND_ROBIN; policy <= CALL_LOWEST_LATENCY; policy++) {
        assert_null(PICK((call_policy)policy, 0));
        assert_null(call_pick(nodes, 0, (call_policy)policy, 0));
    }
}

static void a_key_sticks_to_its_node(void **state)
{
    call_candidate nodes[4] = {{.node = 1}, {.node = 2}, {.node = 3}, {.node = 4}};
    uint8_t key[8];
    unsigned seen = 0;

    (void)state;
    for (uint64_t k = 0; k < 64; k++) {
        const call_candidate *first = PICK(CALL_STICKY, k);

        store_u64(key, k);
        assert_int_equal(first->node, 1 + xxh3(key, 8) % 4);
        assert_ptr_equal(PICK(CALL_STICKY, k), first);
        seen |= 1u << first->node;
    }
    assert_int_equal(seen, 0x1e);
}

static void the_nearest_is_asked_or_the_first_where_nothing_is_known(void **state)
{
    call_candidate nodes[4] = {{1, CALL_HEALTH_GOOD, -1},
                               {2, CALL_HEALTH_UNKNOWN, -1},
                               {3, CALL_HEALTH_GOOD, -1},
                               {4, CALL_HEALTH_GOOD, -1}};

    (void)state;
    assert_int_equal(PICK(CALL_LOWEST_LATENCY, 9)->node, 1);
    nodes[2].rtt_ns = 500;
    assert_int_equal(PICK(CALL_LOWEST_LATENCY, 9)->node, 3);
    nodes[1].rtt_ns = 200;
    assert_int_equal(PICK(CALL_LOWEST_LATENCY, 9)->node, 2);
    nodes[3].rtt_ns = 200; /* a tie: the lower id */
    assert_int_equal(PICK(CALL_LOWEST_LATENCY, 9)->node, 2);
    nodes[1].health = CALL_HEALTH_BAD;
    assert_int_equal(PICK(CALL_LOWEST_LATENCY, 9)->node, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_second_changes_nothing),
        cmocka_unit_test(a_daemon_that_ends_takes_its_names_and_no_others),
        cmocka_unit_test(there_is_room_for_so_many_names),
        cmocka_unit_test(unhealthy_nodes_are_passed_over_and_unknown_ones_are_not),
        cmocka_unit_test(a_key_sticks_to_its_node),
        cmocka_unit_test(the_nearest_is_asked_or_the_first_where_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
