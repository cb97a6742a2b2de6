/* SPDX-License-Identifier: Apache-2.0 */
/* error and log. cmocka's fail() macro would hide ours, hence the undef. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    assert_string_equal(berth_status_name(BERTH_OK), "OK");
    assert_string_equal(berth_status_name(BERTH_ERR_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(berth_status_name(-5), "UNKNOWN");
    for (berth_status s = 1; s <= BERTH_ERR_INTERNAL; s++) {
        assert_string_not_equal(berth_status_name(s), "UNKNOWN");
        assert_true(strlen(berth_status_text(s)) > 3);
    }
}

static void an_error_carries_its_code_and_line(void **state)
{
    berth_error error = {0};

    (void)state;
    assert_int_equal(fail(&error, BERTH_ERR_BUSY, "daemon '%s': in use", "a"), BERTH_ERR_BUSY);
    assert_int_equal(error.code, BERTH_ERR_BUSY);
    assert_string_equal(error.text, "daemon 'a': in use");
    assert_int_equal(fail_prefix(&error, "line %d", 3), BERTH_ERR_BUSY);
    assert_string_equal(error.text, "line 3: daemon 'a': in use");
    assert_int_equal(fail(&error, BERTH_ERR_IO, "again: %s", error.text), BERTH_ERR_IO);
    assert_string_equal(error.text, "again: line 3: daemon 'a': in use");
    assert_int_equal(fail(NULL, BERTH_ERR_IO, "nobody listens"), BERTH_ERR_IO);
}

static void hostile_text_cannot_forge_lines_or_break_utf8(void **state)
{
    berth_error error;
    char out[8];

    (void)state;
    fail(&error, BERTH_ERR_INVALID, "name '%s'", "a\nb\x1b[1m\x7f\xc2\x9b\xff\xc3\xa9");
    assert_string_equal(error.text, "name 'a\\x0ab\\x1b[1m\\x7f\\xc2\\x9b\\xff\xc3\xa9'");
    text_escape(out, sizeof out, "abcdef\n", 7);
    assert_string_equal(out, "abcdef");
    text_escape(out, sizeof out, "abcdef\xc3\xa9", 8);
    assert_string_equal(out, "abcdef");
    text_escape(out, 1, "abc", 3);
    assert_string_equal(out, "");
}

static void long_text_is_cut(void **state)
{
    char *text = malloc(5001);
    berth_error error;

    (void)state;
    memset(text, 'x', 5000);
    text[5000] = 0;
    fail(&error, BERTH_ERR_INVALID, "%s", text);
    assert_int_equal(strlen(error.text), BERTH_ERROR_TEXT - 1);
    fail_prefix(&error, "p");
    assert_int_equal(strlen(error.text), BERTH_ERROR_TEXT - 1);
    assert_memory_equal(error.text, "p: xx", 5);
    free(text);
}

static void errno_becomes_a_status(void **state)
{
    berth_error error;

    (void)state;
    assert_int_equal(fail_errno(&error, ENOSPC, "%s", "f"), BERTH_ERR_NO_SPACE);
    assert_string_equal(error.text, "f: No space left on device");
    assert_int_equal(fail_errno(&error, EDQUOT, "f"), BERTH_ERR_NO_SPACE);
    assert_int_equal(fail_errno(&error, ENOENT, "f"), BERTH_ERR_NOT_FOUND);
    assert_int_equal(fail_errno(&error, EACCES, "f"), BERTH_ERR_PERMISSION);
    assert_int_equal(fail_errno(&error, EPERM, "f"), BERTH_ERR_PERMISSION);
    assert_int_equal(fail_errno(&error, ENOMEM, "f"), BERTH_ERR_NO_MEMORY);
    assert_int_equal(fail_errno(&error, EEXIST, "f"), BERTH_ERR_EXISTS);
    assert_int_equal(fail_errno(NULL, EBADF, "f"), BERTH_ERR_IO);
}

static char seen[128];

static void remember(void *ctx, log_level level, const char *room, const char *text)
{
    ++*(int *)ctx;
    assert_true(level <= LOG_LEVEL_INFO);
    assert_string_equal(room, "test");
    strncpy(seen, text, sizeof seen - 1);
}

static void the_log_drops_what_is_above_its_level_and_escapes(void **state)
{
    int count = 0;

    (void)state;
    log_set_sink(remember, &count);
    log_info("test", "one\n%d", 2);
    assert_string_equal(seen, "one\\x0a2");
    log_debug("test", "not shown");
    assert_int_equal(count, 1);
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("test", "not shown");
    log_error("test", "shown");
    assert_int_equal(count, 2);
    log_set_level(LOG_LEVEL_INFO);
    log_set_sink(NULL, NULL);
}

static void a_log_entry_is_one_line_on_standard_error(void **state)
{
    char line[256] = {0};
    int ends[2], saved = dup(STDERR_FILENO);

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_warn("room", "hello %s", "there");
    dup2(saved, STDERR_FILENO);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    /* 2026-01-31T12:00:00.123Z warn  room: hello there */
    assert_int_equal(strlen(line), 24 + strlen(" warn  room: hello there\n"));
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    assert_string_equal(line + 24, " warn  room: hello there\n");
    close(ends[0]);
    close(ends[1]);
    close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(an_error_carries_its_code_and_line),
        cmocka_unit_test(hostile_text_cannot_forge_lines_or_break_utf8),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(the_log_drops_what_is_above_its_level_and_escapes),
        cmocka_unit_test(a_log_entry_is_one_line_on_standard_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
