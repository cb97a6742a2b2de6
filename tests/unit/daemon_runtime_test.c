/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's life, its kinds, and races between the two (compute-core §14, §20). */
#include "daemon_help.h"

static berth_runtime *unstarted(void)
{
    berth_runtime *rt;
    OK(berth_runtime_new(NULL, &rt, NULL));
    return rt;
}

/* compute-core §14.1, §20 */
static void before_start_nothing_runs_but_kinds_can_be_provided(void **state)
{
    (void)state;
    berth_runtime *rt = unstarted();
    uint64_t d, n;
    void *bytes;
    berth_input in = {.data = "x", .len = 1};
    assert_int_equal(berth_runtime_get_state(rt), BERTH_RUNTIME_REGISTERING);
    OK(berth_register_factory(rt, &kind_echo, NULL));
    FAILS(berth_spawn_kind(rt, "echo", NULL, NULL, &d, NULL), NOT_READY);
    FAILS(berth_spawn_with_daemon(rt, NULL, NULL, &kind_echo, NULL, &d, NULL), NOT_READY);
    FAILS(berth_stop(rt, 1, 0, NULL), NOT_READY);
    FAILS(berth_snapshot(rt, 1, &bytes, &n, NULL), NOT_READY);
    FAILS(berth_deliver(rt, 1, "x", 1, NULL, NULL), NOT_READY);
    FAILS(berth_submit(rt, 1, &in, 1, NULL, NULL, NULL), NOT_READY);
    FAILS(berth_control(rt, 1, BERTH_CONTROL_SHUTDOWN, 0, NULL), NOT_READY);
    FAILS(berth_flush(rt, 1, NULL), NOT_READY);
    FAILS(berth_subscribe_channel(rt, 1, 0, "c", NULL, 0, NULL), NOT_READY);
    OK(berth_expect_migration(rt, "echo", 5, 0, NULL, NULL));
    assert_int_equal(berth_daemon_count(rt), 0);
    berth_runtime_free(rt);
}

/* compute-core §20 */
static void start_is_idempotent(void **state)
{
    (void)state;
    berth_runtime *rt = unstarted();
    OK(berth_runtime_start(rt, NULL));
    assert_int_equal(berth_runtime_get_state(rt), BERTH_RUNTIME_READY);
    OK(berth_runtime_start(rt, NULL));
    OK(berth_register_factory(rt, &kind_echo, NULL)); /* also after Ready */
    uint64_t d;
    OK(berth_spawn_kind(rt, "echo", NULL, NULL, &d, NULL));
    berth_runtime_free(rt);
    assert_int_equal(kinds_alive, 0);
}

/* compute-core §14.1, §20 */
static void after_shutdown_nothing_begins_and_shutdown_can_be_repeated(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "echo"), other;
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    assert_int_equal(berth_runtime_get_state(rt), BERTH_RUNTIME_SHUTTING_DOWN);
    assert_int_equal(kinds_alive, 0);
    FAILS(berth_runtime_start(rt, NULL), SHUTTING_DOWN);
    FAILS(berth_spawn_kind(rt, "echo", NULL, NULL, &other, NULL), SHUTTING_DOWN);
    FAILS(berth_register_factory(rt, &kind_echo, NULL), SHUTTING_DOWN);
    FAILS(berth_deliver(rt, d, "x", 1, NULL, NULL), SHUTTING_DOWN);
    FAILS(berth_expect_migration(rt, "echo", 5, 0, NULL, NULL), SHUTTING_DOWN);
    OK(berth_stop(rt, d, 0, NULL)); /* what is gone may be stopped */
    help_free(state, rt);
}

static void a_runtime_that_was_never_started_shuts_down(void **state)
{
    (void)state;
    berth_runtime *rt = unstarted();
    OK(berth_runtime_shutdown(rt, 0, NULL));
    FAILS(berth_runtime_start(rt, NULL), SHUTTING_DOWN);
    berth_runtime_free(rt);
    berth_runtime_free(NULL);
}

