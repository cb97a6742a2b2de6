/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts with daemons that send to one another over real sockets. */
#include "mesh_hosts.h"

#include "mesh/impair.h"

static void what_a_daemon_sends_reaches_a_daemon_on_another_host(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[128];

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:5", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 5);
    snprintf(text, sizeof text, "flood:%016" PRIx64 ":3000", b);
    for (unsigned i = 0; i < 10; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 30005);
    hosts_end(&h);
}

/* What a daemon's tail has shown so far, one after the other, in a text. */
typedef struct listening {
    tail *t;
    char text[8192];
    berth_link last;
    uint8_t payload[4096];
    size_t payload_len, heard;
    bool broken;
} listening;

static void listen_to(listening *l)
{
    tail_item items[32];
    uint64_t missed;
    bool ended;
    size_t n;

    while ((n = tail_read(l->t, items, 32, &missed, &ended)) > 0) {
        for (size_t i = 0; i < n; i++) {
            size_t len = items[i].bytes->len - BERTH_LINK_SIZE;
            const uint8_t *payload = items[i].bytes->data + BERTH_LINK_SIZE;
            berth_link link;

            berth_link_decode(&link, items[i].bytes->data, BERTH_LINK_SIZE);
            if (l->heard && link.sequence && link.sequence == l->last.sequence + 1 &&
                link.parent != berth_link_parent(&l->last, l->payload, l->payload_len))
                l->broken = true;
            l->last = link;
            l->payload_len = len < sizeof l->payload ? len : 0;
            memcpy(l->payload, payload, l->payload_len);
            l->heard++;
            snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%.*s|", (int)len,
                     (const char *)payload);
            tail_item_release(&items[i]);
        }
    }
}

static void follow(hosts *h, unsigned i, uint64_t origin, listening *l)
{
    berth_error error = {0};

    memset(l, 0, sizeof *l);
    OK(tail_open_daemon(h->list[i].rt, origin, TAIL_FROM_RING, NULL, NULL, &l->t, &error));
}

static bool heard(listening *l, const char *text)
{
    listen_to(l);
    return strstr(l->text, text) != NULL;
}

