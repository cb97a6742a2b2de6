/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin may do where, and what it may be told. */
#include "cli/check_checks.h"
#include "cli/check_host.h"

#include <stdio.h>
#include <string.h>

/* ---- calls ----------------------------------------------------------------------------------- */

/* Everything that is called in the life of a daemon, restored once. */
static void whole_life(check *c)
{
    static check_state kept;
    berth_daemon_status status;
    host_birth birth = {0};
    check_daemon *d = host_create_or_fail(c, NULL);
    slice state;

    host_start(d, BERTH_START_NEW, NULL);
    for (uint32_t i = 0; i < c->shared->event_count; i++) {
        host_play(d, i, NULL);
        if (c->kind->table.status && i % 8 == 0)
            host_status(d, &status, NULL);
        if (i % 16 == 0)
            host_control(d, BERTH_CONTROL_BACKPRESSURE_ON, 500000, NULL);
        if (i % 16 == 8)
            host_control(d, BERTH_CONTROL_BACKPRESSURE_OFF, 0, NULL);
    }
    if (c->facts->stateful && host_snapshot(d, c->facts->state_writes, &state, NULL) == BERTH_OK &&
        host_keep_state(&kept, state, c->facts->state_writes))
        birth.state = &kept;
    host_control(d, BERTH_CONTROL_DRAIN_START, 1000, NULL);
    host_control(d, BERTH_CONTROL_DRAIN_FINISH, 0, NULL);
    host_destroy(d);
    d = host_create(c, &birth, NULL);
    if (!d)
        return;
    host_start(d, birth.state ? BERTH_START_RESTORED : BERTH_START_NEW, NULL);
    host_play_all(d, 0, c->shared->event_count < 8 ? c->shared->event_count : 8, NULL);
    host_control(d, BERTH_CONTROL_SHUTDOWN, 1000, NULL);
    host_destroy(d);
}

void check_rules_calls(check *c)
{
    static const host_rule rules[] = {RULE_PHASE, RULE_DEAD_CALL, RULE_THREAD, RULE_DEAD_DAEMON,
                                      RULE_EXTENSION};

    check_open(c, TABLES_PLAIN);
    whole_life(c);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *broken = host_broken_rule(c->host, rules[i]);

        if (broken)
            check_fail(c, host_rule_cure(rules[i]), "%s", broken);
    }
    check_pass(c, "nothing was called where it may not be, and no dead handle used");
}

/* ---- limits ---------------------------------------------------------------------------------- */

void check_rules_limits(check *c)
{
    check_daemon *d;
    char text[CHECK_DETAIL];

    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (uint32_t i = 0; i < c->shared->event_count; i++) {
        if (host_play(d, i, NULL) == BERTH_E_LIMIT)
            check_fail(c,
                       "stay within birth->max_outputs and birth->max_output_bytes: past them all "
                       "effects of the event are lost; go on later by a timer or a message to "
                       "yourself",
                       "passed a limit of one call (4096 effects, 64 MiB) with %s",
                       check_event_text(text, sizeof text, i, c->script->events[i]));
    }
    host_destroy(d);
    check_pass(c, "no usual event passed the limits of one call");
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* One life in which effect number k is refused. False: there is no such effect. */
static bool refuse_one(check *c, uint64_t k, berth_code code)
{
    char text[CHECK_DETAIL], last[CHECK_DETAIL] = "the start";
    berth_daemon_status status;
    bool refused = false;
    uint32_t after = 3; /* how many more events show whether it has got over it */
    check_daemon *d;

    host_refuse(c->host, k, code);
    check_detail(c, "with effect %llu refused by %s", (unsigned long long)k + 1,
                 host_code_name(code));
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (uint32_t i = 0; i < c->shared->event_count && after; i++) {
        berth_code answer = host_play(d, i, NULL);

        after -= host_has_refused(c->host);
        if (host_has_refused(c->host) && !refused) {
            refused = true;
            check_event_text(last, sizeof last, i, c->script->events[i]);
        }
        /* It may not trust itself any more: so it is rebuilt. */
        if (answer == BERTH_E_BROKEN)
            break;
    }
    if (c->kind->table.status)
        host_status(d, &status, NULL);
    if (c->facts->stateful && !host_has_refused(c->host)) {
        host_answer answer;

        host_snapshot(d, c->facts->state_writes, NULL, &answer);
        /* LIMIT is made of OK by the host. */
        if (host_has_refused(c->host) && answer.code == BERTH_OK)
            check_fail(c,
                       "return what write answers when it is not OK: else the state is cut short",
                       "snapshot answered OK though the host had refused a write by %s",
                       host_code_name(code));
    }
    snprintf(text, sizeof text, "destroyed after a refusal in %.100s", last);
    check_detail(c, "%s", text);
    refused = host_has_refused(c->host);
    host_destroy(d);
    return refused;
}

void check_rules_refusals(check *c)
{
    static const berth_code codes[] = {BERTH_E_LIMIT, BERTH_E_NOT_NOW, BERTH_E_ARGUMENT,
                                       BERTH_E_MEMORY};
    uint64_t k = 0;
    bool more = true;

    check_open(c, TABLES_PLAIN);
    for (; more && check_has_time(c); k += more) {
        more = false;
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
            more = refuse_one(c, k, codes[i]) || more;
    }
    check_figure_add(c, "effects", k);
    if (k == 0)
        check_pass(c, "the script has no effects that could be refused");
    check_pass(c, "each of %s%llu effects was refused in four ways, and it went on",
               more ? "the first " : "", (unsigned long long)k);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void with_tables(check *c, host_tables tables, const char *name)
{
    static script_trace trace;
    berth_daemon_status status;
    check_daemon *d;

    check_open(c, tables);
    check_detail(c, "with %s", name);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    host_play_all(d, 0, c->shared->event_count, &trace);
    check_detail(c, "with %s", name);
    if (c->kind->table.status)
        host_status(d, &status, NULL);
    host_destroy(d);
    if (c->shared->repeats)
        check_same(c, &trace, 0, c->shared->event_count, name,
                   "read a member only if BERTH_HAS says that it is there, and nothing behind a "
                   "struct");
}

/* Each sort of tables with a copy of the plugin of its own: it sees one host only. */
void check_rules_tables(check *c)
{
    with_tables(c, TABLES_SHORT, "structs of version 0.0 and nothing behind them");
    with_tables(c, TABLES_POISONED, "garbage behind all structs");
    with_tables(c, TABLES_NEWER, "larger structs of a later version");
    check_pass(c,
               "structs of version 0.0, of a later one, and with garbage behind are all one to it");
}
