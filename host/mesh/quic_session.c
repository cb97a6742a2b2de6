/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a session: made, fed, watched, ended. What it sends is in quic_send.c. */
#include "base/error.h"
#include "mesh/quic.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MS 1000000ll
#define S  (1000 * MS)

/* Renewal begins this much before a session is too old, and a replaced one stays for a while, for
 * what the peer has under way on it. */
#define RENEW_AHEAD(life) ((life) / 8 < 600 * S ? (life) / 8 : 600 * S)
#define RENEW_AGAIN       (15 * S)
#define RETIRE_AFTER      (2 * S)
#define RETIRE_WAITS      4

/* ---- Birth ----------------------------------------------------------------------------------- */

bool session_add_cid(session *s, const uint8_t cid[QUIC_CID])
{
    uint64_t key = load_u64(cid);
    void *incumbent;

    if (s->cid_count == QUIC_CIDS_MAX || !map64_add(&s->e->cids, key, s, &incumbent))
        return false;
    memcpy(&s->cids[s->cid_count++], cid, QUIC_CID);
    return true;
}

/* A local address for ngtcp2, which aborts without one. Where none is known, the unspecified one
 * serves: it only ever is compared with itself. */
static void local_for(address *out, const address *local, const address *peer)
{
    if (local && address_valid(local) && local->u.any.sa_family == peer->u.any.sa_family) {
        *out = *local;
        return;
    }
    *out = (address){.len = peer->len};
    out->u.any.sa_family = peer->u.any.sa_family;
}

static ngtcp2_path path_of(address *local, address *peer)
{
    return (ngtcp2_path){.local = {&local->u.any, local->len}, .remote = {&peer->u.any, peer->len}};
}

static void settings_of(const session *s, ngtcp2_settings *out, slice token)
{
    const endpoint_config *c = &s->e->config;

    ngtcp2_settings_default(out);
    out->initial_ts = (uint64_t)s->e->now_ns;
    /* Nodes are near each other more often than not; the default of 333 ms loses a second to every
     * first packet that is lost. */
    out->initial_rtt = 100 * NGTCP2_MILLISECONDS;
    out->max_tx_udp_payload_size = c->max_packet;
    out->no_tx_udp_payload_size_shaping = !c->discover_mtu;
    out->no_pmtud = !c->discover_mtu;
    out->handshake_timeout = (uint64_t)c->handshake_ns;
    /* What is lost by chance is no sign of a full link. To those that think so 1% of loss leaves a
     * fifth of 100 Mbit/s at 10 ms (mesh_session_bench). */
    out->cc_algo = SHIM_CC_BBR;
    out->rand_ctx.native_handle = s->e;
    if (token.len)
        shim_settings_token(out, token.ptr, token.len);
}

static int make_conn(session *s, const session_start *start, const uint8_t dcid[QUIC_CID])
{
    endpoint *e = s->e;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_crypto_aead_ctx retry = {0};
    ngtcp2_crypto_ctx context;
    ngtcp2_path path = path_of(&s->first_local, &s->first_to);
    ngtcp2_cid to, own;
    uint8_t token[64];
    size_t token_len;
    int rv;

    ngtcp2_cid_init(&own, (const uint8_t *)&s->cids[0], QUIC_CID);
    shake_params(s, &params);
    if (!s->dialled) {
        const uint8_t *first = start->odcid ? start->odcid : start->dcid;
        ngtcp2_cid original;

        ngtcp2_cid_init(&original, first, QUIC_CID);
        shim_params_original(&params, &original);
        if (start->odcid) {
            params.retry_scid_present = 1;
            ngtcp2_cid_init(&params.retry_scid, start->dcid, QUIC_CID);
        }
        params.stateless_reset_token_present = 1;
        accept_reset_token(e, params.stateless_reset_token, own.data);
        settings_of(s, &settings, start->token);
        ngtcp2_cid_init(&to, start->scid, QUIC_CID);
        return ngtcp2_conn_server_new(&s->conn, &to, &own, &path, NGTCP2_PROTO_VER_V1,
                                      &e->callbacks, &settings, &params, &s->memory, s);
    }
    ngtcp2_cid_init(&to, dcid, QUIC_CID);
    token_len = accept_token(e, token, start->responder_static, dcid, own.data);
    settings_of(s, &settings, slice_of(token, token_len));
    rv = ngtcp2_conn_client_new(&s->conn, &to, &own, &path, NGTCP2_PROTO_VER_V1, &e->callbacks,
                                &settings, &params, &s->memory, s);
    if (rv != 0)
        return rv;
    /* Only who knows the responder's static key can send it away with a Retry. */
    crypto_context(&context);
    crypto_generichash(e->scratch, 32, (const uint8_t *)"berth retry", 11, start->responder_static,
                       32);
    if (!crypto_aead(&retry, e->scratch))
        return NGTCP2_ERR_NOMEM;
    ngtcp2_conn_set_retry_aead(s->conn, &context.aead, &retry);
    return 0;
}

