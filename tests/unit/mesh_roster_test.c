/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static roster *r;
static roster_picks picks;

static int begin(void **state)
{
    (void)state;
    r = roster_new(NULL);
    return r ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    roster_free(r);
    roster_picks_fini(&picks);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* Daemon d as an entity. */
static const uint8_t *entity(uint64_t d)
{
    static uint8_t entities[4][32];
    static unsigned next;
    uint8_t *e = entities[next++ % 4];

    memset(e, 0, 32);
    memcpy(e, &d, sizeof d);
    return e;
}

static berth_status add_status(uint64_t node, uint64_t daemon, const char *channel,
                               const char *group, bool *changed)
{
    return roster_add(r, node, entity(daemon), slice_str(channel), slice_str(group ? group : ""),
                      slice_of(NULL, 0), UINT64_MAX, changed, NULL);
}

static bool add(uint64_t node, uint64_t daemon, const char *channel, const char *group)
{
    bool changed;

    assert_int_equal(add_status(node, daemon, channel, group, &changed), BERTH_OK);
    return changed;
}

static bool leave(uint64_t node, uint64_t daemon, const char *channel)
{
    return roster_remove(r, node, entity(daemon), slice_str(channel));
}

static bool has(uint64_t node, uint64_t daemon, const char *channel)
{
    return roster_find(r, node, entity(daemon), slice_str(channel)) != NULL;
}

static size_t pick(const char *channel)
{
    assert_int_equal(roster_pick(r, slice_str(channel), NULL, NULL, &picks), BERTH_OK);
    for (size_t i = 0; i < picks.count; i++) /* nobody twice */
        for (size_t k = 0; k < i; k++)
            assert_true(picks.items[i] != picks.items[k]);
    return picks.count;
}

/* 20.4 test_add_and_members, test_remove */
static void adding_and_removing_twice_is_as_once(void **state)
{
    (void)state;
    assert_true(add(1, 1, "a", NULL));
    assert_false(add(1, 1, "a", NULL));
    assert_true(add(2, 2, "a", NULL));
    assert_int_equal(roster_members(r, slice_str("a")), 2);
    assert_int_equal(pick("a"), 2);
    assert_true(leave(1, 1, "a"));
    assert_false(leave(1, 1, "a"));
    assert_int_equal(pick("a"), 1);
    assert_int_equal(picks.items[0]->node, 2);
    assert_int_equal(pick("b"), 0);
}

/* 20.4 test_channels_for, test_peer_count_and_channel_count */
static void counts_agree(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    add(1, 1, "b", NULL);
    add(2, 2, "b", NULL);
    assert_int_equal(roster_count(r), 3);
    assert_int_equal(roster_channel_count(r), 2);
    assert_int_equal(roster_node_channels(r, 1), 2);
    assert_int_equal(roster_node_channels(r, 2), 1);
    assert_int_equal(roster_nodes(r, slice_str("b")), 2);
    assert_int_equal(roster_node_channels(r, 3), 0);
}

static void two_daemons_of_a_node_do_not_silence_each_other(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    add(1, 2, "a", NULL);
    add(1, 2, "b", NULL);
    assert_int_equal(roster_node_on(r, 1, slice_str("a")), 2);
    assert_int_equal(roster_node_channels(r, 1), 2);
    assert_int_equal(roster_nodes(r, slice_str("a")), 1);
    leave(1, 1, "a");
    assert_int_equal(roster_node_on(r, 1, slice_str("a")), 1);
    assert_int_equal(roster_nodes(r, slice_str("a")), 1);
    assert_int_equal(pick("a"), 1);
    leave(1, 2, "a");
    assert_int_equal(roster_node_on(r, 1, slice_str("a")), 0);
    assert_int_equal(roster_nodes(r, slice_str("a")), 0);
    assert_int_equal(roster_node_channels(r, 1), 1);
}

static void one_daemon_on_two_nodes_is_two_members(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    add(2, 1, "a", NULL);
    assert_int_equal(pick("a"), 2);
    leave(1, 1, "a");
    assert_true(has(2, 1, "a"));
}

/* 20.4 test_remove_peer_evicts_everywhere, remove_peer_clears_across_modes */
static void a_node_that_goes_leaves_everything(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    add(1, 2, "a", "g");
    add(1, 1, "b", "g");
    add(2, 3, "a", "g");
    assert_int_equal(roster_remove_node(r, 1), 3);
    assert_int_equal(roster_count(r), 1);
    assert_int_equal(roster_channel_count(r), 1);
    assert_int_equal(roster_node_members(r, 1), 0);
    assert_int_equal(pick("a"), 1);
}

/* 20.4 test_remove_peer_unknown_is_noop */
static void an_unknown_node_goes_without_harm(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    assert_int_equal(roster_remove_node(r, 9), 0);
    assert_int_equal(roster_count(r), 1);
}

/* 20.4 is_subscribed_… (2) */
static void a_member_is_found_in_either_mode(void **state)
{
    (void)state;
    add(1, 1, "a", NULL);
    add(1, 2, "a", "g");
    assert_true(has(1, 1, "a"));
    assert_true(has(1, 2, "a"));
    assert_false(has(1, 3, "a"));
    assert_false(has(1, 1, "b"));
}

/* 20.4 queue_group_dispatch_picks_one_member_per_call */
static void the_members_of_a_group_take_turns(void **state)
{
    unsigned got[3] = {0};

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        add(i, i, "a", "g");
    for (int i = 0; i < 99; i++) {
        assert_int_equal(pick("a"), 1);
        got[picks.items[0]->node]++;
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(got[i], 33);
}

/* A publish that could not be sent is tried again, and has cost nobody a turn. */
static void what_reached_nobody_was_nobodys_turn(void **state)
{
    uint64_t first;

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        add(i, i, "a", "g");
    add(9, 9, "a", NULL);
    add(5, 5, "a", "h");
    for (int i = 0; i < 12; i++) {
        assert_int_equal(pick("a"), 3);
        first = picks.items[2]->node;
        roster_unpick(r, &picks);
        assert_int_equal(pick("a"), 3);
        assert_int_equal(picks.items[2]->node, first);
    }
    assert_int_equal(pick("a"), 3);
    assert_int_equal(picks.items[2]->node, (first + 1) % 3);
}

/* 20.4 distinct_queue_groups_dispatch_independently */
static void each_group_gets_one(void **state)
{
    (void)state;
    add(1, 1, "a", "g");
    add(2, 2, "a", "g");
    add(3, 3, "a", "h");
    add(4, 4, "a", "h");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pick("a"), 2);
        assert_false(slice_eq(picks.items[0]->group, picks.items[1]->group));
    }
}

