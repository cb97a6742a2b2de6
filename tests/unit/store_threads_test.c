/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one store. Run under the thread sanitizer too.
 */
#include "unit/store_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define PRODUCERS 4
#define DAEMONS   40 /* of each producer */
#define ROUNDS    5

typedef struct shared {
    store *store;
    atomic_bool over;
    atomic_uint wrong, reads, answered;
} shared;

typedef struct producer {
    shared *shared;
    uint64_t first;
    unsigned answers; /* on the writer thread only */
    atomic_uint failures;
} producer;

static void count_answer(void *ctx, berth_status status, const berth_error *error)
{
    producer *p = ctx;

    (void)error;
    p->answers++;
    atomic_fetch_add(&p->failures, status != BERTH_OK);
    atomic_fetch_add(&p->shared->answered, 1);
}

static size_t size_of(uint64_t i, uint64_t round)
{
    return (i + round) % 8 == 0 ? STORE_INLINE_SNAPSHOT + 1 : 100;
}

static void *produce(void *arg)
{
    producer *p = arg;
    store *s = p->shared->store;

    for (uint64_t i = p->first; i < p->first + DAEMONS; i++) {
        store_daemon row = a_row(i);

        store_add_daemon(s, &row, count_answer, p);
    }
    for (uint64_t round = 1; round <= ROUNDS; round++)
        for (uint64_t i = p->first; i < p->first + DAEMONS; i++) {
            buf *b = a_container(i, round, size_of(i, round));
            store_daemon row = a_row(i);

            row.epoch = round;
            store_put_snapshot(s, row.entity, 1, round, b, false, count_answer, p);
            store_update_daemon(s, &row, STORE_SET_EPOCH, count_answer, p);
            buf_unref(b);
            if (i % 16 == 0)
                store_barrier(s, NULL);
        }
    return NULL;
}

/* Whatever a reader sees is one whole state: the bytes belong to some round. */
static bool is_some_round(uint64_t i, const buf *got)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        buf *want = a_container(i, round, size_of(i, round));
        bool same = slice_eq(slice_of(want->data, want->len), slice_of(got->data, got->len));

        buf_unref(want);
        if (same)
            return true;
    }
    return false;
}

static bool look_at(void *ctx, const store_daemon *row)
{
    shared *sh = ctx;
    buf *b = NULL;
    uint64_t i;

    memcpy(&i, row->entity, sizeof i);
    /* A read inside a read: nothing is locked meanwhile. */
    if (store_get_snapshot(sh->store, row->entity, &b, NULL) != BERTH_OK ||
        (row->has_snapshot && !b) || (b && !is_some_round(i, b)) || row->epoch > ROUNDS)
        atomic_fetch_add(&sh->wrong, 1);
    buf_unref(b);
    atomic_fetch_add(&sh->reads, 1);
    return !atomic_load(&sh->over);
}

static void *consume(void *arg)
{
    shared *sh = arg;
    store_stats stats;

    while (!atomic_load(&sh->over)) {
        buf *b = NULL;

        if (store_each_daemon(sh->store, look_at, sh, NULL) != BERTH_OK ||
            store_put_fact(sh->store, "turn", slice_of("x", 1), NULL) != BERTH_OK ||
            store_get_fact(sh->store, "turn", &b, NULL) != BERTH_OK || !b)
            atomic_fetch_add(&sh->wrong, 1);
        buf_unref(b);
        store_get_stats(sh->store, &stats);
    }
    return NULL;
}

static void producers_and_readers_do_not_disturb_each_other(void **state)
{
    static producer producers[PRODUCERS];
    pthread_t producing[PRODUCERS], consuming[3];
    shared sh = {.store = open_store()};
    static wanted w;

    (void)state;
    for (unsigned k = 0; k < 3; k++)
        assert_int_equal(pthread_create(&consuming[k], NULL, consume, &sh), 0);
    for (unsigned k = 0; k < PRODUCERS; k++) {
        producers[k] = (producer){.shared = &sh, .first = k * DAEMONS};
        assert_int_equal(pthread_create(&producing[k], NULL, produce, &producers[k]), 0);
    }
    for (unsigned k = 0; k < PRODUCERS; k++)
        pthread_join(producing[k], NULL);
    assert_int_equal(store_barrier(sh.store, NULL), BERTH_OK);
    atomic_store(&sh.over, true);
    for (unsigned k = 0; k < 3; k++)
        pthread_join(consuming[k], NULL);

    assert_int_equal(atomic_load(&sh.wrong), 0);
    assert_int_equal(atomic_load(&sh.answered), PRODUCERS * DAEMONS * (1 + 2 * ROUNDS));
    for (unsigned k = 0; k < PRODUCERS; k++) {
        assert_int_equal(producers[k].answers, DAEMONS * (1 + 2 * ROUNDS));
        assert_int_equal(atomic_load(&producers[k].failures), 0);
    }
    for (uint64_t i = 0; i < PRODUCERS * DAEMONS; i++) {
        assert_true(find_row(sh.store, i, &w));
        assert_int_equal(w.row.epoch, ROUNDS);
        assert_true(holds_snapshot(sh.store, i, ROUNDS, size_of(i, ROUNDS)));
    }
    store_close(sh.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(producers_and_readers_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
