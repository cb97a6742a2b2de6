/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/client.h: one request at a time to a host, over its Unix socket.
 *
 * One thread; blocks. Errors are the host's own line and code (docs/openapi.yaml), or NO_HOST when
 * nobody answers, PERMISSION when the socket is somebody else's, LOST when the host went away in
 * the middle.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/parse.h"

#include "base/json.h"

typedef struct client client;

typedef struct client_request {
    const char *method; /* NULL: GET */
    /* After http://berth; the caller's. client_path makes one. */
    const char *path;
    const char *headers[2];
    const char *content_type; /* of the body; NULL: application/octet-stream */
    slice body;               /* one that lies in memory ... */
    bool stream;              /* ... or standard input, a pipe, a file: */
    int fd;                   /* with stream; read from where it stands to its end */
    const char *progress;     /* what to call it while it takes long; NULL: no progress shown */
    bool until_interrupted;   /* a stream without an end: SIGINT ends it well, and so does a
                                 reader of standard output that has left */
    bool *interrupted;        /* set when it ended so; may be NULL */
    long *http_status;        /* of the answer; may be NULL */
    /* A piece of the answer's body (of a 2xx answer only); false ends the request well. NULL:
     * client_json or client_run collect it. */
    bool (*sink)(void *ctx, slice piece);
    void *ctx;
} client_request;

/* --socket, else the rules of base/paths.h. */
berth_status client_open(client **out, const cli_invocation *inv, berth_error *error);
void client_close(client *c);
const char *client_socket(const client *c);

/* The answer's body goes to request->sink. */
berth_status client_run(client *c, const client_request *request, berth_error *error);

/* The same; the answer is one JSON object or array, the caller's to put. */
berth_status client_json(client *c, const client_request *request, struct json_object **out,
                         berth_error *error);

/* A path: format may hold only %s, and each argument is percent-encoded. free() it; aborts without
 * memory, as the rest of the command line's small allocations may. */
char *client_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The code that berth_status_name gave this name; INTERNAL for others. */
berth_status client_status_of(const char *name);

/* What `{"error":{"code","message"}}` says, or why it could not be read. */
berth_status client_read_error(slice body, long http_status, berth_error *error);

#endif
