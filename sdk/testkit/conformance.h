/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.h: one set of checks of what a host owes a plugin, run against the testkit and
 * against the host, so that the two cannot drift apart.
 *
 * Whoever is to be checked writes a driver: it loads tests/plugins/probe.so, makes daemons of its
 * kinds, and hands them events one at a time. The checks steer the probe by scripts in those events
 * (tests/plugins/probe/probe.h has the commands) and look at the effects and answers. Not
 * installed.
 */
#ifndef TESTKIT_CONFORMANCE_H
#define TESTKIT_CONFORMANCE_H

#include "berth/testkit.h"

/* What became of one call. All of it lives until the next call of the driver. */
typedef struct conformance_result {
    berth_code code;  /* that counts: the handler's, or BERTH_E_LIMIT */
    const char *text; /* given to fail, as the host keeps it (cut, escaped); "" or NULL: none */
    const berth_test_effect *effects; /* in order; none when code is not BERTH_OK */
    size_t effect_count;
} conformance_result;

/* All functions get ctx first, and block until the plugin has answered. */
typedef struct conformance_driver {
    void *ctx;
    /* A daemon of one of the probe's kinds, with the limits and state of birth (zero: its defaults;
     * see berth_test_birth). Calls create only. BERTH_OK or what create answered; the text may have
     * words of the host around it. */
    berth_code (*create)(void *ctx, const berth_test_birth *birth, void **daemon,
                         conformance_result *result);
    void (*destroy)(void *ctx, void *daemon);
    /* One event. type, flags, origin, sequence, data, channel, reply_to, request and status are
     * given; the rest is the driver's to fill. */
    void (*deliver)(void *ctx, void *daemon, const berth_event *event, conformance_result *result);
    /* *state as long as result. */
    void (*snapshot)(void *ctx, void *daemon, uint32_t want_version, berth_bytes *state,
                     conformance_result *result);
    berth_code (*status)(void *ctx, void *daemon, berth_daemon_status *out);
    /* The last two may be NULL, where posts and the log are not under test.
     * Deliver the oldest post that waits as on_post; BERTH_E_ARGUMENT in result when there is none.
     */
    void (*run_post)(void *ctx, void *daemon, conformance_result *result);
    /* The host's log line i since the driver began, escaped, without time and daemon; NULL: no
     * more. */
    const char *(*log_line)(void *ctx, size_t i);
    /* Whether plugin code runs in this process, so that it can hold on to dead handles. */
    int is_inline;
} conformance_driver;

/* Called once per check; why is NULL when it held, else what did not, as file line and expression.
 */
typedef void conformance_report(void *ctx, const char *check, const char *why);

/* Run all checks. How many did not hold. */
size_t conformance_run(const conformance_driver *driver, conformance_report *report, void *ctx);

#endif
