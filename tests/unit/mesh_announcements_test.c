/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "announcements_fixture.h"

/* ---- the way of an announcement ---- */

/* 20.8 two_node_announce_is_visible; find_nodes includes the node itself */
static void what_one_announces_the_other_finds(void **state)
{
    (void)state;
    up(0, 1);
    announce(0, 1, "gpu-pool");
    settle();
    assert_true(knows(1, id(0), "gpu-pool"));
    assert_int_equal(found(1, "gpu-pool"), 1);
    assert_int_equal(found(0, "gpu-pool"), 1);
    assert_int_equal(found(1, "gpu-poo"), 0);
    assert_int_equal(nodes[1].learned, 1);
}

/* 20.8 announcement_expires_after_ttl; 20.7 announcement_expiry: inclusive at age = ttl */
static void an_announcement_is_gone_at_its_ttl_from_receipt(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 5, .tag = "x"}), 0);
    now += 5 * S - 1;
    announcements_expire(nodes[1].table, now);
    assert_int_equal(found(1, "x"), 1);
    now += 1;
    assert_int_equal(found(1, "x"), 0); /* also before anybody swept */
    assert_true(announcements_deadline(nodes[1].table) <= now);
    announcements_expire(nodes[1].table, now);
    assert_int_equal(nodes[1].forgotten, 1);
    assert_int_equal(announcements_get_size(nodes[1].table).tags, 0);
    assert_true(announcements_deadline(nodes[1].table) == INT64_MAX);
}

/* 20.8 capability_self_entry_expires_without_reannounce */
static void our_own_expires_too_when_nobody_refreshes_it(void **state)
{
    (void)state;
    announce(0, 1, "x");
    now += 300 * S;
    assert_int_equal(found(0, "x"), 0);
    announce(0, 2, "x");
    assert_int_equal(found(0, "x"), 1);
}

/* 20.8 late_joiner_receives_session_open_push; 21.25 */
static void who_comes_late_is_told_all_that_is_known(void **state)
{
    (void)state;
    up(0, 1);
    announce(0, 1, "a");
    announce(1, 1, "b");
    settle();
    up(1, 2);
    settle();
    assert_true(knows(2, id(1), "b"));
    assert_true(knows(2, id(0), "a"));
}

/* 20.8 three_node_chain_propagates, route_install_from_multihop_receipt,
 * 20.7 strip_reserved_metadata_invalidates_signature: passed on first, stripped then */
static void an_announcement_travels_over_others_as_it_was_signed(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .tag = "x"}), 0);
    settle();
    assert_true(knows(2, id(0), "x"));
    assert_true(nodes[2].via == id(1));
    assert_int_equal(nodes[2].metric, 1 + 2);
    assert_null(
        capabilities_get(announcements_get(nodes[2].table, id(0), now), slice_str("owner")).ptr);
    assert_int_equal(counters(2).metadata_stripped, 1);
}

/* 20.8 dedup_drops_duplicate_at_converge_point, wire_replay_is_dropped_at_dedup_cache */
static void where_two_ways_meet_it_is_taken_once(void **state)
{
    (void)state;
    up(0, 1);
    up(0, 2);
    up(1, 3);
    up(2, 3);
    up(3, 4);
    announce(0, 1, "x");
    settle();
    assert_int_equal(count(3, ANNOUNCEMENT_ACCEPTED), 1);
    assert_int_equal(count(3, ANNOUNCEMENT_DUPLICATE), 1);
    assert_int_equal(count(4, ANNOUNCEMENT_ACCEPTED), 1);
    assert_int_equal(nodes[3].learned, 1);
    assert_int_equal(hear(4, 3, &nodes[0].key, (wish){.version = 1, .ttl_s = 300, .hops = 4}),
                     ANNOUNCEMENT_DUPLICATE);
}

/* 20.8 version_collision_from_same_origin: the first content wins; one comes directly and one over
 * hops, each is looked at once */
static void the_first_content_of_a_version_wins(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 7, .ttl_s = 9, .tag = "x"}), 0);
    assert_int_equal(
        hear(1, 2, &nodes[0].key, (wish){.version = 7, .ttl_s = 9, .tag = "y", .hops = 1}),
        ANNOUNCEMENT_SECOND);
    assert_true(knows(1, id(0), "x") && !knows(1, id(0), "y"));
}

/* 20.8 stale_versions_are_ignored_by_index; fold: drop stale tags */
static void only_a_higher_version_replaces_and_takes_old_tags_away(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 7, .ttl_s = 9, .tag = "x"}), 0);
    for (uint64_t version = 6; version <= 7; version++)
        assert_int_equal(
            hear(1, 0, &nodes[0].key, (wish){.version = version, .ttl_s = 9, .tag = "y"}),
            ANNOUNCEMENT_DUPLICATE);
    assert_int_equal(found(1, "x"), 1);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 8, .ttl_s = 9, .tag = "y"}), 0);
    assert_int_equal(found(1, "x"), 0);
    assert_int_equal(found(1, "y"), 1);
    assert_int_equal(announcements_get_size(nodes[1].table).tags, 1);
}

