/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every function of a kind answers every code there is, and some that there are not: who called it
 * is told what the table of berth/abi.h says, and the daemon goes on. BERTH_E_BROKEN from a daemon
 * that runs is in daemon_break_test.c.
 */
#include "daemon_help.h"

static const berth_code codes[] = {BERTH_OK,
                                   BERTH_E_REJECT,
                                   BERTH_E_NOT_NOW,
                                   BERTH_E_LIMIT,
                                   BERTH_E_ARGUMENT,
                                   BERTH_E_NEWER,
                                   BERTH_E_FULL,
                                   BERTH_E_VERSION,
                                   BERTH_E_STATE,
                                   BERTH_E_CONFIG,
                                   BERTH_E_MEMORY,
                                   12,
                                   99,
                                   -1,
                                   INT32_MAX,
                                   INT32_MIN};
#define CODES (sizeof(codes) / sizeof(*codes))

enum { CREATE, START, PROCESS, TIMER, REPLY, POST, CONTROL, SNAPSHOT, STATUS, FUNCTIONS };

/* Which function is to answer which code; the others answer 0. */
static atomic_int where, what, calls[FUNCTIONS], instances;

static berth_code answer(int function)
{
    atomic_fetch_add(&calls[function], 1);
    return function == atomic_load(&where) ? atomic_load(&what) : BERTH_OK;
}

typedef struct answerer {
    berth_daemon *daemon;
    uint64_t origin;
} answerer;

static berth_code make(berth_call *call, const berth_birth *birth, void **out)
{
    (void)call;
    berth_code code = answer(CREATE);
    if (code != BERTH_OK)
        return code;
    answerer *me = malloc(sizeof(*me));
    *me = (answerer){birth->daemon, birth->origin};
    atomic_fetch_add(&instances, 1);
    *out = me;
    return BERTH_OK;
}

static void unmake(void *me, berth_call *call)
{
    (void)call;
    atomic_fetch_sub(&instances, 1);
    free(me);
}

static berth_code on_start(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    (void)e;
    call->api->emit(call, "start", 5);
    return answer(START);
}

/* "t", "r", "p": make such an event. Anything else is output, then answered. */
static berth_code process(void *me, berth_call *call, const berth_event *e)
{
    answerer *a = me;
    const char *word = e->data.ptr;
    berth_output o = {.size = sizeof(o), .request = 1};
    switch (e->data.len == 1 ? *word : 0) {
    case 't':
        o.to = BERTH_TO_SELF;
        return call->api->output(call, &o);
    case 'r':
        o.to = BERTH_TO_DAEMON;
        o.origin = a->origin + 1; /* nobody: the host answers */
        return call->api->output(call, &o);
    case 'p':
        return a->daemon->host->post(a->daemon, "x", 1);
    default:
        call->api->emit(call, "out", 3);
        return answer(PROCESS);
    }
}

static berth_code on_timer(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)e;
    call->api->emit(call, "timer", 5);
    return answer(TIMER);
}

static berth_code on_reply(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)e;
    call->api->emit(call, "reply", 5);
    return answer(REPLY);
}

static berth_code on_post(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)e;
    call->api->emit(call, "post", 4);
    return answer(POST);
}

static berth_code on_control(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)e;
    call->api->emit(call, "control", 7);
    return answer(CONTROL);
}

static berth_code snapshot(void *me, berth_call *call, uint32_t want)
{
    (void)me, (void)want;
    call->api->write(call, "state", 5);
    return answer(SNAPSHOT);
}

static berth_code status(void *me, berth_call *call, berth_daemon_status *out)
{
    (void)me, (void)call;
    out->saturation_ppm = 500000;
    return answer(STATUS);
}

static const berth_kind kind_answerer = {.size = sizeof(berth_kind),
                                         .name = {"answerer", 8},
                                         .create = make,
                                         .destroy = unmake,
                                         .process = process,
                                         .snapshot = snapshot,
                                         .status = status,
                                         .on_start = on_start,
                                         .on_timer = on_timer,
                                         .on_reply = on_reply,
                                         .on_post = on_post,
                                         .on_control = on_control};

static berth_runtime *begin(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    OK(berth_register_factory(rt, &kind_answerer, NULL));
    atomic_store(&where, FUNCTIONS);
    return rt;
}

static void end(void **state, berth_runtime *rt)
{
    help_free(state, rt);
    assert_int_equal(instances, 0);
}

static void plan(int function, berth_code code)
{
    atomic_store(&what, code);
    atomic_store(&where, function);
    atomic_store(&calls[function], 0);
}

/* Whatever it answered, it is there and works. */
static void goes_on(berth_runtime *rt, uint64_t d)
{
    atomic_store(&where, FUNCTIONS);
    assert_string_equal(ask_it(rt, d, "x"), "out");
    assert_int_equal(info_of(rt, d).state, BERTH_DAEMON_RUNNING);
    assert_int_equal(instances, 1);
}

