/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/identity.h"
#include "cli/output.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "identity/token_file.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_MAX = 64 << 10 };

static cell_style state_style(const char *state)
{
    if (strcmp(state, "running") == 0)
        return STYLE_GOOD;
    return strcmp(state, "down") == 0 || strcmp(state, "quarantined") == 0 ? STYLE_BAD : STYLE_WARN;
}

static cell_style health_style(const char *health)
{
    return strcmp(health, "unhealthy") == 0  ? STYLE_BAD
           : strcmp(health, "degraded") == 0 ? STYLE_WARN
                                             : STYLE_PLAIN;
}

/* What an operator should know and no column tells; "" most of the time. */
static void remark(char *out, size_t cap, struct json_object *daemon)
{
    const char *reason = field_text(daemon, "reason");
    uint64_t busy = field_u64(daemon, "busy_ns");
    char text[FORMAT_MAX];

    out[0] = 0;
    if (*reason)
        snprintf(out, cap, "%s", reason);
    else if (busy > 1000000000)
        snprintf(out, cap, "in one call for %s", format_duration(text, (int64_t)busy));
    else if (health_style(field_text(daemon, "health")) != STYLE_PLAIN)
        snprintf(out, cap, "%s", field_text(daemon, "health"));
}

static void list_row(tab *t, struct json_object *daemon, bool remarks)
{
    const char *state = field_text(daemon, "state");
    bool down = strcmp(state, "down") == 0;
    char text[FORMAT_MAX], note[512];

    tab_add(t, STYLE_PLAIN, "%s", field_text(daemon, "name"));
    tab_add(t, STYLE_PLAIN, "%s", field_text(daemon, "kind"));
    tab_add(t, STYLE_FAINT, "%s", field_text(daemon, "origin"));
    tab_add(t, state_style(state), "%s", state);
    tab_add(t, STYLE_PLAIN, "%s",
            down ? "-" : format_count(text, field_u64(daemon, "events_processed")));
    tab_add(t, STYLE_PLAIN, "%s",
            down ? "-" : format_count(text, field_u64(daemon, "events_emitted")));
    tab_add(t, STYLE_PLAIN, "%s",
            down ? "-" : format_count(text, field_u64(daemon, "mailbox_events")));
    tab_add(t, STYLE_PLAIN, "%s", down ? "-" : field_ago(text, daemon, "started"));
    if (remarks) {
        remark(note, sizeof note, daemon);
        tab_add(t, STYLE_WARN, "%s", note);
    }
}

int cmd_daemon_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {{"NAME", false},   {"KIND", false},    {"ORIGIN", false},
                                         {"STATE", false},  {"EVENTS", true},   {"OUTPUTS", true},
                                         {"WAITING", true}, {"STARTED", false}, {"NOTE", false}};
    struct json_object *answer, *list;
    int code = ask_list(inv, "/v1/daemons", "daemons", &answer, &list);
    bool remarks = false;
    char note[512];
    tab t;

    if (code != EXIT_DONE)
        return code;
    for (size_t i = 0; i < field_count(list) && !remarks; i++) {
        remark(note, sizeof note, json_object_array_get_idx(list, i));
        remarks = note[0];
    }
    if (cli_flag(inv, "json")) {
        output_json(answer);
    } else {
        tab_begin(&t, columns, remarks ? 9 : 8);
        for (size_t i = 0; i < field_count(list); i++)
            list_row(&t, json_object_array_get_idx(list, i), remarks);
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}

static void show_counts(tab *t, struct json_object *daemon)
{
    char events[FORMAT_MAX], outputs[FORMAT_MAX], errors[FORMAT_MAX], lost[FORMAT_MAX];
    char bytes[FORMAT_MAX];

    page_add(t, STYLE_PLAIN, "events", "%s applied, %s refused",
             format_count(events, field_u64(daemon, "events_processed")),
             format_count(errors, field_u64(daemon, "errors")));
    page_add(t, STYLE_PLAIN, "outputs", "%s, %s lost on their way",
             format_count(outputs, field_u64(daemon, "events_emitted")),
             format_count(lost, field_u64(daemon, "events_lost")));
    page_add(t, STYLE_PLAIN, "mailbox", "%s events, %s",
             format_count(events, field_u64(daemon, "mailbox_events")),
             format_bytes(bytes, field_u64(daemon, "mailbox_bytes")));
    if (field_u64(daemon, "breaks") || field_u64(daemon, "overruns"))
        page_add(t, STYLE_WARN, "trouble", "%s breaks, %s calls past the budget",
                 format_count(errors, field_u64(daemon, "breaks")),
                 format_count(lost, field_u64(daemon, "overruns")));
}

