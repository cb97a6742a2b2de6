/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin check` comes back from code that crashes, ends the process, hangs or is slow. */
#include "cli_check.h"

/* And that they fail in one line, and not once for each check that comes after. */
static void crashes_say_the_signal_and_the_call(void **state)
{
    static const flaw flaws[] = {
        {"create-crashes", "run", "in create"},
        {"crashes", "run", "crashed, in process, event 1 (5 bytes, 'hello') (SIG"},
        {"aborts", "run", "(SIGABRT)"},
        {"exits", "run", "ended the process"},
        {"double-free", "run", "in destroy"},
    };

    (void)state;
    EACH_FAILS(flaws, 0);
}

static void what_never_returns_is_ended(void **state)
{
    static const flaw flaws[] = {
        {"create-hangs", "run", "did not come back within 1s, in create"},
        {"hangs", "run", "did not come back within 1s, in process"},
        {"spins", "run", "did not come back within 1s, in process"},
        {"insists", "refusals", "did not come back within 1s, in process"},
        {"init-hangs", "table", "did not come back within 1s, in init"},
    };

    (void)state;
    EACH_FAILS(flaws, SECOND_NS);
}

static void slow_handlers_are_found(void **state)
{
    (void)state;
    fails_by(PLUGIN("sleeps"), "time", "past 10 ms", 20 * SECOND_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(crashes_say_the_signal_and_the_call),
        TEST(what_never_returns_is_ended),
        TEST(slow_handlers_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
