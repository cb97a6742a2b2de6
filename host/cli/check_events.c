/* SPDX-License-Identifier: Apache-2.0 */
/* What events may look like, and where they may lie. */
#include "cli/check_checks.h"
#include "cli/check_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first are tried in any case, the others as far as there is time. */
static const size_t sizes[] = {0,   1,   3,   7,    4097, 65535, 65536, 1 << 20, 2,
                               4,   5,   8,   9,    15,   16,    17,    31,      32,
                               33,  63,  64,  65,   100,  127,   128,   255,     256,
                               257, 511, 512, 1000, 4095, 4096,  8191,  65537};

enum { SIZES = sizeof sizes / sizeof *sizes, IN_ANY_CASE = 8, LARGEST = 1 << 20, FILLS = 4 };

static void fill(uint8_t *room, unsigned how, script_random *r)
{
    static const char words[] = "the quick brown fox ";

    for (size_t i = 0; i < LARGEST; i++) {
        room[i] = how == 0   ? (uint8_t)words[i % (sizeof words - 1)]
                  : how == 1 ? 0
                  : how == 2 ? '9'
                             : (uint8_t)script_next(r);
    }
}

static void deliver_bytes(check_daemon *d, const void *ptr, size_t len, uint32_t number)
{
    berth_event e = {.size = sizeof e,
                     .type = BERTH_EVENT_MESSAGE,
                     .time_ns = INT64_C(1800000000) * 1000000000 + number,
                     .seed = {number, 7},
                     .data = {ptr, len},
                     .attempt = 1};

    host_deliver(d, &e, NULL);
}

/* Every size up against its guard, of several contents; then the script itself. */
static unsigned at_bounds(check *c, host_lend lend, uint8_t *room)
{
    const char *where = lend == LEND_END ? "up against the end" : "right at the beginning";
    script_random r = {c->options->seed ^ 0xb0};
    unsigned done = 0;
    check_daemon *d;

    host_set_lend(c->host, lend);
    check_detail(c, "configuration and name %s of memory", where);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (unsigned how = 0; how < FILLS; how++) {
        fill(room, how, &r);
        for (unsigned i = 0; i < SIZES; i++, done++) {
            if ((how > 0 || i >= IN_ANY_CASE) && !check_has_time(c))
                break;
            check_detail(c, "an event of %zu bytes %s of memory", sizes[i], where);
            deliver_bytes(d, room, sizes[i], done);
        }
    }
    host_play_all(d, 0, c->shared->event_count, NULL);
    host_destroy(d);
    return done + c->shared->event_count;
}

void check_events_bounds(check *c)
{
    uint8_t *room = (uint8_t *)malloc(LARGEST);
    const char *broken;
    unsigned done;

    if (!room)
        abort();
    check_open(c, TABLES_PLAIN);
    done = at_bounds(c, LEND_END, room);
    done += at_bounds(c, LEND_BEGIN, room);
    broken = host_broken_rule(c->host, RULE_RESERVE);
    if (broken)
        check_fail(c, host_rule_cure(RULE_RESERVE), "%s", broken);
    check_figure_add(c, "events", done);
    check_pass(c, "%u events of 0 bytes to 1 MiB, with nothing before or behind them", done);
}

void check_events_read_only(check *c)
{
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    host_set_lend(c->host, LEND_READ_ONLY);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, c->shared->event_count, NULL);
    host_destroy(d);
    check_pass(c, "%u events in read-only memory, at odd addresses", c->shared->event_count);
}

void check_events_borrowed(check *c)
{
    enum { MOST = 120 }; /* each takes a few regions of the board */
    uint32_t count = c->shared->event_count < MOST ? c->shared->event_count : MOST;
    berth_daemon_status status;
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    host_set_lend(c->host, LEND_BORROWED);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, count, NULL);
    check_detail(c, "after the last event");
    if (c->kind->table.status)
        host_status(d, &status, NULL);
    if (c->facts->stateful)
        host_snapshot(d, c->facts->state_writes, NULL, NULL);
    host_destroy(d);
    check_pass(c, "%u events whose memory was gone after their call", count);
}

/* ---- What a later host may say --------------------------------------------------------------- */

static void must_not_break(check *c, berth_code code, const char *what)
{
    if (code == BERTH_E_BROKEN)
        check_fail(c, "ignore values that you do not know: a later host may have more of them",
                   "answered BROKEN to %s", what);
}

void check_events_unknown(check *c)
{
    static const int32_t values[] = {0, 7, 77, 30000, -1, INT32_MAX, INT32_MIN};
    char what[80];
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    check_detail(c, "%s", "");
    d = host_create_or_fail(c, NULL);
    check_detail(c, "with an unknown reason");
    must_not_break(c, host_start(d, 99, NULL), "an unknown reason to start");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(what, sizeof what, "an unknown control, %d", (int)values[i]);
        check_detail(c, "%s", what);
        must_not_break(c, host_control(d, values[i], UINT64_MAX, NULL), what);
    }
    for (int32_t control = BERTH_CONTROL_SHUTDOWN; control <= BERTH_CONTROL_BACKPRESSURE_OFF;
         control++) {
        snprintf(what, sizeof what, "control %d with a large operand", (int)control);
        check_detail(c, "%s", what);
        must_not_break(c, host_control(d, control, UINT64_MAX, NULL), what);
    }
    for (uint32_t i = 0; i < c->shared->event_count; i++) {
        berth_event e;

        script_event(c->script, i, &e);
        e.flags = (uint16_t)(1u << (i % 16));
        e.status = values[i % (sizeof values / sizeof *values)];
        e.attempt = i % 3 ? i : UINT32_MAX;
        snprintf(what, sizeof what, "a message with flags %#x, status %d, attempt %u", e.flags,
                 (int)e.status, e.attempt);
        check_detail(c, "%s", what);
        must_not_break(c, host_deliver(d, &e, NULL), what);
    }
    host_destroy(d);
    check_pass(c, "unknown reasons, controls, flags and statuses did no harm");
}

/* ---- Refusing is not changing ---------------------------------------------------------------- */

void check_events_reject(check *c)
{
    uint8_t *before = NULL;
    size_t before_len = 0;
    uint32_t rejected = 0;
    check_daemon *d;
    slice state;

    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (uint32_t i = 0; i < c->shared->event_count && check_has_time(c); i++) {
        berth_event e;
        char text[CHECK_DETAIL];
        berth_code code;

        script_event(c->script, i, &e);
        code = host_deliver(d, &e, NULL);
        if (host_snapshot(d, c->facts->state_writes, &state, NULL) != BERTH_OK)
            check_skip(c, "snapshots fail");
        if (code != BERTH_OK && code != BERTH_E_LIMIT && code != BERTH_E_BROKEN && i > 0) {
            rejected++;
            if (state.len != before_len || memcmp(state.ptr, before, before_len) != 0)
                check_fail(c,
                           "decide before you change anything: a refused event leaves the state as "
                           "it was",
                           "answered %s to %s and changed its state all the same",
                           host_code_name(code),
                           check_event_text(text, sizeof text, i, c->script->events[i]));
        }
        before = (uint8_t *)realloc(before, state.len + 1);
        if (!before)
            abort();
        memcpy(before, state.ptr, before_len = state.len);
    }
    host_destroy(d);
    check_figure_add(c, "rejected", rejected);
    if (!rejected)
        check_pass(c, "no event was refused");
    check_pass(c, "%u refused events left the state as it was", rejected);
}
