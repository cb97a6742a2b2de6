/* SPDX-License-Identifier: Apache-2.0 */
/* Which numbers are done, without remembering each. */
#include "mesh/call_numbers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void numbers_that_are_over_are_remembered_as_ranges(void **state)
{
    call_numbers n = {0};

    (void)state;
    call_numbers_cut(&n, 1);
    assert_true(call_numbers_has(&n, 0));
    assert_false(call_numbers_has(&n, 1));
    for (uint64_t i = 2; i <= 10; i += 2) {
        assert_true(call_numbers_reserve(&n, 1));
        call_numbers_add(&n, i);
    }
    assert_int_equal(n.count, 5);
    for (uint64_t i = 1; i <= 12; i++)
        assert_int_equal(call_numbers_has(&n, i), i % 2 == 0 && i <= 10);
    call_numbers_add(&n, 5); /* joins two */
    assert_int_equal(n.count, 4);
    call_numbers_add(&n, 11);
    call_numbers_add(&n, 11);
    assert_int_equal(n.count, 4);
    call_numbers_add(&n, 1); /* and 2 follows */
    assert_int_equal(n.base, 3);
    assert_int_equal(n.count, 3);
    call_numbers_cut(&n, 5); /* into 4-6 */
    assert_int_equal(n.base, 7);
    call_numbers_cut(&n, 2); /* never back */
    assert_int_equal(n.base, 7);
    call_numbers_cut(&n, 20);
    assert_int_equal(n.base, 20);
    assert_int_equal(n.count, 0);
    call_numbers_fini(&n);
}

/* Against a table of all of them. */
static void numbers_agree_with_a_plain_table(void **state)
{
    uint32_t seed = 5;

    (void)state;
    for (int run = 0; run < 200; run++) {
        bool over[64] = {false};
        call_numbers n = {0};
        size_t ranges = 0;

        for (int step = 0; step < 60; step++) {
            uint64_t number = (seed = seed * 1664525u + 1013904223u) >> 8 & 63;

            assert_true(call_numbers_reserve(&n, 1));
            if (seed >> 28 == 0) {
                call_numbers_cut(&n, number);
                memset(over, 1, number);
            } else {
                call_numbers_add(&n, number);
                over[number] = true;
            }
            ranges = 0;
            for (uint64_t i = 0; i < 64; i++) {
                assert_int_equal(call_numbers_has(&n, i), over[i]);
                ranges += over[i] && i >= n.base && !over[i - 1];
            }
            assert_int_equal(n.count, ranges);
        }
        call_numbers_fini(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_are_over_are_remembered_as_ranges),
        cmocka_unit_test(numbers_agree_with_a_plain_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
