/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of outputs: bounded three ways, and readers know exactly what they missed. */
#include "daemon/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define COST(payload) (sizeof(tail_item) + 32 + (payload))

static void put(ring *r, uint32_t number, size_t payload)
{
    buf *b = buf_new(32 + payload);
    memset(b->data, 0, b->len);
    memcpy(b->data, &number, sizeof(number));
    tail_item item = {.bytes = b};
    ring_put(r, &item);
    buf_unref(b);
}

static uint32_t number_of(tail_item *item)
{
    uint32_t n;
    memcpy(&n, item->bytes->data, sizeof(n));
    tail_item_release(item);
    return n;
}

static void a_reader_gets_all_in_order_with_their_places(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    tail_item items[8];
    uint64_t missed;
    bool ended;
    for (uint32_t i = 0; i < 5; i++)
        put(r, i, 4);
    assert_int_equal(tail_read(t, items, 3, &missed, &ended), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(items[i].index, i);
        assert_int_equal(number_of(&items[i]), i);
    }
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 2);
    assert_int_equal(missed, 0);
    assert_false(ended);
    assert_int_equal(number_of(&items[0]), 3);
    assert_int_equal(number_of(&items[1]), 4);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 0);
    tail_close(t);
    ring_unref(r);
    assert_int_equal(budget.used, 0);
}

static void from_ring_begins_with_the_oldest_that_is_there_and_from_now_with_the_next(void **state)
{
    (void)state;
    ring_budget budget = {.items = 4, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    tail_item items[8];
    uint64_t missed;
    bool ended;
    for (uint32_t i = 0; i < 10; i++)
        put(r, i, 4);
    tail *old = ring_open(r, TAIL_FROM_RING, NULL, NULL);
    tail *now = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    put(r, 10, 4); /* pushes out number 6, which old has not read */
    assert_int_equal(tail_read(old, items, 8, &missed, &ended), 4);
    assert_int_equal(missed, 1);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(number_of(&items[i]), 7 + i);
    assert_int_equal(tail_read(now, items, 8, &missed, &ended), 1);
    assert_int_equal(missed, 0);
    assert_int_equal(number_of(&items[0]), 10);
    tail_close(old);
    tail_close(now);
    ring_unref(r);
}

/* Items, bytes of one ring, bytes of all: at the limit nothing goes, above it the oldest. */
static void each_limit_pushes_out_the_oldest_and_no_more(void **state)
{
    (void)state;
    const ring_budget budgets[] = {
        {.items = 5, .bytes = 1 << 20, .total = 1 << 20},
        {.items = 100, .bytes = 5 * COST(40), .total = 1 << 20},
        {.items = 100, .bytes = 1 << 20, .total = 5 * COST(40)},
    };
    for (size_t i = 0; i < 3; i++) {
        ring_budget budget = budgets[i];
        ring *r = ring_new(&budget, true);
        tail_item items[8];
        uint64_t missed;
        bool ended;
        tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
        for (uint32_t n = 0; n < 5; n++)
            put(r, n, 40);
        assert_int_equal(tail_read(t, items, 8, &missed, &ended), 5);
        assert_int_equal(missed, 0);
        for (uint32_t n = 0; n < 5; n++)
            assert_int_equal(number_of(&items[n]), n);
        tail *all = ring_open(r, TAIL_FROM_RING, NULL, NULL);
        put(r, 5, 40);
        assert_int_equal(tail_read(all, items, 8, &missed, &ended), 5);
        assert_int_equal(missed, 1);
        for (uint32_t n = 0; n < 5; n++)
            assert_int_equal(number_of(&items[n]), n + 1);
        tail_close(all);
        tail_close(t);
        ring_unref(r);
        assert_int_equal(budget.used, 0);
    }
}

static void what_no_ring_can_hold_is_counted_as_missed(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = COST(100), .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    tail_item items[8];
    uint64_t missed;
    bool ended;
    tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    put(r, 0, 10);
    put(r, 1, 101);
    put(r, 2, 10);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 1);
    assert_int_equal(missed, 2); /* itself, and what was before it */
    assert_int_equal(number_of(&items[0]), 2);
    tail_close(t);
    ring_unref(r);
}

static void rings_share_what_they_hold_in_all(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = 1 << 20, .total = 4 * COST(40)};
    ring *a = ring_new(&budget, true), *b = ring_new(&budget, true);
    for (uint32_t n = 0; n < 3; n++) {
        put(a, n, 40);
        put(b, n, 40);
        assert_true(budget.used <= budget.total);
    }
    ring_unref(a);
    assert_true(budget.used <= 2 * COST(40));
    ring_unref(b);
    assert_int_equal(budget.used, 0);
}

