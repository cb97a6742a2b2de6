/* SPDX-License-Identifier: Apache-2.0 */
#include "api/stream.h"

#include "api/emit.h"
#include "api/server.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

typedef struct stream {
    request *r; /* one reference */
    const stream_source *source;
    void *ctx;
    writer lines;
    size_t at; /* of lines: sent so far */
    bool ended;
} stream;

static void stream_free(void *ctx)
{
    stream *s = (stream *)ctx;

    s->source->close(s->ctx);
    writer_free(&s->lines);
    atomic_fetch_sub(&s->r->api->streams, 1);
    request_unref(s->r);
    free(s);
}

void stream_emit_missed(writer *lines, uint64_t missed)
{
    if (!missed)
        return;
    emit_text(lines, "{");
    emit_member_u64(lines, "missed", missed);
    emit_text(lines, "}\n");
}

/* Make more lines. False: there is nothing now. */
static bool fill(stream *s)
{
    const char *reason;

    s->lines.len = 0;
    s->at = 0;
    reason = s->source->fill(s->ctx, &s->lines);
    if (!reason && !s->lines.len && atomic_load(&s->r->api->phase) != API_RUNS)
        reason = "the host stops";
    if (reason) {
        emit_text(&s->lines, "{\"end\":true");
        emit_member_string(&s->lines, "reason", reason);
        emit_text(&s->lines, "}\n");
        s->ended = true;
    }
    return s->lines.len > 0;
}

/* A large item's memory is not kept. */
static void drop_lines(stream *s)
{
    writer_free(&s->lines);
    s->at = 0;
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *out, size_t n)
{
    stream *s = (stream *)ctx;

    (void)pos;
    while (s->at == s->lines.len) {
        if (request_cut(s->r) || s->lines.failed)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (s->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!fill(s) && request_park(s->r))
            return 0;
    }
    if (n > s->lines.len - s->at)
        n = s->lines.len - s->at;
    memcpy(out, s->lines.data + s->at, n);
    s->at += n;
    if (s->at == s->lines.len && s->lines.cap > 4 * STREAM_LINES_BYTES)
        drop_lines(s);
    return (ssize_t)n;
}

void stream_answer(request *r, const stream_source *source, void *ctx)
{
    stream *s = calloc(1, sizeof *s);
    struct MHD_Response *response = NULL;

    if (s) {
        *s = (stream){.r = request_ref(r), .source = source, .ctx = ctx};
        atomic_fetch_add(&r->api->streams, 1);
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_LINES_BYTES,
                                                     read_stream, s, stream_free);
        if (!response)
            stream_free(s);
    } else {
        source->close(ctx);
    }
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/x-ndjson");
    request_respond(r, 200, response);
}
