/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for answers from other threads. */
#include "base/clock.h"
#include "daemon/latch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void *answer_ok(void *arg)
{
    latch_answer(arg, BERTH_OK, NULL);
    return NULL;
}

/* compute-core §18.26: woken, never polling */
static void wait_returns_when_all_have_answered(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        latch l;
        pthread_t threads[4];
        latch_init(&l, 4);
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, answer_ok, &l);
        assert_int_equal(latch_wait(&l, NULL), BERTH_OK);
        assert_int_equal(l.open, 0);
        latch_fini(&l); /* nobody touches it any more, though the threads may still be returning */
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
}

static void the_first_failure_is_the_answer_with_its_text(void **state)
{
    (void)state;
    latch l;
    berth_error one = {BERTH_ERR_IO, "the first"}, two = {BERTH_ERR_LIMIT, "the second"};
    berth_error got = {0};
    latch_init(&l, 3);
    latch_answer(&l, BERTH_OK, NULL);
    latch_answer(&l, BERTH_ERR_IO, &one);
    latch_answer(&l, BERTH_ERR_LIMIT, &two);
    assert_int_equal(latch_wait(&l, &got), BERTH_ERR_IO);
    assert_int_equal(got.code, BERTH_ERR_IO);
    assert_string_equal(got.text, "the first");
    latch_fini(&l);
}

static void a_failure_without_words_still_has_its_code(void **state)
{
    (void)state;
    latch l;
    berth_error got = {0};
    latch_init(&l, 1);
    latch_answer(&l, BERTH_ERR_IO, NULL);
    assert_int_equal(latch_wait(&l, &got), BERTH_ERR_IO);
    assert_int_equal(got.code, BERTH_ERR_IO);
    latch_fini(&l);
}

static void a_deadline_ends_the_wait_and_the_answer_may_still_come(void **state)
{
    (void)state;
    latch l;
    latch_init(&l, 1);
    assert_false(latch_wait_until(&l, clock_mono_ns() - 1));
    assert_false(latch_wait_until(&l, clock_mono_ns() + 1000000));
    latch_answer(&l, BERTH_OK, NULL);
    assert_true(latch_wait_until(&l, clock_mono_ns() - 1));
    assert_true(latch_wait_until(&l, INT64_MAX));
    latch_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_returns_when_all_have_answered),
        cmocka_unit_test(the_first_failure_is_the_answer_with_its_text),
        cmocka_unit_test(a_failure_without_words_still_has_its_code),
        cmocka_unit_test(a_deadline_ends_the_wait_and_the_answer_may_still_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
