/* SPDX-License-Identifier: Apache-2.0 */
/* How many origins of one node a daemon remembers exactly. */
#include "mesh_hosts.h"

#define ORIGINS 6 /* a daemon's; half of them for one node */

static hosts h;
static uint64_t target;

/* From a new daemon of host i. */
static void emit_from(unsigned i, uint64_t key, unsigned expected)
{
    uint64_t from = hosts_spawn(&h, i, "script", key);
    char text[64];

    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", target);
    OK(hosts_tell(&h, i, from, text, NULL));
    UNTIL(hosts_count(&h, 1, target) == expected);
}

static runtime_counters counters(void)
{
    runtime_counters c;

    runtime_get_counters(h.list[1].rt, &c);
    return c;
}

static void one_node_fills_half_of_what_a_daemon_remembers_and_the_rest_is_counted(void **state)
{
    static const berth_runtime_config limits = {.size = sizeof limits, .horizon_origins = ORIGINS};
    unsigned sent = 0;

    (void)state;
    hosts_init(&h, 3);
    h.limits = &limits;
    for (unsigned i = 0; i < 3; i++)
        hosts_up(&h, i);
    UNTIL(hosts_joined(&h));
    target = hosts_spawn(&h, 1, "script", 1);
    for (unsigned i = 0; i < ORIGINS / 2; i++, sent++)
        emit_from(0, 0x100 + i, sent + 1);
    assert_int_equal(counters().horizon_peer_full, 0);
    for (unsigned i = 0; i < 4; i++, sent++) /* they are heard all the same */
        emit_from(0, 0x200 + i, sent + 1);
    assert_int_equal(counters().horizon_peer_full, 4);
    /* The others have room. */
    emit_from(2, 0x300, ++sent);
    emit_from(1, 0x301, ++sent);
    emit_from(2, 0x302, ++sent);
    assert_int_equal(counters().horizon_peer_full, 4);
    assert_int_equal(counters().horizon_full, 0);
    emit_from(2, 0x303, ++sent);
    assert_int_equal(counters().horizon_peer_full, 4);
    assert_int_equal(counters().horizon_full, 1);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_fills_half_of_what_a_daemon_remembers_and_the_rest_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
