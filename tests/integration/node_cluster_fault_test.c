/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters that are broken, node by node and link by link, and how they heal. */
#include "cluster_help.h"

static bool healed(void *ctx, berth_cluster *c)
{
    (void)ctx;
    return state_of(c).converged;
}

#define HEALS(c)                                                                                   \
    GOOD(c, berth_cluster_wait_until(c, healed, NULL, PATIENCE_MS, "converged again", &why))

/* harness §22.9: one node killed, the others report it unreachable and health() falls */
static void a_killed_node_is_held_for_dead_and_the_health_falls(void **state)
{
    berth_cluster_config config = cluster_that_notices(4);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon lost = one_on(c, 2, "script");

    (void)state;
    GOOD(c, berth_cluster_kill(c, 2, &why));
    assert_int_equal(kinds_alive, 0);
    assert_int_equal(state_of(c).running, 3);
    assert_false(state_of(c).converged);
    for (uint32_t i = 0; i < 4; i++)
        if (i != 2)
            SOON(c, seen(c, i, 2).health == BERTH_CLUSTER_FAILED && !seen(c, i, 2).up);
    SOON(c, state_of(c).full_announcements == 0); /* it is dead, and so is what it offered */
    assert_int_equal(state_of(c).full_peers, 0);
    /* Those that are left are a whole of their own. */
    GOOD(c, berth_cluster_await_sessions(c, PATIENCE_MS, &why));
    GOOD(c, berth_cluster_await_announcements(c, PATIENCE_MS, &why));
    FAILS(tell(c, &lost, "show"), STALE);
    /* The same node again, at the same place. */
    GOOD(c, berth_cluster_restart(c, 2, &why));
    HEALS(c);
    cluster_end(c);
}

typedef struct back {
    uint32_t node;
} back;

static bool is_back(void *ctx, berth_cluster *c)
{
    uint32_t node = ((back *)ctx)->node;

    for (uint32_t i = 0; i < c->count; i++)
        if (i != node && !meet_well(c, i, node))
            return false;
    return true;
}

/* A restarted node is back within one handshake, whatever the others still hold: nobody has
 * noticed yet that it was gone, and nothing has to time out first. */
static void a_node_that_starts_again_needs_no_timeout_of_the_others(void **state)
{
    berth_cluster_config config = cluster_of(4);
    back b = {1};
    uint64_t id;
    char before[BERTH_CLUSTER_ADDRESS], after[BERTH_CLUSTER_ADDRESS];
    berth_cluster *c;

    (void)state;
    config.timeout_ms = config.idle_ms = 10 * PATIENCE_MS; /* longer than we wait */
    c = cluster_up(&config);
    id = berth_cluster_node_id(c, 1);
    berth_cluster_address(c, 1, before);
    for (int i = 0; i < 3; i++) {
        GOOD(c, berth_cluster_restart(c, 1, &why));
        GOOD(c, berth_cluster_wait_until(c, is_back, &b, PATIENCE_MS, "it is back", &why));
        assert_int_equal(berth_cluster_node_id(c, 1), id);
        assert_string_equal(berth_cluster_address(c, 1, after), before);
    }
    HEALS(c);
    cluster_end(c);
}

/* harness §22.9: partition and heal */
static void two_halves_part_and_come_together_again(void **state)
{
    berth_cluster_config config = cluster_that_notices(4);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon a = one_on(c, 0, "script"), b = one_on(c, 3, "script");

    (void)state;
    GOOD(c,
         berth_cluster_partition(c, BERTH_CLUSTER_SET(0, 1), BERTH_CLUSTER_SET(2, 3), true, &why));
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 2; k < 4; k++) {
            SOON(c, !seen(c, i, k).up && seen(c, i, k).health == BERTH_CLUSTER_FAILED);
            SOON(c, !seen(c, k, i).up && seen(c, k, i).health == BERTH_CLUSTER_FAILED);
        }
    assert_true(meet_well(c, 0, 1));
    assert_true(meet_well(c, 2, 3));
    assert_int_equal(state_of(c).running, 4);
    assert_int_equal(state_of(c).full_peers, 0);
    /* What is sent across waits for the day. */
    OK(tell(c, &a, say("send:%016" PRIx64 ":add:5", b.origin)));
    OK(tell(c, &b, say("send:%016" PRIx64 ":add:7", a.origin)));
    assert_int_equal(count_of(c, &b), 0);
    GOOD(c, berth_cluster_heal(c, &why));
    HEALS(c);
    SOON(c, count_of(c, &b) == 5);
    SOON(c, count_of(c, &a) == 7);
    cluster_end(c);
}

/* harness §21.10 no. 1: per directed link */
static void one_way_is_cut_and_the_other_is_not(void **state)
{
    berth_cluster_config config = cluster_that_notices(3);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon a = one_on(c, 0, "script"), b = one_on(c, 1, "script");
    uint64_t in;

    (void)state;
    GOOD(c, berth_cluster_partition(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), false, &why));
    /* 1 hears nothing of 0; 0 hears 1 as long as 1 believes in the session. */
    SOON(c, seen(c, 1, 0).health == BERTH_CLUSTER_FAILED);
    SOON(c, !seen(c, 1, 0).up && !seen(c, 0, 1).up);
    in = seen(c, 0, 2).packets_in;
    assert_true(meet_well(c, 0, 2) && meet_well(c, 1, 2));
    OK(tell(c, &a, say("send:%016" PRIx64 ":add:1", b.origin)));
    OK(tell(c, &b, say("send:%016" PRIx64 ":add:1", a.origin)));
    SOON(c, seen(c, 0, 2).packets_in > in + 2); /* time goes on */
    assert_int_equal(count_of(c, &a), 0);
    assert_int_equal(count_of(c, &b), 0);
    GOOD(c, berth_cluster_heal(c, &why));
    SOON(c, count_of(c, &a) == 1 && count_of(c, &b) == 1);
    HEALS(c);
    cluster_end(c);
}

