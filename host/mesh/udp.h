/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/udp.h: datagrams in and out of a socket, on a libuv loop, as many to a system call as the
 * kernel takes.
 *
 * The socket is watched with uv_poll, because uv_udp shows neither the local address nor ECN of
 * what came, nor can it hand the kernel one large buffer to cut up (UDP_SEGMENT) or take one that
 * was glued together (UDP_GRO). What the kernel lacks is found out when the socket is opened, or at
 * the first call that fails for it; the same bytes then travel in more calls.
 *
 * All calls and call-backs are on the loop's thread; nothing blocks. Any number of sockets may
 * share a loop: each does a bounded piece of work at a time. Every datagram that is dropped here is
 * counted with its reason.
 */
#ifndef MESH_UDP_H
#define MESH_UDP_H

#include "mesh/transport.h"

#include <uv.h>

typedef struct udp udp;

enum {
    UDP_CAN_RECVMMSG = 1 << 0,
    UDP_CAN_SENDMMSG = 1 << 1,
    UDP_CAN_GSO = 1 << 2,
    UDP_CAN_GRO = 1 << 3,
    UDP_CAN_ECN = 1 << 4,
    UDP_CAN_PKTINFO = 1 << 5, /* knows and chooses the local address */
    UDP_CAN_ALL = (1 << 6) - 1
};

/* Memory for the batches of all sockets of a loop: some 2 MiB. */
typedef struct udp_scratch udp_scratch;
udp_scratch *udp_scratch_new(void);
void udp_scratch_unref(udp_scratch *s);

typedef struct udp_config {
    uv_loop_t *loop;
    address bind;         /* port 0: any. An IPv6 socket takes IPv6 only */
    unsigned without;     /* what is not to be used even if the kernel has it */
    size_t buffer;        /* of the kernel, each way; it may give less [4 MiB] */
    udp_scratch *scratch; /* shared, or NULL: its own */
    /* One datagram; bytes are valid until it returns. May call udp_send and udp_close. */
    void (*receive)(void *ctx, const address *local, const address *from, const uint8_t *bytes,
                    size_t len, uint8_t ecn);
    /* All that had come has been given, for now. May be NULL. */
    void (*received)(void *ctx);
    /* The next run, as endpoint_send; false: nothing more. */
    bool (*next)(void *ctx, uint8_t *memory, size_t cap, outgoing *out);
    void *ctx;
} udp_config;

/* IO, PERMISSION, INVALID with the address in error. */
berth_status udp_open(const udp_config *config, udp **out, berth_error *error);
/* No call-back follows, but `closed` (may be NULL), when the memory is gone. */
void udp_close(udp *u, void (*closed)(void *ctx), void *ctx);
/* The address that it is bound to, with its port. */
const address *udp_address(const udp *u);

/* Ask `next` for runs and send them, until there is none, the socket is full, or it is another's
 * turn; in the last two cases it goes on by itself. Not from inside `next`. */
void udp_send(udp *u);

/* While held nothing is received, nor sent but by udp_send; what comes waits in the kernel. */
void udp_hold(udp *u, bool hold);

/* The features in use. */
unsigned udp_features(const udp *u);

typedef struct udp_counters {
    uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
    uint64_t calls_in, calls_out; /* system calls */
    uint64_t full;                /* the socket took no more; sent later */
    uint64_t fallbacks;           /* features given up since it was opened */
    /* Datagrams that were dropped, by reason. Those sent are the transport's to repeat. */
    uint64_t dropped_in_truncated, dropped_in_empty, dropped_in_source;
    uint64_t dropped_out_size, dropped_out_unreachable, dropped_out_buffers, dropped_out_refused,
        dropped_out_memory, dropped_out_invalid;
    uint64_t errors_in; /* told by the kernel; the next call went on */
} udp_counters;
void udp_get_counters(const udp *u, udp_counters *out);

#endif
