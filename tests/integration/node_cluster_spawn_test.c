/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons of a cluster: on which nodes, all or none, and handles that outlive them. */
#include "cluster_help.h"

#define COUNTER BUILD_DIR "/plugins/counter.so"

typedef struct calls {
    unsigned made, of_node[8];
    uint32_t refuse; /* this node */
    const char *kind;
} calls;

static berth_status counting(void *ctx, uint32_t node, berth_cluster_spawn *out, berth_error *error)
{
    calls *k = ctx;

    k->made++;
    k->of_node[node]++;
    out->kind = k->kind;
    if (node != k->refuse)
        return BERTH_OK;
    if (error)
        snprintf(error->text, sizeof error->text, "not on this one");
    return BERTH_ERR_REFUSED;
}

static bool is_odd(void *ctx, uint32_t node)
{
    (void)ctx;
    return node % 2;
}

static bool nobody(void *ctx, uint32_t node)
{
    (void)ctx;
    (void)node;
    return false;
}

static uint64_t daemons_on(berth_cluster *c, uint32_t node)
{
    return berth_daemon_count(berth_cluster_runtime(c, node));
}

/* harness §22.9 spawn_per_node_registers_on_every_node, factory_runs_once_per_spawn,
 * handles_remain_usable_after_spawn_returns */
static void one_on_every_node_and_one_call_of_the_factory_for_each(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon d[3];
    berth_daemon_info info;
    calls k = {.refuse = UINT32_MAX, .kind = "script"};
    uint32_t count = 0;

    (void)state;
    GOOD(c, berth_cluster_spawn_per_node(c, counting, &k, d, &count, &why));
    assert_int_equal(count, 3);
    assert_int_equal(k.made, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(k.of_node[i], 1);
        assert_int_equal(d[i].node, i);
        assert_int_equal(d[i].node_id, berth_cluster_node_id(c, i));
        assert_int_equal(daemons_on(c, i), 1);
        OK(berth_cluster_daemon_get(c, &d[i], &info, NULL));
        assert_int_equal(info.origin, d[i].origin);
        assert_string_equal(info.kind, "script");
        OK(tell(c, &d[i], "add:3"));
        assert_int_equal(count_of(c, &d[i]), 3);
        for (uint32_t x = 0; x < i; x++)
            assert_int_not_equal(d[i].origin, d[x].origin);
    }
    OK(berth_cluster_stop(c, &d[1], 1000, NULL));
    assert_int_equal(daemons_on(c, 1), 0);
    FAILS(berth_cluster_daemon_get(c, &d[1], &info, NULL), NOT_FOUND);
    cluster_end(c);
}

/* harness §22.9 spawn_where_filters_subset, empty_subset_is_ok */
static void only_on_those_that_were_chosen(void **state)
{
    berth_cluster_config config = cluster_of(4);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon d[4];
    calls k = {.refuse = UINT32_MAX, .kind = "echo"};
    uint32_t count = 9;

    (void)state;
    GOOD(c, berth_cluster_spawn_where(c, is_odd, NULL, counting, &k, d, &count, &why));
    assert_int_equal(count, 2);
    assert_int_equal(k.made, 2);
    assert_int_equal(d[0].node, 1);
    assert_int_equal(d[1].node, 3);
    assert_int_equal(daemons_on(c, 0), 0);
    assert_int_equal(daemons_on(c, 2), 0);
    GOOD(c, berth_cluster_spawn_where(c, nobody, NULL, counting, &k, d, &count, &why));
    assert_int_equal(count, 0);
    assert_int_equal(k.made, 2);
    GOOD(c, berth_cluster_spawn_where(c, is_odd, NULL, counting, &k, NULL, NULL, &why));
    assert_int_equal(daemons_on(c, 3), 2);
    cluster_end(c);
}

/* A kind that notes in which order its daemons end; its configuration is their number. */
static struct {
    uint32_t number[16];
    unsigned count;
} ends;

static berth_code noting_create(berth_call *call, const berth_birth *birth, void **self)
{
    uint32_t *number = malloc(sizeof *number);

    (void)call;
    memcpy(number, birth->config.ptr, sizeof *number);
    *self = number;
    return BERTH_OK;
}

static void noting_destroy(void *self, berth_call *call)
{
    (void)call;
    ends.number[ends.count++] = *(uint32_t *)self;
    free(self);
}

