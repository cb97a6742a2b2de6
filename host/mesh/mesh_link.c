/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route's side of a daemon: what its runner calls. An event goes into the daemon's outbox under
 * the link's lock, and the loop is told that there is something to send.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

#define SAVED_VERSION 1

/* A snapshot may come before word of a flow that is just being closed: room for those. */
#define GENERATION_SLACK 1024

route_link *link_new(mesh *m, const berth_keypair *key, bool node)
{
    route_link *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->m = m;
    l->node = node;
    l->key = *key;
    memcpy(l->entity, key->entity, BERTH_ENTITY_SIZE);
    l->origin = key->origin;
    atomic_init(&l->epoch, 1);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void link_free(route_link *l)
{
    if (!l)
        return;
    link_wake(l);
    for (unsigned i = 0; i < l->out_count; i++)
        flow_out_free(l->outs[i].flows);
    while (l->seeds) {
        source_seed *s = l->seeds;

        l->seeds = s->next;
        free(s);
    }
    map64_fini(&l->hinted);
    free(l->reached);
    buf_unref(l->verified);
    berth_keypair_wipe(&l->key);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void mark_dirty(route_link *l)
{
    mesh *m = l->m;

    pthread_mutex_lock(&m->task_lock);
    if (!m->ended) {
        bool first = !m->dirty;

        l->dirty_next = m->dirty;
        m->dirty = l;
        if (first && m->async_there)
            uv_async_send(&m->async);
    }
    pthread_mutex_unlock(&m->task_lock);
}

void link_touch(route_link *l)
{
    bool before;

    pthread_mutex_lock(&l->lock);
    before = l->dirty;
    l->dirty = true;
    pthread_mutex_unlock(&l->lock);
    if (!before)
        mark_dirty(l);
}

flow_out *link_outbox(route_link *l, uint64_t incarnation)
{
    const mesh_config *c = &l->m->config;
    flow_out_config config = {
        .max_events = c->outbox_events, .max_bytes = c->outbox_bytes, .resend_ns = c->resend_ns};
    outbox *last = l->out_count ? &l->outs[l->out_count - 1] : NULL;
    flow_out *flows;

    if (last && last->incarnation >= incarnation)
        return last->flows;
    flows = flow_out_new(l->origin, incarnation, &config);
    if (!flows)
        return NULL;
    if (l->out_count == OUTS_MAX) { /* who breaks so often loses what is oldest */
        log_warn("mesh", "%016llx: what it sent four incarnations ago is given up",
                 (unsigned long long)l->origin);
        flow_out_free(l->outs[0].flows);
        memmove(l->outs, l->outs + 1, (OUTS_MAX - 1) * sizeof *l->outs);
        l->out_count--;
    }
    l->outs[l->out_count++] = (outbox){incarnation, flows};
    return flows;
}

void link_stats(const route_link *l, flow_out_stats *sum)
{
    *sum = (flow_out_stats){0};
    for (unsigned i = 0; i < l->out_count; i++) {
        flow_out_stats s;

        flow_out_get_stats(l->outs[i].flows, &s);
        sum->flows += s.flows;
        sum->events += s.events;
        sum->bytes += s.bytes;
        sum->sent += s.sent;
        sum->resent += s.resent;
        sum->acknowledged += s.acknowledged;
    }
}

bool link_wait(route_link *l, void (*wake)(void *ctx), void *ctx)
{
    waiter *w = malloc(sizeof *w);

    if (!w)
        return false;
    *w = (waiter){l->waiters, wake, ctx};
    l->waiters = w;
    return true;
}

void link_wake(route_link *l)
{
    waiter *list;

    pthread_mutex_lock(&l->lock);
    list = l->waiters;
    l->waiters = NULL;
    pthread_mutex_unlock(&l->lock);
    while (list) {
        waiter *w = list;

        list = w->next;
        w->wake(w->ctx);
        free(w);
    }
}

berth_status link_queue(route_link *l, uint64_t incarnation, uint64_t target, buf *bytes)
{
    flow_out *flows = link_outbox(l, incarnation);

    return flows ? flow_out_send(flows, target, bytes, NULL) : BERTH_ERR_NO_MEMORY;
}

/* ---- What the runtime calls ------------------------------------------------------------------ */

typedef struct link_task {
    mesh_task task;
    route_link *link;
} link_task;

/* Its daemon has been published, or is going to be. */
static void take_link(mesh *m, mesh_task *t, bool closed)
{
    route_link *l = ((link_task *)t)->link;
    route_link *before = map64_get(&m->links, l->origin);

    free(t);
    if (closed)
        return; /* its daemon gives it back */
    if (m->link_count == m->link_cap) {
        size_t cap = m->link_cap ? 2 * m->link_cap : 64;
        route_link **more = realloc(m->all_links, cap * sizeof(route_link *));

        if (!more)
            return; /* it works, but is not resent when others move */
        m->all_links = more;
        m->link_cap = cap;
    }
    l->listed = true;
    m->all_links[m->link_count++] = l;
    map64_put(&m->links, l->origin, l);
    if (before)
        before->detached = true;
}

static route_link *attach(void *ctx, const berth_keypair *key)
{
    mesh *m = ctx;
    route_link *l = link_new(m, key, false);
    link_task *t = l ? calloc(1, sizeof *t) : NULL;

    if (!t) {
        link_free(l);
        return NULL;
    }
    t->task.run = take_link;
    t->link = l;
    mesh_post(m, &t->task);
    return l;
}

static void drop_link(mesh *m, mesh_task *t, bool closed)
{
    route_link *l = ((link_task *)t)->link;

    free(t);
    link_wake(l);
    if (closed) {
        if (!l->listed)
            link_free(l); /* else it goes with the mesh */
        return;
    }
    if (l->elsewhere) {
        mesh_channels_forget(m, l->entity);
        pthread_mutex_lock(&l->lock);
        while (l->out_count)
            flow_out_free(l->outs[--l->out_count].flows);
        pthread_mutex_unlock(&l->lock);
    } else {
        mesh_channels_drop(m, l->entity);
        inflows_forget(m, l->origin);
        places_gone(m, l->origin);
    }
    l->detached = true;
    l->detached_ns = m->now_ns;
    mesh_sweep_in(m, SWEEP_NS);
    link_touch(l);
}

static void detach(void *ctx, route_link *l, bool elsewhere)
{
    mesh *m = ctx;
    link_task *t = calloc(1, sizeof *t);

    if (!elsewhere)
        mesh_channels_unhost(m, l->entity);
    if (!t) {
        log_error("mesh", "out of memory: %016llx stays known", (unsigned long long)l->origin);
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->elsewhere = elsewhere || l->hushed;
    pthread_mutex_unlock(&l->lock);
    t->task.run = drop_link;
    t->link = l;
    mesh_post(m, &t->task);
}

static berth_status send_one(void *ctx, route_link *l, uint64_t target, const route_event *e,
                             void (*wake)(void *), void *wake_ctx)
{
    buf *bytes = event_wire_make(e->event);
    berth_status status;
    bool touch;

    (void)ctx;
    if (!bytes)
        return BERTH_ERR_LOST;
    if (e->epoch)
        atomic_store_explicit(&l->epoch, e->epoch, memory_order_relaxed);
    pthread_mutex_lock(&l->lock);
    status = link_queue(l, e->incarnation, target, bytes);
    if (status == BERTH_ERR_WOULD_BLOCK && wake && !link_wait(l, wake, wake_ctx))
        status = BERTH_ERR_LOST;
    touch = !l->dirty && status == BERTH_OK;
    l->dirty |= touch;
    pthread_mutex_unlock(&l->lock);
    buf_unref(bytes);
    if (touch)
        mark_dirty(l);
    return status == BERTH_OK || status == BERTH_ERR_WOULD_BLOCK ? status : BERTH_ERR_LOST;
}

static void hush(void *ctx, route_link *l, bool on, uint64_t epoch)
{
    (void)ctx;
    atomic_store(&l->epoch, epoch);
    pthread_mutex_lock(&l->lock);
    l->hushed = on;
    pthread_mutex_unlock(&l->lock);
    if (!on)
        link_touch(l);
}

static bool owes(void *ctx, route_link *l, uint64_t target)
{
    bool some = false;

    (void)ctx;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < l->out_count && !some; i++)
        some = flow_out_waiting(l->outs[i].flows, target);
    pthread_mutex_unlock(&l->lock);
    return some;
}

static bool picked(void *ctx, route_link *l, uint64_t sequence, uint64_t target)
{
    bool was = false;

    (void)ctx;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->reached_count && !was && l->published == sequence; i++)
        was = l->reached[i] == target;
    pthread_mutex_unlock(&l->lock);
    return was;
}

/*
 * In a snapshot (SENT of chain/container.h): version u8 (1), generation u64 of the receiving end,
 * count u8, and for each incarnation with something under way: incarnation u64, length u32, what
 * flow_out_export writes.
 */
static void save(void *ctx, route_link *l, writer *out)
{
    uint64_t generation = atomic_load(&l->generation);
    size_t count_at;
    uint8_t count = 0;

    (void)ctx;
    writer_u8(out, SAVED_VERSION);
    writer_u64(out, generation ? generation + GENERATION_SLACK : 0);
    count_at = out->len;
    writer_u8(out, 0);
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < l->out_count; i++) {
        size_t len_at;
        flow_out_stats s;

        flow_out_get_stats(l->outs[i].flows, &s);
        if (!s.flows)
            continue;
        writer_u64(out, l->outs[i].incarnation);
        len_at = out->len;
        writer_u32(out, 0);
        flow_out_export(l->outs[i].flows, out);
        if (!out->failed) {
            uint32_t len = htole32((uint32_t)(out->len - len_at - 4));

            memcpy(out->data + len_at, &len, 4);
        }
        count++;
    }
    pthread_mutex_unlock(&l->lock);
    if (!out->failed)
        out->data[count_at] = count;
}

