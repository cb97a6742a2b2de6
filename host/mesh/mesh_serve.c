/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of other nodes to daemons here: each becomes a batch, and what became of the batch is the
 * answer. Those to one daemon are begun in the order in which they came.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"

#include <stdlib.h>

/* A call that is being executed, or waits for its daemon's room. */
struct served {
    mesh_task task;
    mesh *m;
    struct served *next; /* of those that wait, in order */
    uint64_t handle, origin;
    batch *b;
    char channel[CALL_SERVICE_MAX + 10]; /* by which it came, or "" */
    bool cancelled;                      /* nobody waits for the answer */
};

static void answer(mesh *m, struct served *s)
{
    const batch *b = s->b;
    call_output *outputs = NULL;
    call_result r = {.status = call_status_of(b->first_status),
                     .text = slice_str(b->first_text ? b->first_text : ""),
                     .applied = b->applied,
                     .failed = b->failed,
                     .duplicates = b->duplicates,
                     .first_failed = b->failed ? b->first_failed : 0};

    if (b->first_status == BERTH_ERR_CANCELLED)
        r.status = CALL_LOST;
    for (uint32_t i = 0; b->codes && i < b->count && r.failure_count < CALL_FAILURES_MAX; i++)
        if (b->codes[i])
            r.failures[r.failure_count++] = (call_failure){i, call_status_of(b->codes[i])};
    if (b->output_count)
        outputs = calloc(b->output_count, sizeof *outputs);
    for (uint32_t i = 0; outputs && i < b->output_count; i++)
        outputs[r.output_count++] = (call_output){
            b->outputs[i].input, slice_of(b->outputs[i].bytes->data, b->outputs[i].bytes->len)};
    call_answer(m->call_server, s->handle, &r, outputs, m->now_ns);
    free(outputs);
}

static void served_task(mesh *m, mesh_task *t, bool closed)
{
    struct served *s = (struct served *)t;

    if (!closed)
        answer(m, s);
    batch_free(s->b);
    free(s);
}

/* On the daemon's thread. */
static void batch_over(void *ctx, batch *b)
{
    struct served *s = ctx;

    (void)b;
    mesh_post(s->m, &s->task);
}

/* ---- Waiting for room ------------------------------------------------------------------------ */

/* What the daemon calls when it has room; the call itself may be gone by then. */
typedef struct room_word {
    mesh_task task;
    mesh *m;
    uint64_t origin;
} room_word;

static void try_again(mesh *m, uint64_t origin);

static void room_task(mesh *m, mesh_task *t, bool closed)
{
    uint64_t origin = ((room_word *)t)->origin;

    free(t);
    if (!closed)
        try_again(m, origin);
}

static void room_came(void *ctx)
{
    room_word *w = ctx;

    mesh_post(w->m, &w->task);
}

/* OK, WOULD_BLOCK (it waits), or how it failed. */
static berth_status submit(mesh *m, struct served *s, berth_error *error)
{
    room_word *w = calloc(1, sizeof *w);
    berth_status status;

    if (!w)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    *w = (room_word){.task = {.run = room_task}, .m = m, .origin = s->origin};
    status = runtime_submit_here(m->rt, s->origin, s->b, room_came, w, error);
    if (status != BERTH_ERR_WOULD_BLOCK)
        free(w);
    return status;
}

static void fail_served(mesh *m, struct served *s, berth_status status, const char *text)
{
    for (uint32_t i = 0; i < s->b->count; i++)
        batch_fail(s->b, i, status, text, strlen(text));
    served_task(m, &s->task, false);
}

static void try_again(mesh *m, uint64_t origin)
{
    bool blocked = false;

    for (struct served **at = &m->served_waiting; *at && !blocked;) {
        struct served *s = *at;
        berth_error error = {0};
        berth_status status;

        if (s->origin != origin) {
            at = &s->next;
            continue;
        }
        if (s->cancelled) {
            *at = s->next;
            fail_served(m, s, BERTH_ERR_CANCELLED, "cancelled by the caller");
            continue;
        }
        status = submit(m, s, &error);
        blocked = status == BERTH_ERR_WOULD_BLOCK;
        if (blocked)
            continue;
        *at = s->next;
        if (status != BERTH_OK)
            fail_served(m, s, status, error.text); /* NOT_FOUND: it has moved, and so does this */
    }
}

static bool others_wait(const mesh *m, uint64_t origin)
{
    for (const struct served *s = m->served_waiting; s; s = s->next)
        if (s->origin == origin)
            return true;
    return false;
}

static void wait_in_line(mesh *m, struct served *s)
{
    struct served **at = &m->served_waiting;

    while (*at)
        at = &(*at)->next;
    s->next = NULL;
    *at = s;
}

