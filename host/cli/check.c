/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin check`: the command, its lines for people and its JSON for programs. */
#include "cli/check.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/output.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

#include <string.h>
#include <unistd.h>

enum { CONFIG_MAX = 64 << 10, EVENTS_MAX = 16 << 20, SECOND_MS = 1000 };

static const char *const outcomes[] = {"pass", "FAIL", "skip"};

typedef struct view {
    bool json, colours, terminal, drawn;
    struct json_object *list;
    size_t counts[3];
    int64_t began_ns;
} view;

/* ---- While it runs --------------------------------------------------------------------------- */

static void wipe(view *v)
{
    if (v->drawn)
        fputs("\r\x1b[K", stderr);
    v->drawn = false;
}

/* On a terminal, what goes on, once it goes on for a while. */
static void on_begin(void *ctx, const char *name, const char *kind, size_t done, size_t total)
{
    view *v = (view *)ctx;

    if (!v->terminal || clock_mono_ns() - v->began_ns < 1000000000)
        return;
    wipe(v);
    fprintf(stderr, "[%zu of %zu] %s%s%.40s", done + 1, total, name, kind ? " of " : "",
            kind ? kind : "");
    fflush(stderr);
    v->drawn = true;
}

static struct json_object *result_json(const check_result *r)
{
    struct json_object *object = json_object_new_object(), *figures;

    json_put_string(object, "name", slice_str(r->name));
    if (r->kind)
        json_put_string(object, "kind", slice_str(r->kind));
    json_put_string(object, "result",
                    slice_str(r->outcome == CHECK_FAIL ? "fail" : outcomes[r->outcome]));
    json_put_string(object, "text", slice_str(r->text));
    if (r->cure[0])
        json_put_string(object, "cure", slice_str(r->cure));
    figures = json_object_new_object();
    for (size_t i = 0; i < r->figure_count; i++)
        json_put_u64(figures, r->figures[i].name, r->figures[i].value);
    json_put(object, "figures", figures);
    json_put_u64(object, "took_us", (uint64_t)(r->took_ns / 1000));
    return object;
}

static void show(view *v, const check_result *r)
{
    static const char *const codes[] = {"\x1b[32m", "\x1b[1;31m", "\x1b[2m"};
    const char *on = v->colours ? codes[r->outcome] : "", *off = v->colours ? "\x1b[0m" : "";

    wipe(v);
    printf("%s%s%s  %-14s  %s%s%s%s%s\n", on, outcomes[r->outcome], off, r->name,
           r->kind ? r->kind : "", r->kind ? ": " : "", r->text, r->cure[0] ? ": " : "", r->cure);
    fflush(stdout);
}

static void on_result(void *ctx, const check_result *r)
{
    view *v = (view *)ctx;

    v->counts[r->outcome]++;
    if (v->json)
        json_object_array_add(v->list, result_json(r));
    else
        show(v, r);
}

/* ---- Options --------------------------------------------------------------------------------- */

/* A text, or @FILE. */
static berth_status read_config(const char *said, buf **out, slice *config, berth_error *error)
{
    berth_status status;

    if (!said)
        return BERTH_OK;
    if (said[0] != '@') {
        *config = slice_str(said);
    } else {
        status = file_read(said + 1, CONFIG_MAX, 0, out, error);
        if (status != BERTH_OK)
            return status;
        *config = slice_of((*out)->data, (*out)->len);
    }
    if (config->len > CONFIG_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "--config: is longer than the 64 KiB that there may be");
    return BERTH_OK;
}

/* Seconds, as "10" or "0.5". */
static bool read_limit(const char *said, int64_t *ns)
{
    char *end;
    double seconds;

    if (!said)
        return true;
    seconds = strtod(said, &end);
    if (end == said || *end || !(seconds >= 0.1 && seconds <= 3600))
        return false;
    *ns = (int64_t)(seconds * 1e9);
    return true;
}

static int check_file(const cli_invocation *inv, check_options *o, view *v)
{
    berth_error error = {0};
    char took[FORMAT_MAX];
    size_t failed = 0;
    berth_status status = check_plugin(o, &failed, &error);

    wipe(v);
    if (v->json)
        output_json(v->list);
    json_object_put(v->list);
    if (status != BERTH_OK)
        return output_fail(&error);
    if (!v->json) {
        format_duration(took, clock_mono_ns() - v->began_ns);
        printf("\n%zu passed, %zu failed, %zu skipped in %s; --seed %llu repeats it\n",
               v->counts[CHECK_PASS], v->counts[CHECK_FAIL], v->counts[CHECK_SKIP], took,
               (unsigned long long)o->seed);
    }
    (void)inv;
    return failed ? EXIT_REFUSED : EXIT_DONE;
}

int cmd_plugin_check(const cli_invocation *inv)
{
    const char *events_file = cli_value(inv, "events");
    check_options o = {.file = cli_argument_at(inv, 0),
                       .kind = cli_value(inv, "kind"),
                       .seed = cli_number(inv, "seed", random_u64() % 1000000000),
                       .begin = on_begin,
                       .report = on_result};
    view v = {.json = cli_flag(inv, "json"), .began_ns = clock_mono_ns()};
    buf *config = NULL, *events = NULL;
    berth_error error = {0};
    berth_status status;
    int code;

    if (!read_limit(cli_value(inv, "time-limit"), &o.limit_ns))
        return output_usage(inv, "--time-limit: must be seconds from 0.1 to 3600, not '%s'",
                            cli_value(inv, "time-limit"));
    v.colours = output_has_colours(stdout);
    v.terminal = isatty(STDERR_FILENO) && !v.json;
    v.list = json_object_new_array();
    o.ctx = &v;
    status = read_config(cli_value(inv, "config"), &config, &o.config, &error);
    if (status == BERTH_OK && events_file) {
        status = file_read(events_file, EVENTS_MAX, 0, &events, &error);
        if (status == BERTH_OK)
            o.events = slice_of(events->data, events->len);
    }
    if (status == BERTH_OK) {
        code = check_file(inv, &o, &v);
    } else {
        json_object_put(v.list);
        code = output_fail(&error);
    }
    buf_unref(config);
    buf_unref(events);
    return code;
}