static void show_keeping(tab *t, struct json_object *daemon)
{
    struct json_object *snapshot = field_object(daemon, "snapshot");
    uint64_t every = field_u64(daemon, "auto_snapshot");
    char text[FORMAT_MAX], when[FORMAT_MAX];

    page_add(t, STYLE_PLAIN, "durability", "%s", field_text(daemon, "durability"));
    if (every)
        page_add(t, STYLE_PLAIN, "snapshots", "one after every %s events",
                 format_count(text, every));
    if (field_u64(daemon, "snapshots_taken"))
        page_add(t, STYLE_PLAIN, "snapshots taken", "%s",
                 format_count(text, field_u64(daemon, "snapshots_taken")));
    if (snapshot)
        page_add(t, STYLE_PLAIN, "last snapshot", "%s, %s",
                 format_bytes(text, field_u64(snapshot, "bytes")),
                 field_ago(when, snapshot, "time"));
}

/* A few are named, of many how many there are. */
enum { CHANNELS_SHOWN = 16 };

static void show_channels(tab *t, struct json_object *daemon)
{
    struct json_object *hears = field_array(daemon, "hears");
    struct json_object *serves = field_array(daemon, "serves");
    struct json_object *tokens = field_array(daemon, "tokens");
    char *services = field_joined(serves), when[FORMAT_MAX];

    page_add(t, STYLE_PLAIN, "subscriptions", "%llu",
             (unsigned long long)field_u64(daemon, "subscriptions"));
    for (size_t i = 0; i < field_count(hears) && field_count(hears) <= CHANNELS_SHOWN; i++) {
        struct json_object *one = json_object_array_get_idx(hears, i);
        const char *group = field_text(one, "group"), *from = field_text(one, "publisher");

        page_add(t, STYLE_PLAIN, "hears", "%s%s%s%s%s", field_text(one, "channel"),
                 *group ? " in group " : "", group, *from ? " of node " : "", from);
    }
    if (field_count(serves))
        page_add(t, STYLE_PLAIN, "serves", "%s", services ? services : "");
    page_add(t, STYLE_PLAIN, "accepts from", "%s", field_text(daemon, "accept"));
    for (size_t i = 0; i < field_count(tokens); i++) {
        struct json_object *one = json_object_array_get_idx(tokens, i);

        page_add(t, STYLE_PLAIN, "token", "%s, until %s", field_text(one, "scope"),
                 field_when(when, one, "until"));
    }
    free(services);
}

static void show(struct json_object *daemon)
{
    const char *state = field_text(daemon, "state"), *health = field_text(daemon, "health");
    char text[FORMAT_MAX], saturation[FORMAT_MAX] = "";
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_BOLD, "name", "%s", field_text(daemon, "name"));
    page_add(&t, STYLE_PLAIN, "kind", "%s", field_text(daemon, "kind"));
    page_add(&t, STYLE_PLAIN, "origin", "%s", field_text(daemon, "origin"));
    page_add(&t, STYLE_PLAIN, "entity", "%s", field_text(daemon, "entity"));
    page_add(&t, state_style(state), "state", "%s", state);
    if (*field_text(daemon, "reason"))
        page_add(&t, STYLE_BAD, "reason", "%s", field_text(daemon, "reason"));
    if (strcmp(state, "down") != 0) {
        if (field_u64(daemon, "saturation_ppm"))
            snprintf(saturation, sizeof saturation, ", %.1f%% of its capacity in use",
                     (double)field_u64(daemon, "saturation_ppm") / 1e4);
        page_add(&t, health_style(health), "health", "%s%s", health, saturation);
        page_add(&t, STYLE_PLAIN, "started", "%s", field_when(text, daemon, "started"));
        page_add(&t, STYLE_PLAIN, "incarnation", "%llu, epoch %llu",
                 (unsigned long long)field_u64(daemon, "incarnation"),
                 (unsigned long long)field_u64(daemon, "epoch"));
        show_counts(&t, daemon);
        page_add(&t, STYLE_PLAIN, "sequence", "%llu",
                 (unsigned long long)field_u64(daemon, "sequence"));
        if (field_u64(daemon, "state_bytes"))
            page_add(&t, STYLE_PLAIN, "state size", "about %s",
                     format_bytes(text, field_u64(daemon, "state_bytes")));
        if (field_u64(daemon, "busy_ns"))
            page_add(&t, STYLE_WARN, "busy", "in one call for %s",
                     format_duration(text, (int64_t)field_u64(daemon, "busy_ns")));
        show_channels(&t, daemon);
    }
    show_keeping(&t, daemon);
    if (*field_text(daemon, "plugin"))
        page_add(&t, STYLE_PLAIN, "plugin", "%s", field_text(daemon, "plugin"));
    if (*field_text(daemon, "digest"))
        page_add(&t, STYLE_FAINT, "digest", "%s", field_text(daemon, "digest"));
    tab_end(&t, stdout, output_has_colours(stdout));
}

