/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/request.h: one request, from its first line to the end of its answer.
 *
 * Everything here is for the API's own thread, between begin and the answer, except where it says
 * "any thread". A handler (api/table.h) looks at the request and does one of these: it answers; or
 * has the rest done as a job; or says what to do when it is woken, and arranges that someone wakes
 * it. While a request waits, its connection is suspended.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "api/table.h"
#include "base/cursor.h"

struct MHD_Connection;
struct MHD_Response;
struct api;

typedef void request_fn(request *r);
/* Take a piece of the body: how many bytes were taken. Fewer than n: the request waits, and the
 * rest comes again when it was woken. */
typedef size_t request_upload(request *r, const uint8_t *data, size_t n);

struct request {
    struct api *api;
    const api_route *route;
    target target;
    writer body;               /* as collected; not with upload */
    request_upload *upload;    /* set in begin: takes the body instead */
    request_fn *next;          /* what to do when woken, or NULL */
    void *state;               /* the handler's own */
    void (*drop)(void *state); /* after the end of the exchange, and of the job if there is one */
};

/* Answers. One for each request; a second one is a defect and is ignored. -------------------------
 */

/* JSON in w, which is emptied. status: of HTTP. */
void request_answer(request *r, unsigned status, writer *w);
/* The error as JSON, its code as status of HTTP. */
void request_fail(request *r, const berth_error *error);
/* The same with a status of its own, or with further members ready in the writer. */
void request_fail_as(request *r, unsigned status, const berth_error *error);
/* Any response; takes over the reference. */
void request_respond(request *r, unsigned status, struct MHD_Response *response);
/* A header for whichever answer comes; name static, at most two. */
void request_header(request *r, const char *name, const char *value);
bool request_answered(const request *r);

/* Waiting -----------------------------------------------------------------------------------------
 */

/* Any thread that holds a reference: `next`, upload, or a reader goes on. */
void request_wake(request *r);
request *request_ref(request *r);
void request_unref(request *r);

/* For a reader of an answer: wait until woken. False: woken already (look again), or it is over. */
bool request_park(request *r);
/* The client has left or the host cuts: give up. */
bool request_cut(const request *r);

/* Run fn on the pool; it must answer. 503 when the pool is full. */
void request_job(request *r, request_fn *fn);

/* What came
 * ---------------------------------------------------------------------------------------- */

const char *request_get_header(request *r, const char *name);
/* Query parameters. False: it has answered. A missing one leaves *out alone. */
bool request_bool(request *r, const char *name, bool *out);
bool request_number(request *r, const char *name, uint64_t max, uint64_t *out);
/* Segment `index` of the path as a running daemon's origin. False: it has answered. Any thread. */
bool request_daemon(request *r, unsigned index, uint64_t *origin);
/* The same for one who gets events: an origin may also be that of a daemon of another host. */
bool request_receiver(request *r, unsigned index, uint64_t *origin);
/* 1 to 255 bytes of a-z 0-9 - _ . / in the query's "name". False: it has answered. */
bool request_channel(request *r, slice *out);

/* HTTP status of an error. Pure. */
unsigned http_status_of(berth_status status);
/* {"error":{"code":..,"message":..}, and nothing closes it: add members, then "}". */
void emit_error(writer *w, berth_status code, const char *text, uint64_t line);

#endif