/* 20.4 broadcast_and_queue_group_coexist_on_one_channel; 20.6 broadcast_subscriber_coexists… */
static void an_auditor_hears_all_while_a_pool_shares(void **state)
{
    unsigned auditor = 0, pool[2] = {0};

    (void)state;
    add(9, 9, "a", NULL);
    add(0, 0, "a", "pool");
    add(1, 1, "a", "pool");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pick("a"), 2);
        for (size_t k = 0; k < 2; k++)
            if (picks.items[k]->node == 9)
                auditor++;
            else
                pool[picks.items[k]->node]++;
    }
    assert_int_equal(auditor, 50);
    assert_int_equal(pool[0] + pool[1], 50);
    assert_true(pool[0] && pool[1]);
}

/* 20.4 queue_group_select_survives_membership_shrink */
static void a_group_that_shrinks_between_picks_stays_in_range(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 8; i++)
        add(i, i, "a", "g");
    for (uint64_t i = 0; i < 7; i++) {
        for (uint64_t k = 0; k < i; k++)
            pick("a");
        leave(i, i, "a");
        assert_int_equal(pick("a"), 1);
        assert_true(picks.items[0]->node > i);
    }
    leave(7, 7, "a");
    assert_int_equal(pick("a"), 0);
}

/* 20.4 re_add_with_different_mode_moves_subscription */
static void another_mode_moves_the_member(void **state)
{
    (void)state;
    assert_true(add(1, 1, "a", NULL));
    assert_true(add(1, 1, "a", "g"));
    assert_int_equal(roster_members(r, slice_str("a")), 1);
    assert_int_equal(pick("a"), 1);
    assert_true(slice_eq(picks.items[0]->group, slice_str("g")));
    assert_true(add(1, 1, "a", "h"));
    assert_true(add(1, 1, "a", NULL));
    assert_int_equal(pick("a"), 1);
    assert_int_equal(picks.items[0]->group.len, 0);
    assert_int_equal(roster_node_on(r, 1, slice_str("a")), 1);
}