/* 14.3 step 12, 20.8 hop_count_increments_must_be_saturating */
static void it_is_passed_on_over_fifteen_hops_and_no_more(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    for (unsigned hops = 13; hops < 16; hops++) {
        assert_int_equal(
            hear(1, 2, &nodes[3].key, (wish){.version = hops, .ttl_s = 9, .hops = (uint8_t)hops}),
            0);
        assert_int_equal(nodes[1].queued, hops < 15 ? hops - 12 : 2);
    }
    assert_int_equal(hear(1, 2, &nodes[3].key, (wish){.version = 99, .ttl_s = 9, .hops = 255}), 0);
    assert_int_equal(nodes[1].queued, 2);
    assert_int_equal(nodes[1].metric, 257);
}

static void nothing_goes_back_to_whom_it_came_from(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    up(1, 3);
    assert_int_equal(
        hear(1, 2, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .hops = 1, .tag = "x"}), 0);
    assert_int_equal(nodes[1].queued, 1); /* neither to 2, the sender, nor to 0, whose it is */
    assert_true(nodes[1].out[0].to == id(3));
}

/* 14.3 step 12: neither the sender nor the next hop towards the node, when these are two */
static void nothing_goes_to_the_next_hop_towards_its_node(void **state)
{
    (void)state;
    up(1, 2);
    up(1, 3);
    up(1, 4);
    assert_int_equal(hear(1, 2, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .hops = 1}), 0);
    drop_queue(&nodes[1]);
    assert_int_equal(hear(1, 3, &nodes[0].key, (wish){.version = 2, .ttl_s = 9, .hops = 3}), 0);
    assert_int_equal(nodes[1].queued, 1);
    assert_true(nodes[1].out[0].to == id(4));
}

/* nothing is dropped in silence: whoever had no room gets the newest, once */
static void a_peer_without_room_gets_the_newest_when_it_has(void **state)
{
    (void)state;
    up(0, 1);
    up(0, 2);
    nodes[0].room = 0;
    for (uint64_t version = 1; version <= 9; version++)
        announce(0, version, version == 9 ? "last" : "x");
    assert_int_equal(settle(), 0);
    assert_int_equal(counters(0).held_back, 2);
    nodes[0].room = SIZE_MAX;
    announcements_room(nodes[0].table, id(1));
    assert_int_equal(settle(), 1);
    assert_true(knows(1, id(0), "last"));
    assert_false(knows(2, id(0), NULL));
    announcements_room(nodes[0].table, id(2));
    settle();
    assert_true(knows(2, id(0), "last"));
}

/* ---- what is refused, and leaves nothing behind ---- */

/* 20.8 require_signed_capabilities_drops_unsigned_announcements */
static void an_unsigned_one_is_refused(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9, .plain = true}),
                     ANNOUNCEMENT_UNSIGNED);
    nothing_is_left_of(1, ANNOUNCEMENT_UNSIGNED);
}

/* 20.8 forged_node_id_rejected_even_with_valid_signature,
 * signed_announcement_with_mismatched_node_id_entity_id_is_rejected: also over hops */
static void a_node_id_that_is_not_of_its_entity_is_refused(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(
        hear(1, 0, &nodes[2].key, (wish){.version = 1, .ttl_s = 9, .lie = true, .node_id = id(0)}),
        ANNOUNCEMENT_NODE_ID);
    nothing_is_left_of(1, ANNOUNCEMENT_NODE_ID);
    assert_int_equal(
        hear(1, 0, &nodes[2].key,
             (wish){.version = 1, .ttl_s = 9, .lie = true, .node_id = id(3), .hops = 2}),
        ANNOUNCEMENT_NODE_ID);
}

static void one_without_hops_that_is_not_the_peers_is_refused(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(hear(1, 0, &nodes[2].key, (wish){.version = 1, .ttl_s = 9}),
                     ANNOUNCEMENT_IMPOSTOR);
    nothing_is_left_of(1, ANNOUNCEMENT_IMPOSTOR);
}

/* the session's proof decides, not who was first */
static void one_by_another_entity_than_the_sessions_is_refused(void **state)
{
    uint8_t other[32] = {9};

    (void)state;
    assert_int_equal(announcements_peer_up(nodes[1].table, id(0), other, NULL), 0);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9}),
                     ANNOUNCEMENT_ENTITY);
    nothing_is_left_of(1, ANNOUNCEMENT_ENTITY);
}

