/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to names that daemons serve: which node is asked, and what it answers. Which nodes serve
 * a name they have announced (`nrpc:NAME`).
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>

#define NODES_TRIED   3 /* of those that turn out not to serve the name */
#define NOBODY_SERVES "no node that is up serves the name"

typedef struct request {
    call_user user; /* first */
    mesh_task task;
    struct request *prev, *next;
    uint64_t id; /* of the call; 0: none */
    uint64_t node, wanted;
    uint64_t tried[NODES_TRIED];
    unsigned tried_count;
    bool again;    /* asked elsewhere at the next turn */
    bool unserved; /* all that were asked do not serve the name: its call is given up */
    call_policy policy;
    uint64_t key;
    int64_t until_ns;
    void (*answer)(void *ctx, const mesh_reply *reply);
    void *ctx;
    batch *b; /* where the daemon is here */
    mesh *m;
    size_t service_len, data_len;
    char channel[CALL_SERVICE_MAX + 10];
    uint8_t bytes[]; /* service, data */
} request;

static slice service_of(const request *r)
{
    return slice_of(r->bytes, r->service_len);
}

static void end(mesh *m, request *r, const mesh_reply *reply)
{
    if (m->stage == STAGE_ENDED) /* the list is nobody's any more, and this is any thread */
        ;
    else if (r->prev)
        r->prev->next = r->next;
    else if (m->requests == r)
        m->requests = r->next;
    if (r->next && m->stage != STAGE_ENDED)
        r->next->prev = r->prev;
    r->answer(r->ctx, reply);
    free(r);
}