static void a_bad_link_survives_a_restart_and_is_no_link_of_others(void **state)
{
    berth_cluster_config config = cluster_that_notices(3);
    berth_cluster *c = cluster_up(&config);
    mesh_counters n;

    (void)state;
    FAILS(berth_cluster_impair(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_ALL, "loss=200%", &why),
          INVALID);
    FAILS(berth_cluster_impair(c, BERTH_CLUSTER_SET(3), BERTH_CLUSTER_ALL, "", &why), INVALID);
    CONTAINS(why.text, "node 3");
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), "drop", &why));
    SOON(c, !seen(c, 1, 0).up);
    GOOD(c, berth_cluster_restart(c, 0, &why));
    SOON(c, meet_well(c, 0, 2));
    /* It tries, and nothing comes of it. */
    SOON(c, (mesh_get_counters(c->nodes[0].mesh, &n), n.peers.dials_failed > 0));
    assert_false(seen(c, 0, 1).up);
    assert_true(meet_well(c, 1, 2));
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), NULL, &why));
    HEALS(c);
    cluster_end(c);
}

static void find_verdict(void *ctx, uint32_t node, const char *line)
{
    (void)node;
    *(bool *)ctx |= strstr(line, "held for dead") != NULL;
}

/* As a process that was stopped: held for dead or not, it goes on where it was, and does not take
 * its own silence for that of others. */
static void a_node_that_stood_still_goes_on(void **state)
{
    berth_cluster_config config = cluster_that_notices(3);
    berth_cluster_daemon a, b;
    mesh_counters before, after;
    bool judged = false;
    berth_cluster *c;

    (void)state;
    config.loops = 1; /* all on one: the others do not stand still with it */
    c = cluster_up(&config);
    a = one_on(c, 0, "script");
    b = one_on(c, 1, "script");
    GOOD(c, berth_cluster_pause(c, 1, 1700, &why));
    mesh_get_counters(c->nodes[1].mesh, &before);
    OK(tell(c, &a, say("send:%016" PRIx64 ":add:3", b.origin)));
    SOON(c, seen(c, 0, 1).health == BERTH_CLUSTER_FAILED ||
                seen(c, 0, 1).health == BERTH_CLUSTER_SUSPECTED);
    assert_true(meet_well(c, 0, 2));
    mesh_get_counters(c->nodes[1].mesh, &after);
    if (seen(c, 0, 1).health != BERTH_CLUSTER_HEALTHY)
        assert_int_equal(after.udp.datagrams_in, before.udp.datagrams_in);
    SOON(c, count_of(c, &b) == 3);
    HEALS(c);
    berth_cluster_log(c, BERTH_CLUSTER_SET(1), find_verdict, &judged);
    assert_false(judged);
    cluster_end(c);
}

/* A clock that jumps a day, either way, loses nothing. */
static void a_clock_that_jumps_a_day_loses_nothing(void **state)
{
    static const int64_t jumps[] = {86400, -86400, 0};
    berth_cluster_config config = cluster_that_notices(3);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon a = one_on(c, 0, "script"), b = one_on(c, 1, "script"), far;
    uint64_t sent = 0;

    (void)state;
    FAILS(berth_cluster_clock_jump(c, 1, INT64_MAX, &why), INVALID);
    for (unsigned i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        GOOD(c, berth_cluster_clock_jump(c, 1, jumps[i], &why));
        for (int k = 0; k < 20; k++) {
            OK(tell(c, &a, say("send:%016" PRIx64 ":add:1", b.origin)));
            OK(tell(c, &b, say("send:%016" PRIx64 ":add:1", a.origin)));
            sent++;
        }
        SOON(c, count_of(c, &a) == sent && count_of(c, &b) == sent);
        assert_true(state_of(c).full_peers == 3);
    }
    /* A node that starts with such a clock is met, and gets and gives events, all the same; but
     * what it announces is not believed, nor does it believe others. */
    GOOD(c, berth_cluster_clock_jump(c, 2, 86400, &why));
    GOOD(c, berth_cluster_restart(c, 2, &why));
    GOOD(c, berth_cluster_await_sessions(c, PATIENCE_MS, &why));
    far = one_on(c, 2, "script");
    OK(tell(c, &a, say("send:%016" PRIx64 ":add:1", far.origin)));
    OK(tell(c, &far, say("send:%016" PRIx64 ":add:1", a.origin)));
    SOON(c, count_of(c, &far) == 1 && count_of(c, &a) == sent + 1);
    assert_true(state_of(c).full_announcements < 3);
    GOOD(c, berth_cluster_clock_jump(c, 2, 0, &why));
    GOOD(c, berth_cluster_restart(c, 2, &why));
    HEALS(c);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_node_is_held_for_dead_and_the_health_falls),
        cmocka_unit_test(a_node_that_starts_again_needs_no_timeout_of_the_others),
        cmocka_unit_test(two_halves_part_and_come_together_again),
        cmocka_unit_test(one_way_is_cut_and_the_other_is_not),
        cmocka_unit_test(a_bad_link_survives_a_restart_and_is_no_link_of_others),
        cmocka_unit_test(a_node_that_stood_still_goes_on),
        cmocka_unit_test(a_clock_that_jumps_a_day_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
