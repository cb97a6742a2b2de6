/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that a host has when nobody says anything else (docs/design.md, Limits), each below,
 * at and above. How limits work is tested with small ones in daemon_calls, daemon_mailbox,
 * daemon_ring.
 */
#include "daemon_help.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static berth_runtime *alone(void **state, berth_runtime_config config)
{
    config.size = sizeof(config);
    config.threads = 1;
    return help_runtime(state, &config);
}

/* An event of so many bytes; what the delivery answers. */
static berth_status deliver_bytes(berth_runtime *rt, uint64_t d, const void *bytes, size_t len)
{
    berth_outputs *out = berth_outputs_new();
    berth_error error = {0};
    berth_status status = berth_deliver(rt, d, bytes, len, out, &error);
    if (status == BERTH_OK) {
        assert_int_equal(berth_outputs_count(out), 1);
        assert_int_equal(berth_outputs_at(out, 0).len, len);
    } else {
        assert_int_equal(berth_outputs_count(out), 0);
        assert_true(error.text[0]);
    }
    berth_outputs_free(out);
    return status;
}

/* Event: 1 MiB; as much as 16 MiB when the host is told so, and never more. */
static void an_event_has_one_mebibyte_and_can_have_sixteen(void **state)
{
    const size_t limits[] = {MIB, 16 * MIB};
    char *bytes = calloc(1, 16 * MIB + 1);
    assert_non_null(bytes);
    for (int i = 0; i < 2; i++) {
        berth_runtime *rt =
            alone(state, (berth_runtime_config){.max_event = i ? 16 * MIB : 0, .ring_bytes = 1});
        uint64_t d = spawn_of(rt, "echo");
        OK(deliver_bytes(rt, d, bytes, limits[i] - 1));
        OK(deliver_bytes(rt, d, bytes, limits[i]));
        FAILS(deliver_bytes(rt, d, bytes, limits[i] + 1), LIMIT);
        assert_int_equal(info_of(rt, d).events_processed, 2);
        help_free(state, rt);
    }
    free(bytes);
    berth_runtime *rt;
    berth_runtime_config over = {.size = sizeof(over), .max_event = 16 * MIB + 1};
    FAILS(berth_runtime_new(&over, &rt, NULL), LIMIT);
}

typedef struct bound {
    const char *text;
    const char *limit; /* NULL: allowed */
    uint64_t outputs;
} bound;

/* Outputs of a call: 4,096, or 64 MiB. */
static void a_call_has_4096_outputs_or_64_mebibytes(void **state)
{
    static const bound bounds[] = {
        {"many:4095", NULL, 4095},
        {"many:4096", NULL, 4096},
        {"many:4097", "outputs per call", 0},
        {"size:67108863", NULL, 1},
        {"size:67108864", NULL, 1},
        {"size:67108865", "output bytes per call", 0},
        {"size:33554432 size:33554432", NULL, 2},
        {"size:33554432 size:33554432 emit:x", "output bytes per call", 0},
    };
    berth_runtime *rt = alone(state, (berth_runtime_config){0});
    uint64_t d = spawn_of(rt, "script");
    berth_outputs *out = berth_outputs_new();
    for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
        berth_error error = {0};
        berth_status status =
            berth_deliver(rt, d, bounds[i].text, strlen(bounds[i].text), out, &error);
        if (status != (bounds[i].limit ? BERTH_ERR_LIMIT : BERTH_OK) ||
            berth_outputs_count(out) != bounds[i].outputs)
            fail_msg("%s: %s, %" PRIu64 " outputs", bounds[i].text, berth_status_name(status),
                     berth_outputs_count(out));
        if (bounds[i].limit)
            CONTAINS(error.text, bounds[i].limit);
    }
    berth_outputs_free(out);
    help_free(state, rt);
}

