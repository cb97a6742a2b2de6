/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events from a client to a daemon. The body is cut into batches; a few of them are under way at a
 * time, and when there is no room the connection waits, unread, so that the client waits too.
 * Nothing here blocks. What is in a mailbox when the client vanishes is applied all the same.
 */
#include "api/emit.h"
#include "api/lines.h"
#include "api/listing.h"
#include "api/server.h"
#include "api/source.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW       4            /* batches under way */
#define BATCH_BYTES  (256 * 1024) /* a batch goes when it holds that much */
#define BATCH_BEGIN  (64 * 1024)
#define REPLY_MEMORY (1 << 20)

typedef struct send send;

typedef struct flight {
    send *s;
    batch *b;
    uint64_t first; /* number of its first event in this request, from 0 */
    bool landed;    /* s->lock */
} flight;

typedef enum want { WANT_NOTHING, WANT_ANY, WANT_ALL } want;

struct send {
    atomic_uint refs; /* the request, each flight, the credit that is due */
    request *r;       /* one reference */
    uint64_t origin;
    bool by_line, reply;
    char source[SOURCE_ID_MAX + 1];
    uint64_t source_seq;
    uint32_t batch_events;
    uint64_t batch_bytes;

    /* the API's thread */
    lines lines;
    bool ahead; /* the first byte of the next piece was dealt with already */
    batch *open;
    uint64_t open_first, events;
    flight flights[WINDOW]; /* ring, in order of submission */
    unsigned first, count;
    uint64_t applied, failed, duplicates;
    uint64_t failed_event; /* first one, from 1; 0: none */
    berth_error failure;
    berth_error stop; /* code not 0: nothing more is taken */
    uint64_t stop_event;
    spool out;

    /* any thread */
    pthread_mutex_t lock;
    unsigned aloft;
    want want;
    bool credit_due, over;
};

static void send_unref(send *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    batch_free(s->open);
    lines_fini(&s->lines);
    spool_fini(&s->out);
    pthread_mutex_destroy(&s->lock);
    request_unref(s->r);
    free(s);
}

/* The request is over; what flies lands by itself. */
static void send_drop(void *state)
{
    send *s = (send *)state;
    batch *landed[WINDOW];
    unsigned n = 0;

    pthread_mutex_lock(&s->lock);
    s->over = true;
    for (unsigned i = 0; i < s->count; i++) {
        flight *f = &s->flights[(s->first + i) % WINDOW];

        if (f->landed)
            landed[n++] = f->b;
    }
    pthread_mutex_unlock(&s->lock);
    while (n)
        batch_free(landed[--n]);
    atomic_fetch_sub(&s->r->api->uploads, 1);
    send_unref(s);
}

/* Every event of the batch has been dealt with: on the daemon's thread. */
static void batch_landed(void *ctx, batch *b)
{
    flight *f = (flight *)ctx;
    send *s = f->s;
    bool wakes, over;

    pthread_mutex_lock(&s->lock);
    f->landed = true;
    s->aloft--;
    over = s->over;
    wakes = !over && (s->want == WANT_ANY || (s->want == WANT_ALL && !s->aloft));
    if (wakes)
        s->want = WANT_NOTHING;
    pthread_mutex_unlock(&s->lock);
    if (over)
        batch_free(b);
    else if (wakes)
        request_wake(s->r);
    send_unref(s);
}

static void credit_came(void *ctx)
{
    send *s = (send *)ctx;

    pthread_mutex_lock(&s->lock);
    s->credit_due = false;
    pthread_mutex_unlock(&s->lock);
    request_wake(s->r);
    send_unref(s);
}

/* ---- What came back -------------------------------------------------------------------------- */

static void emit_reply(writer *w, uint64_t input, const buf *bytes)
{
    berth_link link;

    berth_link_decode(&link, bytes->data, bytes->len);
    emit_text(w, "{");
    emit_member_u64(w, "input", input);
    emit_member_u64(w, "sequence", link.sequence);
    emit_member_hex(w, "link", slice_of(bytes->data, BERTH_LINK_SIZE));
    emit_key(w, "data");
    emit_bytes(w, slice_of(bytes->data + BERTH_LINK_SIZE, bytes->len - BERTH_LINK_SIZE));
    emit_text(w, "}\n");
}

static void account(send *s, const batch *b, uint64_t first)
{
    s->applied += b->applied;
    s->failed += b->failed;
    s->duplicates += b->duplicates;
    if (b->failed && !s->failed_event) {
        s->failed_event = first + b->first_failed + 1;
        fail(&s->failure, b->first_status, "%s",
             b->first_text ? b->first_text : berth_status_text(b->first_status));
    }
    for (uint32_t i = 0; i < b->output_count && !s->stop.code; i++) {
        emit_reply(&s->out.tail, first + b->outputs[i].input, b->outputs[i].bytes);
        if (spool_flush(&s->out, &s->stop))
            s->stop_event = first + b->outputs[i].input + 1;
    }
}

