/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/quic.h: what the files of the endpoint on ngtcp2 share. Nobody else includes it.
 *
 *     quic_endpoint.c   configuration, routing of datagrams, timers
 *     quic_accept.c     strangers: filter, cookies, who may begin a session
 *     quic_wire.c       headers of packets before a session is known
 *     quic_session.c    birth, receiving, ending of a session
 *     quic_callbacks.c  what ngtcp2 tells of a session
 *     quic_handshake.c  the Noise messages, proofs and keys in the CRYPTO frames
 *     quic_crypto.c     packet protection for ngtcp2
 *     quic_memory.c     what ngtcp2 allocates
 *     quic_lane.c       messages over streams
 *     quic_send.c       what goes out, in which order
 *
 * ngtcp2 speaks version 1 of QUIC and accepts nothing else, so inside it every header has that
 * version; on the wire it is WIRE_VERSION. The bytes are exchanged where datagrams come in and go
 * out. The associated data of a packet therefore has version 1.
 */
#ifndef MESH_QUIC_H
#define MESH_QUIC_H

#include "base/cursor.h"
#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/noise.h"
#include "mesh/proof.h"
#include "mesh/schedule.h"
#include "mesh/transport.h"

#include "mesh/quic_shim.h"

#define QUIC_CID           8
#define QUIC_FIRST         1200 /* the least size of a datagram with a first packet */
#define QUIC_SMALLEST      21   /* no packet and no stateless reset is shorter */
#define QUIC_LANE_WINDOW   (4u << 20)
#define QUIC_CIDS_MAX      64
#define QUIC_TOKENS_MAX    8
#define QUIC_HANDSHAKE_MAX 8192u /* bytes of one CRYPTO message */
#define QUIC_PARAMS_MAX    512u
#define QUIC_DATAGRAM_ROOM 64u /* what a packet needs besides a datagram in it */
#define QUIC_DATAGRAMS_MAX (256u << 10)
#define QUIC_ITEM_COST     64u /* bookkeeping of a queued message, so that empty ones count too */
#define QUIC_OUT_ITEMS     32u
#define QUIC_TEXT          128

/* Codes of CONNECTION_CLOSE between us. */
enum { CLOSE_ENDED, CLOSE_REFUSED, CLOSE_REPLACED, CLOSE_EXPIRED, CLOSE_ERROR };

/* ---- Lanes ----------------------------------------------------------------------------------- */

typedef struct out_item {
    buf *message;
    uint64_t end; /* offset in the stream after it */
    uint8_t head[4];
} out_item;

typedef struct out_block {
    struct out_block *next;
    unsigned first, count; /* those before first are acknowledged */
    out_item items[QUIC_OUT_ITEMS];
} out_block;

/* Messages from when they are accepted until they are acknowledged: ngtcp2 does not copy. */
typedef struct lane_out {
    out_block *head, *tail;
    out_block *at; /* where writing goes on */
    unsigned at_item;
    uint64_t written, end; /* offsets in the stream */
    uint64_t charged;      /* bytes that count against max_queued */
    bool wants_room, blocked;
} lane_out;

typedef struct lane_in {
    uint8_t head[4];
    unsigned head_len;
    buf *message; /* being put together */
    size_t got, want;
    uint64_t owed; /* credit to give when it has been taken */
    bool refused;  /* it is whole and waits for session_resume */
    writer staged; /* what came behind it; at most a window */
    size_t staged_at;
} lane_in;

typedef struct datagram_out {
    struct datagram_out *next;
    size_t len;
    uint8_t bytes[];
} datagram_out;

/* ---- Sessions -------------------------------------------------------------------------------- */

typedef enum session_state {
    SESSION_SHAKING,
    SESSION_UP,
    SESSION_LINGERING, /* over; answers late packets with the farewell */
} session_state;

/* What is needed until a session is up. */
typedef struct handshake {
    noise n;
    uint8_t responder_static[NOISE_KEY];
    uint8_t to_responder[NOISE_KEY], to_initiator[NOISE_KEY], hash[NOISE_HASH];
    writer in[2];      /* of Initial and Handshake CRYPTO: a message so far */
    unsigned heard[2]; /* messages read, by level */
    uint8_t dcid[QUIC_CID];
    bool confirmed; /* the other has proven itself and is admitted */
} handshake;

/* In front of everything that ngtcp2 allocates. */
typedef struct session_block {
    struct session_block *before, *next;
} session_block;

