/* SPDX-License-Identifier: Apache-2.0 */
/* Whose log a line stands in. */
#include "base/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void note(void *ctx, log_level level, const char *room, const char *text)
{
    char *all = ctx;

    (void)level;
    sprintf(all + strlen(all), "%s: %s|", room, text);
}

static char common[1024], own[1024];

static int begin(void **state)
{
    (void)state;
    common[0] = own[0] = 0;
    log_set_level(LOG_LEVEL_INFO);
    log_set_sink(note, common);
    return 0;
}

static int end(void **state)
{
    (void)state;
    log_set_capture(NULL);
    log_set_sink(NULL, NULL);
    return 0;
}

static void a_capture_takes_lines_of_its_level_whatever_the_common_one_is(void **state)
{
    log_capture mine = {note, own, LOG_LEVEL_DEBUG};

    (void)state;
    assert_null(log_set_capture(&mine));
    assert_ptr_equal(log_get_capture(), &mine);
    log_debug("a", "one");
    log_set_level(LOG_LEVEL_ERROR);
    log_info("a", "two");
    assert_string_equal(own, "a: one|a: two|");
    assert_string_equal(common, "");
}

static void errors_stand_in_both(void **state)
{
    log_capture mine = {note, own, LOG_LEVEL_INFO};

    (void)state;
    log_set_capture(&mine);
    log_error("a", "bad");
    log_warn("a", "so so");
    assert_string_equal(own, "a: bad|a: so so|");
    assert_string_equal(common, "a: bad|");
}

static void what_a_capture_does_not_take_goes_where_it_went(void **state)
{
    log_capture mine = {note, own, LOG_LEVEL_WARN};

    (void)state;
    log_set_capture(&mine);
    log_info("a", "news");
    log_debug("a", "nothing");
    assert_ptr_equal(log_set_capture(NULL), &mine);
    log_warn("b", "later");
    assert_string_equal(own, "");
    assert_string_equal(common, "a: news|b: later|");
}

static void *say(void *arg)
{
    (void)arg;
    log_info("t", "from a thread");
    return NULL;
}

static void a_capture_is_of_one_thread(void **state)
{
    log_capture mine = {note, own, LOG_LEVEL_INFO};
    pthread_t thread;

    (void)state;
    log_set_capture(&mine);
    assert_int_equal(pthread_create(&thread, NULL, say, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(own, "");
    assert_string_equal(common, "t: from a thread|");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_capture_takes_lines_of_its_level_whatever_the_common_one_is),
        T(errors_stand_in_both),
        T(what_a_capture_does_not_take_goes_where_it_went),
        T(a_capture_is_of_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
