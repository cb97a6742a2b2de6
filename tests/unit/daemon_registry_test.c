/* SPDX-License-Identifier: Apache-2.0 */
/* Which daemons live here (compute-core §11, §20, K4-K8). */
#include "daemon_help.h"

#include "daemon/registry.h"

/* A registry, and the table that its daemons stand in. */
typedef struct place {
    registry registry; /* first */
    factories table;
} place;

static registry *made(void)
{
    place *p = malloc(sizeof(*p));
    factories_init(&p->table);
    registry_init(&p->registry, &p->table);
    return &p->registry;
}

static void freed(registry *r)
{
    registry_fini(r);
    factories_fini(r->table);
    free(r);
}

/* There is a factory for this origin now. */
static void expect_origin(registry *r, uint64_t origin)
{
    factory *f = factory_new();
    f->origin = origin;
    factories_add(r->table, f, NULL);
    factory_unref(f);
}

static void remove_from(registry *r, struct daemon *d)
{
    assert_true(registry_remove(r, d));
    daemon_unref(d);
}

/* compute-core §20: duplicate register refused; unregister empties; unknown is not found */
static void of_two_with_one_origin_the_first_stays(void **state)
{
    (void)state;
    registry *r = made();
    struct daemon *a = daemon_alone(5, "a"), *b = daemon_alone(5, "b");
    expect_origin(r, 5);
    assert_null(registry_get(r, 5));
    OK(registry_add(r, a));
    FAILS(registry_add(r, b), EXISTS);
    assert_int_equal(refs_of(b), 1);
    struct daemon *got = registry_get(r, 5);
    assert_ptr_equal(got, a);
    daemon_unref(got);
    assert_int_equal(r->count, 1);
    assert_false(registry_remove(r, b)); /* K10: only what is really there */
    remove_from(r, a);
    assert_false(registry_remove(r, a));
    assert_null(registry_get(r, 5));
    assert_int_equal(r->count, 0);
    freed(r);
    daemon_unref(a);
    daemon_unref(b);
}

/* K7, K8: who looks up afterwards finds the new one; the prior is handed back, if there was one */
static void replace_hands_back_the_prior_and_puts_the_new_one(void **state)
{
    (void)state;
    registry *r = made();
    struct daemon *a = daemon_alone(5, "a"), *b = daemon_alone(5, "b");
    expect_origin(r, 5);
    assert_null(registry_replace(r, a));
    assert_int_equal(r->count, 1);
    struct daemon *prior = registry_replace(r, b);
    assert_ptr_equal(prior, a);
    daemon_unref(prior);
    assert_int_equal(r->count, 1);
    struct daemon *got = registry_get(r, 5);
    assert_ptr_equal(got, b);
    daemon_unref(got);
    remove_from(r, b);
    freed(r);
    daemon_unref(a);
    daemon_unref(b);
}

/* K6, compute-core §20: stale after replace, stale after unregister, no stale without a swap */
static void one_that_was_looked_up_knows_whether_it_is_still_the_one(void **state)
{
    (void)state;
    registry *r = made();
    struct daemon *a = daemon_alone(5, "a"), *b = daemon_alone(5, "b");
    expect_origin(r, 5);
    OK(registry_add(r, a));
    struct daemon *mine = registry_get(r, 5);
    assert_true(registry_is_current(r, mine));
    daemon_unref(registry_replace(r, b));
    assert_false(registry_is_current(r, mine));
    assert_false(registry_remove(r, mine)); /* a stale one cannot take its successor out */
    assert_true(registry_is_current(r, b));
    remove_from(r, b);
    assert_false(registry_is_current(r, b));
    freed(r);
    daemon_unref(mine);
    daemon_unref(a);
    daemon_unref(b);
}