static berth_status restore(void *ctx, route_link *l, slice saved, berth_error *error)
{
    reader r = reader_of(saved.ptr, saved.len);
    uint8_t version = reader_u8(&r);
    uint64_t generation = reader_u64(&r), last = 0;
    uint8_t count = reader_u8(&r);
    berth_status status = BERTH_OK;

    (void)ctx;
    if (reader_ok(&r) && version != SAVED_VERSION)
        return fail(error, BERTH_ERR_VERSION,
                    "snapshot: what it sent is of version %u, only %d is known", version,
                    SAVED_VERSION);
    if (!reader_ok(&r) || count > OUTS_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "snapshot: what it sent is damaged");
    atomic_store(&l->generation, generation);
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < count && status == BERTH_OK; i++) {
        uint64_t incarnation = reader_u64(&r);
        slice bytes = reader_bytes(&r, reader_u32(&r));
        flow_out *flows = NULL;

        if (reader_ok(&r) && incarnation > last)
            flows = link_outbox(l, incarnation);
        last = incarnation;
        status = flows ? flow_out_import(flows, bytes, error)
                       : fail(error, BERTH_ERR_CORRUPT, "snapshot: what it sent is damaged");
    }
    pthread_mutex_unlock(&l->lock);
    if (status == BERTH_OK && !reader_done(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "snapshot: what it sent is damaged");
    if (status == BERTH_OK)
        link_touch(l);
    return status;
}

static bool receives(void *ctx, slice source)
{
    flow_cursor c;

    (void)ctx;
    return flow_cursor_parse(&c, source, 0);
}

static void applied(void *ctx, route_link *l, slice source, uint64_t sequence)
{
    source_seed *s = calloc(1, sizeof *s);

    (void)ctx;
    if (!s || !flow_cursor_parse(&s->cursor, source, sequence)) {
        free(s); /* short of memory the daemon's own cursor still finds repeats */
        return;
    }
    s->next = l->seeds;
    l->seeds = s;
}

void mesh_route_init(mesh *m)
{
    m->route = (route){.ctx = m,
                       .may_run = places_may_run,
                       .attach = attach,
                       .detach = detach,
                       .send = send_one,
                       .publish = mesh_channels_publish,
                       .guards = mesh_channels_guards,
                       .subscribe = mesh_channels_subscribe,
                       .listen = mesh_channels_listen,
                       .hush = hush,
                       .owes = owes,
                       .picked = picked,
                       .save = save,
                       .restore = restore,
                       .receives = receives,
                       .applied = applied,
                       .submit = calls_submit,
                       .follow = calls_follow,
                       .behind = calls_behind};
}
