/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin check` finds each thing that is bad, by the check for it and no other. */
#include "cli_check.h"

/* ---- Bad ones -------------------------------------------------------------------------------- */

static void stray_touches_are_found_and_named(void **state)
{
    static const flaw flaws[] = {
        {"reads-past", "bounds", "past the end of event.data"},
        {"reads-before", "bounds", "before the beginning of event.data"},
        {"writes-past-reserve", "bounds", "past the 1 that were reserved"},
        {"writes-data", "read-only", "wrote to event.data"},
        {"writes-event", "read-only", "wrote to the berth_event"},
        {"keeps-data", "borrowed", "after the call that it was lent for, event.data"},
        {"keeps-event", "borrowed", "after the call that it was lent for, the berth_event"},
        {"keeps-config", "borrowed", "after the call that it was lent for, birth.config"},
        {"trusts-config", "config", "64 KiB of"},
        {"trusts-reserve", "refusals", "null pointer"},
        {"reads-newer", "tables", "past the end of the berth_event"},
        {"writes-newer", "tables", "past the end of the berth_daemon_status"},
        {"copies-by-size", "tables", "BERTH_HAS"},
        {"large-stack", "thread-change", "ran out of the stack of 1 MiB"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void calls_that_are_not_allowed_are_found(void **state)
{
    static const flaw flaws[] = {
        {"emits-in-create", "calls", "emit in create"},
        {"emits-in-snapshot", "calls", "emit in snapshot"},
        {"emits-in-status", "calls", "emit in status"},
        {"keeps-call", "calls", "of a process that had returned"},
        {"keeps-daemon", "calls", "log for a daemon that was destroyed"},
        {"other-thread", "calls", "from another thread"},
        {"floods", "limits", "4096 effects"},
        {"ignores-write", "refusals", "refused a write"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void what_is_left_behind_is_found(void **state)
{
    static const flaw flaws[] = {
        {"leaks", "growth", "the heap grew"},
        {"leaks-on-event", "growth", "a whole life"},
        {"leaks-on-config", "config", "bytes in each"},
        {"leaks-on-state", "damage", "bytes in each"},
        {"leaves-threads", "growth", "threads running"},
        {"leaves-files", "growth", "1000 files open"},
        {"thread-left", "unload", "thread"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void bad_states_are_found(void **state)
{
    static const flaw flaws[] = {
        {"trusts-state", "damage", "past the end of birth.state"},
        {"reads-short-state", "damage", "past the end of birth.state"},
        {"dislikes-a-byte", "damage", "(seed 1)"},
        {"forgets-state", "restore", "gave '1', and '37'"},
        {"refuses-state", "restore", "will not continue"},
        {"ignores-state", "stateless", "BERTH_E_STATE"},
        {"snapshot-fails", "snapshot", "the state cannot be told"},
        {"snapshot-changes", "snapshot", "two snapshots in a row differ"},
        {"snapshot-differs", "snapshot-bytes", "addresses"},
        {"changes-and-rejects", "reject", "changed its state"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void daemons_that_get_in_each_others_way_are_found(void **state)
{
    static const flaw flaws[] = {
        {"differs", "replay", "in another process"},
        {"shares-statics", "instances", "two instances in turns"},
        {"shares-buffer", "instances", "two instances on two threads"},
        {"thread-local", "thread-change", "thread-local"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void wrong_answers_are_found(void **state)
{
    static const flaw flaws[] = {
        {"breaks", "run", "BROKEN to 72 of 72"},
        {"breaks-on-unknown", "unknown", "an unknown control"},
        {"status-fails", "status", "no status today"},
        {"health-unknown", "status", "health 7"},
        {"create-fails", "run", "--config"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void tables_that_are_not_right_are_found(void **state)
{
    static const flaw flaws[] = {
        {"init-fails", "table", "init"},
        {"undefined-symbol", "table", "berth_test_defined_nowhere"},
        {"table-twin-kinds", "table", "remove one"},
        {"table-too-large", "table", ".size"},
        {"table-no-process", "table", "no process function"},
        {"state-without-snapshot", "table", "snapshot"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

/* Nor is anything of them run. */
static void files_that_no_host_takes_are_told_so(void **state)
{
    static const flaw flaws[] = {
        {"runpath", "admission", "DT_RUNPATH"},
        {"exports-extra", "admission", "berth_test_exported"},
        {"executable-stack", "admission", "stack"},
        {"note-none", "admission", "manifest"},
        {"note-duplicate-key", "admission", "twice"},
        {"needs-extension", "admission", "org.example.absent/1"},
        {"empty", "admission", "is empty"},
        {"text", "admission", "no ELF file"},
        {"truncated", "admission", ""},
        {"other-machine", "admission", ""},
    };

    (void)state;
    setenv("BERTH_TEST_CTOR", in_dir("mark"), 1);
    EACH_FAILS(flaws, 0);
    assert_int_not_equal(access(in_dir("mark"), F_OK), 0);
    /* That it would have been seen. */
    passes(PLUGIN("plain"));
    assert_int_equal(access(in_dir("mark"), F_OK), 0);
    unsetenv("BERTH_TEST_CTOR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stray_touches_are_found_and_named),
        TEST(calls_that_are_not_allowed_are_found),
        TEST(what_is_left_behind_is_found),
        TEST(bad_states_are_found),
        TEST(daemons_that_get_in_each_others_way_are_found),
        TEST(wrong_answers_are_found),
        TEST(tables_that_are_not_right_are_found),
        TEST(files_that_no_host_takes_are_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
