/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peers.h"

#include "api/emit.h"
#include "api/listing.h"
#include "api/peer_order.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "daemon/latch.h"
#include "mesh/lookup.h"

#include <stdlib.h>
#include <string.h>

mesh *request_mesh(request *r)
{
    berth_error error = {0};

    if (r->api->config.mesh)
        return r->api->config.mesh;
    fail(&error, BERTH_ERR_UNSUPPORTED,
         "this host is alone: it has a mesh when its configuration says `mesh { listen = "
         "{ 0.0.0.0:4700 } }`, or where a peer is, from its next start on");
    request_fail(r, &error);
    return NULL;
}

/* ---- At one moment --------------------------------------------------------------------------- */

static void take(void *ctx, const mesh_peer_view *v)
{
    peer_list *l = ctx;

    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        mesh_peer_view *more = realloc(l->items, cap * sizeof *more);

        if (!more) {
            l->failed = true;
            return;
        }
        l->items = more;
        l->cap = cap;
    }
    l->items[l->count] = *v;
    l->items[l->count++].capabilities = NULL;
}

void peer_list_read(peer_list *l, mesh *m)
{
    *l = (peer_list){0};
    mesh_peers_each(m, take, l);
}

void peer_list_fini(peer_list *l)
{
    free(l->items);
    *l = (peer_list){0};
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

void peer_list_sum(const peer_list *l, peer_sum *out)
{
    int64_t *rtts = calloc(l->count + 1, sizeof *rtts);
    size_t n = 0;

    *out = (peer_sum){0};
    for (size_t i = 0; i < l->count; i++) {
        const mesh_peer_view *v = &l->items[i];

        if (!v->up)
            continue;
        out->connected++;
        out->packets_out += v->session.packets_out;
        out->packets_lost += v->session.packets_lost;
        if (rtts && v->session.rtt_ns > 0)
            rtts[n++] = v->session.rtt_ns;
    }
    if (n) {
        qsort(rtts, n, sizeof *rtts, by_size);
        out->rtt_min_ns = rtts[0];
        out->rtt_median_ns = rtts[n / 2];
        out->rtt_max_ns = rtts[n - 1];
    }
    free(rtts);
}

const char *peer_state(const mesh_peer_view *v)
{
    if (!v->up && v->left)
        return "left";
    if (v->health == HEALTH_SUSPECTED)
        return "suspected";
    if (v->health == HEALTH_FAILED)
        return "failed";
    if (v->up)
        return "connected";
    if (v->dialling || (v->address_count && v->dial_in_ns != INT64_MAX))
        return "dialling";
    return v->address_count ? "resting" : "waiting";
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static void emit_id_or_null(writer *w, const char *name, uint64_t id)
{
    if (id)
        emit_member_id(w, name, id);
    else
        emit_member_string(w, name, NULL);
}

static void emit_address(writer *w, const address *a)
{
    char text[ADDRESS_TEXT];

    emit_cstring(w, address_format(text, a));
}

static void emit_session(writer *w, const mesh_peer_view *v)
{
    const session_info *s = &v->session;

    emit_key(w, "session");
    if (!v->up) {
        emit_text(w, "null");
        return;
    }
    emit_text(w, "{");
    emit_key(w, "address");
    emit_address(w, &s->path);
    emit_member_bool(w, "dialled", v->dialled);
    emit_member_time(w, "up_since", clock_wall_ns() - (clock_mono_ns() - s->up_since_ns));
    emit_member_u64(w, "rtt_ns", s->rtt_ns > 0 ? (uint64_t)s->rtt_ns : 0);
    emit_member_u64(w, "rtt_min_ns", s->rtt_min_ns > 0 ? (uint64_t)s->rtt_min_ns : 0);
    emit_member_u64(w, "bytes_in", s->bytes_in);
    emit_member_u64(w, "bytes_out", s->bytes_out);
    emit_member_u64(w, "packets_in", s->packets_in);
    emit_member_u64(w, "packets_out", s->packets_out);
    emit_member_u64(w, "packets_lost", s->packets_lost);
    emit_member_u64(w, "packet_size", s->packet_size);
    emit_member_u64(w, "congestion_window", s->congestion_window);
    emit_member_u64(w, "in_flight", s->in_flight);
    emit_member_u64(w, "queued", s->queued);
    emit_member_u64(w, "rekeys", s->rekeys);
    emit_text(w, "}");
}

static void emit_grants(writer *w, uint32_t may)
{
    emit_key(w, "may");
    emit_text(w, "[");
    for (uint32_t bit = 1; bit; bit <<= 1) {
        const char *word = may & bit ? trust_grant_word(bit) : NULL;

        if (!word)
            continue;
        emit_next(w);
        emit_cstring(w, word);
    }
    emit_text(w, "]");
}

static bool is_known(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    static const uint8_t none[BERTH_ENTITY_SIZE];

    return memcmp(entity, none, sizeof none) != 0;
}

/* Without the closing brace. */
static void emit_peer(writer *w, const mesh_peer_view *v)
{
    emit_text(w, "{");
    emit_member_string(w, "name", v->name);
    emit_id_or_null(w, "node", v->node);
    if (is_known(v->entity))
        emit_member_hex(w, "entity", slice_of(v->entity, sizeof v->entity));
    else
        emit_member_string(w, "entity", NULL);
    emit_member_hex(w, "key", slice_of(v->key, sizeof v->key));
    emit_member_string(w, "state", peer_state(v));
    emit_member_bool(w, "configured", v->configured);
    emit_member_string(w, "health", health_name(v->health));
    emit_member_u64(w, "ping_ns", v->rtt_ns > 0 ? (uint64_t)v->rtt_ns : 0);
    emit_member_u64(w, "failures", v->failures);
    emit_key(w, "dial_in_ns");
    if (v->dial_in_ns == INT64_MAX)
        emit_text(w, "null");
    else
        emit_u64(w, v->dial_in_ns > 0 ? (uint64_t)v->dial_in_ns : 0);
    emit_session(w, v);
    emit_grants(w, v->may);
    emit_key(w, "addresses");
    emit_text(w, "[");
    for (unsigned i = 0; i < v->address_count; i++) {
        emit_next(w);
        emit_address(w, &v->addresses[i]);
    }
    emit_text(w, "]");
}

static void list_job(request *r)
{
    mesh *m = request_mesh(r);
    peer_list all;
    listing l;
    writer *w;

    if (!m)
        return;
    peer_list_read(&all, m);
    listing_init(&l, r);
    emit_text(&l.spool.tail, "{\"peers\":[");
    if (all.failed)
        fail(&l.error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < all.count && (w = listing_next(&l)); i++) {
        emit_peer(w, &all.items[i]);
        emit_text(w, "}");
        listing_flush(&l);
    }
    peer_list_fini(&all);
    emit_text(&l.spool.tail, "]}");
    listing_answer(&l, r, "application/json");
}

void peers_list(request *r)
{
    request_job(r, list_job);
}

/* ---- One of them ----------------------------------------------------------------------------- */

typedef struct tags {
    uint64_t node;
    writer w; /* an array */
} tags;

/* On the mesh's thread, where the set is. */
static void take_tags(void *ctx, const mesh_peer_view *v)
{
    tags *t = ctx;

    if (v->node != t->node || !v->capabilities)
        return;
    for (size_t i = 0; i < v->capabilities->tag_count; i++) {
        emit_next(&t->w);
        emit_string(&t->w, v->capabilities->tags[i]);
    }
}

static void answer_peer(request *r, unsigned status, mesh *m, const mesh_peer_view *v)
{
    tags t = {.node = v->node};
    writer w = {0};

    emit_text(&t.w, "[");
    if (v->node)
        mesh_peers_each(m, take_tags, &t);
    emit_text(&t.w, "]");
    emit_peer(&w, v);
    emit_key(&w, "capabilities");
    writer_bytes(&w, t.w.data, t.w.len);
    w.failed |= t.w.failed;
    writer_free(&t.w);
    emit_text(&w, "}");
    request_answer(r, status, &w);
}

static bool find(request *r, mesh *m, mesh_peer_view *out)
{
    berth_error error = {0};

    if (mesh_peer_find(m, r->target.segments[2], out, &error) == BERTH_OK)
        return true;
    request_fail(r, &error);
    return false;
}

static void get_job(request *r)
{
    mesh *m = request_mesh(r);
    mesh_peer_view v;

    if (m && find(r, m, &v))
        answer_peer(r, 200, m, &v);
}

void peers_get(request *r)
{
    request_job(r, get_job);
}

/* ---- Changes --------------------------------------------------------------------------------- */

static berth_status look_up(peer_order *order, berth_error *error)
{
    mesh_peer *p = &order->peer;
    berth_status status = BERTH_OK;

    for (unsigned i = 0; i < order->address_count && status == BERTH_OK; i++) {
        address found[LOOKUP_MAX];
        unsigned count = 0;

        status = address_lookup(&order->addresses[i], found, &count, error);
        for (unsigned j = 0; j < count && p->address_count < RECORD_ADDRESSES_MAX; j++)
            p->addresses[p->address_count++] = found[j];
    }
    return status;
}

static void add_job(request *r)
{
    mesh *m = request_mesh(r);
    peer_order order;
    mesh_peer_view v;
    berth_error error = {0};
    berth_status status;
    char place[128];

    if (!m)
        return;
    status = peer_order_read(&order, slice_of(r->body.data, r->body.len), &error);
    if (status == BERTH_OK)
        status = look_up(&order, &error);
    if (status == BERTH_OK)
        status = mesh_peer_add(m, &order.peer, &error);
    if (status == BERTH_OK)
        status = mesh_peer_find(m, order.peer.name, &v, &error);
    if (status != BERTH_OK) {
        request_fail(r, &error);
        return;
    }
    snprintf(place, sizeof place, "/v1/peers/%s", order.peer.name);
    request_header(r, "Location", place);
    answer_peer(r, 201, m, &v);
}

void peers_post(request *r)
{
    request_job(r, add_job);
}

static void remove_job(request *r)
{
    mesh *m = request_mesh(r);
    const char *text = r->target.segments[2];
    berth_error error = {0};
    mesh_peer_view v = {0};
    berth_status status;
    writer w = {0};

    if (!m)
        return;
    snprintf(v.name, sizeof v.name, "%s", text);
    status = mesh_peer_remove(m, text, &error);
    /* Not by its very name; one that was never met may be known by that alone. */
    if (status == BERTH_ERR_NOT_FOUND)
        status = mesh_peer_find(m, text, &v, &error);
    else
        v.configured = false;
    if (status == BERTH_OK && v.node && !v.configured)
        status = fail(&error, BERTH_ERR_UNSUPPORTED,
                      "peer '%s' is not of the configuration: it is let in by a realm, and only "
                      "`berth realm revoke` keeps it out",
                      v.name);
    else if (status == BERTH_OK && v.configured)
        status = mesh_peer_remove(m, v.name, &error);
    if (status != BERTH_OK) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{\"removed\":true");
    emit_member_string(&w, "name", v.name);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

void peers_delete(request *r)
{
    request_job(r, remove_job);
}

/* ---- Pings ----------------------------------------------------------------------------------- */

#define PING_NORMAL_MS 2000
#define PING_MOST_MS   10000

typedef struct pinging {
    latch done;
    int64_t rtt_ns;
} pinging;

static void pong(void *ctx, berth_status status, int64_t rtt_ns)
{
    pinging *p = ctx;

    p->rtt_ns = rtt_ns;
    latch_answer(&p->done, status, NULL);
}

static void ping_job(request *r)
{
    mesh *m = request_mesh(r);
    uint64_t timeout_ms = PING_NORMAL_MS;
    berth_error error = {0};
    pinging p = {0};
    mesh_peer_view v;
    berth_status status;
    writer w = {0};

    if (!m || !request_number(r, "timeout_ms", PING_MOST_MS, &timeout_ms) || !find(r, m, &v))
        return;
    latch_init(&p.done, 1);
    mesh_ping(m, v.node, (int64_t)timeout_ms * 1000000, pong, &p);
    status = latch_wait(&p.done, NULL);
    latch_fini(&p.done);
    if (status == BERTH_ERR_TIMEOUT)
        fail(&error, status, "peer '%s': no answer within %llu ms", v.name,
             (unsigned long long)timeout_ms);
    else if (status != BERTH_OK)
        fail(&error, BERTH_ERR_NOT_READY, "peer '%s': is not connected, %s", v.name,
             peer_state(&v));
    if (status != BERTH_OK) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{");
    emit_member_string(&w, "name", v.name);
    emit_id_or_null(&w, "node", v.node);
    emit_member_u64(&w, "rtt_ns", (uint64_t)p.rtt_ns);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

void peers_ping_post(request *r)
{
    request_job(r, ping_job);
}
