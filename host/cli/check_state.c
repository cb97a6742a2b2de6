/* SPDX-License-Identifier: Apache-2.0 */
/* Answering the same again, and going on from a snapshot as if nothing had been. */
#include "cli/check_checks.h"
#include "cli/check_host.h"
#include "cli/format.h"

#include <stdio.h>
#include <string.h>

static uint32_t middle(const check *c)
{
    return c->shared->event_count / 2;
}

static void differ(const check *c, const script_trace *trace, uint32_t i, char *out, size_t cap)
{
    const script_entry *now = &trace->entries[i], *then = &c->shared->trace.entries[i];
    char text[CHECK_DETAIL];

    check_event_text(text, sizeof text, i, c->script->events[i]);
    if (now->code != then->code)
        snprintf(out, cap, "%s was answered %s, and %s by the undisturbed run", text,
                 host_code_name(now->code), then->code == BERTH_OK ? "OK" : "otherwise");
    else if (strcmp(now->shown, then->shown) != 0)
        snprintf(out, cap, "%s gave '%s', and '%s' in the undisturbed run", text, now->shown,
                 then->shown);
    else
        snprintf(out, cap, "%s gave other effects than in the undisturbed run (%u and %u of them)",
                 text, now->effects, then->effects);
}

void check_same(check *c, const script_trace *trace, uint32_t from, uint32_t to, const char *how,
                const char *cure)
{
    uint32_t i = script_compare(trace, &c->shared->trace, from, to);
    char text[400];

    if (i == to)
        return;
    differ(c, trace, i, text, sizeof text);
    check_fail(c, cure, "%s: %s", how, text);
}

/* ---- replay ---------------------------------------------------------------------------------- */

void check_state_replay(check *c)
{
    static script_trace trace;
    uint32_t count = c->shared->event_count, i;
    char text[400];
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, count, &trace);
    host_destroy(d);
    i = script_compare(&trace, &c->shared->trace, 0, count);
    c->shared->repeats = i == count;
    if (i < count) {
        differ(c, &trace, i, text, sizeof text);
        if (c->facts->deterministic)
            check_fail(
                c,
                "take time and chance from the event, and let nothing depend on addresses or "
                "the order of a hash table; or do not declare \"deterministic\"",
                "the same events in another process: %s", text);
        check_skip(c, "not declared deterministic, and it is not: %s", text);
    }
    if (!c->facts->deterministic)
        check_pass(c,
                   "%u events gave the same effects in another process; it could be declared "
                   "\"deterministic\"",
                   count);
    check_pass(c, "%u events gave the same effects in another process", count);
}

/* ---- snapshot -------------------------------------------------------------------------------- */

static void take(check *c, check_daemon *d, uint32_t version, slice *state)
{
    host_answer answer;

    check_detail(c, "in version %u", version);
    if (host_snapshot(d, version, state, &answer) != BERTH_OK)
        check_fail(c,
                   "write every version that the manifest says it writes (\"writes\", "
                   "\"writes_oldest\")",
                   "snapshot in version %u answered %s%s%s", version, host_code_name(answer.code),
                   answer.text[0] ? ": " : "", answer.text);
}

static void keep(check *c, check_state *out, slice state, uint32_t version)
{
    char bytes[FORMAT_MAX];

    if (!host_keep_state(out, state, version))
        check_skip(c, "a state of %s is more than this checks", format_bytes(bytes, state.len));
}

void check_state_snapshot(check *c)
{
    static script_trace trace;
    uint32_t newest = c->facts->state_writes, oldest = c->facts->state_writes_oldest;
    check_shared *shared = c->shared;
    char bytes[FORMAT_MAX];
    check_daemon *d;
    slice state;

    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, middle(c), &trace);
    take(c, d, newest, &state);
    keep(c, &shared->middle, state, newest);
    shared->world = *host_world(d);
    take(c, d, newest, &state);
    if (state.len != shared->middle.len || memcmp(state.ptr, shared->middle.bytes, state.len) != 0)
        check_fail(c,
                   "snapshot only looks: it changes nothing, and writes the same bytes each time",
                   "two snapshots in a row differ");
    for (uint32_t version = oldest; version < newest; version++) {
        take(c, d, version, &state);
        if (version == oldest || version == c->facts->state_reads_oldest)
            keep(c, &shared->older, state, version);
    }
    host_play_all(d, middle(c), shared->event_count, &trace);
    host_destroy(d);
    if (shared->repeats)
        check_same(c, &trace, middle(c), shared->event_count, "after a snapshot",
                   "snapshot only looks: it changes nothing");
    check_figure_add(c, "state_bytes", shared->middle.len);
    check_pass(c, "%s in version %u after %u events; it changed nothing",
               format_bytes(bytes, shared->middle.len), newest, middle(c));
}

