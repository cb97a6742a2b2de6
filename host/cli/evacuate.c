/* SPDX-License-Identifier: Apache-2.0 */
/* Every daemon off this host: some at a time, until each has moved or has said why it stays. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/moving.h"
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>

enum { PARALLEL = 4, PARALLEL_MOST = 32, TICK_MS = 100 };

typedef struct passenger {
    struct json_object *daemon;
    struct json_object *begun; /* the answer that has its id, or NULL */
    struct json_object *view;
    bool over;
    char why[BERTH_ERROR_TEXT]; /* why it was not even begun */
} passenger;

typedef struct evacuation {
    const cli_invocation *inv;
    mover host;
    progress progress;
    passenger *all;
    size_t count, next, done, under_way;
    bool stopping;
} evacuation;

/* ---- One of them ----------------------------------------------------------------------------- */

static int begin(evacuation *e, passenger *p)
{
    const char *to = cli_value(e->inv, "to");
    struct json_object *body = json_object_new_object();
    berth_error error = {0};
    int code;

    json_put_string(body, "daemon", slice_str(field_text(p->daemon, "origin")));
    if (to)
        json_put_string(body, "node", slice_str(to));
    else
        json_put(body, "auto", json_object_new_boolean(true));
    code = moving_read_time(e->inv, "deadline", "deadline_ms", body);
    if (code != EXIT_DONE) {
        json_object_put(body);
        return code;
    }
    if (mover_begin(&e->host, body, &p->begun, &error) == BERTH_OK) {
        e->under_way++;
        return EXIT_DONE;
    }
    text_escape(p->why, sizeof p->why, error.text, strlen(error.text));
    p->over = true;
    e->done++;
    return error.code == BERTH_ERR_NO_HOST || error.code == BERTH_ERR_LOST ? output_fail(&error)
                                                                           : EXIT_DONE;
}

static void stop_all(evacuation *e)
{
    if (e->stopping)
        return;
    e->stopping = true;
    progress_end(&e->progress);
    output_note("stopping");
    for (size_t i = 0; i < e->next; i++) {
        berth_error unread = {0};

        if (e->all[i].begun && !e->all[i].over)
            mover_abort(&e->host, field_text(e->all[i].begun, "id"), &unread);
    }
}

