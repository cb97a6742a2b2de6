/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/stream.h: printing a stream of outputs, as replies, tails and channels give it, or of others.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include "cli/client.h"
#include "cli/ndjson.h"

typedef struct stream {
    ndjson lines;
    bool json;                              /* print the lines as they are */
    bool terminal;                          /* print payloads escaped */
    const char *what;                       /* its lines are of: "output" */
    void (*show)(struct json_object *line); /* of one that is no output; NULL: there are none */
    bool ended;                             /* the line that ends the stream was there */
    struct json_object *sent; /* a line with "applied", or NULL; stream_fini puts it */
    berth_error error;        /* what went wrong with a line, or what a line said went wrong */
} stream;

void stream_begin(stream *s, const cli_invocation *inv);
/* A client_request's sink; ctx is the stream. */
bool stream_sink(void *ctx, slice piece);
/* After the request ended well: whether the stream did too; an exit code, errors said. */
int stream_verdict(const stream *s);
void stream_fini(stream *s);

#endif
