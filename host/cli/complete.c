/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/complete.h"

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

const char *complete_names_of(cli_hint hint)
{
    switch (hint) {
    case HINT_DAEMON:
        return "daemons";
    case HINT_PLUGIN:
        return "plugins";
    case HINT_KIND:
        return "kinds";
    case HINT_CHANNEL:
        return "channels";
    case HINT_PEER:
        return "peers";
    case HINT_SERVICE:
        return "services";
    case HINT_MIGRATION:
        return "migrations";
    default:
        return NULL;
    }
}

/* The first command that has an option of this name. */
static bool seen_before(const cli_command *command, const cli_option *option)
{
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (strcmp(o->name, option->name) == 0)
            return true;
    }
    for (const cli_command *c = cli_commands; c != command; c++) {
        for (size_t i = 0; i < cli_option_count(c); i++) {
            if (strcmp(c->options[i].name, option->name) == 0)
                return true;
        }
    }
    return false;
}

void complete_each_value_option(void (*fn)(void *ctx, const cli_option *option), void *ctx)
{
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (o->value)
            fn(ctx, o);
    }
    for (const cli_command *c = cli_commands; c->noun; c++) {
        for (size_t i = 0; i < cli_option_count(c); i++) {
            if (c->options[i].value && !seen_before(c, &c->options[i]))
                fn(ctx, &c->options[i]);
        }
    }
}

/* What to ask, and which member of each element of which list is a name. */
static const struct source {
    const char *names, *path, *list, *inner, *member;
} sources[] = {
    {"daemons", "/v1/daemons", "daemons", NULL, "name"},
    {"plugins", "/v1/plugins", "plugins", NULL, "name"},
    {"kinds", "/v1/plugins", "plugins", "kinds", "name"},
    {"channels", "/v1/channels", "channels", NULL, "name"},
    {"peers", "/v1/peers", "peers", NULL, "name"},
    {"services", "/v1/services", "services", NULL, "service"},
    {"migrations", "/v1/migrations", "migrations", NULL, "id"},
};

static void print_names(struct json_object *list, const char *inner, const char *member)
{
    for (size_t i = 0; i < field_count(list); i++) {
        struct json_object *element = json_object_array_get_idx(list, i);

        if (inner)
            print_names(field_array(element, inner), NULL, member);
        else
            printf("%s\n", field_text(element, member));
    }
}

/* For a shell that is completing: a host that does not answer has no names, and says nothing. */
static int names(const cli_invocation *inv, const struct source *s)
{
    client_request request = {.path = s->path};
    struct json_object *answer = NULL;
    berth_error error = {0};
    client *c = NULL;
    berth_status status = client_open(&c, inv, &error);

    if (status == BERTH_OK)
        status = client_json(c, &request, &answer, &error);
    if (status == BERTH_OK)
        print_names(field_array(answer, s->list), s->inner, s->member);
    json_object_put(answer);
    client_close(c);
    return output_exit_code(status);
}

int cmd_completion(const cli_invocation *inv)
{
    const char *word = cli_argument_at(inv, 0);

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (strcmp(word, sources[i].names) == 0)
            return names(inv, &sources[i]);
    }
    if (strcmp(word, "bash") == 0)
        complete_bash(stdout);
    else if (strcmp(word, "zsh") == 0)
        complete_zsh(stdout);
    else if (strcmp(word, "fish") == 0)
        complete_fish(stdout);
    else
        return output_usage(inv, "SHELL: '%s' is not one of bash, zsh, fish", word);
    return EXIT_DONE;
}