/* Mailbox: 1,024 events, or 8 MiB; the one that runs counts. */
static void a_mailbox_has_1024_events_or_8_mebibytes(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){.max_event = 16 * MIB});
    uint64_t d = spawn_of(rt, "script");
    static berth_input in[1023];
    for (size_t i = 0; i < 1023; i++)
        in[i] = (berth_input){.data = "add:1", .len = 5};
    OK(berth_flush(rt, d, NULL));
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        kinds_gate_close();
        OK(post_it(rt, d, "gate"));
        kinds_gate_await(1);
        if (by_bytes) { /* 4 are taken already */
            char *bytes = calloc(1, 8 * MIB);
            berth_input most = {.data = bytes, .len = 8 * MIB - 4};
            berth_input less = {.data = bytes, .len = 8 * MIB - 5};
            berth_input more = {.data = bytes, .len = 8 * MIB - 3};
            FAILS(berth_submit(rt, d, &more, 1, NULL, NULL, NULL), WOULD_BLOCK);
            OK(berth_submit(rt, d, &less, 1, NULL, NULL, NULL));
            kinds_gate_open();
            OK(berth_flush(rt, d, NULL));
            kinds_gate_close();
            OK(post_it(rt, d, "gate"));
            kinds_gate_await(1);
            OK(berth_submit(rt, d, &most, 1, NULL, NULL, NULL));
            assert_int_equal(info_of(rt, d).mailbox_bytes, 8 * MIB);
            free(bytes);
        } else {
            OK(berth_submit(rt, d, in, 1022, NULL, NULL, NULL));
            FAILS(berth_submit(rt, d, in, 2, NULL, NULL, NULL), WOULD_BLOCK);
            OK(berth_submit(rt, d, in, 1, NULL, NULL, NULL));
            assert_int_equal(info_of(rt, d).mailbox_events, 1024);
        }
        FAILS(berth_submit(rt, d, in, 1, NULL, NULL, NULL), WOULD_BLOCK);
        kinds_gate_open();
        OK(berth_flush(rt, d, NULL));
    }
    assert_string_equal(ask_it(rt, d, "show"), "1023");
    help_free(state, rt);
}

/* What a reader who comes now finds of the past. */
static size_t kept_of(berth_runtime *rt, uint64_t d)
{
    static tail_item items[300];
    uint64_t missed;
    bool ended;
    tail *t;
    OK(tail_open_daemon(rt, d, TAIL_FROM_RING, NULL, NULL, &t, NULL));
    size_t n = tail_read(t, items, 300, &missed, &ended);
    for (size_t i = 0; i < n; i++)
        tail_item_release(&items[i]);
    tail_close(t);
    return n;
}

/* Tail ring of a daemon: 256 outputs, or 64 KiB with their links and places. */
static void a_ring_keeps_256_outputs_or_64_kibibytes(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){0});
    uint64_t small = spawn_of(rt, "echo"), large = spawn_of(rt, "echo");
    static char bytes[64 * KIB];
    const size_t most = 64 * KIB - sizeof(tail_item) - 32;
    for (size_t i = 0; i < 258; i++) {
        assert_int_equal(kept_of(rt, small), i < 256 ? i : 256);
        OK(tell_it(rt, small, "x"));
    }
    OK(deliver_bytes(rt, large, bytes, most - 1));
    assert_int_equal(kept_of(rt, large), 1);
    OK(deliver_bytes(rt, large, bytes, most));
    assert_int_equal(kept_of(rt, large), 1);
    OK(deliver_bytes(rt, large, bytes, most + 1)); /* outputs all the same, but is not kept */
    assert_int_equal(kept_of(rt, large), 0);
    help_free(state, rt);
}