struct session {
    endpoint *e;
    ngtcp2_mem memory;
    session_block *blocks;
    session *prev, *next; /* of all */
    session *ready_next;
    bool ready;
    heap_node timer;
    ngtcp2_conn *conn; /* NULL when lingering */
    void *user;
    session_state state;
    bool dialled;
    bool listed; /* the one above knows it: down will follow */
    bool streams_open;
    bool retired;  /* a younger one with the same peer is up */
    unsigned busy; /* inside ngtcp2: the end waits until it has returned */
    bool ending;
    bool silent; /* end without a word on the wire */
    session_end why;
    uint64_t code; /* of ngtcp2, for the farewell; 0: from why */
    char text[QUIC_TEXT];
    handshake *shake;
    uint8_t secret_in[32], secret_out[32];
    uint64_t updates; /* of keys: made ready so far */
    /* Where the peer is, as of its newest packet. ngtcp2 does not know: it sees where the session
     * began, for ever. Its own handling of a peer that moves asserts, in 0.12, when the peer comes
     * back too soon, and lets only the dialler move. */
    address to, local;
    address first_to, first_local;
    uint64_t newest; /* packet number, plus one */
    bool fresh;
    uint64_t cids[QUIC_CIDS_MAX];
    unsigned cid_count;
    uint64_t reset_keys[QUIC_TOKENS_MAX];
    uint8_t reset_tokens[QUIC_TOKENS_MAX][16];
    unsigned reset_count;
    peer_identity peer;
    uint8_t remote_static[32];
    int64_t streams[LANE_COUNT];
    lane_out out[LANE_COUNT];
    lane_in in[LANE_COUNT];
    datagram_out *datagrams, **datagrams_end;
    size_t datagram_bytes;
    /* A packet that did not fit into the run it was made for, or the farewell. */
    uint8_t *carry;
    size_t carry_len;
    uint8_t carry_ecn;
    bool carry_due;
    unsigned late, late_next; /* packets after the end; before it, waits of a retired one */
    int64_t born_ns, up_ns, over_ns, rekey_ns, renew_ns, retire_ns;
    int64_t paced_ns;  /* when what was sent has had its time */
    size_t unpaced;    /* bytes sent that are not in it yet */
    uint64_t rekey_at; /* bytes */
    uint64_t bytes_in, bytes_out, packets_in, packets_out, packets_lost;
    uint64_t peer_max_datagram;
    session *heir; /* the dial that is to replace this one */
    session *elder;
};

/* ---- The endpoint ---------------------------------------------------------------------------- */

#define QUIC_REPLY_MAX 160
#define QUIC_REPLIES   64

/* A packet without a session: Retry or stateless reset. */
typedef struct reply {
    address to, local;
    size_t len;
    uint8_t bytes[QUIC_REPLY_MAX];
} reply;

struct endpoint {
    endpoint_config config;
    uint8_t static_public[32];
    uint8_t prologue[SCHEDULE_PROLOGUE_MAX];
    size_t prologue_len;
    uint8_t cookie_key[32], reset_key[32], retry_key[32];
    uint8_t psk_ids[PSK_MAX][4], psk_keys[PSK_MAX][32];
    ngtcp2_callbacks callbacks;
    int64_t now_ns;
    bool closing; /* endpoint_free: no more dials */
    map64 cids, resets;
    session *sessions; /* youngest first */
    uint32_t session_count, handshakes;
    session *ready_first, *ready_last;
    heap timers;
    reply replies[QUIC_REPLIES];
    unsigned reply_first, reply_count;
    int64_t reset_since_ns;
    unsigned resets_since;
    endpoint_counters counters;
    uint8_t *scratch; /* a datagram with long headers, its versions exchanged */
};

/* quic_endpoint.c */
void endpoint_random(endpoint *e, void *out, size_t len);
/* Time never goes back in here. */
int64_t endpoint_time(endpoint *e, int64_t now_ns);
void endpoint_ready(session *s);
void endpoint_unready(session *s);
bool address_valid(const address *a);
bool address_equal(const address *a, const address *b);

/* quic_wire.c */
typedef struct wire_header {
    bool is_long;
    uint8_t type; /* 0 Initial, 1 0-RTT, 2 Handshake, 3 Retry; of a long one */
    uint32_t version;
    const uint8_t *dcid, *scid; /* QUIC_CID bytes; scid of a long one */
    slice token;                /* of an Initial */
} wire_header;