/* ---- What the machine asks ------------------------------------------------------------------- */

static batch *batch_of(const call_server_request *r, const char *channel)
{
    const call_request *q = r->request;
    slice events = q->events, event;
    batch *b = batch_new(q->count, 0);

    if (!b)
        return NULL;
    b->common = (berth_event){.type = BERTH_EVENT_MESSAGE};
    b->want_outputs = q->want_outputs;
    b->from_call = true;
    while (call_event_next(&events, &event)) {
        b->messages[b->count++] =
            (message){.data = event.ptr, .len = event.len, .hold = buf_ref(r->hold)};
        b->bytes += event.len;
    }
    b->common.channel = (berth_bytes){channel, strlen(channel)};
    if (q->source.len) {
        memcpy(b->source, q->source.ptr, q->source.len);
        b->source_seq = q->source_seq;
    }
    return b;
}

typedef struct seen {
    bool here;
    bool again; /* it was away since the caller heard of it */
    uint64_t min_epoch;
} seen;

static void note_face(void *ctx, const runtime_face *face)
{
    seen *s = ctx;

    s->here = true;
    s->again = face->came.len && s->min_epoch && s->min_epoch < face->epoch;
}

bool serve_find(const mesh *m, slice service, uint64_t *origin)
{
    return services_find(m->services, service, origin);
}

static call_status execute(void *ctx, const call_server_request *r)
{
    mesh *m = ctx;
    const call_request *q = r->request;
    const mesh_node *from = mesh_node_of(m, r->node);
    uint64_t origin = q->origin;
    seen found = {.min_epoch = q->min_epoch};
    berth_error error = {0};
    berth_status status;
    struct served *s;

    if (berth_runtime_get_state(m->rt) != BERTH_RUNTIME_READY)
        return CALL_NOT_HERE;
    if (!from || !policy_takes_from(m, from))
        return CALL_REFUSED;
    if (q->is_service && !serve_find(m, q->service, &origin))
        return CALL_UNKNOWN_SERVICE;
    runtime_face_of(m->rt, origin, note_face, &found);
    if (!found.here)
        return q->is_service ? CALL_UNKNOWN_SERVICE : CALL_NOT_HERE;
    /* Those that the caller sent before this one may have found the daemon away. */
    if (found.again && !q->is_service)
        return CALL_NOT_HERE;
    if (!policy_daemon_takes_from(m, origin, from->id))
        return CALL_REFUSED;
    s = calloc(1, sizeof *s);
    if (s) {
        *s = (struct served){
            .task = {.run = served_task}, .m = m, .handle = r->handle, .origin = origin};
        if (q->is_service)
            snprintf(s->channel, sizeof s->channel, "%.*s.requests", (int)q->service.len,
                     (const char *)q->service.ptr);
        s->b = batch_of(r, s->channel);
    }
    if (!s || !s->b) {
        free(s);
        return CALL_BACKPRESSURE;
    }
    s->b->done = batch_over;
    s->b->ctx = s;
    status = others_wait(m, origin) ? BERTH_ERR_WOULD_BLOCK : submit(m, s, &error);
    if (status == BERTH_ERR_WOULD_BLOCK)
        wait_in_line(m, s);
    if (status == BERTH_OK || status == BERTH_ERR_WOULD_BLOCK)
        return CALL_OK;
    batch_free(s->b);
    free(s);
    return status == BERTH_ERR_NOT_FOUND ? CALL_NOT_HERE : call_status_of(status);
}

/* One that waits for room is not begun any more; what runs is not stopped. */
static void cancelled(void *ctx, uint64_t handle, call_status why)
{
    mesh *m = ctx;

    (void)why;
    for (struct served *s = m->served_waiting; s; s = s->next)
        if (s->handle == handle)
            s->cancelled = true;
    mesh_sweep_in(m, 0); /* it is answered at the next turn: here nothing may be called */
}

void serve_sweep(mesh *m)
{
    for (struct served **at = &m->served_waiting; *at;) {
        struct served *s = *at;

        if (!s->cancelled) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        fail_served(m, s, BERTH_ERR_CANCELLED, "cancelled by the caller");
    }
}

berth_status serve_open(mesh *m, berth_error *error)
{
    call_server_config config = {
        .ctx = m, .send = calls_send, .execute = execute, .cancelled = cancelled};

    m->call_server = call_server_new(&config);
    m->services = services_new(0);
    return m->call_server && m->services ? BERTH_OK
                                         : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

void serve_fini(mesh *m)
{
    while (m->served_waiting) {
        struct served *s = m->served_waiting;

        m->served_waiting = s->next;
        batch_free(s->b);
        free(s);
    }
    call_server_free(m->call_server);
    services_free(m->services);
}
