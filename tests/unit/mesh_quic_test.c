/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions begin between those who know each other, and between nobody else; and they end. */
#include "mesh_net.h"

#include "identity/certificate.h"

static net n;

static net_node *const a = &n.nodes[0], *const b = &n.nodes[1];

static int teardown(void **state)
{
    (void)state;
    net_fini(&n);
    return 0;
}

static void both_sides_know_who_the_other_is(void **state)
{
    const peer_identity *seen;

    (void)state;
    net_pair(&n, 1);
    net_connect(&n);
    seen = session_peer(a->sessions[0].s);
    assert_memory_equal(seen->entity, b->key.entity, 32);
    assert_memory_equal(seen->static_key, b->static_public, 32);
    assert_int_equal(seen->node_id, b->key.node_id);
    seen = session_peer(b->sessions[0].s);
    assert_memory_equal(seen->entity, a->key.entity, 32);
    assert_memory_equal(seen->static_key, a->static_public, 32);
    assert_true(session_dialled(a->sessions[0].s));
    assert_false(session_dialled(b->sessions[0].s));
}

static void the_right_psk_lets_in_whichever_of_the_four_it_is(void **state)
{
    (void)state;
    net_pair(&n, 2);
    net_bytes(&n, b->config.psks, sizeof b->config.psks);
    b->config.psk_count = 4;
    memcpy(a->config.psks[0], b->config.psks[3], 32);
    a->config.psk_count = 1;
    net_connect(&n);
}

static void expect_no_session(session_end why)
{
    net_start(a);
    net_start(b);
    net_dial(a, b);
    net_run(&n, 20 * NET_SECOND);
    assert_int_equal(a->ups, 0);
    assert_int_equal(b->ups, 0);
    assert_int_equal(a->downs, 1);
    assert_int_equal(b->downs, 0);
    assert_int_equal(a->sessions[0].why, why);
}

static uint64_t filtered(const net_node *node)
{
    endpoint_counters c;

    endpoint_get_counters(node->e, &c);
    return c.dropped_filter;
}

static void a_wrong_psk_is_dropped_at_the_door(void **state)
{
    (void)state;
    net_pair(&n, 3);
    a->config.psk_count = b->config.psk_count = 1;
    a->config.psks[0][0] = 1;
    b->config.psks[0][0] = 2;
    expect_no_session(END_HANDSHAKE);
    assert_true(filtered(b) > 0);
}

static void no_psk_is_dropped_where_one_is_wanted(void **state)
{
    (void)state;
    net_pair(&n, 4);
    b->config.psk_count = 1;
    b->config.psks[0][0] = 2;
    expect_no_session(END_HANDSHAKE);
    assert_true(filtered(b) > 0);
}

static void a_psk_where_none_is_wanted_gives_no_session(void **state)
{
    (void)state;
    net_pair(&n, 5);
    a->config.psk_count = 1;
    a->config.psks[0][0] = 1;
    expect_no_session(END_HANDSHAKE);
}

static void who_does_not_know_the_static_key_hears_nothing(void **state)
{
    endpoint_counters c;

    (void)state;
    net_pair(&n, 6);
    b->static_public[5] ^= 4;
    expect_no_session(END_HANDSHAKE);
    endpoint_get_counters(b->e, &c);
    assert_int_equal(c.datagrams_out, 0);
    assert_true(c.dropped_invalid > 0);
}

static void another_realm_gives_no_session(void **state)
{
    (void)state;
    net_pair(&n, 7);
    a->config.realm = slice_str("north");
    b->config.realm = slice_str("south");
    expect_no_session(END_HANDSHAKE);
}

static void whom_the_dialler_does_not_admit_never_is_up(void **state)
{
    (void)state;
    net_pair(&n, 8);
    a->refuse = true;
    expect_no_session(END_REFUSED);
}

static void whom_the_acceptor_does_not_admit_learns_that(void **state)
{
    endpoint_counters c;

    (void)state;
    net_pair(&n, 9);
    b->refuse = true;
    expect_no_session(END_REFUSED);
    endpoint_get_counters(b->e, &c);
    assert_int_equal(c.refused, 1);
}

static void a_node_that_dials_itself_is_refused(void **state)
{
    (void)state;
    net_pair(&n, 10);
    net_start(a);
    net_dial(a, a);
    net_run(&n, 10 * NET_SECOND);
    assert_int_equal(a->ups, 0);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->sessions[0].why, END_REFUSED);
}

static void nobody_there_ends_the_dial_in_time(void **state)
{
    (void)state;
    net_pair(&n, 11);
    net_start(a);
    net_dial(a, b);
    net_run(&n, 4 * NET_SECOND);
    assert_int_equal(a->downs, 0);
    net_run(&n, 2 * NET_SECOND);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->sessions[0].why, END_HANDSHAKE);
}

