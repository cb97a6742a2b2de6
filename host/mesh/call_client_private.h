/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/call_client_private.h: what call_client*.c share. */
#ifndef MESH_CALL_CLIENT_PRIVATE_H
#define MESH_CALL_CLIENT_PRIVATE_H

#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/call.h"
#include "mesh/call_list.h"

typedef struct peer peer;

typedef struct call {
    heap_node timer;
    call_link link;
    peer *peer; /* NULL: waits for call_redirect, and is in no list */
    uint64_t id, node;
    uint64_t number; /* 0: the node has not been asked */
    int64_t deadline_ns;
    buf *message;
    uint64_t origin, min_epoch;
    slice service;      /* in message */
    bool has_source;    /* repeats are harmless */
    bool ran_elsewhere; /* maybe, on a node that is not asked any more, or before its restart */
    unsigned anew;
    void *user;
} call;

/* Numbers that a node is to be told. */
typedef struct notices {
    uint64_t *numbers;
    uint32_t count, cap;
} notices;

/* A node that is asked, or is to be told something. */
struct peer {
    heap_node timer; /* for acknowledgements that are being gathered */
    uint64_t node, next_number;
    bool blocked;
    /* By number, those that have none last: all of `sent` come before all of `waiting`. */
    call_link sent, waiting;
    notices acks, cancels;
};

struct call_client {
    call_client_config config;
    uint64_t boot, highest; /* highest: number used so far, to whichever node */
    map64 calls, peers;
    heap deadlines, gathering;
    const call *beginning; /* its end is told by call_begin itself */
    berth_status not_begun;
    call_client_stats stats;
};

/* ---- call_client_send.c: nodes, and what they are told --------------------------------------- */

/* The record of a node, a new one where there is none; NULL when memory is short. */
peer *call_peer(call_client *c, uint64_t node);
/* Forget the node if nothing is left to be said to it. */
void call_peer_done(call_client *c, peer *p);
/* It knows nothing of acknowledgements and cancels, or never will. */
void call_peer_silence(call_client *c, peer *p);
void call_enqueue(call *k, peer *p);
/* Tell the node all that it is to be told, and asked, as far as there is room. p may be gone
 * afterwards. */
void call_flush(call_client *c, peer *p, int64_t now_ns);
void call_flush_node(call_client *c, uint64_t node, int64_t now_ns);
/* Nobody waits for the node's answer any more. */
void call_withdraw(call_client *c, call *k);
/* The node's answer has come: it is told so, soon. */
void call_acknowledge(call_client *c, uint64_t node, uint64_t number, int64_t now_ns);

/* The call is over; the outcome's id and node are filled in. */
void call_finish(call_client *c, call *k, call_outcome outcome);
/* The same without an answer. */
void call_finish_as(call_client *c, call *k, berth_status status, const char *text);

static inline bool call_may_have_run(const call *k)
{
    return k->ran_elsewhere || k->number;
}

#endif
