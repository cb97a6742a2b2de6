/* SPDX-License-Identifier: Apache-2.0 */
/* Moving one daemon, and watching it go. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/moving.h"
#include "cli/receiver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, QUIET_MS = 30000, DEADLINE_MS = 300000, LINE_BYTES = 256 };
enum { WORD_TICKS = 50, WORD_TICK_NS = 20000000 }; /* a second in all */

typedef struct move {
    const cli_invocation *inv;
    mover host;
    const char *id;
    struct json_object *view;
    uint64_t deadline_ms;
    bool terminal, visible, told_doubt, aborting;
} move;

/* ---- The line -------------------------------------------------------------------------------- */

static void wipe(move *m)
{
    if (m->visible)
        fputs("\r\x1b[K", stderr);
    m->visible = false;
}

static void draw(move *m)
{
    struct winsize size = {0};
    char line[LINE_BYTES];

    if (!m->terminal) {
        if (moving_is(m->view, "in-doubt") && !m->told_doubt) {
            output_note("%s is on its way to %s, which has not said yet that it came; waiting for "
                        "its word",
                        moving_name(m->view), moving_node(m->view, "target"));
            m->told_doubt = true;
        }
        return;
    }
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        size.ws_col = 80;
    moving_line(line, sizeof line, size.ws_col - 1, m->view);
    fprintf(stderr, "\r\x1b[K%s", line);
    fflush(stderr);
    m->visible = true;
}

/* ---- Until it is over ------------------------------------------------------------------------ */

/* A first Ctrl-C stops the migration; a second one only this command. */
static void interrupted(move *m)
{
    berth_error error = {0};

    wipe(m);
    if (m->host.interrupts > 1 || m->aborting)
        return;
    m->aborting = true;
    if (mover_abort(&m->host, m->id, &error) == BERTH_OK)
        output_note("stopping it");
    else
        output_note("%s; waiting for how it ends", error.text);
}

static bool patience_is_over(const move *m)
{
    return moving_is(m->view, "in-doubt") &&
           field_u64(m->view, "elapsed_ns") / 1000000 > m->deadline_ms;
}

/* Where so many wait at the host that it takes no more: a little later. */
static bool is_crowded(const berth_error *error)
{
    if (error->code != BERTH_ERR_WOULD_BLOCK)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000}, NULL);
    return true;
}

static int watch(move *m)
{
    for (;;) {
        unsigned before = m->host.interrupts;
        berth_error error = {0};
        berth_status status =
            mover_look(&m->host, m->id, m->terminal ? TICK_MS : QUIET_MS, &m->view, &error);

        if (status != BERTH_OK && !is_crowded(&error)) {
            wipe(m);
            output_fail(&error);
            output_note("whether the daemon was moved is not known here: `berth migration show %s`",
                        m->id);
            return EXIT_DOUBT;
        }
        if (m->host.interrupts != before)
            interrupted(m);
        if (m->host.interrupts > 1 || (m->view && (moving_is_over(m->view) || patience_is_over(m))))
            break;
        if (m->view)
            draw(m);
    }
    wipe(m);
    return m->view ? moving_exit(m->view) : EXIT_DOUBT;
}

