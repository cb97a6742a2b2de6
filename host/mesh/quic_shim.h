/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/quic_shim.h: ngtcp2 0.12 and 1.x under one set of names, those of 1.x where they differ.
 *
 * Only quic*.c may include it. What 0.12 asserts and 1.x checks is written down where it is called.
 */
#ifndef MESH_QUIC_SHIM_H
#define MESH_QUIC_SHIM_H

#include <ngtcp2/ngtcp2.h>

#if NGTCP2_VERSION_NUM < 0x010000

typedef ngtcp2_crypto_level ngtcp2_encryption_level;
typedef ngtcp2_connection_close_error ngtcp2_ccerr;
typedef int shim_cid_status;

#define NGTCP2_ENCRYPTION_LEVEL_INITIAL   NGTCP2_CRYPTO_LEVEL_INITIAL
#define NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE NGTCP2_CRYPTO_LEVEL_HANDSHAKE

#define NGTCP2_CCERR_TYPE_APPLICATION NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION

#define ngtcp2_ccerr_default                ngtcp2_connection_close_error_default
#define ngtcp2_ccerr_set_transport_error    ngtcp2_connection_close_error_set_transport_error
#define ngtcp2_ccerr_set_liberr             ngtcp2_connection_close_error_set_transport_error_liberr
#define ngtcp2_ccerr_set_application_error  ngtcp2_connection_close_error_set_application_error
#define ngtcp2_conn_tls_handshake_completed ngtcp2_conn_handshake_completed

static inline void shim_close_reason(ngtcp2_conn *conn, ngtcp2_ccerr *out)
{
    ngtcp2_conn_get_connection_close_error(conn, out);
}

static inline ngtcp2_ssize shim_params_encode(uint8_t *out, size_t cap, bool server,
                                              const ngtcp2_transport_params *params)
{
    return ngtcp2_encode_transport_params(out, cap,
                                          server ? NGTCP2_TRANSPORT_PARAMS_TYPE_ENCRYPTED_EXTENSIONS
                                                 : NGTCP2_TRANSPORT_PARAMS_TYPE_CLIENT_HELLO,
                                          params);
}

/* server: who wrote them. */
static inline int shim_params_decode(ngtcp2_transport_params *out, bool server, const uint8_t *data,
                                     size_t len)
{
    return ngtcp2_decode_transport_params(out,
                                          server ? NGTCP2_TRANSPORT_PARAMS_TYPE_ENCRYPTED_EXTENSIONS
                                                 : NGTCP2_TRANSPORT_PARAMS_TYPE_CLIENT_HELLO,
                                          data, len);
}

static inline int shim_params_install(ngtcp2_conn *conn, const uint8_t *data, size_t len)
{
    return ngtcp2_conn_decode_remote_transport_params(conn, data, len);
}

static inline void shim_params_original(ngtcp2_transport_params *params, const ngtcp2_cid *dcid)
{
    params->original_dcid = *dcid;
}

static inline void shim_params_initial(ngtcp2_transport_params *params, const ngtcp2_cid *scid)
{
    params->initial_scid = *scid;
}

static inline bool shim_params_preferred(const ngtcp2_transport_params *params)
{
    return params->preferred_address_present;
}

static inline void shim_settings_token(ngtcp2_settings *settings, const uint8_t *token, size_t len)
{
    settings->token.base = (uint8_t *)(uintptr_t)token;
    settings->token.len = len;
}

static inline slice shim_header_token(const ngtcp2_pkt_hd *header)
{
    return slice_of(header->token.base, header->token.len);
}

static inline void shim_rates(ngtcp2_conn *conn, uint64_t *rtt, uint64_t *rtt_min, uint64_t *window,
                              uint64_t *in_flight)
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(conn, &stat);
    *rtt = stat.smoothed_rtt;
    *rtt_min = stat.min_rtt;
    *window = stat.cwnd;
    *in_flight = stat.bytes_in_flight;
}

#define SHIM_CC_BBR NGTCP2_CC_ALGO_BBR2

