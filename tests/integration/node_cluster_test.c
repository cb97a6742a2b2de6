/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a cluster: boot, its shapes, what it says when it cannot be, and its end. */
#include "cluster_help.h"

#include <pthread.h>

/* harness §22.9 five_node_cluster_boots_and_converges */
static void five_nodes_boot_and_converge(void **state)
{
    berth_cluster_config config = cluster_of(5);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_state s = state_of(c);
    uint8_t a[32], b[32];
    char at[BERTH_CLUSTER_ADDRESS];

    (void)state;
    assert_int_equal(s.total, 5);
    assert_int_equal(s.running, 5);
    assert_int_equal(s.full_peers, 5);
    assert_int_equal(s.full_announcements, 5);
    assert_true(s.converged);
    assert_int_equal(berth_cluster_size(c), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_non_null(berth_cluster_runtime(c, i));
        assert_true(berth_cluster_entity(c, i, a));
        assert_int_equal(berth_cluster_node_id(c, i), berth_entity_node_id(a));
        assert_true(berth_cluster_static_key(c, i, b));
        assert_memory_not_equal(a, b, 32);
        CONTAINS(berth_cluster_address(c, i, at), "127.0.0.1:");
        for (uint32_t k = 0; k < 5; k++)
            assert_int_equal(seen(c, i, k).up, i != k);
    }
    cluster_end(c);
}

/* harness §22.9 two_node_cluster_pair_handshake */
static void two_nodes_meet(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster *c = cluster_up(&config);

    (void)state;
    assert_true(meet_well(c, 0, 1));
    cluster_end(c);
}

/* harness §22.9 zero_node_cluster_rejected */
static void a_cluster_without_nodes_is_refused(void **state)
{
    berth_cluster_config config = cluster_of(0);
    berth_cluster *c = (berth_cluster *)1;

    (void)state;
    FAILS(berth_cluster_new(&config, &c, &why), INVALID);
    assert_null(c);
    CONTAINS(why.text, "at least one node");
    config.nodes = BERTH_CLUSTER_NODES_MAX + 1;
    FAILS(berth_cluster_new(&config, &c, NULL), INVALID);
    config = cluster_of(1);
    config.topology = (berth_cluster_topology)4;
    FAILS(berth_cluster_new(&config, &c, NULL), INVALID);
    config = cluster_of(1);
    config.size = 0;
    FAILS(berth_cluster_new(&config, &c, NULL), INVALID);
    config.size = sizeof config + 8;
    FAILS(berth_cluster_new(&config, &c, NULL), INVALID);
    berth_cluster_free(NULL);
}

/* harness §22.9 single_node_cluster_boots */
static void a_single_node_needs_no_peers(void **state)
{
    berth_cluster_config config = cluster_of(1);
    berth_cluster *c = cluster_up(&config);

    (void)state;
    assert_true(state_of(c).converged);
    cluster_end(c);
}

/* harness §21.10 no. 3: what is of a seed is of that seed */
static void the_seed_makes_the_identities(void **state)
{
    berth_cluster_config config = cluster_of(2);
    uint64_t node[3], daemon[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        config.seed = i < 2 ? 7 : 8;
        berth_cluster *c = cluster_up(&config);
        node[i] = berth_cluster_node_id(c, 1);
        one_on(c, 1, "echo");
        daemon[i] = one_on(c, 1, "echo").origin;
        cluster_end(c);
    }
    assert_int_equal(node[0], node[1]);
    assert_int_equal(daemon[0], daemon[1]);
    assert_int_not_equal(node[0], node[2]);
    assert_int_not_equal(daemon[0], daemon[2]);
}

static void unlike(void *ctx, uint32_t node, berth_cluster_node_config *config)
{
    if (node == *(const uint32_t *)ctx)
        memset(config->psk, 0x55, sizeof config->psk);
}

/* harness §22.9: mismatched PSK gives a Handshake error within the budget; §21.2: all is dropped */
static void a_node_with_another_psk_is_named_within_the_budget(void **state)
{
    uint32_t odd = 2;
    berth_cluster_config config = cluster_of(3);
    berth_cluster_failure f;
    berth_cluster *c;

    (void)state;
    config.handshake_ms = 700;
    config.adjust = unlike;
    config.adjust_ctx = &odd;
    c = cluster_made(&config);
    FAILS(berth_cluster_boot(c, &why), TIMEOUT);
    CONTAINS(why.text, "node 2 to node 0");
    CONTAINS(why.text, "pre-shared key");
    f = failure_of(c);
    assert_int_equal(f.fault, BERTH_CLUSTER_FAULT_HANDSHAKE);
    assert_int_equal(f.status, BERTH_ERR_TIMEOUT);
    assert_int_equal(f.node, 2);
    assert_int_equal(f.to, 0);
    assert_int_equal(f.budget_ms, 700);
    assert_int_equal(state_of(c).running, 0);
    assert_null(berth_cluster_runtime(c, 0));
    FAILS(berth_cluster_boot(c, NULL), INVALID);
    OK(berth_cluster_shutdown(c, NULL));
    berth_cluster_free(c);
}

