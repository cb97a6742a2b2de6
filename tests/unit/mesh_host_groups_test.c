/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue groups over hosts: one publish reaches exactly one member of a group, wherever it is, and
 * they take turns over all of them; services that daemons serve are announced.
 */
#include "mesh_hosts.h"

#include "mesh/mesh_private.h"

static hosts h;

static uint64_t members(unsigned i)
{
    return hosts_counters(&h, i).members;
}

static void join(unsigned i, uint64_t origin, const char *channel, const char *group)
{
    berth_error error = {0};

    if (berth_subscribe_group(h.list[i].rt, origin, 0, channel, group, NULL, 0, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void publish(unsigned i, uint64_t publisher, unsigned times)
{
    while (times--)
        OK(hosts_tell(&h, i, publisher, "pub:jobs:add:1", NULL));
}

/* channels §8 */
static void one_publish_reaches_one_of_a_group_on_any_host(void **state)
{
    uint64_t a, w[4], all[2], sum = 0;
    const unsigned at[] = {0, 0, 1, 2};

    (void)state;
    hosts_start(&h, 3);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = hosts_spawn(&h, at[i], "script", 10 + i);
        join(at[i], w[i], "jobs", "workers");
    }
    all[0] = hosts_spawn(&h, 0, "script", 20);
    all[1] = hosts_spawn(&h, 2, "script", 21);
    join(0, all[0], "jobs", NULL);
    join(2, all[1], "jobs", NULL);
    /* The two of host 0, one each of the others, and the one who hears all on host 2. */
    UNTIL(members(0) == 5);
    publish(0, a, 100);
    UNTIL(hosts_count(&h, 0, all[0]) == 100 && hosts_count(&h, 2, all[1]) == 100);
    do {
        sum = 0;
        for (unsigned i = 0; i < 4; i++)
            sum += hosts_count(&h, at[i], w[i]);
        help_nap();
    } while (sum < 100);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hosts_count(&h, at[i], w[i]), 25);
    hosts_end(&h);
}

static void from_outside_too(void **state)
{
    uint64_t w[2], reached;

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    for (unsigned i = 0; i < 2; i++) {
        w[i] = hosts_spawn(&h, i, "script", 10 + i);
        join(i, w[i], "jobs", "workers");
    }
    UNTIL(members(0) == 2);
    for (unsigned i = 0; i < 20; i++)
        OK(runtime_publish(h.list[0].rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL,
                           &reached, NULL));
    UNTIL(hosts_count(&h, 0, w[0]) == 10 && hosts_count(&h, 1, w[1]) == 10);
    hosts_end(&h);
}

/* A host that is alone in its mesh is a group of its own. */
static void members_of_one_host_take_turns_there(void **state)
{
    uint64_t a, w[3];

    (void)state;
    hosts_start(&h, 1);
    a = hosts_spawn(&h, 0, "script", 1);
    for (unsigned i = 0; i < 3; i++) {
        w[i] = hosts_spawn(&h, 0, "script", 10 + i);
        join(0, w[i], "jobs", "workers");
    }
    assert_int_equal(members(0), 3); /* as soon as they have subscribed */
    publish(0, a, 30);
    for (unsigned i = 0; i < 3; i++)
        UNTIL(hosts_count(&h, 0, w[i]) == 10);
    hosts_end(&h);
}

static void who_leaves_or_ends_takes_no_turn(void **state)
{
    uint64_t a, w[3];
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    for (unsigned i = 0; i < 3; i++) {
        w[i] = hosts_spawn(&h, i == 2, "script", 10 + i);
        join(i == 2, w[i], "jobs", "workers");
    }
    UNTIL(members(0) == 3);
    OK(berth_unsubscribe_channel(h.list[0].rt, w[0], 0, "jobs", &error));
    assert_int_equal(members(0), 2);
    publish(0, a, 10);
    UNTIL(hosts_count(&h, 0, w[1]) == 5 && hosts_count(&h, 1, w[2]) == 5);
    assert_int_equal(hosts_count(&h, 0, w[0]), 0);
    OK(berth_stop(h.list[0].rt, w[1], 0, &error));
    UNTIL(members(0) == 1);
    publish(0, a, 10);
    UNTIL(hosts_count(&h, 1, w[2]) == 15);
    /* From the group to all of it, and back. */
    join(0, w[0], "jobs", "workers");
    join(0, w[0], "jobs", NULL);
    assert_int_equal(members(0), 1);
    publish(0, a, 10);
    UNTIL(hosts_count(&h, 0, w[0]) == 10 && hosts_count(&h, 1, w[2]) == 25);
    hosts_end(&h);
}

/* Subscribed to what this very host publishes, and to nobody else. */
static void a_member_for_this_host_alone_takes_turns_with_the_others(void **state)
{
    uint64_t a, b, w[2];
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    w[0] = hosts_spawn(&h, 0, "script", 10);
    w[1] = hosts_spawn(&h, 1, "script", 11);
    OK(berth_subscribe_group(h.list[0].rt, w[0], h.list[0].key.node_id, "jobs", "workers", NULL, 0,
                             &error));
    join(1, w[1], "jobs", "workers");
    UNTIL(members(0) == 2);
    publish(0, a, 10);
    UNTIL(hosts_count(&h, 0, w[0]) == 5 && hosts_count(&h, 1, w[1]) == 5);
    publish(1, b, 10);
    UNTIL(hosts_count(&h, 1, w[1]) == 15);
    assert_int_equal(hosts_count(&h, 0, w[0]), 5);
    hosts_end(&h);
}

static void a_full_outbox_costs_nobody_a_turn(void **state)
{
    uint64_t a, w[3], sum = 0;

    (void)state;
    hosts_init(&h, 2);
    h.list[0].config.outbox_events = 2; /* publishing waits nearly every time */
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    for (unsigned i = 0; i < 3; i++) {
        w[i] = hosts_spawn(&h, i != 0, "script", 10 + i);
        join(i != 0, w[i], "jobs", "workers");
    }
    UNTIL(members(0) == 3);
    publish(0, a, 99);
    do {
        sum = 0;
        for (unsigned i = 0; i < 3; i++)
            sum += hosts_count(&h, i != 0, w[i]);
        help_nap();
    } while (sum < 99);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hosts_count(&h, i != 0, w[i]), 33);
    hosts_end(&h);
}

