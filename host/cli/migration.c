/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/moving.h"
#include "cli/tail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ABORT_WAIT_MS = 10000 };

/* "12.3 MB of 256.0 MB" */
static char *describe_bytes(char out[2 * FORMAT_MAX], struct json_object *v)
{
    char sent[FORMAT_MAX], all[FORMAT_MAX];

    format_bytes(sent, field_u64(v, "bytes_sent"));
    if (moving_is_over(v) || !field_u64(v, "bytes_total"))
        snprintf(out, 2 * FORMAT_MAX, "%s", sent);
    else
        snprintf(out, 2 * FORMAT_MAX, "%s of %s", sent,
                 format_bytes(all, field_u64(v, "bytes_total")));
    return out;
}

/* What no column tells; "" most of the time. */
static char *remark(char *out, size_t cap, struct json_object *v)
{
    out[0] = '\0';
    if (moving_is(v, "in-doubt"))
        snprintf(out, cap, "waits for %s", moving_node(v, "waits_for"));
    else if (field_bool(v, "fetching"))
        snprintf(out, cap, "%s fetches the plugin", moving_node(v, "target"));
    else if (moving_is(v, "failed") || moving_is(v, "unknown"))
        moving_why(out, cap, v);
    else
        moving_unheard(out, cap, v);
    return out;
}

static void list_row(tab *t, struct json_object *v, bool remarks)
{
    char text[2 * FORMAT_MAX], note[1024];
    bool left = strcmp(field_text(v, "role"), "target") != 0;

    tab_add(t, STYLE_FAINT, "%.*s", MOVING_ID_SHOWN, field_text(v, "id"));
    tab_add(t, STYLE_BOLD, "%s", moving_name(v));
    tab_add(t, STYLE_PLAIN, "%s", moving_node(v, "source"));
    tab_add(t, STYLE_PLAIN, "%s", moving_node(v, "target"));
    tab_add(t, moving_style(v), "%s", field_text(v, "state"));
    tab_add(t, STYLE_PLAIN, "%s", field_text(v, "phase"));
    tab_add(t, STYLE_PLAIN, "%s", describe_bytes(text, v));
    tab_add(t, STYLE_PLAIN, "%s", left ? format_rtt(text, field_u64(v, "blackout_ns")) : "");
    tab_add(t, STYLE_PLAIN, "%s", format_rtt(text, field_u64(v, "elapsed_ns")));
    if (remarks)
        tab_add(t, STYLE_WARN, "%s", remark(note, sizeof note, v));
}

int cmd_migration_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {
        {"ID", false},    {"DAEMON", false}, {"FROM", false},  {"TO", false},  {"STATE", false},
        {"PHASE", false}, {"BYTES", true},   {"PAUSED", true}, {"TOOK", true}, {"NOTE", false}};
    struct json_object *answer, *list;
    int code = ask(inv, &(client_request){.path = "/v1/migrations"}, &answer);
    bool remarks = false;
    char note[1024];
    tab t;

    list = field_array(answer, "migrations");
    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        for (size_t i = 0; i < field_count(list) && !remarks; i++)
            remarks = *remark(note, sizeof note, json_object_array_get_idx(list, i));
        tab_begin(&t, columns, remarks ? 10 : 9);
        for (size_t i = 0; i < field_count(list); i++)
            list_row(&t, json_object_array_get_idx(list, i), remarks);
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}

static void show(struct json_object *v)
{
    char text[2 * FORMAT_MAX], snapshot[FORMAT_MAX], why[1024];
    const char *role = field_text(v, "role");
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_PLAIN, "id", "%s", field_text(v, "id"));
    page_add(&t, STYLE_BOLD, "daemon", "%s", moving_name(v));
    if (*field_text(v, "kind"))
        page_add(&t, STYLE_PLAIN, "kind", "%s", field_text(v, "kind"));
    page_add(&t, STYLE_PLAIN, "origin", "%s", field_text(v, "origin"));
    page_add(&t, STYLE_PLAIN, "from", "%s (node %s)", moving_node(v, "source"),
             field_text(v, "source"));
    page_add(&t, STYLE_PLAIN, "to", "%s (node %s)", moving_node(v, "target"),
             field_text(v, "target"));
    page_add(&t, STYLE_PLAIN, "this host", "%s",
             strcmp(role, "source") == 0   ? "is its source"
             : strcmp(role, "target") == 0 ? "is its target"
                                           : "has ordered it");
    page_add(&t, moving_style(v), "state", "%s", field_text(v, "state"));
    if (moving_is(v, "in-doubt"))
        page_add(&t, STYLE_WARN, "waits for", "%s (node %s), and for nothing else",
                 moving_node(v, "waits_for"), field_text(v, "waits_for"));
    if (field_bool(v, "fetching"))
        page_add(&t, STYLE_PLAIN, "waits for", "%s, which fetches the plugin: %s",
                 moving_node(v, "target"), describe_bytes(text, v));
    if (*moving_why(why, sizeof why, v))
        page_add(&t, STYLE_BAD, "because", "%s", why);
    if (*moving_unheard(why, sizeof why, v))
        page_add(&t, STYLE_WARN, "hears", "%s", why);
    else if (moving_is_heard(v))
        page_add(&t, STYLE_PLAIN, "hears", "all that it heard");
    page_add(&t, STYLE_PLAIN, "phase", "%s, %s%s%s", field_text(v, "phase"),
             moving_is_over(v) ? "ended " : "for ", format_rtt(text, field_u64(v, "phase_ns")),
             moving_is_over(v) ? " ago" : "");
    page_add(&t, STYLE_PLAIN, "attempts", "%llu", (unsigned long long)field_u64(v, "attempts"));
    page_add(&t, STYLE_PLAIN, "bytes", "%s", describe_bytes(text, v));
    page_add(&t, STYLE_PLAIN, "events held", "%s", format_count(text, field_u64(v, "held_events")));
    if (strcmp(role, "target") != 0)
        page_add(&t, STYLE_PLAIN, "ran nowhere for", "%s, its snapshot took %s of that",
                 format_rtt(text, field_u64(v, "blackout_ns")),
                 format_rtt(snapshot, field_u64(v, "snapshot_ns")));
    page_add(&t, STYLE_PLAIN, moving_is_over(v) ? "took" : "under way for", "%s",
             format_rtt(text, field_u64(v, "elapsed_ns")));
    tab_end(&t, stdout, output_has_colours(stdout));
}

