/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `berth plugin` that ask a host. */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The names of the kinds, separated by blanks; free() it. */
static char *kind_names(struct json_object *plugin)
{
    struct json_object *kinds = field_array(plugin, "kinds"), *names = json_object_new_array();
    char *text;

    for (size_t i = 0; i < field_count(kinds); i++)
        json_object_array_add(
            names, json_object_new_string(field_text(json_object_array_get_idx(kinds, i), "name")));
    text = field_joined(names);
    json_object_put(names);
    return text;
}

static const char *signer(struct json_object *plugin)
{
    const char *key = field_text(plugin, "signed_by");

    return *key ? key : *field_text(plugin, "digest") ? "unsigned" : "part of the host";
}

/* A key that was configured as a file has its path for a name: too wide for a column. */
static const char *signer_in_short(struct json_object *plugin)
{
    const char *key = signer(plugin), *slash = key[0] == '/' ? strrchr(key, '/') : NULL;

    return slash ? slash + 1 : key;
}

int cmd_plugin_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {{"NAME", false},      {"VERSION", false},
                                         {"SIGNED BY", false}, {"DAEMONS", true},
                                         {"LOADED", false},    {"KINDS", false}};
    struct json_object *answer, *list;
    int code = ask_list(inv, "/v1/plugins", "plugins", &answer, &list);
    char text[FORMAT_MAX];
    tab t;

    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        tab_begin(&t, columns, 6);
        for (size_t i = 0; i < field_count(list); i++) {
            struct json_object *plugin = json_object_array_get_idx(list, i);
            bool trusted = *field_text(plugin, "signed_by") || !*field_text(plugin, "digest");
            char *kinds = kind_names(plugin);

            tab_add(&t, STYLE_PLAIN, "%s", field_text(plugin, "name"));
            tab_add(&t, STYLE_PLAIN, "%s%s", field_text(plugin, "version"),
                    field_bool(plugin, "retired") ? " (retired)" : "");
            tab_add(&t, trusted ? STYLE_PLAIN : STYLE_WARN, "%s", signer_in_short(plugin));
            tab_add(&t, STYLE_PLAIN, "%s", format_count(text, field_u64(plugin, "daemons")));
            tab_add(&t, STYLE_PLAIN, "%s", field_ago(text, plugin, "loaded"));
            tab_add(&t, STYLE_PLAIN, "%s", kinds);
            free(kinds);
        }
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}

/* "stateful (version 1), deterministic, configured by json" */
static void kind_facts(char *out, size_t cap, struct json_object *kind)
{
    const char *config = field_text(kind, "config");
    size_t len;

    if (field_bool(kind, "stateful"))
        snprintf(out, cap, "state version %llu",
                 (unsigned long long)field_u64(kind, "state_writes"));
    else
        snprintf(out, cap, "stateless");
    if (field_bool(kind, "deterministic")) {
        len = strlen(out);
        snprintf(out + len, cap - len, ", deterministic");
    }
    if (*config && strcmp(config, "none") != 0) {
        len = strlen(out);
        snprintf(out + len, cap - len, ", configured by %s", config);
    }
}

static void show_kinds(struct json_object *kinds)
{
    static const tab_column columns[] = {{"KIND", false}, {"WHAT", false}, {"SUMMARY", false}};
    char facts[256];
    tab t;

    putchar('\n');
    tab_begin(&t, columns, 3);
    for (size_t i = 0; i < field_count(kinds); i++) {
        struct json_object *kind = json_object_array_get_idx(kinds, i);

        kind_facts(facts, sizeof facts, kind);
        tab_add(&t, STYLE_PLAIN, "%s", field_text(kind, "name"));
        tab_add(&t, STYLE_PLAIN, "%s", facts);
        tab_add(&t, STYLE_PLAIN, "%s", field_text(kind, "summary"));
    }
    tab_end(&t, stdout, output_has_colours(stdout));
}

static void add_list(tab *t, struct json_object *plugin, const char *key, const char *name)
{
    char *text = field_joined(field_array(plugin, key));

    if (*text)
        page_add(t, STYLE_PLAIN, name, "%s", text);
    free(text);
}

