/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tail.h"

#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tail_lines(const cli_invocation *inv, const char *path, const char *what,
               void (*show)(struct json_object *line))
{
    client_request request = {.path = path, .sink = stream_sink, .until_interrupted = true};
    bool interrupted = false;
    stream s;
    int code;

    stream_begin(&s, inv);
    s.what = what;
    s.show = show;
    request.ctx = &s;
    request.interrupted = &interrupted;
    code = ask_stream(inv, &request);
    if (code == EXIT_DONE && !interrupted)
        code = stream_verdict(&s);
    /* The shell's prompt is not to stand behind the terminal's ^C. */
    if (interrupted && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    stream_fini(&s);
    return code;
}

int tail_path(const cli_invocation *inv, const char *path)
{
    return tail_lines(inv, path, "output", NULL);
}

int cmd_tail(const cli_invocation *inv)
{
    const char *from = cli_value(inv, "from");
    bool ring = from && strcmp(from, "start-of-ring") == 0;
    char *path = client_path(ring ? "/v1/daemons/%s/outputs?from=ring" : "/v1/daemons/%s/outputs",
                             cli_argument_at(inv, 0));
    int code = tail_path(inv, path);

    free(path);
    return code;
}
