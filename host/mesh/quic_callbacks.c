/* SPDX-License-Identifier: Apache-2.0 */
/* What ngtcp2 tells of a session. All of this runs inside it: nothing here ends a session or asks
 * the library to write. */
#include "mesh/quic.h"

/* The reason is in the session; the library is to stop with this packet. */
static int refuse(void)
{
    return NGTCP2_ERR_CALLBACK_FAILURE;
}

static int client_initial(ngtcp2_conn *conn, void *user)
{
    (void)conn;
    return shake_begin(user);
}

static int recv_client_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid, void *user)
{
    session *s = user;

    (void)conn;
    if (dcid->datalen != QUIC_CID || !s->shake)
        return refuse();
    return shake_initial_keys(s, dcid->data);
}

static int recv_retry(ngtcp2_conn *conn, const ngtcp2_pkt_hd *header, void *user)
{
    session *s = user;

    (void)conn;
    if (header->scid.datalen != QUIC_CID || !s->shake)
        return refuse();
    return shake_initial_keys(s, header->scid.data);
}

static int recv_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                            const uint8_t *data, size_t len, void *user)
{
    (void)conn;
    (void)offset;
    return shake_receive(user, level, data, len);
}

static int handshake_confirmed(ngtcp2_conn *conn, void *user)
{
    (void)conn;
    session_is_up(user);
    return 0;
}

static void rand_bytes(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
    endpoint_random(ctx->native_handle, dest, len);
}

static int challenge(ngtcp2_conn *conn, uint8_t *data, void *user)
{
    session *s = user;

    (void)conn;
    endpoint_random(s->e, data, NGTCP2_PATH_CHALLENGE_DATALEN);
    return 0;
}

static int new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user)
{
    session *s = user;
    uint8_t bytes[QUIC_CID];

    (void)conn;
    (void)len;
    endpoint_random(s->e, bytes, sizeof bytes);
    if (!session_add_cid(s, bytes))
        return refuse();
    ngtcp2_cid_init(cid, bytes, sizeof bytes);
    accept_reset_token(s->e, token, bytes);
    return 0;
}

static int remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user)
{
    session *s = user;

    (void)conn;
    for (unsigned i = 0; i < s->cid_count && cid->datalen == QUIC_CID; i++) {
        if (memcmp(&s->cids[i], cid->data, QUIC_CID) != 0)
            continue;
        map64_del(&s->e->cids, load_u64(cid->data));
        s->cids[i] = s->cids[--s->cid_count];
        break;
    }
    return 0;
}

/* The peer's reset tokens: a packet that ends with one says that the peer has lost the session. */
static int cid_status(ngtcp2_conn *conn, shim_cid_status type, uint64_t seq, const ngtcp2_cid *cid,
                      const uint8_t *token, void *user)
{
    session *s = user;
    uint64_t key;
    void *incumbent;

    (void)conn;
    (void)seq;
    (void)cid;
    if (!token)
        return 0;
    key = load_u64(token);
    if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE) {
        if (s->reset_count < QUIC_TOKENS_MAX && map64_add(&s->e->resets, key, s, &incumbent)) {
            memcpy(s->reset_tokens[s->reset_count], token, sizeof s->reset_tokens[0]);
            s->reset_keys[s->reset_count++] = key;
        }
        return 0;
    }
    for (unsigned i = 0; i < s->reset_count; i++) {
        if (s->reset_keys[i] != key)
            continue;
        map64_del(&s->e->resets, key);
        s->reset_count--;
        s->reset_keys[i] = s->reset_keys[s->reset_count];
        memcpy(s->reset_tokens[i], s->reset_tokens[s->reset_count], sizeof s->reset_tokens[0]);
        break;
    }
    return 0;
}

static int update_key(ngtcp2_conn *conn, uint8_t *in_secret, uint8_t *out_secret,
                      ngtcp2_crypto_aead_ctx *in, uint8_t *in_iv, ngtcp2_crypto_aead_ctx *out,
                      uint8_t *out_iv, const uint8_t *in_now, const uint8_t *out_now, size_t len,
                      void *user)
{
    (void)conn;
    (void)in_now;
    (void)out_now;
    /* The secrets are kept in the session, where they are wiped. */
    memset(in_secret, 0, len);
    memset(out_secret, 0, len);
    return shake_next_keys(user, in, in_iv, out, out_iv);
}

static int recv_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                            const uint8_t *data, size_t len, void *user, void *stream_user)
{
    session *s = user;
    lane l;

    (void)conn;
    (void)offset;
    (void)stream_user;
    /* Whoever sends on a lane has admitted us, even if the word of it is still under way. */
    session_is_up(s);
    if (s->state != SESSION_UP || s->ending)
        return s->ending ? 0 : refuse();
    if (!lane_of_stream(s, stream, false, &l)) {
        session_end_now(s, END_ERROR, 0, "the peer uses a stream that is no lane");
        return refuse();
    }
    if (flags & NGTCP2_STREAM_DATA_FLAG_FIN) {
        session_end_now(s, END_ERROR, 0, "the peer closed a lane");
        return refuse();
    }
    return lane_feed(s, l, data, len);
}

static int acked_stream_data(ngtcp2_conn *conn, int64_t stream, uint64_t offset, uint64_t len,
                             void *user, void *stream_user)
{
    session *s = user;
    lane l;

    (void)conn;
    (void)stream_user;
    if (lane_of_stream(s, stream, true, &l))
        lane_acked(s, l, offset + len);
    return 0;
}

static int stream_reset(ngtcp2_conn *conn, int64_t stream, uint64_t final_size, uint64_t code,
                        void *user, void *stream_user)
{
    (void)conn;
    (void)stream;
    (void)final_size;
    (void)code;
    (void)stream_user;
    session_end_now(user, END_ERROR, 0, "the peer reset a lane");
    return refuse();
}

static int stop_sending(ngtcp2_conn *conn, int64_t stream, uint64_t code, void *user,
                        void *stream_user)
{
    (void)conn;
    (void)stream;
    (void)code;
    (void)stream_user;
    session_end_now(user, END_ERROR, 0, "the peer wants no more of a lane");
    return refuse();
}

static int recv_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                         void *user)
{
    session *s = user;
    const transport_events *events = &s->e->config.events;

    (void)conn;
    (void)flags;
    session_is_up(s);
    if (s->state == SESSION_UP && !s->ending && events->datagram)
        events->datagram(events->ctx, s, data, len);
    return 0;
}

void session_callbacks(ngtcp2_callbacks *out)
{
    *out = (ngtcp2_callbacks){
        .client_initial = client_initial,
        .recv_client_initial = recv_client_initial,
        .recv_crypto_data = recv_crypto_data,
        .recv_stream_data = recv_stream_data,
        .acked_stream_data_offset = acked_stream_data,
        .recv_retry = recv_retry,
        .rand = rand_bytes,
        .get_new_connection_id = new_cid,
        .remove_connection_id = remove_cid,
        .update_key = update_key,
        .stream_reset = stream_reset,
        .stream_stop_sending = stop_sending,
        .dcid_status = cid_status,
        .handshake_confirmed = handshake_confirmed,
        .recv_datagram = recv_datagram,
        .get_path_challenge_data = challenge,
    };
    crypto_callbacks(out);
}
