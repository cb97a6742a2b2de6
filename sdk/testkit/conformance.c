/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct suite {
    const conformance_driver *driver;
    const char *why; /* of the running check */
    conformance_result result;
    void *daemon;
} suite;

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
/* The first one that does not hold is what the check reports. */
#define HOLDS(s, condition)                                                                        \
    do {                                                                                           \
        if (!(condition) && !(s)->why)                                                             \
            (s)->why = "conformance.c:" STRING(__LINE__) ": " #condition;                          \
    } while (0)

/* ---- Driving ---- */

static berth_code create(suite *s, const berth_test_birth *birth)
{
    s->daemon = NULL;
    return s->driver->create(s->driver->ctx, birth, &s->daemon, &s->result);
}

/* A daemon with these limits; the checks cannot go on without one. */
static int begin_with(suite *s, const berth_test_birth *birth)
{
    berth_code code = create(s, birth);

    HOLDS(s, code == BERTH_OK);
    return code == BERTH_OK;
}

static int begin(suite *s, const char *kind)
{
    berth_test_birth birth = {.kind = kind, .origin = 0x77};
    return begin_with(s, &birth);
}

static void end(suite *s)
{
    if (s->daemon)
        s->driver->destroy(s->driver->ctx, s->daemon);
    s->daemon = NULL;
}

static berth_code deliver(suite *s, const berth_event *event)
{
    s->driver->deliver(s->driver->ctx, s->daemon, event, &s->result);
    return s->result.code;
}

static berth_bytes str(const char *text)
{
    return (berth_bytes){text, strlen(text)};
}

static berth_code say(suite *s, const char *script)
{
    berth_event e = {.type = BERTH_EVENT_MESSAGE, .data = str(script)};
    return deliver(s, &e);
}

static int bytes_are(berth_bytes have, const char *text)
{
    return have.len == strlen(text) && (have.len == 0 || memcmp(have.ptr, text, have.len) == 0);
}

/* Whether the last call's i-th effect is an output to the caller with this text. */
static int emitted(const suite *s, size_t i, const char *text)
{
    if (i >= s->result.effect_count)
        return 0;
    const berth_test_effect *e = &s->result.effects[i];
    return e->what == BERTH_TEST_OUTPUT && e->to == BERTH_TO_CALLER && bytes_are(e->data, text);
}

/* Whether the functions that the probe called since the last question answered this. */
static int answered(suite *s, const char *answers)
{
    return say(s, "answers") == BERTH_OK && s->result.effect_count == 1 && emitted(s, 0, answers);
}

static berth_code snapshot(suite *s, uint32_t version, berth_bytes *state)
{
    *state = (berth_bytes){NULL, 0};
    s->driver->snapshot(s->driver->ctx, s->daemon, version, state, &s->result);
    return s->result.code;
}

static const berth_test_effect *effect(const suite *s, size_t i)
{
    static const berth_test_effect none;
    return i < s->result.effect_count ? &s->result.effects[i] : &none;
}

/* ---- Effects ---- */

static void effects_keep_their_order_and_operands(suite *s)
{
    HOLDS(s, say(s, "emit one\nsend 0x99 two\nrequest 0x98 7 5000 three\npublish a/b-c_1. four\n"
                    "timer 3 250 five\ncancel 4\nsubscribe x.y\nsubscribe-from 5 x.y\n"
                    "unsubscribe x.y\nspawn probe.plain kid 8 emit born\nemit") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 11);
    HOLDS(s, emitted(s, 0, "one"));
    const berth_test_effect *e = effect(s, 1);
    HOLDS(s, e->to == BERTH_TO_DAEMON && e->origin == 0x99 && bytes_are(e->data, "two"));
    e = effect(s, 2);
    HOLDS(s, e->to == BERTH_TO_DAEMON && e->request == 7 && e->delay_ns == 5000);
    e = effect(s, 3);
    HOLDS(s, e->to == BERTH_TO_CHANNEL && bytes_are(e->channel, "a/b-c_1."));
    e = effect(s, 4);
    HOLDS(s, e->to == BERTH_TO_SELF && e->request == 3 && e->delay_ns == 250);
    e = effect(s, 5);
    HOLDS(s, e->to == BERTH_TO_SELF && e->request == 4 && (e->flags & BERTH_CANCEL));
    e = effect(s, 6);
    HOLDS(s, e->what == BERTH_TEST_SUBSCRIBE && e->origin == 0 && bytes_are(e->channel, "x.y"));
    e = effect(s, 7);
    HOLDS(s, e->what == BERTH_TEST_SUBSCRIBE && e->origin == 5);
    HOLDS(s, effect(s, 8)->what == BERTH_TEST_UNSUBSCRIBE);
    e = effect(s, 9);
    HOLDS(s, e->what == BERTH_TEST_SPAWN && bytes_are(e->kind, "probe.plain"));
    HOLDS(s, bytes_are(e->name, "kid") && bytes_are(e->data, "emit born") && e->request == 8);
    HOLDS(s, emitted(s, 10, ""));
    HOLDS(s, answered(s, "0 0 0 0 0 0 0 0 0 0 0"));
}