/* K4, compute-core §20: replace and unregister do not wait for a busy daemon */
static void neither_replace_nor_remove_waits_for_the_daemons_lock(void **state)
{
    (void)state;
    registry *r = made();
    struct daemon *a = daemon_alone(5, "a"), *b = daemon_alone(5, "b");
    expect_origin(r, 5);
    OK(registry_add(r, a));
    pthread_mutex_lock(&a->lock); /* as one inside it would hold it: waiting would hang here */
    daemon_unref(registry_replace(r, b));
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_lock(&b->lock);
    size_t n;
    struct daemon **list = registry_list(r, &n);
    assert_int_equal(n, 1);
    daemon_unref(list[0]);
    free(list);
    remove_from(r, b);
    pthread_mutex_unlock(&b->lock);
    freed(r);
    daemon_unref(a);
    daemon_unref(b);
}

/* compute-core §20: list names */
static void the_list_has_each_one_once(void **state)
{
    (void)state;
    registry *r = made();
    bool seen[1000] = {false};
    for (uint64_t i = 0; i < 1000; i++) {
        struct daemon *d = daemon_alone(i * 0x9e3779b97f4a7c15u, "x");
        d->inputs = i;
        expect_origin(r, d->origin);
        OK(registry_add(r, d));
        daemon_unref(d);
    }
    size_t n;
    struct daemon **list = registry_list(r, &n);
    assert_int_equal(n, 1000);
    for (size_t i = 0; i < n; i++) {
        assert_false(seen[list[i]->inputs]);
        seen[list[i]->inputs] = true;
        remove_from(r, list[i]);
        daemon_unref(list[i]);
    }
    free(list);
    list = registry_list(r, &n);
    assert_int_equal(n, 0);
    free(list);
    freed(r);
}

static void a_name_belongs_to_one_and_is_free_again_only_when_that_one_releases_it(void **state)
{
    (void)state;
    registry *r = made();
    berth_error error = {0};
    struct daemon *a = daemon_alone(1, "n"), *b = daemon_alone(2, "n");
    OK(registry_claim_name(r, a, &error));
    FAILS(registry_claim_name(r, b, &error), EXISTS);
    CONTAINS(error.text, "'n' is already registered");
    registry_release_name(r, b);
    assert_null(registry_get_name(r, slice_str("n"))); /* it is not there yet */
    expect_origin(r, 1);
    OK(registry_add(r, a));
    struct daemon *got = registry_get_name(r, slice_str("n"));
    assert_ptr_equal(got, a);
    daemon_unref(got);
    remove_from(r, a);
    assert_null(registry_get_name(r, slice_str("n")));
    FAILS(registry_claim_name(r, b, NULL), EXISTS); /* but its name is still its own */
    registry_release_name(r, a);
    OK(registry_claim_name(r, b, NULL));
    registry_release_name(r, b);
    freed(r);
    daemon_unref(a);
    daemon_unref(b);
}

/* Names of the default form lead to their origin, and so can be nobody else's. */
static void a_name_that_ends_in_an_origin_is_that_daemons_alone(void **state)
{
    (void)state;
    registry *r = made();
    berth_error error = {0};
    struct daemon *own = daemon_alone(0x1f, "echo-000000000000001f");
    struct daemon *thief = daemon_alone(0x20, "echo-000000000000001f");
    struct daemon *plain = daemon_alone(0x21, "echo-1f");
    FAILS(registry_claim_name(r, thief, &error), INVALID);
    CONTAINS(error.text, "'echo-000000000000001f' ends in an origin");
    struct daemon *bare = daemon_alone(0x22, "000000000000001F");
    FAILS(registry_claim_name(r, bare, &error), INVALID);
    daemon_unref(bare);
    OK(registry_claim_name(r, own, &error));
    OK(registry_claim_name(r, plain, &error));
    assert_null(registry_get_name(r, slice_str(own->name)));
    expect_origin(r, own->origin);
    OK(registry_add(r, own));
    struct daemon *got = registry_get_name(r, slice_str(own->name));
    assert_ptr_equal(got, own);
    daemon_unref(got);
    assert_null(registry_get_name(r, slice_str("tally-000000000000001f")));
    registry_release_name(r, thief);
    registry_release_name(r, own);
    registry_release_name(r, plain);
    remove_from(r, own);
    freed(r);
    daemon_unref(own);
    daemon_unref(thief);
    daemon_unref(plain);
}

