/* SPDX-License-Identifier: Apache-2.0 */
/* What plugin code may do when, and that its effects are a transaction (abi.md §1). */
#include "daemon_help.h"

/* ---- A transaction --------------------------------------------------------------------------- */

/* abi.md §1.1, compute-core §18.8, §20 (bindings): on any other return than 0 no effect of the
 * event takes place */
static void an_event_that_fails_leaves_no_effect(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), other = spawn_of(rt, "script");
    OK(berth_flush(rt, d, NULL));
    OK(berth_flush(rt, other, NULL));
    const char *const codes[] = {"reject", "code:99:odd", "code:-5:odd", "code:4:limit"};
    for (int i = 0; i < 4; i++) {
        berth_daemon_info before = info_of(rt, d);
        berth_outputs *out = berth_outputs_new();
        const char *text =
            say("emit:x sub:c pub:p:x send:%016" PRIx64 ":add:1 spawn:echo:5 timer:1:0:t %s", other,
                codes[i]);
        FAILS(berth_deliver(rt, d, text, strlen(text), out, NULL), REJECTED);
        assert_int_equal(berth_outputs_count(out), 0);
        assert_int_equal(berth_outputs_failed(out), 1);
        FAILS(berth_outputs_status(out, 0), REJECTED);
        OK(berth_flush(rt, other, NULL));
        berth_daemon_info after = info_of(rt, d);
        assert_int_equal(after.sequence, before.sequence);
        assert_int_equal(after.events_emitted, before.events_emitted);
        assert_int_equal(after.events_processed, before.events_processed);
        assert_int_equal(after.errors, before.errors + 1);
        assert_int_equal(after.subscriptions, 0);
        berth_outputs_free(out);
    }
    assert_int_equal(info_of(rt, other).events_processed, 0);
    assert_int_equal(berth_daemon_count(rt), 2);
    runtime_counters c;
    runtime_get_counters(rt, &c);
    assert_int_equal(c.timers, 0);
    help_free(state, rt);
}

/* abi.md §1.1: a limit is sticky: it fails the event by name, though the handler returns 0 */
static void passing_a_limit_fails_the_event_by_name(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .max_outputs = 5, .max_output_bytes = 100};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d = spawn_of(rt, "script");
    const struct {
        const char *text;
        const char *limit; /* NULL: allowed */
        uint64_t outputs;
    } cases[] = {
        {"many:4", NULL, 4},
        {"many:5", NULL, 5},
        {"many:6", "outputs per call", 0},
        {"many:5000", "outputs per call", 0},
        {"size:99", NULL, 1},
        {"size:100", NULL, 1},
        {"size:101", "output bytes per call", 0},
        {"size:60 size:40", NULL, 2},
        {"slot:100:100", NULL, 1},
        {"slot:101:1", "output bytes per call", 0},
        {"many:4", NULL, 4}, /* the next call is not touched by it */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        berth_outputs *out = berth_outputs_new();
        berth_error error = {0};
        berth_status status =
            berth_deliver(rt, d, cases[i].text, strlen(cases[i].text), out, &error);
        assert_int_equal(status, cases[i].limit ? BERTH_ERR_LIMIT : BERTH_OK);
        assert_int_equal(berth_outputs_count(out), cases[i].outputs);
        if (cases[i].limit)
            CONTAINS(error.text, cases[i].limit);
        berth_outputs_free(out);
    }
    help_free(state, rt);
}

/* abi.md §1.1: in order, through whatever way */
static void effects_take_place_in_the_order_in_which_they_were_recorded(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script");
    OK(tell_it(rt, b, "sub:chan"));
    ear *e = ear_on(rt, b, TAIL_FROM_RING);
    hear(e, "start 0 1 ");
    OK(tell_it(rt, a,
               say("send:%016" PRIx64 ":emit:1 pub:chan:emit:2 send:%016" PRIx64
                   ":emit:3;emit:4 pub:chan:emit:5",
                   b, b)));
    hear(e, "1");
    hear(e, "2");
    hear(e, "3");
    hear(e, "4");
    hear(e, "5");
    ear_close(e);
    help_free(state, rt);
}

