/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake in CRYPTO frames (docs/wire.md). Every message is its length, two bytes
 * little-endian, and its bytes; there is one of each:
 *
 *     Initial     dialler    Noise message 1, its payload the dialler's transport parameters
 *     Initial     acceptor   Noise message 2, the same of the acceptor
 *     Handshake   acceptor   its entity proof
 *     Handshake   dialler    16 bytes that confirm the keys, its entity proof
 *
 * A payload is the length of the parameters, two bytes, and the parameters; more may follow one day
 * and is skipped.
 */
#include "base/error.h"
#include "mesh/quic.h"

#include <sodium.h>
#include <stdlib.h>

enum { INITIAL, HANDSHAKE };

void shake_free(handshake *h)
{
    if (!h)
        return;
    noise_fini(&h->n);
    writer_free(&h->in[INITIAL]);
    writer_free(&h->in[HANDSHAKE]);
    sodium_memzero(h, sizeof *h);
    free(h);
}

/* A message of ours; 0 or an error of ngtcp2. */
static int submit(session *s, ngtcp2_encryption_level level, const writer *message)
{
    writer framed = {0};
    int rv = NGTCP2_ERR_NOMEM;

    writer_reserve(&framed, message->len + 2);
    writer_u16(&framed, (uint16_t)message->len);
    writer_bytes(&framed, message->data, message->len);
    if (!framed.failed && !message->failed)
        rv = ngtcp2_conn_submit_crypto_data(s->conn, level, framed.data, framed.len);
    writer_free(&framed);
    return rv;
}

/* ---- Transport parameters -------------------------------------------------------------------- */

void shake_params(const session *s, ngtcp2_transport_params *out)
{
    const endpoint_config *c = &s->e->config;

    ngtcp2_transport_params_default(out);
    out->initial_max_stream_data_uni = QUIC_LANE_WINDOW;
    out->initial_max_data = (uint64_t)QUIC_LANE_WINDOW * LANE_COUNT;
    out->initial_max_streams_uni = LANE_COUNT;
    out->max_idle_timeout = (uint64_t)c->idle_ns;
    out->max_udp_payload_size = c->max_packet;
    out->active_connection_id_limit = 3;
    out->max_datagram_frame_size = c->max_packet;
}

static int write_payload(session *s, writer *out)
{
    const ngtcp2_transport_params *set = ngtcp2_conn_get_local_transport_params(s->conn);
    ngtcp2_transport_params params = *set;
    uint8_t bytes[QUIC_PARAMS_MAX];
    ngtcp2_cid own;
    ngtcp2_ssize n;

    /* The library fills this in only when it commits them, which is after message 2 is written. */
    ngtcp2_cid_init(&own, (const uint8_t *)&s->cids[0], QUIC_CID);
    shim_params_initial(&params, &own);
    params.version_info_present = 0;
    n = shim_params_encode(bytes, sizeof bytes, !s->dialled, &params);
    if (n < 0)
        return (int)n;
    writer_u16(out, (uint16_t)n);
    writer_bytes(out, bytes, (size_t)n);
    return out->failed ? NGTCP2_ERR_NOMEM : 0;
}