/* A daemon without a factory could never be found by who looks for its origin. */
static void where_no_factory_is_no_daemon_goes_in(void **state)
{
    (void)state;
    registry *r = made();
    struct daemon *d = daemon_alone(5, "a");
    FAILS(registry_add(r, d), NOT_FOUND);
    assert_null(registry_replace(r, d));
    assert_int_equal(r->count, 0);
    assert_int_equal(refs_of(d), 1);
    freed(r);
    daemon_unref(d);
}

/* ---- Under many threads ---------------------------------------------------------------------- */

#define SWAPS 20000

typedef struct contest {
    registry *r;
    struct daemon *entries[2];
    atomic_bool over;
} contest;

static void *swap(void *arg)
{
    contest *c = arg;
    for (int i = 0; i < SWAPS; i++)
        daemon_unref(registry_replace(c->r, c->entries[i % 2]));
    atomic_store(&c->over, true);
    return NULL;
}

/* K8: replace never leaves the slot observably empty */
static void while_one_replaces_others_always_find_someone(void **state)
{
    (void)state;
    contest c = {.r = made(), .entries = {daemon_alone(9, "a"), daemon_alone(9, "b")}};
    pthread_t thread;
    expect_origin(c.r, 9);
    OK(registry_add(c.r, c.entries[1]));
    pthread_create(&thread, NULL, swap, &c);
    while (!atomic_load(&c.over)) {
        struct daemon *d = registry_get(c.r, 9);
        assert_non_null(d);
        assert_true(d == c.entries[0] || d == c.entries[1]);
        daemon_unref(d);
        size_t n;
        struct daemon **list = registry_list(c.r, &n);
        assert_int_equal(n, 1);
        daemon_unref(list[0]);
        free(list);
        assert_int_equal(c.r->count, 1);
    }
    pthread_join(thread, NULL);
    remove_from(c.r, c.entries[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(refs_of(c.entries[i]), 1);
        daemon_unref(c.entries[i]);
    }
    freed(c.r);
}

static void *add_and_remove(void *arg)
{
    contest *c = arg;
    uint64_t won = 0;
    for (int i = 0; i < SWAPS; i++) {
        struct daemon *d = daemon_alone((uint64_t)i % 7, "x");
        if (registry_add(c->r, d) == BERTH_OK) {
            won++;
            if (registry_remove(c->r, d))
                daemon_unref(d);
        }
        daemon_unref(d);
    }
    return (void *)(uintptr_t)won;
}

/* K9: atomic on collision, whoever comes when; what each adds it can take out again */
static void of_many_who_add_and_remove_nothing_is_left(void **state)
{
    (void)state;
    contest c = {.r = made()};
    pthread_t threads[4];
    uint64_t won = 0;
    for (uint64_t i = 0; i < 7; i++)
        expect_origin(c.r, i);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_and_remove, &c);
    for (int i = 0; i < 4; i++) {
        void *n;
        pthread_join(threads[i], &n);
        won += (uintptr_t)n;
    }
    assert_true(won > 0);
    assert_int_equal(c.r->count, 0);
    size_t n;
    free(registry_list(c.r, &n));
    assert_int_equal(n, 0);
    freed(c.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_with_one_origin_the_first_stays),
        cmocka_unit_test(replace_hands_back_the_prior_and_puts_the_new_one),
        cmocka_unit_test(one_that_was_looked_up_knows_whether_it_is_still_the_one),
        cmocka_unit_test(neither_replace_nor_remove_waits_for_the_daemons_lock),
        cmocka_unit_test(the_list_has_each_one_once),
        cmocka_unit_test(a_name_belongs_to_one_and_is_free_again_only_when_that_one_releases_it),
        cmocka_unit_test(a_name_that_ends_in_an_origin_is_that_daemons_alone),
        cmocka_unit_test(where_no_factory_is_no_daemon_goes_in),
        cmocka_unit_test(while_one_replaces_others_always_find_someone),
        cmocka_unit_test(of_many_who_add_and_remove_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