/* abi.md §1.5: the last text wins, it is cut at 1 KiB, control bytes are escaped */
static void the_text_of_a_failure_is_cut_and_escaped(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    berth_outputs *out = berth_outputs_new();
    berth_error error = {0};
    char text[3000] = "code:1:\x1b[2J";
    FAILS(berth_deliver(rt, d, text, strlen(text), out, &error), REJECTED);
    assert_string_equal(berth_outputs_text(out, 0), "\\x1b[2J");
    assert_null(strchr(error.text, 0x1b));
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "code:1:", 7);
    FAILS(berth_deliver(rt, d, text, strlen(text), out, &error), REJECTED);
    assert_int_equal(strlen(berth_outputs_text(out, 0)), 1024);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* In a batch each event stands for itself. */
static void of_a_batch_only_what_fails_fails(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    berth_outputs *out = berth_outputs_new();
    berth_error error = {0};
    berth_input in[] = {{"add:1", 5, NULL},
                        {"code:1:first", 12, NULL},
                        {"add:1 emit:ok", 13, NULL},
                        {"code:1:second", 13, NULL},
                        {"show", 4, NULL}};
    FAILS(berth_deliver_batch(rt, d, in, 5, out, &error), REJECTED);
    CONTAINS(error.text, "event 1");
    CONTAINS(error.text, "first");
    assert_int_equal(berth_outputs_failed(out), 2);
    const berth_status statuses[] = {0, BERTH_ERR_REJECTED, 0, BERTH_ERR_REJECTED, 0};
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(berth_outputs_status(out, i), statuses[i]);
    assert_int_equal(berth_outputs_status(out, 17), BERTH_OK);
    assert_string_equal(berth_outputs_text(out, 1), "first");
    assert_int_equal(berth_outputs_count(out), 2);
    assert_int_equal(berth_outputs_at(out, 0).input, 2);
    berth_output_view v = berth_outputs_at(out, 1);
    assert_int_equal(v.input, 4);
    assert_memory_equal(v.data, "2", 1);
    berth_outputs_free(out);
    help_free(state, rt);
}

/* ---- The matrix ------------------------------------------------------------------------------ */

/* What each function of the call table answered in each phase, and what became of old handles. */
enum { CREATE, START, PROCESS, SNAPSHOT, STATUS, DESTROY, PHASES };
static struct {
    berth_code emit, output, commit, write, fail, subscribe, unsubscribe, spawn;
    bool reserved;
} seen[PHASES];
static atomic_int statuses;
static berth_code stale_answer, foreign_answer;
static bool foreign_reserved, aligned = true;
static berth_call *kept_call;

static void try_all(int phase, berth_call *call)
{
    const berth_call_api *api = call->api;
    berth_output o = {.size = sizeof(o), .data = {"x", 1}};
    berth_subscription sub = {.size = sizeof(sub), .channel = {"c", 1}};
    berth_spawn sp = {.size = sizeof(sp), .kind = {"echo", 4}};
    seen[phase].emit = api->emit(call, "x", 1);
    seen[phase].output = api->output(call, &o);
    void *room = api->reserve(call, 4);
    seen[phase].reserved = room != NULL;
    aligned &= (uintptr_t)room % 16 == 0;
    seen[phase].commit = api->commit(call, 0);
    seen[phase].write = api->write(call, "x", 1);
    seen[phase].fail = api->fail(call, 77, "x", 1);
    seen[phase].subscribe = api->subscribe(call, &sub);
    seen[phase].unsubscribe = api->unsubscribe(call, &sub);
    seen[phase].spawn = api->spawn(call, &sp);
}

static berth_code probe_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)birth;
    try_all(CREATE, call);
    *out = seen;
    return BERTH_OK;
}

static void probe_destroy(void *me, berth_call *call)
{
    (void)me;
    try_all(DESTROY, call);
}

static berth_code probe_start(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    (void)e;
    try_all(START, call);
    return BERTH_E_REJECT; /* without effects, all of it */
}

static void *try_elsewhere(void *arg)
{
    berth_call *call = arg;
    foreign_answer = call->api->emit(call, "x", 1);
    foreign_reserved = call->api->reserve(call, 1) != NULL;
    return NULL;
}

