/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, the timer, and the turns of the loop. Whatever happens between two turns only changes
 * machines; before the loop sleeps again, what they have to say is sent in one go.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdlib.h>

/* A run that came up when another socket was to be written. */
typedef struct queued_run {
    struct queued_run *next;
    outgoing run; /* bytes point behind it */
    uint8_t bytes[];
} queued_run;

#define LATE_NS (200 * MS_NS)

#define QUEUED_MAX (4u << 20) /* per socket; beyond it runs are dropped, and sent again by QUIC */

/* ---- Sending --------------------------------------------------------------------------------- */

static mesh_socket *socket_for(mesh *m, const address *to)
{
    for (unsigned i = 0; i < m->socket_count; i++)
        if (udp_address(m->sockets[i].udp)->u.any.sa_family == to->u.any.sa_family)
            return &m->sockets[i];
    return NULL;
}

static void queue_run(mesh_socket *s, const outgoing *run)
{
    queued_run *q = s->queued + run->len <= QUEUED_MAX ? malloc(sizeof *q + run->len) : NULL;

    if (!q) {
        s->m->flows.unsent_runs++;
        return;
    }
    q->next = NULL;
    q->run = *run;
    q->run.bytes = q->bytes;
    memcpy(q->bytes, run->bytes, run->len);
    *(s->tail ? &s->tail->next : &s->head) = q;
    s->tail = q;
    s->queued += run->len;
}

static bool take_queued(mesh_socket *s, uint8_t *memory, outgoing *out)
{
    queued_run *q = s->head;

    if (!q)
        return false;
    s->head = q->next;
    if (!s->head)
        s->tail = NULL;
    s->queued -= q->run.len;
    *out = q->run;
    out->bytes = memory;
    memcpy(memory, q->bytes, q->run.len);
    free(q);
    return true;
}

/* From the sessions, by way of what makes links bad where somebody asked for it. */
static bool machine_run(mesh *m, uint8_t *memory, size_t cap, outgoing *out)
{
    if (!m->impair_out || impair_idle(m->impair_out))
        return endpoint_send(m->endpoint, memory, cap, out, m->now_ns);
    while (endpoint_send(m->endpoint, memory, cap, out, m->now_ns))
        impair_offer_run(m->impair_out, out, m->now_ns);
    return impair_send(m->impair_out, memory, cap, out, m->now_ns);
}

static bool next_run(void *ctx, uint8_t *memory, size_t cap, outgoing *out)
{
    mesh_socket *s = ctx;
    mesh *m = s->m;

    if (take_queued(s, memory, out))
        return true;
    while (machine_run(m, memory, cap, out)) {
        mesh_socket *other = m->socket_count == 1 ? s : socket_for(m, &out->to);
        uint64_t node;

        if (relay_is(&out->to, &node))
            relay_send(m, node, out); /* its packets come up again, in another session's */
        else if (other == s)
            return true;
        else if (other)
            queue_run(other, out);
        else
            m->flows.unsent_runs++; /* no socket of that family */
    }
    return false;
}

