/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon: its chain, horizon, statistics, ledger and snapshots (compute-core §9, §20). */
#include "daemon_help.h"

#include "chain/container.h"
#include "chain/entity_log.h"

/* compute-core §20: echo: one output, same payload, sequence 1, processed = emitted = 1 */
static void echo_outputs_its_input_once_and_counts(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_outputs *out = berth_outputs_new();
    uint64_t d = spawn_of(rt, "echo");
    OK(berth_deliver(rt, d, "hello", 5, out, NULL));
    assert_int_equal(berth_outputs_count(out), 1);
    berth_output_view v = berth_outputs_at(out, 0);
    assert_int_equal(v.len, 5);
    assert_memory_equal(v.data, "hello", 5);
    assert_int_equal(v.link.sequence, 1);
    assert_int_equal(v.link.origin, d);
    berth_daemon_info info = info_of(rt, d);
    assert_int_equal(info.events_processed, 1);
    assert_int_equal(info.events_emitted, 1);
    assert_int_equal(info.errors, 0);
    assert_int_equal(info.sequence, 1);
    OK(berth_stop(rt, d, 0, NULL));
    FAILS(berth_deliver(rt, d, "x", 1, NULL, NULL), NOT_FOUND);
    FAILS(berth_stop(rt, d, 0, NULL), NOT_FOUND);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* compute-core §20: counter outputs 1..5 in order, chain sequence 5 */
static void outputs_of_a_batch_come_in_order_each_with_its_input(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_outputs *out = berth_outputs_new();
    uint64_t d = spawn_of(rt, "counter");
    berth_input in[5] = {{.len = 0}};
    OK(berth_deliver_batch(rt, d, in, 5, out, NULL));
    assert_int_equal(berth_outputs_count(out), 5);
    for (uint64_t i = 0; i < 5; i++) {
        berth_output_view v = berth_outputs_at(out, i);
        char digit = (char)('1' + i);
        assert_int_equal(v.len, 1);
        assert_memory_equal(v.data, &digit, 1);
        assert_int_equal(v.link.sequence, i + 1);
        assert_int_equal(v.input, i);
    }
    assert_int_equal(info_of(rt, d).sequence, 5);
    OK(berth_deliver(rt, d, "", 0, out, NULL)); /* the outputs of before are gone */
    assert_int_equal(berth_outputs_count(out), 1);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* compute-core §20: links: sequence i, own origin, non-zero changing parent hash; each validates */
static void every_output_is_tied_to_the_one_before(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_outputs *out = berth_outputs_new();
    uint64_t d = spawn_of(rt, "echo");
    berth_daemon_info info = info_of(rt, d);
    entity_log *log = entity_log_new(info.entity);
    uint64_t parent = 0;
    for (int i = 1; i <= 50; i++) {
        const char *text = say("event %d", i);
        OK(berth_deliver(rt, d, text, strlen(text), out, NULL));
        berth_output_view v = berth_outputs_at(out, 0);
        assert_int_equal(v.link.sequence, i);
        assert_int_equal(v.link.origin, d);
        assert_int_not_equal(v.link.parent, parent);
        parent = v.link.parent;
        buf *payload = buf_copy(v.data, v.len);
        OK(entity_log_append(log, &v.link, payload, 0, NULL, NULL));
        buf_unref(payload);
    }
    entity_log_unref(log);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* compute-core §20: the inbound event is in the horizon before process; §9.3: and stays there when
 * process fails */
static void an_event_is_in_the_horizon_before_it_is_run_and_though_it_fails(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_outputs *out = berth_outputs_new();
    uint64_t d = spawn_of(rt, "script");
    const berth_link aaaa = {.origin = 0xAAAA, .sequence = 1};
    const berth_link bbbb = {.origin = 0xBBBB, .sequence = 9};
    berth_input in[] = {
        {"emit:x", 6, &aaaa}, {"reject", 6, &bbbb}, {"emit:y", 6, NULL}, {"emit:z", 6, &aaaa}};
    FAILS(berth_deliver_batch(rt, d, in, 4, out, NULL), REJECTED);
    assert_int_equal(berth_outputs_count(out), 3);
    /* compute-core §21 */
    assert_int_equal(berth_outputs_at(out, 0).link.horizon, 0x0020040080000000);
    assert_int_equal(berth_outputs_at(out, 1).link.horizon, 0x8021040080004000);
    assert_int_equal(berth_outputs_at(out, 2).link.horizon, 0x8021040080004000);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* compute-core §20: no outputs: processed + 1, emitted 0, chain head unchanged */
static void an_event_without_outputs_leaves_the_chain_alone(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    OK(berth_flush(rt, d, NULL)); /* its start */
    berth_daemon_info before = info_of(rt, d);
    OK(tell_it(rt, d, "add:3"));
    berth_daemon_info after = info_of(rt, d);
    assert_int_equal(after.events_processed, before.events_processed + 1);
    assert_int_equal(after.events_emitted, before.events_emitted);
    assert_int_equal(after.sequence, before.sequence);
    help_free(state, rt);
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

static buf *snapshot_of(berth_runtime *rt, uint64_t d)
{
    void *bytes;
    uint64_t len;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    buf *b = buf_copy(bytes, len);
    free(bytes);
    return b;
}

/* compute-core §20, §18.20: a stateless daemon's snapshot has no state, and can be restored */
static void a_stateless_daemon_gives_a_snapshot_without_state(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d;
    OK(berth_spawn_kind(rt, "echo", &key, NULL, &d, NULL));
    OK(tell_it(rt, d, "x"));
    buf *b = snapshot_of(rt, d);
    container c;
    OK(container_decode(&c, slice_of(b->data, b->len), NULL));
    assert_int_equal(c.snapshot.state.len, 0);
    assert_int_equal(c.snapshot.bindings.len, 0); /* an empty ledger: no bytes at all */
    assert_int_equal(c.snapshot.link.sequence, 1);
    assert_memory_equal(c.snapshot.entity, key.entity, 32);
    container_fini(&c);
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_from_snapshot(rt, NULL, &key, b->data, b->len, NULL, &d, NULL));
    assert_string_equal(ask_it(rt, d, "y"), "y");
    assert_int_equal(info_of(rt, d).sequence, 2);
    buf_unref(b);
    help_free(state, rt);
}

/* compute-core §20: through_seq 10; the restored one continues at 11 */
static void a_restored_daemon_goes_on_where_the_snapshot_was_taken(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d;
    OK(berth_spawn_kind(rt, "counter", &key, NULL, &d, NULL));
    for (int i = 0; i < 10; i++)
        OK(tell_it(rt, d, ""));
    buf *b = snapshot_of(rt, d);
    container c;
    OK(container_decode(&c, slice_of(b->data, b->len), NULL));
    assert_int_equal(c.snapshot.link.sequence, 10);
    assert_int_equal(c.inputs, 10);
    assert_true(c.started);
    container_fini(&c);
    assert_int_equal(info_of(rt, d).snapshots_taken, 1);
    OK(tell_it(rt, d, "")); /* what happens after it is not in it */
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_from_snapshot(rt, NULL, &key, b->data, b->len, NULL, &d, NULL));
    assert_int_equal(info_of(rt, d).events_processed, 0); /* §9.1: statistics are not carried */
    assert_string_equal(ask_it(rt, d, ""), "11");
    assert_int_equal(info_of(rt, d).sequence, 11);
    buf_unref(b);
    help_free(state, rt);
}

/* compute-core §20 additional, §18.1: restore then append validates in an entity log */
static void the_chain_goes_on_over_a_restore_so_that_a_log_accepts_it(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_outputs *out = berth_outputs_new();
    berth_keypair key = key_of(1);
    entity_log *log = entity_log_new(key.entity);
    buf *b = NULL;
    uint64_t d;
    for (int life = 0; life < 4; life++) {
        if (b)
            OK(berth_spawn_from_snapshot(rt, NULL, &key, b->data, b->len, NULL, &d, NULL));
        else
            OK(berth_spawn_kind(rt, "counter", &key, NULL, &d, NULL));
        for (int i = 0; i < life; i++) { /* the first life outputs nothing at all */
            OK(berth_deliver(rt, d, "", 0, out, NULL));
            berth_output_view v = berth_outputs_at(out, 0);
            buf *payload = buf_copy(v.data, v.len);
            OK(entity_log_append(log, &v.link, payload, 0, NULL, NULL));
            buf_unref(payload);
        }
        buf_unref(b);
        b = snapshot_of(rt, d);
        OK(berth_stop(rt, d, 0, NULL));
    }
    assert_int_equal(entity_log_head(log)->sequence, 6);
    buf_unref(b);
    entity_log_unref(log);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* compute-core §20, K25: by all 32 bytes, also where the low halves of the origins collide (§21) */
static void a_snapshot_of_another_identity_is_refused(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair a = key_of(13515), b = key_of(23655);
    uint64_t d;
    berth_error error = {0};
    assert_int_equal((uint32_t)a.origin, 0x22141808);
    assert_int_equal((uint32_t)b.origin, 0x22141808);
    OK(berth_spawn_kind(rt, "counter", &a, NULL, &d, NULL));
    buf *bytes = snapshot_of(rt, d);
    OK(berth_stop(rt, d, 0, NULL));
    long made = kinds_made;
    FAILS(berth_spawn_from_snapshot(rt, NULL, &b, bytes->data, bytes->len, NULL, &d, &error),
          IDENTITY_MISMATCH);
    CONTAINS(error.text, "identity");
    FAILS(berth_spawn_from_snapshot_with_daemon(rt, &b, bytes->data, bytes->len, NULL,
                                                &kind_counter, NULL, &d, &error),
          IDENTITY_MISMATCH);
    FAILS(berth_spawn_from_snapshot(rt, NULL, NULL, bytes->data, bytes->len, NULL, &d, &error),
          INVALID);
    assert_int_equal(kinds_made, made); /* before anything happens */
    assert_int_equal(factories_count(&rt->factories), 0);
    buf_unref(bytes);
    help_free(state, rt);
}

/* compute-core §20: undecodable bindings (13 bytes of FF) are refused, with the cause in words */
static void a_snapshot_with_damaged_bindings_is_refused(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    berth_error error = {0};
    uint64_t d;
    uint8_t bad[13], number[8] = {1};
    memset(bad, 0xff, sizeof(bad));
    container c = {.kind = slice_str("counter"), .state_version = 1, .incarnation = 1};
    memcpy(c.snapshot.entity, key.entity, 32);
    c.snapshot.link.origin = key.origin;
    c.snapshot.state = slice_of(number, 8);
    c.snapshot.bindings = slice_of(bad, sizeof(bad));
    writer w = {0};
    OK(container_encode(&w, &c, NULL));
    FAILS(berth_spawn_from_snapshot(rt, NULL, &key, w.data, w.len, NULL, &d, &error), CORRUPT);
    CONTAINS(error.text, "bindings");
    assert_int_equal(berth_daemon_count(rt), 0);
    assert_int_equal(factories_count(&rt->factories), 0);
    writer_free(&w);
    help_free(state, rt);
}

typedef struct bad_snapshot {
    const char *what;
    uint32_t version;
    size_t state_len;
    const char *kind;
    berth_status status;
} bad_snapshot;

/* compute-core §20 (default restore), issue: state version too new or too old, corrupt, truncated
 */
static void a_state_that_the_kind_cannot_take_is_refused_and_nothing_is_left(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint8_t number[16] = {1};
    const bad_snapshot cases[] = {
        {"too new", 2, 8, "counter", BERTH_ERR_VERSION},
        {"too old", 0, 8, "counter", BERTH_ERR_VERSION},
        {"what create refuses", 1, 7, "counter", BERTH_ERR_CORRUPT},
        {"state for a stateless kind", 0, 8, "echo", BERTH_ERR_CORRUPT},
        {"an unknown kind", 1, 8, "nosuch", BERTH_ERR_KIND_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const bad_snapshot *x = &cases[i];
        uint64_t d;
        berth_error error = {0};
        container c = {.kind = slice_str(x->kind), .state_version = x->version, .incarnation = 1};
        memcpy(c.snapshot.entity, key.entity, 32);
        c.snapshot.link.origin = key.origin;
        c.snapshot.state = slice_of(number, x->state_len);
        writer w = {0};
        OK(container_encode(&w, &c, NULL));
        berth_status got =
            berth_spawn_from_snapshot(rt, NULL, &key, w.data, w.len, NULL, &d, &error);
        if (got != x->status || !error.text[0])
            fail_msg("%s: %s, '%s'", x->what, berth_status_name(got), error.text);
        if (i == 3)
            CONTAINS(error.text, "8 bytes");  /* the class and the byte count */
        for (size_t n = 0; n < w.len; n += 7) /* every truncation */
            assert_int_not_equal(
                berth_spawn_from_snapshot(rt, NULL, &key, w.data, n, NULL, &d, NULL), BERTH_OK);
        writer_free(&w);
    }
    assert_int_equal(kinds_alive, 0);
    assert_int_equal(berth_daemon_count(rt), 0);
    assert_int_equal(factories_count(&rt->factories), 0);
    help_free(state, rt);
}

/* A bare CDS1 snapshot has no state version: it is taken for the one that the kind writes. */
static void a_bare_snapshot_is_restored_also_after_a_break(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    OK(tell_it(rt, d, "add:7"));
    buf *b = snapshot_of(rt, d);
    container c;
    OK(container_decode(&c, slice_of(b->data, b->len), NULL));
    writer w = {0};
    OK(snapshot_encode(&w, &c.snapshot, NULL));
    container_fini(&c);
    buf_unref(b);
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_from_snapshot(rt, "script", &key, w.data, w.len, NULL, &d, NULL));
    assert_string_equal(ask_it(rt, d, "show"), "7");
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    OK(berth_flush(rt, d, NULL));
    assert_int_equal(info_of(rt, d).state, BERTH_DAEMON_RUNNING);
    assert_string_equal(ask_it(rt, d, "show"), "7");
    writer_free(&w);
    help_free(state, rt);
}

/* ---- The ledger ------------------------------------------------------------------------------ */

static void list_binding(void *ctx, uint64_t publisher, const char *channel, const void *token,
                         uint64_t token_len)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%" PRIu64 " %s %.*s;", publisher, channel, (int)token_len,
            token_len ? (const char *)token : "");
}

static const char *ledger_of(berth_runtime *rt, uint64_t d)
{
    static char text[512];
    text[0] = 0;
    OK(berth_subscriptions(rt, d, list_binding, text, NULL));
    return text;
}

/* compute-core §20: record two, re-record replaces, forget removes one, forget idempotent */
static void the_ledger_records_replaces_and_forgets(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    assert_string_equal(ledger_of(rt, d), "");
    OK(berth_subscribe_channel(rt, d, 0, "a/b", NULL, 0, NULL));
    OK(berth_subscribe_channel(rt, d, 5, "c", "tok", 3, NULL));
    assert_string_equal(ledger_of(rt, d), "0 a/b ;5 c tok;");
    assert_int_equal(info_of(rt, d).subscriptions, 2);
    OK(berth_subscribe_channel(rt, d, 5, "c", "new", 3, NULL));
    assert_string_equal(ledger_of(rt, d), "0 a/b ;5 c new;");
    OK(berth_unsubscribe_channel(rt, d, 0, "a/b", NULL));
    OK(berth_unsubscribe_channel(rt, d, 0, "a/b", NULL));
    assert_string_equal(ledger_of(rt, d), "5 c new;");
    FAILS(berth_subscribe_channel(rt, d, 0, "A", NULL, 0, NULL), INVALID);
    FAILS(berth_subscribe_channel(rt, 1, 0, "a", NULL, 0, NULL), NOT_FOUND);
    assert_int_equal(info_of(rt, d).subscriptions, 1);
    help_free(state, rt);
}

/* compute-core §20 (runtime x channel ledger, local part): the ledger arrives with the snapshot */
static void subscriptions_survive_a_restore_and_are_heard_again(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d, reached;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    OK(tell_it(rt, d, "sub:by-itself"));
    OK(berth_subscribe_channel(rt, d, 0, "by-others", "tok", 3, NULL));
    buf *b = snapshot_of(rt, d);
    OK(berth_stop(rt, d, 0, NULL));
    OK(runtime_publish(rt, slice_str("by-others"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 0);
    OK(berth_spawn_from_snapshot(rt, NULL, &key, b->data, b->len, NULL, &d, NULL));
    assert_string_equal(ledger_of(rt, d), "0 by-itself ;0 by-others tok;");
    assert_int_equal(info_of(rt, d).subscriptions, 2);
    OK(runtime_publish(rt, slice_str("by-others"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 1);
    OK(runtime_publish(rt, slice_str("by-itself"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 1);
    assert_string_equal(ask_it(rt, d, "show"), "2");
    buf_unref(b);
    help_free(state, rt);
}

/* ---- Time and seeds -------------------------------------------------------------------------- */

typedef struct witness {
    int64_t time;
    uint64_t seeds[2000];
    size_t count;
    int faults;
} witness;

static berth_code witness_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)call;
    (void)birth;
    *out = calloc(1, sizeof(witness));
    return BERTH_OK;
}

static void witness_destroy(void *me, berth_call *call)
{
    (void)call;
    free(me);
}

static berth_code witness_process(void *me, berth_call *call, const berth_event *e)
{
    witness *w = me;
    char text[8];
    if (e->time_ns < w->time || e->attempt != 1 || e->size < sizeof(*e))
        w->faults++;
    w->time = e->time_ns;
    for (size_t i = 0; i < w->count; i++)
        if (w->seeds[i] == e->seed[0] || w->seeds[i] == e->seed[1])
            w->faults++;
    w->seeds[w->count++] = e->seed[0];
    w->seeds[w->count++] = e->seed[1];
    return call->api->emit(call, text, (uint64_t)snprintf(text, sizeof(text), "%d", w->faults));
}

static const berth_kind kind_witness = {.size = sizeof(berth_kind),
                                        .name = {"witness", 7},
                                        .create = witness_create,
                                        .destroy = witness_destroy,
                                        .process = witness_process};

/* abi.md §1.6 */
static void time_never_goes_back_and_no_two_seeds_are_equal(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d;
    OK(berth_register_factory(rt, &kind_witness, NULL));
    OK(berth_spawn_kind(rt, "witness", NULL, NULL, &d, NULL));
    for (int i = 0; i < 900; i++)
        assert_string_equal(ask_it(rt, d, ""), "0");
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(echo_outputs_its_input_once_and_counts),
        BOTH(outputs_of_a_batch_come_in_order_each_with_its_input),
        BOTH(every_output_is_tied_to_the_one_before),
        BOTH(an_event_is_in_the_horizon_before_it_is_run_and_though_it_fails),
        BOTH(an_event_without_outputs_leaves_the_chain_alone),
        BOTH(a_stateless_daemon_gives_a_snapshot_without_state),
        BOTH(a_restored_daemon_goes_on_where_the_snapshot_was_taken),
        BOTH(the_chain_goes_on_over_a_restore_so_that_a_log_accepts_it),
        BOTH(a_snapshot_of_another_identity_is_refused),
        BOTH(a_snapshot_with_damaged_bindings_is_refused),
        BOTH(a_state_that_the_kind_cannot_take_is_refused_and_nothing_is_left),
        BOTH(a_bare_snapshot_is_restored_also_after_a_break),
        BOTH(the_ledger_records_replaces_and_forgets),
        BOTH(subscriptions_survive_a_restore_and_are_heard_again),
        BOTH(time_never_goes_back_and_no_two_seeds_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
