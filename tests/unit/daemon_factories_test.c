/* SPDX-License-Identifier: Apache-2.0 */
/* From what daemons are built (compute-core §12, §20, K9, K10, K25). */
#include "daemon_help.h"

static factory *keyed(uint64_t number)
{
    factory *f = factory_new();
    f->key = key_of(number);
    f->has_key = true;
    f->origin = f->key.origin;
    return f;
}

static factory *placeholder(uint64_t origin)
{
    factory *f = factory_new();
    f->origin = origin;
    return f;
}

static unsigned factory_refs(factory *f)
{
    return atomic_load(&f->refs);
}

/* compute-core §20: register then take once; take of unknown is none */
static void what_was_added_is_taken_once(void **state)
{
    (void)state;
    factories all;
    factories_init(&all);
    factory *f = keyed(1);
    assert_null(factories_take(&all, f->origin));
    OK(factories_add(&all, f, NULL));
    assert_int_equal(factories_count(&all), 1);
    factory *got = factories_take(&all, f->origin);
    assert_ptr_equal(got, f);
    assert_null(factories_take(&all, f->origin));
    assert_int_equal(factories_count(&all), 0);
    factory_unref(got);
    factory_unref(f);
    factories_fini(&all);
}

/* compute-core §20: construct is repeatable; remove ends it */
static void get_can_be_repeated_until_the_entry_is_removed(void **state)
{
    (void)state;
    factories all;
    factories_init(&all);
    factory *f = keyed(1);
    OK(factories_add(&all, f, NULL));
    for (int i = 0; i < 3; i++) {
        factory *got = factories_get(&all, f->origin);
        assert_ptr_equal(got, f);
        factory_unref(got);
    }
    assert_true(factories_remove(&all, f));
    assert_false(factories_remove(&all, f));
    assert_null(factories_get(&all, f->origin));
    assert_int_equal(factory_refs(f), 1);
    factory_unref(f);
    factories_fini(&all);
}

/* compute-core §20, K9, K10: refused with "already registered", and the incumbent is as before */
static void a_collision_leaves_the_incumbent_with_its_key(void **state)
{
    (void)state;
    factories all;
    berth_error error = {0};
    factories_init(&all);
    factory *first = keyed(1), *second = keyed(1), *third = placeholder(first->origin);
    OK(factories_add(&all, first, NULL));
    FAILS(factories_add(&all, second, &error), EXISTS);
    CONTAINS(error.text, "already registered");
    FAILS(factories_add(&all, third, &error), EXISTS); /* a placeholder strips no key */
    CONTAINS(error.text, "already registered");
    assert_false(factories_remove(&all, second)); /* rollback takes out only one's own */
    factory *got = factories_get(&all, first->origin);
    assert_ptr_equal(got, first);
    assert_true(got->has_key);
    assert_true(berth_keypair_is_full(&got->key));
    factory_unref(got);
    factory_unref(first);
    factory_unref(second);
    factory_unref(third);
    factories_fini(&all);
}

/* K25, compute-core §18.22: another identity with the same 64 bits is told apart, not merged */
static void another_identity_with_the_same_origin_is_named_as_such(void **state)
{
    (void)state;
    factories all;
    berth_error error = {0};
    factories_init(&all);
    factory *a = keyed(1), *b = keyed(2);
    b->origin = a->origin; /* as if the hashes collided */
    OK(factories_add(&all, a, NULL));
    FAILS(factories_add(&all, b, &error), EXISTS);
    CONTAINS(error.text, "another identity");
    factory_unref(a);
    factory_unref(b);
    factories_fini(&all);
}

/* compute-core §12, §20: the orchestrator is bound once; the same again is fine, another is not */
static void an_orchestrator_is_bound_once(void **state)
{
    (void)state;
    factories all;
    factories_init(&all);
    factory *f = placeholder(77);
    assert_false(factories_bind(&all, 77, 5)); /* no entry */
    OK(factories_add(&all, f, NULL));
    assert_int_equal(factories_orchestrator(&all, 77), 0);
    assert_true(factories_bind(&all, 77, 5));
    assert_true(factories_bind(&all, 77, 5));
    assert_false(factories_bind(&all, 77, 6));
    assert_int_equal(factories_orchestrator(&all, 77), 5);
    factory_unref(f);
    factories_fini(&all);
}

/* K22: what is let go of is nobody's any more; the secret goes with the last reference (see
 * daemon_reenter_test.c). What a daemon is being built from is its builder's to take out. */
static void when_nothing_is_expected_only_placeholders_go(void **state)
{
    (void)state;
    enum { N = 500 };
    factories all;
    factory *f[N];
    factories_init(&all);
    for (uint64_t i = 0; i < N; i++) {
        f[i] = placeholder(i * FACTORY_SHARDS); /* neighbours: all in one shard */
        f[i]->expected = i % 3 != 0;
        OK(factories_add(&all, f[i], NULL));
    }
    factories_expect_nothing(&all);
    assert_int_equal(factories_count(&all), (N + 2) / 3);
    for (int i = 0; i < N; i++)
        assert_int_equal(factory_refs(f[i]), f[i]->expected ? 1 : 2);
    factories_fini(&all);
    for (int i = 0; i < N; i++) {
        assert_int_equal(factory_refs(f[i]), 1);
        factory_unref(f[i]);
    }
}

/* ---- Under many threads ---------------------------------------------------------------------- */

static void *contend(void *arg)
{
    uint64_t won = 0;
    for (int i = 0; i < 2000; i++) {
        factory *f = keyed((uint64_t)i % 3);
        if (factories_add(arg, f, NULL) == BERTH_OK) {
            won++;
            factory *got = factories_get(arg, f->origin);
            assert_ptr_equal(got, f); /* nobody else's while it is ours */
            factory_unref(got);
            assert_true(factories_remove(arg, f));
        }
        factory_unref(f);
    }
    return (void *)(uintptr_t)won;
}

/* K9, K10 */
static void of_many_who_contend_each_winner_has_it_alone(void **state)
{
    (void)state;
    factories all;
    pthread_t threads[4];
    uint64_t won = 0;
    factories_init(&all);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, contend, &all);
    for (int i = 0; i < 4; i++) {
        void *n;
        pthread_join(threads[i], &n);
        won += (uintptr_t)n;
    }
    assert_true(won > 0);
    assert_int_equal(factories_count(&all), 0);
    factories_fini(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_taken_once),
        cmocka_unit_test(get_can_be_repeated_until_the_entry_is_removed),
        cmocka_unit_test(a_collision_leaves_the_incumbent_with_its_key),
        cmocka_unit_test(another_identity_with_the_same_origin_is_named_as_such),
        cmocka_unit_test(an_orchestrator_is_bound_once),
        cmocka_unit_test(when_nothing_is_expected_only_placeholders_go),
        cmocka_unit_test(of_many_who_contend_each_winner_has_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