/* Look at the flights that have landed, in order. Returns how many are still up. */
static unsigned gather(send *s)
{
    for (; s->count; s->count--) {
        flight *f = &s->flights[s->first];
        bool landed;

        pthread_mutex_lock(&s->lock);
        landed = f->landed;
        pthread_mutex_unlock(&s->lock);
        if (!landed)
            break;
        account(s, f->b, f->first);
        batch_free(f->b);
        s->first = (s->first + 1) % WINDOW;
    }
    return s->count;
}

/* Have a landing wake us; false when there is one already. */
static bool await_landing(send *s, want what)
{
    const flight *oldest = &s->flights[s->first];
    bool waits;

    pthread_mutex_lock(&s->lock);
    waits = what == WANT_ALL ? s->aloft > 0 : !oldest->landed;
    s->want = waits ? what : WANT_NOTHING;
    pthread_mutex_unlock(&s->lock);
    return waits;
}

/* ---- On the way ------------------------------------------------------------------------------ */

/* Hand the open batch to the daemon. False: there is no room, and someone will wake us. */
static bool submit(send *s)
{
    batch *b = s->open;
    berth_error error = {0};
    berth_status status;
    flight *f;

    if (!b)
        return true;
    while (s->count == WINDOW) {
        if (await_landing(s, WANT_ANY))
            return false;
        gather(s);
    }
    f = &s->flights[(s->first + s->count) % WINDOW];
    *f = (flight){.s = s, .b = b, .first = s->open_first};
    b->done = batch_landed;
    b->ctx = f;
    b->want_outputs = s->reply;
    if (*s->source) {
        memcpy(b->source, s->source, sizeof s->source);
        b->source_seq = s->source_seq + s->open_first;
    }
    pthread_mutex_lock(&s->lock);
    if (s->credit_due) {
        pthread_mutex_unlock(&s->lock);
        return false;
    }
    s->credit_due = true;
    s->aloft++;
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->refs, 2); /* the flight's and the credit's */
    status = runtime_submit(s->r->api->rt, s->origin, b, credit_came, s, &error);
    if (status == BERTH_OK) {
        s->open = NULL;
        s->count++;
    }
    pthread_mutex_lock(&s->lock);
    if (status)
        s->aloft--;
    if (status != BERTH_ERR_WOULD_BLOCK)
        s->credit_due = false;
    pthread_mutex_unlock(&s->lock);
    if (status)
        send_unref(s);
    if (status == BERTH_ERR_WOULD_BLOCK)
        return false;
    send_unref(s);
    if (status) {
        s->stop = error;
        s->stop_event = s->open_first + 1;
        batch_free(b);
        s->open = NULL;
    }
    return true;
}

static bool full(const send *s)
{
    return s->open && (s->open->count >= s->batch_events || s->open->bytes >= s->batch_bytes);
}

static void add(send *s, slice event)
{
    if (!s->open) {
        /* room for one more: the last line of a body may find a full batch */
        s->open = batch_new(s->batch_events + 1, s->by_line ? BATCH_BEGIN : event.len);
        s->open_first = s->events;
    }
    if (s->open && batch_add(s->open, event.ptr, event.len)) {
        s->events++;
        return;
    }
    fail(&s->stop, BERTH_ERR_NO_MEMORY, "out of memory");
    s->stop_event = s->events + 1;
}

static void emit_counts(writer *w, const send *s)
{
    emit_member_u64(w, "applied", s->applied);
    emit_member_u64(w, "failed", s->failed);
    emit_member_u64(w, "duplicates", s->duplicates);
}

static void answer_stopped(send *s)
{
    berth_error error = s->stop;
    writer w = {0};

    if (s->by_line)
        fail(&error, s->stop.code,
             "line %llu: %s; of the lines before it %llu were applied, %llu failed, %llu were "
             "duplicates",
             (unsigned long long)s->stop_event, s->stop.text, (unsigned long long)s->applied,
             (unsigned long long)s->failed, (unsigned long long)s->duplicates);
    emit_error(&w, error.code, error.text, s->by_line ? s->stop_event : 0);
    emit_counts(&w, s);
    emit_text(&w, "}");
    request_answer(s->r, http_status_of(error.code), &w);
}

static void emit_sent(writer *w, const send *s)
{
    emit_text(w, "{");
    emit_counts(w, s);
    if (s->failed_event) {
        emit_key(w, "first_error");
        emit_text(w, "{");
        emit_member_u64(w, "line", s->failed_event);
        emit_member_string(w, "code", berth_status_name(s->failure.code));
        emit_member_string(w, "message", s->failure.text);
        emit_text(w, "}");
    }
    emit_text(w, "}");
}