berth_status session_new(endpoint *e, const session_start *start, session **out, berth_error *error)
{
    session *s = calloc(1, sizeof *s);
    uint8_t cid[QUIC_CID], dcid[QUIC_CID], ephemeral[32];
    int rv;

    *out = NULL;
    if (!s)
        return fail(error, BERTH_ERR_NO_MEMORY, "no memory for a session");
    s->e = e;
    memory_init(s);
    s->dialled = start->responder_static != NULL;
    s->born_ns = e->now_ns;
    s->to = *start->to;
    local_for(&s->local, start->local, start->to);
    s->first_to = s->to;
    s->first_local = s->local;
    s->datagrams_end = &s->datagrams;
    for (unsigned l = 0; l < LANE_COUNT; l++)
        s->streams[l] = -1;
    s->next = e->sessions;
    if (s->next)
        s->next->prev = s;
    e->sessions = s;
    e->session_count++;
    if (!s->dialled)
        e->handshakes++;

    endpoint_random(e, cid, sizeof cid);
    endpoint_random(e, dcid, sizeof dcid);
    s->shake = calloc(1, sizeof *s->shake);
    if (!s->shake || !session_add_cid(s, cid) ||
        (!s->dialled && !session_add_cid(s, start->dcid))) {
        session_free(s);
        return fail(error, BERTH_ERR_NO_MEMORY, "no memory for a session");
    }
    memcpy(s->shake->dcid, dcid, sizeof dcid);
    memcpy(s->shake->responder_static, s->dialled ? start->responder_static : e->static_public, 32);
    endpoint_random(e, ephemeral, sizeof ephemeral);
    noise_init(&s->shake->n, s->dialled, slice_of(e->prologue, e->prologue_len),
               e->config.static_secret, s->dialled ? start->responder_static : NULL, ephemeral);
    sodium_memzero(ephemeral, sizeof ephemeral);
    if (start->psk)
        noise_set_psk(&s->shake->n, start->psk);
    rv = make_conn(s, start, dcid);
    if (rv != 0) {
        session_free(s);
        return fail(error, rv == NGTCP2_ERR_NOMEM ? BERTH_ERR_NO_MEMORY : BERTH_ERR_INTERNAL,
                    "a session could not be made: %s", ngtcp2_strerror(rv));
    }
    *out = s;
    return BERTH_OK;
}

berth_status endpoint_dial(endpoint *e, const address *to, const uint8_t static_key[32],
                           int64_t now_ns, session **out, berth_error *error)
{
    session_start start = {.to = to, .responder_static = static_key};
    berth_status status;

    endpoint_time(e, now_ns);
    *out = NULL;
    if (e->closing)
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "this node is going");
    if (!to || !address_valid(to))
        return fail(error, BERTH_ERR_INVALID,
                    "the address to dial is none: IPv4 or IPv6, with a "
                    "port");
    if (e->session_count >= e->config.max_sessions)
        return fail(error, BERTH_ERR_LIMIT, "there are %u sessions already, which is max_sessions",
                    e->session_count);
    if (e->config.psk_count)
        start.psk = e->config.psks[0];
    status = session_new(e, &start, out, error);
    if (status != BERTH_OK)
        return status;
    (*out)->listed = true;
    e->counters.dialled++;
    endpoint_ready(*out);
    session_settle(*out);
    return BERTH_OK;
}

/* ---- Up -------------------------------------------------------------------------------------- */

