/* SPDX-License-Identifier: Apache-2.0 */
/* The pool that runs daemons: every task once, also beside one that does not come back. */
#include "daemon_help.h"

typedef struct job {
    task task; /* first */
    dispatcher *pool;
    atomic_int runs;
    int again; /* times it queues itself again */
    atomic_int *all;
    struct job *children;
    int child_count;
} job;

static void run_job(task *t, runner *on)
{
    job *j = (job *)t;
    assert_non_null(on);
    assert_true(dispatcher_inside());
    atomic_fetch_add(&j->runs, 1);
    for (int i = 0; i < j->child_count; i++)
        dispatcher_push(j->pool, &j->children[i].task);
    bool again = j->again-- > 0;
    atomic_int *all = j->all;
    if (again)
        dispatcher_push(j->pool, t);
    else
        atomic_fetch_add(all, 1);
}

static void every_task_runs_as_often_as_it_was_pushed(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        static job jobs[500];
        atomic_int over = 0;
        dispatcher *d;
        OK(dispatcher_new(threads, &d, NULL));
        assert_false(dispatcher_inside());
        for (int i = 0; i < 500; i++) {
            jobs[i] = (job){.task.run = run_job, .pool = d, .again = i % 5, .all = &over};
            dispatcher_push(d, &jobs[i].task);
        }
        UNTIL(atomic_load(&over) == 500);
        for (int i = 0; i < 500; i++)
            assert_int_equal(jobs[i].runs, i % 5 + 1);
        assert_true(dispatcher_free(d, INT64_MAX));
    }
}

static void free_lets_what_is_queued_run_first(void **state)
{
    (void)state;
    static job jobs[300];
    for (int round = 0; round < 20; round++) {
        atomic_int over = 0;
        dispatcher *d;
        OK(dispatcher_new(2, &d, NULL));
        for (int i = 0; i < 300; i++) {
            jobs[i] = (job){.task.run = run_job, .pool = d, .all = &over};
            dispatcher_push(d, &jobs[i].task);
        }
        assert_true(dispatcher_free(d, INT64_MAX));
        assert_int_equal(over, 300);
    }
}

/* ---- Stealing -------------------------------------------------------------------------------- */

typedef struct parent {
    job job; /* first */
    atomic_int *all;
    int wants;
} parent;

/* Fills its own thread's queue, and does not leave before others have emptied it. */
static void run_parent(task *t, runner *on)
{
    parent *p = (parent *)t;
    (void)on;
    for (int i = 0; i < p->job.child_count; i++)
        dispatcher_push(p->job.pool, &p->job.children[i].task);
    UNTIL(atomic_load(p->all) == p->wants);
    atomic_fetch_add(&p->job.runs, 1);
}

static void what_one_thread_cannot_run_another_steals(void **state)
{
    (void)state;
    static job jobs[64];
    atomic_int over = 0;
    dispatcher *d;
    OK(dispatcher_new(2, &d, NULL));
    for (int i = 0; i < 64; i++)
        jobs[i] = (job){.task.run = run_job, .pool = d, .all = &over};
    parent p = {.job = {.task.run = run_parent, .pool = d, .children = jobs, .child_count = 64},
                .all = &over,
                .wants = 64};
    dispatcher_push(d, &p.job.task);
    UNTIL(atomic_load(&p.job.runs) == 1);
    dispatcher_stats stats;
    dispatcher_get_stats(d, &stats);
    assert_true(stats.steals >= 1);
    assert_int_equal(stats.threads, 2);
    assert_true(dispatcher_free(d, INT64_MAX));
}

/* ---- Long calls ------------------------------------------------------------------------------ */

typedef struct stuck_job {
    task task; /* first */
    uint64_t origin;
    atomic_bool inside, leave;
    atomic_int runs;
} stuck_job;

static void run_stuck(task *t, runner *on)
{
    stuck_job *j = (stuck_job *)t;
    atomic_store(&on->origin, j->origin);
    atomic_fetch_add(&on->calls, 1);
    atomic_store(&j->inside, true);
    while (!atomic_load(&j->leave))
        help_nap();
    atomic_store(&on->origin, 0);
    atomic_fetch_add(&j->runs, 1);
}

typedef struct findings {
    int count;
    uint64_t origin;
    int64_t since;
} findings;

static void found(void *ctx, uint64_t origin, int64_t since_ns)
{
    findings *f = ctx;
    f->count++;
    f->origin = origin;
    f->since = since_ns;
}

static unsigned compensating(dispatcher *d)
{
    dispatcher_stats stats;
    dispatcher_get_stats(d, &stats);
    return stats.compensating;
}

