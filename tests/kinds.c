/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

atomic_long kinds_alive, kinds_made, kinds_overlaps, kinds_polls;

/* ---- The gate -------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool closed;
    unsigned waiting;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

static void gate_set(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.cond);
    pthread_mutex_unlock(&gate.lock);
}

void kinds_gate_close(void)
{
    gate_set(true);
}

void kinds_gate_open(void)
{
    gate_set(false);
}

void kinds_gate_await(unsigned n)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting < n)
        pthread_cond_wait(&gate.cond, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_pass(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.cond);
    while (gate.closed)
        pthread_cond_wait(&gate.cond, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
}

/* ---- What all kinds have --------------------------------------------------------------------- */

typedef struct self {
    uint64_t count;
    uint64_t origin;
    berth_daemon *daemon;
    berth_ref kept;
    atomic_bool inside;
} self;

static void enter(self *s)
{
    if (atomic_exchange(&s->inside, true))
        atomic_fetch_add(&kinds_overlaps, 1);
}

static void leave(self *s)
{
    atomic_store(&s->inside, false);
}

static bool config_is(const berth_birth *birth, const char *word)
{
    size_t n = strlen(word);
    return birth->config.len >= n && memcmp(birth->config.ptr, word, n) == 0;
}

static berth_code create(berth_call *call, const berth_birth *birth, void **out)
{
    if (config_is(birth, "post"))
        birth->daemon->host->post(birth->daemon, "from create", 11);
    if (config_is(birth, "gate"))
        gate_pass();
    if (config_is(birth, "fail") || config_is(birth, "post and fail"))
        return call->api->fail(call, BERTH_E_CONFIG, "told to fail", 12);
    if (birth->state.ptr && birth->state.len != 8)
        return BERTH_E_STATE;
    if (birth->state.ptr && birth->state_version != 1)
        return BERTH_E_VERSION;
    self *s = calloc(1, sizeof(*s));
    if (birth->state.ptr)
        memcpy(&s->count, birth->state.ptr, 8);
    s->origin = birth->origin;
    s->daemon = birth->daemon;
    atomic_fetch_add(&kinds_alive, 1);
    atomic_fetch_add(&kinds_made, 1);
    *out = s;
    return BERTH_OK;
}

static void destroy(void *me, berth_call *call)
{
    (void)call;
    enter(me);
    atomic_fetch_sub(&kinds_alive, 1);
    free(me);
}

static berth_code echo(void *me, berth_call *call, const berth_event *e)
{
    enter(me);
    berth_code code = call->api->emit(call, e->data.ptr, e->data.len);
    leave(me);
    return code;
}

static berth_code count(void *me, berth_call *call, const berth_event *e)
{
    self *s = me;
    char text[24];
    (void)e;
    enter(s);
    int n = snprintf(text, sizeof(text), "%" PRIu64, ++s->count);
    berth_code code = call->api->emit(call, text, (uint64_t)n);
    leave(s);
    return code;
}

static berth_code save(void *me, berth_call *call, uint32_t want)
{
    self *s = me;
    enter(s);
    berth_code code = want == 1 ? call->api->write(call, &s->count, 8) : BERTH_E_VERSION;
    leave(s);
    return code;
}

const berth_kind kind_echo = {
    .size = sizeof(berth_kind),
    .name = {"echo", 4},
    .create = create,
    .destroy = destroy,
    .process = echo,
};

const berth_kind kind_counter = {
    .size = sizeof(berth_kind),
    .name = {"counter", 7},
    .create = create,
    .destroy = destroy,
    .process = count,
    .snapshot = save,
};

/* ---- Script ---------------------------------------------------------------------------------- */

/*
 * Words of an event, one action each, in order; parts are set off by colons, N is decimal, HEX an
 * origin; in TEXT, which may have colons, a semicolon stands for a space. Anything else is refused.
 *
 *   add:N                 state += N               show     output the state
 *   emit:TEXT             output                   many:N   N outputs of one byte
 *   size:N                an output of N bytes     slot:CAP:LEN   the same with reserve and commit
 *   send:HEX:TEXT         to a daemon              flood:HEX:N    N messages "add:1"
 *   ask:HEX:N:TEXT        a request; within:MS before it sets its deadline
 *   bounce:HEX:N          if N: twice "bounce:OWN:N-1" to the daemon
 *   loop                  "loop" to itself
 *   pub:CHAN:TEXT   sub:CHAN   unsub:CHAN
 *   timer:N:MS:TEXT   cancel:N
 *   spawn:KIND:N:NAME
 *   reply:TEXT more:TEXT refuse:TEXT    to the event's reply_to
 *   keep answer:TEXT      remember reply_to; reply to it later
 *   post:TEXT             to its own on_post
 *   gate                  wait at the gate
 *   code:N:TEXT           return N, with TEXT      reject  broken
 */
static berth_code put(berth_call *call, berth_output o, const char *text)
{
    o.size = sizeof(o);
    o.data = (berth_bytes){text, strlen(text)};
    return call->api->output(call, &o);
}

