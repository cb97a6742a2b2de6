/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/nearest.h"

#include <limits.h>
#include <string.h>

static void distance_counts_typing_errors(void **state)
{
    (void)state;
    assert_int_equal(typing_distance("spawn", "spawn"), 0);
    assert_int_equal(typing_distance("spwan", "spawn"), 1);
    assert_int_equal(typing_distance("span", "spawn"), 1);
    assert_int_equal(typing_distance("sspawn", "spawn"), 1);
    assert_int_equal(typing_distance("spown", "spawn"), 1);
    assert_int_equal(typing_distance("kitten", "sitting"), 3);
    assert_int_equal(typing_distance("", "ls"), 2);
    assert_int_equal(typing_distance("ls", ""), 2);
}

static void texts_up_to_the_limit_are_compared_and_longer_ones_are_far(void **state)
{
    char most[NEAREST_MAX + 1], more[NEAREST_MAX + 2];

    (void)state;
    memset(most, 'a', NEAREST_MAX);
    most[NEAREST_MAX] = '\0';
    memset(more, 'a', NEAREST_MAX + 1);
    more[NEAREST_MAX + 1] = '\0';
    assert_int_equal(typing_distance(most, "a"), NEAREST_MAX - 1);
    assert_int_equal(typing_distance(most, most), 0);
    assert_int_equal(typing_distance(more, "a"), UINT_MAX);
    assert_int_equal(typing_distance("a", more), UINT_MAX);
    assert_false(may_mean(more, "a"));
}

static void the_nearest_of_names_was_meant_and_none_that_is_far(void **state)
{
    static const char *const names[] = {"name", "names", "state", "socket", NULL};
    static const char *const none[] = {NULL};

    (void)state;
    assert_string_equal(nearest_name("nmae", names), "name");
    assert_string_equal(nearest_name("namess", names), "names");
    assert_string_equal(nearest_name("sock", names), "socket");
    assert_string_equal(nearest_name("na", names), "name");
    assert_null(nearest_name("xy", names));
    assert_null(nearest_name("q", names));
    assert_null(nearest_name("", names));
    assert_null(nearest_name("0123456789012345678901234567890123456789", names));
    assert_null(nearest_name("name", none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_counts_typing_errors),
        cmocka_unit_test(texts_up_to_the_limit_are_compared_and_longer_ones_are_far),
        cmocka_unit_test(the_nearest_of_names_was_meant_and_none_that_is_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
