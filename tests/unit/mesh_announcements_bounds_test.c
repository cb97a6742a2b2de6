/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "announcements_fixture.h"

/* ---- time, and what is remembered ---- */

/* 21.21: timestamps far from now are refused; at the bound they are not */
static void a_time_too_far_from_ours_is_refused(void **state)
{
    const uint64_t skew = 300 * S, ttl = 60 * S;
    uint64_t version = 1;

    (void)state;
    up(0, 1);
    now += 3000 * S;
    assert_int_equal(hear(1, 0, &nodes[0].key,
                          (wish){.version = 1, .ttl_s = 60, .timestamp_ns = wall() + skew + 1}),
                     ANNOUNCEMENT_FUTURE);
    nothing_is_left_of(1, ANNOUNCEMENT_FUTURE);
    assert_int_equal(
        hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 60, .timestamp_ns = UINT64_MAX}),
        ANNOUNCEMENT_FUTURE);
    assert_int_equal(
        hear(1, 0, &nodes[0].key,
             (wish){.version = 1, .ttl_s = 60, .timestamp_ns = wall() - ttl - skew - 1}),
        ANNOUNCEMENT_PAST);
    assert_int_equal(
        hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = UINT32_MAX, .timestamp_ns = 1}),
        ANNOUNCEMENT_PAST);
    assert_int_equal(count(1, ANNOUNCEMENT_PAST), 2);
    assert_int_equal(announcements_get_size(nodes[1].table).remembered, 0);
    assert_int_equal(hear(1, 0, &nodes[0].key,
                          (wish){.version = version++, .ttl_s = 60, .timestamp_ns = wall() + skew}),
                     0);
    assert_int_equal(
        hear(1, 0, &nodes[0].key,
             (wish){.version = version++, .ttl_s = 60, .timestamp_ns = wall() - ttl - skew}),
        0);
}

/* 21.21: no announcement lasts longer than the cap */
static void an_unbounded_ttl_is_cut(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(
        hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = UINT32_MAX, .tag = "x"}), 0);
    assert_int_equal(counters(1).ttl_cut, 1);
    now += 3600 * S;
    assert_false(knows(1, id(0), NULL));
}

/* a time to live of 0 is a farewell: passed on, and nobody is found any more */
static void a_farewell_is_passed_on_and_forgets(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .tag = "x"}), 0);
    settle();
    assert_int_equal(found(2, "x"), 1);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 2, .tag = "y"}), 0);
    settle();
    assert_int_equal(found(1, "") + found(2, ""), 0);
    for (unsigned i = 1; i < 3; i++) {
        assert_true(announcements_deadline(nodes[i].table) <= now);
        announcements_expire(nodes[i].table, now);
        assert_int_equal(nodes[i].learned, 1);
        assert_int_equal(nodes[i].forgotten, 1);
    }
}

/* 21.21: a captured announcement does not work again once its node is forgotten */
static void the_highest_version_is_remembered_beyond_expiry(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 5, .ttl_s = 1}), 0);
    assert_int_equal(hear(1, 2, &nodes[0].key, (wish){.version = 5, .ttl_s = 1, .hops = 1}),
                     ANNOUNCEMENT_SECOND);
    now += 2 * S;
    announcements_expire(nodes[1].table, now);
    assert_int_equal(hear(1, 2, &nodes[0].key, (wish){.version = 5, .ttl_s = 300, .hops = 1}),
                     ANNOUNCEMENT_DUPLICATE);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 4, .ttl_s = 300}),
                     ANNOUNCEMENT_DUPLICATE);
    assert_false(knows(1, id(0), NULL));
}

/* 20.8 peer_death_clears_capability_index */
static void a_node_held_for_dead_comes_back_by_itself_or_with_a_new_version(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    announce(0, 5, "x");
    settle();
    announcements_forget(nodes[1].table, id(0));
    announcements_peer_down(nodes[1].table, id(0));
    assert_int_equal(found(1, "x"), 0);
    assert_int_equal(announcements_get_size(nodes[1].table).tags, 0);
    /* a third one's word for the old version is not enough */
    assert_int_equal(hear(1, 2, &nodes[0].key, (wish){.version = 5, .ttl_s = 9, .hops = 1}),
                     ANNOUNCEMENT_SECOND);
    assert_false(knows(1, id(0), NULL));
    up(0, 1);
    settle();
    assert_int_equal(found(1, "x"), 1);
}

/* a peer that restarted is told again what it once passed on to us */
static void a_peer_that_lost_its_memory_gets_it_back(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    announce(0, 1, "x");
    settle();
    assert_true(knows(2, id(0), "x"));
    announcements_peer_down(nodes[2].table, id(1));
    reboot(1, NULL);
    up(1, 2);
    settle();
    assert_true(knows(1, id(0), "x"));
}

static void a_node_that_announces_without_pause_is_slowed(void **state)
{
    uint64_t version = 0;

    (void)state;
    up(0, 1);
    up(1, 2);
    for (int i = 0; i < 8; i++)
        assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = ++version, .ttl_s = 9}), 0);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = ++version, .ttl_s = 9}),
                     ANNOUNCEMENT_RATE);
    assert_int_equal(nodes[1].queued, 8);
    now += 5 * S;
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = version, .ttl_s = 9}), 0);
}