static void a_close_tells_the_peer_why(void **state)
{
    static const struct {
        session_end said, heard;
    } ends[] = {{END_LOCAL, END_PEER},
                {END_REFUSED, END_REFUSED},
                {END_REPLACED, END_REPLACED},
                {END_EXPIRED, END_EXPIRED}};

    (void)state;
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (i)
            net_fini(&n);
        net_pair(&n, 20 + i);
        net_connect(&n);
        session_close(a->sessions[0].s, ends[i].said, "enough", n.now_ns);
        assert_int_equal(a->sessions[0].why, ends[i].said);
        net_run(&n, NET_SECOND);
        assert_true(b->sessions[0].over);
        assert_int_equal(b->sessions[0].why, ends[i].heard);
        assert_non_null(strstr(b->sessions[0].text, "enough"));
    }
}

static void a_quiet_session_stays(void **state)
{
    (void)state;
    net_pair(&n, 30);
    net_connect(&n);
    net_run(&n, 600 * NET_SECOND);
    assert_int_equal(a->downs + b->downs, 0);
}

static bool swallow(net *of, const address *from, const address *to, const uint8_t *bytes,
                    size_t len)
{
    (void)of;
    (void)from;
    (void)to;
    (void)bytes;
    (void)len;
    return false;
}

static void a_silent_peer_ends_the_session(void **state)
{
    (void)state;
    net_pair(&n, 31);
    net_connect(&n);
    n.tap = swallow;
    net_run(&n, 40 * NET_SECOND);
    assert_int_equal(a->sessions[0].why, END_IDLE);
    assert_int_equal(b->sessions[0].why, END_IDLE);
}

static void either_side_may_change_its_address_and_come_back(void **state)
{
    session_info info;
    uint64_t sent = 0;

    (void)state;
    net_pair(&n, 32);
    net_connect(&n);
    for (unsigned i = 0; i < 60; i++) {
        net_node *moved = i % 3 ? a : b, *other = i % 3 ? b : a;

        /* Also while the one before is not settled. */
        moved->at = net_address(moved == a ? 1 : 2, i % 2 ? 4600 : 999 + i);
        assert_int_equal(
            net_send(&n, &moved->sessions[0], LANE_CALL, moved->sessions[0].rooms++, 10), BERTH_OK);
        net_run(&n, i % 4 ? 2 * NET_SECOND : 12 * NET_MS);
        session_get_info(other->sessions[0].s, &info);
        assert_true(i % 4 == 0 || net_same(&info.path, &moved->at));
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, sent, 5000), BERTH_OK);
        assert_int_equal(net_send(&n, &b->sessions[0], LANE_EVENT, sent++, 5000), BERTH_OK);
    }
    net_run(&n, 5 * NET_SECOND);
    assert_int_equal(a->sessions[0].messages[LANE_EVENT], 60);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], 60);
    assert_int_equal(a->downs + b->downs, 0);
}

/* A packet that somebody kept and sends from elsewhere. */
static bool keep_last(net *of, const address *from, const address *to, const uint8_t *bytes,
                      size_t len)
{
    struct {
        size_t len;
        uint8_t bytes[1500];
    } *kept = of->tap_ctx;

    (void)to;
    if (net_same(from, &a->at) && len <= sizeof kept->bytes) {
        kept->len = len;
        memcpy(kept->bytes, bytes, len);
    }
    return true;
}

static void an_old_packet_moves_nobody(void **state)
{
    static struct {
        size_t len;
        uint8_t bytes[1500];
    } kept;
    address elsewhere = net_address(66, 6);
    session_info info;

    (void)state;
    net_pair(&n, 37);
    n.tap = keep_last;
    n.tap_ctx = &kept;
    net_connect(&n);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, i, 10), BERTH_OK);
        net_run(&n, NET_SECOND);
    }
    endpoint_receive(b->e, &b->at, &elsewhere, kept.bytes, kept.len, 0, n.now_ns);
    kept.bytes[kept.len - 1] ^= 1;
    endpoint_receive(b->e, &b->at, &elsewhere, kept.bytes, kept.len, 0, n.now_ns);
    session_get_info(b->sessions[0].s, &info);
    assert_true(net_same(&info.path, &a->at));
}

/* A node that has forgotten everything answers what it does not know, so the other need not wait
 * until it is bored. */
static void a_restarted_acceptor_ends_what_its_peers_still_hold(void **state)
{
    (void)state;
    net_pair(&n, 33);
    net_connect(&n);
    n.tap = swallow;
    endpoint_free(b->e);
    memset(b->sessions, 0, sizeof b->sessions);
    b->count = b->ups = b->downs = 0;
    net_start(b);
    n.tap = NULL;
    assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, 0, 100), BERTH_OK);
    net_run(&n, NET_SECOND);
    assert_true(a->sessions[0].over);
    assert_int_equal(a->sessions[0].why, END_PEER);
    net_dial(a, b);
    net_run(&n, NET_SECOND);
    assert_true(a->sessions[1].up);
}

static void keys_are_renewed_by_time_and_by_volume_without_a_gap(void **state)
{
    session_info info;
    uint64_t sent = 0;

    (void)state;
    net_pair(&n, 34);
    a->config.rekey_ns = 2 * NET_SECOND;
    b->config.rekey_bytes = 100000;
    net_connect(&n);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(net_send(&n, &a->sessions[0], LANE_EVENT, sent++, 1000), BERTH_OK);
        net_run(&n, 20 * NET_MS);
    }
    net_run(&n, NET_SECOND);
    assert_int_equal(b->sessions[0].messages[LANE_EVENT], sent);
    session_get_info(a->sessions[0].s, &info);
    assert_true(info.rekeys >= 9);
}