/* The other's: nothing that we do not use reaches the library, which would assert about some. */
static int read_payload(session *s, const buf *payload)
{
    reader r = reader_of(payload->data, payload->len);
    slice given = reader_bytes(&r, reader_u16(&r));
    ngtcp2_transport_params params;
    uint8_t bytes[QUIC_PARAMS_MAX];
    ngtcp2_ssize n;
    int rv;

    if (!reader_ok(&r) || given.len > QUIC_PARAMS_MAX ||
        shim_params_decode(&params, s->dialled, given.ptr, given.len) != 0) {
        session_end_now(s, END_HANDSHAKE, 0, "the peer's transport parameters are malformed");
        return NGTCP2_ERR_MALFORMED_TRANSPORT_PARAM;
    }
    if (shim_params_preferred(&params) || params.initial_max_streams_uni < LANE_COUNT ||
        params.max_udp_payload_size < QUIC_FIRST) {
        session_end_now(s, END_HANDSHAKE, 0, "the peer's transport parameters are not ours");
        return NGTCP2_ERR_TRANSPORT_PARAM;
    }
    params.version_info_present = 0;
    params.grease_quic_bit = 0;
    n = shim_params_encode(bytes, sizeof bytes, s->dialled, &params);
    if (n < 0)
        return (int)n;
    rv = shim_params_install(s->conn, bytes, (size_t)n);
    if (rv != 0) {
        session_end_now(s, END_HANDSHAKE, 0, "the peer's transport parameters do not fit: %s",
                        ngtcp2_strerror(rv));
        return rv;
    }
    s->peer_max_datagram = params.max_datagram_frame_size;
    return 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

int shake_initial_keys(session *s, const uint8_t *dcid)
{
    packet_keys client, server;
    const packet_keys *in = s->dialled ? &server : &client, *out = s->dialled ? &client : &server;
    ngtcp2_crypto_aead_ctx in_aead = {0}, out_aead = {0};
    ngtcp2_crypto_cipher_ctx in_hp = {0}, out_hp = {0};
    ngtcp2_crypto_ctx context;
    int rv = NGTCP2_ERR_NOMEM;

    schedule_initial(&client, &server, s->shake->responder_static, slice_of(dcid, QUIC_CID));
    crypto_context(&context);
    ngtcp2_conn_set_initial_crypto_ctx(s->conn, &context);
    if (crypto_aead(&in_aead, in->key) && crypto_aead(&out_aead, out->key) &&
        crypto_hp(&in_hp, in->hp) && crypto_hp(&out_hp, out->hp))
        rv = ngtcp2_conn_install_initial_key(s->conn, &in_aead, in->iv, &in_hp, &out_aead, out->iv,
                                             &out_hp, sizeof in->iv);
    if (rv != 0) {
        crypto_aead_free(&in_aead);
        crypto_aead_free(&out_aead);
        crypto_hp_free(&in_hp);
        crypto_hp_free(&out_hp);
    }
    sodium_memzero(&client, sizeof client);
    sodium_memzero(&server, sizeof server);
    return rv;
}

/* The library is to keep no secret: it gets one zero in its place. */
static int install(session *s, schedule_level level, bool in, const uint8_t secret[32])
{
    static const uint8_t none[1];
    packet_keys keys;
    ngtcp2_crypto_aead_ctx aead = {0};
    ngtcp2_crypto_cipher_ctx hp = {0};
    int rv = NGTCP2_ERR_NOMEM;

    schedule_keys(&keys, secret);
    if (crypto_aead(&aead, keys.key) && crypto_hp(&hp, keys.hp)) {
        if (in && level == SCHEDULE_APPLICATION)
            crypto_watch(&aead, s, keys.iv);
        if (level == SCHEDULE_HANDSHAKE)
            rv = in ? ngtcp2_conn_install_rx_handshake_key(s->conn, &aead, keys.iv, sizeof keys.iv,
                                                           &hp)
                    : ngtcp2_conn_install_tx_handshake_key(s->conn, &aead, keys.iv, sizeof keys.iv,
                                                           &hp);
        else
            rv = in ? ngtcp2_conn_install_rx_key(s->conn, none, sizeof none, &aead, keys.iv,
                                                 sizeof keys.iv, &hp)
                    : ngtcp2_conn_install_tx_key(s->conn, none, sizeof none, &aead, keys.iv,
                                                 sizeof keys.iv, &hp);
    }
    if (rv != 0) {
        crypto_aead_free(&aead);
        crypto_hp_free(&hp);
    }
    sodium_memzero(&keys, sizeof keys);
    return rv;
}

/* After both Noise messages. */
static int split(session *s)
{
    handshake *h = s->shake;
    ngtcp2_crypto_ctx context;
    uint8_t secret[32];
    const uint8_t *in, *out;
    int rv;

    if (noise_split(&h->n, h->to_responder, h->to_initiator, h->hash) != BERTH_OK)
        return NGTCP2_ERR_CRYPTO;
    in = s->dialled ? h->to_initiator : h->to_responder;
    out = s->dialled ? h->to_responder : h->to_initiator;
    crypto_context(&context);
    ngtcp2_conn_set_crypto_ctx(s->conn, &context);
    schedule_secret(secret, in, h->hash, SCHEDULE_HANDSHAKE);
    rv = install(s, SCHEDULE_HANDSHAKE, true, secret);
    if (rv == 0) {
        schedule_secret(secret, out, h->hash, SCHEDULE_HANDSHAKE);
        rv = install(s, SCHEDULE_HANDSHAKE, false, secret);
    }
    sodium_memzero(secret, sizeof secret);
    schedule_secret(s->secret_in, in, h->hash, SCHEDULE_APPLICATION);
    schedule_secret(s->secret_out, out, h->hash, SCHEDULE_APPLICATION);
    return rv;
}

int shake_next_keys(session *s, ngtcp2_crypto_aead_ctx *in, uint8_t *in_iv,
                    ngtcp2_crypto_aead_ctx *out, uint8_t *out_iv)
{
    packet_keys keys;
    int rv = NGTCP2_ERR_CALLBACK_FAILURE;

    schedule_next_secret(s->secret_in);
    schedule_next_secret(s->secret_out);
    schedule_keys(&keys, s->secret_in);
    memcpy(in_iv, keys.iv, sizeof keys.iv);
    if (!crypto_aead(in, keys.key))
        goto out;
    crypto_watch(in, s, keys.iv);
    schedule_keys(&keys, s->secret_out);
    memcpy(out_iv, keys.iv, sizeof keys.iv);
    if (!crypto_aead(out, keys.key)) {
        crypto_aead_free(in);
        goto out;
    }
    s->updates++;
    rv = 0;
out:
    sodium_memzero(&keys, sizeof keys);
    return rv;
}

/* ---- Entity proofs --------------------------------------------------------------------------- */

static void bind_proof(const session *s, bool ours, proof_binding *out)
{
    const uint8_t *signer = ours ? s->e->static_public : s->remote_static;
    const uint8_t *verifier = ours ? s->remote_static : s->e->static_public;

    out->role = s->dialled == ours ? PROOF_INITIATOR : PROOF_RESPONDER;
    memcpy(out->hash, s->shake->hash, sizeof out->hash);
    memcpy(out->signer_static, signer, sizeof out->signer_static);
    memcpy(out->verifier_static, verifier, sizeof out->verifier_static);
}

static int submit_proof(session *s)
{
    const endpoint_config *c = &s->e->config;
    handshake *h = s->shake;
    proof_binding binding;
    writer message = {0};
    int rv = NGTCP2_ERR_NOMEM;

    if (s->dialled) {
        uint8_t mac[SCHEDULE_CONFIRM];

        schedule_confirm(mac, h->to_responder, h->hash);
        writer_bytes(&message, mac, sizeof mac);
    }
    bind_proof(s, true, &binding);
    if (proof_write(&message, c->identity, c->certificate, &binding) == BERTH_OK)
        rv = submit(s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, &message);
    writer_free(&message);
    return rv;
}

/* Who is it, can it prove that, and do we want it? */
static int believe(session *s, slice bytes)
{
    handshake *h = s->shake;
    berth_error error = {0};
    peer_identity peer = {.expires_wall_s = INT64_MAX};
    proof_binding binding;
    berth_status status;
    proof p;

    bind_proof(s, false, &binding);
    if (proof_read(&p, bytes, &binding, &error) != BERTH_OK) {
        session_end_now(s, END_HANDSHAKE, 0, "%s", error.text);
        return NGTCP2_ERR_CRYPTO;
    }
    memcpy(peer.entity, p.entity, sizeof peer.entity);
    memcpy(peer.static_key, s->remote_static, sizeof peer.static_key);
    peer.node_id = p.node_id;
    if (memcmp(p.entity, s->e->config.identity->entity, sizeof p.entity) == 0)
        status = fail(&error, BERTH_ERR_REFUSED, "the peer is this node itself");
    else
        status = s->e->config.admit(s->e->config.admit_ctx, &peer, p.certificate, &error);
    if (status != BERTH_OK) {
        s->e->counters.refused++;
        session_end_now(s, END_REFUSED, 0, "%s", error.text);
        return NGTCP2_ERR_CRYPTO;
    }
    peer.name[sizeof peer.name - 1] = 0;
    s->peer = peer;
    h->confirmed = true;
    return 0;
}

/* ---- The four messages ----------------------------------------------------------------------- */

int shake_begin(session *s)
{
    handshake *h = s->shake;
    writer payload = {0}, message = {0};
    int rv = shake_initial_keys(s, h->dcid);

    if (rv == 0)
        rv = write_payload(s, &payload);
    if (rv == 0 && noise_write(&h->n, slice_of(payload.data, payload.len), &message) != BERTH_OK) {
        session_end_now(s, END_HANDSHAKE, 0, "the static key of the peer is not a key");
        rv = NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (rv == 0)
        rv = submit(s, NGTCP2_ENCRYPTION_LEVEL_INITIAL, &message);
    writer_free(&payload);
    writer_free(&message);
    return rv;
}

static int answer_message_1(session *s)
{
    writer payload = {0}, message = {0};
    int rv = write_payload(s, &payload);

    if (rv == 0 &&
        noise_write(&s->shake->n, slice_of(payload.data, payload.len), &message) != BERTH_OK)
        rv = NGTCP2_ERR_CRYPTO;
    if (rv == 0)
        rv = submit(s, NGTCP2_ENCRYPTION_LEVEL_INITIAL, &message);
    writer_free(&payload);
    writer_free(&message);
    if (rv == 0)
        rv = split(s);
    if (rv == 0)
        rv = submit_proof(s);
    if (rv == 0)
        rv = install(s, SCHEDULE_APPLICATION, false, s->secret_out);
    return rv;
}

static int hear_noise(session *s, slice message)
{
    handshake *h = s->shake;
    berth_error error = {0};
    buf *payload = NULL;
    int rv;

    if (noise_read(&h->n, message, &payload, &error) != BERTH_OK) {
        /* Who cannot write message 1 is a stranger and hears nothing. */
        s->silent = !s->dialled;
        session_end_now(s, END_HANDSHAKE, 0, "%s", error.text);
        return NGTCP2_ERR_CRYPTO;
    }
    memcpy(s->remote_static, noise_remote_static(&h->n), sizeof s->remote_static);
    rv = read_payload(s, payload);
    buf_unref(payload);
    if (rv != 0)
        return rv;
    return s->dialled ? split(s) : answer_message_1(s);
}

static int hear_proof(session *s, slice message)
{
    handshake *h = s->shake;
    int rv;

    if (!s->dialled) {
        if (message.len < SCHEDULE_CONFIRM ||
            !schedule_confirmed(message.ptr, h->to_responder, h->hash)) {
            session_end_now(s, END_HANDSHAKE, 0, "the dialler does not confirm the keys");
            return NGTCP2_ERR_CRYPTO;
        }
        message = slice_of(message.ptr + SCHEDULE_CONFIRM, message.len - SCHEDULE_CONFIRM);
    }
    rv = believe(s, message);
    if (rv == 0)
        rv = install(s, SCHEDULE_APPLICATION, true, s->secret_in);
    if (rv == 0 && s->dialled)
        rv = install(s, SCHEDULE_APPLICATION, false, s->secret_out);
    if (rv == 0 && s->dialled)
        rv = submit_proof(s);
    if (rv != 0)
        return rv;
    ngtcp2_conn_tls_handshake_completed(s->conn);
    /* The dialler waits until it hears that it is admitted. */
    if (!s->dialled)
        session_is_up(s);
    return 0;
}

int shake_receive(session *s, ngtcp2_encryption_level level, const uint8_t *data, size_t len)
{
    handshake *h = s->shake;
    int at = level == NGTCP2_ENCRYPTION_LEVEL_INITIAL ? INITIAL : HANDSHAKE;
    writer *in;
    size_t need;
    slice message;
    int rv;

    if ((level != NGTCP2_ENCRYPTION_LEVEL_INITIAL && level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE) ||
        !h || h->heard[at]) {
        session_end_now(s, END_ERROR, 0, "more handshake than there is");
        return NGTCP2_ERR_PROTO;
    }
    in = &h->in[at];
    if (in->len + len > QUIC_HANDSHAKE_MAX + 2) {
        session_end_now(s, END_HANDSHAKE, 0, "a handshake message is too long");
        return NGTCP2_ERR_PROTO;
    }
    writer_bytes(in, data, len);
    if (in->failed)
        return NGTCP2_ERR_NOMEM;
    if (in->len < 2)
        return 0;
    need = in->data[0] | (size_t)in->data[1] << 8;
    if (need > QUIC_HANDSHAKE_MAX || in->len > need + 2) {
        session_end_now(s, END_HANDSHAKE, 0, "a handshake message has a wrong length");
        return NGTCP2_ERR_PROTO;
    }
    if (in->len < need + 2)
        return 0;
    h->heard[at]++;
    message = slice_of(in->data + 2, need);
    rv = at == INITIAL ? hear_noise(s, message) : hear_proof(s, message);
    /* session_is_up may have freed h. */
    return rv;
}