int cmd_daemon_show(const cli_invocation *inv)
{
    char *path = client_path("/v1/daemons/%s", cli_argument_at(inv, 0));
    int code = ask_show(inv, path, show);

    free(path);
    return code;
}

/* "words (tally, 4f1c...)" and what became of it. */
static void tell(const cli_invocation *inv, struct json_object *daemon, const char *what)
{
    if (cli_flag(inv, "json"))
        output_json(daemon);
    else
        printf("%s %s (%s, origin %s)\n", what, field_text(daemon, "name"),
               field_text(daemon, "kind"), field_text(daemon, "origin"));
}

/* STRING or @FILE into body.config. */
static int add_config(struct json_object *body, const char *said)
{
    berth_error error = {0};
    buf *file = NULL;
    slice bytes = slice_str(said);

    if (said[0] == '@') {
        if (file_read(said + 1, CONFIG_MAX, 0, &file, &error) != BERTH_OK)
            return output_fail(&error);
        bytes = slice_of(file->data, file->len);
    }
    json_put(body, "config", json_bytes_new(bytes));
    buf_unref(file);
    return EXIT_DONE;
}

/* Each value of a repeated option into a list of the body. */
static void add_list(struct json_object *body, const cli_invocation *inv, const char *option)
{
    struct json_object *list = NULL;
    const char *value;

    for (size_t at = 0; (value = cli_next_value(inv, option, &at));) {
        if (!list)
            list = json_object_new_array();
        json_object_array_add(list, json_object_new_string(value));
    }
    if (list)
        json_put(body, option, list);
}

/* The files are looked at here: where they lie, and what is wrong in them, is said as they were
 * named. Whether the daemon can use them the host knows. */
static int add_tokens(struct json_object *body, const cli_invocation *inv)
{
    struct json_object *list = NULL;
    berth_error error = {0};
    const char *path;

    for (size_t at = 0; (path = cli_next_value(inv, "token", &at));) {
        struct json_object *token;
        token_file file;
        char *text;

        if (token_file_read(path, &file, &error) != BERTH_OK) {
            json_object_put(list);
            return output_fail(&error);
        }
        text = token_file_format(&file);
        token = json_bytes_new(slice_str(text ? text : ""));
        free(text);
        json_put_string(token, "name", slice_str(path));
        if (!list)
            list = json_object_new_array();
        json_object_array_add(list, token);
    }
    if (list)
        json_put(body, "tokens", list);
    return EXIT_DONE;
}

