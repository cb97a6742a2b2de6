/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/announcement_own.h"
#include "mesh/announcements.h"
#include "mesh/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S    1000000000ll
#define WALL 1700000000000000000ull

/* ---- a few nodes whose links are lists of messages ---- */

enum { NODES = 5, QUEUE = 256 };

typedef struct node {
    berth_keypair key;
    announcements *table;
    unsigned learned, forgotten, metric;
    uint64_t via;
    struct packet {
        uint64_t to;
        buf *message;
    } out[QUEUE];
    size_t queued, room; /* how many more messages its links take */
} node;

static node nodes[NODES];
static int64_t now;

static berth_status on_send(void *ctx, uint64_t peer, buf *message)
{
    node *n = ctx;

    if (!n->room)
        return BERTH_ERR_WOULD_BLOCK;
    n->room--;
    assert_true(n->queued < QUEUE);
    n->out[n->queued++] = (struct packet){peer, buf_ref(message)};
    return BERTH_OK;
}

static void on_learned(void *ctx, uint64_t id, const capabilities *set)
{
    (void)id;
    (void)set;
    ((node *)ctx)->learned++;
}

static void on_forgotten(void *ctx, uint64_t id)
{
    (void)id;
    ((node *)ctx)->forgotten++;
}

static void on_route(void *ctx, uint64_t id, uint64_t via, unsigned metric)
{
    (void)id;
    ((node *)ctx)->via = via;
    ((node *)ctx)->metric = metric;
}

static const announcements_events events = {on_send, on_learned, on_forgotten, on_route, NULL};

static void key_of(berth_keypair *key, unsigned i)
{
    uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), 0x77};

    berth_keypair_from_seed(key, seed);
}

static void boot(unsigned i, const announcements_config *bounds)
{
    announcements_config config = bounds ? *bounds : (announcements_config){0};
    node *n = &nodes[i];

    *n = (node){.room = SIZE_MAX};
    key_of(&n->key, i);
    config.node_id = n->key.node_id;
    n->table = announcements_new(&config, &events, n);
    assert_non_null(n->table);
}

static void drop_queue(node *n)
{
    while (n->queued)
        buf_unref(n->out[--n->queued].message);
}

static int setup(void **state)
{
    (void)state;
    now = 1000 * S;
    for (unsigned i = 0; i < NODES; i++)
        boot(i, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        drop_queue(&nodes[i]);
        announcements_free(nodes[i].table);
        nodes[i].table = NULL;
    }
    return 0;
}

static void reboot(unsigned i, const announcements_config *bounds)
{
    drop_queue(&nodes[i]);
    announcements_free(nodes[i].table);
    boot(i, bounds);
}

static uint64_t wall(void)
{
    return WALL + (uint64_t)now;
}

static uint64_t id(unsigned i)
{
    return nodes[i].key.node_id;
}

static node *by_id(uint64_t node_id)
{
    for (unsigned i = 0; i < NODES; i++)
        if (id(i) == node_id)
            return &nodes[i];
    return NULL;
}

static void up(unsigned a, unsigned b)
{
    assert_int_equal(announcements_peer_up(nodes[a].table, id(b), nodes[b].key.entity, NULL), 0);
    assert_int_equal(announcements_peer_up(nodes[b].table, id(a), nodes[a].key.entity, NULL), 0);
}

static uint64_t count(unsigned i, announcement_result result)
{
    announcements_counters c;

    announcements_get_counters(nodes[i].table, &c);
    return c.results[result];
}

static announcements_counters counters(unsigned i)
{
    announcements_counters c;

    announcements_get_counters(nodes[i].table, &c);
    return c;
}

/* Carry messages until there are none; how many there were. */
static size_t settle(void)
{
    size_t carried = 0;
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < NODES; i++) {
            node *n = &nodes[i];

            for (size_t k = 0; k < n->queued; k++) {
                struct packet p = n->out[k];
                node *to = by_id(p.to);

                again = true;
                carried++;
                assert_true(p.message->len >= 2 && p.message->data[0] == 0 &&
                            p.message->data[1] == MESSAGE_ANNOUNCEMENT >> 8);
                if (to)
                    announcements_receive(to->table, id(i),
                                          slice_of(p.message->data + 2, p.message->len - 2), now,
                                          wall(), NULL);
                buf_unref(p.message);
            }
            n->queued = 0;
        }
    }
    return carried;
}

