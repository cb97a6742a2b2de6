/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "cli/tail.h"

#include "base/error.h"
#include "base/text.h"
#include "identity/token_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether any of it happens between nodes: a host that is alone has no columns for that. */
static bool has_mesh(struct json_object *list)
{
    for (size_t i = 0; i < field_count(list); i++) {
        struct json_object *channel = json_object_array_get_idx(list, i);

        if (field_u64(channel, "members") || field_u64(channel, "wanted"))
            return true;
    }
    return false;
}

int cmd_channel_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {{"NAME", false},     {"SUBSCRIBERS", true},
                                         {"READERS", true},   {"PUBLISHED", true},
                                         {"ELSEWHERE", true}, {"HEARD FROM", true}};
    static const char *const counts[] = {"subscribers", "tails", "published", "members", "held"};
    struct json_object *answer, *list;
    int code = ask_list(inv, "/v1/channels", "channels", &answer, &list);
    size_t shown = has_mesh(list) ? 5 : 3;
    char text[FORMAT_MAX];
    tab t;

    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        tab_begin(&t, columns, shown + 1);
        for (size_t i = 0; i < field_count(list); i++) {
            struct json_object *channel = json_object_array_get_idx(list, i);

            tab_add(&t, STYLE_PLAIN, "%s", field_text(channel, "name"));
            for (size_t k = 0; k < shown; k++)
                tab_add(&t, STYLE_PLAIN, "%s", format_count(text, field_u64(channel, counts[k])));
        }
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}

static void show(struct json_object *channel)
{
    unsigned long long members = field_u64(channel, "members"), nodes = field_u64(channel, "nodes"),
                       wanted = field_u64(channel, "wanted"), held = field_u64(channel, "held");
    char text[FORMAT_MAX];
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_BOLD, "name", "%s", field_text(channel, "name"));
    page_add(&t, STYLE_PLAIN, "subscribers", "%s here",
             format_count(text, field_u64(channel, "subscribers")));
    page_add(&t, STYLE_PLAIN, "elsewhere", "%llu on %llu node%s", members, nodes,
             nodes == 1 ? "" : "s");
    page_add(&t, STYLE_PLAIN, "readers", "%s", format_count(text, field_u64(channel, "tails")));
    page_add(&t, STYLE_PLAIN, "published", "%s here",
             format_count(text, field_u64(channel, "published")));
    page_add(&t, held < wanted ? STYLE_WARN : STYLE_PLAIN, "heard from",
             "%llu of %llu subscriptions to other nodes hold", held, wanted);
    if (*field_text(channel, "refused"))
        page_add(&t, STYLE_BAD, "refused", "%s", field_text(channel, "refused"));
    tab_end(&t, stdout, output_has_colours(stdout));
}

int cmd_channel_show(const cli_invocation *inv)
{
    const char *name = cli_argument_at(inv, 0);
    struct json_object *answer, *list, *found = NULL;
    int code = ask_list(inv, "/v1/channels", "channels", &answer, &list);
    berth_error error = {0};

    for (size_t i = 0; i < field_count(list) && !found; i++)
        if (strcmp(field_text(json_object_array_get_idx(list, i), "name"), name) == 0)
            found = json_object_array_get_idx(list, i);
    if (code == EXIT_DONE && !found) {
        fail(&error, BERTH_ERR_NOT_FOUND,
             "nobody listens to a channel '%s': `berth channel ls` lists them", name);
        code = output_fail(&error);
    } else if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(found);
    } else if (code == EXIT_DONE) {
        show(found);
    }
    json_object_put(answer);
    return code;
}

/* "Berth-Token: ..." of the file that --token names; *out NULL: none is named. free() it. */
static int token_header(const cli_invocation *inv, char **out)
{
    static const char name[] = "Berth-Token: ";
    const char *path = cli_value(inv, "token");
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    berth_error error = {0};
    token_file file;
    char *text;

    *out = NULL;
    if (!path)
        return EXIT_DONE;
    if (token_file_read(path, &file, &error) != BERTH_OK)
        return output_fail(&error);
    text = base64_encode(slice_of(bytes, berth_token_chain_encode(bytes, &file.chain)));
    *out = text ? malloc(sizeof name + strlen(text)) : NULL;
    if (!*out)
        abort();
    strcpy(*out, name);
    strcat(*out, text);
    free(text);
    return EXIT_DONE;
}

int cmd_channel_pub(const cli_invocation *inv)
{
    char *path = client_path("/v1/channels/messages?name=%s", cli_argument_at(inv, 0)), *token;
    struct json_object *answer = NULL;
    uint64_t reached;
    int fd, code = token_header(inv, &token);

    if (code == EXIT_DONE) {
        fd = ask_open(NULL);
        code = ask(inv,
                   &(client_request){.method = "POST",
                                     .path = path,
                                     .headers = {token},
                                     .stream = true,
                                     .fd = fd,
                                     .progress = "publish"},
                   &answer);
    }
    reached = field_u64(answer, "reached");
    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("reached %llu daemon%s\n", (unsigned long long)reached, reached == 1 ? "" : "s");
    json_object_put(answer);
    free(token);
    free(path);
    return code;
}

int cmd_channel_sub(const cli_invocation *inv)
{
    const char *what = cli_argument_at(inv, 0);
    size_t name_len = strcspn(what, "@");
    char *path = client_path("/v1/daemons/%s/subscriptions", cli_argument_at(inv, 1)), *text;
    struct json_object *body = json_object_new_object(), *answer = NULL;
    int code;

    json_put_string(body, "channel", slice_of(what, name_len));
    if (what[name_len])
        json_put_string(body, "group", slice_str(what + name_len + 1));
    text = ask_body(body);
    code = ask(inv,
               &(client_request){.method = "POST",
                                 .path = path,
                                 .content_type = "application/json",
                                 .body = slice_str(text)},
               &answer);
    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("%s hears %s\n", field_text(answer, "name"), what);
    json_object_put(answer);
    free(text);
    free(path);
    return code;
}

int cmd_channel_unsub(const cli_invocation *inv)
{
    char *path = client_path("/v1/daemons/%s/subscriptions?channel=%s", cli_argument_at(inv, 1),
                             cli_argument_at(inv, 0));
    struct json_object *answer = NULL;
    int code = ask(inv, &(client_request){.method = "DELETE", .path = path}, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("%s does not hear %s any more\n", field_text(answer, "name"),
               cli_argument_at(inv, 0));
    json_object_put(answer);
    free(path);
    return code;
}

int cmd_channel_tail(const cli_invocation *inv)
{
    char *path = client_path("/v1/channels/messages?name=%s", cli_argument_at(inv, 0));
    int code = tail_path(inv, path);

    free(path);
    return code;
}