/* K5 */
static void
a_stuck_thread_is_found_once_and_compensated_and_the_extra_thread_leaves_again(void **state)
{
    (void)state;
    dispatcher *d;
    atomic_int over = 0;
    stuck_job s = {.task.run = run_stuck, .origin = 42};
    job j = {.task.run = run_job, .all = &over};
    findings f = {0};
    OK(dispatcher_new(1, &d, NULL));
    j.pool = d;
    dispatcher_push(d, &s.task);
    UNTIL(atomic_load(&s.inside));
    dispatcher_push(d, &j.task);
    dispatcher_watch(d, 1000, 100, found, &f); /* the first look only remembers */
    assert_int_equal(f.count, 0);
    dispatcher_watch(d, 1099, 100, found, &f); /* below the budget */
    assert_int_equal(f.count, 0);
    assert_int_equal(compensating(d), 0);
    dispatcher_watch(d, 1100, 100, found, &f); /* at the budget */
    assert_int_equal(f.count, 1);
    assert_int_equal(f.origin, 42);
    assert_int_equal(f.since, 1000);
    assert_int_equal(compensating(d), 1);
    UNTIL(atomic_load(&over) == 1); /* on the only thread that there can be */
    dispatcher_watch(d, 1200, 100, found, &f);
    assert_int_equal(f.count, 1); /* told once */
    assert_int_equal(compensating(d), 1);
    atomic_store(&s.leave, true);
    UNTIL(atomic_load(&s.runs) == 1);
    dispatcher_watch(d, 1300, 100, found, &f);
    UNTIL(compensating(d) == 0);
    assert_true(dispatcher_free(d, INT64_MAX));
}

/* DESIGN §3: at most 64 */
static void compensation_is_bounded(void **state)
{
    (void)state;
    enum { STUCK = DISPATCHER_COMPENSATING + 3 };
    static stuck_job s[STUCK];
    dispatcher *d;
    findings f = {0};
    unsigned inside = 0;
    OK(dispatcher_new(2, &d, NULL));
    for (int i = 0; i < STUCK; i++) {
        s[i] = (stuck_job){.task.run = run_stuck, .origin = (uint64_t)i + 1};
        dispatcher_push(d, &s[i].task);
    }
    for (int64_t now = 0; inside < DISPATCHER_COMPENSATING + 2; now += 1000) {
        dispatcher_watch(d, now, 100, found, &f);
        assert_true(compensating(d) <= DISPATCHER_COMPENSATING);
        inside = 0;
        for (int i = 0; i < STUCK; i++)
            inside += atomic_load(&s[i].inside);
        help_nap();
    }
    dispatcher_watch(d, INT64_MAX - 1, 100, found, &f);
    assert_int_equal(compensating(d), DISPATCHER_COMPENSATING);
    for (int i = 0; i < STUCK; i++)
        atomic_store(&s[i].leave, true);
    for (int i = 0; i < STUCK; i++)
        UNTIL(atomic_load(&s[i].runs) == 1);
    assert_true(dispatcher_free(d, INT64_MAX));
}

/* A slot of a thread that has left is used again, and again. */
static void compensating_threads_come_and_go(void **state)
{
    (void)state;
    dispatcher *d;
    findings f = {0};
    OK(dispatcher_new(1, &d, NULL));
    for (int round = 0; round < 100; round++) {
        stuck_job s = {.task.run = run_stuck, .origin = 1};
        int64_t now = round * 1000;
        dispatcher_push(d, &s.task);
        UNTIL(atomic_load(&s.inside));
        dispatcher_watch(d, now, 100, found, &f);
        dispatcher_watch(d, now + 200, 100, found, &f);
        assert_int_equal(f.count, round + 1);
        atomic_store(&s.leave, true);
        UNTIL(atomic_load(&s.runs) == 1);
        dispatcher_watch(d, now + 300, 100, found, &f);
        UNTIL(compensating(d) == 0);
    }
    assert_true(dispatcher_free(d, INT64_MAX));
}

static void free_gives_up_on_a_thread_that_does_not_come_back(void **state)
{
    (void)state;
    dispatcher *d;
    stuck_job s = {.task.run = run_stuck, .origin = 1};
    OK(dispatcher_new(2, &d, NULL));
    dispatcher_push(d, &s.task);
    UNTIL(atomic_load(&s.inside));
    assert_false(dispatcher_free(d, clock_mono_ns() + 1000000));
    atomic_store(&s.leave, true);
    assert_true(dispatcher_free(d, INT64_MAX)); /* it did come back: now it can be freed */
    assert_int_equal(s.runs, 1);
}

static void a_runner_that_was_given_back_is_lent_again(void **state)
{
    (void)state;
    dispatcher *d;
    OK(dispatcher_new(1, &d, NULL));
    runner *a = dispatcher_borrow(d), *b = dispatcher_borrow(d);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    dispatcher_return(d, a);
    assert_ptr_equal(dispatcher_borrow(d), a);
    dispatcher_return(d, a);
    dispatcher_return(d, b);
    assert_true(dispatcher_free(d, INT64_MAX));
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_as_often_as_it_was_pushed),
        cmocka_unit_test(free_lets_what_is_queued_run_first),
        cmocka_unit_test(what_one_thread_cannot_run_another_steals),
        cmocka_unit_test(
            a_stuck_thread_is_found_once_and_compensated_and_the_extra_thread_leaves_again),
        cmocka_unit_test(compensation_is_bounded),
        cmocka_unit_test(compensating_threads_come_and_go),
        cmocka_unit_test(free_gives_up_on_a_thread_that_does_not_come_back),
        cmocka_unit_test(a_runner_that_was_given_back_is_lent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
