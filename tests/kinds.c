/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

atomic_long kinds_alive, kinds_made;

typedef struct self {
    uint64_t count;
    uint64_t origin;
    berth_daemon *daemon;
    int64_t last_time;
} self;

static berth_code create(berth_call *call, const berth_birth *birth, void **out)
{
    if (birth->config.len >= 4 && memcmp(birth->config.ptr, "fail", 4) == 0)
        return call->api->fail(call, BERTH_E_CONFIG, "told to fail", 12);
    if (birth->state.ptr && birth->state.len != 8)
        return BERTH_E_STATE;
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
    atomic_fetch_sub(&kinds_alive, 1);
    free(me);
}

static berth_code echo(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return call->api->emit(call, e->data.ptr, e->data.len);
}

static berth_code count(void *me, berth_call *call, const berth_event *e)
{
    self *s = me;
    char text[24];
    (void)e;
    int n = snprintf(text, sizeof(text), "%" PRIu64, ++s->count);
    return call->api->emit(call, text, (uint64_t)n);
}

static berth_code save(void *me, berth_call *call, uint32_t want)
{
    self *s = me;
    return want == 1 ? call->api->write(call, &s->count, 8) : BERTH_E_VERSION;
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

/*
 * Words of an event, one action each, in order:
 *   count             state += 1
 *   emit:TEXT         output
 *   send:HEX:TEXT     to a daemon           ask:HEX:NUMBER:TEXT   a request
 *   pub:CHAN:TEXT     to a channel          sub:CHAN  unsub:CHAN
 *   timer:NUMBER:MS:TEXT   cancel:NUMBER
 *   spawn:KIND:NUMBER
 *   reply:TEXT        to the event's reply_to
 *   reject  broken    the code to return
 *   many:N            N outputs
 */
static berth_code act(self *s, berth_call *call, const berth_event *e, char *word)
{
    const berth_call_api *api = call->api;
    char *part[4] = {word, "", "", ""};
    for (int i = 1; i < 4; i++) {
        char *colon = strchr(part[i - 1], ':');
        if (!colon)
            break;
        *colon = 0;
        part[i] = colon + 1;
    }
    berth_output o = {.size = sizeof(o)};
    if (!strcmp(word, "count")) {
        s->count++;
        return BERTH_OK;
    }
    if (!strcmp(word, "emit"))
        return api->emit(call, part[1], strlen(part[1]));
    if (!strcmp(word, "many")) {
        for (long n = atol(part[1]); n > 0; n--)
            api->emit(call, "x", 1);
        return BERTH_OK;
    }
    if (!strcmp(word, "send") || !strcmp(word, "ask")) {
        bool ask = word[0] == 'a';
        char *text = ask ? part[3] : part[2];
        o.to = BERTH_TO_DAEMON;
        o.origin = strtoull(part[1], NULL, 16);
        o.request = ask ? strtoull(part[2], NULL, 10) : 0;
        o.data = (berth_bytes){text, strlen(text)};
        return api->output(call, &o);
    }
    if (!strcmp(word, "pub")) {
        o.to = BERTH_TO_CHANNEL;
        o.channel = (berth_bytes){part[1], strlen(part[1])};
        o.data = (berth_bytes){part[2], strlen(part[2])};
        return api->output(call, &o);
    }
    if (!strcmp(word, "sub") || !strcmp(word, "unsub")) {
        berth_subscription what = {.size = sizeof(what), .channel = {part[1], strlen(part[1])}};
        return word[0] == 's' ? api->subscribe(call, &what) : api->unsubscribe(call, &what);
    }
    if (!strcmp(word, "timer") || !strcmp(word, "cancel")) {
        o.to = BERTH_TO_SELF;
        o.flags = word[0] == 'c' ? BERTH_CANCEL : 0;
        o.request = strtoull(part[1], NULL, 10);
        o.delay_ns = strtoll(part[2], NULL, 10) * 1000000;
        o.data = (berth_bytes){part[3], strlen(part[3])};
        return api->output(call, &o);
    }
    if (!strcmp(word, "spawn")) {
        berth_spawn sp = {.size = sizeof(sp),
                          .kind = {part[1], strlen(part[1])},
                          .request = strtoull(part[2], NULL, 10)};
        return api->spawn(call, &sp);
    }
    if (!strcmp(word, "reply")) {
        o.to = BERTH_TO_REPLY;
        o.reply_to = e->reply_to;
        o.data = (berth_bytes){part[1], strlen(part[1])};
        return api->output(call, &o);
    }
    if (!strcmp(word, "reject"))
        return api->fail(call, BERTH_E_REJECT, "told to", 7);
    if (!strcmp(word, "broken"))
        return BERTH_E_BROKEN;
    return BERTH_E_ARGUMENT;
}

static berth_code script(void *me, berth_call *call, const berth_event *e)
{
    char text[4096], *save_ptr = NULL;
    size_t n = e->data.len < sizeof(text) - 1 ? e->data.len : sizeof(text) - 1;
    if (n)
        memcpy(text, e->data.ptr, n);
    text[n] = 0;
    for (char *w = strtok_r(text, " ", &save_ptr); w; w = strtok_r(NULL, " ", &save_ptr)) {
        berth_code code = act(me, call, e, w);
        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

/* What came is output, marked, so that tests see it. */
static berth_code heard(berth_call *call, const berth_event *e, const char *mark)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "%s %" PRIu64 " %d %.*s", mark, e->request, (int)e->status,
                     (int)(e->data.len < 400 ? e->data.len : 400), (const char *)e->data.ptr);
    return call->api->emit(call, text, (uint64_t)n);
}

static berth_code on_timer(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return heard(call, e, "timer");
}

static berth_code on_reply(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return heard(call, e, e->flags & BERTH_MORE ? "more" : "reply");
}

static berth_code on_post(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return heard(call, e, "post");
}

static berth_code on_control(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return heard(call, e, "control");
}

static berth_code on_start(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return heard(call, e, "start");
}

static berth_code status(void *me, berth_call *call, berth_daemon_status *out)
{
    const self *s = me;
    (void)call;
    out->health = s->count >= 100 ? BERTH_UNHEALTHY : BERTH_HEALTHY;
    out->saturation_ppm = s->count < 100 ? (uint32_t)s->count * 10000 : 1000000;
    out->state_bytes = 8;
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
