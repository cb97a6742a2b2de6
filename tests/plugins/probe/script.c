/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* One run of a script. */
typedef struct run {
    probe *p;
    berth_call *call;
    const berth_event *event;
    berth_code result;
    int decided;
} run;

static void note(run *r, berth_code answer)
{
    if (r->p->note_count < PROBE_NOTES)
        r->p->notes[r->p->note_count++] = answer;
}

static void decide(run *r, berth_code code)
{
    if (!r->decided)
        r->result = code;
    r->decided = 1;
}

/* ---- Operands ---- */

/* Up to the next space, which is taken too. */
static berth_bytes next(berth_bytes *line)
{
    const char *p = line->ptr;
    uint64_t n = 0;

    while (n < line->len && p[n] != ' ')
        n++;
    berth_bytes word = berth_bytes_of(p, n);
    uint64_t taken = n < line->len ? n + 1 : n;
    *line = berth_bytes_of(taken ? p + taken : p, line->len - taken);
    return word;
}

static uint64_t number(berth_bytes *line)
{
    berth_bytes word = next(line);
    char text[32];
    uint64_t n = word.len < sizeof text - 1 ? word.len : sizeof text - 1;

    if (n)
        memcpy(text, word.ptr, n);
    text[n] = 0;
    return strtoull(text, NULL, 0);
}

/* ---- Threads of the plugin's own ---- */

typedef struct errand {
    berth_call *call;     /* emit on it, or */
    berth_daemon *daemon; /* post to it */
    berth_bytes text;
    berth_code answer;
} errand;

static void *run_errand(void *arg)
{
    errand *e = arg;
    e->answer = e->call ? berth_emit(e->call, e->text.ptr, e->text.len)
                        : berth_post(e->daemon, e->text.ptr, e->text.len);
    return NULL;
}

static berth_code on_thread(errand e)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_errand, &e) != 0)
        return BERTH_E_MEMORY;
    pthread_join(thread, NULL);
    return e.answer;
}

/* ---- Effects that need more than one line ---- */

static void emit_filled(run *r, uint64_t len)
{
    char *bytes = malloc(len ? len : 1);

    if (!bytes) {
        note(r, BERTH_E_MEMORY);
        return;
    }
    memset(bytes, 'x', len);
    note(r, berth_emit(r->call, bytes, len));
    free(bytes);
}

static void reserve(run *r, uint64_t cap, uint64_t len)
{
    uint8_t *room = r->call->api->reserve(r->call, cap);

    if (!room) {
        note(r, -1);
        return;
    }
    if ((uintptr_t)room % 16 != 0)
        note(r, -2);
    memset(room, 'r', cap);
    note(r, r->call->api->commit(r->call, len));
}

static void output(run *r, uint16_t to, uint16_t flags)
{
    berth_output o = berth_output_to(to);
    o.flags = flags;
    o.origin = r->p->origin;
    o.channel = BERTH_LIT("probe");
    note(r, r->call->api->output(r->call, &o));
}

/* An output from a plugin of a later minor version. */
static void newer(run *r, uint64_t value)
{
    struct {
        berth_output output;
        uint64_t later[2];
    } o;

    memset(&o, 0, sizeof o);
    o.output.size = sizeof o;
    o.output.data = BERTH_LIT("newer");
    o.later[1] = value;
    note(r, r->call->api->output(r->call, &o.output));
}

static void script_for(probe *p, berth_bytes phase, berth_bytes command)
{
    char *script = berth_bytes_equal(phase, BERTH_LIT("snapshot")) ? p->in_snapshot
                   : berth_bytes_equal(phase, BERTH_LIT("status")) ? p->in_status
                                                                   : p->in_destroy;
    size_t have = strlen(script);

    if (have + command.len + 2 > PROBE_SCRIPT)
        return;
    if (have)
        script[have++] = '\n';
    memcpy(script + have, command.ptr, command.len);
    script[have + command.len] = 0;
}

/* ---- Reports ---- */

static void emit_answers(run *r)
{
    char text[PROBE_NOTES * 12];
    size_t len = 0;

    for (uint32_t i = 0; i < r->p->note_count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, i ? " %d" : "%d", r->p->notes[i]);
    r->p->note_count = 0;
    berth_emit(r->call, text, len);
}