static berth_code noting_process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
    (void)event;
    return BERTH_OK;
}

static const berth_kind noting = {.size = sizeof noting,
                                  .name = {"noting", 6},
                                  .create = noting_create,
                                  .destroy = noting_destroy,
                                  .process = noting_process};

static berth_status numbered(void *ctx, uint32_t node, berth_cluster_spawn *out, berth_error *error)
{
    static uint32_t number;
    static berth_daemon_config how;

    number = node;
    how = (berth_daemon_config){.size = sizeof how, .config = &number, .config_len = sizeof number};
    counting(ctx, node, out, error);
    out->kind = NULL;
    out->table = node == ((calls *)ctx)->refuse ? NULL : &noting;
    out->how = &how;
    return BERTH_OK;
}

/* harness §22.9: rollback of a failing spawn_where, in reverse order, earlier calls untouched */
static void a_spawn_that_fails_takes_back_its_own_last_first_and_nothing_else(void **state)
{
    berth_cluster_config config = cluster_of(5);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon before[5];
    berth_cluster_failure f;
    calls first = {.refuse = UINT32_MAX, .kind = "script"}, k = {.refuse = 3};
    uint32_t count = 0;

    (void)state;
    ends.count = 0;
    GOOD(c, berth_cluster_spawn_per_node(c, counting, &first, before, &count, &why));
    FAILS(berth_cluster_spawn_per_node(c, numbered, &k, NULL, &count, &why), INVALID);
    assert_string_equal(why.text,
                        "node 3: cannot spawn: either a kind or a table is to be spawned");
    assert_int_equal(count, 0);
    assert_int_equal(k.made, 4);
    f = failure_of(c);
    assert_int_equal(f.fault, BERTH_CLUSTER_FAULT_SPAWN);
    assert_int_equal(f.node, 3);
    CONTAINS(f.reason, "either a kind");
    assert_int_equal(ends.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(ends.number[i], 2 - i);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(daemons_on(c, i), 1);
        OK(tell(c, &before[i], "add:1"));
    }
    /* A factory that refuses, and a kind that is nowhere: the same. */
    k = (calls){.refuse = 4, .kind = "script"};
    FAILS(berth_cluster_spawn_per_node(c, counting, &k, NULL, &count, &why), REFUSED);
    assert_string_equal(why.text, "node 4: cannot spawn: not on this one");
    k = (calls){.refuse = UINT32_MAX, .kind = "nothing"};
    FAILS(berth_cluster_spawn_per_node(c, counting, &k, NULL, &count, &why), KIND_UNKNOWN);
    CONTAINS(why.text, "node 0: cannot spawn");
    assert_int_equal(k.made, 1);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(daemons_on(c, i), 1);
    cluster_end(c);
}

