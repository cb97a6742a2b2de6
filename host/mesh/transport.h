/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/transport.h: encrypted sessions between nodes, as a machine without input, output or clock.
 *
 * An endpoint is one node's side of all its sessions. Whoever drives it hands in datagrams and the
 * time, sends the datagrams it hands out, and calls it again when its deadline has come; so the
 * same machine runs over real sockets, in a cluster in one process, and in the simulator. It calls
 * back through `transport_events`, from inside the calls that hand something in, and never
 * otherwise.
 *
 * One thread at a time per endpoint. Nothing blocks. Every send is accepted or says why not; what
 * is dropped is counted. All times are monotonic nanoseconds, given by the driver; one that lies
 * before the last counts as the last.
 *
 * From inside a callback everything may be called but endpoint_receive, endpoint_send,
 * endpoint_expire and endpoint_free. A session closed from inside a callback about itself ends when
 * that call into the endpoint returns, otherwise before session_close does.
 *
 * Nothing above this header knows which protocol is below.
 */
#ifndef MESH_TRANSPORT_H
#define MESH_TRANSPORT_H

#include "base/buf.h"
#include "berth/identity.h"
#include "berth/status.h"

#include <netinet/in.h>
#include <stdbool.h>

typedef struct endpoint endpoint;
typedef struct session session;

/*
 * Lanes: reliable, ordered within one, independent of each other. The lower the number, the sooner
 * it is sent: a large transfer on LANE_BULK delays nothing on the others.
 */
typedef enum lane {
    LANE_CONTROL, /* peers, capabilities, membership, directory, acknowledgements */
    LANE_EVENT,   /* events of flows */
    LANE_CALL,    /* requests and replies */
    LANE_BULK,    /* plugins, snapshots */
    LANE_COUNT
} lane;

/* IPv4 and IPv6; len is that of the member that family says. */
typedef struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
    socklen_t len;
} address;

/* Who is at the other end, proven by its signature before anybody is told (docs/wire.md). */
typedef struct peer_identity {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t node_id;
    uint8_t static_key[32]; /* X25519 */
    char name[64];          /* of the pinned key or the certificate */
    int64_t expires_wall_s; /* of the certificate; INT64_MAX: pinned */
} peer_identity;

/* Why a session ended, or was never there. */
typedef enum session_end {
    END_LOCAL,     /* session_close */
    END_PEER,      /* the peer closed it, authenticated */
    END_IDLE,      /* nothing came for idle_ns */
    END_HANDSHAKE, /* no answer, or one that does not verify */
    END_REFUSED,   /* the peer, or we, do not admit the other */
    END_REPLACED,  /* another session with the same peer is used instead */
    END_EXPIRED,   /* its certificate, or its key, ran out or was withdrawn */
    END_ERROR      /* the peer broke the protocol */
} session_end;

typedef struct transport_events {
    void *ctx;
    /* The peer has proven itself and is admitted, and has admitted us; sends are accepted from now
     * on. Also called when an old session is renewed: the old one ends soon as END_REPLACED, and
     * what is sent from now on belongs on the new one. */
    void (*up)(void *ctx, session *s, const peer_identity *peer);
    /* The session is over; s is valid until this returns. text: for the log. Called once, also for
     * a dial that failed; not for one begun by somebody else who never came to be up. */
    void (*down)(void *ctx, session *s, session_end why, const char *text);
    /* A message, whole. Keep it with buf_ref. False: no room now; it is offered again after
     * session_resume, and the peer gets no more credit on this lane until then. */
    bool (*message)(void *ctx, session *s, lane l, buf *message);
    void (*datagram)(void *ctx, session *s, const uint8_t *bytes, size_t len);
    /* A lane on which a send answered WOULD_BLOCK has room again. */
    void (*room)(void *ctx, session *s, lane l);
} transport_events;

/* The decision who is admitted, taken when the other's proof has been verified: OK, or REFUSED with
 * the reason in error. certificate: its encoding, or empty. Fills in name and expires_wall_s. */
typedef berth_status transport_admit(void *ctx, peer_identity *peer, slice certificate,
                                     berth_error *error);

#define PSK_MAX 4

