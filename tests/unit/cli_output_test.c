/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/format.h"
#include "cli/ndjson.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_NS (60 * 1000000000LL)

static char *text;
static size_t len;
static FILE *out;

static int begin(void **state)
{
    (void)state;
    setlocale(LC_CTYPE, "C.UTF-8");
    out = open_memstream(&text, &len);
    return out ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    fclose(out);
    free(text);
    return 0;
}

static const char *written(void)
{
    fflush(out);
    return text;
}

static const tab_column columns[] = {{"NAME", false}, {"EVENTS", true}, {"NOTE", false}};

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    tab t;

    (void)state;
    tab_begin(&t, columns, 3);
    tab_add(&t, STYLE_PLAIN, "w");
    tab_add(&t, STYLE_PLAIN, "1,234,567");
    tab_add(&t, STYLE_PLAIN, "%s", "");
    tab_add(&t, STYLE_PLAIN, "thermostat");
    tab_add(&t, STYLE_PLAIN, "7");
    tab_add(&t, STYLE_PLAIN, "cold");
    tab_end(&t, out, false);
    assert_string_equal(written(), "NAME           EVENTS  NOTE\n"
                                   "w           1,234,567  \n"
                                   "thermostat          7  cold\n");
}

static void wide_and_combining_characters_keep_the_columns_straight(void **state)
{
    tab t;

    (void)state;
    tab_begin(&t, columns, 3);
    tab_add(&t, STYLE_PLAIN, "温度"); /* two columns each */
    tab_add(&t, STYLE_PLAIN, "1");
    tab_add(&t, STYLE_PLAIN, "a");
    tab_add(&t, STYLE_PLAIN, "ze\xcc\x81ro"); /* the accent takes none */
    tab_add(&t, STYLE_PLAIN, "2");
    tab_add(&t, STYLE_PLAIN, "b");
    tab_end(&t, out, false);
    assert_string_equal(written(), "NAME  EVENTS  NOTE\n"
                                   "温度       1  a\n"
                                   "ze\xcc\x81ro       2  b\n");
}

static void control_bytes_of_a_host_reach_no_terminal(void **state)
{
    tab t;

    (void)state;
    tab_begin(&t, columns, 1);
    tab_add(&t, STYLE_PLAIN, "%s", "a\x1b[31m\nb");
    tab_end(&t, out, false);
    assert_string_equal(written(), "NAME\na\\x1b[31m\\x0ab\n");
}

static void colours_do_not_count_as_width(void **state)
{
    tab t;

    (void)state;
    tab_begin(&t, columns, 3);
    tab_add(&t, STYLE_BAD, "down");
    tab_add(&t, STYLE_PLAIN, "1");
    tab_add(&t, STYLE_PLAIN, "x");
    tab_end(&t, out, true);
    assert_string_equal(written(), "\x1b[1mNAME\x1b[0m  \x1b[1mEVENTS\x1b[0m  \x1b[1mNOTE\x1b[0m\n"
                                   "\x1b[31mdown\x1b[0m       1  x\n");
}

static void a_payload_is_exact_bytes_unless_a_terminal_would_obey_it(void **state)
{
    static const char payload[] = "a\x1b[2J\tb\n\xff";

    (void)state;
    output_payload(out, false, slice_of(payload, sizeof payload - 1));
    assert_int_equal(len, (fflush(out), sizeof payload));
    assert_memory_equal(text, payload, sizeof payload - 1);
    rewind(out);
    output_payload(out, true, slice_of(payload, sizeof payload - 1));
    fputc(0, out);
    assert_string_equal(written(), "a\\x1b[2J\tb\n\\xff\n");
}

static void a_long_payload_is_shown_whole_and_keeps_its_characters(void **state)
{
    char *payload = (char *)malloc(3 * 1000 + 1);

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        memcpy(payload + 3 * i, "\xe6\xb8\xa9", 3);
    payload[3000] = 0;
    for (size_t skip = 0; skip < 3000; skip += 3) {
        rewind(out);
        output_payload(out, true, slice_str(payload + skip));
        fputc(0, out);
        written();
        assert_int_equal(strlen(text), 3000 - skip + 1);
        assert_memory_equal(text, payload + skip, 3000 - skip);
    }
    free(payload);
}

