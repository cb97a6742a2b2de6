/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/exchange.h: a request together with its connection: the callbacks that the HTTP library gets.
 *
 * The library reports everything on its one thread. A connection that waits is suspended, and only
 * request_wake, from any thread, resumes it; `lock` makes both agree, so that a wake is neither
 * lost nor done to a connection that is gone.
 */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include "api/server.h"

#include <microhttpd.h>

/* How much of a refused body is read to keep the connection in order; past it the refusal is sent
 * at once and the connection closes. */
#define EXCHANGE_DISCARD   (256 * 1024)
#define EXCHANGE_LINGER_NS (5 * INT64_C(1000000000))

typedef struct exchange {
    request r; /* first */
    atomic_uint refs;
    struct exchange *prev, *next; /* in api.open */
    char *raw;                    /* the target; r.target points into it */
    int fd;

    pthread_mutex_t lock;
    struct MHD_Connection *connection; /* NULL: over */
    bool parked, woken;

    atomic_bool gone; /* the client has left */
    request_fn *job;  /* runs, or has run and was not looked at */
    atomic_bool job_done;

    bool begun, ended;
    bool expects;                 /* waits for 100 Continue before it sends */
    bool close;                   /* after the answer */
    uint64_t body_max, body_left; /* left: UINT64_MAX when nobody said */

    bool answered;
    unsigned status;
    writer text; /* the answer, when it is JSON */
    struct MHD_Response *response;
    struct {
        const char *name;
        char value[256];
    } headers[2];
    unsigned header_count;
    int64_t told_ns; /* when the refusal was sent during the upload; 0: was not */
} exchange;

static inline exchange *exchange_of(request *r)
{
    return (exchange *)r;
}

/* MHD_OPTION_URI_LOG_CALLBACK, _NOTIFY_COMPLETED, _NOTIFY_CONNECTION, and the access handler; cls:
 * api. */
void *exchange_open(void *cls, const char *uri, struct MHD_Connection *connection);
void exchange_close(void *cls, struct MHD_Connection *connection, void **own,
                    enum MHD_RequestTerminationCode why);
void exchange_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode what);
enum MHD_Result exchange_handle(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **own);

/* api/begin.c: read the headers; afterwards it is answered, or r.route is set and the body may
 * come. */
void exchange_begin(exchange *e, const char *method);
/* What the body is called, and which limit it is under, for those whose body is too large. */
const char *exchange_body_name(const exchange *e);
const char *exchange_body_limit(const exchange *e);
void exchange_refuse(exchange *e, unsigned status, berth_status code, const char *text);

/* Wake everyone who waits (ticker: only those whose client left). */
void exchange_wake_all(api *a);
void exchange_find_gone(api *a);

#endif
