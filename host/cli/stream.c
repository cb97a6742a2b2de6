/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stream.h"

#include "base/error.h"
#include "cli/fields.h"
#include "cli/output.h"

#include <unistd.h>

/* The largest event as JSON text, where each of its bytes may become six, with room for the rest.
 */
enum { LINE_MAX_BYTES = 128 << 20 };

static bool print_data(stream *s, struct json_object *object, slice line)
{
    struct json_object *data = field_object(object, "data");
    buf *payload = NULL;

    if (s->json) {
        fwrite(line.ptr, 1, line.len, stdout);
        fputc('\n', stdout);
        return true;
    }
    if (json_get_bytes(data, "data", JSON_REQUIRED, &payload, &s->error) != BERTH_OK)
        return false;
    output_payload(stdout, s->terminal, slice_of(payload->data, payload->len));
    buf_unref(payload);
    return true;
}

static void note_end(struct json_object *object)
{
    const char *reason = field_text(object, "reason");

    if (*reason)
        output_note("the end: %s", reason);
}

static void note_missed(const stream *s, uint64_t missed)
{
    char text[FORMAT_MAX];

    output_note("missed %s %s%s", format_count(text, missed), s->what, missed == 1 ? "" : "s");
}

/* One line; what it is shows in its members. */
static bool take(stream *s, struct json_object *object, slice line)
{
    if (field_object(object, "data"))
        return print_data(s, object, line);
    if (field_object(object, "error")) {
        client_read_error(line, 200, &s->error);
        return false;
    }
    if (json_object_object_get_ex(object, "missed", NULL)) {
        note_missed(s, field_u64(object, "missed"));
    } else if (json_object_object_get_ex(object, "applied", NULL)) {
        json_object_put(s->sent);
        s->sent = json_object_get(object);
        s->ended = true;
    } else if (field_bool(object, "end")) {
        note_end(object);
        s->ended = true;
    } else if (s->show && !s->json) {
        s->show(object);
    }
    /* Lines of a kind that we do not know are for newer clients; programs get all of them. */
    if (s->json) {
        fwrite(line.ptr, 1, line.len, stdout);
        fputc('\n', stdout);
    }
    return true;
}

static bool take_line(void *ctx, slice line)
{
    stream *s = (stream *)ctx;
    struct json_object *object = NULL;
    bool more;

    if (json_parse(line, LINE_MAX_BYTES, &object, &s->error) != BERTH_OK) {
        fail_prefix(&s->error, "the host's answer");
        return false;
    }
    more = take(s, object, line);
    json_object_put(object);
    return more;
}

void stream_begin(stream *s, const cli_invocation *inv)
{
    *s = (stream){.lines = {.line = take_line, .ctx = s, .max = LINE_MAX_BYTES}};
    s->what = "output";
    s->json = cli_flag(inv, "json");
    s->terminal = isatty(STDOUT_FILENO);
}

bool stream_sink(void *ctx, slice piece)
{
    stream *s = (stream *)ctx;
    ndjson_result result = ndjson_feed(&s->lines, piece.ptr, piece.len);

    if (result == NDJSON_LONG)
        fail(&s->error, BERTH_ERR_LIMIT, "the host's answer: a line is longer than %d bytes",
             LINE_MAX_BYTES);
    /* What came is shown now, not when a buffer is full; a reader that left wants no more. */
    return result == NDJSON_MORE && fflush(stdout) == 0;
}

int stream_verdict(const stream *s)
{
    berth_error error = s->error;

    if (error.code == BERTH_OK && !s->ended && !ferror(stdout))
        fail(&error, BERTH_ERR_LOST, "the host went away in the middle of its answer");
    return output_fail(&error);
}

void stream_fini(stream *s)
{
    json_object_put(s->sent);
    ndjson_fini(&s->lines);
}
