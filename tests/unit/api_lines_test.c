/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/lines.h"
#include "api/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Split text fed in pieces of this size; each line is shown as [line]. */
static void split(const char *text, size_t len, size_t piece, uint64_t max, char *out,
                  lines_result *end)
{
    lines l = {.max = max};
    slice line;

    *out = '\0';
    *end = LINES_MORE;
    for (size_t from = 0; from < len && *end == LINES_MORE; from += piece) {
        size_t n = len - from < piece ? len - from : piece;
        uint8_t *copy = malloc(n); /* exactly as long: a sanitizer sees a step beyond */
        const uint8_t *at = copy;

        assert_non_null(copy);
        memcpy(copy, text + from, n);
        while ((*end = lines_next(&l, &at, copy + n, &line)) == LINES_LINE)
            sprintf(out + strlen(out), "[%.*s]", (int)line.len, (const char *)line.ptr);
        free(copy);
    }
    if (*end == LINES_MORE && lines_rest(&l, &line))
        sprintf(out + strlen(out), "[%.*s]", (int)line.len, (const char *)line.ptr);
    lines_fini(&l);
}

static void lines_do_not_depend_on_where_the_pieces_end(void **state)
{
    static const struct {
        const char *text, *lines;
    } rows[] = {
        {"", ""},
        {"\n", "[]"},
        {"\n\n", "[][]"},
        {"a", "[a]"},
        {"a\n", "[a]"},
        {"one\ntwo\r\n\nthree", "[one][two\r][][three]"},
        {"a longer line than the others\nx\n", "[a longer line than the others][x]"},
    };
    char out[256];
    lines_result end;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].text);

        for (size_t piece = 1; piece <= len + 1; piece++) {
            split(rows[i].text, len, piece, 100, out, &end);
            assert_string_equal(out, rows[i].lines);
        }
    }
}

static void a_line_of_the_limit_passes_and_one_byte_more_does_not(void **state)
{
    char out[256];
    lines_result end;

    (void)state;
    for (size_t piece = 1; piece < 12; piece++) {
        split("12345\n1234\n12345", 16, piece, 5, out, &end);
        assert_string_equal(out, "[12345][1234][12345]");
        split("12345\n123456\nx", 14, piece, 5, out, &end);
        assert_string_equal(out, "[12345]");
        assert_int_equal(end, LINES_TOO_LONG);
        split("1\n123456", 8, piece, 5, out, &end);
        assert_string_equal(out, "[1]");
        assert_int_equal(end, LINES_TOO_LONG);
    }
}

static void a_source_is_an_id_and_a_number(void **state)
{
    char id[SOURCE_ID_MAX + 1] = "untouched";
    uint64_t seq = 7;
    char longest[SOURCE_ID_MAX + 8];

    (void)state;
    assert_int_equal(source_parse("client-1.a_B/1", id, &seq, NULL), BERTH_OK);
    assert_string_equal(id, "client-1.a_B");
    assert_int_equal(seq, 1);
    assert_int_equal(source_parse("x/18446744073709551615", id, &seq, NULL), BERTH_OK);
    assert_true(seq == UINT64_MAX);
    memset(longest, 'a', SOURCE_ID_MAX);
    strcpy(longest + SOURCE_ID_MAX, "/9");
    assert_int_equal(source_parse(longest, id, &seq, NULL), BERTH_OK);
    assert_int_equal(strlen(id), SOURCE_ID_MAX);
}

static void what_is_no_source_is_refused_and_changes_nothing(void **state)
{
    static const char *const rows[] = {
        "",
        "/",
        "x",
        "x/",
        "/1",
        "x/0",
        "x/01",
        "x/-1",
        "x/+1",
        "x/1 ",
        "x /1",
        "x/1/2",
        "ä/1",
        "x/18446744073709551616",
        "x/1a",
        "x//1",
        "x\n/1",
        "x/99999999999999999999999",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char id[SOURCE_ID_MAX + 1] = "untouched";
        uint64_t seq = 7;
        berth_error error = {0};

        if (source_parse(rows[i], id, &seq, &error) != BERTH_ERR_INVALID)
            fail_msg("accepted: '%s'", rows[i]);
        assert_non_null(strstr(error.text, "Berth-Source: "));
        assert_string_equal(id, "untouched");
        assert_int_equal(seq, 7);
    }
}

static void decimal_numbers_end_at_their_limit(void **state)
{
    uint64_t value = 0;

    (void)state;
    assert_true(decimal_parse("3600000", 3600000, &value));
    assert_int_equal(value, 3600000);
    assert_false(decimal_parse("3600001", 3600000, &value));
    assert_true(decimal_parse("0", 0, &value));
    assert_false(decimal_parse("5", 3, &value));
    assert_false(decimal_parse("", 3, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_do_not_depend_on_where_the_pieces_end),
        cmocka_unit_test(a_line_of_the_limit_passes_and_one_byte_more_does_not),
        cmocka_unit_test(a_source_is_an_id_and_a_number),
        cmocka_unit_test(what_is_no_source_is_refused_and_changes_nothing),
        cmocka_unit_test(decimal_numbers_end_at_their_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