static void a_request_is_answered_refused_and_times_out_across_hosts(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[160];
    listening l;

    (void)state;
    hosts_start(&h, 2);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    follow(&h, 0, a, &l);
    snprintf(text, sizeof text, "ask:%016" PRIx64 ":7:reply:pong", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(heard(&l, "reply 7 0 pong|"));
    snprintf(text, sizeof text, "ask:%016" PRIx64 ":8:more:one;more:two;reply:three", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(heard(&l, "more 8 0 one|more 8 0 two|reply 8 0 three|"));
    snprintf(text, sizeof text, "ask:%016" PRIx64 ":9:reject", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(heard(&l, "reply 9 3 told to|"));
    snprintf(text, sizeof text, "within:50 ask:%016" PRIx64 ":10:add:1", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(heard(&l, "reply 10 1 |"));
    tail_close(l.t);
    hosts_end(&h);
}

static void what_is_sent_to_an_origin_that_nobody_knows_is_counted_and_answered(void **state)
{
    hosts h;
    uint64_t a;
    listening l;

    (void)state;
    hosts_init(&h, 2);
    h.list[0].config.unknown_ns = 200 * 1000000;
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    follow(&h, 0, a, &l);
    OK(hosts_tell(&h, 0, a, "send:00000000deadbeef:add:1 ask:00000000deadbeef:3:add:1", NULL));
    UNTIL(heard(&l, "reply 3 2 |"));
    tail_close(l.t);
    hosts_end(&h);
}

static void a_channel_is_heard_on_other_hosts_with_its_chain(void **state)
{
    hosts h;
    uint64_t a, b, c;
    berth_error error = {0};
    listening l, far = {0};

    (void)state;
    hosts_start(&h, 3);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    c = hosts_spawn(&h, 1, "script", 3);
    OK(tail_open_channel(h.list[2].rt, slice_str("news"), NULL, NULL, &far.t, &error));
    OK(hosts_tell(&h, 1, b, "sub:news", NULL));
    OK(hosts_tell(&h, 1, c, "sub:news", NULL));
    UNTIL(hosts_counters(&h, 0).members ==
          3); /* two daemons and one who follows have asked host 0 */
    follow(&h, 1, b, &l);
    OK(hosts_tell(&h, 0, a, "pub:news:add:5", NULL));
    OK(hosts_tell(&h, 0, a, "pub:news:add:6", NULL));
    OK(hosts_tell(&h, 0, a, "pub:news:emit:hello", NULL));
    UNTIL(heard(&l, "hello|"));
    UNTIL(hosts_count(&h, 1, c) == 11);
    UNTIL(heard(&far, "add:5|add:6|emit:hello|"));
    assert_false(far.broken); /* the links are those of a's chain */
    assert_int_equal(far.last.origin, a);
    /* One that leaves does not silence the other. */
    OK(hosts_tell(&h, 1, b, "unsub:news", NULL));
    UNTIL(hosts_counters(&h, 0).members == 2);
    OK(hosts_tell(&h, 0, a, "pub:news:add:100", NULL));
    UNTIL(hosts_count(&h, 1, c) == 111);
    assert_int_equal(hosts_count(&h, 1, b), 11);
    tail_close(l.t);
    tail_close(far.t);
    hosts_end(&h);
}

static void what_is_published_from_outside_reaches_other_hosts(void **state)
{
    hosts h;
    uint64_t b, reached = 0;
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 2);
    b = hosts_spawn(&h, 1, "script", 2);
    OK(hosts_tell(&h, 1, b, "sub:news", NULL));
    UNTIL(hosts_counters(&h, 0).members == 1);
    OK(runtime_publish(h.list[0].rt, slice_str("news"), slice_str("add:3"), NULL, NULL, &reached,
                       &error));
    UNTIL(hosts_count(&h, 1, b) == 3);
    hosts_end(&h);
}

static void a_host_that_dies_and_comes_back_gets_what_waited(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[128];

    (void)state;
    hosts_start(&h, 2);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 1);
    UNTIL(hosts_counters(&h, 0).flows.acknowledged == 1); /* or who is born anew gets it again */
    hosts_down(&h, 1, false);
    for (unsigned i = 0; i < 50; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    hosts_up(&h, 1);
    hosts_spawn(&h, 1, "script", 2); /* born anew, with nothing */
    UNTIL(hosts_count(&h, 1, b) == 50);
    hosts_end(&h);
}

static void an_identity_on_two_hosts_is_a_conflict_and_both_hold(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[128];
    berth_daemon_info info = {.size = sizeof info};
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 3);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 1);
    hosts_spawn(&h, 2, "script", 2);
    for (;;) { /* as soon as it is spoken of, both find out */
        directory_place place;

        mesh_where(h.list[2].mesh, b, &place);
        OK(hosts_tell(&h, 0, a, text, NULL));
        snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", a);
        berth_submit(h.list[2].rt, b, &(berth_input){.data = text, .len = strlen(text)}, 1, NULL,
                     NULL, &error);
        snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
        OK(berth_daemon_get(h.list[1].rt, b, &info, &error));
        if (info.state == BERTH_DAEMON_HELD) {
            OK(berth_daemon_get(h.list[2].rt, b, &info, &error));
            if (info.state == BERTH_DAEMON_HELD)
                break;
        }
        help_nap();
    }
    OK(berth_stop(h.list[2].rt, b, 0, &error));
    hosts_end(&h);
}

static void strangers_are_not_let_in_and_do_no_harm(void **state)
{
    hosts h;
    mesh_counters c;

    (void)state;
    hosts_init(&h, 3);
    h.list[2].key = key_of(0x7777); /* not whom the others have pinned */
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    h.count = 2;
    UNTIL(hosts_joined(&h));
    h.list[2].key = key_of(0x9999);
    memset(h.list[2].secret, 0x77, 32);
    h.count = 3;
    hosts_up(&h, 2);
    for (;;) {
        mesh_get_counters(h.list[0].mesh, &c);
        if (c.trust[TRUST_UNKNOWN] + c.trust[TRUST_MISMATCH])
            break;
        help_nap();
    }
    assert_int_equal(hosts_live(&h, 0), 1);
    assert_int_equal(hosts_live(&h, 2), 0);
    hosts_end(&h);
}

static bool is_relayed(hosts *h, unsigned of, unsigned to)
{
    mesh_peer_view v;
    berth_error error = {0};
    char name[16];

    snprintf(name, sizeof name, "host%u", to);
    return mesh_peer_find(h->list[of].mesh, name, &v, &error) == BERTH_OK && v.up &&
           v.session.path.u.any.sa_family == AF_INET6;
}

static void cut(hosts *h, unsigned a, unsigned b, bool off)
{
    impair_rule rule = {.drop = off};
    berth_error error = {0};

    OK(mesh_impair(h->list[a].mesh, &h->list[b].at, &rule, &rule, 1, &error));
    OK(mesh_impair(h->list[b].mesh, &h->list[a].at, &rule, &rule, 2, &error));
}

static void two_that_cannot_reach_each_other_talk_through_a_third(void **state)
{
    hosts h;
    uint64_t a, b;
    mesh_counters c;
    char text[64];

    (void)state;
    hosts_init(&h, 3);
    h.may = TRUST_MAY_RELAY;
    for (unsigned i = 0; i < 3; i++) {
        h.list[i].config.idle_ns = 1500 * 1000000LL;
        hosts_up(&h, i);
    }
    UNTIL(hosts_joined(&h));
    cut(&h, 1, 2, true);
    UNTIL(is_relayed(&h, 1, 2) && is_relayed(&h, 2, 1));
    a = hosts_spawn(&h, 1, "script", 1);
    b = hosts_spawn(&h, 2, "script", 2);
    snprintf(text, sizeof text, "flood:%016" PRIx64 ":2000", b);
    OK(hosts_tell(&h, 1, a, text, NULL));
    UNTIL(hosts_count(&h, 2, b) == 2000);
    mesh_get_counters(h.list[0].mesh, &c);
    assert_true(c.relay.passed_on > 0);
    assert_int_equal(c.relay.refused, 0);
    hosts_end(&h);
}

/* The nearest that could passes nothing on. */
static void a_relay_that_leads_nowhere_is_not_the_last_word(void **state)
{
    static const impair_rule slow = {.delay_ns = 20000000};
    hosts h;
    berth_error error = {0};
    mesh_counters c;

    (void)state;
    hosts_init(&h, 4);
    for (unsigned i = 0; i < 4; i++) {
        h.may = i == 0 ? 0 : TRUST_MAY_RELAY;
        h.list[i].config.idle_ns = 1500 * 1000000LL;
        hosts_up(&h, i);
    }
    UNTIL(hosts_joined(&h));
    OK(mesh_impair(h.list[3].mesh, NULL, NULL, &slow, 3, &error));
    cut(&h, 1, 2, true);
    UNTIL(is_relayed(&h, 1, 2) && is_relayed(&h, 2, 1));
    mesh_get_counters(h.list[0].mesh, &c);
    assert_true(c.relay.refused > 0);
    mesh_get_counters(h.list[3].mesh, &c);
    assert_true(c.relay.passed_on > 0);
    hosts_end(&h);
}

/* trust §1, DESIGN §6: without the grant nobody passes anything on. */
static void a_relay_is_for_those_who_may(void **state)
{
    hosts h;
    mesh_counters c;

    (void)state;
    hosts_init(&h, 3);
    for (unsigned i = 0; i < 3; i++) {
        h.list[i].config.idle_ns = 1500 * 1000000LL;
        hosts_up(&h, i);
    }
    UNTIL(hosts_joined(&h));
    cut(&h, 1, 2, true);
    do {
        mesh_get_counters(h.list[0].mesh, &c);
        help_nap();
    } while (!c.relay.refused);
    assert_int_equal(c.relay.passed_on, 0);
    assert_false(is_relayed(&h, 1, 2));
    cut(&h, 1, 2, false);
    UNTIL(hosts_joined(&h)); /* and what is whole again is used again */
    hosts_end(&h);
}

typedef struct named {
    _Atomic int done;
    berth_status status;
    uint64_t origin;
} named;

static void take_name(void *ctx, berth_status status, uint64_t origin)
{
    named *n = ctx;

    n->status = status;
    n->origin = origin;
    n->done = 1;
}

static named name_at(hosts *h, unsigned of, const char *name)
{
    named n = {.done = 0};

    mesh_find_daemon(h->list[0].mesh, h->list[of].key.node_id, name, 10 * 1000000000LL, take_name,
                     &n);
    UNTIL(n.done);
    return n;
}

static void a_name_is_found_on_the_host_that_it_belongs_to(void **state)
{
    hosts h;
    uint64_t b;
    char name[64];

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(name, sizeof name, "script-%016" PRIx64, b);
    assert_int_equal(name_at(&h, 1, name).origin, b);
    assert_int_equal(name_at(&h, 1, "nobody").status, BERTH_ERR_NOT_FOUND);
    assert_int_equal(name_at(&h, 1, "").status, BERTH_ERR_INVALID);
    hosts_down(&h, 1, true);
    UNTIL(hosts_live(&h, 0) == 0);
    assert_int_equal(name_at(&h, 1, name).status, BERTH_ERR_NOT_READY);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_daemon_sends_reaches_a_daemon_on_another_host),
        cmocka_unit_test(a_request_is_answered_refused_and_times_out_across_hosts),
        cmocka_unit_test(what_is_sent_to_an_origin_that_nobody_knows_is_counted_and_answered),
        cmocka_unit_test(a_channel_is_heard_on_other_hosts_with_its_chain),
        cmocka_unit_test(what_is_published_from_outside_reaches_other_hosts),
        cmocka_unit_test(a_host_that_dies_and_comes_back_gets_what_waited),
        cmocka_unit_test(an_identity_on_two_hosts_is_a_conflict_and_both_hold),
        cmocka_unit_test(strangers_are_not_let_in_and_do_no_harm),
        cmocka_unit_test(a_name_is_found_on_the_host_that_it_belongs_to),
        cmocka_unit_test(two_that_cannot_reach_each_other_talk_through_a_third),
        cmocka_unit_test(a_relay_is_for_those_who_may),
        cmocka_unit_test(a_relay_that_leads_nowhere_is_not_the_last_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
