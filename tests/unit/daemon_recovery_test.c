/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery registry (compute-core §13, §20, K19). */
#include "base/log.h"
#include "daemon/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

typedef struct handler {
    recovery *r;
    uint8_t slots[4];
    size_t count;
    berth_status answer;
    int runs;
    char *order; /* shared: a letter per run */
    char letter;
    struct handler *registers; /* while it runs */
    uint64_t unregisters;
    size_t recovered_by_second_run;
} handler;

static berth_status handle(void *ctx, recovery_report *report, void *report_ctx)
{
    handler *h = ctx;
    h->runs++;
    if (h->order)
        strncat(h->order, &h->letter, 1);
    for (size_t i = 0; i < h->count; i++)
        report(report_ctx, "whoever", h->slots[i]);
    if (h->registers && h->runs == 1)
        recovery_register(h->r, "newcomer", handle, h->registers, NULL);
    if (h->unregisters)
        recovery_unregister(h->r, h->unregisters);
    return h->answer;
}

static void collect(void *ctx, const char *name, uint8_t slot)
{
    (void)name;
    char text[2] = {(char)('0' + slot), 0};
    strcat(ctx, text);
}

/* compute-core §20: indices collected */
static void what_all_handlers_recovered_is_collected(void **state)
{
    (void)state;
    recovery *r = recovery_new();
    handler a = {.r = r, .slots = {1, 4}, .count = 2}, b = {.r = r, .slots = {2}, .count = 1};
    char got[16] = "";
    size_t count;
    assert_true(recovery_register(r, "a", handle, &a, &count) > 0);
    assert_int_equal(count, 1);
    assert_true(recovery_register(r, "b", handle, &b, &count) > 0);
    assert_int_equal(count, 2);
    assert_int_equal(recovery_run(r, collect, got), 3);
    assert_string_equal(got, "142");
    assert_int_equal(recovery_run(r, NULL, NULL), 3);
    assert_int_equal(a.runs, 2);
    recovery_free(r);
}

/* compute-core §20, K19: a handler that fails is taken out, the others go on */
static void a_failing_handler_is_taken_out_and_the_others_stay(void **state)
{
    (void)state;
    recovery *r = recovery_new();
    handler a = {.r = r}, bad = {.r = r, .answer = BERTH_ERR_PLUGIN}, c = {.r = r};
    recovery_register(r, "a", handle, &a, NULL);
    recovery_register(r, "bad", handle, &bad, NULL);
    recovery_register(r, "c", handle, &c, NULL);
    recovery_run(r, NULL, NULL);
    assert_int_equal(recovery_count(r), 2);
    recovery_run(r, NULL, NULL);
    assert_int_equal(a.runs, 2);
    assert_int_equal(bad.runs, 1);
    assert_int_equal(c.runs, 2);
    recovery_free(r);
}

/* compute-core §20, K19: registered during a run: first runs in the next, behind the survivors */
static void a_handler_may_register_another_which_runs_next_time_behind_the_survivors(void **state)
{
    (void)state;
    recovery *r = recovery_new();
    char order[16] = "";
    handler late = {.r = r, .order = order, .letter = 'n'};
    handler a = {.r = r, .order = order, .letter = 'a', .registers = &late};
    handler b = {.r = r, .order = order, .letter = 'b'};
    recovery_register(r, "a", handle, &a, NULL);
    recovery_register(r, "b", handle, &b, NULL);
    recovery_run(r, NULL, NULL);
    assert_string_equal(order, "ab");
    assert_int_equal(recovery_count(r), 3);
    recovery_run(r, NULL, NULL);
    assert_string_equal(order, "ababn");
    recovery_free(r);
}

/* compute-core §18.28: a handle, and no other way out than one's own */
static void a_handler_can_be_taken_out_also_while_the_run_goes_on(void **state)
{
    (void)state;
    recovery *r = recovery_new();
    handler a = {.r = r}, b = {.r = r}, c = {.r = r};
    recovery_register(r, "a", handle, &a, NULL);
    uint64_t id = recovery_register(r, "b", handle, &b, NULL);
    uint64_t last = recovery_register(r, "c", handle, &c, NULL);
    assert_true(recovery_unregister(r, last));
    assert_false(recovery_unregister(r, last));
    a.unregisters = id;
    recovery_run(r, NULL, NULL);
    recovery_run(r, NULL, NULL);
    assert_int_equal(a.runs, 2);
    assert_int_equal(b.runs, 0);
    assert_int_equal(c.runs, 0);
    assert_int_equal(recovery_count(r), 1);
    recovery_free(r);
}

/* ---- A run that takes long ------------------------------------------------------------------- */

typedef struct slow {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool inside, leave;
} slow;

static berth_status handle_slowly(void *ctx, recovery_report *report, void *report_ctx)
{
    slow *s = ctx;
    (void)report;
    (void)report_ctx;
    pthread_mutex_lock(&s->lock);
    s->inside = true;
    pthread_cond_broadcast(&s->cond);
    while (!s->leave)
        pthread_cond_wait(&s->cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return BERTH_OK;
}

static void *run(void *arg)
{
    recovery_run(arg, NULL, NULL);
    return NULL;
}

/* compute-core §20, K19: nobody waits for a run: neither one who registers nor a second run */
static void register_and_a_second_run_return_while_a_handler_runs(void **state)
{
    (void)state;
    recovery *r = recovery_new();
    slow s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    handler late = {.r = r};
    pthread_t thread;
    recovery_register(r, "slow", handle_slowly, &s, NULL);
    pthread_create(&thread, NULL, run, r);
    pthread_mutex_lock(&s.lock);
    while (!s.inside)
        pthread_cond_wait(&s.cond, &s.lock);
    pthread_mutex_unlock(&s.lock);
    /* The handler leaves only after these have returned: were they to wait, this would hang. */
    size_t count;
    assert_true(recovery_register(r, "late", handle, &late, &count) > 0);
    assert_int_equal(count, 1); /* only those registered meanwhile */
    assert_int_equal(recovery_run(r, NULL, NULL), 0);
    assert_int_equal(late.runs, 0);
    pthread_mutex_lock(&s.lock);
    s.leave = true;
    pthread_cond_broadcast(&s.cond);
    pthread_mutex_unlock(&s.lock);
    pthread_join(thread, NULL);
    assert_int_equal(recovery_count(r), 2);
    recovery_run(r, NULL, NULL);
    assert_int_equal(late.runs, 1);
    recovery_free(r);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_all_handlers_recovered_is_collected),
        cmocka_unit_test(a_failing_handler_is_taken_out_and_the_others_stay),
        cmocka_unit_test(a_handler_may_register_another_which_runs_next_time_behind_the_survivors),
        cmocka_unit_test(a_handler_can_be_taken_out_also_while_the_run_goes_on),
        cmocka_unit_test(register_and_a_second_run_return_while_a_handler_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