void session_is_up(session *s)
{
    endpoint *e = s->e;
    const endpoint_config *c = &e->config;

    if (s->state != SESSION_SHAKING || !s->shake || !s->shake->confirmed || s->ending)
        return;
    s->state = SESSION_UP;
    s->up_ns = e->now_ns;
    s->renew_ns = s->up_ns + c->session_life_ns - RENEW_AHEAD(c->session_life_ns);
    s->rekey_ns = s->up_ns + c->rekey_ns;
    s->rekey_at = c->rekey_bytes;
    if (!s->dialled) {
        e->handshakes--;
        e->counters.accepted++;
    }
    e->counters.sessions++;
    ngtcp2_conn_set_keep_alive_timeout(s->conn, (uint64_t)c->keep_alive_ns);
    shake_free(s->shake);
    s->shake = NULL;
    s->listed = true;
    if (s->elder) {
        s->elder->retired = true;
        s->elder->retire_ns = e->now_ns + RETIRE_AFTER;
        s->elder->heir = NULL;
        endpoint_ready(s->elder);
        s->elder = NULL;
    }
    s->busy++;
    c->events.up(c->events.ctx, s, &s->peer);
    s->busy--;
    endpoint_ready(s);
}

/* ---- The end --------------------------------------------------------------------------------- */

void session_end_now(session *s, session_end why, uint64_t code, const char *format, ...)
{
    va_list ap;
    char text[QUIC_TEXT];

    if (s->ending || s->state == SESSION_LINGERING)
        return;
    s->ending = true;
    s->why = why;
    s->code = code;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    text_escape(s->text, sizeof s->text, text, strlen(text));
}

void session_close(session *s, session_end why, const char *text, int64_t now_ns)
{
    endpoint_time(s->e, now_ns);
    if (why == END_REPLACED && s->state == SESSION_UP && !s->ending)
        s->e->counters.replaced++;
    session_end_now(s, why, 0, "%s", text ? text : "closed");
    session_settle(s);
}

void session_free(session *s)
{
    endpoint *e = s->e;

    endpoint_unready(s);
    heap_remove(&e->timers, &s->timer);
    for (unsigned i = 0; i < s->cid_count; i++)
        map64_del(&e->cids, load_u64(&s->cids[i]));
    for (unsigned i = 0; i < s->reset_count; i++)
        map64_del(&e->resets, s->reset_keys[i]);
    if (s->heir)
        s->heir->elder = NULL;
    if (s->elder) {
        s->elder->heir = NULL;
        s->elder->renew_ns = e->now_ns + RENEW_AGAIN;
    }
    if (!s->dialled && !s->up_ns)
        e->handshakes--;
    if (s->prev)
        s->prev->next = s->next;
    else
        e->sessions = s->next;
    if (s->next)
        s->next->prev = s->prev;
    e->session_count--;
    if (s->conn)
        ngtcp2_conn_del(s->conn);
    memory_sweep(s);
    shake_free(s->shake);
    lanes_free(s);
    while (s->datagrams) {
        datagram_out *d = s->datagrams;

        s->datagrams = d->next;
        free(d);
    }
    free(s->carry);
    sodium_memzero(s, sizeof *s);
    free(s);
}

/* Frees s, unless its farewell is still to be said. */
static void finish(session *s)
{
    endpoint *e = s->e;
    bool was_up = s->state == SESSION_UP;
    int64_t linger = (int64_t)(3 * ngtcp2_conn_get_pto(s->conn));

    free(s->carry);
    s->carry = NULL;
    s->carry_due = false;
    if (!s->silent)
        send_farewell(s);
    if (was_up)
        e->counters.sessions--;
    else
        e->counters.handshakes_failed++;
    s->state = SESSION_LINGERING;
    if (s->listed) {
        s->busy++;
        e->config.events.down(e->config.events.ctx, s, s->why, s->text);
        s->busy--;
    }
    if (!s->carry) {
        session_free(s);
        return;
    }
    ngtcp2_conn_del(s->conn);
    s->conn = NULL;
    memory_sweep(s);
    shake_free(s->shake);
    s->shake = NULL;
    lanes_free(s);
    s->user = NULL;
    s->carry_due = true;
    s->late = 0;
    s->late_next = 1;
    /* Who never was up gets no more than one answer. */
    if (linger > 3 * S)
        linger = 3 * S;
    s->over_ns = e->now_ns + (was_up || s->dialled ? linger : 100 * MS);
    endpoint_ready(s);
    session_settle(s);
}

static void set_timer(session *s)
{
    const endpoint_config *c = &s->e->config;
    int64_t due = INT64_MAX;

    if (s->state == SESSION_LINGERING) {
        due = s->over_ns;
    } else {
        uint64_t expiry = ngtcp2_conn_get_expiry(s->conn);

        if (expiry < (uint64_t)due)
            due = (int64_t)expiry;
        if (s->state == SESSION_SHAKING) {
            if (s->born_ns + c->handshake_ns < due)
                due = s->born_ns + c->handshake_ns;
        } else {
            int64_t end = s->up_ns + c->session_life_ns;

            if (s->dialled && !s->heir && !s->retired && s->renew_ns < end)
                end = s->renew_ns;
            if (s->retired && s->retire_ns < end)
                end = s->retire_ns;
            if (s->rekey_ns < end)
                end = s->rekey_ns;
            if (end < due)
                due = end;
        }
    }
    if (s->timer.place && s->timer.due_ns == due)
        return;
    heap_remove(&s->e->timers, &s->timer);
    s->timer.due_ns = due;
    /* Without memory for the timer the session would hang for ever. */
    if (!heap_push(&s->e->timers, &s->timer))
        abort();
}