static int look(evacuation *e, passenger *p, unsigned wait_ms)
{
    unsigned before = e->host.interrupts;
    berth_error error = {0};
    berth_status status =
        mover_look(&e->host, field_text(p->begun, "id"), wait_ms, &p->view, &error);

    if (status != BERTH_OK && status != BERTH_ERR_WOULD_BLOCK) {
        progress_end(&e->progress);
        output_fail(&error);
        return EXIT_DOUBT;
    }
    if (e->host.interrupts != before)
        stop_all(e);
    if (p->view && moving_is_over(p->view)) {
        p->over = true;
        e->under_way--;
        e->done++;
    }
    return EXIT_DONE;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static bool is_under_way(const passenger *p)
{
    return p->begun && !p->over;
}

/* Waits for the oldest one, then looks at the others too. */
static int advance(evacuation *e)
{
    unsigned wait_ms = TICK_MS;
    int code = EXIT_DONE;

    for (size_t i = 0; i < e->next && code == EXIT_DONE; i++) {
        if (!is_under_way(&e->all[i]))
            continue;
        code = look(e, &e->all[i], wait_ms);
        wait_ms = 0;
    }
    progress_update(&e->progress, e->done, e->count, clock_mono_ns());
    return code;
}

static int move_all(evacuation *e)
{
    size_t parallel = cli_number(e->inv, "parallel", PARALLEL);
    int code = EXIT_DONE;

    while (code == EXIT_DONE && e->host.interrupts < 2) {
        while (code == EXIT_DONE && !e->stopping && e->under_way < parallel && e->next < e->count)
            code = begin(e, &e->all[e->next++]);
        if (code != EXIT_DONE || !e->under_way)
            break;
        code = advance(e);
    }
    return code;
}

/* ---- What became of them --------------------------------------------------------------------- */

static const char *result_of(const passenger *p, char *why, size_t cap)
{
    if (p->view && moving_is(p->view, "failed"))
        return moving_why(why, cap, p->view);
    if (p->why[0])
        return p->why;
    return p->view ? field_text(p->view, "state") : "not begun";
}

static struct json_object *describe(const passenger *p)
{
    struct json_object *o = json_object_new_object();
    char why[1024];

    json_put_string(o, "name", slice_str(field_text(p->daemon, "name")));
    json_put_string(o, "origin", slice_str(field_text(p->daemon, "origin")));
    json_put(o, "moved", json_object_new_boolean(p->view && moving_is(p->view, "moved")));
    json_put(o, "migration", json_object_get(p->view));
    if (!p->view || !moving_is(p->view, "moved"))
        json_put_string(o, "message", slice_str(result_of(p, why, sizeof why)));
    return o;
}

static void print_json(const evacuation *e, size_t moved)
{
    struct json_object *o = json_object_new_object(), *list = json_object_new_array();

    json_put(o, "moved", json_object_new_uint64(moved));
    json_put(o, "stayed", json_object_new_uint64(e->count - moved));
    for (size_t i = 0; i < e->count; i++)
        json_object_array_add(list, describe(&e->all[i]));
    json_put(o, "daemons", list);
    output_json(o);
    json_object_put(o);
}

static void print_table(const evacuation *e)
{
    static const tab_column columns[] = {
        {"NAME", false}, {"KIND", false}, {"TO", false}, {"PAUSED", true}, {"RESULT", false}};
    char paused[FORMAT_MAX], why[1024];
    tab t;

    tab_begin(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < e->count; i++) {
        const passenger *p = &e->all[i];
        bool moved = p->view && moving_is(p->view, "moved");

        tab_add(&t, STYLE_BOLD, "%s", field_text(p->daemon, "name"));
        tab_add(&t, STYLE_PLAIN, "%s", field_text(p->daemon, "kind"));
        tab_add(&t, STYLE_PLAIN, "%s", p->view ? moving_node(p->view, "target") : "");
        tab_add(&t, STYLE_PLAIN, "%s",
                moved ? format_rtt(paused, field_u64(p->view, "blackout_ns")) : "");
        tab_add(&t, moved ? STYLE_GOOD : STYLE_BAD, "%s", result_of(p, why, sizeof why));
    }
    tab_end(&t, stdout, output_has_colours(stdout));
}

static int conclude(const evacuation *e, int code, int64_t took_ns)
{
    size_t moved = 0, doubtful = 0;
    char took[FORMAT_MAX];

    for (size_t i = 0; i < e->count; i++) {
        const passenger *p = &e->all[i];

        moved += p->view && moving_is(p->view, "moved");
        doubtful += is_under_way(p) || (p->view && moving_exit(p->view) == EXIT_DOUBT);
    }
    if (cli_flag(e->inv, "json")) {
        print_json(e, moved);
    } else {
        if (e->count)
            print_table(e);
        printf("moved %zu of %zu daemon%s in %s\n", moved, e->count, e->count == 1 ? "" : "s",
               format_rtt(took, (uint64_t)took_ns));
    }
    if (code != EXIT_DONE)
        return code;
    return doubtful ? EXIT_DOUBT : moved < e->count ? EXIT_FAILED : EXIT_DONE;
}

/* ---- The begin ------------------------------------------------------------------------------- */

/* Is it this host that is to be left? */
static int check_host(const cli_invocation *inv)
{
    const char *node = cli_argument_at(inv, 0);
    uint64_t parallel = cli_number(inv, "parallel", PARALLEL);
    struct json_object *mesh;
    int code;

    if (!node && !cli_flag(inv, "all"))
        return output_usage(inv, "NODE: is missing: say which host is to be left, or --all");
    if (node && cli_flag(inv, "all"))
        return output_usage(inv, "NODE: '%s' and --all: keep one of them", node);
    if (cli_value(inv, "to") && cli_flag(inv, "auto"))
        return output_usage(inv, "--to and --auto: keep one of them");
    if (parallel < 1 || parallel > PARALLEL_MOST)
        return output_usage(inv, "--parallel: must be from 1 to %d", PARALLEL_MOST);
    code = ask(inv, &(client_request){.path = "/v1/mesh"}, &mesh);
    if (code == EXIT_DONE && node && strcmp(node, field_text(mesh, "name")) != 0 &&
        strcmp(node, field_text(mesh, "node")) != 0) {
        output_note("this host is %s, not %s: daemons leave a host by its own socket",
                    field_text(mesh, "name"), node);
        code = EXIT_FAILED;
    }
    json_object_put(mesh);
    return code;
}

static int evacuate(evacuation *e, struct json_object *list)
{
    int64_t began = clock_mono_ns();
    int code;

    e->count = field_count(list);
    e->all = calloc(e->count + 1, sizeof *e->all);
    if (!e->all)
        abort();
    for (size_t i = 0; i < e->count; i++)
        e->all[i].daemon = json_object_array_get_idx(list, i);
    progress_begin(&e->progress, cli_flag(e->inv, "json") ? NULL : "evacuate", began);
    e->progress.counts = true;
    code = move_all(e);
    progress_end(&e->progress);
    code = conclude(e, code, clock_mono_ns() - began);
    for (size_t i = 0; i < e->count; i++) {
        json_object_put(e->all[i].begun);
        json_object_put(e->all[i].view);
    }
    free(e->all);
    return code;
}

int cmd_daemon_evacuate(const cli_invocation *inv)
{
    evacuation e = {.inv = inv};
    struct json_object *answer = NULL, *list, *body = json_object_new_object();
    berth_error error = {0};
    int code = moving_read_time(inv, "deadline", "deadline_ms", body);

    json_object_put(body);
    if (code == EXIT_DONE)
        code = check_host(inv);
    if (code == EXIT_DONE)
        code = ask_list(inv, "/v1/daemons", "daemons", &answer, &list);
    if (code == EXIT_DONE && mover_open(&e.host, inv, &error) != BERTH_OK)
        code = output_fail(&error);
    else if (code == EXIT_DONE)
        code = evacuate(&e, list);
    mover_close(&e.host);
    json_object_put(answer);
    return code;
}
