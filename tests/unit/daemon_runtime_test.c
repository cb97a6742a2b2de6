/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's life, spawning, delivering and stopping (compute-core §14, §20). */
#include "kinds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static berth_keypair key_of(uint64_t counter)
{
    uint8_t seed[32] = {0};
    berth_keypair key;
    for (int i = 0; i < 8; i++)
        seed[i] = (uint8_t)(counter >> (8 * i));
    berth_keypair_from_seed(&key, seed);
    return key;
}

#define OK(call) assert_int_equal(call, BERTH_OK)

static void echo_round_trip_with_stats(void **state)
{
    (void)state;
    berth_runtime *rt = kinds_runtime(NULL);
    berth_outputs *out = berth_outputs_new();
    uint64_t d;
    OK(berth_spawn_kind(rt, "echo", NULL, NULL, &d, NULL));
    OK(berth_deliver(rt, d, "hello", 5, out, NULL));
    assert_int_equal(berth_outputs_count(out), 1);
    berth_output_view v = berth_outputs_at(out, 0);
    assert_int_equal(v.len, 5);
    assert_memory_equal(v.data, "hello", 5);
    assert_int_equal(v.link.sequence, 1);
    assert_int_equal(v.link.origin, d);
    berth_daemon_info info;
    OK(berth_daemon_get(rt, d, &info, NULL));
    assert_int_equal(info.events_processed, 1);
    assert_int_equal(info.events_emitted, 1);
    OK(berth_stop(rt, d, 0, NULL));
    assert_int_equal(berth_deliver(rt, d, "x", 1, NULL, NULL), BERTH_ERR_NOT_FOUND);
    berth_outputs_free(out);
    berth_runtime_free(rt);
    assert_int_equal(kinds_alive, 0);
}

static void counter_continues_after_snapshot_and_restore(void **state)
{
    (void)state;
    berth_runtime *rt = kinds_runtime(NULL);
    berth_outputs *out = berth_outputs_new();
    berth_keypair key = key_of(1);
    uint64_t d, len;
    void *bytes;
    OK(berth_spawn_kind(rt, "counter", &key, NULL, &d, NULL));
    for (int i = 0; i < 5; i++)
        OK(berth_deliver(rt, d, "", 0, NULL, NULL));
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_from_snapshot(rt, NULL, &key, bytes, len, NULL, &d, NULL));
    OK(berth_deliver(rt, d, "", 0, out, NULL));
    berth_output_view v = berth_outputs_at(out, 0);
    assert_int_equal(v.len, 1);
    assert_memory_equal(v.data, "6", 1);
    assert_int_equal(v.link.sequence, 6);
    free(bytes);
    berth_outputs_free(out);
    berth_runtime_free(rt);
    assert_int_equal(kinds_alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_round_trip_with_stats),
        cmocka_unit_test(counter_continues_after_snapshot_and_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
