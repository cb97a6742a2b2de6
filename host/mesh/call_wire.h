/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/call_wire.h: requests and answers as bytes (docs/wire.md, "Calls"), and what an answer can
 * say.
 *
 * Any thread; nothing blocks; reading allocates nothing, and its slices point into the message.
 */
#ifndef MESH_CALL_WIRE_H
#define MESH_CALL_WIRE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/status.h"
#include "mesh/message.h"

#define CALL_EVENTS_MAX   1024        /* in one request */
#define CALL_EVENT_MAX    (16u << 20) /* bytes of one event */
#define CALL_REQUEST_MAX  (64u << 20) /* bytes of all its events, lengths included */
#define CALL_DEADLINE_MAX (INT64_C(24) * 3600 * 1000000000)
#define CALL_SERVICE_MAX  200
#define CALL_SOURCE_MAX   64
#define CALL_TEXT_MAX     1024
#define CALL_FAILURES_MAX 64          /* that are told one by one */
#define CALL_OUTPUTS_MAX  (1u << 20)  /* in one answer */
#define CALL_OUTPUT_MIN   32          /* the link that every output begins with */
#define CALL_OUTPUT_BYTES (64u << 20) /* of all outputs of an answer, lengths included */
#define CALL_NOTICE_MAX   1024        /* numbers in one ACK or CANCEL */

/*
 * What an answer can say. The numbers are stable; the first nine are the reference's.
 * X(name, number, status, ran, text). ran: something may have been executed.
 */
#define CALL_STATUS_TABLE(X)                                                                       \
    X(OK, 0, BERTH_OK, true, "done")                                                               \
    X(UNKNOWN_SERVICE, 1, BERTH_ERR_NOT_FOUND, false, "the node does not serve this name")         \
    X(REFUSED, 2, BERTH_ERR_REFUSED, false, "refused by the policy of the node")                   \
    X(TIMEOUT, 3, BERTH_ERR_TIMEOUT, true, "the deadline passed")                                  \
    X(BACKPRESSURE, 4, BERTH_ERR_WOULD_BLOCK, false, "the node has no room for more calls")        \
    X(CANCELLED, 5, BERTH_ERR_CANCELLED, true, "cancelled")                                        \
    X(INTERNAL, 6, BERTH_ERR_INTERNAL, true, "the node failed")                                    \
    X(MALFORMED, 7, BERTH_ERR_CORRUPT, false, "the node could not read the request")               \
    X(NOT_ALLOWED, 8, BERTH_ERR_REFUSED, false, "the node does not let this caller use the name")  \
    X(REJECTED, 16, BERTH_ERR_REJECTED, true, "the daemon refused an event")                       \
    X(BROKEN, 17, BERTH_ERR_BROKEN, true, "the daemon is broken")                                  \
    X(NOT_HERE, 18, BERTH_ERR_NOT_FOUND, false, "the daemon is not on the node")                   \
    X(OUTCOME_UNKNOWN, 19, BERTH_ERR_OUTCOME_UNKNOWN, true,                                        \
      "the node does not know any more what became of it")                                         \
    X(LOST, 20, BERTH_ERR_LOST, true, "the daemon ended before it was done")                       \
    X(LIMIT, 21, BERTH_ERR_LIMIT, true, "the outputs are too large for an answer")                 \
    X(DUPLICATE, 22, BERTH_ERR_DUPLICATE, true, "already applied")

typedef uint16_t call_status;

enum {
#define CALL_STATUS_ENUM(name, number, status, ran, text) CALL_##name = (number),
    CALL_STATUS_TABLE(CALL_STATUS_ENUM)
#undef CALL_STATUS_ENUM
};

/* What callers of this host see; INTERNAL for what the table lacks. */
berth_status call_status_here(call_status status);
/* The row for a status of this host; INTERNAL for what has none. NOT_FOUND becomes NOT_HERE. */
call_status call_status_of(berth_status status);
bool call_status_ran(call_status status); /* true for what the table lacks */
const char *call_status_text(call_status status);

