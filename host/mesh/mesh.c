/* SPDX-License-Identifier: Apache-2.0 */
/* A node's part in the mesh: its birth, its start, its leaving and its end. */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "daemon/latch.h"

#include <sodium.h>
#include <stdlib.h>

#define LEAVE_NS      (2 * S_NS) /* for goodbyes */
#define DRAIN_LOOK_NS (10 * MS_NS)

static int64_t or_default(int64_t value, int64_t normal)
{
    return value ? value : normal;
}

static berth_status check(const mesh_config *c, berth_error *error)
{
    if (!c->identity || !berth_keypair_is_full(c->identity))
        return fail(error, BERTH_ERR_READ_ONLY, "mesh: the node's identity has no secret half");
    if (certificate_name_check(slice_str(c->name ? c->name : ""), error) != BERTH_OK)
        return fail_prefix(error, "mesh: the host's name"), BERTH_ERR_INVALID;
    if (!c->listen_count || c->listen_count > MESH_LISTEN_MAX)
        return fail(error, BERTH_ERR_INVALID, "mesh: between 1 and %d addresses to listen at",
                    MESH_LISTEN_MAX);
    if (!c->boot)
        return fail(error, BERTH_ERR_INVALID, "mesh: the number of this start is missing");
    return BERTH_OK;
}

static berth_status make_machines(mesh *m, berth_error *error)
{
    directory_config places = {0};
    berth_status status;

    memcpy(places.self, m->key.entity, sizeof places.self);
    m->directory = directory_new(&places);
    m->trust = trust_new(m->key.entity);
    m->node_link = link_new(m, &m->key, true);
    if (!m->directory || !m->trust || !m->node_link)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = mesh_channels_open(m, error);
    if (status == BERTH_OK)
        status = announce_open(m, error);
    if (status == BERTH_OK)
        status = calls_open(m, error);
    if (status == BERTH_OK)
        status = serve_open(m, error);
    return status;
}