static void a_cluster_can_do_without_a_psk(void **state)
{
    berth_cluster_config config = cluster_of(2);
    uint8_t key[32] = {1, 2, 3};
    berth_cluster *c;

    (void)state;
    config.psk = key;
    config.no_psk = true;
    FAILS(berth_cluster_new(&config, &c, NULL), INVALID);
    config.psk = NULL;
    c = cluster_up(&config);
    cluster_end(c);
    config.psk = key;
    config.no_psk = false;
    c = cluster_up(&config);
    cluster_end(c);
}

/* harness §22.9 custom_config_path_runs; §21.2: Timeout{what, budget} */
static void the_budgets_are_those_that_were_said(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster_failure f;
    berth_cluster *c;

    (void)state;
    config.heartbeat_ms = 300;
    config.timeout_ms = 1500;
    config.idle_ms = 4000;
    config.poll_ms = 5;
    config.loops = 2;
    config.max_packet = 8192;
    config.log_lines = 3;
    c = cluster_up(&config);
    assert_int_equal(c->config.idle_ms, 4000);
    FAILS(berth_cluster_await_members(c, 0, "nobody", 1, 30, &why), TIMEOUT);
    CONTAINS(why.text, "channel nobody has 0 of 1");
    f = failure_of(c);
    assert_int_equal(f.fault, BERTH_CLUSTER_FAULT_TIMEOUT);
    assert_string_equal(f.what, "members of a channel");
    assert_int_equal(f.budget_ms, 30);
    cluster_end(c);
}

typedef struct looks {
    unsigned made, wanted;
} looks;

static bool enough(void *ctx, berth_cluster *c)
{
    looks *l = ctx;

    (void)c;
    return ++l->made >= l->wanted;
}

/* harness §21.2, wait rule: tested at least once even with budget 0, and after the last sleep */
static void waiting_looks_first_and_last(void **state)
{
    berth_cluster_config config = cluster_of(1);
    berth_cluster *c = cluster_up(&config);
    looks l = {0, 1};

    (void)state;
    OK(berth_cluster_wait_until(c, enough, &l, 0, "looks", NULL));
    assert_int_equal(l.made, 1);
    l = (looks){0, 1000000};
    FAILS(berth_cluster_wait_until(c, enough, &l, 0, "looks", &why), TIMEOUT);
    assert_int_equal(l.made, 1);
    assert_string_equal(why.text, "looks: not within 0 ms");
    l = (looks){0, 1000000};
    FAILS(berth_cluster_wait_until(c, enough, &l, 60, "looks", NULL), TIMEOUT);
    assert_true(l.made >= 2);
    cluster_end(c);
}

static void expect_shape(berth_cluster_topology topology, uint32_t nodes, const char *pairs)
{
    berth_cluster_config config = cluster_of(nodes);
    berth_cluster *c;

    config.topology = topology;
    c = cluster_up(&config);
    assert_true(state_of(c).converged); /* announcements travel on over those between */
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t k = 0; k < nodes; k++)
            if (i != k)
                assert_int_equal(seen(c, i, k).up, pairs[i * nodes + k] == '1');
    cluster_end(c);
}

/* harness §21.10 no. 2 */
static void topologies_have_the_links_they_say(void **state)
{
    (void)state;
    expect_shape(BERTH_CLUSTER_LINE, 4,
                 "0100"
                 "1010"
                 "0101"
                 "0010");
    expect_shape(BERTH_CLUSTER_STAR, 4,
                 "0111"
                 "1000"
                 "1000"
                 "1000");
    expect_shape(BERTH_CLUSTER_RELAY, 5,
                 "01111"
                 "10100"
                 "11000"
                 "10001"
                 "10010");
}

/* Two groups that share one node, which passes on for them: all meet all. */
static void groups_meet_by_way_of_the_node_between_them(void **state)
{
    berth_cluster_config config = cluster_of(5);
    berth_cluster_daemon a, b;
    berth_cluster *c;

    (void)state;
    config.topology = BERTH_CLUSTER_RELAY;
    config.relay = true;
    c = cluster_up(&config);
    a = one_on(c, 1, "script");
    b = one_on(c, 4, "script");
    OK(tell(c, &a, say("send:%016" PRIx64 ":add:5", b.origin)));
    SOON(c, count_of(c, &b) == 5);
    SOON(c, meet_well(c, 1, 4) && meet_well(c, 2, 3));
    cluster_end(c);
}