typedef struct endpoint_config {
    const berth_keypair *identity; /* of the node; full; outlives the endpoint */
    uint8_t static_secret[32];     /* X25519 */
    slice realm;               /* id that both sides must have; may be empty; at most 64 bytes */
    slice certificate;         /* of this node, or empty: endpoint_set_certificate */
    uint8_t psks[PSK_MAX][32]; /* the first is used to dial, all are accepted */
    unsigned psk_count;        /* 0: all-zero psk, no filter */
    uint8_t reset_key[32];     /* persistent secret: cookies, stateless resets */
    transport_admit *admit;
    transport_events events;
    void *admit_ctx;
    void (*random)(void *ctx, void *out,
                   size_t len); /* NULL: the system's. The simulator's is seeded */
    void *random_ctx;
    /* Limits; 0: the default in brackets. */
    uint32_t max_sessions;   /* [4096] */
    uint32_t max_handshakes; /* begun by others and not proven yet [256]; from half of it on,
                                cookies are demanded */
    uint64_t max_message;    /* bytes [256 MiB] */
    uint64_t max_queued;     /* bytes accepted and not yet acknowledged, per lane [4 MiB] */
    uint32_t max_packet;     /* bytes of UDP payload [1452]; for loopback and jumbo paths more */
    bool discover_mtu;       /* let packets grow up to max_packet as the path allows */
    int64_t keep_alive_ns;   /* [5 s] */
    int64_t idle_ns;         /* [30 s] */
    int64_t handshake_ns;    /* [5 s] */
    int64_t session_life_ns; /* then it is renewed, make before break [24 h] */
    uint64_t rekey_bytes;    /* [64 GiB] */
    int64_t rekey_ns;        /* [1 h] */
} endpoint_config;

/* INVALID with the reason when the configuration cannot work. */
berth_status endpoint_new(const endpoint_config *config, endpoint **out, berth_error *error);
/* Closes every session without a word on the wire; down is called for each. To say farewell, close
 * them and send what endpoint_send gives first. */
void endpoint_free(endpoint *e);

/* What this node shows in handshakes from now on, or empty; outlives the endpoint, or the next
 * call. Sessions that are up go on. INVALID: longer than any certificate; the one before stays. */
berth_status endpoint_set_certificate(endpoint *e, slice certificate, berth_error *error);

/* ---- Sessions -------------------------------------------------------------------------------- */

/* Begin a session with whoever holds this static key at this address. up or down follows. */
berth_status endpoint_dial(endpoint *e, const address *to, const uint8_t static_key[32],
                           int64_t now_ns, session **out, berth_error *error);

/* Queue a message; takes a reference. OK, WOULD_BLOCK (room follows), LIMIT (larger than
 * max_message), NOT_READY (not up), CANCELLED (over). */
berth_status session_send(session *s, lane l, buf *message, int64_t now_ns);
/* Bytes that may get lost; copied. LIMIT: larger than session_datagram_max; WOULD_BLOCK: too many
 * wait to be sent already. */
berth_status session_datagram(session *s, const void *bytes, size_t len, int64_t now_ns);
size_t session_datagram_max(const session *s);
/* The message that was refused has been dealt with: go on with this lane. */
void session_resume(session *s, lane l, int64_t now_ns);
/* Tell the peer, authenticated, and end. */
void session_close(session *s, session_end why, const char *text, int64_t now_ns);

/* What the layer above remembers with a session. */
void session_set_user(session *s, void *user);
void *session_user(const session *s);
const peer_identity *session_peer(const session *s); /* NULL until up */
bool session_dialled(const session *s);

typedef struct session_info {
    address path; /* the peer's, as of its last authenticated packet */
    int64_t up_since_ns, rtt_ns, rtt_min_ns;
    uint64_t bytes_in, bytes_out, packets_in, packets_out;
    uint64_t packets_lost, congestion_window, in_flight, queued;
    uint32_t packet_size; /* UDP payload in use */
    uint64_t rekeys;
} session_info;
void session_get_info(const session *s, session_info *out);

/* ---- For the driver -------------------------------------------------------------------------- */

/* One datagram has come; local: the address it was sent to. */
void endpoint_receive(endpoint *e, const address *local, const address *from, const uint8_t *bytes,
                      size_t len, uint8_t ecn, int64_t now_ns);

/* A run of datagrams to one address: all segment bytes long but the last, which may be shorter. */
typedef struct outgoing {
    address to, local; /* local.len 0: any */
    uint8_t *bytes;    /* in the memory that the driver gave */
    size_t len, segment;
    uint8_t ecn;
} outgoing;
/* The next run, at most cap bytes; false: nothing is to be sent now. cap is at least max_packet;
 * 64 KiB lets the runs be as long as the kernel takes them. Call it until it is false after
 * anything else was called here. */
bool endpoint_send(endpoint *e, uint8_t *memory, size_t cap, outgoing *out, int64_t now_ns);

/* When to call endpoint_expire next; INT64_MAX: not before something happens. True once
 * endpoint_send has answered false. */
int64_t endpoint_deadline(const endpoint *e);
void endpoint_expire(endpoint *e, int64_t now_ns);

typedef struct endpoint_counters {
    uint64_t sessions, handshakes; /* now: up; begun by others and not proven */
    uint64_t dialled, accepted, handshakes_failed, refused, replaced;
    uint64_t datagrams_in, datagrams_out;
    /* Datagrams that were dropped, by reason. */
    uint64_t dropped_short, dropped_version, dropped_unknown, dropped_filter, dropped_token,
        dropped_full, dropped_invalid;
    uint64_t cookies_sent, resets_sent;
} endpoint_counters;
void endpoint_get_counters(const endpoint *e, endpoint_counters *out);

#endif