/* Rings in all: 64 MiB. */
static void all_rings_keep_64_mebibytes(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){.ring_bytes = 64 * MIB});
    runtime_counters c;
    char *bytes = calloc(1, MIB);
    uint64_t d[3];
    size_t kept = 0;
    for (int i = 0; i < 3; i++)
        d[i] = spawn_of(rt, "echo");
    for (int i = 0; i < 63; i++) /* 63 MiB and a little for each */
        OK(deliver_bytes(rt, d[i % 3], bytes, MIB));
    for (int i = 0; i < 3; i++)
        kept += kept_of(rt, d[i]);
    assert_int_equal(kept, 63); /* below it nothing goes */
    for (int i = 0; i < 12; i++) {
        OK(deliver_bytes(rt, d[i % 3], bytes, MIB));
        runtime_get_counters(rt, &c);
        assert_true(c.ring_bytes <= 64 * MIB);
        assert_true(kept_of(rt, d[i % 3]) > 0); /* the newest is there: it is the old that goes */
    }
    free(bytes);
    help_free(state, rt);
}

/* State of a snapshot: 4 GiB - 1, which the format has room for (compute-core K26); call budget 10
 * ms; the budget's own edge is in daemon_dispatcher_test.c. */
static void a_state_has_4_gibibytes_less_one_and_a_call_10_milliseconds(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){0});
    assert_int_equal(rt->limits.max_state, UINT32_MAX);
    assert_int_equal(rt->limits.call_budget_ns, 10000000);
    help_free(state, rt);
    for (uint64_t over = 0; over < 2; over++) {
        berth_runtime_config config = {.size = sizeof(config), .max_state = UINT32_MAX + over};
        berth_status status = berth_runtime_new(&config, &rt, NULL);
        assert_int_equal(status, over ? BERTH_ERR_LIMIT : BERTH_OK);
        if (!over)
            berth_runtime_free(rt);
    }
}

/* Channel name: 255 bytes, from outside and from a handler. */
static void a_channel_has_a_name_of_255_bytes(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){0});
    uint64_t d = spawn_of(rt, "script"), reached;
    char name[257];
    memset(name, 'c', sizeof(name));
    for (size_t len = 254; len <= 256; len++) {
        bool fits = len <= 255;
        name[len] = 0;
        berth_status status = berth_subscribe_channel(rt, d, 0, name, NULL, 0, NULL);
        assert_int_equal(status == BERTH_OK, fits);
        status =
            runtime_publish(rt, slice_str(name), slice_str("add:1"), NULL, NULL, &reached, NULL);
        assert_int_equal(status == BERTH_OK, fits);
        if (fits)
            assert_int_equal(reached, 1);
        status = tell_it(rt, d, say("sub:%s", name));
        assert_int_equal(status == BERTH_OK, fits);
        name[len] = 'c';
    }
    assert_string_equal(ask_it(rt, d, "show"), "2");
    assert_int_equal(info_of(rt, d).subscriptions, 2);
    help_free(state, rt);
}

/* Configuration of a daemon: 64 KiB. */
static void a_configuration_has_64_kibibytes(void **state)
{
    berth_runtime *rt = alone(state, (berth_runtime_config){0});
    static char bytes[64 * KIB + 1];
    for (size_t len = 64 * KIB - 1; len <= 64 * KIB + 1; len++) {
        berth_daemon_config config = {.size = sizeof(config), .config = bytes, .config_len = len};
        berth_error error = {0};
        uint64_t d;
        berth_status status = berth_spawn_kind(rt, "echo", NULL, &config, &d, &error);
        assert_int_equal(status, len > 64 * KIB ? BERTH_ERR_LIMIT : BERTH_OK);
    }
    assert_int_equal(berth_daemon_count(rt), 2);
    assert_int_equal(factories_count(&rt->factories), 2);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_event_has_one_mebibyte_and_can_have_sixteen),
        BOTH(a_call_has_4096_outputs_or_64_mebibytes),
        BOTH(a_mailbox_has_1024_events_or_8_mebibytes),
        BOTH(a_ring_keeps_256_outputs_or_64_kibibytes),
        INLINE(all_rings_keep_64_mebibytes),
        INLINE(a_state_has_4_gibibytes_less_one_and_a_call_10_milliseconds),
        BOTH(a_channel_has_a_name_of_255_bytes),
        BOTH(a_configuration_has_64_kibibytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