/* ---- Services -------------------------------------------------------------------------------- */

static bool announces(unsigned i, const char *tag)
{
    berth_error error = {0};
    capability_filter filter = {.tags = {slice_str(tag)}, .tag_count = 1};
    uint64_t *nodes = NULL;
    size_t count = 0;

    OK(mesh_find_nodes(h.list[i].mesh, &filter, &nodes, &count, &error));
    free(nodes);
    return count == 1;
}

/* channels §16.1 */
static void what_a_daemon_serves_is_announced(void **state)
{
    static const char *const serve[] = {"echo"};
    berth_daemon_config config = {.size = sizeof config, .serve = serve, .serve_count = 1};
    berth_error error = {0};
    uint64_t d;

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    OK(berth_spawn_kind(h.list[0].rt, "script", NULL, &config, &d, &error));
    UNTIL(announces(1, "nrpc:echo"));
    /* Another host may serve the same; its own rule is its own. */
    OK(berth_spawn_kind(h.list[1].rt, "script", NULL, &config, &d, &error));
    FAILS(berth_spawn_kind(h.list[1].rt, "script", NULL, &config, &d, &error), EXISTS);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_publish_reaches_one_of_a_group_on_any_host),
        cmocka_unit_test(from_outside_too),
        cmocka_unit_test(members_of_one_host_take_turns_there),
        cmocka_unit_test(who_leaves_or_ends_takes_no_turn),
        cmocka_unit_test(a_member_for_this_host_alone_takes_turns_with_the_others),
        cmocka_unit_test(a_full_outbox_costs_nobody_a_turn),
        cmocka_unit_test(what_a_daemon_serves_is_announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
