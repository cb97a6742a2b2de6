/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/call.h: requests to daemons of other nodes, and the answers: each call ends once, and is
 * executed once at most.
 *
 * The caller's side asks again whenever there is a new session, because it cannot know what became
 * of what it said on the last one. So the other side remembers: it numbers nothing itself, but
 * every request carries the caller's boot and a number that rises, and the lowest number that is
 * still open. What is running is not begun again; what was answered is answered again, until the
 * caller acknowledges it; of all else only is kept that it is over (mesh/call_numbers.h). Who asks
 * for that gets OUTCOME_UNKNOWN, never a second execution. Memory so goes with the calls that are
 * open, and a copy of a request may come as late as it likes.
 *
 * Where the other side has lost its memory, which its new boot shows, a call that may have been
 * executed ends with OUTCOME_UNKNOWN, unless it has a source: then the daemon itself knows what it
 * has applied, and the call is sent again.
 *
 * Machines: no I/O, no clock (now is monotonic nanoseconds), no threads: one thread at a time per
 * object; nothing blocks. They call out from inside of the calls below, and must not be called back
 * from there. Everything between them travels on LANE_CALL.
 */
#ifndef MESH_CALL_H
#define MESH_CALL_H

#include "mesh/call_wire.h"
#include "mesh/transport.h"

/*
 * Queue a message for a node; it takes a reference of its own. OK; WOULD_BLOCK: call_*_room
 * follows; NOT_READY, CANCELLED: no session, call_*_up may follow; else it can never be sent.
 */
typedef berth_status call_send(void *ctx, uint64_t node, lane l, buf *message);

/* ---- The caller's side ----------------------------------------------------------------------- */

typedef struct call_client call_client;

/*
 * How a call ended. status:
 *   OK, REJECTED, BROKEN, INTERNAL, DUPLICATE, LIMIT, LOST   as the node answered
 *   LOST             no session with the node until the deadline, or nobody knows another node
 *   NOT_FOUND        the node does not serve the name, or does not have the daemon
 *   REFUSED, WOULD_BLOCK, CORRUPT   the node did not execute it: policy, no room, not understood
 *   TIMEOUT, CANCELLED
 *   OUTCOME_UNKNOWN  it may have been executed, and nobody knows any more
 */
typedef struct call_outcome {
    uint64_t id, node;
    berth_status status;
    bool may_have_run;
    slice text;                /* for people; never empty */
    const call_result *result; /* of an answer, else NULL; lives during the callback, */
    buf *hold;                 /* its slices as long as this: buf_ref to keep them */
} call_outcome;

/* The target is not where it was asked for, and nothing was executed there; or the node is gone for
 * good, and what it did of a call with a source does not matter. */
typedef struct call_moved {
    uint64_t id, node;
    bool gone;          /* the node; else it has answered */
    call_status status; /* NOT_HERE, UNKNOWN_SERVICE; LOST when gone */
    bool is_service;
    uint64_t origin, min_epoch; /* as was asked */
    slice service;
} call_moved;

typedef struct call_client_config {
    void *ctx;
    call_send *send;
    /* Exactly once for each call that was begun, but those that call_client_free finds. */
    void (*done)(void *ctx, void *user, const call_outcome *outcome);
    /* True: call_redirect will follow, or the deadline. False, or NULL: the call ends now. */
    bool (*moved)(void *ctx, void *user, const call_moved *moved);
    void (*random)(void *ctx, void *out, size_t len); /* NULL: the system's */
    /* 0: the default in brackets. */
    uint32_t max_calls; /* [16384] */
    uint64_t max_bytes; /* of their requests [256 MiB] */
    int64_t ack_ns;     /* acknowledgements are gathered so long [10 ms] */
} call_client_config;

typedef struct call_spec {
    uint64_t node;   /* who is asked */
    slice service;   /* a name, or empty: */
    uint64_t origin; /* a daemon */
    uint64_t min_epoch;
    const slice *events; /* 1 to CALL_EVENTS_MAX; copied, with all the rest */
    uint32_t count;
    int64_t deadline_ns; /* from now; above 0, at most CALL_DEADLINE_MAX */
    bool want_outputs;
    slice source; /* empty, or what the daemon knows repeats by, at most CALL_SOURCE_MAX bytes, */
    uint64_t source_seq; /* with the number of the first event */
    void *user;          /* for the callbacks */
} call_spec;

/* NULL when memory is short. */
call_client *call_client_new(const call_client_config *config);
void call_client_free(call_client *c);

/* OK: *id names the call, and done follows, though not before this returns. WOULD_BLOCK: too many
 * are open. INVALID, LIMIT, NO_MEMORY. */
berth_status call_begin(call_client *c, const call_spec *spec, int64_t now_ns, uint64_t *id,
                        berth_error *error);
/* The caller does not wait any more: done with CANCELLED, and the node is told. NOT_FOUND. */
berth_status call_cancel(call_client *c, uint64_t id, int64_t now_ns);
/* Ask another node, or the same again: after `moved`, or while nobody was asked yet, or any time if
 * the call has a source. BUSY: it may be being executed. NOT_FOUND. */
berth_status call_redirect(call_client *c, uint64_t id, uint64_t node, uint64_t min_epoch,
                           int64_t now_ns);

