/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/detector.h"

#define S 1000000000ll

typedef struct seen {
    detector d;
    unsigned suspected, failed, recovered, all;
    void (*inside)(struct seen *, uint64_t node);
} seen;

static void changed(void *ctx, uint64_t node, health from, health to)
{
    seen *s = ctx;

    /* The change has happened already, and was one. */
    assert_int_equal(detector_health(&s->d, node), to);
    assert_int_not_equal(from, to);
    s->all++;
    s->suspected += to == HEALTH_SUSPECTED;
    s->failed += to == HEALTH_FAILED;
    s->recovered += from == HEALTH_FAILED;
    if (s->inside)
        s->inside(s, node);
}

static void begin(seen *s, uint32_t max)
{
    detector_config c = {.changed = changed, .ctx = s, .max_nodes = max};

    *s = (seen){0};
    assert_int_equal(detector_init(&s->d, &c, NULL), BERTH_OK);
}

/* mesh-transport §12.3, §24.7: failure_detector unit tests */
static void silence_of_two_timeouts_is_suspected_and_of_three_failed(void **state)
{
    seen s;

    (void)state;
    begin(&s, 0);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_UNKNOWN);
    assert_int_equal(detector_deadline(&s.d), INT64_MAX);
    detector_heartbeat(&s.d, 1, 5 * S);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_HEALTHY);
    assert_int_equal(detector_deadline(&s.d), 65 * S);
    detector_check(&s.d, 65 * S - 1);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_HEALTHY);
    detector_check(&s.d, 65 * S);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_SUSPECTED);
    assert_int_equal(detector_deadline(&s.d), 95 * S);
    detector_check(&s.d, 95 * S - 1);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_SUSPECTED);
    detector_check(&s.d, 95 * S);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_FAILED);
    assert_int_equal(detector_deadline(&s.d), INT64_MAX);
    detector_check(&s.d, 1000 * S);
    assert_int_equal(s.failed, 1); /* once per failure */
    detector_fini(&s.d);
}

/* mesh-transport §12.3: elapsed-based, and only past the timeout */
static void misses_are_whole_timeouts_of_silence(void **state)
{
    seen s;

    (void)state;
    begin(&s, 0);
    detector_heartbeat(&s.d, 1, 0);
    assert_int_equal(detector_missed(&s.d, 1, 30 * S), 0);
    assert_int_equal(detector_missed(&s.d, 1, 30 * S + 1), 1);
    assert_int_equal(detector_missed(&s.d, 1, 60 * S), 2);
    assert_int_equal(detector_missed(&s.d, 1, 301 * S), 10);
    assert_int_equal(detector_missed(&s.d, 1, -5 * S), 0);
    assert_int_equal(detector_missed(&s.d, 2, 301 * S), 0);
    /* A late check judges by what has passed, not by how often it was called. */
    detector_check(&s.d, 301 * S);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_FAILED);
    assert_int_equal(s.suspected, 1);
    assert_int_equal(s.failed, 1);
    detector_fini(&s.d);
}

/* mesh-transport §12.3: states improve by a heartbeat only; recovery is told once, from Failed */
static void only_a_heartbeat_improves_a_state(void **state)
{
    seen s;

    (void)state;
    begin(&s, 0);
    detector_heartbeat(&s.d, 1, 0);
    detector_check(&s.d, 60 * S);
    detector_check(&s.d, 10 * S); /* time does not run backwards */
    assert_int_equal(detector_health(&s.d, 1), HEALTH_SUSPECTED);
    detector_heartbeat(&s.d, 1, 61 * S);
    assert_int_equal(s.recovered, 0);
    detector_check(&s.d, 151 * S);
    assert_int_equal(detector_health(&s.d, 1), HEALTH_FAILED);
    detector_heartbeat(&s.d, 1, 152 * S);
    detector_heartbeat(&s.d, 1, 153 * S);
    assert_int_equal(s.recovered, 1);
    assert_int_equal(detector_missed(&s.d, 1, 153 * S), 0);
    detector_fini(&s.d);
}