/* 20.8 filter_unauthorized_heat_tags */
static void heat_counts_only_for_chains_that_the_node_claims(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(hear(1, 0, &nodes[0].key,
                          (wish){.version = 1,
                                 .ttl_s = 9,
                                 .tag = "heat:00000000000000aa=0.50",
                                 .second = "causal:00000000000000ab"}),
                     0);
    assert_false(knows(1, id(0), "heat:00000000000000aa=0.50"));
    assert_int_equal(hear(1, 0, &nodes[0].key,
                          (wish){.version = 2,
                                 .ttl_s = 9,
                                 .tag = "heat:00000000000000aa=0.50",
                                 .second = "causal:00000000000000aa:0f"}),
                     0);
    assert_true(knows(1, id(0), "heat:00000000000000aa=0.50"));
    assert_int_equal(counters(1).heat_stripped, 1);
}

/* ---- bounds ---- */

static announcement_result hear_stranger(unsigned at, unsigned from, unsigned who, uint8_t hops)
{
    berth_keypair key;
    char tag[16];

    key_of(&key, who);
    snprintf(tag, sizeof tag, "n%u", who);
    return hear(at, from, &key, (wish){.version = 1, .ttl_s = 9, .hops = hops, .tag = tag});
}

/* every map has a bound: live nodes; a direct one displaces one from afar, never the reverse */
static void live_nodes_are_bounded_and_peers_come_first(void **state)
{
    (void)state;
    reboot(1, &(announcements_config){.max_nodes = 4});
    up(0, 1);
    up(1, 2);
    for (unsigned i = 100; i < 104; i++)
        assert_int_equal(hear_stranger(1, 0, i, 1), ANNOUNCEMENT_ACCEPTED);
    assert_int_equal(hear_stranger(1, 0, 104, 1), ANNOUNCEMENT_FULL);
    assert_int_equal(announcements_get_size(nodes[1].table).nodes, 4);
    assert_int_equal(announcements_get_size(nodes[1].table).remembered, 0);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9}), 0);
    assert_int_equal(hear(1, 2, &nodes[2].key, (wish){.version = 1, .ttl_s = 9}), 0);
    announce(1, 1, "own");
    assert_int_equal(counters(1).displaced, 3);
    assert_int_equal(nodes[1].forgotten, 3);
    assert_int_equal(announcements_get_size(nodes[1].table).nodes, 4);
    assert_true(knows(1, id(0), NULL) && knows(1, id(1), NULL) && knows(1, id(2), NULL));
    /* one that is there may say something new */
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 2, .ttl_s = 9}), 0);
}

static void their_bytes_and_tags_are_bounded(void **state)
{
    (void)state;
    reboot(1, &(announcements_config){.max_bytes = 1200});
    reboot(2, &(announcements_config){.max_tags = 3});
    up(0, 1);
    up(0, 2);
    for (unsigned i = 100; i < 110; i++) {
        hear_stranger(1, 0, i, 1);
        hear_stranger(2, 0, i, 1);
    }
    assert_true(announcements_get_size(nodes[1].table).bytes <= 1200);
    assert_true(count(1, ANNOUNCEMENT_FULL) >= 6 && count(1, ANNOUNCEMENT_ACCEPTED) >= 2);
    assert_int_equal(announcements_get_size(nodes[2].table).tags, 3);
    assert_int_equal(count(2, ANNOUNCEMENT_FULL), 7);
}

static void memories_are_bounded_and_the_oldest_go(void **state)
{
    (void)state;
    reboot(1, &(announcements_config){.max_remembered = 3});
    up(0, 1);
    for (unsigned i = 100; i < 105; i++) {
        assert_int_equal(hear_stranger(1, 0, i, 1), 0);
        now += 9 * S;
        announcements_expire(nodes[1].table, now);
    }
    assert_int_equal(announcements_get_size(nodes[1].table).remembered, 3);
    assert_int_equal(counters(1).memory_lost, 2);
    assert_int_equal(hear_stranger(1, 0, 104, 1), ANNOUNCEMENT_DUPLICATE);
    assert_int_equal(hear_stranger(1, 0, 100, 1), ANNOUNCEMENT_ACCEPTED);
}

static void displacing_more_than_is_remembered_harms_nothing(void **state)
{
    (void)state;
    reboot(1, &(announcements_config){.max_remembered = 1, .max_tags = 3});
    up(0, 1);
    for (unsigned i = 100; i < 103; i++)
        assert_int_equal(hear_stranger(1, 0, i, 1), 0);
    assert_int_equal(
        hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .tag = "x", .second = "y"}), 0);
    assert_true(knows(1, id(0), "y"));
    assert_int_equal(announcements_get_size(nodes[1].table).remembered, 1);
}

static void peers_are_bounded(void **state)
{
    uint8_t entity[32] = {0};

    (void)state;
    reboot(1, &(announcements_config){.max_peers = 2});
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(announcements_peer_up(nodes[1].table, i, entity, NULL),
                         i < 3 ? BERTH_OK : BERTH_ERR_LIMIT);
    assert_int_equal(announcements_peer_up(nodes[1].table, 2, entity, NULL), BERTH_OK);
    announcements_peer_down(nodes[1].table, 1);
    assert_int_equal(announcements_peer_up(nodes[1].table, 3, entity, NULL), BERTH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_time_too_far_from_ours_is_refused),
        T(an_unbounded_ttl_is_cut),
        T(a_farewell_is_passed_on_and_forgets),
        T(the_highest_version_is_remembered_beyond_expiry),
        T(a_node_held_for_dead_comes_back_by_itself_or_with_a_new_version),
        T(a_peer_that_lost_its_memory_gets_it_back),
        T(a_node_that_announces_without_pause_is_slowed),
        T(heat_counts_only_for_chains_that_the_node_claims),
        T(live_nodes_are_bounded_and_peers_come_first),
        T(their_bytes_and_tags_are_bounded),
        T(memories_are_bounded_and_the_oldest_go),
        T(displacing_more_than_is_remembered_harms_nothing),
        T(peers_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
