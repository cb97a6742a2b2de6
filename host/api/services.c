/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that daemons serve, on this node and others: who does, and one request to one of them.
 *
 * A request holds no thread while it waits: what the mesh answers is kept and wakes it. The client
 * may have left by then, so what is kept belongs to both.
 */
#include "api/emit.h"
#include "api/peers.h"
#include "base/error.h"
#include "base/map.h"
#include "berth/chain.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- Who serves what ------------------------------------------------------------------------- */

typedef struct service_list {
    writer w;
    map64 names; /* of nodes, by id: text */
} service_list;

/* On the mesh's thread. */
static void take(void *ctx, const mesh_service_view *view)
{
    service_list *l = ctx;

    emit_next(&l->w);
    emit_text(&l->w, "{");
    emit_key(&l->w, "service");
    emit_string(&l->w, view->name);
    emit_member_id(&l->w, "node", view->node);
    emit_member_string(&l->w, "node_name", map64_get(&l->names, view->node));
    if (view->origin)
        emit_member_id(&l->w, "daemon", view->origin);
    emit_text(&l->w, "}");
}

static void list_job(request *r)
{
    mesh *m = request_mesh(r);
    service_list l = {0};
    mesh_self self;
    peer_list known;

    if (!m)
        return;
    peer_list_read(&known, m);
    mesh_get_self(m, &self);
    l.w.failed = known.failed || !map64_put(&l.names, self.node, self.name);
    for (size_t i = 0; i < known.count && !l.w.failed; i++)
        if (known.items[i].node)
            l.w.failed = !map64_put(&l.names, known.items[i].node, known.items[i].name);
    emit_text(&l.w, "{\"services\":[");
    mesh_services_each(m, take, &l);
    emit_text(&l.w, "]}");
    map64_fini(&l.names);
    peer_list_fini(&known);
    request_answer(r, 200, &l.w);
}

void services_list(request *r)
{
    request_job(r, list_job);
}

/* ---- One request ----------------------------------------------------------------------------- */

#define DEADLINE_NORMAL_MS 30000
#define DEADLINE_MOST_MS   3600000

typedef struct asking {
    atomic_uint refs; /* the request's, the answer's */
    request *r;
    uint64_t deadline_ms;
    /* Written by the answer, before done. */
    atomic_bool done;
    berth_error error;
    uint64_t node;
    bool emitted;
    uint8_t link[BERTH_LINK_SIZE];
    writer payload;
} asking;

static void asking_unref(void *state)
{
    asking *a = state;

    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    writer_free(&a->payload);
    free(a);
}

/* On the mesh's thread, or at once. */
static void answered(void *ctx, const mesh_reply *reply)
{
    asking *a = ctx;
    request *r = a->r;

    a->node = reply->node;
    if (reply->status != BERTH_OK) {
        fail(&a->error, reply->status, "%.*s", (int)reply->text.len, (const char *)reply->text.ptr);
    } else if (reply->link.len == BERTH_LINK_SIZE) {
        a->emitted = true;
        memcpy(a->link, reply->link.ptr, BERTH_LINK_SIZE);
        writer_bytes(&a->payload, reply->payload.ptr, reply->payload.len);
    }
    atomic_store_explicit(&a->done, true, memory_order_release);
    request_wake(r);
    request_unref(r);
    asking_unref(a);
}

static void answer_failed(request *r, const asking *a)
{
    const char *service = r->target.segments[2];
    berth_error error = {0};
    char where[64] = "";

    if (a->node)
        snprintf(where, sizeof where, " (node %016" PRIx64 ")", a->node);
    if (a->error.code == BERTH_ERR_NOT_FOUND)
        fail(&error, a->error.code,
             "service '%.80s': %.300s%s; `berth service ls` lists those that are known", service,
             a->error.text, where);
    else if (a->error.code == BERTH_ERR_TIMEOUT)
        fail(&error, a->error.code,
             "service '%.80s': no answer within %" PRIu64 " ms%s; it may be carried out all the "
             "same",
             service, a->deadline_ms, where);
    else if (a->node)
        fail(&error, a->error.code, "service '%.80s': %.400s%s", service, a->error.text, where);
    else /* nobody was asked: the name itself, or the request, is wrong */
        error = a->error;
    request_fail(r, &error);
}

static void go_on(request *r)
{
    asking *a = r->state;
    berth_link link;
    writer w = {0};

    if (!atomic_load_explicit(&a->done, memory_order_acquire))
        return;
    if (a->error.code) {
        answer_failed(r, a);
        return;
    }
    emit_text(&w, "{");
    emit_member_id(&w, "node", a->node);
    if (a->emitted && berth_link_decode(&link, a->link, sizeof a->link) == BERTH_OK) {
        emit_member_id(&w, "origin", link.origin);
        emit_member_u64(&w, "sequence", link.sequence);
        emit_member_hex(&w, "link", slice_of(a->link, sizeof a->link));
        emit_key(&w, "data");
        emit_bytes(&w, slice_of(a->payload.data, a->payload.len));
    }
    emit_text(&w, "}");
    w.failed |= a->payload.failed;
    request_answer(r, 200, &w);
}

static void ask(request *r, mesh *m, uint64_t node)
{
    mesh_request_spec spec = {.service = slice_str(r->target.segments[2]),
                              .data = slice_of(r->body.data, r->body.len),
                              .node = node};
    uint64_t deadline_ms = DEADLINE_NORMAL_MS;
    berth_error error = {0};
    asking *a;

    if (!request_number(r, "deadline_ms", DEADLINE_MOST_MS, &deadline_ms))
        return;
    a = calloc(1, sizeof *a);
    if (!a) {
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        request_fail(r, &error);
        return;
    }
    a->refs = 2;
    a->r = request_ref(r);
    a->deadline_ms = deadline_ms;
    r->state = a;
    r->drop = asking_unref;
    r->next = go_on;
    spec.deadline_ns = (int64_t)deadline_ms * 1000000;
    mesh_request(m, &spec, answered, a);
}

/* To find a node by its name waits for the mesh's thread. */
static void ask_node_job(request *r)
{
    mesh *m = r->api->config.mesh;
    const char *text = target_param_get(&r->target, "node");
    berth_error error = {0};
    mesh_peer_view v;
    mesh_self self;
    char own[17];

    mesh_get_self(m, &self);
    snprintf(own, sizeof own, "%016" PRIx64, self.node);
    if (strcmp(text, own) == 0 || strcmp(text, self.name) == 0)
        ask(r, m, self.node);
    else if (mesh_peer_find(m, text, &v, &error) != BERTH_OK)
        request_fail(r, &error);
    else if (v.node)
        ask(r, m, v.node);
    else {
        fail(&error, BERTH_ERR_NOT_READY, "peer '%s': was not met yet", v.name);
        request_fail(r, &error);
    }
}

void services_post(request *r)
{
    mesh *m = request_mesh(r);

    if (!m)
        return;
    if (target_param_get(&r->target, "node"))
        request_job(r, ask_node_job);
    else
        ask(r, m, 0);
}