/* 1 to CALL_SERVICE_MAX bytes, and `<name>.requests` is the name of a channel. */
berth_status call_service_check(slice name, berth_error *error);

/* ---- MESSAGE_CALL_REQUEST -------------------------------------------------------------------- */

typedef struct call_request {
    uint64_t id;        /* random, not 0: what the answer is known by */
    uint64_t boot;      /* of the caller's node: random, not 0 */
    uint64_t number;    /* of the call on its way to this node; rises, from 1 */
    uint64_t open_from; /* what is numbered below has ended for the caller; at most number */
    uint64_t left_ns;   /* until the deadline; 0: it has passed */
    bool want_outputs;
    bool is_service;
    uint64_t origin, min_epoch; /* of a daemon */
    slice service;              /* or its name, which call_service_check likes */
    slice source;               /* empty: none */
    uint64_t source_seq;
    uint32_t count; /* of events */
    slice events;   /* for call_event_next */
} call_request;

/* INVALID or LIMIT, saying what is wrong; NO_MEMORY. events: count of them; out->events is not
 * read. *out: one reference. */
berth_status call_request_write(const call_request *r, const slice *events, buf **out,
                                berth_error *error);
/* CORRUPT or LIMIT. What can be read of id, boot and number is there even then. */
berth_status call_request_read(call_request *out, slice message, berth_error *error);
/* Change a message that was written, and that nobody else has yet. */
void call_request_number(buf *message, uint64_t number, uint64_t open_from, uint64_t left_ns);
void call_request_epoch(buf *message, uint64_t min_epoch); /* of a daemon's only */

/* The next of the events, which were checked: false at the end. Takes it off *events. */
bool call_event_next(slice *events, slice *event);

/* ---- MESSAGE_CALL_ANSWER --------------------------------------------------------------------- */

typedef struct call_failure {
    uint32_t index; /* of the event */
    call_status status;
} call_failure;

typedef struct call_output {
    uint32_t input; /* index of the event that caused it */
    slice bytes;    /* 32 bytes of link, then the payload */
} call_output;

typedef struct call_result {
    call_status status;
    slice text; /* UTF-8, for people; may be empty */
    uint32_t applied, failed, duplicates;
    uint32_t first_failed;  /* index, if any failed */
    uint32_t failure_count; /* that are told: the first ones */
    uint32_t output_count;
    call_failure failures[CALL_FAILURES_MAX]; /* by ascending index */
    slice outputs;                            /* that were read: for call_output_next */
} call_result;

typedef struct call_response {
    uint64_t id, number; /* as the request had them */
    bool kept;           /* until it is acknowledged */
    call_result result;
} call_response;

/* result.output_count outputs. INVALID or LIMIT, saying what is wrong; NO_MEMORY. */
berth_status call_response_write(const call_response *r, const call_output *outputs, buf **out,
                                 berth_error *error);
berth_status call_response_read(call_response *out, slice message, berth_error *error);
bool call_output_next(slice *outputs, call_output *out);

/* ---- MESSAGE_CALL_ACK, MESSAGE_CALL_CANCEL --------------------------------------------------- */

typedef struct call_notice {
    uint16_t kind;
    uint64_t boot;
    uint32_t count;
    slice numbers; /* 8 bytes each: call_notice_number */
} call_notice;

/* NULL when memory is short. 1 to CALL_NOTICE_MAX numbers, none of them 0. */
buf *call_notice_write(uint16_t kind, uint64_t boot, const uint64_t *numbers, uint32_t count);
berth_status call_notice_read(call_notice *out, slice message, berth_error *error);

static inline uint64_t call_notice_number(const call_notice *n, uint32_t i)
{
    return load_u64(n->numbers.ptr + 8 * (size_t)i);
}

/* The kind of a message, 0 when it is too short to have one: ANSWER is for call_client_receive, the
 * other three are for call_server_receive. */
uint16_t call_message_kind(slice message);

#endif