/* An announcement as its node would make it, with one or two tags. */
typedef struct wish {
    uint64_t version, timestamp_ns;
    uint32_t ttl_s;
    const char *tag, *second;
    uint8_t hops;
    bool plain, lie;
    uint64_t node_id; /* with lie */
} wish;

static buf *text_by(const berth_keypair *key, wish w)
{
    announcement a = {.version = w.version,
                      .timestamp_ns = w.timestamp_ns ? w.timestamp_ns : wall(),
                      .ttl_s = w.ttl_s,
                      .hop_count = w.hops,
                      .node_id = w.lie ? w.node_id : key->node_id};
    writer plain = {0}, text = {0};
    buf *out;

    memcpy(a.entity, key->entity, sizeof a.entity);
    if (w.tag)
        assert_int_equal(capabilities_put(&a.set, slice_str(w.tag), NULL), 0);
    if (w.second)
        assert_int_equal(capabilities_put(&a.set, slice_str(w.second), NULL), 0);
    capabilities_set(&a.set, slice_str("owner"), slice_str("me"), NULL);
    announcement_write_signed(&plain, &a);
    berth_sign_must(key, plain.data, plain.len, a.signature);
    a.is_signed = !w.plain;
    announcement_write(&text, &a);
    out = buf_copy(text.data, text.len);
    announcement_fini(&a);
    writer_free(&plain);
    writer_free(&text);
    return out;
}

static announcement_result hear(unsigned at, unsigned from, const berth_keypair *by, wish w)
{
    buf *text = text_by(by, w);
    berth_error error = {0};
    announcement_result result = announcements_receive(
        nodes[at].table, id(from), slice_of(text->data, text->len), now, wall(), &error);

    buf_unref(text);
    return result;
}

static void announce(unsigned i, uint64_t version, const char *tag)
{
    announcement a = {.version = version, .timestamp_ns = wall(), .ttl_s = 300};
    writer text = {0};

    assert_int_equal(capabilities_put(&a.set, slice_str(tag), NULL), 0);
    assert_int_equal(announcement_sign(&text, &a, &nodes[i].key, NULL), 0);
    assert_int_equal(
        announcements_own(nodes[i].table, &a, slice_of(text.data, text.len), now, NULL), 0);
    announcement_fini(&a);
    writer_free(&text);
}

static bool knows(unsigned at, uint64_t node_id, const char *tag)
{
    const capabilities *set = announcements_get(nodes[at].table, node_id, now);

    return set && (!tag || capabilities_has_exact(set, slice_str(tag)));
}

static size_t found(unsigned at, const char *filter_text)
{
    capability_filter filter;
    capability_scope scope;
    uint64_t *ids;
    size_t n;

    assert_int_equal(filter_parse(&filter, &scope, slice_str(filter_text), NULL), 0);
    assert_int_equal(announcements_find(nodes[at].table, &filter, &scope, now, &ids, &n, NULL), 0);
    for (size_t i = 1; i < n; i++)
        assert_true(ids[i - 1] < ids[i]);
    free(ids);
    return n;
}

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

static void nothing_is_left_of(unsigned at, announcement_result reason)
{
    announcements_size size = announcements_get_size(nodes[at].table);

    assert_int_equal(count(at, reason), 1);
    assert_int_equal(size.nodes, 0);
    assert_int_equal(size.remembered, 0);
    assert_int_equal(nodes[at].queued, 0);
    assert_int_equal(nodes[at].learned, 0);
}

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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
        T(a_peer_without_room_gets_the_newest_when_it_has),
        T(an_unsigned_one_is_refused),
        T(a_node_id_that_is_not_of_its_entity_is_refused),
        T(one_without_hops_that_is_not_the_peers_is_refused),
        T(one_by_another_entity_than_the_sessions_is_refused),
        T(a_forged_one_does_not_poison_the_memory),
        T(our_own_that_comes_back_is_passed_over),
        T(what_does_not_parse_or_comes_from_a_stranger_is_counted),
        T(a_time_too_far_from_ours_is_refused),
        T(an_unbounded_ttl_is_cut),
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
        T(a_filter_finds_by_what_sets_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
