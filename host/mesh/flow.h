/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/flow.h: events from one daemon to another, each once and in order, wherever the two run.
 *
 * A flow is numbered densely from 1 by its sender, which keeps every event until the host of the
 * receiving daemon says that it is durable there, and sends again until then. So nothing depends on
 * sessions, forwarders or held queues: they may lose what they have. flow_out is one daemon's
 * outbox with all its flows; flow_in is the other end, all flows to one daemon.
 *
 * A flow is named by sender, the sender's incarnation, the receiver, and its life: the sender
 * counts the flows it begins, so a flow that was closed and begun again is another one. Who
 * receives forgets a closed flow altogether; so that a late event of it cannot begin it anew, a
 * flow that is not known begins only with the receiver's generation, a number that every close
 * raises and that a sender learns when its own is refused.
 *
 * Machines: no I/O, no clock (now is monotonic nanoseconds), no threads: one thread at a time per
 * object. What a peer may claim about an origin is mesh/directory.h's question, to be asked before
 * anything is handed in here.
 */
#ifndef MESH_FLOW_H
#define MESH_FLOW_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/status.h"
#include "mesh/message.h"

#define FLOW_FRAME_EVENTS 1024         /* in one frame */
#define FLOW_FRAME_BYTES  (256u << 10) /* but one event of any size fits */
#define FLOW_EVENT_MAX    (17u << 20)  /* the largest event and what travels with it */
#define FLOW_HOPS_MAX     4

typedef struct flow_id {
    uint64_t sender, incarnation, life, receiver;
} flow_id;

static inline bool flow_id_eq(const flow_id *a, const flow_id *b)
{
    return a->sender == b->sender && a->incarnation == b->incarnation && a->life == b->life &&
           a->receiver == b->receiver;
}

/* ---- On the wire ----------------------------------------------------------------------------- */

/* What every message to a receiver begins with. */
typedef struct flow_head {
    flow_id id;
    uint64_t min_epoch; /* of the receiver, as whoever sent or forwarded it knows */
    uint8_t hops;
} flow_head;

/* MESSAGE_FLOW_EVENTS */
typedef struct flow_frame {
    flow_head head;
    uint64_t generation;
    uint64_t oldest; /* that the sender still has */
    uint64_t first;  /* number of the first event here */
    uint32_t count;
    slice events; /* each: length u32, bytes; checked by flow_frame_read */
} flow_frame;

/* MESSAGE_FLOW_CLOSE: the sender sends no more, and has been told that all is durable. */
typedef struct flow_close {
    flow_head head;
} flow_close;

typedef enum flow_answer {
    FLOW_THROUGH = 1, /* durable up to `through`; room for `window` more */
    FLOW_UNKNOWN = 2, /* no such flow here; to begin it takes `generation` */
    FLOW_FULL = 3,    /* no room for one more flow */
    FLOW_CLOSED = 4   /* forgotten, as asked */
} flow_answer;

/* MESSAGE_FLOW_ACK, from the receiver's host to the sender's */
typedef struct flow_ack {
    flow_id id;
    flow_answer answer;
    uint64_t epoch; /* of the receiver, where this comes from */
    uint64_t generation, through;
    uint32_t window;
} flow_ack;

/* Whole messages with their kind. read: CORRUPT or LIMIT, the error naming what is wrong. */
void flow_frame_write(writer *w, const flow_frame *f);
berth_status flow_frame_read(flow_frame *out, slice message, berth_error *error);
void flow_close_write(writer *w, const flow_close *c);
berth_status flow_close_read(flow_close *out, slice message, berth_error *error);
void flow_ack_write(writer *w, const flow_ack *a);
berth_status flow_ack_read(flow_ack *out, slice message, berth_error *error);

/* Send a frame or close on: the same bytes with another epoch and one hop more. */
void flow_forward(writer *w, slice message, uint64_t min_epoch);

/* ---- The sending end ------------------------------------------------------------------------- */

typedef struct flow_out flow_out;