/* 20.4 remove_finds_peer_in_either_mode_and_evicts_empty_channel, empty_queue_groups_are_evicted…
 */
static void nothing_empty_is_left(void **state)
{
    (void)state;
    add(1, 1, "a", "g");
    add(1, 2, "b", NULL);
    assert_true(leave(1, 1, "a"));
    assert_true(leave(1, 2, "b"));
    assert_int_equal(roster_channel_count(r), 0);
    assert_int_equal(roster_count(r), 0);
    assert_int_equal(roster_node_members(r, 1), 0);
}

/* 20.4 dispatch_recipients_dedup_holds_across_hashset_promotion */
static void nobody_is_picked_twice_however_many_there_are(void **state)
{
    char group[16];

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        snprintf(group, sizeof group, "g%u", (unsigned)(i % 20));
        add(i, i, "a", i % 2 ? NULL : group);
        pick("a"); /* asserts it */
    }
    assert_int_equal(pick("a"), 50 + 10);
}

/* 20.4 channels_for_peer_count_aggregates_across_modes */
static void the_limit_of_channels_counts_both_modes(void **state)
{
    roster_limits limits = {.channels_per_node = 2};
    bool changed;

    (void)state;
    roster_free(r);
    r = roster_new(&limits);
    add(1, 1, "a", NULL);
    add(1, 1, "b", "g");
    assert_int_equal(add_status(1, 1, "c", NULL, &changed), BERTH_ERR_LIMIT);
    assert_false(roster_may_add_channel(r, 1, slice_str("c")));
    assert_true(add(1, 2, "b", NULL)); /* a second daemon on a channel that the node is on */
    assert_true(add(2, 1, "c", NULL)); /* another node */
    assert_int_equal(roster_channel_count(r), 3);
}

static void all_limits_hold_and_leave_nothing_behind(void **state)
{
    roster_limits limits = {.members = 4, .members_per_node = 3, .groups_per_channel = 1};
    bool changed;

    (void)state;
    roster_free(r);
    r = roster_new(&limits);
    add(1, 1, "a", "g");
    assert_int_equal(add_status(1, 2, "a", "h", &changed), BERTH_ERR_LIMIT);
    assert_int_equal(add_status(2, 2, "a", "h", &changed), BERTH_ERR_LIMIT);
    assert_int_equal(roster_node_members(r, 2), 0);
    add(1, 2, "a", "g");
    add(1, 3, "a", "g");
    assert_int_equal(add_status(1, 4, "a", "g", &changed), BERTH_ERR_LIMIT);
    add(2, 4, "a", "g");
    assert_int_equal(add_status(3, 5, "b", NULL, &changed), BERTH_ERR_LIMIT);
    assert_false(changed);
    assert_int_equal(roster_channel_count(r), 1);
    assert_int_equal(roster_count(r), 4);
}

static bool only_even_nodes(void *ctx, const roster_member *m)
{
    ++*(unsigned *)ctx;
    return m->node % 2 == 0;
}