/* harness §22.9: handle use after shutdown; §21.8: never a crash */
static void handles_are_safe_after_kill_restart_and_shutdown(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon a = one_on(c, 0, "script"), b = one_on(c, 1, "script"), none = {0};
    berth_daemon_info info;
    berth_outputs *outputs = berth_outputs_new();
    char at[BERTH_CLUSTER_ADDRESS];
    uint8_t key[32], zeros[32] = {0};
    calls k = {.refuse = UINT32_MAX, .kind = "echo"};
    uint32_t count;

    (void)state;
    GOOD(c, berth_cluster_kill(c, 1, &why));
    FAILS(tell(c, &b, "add:1"), STALE);
    FAILS(berth_cluster_kill(c, 1, &why), NOT_READY);
    CONTAINS(why.text, "node 1");
    assert_null(berth_cluster_runtime(c, 1));
    assert_int_equal(berth_cluster_node_id(c, 1), 0);
    FAILS(berth_cluster_spawn_per_node(c, counting, &k, NULL, &count, &why), NOT_READY);
    CONTAINS(why.text, "node 1: cannot spawn: it does not run");
    assert_int_equal(k.of_node[1], 0);
    GOOD(c, berth_cluster_restart(c, 1, &why));
    FAILS(tell(c, &b, "add:1"), STALE); /* that was another life of the node */
    FAILS(tell(c, &none, "add:1"), STALE);
    none.node = 2;
    FAILS(tell(c, &none, "add:1"), INVALID);
    GOOD(c, berth_cluster_shutdown(c, &why));
    FAILS(berth_cluster_deliver(c, &a, "show", 4, outputs, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_daemon_get(c, &a, &info, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_stop(c, &a, 10, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_kill(c, 0, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_restart(c, 0, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_pause(c, 0, 1, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_clock_jump(c, 0, 1, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_heal(c, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_await_sessions(c, 1000, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind_echo, NULL), SHUTTING_DOWN);
    FAILS(berth_cluster_spawn_per_node(c, counting, &k, NULL, &count, NULL), SHUTTING_DOWN);
    assert_null(berth_cluster_runtime(c, 0));
    assert_null(berth_cluster_runtime(c, 77));
    assert_int_equal(berth_cluster_node_id(c, 0), 0);
    assert_false(berth_cluster_entity(c, 0, key));
    assert_memory_equal(key, zeros, 32);
    assert_false(berth_cluster_static_key(c, 99, key));
    assert_string_equal(berth_cluster_address(c, 0, at), "");
    assert_int_equal(state_of(c).running, 0);
    berth_outputs_free(outputs);
    cluster_end(c);
}

/* harness §22.9 two_groups_with_distinct_kinds_coexist; §21.10 no. 5: a kind that one node lacks */
static void nodes_have_the_kinds_they_were_given(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = NULL;
    calls k = {.refuse = UINT32_MAX, .kind = "counter"};
    uint32_t count = 0;

    (void)state;
    OK(berth_cluster_new(&config, &c, &why));
    GOOD(c, berth_cluster_load_plugin(c, BERTH_CLUSTER_SET(0, 1), COUNTER, &why));
    GOOD(c, berth_cluster_boot(c, &why));
    one_on(c, 1, "counter");
    FAILS(berth_cluster_spawn_per_node(c, counting, &k, NULL, &count, &why), KIND_UNKNOWN);
    CONTAINS(why.text, "node 2: cannot spawn");
    assert_int_equal(daemons_on(c, 0), 0);
    assert_int_equal(daemons_on(c, 1), 1);
    /* One that is taken on one node is given to none. */
    FAILS(berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind_counter, &why), KIND_EXISTS);
    CONTAINS(why.text, "node 0");
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_SET(2), &kind_counter, &why));
    FAILS(berth_cluster_register_kind(c, BERTH_CLUSTER_SET(2, 1), &kind_counter, &why),
          KIND_EXISTS);
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_SET(0), &kind_echo, &why));
    FAILS(berth_cluster_register_kind(c, BERTH_CLUSTER_SET(2, 1, 0), &kind_echo, &why),
          KIND_EXISTS);
    one_on(c, 2, "counter");
    FAILS(berth_cluster_load_plugin(c, BERTH_CLUSTER_SET(0), "/nowhere.so", &why), NOT_FOUND);
    FAILS(berth_cluster_load_plugin(c, BERTH_CLUSTER_SET(3), COUNTER, &why), INVALID);
    /* After a restart they are there again. */
    GOOD(c, berth_cluster_restart(c, 1, &why));
    GOOD(c, berth_cluster_restart(c, 2, &why));
    one_on(c, 1, "counter");
    one_on(c, 2, "counter");
    cluster_end(c);
}

/* harness §21.10 no. 4: after boot the index of every node holds what all offer */
static void after_boot_each_node_knows_who_has_which_kind(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = cluster_made(&config);
    capability_filter filter;
    capability_scope scope;

    (void)state;
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_SET(2), &noting, &why));
    GOOD(c, berth_cluster_boot(c, &why));
    OK(filter_parse(&filter, &scope, slice_str("kind:noting"), NULL));
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t *nodes = NULL;
        size_t count = 0;

        OK(mesh_find_nodes(c->nodes[i].mesh, &filter, &nodes, &count, NULL));
        assert_int_equal(count, 1);
        assert_int_equal(nodes[0], berth_cluster_node_id(c, 2));
        free(nodes);
    }
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_on_every_node_and_one_call_of_the_factory_for_each),
        cmocka_unit_test(only_on_those_that_were_chosen),
        cmocka_unit_test(a_spawn_that_fails_takes_back_its_own_last_first_and_nothing_else),
        cmocka_unit_test(handles_are_safe_after_kill_restart_and_shutdown),
        cmocka_unit_test(nodes_have_the_kinds_they_were_given),
        cmocka_unit_test(after_boot_each_node_knows_who_has_which_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