static void an_error_after_emit_leaves_no_output(suite *s)
{
    static const char *const scripts[] = {"emit lost\nsend 1 lost\ntimer 1 0 lost\nreturn 1",
                                          "emit lost\nreturn 2", "emit lost\nfail 10 no",
                                          "emit lost\nreturn 77", "emit lost\nreturn -1"};
    static const berth_code codes[] = {1, 2, 10, 77, -1};

    for (int i = 0; i < 5; i++) {
        HOLDS(s, say(s, scripts[i]) == codes[i]);
        HOLDS(s, s->result.effect_count == 0);
    }
}

static void the_last_text_of_fail_counts(suite *s)
{
    HOLDS(s, say(s, "fail 1 first\nfail 1 the second") == 1);
    HOLDS(s, s->result.text && strcmp(s->result.text, "the second") == 0);
    HOLDS(s, say(s, "return 1") == 1);
    HOLDS(s, !s->result.text || !*s->result.text);
    HOLDS(s, answered(s, "1 1"));
}

static void texts_are_cut_and_escaped(suite *s)
{
    char script[2200];
    int head = snprintf(script, sizeof script, "fail 1 ");

    memset(script + head, 'a', 2000);
    script[head + 2000] = 0;
    HOLDS(s, say(s, script) == 1);
    HOLDS(s, s->result.text && strlen(s->result.text) <= 1024 && strlen(s->result.text) > 512);
    HOLDS(s, say(s, "fail 1 a\x1b[2Jb\x7f") == 1);
    HOLDS(s, s->result.text && !strchr(s->result.text, 0x1b) && !strchr(s->result.text, 0x7f));
    HOLDS(s, s->result.text && s->result.text[0] == 'a');
}

static void reserved_memory_is_emitted_in_place(suite *s)
{
    HOLDS(s, say(s, "reserve 100 3\nreserve 0 0\nemit x") == BERTH_OK);
    HOLDS(s, emitted(s, 0, "rrr") && emitted(s, 1, "") && emitted(s, 2, "x"));
    HOLDS(s, answered(s, "0 0 0"));
    /* More than was reserved, or nothing reserved. */
    HOLDS(s, say(s, "reserve 3 4\nemit x\ncommit 0\ncommit 1") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 1 && emitted(s, 0, "x"));
    HOLDS(s, answered(s, "5 0 5 5"));
}

static void senseless_arguments_record_nothing(suite *s)
{
    HOLDS(s, say(s, "to 5\nto 65535\nflags 0 1\nflags 0 2\nflags 2 4\nflags 4 4\nflags 1 0x8000\n"
                    "short 0\nshort 8\nnull-emit 1\nreply nobody waits\n"
                    "timer 1 -1 x\nrequest 1 2 -1 x") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 0);
    HOLDS(s, answered(s, "5 5 5 5 5 5 5 5 5 5 5 5 5"));
    HOLDS(s, say(s, "null-emit 0") == BERTH_OK && s->result.effect_count == 1);
    HOLDS(s, answered(s, "0"));
}

static void channel_names_are_checked(suite *s)
{
    char script[700];
    int head;

    HOLDS(s, say(s, "publish A x\npublish a* x\nsubscribe \nsubscribe a b\nunsubscribe \xc3\xa9\n"
                    "publish  x") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 0);
    HOLDS(s, answered(s, "5 5 5 5 5 5"));
    for (int len = 255; len <= 256; len++) {
        head = snprintf(script, sizeof script, "subscribe ");
        memset(script + head, 'a', (size_t)len);
        script[head + len] = 0;
        HOLDS(s, say(s, script) == BERTH_OK);
        HOLDS(s, s->result.effect_count == (len == 255));
        HOLDS(s, answered(s, len == 255 ? "0" : "5"));
    }
}