int cmd_daemon_spawn(const cli_invocation *inv)
{
    const char *name = cli_value(inv, "name"), *config = cli_value(inv, "config");
    struct json_object *body = json_object_new_object(), *answer = NULL, *identity;
    char seed[IDENTITY_SEED_TEXT] = "", *text = NULL;
    int code = identity_of(inv, seed);

    json_put_string(body, "kind", slice_str(cli_argument_at(inv, 0)));
    if (name)
        json_put_string(body, "name", slice_str(name));
    if (code == EXIT_DONE && config)
        code = add_config(body, config);
    add_list(body, inv, "subscribe");
    add_list(body, inv, "serve");
    if (cli_value(inv, "accept"))
        json_put_string(body, "accept", slice_str(cli_value(inv, "accept")));
    if (code == EXIT_DONE)
        code = add_tokens(body, inv);
    if (code == EXIT_DONE && seed[0]) {
        identity = json_object_new_object();
        json_put_string(identity, "seed", slice_str(seed));
        json_put(body, "identity", identity);
    }
    text = ask_body(body);
    if (code == EXIT_DONE)
        code = ask(inv,
                   &(client_request){.method = "POST",
                                     .path = "/v1/daemons",
                                     .content_type = "application/json",
                                     .body = slice_str(text)},
                   &answer);
    if (code == EXIT_DONE)
        tell(inv, answer, "spawned");
    json_object_put(answer);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(text, strlen(text));
    free(text);
    return code;
}

int cmd_daemon_stop(const cli_invocation *inv)
{
    const char *grace = cli_value(inv, "grace");
    char *path = client_path(grace ? "/v1/daemons/%s?grace_ms=%s" : "/v1/daemons/%s",
                             cli_argument_at(inv, 0), grace);
    struct json_object *answer;
    int code = ask(inv, &(client_request){.method = "DELETE", .path = path}, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("stopped %s (origin %s)\n", field_text(answer, "name"),
               field_text(answer, "origin"));
    json_object_put(answer);
    free(path);
    return code;
}

int cmd_daemon_control(const cli_invocation *inv)
{
    const char *control = cli_argument_at(inv, 1), *operand = cli_argument_at(inv, 2);
    char *path = client_path("/v1/daemons/%s/control", cli_argument_at(inv, 0)), *text;
    struct json_object *body = json_object_new_object(), *answer;
    uint64_t number = 0;
    int code;

    if (strcmp(control, "drain") == 0)
        control = "drain-start";
    json_put_string(body, "control", slice_str(control));
    if (operand && cli_parse_number(operand, &number))
        json_put_u64(body, "operand", number);
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
        printf("%s has handled %s\n", cli_argument_at(inv, 0), control);
    json_object_put(answer);
    free(text);
    free(path);
    return code;
}

/* With those of its parameters that were said. */
static char *restore_path(const cli_invocation *inv)
{
    static const char *const params[] = {"name", "kind", "accept", "takeover"};
    writer w = {0};

    writer_bytes(&w, "/v1/restore", strlen("/v1/restore"));
    for (unsigned i = 0, n = 0; i < 4; i++) {
        const char *value = i == 3 && cli_flag(inv, params[i]) ? "yes" : cli_value(inv, params[i]);
        char *coded = value ? client_path("%s", value) : NULL;

        if (!coded)
            continue;
        writer_u8(&w, n++ ? '&' : '?');
        writer_bytes(&w, params[i], strlen(params[i]));
        writer_u8(&w, '=');
        writer_bytes(&w, coded, strlen(coded));
        free(coded);
    }
    writer_u8(&w, 0);
    if (w.failed)
        abort();
    return (char *)w.data;
}

int cmd_daemon_restore(const cli_invocation *inv)
{
    char header[IDENTITY_SEED_TEXT + 32] = "", seed[IDENTITY_SEED_TEXT] = "";
    struct json_object *answer = NULL;
    int code, fd = -1;
    char *path;

    if (!cli_value(inv, "identity"))
        return output_usage(inv, "--identity FILE is needed: the identity that the snapshot's "
                                 "daemon had");
    code = identity_of(inv, seed);
    path = restore_path(inv);
    if (seed[0])
        snprintf(header, sizeof header, "Berth-Identity: %s", seed);
    if (code == EXIT_DONE && (fd = ask_open(cli_argument_at(inv, 0))) < 0)
        code = EXIT_FAILED;
    if (code == EXIT_DONE)
        code = ask(inv,
                   &(client_request){.method = "POST",
                                     .path = path,
                                     .headers = {seed[0] ? header : NULL},
                                     .stream = true,
                                     .fd = fd,
                                     .progress = "restore"},
                   &answer);
    if (code == EXIT_DONE)
        tell(inv, answer, "restored");
    json_object_put(answer);
    ask_close(fd);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(header, sizeof header);
    free(path);
    return code;
}
