/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out. Sessions with something to say take turns; each turn is one run of datagrams of
 * one size, which the driver can hand to the kernel in one call. Within a packet the lanes fill it
 * in their order, so what is queued on a later one never goes before.
 */
#include "mesh/quic.h"

#include <stdlib.h>

#define PIECES      32
#define REASON_MAX  64
#define FAREWELL    1200
#define RUN_PACKETS 64 /* the kernel takes no more segments at once */

/* ---- Farewell -------------------------------------------------------------------------------- */

void send_farewell(session *s)
{
    ngtcp2_path_storage where;
    ngtcp2_pkt_info info = {0};
    ngtcp2_ccerr say;
    ngtcp2_ssize n;
    size_t text_len = s->state == SESSION_UP ? strnlen(s->text, REASON_MAX) : 0;
    uint8_t *bytes = malloc(FAREWELL);

    if (!bytes)
        return;
    ngtcp2_ccerr_default(&say);
    if (s->code) {
        ngtcp2_ccerr_set_transport_error(&say, s->code, NULL, 0);
    } else if (s->state != SESSION_UP) {
        /* The library hides application codes here, and strangers get no explanation. */
        ngtcp2_ccerr_set_transport_error(
            &say, s->why == END_REFUSED ? NGTCP2_CONNECTION_REFUSED : NGTCP2_NO_ERROR, NULL, 0);
    } else {
        uint64_t code = CLOSE_ENDED;

        if (s->why == END_REFUSED)
            code = CLOSE_REFUSED;
        else if (s->why == END_REPLACED)
            code = CLOSE_REPLACED;
        else if (s->why == END_EXPIRED)
            code = CLOSE_EXPIRED;
        else if (s->why == END_ERROR)
            code = CLOSE_ERROR;
        ngtcp2_ccerr_set_application_error(&say, code, (const uint8_t *)s->text, text_len);
    }
    ngtcp2_path_storage_zero(&where);
    n = ngtcp2_conn_write_connection_close(s->conn, &where.path, &info, bytes, FAREWELL, &say,
                                           (uint64_t)s->e->now_ns);
    if (n <= 0) {
        free(bytes);
        return;
    }
    wire_exchange(bytes, (size_t)n, NGTCP2_PROTO_VER_V1, WIRE_VERSION);
    s->carry = bytes;
    s->carry_len = (size_t)n;
    s->carry_ecn = 0;
}

/* ---- Packets --------------------------------------------------------------------------------- */

berth_status session_datagram(session *s, const void *bytes, size_t len, int64_t now_ns)
{
    datagram_out *d;

    endpoint_time(s->e, now_ns);
    if (s->state == SESSION_LINGERING || s->ending)
        return BERTH_ERR_CANCELLED;
    if (s->state != SESSION_UP)
        return BERTH_ERR_NOT_READY;
    if (len > session_datagram_max(s))
        return BERTH_ERR_LIMIT;
    if (s->datagram_bytes + len + sizeof *d > QUIC_DATAGRAMS_MAX)
        return BERTH_ERR_WOULD_BLOCK;
    d = malloc(sizeof *d + len);
    if (!d)
        return BERTH_ERR_NO_MEMORY;
    d->next = NULL;
    d->len = len;
    if (len)
        memcpy(d->bytes, bytes, len);
    *s->datagrams_end = d;
    s->datagrams_end = &d->next;
    s->datagram_bytes += len + sizeof *d;
    endpoint_ready(s);
    return BERTH_OK;
}

size_t session_datagram_max(const session *s)
{
    size_t packet;

    if (s->state != SESSION_UP || !s->conn)
        return 0;
    packet = ngtcp2_conn_get_path_max_tx_udp_payload_size(s->conn);
    if (packet > s->peer_max_datagram)
        packet = (size_t)s->peer_max_datagram;
    return packet > QUIC_DATAGRAM_ROOM ? packet - QUIC_DATAGRAM_ROOM : 0;
}

static void drop_datagram(session *s)
{
    datagram_out *d = s->datagrams;

    s->datagrams = d->next;
    if (!s->datagrams)
        s->datagrams_end = &s->datagrams;
    s->datagram_bytes -= d->len + sizeof *d;
    free(d);
}

static bool open_streams(session *s)
{
    for (unsigned l = 0; l < LANE_COUNT; l++) {
        lane which;

        if (ngtcp2_conn_open_uni_stream(s->conn, &s->streams[l], NULL) != 0 ||
            !lane_of_stream(s, s->streams[l], true, &which) || which != (lane)l) {
            session_end_now(s, END_ERROR, 0, "the peer lets no lanes be opened");
            return false;
        }
    }
    s->streams_open = true;
    return true;
}

