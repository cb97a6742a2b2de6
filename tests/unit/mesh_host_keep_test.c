/* SPDX-License-Identifier: Apache-2.0 */
/* What survives the end of a host: what its daemons sent and had not arrived, and what they had
 * received. */
#include "mesh_hosts.h"

/* DESIGN §7, snapshot: a host that ends in order loses nothing. */
static void what_was_sent_and_had_not_arrived_is_sent_by_the_next_start(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[64];

    (void)state;
    hosts_init(&h, 2);
    hosts_keep(&h, 0);
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 1);
    UNTIL(hosts_counters(&h, 0).flows.acknowledged == 1); /* or who is born anew gets it again */
    hosts_down(&h, 1, false);
    for (unsigned i = 0; i < 20; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    hosts_down(&h, 0, true);
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    hosts_spawn(&h, 1, "script", 2);
    UNTIL(hosts_count(&h, 1, b) == 20);
    OK(hosts_tell(&h, 0, a, text, NULL)); /* and the flow goes on */
    UNTIL(hosts_count(&h, 1, b) == 21);
    hosts_end(&h);
}

/* The receiver's cursors come back with its state: what was applied before is not applied again,
 * though its sender never heard of it. */
static void what_was_applied_before_a_restart_is_not_applied_again(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[64];

    (void)state;
    hosts_init(&h, 2);
    hosts_keep(&h, 1);
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = hosts_count(&h, 1, b);

        for (unsigned i = 0; i < 10; i++)
            OK(hosts_tell(&h, 0, a, text, NULL));
        UNTIL(hosts_count(&h, 1, b) == before + 10);
        hosts_down(&h, 1, true);
        for (unsigned i = 0; i < 5; i++)
            OK(hosts_tell(&h, 0, a, text, NULL));
        hosts_up(&h, 1);
        UNTIL(hosts_count(&h, 1, b) == before + 15);
    }
    assert_int_equal(hosts_count(&h, 1, b), 45);
    hosts_end(&h);
}

/* A sender that was killed begins a new incarnation; its receiver takes both, in order, each once.
 */
static void a_sender_that_was_killed_goes_on_in_a_new_incarnation(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[64];
    void *bytes;
    uint64_t len;
    berth_error error = {0};

    (void)state;
    hosts_init(&h, 2);
    hosts_keep(&h, 0);
    hosts_up(&h, 0);
    hosts_up(&h, 1);
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", b);
    for (unsigned i = 0; i < 10; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 10);
    OK(berth_snapshot(h.list[0].rt, a, &bytes, &len, &error));
    free(bytes);
    hosts_down(&h, 0, false);
    /* As a kill leaves it: the row says that it did not end cleanly. */
    hosts_up(&h, 0);
    for (unsigned i = 0; i < 10; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 20);
    hosts_end(&h);
}

/* One that breaks and is rebuilt has two incarnations under way: the old events arrive first. */
static void a_sender_that_breaks_loses_none_of_what_it_had_sent(void **state)
{
    hosts h;
    uint64_t a, b, before;
    char text[64];

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "flood:%016" PRIx64 ":2000", b);
    for (unsigned i = 0; i < 3; i++) {
        OK(hosts_tell(&h, 0, a, text, NULL));
        hosts_tell(&h, 0, a, "broken", NULL);
    }
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 8000);
    before = hosts_counters(&h, 1).flows.received;
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 10000);
    assert_true(hosts_counters(&h, 1).flows.received >= before + 2000);
    hosts_end(&h);
}

/* What a daemon sent arrives also when it has been stopped meanwhile. */
static void what_a_daemon_sent_before_it_was_stopped_arrives(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[64];
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "flood:%016" PRIx64 ":4000", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    OK(berth_stop(h.list[0].rt, a, 1000, &error));
    UNTIL(hosts_count(&h, 1, b) == 4000);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sent_and_had_not_arrived_is_sent_by_the_next_start),
        cmocka_unit_test(what_was_applied_before_a_restart_is_not_applied_again),
        cmocka_unit_test(a_sender_that_was_killed_goes_on_in_a_new_incarnation),
        cmocka_unit_test(a_sender_that_breaks_loses_none_of_what_it_had_sent),
        cmocka_unit_test(what_a_daemon_sent_before_it_was_stopped_arrives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
