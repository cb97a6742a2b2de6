/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/udp_private.h: what udp.c, udp_in.c and udp_out.c share. Nobody else includes it. */
#ifndef MESH_UDP_PRIVATE_H
#define MESH_UDP_PRIVATE_H

#include "mesh/udp.h"

#define UDP_BATCH    16    /* buffers in a call */
#define UDP_PIECES   64    /* datagrams in a call, and segments in a buffer: the kernel's bound */
#define UDP_ENOUGH   16384 /* bytes in runs that are not kept back for others to join them */
#define UDP_ROUNDS   4     /* calls in a row before others on the loop have their turn */
#define UDP_BUFFER   65536 /* of any datagram, and of several glued together */
#define UDP_RUN_MAX  65487 /* of payload in one buffer for the kernel: IPv6 with its header */
#define UDP_CMSG_MAX 128

struct udp_scratch {
    unsigned refs;
    uint8_t in[UDP_BATCH][UDP_BUFFER], out[UDP_BATCH][UDP_BUFFER];
};

/* A run that the socket did not take. */
typedef struct udp_waiting {
    struct udp_waiting *next;
    outgoing run; /* bytes: those below */
    uint8_t bytes[];
} udp_waiting;

struct udp {
    udp_config config;
    udp_scratch *scratch;
    uv_poll_t poll;
    int fd;
    address bound;
    bool v6, wildcard, closing;
    int watching; /* uv_poll events */
    unsigned features;
    udp_waiting *waiting, **waiting_end;
    void (*closed)(void *ctx);
    void *closed_ctx;
    udp_counters counters;
};

void udp_read(udp *u);
void udp_write(udp *u);
/* Whether udp_write is to be called when the socket takes more. */
void udp_want_room(udp *u, bool want);
void udp_waiting_free(udp *u);
/* The kernel turned out not to have it. */
void udp_give_up(udp *u, unsigned feature);

#endif