/* 21, 13: a filtered member does not lose the event for its group */
static void a_group_goes_on_to_one_who_is_admitted(void **state)
{
    unsigned asked = 0;

    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        add(i, i, "a", "g");
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(roster_pick(r, slice_str("a"), only_even_nodes, &asked, &picks), BERTH_OK);
        assert_int_equal(picks.count, 1);
        assert_int_equal(picks.items[0]->node, 2 * (i % 3));
    }
    leave(0, 0, "a");
    leave(2, 2, "a");
    leave(4, 4, "a");
    assert_int_equal(roster_pick(r, slice_str("a"), only_even_nodes, &asked, &picks), BERTH_OK);
    assert_int_equal(picks.count, 0);
}

static void what_leave_was_shown_stays_with_the_member(void **state)
{
    const roster_member *m;
    bool changed;

    (void)state;
    assert_int_equal(roster_add(r, 1, entity(1), slice_str("a"), slice_str(""), slice_str("one"), 5,
                                &changed, NULL),
                     BERTH_OK);
    assert_int_equal(roster_add(r, 1, entity(1), slice_str("a"), slice_str(""), slice_str("two!"),
                                7, &changed, NULL),
                     BERTH_OK);
    assert_false(changed);
    m = roster_find(r, 1, entity(1), slice_str("a"));
    assert_true(slice_eq(m->chain, slice_str("two!")));
    assert_int_equal(m->until_s, 7);
    assert_true(m->origin == berth_entity_origin(entity(1)));
    assert_int_equal(roster_all(r, &picks), BERTH_OK);
    assert_int_equal(picks.count, 1);
    assert_int_equal(roster_of_node(r, 2, &picks), BERTH_OK);
    assert_int_equal(picks.count, 0);
}

/* 20.4 test_regression_concurrent_add_remove_same_channel_no_orphan, 19, 1: one thread owns a
 * roster here, so that the interleavings are those of its calls: in any order, all views agree. */
static void after_any_order_of_changes_all_views_agree(void **state)
{
    static const char *const channels[] = {"a", "b", "c"}, *const groups[] = {NULL, "g", "h"};
    uint64_t seed = 12345;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t x = seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t node = (x >> 33) % 5, daemon = (x >> 40) % 4;

        if ((x >> 50) % 40 == 0)
            roster_remove_node(r, node);
        else if ((x >> 50) % 2)
            add(node, daemon, channels[(x >> 55) % 3], groups[(x >> 58) % 3]);
        else
            leave(node, daemon, channels[(x >> 55) % 3]);
        if (i % 100 == 0) {
            size_t by_channel = 0, by_node = 0, on = 0;

            for (size_t c = 0; c < 3; c++)
                by_channel += roster_members(r, slice_str(channels[c]));
            for (uint64_t n = 0; n < 5; n++) {
                by_node += roster_node_members(r, n);
                for (size_t c = 0; c < 3; c++)
                    on += roster_node_on(r, n, slice_str(channels[c]));
            }
            assert_int_equal(by_channel, roster_count(r));
            assert_int_equal(by_node, roster_count(r));
            assert_int_equal(on, roster_count(r));
            pick("a");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(adding_and_removing_twice_is_as_once),
        TEST(counts_agree),
        TEST(two_daemons_of_a_node_do_not_silence_each_other),
        TEST(one_daemon_on_two_nodes_is_two_members),
        TEST(a_node_that_goes_leaves_everything),
        TEST(an_unknown_node_goes_without_harm),
        TEST(a_member_is_found_in_either_mode),
        TEST(the_members_of_a_group_take_turns),
        TEST(what_reached_nobody_was_nobodys_turn),
        TEST(each_group_gets_one),
        TEST(an_auditor_hears_all_while_a_pool_shares),
        TEST(a_group_that_shrinks_between_picks_stays_in_range),
        TEST(another_mode_moves_the_member),
        TEST(nothing_empty_is_left),
        TEST(nobody_is_picked_twice_however_many_there_are),
        TEST(the_limit_of_channels_counts_both_modes),
        TEST(all_limits_hold_and_leave_nothing_behind),
        TEST(a_group_goes_on_to_one_who_is_admitted),
        TEST(what_leave_was_shown_stays_with_the_member),
        TEST(after_any_order_of_changes_all_views_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