static void show(struct json_object *plugin)
{
    char text[FORMAT_MAX];
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_BOLD, "name", "%s", field_text(plugin, "name"));
    page_add(&t, STYLE_PLAIN, "version", "%s", field_text(plugin, "version"));
    if (*field_text(plugin, "license"))
        page_add(&t, STYLE_PLAIN, "licence", "%s", field_text(plugin, "license"));
    page_add(&t, STYLE_PLAIN, "abi", "%s", field_text(plugin, "abi"));
    if (*field_text(plugin, "runtime"))
        page_add(&t, STYLE_PLAIN, "runtime", "%s", field_text(plugin, "runtime"));
    page_add(&t, *field_text(plugin, "signed_by") ? STYLE_GOOD : STYLE_WARN, "signed by", "%s",
             signer(plugin));
    if (*field_text(plugin, "trusted_comment"))
        page_add(&t, STYLE_PLAIN, "comment", "%s", field_text(plugin, "trusted_comment"));
    if (*field_text(plugin, "digest"))
        page_add(&t, STYLE_PLAIN, "digest", "%s", field_text(plugin, "digest"));
    if (*field_text(plugin, "path"))
        page_add(&t, STYLE_PLAIN, "from", "%s", field_text(plugin, "path"));
    if (*field_text(plugin, "loaded"))
        page_add(&t, STYLE_PLAIN, "loaded", "%s", field_when(text, plugin, "loaded"));
    page_add(&t, STYLE_PLAIN, "daemons", "%s", format_count(text, field_u64(plugin, "daemons")));
    if (field_bool(plugin, "retired"))
        page_add(&t, STYLE_WARN, "retired", "it leaves with its last daemon");
    add_list(&t, plugin, "needs_extensions", "extensions");
    add_list(&t, plugin, "needs_privileges", "privileges");
    tab_end(&t, stdout, output_has_colours(stdout));
    show_kinds(field_array(plugin, "kinds"));
}

int cmd_plugin_show(const cli_invocation *inv)
{
    char *path = client_path("/v1/plugins/%s", cli_argument_at(inv, 0));
    int code = ask_show(inv, path, show);

    free(path);
    return code;
}

/* A file that we see and the host does not: it runs as another user, or in a sandbox. */
static int ask_to_load(const cli_invocation *inv, const client_request *request, const char *path,
                       struct json_object **answer)
{
    berth_error error = {0};
    client *c = NULL;
    berth_status status = client_open(&c, inv, &error);

    *answer = NULL;
    if (status == BERTH_OK)
        status = client_json(c, request, answer, &error);
    client_close(c);
    if (status == BERTH_ERR_NOT_FOUND ||
        (status == BERTH_ERR_PERMISSION && access(path, R_OK) == 0 &&
         strstr(error.text, strerror(EACCES))))
        fail(&error, status,
             "%s: the host cannot open it, though it is there: let the host's user read it, and "
             "put it where its sandbox (systemd's, say) shows it",
             path);
    return status == BERTH_OK ? EXIT_DONE : output_fail(&error);
}

int cmd_plugin_load(const cli_invocation *inv)
{
    const char *file = cli_argument_at(inv, 0);
    /* The host has another working directory. */
    char *path = realpath(file, NULL), *text, *kinds;
    struct json_object *body, *answer;
    berth_error error = {0};
    long http_status = 0;
    int code;

    if (!path) {
        fail_errno(&error, errno, "%s", file);
        return output_fail(&error);
    }
    body = json_object_new_object();
    json_put_string(body, "path", slice_str(path));
    json_put_bool(body, "allow_downgrade", cli_flag(inv, "allow-downgrade"));
    text = ask_body(body);
    code = ask_to_load(inv,
                       &(client_request){.method = "POST",
                                         .path = "/v1/plugins",
                                         .content_type = "application/json",
                                         .body = slice_str(text),
                                         .http_status = &http_status},
                       path, &answer);
    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        kinds = kind_names(answer);
        printf("%s %s %s (%s), kinds: %s\n", http_status == 200 ? "already loaded:" : "loaded",
               field_text(answer, "name"), field_text(answer, "version"), signer(answer), kinds);
        free(kinds);
    }
    json_object_put(answer);
    free(text);
    free(path);
    return code;
}

int cmd_plugin_unload(const cli_invocation *inv)
{
    const char *name = cli_argument_at(inv, 0);
    char *path = client_path("/v1/plugins/%s", name);
    struct json_object *answer;
    int code = ask(inv, &(client_request){.method = "DELETE", .path = path}, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE && field_bool(answer, "gone"))
        printf("unloaded %s\n", name);
    else if (code == EXIT_DONE)
        printf("took %s out; its library stays in memory: %s\n", name, field_text(answer, "why"));
    json_object_put(answer);
    free(path);
    return code;
}
