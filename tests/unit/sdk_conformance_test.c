/* SPDX-License-Identifier: Apache-2.0 */
/* The testkit passes the suite that the host passes too (abi.md: they cannot drift). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conformance.h"

#include <stdio.h>

#define PROBE BUILD_DIR "/tests/plugins/probe.so"

static void look(berth_test_daemon *d, berth_code code, conformance_result *result)
{
    result->code = code;
    result->text = berth_test_failure(d);
    result->effects = berth_test_effect_at(d, 0);
    result->effect_count = berth_test_effect_count(d);
}

static berth_code create(void *ctx, const berth_test_birth *birth, void **daemon,
                         conformance_result *result)
{
    berth_code code;
    berth_test_daemon *d = berth_test_spawn(ctx, birth, &code);

    *result = (conformance_result){.code = code, .text = berth_test_last_failure(ctx)};
    *daemon = d;
    return code;
}

static void destroy(void *ctx, void *daemon)
{
    (void)ctx;
    berth_test_destroy(daemon);
}

static void deliver(void *ctx, void *daemon, const berth_event *event, conformance_result *result)
{
    (void)ctx;
    berth_code code;
    if (event->type == BERTH_EVENT_REPLY)
        code = berth_test_reply(daemon, event->request, event->status, event->flags,
                                event->data.ptr, event->data.len);
    else
        code = berth_test_deliver(daemon, event);
    look(daemon, code, result);
}

static void snapshot(void *ctx, void *daemon, uint32_t want_version, berth_bytes *state,
                     conformance_result *result)
{
    (void)ctx;
    berth_code code = berth_test_snapshot(daemon, want_version, state);
    look(daemon, code, result);
}

static berth_code status(void *ctx, void *daemon, berth_daemon_status *out)
{
    (void)ctx;
    return berth_test_status(daemon, out);
}

static void run_post(void *ctx, void *daemon, conformance_result *result)
{
    (void)ctx;
    berth_code code = berth_test_run_post(daemon);
    look(daemon, code, result);
}

static const char *log_line(void *ctx, size_t i)
{
    return berth_test_log_text(ctx, i);
}

static void report(void *ctx, const char *check, const char *why)
{
    (void)ctx;
    if (why)
        print_error("%s: %s\n", check, why);
}

static void the_testkit_owes_plugins_what_the_host_owes_them(void **state)
{
    (void)state;
    const char *why;
    berth_test *t = berth_test_open_file(PROBE, &why);
    assert_non_null(t);
    conformance_driver driver = {.ctx = t,
                                 .create = create,
                                 .destroy = destroy,
                                 .deliver = deliver,
                                 .snapshot = snapshot,
                                 .status = status,
                                 .run_post = run_post,
                                 .log_line = log_line,
                                 .is_inline = 1};
    assert_int_equal(conformance_run(&driver, report, NULL), 0);
    berth_test_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_testkit_owes_plugins_what_the_host_owes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
