/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/peers_codec.h"
#include "peers_net.h"

static net n;

static void begin(unsigned count)
{
    net_init(&n, count, 11);
    for (unsigned i = 0; i < count; i++)
        node_start(&n, i);
}

/* The harness of the reference: heartbeat 100 ms, timeout 500 ms (mesh-transport §24.7). */
static void begin_quick(unsigned count)
{
    net_init(&n, count, 12);
    n.base.heartbeat_ns = 100 * MS;
    n.base.timeout_ns = 500 * MS;
    for (unsigned i = 0; i < count; i++)
        node_start(&n, i);
    for (unsigned i = 1; i < count; i++)
        knows(&n, i, 0);
    net_run(&n, n.now + 10 * S, NULL);
    assert_true(all_joined(&n));
}

static peers_counters counters(unsigned at)
{
    peers_counters c;

    peers_get_counters(n.nodes[at].table, &c);
    return c;
}

/* mesh-transport §24.7: bilateral_partition, partition_heal: Failed within 3 s, Healthy within 5 s
 * after it heals, without a new handshake, and others do not notice */
static void a_partition_is_seen_and_heals_without_a_handshake(void **state)
{
    (void)state;
    begin_quick(3);
    uint64_t dialled = n.nodes[0].dialled + n.nodes[1].dialled;
    session *s = between(&n, 0, 1);
    cut(&n, 0, 1, true);
    net_run(&n, n.now + 3 * S, NULL);
    assert_int_equal(seen(&n, 0, 1), HEALTH_FAILED);
    assert_int_equal(seen(&n, 1, 0), HEALTH_FAILED);
    assert_int_equal(n.nodes[0].failed, 1);
    assert_int_equal(seen(&n, 2, 0), HEALTH_HEALTHY);
    assert_int_equal(seen(&n, 2, 1), HEALTH_HEALTHY);
    assert_int_equal(n.nodes[2].suspected, 0);
    cut(&n, 0, 1, false);
    net_run(&n, n.now + 5 * S, NULL);
    assert_int_equal(seen(&n, 0, 1), HEALTH_HEALTHY);
    assert_int_equal(seen(&n, 1, 0), HEALTH_HEALTHY);
    assert_int_equal(n.nodes[0].recovered, 1);
    assert_ptr_equal(between(&n, 0, 1), s);
    assert_int_equal(n.nodes[0].dialled + n.nodes[1].dialled, dialled);
    net_fini(&n);
}

/* mesh-transport §24.7: one_sided_block */
static void one_deaf_way_is_seen_by_who_does_not_hear(void **state)
{
    (void)state;
    begin_quick(3);
    n.cut[1][0] = true; /* 0 does not hear 1 */
    net_run(&n, n.now + 3 * S, NULL);
    assert_int_equal(seen(&n, 0, 1), HEALTH_FAILED);
    assert_int_equal(seen(&n, 1, 0), HEALTH_HEALTHY);
    assert_int_equal(seen(&n, 0, 2), HEALTH_HEALTHY);
    n.cut[1][0] = false;
    net_run(&n, n.now + 5 * S, NULL);
    assert_int_equal(seen(&n, 0, 1), HEALTH_HEALTHY);
    net_fini(&n);
}

/* mesh-transport §24.7: peers_map_evicts_permanently_failed_peer; a configured one stays */
static void a_learned_peer_that_is_gone_is_forgotten_and_a_configured_one_is_not(void **state)
{
    (void)state;
    begin_quick(3);
    node_kill(&n, 0);
    node_kill(&n, 2);
    net_run(&n, n.now + 30 * S + 20 * S, NULL); /* idle, then 30 timeouts */
    peer_view v;
    assert_false(peers_find(n.nodes[1].table, n.nodes[2].key.node_id, &v));
    assert_int_equal(n.nodes[1].forgotten, 1);
    assert_true(peers_find(n.nodes[1].table, n.nodes[0].key.node_id, &v));
    assert_null(v.session);
    assert_int_equal(peers_count(n.nodes[1].table), 1);
    node_start(&n, 0); /* and it is found again */
    net_run(&n, n.now + 35 * S, NULL);
    assert_true(joined(&n, 0, 1));
    net_fini(&n);
}

