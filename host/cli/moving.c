/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/moving.h"

#include "base/error.h"
#include "cli/ask.h"
#include "cli/fields.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Asking ---------------------------------------------------------------------------------- */

berth_status mover_open(mover *m, const cli_invocation *inv, berth_error *error)
{
    sigset_t interrupt;

    *m = (mover){0};
    /* A request that waits looks for it; between two of them it must not end the command. */
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, NULL);
    return client_open(&m->client, inv, error);
}

void mover_close(mover *m)
{
    client_close(m->client);
}

int moving_read_time(const cli_invocation *inv, const char *option, const char *member,
                     struct json_object *body)
{
    const char *text = cli_value(inv, option);
    uint64_t ms;

    if (!text)
        return EXIT_DONE;
    if (!format_parse_wait(text, MOVING_MOST_MS, &ms))
        return output_usage(inv,
                            "--%s: must be a time from 1ms to 24h, as 500ms, 30s or 5m, not "
                            "'%.64s'",
                            option, text);
    json_put(body, member, json_object_new_uint64(ms));
    return EXIT_DONE;
}

berth_status mover_begin(mover *m, struct json_object *body, struct json_object **answer,
                         berth_error *error)
{
    char *text = ask_body(body);
    berth_status status = client_json(m->client,
                                      &(client_request){.method = "POST",
                                                        .path = "/v1/migrations",
                                                        .content_type = "application/json",
                                                        .body = slice_str(text)},
                                      answer, error);

    free(text);
    return status;
}

berth_status mover_look(mover *m, const char *id, unsigned wait_ms, struct json_object **view,
                        berth_error *error)
{
    struct json_object *fresh = NULL;
    bool interrupted = false;
    char wait[16], *path;
    berth_status status;

    snprintf(wait, sizeof wait, "%u", wait_ms);
    path = client_path("/v1/migrations/%s?wait_ms=%s", id, wait);
    status = client_json(
        m->client,
        &(client_request){.path = path, .until_interrupted = true, .interrupted = &interrupted},
        &fresh, error);
    free(path);
    if (interrupted) {
        json_object_put(fresh);
        *error = (berth_error){0};
        m->interrupts++;
        return BERTH_OK;
    }
    if (status == BERTH_OK) {
        json_object_put(*view);
        *view = fresh;
    }
    return status;
}

berth_status mover_abort(mover *m, const char *id, berth_error *error)
{
    char *path = client_path("/v1/migrations/%s", id);
    struct json_object *answer = NULL;
    berth_status status =
        client_json(m->client, &(client_request){.method = "DELETE", .path = path}, &answer, error);

    json_object_put(answer);
    free(path);
    return status;
}

/* ---- What it says ---------------------------------------------------------------------------- */

bool moving_is(struct json_object *view, const char *state)
{
    return strcmp(field_text(view, "state"), state) == 0;
}

bool moving_is_over(struct json_object *view)
{
    return moving_is(view, "moved") || moving_is(view, "failed") || moving_is(view, "unknown");
}

const char *moving_name(struct json_object *view)
{
    return *field_text(view, "name") ? field_text(view, "name") : field_text(view, "origin");
}

const char *moving_node(struct json_object *view, const char *which)
{
    char name[32];

    snprintf(name, sizeof name, "%s_name", which);
    return *field_text(view, name) ? field_text(view, name) : field_text(view, which);
}

cell_style moving_style(struct json_object *view)
{
    return moving_is(view, "moved")    ? STYLE_GOOD
           : moving_is(view, "failed") ? STYLE_BAD
           : moving_is(view, "moving") ? STYLE_PLAIN
                                       : STYLE_WARN;
}

int moving_exit(struct json_object *view)
{
    const char *reason = field_text(view, "reason");

    if (moving_is(view, "moved"))
        return EXIT_DONE;
    if (!moving_is(view, "failed"))
        return EXIT_DOUBT;
    if (strcmp(reason, "refused") == 0 || strcmp(reason, "identity-transport-failed") == 0)
        return EXIT_REFUSED;
    if (strcmp(reason, "timeout") == 0 || strcmp(reason, "not-ready-timeout") == 0)
        return EXIT_TIMEOUT;
    return EXIT_FAILED;
}

char *moving_why(char *out, size_t cap, struct json_object *view)
{
    const char *reason = field_text(view, "reason"), *message = field_text(view, "message");

    snprintf(out, cap, "%s%s%s", reason, *reason && *message ? ": " : "", message);
    return out;
}

bool moving_is_heard(struct json_object *view)
{
    struct json_object *heard = field_object(view, "subscriptions");

    return heard && !field_u64(heard, "pending");
}

char *moving_unheard(char *out, size_t cap, struct json_object *view)
{
    struct json_object *heard = field_object(view, "subscriptions");
    uint64_t missing = field_u64(heard, "missing"), total = field_u64(heard, "total");

    out[0] = '\0';
    if (missing)
        snprintf(out, cap,
                 "%" PRIu64 " of %" PRIu64 " subscription%s not yet made: channel %s of %s: %s; "
                 "it is tried again",
                 missing, total, total == 1 ? "" : "s", field_text(heard, "channel"),
                 moving_node(heard, "publisher"), field_text(heard, "message"));
    return out;
}

static size_t add(char *out, size_t cap, size_t at, const char *format, const char *text)
{
    int n = at < cap ? snprintf(out + at, cap - at, format, text) : 0;

    return at + (n > 0 ? (size_t)n : 0);
}

char *moving_line(char *out, size_t cap, size_t columns, struct json_object *view)
{
    uint64_t sent = field_u64(view, "bytes_sent"), all = field_u64(view, "bytes_total");
    uint64_t held = field_u64(view, "held_events"), blackout = field_u64(view, "blackout_ns");
    double seconds = (double)field_u64(view, "phase_ns") / 1e9;
    char text[FORMAT_MAX];
    size_t at = add(out, cap, 0, "%s", moving_name(view));

    at = add(out, cap, at, " to %s", moving_node(view, "target"));
    at = add(out, cap, at, "  %s", field_text(view, "phase"));
    if (field_bool(view, "fetching"))
        at = add(out, cap, at, "%s", ", fetches the plugin");
    if (moving_is(view, "in-doubt"))
        at = add(out, cap, at, "  in doubt: waits for %s", moving_node(view, "waits_for"));
    if (all) {
        at = add(out, cap, at, "  %s", format_bytes(text, sent));
        at = add(out, cap, at, " of %s", format_bytes(text, all));
    }
    if (sent && seconds > 0 && strcmp(field_text(view, "phase"), "transfer") == 0)
        at = add(out, cap, at, "  %s/s", format_bytes(text, (uint64_t)((double)sent / seconds)));
    if (held)
        at = add(out, cap, at, "  %s held", format_count(text, held));
    if (blackout)
        add(out, cap, at, "  paused for %s", format_rtt(text, blackout));
    if (columns && columns < strlen(out))
        out[columns] = 0;
    return out;
}

char *moving_change(char *out, size_t cap, struct json_object *change)
{
    char line[1024], why[1024];
    const char *state = moving_is_over(change) ? field_text(change, "state") : "";

    moving_line(line, sizeof line, 0, change);
    moving_why(why, sizeof why, change);
    /* To the millisecond: what is behind it only disturbs the eye. */
    snprintf(out, cap, "%.23sZ  %.*s  %s%s%s%s%s", field_text(change, "time"), MOVING_ID_SHOWN,
             field_text(change, "id"), line, *state ? "  " : "", state, *why ? ": " : "", why);
    return out;
}
