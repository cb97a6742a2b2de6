/* SPDX-License-Identifier: Apache-2.0 */
/* berth call, berth service ls: names that daemons serve. */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include "base/buf.h"
#include "base/error.h"

#include <stdlib.h>
#include <unistd.h>

#define DEADLINE_MOST_MS UINT64_C(3600000)

/* Byte for byte; a terminal is spared what it cannot show. */
static int print_answer(struct json_object *answer)
{
    struct json_object *data = field_object(answer, "data");
    berth_error error = {0};
    buf *payload = NULL;

    if (!data)
        return EXIT_DONE;
    if (json_get_bytes(data, "data", JSON_REQUIRED, &payload, &error) != BERTH_OK)
        return output_fail(&error);
    if (isatty(STDOUT_FILENO))
        output_payload(stdout, true, slice_of(payload->data, payload->len));
    else
        fwrite(payload->data, 1, payload->len, stdout);
    buf_unref(payload);
    return EXIT_DONE;
}

int cmd_call(const cli_invocation *inv)
{
    const char *deadline = cli_value(inv, "deadline"), *node = cli_value(inv, "node");
    struct json_object *answer = NULL;
    char number[32], *path;
    uint64_t ms = 30000;
    int fd, code = EXIT_FAILED;

    if (deadline && !format_parse_wait(deadline, DEADLINE_MOST_MS, &ms))
        return output_usage(inv,
                            "--deadline: must be a time from 1ms to 1h, as 500ms or 30s, not "
                            "'%.64s'",
                            deadline);
    snprintf(number, sizeof number, "%llu", (unsigned long long)ms);
    path = node ? client_path("/v1/services/%s?deadline_ms=%s&node=%s", cli_argument_at(inv, 0),
                              number, node)
                : client_path("/v1/services/%s?deadline_ms=%s", cli_argument_at(inv, 0), number);
    fd = ask_open(cli_argument_at(inv, 1));
    if (fd >= 0)
        code =
            ask(inv,
                &(client_request){
                    .method = "POST", .path = path, .stream = true, .fd = fd, .progress = "call"},
                &answer);
    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        code = print_answer(answer);
    json_object_put(answer);
    ask_close(fd);
    free(path);
    return code;
}

int cmd_service_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {
        {"SERVICE", false}, {"ON", false}, {"NODE", false}, {"DAEMON", false}};
    struct json_object *answer, *list;
    int code = ask(inv, &(client_request){.path = "/v1/services"}, &answer);
    tab t;

    list = field_array(answer, "services");
    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        tab_begin(&t, columns, sizeof columns / sizeof *columns);
        for (size_t i = 0; i < field_count(list); i++) {
            struct json_object *service = json_object_array_get_idx(list, i);

            tab_add(&t, STYLE_PLAIN, "%s", field_text(service, "service"));
            tab_add(&t, STYLE_PLAIN, "%s", field_text(service, "node_name"));
            tab_add(&t, STYLE_FAINT, "%s", field_text(service, "node"));
            tab_add(&t, STYLE_PLAIN, "%s", field_text(service, "daemon"));
        }
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}