static bool had[NODES_MAX];

static void never_without(net *of)
{
    for (unsigned a = 0; a < 2; a++) {
        bool has = between(of, a, 1 - a) != NULL;
        assert_true(has || !had[a]);
        had[a] |= has;
    }
}

/* mesh-transport G9: neither is left without a session, and both use the same */
static void simultaneous_dials_end_in_one_session_that_the_higher_id_dialled(void **state)
{
    (void)state;
    for (int64_t apart = 0; apart <= 40; apart += 2) {
        begin(2);
        memset(had, 0, sizeof had);
        knows(&n, 0, 1);
        net_run(&n, n.now + apart * MS / 2, never_without);
        knows(&n, 1, 0);
        /* They agree as soon as it was said, not when the others end. */
        net_run(&n, n.now + 100 * MS, never_without);
        assert_true(joined(&n, 0, 1));
        net_run(&n, n.now + 10 * S, never_without);
        assert_true(joined(&n, 0, 1));
        assert_int_equal(sessions_between(&n, 0, 1), 1);
        assert_int_equal(sessions_between(&n, 1, 0), 1);
        if (n.nodes[0].dialled && n.nodes[1].dialled) {
            unsigned high = n.nodes[0].key.node_id > n.nodes[1].key.node_id ? 0 : 1;
            assert_true(between(&n, high, 1 - high)->dialled);
        }
        assert_int_equal(n.nodes[0].downs + n.nodes[1].downs, 0);
        net_fini(&n);
    }
}

/* mesh-transport §12.2, G4: a restarted node is not kept out by what the other still holds */
static void a_restarted_node_is_back_within_one_handshake(void **state)
{
    (void)state;
    for (unsigned who = 0; who < 2; who++) { /* the higher id and the lower one */
        begin(2);
        knows(&n, 1 - who, who);
        net_run(&n, n.now + 20 * S, NULL);
        assert_true(joined(&n, 0, 1));
        session *old = between(&n, 1 - who, who);
        node_kill(&n, who);
        node_start(&n, who);
        assert_non_null(between(&n, 1 - who, who)); /* it does not know yet */
        knows(&n, who, 1 - who);
        uint64_t dialled = n.nodes[who].dialled;
        net_run(&n, n.now + 4 * n.latency + MS, NULL); /* a handshake, and the greetings */
        assert_true(joined(&n, 0, 1));
        assert_ptr_not_equal(between(&n, 1 - who, who), old);
        assert_int_equal(n.nodes[who].dialled, dialled + 1);
        assert_int_equal(n.nodes[1 - who].restarted, 1);
        net_run(&n, n.now + 100 * MS, NULL);
        assert_true(old->over);
        assert_true(joined(&n, 0, 1));
        net_fini(&n);
    }
}

/* mesh-transport G34, G35: what has not proved itself displaces nothing */
static void an_old_session_is_kept_until_the_new_one_has_proved_itself(void **state)
{
    (void)state;
    begin(2);
    knows(&n, 0, 1);
    net_run(&n, n.now + 20 * S, NULL);
    session *s = between(&n, 0, 1);
    assert_non_null(s);
    /* Somebody with the peer's keys opens another, and says nothing on it. */
    session *far = session_make(&n.nodes[1], 0, true), *near = session_make(&n.nodes[0], 1, false);
    near->far = far;
    far->far = near;
    identify(near, &n.nodes[1]);
    near->up = true;
    peers_up(n.nodes[0].table, near, n.now);
    assert_ptr_equal(between(&n, 0, 1), s);
    net_run(&n, n.now + 20 * S, NULL);
    assert_ptr_equal(between(&n, 0, 1), s);
    assert_true(joined(&n, 0, 1));
    assert_true(near->over);
    assert_int_equal(n.nodes[0].downs, 0);
    net_fini(&n);
}

