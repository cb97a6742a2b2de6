/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/mesh.h"
#include "cli/output.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <string.h>

static void show_host(tab *t, struct json_object *status)
{
    const char *state = field_text(status, "state"), *dir = field_text(status, "state_dir");
    char text[FORMAT_MAX];

    page_add(t, STYLE_BOLD, "host", "%s", field_text(status, "name"));
    page_add(t, strcmp(state, "ready") == 0 ? STYLE_GOOD : STYLE_WARN, "state", "%s, up %s", state,
             format_duration(text, (int64_t)field_u64(status, "uptime_ns")));
    page_add(t, STYLE_PLAIN, "version", "berth %s, plugin abi %s", field_text(status, "version"),
             field_text(status, "abi"));
    page_add(t, STYLE_PLAIN, "node", "%s", field_text(status, "node"));
    page_add(t, STYLE_PLAIN, "process", "%llu, %llu threads for daemons",
             (unsigned long long)field_u64(status, "pid"),
             (unsigned long long)field_u64(status, "threads"));
    page_add(t, STYLE_PLAIN, "socket", "%s", field_text(status, "socket"));
    page_add(t, field_bool(status, "ephemeral") ? STYLE_WARN : STYLE_PLAIN, "state kept", "%s",
             field_bool(status, "ephemeral") ? "no: ephemeral" : dir);
}

/* "3 running, 1 down", in the order of how much attention each needs. */
static void count_states(char *out, size_t cap, struct json_object *daemons)
{
    static const char *const states[] = {"running", "held", "stopping", "quarantined", "down"};
    char count[FORMAT_MAX];

    out[0] = 0;
    for (size_t k = 0; k < sizeof states / sizeof *states; k++) {
        size_t n = 0, len = strlen(out);

        for (size_t i = 0; i < field_count(daemons); i++)
            n += strcmp(field_text(json_object_array_get_idx(daemons, i), "state"), states[k]) == 0;
        if (n)
            snprintf(out + len, cap - len, "%s%s %s", len ? ", " : "", format_count(count, n),
                     states[k]);
    }
    if (!out[0])
        snprintf(out, cap, "none");
}

/* What always shows, whatever it is; of the rest only what is not zero. */
static bool is_shown(const char *key, uint64_t value)
{
    if (strcmp(key, "events_processed") == 0 || strcmp(key, "events_emitted") == 0)
        return true;
    return value && strcmp(key, "daemons") != 0;
}

static void show_counters(tab *t, struct json_object *counters)
{
    char text[FORMAT_MAX], name[64];

    if (!counters)
        return;
    json_object_object_foreach(counters, key, value)
    {
        if (!is_shown(key, json_object_get_uint64(value)))
            continue;
        snprintf(name, sizeof name, "%s", key);
        for (char *at = name; *at; at++) {
            if (*at == '_')
                *at = ' ';
        }
        if (strstr(key, "bytes"))
            format_bytes(text, json_object_get_uint64(value));
        else
            format_count(text, json_object_get_uint64(value));
        page_add(t, STYLE_PLAIN, name, "%s", text);
    }
}

static void show_down(struct json_object *down)
{
    static const tab_column columns[] = {
        {"DOWN", false}, {"KIND", false}, {"ORIGIN", false}, {"REASON", false}};
    tab t;

    if (!field_count(down))
        return;
    putchar('\n');
    tab_begin(&t, columns, 4);
    for (size_t i = 0; i < field_count(down); i++) {
        struct json_object *daemon = json_object_array_get_idx(down, i);

        tab_add(&t, STYLE_BAD, "%s", field_text(daemon, "name"));
        tab_add(&t, STYLE_PLAIN, "%s", field_text(daemon, "kind"));
        tab_add(&t, STYLE_FAINT, "%s", field_text(daemon, "origin"));
        tab_add(&t, STYLE_PLAIN, "%s", field_text(daemon, "reason"));
    }
    tab_end(&t, stdout, output_has_colours(stdout));
}

/* The node's own id stands above. */
static void show_mesh(tab *t, struct json_object *mesh)
{
    char *listening;

    if (!mesh)
        return;
    listening = field_joined(field_array(mesh, "listening"));
    page_add(t, STYLE_PLAIN, "mesh", "listening at %s", listening);
    free(listening);
    mesh_add_health(t, mesh);
}

static void show(struct json_object *status, struct json_object *daemons,
                 struct json_object *plugins)
{
    char states[256];
    tab t;

    page_begin(&t);
    show_host(&t, status);
    count_states(states, sizeof states, daemons);
    page_add(&t, STYLE_PLAIN, "plugins", "%zu", field_count(plugins));
    page_add(&t, STYLE_PLAIN, "daemons", "%s", states);
    show_mesh(&t, field_object(status, "mesh"));
    show_counters(&t, field_object(status, "counters"));
    tab_end(&t, stdout, output_has_colours(stdout));
    show_down(field_array(status, "down"));
}

int cmd_status(const cli_invocation *inv)
{
    struct json_object *status, *daemons = NULL, *plugins = NULL, *list, *loaded;
    int code = ask(inv, &(client_request){.path = "/v1/status"}, &status);

    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(status);
    } else if (code == EXIT_DONE) {
        code = ask_list(inv, "/v1/daemons", "daemons", &daemons, &list);
        if (code == EXIT_DONE)
            code = ask_list(inv, "/v1/plugins", "plugins", &plugins, &loaded);
        if (code == EXIT_DONE)
            show(status, list, loaded);
    }
    json_object_put(status);
    json_object_put(daemons);
    json_object_put(plugins);
    return code;
}

static bool print_piece(void *ctx, slice piece)
{
    (void)ctx;
    return fwrite(piece.ptr, 1, piece.len, stdout) == piece.len;
}

static bool keep_piece(void *ctx, slice piece)
{
    writer_bytes((writer *)ctx, piece.ptr, piece.len);
    return true;
}

int cmd_metrics(const cli_invocation *inv)
{
    client_request request = {.path = "/v1/metrics", .sink = print_piece};
    struct json_object *object;
    writer text = {0};
    int code;

    if (!cli_flag(inv, "json"))
        return ask_stream(inv, &request);
    request.sink = keep_piece;
    request.ctx = &text;
    code = ask_stream(inv, &request);
    if (code == EXIT_DONE) {
        object = json_bytes_new(slice_of(text.data, text.len));
        output_json(object);
        json_object_put(object);
    }
    writer_free(&text);
    return code;
}