static void emit_event(run *r)
{
    const berth_event *e = r->event;
    char text[2048];
    int len = snprintf(
        text, sizeof text,
        "type=%u flags=%u origin=%llx sequence=%llu time=%lld seed=%llx,%llx "
        "data=%.*s channel=%.*s waits=%d request=%llu status=%d attempt=%u",
        e->type, e->flags, (unsigned long long)e->origin, (unsigned long long)e->sequence,
        (long long)e->time_ns, (unsigned long long)e->seed[0], (unsigned long long)e->seed[1],
        (int)(e->data.len < 512 ? e->data.len : 512), e->data.ptr ? (const char *)e->data.ptr : "",
        (int)e->channel.len, e->channel.ptr ? (const char *)e->channel.ptr : "",
        !berth_ref_is_none(&e->reply_to), (unsigned long long)e->request, e->status, e->attempt);
    berth_emit(r->call, text, (uint64_t)len);
}

static void emit_numbers(run *r, const char *format, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    char text[128];

    snprintf(text, sizeof text, format, (unsigned long long)a, (unsigned long long)b,
             (unsigned long long)c, (unsigned long long)d);
    berth_emit_str(r->call, text);
}

/* ---- Commands ---- */

static int is(berth_bytes word, const char *name)
{
    return berth_bytes_equal(word, berth_str(name));
}

/* What talks about the event; false: another command. */
static int run_answering(run *r, berth_bytes word, berth_bytes rest)
{
    static const berth_ref nobody;
    const berth_ref *to = r->event ? &r->event->reply_to : &nobody;

    if (is(word, "reply"))
        note(r, berth_reply(r->call, to, rest));
    else if (is(word, "reply-part"))
        note(r, berth_reply_part(r->call, to, rest));
    else if (is(word, "refuse")) {
        berth_output o = berth_output_to(BERTH_TO_REPLY);
        o.flags = BERTH_REFUSE;
        o.reply_to = *to;
        o.data = rest;
        note(r, r->call->api->output(r->call, &o));
    } else if (is(word, "keep"))
        r->p->kept = *to;
    else if (is(word, "reply-kept"))
        note(r, berth_reply(r->call, &r->p->kept, rest));
    else if (is(word, "bounce"))
        note(r, berth_send(r->call, r->event ? r->event->origin : 0, rest));
    else if (is(word, "dump") && r->event)
        emit_event(r);
    else
        return 0;
    return 1;
}

static int run_effect(run *r, berth_bytes word, berth_bytes rest)
{
    berth_call *call = r->call;
    uint64_t a, b, c;
    berth_bytes text, name;

    if (is(word, "emit"))
        note(r, berth_emit(call, rest.ptr, rest.len));
    else if (is(word, "emitn"))
        emit_filled(r, number(&rest));
    else if (is(word, "flood")) {
        a = number(&rest);
        for (b = number(&rest); a > 0; a--)
            emit_filled(r, b);
    } else if (is(word, "reserve")) {
        a = number(&rest);
        reserve(r, a, number(&rest));
    } else if (is(word, "send")) {
        a = number(&rest);
        note(r, berth_send(call, a, rest));
    } else if (is(word, "self"))
        note(r, berth_send(call, r->p->origin, rest));
    else if (is(word, "request")) {
        a = number(&rest);
        b = number(&rest);
        c = number(&rest);
        note(r, berth_request(call, a, b, (int64_t)c, rest));
    } else if (is(word, "publish")) {
        name = next(&rest);
        note(r, berth_publish(call, name, rest));
    } else if (is(word, "timer")) {
        a = number(&rest);
        b = number(&rest);
        note(r, berth_timer_set(call, a, (int64_t)b, rest));
    } else if (is(word, "cancel"))
        note(r, berth_timer_cancel(call, number(&rest)));
    else if (is(word, "subscribe"))
        note(r, berth_subscribe(call, rest));
    else if (is(word, "subscribe-from")) {
        a = number(&rest);
        note(r, berth_subscribe_from(call, rest, a));
    } else if (is(word, "unsubscribe"))
        note(r, berth_unsubscribe(call, rest));
    else if (is(word, "spawn")) {
        text = next(&rest);
        name = next(&rest);
        a = number(&rest);
        if (is(name, "-"))
            name = berth_nothing();
        note(r, berth_spawn_daemon(call, text, name, rest, a));
    } else
        return 0;
    return 1;
}

