/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says of a daemon that is to be moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/migration_order.h"

#include <string.h>

static void all_that_is_said_arrives(void **state)
{
    migration_order o;

    (void)state;
    assert_int_equal(migration_order_read(
                         &o,
                         slice_str("{\"daemon\":\"words\",\"node\":\"east\",\"source\":\"west\","
                                   "\"transport_identity\":false,\"retry_not_ready_ms\":0,"
                                   "\"deadline_ms\":86400000,\"max_hold_ms\":1,"
                                   "\"dry_run\":true}"),
                         NULL),
                     BERTH_OK);
    assert_string_equal(o.daemon, "words");
    assert_string_equal(o.node, "east");
    assert_string_equal(o.source, "west");
    assert_false(o.transport_identity);
    assert_true(o.dry_run);
    assert_int_equal(o.retry_not_ready_ms, 0);
    assert_int_equal(o.deadline_ms, 86400000);
    assert_int_equal(o.max_hold_ms, 1);
}

/* migration 12: the usual options */
static void a_daemon_and_a_node_are_enough(void **state)
{
    migration_order o;

    (void)state;
    assert_int_equal(migration_order_read(&o, slice_str("{\"daemon\":\"d\",\"auto\":true}"), NULL),
                     BERTH_OK);
    assert_string_equal(o.node, "");
    assert_true(o.transport_identity);
    assert_false(o.dry_run);
    assert_int_equal(o.retry_not_ready_ms, 30000);
    assert_int_equal(o.deadline_ms, 0);
    assert_int_equal(o.max_hold_ms, 0);
}

static void every_mistake_is_refused_and_named(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        {"[]", "body: must be an object"},
        {"{\"node\":\"b\"}", "daemon"},
        {"{\"daemon\":\"\",\"node\":\"b\"}", "daemon: must not be empty"},
        {"{\"daemon\":\"d\"}", "node: is missing: say where to, or \"auto\": true"},
        {"{\"daemon\":\"d\",\"auto\":false}", "node: is missing"},
        {"{\"daemon\":\"d\",\"node\":\"b\",\"auto\":true}", "'b' and auto: keep one"},
        {"{\"daemon\":\"d\",\"node\":7}", "node"},
        {"{\"daemon\":\"d\",\"node\":\"b\",\"dry_run\":1}", "dry_run"},
        {"{\"daemon\":\"d\",\"node\":\"b\",\"deadline_ms\":86400001}",
         "deadline_ms: must be at most"},
        {"{\"daemon\":\"d\",\"node\":\"b\",\"max_hold_ms\":-1}", "max_hold_ms"},
        {"{\"daemon\":\"d\",\"node\":\"b\",\"retry_not_ready_ms\":\"1s\"}", "retry_not_ready_ms"},
        {"{\"daemon\":\"d\",\"target\":\"b\"}", "'target' is no member of it"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        berth_error error = {0};
        migration_order o;

        if (migration_order_read(&o, slice_str(rows[i].body), &error) != BERTH_ERR_INVALID ||
            !strstr(error.text, rows[i].says))
            fail_msg("%s\nis told: %s", rows[i].body, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_said_arrives),
        cmocka_unit_test(a_daemon_and_a_node_are_enough),
        cmocka_unit_test(every_mistake_is_refused_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