static void an_old_session_is_renewed_before_it_breaks(void **state)
{
    uint64_t sent = 0, taken = 0;

    (void)state;
    net_pair(&n, 35);
    a->config.session_life_ns = b->config.session_life_ns = 60 * NET_SECOND;
    net_connect(&n);
    for (unsigned i = 0; i < 700; i++) {
        net_session *of = &a->sessions[a->count - 1];

        if (!of->up)
            of--;
        if (of->s && net_send(&n, of, LANE_EVENT, 0, 4) == BERTH_OK)
            sent++;
        net_run(&n, 100 * NET_MS);
    }
    assert_int_equal(a->ups, 2);
    assert_int_equal(b->ups, 2);
    assert_int_equal(sent, 700);
    for (unsigned i = 0; i < b->count; i++)
        taken += b->sessions[i].messages[LANE_EVENT];
    assert_int_equal(taken, sent);
    assert_int_equal(a->sessions[0].why, END_REPLACED);
    assert_int_equal(b->sessions[0].why, END_REPLACED);
}

static char shown[64]; /* certificates that b has been shown, one after the other */

static berth_status note_certificate(void *ctx, peer_identity *peer, slice certificate,
                                     berth_error *error)
{
    size_t used = strlen(shown);

    snprintf(shown + used, sizeof shown - used, "%.*s|", (int)certificate.len,
             (const char *)certificate.ptr);
    return net_admit(ctx, peer, certificate, error);
}

static void another_certificate_is_shown_when_a_session_is_renewed_and_not_before(void **state)
{
    char large[CERTIFICATE_MAX + 1] = "";

    (void)state;
    shown[0] = 0;
    net_pair(&n, 37);
    a->config.session_life_ns = b->config.session_life_ns = 60 * NET_SECOND;
    a->config.certificate = slice_str("old");
    b->config.admit = note_certificate;
    net_connect(&n);
    assert_int_equal(endpoint_set_certificate(a->e, slice_str("new"), NULL), BERTH_OK);
    net_run(&n, 20 * NET_SECOND);
    assert_string_equal(shown, "old|");
    assert_int_equal(a->downs + b->downs, 0);
    net_run(&n, 45 * NET_SECOND);
    assert_string_equal(shown, "old|new|");
    assert_int_equal(a->sessions[0].why, END_REPLACED);
    assert_int_equal(endpoint_set_certificate(a->e, slice_of(large, sizeof large), NULL),
                     BERTH_ERR_INVALID);
    net_dial(a, b);
    net_run(&n, NET_SECOND);
    assert_string_equal(shown, "old|new|new|");
}

static void a_configuration_that_cannot_work_is_refused(void **state)
{
    berth_error error = {0};
    endpoint_config c;
    endpoint *e;

    (void)state;
    net_pair(&n, 36);
    c = a->config;
    c.max_packet = 1199;
    assert_int_equal(endpoint_new(&c, &e, &error), BERTH_ERR_INVALID);
    c = a->config;
    c.psk_count = PSK_MAX + 1;
    assert_int_equal(endpoint_new(&c, &e, &error), BERTH_ERR_INVALID);
    c = a->config;
    c.keep_alive_ns = c.idle_ns = NET_SECOND;
    assert_int_equal(endpoint_new(&c, &e, &error), BERTH_ERR_INVALID);
    c = a->config;
    c.admit = NULL;
    assert_int_equal(endpoint_new(&c, &e, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "admit"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_sides_know_who_the_other_is),
        TEST(the_right_psk_lets_in_whichever_of_the_four_it_is),
        TEST(a_wrong_psk_is_dropped_at_the_door),
        TEST(no_psk_is_dropped_where_one_is_wanted),
        TEST(a_psk_where_none_is_wanted_gives_no_session),
        TEST(who_does_not_know_the_static_key_hears_nothing),
        TEST(another_realm_gives_no_session),
        TEST(whom_the_dialler_does_not_admit_never_is_up),
        TEST(whom_the_acceptor_does_not_admit_learns_that),
        TEST(a_node_that_dials_itself_is_refused),
        TEST(nobody_there_ends_the_dial_in_time),
        TEST(a_close_tells_the_peer_why),
        TEST(a_quiet_session_stays),
        TEST(a_silent_peer_ends_the_session),
        TEST(either_side_may_change_its_address_and_come_back),
        TEST(an_old_packet_moves_nobody),
        TEST(a_restarted_acceptor_ends_what_its_peers_still_hold),
        TEST(keys_are_renewed_by_time_and_by_volume_without_a_gap),
        TEST(an_old_session_is_renewed_before_it_breaks),
        TEST(another_certificate_is_shown_when_a_session_is_renewed_and_not_before),
        TEST(a_configuration_that_cannot_work_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