/* The target says a moment after it runs the daemon whether that hears what it heard. */
static void await_word(move *m)
{
    berth_error error = {0};

    for (unsigned i = 0; i < WORD_TICKS && moving_is(m->view, "moved"); i++) {
        if (moving_is_heard(m->view) || m->host.interrupts)
            return;
        nanosleep(&(struct timespec){.tv_nsec = WORD_TICK_NS}, NULL);
        if (mover_look(&m->host, m->id, 0, &m->view, &error) != BERTH_OK)
            return; /* it was moved: nothing else matters */
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static void conclude(move *m)
{
    char paused[FORMAT_MAX], took[FORMAT_MAX], bytes[FORMAT_MAX], why[1024];
    struct json_object *v = m->view;

    if (cli_flag(m->inv, "json") && v)
        output_json(v);
    if (moving_is(v, "moved") && !cli_flag(m->inv, "json"))
        printf("%s runs on %s now; it ran nowhere for %s (%s from %s in %s)\n", moving_name(v),
               moving_node(v, "target"), format_rtt(paused, field_u64(v, "blackout_ns")),
               format_bytes(bytes, field_u64(v, "bytes_total")), moving_node(v, "source"),
               format_rtt(took, field_u64(v, "elapsed_ns")));
    if (*moving_unheard(why, sizeof why, v))
        output_note("%s", why);
    if (moving_is(v, "moved"))
        return;
    if (moving_is(v, "failed"))
        output_note("%s stays on %s: %s", moving_name(v), moving_node(v, "source"),
                    moving_why(why, sizeof why, v));
    else if (moving_is(v, "in-doubt"))
        output_note("%s is in doubt: it waits for the word of %s; `berth migration show %s`",
                    moving_name(v), moving_node(v, "waits_for"), m->id);
    else if (moving_is(v, "unknown"))
        output_note("nobody has said how it ended: %s; look for %s on %s and on %s",
                    moving_why(why, sizeof why, v), moving_name(v), moving_node(v, "source"),
                    moving_node(v, "target"));
    else
        output_note("it goes on: `berth migration show %s`", m->id);
}

static int follow(move *m, struct json_object *answer)
{
    int code;

    m->id = field_text(answer, "id");
    if (!*m->id) { /* a dry run */
        if (cli_flag(m->inv, "json"))
            output_json(answer);
        else
            printf("%s could go from %s to %s%s; whether it is let in, only the attempt can tell\n",
                   cli_argument_at(m->inv, 0), moving_node(answer, "source"),
                   moving_node(answer, "target"),
                   field_bool(answer, "announced") ? ", which has its kind" : "");
        return EXIT_DONE;
    }
    if (cli_flag(m->inv, "no-wait")) {
        if (cli_flag(m->inv, "json"))
            output_json(answer);
        else
            printf("on its way: `berth migration show %s`\n", m->id);
        return EXIT_DONE;
    }
    m->terminal = isatty(STDERR_FILENO) && !cli_flag(m->inv, "json");
    code = watch(m);
    await_word(m);
    conclude(m);
    return code;
}

/* ---- The begin ------------------------------------------------------------------------------- */

/* NULL: it has been said, with this exit code. */
static struct json_object *make_body(const cli_invocation *inv, int *code)
{
    const char *node = cli_argument_at(inv, 1), *retry = cli_value(inv, "retry");
    struct json_object *body = json_object_new_object();

    *code = EXIT_DONE;
    if (!node && !cli_flag(inv, "auto"))
        *code = output_usage(inv, "NODE: is missing: say where to, or --auto");
    else if (node && cli_flag(inv, "auto"))
        *code = output_usage(inv, "NODE: '%s' and --auto: keep one of them", node);
    else if (node)
        json_put_string(body, "node", slice_str(node));
    else
        json_put(body, "auto", json_object_new_boolean(true));
    json_put(body, "transport_identity", json_object_new_boolean(!cli_flag(inv, "no-identity")));
    if (cli_flag(inv, "dry-run"))
        json_put(body, "dry_run", json_object_new_boolean(true));
    if (*code == EXIT_DONE)
        *code = moving_read_time(inv, "deadline", "deadline_ms", body);
    if (*code == EXIT_DONE)
        *code = moving_read_time(inv, "max-hold", "max_hold_ms", body);
    if (*code == EXIT_DONE && retry && strcmp(retry, "0") == 0)
        json_put(body, "retry_not_ready_ms", json_object_new_uint64(0));
    else if (*code == EXIT_DONE)
        *code = moving_read_time(inv, "retry", "retry_not_ready_ms", body);
    if (*code == EXIT_DONE)
        return body;
    json_object_put(body);
    return NULL;
}

int cmd_migrate(const cli_invocation *inv)
{
    move m = {.inv = inv, .deadline_ms = DEADLINE_MS};
    struct json_object *body, *answer = NULL;
    berth_error error = {0};
    char *daemon;
    int code;

    body = make_body(inv, &code);
    if (!body)
        return code;
    if (cli_value(inv, "deadline"))
        m.deadline_ms = field_u64(body, "deadline_ms");
    daemon = receiver_of(inv, cli_argument_at(inv, 0), &code);
    if (!daemon) {
        json_object_put(body);
        return code;
    }
    json_put_string(body, "daemon", slice_str(daemon));
    free(daemon);
    if (mover_open(&m.host, inv, &error) != BERTH_OK) {
        json_object_put(body);
        code = output_fail(&error);
    } else if (mover_begin(&m.host, body, &answer, &error) != BERTH_OK) {
        code = output_fail(&error);
    } else {
        code = follow(&m, answer);
    }
    json_object_put(m.view);
    json_object_put(answer);
    mover_close(&m.host);
    return code;
}