static berth_code answer(berth_call *call, berth_ref to, uint16_t flags, const char *text)
{
    return put(call, (berth_output){.to = BERTH_TO_REPLY, .flags = flags, .reply_to = to}, text);
}

static berth_code output_of(berth_call *call, uint64_t n)
{
    char *bytes = malloc(n + 1);
    memset(bytes, 'b', n + 1);
    berth_code code = call->api->emit(call, bytes, n);
    free(bytes);
    return code;
}

static berth_code slot_of(berth_call *call, uint64_t cap, uint64_t len)
{
    char *room = call->api->reserve(call, cap);
    if (!room)
        return BERTH_E_LIMIT;
    memset(room, 'r', cap);
    return call->api->commit(call, len);
}

static berth_code repeat(berth_call *call, uint64_t to, uint64_t times, const char *text)
{
    berth_code code = BERTH_OK;
    for (uint64_t i = 0; i < times && code == BERTH_OK; i++)
        code = put(call, (berth_output){.to = BERTH_TO_DAEMON, .origin = to}, text);
    return code;
}

typedef struct words {
    char *part[4];
    const char *rest[4]; /* from this part to the end, colons and all */
    uint64_t n1, n2, origin;
    int64_t within_ns;
} words;

/* *known: whether it is one of these. */
static berth_code send_word(self *s, berth_call *call, words *w, bool *known)
{
    const char *word = w->part[0];
    char text[64];
    *known = true;
    if (!strcmp(word, "send"))
        return put(call, (berth_output){.to = BERTH_TO_DAEMON, .origin = w->origin}, w->rest[2]);
    if (!strcmp(word, "flood"))
        return repeat(call, w->origin, w->n2, "add:1");
    if (!strcmp(word, "within")) {
        w->within_ns = (int64_t)w->n1 * 1000000;
        return BERTH_OK;
    }
    if (!strcmp(word, "ask"))
        return put(call,
                   (berth_output){.to = BERTH_TO_DAEMON,
                                  .origin = w->origin,
                                  .request = w->n2,
                                  .delay_ns = w->within_ns},
                   w->rest[3]);
    if (!strcmp(word, "bounce")) {
        snprintf(text, sizeof(text), "bounce:%016" PRIx64 ":%" PRIu64, s->origin, w->n2 - 1);
        return w->n2 ? repeat(call, w->origin, 2, text) : BERTH_OK;
    }
    if (!strcmp(word, "loop"))
        return repeat(call, s->origin, 1, "loop");
    if (!strcmp(word, "pub"))
        return put(
            call,
            (berth_output){.to = BERTH_TO_CHANNEL, .channel = {w->part[1], strlen(w->part[1])}},
            w->rest[2]);
    if (!strcmp(word, "timer"))
        return put(call,
                   (berth_output){
                       .to = BERTH_TO_SELF, .request = w->n1, .delay_ns = (int64_t)w->n2 * 1000000},
                   w->rest[3]);
    if (!strcmp(word, "cancel"))
        return put(
            call, (berth_output){.to = BERTH_TO_SELF, .flags = BERTH_CANCEL, .request = w->n1}, "");
    *known = false;
    return BERTH_E_ARGUMENT;
}

static berth_code act(self *s, berth_call *call, const berth_event *e, words *w)
{
    const berth_call_api *api = call->api;
    const char *word = w->part[0], *text = w->rest[1];
    bool known;
    if (!strcmp(word, "add")) {
        s->count += w->n1;
        return BERTH_OK;
    }
    if (!strcmp(word, "show")) {
        char n[24];
        return api->emit(call, n, (uint64_t)snprintf(n, sizeof(n), "%" PRIu64, s->count));
    }
    if (!strcmp(word, "emit"))
        return api->emit(call, text, strlen(text));
    if (!strcmp(word, "many")) {
        for (uint64_t n = w->n1; n > 0; n--)
            api->emit(call, "x", 1); /* what it answers does not matter: limits are sticky */
        return BERTH_OK;
    }
    if (!strcmp(word, "size"))
        return output_of(call, w->n1);
    if (!strcmp(word, "slot"))
        return slot_of(call, w->n1, w->n2);
    if (!strcmp(word, "sub") || !strcmp(word, "unsub")) {
        berth_subscription what = {.size = sizeof(what), .channel = {text, strlen(text)}};
        return word[0] == 's' ? api->subscribe(call, &what) : api->unsubscribe(call, &what);
    }
    if (!strcmp(word, "spawn")) {
        berth_spawn sp = {.size = sizeof(sp),
                          .kind = {w->part[1], strlen(w->part[1])},
                          .name = {w->part[3], strlen(w->part[3])},
                          .request = w->n2};
        return api->spawn(call, &sp);
    }
    if (!strcmp(word, "reply"))
        return answer(call, e->reply_to, 0, text);
    if (!strcmp(word, "more"))
        return answer(call, e->reply_to, BERTH_MORE, text);
    if (!strcmp(word, "refuse"))
        return answer(call, e->reply_to, BERTH_REFUSE, text);
    if (!strcmp(word, "keep")) {
        s->kept = e->reply_to;
        return BERTH_OK;
    }
    if (!strcmp(word, "answer"))
        return answer(call, s->kept, 0, text);
    if (!strcmp(word, "post"))
        return s->daemon->host->post(s->daemon, text, strlen(text));
    if (!strcmp(word, "gate")) {
        gate_pass();
        return BERTH_OK;
    }
    if (!strcmp(word, "code"))
        return api->fail(call, (berth_code)w->n1, w->rest[2], strlen(w->rest[2]));
    if (!strcmp(word, "reject"))
        return api->fail(call, BERTH_E_REJECT, "told to", 7);
    if (!strcmp(word, "broken"))
        return BERTH_E_BROKEN;
    berth_code code = send_word(s, call, w, &known);
    return known ? code : api->fail(call, BERTH_E_REJECT, word, strlen(word));
}