void session_settle(session *s)
{
    if (s->busy)
        return;
    if (s->state == SESSION_UP && !s->ending) {
        s->busy++;
        lanes_room(s);
        s->busy--;
    }
    if (s->ending && s->state != SESSION_LINGERING) {
        finish(s);
        return;
    }
    if (s->state == SESSION_UP && s->bytes_in + s->bytes_out >= s->rekey_at) {
        s->rekey_at = UINT64_MAX;
        s->rekey_ns = s->e->now_ns;
    }
    /* Who has something to say is settled again when it was said. */
    if (!s->ready || !s->timer.place || s->state == SESSION_LINGERING)
        set_timer(s);
}

/* ---- What comes ------------------------------------------------------------------------------ */

static void heard_close(session *s)
{
    ngtcp2_ccerr said;
    session_end why = END_PEER;
    char text[64];

    ngtcp2_ccerr_default(&said);
    shim_close_reason(s->conn, &said);
    text_escape(text, sizeof text, (const char *)said.reason, said.reason ? said.reasonlen : 0);
    if (said.type == NGTCP2_CCERR_TYPE_APPLICATION) {
        if (said.error_code == CLOSE_REFUSED)
            why = END_REFUSED;
        else if (said.error_code == CLOSE_REPLACED)
            why = END_REPLACED;
        else if (said.error_code == CLOSE_EXPIRED)
            why = END_EXPIRED;
    } else if (said.error_code == NGTCP2_CONNECTION_REFUSED && s->shake && s->shake->heard[0]) {
        why = END_REFUSED;
    } else if (s->state == SESSION_SHAKING) {
        why = END_HANDSHAKE;
    }
    s->silent = true;
    session_end_now(s, why, 0, "the peer: %s", text[0] ? text : "closed");
}

/* What ngtcp2 says of a packet or of time. */
static void judge(session *s, int rv)
{
    if (rv == 0 || s->ending)
        return;
    switch (rv) {
    case NGTCP2_ERR_DRAINING:
        heard_close(s);
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
        s->silent = true;
        session_end_now(s, s->state == SESSION_UP ? END_IDLE : END_HANDSHAKE, 0,
                        "nothing was heard for too long");
        return;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        s->silent = true;
        session_end_now(s, END_HANDSHAKE, 0, "no answer");
        return;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY:
        /* A first packet that does not open: whoever sent it does not know us. */
        s->e->counters.dropped_invalid++;
        s->silent = true;
        session_end_now(s, END_HANDSHAKE, 0, "the first packet does not open");
        return;
    default:
        session_end_now(s, s->state == SESSION_UP ? END_ERROR : END_HANDSHAKE,
                        ngtcp2_err_infer_quic_transport_error_code(rv), "%s", ngtcp2_strerror(rv));
    }
}

/* Only the newest packet moves a session, so an old one that somebody kept cannot. Somebody on the
 * way who is faster than the packet itself can, until the next one comes the right way. */
static void follow(session *s, const address *local, const address *from)
{
    address here;

    local_for(&here, s->dialled ? NULL : local, from);
    if (!address_equal(from, &s->to))
        s->to = *from;
    if (!s->dialled && !address_equal(&here, &s->local))
        s->local = here;
}

void session_receive(session *s, const address *local, const address *from, const uint8_t *bytes,
                     size_t len, uint8_t ecn)
{
    ngtcp2_pkt_info info = {.ecn = ecn & NGTCP2_ECN_MASK};
    ngtcp2_path path = path_of(&s->first_local, &s->first_to);
    int rv;

    if (s->state == SESSION_LINGERING) {
        /* Twice as rarely each time: two that linger must not keep each other busy. */
        if (++s->late >= s->late_next && s->carry) {
            s->late_next *= 2;
            s->carry_due = true;
            endpoint_ready(s);
        }
        return;
    }
    if (s->busy || s->ending)
        return;
    /* Nobody moves before it is known who it is. */
    if (s->state == SESSION_SHAKING && !address_equal(from, &s->to)) {
        s->e->counters.dropped_unknown++;
        return;
    }
    s->fresh = false;
    s->bytes_in += len;
    s->packets_in++;
    s->busy++;
    rv = ngtcp2_conn_read_pkt(s->conn, &path, &info, bytes, len, (uint64_t)s->e->now_ns);
    s->busy--;
    if (s->fresh)
        follow(s, local, from);
    judge(s, rv);
    endpoint_ready(s);
    session_settle(s);
}