void net_flush(mesh *m)
{
    for (unsigned i = 0; i < m->socket_count; i++)
        udp_send(m->sockets[i].udp);
    for (unsigned i = 0; i < m->socket_count; i++)
        if (m->sockets[i].head) /* another one's turn found something for it */
            udp_send(m->sockets[i].udp);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void received_one(void *ctx, const address *local, const address *from, const uint8_t *bytes,
                         size_t len, uint8_t ecn)
{
    mesh_socket *s = ctx;
    mesh *m = s->m;

    log_set_capture(m->log);
    m->now_ns = clock_mono_ns();
    if (m->impair_in && !impair_idle(m->impair_in))
        impair_offer(m->impair_in, from, local, bytes, len, ecn, m->now_ns);
    else
        endpoint_receive(m->endpoint, local, from, bytes, len, ecn, m->now_ns);
}

static void receive_impaired(mesh *m)
{
    impaired d;

    while (m->impair_in && impair_next(m->impair_in, m->now_ns, &d))
        endpoint_receive(m->endpoint, &d.local, &d.remote, d.bytes, d.len, d.ecn, m->now_ns);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t deadline(mesh *m)
{
    int64_t next = sooner(endpoint_deadline(m->endpoint), peers_deadline(m->peers));

    next = sooner(next, heap_next(&m->dues));
    next = sooner(next, announce_deadline(m));
    next = sooner(next, mesh_channels_deadline(m));
    next = sooner(next, call_client_deadline(m->call_client));
    next = sooner(next, call_server_deadline(m->call_server));
    next = sooner(next, m->stage_until_ns);
    if (m->impair_in)
        next = sooner(next, impair_deadline(m->impair_in));
    if (m->impair_out)
        next = sooner(next, impair_deadline(m->impair_out));
    next = sooner(next, m->idle_look_ns);
    return sooner(next, m->sweep_ns);
}

/* An idle node has no timer of its own for this. */
static bool needs_sweep(const mesh *m)
{
    return m->pings || m->naming || m->listeners || m->requests || flows_need_sweep(m);
}

static void expire(mesh *m)
{
    endpoint_expire(m->endpoint, m->now_ns);
    peers_tick(m->peers, m->now_ns);
    flows_expire(m);
    announce_expire(m);
    mesh_channels_expire(m);
    call_client_expire(m->call_client, m->now_ns);
    call_server_expire(m->call_server, m->now_ns);
    if (m->sweep_ns <= m->now_ns) {
        m->sweep_ns = NEVER;
        sessions_sweep(m);
        flows_sweep(m);
        mesh_channels_sweep(m);
        calls_search(m);
        serve_sweep(m);
        requests_sweep(m);
    }
    if (m->sweep_ns == NEVER && needs_sweep(m))
        m->sweep_ns = m->now_ns + SWEEP_NS;
    if (m->idle_look_ns <= m->now_ns) {
        flows_close_idle(m);
        m->idle_look_ns = NEVER;
    }
    if (m->idle_look_ns == NEVER && m->targets.count)
        m->idle_look_ns = m->now_ns + IDLE_LOOK_NS;
}

static void on_timer(uv_timer_t *t)
{
    mesh *m = t->data;

    m->armed_ns = NEVER;
}

static void on_async(uv_async_t *a)
{
    (void)a; /* the turn that follows does what there is to do */
}

static void arm(mesh *m)
{
    int64_t next = deadline(m);

    if (next >= m->armed_ns && m->armed_ns > m->now_ns)
        return; /* it wakes up early enough, and then looks again */
    m->armed_ns = next;
    if (next == NEVER) {
        uv_timer_stop(&m->timer);
        return;
    }
    uv_update_time(mesh_loop_uv(m->loop));
    uv_timer_start(&m->timer, on_timer,
                   next <= m->now_ns ? 0 : (uint64_t)(next - m->now_ns + MS_NS - 1) / MS_NS, 0);
}

static bool stalled(mesh *m)
{
    int64_t until = atomic_load_explicit(&m->stall_ns, memory_order_relaxed);
    bool now = m->now_ns < until;

    if (now != m->stalled)
        for (unsigned i = 0; i < m->socket_count; i++)
            udp_hold(m->sockets[i].udp, now);
    m->stalled = now;
    if (!now)
        return false;
    m->armed_ns = until;
    uv_update_time(mesh_loop_uv(m->loop));
    uv_timer_start(&m->timer, on_timer, (uint64_t)(until - m->now_ns + MS_NS - 1) / MS_NS, 0);
    return true;
}

/* Whoever was stopped for a while has heard of nobody, and finds all that they said in its sockets:
 * that is read before anybody is judged by the clock. */
static bool is_late(mesh *m)
{
    m->late = !m->late && deadline(m) < m->now_ns - LATE_NS;
    return m->late;
}

static void on_turn(uv_prepare_t *p)
{
    mesh *m = p->data;

    log_set_capture(m->log);
    m->turns++;
    m->now_ns = clock_mono_ns();
    if (stalled(m))
        return;
    mesh_run_tasks(m);
    if (m->stage == STAGE_ENDED)
        return;
    receive_impaired(m);
    relay_receive(m);
    if (!is_late(m) && (atomic_load(&m->facts_flag) || deadline(m) <= m->now_ns))
        expire(m);
    inflows_done(m);
    flows_flush(m);
    receive_answers(m);
    mesh_stage_step(m);
    if (m->stage == STAGE_ENDED)
        return;
    net_flush(m);
    arm(m);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

berth_status net_open(mesh *m, berth_error *error)
{
    uv_loop_t *loop = mesh_loop_uv(m->loop);

    m->scratch = udp_scratch_new();
    if (!m->scratch)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < m->config.listen_count; i++) {
        mesh_socket *s = &m->sockets[i];
        udp_config config = {.loop = loop,
                             .bind = m->config.listen[i],
                             .without = m->config.udp_without,
                             .scratch = m->scratch,
                             .receive = received_one,
                             .next = next_run,
                             .ctx = s};
        berth_status status;

        s->m = m;
        status = udp_open(&config, &s->udp, error);
        if (status != BERTH_OK)
            return status;
        m->socket_count++;
        m->handles++;
    }
    return BERTH_OK;
}

void net_begin(mesh *m)
{
    uv_loop_t *loop = mesh_loop_uv(m->loop);

    uv_prepare_init(loop, &m->prepare);
    uv_timer_init(loop, &m->timer);
    m->prepare.data = m->timer.data = m;
    m->armed_ns = NEVER;
    m->handles += 2;
    uv_prepare_start(&m->prepare, on_turn);
    uv_async_init(loop, &m->async, on_async);
    m->async.data = m;
    m->handles++;
    pthread_mutex_lock(&m->task_lock);
    m->async_there = true;
    pthread_mutex_unlock(&m->task_lock);
    uv_async_send(&m->async);
}

static void one_closed(mesh *m)
{
    if (--m->handles == 0)
        mesh_closed(m);
}

static void handle_closed(uv_handle_t *h)
{
    one_closed(h->data);
}

static void socket_closed(void *ctx)
{
    one_closed(ctx);
}

void net_close(mesh *m)
{
    bool begun;

    pthread_mutex_lock(&m->task_lock);
    begun = m->async_there;
    m->async_there = false;
    m->ended = true;
    pthread_mutex_unlock(&m->task_lock);
    m->handles++; /* so that the last one is not before all have been asked */
    for (unsigned i = 0; i < m->socket_count; i++) {
        while (m->sockets[i].head) {
            queued_run *q = m->sockets[i].head;

            m->sockets[i].head = q->next;
            free(q);
        }
        udp_close(m->sockets[i].udp, socket_closed, m);
        m->sockets[i].udp = NULL;
    }
    m->socket_count = 0;
    udp_scratch_unref(m->scratch);
    m->scratch = NULL;
    if (begun) {
        uv_close((uv_handle_t *)&m->prepare, handle_closed);
        uv_close((uv_handle_t *)&m->timer, handle_closed);
        uv_close((uv_handle_t *)&m->async, handle_closed);
    }
    one_closed(m);
}

/* ---- Addresses of this host ------------------------------------------------------------------ */

static bool is_any(const address *a)
{
    if (a->u.any.sa_family == AF_INET)
        return a->u.in.sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

static void add_address(address *out, unsigned *count, const address *a)
{
    for (unsigned i = 0; i < *count; i++)
        if (record_address_eq(&out[i], a))
            return;
    if (*count < RECORD_ADDRESSES_MAX && record_address_ok(a))
        out[(*count)++] = *a;
}

/* Those of the machine's interfaces, for a socket that listens on all of them. */
static void add_interfaces(address *out, unsigned *count, const address *bound)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list))
        return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        address a = {0};

        if (!i->ifa_addr || i->ifa_addr->sa_family != bound->u.any.sa_family)
            continue;
        if (bound->u.any.sa_family == AF_INET) {
            memcpy(&a.u.in, i->ifa_addr, sizeof a.u.in);
            a.u.in.sin_port = bound->u.in.sin_port;
            a.len = sizeof a.u.in;
            if ((ntohl(a.u.in.sin_addr.s_addr) >> 24) == 127)
                continue;
        } else {
            memcpy(&a.u.in6, i->ifa_addr, sizeof a.u.in6);
            a.u.in6.sin6_port = bound->u.in6.sin6_port;
            a.len = sizeof a.u.in6;
            if (IN6_IS_ADDR_LOOPBACK(&a.u.in6.sin6_addr))
                continue;
        }
        add_address(out, count, &a);
    }
    freeifaddrs(list);
}

unsigned net_addresses(const mesh *m, address out[RECORD_ADDRESSES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < m->config.advertise_count; i++)
        add_address(out, &count, &m->config.advertise[i]);
    for (unsigned i = 0; i < m->socket_count && !m->config.advertise_count; i++) {
        const address *bound = udp_address(m->sockets[i].udp);

        if (is_any(bound))
            add_interfaces(out, &count, bound);
        else
            add_address(out, &count, bound);
    }
    return count;
}
