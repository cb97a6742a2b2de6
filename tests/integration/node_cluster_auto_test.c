/* SPDX-License-Identifier: Apache-2.0 */
/* Moves to any node that will do, ordered where the daemon's kind is not known. */
#include "cluster_help.h"
#include "daemon/runtime.h"

static uint64_t id_of(berth_cluster *c, uint32_t node)
{
    return c->nodes[node].identity.node_id;
}

static bool runs_on(berth_cluster *c, uint64_t origin, uint32_t node)
{
    berth_daemon_info info = {.size = sizeof info};

    return berth_daemon_get(c->nodes[node].rt, origin, &info, NULL) == BERTH_OK;
}

/* Three nodes, of which these have a kind of their own, and a daemon of it at node 0. */
static berth_cluster *with_few(berth_cluster_set nodes, bool may, berth_cluster_daemon *d)
{
    berth_cluster_config config = cluster_of(3);
    berth_kind rare = kind_script;
    berth_cluster *c;

    config.migrate = may;
    c = cluster_made(&config);
    rare.name = (berth_bytes){"rare", 4};
    GOOD(c, berth_cluster_register_kind(c, nodes, &rare, &why));
    GOOD(c, berth_cluster_boot(c, &why));
    *d = one_on(c, 0, "rare");
    return c;
}

/* Ordered at one node, until it is over. */
static move_outcome move_anywhere(berth_cluster *c, uint32_t by, uint64_t origin)
{
    migration_spec spec = {.origin = origin, .transport_identity = true};
    migrations *x = c->nodes[by].migrations;
    move_outcome out = {.moved = false};
    migration_id id;

    memset(&why, 0, sizeof why);
    if (migrations_begin(x, &spec, &id, &out, &why) == BERTH_OK)
        GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    return out;
}

/* Announcements may still be on their way. */
#define GOES(c, by, origin)                                                                        \
    do {                                                                                           \
        move_outcome out_;                                                                         \
        SOON(c, (out_ = move_anywhere(c, by, origin)).moved || out_.reason != MOVE_NO_TARGET);     \
        if (!out_.moved)                                                                           \
            fail_msg("it stays: %s: %s", move_reason_word(out_.reason), out_.text);                \
    } while (0)

static void any_node_that_has_the_kind_is_found_for_a_daemon_of_another(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_few(BERTH_CLUSTER_SET(0, 1), true, &d);

    (void)state;
    GOES(c, 2, d.origin);
    assert_true(runs_on(c, d.origin, 1));
    GOES(c, 0, d.origin); /* the only other one is who asks */
    assert_true(runs_on(c, d.origin, 0));
    cluster_end(c);
}

static void where_no_other_node_has_the_kind_none_is_chosen(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_few(BERTH_CLUSTER_SET(0), true, &d);

    (void)state;
    assert_int_equal(move_anywhere(c, 2, d.origin).reason, MOVE_NO_TARGET);
    assert_int_equal(move_anywhere(c, 0, d.origin).reason, MOVE_NO_TARGET);
    assert_true(runs_on(c, d.origin, 0));
    cluster_end(c);
}

/* What a daemon is, and whether it is there, is nobody's business who may not order it away. */
static void who_may_not_order_a_daemon_away_is_not_told_its_kind(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_few(BERTH_CLUSTER_SET(0, 1), false, &d);
    migrations *asks = c->nodes[2].migrations;
    migrations_counters n;
    move_outcome out;
    char kind[64];

    (void)state;
    assert_int_equal(move_anywhere(c, 2, d.origin).reason, MOVE_REFUSED);
    assert_false(migrations_kind_of(asks, d.origin ^ 1, id_of(c, 0), kind, sizeof kind, &out));
    assert_int_equal(out.reason, MOVE_REFUSED);
    migrations_get_counters(c->nodes[0].migrations, &n);
    assert_int_equal(n.unauthorized, 2);
    cluster_end(c);
}

static void one_that_is_not_there_is_said_to_be_so(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_few(BERTH_CLUSTER_SET(0), true, &d);
    move_outcome out;
    char kind[64];

    (void)state;
    assert_false(migrations_kind_of(c->nodes[2].migrations, d.origin ^ 1, id_of(c, 0), kind,
                                    sizeof kind, &out));
    assert_int_equal(out.reason, MOVE_DAEMON_NOT_FOUND);
    assert_true(
        migrations_kind_of(c->nodes[2].migrations, d.origin, id_of(c, 0), kind, sizeof kind, &out));
    assert_string_equal(kind, "rare");
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_node_that_has_the_kind_is_found_for_a_daemon_of_another),
        cmocka_unit_test(where_no_other_node_has_the_kind_none_is_chosen),
        cmocka_unit_test(who_may_not_order_a_daemon_away_is_not_told_its_kind),
        cmocka_unit_test(one_that_is_not_there_is_said_to_be_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