static void a_session_is_renewed_before_it_ends_without_a_gap(void **state)
{
    (void)state;
    net_init(&n, 2, 5);
    n.base.session_life_ns = n.life_ns = 60 * S;
    memset(had, 0, sizeof had);
    node_start(&n, 0);
    node_start(&n, 1);
    knows(&n, 0, 1);
    net_run(&n, n.now + 600 * S, never_without);
    assert_true(joined(&n, 0, 1));
    assert_int_equal(n.nodes[0].downs + n.nodes[1].downs, 0);
    assert_true(n.nodes[0].renewals >= 9 && n.nodes[0].renewals <= 14);
    assert_true(n.nodes[1].renewals >= 9 && n.nodes[1].renewals <= 14);
    assert_int_equal(n.nodes[0].restarted, 0);
    net_fini(&n);
}

static void a_node_that_leaves_is_known_to_have_left_at_once(void **state)
{
    (void)state;
    begin(4);
    for (unsigned i = 1; i < 4; i++)
        knows(&n, i, 0);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(all_joined(&n));
    peers_leave(n.nodes[3].table, n.now);
    assert_false(peers_gone(n.nodes[3].table));
    net_run(&n, n.now + 100 * MS, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(n.nodes[i].left, 1);
        assert_int_equal(n.nodes[i].downs, 1);
        assert_null(between(&n, i, 3));
    }
    net_run(&n, n.now + 3 * S, NULL);
    assert_true(peers_gone(n.nodes[3].table));
    uint64_t dialled = n.nodes[0].dialled + n.nodes[1].dialled + n.nodes[2].dialled;
    net_run(&n, n.now + 300 * S, NULL);
    assert_int_equal(n.nodes[0].dialled + n.nodes[1].dialled + n.nodes[2].dialled, dialled);
    /* When it is there again, it is welcome. */
    node_kill(&n, 3);
    node_start(&n, 3);
    knows(&n, 3, 0);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(all_joined(&n));
    net_fini(&n);
}

static void two_that_cannot_reach_each_other_are_told_who_can(void **state)
{
    uint64_t via = 0;

    (void)state;
    begin(4);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++)
            n.cut[i][k] = i / 2 != k / 2 && i + k != 3; /* 0-1, 2-3, 0-3, 1-2: a ring */
    cut(&n, 1, 2, true);                                /* 1 - 0 - 3 - 2 */
    knows(&n, 1, 0);
    knows(&n, 3, 0);
    knows(&n, 2, 3);
    net_run(&n, n.now + 60 * S, NULL);
    assert_true(joined(&n, 0, 1) && joined(&n, 0, 3) && joined(&n, 2, 3));
    assert_true(peers_relay(n.nodes[1].table, n.nodes[3].key.node_id, n.now, &via));
    assert_true(via == n.nodes[0].key.node_id);
    assert_true(peers_relay(n.nodes[0].table, n.nodes[2].key.node_id, n.now, &via));
    assert_true(via == n.nodes[3].key.node_id);
    /* Not for one that is reached, nor over two others, nor for nobody. */
    assert_false(peers_relay(n.nodes[1].table, n.nodes[0].key.node_id, n.now, &via));
    assert_false(peers_relay(n.nodes[1].table, n.nodes[2].key.node_id, n.now, &via));
    assert_false(peers_relay(n.nodes[1].table, 1, n.now, &via));
    /* What was said is not believed for ever. */
    cut(&n, 0, 3, true);
    net_run(&n, n.now + 150 * S, NULL);
    assert_false(peers_relay(n.nodes[1].table, n.nodes[3].key.node_id, n.now, &via));
    net_fini(&n);
}

static void dials_that_fail_come_ever_more_seldom_and_go_on(void **state)
{
    (void)state;
    begin(2);
    node_kill(&n, 1);
    knows(&n, 0, 1);
    net_run(&n, n.now + 3600 * S, NULL);
    /* 5 s until one fails, and 15 to 30 s between, but for the first few. */
    assert_true(n.nodes[0].dialled >= 3600 / 36 && n.nodes[0].dialled <= 3600 / 19 + 8);
    node_start(&n, 1);
    net_run(&n, n.now + 40 * S, NULL);
    assert_true(joined(&n, 0, 1));
    net_fini(&n);
}