/* 14.3 step 10: a forged one does not keep the true one out */
static void a_forged_one_does_not_poison_the_memory(void **state)
{
    buf *text;

    (void)state;
    up(0, 1);
    text = text_by(&nodes[0].key, (wish){.version = 5, .ttl_s = 9, .tag = "x"});
    ((uint8_t *)memmem(text->data, text->len, "\"x\"", 3))[1] = 'y';
    assert_int_equal(announcements_receive(nodes[1].table, id(0), slice_of(text->data, text->len),
                                           now, wall(), NULL),
                     ANNOUNCEMENT_SIGNATURE);
    nothing_is_left_of(1, ANNOUNCEMENT_SIGNATURE);
    buf_unref(text);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 5, .ttl_s = 9, .tag = "x"}), 0);
}

static void our_own_that_comes_back_is_passed_over(void **state)
{
    (void)state;
    up(0, 1);
    assert_int_equal(hear(1, 0, &nodes[1].key, (wish){.version = 1, .ttl_s = 9, .hops = 2}),
                     ANNOUNCEMENT_OWN);
    nothing_is_left_of(1, ANNOUNCEMENT_OWN);
}

static void what_does_not_parse_or_comes_from_a_stranger_is_counted(void **state)
{
    (void)state;
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 1, .ttl_s = 9}),
                     ANNOUNCEMENT_STRANGER);
    nothing_is_left_of(1, ANNOUNCEMENT_STRANGER);
    up(0, 1);
    assert_int_equal(
        announcements_receive(nodes[1].table, id(0), slice_str("{}"), now, wall(), NULL),
        ANNOUNCEMENT_MALFORMED);
    nothing_is_left_of(1, ANNOUNCEMENT_MALFORMED);
    for (int i = 0; i < ANNOUNCEMENT_RESULT_COUNT; i++)
        assert_non_null(announcement_result_name(i));
}

/* ---- looking for nodes ---- */

/* 20.8 bridge: no spoofing of models by raw tags; unknown is not empty; 13.5 scopes */
static void a_filter_finds_by_what_sets_mean(void **state)
{
    (void)state;
    up(0, 1);
    up(1, 2);
    assert_int_equal(hear(1, 0, &nodes[0].key,
                          (wish){.version = 1,
                                 .ttl_s = 9,
                                 .tag = "software.model.0.id=m",
                                 .second = "hardware.memory_gb=32"}),
                     0);
    assert_int_equal(
        hear(1, 2, &nodes[2].key,
             (wish){.version = 1, .ttl_s = 9, .tag = "model:m", .second = "scope:tenant:t"}),
        0);
    assert_int_equal(found(1, ""), 2);
    assert_int_equal(found(1, "model=m"), 1);
    assert_int_equal(found(1, "model:m"), 1);
    assert_int_equal(found(1, "memory>=32"), 1);
    assert_int_equal(found(1, "memory>=33"), 0);
    assert_int_equal(found(1, "scope=global"), 1);
    assert_int_equal(found(1, "scope=tenant:t"), 2);
    assert_int_equal(found(1, "scope=tenant:u"), 1);
    assert_int_equal(found(1, "scope=same-subnet"), 0);
    assert_int_equal(hear(1, 0, &nodes[0].key, (wish){.version = 2, .ttl_s = 9}), 0);
    assert_non_null(announcements_get(nodes[1].table, id(0), now));
    assert_null(announcements_get(nodes[1].table, 12345, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_one_announces_the_other_finds),
        T(an_announcement_is_gone_at_its_ttl_from_receipt),
        T(our_own_expires_too_when_nobody_refreshes_it),
        T(who_comes_late_is_told_all_that_is_known),
        T(an_announcement_travels_over_others_as_it_was_signed),
        T(where_two_ways_meet_it_is_taken_once),
        T(the_first_content_of_a_version_wins),
        T(only_a_higher_version_replaces_and_takes_old_tags_away),
        T(it_is_passed_on_over_fifteen_hops_and_no_more),
        T(nothing_goes_back_to_whom_it_came_from),
        T(nothing_goes_to_the_next_hop_towards_its_node),
        T(a_peer_without_room_gets_the_newest_when_it_has),
        T(an_unsigned_one_is_refused),
        T(a_node_id_that_is_not_of_its_entity_is_refused),
        T(one_without_hops_that_is_not_the_peers_is_refused),
        T(one_by_another_entity_than_the_sessions_is_refused),
        T(a_forged_one_does_not_poison_the_memory),
        T(our_own_that_comes_back_is_passed_over),
        T(what_does_not_parse_or_comes_from_a_stranger_is_counted),
        T(a_filter_finds_by_what_sets_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