/* compute-core §20, §18.10: shutdown drains 5 daemons; no factory, no placeholder is left */
static void shutdown_drains_daemons_and_leaves_no_key(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    for (int i = 0; i < 5; i++)
        spawn_of(rt, "counter");
    berth_keypair key = key_of(1);
    OK(berth_register_migration_target_identity(rt, "echo", &key, NULL, NULL));
    OK(berth_expect_migration(rt, "echo", 5, 0, NULL, NULL));
    assert_int_equal(berth_daemon_count(rt), 5);
    assert_int_equal(factories_count(&rt->factories), 7);
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    assert_int_equal(berth_daemon_count(rt), 0);
    assert_int_equal(factories_count(&rt->factories), 0);
    assert_int_equal(kinds_alive, 0);
    help_free(state, rt);
}

static void limits_of_the_configuration_are_checked(void **state)
{
    (void)state;
    berth_runtime *rt;
    berth_error error = {0};
    berth_runtime_config c = {.size = sizeof(c), .max_event = (16 << 20) + 1};
    FAILS(berth_runtime_new(&c, &rt, &error), LIMIT);
    CONTAINS(error.text, "max_event");
    c = (berth_runtime_config){.size = sizeof(c), .max_state = 1ull << 32};
    FAILS(berth_runtime_new(&c, &rt, NULL), LIMIT);
    c = (berth_runtime_config){.size = sizeof(c), .threads = 1025};
    FAILS(berth_runtime_new(&c, &rt, NULL), LIMIT);
    c = (berth_runtime_config){.threads = 1};
    FAILS(berth_runtime_new(&c, &rt, NULL), INVALID);
    c = (berth_runtime_config){.size = sizeof(c), .max_event = 16 << 20, .max_state = UINT32_MAX};
    OK(berth_runtime_new(&c, &rt, NULL));
    berth_runtime_free(rt);
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

/* compute-core §20 */
static void a_kind_is_provided_once(void **state)
{
    (void)state;
    berth_runtime *rt = unstarted();
    berth_error error = {0};
    OK(berth_register_factory(rt, &kind_echo, NULL));
    FAILS(berth_register_factory(rt, &kind_echo, &error), KIND_EXISTS);
    CONTAINS(error.text, "echo");
    berth_kind incomplete = kind_echo;
    incomplete.process = NULL;
    FAILS(berth_register_factory(rt, &incomplete, &error), INVALID);
    FAILS(berth_register_factory(rt, NULL, &error), INVALID);
    berth_runtime_free(rt);
}

/* compute-core §20 */
static void an_unknown_kind_is_named(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_error error = {0};
    uint64_t d;
    FAILS(berth_spawn_kind(rt, "nosuch", NULL, NULL, &d, &error), KIND_UNKNOWN);
    CONTAINS(error.text, "nosuch");
    FAILS(berth_expect_migration(rt, "nosuch", 5, 0, NULL, &error), KIND_UNKNOWN);
    assert_int_equal(factories_count(&rt->factories), 0);
    help_free(state, rt);
}

/* compute-core §18.30: one that was stopped holds its kind no longer: the very next call sees it.
 */
static void a_kind_can_be_withdrawn_as_soon_as_its_daemons_are_stopped(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    for (int i = 0; i < 300; i++) {
        uint64_t d = spawn_of(rt, "script");
        OK(tell_it(rt, d, "add:1")); /* it ran, so its status is wanted */
        FAILS(berth_unregister_factory(rt, "script", NULL), BUSY);
        OK(berth_stop(rt, d, 0, NULL));
        OK(berth_unregister_factory(rt, "script", NULL));
        OK(berth_register_factory(rt, &kind_script, NULL));
    }
    help_free(state, rt);
}

typedef struct race {
    berth_runtime *rt;
    pthread_barrier_t begin;
    atomic_int won, exists, other;
    _Atomic uint64_t origin;
} race;

static void *register_it(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    switch (berth_register_factory(r->rt, &kind_echo, NULL)) {
    case BERTH_OK:
        atomic_fetch_add(&r->won, 1);
        break;
    case BERTH_ERR_KIND_EXISTS:
        atomic_fetch_add(&r->exists, 1);
        break;
    default:
        atomic_fetch_add(&r->other, 1);
    }
    return NULL;
}

/* compute-core K15, §20 */
static void of_32_concurrent_registrations_of_one_kind_one_succeeds(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        race r = {.rt = unstarted()};
        pthread_t threads[32];
        pthread_barrier_init(&r.begin, NULL, 32);
        for (int i = 0; i < 32; i++)
            pthread_create(&threads[i], NULL, register_it, &r);
        for (int i = 0; i < 32; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(r.won, 1);
        assert_int_equal(r.exists, 31);
        pthread_barrier_destroy(&r.begin);
        berth_runtime_free(r.rt);
    }
}

/* ---- Shutdown races -------------------------------------------------------------------------- */

static void *spawn_many(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    for (int i = 0; i < 50; i++) {
        uint64_t d, n;
        void *bytes;
        berth_status status = berth_spawn_kind(r->rt, "counter", NULL, NULL, &d, NULL);
        if (status == BERTH_ERR_SHUTTING_DOWN) {
            atomic_fetch_add(&r->exists, 1);
            break;
        }
        if (status != BERTH_OK)
            atomic_fetch_add(&r->other, 1);
        atomic_fetch_add(&r->won, 1);
        if (berth_snapshot(r->rt, d, &bytes, &n, NULL) == BERTH_OK)
            free(bytes);
    }
    return NULL;
}

static bool snapshot_each(void *ctx, const berth_daemon_info *info)
{
    uint64_t n;
    void *bytes;
    if (berth_snapshot(ctx, info->origin, &bytes, &n, NULL) == BERTH_OK)
        free(bytes);
    return true;
}

static void *look_at_all(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    while (berth_runtime_get_state(r->rt) == BERTH_RUNTIME_READY)
        berth_daemons_each(r->rt, snapshot_each, r->rt);
    berth_daemons_each(r->rt, snapshot_each, r->rt);
    return NULL;
}

/* compute-core K11, K21: afterwards none is there, each was destroyed once */
static void whoever_wins_of_spawn_and_shutdown_no_daemon_is_left(void **state)
{
    for (int round = 0; round < 60; round++) {
        race r = {.rt = help_runtime(state, NULL)};
        pthread_t threads[3];
        pthread_barrier_init(&r.begin, NULL, 4);
        pthread_create(&threads[0], NULL, spawn_many, &r);
        pthread_create(&threads[1], NULL, spawn_many, &r);
        pthread_create(&threads[2], NULL, look_at_all, &r);
        pthread_barrier_wait(&r.begin);
        for (int i = round * 20; i > 0; i--)
            sched_yield();
        OK(berth_runtime_shutdown(r.rt, 10000, NULL));
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(r.other, 0);
        assert_int_equal(berth_daemon_count(r.rt), 0);
        pthread_barrier_destroy(&r.begin);
        help_free(state, r.rt);
    }
}

typedef struct stalled {
    berth_runtime *rt;
    berth_keypair key;
    berth_status status;
    atomic_bool over;
} stalled;

static void *spawn_stalled(void *arg)
{
    stalled *s = arg;
    uint64_t d;
    berth_daemon_config config = {.size = sizeof(config), .config = "gate", .config_len = 4};
    s->status = berth_spawn_kind(s->rt, "script", &s->key, &config, &d, NULL);
    atomic_store(&s->over, true);
    return NULL;
}

/* compute-core §20: spawn (stalled) vs shutdown: count 0, ShuttingDown, nothing left behind */
static void a_spawn_that_shutdown_overtakes_says_so_and_leaves_nothing(void **state)
{
    stalled s = {.rt = help_runtime(state, NULL), .key = key_of(1)};
    pthread_t thread;
    kinds_gate_close();
    pthread_create(&thread, NULL, spawn_stalled, &s);
    kinds_gate_await(1);
    OK(berth_runtime_shutdown(s.rt, 1000, NULL));
    kinds_gate_open();
    pthread_join(thread, NULL);
    FAILS(s.status, SHUTTING_DOWN);
    assert_int_equal(berth_daemon_count(s.rt), 0);
    assert_int_equal(factories_count(&s.rt->factories), 0);
    help_free(state, s.rt);
}

/* compute-core K11, K21: the narrowest case: it is in the table already, and shutdown has taken it
 * from there, when its spawn sees that the runtime shuts down. */
static void a_daemon_that_shutdown_finds_while_its_spawn_is_undone_is_destroyed_once(void **state)
{
    for (int round = 0; round < 150; round++) {
        stalled s = {.rt = help_runtime(state, NULL), .key = key_of(1)};
        pthread_t thread;
        kinds_gate_close();
        pthread_create(&thread, NULL, spawn_stalled, &s);
        kinds_gate_await(1);
        atomic_store(&s.rt->state, BERTH_RUNTIME_SHUTTING_DOWN); /* the first step of shutdown */
        kinds_gate_open();
        while (!atomic_load(&s.over))
            OK(berth_runtime_shutdown(s.rt, 1000, NULL));
        pthread_join(thread, NULL);
        FAILS(s.status, SHUTTING_DOWN);
        assert_int_equal(berth_daemon_count(s.rt), 0);
        help_free(state, s.rt);
    }
}

static void *stop_it(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    berth_status status = berth_stop(r->rt, atomic_load(&r->origin), 1000, NULL);
    if (status == BERTH_OK)
        atomic_fetch_add(&r->won, 1);
    else if (status != BERTH_ERR_NOT_FOUND)
        atomic_fetch_add(&r->other, 1);
    return NULL;
}

/* compute-core K21: destroyed once, and what it held is given back once */
static void a_daemon_may_be_stopped_by_many_at_the_same_time(void **state)
{
    race r = {.rt = help_runtime(state, NULL)};
    uint64_t keeper = spawn_of(r.rt, "script"); /* holds the kind, too */
    for (int round = 0; round < 100; round++) {
        pthread_t threads[4];
        atomic_store(&r.origin, spawn_of(r.rt, "script"));
        pthread_barrier_init(&r.begin, NULL, 4);
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, stop_it, &r);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&r.begin);
        assert_int_equal(berth_daemon_count(r.rt), 1);
        FAILS(berth_unregister_factory(r.rt, "script", NULL), BUSY);
    }
    assert_true(r.won >= 100);
    assert_int_equal(r.other, 0);
    OK(berth_stop(r.rt, keeper, 0, NULL));
    OK(berth_unregister_factory(r.rt, "script", NULL));
    help_free(state, r.rt);
}