/* What is sent to the node goes over a new session from now on: what is open is asked again. */
void call_client_up(call_client *c, uint64_t node, int64_t now_ns);
void call_client_room(call_client *c, uint64_t node, int64_t now_ns);
/* The node has another boot than before; before `up`. */
void call_client_restarted(call_client *c, uint64_t node);
/* No session with the node is expected any more. */
void call_client_gone(call_client *c, uint64_t node);

/* An ANSWER from the node. CORRUPT: it is none; the call stays open. */
berth_status call_client_receive(call_client *c, uint64_t node, buf *message, int64_t now_ns,
                                 berth_error *error);

int64_t call_client_deadline(const call_client *c); /* INT64_MAX: none */
void call_client_expire(call_client *c, int64_t now_ns);

typedef struct call_client_stats {
    uint64_t calls, bytes, nodes; /* now */
    uint64_t begun, sent, repeated, redirected, moved;
    uint64_t answered, timeouts, no_route, cancelled, unknown_outcomes;
    uint64_t late;            /* answers to what is not open, or not any more */
    uint64_t foreign;         /* answers from a node that was not asked */
    uint64_t malformed;       /* messages */
    uint64_t notices_dropped; /* acknowledgements and cancels that found no room */
} call_client_stats;
void call_client_get_stats(const call_client *c, call_client_stats *out);

/* ---- The node that is asked ------------------------------------------------------------------ */

typedef struct call_server call_server;

typedef struct call_server_request {
    uint64_t handle; /* for call_answer */
    uint64_t node;
    int64_t deadline_ns;         /* in this node's time */
    const call_request *request; /* lives during the callback, its slices as long as hold */
    buf *hold;
} call_server_request;

typedef struct call_server_config {
    void *ctx;
    call_send *send;
    /* OK: accepted, call_answer follows. A status that says that nothing ran (REFUSED, NOT_HERE,
     * UNKNOWN_SERVICE, BACKPRESSURE, ...): that is the answer. */
    call_status (*execute)(void *ctx, const call_server_request *r);
    /* Nobody waits for the answer: CANCELLED, TIMEOUT, or LOST: the node is gone. After LOST the
     * handle is void, otherwise an answer is still to come. May be NULL. */
    void (*cancelled)(void *ctx, uint64_t handle, call_status why);
    /* 0: the default in brackets. */
    uint32_t max_nodes;     /* that have called lately [65536] */
    uint32_t max_running;   /* of one node [256] */
    uint32_t max_entries;   /* of one node: running, answered, and holes between those [4096] */
    uint32_t total_entries; /* of all [65536] */
    uint64_t max_bytes;     /* of answers kept for one node [64 MiB]; one alone may be larger */
    uint64_t total_bytes;   /* for all [256 MiB] */
    int64_t keep_ns;        /* answers are kept so long after the deadline [60 s] */
} call_server_config;

call_server *call_server_new(const call_server_config *config);
/* Without a word to anybody. */
void call_server_free(call_server *s);

/* A REQUEST, CANCEL or ACK from the node. CORRUPT, LIMIT: it is none; a request gets an answer even
 * then, if it can be told which it is. */
berth_status call_server_receive(call_server *s, uint64_t node, buf *message, int64_t now_ns,
                                 berth_error *error);

/*
 * What became of it. outputs: result->output_count, copied. Once cancelled, OK becomes CANCELLED or
 * TIMEOUT and the outputs stay behind. What cannot be written as an answer is replaced with one
 * that says why, with the same counts. NOT_FOUND: nobody waits (the node is gone), it is dropped.
 */
berth_status call_answer(call_server *s, uint64_t handle, const call_result *result,
                         const call_output *outputs, int64_t now_ns);

/* What is sent to the node goes over a new session from now on: answers that it has not
 * acknowledged are sent again. */
void call_server_up(call_server *s, uint64_t node);
void call_server_room(call_server *s, uint64_t node);
/* The node has another boot than before: nothing of it is known any more. */
void call_server_restarted(call_server *s, uint64_t node);
/* No session with the node is expected any more. What it asked is over; should it come back, that
 * is still known, until its deadlines have passed. */
void call_server_node_gone(call_server *s, uint64_t node, int64_t now_ns);

int64_t call_server_deadline(const call_server *s);
void call_server_expire(call_server *s, int64_t now_ns);

typedef struct call_server_stats {
    uint64_t nodes, running, kept, kept_bytes; /* now */
    uint64_t executed, answered;
    uint64_t refused;      /* answers that say that nothing ran */
    uint64_t repeated;     /* requests that are running, or were answered again */
    uint64_t over;         /* requests for what is known to be over */
    uint64_t expired;      /* deadlines that passed, before or during execution */
    uint64_t backpressure; /* requests without room */
    uint64_t cancelled, acknowledged;
    uint64_t evicted;  /* answers that made room for others, not acknowledged */
    uint64_t outlived; /* answers whose time to be acknowledged ended */
    uint64_t late;     /* answers nobody waits for */
    uint64_t malformed;
    uint64_t answers_dropped; /* refusals that found no room on the lane */
} call_server_stats;
void call_server_get_stats(const call_server *s, call_server_stats *out);

#endif
