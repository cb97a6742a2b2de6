/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line makes of a migration that a host has described. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/moving.h"

#include <stdlib.h>
#include <string.h>

static struct json_object *view(const char *text)
{
    struct json_object *o = json_tokener_parse(text);

    assert_non_null(o);
    return o;
}

static void the_line_shows_phase_bytes_rate_events_and_the_pause(void **state)
{
    struct json_object *v =
        view("{\"name\":\"words\",\"target_name\":\"east\",\"state\":\"moving\","
             "\"phase\":\"transfer\",\"bytes_sent\":50000000,"
             "\"bytes_total\":200000000,\"held_events\":1234,"
             "\"phase_ns\":2000000000,\"blackout_ns\":1500000000}");
    char line[256];

    (void)state;
    assert_string_equal(moving_line(line, sizeof line, 0, v),
                        "words to east  transfer  50.0 MB of 200.0 MB  25.0 MB/s  1,234 held  "
                        "paused for 1.5s");
    assert_string_equal(moving_line(line, sizeof line, 13, v), "words to east");
    json_object_put(v);
}

static void what_is_not_known_is_left_out_of_the_line(void **state)
{
    struct json_object *v = view("{\"name\":null,\"origin\":\"4f1c\",\"target\":\"07d8\","
                                 "\"target_name\":null,\"phase\":\"snapshot\"}");
    char line[256];

    (void)state;
    assert_string_equal(moving_line(line, sizeof line, 0, v), "4f1c to 07d8  snapshot");
    json_object_put(v);
    v = view("{\"name\":\"w\",\"state\":\"in-doubt\",\"phase\":\"cutover\",\"target_name\":\"b\","
             "\"waits_for_name\":\"b\"}");
    assert_string_equal(moving_line(line, sizeof line, 0, v),
                        "w to b  cutover  in doubt: waits for b");
    json_object_put(v);
}

static void a_target_that_fetches_the_plugin_is_said_to(void **state)
{
    struct json_object *v = view("{\"name\":\"w\",\"state\":\"moving\",\"phase\":\"snapshot\","
                                 "\"target_name\":\"b\",\"fetching\":true,"
                                 "\"bytes_sent\":1000000,\"bytes_total\":4000000}");
    char line[256];

    (void)state;
    assert_string_equal(moving_line(line, sizeof line, 0, v),
                        "w to b  snapshot, fetches the plugin  1.0 MB of 4.0 MB");
    json_object_put(v);
}

static void a_change_is_a_line_with_time_id_and_how_it_ended(void **state)
{
    struct json_object *v =
        view("{\"time\":\"2026-11-30T17:10:50.123456789Z\",\"id\":\"efb91f7d0011223344\","
             "\"name\":\"words\",\"target_name\":\"east\",\"state\":\"moving\","
             "\"phase\":\"snapshot\",\"reason\":null,\"message\":null}");
    char line[256];

    (void)state;
    assert_string_equal(moving_change(line, sizeof line, v),
                        "2026-11-30T17:10:50.123Z  efb91f7d0011  words to east  snapshot");
    json_object_put(v);
    v = view("{\"time\":\"2026-11-30T17:10:50.123456789Z\",\"id\":\"ef\",\"name\":\"w\","
             "\"target_name\":\"b\",\"state\":\"failed\",\"phase\":\"transfer\","
             "\"bytes_sent\":1000,\"bytes_total\":2000,\"held_events\":3,\"reason\":\"no-room\","
             "\"message\":\"disk is full\"}");
    assert_string_equal(moving_change(line, sizeof line, v),
                        "2026-11-30T17:10:50.123Z  ef  w to b  transfer  1.0 KB of 2.0 KB  3 held  "
                        "failed: no-room: disk is full");
    json_object_put(v);
}

static void what_is_not_heard_is_told_and_what_is_not_known_is_not(void **state)
{
    struct json_object *v =
        view("{\"subscriptions\":{\"total\":3,\"pending\":1,\"missing\":1,\"channel\":\"news\","
             "\"publisher\":\"07d8\",\"publisher_name\":null,\"message\":\"no answer\"}}");
    char line[256];

    (void)state;
    assert_string_equal(moving_unheard(line, sizeof line, v),
                        "1 of 3 subscriptions not yet made: channel news of 07d8: no answer; it is "
                        "tried again");
    assert_false(moving_is_heard(v));
    json_object_put(v);
    v = view("{\"subscriptions\":null}");
    assert_string_equal(moving_unheard(line, sizeof line, v), "");
    assert_false(moving_is_heard(v));
    json_object_put(v);
    v = view("{\"subscriptions\":{\"total\":3,\"pending\":0,\"missing\":0}}");
    assert_string_equal(moving_unheard(line, sizeof line, v), "");
    assert_true(moving_is_heard(v));
    json_object_put(v);
}

static void each_end_has_its_exit_code(void **state)
{
    static const struct {
        const char *view;
        int code;
    } rows[] = {
        {"{\"state\":\"moved\"}", EXIT_DONE},
        {"{\"state\":\"failed\",\"reason\":\"refused\"}", EXIT_REFUSED},
        {"{\"state\":\"failed\",\"reason\":\"identity-transport-failed\"}", EXIT_REFUSED},
        {"{\"state\":\"failed\",\"reason\":\"timeout\"}", EXIT_TIMEOUT},
        {"{\"state\":\"failed\",\"reason\":\"not-ready-timeout\"}", EXIT_TIMEOUT},
        {"{\"state\":\"failed\",\"reason\":\"cancelled\"}", EXIT_FAILED},
        {"{\"state\":\"failed\",\"reason\":\"of a later version\"}", EXIT_FAILED},
        {"{\"state\":\"in-doubt\"}", EXIT_DOUBT},
        {"{\"state\":\"unknown\"}", EXIT_DOUBT},
        {"{\"state\":\"moving\"}", EXIT_DOUBT}, /* whoever leaves now does not know */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_object *v = view(rows[i].view);

        if (moving_exit(v) != rows[i].code)
            fail_msg("%s: %d", rows[i].view, moving_exit(v));
        json_object_put(v);
    }
}

static void times_have_a_unit_and_a_limit(void **state)
{
    uint64_t ms;

    (void)state;
    assert_true(format_parse_wait("1ms", 3600000, &ms) && ms == 1);
    assert_true(format_parse_wait("30s", 3600000, &ms) && ms == 30000);
    assert_true(format_parse_wait("1h", 3600000, &ms) && ms == 3600000);
    assert_true(format_parse_wait("24h", MOVING_MOST_MS, &ms) && ms == MOVING_MOST_MS);
    for (const char *const *bad =
             (const char *const[]){"", "0s", "5", "s", "1.5s", "-1s", "2h", "61m", "3600001ms",
                                   "99999999999999999999s", "18446744073709551615h", NULL};
         *bad; bad++)
        if (format_parse_wait(*bad, 3600000, &ms))
            fail_msg("%s was taken", *bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_shows_phase_bytes_rate_events_and_the_pause),
        cmocka_unit_test(what_is_not_known_is_left_out_of_the_line),
        cmocka_unit_test(a_target_that_fetches_the_plugin_is_said_to),
        cmocka_unit_test(a_change_is_a_line_with_time_id_and_how_it_ended),
        cmocka_unit_test(what_is_not_heard_is_told_and_what_is_not_known_is_not),
        cmocka_unit_test(each_end_has_its_exit_code),
        cmocka_unit_test(times_have_a_unit_and_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
