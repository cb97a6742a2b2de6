/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/event_wire.h: an event of a daemon as it travels in a flow (docs/wire.md, Events).
 *
 *   type u8 (2 message, 4 reply: BERTH_EVENT_*), flags u8 (EVENT_WIRE_*), then, where they apply,
 *   reply      request u64, status i32
 *   ASKS       request u64, incarnation u64 of the sender: where an answer goes
 *   CHANNEL    name (u8 length)
 *   LINKED     causal link, 32 bytes; its origin is the sender's
 *   payload, to the end
 *
 * Link and payload stand together, so that they are kept and verified as one piece. Pure functions;
 * any thread.
 */
#ifndef MESH_EVENT_WIRE_H
#define MESH_EVENT_WIRE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/abi.h"
#include "berth/status.h"

enum {
    EVENT_WIRE_MORE = 1, /* a reply that is not the last */
    EVENT_WIRE_ASKS = 2, /* the sender waits for an answer */
    EVENT_WIRE_CHANNEL = 4,
    EVENT_WIRE_LINKED = 8
};

#define EVENT_WIRE_LINK 32
/* The most that stands before a payload. */
#define EVENT_WIRE_HEAD (2 + 16 + 1 + 255 + EVENT_WIRE_LINK)

typedef struct wire_event {
    uint16_t type;
    bool more, asks, linked;
    uint64_t request;     /* of a reply; with asks: of the sender */
    uint64_t incarnation; /* with asks */
    int32_t status;       /* of a reply */
    slice channel;        /* empty: sent to the daemon itself */
    const uint8_t *link;  /* with linked */
    uint64_t sequence;    /* of the link */
    slice payload;        /* with linked: directly behind the link */
} wire_event;

/* As it is to travel, from what a daemon's runner hands out: event->data lies in hold, behind
 * its link if event->sequence is not 0. NULL: out of memory. */
buf *event_wire_make(const berth_event *event);

/* sender: the origin that the flow is of. CORRUPT, naming what is wrong; slices point into bytes.
 */
berth_status event_wire_read(wire_event *out, slice bytes, uint64_t sender, berth_error *error);

#endif