static void answer_sent(send *s)
{
    berth_error error = {0};
    writer w = {0};

    if (s->reply) {
        emit_sent(&s->out.tail, s);
        emit_text(&s->out.tail, "\n");
        if (spool_flush(&s->out, &error))
            request_fail(s->r, &error);
        else
            spool_answer(s->r, 200, "application/x-ndjson", &s->out);
    } else if (!s->by_line && s->failed) {
        request_fail(s->r, &s->failure);
    } else {
        emit_sent(&w, s);
        request_answer(s->r, 200, &w);
    }
}

/* Nothing more comes: see the rest through, then answer. False: we will be woken. */
static bool settle(send *s)
{
    gather(s);
    if (!submit(s) || (await_landing(s, WANT_ALL)))
        return false;
    gather(s);
    if (s->stop.code)
        answer_stopped(s);
    else
        answer_sent(s);
    return true;
}

/* A piece of a body of lines. */
static size_t take_lines(request *r, const uint8_t *data, size_t n)
{
    send *s = (send *)r->state;
    const uint8_t *at = data + s->ahead, *end = data + n;
    bool room = true;
    slice line;

    gather(s);
    if (atomic_load(&r->api->phase) != API_RUNS && !s->stop.code) {
        fail(&s->stop, BERTH_ERR_SHUTTING_DOWN, "the host is being stopped");
        s->stop_event = s->events + 1;
    }
    while (at < end && !s->stop.code && (!full(s) || (room = submit(s)))) {
        lines_result result = s->stop.code ? LINES_MORE : lines_next(&s->lines, &at, end, &line);

        if (result == LINES_LINE) {
            add(s, line);
        } else if (result == LINES_TOO_LONG) {
            fail(&s->stop, BERTH_ERR_LIMIT, "is longer than %llu bytes, the most an event may have",
                 (unsigned long long)s->lines.max);
            s->stop_event = s->events + 1;
        } else if (result == LINES_NO_MEMORY) {
            fail(&s->stop, BERTH_ERR_NO_MEMORY, "out of memory");
            s->stop_event = s->events + 1;
        }
    }
    /* do not let events wait for more input */
    if (room && !s->stop.code)
        room = submit(s);
    if (s->stop.code) {
        settle(s);
        return request_answered(r) ? n : 0;
    }
    s->ahead = false;
    if (!room && at == end) {
        /* the library comes back after a wake only where something is left to take */
        s->ahead = true;
        at--;
    }
    return (size_t)(at - data);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

static bool read_options(request *r, send *s)
{
    const char *framing = target_param_get(&r->target, "framing");
    const char *source = request_get_header(r, "Berth-Source");
    berth_error error = {0};

    if (!request_bool(r, "reply", &s->reply))
        return false;
    s->by_line = framing && strcmp(framing, "lines") == 0;
    if (framing && !s->by_line && strcmp(framing, "one") != 0)
        fail(&error, BERTH_ERR_INVALID, "framing: must be one or lines, not '%.64s'", framing);
    else if (source)
        source_parse(source, s->source, &s->source_seq, &error);
    if (error.code)
        request_fail(r, &error);
    return !error.code;
}

void events_begin(request *r)
{
    const api_config *limits = &r->api->config;
    berth_error error = {0};
    send *s = calloc(1, sizeof *s);

    if (!s) {
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        request_fail(r, &error);
        return;
    }
    s->refs = 1;
    s->r = request_ref(r);
    pthread_mutex_init(&s->lock, NULL);
    spool_init(&s->out, r->api->spool_dir, REPLY_MEMORY, API_REPLY_MAX);
    s->lines.max = limits->max_event;
    /* two full batches fit into a mailbox, and one with the largest event at its end fits alone */
    s->batch_events =
        limits->mailbox_events / 2 < 512 ? (uint32_t)(limits->mailbox_events / 2) : 512;
    s->batch_events = s->batch_events > 1 ? s->batch_events - 1 : 1;
    s->batch_bytes = BATCH_BYTES;
    if (limits->mailbox_bytes < limits->max_event + BATCH_BYTES)
        s->batch_bytes = limits->mailbox_bytes > limits->max_event
                             ? limits->mailbox_bytes - limits->max_event
                             : 1;
    r->state = s;
    r->drop = send_drop;
    atomic_fetch_add(&r->api->uploads, 1);
    if (read_options(r, s) && request_receiver(r, 2, &s->origin) && s->by_line)
        r->upload = take_lines;
}

static void go_on(request *r)
{
    settle((send *)r->state);
}

void events_end(request *r)
{
    send *s = (send *)r->state;
    slice last;

    r->next = go_on;
    if (!s->by_line)
        add(s, slice_of(r->body.data, r->body.len));
    else if (!s->stop.code && lines_rest(&s->lines, &last))
        add(s, last);
    settle(s);
}