static lane_out *next_lane(session *s, lane *which)
{
    for (unsigned l = 0; l < LANE_COUNT && s->streams_open; l++) {
        lane_out *out = &s->out[l];

        if (out->written < out->end && !out->blocked) {
            *which = (lane)l;
            return out;
        }
    }
    return NULL;
}

/*
 * One packet, or part of one: NGTCP2_ERR_WRITE_MORE says that it has room left. Every packet that
 * was begun is finished before this session is touched otherwise: the library asserts that.
 */
static ngtcp2_ssize write_some(session *s, ngtcp2_path *path, ngtcp2_pkt_info *info, uint8_t *at,
                               size_t cap, bool *fed)
{
    uint64_t now = (uint64_t)s->e->now_ns;
    ngtcp2_vec pieces[PIECES];
    lane_out *out;
    lane which = LANE_CONTROL;
    ngtcp2_ssize n, taken = -1;

    if (s->state == SESSION_UP && s->datagrams && !*fed) {
        /* No pieces for no bytes: the library asserts that a piece has some. */
        ngtcp2_vec piece = {s->datagrams->bytes, s->datagrams->len};
        int accepted = 0;

        n = ngtcp2_conn_writev_datagram(s->conn, path, info, at, cap, &accepted,
                                        NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, &piece,
                                        piece.len ? 1 : 0, now);
        if (accepted || n == NGTCP2_ERR_INVALID_STATE || n == NGTCP2_ERR_INVALID_ARGUMENT ||
            s->datagrams->len > session_datagram_max(s))
            drop_datagram(s); /* sent, or never to be sent: the path has become narrower */
        else
            *fed = true; /* does not fit behind what is in the packet already */
        if (n == NGTCP2_ERR_INVALID_STATE || n == NGTCP2_ERR_INVALID_ARGUMENT)
            return NGTCP2_ERR_WRITE_MORE;
        return n;
    }
    out = s->state == SESSION_UP ? next_lane(s, &which) : NULL;
    if (!out)
        return ngtcp2_conn_writev_stream(s->conn, path, info, at, cap, NULL,
                                         NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now);
    n = ngtcp2_conn_writev_stream(s->conn, path, info, at, cap, &taken,
                                  NGTCP2_WRITE_STREAM_FLAG_MORE, s->streams[which], pieces,
                                  lane_pieces(out, pieces, PIECES), now);
    if (taken > 0)
        lane_wrote(out, (uint64_t)taken);
    switch (n) {
    case NGTCP2_ERR_STREAM_DATA_BLOCKED:
        out->blocked = true;
        return NGTCP2_ERR_WRITE_MORE;
    case NGTCP2_ERR_STREAM_SHUT_WR:
    case NGTCP2_ERR_STREAM_NOT_FOUND:
        out->blocked = true;
        session_end_now(s, END_ERROR, 0, "the peer wants no more of a lane");
        return NGTCP2_ERR_WRITE_MORE;
    case NGTCP2_ERR_WRITE_MORE:
        if (taken <= 0)
            out->blocked = true;
        return n;
    default:
        return n;
    }
}

static ngtcp2_ssize write_packet(session *s, ngtcp2_path_storage *where, ngtcp2_pkt_info *info,
                                 uint8_t *at, size_t cap)
{
    ngtcp2_ssize n;
    bool fed = false;

    *info = (ngtcp2_pkt_info){0};
    ngtcp2_path_storage_zero(where);
    do
        n = write_some(s, &where->path, info, at, cap, &fed);
    while (n == NGTCP2_ERR_WRITE_MORE);
    return n;
}

/* Keep a packet that belongs to another run than the one being made. */
static void carry(session *s, const uint8_t *bytes, size_t len, uint8_t ecn)
{
    s->carry = malloc(len);
    if (!s->carry)
        return; /* lost, as packets may be */
    memcpy(s->carry, bytes, len);
    s->carry_len = len;
    s->carry_ecn = ecn;
    s->carry_due = true;
}

static void sent(session *s, size_t len)
{
    s->bytes_out += len;
    s->packets_out++;
    s->e->counters.datagrams_out++;
}

