/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that move from node to node of a cluster, while others send to them. */
#include "cluster_help.h"
#include "daemon/runtime.h"

static berth_cluster *movers(uint32_t nodes)
{
    berth_cluster_config config = cluster_of(nodes);

    config.migrate = true;
    return cluster_up(&config);
}

static uint64_t id_of(berth_cluster *c, uint32_t node)
{
    return c->nodes[node].identity.node_id;
}

/* Begun at one node; until it is over. */
static move_outcome move_by(berth_cluster *c, uint32_t by, uint64_t origin, uint32_t to)
{
    migration_spec spec = {
        .origin = origin, .target = id_of(c, to), .transport_identity = true};
    migrations *x = c->nodes[by].migrations;
    move_outcome out = {.moved = false};
    migration_id id;

    memset(&why, 0, sizeof why);
    if (migrations_begin(x, &spec, &id, &out, &why) == BERTH_OK)
        GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    return out;
}

static void moved(berth_cluster *c, uint32_t by, berth_cluster_daemon *d, uint32_t to)
{
    move_outcome out = move_by(c, by, d->origin, to);

    if (!out.moved) {
        berth_cluster_log(c, BERTH_CLUSTER_ALL, NULL, NULL);
        fail_msg("it stays: %s: %s", move_reason_word(out.reason), out.text);
    }
    d->node = to;
    d->life = c->nodes[to].life;
    d->node_id = id_of(c, to);
}

static bool runs_on(berth_cluster *c, uint64_t origin, uint32_t node)
{
    berth_daemon_info info = {.size = sizeof info};

    return berth_daemon_get(c->nodes[node].rt, origin, &info, NULL) == BERTH_OK;
}

/* migration 18: local_source_migration_reaches_complete_and_transfers_state */
static void a_daemon_goes_on_where_it_was_on_another_node(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "script");

    (void)state;
    OK(tell(c, &d, "add:5"));
    moved(c, 0, &d, 1);
    assert_false(runs_on(c, d.origin, 0));
    assert_int_equal(count_of(c, &d), 5);
    OK(tell(c, &d, "add:2"));
    assert_int_equal(count_of(c, &d), 7);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_goes_on_where_it_was_on_another_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