static void rekey(session *s)
{
    const endpoint_config *c = &s->e->config;

    /* It cannot be done while the one before is unconfirmed, nor before the first packets. */
    if (ngtcp2_conn_initiate_key_update(s->conn, (uint64_t)s->e->now_ns) != 0) {
        s->rekey_ns = s->e->now_ns + 100 * MS;
        return;
    }
    s->rekey_ns = s->e->now_ns + c->rekey_ns;
    s->rekey_at = s->bytes_in + s->bytes_out + c->rekey_bytes;
}

/* Make before break: the one that follows is dialled while this one works on. */
static void renew(session *s)
{
    endpoint *e = s->e;
    address to = s->to;
    session *heir;

    s->renew_ns = e->now_ns + RENEW_AGAIN;
    if (e->session_count >= e->config.max_sessions ||
        endpoint_dial(e, &to, s->remote_static, e->now_ns, &heir, NULL) != BERTH_OK)
        return;
    heir->listed = false;
    heir->elder = s;
    s->heir = heir;
}

void session_expire(session *s)
{
    const endpoint_config *c = &s->e->config;
    int64_t now = s->e->now_ns;

    if (s->state == SESSION_LINGERING) {
        if (now >= s->over_ns)
            session_free(s);
        else
            session_settle(s);
        return;
    }
    if (s->state == SESSION_SHAKING && now >= s->born_ns + c->handshake_ns)
        judge(s, NGTCP2_ERR_HANDSHAKE_TIMEOUT);
    else if (ngtcp2_conn_get_expiry(s->conn) <= (uint64_t)now) {
        s->busy++;
        judge(s, ngtcp2_conn_handle_expiry(s->conn, (uint64_t)now));
        s->busy--;
    }
    if (s->state == SESSION_UP && !s->ending) {
        if (now >= s->up_ns + c->session_life_ns)
            session_end_now(s, END_EXPIRED, 0, "the session is too old");
        else if (s->retired && now >= s->retire_ns) {
            if (lanes_queued(s) && s->late++ < RETIRE_WAITS) {
                s->retire_ns = now + RETIRE_AFTER;
            } else {
                s->e->counters.replaced++;
                session_end_now(s, END_REPLACED, 0, "renewed");
            }
        } else if (s->dialled && !s->heir && !s->retired && now >= s->renew_ns)
            renew(s);
        if (!s->ending && now >= s->rekey_ns)
            rekey(s);
    }
    endpoint_ready(s);
    session_settle(s);
}

/* ---- What others ask ------------------------------------------------------------------------- */

void session_set_user(session *s, void *user)
{
    s->user = user;
}

void *session_user(const session *s)
{
    return s->user;
}

const peer_identity *session_peer(const session *s)
{
    return s->up_ns ? &s->peer : NULL;
}

bool session_dialled(const session *s)
{
    return s->dialled;
}

void session_get_info(const session *s, session_info *out)
{
    *out = (session_info){.path = s->to,
                          .up_since_ns = s->up_ns,
                          .bytes_in = s->bytes_in,
                          .bytes_out = s->bytes_out,
                          .packets_in = s->packets_in,
                          .packets_out = s->packets_out,
                          .queued = lanes_queued(s),
                          .rekeys = s->updates ? s->updates - 1 : 0};
    if (!s->conn)
        return;
    {
        uint64_t rtt, rtt_min;

        shim_rates(s->conn, &rtt, &rtt_min, &out->congestion_window, &out->in_flight);
        out->rtt_ns = (int64_t)rtt;
        out->rtt_min_ns = rtt_min == UINT64_MAX ? 0 : (int64_t)rtt_min;
    }
    out->packet_size = (uint32_t)ngtcp2_conn_get_path_max_tx_udp_payload_size(s->conn);
    for (unsigned l = 0; s->streams_open && l < LANE_COUNT; l++)
        out->packets_lost += ngtcp2_conn_get_stream_loss_count(s->conn, s->streams[l]);
}