static inline double shim_rate(ngtcp2_conn *conn) /* bytes a nanosecond */
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(conn, &stat);
    return stat.pacing_rate > 0 ? stat.pacing_rate
                                : 1.25 * (double)stat.cwnd / (double)stat.smoothed_rtt;
}

/* How many bytes may go at once. The library halts after what goes in the shortest round trip, even
 * where a millisecond's worth may follow at once. */
static inline size_t shim_quantum(ngtcp2_conn *conn)
{
    ngtcp2_conn_stat stat;
    double more = shim_rate(conn) * NGTCP2_MILLISECONDS;
    size_t quantum;

    ngtcp2_conn_get_conn_stat(conn, &stat);
    quantum = more < 65536 ? (size_t)more : 65536;
    if (quantum > stat.cwnd / 3)
        quantum = stat.cwnd / 3;
    return quantum > stat.send_quantum ? quantum : stat.send_quantum;
}

/*
 * So many bytes were written: when may the next ones go? *next_ns is what the call before said.
 *
 * The library lets packets go up to a millisecond early, for timers are no better, and forgets that
 * they were: at 100 Mbit/s it sends several times too fast. Here what went early counts.
 */
static inline void shim_paced(ngtcp2_conn *conn, size_t bytes, int64_t now_ns, int64_t *next_ns)
{
    if (*next_ns < now_ns)
        *next_ns = now_ns;
    ngtcp2_conn_update_pkt_tx_time(conn, (uint64_t)*next_ns);
    *next_ns += (int64_t)((double)bytes / shim_rate(conn));
}

#else /* 1.x */

typedef ngtcp2_connection_id_status_type shim_cid_status;

#define SHIM_CC_BBR NGTCP2_CC_ALGO_BBR

static inline size_t shim_quantum(ngtcp2_conn *conn)
{
    return ngtcp2_conn_get_send_quantum(conn);
}

static inline void shim_paced(ngtcp2_conn *conn, size_t bytes, int64_t now_ns, int64_t *next_ns)
{
    (void)bytes;
    ngtcp2_conn_update_pkt_tx_time(conn, (uint64_t)now_ns);
    *next_ns = now_ns;
}

static inline void shim_close_reason(ngtcp2_conn *conn, ngtcp2_ccerr *out)
{
    *out = *ngtcp2_conn_get_ccerr(conn);
}

static inline ngtcp2_ssize shim_params_encode(uint8_t *out, size_t cap, bool server,
                                              const ngtcp2_transport_params *params)
{
    (void)server;
    return ngtcp2_transport_params_encode(out, cap, params);
}

static inline int shim_params_decode(ngtcp2_transport_params *out, bool server, const uint8_t *data,
                                     size_t len)
{
    (void)server;
    return ngtcp2_transport_params_decode(out, data, len);
}

static inline int shim_params_install(ngtcp2_conn *conn, const uint8_t *data, size_t len)
{
    return ngtcp2_conn_decode_and_set_remote_transport_params(conn, data, len);
}

static inline void shim_params_original(ngtcp2_transport_params *params, const ngtcp2_cid *dcid)
{
    params->original_dcid = *dcid;
    params->original_dcid_present = 1;
}

static inline void shim_params_initial(ngtcp2_transport_params *params, const ngtcp2_cid *scid)
{
    params->initial_scid = *scid;
    params->initial_scid_present = 1;
}

static inline bool shim_params_preferred(const ngtcp2_transport_params *params)
{
    return params->preferred_addr_present;
}

static inline void shim_settings_token(ngtcp2_settings *settings, const uint8_t *token, size_t len)
{
    settings->token = token;
    settings->tokenlen = len;
}

static inline slice shim_header_token(const ngtcp2_pkt_hd *header)
{
    return slice_of(header->token, header->tokenlen);
}

static inline void shim_rates(ngtcp2_conn *conn, uint64_t *rtt, uint64_t *rtt_min, uint64_t *window,
                              uint64_t *in_flight)
{
    ngtcp2_conn_info info;

    ngtcp2_conn_get_conn_info(conn, &info);
    *rtt = info.smoothed_rtt;
    *rtt_min = info.min_rtt;
    *window = info.cwnd;
    *in_flight = info.bytes_in_flight;
}

#endif
#endif