berth_status mesh_new(const mesh_config *config, mesh **out, berth_error *error)
{
    berth_status status = check(config, error);
    mesh *m;

    *out = NULL;
    if (status != BERTH_OK)
        return status;
    m = calloc(1, sizeof *m);
    if (!m)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    m->config = *config;
    m->config.unknown_ns = or_default(config->unknown_ns, 30 * S_NS);
    m->key = *config->identity;
    snprintf(m->name, sizeof m->name, "%s", config->name);
    sodium_ready();
    m->log = log_get_capture();
    m->sweep_ns = m->stage_until_ns = m->idle_look_ns = m->members_ns = NEVER;
    pthread_mutex_init(&m->task_lock, NULL);
    pthread_mutex_init(&m->places_lock, NULL);
    pthread_mutex_init(&m->done_lock, NULL);
    pthread_mutex_init(&m->channels_lock, NULL);
    pthread_mutex_init(&m->calls_lock, NULL);
    mesh_route_init(m);
    if (crypto_scalarmult_base(m->static_public, config->static_secret) != 0)
        status = fail(error, BERTH_ERR_INVALID, "mesh: the static key cannot be used");
    if (status == BERTH_OK && config->certificate.len &&
        !(m->certificate = buf_copy(config->certificate.ptr, config->certificate.len)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = make_machines(m, error);
    m->loop = config->loop ? mesh_loop_ref(config->loop) : NULL;
    if (status == BERTH_OK && !m->loop)
        status = mesh_loop_new(&m->loop, error);
    if (status == BERTH_OK)
        *out = m;
    else
        mesh_free(m);
    return status;
}

const route *mesh_route(mesh *m)
{
    return &m->route;
}

/* ---- Start ----------------------------------------------------------------------------------- */

static berth_status make_endpoint(mesh *m, berth_error *error)
{
    endpoint_config c = {.identity = &m->key,
                         .psk_count = m->config.psk_count,
                         .admit = policy_admit,
                         .admit_ctx = m,
                         .events = mesh_transport_events(m),
                         .max_packet = m->config.max_packet,
                         .discover_mtu = m->config.discover_mtu,
                         .max_message = m->config.max_message,
                         .idle_ns = m->config.idle_ns,
                         /* Its own default is too long for sessions that end soon. */
                         .keep_alive_ns = m->config.idle_ns < 10 * S_NS ? m->config.idle_ns / 2 : 0,
                         .session_life_ns = m->config.session_life_ns};
    berth_status status;

    if (m->certificate)
        c.certificate = slice_of(m->certificate->data, m->certificate->len);
    memcpy(c.static_secret, m->config.static_secret, sizeof c.static_secret);
    memcpy(c.reset_key, m->config.reset_key, sizeof c.reset_key);
    memcpy(c.psks, m->config.psks, sizeof c.psks);
    status = endpoint_new(&c, &m->endpoint, error);
    sodium_memzero(&c, sizeof c);
    return status;
}

static int64_t wall_s(void *ctx)
{
    return mesh_wall_s(ctx);
}

static berth_status make_peers(mesh *m, berth_error *error)
{
    peers_config c = {.identity = &m->key,
                      .wall_s = wall_s,
                      .relayed = relay_find,
                      .is_relayed = relay_leads,
                      .ctx = m,
                      .transport = mesh_transport,
                      .max_peers = m->config.max_peers,
                      .heartbeat_ns = m->config.heartbeat_ns,
                      .timeout_ns = m->config.timeout_ns,
                      .session_life_ns = m->config.session_life_ns};
    berth_status status;

    c.transport.endpoint = m->endpoint;
    memcpy(c.static_key, m->static_public, sizeof c.static_key);
    snprintf(c.name, sizeof c.name, "%s", m->name);
    c.address_count = net_addresses(m, c.addresses);
    status = peers_new(&c, m->now_ns, &m->peers, error);
    if (status == BERTH_OK)
        status = peers_subscribe(m->peers, mesh_peer_changed, m);
    return status;
}

typedef struct starting {
    const mesh_policy *policy;
    berth_status status;
    berth_error *error;
} starting;

static void start(mesh *m, void *ctx)
{
    starting *s = ctx;

    m->now_ns = clock_mono_ns();
    s->status = net_open(m, s->error);
    if (s->status == BERTH_OK)
        s->status = make_endpoint(m, s->error);
    if (s->status == BERTH_OK)
        s->status = make_peers(m, s->error);
    if (s->status == BERTH_OK)
        s->status = policy_take(m, s->policy, s->error);
    if (s->status != BERTH_OK)
        return;
    m->stage = STAGE_RUNNING;
    atomic_store(&m->facts_flag, true);
    net_begin(m);
}

berth_status mesh_start(mesh *m, runtime *rt, const mesh_policy *policy, berth_error *error)
{
    berth_error unread = {0};
    starting s = {.policy = policy, .error = error ? error : &unread};

    m->rt = rt;
    mesh_ask(m, start, &s);
    return s.status;
}

void mesh_wall_skew(mesh *m, int64_t seconds)
{
    atomic_store(&m->skew_ns, seconds * S_NS);
    mesh_wake(m);
}

void mesh_stall(mesh *m, int64_t ns)
{
    atomic_store(&m->stall_ns, clock_mono_ns() + ns);
    mesh_wake(m);
}

/* ---- Leaving --------------------------------------------------------------------------------- */

static void enter_stage(mesh *m, mesh_stage stage, int64_t until_ns)
{
    m->stage = stage;
    m->stage_until_ns = until_ns;
}

void mesh_stage_step(mesh *m)
{
    if (m->stage == STAGE_DRAINING && (flows_quiet(m) || m->now_ns >= m->drain_until_ns)) {
        sessions_sweep(m);
        calls_end(m);
        announce_farewell(m);
        peers_leave(m->peers, m->now_ns);
        enter_stage(m, STAGE_LEAVING, m->now_ns + LEAVE_NS);
    } else if (m->stage == STAGE_DRAINING) {
        m->stage_until_ns = m->now_ns + DRAIN_LOOK_NS;
    }
    if (m->stage == STAGE_LEAVING && (peers_gone(m->peers) || m->now_ns >= m->stage_until_ns)) {
        net_flush(m); /* what closes the last sessions: who leaves at the same time waits for it */
        enter_stage(m, STAGE_ENDED, NEVER);
        net_close(m);
    }
}

void mesh_closed(mesh *m)
{
    if (m->stage_done)
        latch_answer(m->stage_done, BERTH_OK, NULL);
}

typedef struct leaving {
    int64_t until_ns;
    bool at_once;
    latch done;
} leaving;

static void leave(mesh *m, void *ctx)
{
    leaving *l = ctx;

    if (m->stage_done || m->ended) { /* another has done it, or is doing it */
        latch_answer(&l->done, BERTH_OK, NULL);
        return;
    }
    m->stage_done = &l->done;
    if (m->stage == STAGE_RUNNING && !l->at_once) {
        m->now_ns = clock_mono_ns();
        sessions_keep(m);
        m->drain_until_ns = l->until_ns;
        enter_stage(m, STAGE_DRAINING, m->now_ns);
        uv_async_send(&m->async);
        return;
    }
    sessions_sweep(m);
    calls_end(m);
    enter_stage(m, STAGE_ENDED, NEVER);
    net_close(m);
}

static void end(mesh *m, uint64_t grace_ms, bool at_once)
{
    int64_t now = clock_mono_ns();
    leaving l = {.until_ns = grace_ms > (uint64_t)(INT64_MAX - now) / MS_NS
                                 ? NEVER
                                 : now + (int64_t)grace_ms * MS_NS,
                 .at_once = at_once};

    latch_init(&l.done, 1);
    mesh_ask(m, leave, &l);
    latch_wait(&l.done, NULL);
    latch_fini(&l.done);
    mesh_run_tasks(m); /* whatever came meanwhile */
}

void mesh_leave(mesh *m, uint64_t grace_ms)
{
    end(m, grace_ms, false);
}

void mesh_kill(mesh *m)
{
    end(m, 0, true);
}

/* ---- End ------------------------------------------------------------------------------------- */

static void forget_nodes(mesh *m)
{
    void *value;

    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);) {
        free(((mesh_node *)value)->stalls);
        free(value);
    }
    map64_fini(&m->nodes);
    for (size_t at = 0; map64_next(&m->locals, &at, NULL, &value);)
        free(value);
    map64_fini(&m->locals);
}

void mesh_free(mesh *m)
{
    if (!m)
        return;
    if (m->loop)
        mesh_kill(m);
    endpoint_free(m->endpoint);
    relay_fini(m);
    impair_free(m->impair_in);
    impair_free(m->impair_out);
    if (m->peers)
        peers_free(m->peers);
    inflows_fini(m);
    call_client_free(m->call_client);
    serve_fini(m);
    if (m->node_link)
        flows_fini(m);
    mesh_channels_fini(m);
    if (m->announcements)
        announce_fini(m);
    directory_free(m->directory);
    trust_free(m->trust);
    forget_nodes(m);
    free(m->peer_list);
    buf_unref(m->certificate);
    mesh_loop_unref(m->loop);
    pthread_mutex_destroy(&m->task_lock);
    pthread_mutex_destroy(&m->places_lock);
    pthread_mutex_destroy(&m->done_lock);
    pthread_mutex_destroy(&m->channels_lock);
    calls_fini(m);
    pthread_mutex_destroy(&m->calls_lock);
    sodium_memzero(m, sizeof *m);
    free(m);
}
