/* SPDX-License-Identifier: Apache-2.0 */
/* Delivering to a daemon of another host as if it were here: results, outputs, order, room, ends.
 */
#include "mesh_hosts.h"

static void what_is_delivered_to_a_daemon_elsewhere_is_answered_as_here(void **state)
{
    hosts h;
    uint64_t b;
    char out[256], text[64];
    berth_outputs *outputs = berth_outputs_new();
    berth_input inputs[5];
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 3);
    UNTIL(hosts_joined(&h));
    b = hosts_spawn(&h, 1, "script", 2);
    OK(hosts_tell(&h, 0, b, "add:5 emit:one emit:two", out));
    assert_string_equal(out, "one");
    assert_int_equal(hosts_count(&h, 2, b), 5);
    /* A batch: each event has its own end, and outputs know whose they are. */
    snprintf(text, sizeof text, "%s", "show");
    inputs[0] = (berth_input){.data = "add:1", .len = 5};
    inputs[1] = (berth_input){.data = "reject", .len = 6};
    inputs[2] = (berth_input){.data = "show", .len = 4};
    inputs[3] = (berth_input){.data = "reject", .len = 6};
    inputs[4] = (berth_input){.data = text, .len = 4};
    assert_int_equal(berth_deliver_batch(h.list[0].rt, b, inputs, 5, outputs, &error),
                     BERTH_ERR_REJECTED);
    CONTAINS(error.text, "told to");
    assert_int_equal(berth_outputs_failed(outputs), 2);
    assert_int_equal(berth_outputs_status(outputs, 1), BERTH_ERR_REJECTED);
    assert_int_equal(berth_outputs_status(outputs, 2), BERTH_OK);
    assert_int_equal(berth_outputs_count(outputs), 2);
    assert_int_equal(berth_outputs_at(outputs, 0).input, 2);
    assert_int_equal(berth_outputs_at(outputs, 0).link.origin, b);
    assert_memory_equal(berth_outputs_at(outputs, 1).data, "6", 1);
    berth_outputs_free(outputs);
    hosts_end(&h);
}

static void a_daemon_that_nobody_has_is_not_found(void **state)
{
    hosts h;
    berth_error error = {0};

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    assert_int_equal(berth_deliver(h.list[0].rt, 0x1234, "x", 1, NULL, &error),
                     BERTH_ERR_NOT_FOUND);
    CONTAINS(error.text, "0000000000001234");
    hosts_end(&h);
}

static _Atomic unsigned over, over_ok;

static void count_over(void *ctx, berth_status status, uint64_t failed)
{
    (void)ctx;
    (void)failed;
    over_ok += status == BERTH_OK;
    over++;
}

/* Two hosts; a daemon of the second, which is returned, is in the midst of an event that the first
 * waits for. */
static uint64_t stop_at_the_gate(hosts *h)
{
    uint64_t b;
    berth_error error = {0};

    hosts_start(h, 2);
    UNTIL(hosts_joined(h));
    b = hosts_spawn(h, 1, "script", 2);
    assert_int_equal(hosts_count(h, 0, b), 0);
    over = over_ok = 0;
    kinds_gate_close();
    OK(berth_submit(h->list[0].rt, b, &(berth_input){.data = "gate", .len = 4}, 1, count_over, NULL,
                    &error));
    kinds_gate_await(1);
    return b;
}

/* More than a mailbox holds waits at the other node, in order, and none of it is lost. */
static void a_daemon_without_room_makes_its_callers_wait(void **state)
{
    hosts h;
    uint64_t b;
    berth_error error = {0};

    (void)state;
    b = stop_at_the_gate(&h);
    for (unsigned i = 0; i < 100; i++) {
        berth_input many[50];

        for (unsigned k = 0; k < 50; k++)
            many[k] = (berth_input){.data = "add:1", .len = 5};
        OK(berth_submit_wait(h.list[0].rt, b, many, 50, count_over, NULL, &error));
    }
    kinds_gate_open();
    UNTIL(over == 101);
    assert_int_equal(over_ok, 101);
    assert_int_equal(hosts_count(&h, 1, b), 5000);
    hosts_end(&h);
}

/* Without a number to know a repeat by, nobody can say what became of it. */
static void a_node_that_dies_in_between_leaves_an_outcome_that_nobody_knows(void **state)
{
    hosts h;

    (void)state;
    stop_at_the_gate(&h);
    mesh_kill(h.list[1].mesh);
    kinds_gate_open();
    hosts_down(&h, 1, false);
    hosts_up(&h, 1);
    hosts_spawn(&h, 1, "script", 2);
    UNTIL(over == 1);
    assert_int_equal(over_ok, 0);
    hosts_end(&h);
}

static void what_waits_for_an_answer_ends_with_the_host(void **state)
{
    hosts h;

    (void)state;
    stop_at_the_gate(&h);
    hosts_down(&h, 0, true);
    assert_int_equal(over, 1);
    assert_int_equal(over_ok, 0);
    kinds_gate_open();
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_delivered_to_a_daemon_elsewhere_is_answered_as_here),
        cmocka_unit_test(a_daemon_that_nobody_has_is_not_found),
        cmocka_unit_test(a_daemon_without_room_makes_its_callers_wait),
        cmocka_unit_test(a_node_that_dies_in_between_leaves_an_outcome_that_nobody_knows),
        cmocka_unit_test(what_waits_for_an_answer_ends_with_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