static void joining_takes_one_known_node(void **state)
{
    berth_cluster_config config = cluster_of(6);
    berth_cluster *c;

    (void)state;
    config.known = 1;
    c = cluster_up(&config);
    assert_true(node_is_told(c, 3, 0));
    assert_false(node_is_told(c, 3, 1));
    assert_true(state_of(c).converged);
    cluster_end(c);
}

static void *shut(void *c)
{
    return (void *)(intptr_t)berth_cluster_shutdown(c, NULL);
}

/* harness §22.9 shutdown_via_ref_is_idempotent: twice, and at once */
static void shutting_down_again_does_nothing_and_waits_for_the_first(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = cluster_up(&config);
    pthread_t threads[4];
    void *answer;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shut, c), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &answer);
        assert_null(answer);
        for (uint32_t k = 0; k < 3; k++) /* whoever has returned finds nothing running */
            assert_null(berth_cluster_runtime(c, k));
    }
    cluster_end(c);
}

/* harness §21.8, drop; §21.10 no. 7: nothing is left */
static void free_without_shutdown_leaves_nothing(void **state)
{
    berth_cluster_config config = cluster_of(3);
    unsigned open = 0, threads = 0;

    (void)state;
    for (int round = 0; round < 3; round++) { /* the first makes what a process has once */
        berth_cluster *c = cluster_up(&config);

        one_on(c, 1, "counter");
        OK(berth_cluster_kill(c, 2, NULL));
        berth_cluster_free(c);
        if (round == 0) {
            open = entries_of("/proc/self/fd");
            threads = entries_of("/proc/self/task");
        }
        UNTIL(entries_of("/proc/self/task") == threads);
        assert_int_equal(entries_of("/proc/self/fd"), open);
        assert_int_equal(kinds_alive, 0);
        assert_int_equal(help_defects, 0);
    }
}

/* harness §22.9 shutdown_runs_even_with_outstanding_event_stream */
static void shutting_down_does_not_wait_for_those_who_listen(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster *c = cluster_up(&config);
    tail *t;

    (void)state;
    OK(tail_open_channel(berth_cluster_runtime(c, 0), slice_str("news"), NULL, NULL, &t, NULL));
    /* Its tail is read from while the runtime goes down; that it does go waits for no reader. */
    OK(berth_runtime_shutdown(berth_cluster_runtime(c, 0), PATIENCE_MS, NULL));
    tail_close(t);
    cluster_end(c);
}

static void keep_line(void *ctx, uint32_t node, const char *line)
{
    char *text = ctx;

    if (strlen(text) + strlen(line) + 16 < 16384)
        sprintf(text + strlen(text), "%u %s\n", node, line);
}

/* harness §21.10 no. 8 */
static void each_node_has_a_log_of_its_own(void **state)
{
    static char text[16384];
    berth_cluster_config config = cluster_of(2);
    berth_cluster *c = cluster_up(&config);

    (void)state;
    text[0] = 0;
    berth_cluster_log(c, BERTH_CLUSTER_SET(1), keep_line, text);
    CONTAINS(text, say("info  mesh: node %016" PRIx64 ": connected", berth_cluster_node_id(c, 0)));
    assert_int_equal(strncmp(text, "1 ", 2), 0);
    assert_null(strstr(text, say("node %016" PRIx64, berth_cluster_node_id(c, 1))));
    cluster_end(c);
}

/* The harness of 32 nodes, and how long it takes here; the goal is judged by cluster_bench. */
static void thirty_two_nodes_converge(void **state)
{
    berth_cluster_config config = cluster_of(32);
    int64_t begun = clock_mono_ns();
    berth_cluster *c = cluster_up(&config);

    (void)state;
    print_message("32 nodes, full mesh: converged after %.2f s\n",
                  (double)(clock_mono_ns() - begun) / 1e9);
    assert_true(state_of(c).converged);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_nodes_boot_and_converge),
        cmocka_unit_test(two_nodes_meet),
        cmocka_unit_test(a_cluster_without_nodes_is_refused),
        cmocka_unit_test(a_single_node_needs_no_peers),
        cmocka_unit_test(the_seed_makes_the_identities),
        cmocka_unit_test(a_node_with_another_psk_is_named_within_the_budget),
        cmocka_unit_test(a_cluster_can_do_without_a_psk),
        cmocka_unit_test(the_budgets_are_those_that_were_said),
        cmocka_unit_test(waiting_looks_first_and_last),
        cmocka_unit_test(topologies_have_the_links_they_say),
        cmocka_unit_test(groups_meet_by_way_of_the_node_between_them),
        cmocka_unit_test(joining_takes_one_known_node),
        cmocka_unit_test(shutting_down_again_does_nothing_and_waits_for_the_first),
        cmocka_unit_test(free_without_shutdown_leaves_nothing),
        cmocka_unit_test(shutting_down_does_not_wait_for_those_who_listen),
        cmocka_unit_test(each_node_has_a_log_of_its_own),
        cmocka_unit_test(thirty_two_nodes_converge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