static void fail_request(mesh *m, request *r, berth_status status, const char *text)
{
    end(m, r, &(mesh_reply){.status = status, .text = slice_str(text), .node = r->node});
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void set_output(mesh_reply *reply, slice bytes)
{
    reply->link = slice_of(bytes.ptr, EVENT_WIRE_LINK);
    reply->payload = slice_of(bytes.ptr + EVENT_WIRE_LINK, bytes.len - EVENT_WIRE_LINK);
}

static void answered(mesh *m, call_user *u, const call_outcome *o)
{
    request *r = (request *)u;
    mesh_reply reply = {.status = o->status, .node = o->node};
    slice outputs = o->result ? o->result->outputs : (slice){0};
    call_output out;

    if (r->unserved && o->status == BERTH_ERR_CANCELLED) {
        reply.status = BERTH_ERR_NOT_FOUND;
        reply.text = slice_str(NOBODY_SERVES);
    } else if (o->status != BERTH_OK) {
        reply.text = o->text;
    }
    while (o->status == BERTH_OK && call_output_next(&outputs, &out))
        set_output(&reply, out.bytes); /* the last one is the answer */
    end(m, r, &reply);
}

/* On the loop's thread, once the daemon here is through. */
static void answered_here(mesh *m, mesh_task *t, bool closed)
{
    request *r = (request *)((char *)t - offsetof(request, task));
    batch *b = r->b;
    mesh_reply reply = {.status = b->first_status, .node = m->key.node_id};

    (void)closed;
    if (b->first_status != BERTH_OK)
        reply.text = slice_str(b->first_text ? b->first_text : berth_status_text(b->first_status));
    else if (b->output_count)
        set_output(&reply, slice_of(b->outputs[b->output_count - 1].bytes->data,
                                    b->outputs[b->output_count - 1].bytes->len));
    end(m, r, &reply);
    batch_free(b);
}

/* On the daemon's thread. */
static void here_over(void *ctx, batch *b)
{
    request *r = ctx;

    r->b = b;
    r->task.run = answered_here;
    mesh_post(r->m, &r->task);
}

/* ---- Who is asked ---------------------------------------------------------------------------- */

static bool was_tried(const request *r, uint64_t node)
{
    for (unsigned i = 0; i < r->tried_count; i++)
        if (r->tried[i] == node)
            return true;
    return false;
}

/* Nodes that announce it, ascending, and those of them that may be asked; malloc'd. */
static size_t candidates(mesh *m, const request *r, call_candidate **out)
{
    char tag[CALL_SERVICE_MAX + 8];
    capability_filter filter = {0};
    uint64_t *nodes = NULL, origin;
    size_t count = 0, n = 0;
    berth_error error = {0};

    snprintf(tag, sizeof tag, "nrpc:%.*s", (int)r->service_len, (const char *)r->bytes);
    filter.tags[0] = slice_str(tag);
    filter.tag_count = 1;
    if (announcements_find(m->announcements, &filter, NULL, m->now_ns, &nodes, &count, &error) !=
        BERTH_OK)
        count = 0;
    *out = calloc(count + 1, sizeof **out);
    for (size_t i = 0; *out && i < count; i++) {
        peer_view v;

        if (was_tried(r, nodes[i]) || nodes[i] == m->key.node_id)
            continue;
        if (!peers_find(m->peers, nodes[i], &v))
            continue;
        (*out)[n++] = (call_candidate){.node = nodes[i],
                                       .health = v.health == HEALTH_HEALTHY   ? CALL_HEALTH_GOOD
                                                 : v.health == HEALTH_UNKNOWN ? CALL_HEALTH_UNKNOWN
                                                                              : CALL_HEALTH_BAD,
                                       .rtt_ns = v.rtt_ns ? v.rtt_ns : -1};
    }
    free(nodes);
    /* A call that has begun stays one: another node can take it over, a daemon here cannot. */
    if (*out && !r->id && serve_find(m, service_of(r), &origin) && !was_tried(r, m->key.node_id)) {
        size_t at = n++;

        for (; at > 0 && (*out)[at - 1].node > m->key.node_id; at--)
            (*out)[at] = (*out)[at - 1];
        (*out)[at] = (call_candidate){.node = m->key.node_id, .health = CALL_HEALTH_GOOD};
    }
    return *out ? n : 0;
}

static uint64_t choose(mesh *m, const request *r)
{
    call_candidate *list;
    size_t n;
    const call_candidate *one;
    uint64_t node, turn = r->policy == CALL_STICKY   ? r->key
                          : r->policy == CALL_RANDOM ? random_u64()
                                                     : m->request_turn++;

    if (r->wanted)
        return was_tried(r, r->wanted) ? 0 : r->wanted;
    n = candidates(m, r, &list);
    one = n ? call_pick(list, n, r->policy, turn) : NULL;
    node = one ? one->node : 0;
    free(list);
    return node;
}

static void credit_ignored(void *ctx)
{
    (void)ctx;
}

static void ask_here(mesh *m, request *r)
{
    uint64_t origin;
    berth_error error = {0};
    batch *b;
    berth_status status;

    if (!serve_find(m, service_of(r), &origin)) {
        fail_request(m, r, BERTH_ERR_NOT_FOUND, "this node does not serve the name");
        return;
    }
    b = batch_new(1, r->data_len);
    if (!b || !batch_add(b, r->bytes + r->service_len, r->data_len)) {
        batch_free(b);
        fail_request(m, r, BERTH_ERR_NO_MEMORY, "out of memory");
        return;
    }
    snprintf(r->channel, sizeof r->channel, "%.*s.requests", (int)r->service_len,
             (const char *)r->bytes);
    b->common.type = BERTH_EVENT_MESSAGE;
    b->common.channel = (berth_bytes){r->channel, strlen(r->channel)};
    b->want_outputs = true;
    b->done = here_over;
    b->ctx = r;
    status = runtime_submit_here(m->rt, origin, b, credit_ignored, NULL, &error);
    if (status == BERTH_OK)
        return;
    batch_free(b);
    fail_request(m, r, status, error.text);
}

static void ask(mesh *m, request *r)
{
    slice data = slice_of(r->bytes + r->service_len, r->data_len);
    berth_error error = {0};
    berth_status status;
    call_spec spec = {.service = service_of(r),
                      .events = &data,
                      .count = 1,
                      .deadline_ns = r->until_ns - m->now_ns,
                      .want_outputs = true,
                      .user = &r->user};

    r->node = choose(m, r);
    if (!r->node && r->id) {
        r->unserved = true;
        call_cancel(m->call_client, r->id, m->now_ns);
        return;
    }
    if (!r->node) {
        fail_request(m, r, BERTH_ERR_NOT_FOUND, NOBODY_SERVES);
        return;
    }
    if (r->tried_count < NODES_TRIED)
        r->tried[r->tried_count++] = r->node;
    if (r->node == m->key.node_id) {
        ask_here(m, r);
    } else if (r->id) {
        call_redirect(m->call_client, r->id, r->node, 0, m->now_ns);
    } else {
        spec.node = r->node;
        status = call_begin(m->call_client, &spec, m->now_ns, &r->id, &error);
        if (status != BERTH_OK)
            fail_request(m, r, status, error.text);
    }
}

/* It does not serve the name (any more): another may. */
static bool moved(mesh *m, call_user *u, const call_moved *what)
{
    request *r = (request *)u;

    (void)what;
    if (r->tried_count == NODES_TRIED || r->wanted)
        return false;
    r->again = true;
    mesh_sweep_in(m, 0);
    return true;
}

void requests_sweep(mesh *m)
{
    for (request *r = m->requests, *next; r; r = next) {
        next = r->next;
        if (!r->again)
            continue;
        r->again = false;
        ask(m, r);
    }
}

static void begin(mesh *m, mesh_task *t, bool closed)
{
    request *r = (request *)((char *)t - offsetof(request, task));

    r->next = m->requests;
    if (!closed && r->next)
        r->next->prev = r;
    if (closed || m->stage != STAGE_RUNNING) {
        r->next = NULL;
        fail_request(m, r, BERTH_ERR_SHUTTING_DOWN, "the host is leaving the mesh");
        return;
    }
    m->requests = r;
    r->until_ns += m->now_ns;
    ask(m, r);
}

void mesh_request(mesh *m, const mesh_request_spec *spec,
                  void (*answer)(void *ctx, const mesh_reply *reply), void *ctx)
{
    berth_error error = {0};
    berth_status status = call_service_check(spec->service, &error);
    request *r = NULL;

    if (status == BERTH_OK && spec->deadline_ns <= 0)
        status = fail(&error, BERTH_ERR_INVALID, "a request needs a deadline");
    if (status == BERTH_OK && spec->data.len > CALL_EVENT_MAX)
        status = fail(&error, BERTH_ERR_LIMIT, "a request has at most %u bytes", CALL_EVENT_MAX);
    if (status == BERTH_OK && !(r = calloc(1, sizeof *r + spec->service.len + spec->data.len)))
        status = fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status != BERTH_OK) {
        answer(ctx, &(mesh_reply){.status = status, .text = slice_str(error.text)});
        return;
    }
    *r = (request){.user = {answered, moved},
                   .task = {.run = begin},
                   .m = m,
                   .wanted = spec->node,
                   .policy = spec->policy,
                   .key = spec->key,
                   .until_ns = spec->deadline_ns,
                   .answer = answer,
                   .ctx = ctx,
                   .service_len = spec->service.len,
                   .data_len = spec->data.len};
    memcpy(r->bytes, spec->service.ptr, spec->service.len);
    if (spec->data.len)
        memcpy(r->bytes + spec->service.len, spec->data.ptr, spec->data.len);
    mesh_post(m, &r->task);
}

/* What a daemon here is still at work on is answered when it is through. */
void requests_end(mesh *m)
{
    for (request *r = m->requests, *next; r; r = next) {
        next = r->next;
        if (r->id)
            call_cancel(m->call_client, r->id, m->now_ns);
    }
}