static int run_bad(run *r, berth_bytes word, berth_bytes rest)
{
    berth_call *call = r->call;
    char id[128];
    uint64_t a;

    if (is(word, "to"))
        output(r, (uint16_t)number(&rest), 0);
    else if (is(word, "flags")) {
        a = number(&rest);
        output(r, (uint16_t)a, (uint16_t)number(&rest));
    } else if (is(word, "newer"))
        newer(r, 1);
    else if (is(word, "newer-zero"))
        newer(r, 0);
    else if (is(word, "short")) {
        berth_output o = berth_output_to(BERTH_TO_CALLER);
        o.size = (uint32_t)number(&rest);
        note(r, call->api->output(call, &o));
    } else if (is(word, "null-emit"))
        note(r, berth_emit(call, NULL, number(&rest)));
    else if (is(word, "stale"))
        note(r, berth_emit(r->p->last_call, "stale", 5));
    else if (is(word, "foreign"))
        note(r, on_thread((errand){.call = call, .text = BERTH_LIT("foreign")}));
    else if (is(word, "commit"))
        note(r, call->api->commit(call, number(&rest)));
    else if (is(word, "write"))
        note(r, call->api->write(call, rest.ptr, rest.len));
    else if (is(word, "post-dead"))
        note(r, probe_dead ? berth_post(probe_dead, rest.ptr, rest.len) : -1);
    else if (is(word, "extension")) {
        snprintf(id, sizeof id, "%.*s", (int)rest.len, (const char *)rest.ptr);
        note(r, probe_host->extension(probe_host, id) != NULL);
    } else
        return 0;
    return 1;
}

static int run_state(run *r, berth_bytes word, berth_bytes rest)
{
    probe *p = r->p;

    if (is(word, "add"))
        p->value += number(&rest);
    else if (is(word, "pad"))
        p->pad = number(&rest);
    else if (is(word, "memo") && rest.len < sizeof p->memo) {
        memcpy(p->memo, rest.ptr, rest.len);
        p->memo_len = rest.len;
    } else if (is(word, "memo?"))
        berth_emit(r->call, p->memo, p->memo_len);
    else if (is(word, "value"))
        emit_numbers(r, "%llu", p->value, 0, 0, 0);
    else if (is(word, "limits"))
        emit_numbers(r, "%llu %llu %llu %llu", p->max_event, p->max_outputs, p->max_output_bytes,
                     p->max_state);
    else if (is(word, "birth"))
        emit_numbers(r, "origin=%llx version=%llu", p->origin, p->state_version, 0, 0);
    else if (is(word, "dumpable"))
        emit_numbers(r, "dumpable=%llu", (uint64_t)prctl(PR_GET_DUMPABLE), 0, 0, 0);
    else if (is(word, "answers"))
        emit_answers(r);
    else
        return 0;
    return 1;
}

static int run_other(run *r, berth_bytes word, berth_bytes rest)
{
    berth_daemon *daemon = r->p->daemon;
    berth_code code;
    uint64_t a;

    if (is(word, "log")) {
        a = number(&rest);
        daemon->host->log(daemon->host, daemon, (int32_t)a, &rest);
    } else if (is(word, "post"))
        note(r, berth_post(daemon, rest.ptr, rest.len));
    else if (is(word, "thread-post"))
        note(r, on_thread((errand){.daemon = daemon, .text = rest}));
    else if (is(word, "fail")) {
        code = (berth_code)number(&rest);
        note(r, r->call->api->fail(r->call, code, rest.ptr, rest.len));
        decide(r, code);
    } else if (is(word, "return"))
        decide(r, (berth_code)number(&rest));
    else if (is(word, "in")) {
        berth_bytes phase = next(&rest);
        script_for(r->p, phase, rest);
    } else if (is(word, "sleep")) {
        a = number(&rest);
        nanosleep(&(struct timespec){(time_t)(a / 1000), (long)(a % 1000) * 1000000}, NULL);
    } else if (is(word, "spin")) {
        for (volatile int forever = 1; forever;)
            ;
    } else if (is(word, "crash"))
        __builtin_trap();
    else if (is(word, "leak")) {
        a = number(&rest);
        char *lost = malloc(a);
        if (lost)
            memset(lost, 1, a);
    } else
        return 0;
    return 1;
}

berth_code probe_run(probe *p, berth_call *call, const berth_event *event, berth_bytes script)
{
    run r = {p, call, event, BERTH_OK, 0};
    const char *at = script.ptr;
    const char *end = script.len ? at + script.len : at;

    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        berth_bytes line = berth_bytes_of(at, (uint64_t)((eol ? eol : end) - at));
        at = eol ? eol + 1 : end;
        berth_bytes word = next(&line);
        /* What is no command is data: nothing happens. */
        if (!run_answering(&r, word, line) && !run_effect(&r, word, line) &&
            !run_bad(&r, word, line) && !run_state(&r, word, line))
            run_other(&r, word, line);
    }
    return r.result;
}