static void *expect_many(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    for (uint64_t i = 1; i < 200; i++) {
        berth_status status = berth_expect_migration(r->rt, "echo", i, 0, NULL, NULL);
        berth_keypair key = key_of(i);
        if (status == BERTH_OK)
            status = berth_register_migration_target_identity(r->rt, "echo", &key, NULL, NULL);
        if (status == BERTH_ERR_SHUTTING_DOWN)
            break;
    }
    return NULL;
}

/* compute-core K12 */
static void whoever_wins_of_expect_and_shutdown_no_factory_is_left(void **state)
{
    for (int round = 0; round < 60; round++) {
        race r = {.rt = help_runtime(state, NULL)};
        pthread_t thread;
        pthread_barrier_init(&r.begin, NULL, 2);
        pthread_create(&thread, NULL, expect_many, &r);
        pthread_barrier_wait(&r.begin);
        for (int i = round; i > 0; i--)
            sched_yield();
        OK(berth_runtime_shutdown(r.rt, 10000, NULL));
        pthread_join(thread, NULL);
        assert_int_equal(factories_count(&r.rt->factories), 0);
        pthread_barrier_destroy(&r.begin);
        help_free(state, r.rt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_start_nothing_runs_but_kinds_can_be_provided),
        cmocka_unit_test(start_is_idempotent),
        BOTH(after_shutdown_nothing_begins_and_shutdown_can_be_repeated),
        cmocka_unit_test(a_runtime_that_was_never_started_shuts_down),
        BOTH(shutdown_drains_daemons_and_leaves_no_key),
        cmocka_unit_test(limits_of_the_configuration_are_checked),
        cmocka_unit_test(a_kind_is_provided_once),
        cmocka_unit_test(an_unknown_kind_is_named),
        BOTH(a_kind_can_be_withdrawn_as_soon_as_its_daemons_are_stopped),
        cmocka_unit_test(of_32_concurrent_registrations_of_one_kind_one_succeeds),
        BOTH(a_spawn_that_shutdown_overtakes_says_so_and_leaves_nothing),
        BOTH(a_daemon_that_shutdown_finds_while_its_spawn_is_undone_is_destroyed_once),
        BOTH(a_daemon_may_be_stopped_by_many_at_the_same_time),
        BOTH(whoever_wins_of_spawn_and_shutdown_no_daemon_is_left),
        cmocka_unit_test(whoever_wins_of_expect_and_shutdown_no_factory_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