static void start_run(outgoing *out, const address *to, const address *local, uint8_t ecn,
                      uint8_t *memory, size_t len, bool dialled)
{
    *out = (outgoing){
        .to = *to, .local = *local, .bytes = memory, .len = len, .segment = len, .ecn = ecn};
    if (dialled)
        out->local.len = 0;
}

/* False: nothing now. *more: this session may have something for another turn. */
static bool write_run(session *s, uint8_t *memory, size_t cap, outgoing *out, bool *more)
{
    size_t limit = cap, quantum;
    ngtcp2_ssize n = 0;

    *more = false;
    *out = (outgoing){0};
    if (s->state == SESSION_UP && !s->streams_open && !open_streams(s))
        return false;
    for (unsigned l = 0; l < LANE_COUNT; l++)
        s->out[l].blocked = false;
    quantum = shim_quantum(s->conn);
    if (quantum < limit)
        limit = quantum;
    for (unsigned packets = 0; packets < RUN_PACKETS; packets++) {
        ngtcp2_path_storage where;
        ngtcp2_pkt_info info;
        size_t room = out->segment ? out->segment : s->e->config.max_packet;

        if (out->len && out->len + room > limit) {
            *more = true;
            break;
        }
        n = write_packet(s, &where, &info, memory + out->len, room);
        if (n <= 0)
            break;
        wire_exchange(memory + out->len, (size_t)n, NGTCP2_PROTO_VER_V1, WIRE_VERSION);
        sent(s, (size_t)n);
        s->unpaced += (size_t)n;
        *more = true;
        if (!out->len) {
            start_run(out, &s->to, &s->local, (uint8_t)info.ecn, memory, (size_t)n, s->dialled);
            continue;
        }
        if (info.ecn != out->ecn) {
            carry(s, memory + out->len, (size_t)n, (uint8_t)info.ecn);
            break;
        }
        out->len += (size_t)n;
        if ((size_t)n < out->segment)
            break;
    }
    if (n < 0 && !s->ending) {
        if (n != NGTCP2_ERR_CLOSING && n != NGTCP2_ERR_DRAINING)
            session_end_now(s, s->state == SESSION_UP ? END_ERROR : END_HANDSHAKE, 0, "%s",
                            ngtcp2_strerror((int)n));
        /* Where the library stands now is not to be relied on. */
        s->silent = true;
    }
    /* The library wants to be called when more may go. A few bytes with nothing behind them are not
     * worth that, and count with those that come next. */
    if (s->unpaced >= QUIC_FIRST || (n != 0 && s->unpaced)) {
        shim_paced(s->conn, s->unpaced, s->e->now_ns, &s->paced_ns);
        s->unpaced = 0;
    }
    return out->len > 0;
}

static bool send_carry(session *s, uint8_t *memory, size_t cap, outgoing *out)
{
    s->carry_due = false;
    if (s->carry_len > cap)
        return false;
    memcpy(memory, s->carry, s->carry_len);
    start_run(out, &s->to, &s->local, s->carry_ecn, memory, s->carry_len, s->dialled);
    if (s->state == SESSION_LINGERING) {
        sent(s, s->carry_len);
        return true;
    }
    free(s->carry);
    s->carry = NULL;
    return true;
}

static bool send_reply(endpoint *e, uint8_t *memory, size_t cap, outgoing *out)
{
    const reply *r = &e->replies[e->reply_first];

    if (r->len > cap)
        return false;
    memcpy(memory, r->bytes, r->len);
    start_run(out, &r->to, &r->local, 0, memory, r->len, false);
    e->reply_first = (e->reply_first + 1) % QUIC_REPLIES;
    e->reply_count--;
    e->counters.datagrams_out++;
    return true;
}

bool endpoint_send(endpoint *e, uint8_t *memory, size_t cap, outgoing *out, int64_t now_ns)
{
    endpoint_time(e, now_ns);
    if (cap < e->config.max_packet)
        return false;
    if (e->reply_count)
        return send_reply(e, memory, cap, out);
    while (e->ready_first) {
        session *s = e->ready_first;
        bool some, more = false;

        endpoint_unready(s);
        if (s->state == SESSION_LINGERING) {
            if (s->carry && s->carry_due && send_carry(s, memory, cap, out))
                return true;
            continue;
        }
        if (s->carry) {
            some = send_carry(s, memory, cap, out);
            more = true;
        } else {
            s->busy++;
            some = write_run(s, memory, cap, out, &more);
            s->busy--;
        }
        if (more && !s->ending)
            endpoint_ready(s);
        session_settle(s);
        if (some)
            return true;
    }
    return false;
}