static berth_code probe_process(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    if (e->data.len == 5 && memcmp(e->data.ptr, "stale", 5) == 0) {
        stale_answer = kept_call->api->emit(kept_call, "x", 1);
        return BERTH_OK;
    }
    if (e->data.len == 7 && memcmp(e->data.ptr, "foreign", 7) == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, try_elsewhere, call);
        pthread_join(thread, NULL);
        return BERTH_OK;
    }
    kept_call = call;
    try_all(PROCESS, call);
    return BERTH_E_REJECT;
}

static berth_code probe_snapshot(void *me, berth_call *call, uint32_t want)
{
    (void)me;
    (void)want;
    try_all(SNAPSHOT, call);
    return BERTH_OK;
}

static berth_code probe_status(void *me, berth_call *call, berth_daemon_status *out)
{
    (void)me;
    (void)out;
    try_all(STATUS, call);
    atomic_fetch_add(&statuses, 1);
    return BERTH_OK;
}

static const berth_kind kind_probe = {.size = sizeof(berth_kind),
                                      .name = {"probe", 5},
                                      .create = probe_create,
                                      .destroy = probe_destroy,
                                      .process = probe_process,
                                      .snapshot = probe_snapshot,
                                      .status = probe_status,
                                      .on_start = probe_start};

/* abi.md §1.3, §1.4: the matrix of berth/abi.h */
static void every_function_of_a_call_is_allowed_where_the_matrix_says(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    memset(seen, 0, sizeof(seen));
    atomic_store(&statuses, 0);
    uint64_t d, len;
    void *bytes;
    OK(berth_register_factory(rt, &kind_probe, NULL));
    OK(berth_spawn_kind(rt, "probe", NULL, NULL, &d, NULL));
    FAILS(tell_it(rt, d, ""), REJECTED);
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    UNTIL(atomic_load(&statuses) > 0);
    OK(berth_stop(rt, d, 0, NULL));
    for (int p = 0; p < PHASES; p++) {
        bool may = p == START || p == PROCESS;
        berth_code allowed = may ? BERTH_OK : BERTH_E_NOT_NOW;
        assert_int_equal(seen[p].emit, allowed);
        assert_int_equal(seen[p].output, allowed);
        assert_int_equal(seen[p].reserved, may);
        assert_int_equal(seen[p].commit, allowed);
        assert_int_equal(seen[p].subscribe, allowed);
        assert_int_equal(seen[p].unsubscribe, allowed);
        assert_int_equal(seen[p].spawn, allowed);
        assert_int_equal(seen[p].write, p == SNAPSHOT ? BERTH_OK : BERTH_E_NOT_NOW);
        assert_int_equal(seen[p].fail, p == DESTROY ? BERTH_E_NOT_NOW : 77);
    }
    assert_true(aligned);
    assert_int_equal(berth_daemon_count(rt), 0); /* nothing was spawned */
    help_free(state, rt);
}

/* abi.md §1.4 */
static void a_stale_handle_and_a_foreign_thread_are_refused(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d;
    OK(berth_register_factory(rt, &kind_probe, NULL));
    OK(berth_spawn_kind(rt, "probe", NULL, NULL, &d, NULL));
    FAILS(tell_it(rt, d, ""), REJECTED);
    OK(tell_it(rt, d, "stale"));
    assert_int_equal(stale_answer, BERTH_E_NOT_NOW);
    OK(tell_it(rt, d, "foreign"));
    assert_int_equal(foreign_answer, BERTH_E_NOT_NOW);
    assert_false(foreign_reserved);
    assert_int_equal(info_of(rt, d).events_emitted, 0);
    help_free(state, rt);
}

/* ---- Reserve and commit ---------------------------------------------------------------------- */

