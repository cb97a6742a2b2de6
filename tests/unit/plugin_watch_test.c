/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "plugin/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define MS 1000000ll

static watch *w;
static char said[256];
static watch_outcome outcome; /* what a load in the callback ends in */
static int64_t now;

static void say(void *ctx, watch_action action, const char *name)
{
    (void)ctx;
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s %s;",
             action == WATCH_LOAD ? "load" : "new", name);
    if (action == WATCH_LOAD)
        watch_result(w, name, outcome, now);
}

/* One look, at some time; what was said. */
static const char *look(int64_t at_ms, const watch_file *files, size_t count, bool need_signature)
{
    now = at_ms * MS;
    said[0] = 0;
    assert_int_equal(watch_scan(w, files, count, need_signature, now, say, NULL, NULL), BERTH_OK);
    return said;
}

static int begin(void **state)
{
    (void)state;
    w = watch_new();
    outcome = WATCH_LOADED;
    return w ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    watch_free(w);
    return 0;
}

static watch_file a_file(const char *name)
{
    return (watch_file){.name = name, .file = {1, 10, 100, 5}, .signature = {1, 11, 50, 5}};
}

static void a_file_is_loaded_once_when_it_is_stable(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    assert_string_equal(look(0, &f, 1, true), "");
    assert_int_equal(watch_next_ns(w), 300 * MS);
    assert_string_equal(look(299, &f, 1, true), "");
    assert_string_equal(look(300, &f, 1, true), "load a.so;");
    assert_string_equal(look(1000, &f, 1, true), "");
    assert_true(watch_next_ns(w) == INT64_MAX);
}

static void a_file_that_still_grows_is_waited_for(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    look(0, &f, 1, true);
    f.file.size = 200;
    assert_string_equal(look(250, &f, 1, true), "");
    assert_string_equal(look(500, &f, 1, true), "");
    assert_string_equal(look(550, &f, 1, true), "load a.so;");
}

static void a_file_waits_for_its_signature_where_one_is_needed(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    f.signature = (watch_stamp){0};
    look(0, &f, 1, true);
    assert_string_equal(look(1000, &f, 1, true), "");
    assert_true(watch_next_ns(w) == INT64_MAX); /* the signature's arrival will be noticed */
    f.signature = (watch_stamp){1, 11, 50, 6};
    assert_string_equal(look(2000, &f, 1, true), "");
    assert_string_equal(look(2300, &f, 1, true), "load a.so;");
}

static void a_file_without_a_signature_is_loaded_where_none_is_needed(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    f.signature = (watch_stamp){0};
    look(0, &f, 1, false);
    assert_string_equal(look(300, &f, 1, false), "load a.so;");
}

static void a_failed_file_is_left_alone_until_it_or_its_signature_changes(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    outcome = WATCH_FAILED;
    look(0, &f, 1, true);
    assert_string_equal(look(300, &f, 1, true), "load a.so;");
    assert_string_equal(look(10000, &f, 1, true), "");
    f.signature.inode++;
    assert_string_equal(look(11000, &f, 1, true), "");
    assert_string_equal(look(11300, &f, 1, true), "load a.so;");
    f.file.modified_ns++;
    look(12000, &f, 1, true);
    outcome = WATCH_LOADED;
    assert_string_equal(look(12300, &f, 1, true), "load a.so;");
}

static void a_load_that_could_not_be_tried_is_tried_again(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    outcome = WATCH_AGAIN;
    look(0, &f, 1, true);
    assert_string_equal(look(300, &f, 1, true), "load a.so;");
    assert_string_equal(look(500, &f, 1, true), "");
    assert_string_equal(look(600, &f, 1, true), "load a.so;");
}

static void a_changed_file_that_is_loaded_is_a_new_version_and_not_loaded(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    look(0, &f, 1, true);
    look(300, &f, 1, true);
    f.file.inode = 77;
    assert_string_equal(look(400, &f, 1, true), "");
    assert_string_equal(look(700, &f, 1, true), "new a.so;");
    assert_string_equal(look(9000, &f, 1, true), "");
}

static void a_file_that_goes_is_forgotten(void **state)
{
    watch_file files[] = {a_file("a.so"), a_file("b.so"), a_file("c.so")};

    (void)state;
    look(0, files, 3, true);
    assert_non_null(strstr(look(300, files, 3, true), "load b.so;"));
    assert_string_equal(look(400, files, 1, true), "");
    /* Comes back: as any new file. The loader will find that it has it already. */
    assert_string_equal(look(500, files, 2, true), "");
    assert_string_equal(look(800, files, 2, true), "load b.so;");
}

static void a_file_that_changes_while_it_is_loaded_is_looked_at_again(void **state)
{
    watch_file f = a_file("a.so");

    (void)state;
    outcome = WATCH_LOADED;
    look(0, &f, 1, true);
    look(300, &f, 1, true);
    f.file.size++;
    look(310, &f, 1, true);
    watch_result(w, "a.so", WATCH_FAILED, 320 * MS); /* late, about what is no longer there */
    assert_string_equal(look(610, &f, 1, true), "new a.so;");
}

#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_file_is_loaded_once_when_it_is_stable),
        test(a_file_that_still_grows_is_waited_for),
        test(a_file_waits_for_its_signature_where_one_is_needed),
        test(a_file_without_a_signature_is_loaded_where_none_is_needed),
        test(a_failed_file_is_left_alone_until_it_or_its_signature_changes),
        test(a_load_that_could_not_be_tried_is_tried_again),
        test(a_changed_file_that_is_loaded_is_a_new_version_and_not_loaded),
        test(a_file_that_goes_is_forgotten),
        test(a_file_that_changes_while_it_is_loaded_is_looked_at_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