static void numbers_read_as_people_write_them(void **state)
{
    char b[FORMAT_MAX];

    (void)state;
    assert_string_equal(format_bytes(b, 0), "0 B");
    assert_string_equal(format_bytes(b, 999), "999 B");
    assert_string_equal(format_bytes(b, 1000), "1.0 KB");
    assert_string_equal(format_bytes(b, 999950), "1.0 MB");
    assert_string_equal(format_bytes(b, UINT64_MAX), "18.4 EB");
    assert_string_equal(format_count(b, 0), "0");
    assert_string_equal(format_count(b, 999), "999");
    assert_string_equal(format_count(b, 1000), "1,000");
    assert_string_equal(format_count(b, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(format_duration(b, 5 * 1000000), "5ms");
    assert_string_equal(format_duration(b, 61 * 60 * 1000000000LL), "1h 1m");
    assert_string_equal(format_ago(b, 0, 3 * MINUTE_NS), "3m ago");
    assert_string_equal(format_ago(b, 5, 7), "now");
    assert_string_equal(format_ago(b, 3 * MINUTE_NS, 0), "in 3m");
    assert_string_equal(format_ago(b, 0, 50 * 60 * MINUTE_NS), "2d ago");
    assert_string_equal(format_rtt(b, 0), "0us");
    assert_string_equal(format_rtt(b, 312999), "312us");
    assert_string_equal(format_rtt(b, 1254000), "1.25ms");
    assert_string_equal(format_rtt(b, 31230000), "31.2ms");
    assert_string_equal(format_rtt(b, 2100000000), "2.1s");
    assert_string_equal(format_share(b, 0, 5), "0%");
    assert_string_equal(format_share(b, 5, 0), "0%");
    assert_string_equal(format_share(b, 1, 5000), "0.02%");
    assert_string_equal(format_share(b, 1, 8), "12.5%");
}

static void times_of_a_host_are_understood(void **state)
{
    int64_t ns = 0;

    (void)state;
    assert_true(format_parse_time("1970-01-01T00:00:01Z", &ns));
    assert_int_equal(ns, 1000000000);
    assert_true(format_parse_time("2026-01-31T12:00:00.000000001Z", &ns));
    assert_int_equal(ns, 1769860800000000001);
    assert_true(format_parse_time("2026-01-31T14:00:00+02:00", &ns));
    assert_int_equal(ns, 1769860800000000000);
    assert_false(format_parse_time("", &ns));
    assert_false(format_parse_time("2026-01-31", &ns));
    assert_false(format_parse_time("2026-01-31T12:00:00", &ns));
    assert_false(format_parse_time("2026-01-31T12:00:00Zulu", &ns));
    assert_int_equal(ns, 1769860800000000000);
}

static void a_progress_line_fits_the_terminal(void **state)
{
    char line[256];

    (void)state;
    progress_line(line, sizeof line, 120, "send", 500000000, 1000000000, 2000000000, false);
    assert_string_equal(line,
                        "send [============>           ]  50%  500.0 MB of 1.0 GB  250.0 MB/s  "
                        "2s left");
    progress_line(line, sizeof line, 120, "back", 2000, 4000, 2000000000, true);
    assert_non_null(strstr(line, "2000 of 4000  1000/s"));
    progress_line(line, sizeof line, 120, "send", 2000, 0, 2000000000, false);
    assert_string_equal(line, "send  2.0 KB  1.0 KB/s");
    progress_line(line, sizeof line, 10, "send", 1, 3, 1, false);
    assert_int_equal(strlen(line), 10);
    /* A file that grew while it was sent. */
    progress_line(line, sizeof line, 120, "send", 2000, 1000, 2000000000, false);
    assert_string_equal(line, "send  2.0 KB  1.0 KB/s");
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static bool keep_line(void *ctx, slice line)
{
    FILE *to = (FILE *)ctx;

    fprintf(to, "[%.*s]", (int)line.len, (const char *)line.ptr);
    return line.len != 4 || memcmp(line.ptr, "stop", 4) != 0;
}

static void lines_come_out_the_same_however_the_stream_is_cut(void **state)
{
    static const char stream[] = "{\"a\":1}\n\n{\"b\":22}\nlast\nno end";

    (void)state;
    for (size_t cut = 1; cut < sizeof stream; cut++) {
        ndjson n = {.line = keep_line, .ctx = out, .max = 100};

        rewind(out);
        for (size_t at = 0; at < sizeof stream - 1; at += cut) {
            size_t left = sizeof stream - 1 - at;

            assert_int_equal(ndjson_feed(&n, stream + at, left < cut ? left : cut), NDJSON_MORE);
        }
        assert_true(ndjson_is_partial(&n));
        assert_int_equal(ndjson_feed(&n, "\n", 1), NDJSON_MORE);
        assert_false(ndjson_is_partial(&n));
        fputc(0, out);
        assert_string_equal(written(), "[{\"a\":1}][][{\"b\":22}][last][no end]");
        ndjson_fini(&n);
    }
}

static void a_line_over_the_limit_is_refused_at_once(void **state)
{
    ndjson n = {.line = keep_line, .ctx = out, .max = 4};

    (void)state;
    assert_int_equal(ndjson_feed(&n, "four\n", 5), NDJSON_MORE);
    assert_int_equal(ndjson_feed(&n, "fi", 2), NDJSON_MORE);
    assert_int_equal(ndjson_feed(&n, "ve!", 3), NDJSON_LONG);
    ndjson_fini(&n);
    n = (ndjson){.line = keep_line, .ctx = out, .max = 4};
    assert_int_equal(ndjson_feed(&n, "five!\n", 6), NDJSON_LONG);
    ndjson_fini(&n);
}

static void a_reader_of_lines_can_stop_the_stream(void **state)
{
    ndjson n = {.line = keep_line, .ctx = out, .max = 100};

    (void)state;
    assert_int_equal(ndjson_feed(&n, "go\nstop\nmore\n", 13), NDJSON_STOPPED);
    assert_string_equal(written(), "[go][stop]");
    ndjson_fini(&n);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(columns_are_as_wide_as_their_widest_cell),
        TEST(wide_and_combining_characters_keep_the_columns_straight),
        TEST(control_bytes_of_a_host_reach_no_terminal),
        TEST(colours_do_not_count_as_width),
        TEST(a_payload_is_exact_bytes_unless_a_terminal_would_obey_it),
        TEST(a_long_payload_is_shown_whole_and_keeps_its_characters),
        TEST(numbers_read_as_people_write_them),
        TEST(times_of_a_host_are_understood),
        TEST(a_progress_line_fits_the_terminal),
        TEST(lines_come_out_the_same_however_the_stream_is_cut),
        TEST(a_line_over_the_limit_is_refused_at_once),
        TEST(a_reader_of_lines_can_stop_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
