/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin counter, its source linked in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "berth/plugin.h"
#include "berth/testkit.h"

static void it_counts_and_continues(void **state)
{
    berth_test *t = berth_test_open(&berth_plugin_0, NULL);
    berth_test_daemon *d = berth_test_spawn(t, NULL, NULL);
    berth_daemon_status status;
    berth_bytes bytes;

    (void)state;
    assert_int_equal(berth_test_message(d, "anything", 8), BERTH_OK);
    assert_true(berth_test_emitted(d, 0, "1"));
    assert_int_equal(berth_test_message(d, NULL, 0), BERTH_OK);
    assert_true(berth_test_emitted(d, 0, "2"));
    assert_int_equal(berth_test_snapshot(d, 1, &bytes), BERTH_OK);
    assert_int_equal(bytes.len, 8);
    assert_memory_equal(bytes.ptr, "\2\0\0\0\0\0\0\0", 8);
    assert_int_equal(berth_test_rebuild(d, 1), BERTH_OK);
    assert_int_equal(berth_test_message(d, "x", 1), BERTH_OK);
    assert_true(berth_test_emitted(d, 0, "3"));
    assert_int_equal(berth_test_status(d, &status), BERTH_OK);
    assert_int_equal(status.state_bytes, 8);
    assert_int_equal(berth_test_rebuild(d, 2), BERTH_E_VERSION);
    berth_test_close(t);
}

static void an_event_that_cannot_be_answered_is_not_counted(void **state)
{
    berth_test *t = berth_test_open(&berth_plugin_0, NULL);
    berth_test_birth birth = {.max_output_bytes = 1};
    berth_test_daemon *d = berth_test_spawn(t, &birth, NULL);
    berth_bytes bytes;

    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(berth_test_message(d, "", 0), BERTH_OK);
    assert_int_equal(berth_test_message(d, "", 0), BERTH_E_LIMIT);
    assert_int_equal(berth_test_snapshot(d, 1, &bytes), BERTH_OK);
    assert_memory_equal(bytes.ptr, "\11\0\0\0\0\0\0\0", 8);
    berth_test_close(t);
}

static void only_a_state_of_eight_bytes_is_one(void **state)
{
    static const uint8_t full[9] = {255, 255, 255, 255, 255, 255, 255, 255, 0};
    berth_test *t = berth_test_open(&berth_plugin_0, NULL);
    berth_code code;

    (void)state;
    for (uint64_t len = 0; len <= 9; len++) {
        berth_test_birth birth = {.state = {full, len}, .state_version = 1};
        berth_test_spawn(t, &birth, &code);
        assert_int_equal(code, len == 8 ? BERTH_OK : BERTH_E_STATE);
    }
    berth_test_birth birth = {.state = {full, 8}, .state_version = 1};
    berth_test_daemon *d = berth_test_spawn(t, &birth, NULL);
    assert_int_equal(berth_test_message(d, "", 0), BERTH_E_REJECT);
    birth.state_version = 2;
    assert_null(berth_test_spawn(t, &birth, &code));
    assert_int_equal(code, BERTH_E_VERSION);
    berth_test_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_and_continues),
        cmocka_unit_test(an_event_that_cannot_be_answered_is_not_counted),
        cmocka_unit_test(only_a_state_of_eight_bytes_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