static void who_is_refused_does_not_knock_without_end(void **state)
{
    (void)state;
    begin(2);
    n.nodes[1].refuses = true;
    knows(&n, 0, 1);
    net_run(&n, n.now + 600 * S, NULL);
    assert_true(n.nodes[0].dialled <= 600 / 15 + 8);
    assert_int_equal(n.nodes[0].ups, 0);
    net_fini(&n);
}

/* ---- What a peer may say wrongly ------------------------------------------------------------- */

static void say(unsigned from, unsigned to, buf *message)
{
    session *s = between(&n, to, from);

    assert_non_null(s);
    assert_true(peers_message(n.nodes[to].table, s, slice_of(message->data, message->len), n.now));
    buf_unref(message);
}

static buf *raw(uint16_t kind, const void *bytes, size_t len)
{
    writer w = {0};

    writer_u16(&w, kind);
    writer_bytes(&w, bytes, len);
    buf *b = buf_copy(w.data, w.len);
    writer_free(&w);
    return b;
}

static void pair(void)
{
    begin(2);
    knows(&n, 0, 1);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(joined(&n, 0, 1));
}

static void a_message_that_is_none_ends_the_session_and_nothing_else(void **state)
{
    static const struct {
        uint16_t kind;
        size_t len;
    } rows[] = {{MESSAGE_HELLO, 0},       {MESSAGE_HELLO, 300},    {MESSAGE_RECORDS, 0},
                {MESSAGE_RECORDS, 9},     {MESSAGE_PING, 7},       {MESSAGE_PONG, 9},
                {MESSAGE_LEAVE, 1},       {MESSAGE_USE, 1},        {MESSAGE_KNOWN_PEERS, 2},
                {MESSAGE_KNOWN_PEERS, 4}, {MESSAGE_WHO_REACHES, 0}};
    uint8_t junk[512];

    (void)state;
    memset(junk, 1, sizeof junk);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pair();
        say(1, 0, raw(rows[i].kind, junk, rows[i].len));
        assert_int_equal(counters(0).malformed, 1);
        assert_null(between(&n, 0, 1));
        net_run(&n, n.now + 20 * S, NULL); /* and may begin anew */
        assert_true(joined(&n, 0, 1));
        net_fini(&n);
    }
    /* A kind of tomorrow is no fault. */
    pair();
    say(1, 0, raw(MESSAGE_PEERS_LAST, junk, 5));
    assert_int_equal(counters(0).malformed, 0);
    assert_non_null(between(&n, 0, 1));
    /* Kinds of other layers are not ours. */
    uint8_t other[2] = {0x00, 0x01};
    assert_false(peers_message(n.nodes[0].table, between(&n, 0, 1), slice_of(other, 2), n.now));
    assert_false(peers_message(n.nodes[0].table, between(&n, 0, 1), slice_of(other, 1), n.now));
    net_fini(&n);
}

static buf *record_by(uint16_t who, uint64_t sequence, int64_t not_after)
{
    uint8_t seed[32] = {(uint8_t)who, (uint8_t)(who >> 8), 0xee};
    berth_keypair key;
    peer_record r = {.sequence = sequence, .not_after_s = not_after};
    buf *b;

    berth_keypair_from_seed(&key, seed);
    memset(r.static_key, 0x77, 32);
    memcpy(r.static_key, &who, 2);
    r.addresses[r.address_count++] = n.nodes[0].where;
    r.addresses[0].u.in.sin_addr.s_addr = htonl(0x0a0000fe); /* nobody is there */
    assert_int_equal(record_sign(&r, &key, &b, NULL), BERTH_OK);
    return b;
}