static berth_code reserve_process(void *me, berth_call *call, const berth_event *e)
{
    const berth_call_api *api = call->api;
    char *room;
    (void)me;
    switch (*(const char *)e->data.ptr) {
    case 'a': /* commit without reserve */
        return api->commit(call, 0) == BERTH_E_ARGUMENT ? BERTH_OK : BERTH_E_REJECT;
    case 'b': /* more than was reserved */
        room = api->reserve(call, 4);
        memcpy(room, "four", 4);
        return api->commit(call, 5) == BERTH_E_ARGUMENT ? BERTH_OK : BERTH_E_REJECT;
    case 'c': /* dead at the next effect, whichever */
        if (!api->reserve(call, 4) || api->emit(call, "x", 1) != BERTH_OK)
            return BERTH_E_REJECT;
        return api->commit(call, 0) == BERTH_E_ARGUMENT ? BERTH_OK : BERTH_E_REJECT;
    case 'd': {
        berth_subscription sub = {.size = sizeof(sub), .channel = {"c", 1}};
        if (!api->reserve(call, 4) || api->subscribe(call, &sub) != BERTH_OK)
            return BERTH_E_REJECT;
        return api->commit(call, 0) == BERTH_E_ARGUMENT ? BERTH_OK : BERTH_E_REJECT;
    }
    case 'e': /* reserved and left: no output */
        return api->reserve(call, 4) ? BERTH_OK : BERTH_E_REJECT;
    default: /* less than was reserved; and again */
        room = api->reserve(call, 1000);
        memcpy(room, "hello", 5);
        if (api->commit(call, 5) != BERTH_OK)
            return BERTH_E_REJECT;
        return api->commit(call, 5) == BERTH_E_ARGUMENT ? BERTH_OK : BERTH_E_REJECT;
    }
}

static const berth_kind kind_reserve = {.size = sizeof(berth_kind),
                                        .name = {"reserve", 7},
                                        .create = probe_create,
                                        .destroy = probe_destroy,
                                        .process = reserve_process};

/* abi.md §1.7 */
static void what_is_reserved_is_committed_once_before_any_other_effect(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d;
    OK(berth_register_factory(rt, &kind_reserve, NULL));
    OK(berth_spawn_kind(rt, "reserve", NULL, NULL, &d, NULL));
    OK(tell_it(rt, d, "a"));
    OK(tell_it(rt, d, "b"));
    assert_string_equal(ask_it(rt, d, "c"), "x");
    OK(tell_it(rt, d, "d"));
    OK(tell_it(rt, d, "e"));
    assert_string_equal(ask_it(rt, d, "f"), "hello");
    assert_int_equal(info_of(rt, d).events_emitted, 2);
    help_free(state, rt);
}

/* ---- State ----------------------------------------------------------------------------------- */

static int state_pieces;

static berth_code pieces_snapshot(void *me, berth_call *call, uint32_t want)
{
    (void)me;
    (void)want;
    for (int i = 0; i < state_pieces; i++)
        call->api->write(call, "0123456789", 10); /* sticky too: the answer may be ignored */
    return BERTH_OK;
}

static const berth_kind kind_pieces = {.size = sizeof(berth_kind),
                                       .name = {"pieces", 6},
                                       .create = probe_create,
                                       .destroy = probe_destroy,
                                       .process = probe_process,
                                       .snapshot = pieces_snapshot};

/* abi.md §1.8, §1.10: max_state below, at, above */
static void a_state_over_the_limit_gives_no_snapshot(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .max_state = 100};
    berth_runtime *rt = help_runtime(state, &config);
    berth_error error = {0};
    uint64_t d, len;
    void *bytes;
    OK(berth_register_factory(rt, &kind_pieces, NULL));
    OK(berth_spawn_kind(rt, "pieces", NULL, NULL, &d, NULL));
    for (state_pieces = 9; state_pieces <= 10; state_pieces++) {
        OK(berth_snapshot(rt, d, &bytes, &len, NULL));
        free(bytes);
    }
    FAILS(berth_snapshot(rt, d, &bytes, &len, &error), LIMIT);
    CONTAINS(error.text, "state");
    assert_null(bytes);
    state_pieces = 1;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    assert_int_equal(info_of(rt, d).snapshots_taken, 3);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_event_that_fails_leaves_no_effect),
        BOTH(passing_a_limit_fails_the_event_by_name),
        BOTH(effects_take_place_in_the_order_in_which_they_were_recorded),
        BOTH(the_text_of_a_failure_is_cut_and_escaped),
        BOTH(of_a_batch_only_what_fails_fails),
        BOTH(every_function_of_a_call_is_allowed_where_the_matrix_says),
        BOTH(a_stale_handle_and_a_foreign_thread_are_refused),
        BOTH(what_is_reserved_is_committed_once_before_any_other_effect),
        BOTH(a_state_over_the_limit_gives_no_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
