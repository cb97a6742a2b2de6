/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/peers.h: the mesh's peers as they are at one moment, for answers that take longer to write
 * than the mesh may be held up. Inside the room only; blocks, so on the pool.
 */
#ifndef API_PEERS_H
#define API_PEERS_H

#include "api/server.h"
#include "mesh/mesh.h"

typedef struct peer_list {
    mesh_peer_view *items; /* without capabilities */
    size_t count, cap;
    bool failed; /* memory was short: some are missing */
} peer_list;

void peer_list_read(peer_list *l, mesh *m);
void peer_list_fini(peer_list *l);

/* "connected", and its like: docs/openapi.yaml. */
const char *peer_state(const mesh_peer_view *v);

/* All round trips of peers that are connected, measured by the sessions, ascending. */
typedef struct peer_sum {
    size_t connected;
    int64_t rtt_min_ns, rtt_median_ns, rtt_max_ns; /* 0: none is measured */
    uint64_t packets_out, packets_lost;
} peer_sum;
void peer_list_sum(const peer_list *l, peer_sum *out);

/* The mesh; NULL: this host has none, and the request is answered with how it would get one. */
mesh *request_mesh(request *r);

/* The members by which GET /v1/mesh and the status describe this node. */
void emit_mesh_members(writer *w, mesh *m, const mesh_counters *c);

#endif
