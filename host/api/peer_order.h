/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/peer_order.h: the body of POST /v1/peers: let a node in, and call it. Pure; errors as in
 * api/orders.h.
 */
#ifndef API_PEER_ORDER_H
#define API_PEER_ORDER_H

#include "mesh/address.h"
#include "mesh/mesh.h"

typedef struct peer_order {
    mesh_peer peer; /* without its addresses, which may be names */
    address_text addresses[RECORD_ADDRESSES_MAX];
    unsigned address_count;
} peer_order;

berth_status peer_order_read(peer_order *order, slice body, berth_error *error);

#endif