void check_state_bytes(check *c)
{
    static script_trace trace;
    check_daemon *d;
    slice state;

    if (!c->shared->repeats)
        check_skip(c, "it answers differently each time, so its states differ");
    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, middle(c), &trace);
    take(c, d, c->facts->state_writes, &state);
    if (state.len != c->shared->middle.len ||
        memcmp(state.ptr, c->shared->middle.bytes, state.len) != 0)
        check_fail(c,
                   "write values, never addresses, padding or uninitialised bytes, and keep to an "
                   "order",
                   "the same events in another process gave another state (%zu and %llu bytes)",
                   state.len, (unsigned long long)c->shared->middle.len);
    check_pass(c, "the same events in another process gave the same %zu bytes", state.len);
}

/* ---- restore --------------------------------------------------------------------------------- */

static check_daemon *restore(check *c, const check_state *state)
{
    host_birth birth = {.state = state, .world = &c->shared->world};
    host_answer answer;
    check_daemon *d;

    check_detail(c, "from its own state of version %u", state->version);
    d = host_create(c, &birth, &answer);
    if (!d)
        check_fail(c, "create reads what snapshot wrote, in every version from \"reads_oldest\" on",
                   "create from its own state of version %u answered %s%s%s", state->version,
                   host_code_name(answer.code), answer.text[0] ? ": " : "", answer.text);
    return d;
}

void check_state_restore(check *c)
{
    static script_trace trace;
    uint32_t count = c->shared->event_count;
    check_shared *shared = c->shared;
    check_daemon *d;
    slice state;

    if (!shared->middle.there)
        check_skip(c, "there is no state to restore");
    check_open(c, TABLES_PLAIN);
    d = restore(c, &shared->middle);
    host_start(d, BERTH_START_RESTORED, NULL);
    host_play_all(d, middle(c), count, &trace);
    host_destroy(d);
    if (shared->repeats)
        check_same(c, &trace, middle(c), count, "restored in another process",
                   "all that later answers depend on belongs into the state");
    d = restore(c, &shared->middle);
    take(c, d, shared->middle.version, &state);
    if (state.len != shared->middle.len || memcmp(state.ptr, shared->middle.bytes, state.len) != 0)
        check_fail(c, "a state that is read and written again is the same, byte by byte",
                   "a restored daemon writes another state than the one it was made of");
    host_destroy(d);
    if (shared->older.there && shared->older.version >= c->facts->state_reads_oldest) {
        d = restore(c, &shared->older);
        host_start(d, BERTH_START_RESTORED, NULL);
        host_play_all(d, middle(c), count, NULL);
        host_destroy(d);
    }
    if (!shared->repeats)
        check_pass(c, "went on from its state in another process; answers cannot be compared");
    check_pass(c, "went on from its state in another process as if nothing had been: %u events",
               count - middle(c));
}

/* ---- stateless ------------------------------------------------------------------------------- */

void check_state_stateless(check *c)
{
    host_birth birth = {.raw_state = slice_of("somebody's state", 16), .raw_version = 1};
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    check_detail(c, "with a state, which a stateless kind has not");
    d = host_create(c, &birth, NULL);
    if (d) {
        host_destroy(d);
        check_fail(c,
                   "answer BERTH_E_STATE when birth->state.ptr is not NULL; or give the kind a "
                   "\"state\" in the manifest, and a snapshot function",
                   "took a state, though it has none: what it held is lost");
    }
    check_pass(c, "refuses a state, as it has none");
}
