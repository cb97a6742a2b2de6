/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/receiver.h"

#include "cli/ask.h"
#include "cli/fields.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    char *out = strdup(text);

    if (!out)
        abort();
    return out;
}

char *receiver_of(const cli_invocation *inv, const char *text, int *code)
{
    const char *peer = strrchr(text, '@');
    char *name, *path, *origin = NULL;
    struct json_object *answer;

    *code = EXIT_DONE;
    if (!peer)
        return copy(text);
    if (peer == text || !peer[1]) {
        *code = output_usage(inv, "D: '%s' is not NAME@PEER", text);
        return NULL;
    }
    name = copy(text);
    name[peer - text] = '\0';
    path = client_path("/v1/peers/%s/daemons/%s", peer + 1, name);
    *code = ask(inv, &(client_request){.path = path}, &answer);
    if (*code == EXIT_DONE)
        origin = copy(field_text(answer, "origin"));
    json_object_put(answer);
    free(path);
    free(name);
    return origin;
}