static void a_slow_reader_is_told_exactly_how_much_it_missed(void **state)
{
    (void)state;
    ring_budget budget = {.items = 7, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    tail_item items[16];
    uint64_t sum = 0, got = 0, missed;
    uint32_t put_in = 0, expected = 0;
    bool ended;
    srand(11);
    for (int round = 0; round < 2000; round++) {
        for (int n = rand() % 12; n > 0; n--)
            put(r, put_in++, (size_t)(rand() % 50));
        size_t n = tail_read(t, items, (size_t)(1 + rand() % 10), &missed, &ended);
        sum += missed;
        expected += (uint32_t)missed;
        for (size_t i = 0; i < n; i++)
            assert_int_equal(number_of(&items[i]), expected++);
        got += n;
    }
    while (tail_read(t, items, 1, &missed, &ended)) {
        sum += missed;
        got++;
        tail_item_release(&items[0]);
    }
    assert_int_equal(got + sum, put_in);
    tail_close(t);
    ring_unref(r);
}

static void one_that_keeps_nothing_holds_only_what_somebody_reads(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, false);
    tail_item items[8];
    uint64_t missed;
    bool ended;
    put(r, 0, 40);
    assert_int_equal(budget.used, 0);
    tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    put(r, 1, 40);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 1);
    assert_int_equal(missed, 0);
    assert_int_equal(number_of(&items[0]), 1);
    put(r, 2, 40);
    assert_true(budget.used > 0);
    tail_close(t);
    assert_int_equal(budget.used, 0);
    put(r, 3, 40);
    assert_int_equal(budget.used, 0);
    t = ring_open(r, TAIL_FROM_RING, NULL, NULL);
    put(r, 4, 40);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 1);
    assert_int_equal(number_of(&items[0]), 4);
    tail_close(t);
    ring_unref(r);
}

static void the_end_is_told_after_what_is_left(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    tail *t = ring_open(r, TAIL_FROM_NOW, NULL, NULL);
    tail_item items[1];
    uint64_t missed;
    bool ended;
    put(r, 0, 1);
    put(r, 1, 1);
    ring_end(r);
    ring_unref(r); /* the reader has one of its own */
    assert_int_equal(tail_read(t, items, 1, &missed, &ended), 1);
    assert_false(ended);
    tail_item_release(&items[0]);
    assert_int_equal(tail_read(t, items, 1, &missed, &ended), 1);
    assert_true(ended);
    tail_item_release(&items[0]);
    assert_int_equal(tail_read(t, items, 1, &missed, &ended), 0);
    assert_true(ended);
    tail_close(t);
}

/* ---- Waking ---------------------------------------------------------------------------------- */

static void count_wake(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void wake_comes_once_for_a_read_that_found_nothing(void **state)
{
    (void)state;
    ring_budget budget = {.items = 8, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    atomic_int wakes = 0;
    tail *t = ring_open(r, TAIL_FROM_NOW, count_wake, &wakes);
    tail_item items[8];
    uint64_t missed;
    bool ended;
    put(r, 0, 1);
    assert_int_equal(wakes, 0); /* nobody waits yet */
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 1);
    tail_item_release(&items[0]);
    put(r, 1, 1);
    assert_int_equal(wakes, 0);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 1);
    tail_item_release(&items[0]);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 0);
    put(r, 2, 1);
    put(r, 3, 1);
    assert_int_equal(wakes, 1);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 2);
    tail_item_release(&items[0]);
    tail_item_release(&items[1]);
    assert_int_equal(tail_read(t, items, 8, &missed, &ended), 0);
    ring_end(r);
    ring_end(r);
    assert_int_equal(wakes, 2);
    tail_close(t);
    ring_unref(r);
}

typedef struct reading {
    ring *ring;
    atomic_int wakes;
    atomic_bool closed;
    uint64_t got, missed;
} reading;

static void wake_reader(void *ctx)
{
    reading *r = ctx;
    assert_false(atomic_load(&r->closed));
    atomic_fetch_add(&r->wakes, 1);
}

static void *read_until_end(void *arg)
{
    reading *r = arg;
    tail *t = ring_open(r->ring, TAIL_FROM_RING, wake_reader, r);
    tail_item items[4];
    bool ended = false;
    while (!ended) {
        int before = atomic_load(&r->wakes);
        uint64_t missed;
        size_t n = tail_read(t, items, 4, &missed, &ended);
        r->missed += missed;
        r->got += n;
        for (size_t i = 0; i < n; i++)
            tail_item_release(&items[i]);
        while (!n && !missed && !ended && atomic_load(&r->wakes) == before)
            sched_yield(); /* a wake that is lost would hang here */
    }
    tail_close(t);
    atomic_store(&r->closed, true);
    return NULL;
}

/* Readers on threads of their own: no wake is lost, none comes after close, all is accounted for.
 */
static void many_readers_and_a_writer(void **state)
{
    (void)state;
    ring_budget budget = {.items = 16, .bytes = 1 << 20, .total = 1 << 20};
    ring *r = ring_new(&budget, true);
    pthread_t threads[3];
    reading readers[3] = {{.ring = r}, {.ring = r}, {.ring = r}};
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, read_until_end, &readers[i]);
    while (ring_readers(r) < 3)
        sched_yield();
    for (uint32_t n = 0; n < 5000; n++)
        put(r, n, n % 64);
    ring_end(r);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].got + readers[i].missed, 5000);
    }
    assert_int_equal(ring_readers(r), 0);
    ring_unref(r);
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_gets_all_in_order_with_their_places),
        cmocka_unit_test(from_ring_begins_with_the_oldest_that_is_there_and_from_now_with_the_next),
        cmocka_unit_test(each_limit_pushes_out_the_oldest_and_no_more),
        cmocka_unit_test(what_no_ring_can_hold_is_counted_as_missed),
        cmocka_unit_test(rings_share_what_they_hold_in_all),
        cmocka_unit_test(a_slow_reader_is_told_exactly_how_much_it_missed),
        cmocka_unit_test(one_that_keeps_nothing_holds_only_what_somebody_reads),
        cmocka_unit_test(the_end_is_told_after_what_is_left),
        cmocka_unit_test(wake_comes_once_for_a_read_that_found_nothing),
        cmocka_unit_test(many_readers_and_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