static void unknown_options_are_refused_unless_zero(suite *s)
{
    HOLDS(s, say(s, "newer\nnewer-zero") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 1 && emitted(s, 0, "newer"));
    HOLDS(s, answered(s, "6 0"));
}

static void a_request_number_is_used_once_at_a_time(suite *s)
{
    berth_event reply = {.type = BERTH_EVENT_REPLY, .request = 5, .data = str("done")};

    HOLDS(s, say(s, "request 1 5 0 a\nrequest 1 5 0 b\nspawn probe - 5 \nspawn probe - 6 ") ==
                 BERTH_OK);
    HOLDS(s, s->result.effect_count == 2);
    HOLDS(s, answered(s, "0 5 5 0"));
    HOLDS(s, say(s, "request 1 5 0 again") == BERTH_OK && s->result.effect_count == 0);
    HOLDS(s, answered(s, "5"));
    HOLDS(s, deliver(s, &reply) == BERTH_OK && s->result.effect_count == 1);
    HOLDS(s, say(s, "request 1 5 0 anew") == BERTH_OK && s->result.effect_count == 1);
    HOLDS(s, answered(s, "0"));
    /* One that was dropped with its event was never opened. */
    HOLDS(s, say(s, "request 1 9 0 x\nreturn 1") == 1);
    HOLDS(s, say(s, "request 1 9 0 x") == BERTH_OK && s->result.effect_count == 1);
    HOLDS(s, answered(s, "0 0"));
}

static void kinds_without_a_handler_cannot_ask_for_its_events(suite *s)
{
    end(s);
    if (!begin(s, "probe.plain"))
        return;
    HOLDS(s, say(s, "timer 1 0 x\ncancel 1\nrequest 1 1 0 x\nspawn probe - 1 \npost x\n"
                    "send 1 x\nspawn probe - 0 ") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 2);
    HOLDS(s, answered(s, "5 5 5 5 5 0 0"));
}

/* ---- Limits ---- */

static void limits_are_told_and_passing_one_drops_all_effects(suite *s)
{
    berth_test_birth birth = {.kind = "probe",
                              .max_event = 512,
                              .max_outputs = 4,
                              .max_output_bytes = 100,
                              .max_state = 1000};

    end(s);
    if (!begin_with(s, &birth))
        return;
    HOLDS(s, say(s, "limits") == BERTH_OK && emitted(s, 0, "512 4 100 1000"));
    HOLDS(s, say(s, "flood 4 0") == BERTH_OK && s->result.effect_count == 4);
    HOLDS(s, say(s, "flood 5 0") == BERTH_E_LIMIT && s->result.effect_count == 0);
    HOLDS(s, answered(s, "0 0 0 0 0 0 0 0 4"));
    HOLDS(s, say(s, "emitn 60\nemitn 40") == BERTH_OK && s->result.effect_count == 2);
    HOLDS(s, say(s, "emitn 60\nemitn 41") == BERTH_E_LIMIT && s->result.effect_count == 0);
    /* It sticks: what would fit alone is refused too. */
    HOLDS(s, say(s, "emitn 101\nemit x\nreserve 1 1") == BERTH_E_LIMIT);
    HOLDS(s, answered(s, "0 0 0 4 4 4 -1"));
    HOLDS(s, say(s, "reserve 101 1\nemit x") == BERTH_E_LIMIT && s->result.effect_count == 0);
    HOLDS(s, answered(s, "-1 4"));
    HOLDS(s, say(s, "emit fine") == BERTH_OK && emitted(s, 0, "fine"));
    /* The handler's own code comes first. */
    HOLDS(s, say(s, "emitn 101\nreturn 2") == BERTH_E_BROKEN);
}

static void a_state_over_the_limit_is_no_snapshot(suite *s)
{
    berth_test_birth birth = {.kind = "probe", .max_state = 1000};
    berth_bytes state;

    end(s);
    if (!begin_with(s, &birth))
        return;
    /* 8 value, 1 memo, 32 ref, 8 pad. */
    HOLDS(s, say(s, "pad 951") == BERTH_OK && snapshot(s, 2, &state) == BERTH_OK);
    HOLDS(s, state.len == 1000);
    HOLDS(s, say(s, "pad 952") == BERTH_OK && snapshot(s, 2, &state) == BERTH_E_LIMIT);
    HOLDS(s, snapshot(s, 1, &state) == BERTH_OK && state.len == 9);
}

/* ---- The matrix of calls ---- */

