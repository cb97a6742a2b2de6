/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/snapshot_store.h"

#include <stdatomic.h>
#include <string.h>

static const uint8_t entity[BERTH_ENTITY_SIZE] = {1, 2, 3};

static berth_status put(snapshot_store *s, uint64_t sequence)
{
    buf *b = buf_copy(&sequence, sizeof sequence);
    berth_status status = snapshot_store_put(s, entity, sequence, b, NULL);

    buf_unref(b);
    return status;
}

/* compute-core 20, snapshot store */
static void only_a_newer_snapshot_replaces(void **state)
{
    snapshot_store s;
    uint64_t sequence;
    buf *b;

    (void)state;
    snapshot_store_init(&s);
    assert_null(snapshot_store_get(&s, entity, NULL));
    assert_int_equal(put(&s, 5), BERTH_OK);
    assert_int_equal(put(&s, 7), BERTH_OK);
    assert_int_equal(put(&s, 7), BERTH_ERR_STALE);
    assert_int_equal(put(&s, 6), BERTH_ERR_STALE);
    b = snapshot_store_get(&s, entity, &sequence);
    assert_true(sequence == 7);
    assert_memory_equal(b->data, &sequence, sizeof sequence);
    buf_unref(b);
    assert_int_equal(snapshot_store_count(&s), 1);
    snapshot_store_fini(&s);
}

static void the_first_may_have_sequence_zero(void **state)
{
    snapshot_store s;

    (void)state;
    snapshot_store_init(&s);
    assert_int_equal(put(&s, 0), BERTH_OK);
    assert_int_equal(put(&s, 0), BERTH_ERR_STALE);
    snapshot_store_fini(&s);
}

/* compute-core K20 */
static void removing_keeps_the_mark_and_forgetting_drops_it(void **state)
{
    snapshot_store s;

    (void)state;
    snapshot_store_init(&s);
    assert_int_equal(put(&s, 7), BERTH_OK);
    assert_true(snapshot_store_remove(&s, entity));
    assert_false(snapshot_store_remove(&s, entity));
    assert_null(snapshot_store_get(&s, entity, NULL));
    assert_int_equal(snapshot_store_count(&s), 0);
    assert_int_equal(put(&s, 7), BERTH_ERR_STALE);
    assert_int_equal(put(&s, 6), BERTH_ERR_STALE);
    snapshot_store_forget(&s, entity);
    assert_int_equal(put(&s, 6), BERTH_OK);
    assert_int_equal(snapshot_store_count(&s), 1);
    snapshot_store_forget(&s, entity);
    assert_int_equal(snapshot_store_count(&s), 0);
    snapshot_store_forget(&s, entity);
    snapshot_store_fini(&s);
}

/* compute-core K25: entities that share half of their bytes are two */
static void the_whole_entity_is_the_key(void **state)
{
    uint8_t other[BERTH_ENTITY_SIZE];
    snapshot_store s;

    (void)state;
    memcpy(other, entity, sizeof other);
    other[31] = 9;
    snapshot_store_init(&s);
    assert_int_equal(put(&s, 7), BERTH_OK);
    assert_null(snapshot_store_get(&s, other, NULL));
    snapshot_store_fini(&s);
}

#define ROUNDS 20000

struct race {
    snapshot_store s;
    atomic_uint taken[ROUNDS]; /* how often each sequence was accepted */
    atomic_bool stored;
    bool turned_back;
};

static void *store_all(void *arg)
{
    struct race *race = arg;

    for (uint64_t i = 0; i < ROUNDS; i++)
        if (put(&race->s, i) == BERTH_OK)
            atomic_fetch_add(&race->taken[i], 1);
    return NULL;
}

static void *remove_always(void *arg)
{
    struct race *race = arg;
    uint64_t highest = 0, sequence;

    while (!atomic_load(&race->stored)) {
        buf *b = snapshot_store_get(&race->s, entity, &sequence);

        if (b) {
            race->turned_back |= sequence < highest;
            highest = sequence;
            buf_unref(b);
        }
        snapshot_store_remove(&race->s, entity);
    }
    return NULL;
}

/* compute-core K20: of equal sequences one wins, and no order of store and remove turns back */
static void racing_stores_have_one_winner_and_never_turn_back(void **state)
{
    static struct race race;
    pthread_t storing[2], removing;

    (void)state;
    snapshot_store_init(&race.s);
    assert_int_equal(pthread_create(&removing, NULL, remove_always, &race), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&storing[i], NULL, store_all, &race), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(storing[i], NULL);
    atomic_store(&race.stored, true);
    pthread_join(removing, NULL);
    assert_false(race.turned_back);
    for (int i = 0; i < ROUNDS; i++)
        assert_true(atomic_load(&race.taken[i]) <= 1);
    assert_int_equal(atomic_load(&race.taken[ROUNDS - 1]), 1);
    assert_int_equal(put(&race.s, ROUNDS - 1), BERTH_ERR_STALE);
    snapshot_store_fini(&race.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_newer_snapshot_replaces),
        cmocka_unit_test(the_first_may_have_sequence_zero),
        cmocka_unit_test(removing_keeps_the_mark_and_forgetting_drops_it),
        cmocka_unit_test(the_whole_entity_is_the_key),
        cmocka_unit_test(racing_stores_have_one_winner_and_never_turn_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