typedef enum wire_verdict { WIRE_OK, WIRE_SHORT, WIRE_VERSION_UNKNOWN, WIRE_INVALID } wire_verdict;
wire_verdict wire_read(wire_header *out, const uint8_t *bytes, size_t len);
/* Exchange the version in every long header of a datagram; returns how many bytes of it are packets
 * of version `from`: what comes after is none of ours. */
size_t wire_exchange(uint8_t *bytes, size_t len, uint32_t from, uint32_t to);

/* quic_accept.c */
void accept_init(endpoint *e);
/* The token of a dial; returns its length, 0 without psk. */
size_t accept_token(const endpoint *e, uint8_t out[64], const uint8_t responder_static[32],
                    const uint8_t dcid[QUIC_CID], const uint8_t scid[QUIC_CID]);
void accept_first(endpoint *e, const wire_header *h, const address *local, const address *from,
                  const uint8_t *bytes, size_t len, uint8_t ecn);
/* A packet for a session that is not here. */
void accept_unknown(endpoint *e, const wire_header *h, const address *local, const address *from,
                    size_t len);
void accept_reset_token(const endpoint *e, uint8_t out[16], const uint8_t cid[QUIC_CID]);

/* quic_session.c */
typedef struct session_start {
    const address *to, *local; /* local: NULL when dialling */
    const uint8_t *responder_static;
    const uint8_t *psk;   /* NULL: none */
    const uint8_t *dcid;  /* accepting: the one the dialler chose for this packet */
    const uint8_t *scid;  /* accepting: the dialler's */
    const uint8_t *odcid; /* accepting after a Retry: the one before it, else NULL */
    slice token;          /* accepting after a Retry */
} session_start;
berth_status session_new(endpoint *e, const session_start *start, session **out,
                         berth_error *error);
void session_receive(session *s, const address *local, const address *from, const uint8_t *bytes,
                     size_t len, uint8_t ecn);
void session_expire(session *s);
/* After anything happened: ends what is to end, then sets timer and readiness. */
void session_settle(session *s);
void session_end_now(session *s, session_end why, uint64_t code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void session_free(session *s);
bool session_add_cid(session *s, const uint8_t cid[QUIC_CID]);
void session_is_up(session *s);

/* quic_handshake.c: all answer an error of ngtcp2, with the reason in the session. */
int shake_begin(session *s);
int shake_initial_keys(session *s, const uint8_t *dcid);
int shake_receive(session *s, ngtcp2_encryption_level level, const uint8_t *data, size_t len);
int shake_next_keys(session *s, ngtcp2_crypto_aead_ctx *in, uint8_t *in_iv,
                    ngtcp2_crypto_aead_ctx *out, uint8_t *out_iv);
void shake_free(handshake *h);
/* What this side promises; server: with what only a server says. */
void shake_params(const session *s, ngtcp2_transport_params *out);

/* quic_callbacks.c */
void session_callbacks(ngtcp2_callbacks *out);

/* quic_memory.c */
void memory_init(session *s);
/* After the connection is deleted. */
void memory_sweep(session *s);

/* quic_crypto.c */
void crypto_callbacks(ngtcp2_callbacks *out);
void crypto_context(ngtcp2_crypto_ctx *out);
bool crypto_aead(ngtcp2_crypto_aead_ctx *out, const uint8_t key[32]);
/* The session learns when a packet opens that is newer than all before (session.fresh). */
void crypto_watch(const ngtcp2_crypto_aead_ctx *ctx, session *s, const uint8_t iv[12]);
bool crypto_hp(ngtcp2_crypto_cipher_ctx *out, const uint8_t key[32]);
void crypto_aead_free(ngtcp2_crypto_aead_ctx *ctx);
void crypto_hp_free(ngtcp2_crypto_cipher_ctx *ctx);
int crypto_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *ctx,
                   const uint8_t *plain, size_t plain_len, const uint8_t *nonce, size_t nonce_len,
                   const uint8_t *ad, size_t ad_len);

/* quic_lane.c */
void lanes_free(session *s);
/* The next bytes to write, at most n pieces; their number. */
size_t lane_pieces(const lane_out *l, ngtcp2_vec *out, size_t n);
void lane_wrote(lane_out *l, uint64_t n);
void lane_acked(session *s, lane l, uint64_t upto);
int lane_feed(session *s, lane l, const uint8_t *data, size_t len);
bool lane_of_stream(const session *s, int64_t stream, bool ours, lane *out);
void lanes_room(session *s);
uint64_t lanes_queued(const session *s);

/* quic_send.c */
void send_farewell(session *s);

#endif
