/* SPDX-License-Identifier: Apache-2.0 */
/* What is due next comes first, whatever was put in and taken out before. */
#include "daemon/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 300

static void nothing_is_due_in_an_empty_heap(void **state)
{
    (void)state;
    heap h = {0};
    heap_node n = {.due_ns = 1};
    assert_true(heap_next(&h) == INT64_MAX);
    assert_null(heap_pop_due(&h, INT64_MAX));
    heap_remove(&h, &n); /* in no heap */
    assert_int_equal(h.count, 0);
    heap_fini(&h);
}

static void a_node_is_not_due_before_its_time(void **state)
{
    (void)state;
    heap h = {0};
    heap_node n = {.due_ns = 100};
    assert_true(heap_push(&h, &n));
    assert_true(heap_next(&h) == 100);
    assert_null(heap_pop_due(&h, 99));
    assert_ptr_equal(heap_pop_due(&h, 100), &n);
    assert_int_equal(n.place, 0);
    assert_null(heap_pop_due(&h, 100));
    heap_fini(&h);
}

/* Against a table that is searched from end to end. */
static void pushed_and_removed_in_any_order_the_earliest_comes_first(void **state)
{
    (void)state;
    static heap_node nodes[NODES];
    heap h = {0};
    srand(7);
    for (int round = 0; round < 200000; round++) {
        heap_node *n = &nodes[rand() % NODES];
        if (n->place) {
            heap_remove(&h, n);
            assert_int_equal(n->place, 0);
        } else {
            n->due_ns = rand() % 50; /* many are due at once */
            assert_true(heap_push(&h, n));
        }
        if (round % 100)
            continue;
        int64_t earliest = INT64_MAX;
        size_t in = 0;
        for (size_t i = 0; i < NODES; i++) {
            in += nodes[i].place != 0;
            if (nodes[i].place && nodes[i].due_ns < earliest)
                earliest = nodes[i].due_ns;
        }
        assert_int_equal(h.count, in);
        assert_true(heap_next(&h) == earliest);
    }
    int64_t last = INT64_MIN;
    size_t left = h.count, popped = 0;
    for (heap_node *n; (n = heap_pop_due(&h, INT64_MAX)); popped++) {
        assert_true(n->due_ns >= last);
        last = n->due_ns;
    }
    assert_int_equal(popped, left);
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_due_in_an_empty_heap),
        cmocka_unit_test(a_node_is_not_due_before_its_time),
        cmocka_unit_test(pushed_and_removed_in_any_order_the_earliest_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