/* A daemon whose handler answered this; an event that fails has no output and is counted. */
static void one_code(berth_runtime *rt, int function, berth_code code)
{
    const char *const triggers[FUNCTIONS] = {[TIMER] = "t", [REPLY] = "r", [POST] = "p"};
    bool ok = code == BERTH_OK;
    plan(function, code);
    uint64_t d = spawn_of(rt, "answerer");
    OK(berth_flush(rt, d, NULL));
    berth_daemon_info before = info_of(rt, d);
    if (function == START) {
        assert_int_equal(before.sequence, ok);
    } else if (function == PROCESS) {
        assert_int_equal(tell_it(rt, d, "x"), ok ? BERTH_OK : BERTH_ERR_REJECTED);
    } else if (function == CONTROL) {
        berth_status status = berth_control(rt, d, BERTH_CONTROL_DRAIN_START, 1, NULL);
        assert_int_equal(status, ok ? BERTH_OK : BERTH_ERR_REJECTED);
    } else {
        OK(tell_it(rt, d, triggers[function]));
        UNTIL(atomic_load(&calls[function]) > 0);
        OK(berth_flush(rt, d, NULL));
    }
    berth_daemon_info after = info_of(rt, d);
    if (function != START) {
        bool sent = function == REPLY; /* the request is an output too */
        assert_int_equal(after.sequence, before.sequence + sent + ok);
        assert_int_equal(after.errors, before.errors + !ok);
    }
    assert_int_equal(calls[function], 1); /* never tried again */
    goes_on(rt, d);
    OK(berth_stop(rt, d, 0, NULL));
}

static void an_event_that_is_answered_with_any_code_but_ok_is_refused(void **state)
{
    berth_runtime *rt = begin(state);
    for (int function = START; function <= CONTROL; function++)
        for (size_t i = 0; i < CODES; i++)
            one_code(rt, function, codes[i]);
    end(state, rt);
}

static void create_that_fails_has_a_status_and_leaves_nothing(void **state)
{
    berth_runtime *rt = begin(state);
    berth_keypair key = key_of(1);
    for (size_t i = 0; i < CODES + 1; i++) {
        berth_code code = i < CODES ? codes[i] : BERTH_E_BROKEN;
        berth_error error = {0};
        uint64_t d;
        plan(CREATE, code);
        berth_status got = berth_spawn_kind(rt, "answerer", &key, NULL, &d, &error);
        assert_int_equal(got, code == BERTH_OK          ? BERTH_OK
                              : code == BERTH_E_VERSION ? BERTH_ERR_VERSION
                              : code == BERTH_E_STATE   ? BERTH_ERR_CORRUPT
                              : code == BERTH_E_CONFIG  ? BERTH_ERR_INVALID
                              : code == BERTH_E_MEMORY  ? BERTH_ERR_NO_MEMORY
                                                        : BERTH_ERR_PLUGIN);
        if (got != BERTH_OK) {
            CONTAINS(error.text, "kind 'answerer'");
            assert_int_equal(factories_count(&rt->factories), 0);
            assert_int_equal(berth_daemon_count(rt), 0);
            assert_int_equal(instances, 0);
            continue;
        }
        goes_on(rt, d);
        OK(berth_stop(rt, d, 0, NULL));
    }
    end(state, rt);
}

static void snapshot_that_fails_gives_no_bytes_and_the_daemon_goes_on(void **state)
{
    berth_runtime *rt = begin(state);
    uint64_t d = spawn_of(rt, "answerer"), taken = 0;
    for (size_t i = 0; i < CODES; i++) {
        berth_error error = {0};
        void *bytes;
        uint64_t len;
        plan(SNAPSHOT, codes[i]);
        berth_status got = berth_snapshot(rt, d, &bytes, &len, &error);
        assert_int_equal(got, codes[i] == BERTH_OK          ? BERTH_OK
                              : codes[i] == BERTH_E_VERSION ? BERTH_ERR_VERSION
                                                            : BERTH_ERR_PLUGIN);
        taken += got == BERTH_OK;
        assert_true(got == BERTH_OK ? bytes != NULL : !bytes && error.text[0]);
        free(bytes);
        assert_int_equal(info_of(rt, d).snapshots_taken, taken);
        goes_on(rt, d);
    }
    end(state, rt);
}

static void status_that_fails_changes_nothing_that_is_known(void **state)
{
    berth_runtime *rt = begin(state);
    for (size_t i = 0; i < CODES; i++) {
        plan(STATUS, codes[i]);
        uint64_t d = spawn_of(rt, "answerer");
        OK(tell_it(rt, d, "x"));
        UNTIL(atomic_load(&calls[STATUS]) > 0);
        if (codes[i] == BERTH_OK)
            UNTIL(info_of(rt, d).saturation_ppm == 500000);
        OK(tell_it(rt, d, "x")); /* behind the answer */
        if (codes[i] != BERTH_OK)
            assert_int_equal(info_of(rt, d).saturation_ppm, 0);
        goes_on(rt, d);
        OK(berth_stop(rt, d, 0, NULL));
    }
    end(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_event_that_is_answered_with_any_code_but_ok_is_refused),
        BOTH(create_that_fails_has_a_status_and_leaves_nothing),
        BOTH(snapshot_that_fails_gives_no_bytes_and_the_daemon_goes_on),
        BOTH(status_that_fails_changes_nothing_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