static void records_that_are_forged_end_the_session_and_old_ones_are_ignored(void **state)
{
    buf *r;

    (void)state;
    pair();
    r = record_by(1, 5, WALL + 1000);
    say(1, 0, records_encode(&r, 1));
    assert_int_equal(peers_count(n.nodes[0].table), 2);
    assert_int_equal(counters(0).records_old, 0);
    say(1, 0, records_encode(&r, 1)); /* the same */
    buf_unref(r);
    r = record_by(1, 4, WALL + 1000); /* older */
    say(1, 0, records_encode(&r, 1));
    buf_unref(r);
    assert_int_equal(counters(0).records_old, 2);
    r = record_by(2, 1, WALL - 1); /* run out */
    say(1, 0, records_encode(&r, 1));
    buf_unref(r);
    r = record_by(2, 1, WALL + 10ll * 365 * 86400); /* for ever */
    say(1, 0, records_encode(&r, 1));
    buf_unref(r);
    assert_int_equal(counters(0).records_expired, 2);
    assert_int_equal(peers_count(n.nodes[0].table), 2);
    assert_non_null(between(&n, 0, 1));
    r = record_by(3, 1, WALL + 1000);
    r->data[40] ^= 1;
    say(1, 0, records_encode(&r, 1));
    buf_unref(r);
    assert_int_equal(counters(0).records_bad, 1);
    assert_int_equal(peers_count(n.nodes[0].table), 2);
    assert_null(between(&n, 0, 1));
    net_fini(&n);
}

static void a_greeting_with_the_record_of_another_ends_the_session(void **state)
{
    (void)state;
    begin(2);
    session *far = session_make(&n.nodes[1], 0, true), *near = session_make(&n.nodes[0], 1, false);
    near->far = far;
    far->far = near;
    identify(near, &n.nodes[1]);
    near->up = true;
    peers_up(n.nodes[0].table, near, n.now);
    buf *r = record_by(9, 1, WALL + 1000);
    hello h = {.boot = 1, .record = slice_of(r->data, r->len)};
    buf *b = hello_encode(&h);
    peers_message(n.nodes[0].table, near, slice_of(b->data, b->len), n.now);
    buf_unref(b);
    buf_unref(r);
    assert_int_equal(counters(0).lies, 1);
    assert_null(between(&n, 0, 1));
    assert_true(near->closing);
    net_fini(&n);
}

/* Every map has a bound: who makes up nodes fills no more than its share, and pushes nobody out. */
static void made_up_nodes_fill_half_the_table_at_most_and_are_forgotten(void **state)
{
    (void)state;
    net_init(&n, 3, 4);
    n.base.max_peers = 40;
    for (unsigned i = 0; i < 3; i++)
        node_start(&n, i);
    knows(&n, 0, 1);
    knows(&n, 0, 2);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(all_joined(&n));
    for (uint16_t i = 0; i < 300; i++) {
        buf *r = record_by(i, 1, WALL + 4000);
        if (between(&n, 0, 1))
            say(1, 0, records_encode(&r, 1));
        buf_unref(r);
        net_run(&n, n.now + 20 * MS, NULL);
        assert_true(peers_count(n.nodes[0].table) <= 40);
    }
    assert_true(peers_count(n.nodes[0].table) <= 2 + 20);
    peers_counters c = counters(0);
    assert_true(c.records_full > 0);
    assert_int_equal(c.records_in - c.records_old,
                     c.records_new - 2 + c.records_full + c.records_paced);
    assert_true(joined(&n, 0, 2));
    /* The third never heard of them. */
    assert_int_equal(peers_count(n.nodes[2].table), 2);
    net_run(&n, n.now + 600 * S, NULL);
    assert_int_equal(peers_count(n.nodes[0].table), 2);
    assert_true(all_joined(&n));
    net_fini(&n);
}

static void a_table_that_is_full_refuses_strangers_and_configuration_and_says_so(void **state)
{
    uint8_t key[32];
    char name[16];
    berth_error error = {0};

    (void)state;
    net_init(&n, 1, 4);
    n.base.max_peers = 3;
    node_start(&n, 0);
    for (uint8_t i = 0; i < 4; i++) {
        memset(key, i + 1, 32);
        snprintf(name, sizeof name, "p%u", i);
        assert_int_equal(
            peers_configure(n.nodes[0].table, name, key, &n.nodes[0].where, 1, n.now, &error),
            i < 3 ? BERTH_OK : BERTH_ERR_LIMIT);
    }
    assert_non_null(strstr(error.text, "max_peers"));
    assert_int_equal(counters(0).full, 1);
    assert_int_equal(peers_remove(n.nodes[0].table, "p1", n.now), BERTH_OK);
    assert_int_equal(peers_remove(n.nodes[0].table, "p1", n.now), BERTH_ERR_NOT_FOUND);
    assert_int_equal(
        peers_configure(n.nodes[0].table, name, key, &n.nodes[0].where, 1, n.now, &error),
        BERTH_OK);
    memset(key, 0x40, 32); /* our own */
    assert_int_equal(peers_configure(n.nodes[0].table, "me", key, NULL, 0, n.now, &error),
                     BERTH_ERR_INVALID);
    net_fini(&n);
}