int cmd_migration_show(const cli_invocation *inv)
{
    char *path = client_path("/v1/migrations/%s", cli_argument_at(inv, 0));
    int code = ask_show(inv, path, show);

    free(path);
    return code;
}

static void print_change(struct json_object *change)
{
    char line[2304];

    puts(moving_change(line, sizeof line, change));
}

int cmd_migration_watch(const cli_invocation *inv)
{
    const char *id = cli_argument_at(inv, 0);
    char *path =
        client_path(id ? "/v1/migrations/events?migration=%s" : "/v1/migrations/events", id);
    int code = tail_lines(inv, path, "change", print_change);

    free(path);
    return code;
}

int cmd_migration_abort(const cli_invocation *inv)
{
    const char *id = cli_argument_at(inv, 0);
    struct json_object *view = NULL;
    berth_error error = {0};
    char why[1024];
    int code;
    mover m;

    if (mover_open(&m, inv, &error) != BERTH_OK || mover_abort(&m, id, &error) != BERTH_OK ||
        mover_look(&m, id, ABORT_WAIT_MS, &view, &error) != BERTH_OK) {
        code = output_fail(&error);
    } else {
        code = moving_is(view, "failed") ? EXIT_DONE : EXIT_FAILED;
        if (cli_flag(inv, "json") && view)
            output_json(view);
        else if (code == EXIT_DONE)
            printf("stopped: %s stays on %s\n", moving_name(view), moving_node(view, "source"));
        else if (moving_is(view, "moved"))
            output_note("too late: %s runs on %s", moving_name(view), moving_node(view, "target"));
        else
            output_note("it was asked for and is not over yet: %s",
                        moving_why(why, sizeof why, view));
    }
    json_object_put(view);
    mover_close(&m);
    return code;
}

/* ---- Deciding without the other host --------------------------------------------------------- */

/* Anything but a whole "yes" is a no. */
static bool is_attested(struct json_object *view, const char *dead)
{
    char line[16];

    fprintf(
        stderr,
        "%s will be run as if host '%s' never came back.\n"
        "Are its machine, its disk or its state lost for good? If it is only down or cut off,\n"
        "bring it back instead: %s could run twice, and what one of the two did would be lost.\n"
        "Type yes to attest it: ",
        moving_name(view), dead, moving_name(view));
    fflush(stderr);
    return fgets(line, sizeof line, stdin) && strcmp(line, "yes\n") == 0;
}

static int resolve(const cli_invocation *inv, const char *dead)
{
    char *path = client_path("/v1/migrations/%s/resolve", cli_argument_at(inv, 0));
    struct json_object *body = json_object_new_object(), *answer;
    char *text;
    int code;

    json_put_string(body, "dead", slice_str(dead));
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
        printf("decided without %s: %s %s\n", dead, moving_name(answer),
               strcmp(field_text(answer, "role"), "target") == 0 ? "is this host's"
                                                                 : "goes on on this host");
    json_object_put(answer);
    free(text);
    free(path);
    return code;
}

int cmd_migration_resolve(const cli_invocation *inv)
{
    const char *dead = cli_value(inv, "attest-dead");
    struct json_object *view = NULL;
    char *path;
    int code;

    if (!dead)
        return output_usage(inv, "say with --attest-dead which host is gone for good");
    if (cli_flag(inv, "yes"))
        return resolve(inv, dead);
    if (!isatty(STDIN_FILENO))
        return output_usage(inv, "there is no terminal to ask at whether that is so: add --yes");
    path = client_path("/v1/migrations/%s", cli_argument_at(inv, 0));
    code = ask(inv, &(client_request){.path = path}, &view);
    free(path);
    if (code == EXIT_DONE && !is_attested(view, dead)) {
        output_note("it was not attested, and nothing is done");
        code = EXIT_FAILED;
    } else if (code == EXIT_DONE) {
        code = resolve(inv, dead);
    }
    json_object_put(view);
    return code;
}