static void effects_in_create_are_not_now(suite *s)
{
    berth_test_birth birth = {
        .kind = "probe",
        .config = str("emit x\nsend 1 x\nreserve 1 1\ncommit 1\nsubscribe a\nunsubscribe a\n"
                      "spawn probe - 0 \nwrite x\nextension berth.metrics/1\npost early")};

    end(s);
    if (!begin_with(s, &birth))
        return;
    HOLDS(s, answered(s, "3 3 -1 3 3 3 3 3 0 0"));
    if (!s->driver->run_post)
        return;
    /* The post is there, as an event. */
    s->driver->run_post(s->driver->ctx, s->daemon, &s->result);
    HOLDS(s, s->result.code == BERTH_OK);
}

static void effects_in_snapshot_and_status_are_not_now(suite *s)
{
    berth_daemon_status status;
    berth_bytes state;

    HOLDS(s, say(s, "in snapshot emit x\nin snapshot timer 1 0 x\nin snapshot reserve 1 1\n"
                    "in snapshot subscribe a\nin snapshot spawn probe - 0 \n"
                    "in status emit x\nin status write x\nin status fail 0 fine") == BERTH_OK);
    HOLDS(s, snapshot(s, 2, &state) == BERTH_OK && state.len == 49);
    HOLDS(s, answered(s, "3 3 -1 3 3"));
    HOLDS(s, s->driver->status(s->driver->ctx, s->daemon, &status) == BERTH_OK);
    HOLDS(s, answered(s, "3 3 0"));
    HOLDS(s, say(s, "write x") == BERTH_OK && answered(s, "3"));
}

static void effects_in_destroy_do_nothing(suite *s)
{
    if (!s->driver->log_line)
        return;
    HOLDS(s, say(s, "in destroy emit x\nin destroy fail 1 x\nin destroy log 2 last words") ==
                 BERTH_OK);
    end(s);
    size_t i = 0;
    const char *line;
    while ((line = s->driver->log_line(s->driver->ctx, i)) != NULL && !strstr(line, "last words"))
        i++;
    HOLDS(s, line != NULL);
}

static void a_call_handle_dies_with_its_call(suite *s)
{
    if (!s->driver->is_inline)
        return;
    HOLDS(s, say(s, "emit first") == BERTH_OK);
    HOLDS(s, say(s, "emit second\nstale\nemit third") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 2);
    HOLDS(s, answered(s, "0 0 3 0"));
}

static void a_call_handle_is_for_its_own_thread(suite *s)
{
    if (!s->driver->is_inline)
        return;
    HOLDS(s, say(s, "emit one\nforeign\nemit two") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 2);
    HOLDS(s, answered(s, "0 3 0"));
}

static void a_daemon_handle_dies_with_its_daemon(suite *s)
{
    if (!s->driver->is_inline || !s->driver->run_post)
        return;
    end(s);
    if (begin(s, "probe"))
        HOLDS(s, say(s, "post-dead x") == BERTH_OK && answered(s, "3"));
}

static void posts_from_any_thread_become_events(suite *s)
{
    if (!s->driver->run_post)
        return;
    HOLDS(s, say(s, "thread-post emit from afar\npost dump") == BERTH_OK);
    HOLDS(s, s->result.effect_count == 0);
    s->driver->run_post(s->driver->ctx, s->daemon, &s->result);
    HOLDS(s, s->result.code == BERTH_OK && emitted(s, 0, "from afar"));
    s->driver->run_post(s->driver->ctx, s->daemon, &s->result);
    HOLDS(s, s->result.effect_count == 1);
    HOLDS(s, effect(s, 0)->data.len > 6 && memcmp(effect(s, 0)->data.ptr, "type=5", 6) == 0);
    HOLDS(s, answered(s, "0 0 0"));
    /* Not undone when the event that posted fails: a post is no effect. */
    HOLDS(s, say(s, "post emit kept\nreturn 1") == 1);
    s->driver->run_post(s->driver->ctx, s->daemon, &s->result);
    HOLDS(s, emitted(s, 0, "kept"));
}

static void extensions_are_found_in_init_only(suite *s)
{
    HOLDS(s, say(s, "extension berth.metrics/1\nextension org.example.nonsense/1") == BERTH_OK);
    HOLDS(s, answered(s, "0 0"));
}