static void split(words *w, char *word, char *whole)
{
    strcpy(whole, word);
    for (char *c = whole; *c; c++)
        if (*c == ';')
            *c = ' ';
    w->part[0] = word;
    for (int i = 1; i < 4; i++) {
        w->part[i] = strchr(w->part[i - 1], ':');
        if (w->part[i])
            *w->part[i]++ = 0;
        else
            w->part[i] = w->part[i - 1] + strlen(w->part[i - 1]);
        w->rest[i] = whole + (w->part[i] - word);
    }
    w->origin = strtoull(w->part[1], NULL, 16);
    w->n1 = strtoull(w->part[1], NULL, 10);
    w->n2 = strtoull(w->part[2], NULL, 10);
}

static berth_code script(void *me, berth_call *call, const berth_event *e)
{
    char text[4096], whole[4096], *save_ptr = NULL;
    size_t n = e->data.len < sizeof(text) - 1 ? e->data.len : sizeof(text) - 1;
    words w = {.within_ns = 0};
    berth_code code = BERTH_OK;
    enter(me);
    if (n)
        memcpy(text, e->data.ptr, n);
    text[n] = 0;
    for (char *word = strtok_r(text, " ", &save_ptr); word && code == BERTH_OK;
         word = strtok_r(NULL, " ", &save_ptr)) {
        split(&w, word, whole);
        code = act(me, call, e, &w);
    }
    leave(me);
    return code;
}

/* What came is output, marked, so that tests see it: "MARK request status data". */
static berth_code heard(void *me, berth_call *call, const berth_event *e, const char *mark)
{
    char text[512];
    enter(me);
    int n = snprintf(text, sizeof(text), "%s %" PRIu64 " %d %.*s", mark, e->request, (int)e->status,
                     (int)(e->data.len < 400 ? e->data.len : 400),
                     e->data.len ? (const char *)e->data.ptr : "");
    berth_code code = call->api->emit(call, text, (uint64_t)n);
    leave(me);
    return code;
}

static berth_code on_timer(void *me, berth_call *call, const berth_event *e)
{
    if (e->data.len == 6 && memcmp(e->data.ptr, "broken", 6) == 0)
        return BERTH_E_BROKEN;
    return heard(me, call, e, "timer");
}

static berth_code on_reply(void *me, berth_call *call, const berth_event *e)
{
    return heard(me, call, e, e->flags & BERTH_MORE ? "more" : "reply");
}

static berth_code on_post(void *me, berth_call *call, const berth_event *e)
{
    return heard(me, call, e, "post");
}

static berth_code on_control(void *me, berth_call *call, const berth_event *e)
{
    return heard(me, call, e, "control");
}

static berth_code on_start(void *me, berth_call *call, const berth_event *e)
{
    return heard(me, call, e, "start");
}

/* 0 to 99 is healthy and that many percent full, then it is unhealthy. */
static berth_code status(void *me, berth_call *call, berth_daemon_status *out)
{
    self *s = me;
    (void)call;
    enter(s);
    atomic_fetch_add(&kinds_polls, 1);
    out->health = s->count >= 100 ? BERTH_UNHEALTHY : BERTH_HEALTHY;
    out->saturation_ppm = s->count < 100 ? (uint32_t)s->count * 10000 : 1000000;
    out->state_bytes = 8;
    leave(s);
    return BERTH_OK;
}

const berth_kind kind_script = {
    .size = sizeof(berth_kind),
    .name = {"script", 6},
    .create = create,
    .destroy = destroy,
    .process = script,
    .snapshot = save,
    .status = status,
    .on_start = on_start,
    .on_timer = on_timer,
    .on_reply = on_reply,
    .on_post = on_post,
    .on_control = on_control,
};

berth_runtime *kinds_runtime(const berth_runtime_config *config)
{
    berth_runtime *rt = NULL;
    berth_error error = {0};
    if (berth_runtime_new(config, &rt, &error) != BERTH_OK ||
        berth_register_factory(rt, &kind_echo, &error) != BERTH_OK ||
        berth_register_factory(rt, &kind_counter, &error) != BERTH_OK ||
        berth_register_factory(rt, &kind_script, &error) != BERTH_OK ||
        berth_runtime_start(rt, &error) != BERTH_OK) {
        fprintf(stderr, "kinds_runtime: %s\n", error.text);
        abort();
    }
    return rt;
}