typedef struct flow_out_config {
    /* 0: the default in brackets */
    uint32_t max_flows;    /* [4096] */
    uint32_t max_events;   /* not acknowledged, over all flows [65536] */
    uint64_t max_bytes;    /* the same, bytes [64 MiB] */
    uint32_t window;       /* events sent before the first answer [64] */
    int64_t resend_ns;     /* first wait for an answer, doubled each time [500 ms] */
    int64_t resend_max_ns; /* [30 s] */
} flow_out_config;

/* NULL when memory is short. config may be NULL. */
flow_out *flow_out_new(uint64_t sender, uint64_t incarnation, const flow_out_config *config);
void flow_out_free(flow_out *o);

/* Queue an event; takes a reference. WOULD_BLOCK: full until some are acknowledged. LIMIT: larger
 * than FLOW_EVENT_MAX. *sequence (may be NULL): its number. */
berth_status flow_out_send(flow_out *o, uint64_t receiver, buf *event, uint64_t *sequence);

/* The next message to send; false: nothing now. Appends to w; *receiver says who it is for, and
 * the directory where that is. min_epoch is 0: flow_address sets it. */
bool flow_out_poll(flow_out *o, int64_t now_ns, writer *w, uint64_t *receiver);
/* Set the epoch that the directory knows in a message that flow_out_poll made. */
void flow_address(uint8_t *message, uint64_t min_epoch);

/* The receiver may be elsewhere, or the message could not be sent: send from the first
 * unacknowledged event on, at once or at the next deadline. */
void flow_out_moved(flow_out *o, uint64_t receiver);
void flow_out_unsent(flow_out *o, uint64_t receiver);
/* The way has no room for this message, the last that was polled: the flow hands out nothing until
 * flow_out_room, and then goes on with it. */
void flow_out_stall(flow_out *o, uint64_t receiver, slice message);
void flow_out_room(flow_out *o, uint64_t receiver);

/* Whether so many more events, of so many bytes together, to so many receivers would be taken. */
bool flow_out_fits(const flow_out *o, uint32_t events, uint64_t bytes, uint32_t receivers);
/* The receivers with events that are not acknowledged: start with *at NULL; false at the end. The
 * outbox must not change meanwhile. */
typedef struct flow_waiting {
    const void *at;
    uint64_t receiver;
    uint64_t events;
} flow_waiting;
bool flow_out_next(const flow_out *o, flow_waiting *w);
/* Give up on a receiver: each event that was not acknowledged is shown to lost, and gone. */
void flow_out_drop(flow_out *o, uint64_t receiver, void (*lost)(void *ctx, slice event), void *ctx);

int64_t flow_out_deadline(const flow_out *o); /* INT64_MAX: none */
void flow_out_expire(flow_out *o, int64_t now_ns);

/* An answer that comes from where the directory says that the receiver is. STALE: about another
 * flow, or old; INVALID: acknowledges what was never sent. Both change nothing. */
berth_status flow_out_answer(flow_out *o, const flow_ack *ack, int64_t now_ns);

/*
 * While a journal is replayed: nothing is handed out, sends are not refused for room, and a close
 * forgets what was acknowledged when it was first asked for. What is replayed in part must not be
 * sent: the receiver may have forgotten a flow whose close comes later in the journal.
 */
void flow_out_mute(flow_out *o, bool muted);

/* Close the flow to a receiver. The caller makes its wish durable first. BUSY: not all is
 * acknowledged. NOT_FOUND: there is none. The next send begins another flow. */
berth_status flow_out_close(flow_out *o, uint64_t receiver);

/* Close the flows whose events are all acknowledged and over which nothing was said since then: who
 * receives them forgets them, and there is room for others. How many. */
size_t flow_out_close_idle(flow_out *o, int64_t since_ns);

typedef struct flow_out_stats {
    uint64_t flows, events, bytes; /* now */
    uint64_t sent, resent, acknowledged, refused_answers;
} flow_out_stats;
void flow_out_get_stats(const flow_out *o, flow_out_stats *out);
/* The number of the last event that is acknowledged, 0 without a flow. */
uint64_t flow_out_acknowledged(const flow_out *o, uint64_t receiver);
/* Is something for this receiver not acknowledged? */
bool flow_out_waiting(const flow_out *o, uint64_t receiver);