/* A clock that was set back: others hold a record of ours that is newer than what we say now. */
static void a_node_with_its_clock_set_back_still_says_something_newer(void **state)
{
    peer_view v;

    (void)state;
    begin(3);
    knows(&n, 1, 0);
    knows(&n, 2, 0);
    net_run(&n, n.now + 20 * S, NULL);
    assert_true(all_joined(&n));
    assert_true(peers_find(n.nodes[2].table, n.nodes[1].key.node_id, &v));
    uint64_t before = v.record->sequence;
    node_kill(&n, 1);
    n.nodes[1].clock_s = -3600;
    n.nodes[1].where.u.in.sin_port = htons(4800);
    node_start(&n, 1);
    knows(&n, 1, 0);
    net_run(&n, n.now + 60 * S, NULL);
    assert_true(all_joined(&n));
    assert_true(peers_find(n.nodes[2].table, n.nodes[1].key.node_id, &v));
    assert_true(v.record->sequence > before);
    assert_int_equal(ntohs(v.record->addresses[0].u.in.sin_port), 4800);
    net_fini(&n);
}

static void a_ping_that_was_asked_for_is_answered_with_its_round_trip(void **state)
{
    (void)state;
    pair();
    uint64_t node = n.nodes[1].key.node_id;
    assert_int_equal(peers_ping(n.nodes[0].table, node, n.now), BERTH_OK);
    net_run(&n, n.now + 50 * MS, NULL);
    assert_true(n.nodes[0].pong_ns >= 2 * n.latency && n.nodes[0].pong_ns < 2 * n.latency + MS);
    assert_int_equal(peers_ping(n.nodes[0].table, node + 1, n.now), BERTH_ERR_NOT_FOUND);
    say(1, 0, number_encode(MESSAGE_PONG, 12345)); /* to nothing that was asked */
    assert_int_equal(counters(0).pongs_unknown, 1);
    net_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partition_is_seen_and_heals_without_a_handshake),
        cmocka_unit_test(one_deaf_way_is_seen_by_who_does_not_hear),
        cmocka_unit_test(a_learned_peer_that_is_gone_is_forgotten_and_a_configured_one_is_not),
        cmocka_unit_test(simultaneous_dials_end_in_one_session_that_the_higher_id_dialled),
        cmocka_unit_test(a_restarted_node_is_back_within_one_handshake),
        cmocka_unit_test(an_old_session_is_kept_until_the_new_one_has_proved_itself),
        cmocka_unit_test(a_session_is_renewed_before_it_ends_without_a_gap),
        cmocka_unit_test(a_node_that_leaves_is_known_to_have_left_at_once),
        cmocka_unit_test(two_that_cannot_reach_each_other_are_told_who_can),
        cmocka_unit_test(dials_that_fail_come_ever_more_seldom_and_go_on),
        cmocka_unit_test(who_is_refused_does_not_knock_without_end),
        cmocka_unit_test(a_message_that_is_none_ends_the_session_and_nothing_else),
        cmocka_unit_test(records_that_are_forged_end_the_session_and_old_ones_are_ignored),
        cmocka_unit_test(a_greeting_with_the_record_of_another_ends_the_session),
        cmocka_unit_test(made_up_nodes_fill_half_the_table_at_most_and_are_forgotten),
        cmocka_unit_test(a_table_that_is_full_refuses_strangers_and_configuration_and_says_so),
        cmocka_unit_test(a_node_with_its_clock_set_back_still_says_something_newer),
        cmocka_unit_test(a_ping_that_was_asked_for_is_answered_with_its_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