static void log_lines_are_escaped(suite *s)
{
    if (!s->driver->log_line)
        return;
    HOLDS(s, say(s, "log 1 a\tbell\x07 rings") == BERTH_OK);
    size_t i = 0;
    const char *line;
    while ((line = s->driver->log_line(s->driver->ctx, i)) != NULL && !strstr(line, "rings"))
        i++;
    HOLDS(s, line && !strchr(line, '\t') && !strchr(line, 0x07));
}

/* ---- Events ---- */

static int tells(const suite *s, const char *part)
{
    static char text[2100];
    berth_bytes have = effect(s, 0)->data;
    size_t len = have.len < sizeof text - 1 ? have.len : sizeof text - 1;

    if (len)
        memcpy(text, have.ptr, len);
    text[len] = 0;
    return strstr(text, part) != NULL;
}

static void events_arrive_as_they_were_sent(suite *s)
{
    berth_event message = {.type = BERTH_EVENT_MESSAGE,
                           .origin = 0xabc,
                           .sequence = 41,
                           .data = str("dump"),
                           .channel = str("some/channel"),
                           .reply_to = {{1, 2, 3, 4}}};
    berth_event control = {
        .type = BERTH_EVENT_CONTROL, .status = BERTH_CONTROL_DRAIN_START, .request = 1500};
    berth_event start = {.type = BERTH_EVENT_START, .status = BERTH_START_RESTORED};

    HOLDS(s, deliver(s, &start) == BERTH_OK && tells(s, "type=1 "));
    HOLDS(s, tells(s, " status=2 ") && tells(s, " attempt=1"));
    HOLDS(s,
          deliver(s, &message) == BERTH_OK && tells(s, "type=2 flags=0 origin=abc sequence=41 "));
    HOLDS(s, tells(s, " data=dump channel=some/channel waits=1 request=0 status=0 attempt=1"));
    HOLDS(s, deliver(s, &control) == BERTH_OK && tells(s, "type=6 "));
    HOLDS(s, tells(s, " request=1500 status=2 "));
}

static void answers_go_where_the_question_came_from(suite *s)
{
    berth_event ask = {
        .type = BERTH_EVENT_MESSAGE,
        .data = str("reply-part one\nreply two\nrefuse three\nkeep"),
        .reply_to = {{0x1111, 0x2222, 0x3333, 0x4444}},
    };

    HOLDS(s, deliver(s, &ask) == BERTH_OK && s->result.effect_count == 3);
    for (size_t i = 0; i < 3; i++) {
        const berth_test_effect *e = effect(s, i);
        HOLDS(s, e->to == BERTH_TO_REPLY);
        HOLDS(s, memcmp(&e->reply_to, &ask.reply_to, sizeof ask.reply_to) == 0);
        HOLDS(s, e->flags == (i == 0 ? BERTH_MORE : i == 1 ? 0 : BERTH_REFUSE));
    }
    /* Later, without the event. */
    HOLDS(s, say(s, "reply-kept at last") == BERTH_OK && s->result.effect_count == 1);
    HOLDS(s, effect(s, 0)->reply_to.w[3] == 0x4444 && bytes_are(effect(s, 0)->data, "at last"));
}

static void events_of_every_size_are_whole(suite *s)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4095, 4096, 65536, 1 << 20};
    char *data = malloc(1 << 20);

    if (!data)
        return;
    memset(data, 'z', 1 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        /* A comment line, as the probe sees it, then the command that tells the length. */
        berth_event e = {.type = BERTH_EVENT_MESSAGE, .data = {data, sizes[i]}};
        HOLDS(s, deliver(s, &e) == BERTH_OK && s->result.effect_count == 0);
    }
    memcpy(data, "emit ", 5);
    berth_event e = {.type = BERTH_EVENT_MESSAGE, .data = {data, 1 << 20}};
    HOLDS(s, deliver(s, &e) == BERTH_OK && effect(s, 0)->data.len == (1 << 20) - 5);
    free(data);
}

/* ---- State ---- */

static void a_daemon_continues_from_its_snapshot(suite *s)
{
    uint8_t copy[256];
    berth_bytes state;

    for (uint32_t version = 1; version <= 2; version++) {
        end(s);
        if (!begin(s, "probe"))
            return;
        HOLDS(s, say(s, "add 40\nmemo hello there") == BERTH_OK);
        HOLDS(s, snapshot(s, version, &state) == BERTH_OK && state.len < sizeof copy);
        size_t len = state.len < sizeof copy ? state.len : 0;
        memcpy(copy, state.ptr, len);
        HOLDS(s, snapshot(s, version, &state) == BERTH_OK && state.len == len);
        HOLDS(s, memcmp(state.ptr, copy, len) == 0);
        end(s);
        berth_test_birth birth = {.kind = "probe", .state = {copy, len}, .state_version = version};
        if (!begin_with(s, &birth))
            return;
        HOLDS(s, say(s, "add 2\nvalue\nmemo?") == BERTH_OK);
        HOLDS(s, emitted(s, 0, "42") && emitted(s, 1, "hello there"));
    }
    HOLDS(s, snapshot(s, 3, &state) == BERTH_E_VERSION);
}