static void other_nodes_are_judged_by_their_own_silence(void **state)
{
    seen s;

    (void)state;
    begin(&s, 0);
    for (uint64_t n = 1; n <= 100; n++)
        detector_heartbeat(&s.d, n, 0);
    for (int64_t t = 5; t <= 100; t += 5) {
        for (uint64_t n = 51; n <= 100; n++)
            detector_heartbeat(&s.d, n, t * S);
        detector_check(&s.d, t * S);
    }
    assert_int_equal(detector_count(&s.d, HEALTH_FAILED), 50);
    assert_int_equal(detector_count(&s.d, HEALTH_HEALTHY), 50);
    for (uint64_t n = 1; n <= 100; n++)
        assert_int_equal(detector_health(&s.d, n), n <= 50 ? HEALTH_FAILED : HEALTH_HEALTHY);
    detector_fini(&s.d);
}

static void forget_all(seen *s, uint64_t node)
{
    (void)node;
    for (uint64_t n = 1; n <= 10; n++)
        detector_forget(&s->d, n);
}

static void beat_and_check(seen *s, uint64_t node)
{
    if (detector_health(&s->d, node) == HEALTH_FAILED)
        detector_heartbeat(&s->d, node, 90 * S);
    detector_check(&s->d, 90 * S);
}

/* mesh-transport §12.3, §24.7: callbacks run after the state is settled and may call back */
static void a_callback_may_call_the_detector(void **state)
{
    seen s;

    (void)state;
    begin(&s, 0);
    for (uint64_t n = 1; n <= 10; n++)
        detector_heartbeat(&s.d, n, 0);
    s.inside = beat_and_check;
    detector_check(&s.d, 90 * S);
    assert_int_equal(s.failed, 10);
    assert_int_equal(s.recovered, 10);
    assert_int_equal(detector_count(&s.d, HEALTH_HEALTHY), 10);
    s.inside = forget_all;
    s.all = 0;
    detector_check(&s.d, 300 * S);
    assert_int_equal(s.all, 1); /* the first call forgot them all */
    assert_int_equal(detector_deadline(&s.d), INT64_MAX);
    assert_int_equal(detector_health(&s.d, 3), HEALTH_UNKNOWN);
    detector_fini(&s.d);
}

static void a_node_more_than_fit_is_refused_and_counted(void **state)
{
    seen s;

    (void)state;
    begin(&s, 3);
    for (uint64_t n = 1; n <= 3; n++)
        assert_int_equal(detector_heartbeat(&s.d, n, 0), BERTH_OK);
    assert_int_equal(detector_heartbeat(&s.d, 4, 0), BERTH_ERR_LIMIT);
    assert_int_equal(s.d.refused, 1);
    assert_int_equal(detector_heartbeat(&s.d, 2, S), BERTH_OK);
    detector_forget(&s.d, 1);
    assert_int_equal(detector_heartbeat(&s.d, 4, S), BERTH_OK);
    detector_fini(&s.d);
}

/* mesh-transport §14, G32: numbers that contradict each other are refused */
static void contradicting_timings_are_refused(void **state)
{
    detector d;
    berth_error error = {0};

    (void)state;
    assert_int_equal(detector_init(&d, &(detector_config){.timeout_ns = -1}, &error),
                     BERTH_ERR_INVALID);
    assert_int_equal(
        detector_init(&d, &(detector_config){.suspect_after = 3, .fail_after = 3}, &error),
        BERTH_ERR_INVALID);
    assert_non_null(error.text);
    assert_int_equal(detector_init(&d, &(detector_config){.timeout_ns = INT64_MAX / 4}, &error),
                     BERTH_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_of_two_timeouts_is_suspected_and_of_three_failed),
        cmocka_unit_test(misses_are_whole_timeouts_of_silence),
        cmocka_unit_test(only_a_heartbeat_improves_a_state),
        cmocka_unit_test(other_nodes_are_judged_by_their_own_silence),
        cmocka_unit_test(a_callback_may_call_the_detector),
        cmocka_unit_test(a_node_more_than_fit_is_refused_and_counted),
        cmocka_unit_test(contradicting_timings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