/* For snapshots: all flows with their unacknowledged events. import into a fresh one of the same
 * sender and incarnation: CORRUPT, LIMIT, NO_MEMORY. */
void flow_out_export(const flow_out *o, writer *w);
berth_status flow_out_import(flow_out *o, slice bytes, berth_error *error);

/* ---- The receiving end ----------------------------------------------------------------------- */

typedef struct flow_in flow_in;

typedef struct flow_in_config {
    uint32_t max_cursors; /* [4096] */
    uint32_t window;      /* events of one flow that wait here, a power of two [256] */
    uint64_t max_bytes;   /* of all that wait [8 MiB]; an event that is alone may be larger */
    uint64_t max_jump;    /* how far a sender may say that it has no events any more [2^32] */
} flow_in_config;

/* What is kept of a flow for as long as it lives; through: applied, as the daemon's state is. */
typedef struct flow_cursor {
    uint64_t sender, incarnation, life, through;
} flow_cursor;

/* generation: at least (incarnation of the daemon) << 32, and any that was exported. */
flow_in *flow_in_new(uint64_t receiver, uint64_t generation, const flow_in_config *config);
void flow_in_free(flow_in *in);

/*
 * Take in a frame; hold owns its bytes (a reference is taken for what waits). direct: it came from
 * the sender's own node. OK, also when all of it was known; STALE: of an older incarnation or life;
 * NOT_FOUND, LIMIT: cannot begin here (an answer says so). What did not fit is sent again.
 */
berth_status flow_in_offer(flow_in *in, const flow_frame *f, buf *hold, bool direct);

typedef struct flow_event {
    flow_id id;
    uint64_t sequence;
    uint64_t lost; /* events before this one that neither end has any more */
    slice bytes;
    buf *hold; /* one reference, the caller's to drop */
} flow_event;

/* The next event to give to the daemon; false: none. Leave them here while it has no room. */
bool flow_in_next(flow_in *in, flow_event *out);

/* The daemon's state contains the flow through this number; and it is as durable as its level asks,
 * so that it may be acknowledged. Both in order; numbers of a flow that is gone are ignored. */
void flow_in_applied(flow_in *in, const flow_id *id, uint64_t through);
void flow_in_durable(flow_in *in, const flow_id *id, uint64_t through);

/* OK: make it durable that the flow is closed, then call flow_in_closed. Else the answer is given
 * already. BUSY: not all that is here is applied yet; it will be asked for again. */
berth_status flow_in_close(flow_in *in, const flow_close *c);
void flow_in_closed(flow_in *in, const flow_id *id);

/* The sender's key has signed a presence with this incarnation: is there a cursor of an older one,
 * for which nobody will ever ask again? Then it is closed in the same way. */
bool flow_in_outlived(const flow_in *in, uint64_t sender, uint64_t incarnation, flow_id *out);

/* The next answer to send to the sender's node; epoch is the caller's to set. */
bool flow_in_answer(flow_in *in, flow_ack *out);

typedef struct flow_in_stats {
    uint64_t cursors, waiting, waiting_bytes; /* now */
    uint64_t taken, repeated, stale, beyond_window, no_room, lost, unknown, table_full;
} flow_in_stats;
void flow_in_get_stats(const flow_in *in, flow_in_stats *out);

/* Snapshots and the journal. export returns how many there are, and writes at most cap. import
 * raises or sets one cursor: LIMIT when the table is full. */
size_t flow_in_export(const flow_in *in, flow_cursor *out, size_t cap);
berth_status flow_in_import(flow_in *in, const flow_cursor *c);
uint64_t flow_in_generation(const flow_in *in);

/* A cursor as a source of chain/container.h and daemon/batch.h ("flow/SENDER/INCARNATION/LIFE", in
 * hexadecimal), and back; false: not a flow's. */
#define FLOW_SOURCE 65
void flow_cursor_source(char out[FLOW_SOURCE], const flow_cursor *c);
bool flow_cursor_parse(flow_cursor *out, slice source, uint64_t sequence);

#endif