static void bad_states_are_refused_with_their_code(suite *s)
{
    static const uint8_t bytes[64];
    berth_test_birth birth = {.kind = "probe", .state = {bytes, 8}, .state_version = 1};

    end(s);
    HOLDS(s, create(s, &birth) == BERTH_E_STATE);
    end(s);
    birth.state.len = 9;
    HOLDS(s, create(s, &birth) == BERTH_OK);
    end(s);
    birth.state_version = 3;
    HOLDS(s, create(s, &birth) == BERTH_E_VERSION);
    end(s);
    /* An empty state is one. */
    birth.state.len = 0;
    birth.state_version = 1;
    HOLDS(s, create(s, &birth) == BERTH_E_STATE);
    end(s);
    birth.kind = "probe.plain";
    birth.state.len = 9;
    HOLDS(s, create(s, &birth) == BERTH_E_STATE);
    HOLDS(s, s->result.text && strstr(s->result.text, "probe.plain keeps no state"));
}

static void a_failed_create_tells_its_code_and_text(suite *s)
{
    berth_test_birth birth = {.kind = "probe", .config = str("fail 10 target: not a number")};

    end(s);
    HOLDS(s, create(s, &birth) == BERTH_E_CONFIG);
    HOLDS(s, s->result.text && strstr(s->result.text, "target: not a number"));
}

static void status_is_as_the_daemon_says(suite *s)
{
    berth_daemon_status status;

    HOLDS(s, say(s, "add 400001\nmemo abc") == BERTH_OK);
    HOLDS(s, s->driver->status(s->driver->ctx, s->daemon, &status) == BERTH_OK);
    HOLDS(s, status.health == BERTH_UNHEALTHY && status.saturation_ppm == 400001);
    HOLDS(s, status.state_bytes == 11);
}

/* ---- Running them ---- */

#define CHECK(name)                                                                                \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    void (*run)(suite *s);
} checks[] = {
    CHECK(effects_keep_their_order_and_operands),
    CHECK(an_error_after_emit_leaves_no_output),
    CHECK(the_last_text_of_fail_counts),
    CHECK(texts_are_cut_and_escaped),
    CHECK(reserved_memory_is_emitted_in_place),
    CHECK(senseless_arguments_record_nothing),
    CHECK(channel_names_are_checked),
    CHECK(unknown_options_are_refused_unless_zero),
    CHECK(a_request_number_is_used_once_at_a_time),
    CHECK(kinds_without_a_handler_cannot_ask_for_its_events),
    CHECK(limits_are_told_and_passing_one_drops_all_effects),
    CHECK(a_state_over_the_limit_is_no_snapshot),
    CHECK(effects_in_create_are_not_now),
    CHECK(effects_in_snapshot_and_status_are_not_now),
    CHECK(effects_in_destroy_do_nothing),
    CHECK(a_call_handle_dies_with_its_call),
    CHECK(a_call_handle_is_for_its_own_thread),
    CHECK(a_daemon_handle_dies_with_its_daemon),
    CHECK(posts_from_any_thread_become_events),
    CHECK(extensions_are_found_in_init_only),
    CHECK(log_lines_are_escaped),
    CHECK(events_arrive_as_they_were_sent),
    CHECK(answers_go_where_the_question_came_from),
    CHECK(events_of_every_size_are_whole),
    CHECK(a_daemon_continues_from_its_snapshot),
    CHECK(bad_states_are_refused_with_their_code),
    CHECK(a_failed_create_tells_its_code_and_text),
    CHECK(status_is_as_the_daemon_says),
};

size_t conformance_run(const conformance_driver *driver, conformance_report *report, void *ctx)
{
    size_t failed = 0;

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        suite s = {.driver = driver};
        if (begin(&s, "probe"))
            checks[i].run(&s);
        end(&s);
        failed += s.why != NULL;
        report(ctx, checks[i].name, s.why);
    }
    return failed;
}
