/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "cli/receiver.h"
#include "cli/stream.h"

#include "base/clock.h"

#include <stdlib.h>

/* A rate stands behind it: whoever multiplies the two expects to get the count. */
static const char *duration(char out[FORMAT_MAX], int64_t ns)
{
    if (ns < 1000000000 || ns >= 10000000000)
        return format_duration(out, ns);
    snprintf(out, FORMAT_MAX, "%.1fs", (double)ns / 1e9);
    return out;
}

/* What became of the events; EXIT_FAILED when any of them did. */
static int conclude(const cli_invocation *inv, struct json_object *sent, int64_t took_ns)
{
    struct json_object *first = field_object(sent, "first_error");
    uint64_t applied = field_u64(sent, "applied"), failed = field_u64(sent, "failed");
    uint64_t known = field_u64(sent, "duplicates");
    char count[FORMAT_MAX], rate[FORMAT_MAX], took[FORMAT_MAX];

    if (cli_flag(inv, "lines") && !cli_flag(inv, "json") && !cli_flag(inv, "reply"))
        printf("applied %s event%s in %s (%s a second)\n", format_count(count, applied),
               applied == 1 ? "" : "s", duration(took, took_ns),
               format_count(rate, (uint64_t)((double)applied * 1e9 / (double)(took_ns + 1))));
    if (known)
        output_note("%s had been applied before", format_count(count, known));
    if (!failed)
        return EXIT_DONE;
    output_note("%s of %s events failed, the first at line %llu: %s", format_count(count, failed),
                format_count(rate, applied + failed), (unsigned long long)field_u64(first, "line"),
                field_text(first, "message"));
    return EXIT_FAILED;
}

/* The answer is one object; its errors have been said by ask. */
static int send_quietly(const cli_invocation *inv, client_request *request, int64_t began)
{
    struct json_object *answer;
    int code = ask(inv, request, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    if (code == EXIT_DONE)
        code = conclude(inv, answer, clock_mono_ns() - began);
    json_object_put(answer);
    return code;
}

static int send_for_reply(const cli_invocation *inv, client_request request, int64_t began)
{
    stream s;
    int code;

    stream_begin(&s, inv);
    request.sink = stream_sink;
    request.ctx = &s;
    code = ask_stream(inv, &request);
    if (code == EXIT_DONE)
        code = stream_verdict(&s);
    if (code == EXIT_DONE && s.sent)
        code = conclude(inv, s.sent, clock_mono_ns() - began);
    stream_fini(&s);
    return code;
}

int cmd_send(const cli_invocation *inv)
{
    bool lines = cli_flag(inv, "lines"), reply = cli_flag(inv, "reply");
    int code, fd;
    char *to = receiver_of(inv, cli_argument_at(inv, 0), &code), *path;
    client_request request = {.method = "POST", .stream = true, .progress = "send"};
    int64_t began = clock_mono_ns();

    if (!to)
        return code;
    path = client_path(lines && reply ? "/v1/daemons/%s/events?framing=lines&reply=true"
                       : lines        ? "/v1/daemons/%s/events?framing=lines"
                       : reply        ? "/v1/daemons/%s/events?reply=true"
                                      : "/v1/daemons/%s/events",
                       to);
    code = EXIT_FAILED;
    fd = ask_open(cli_argument_at(inv, 1));
    request.path = path;
    request.fd = fd;
    if (fd >= 0)
        code = reply ? send_for_reply(inv, request, began) : send_quietly(inv, &request, began);
    ask_close(fd);
    free(path);
    free(to);
    return code;
}
