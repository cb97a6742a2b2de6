/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/jobs.h"
#include "api/socket.h"
#include "base/clock.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

typedef struct gate {
    sem_t begun, open;
    atomic_uint ran, dropped, late;
} gate;

static void gate_init(gate *g)
{
    memset(g, 0, sizeof *g);
    sem_init(&g->begun, 0, 0);
    sem_init(&g->open, 0, 0);
}

static void pass(void *ctx)
{
    gate *g = (gate *)ctx;

    sem_post(&g->begun);
    sem_wait(&g->open);
    atomic_fetch_add(&g->ran, 1);
}

static void dropped(void *ctx)
{
    atomic_fetch_add(&((gate *)ctx)->dropped, 1);
}

static void late(void *ctx)
{
    atomic_fetch_add(&((gate *)ctx)->late, 1);
}

static void hanging_jobs_leave_threads_for_others_until_the_pool_is_full(void **state)
{
    jobs *j = jobs_new(3, 2);
    gate g;

    (void)state;
    gate_init(&g);
    for (int i = 0; i < 3; i++) {
        assert_true(jobs_add(j, pass, &g));
        sem_wait(&g.begun); /* each has a thread, though the ones before hang */
    }
    assert_int_equal(jobs_running(j), 3);
    assert_true(jobs_add(j, pass, &g));
    assert_true(jobs_add(j, pass, &g));
    assert_false(jobs_add(j, pass, &g));
    for (int i = 0; i < 5; i++)
        sem_post(&g.open);
    assert_true(jobs_stop(j, clock_mono_ns() + 60 * SECOND, dropped, late, &g));
    assert_int_equal(g.ran, 5);
    assert_int_equal(g.dropped, 0);
}

static void a_pool_that_stops_drops_what_waits_and_leaves_what_hangs(void **state)
{
    static gate g; /* outlives the test: a thread is in it */
    jobs *j = jobs_new(1, 4);

    (void)state;
    gate_init(&g);
    assert_true(jobs_add(j, pass, &g));
    sem_wait(&g.begun);
    assert_true(jobs_add(j, pass, &g));
    assert_true(jobs_add(j, pass, &g));
    assert_false(jobs_stop(j, clock_mono_ns(), dropped, late, &g));
    assert_int_equal(g.dropped, 2);
    assert_int_equal(g.late, 0);
    sem_post(&g.open);
    while (!atomic_load(&g.late))
        sched_yield();
    assert_int_equal(g.ran, 1);
}

/* ---- The socket ------------------------------------------------------------------------------ */

static char dir[64], path[96];

static int enter_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-api-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/host.sock", dir);
    return 0;
}

static int leave_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void the_socket_is_private_from_its_first_moment(void **state)
{
    listener l;
    struct stat st;

    (void)state;
    umask(0);
    assert_int_equal(listener_open(&l, path, NULL), BERTH_OK);
    umask(022);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    listener_unlink(&l);
    assert_int_equal(access(path, F_OK), -1);
    close(l.fd);
}

static void a_missing_directory_is_made_and_an_open_one_refused(void **state)
{
    char deep[128], wide[128];
    listener l;
    struct stat st;
    berth_error error = {0};

    (void)state;
    snprintf(deep, sizeof deep, "%s/new/deeper/host.sock", dir);
    assert_int_equal(listener_open(&l, deep, &error), BERTH_OK);
    close(l.fd);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(wide, sizeof wide, "%s/wide", dir);
    assert_int_equal(mkdir(wide, 0700), 0);
    assert_int_equal(chmod(wide, 0750), 0);
    snprintf(wide, sizeof wide, "%s/wide/host.sock", dir);
    assert_int_equal(listener_open(&l, wide, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod 700"));
    assert_int_equal(access(wide, F_OK), -1);
}

static void a_stale_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    listener first, second;
    struct stat before, after;
    berth_error error = {0};

    (void)state;
    assert_int_equal(listener_open(&first, path, &error), BERTH_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(listener_open(&second, path, &error), BERTH_ERR_LOCKED);
    assert_non_null(strstr(error.text, "another host answers"));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    close(first.fd); /* as after kill -9 */
    assert_int_equal(listener_open(&second, path, &error), BERTH_OK);
    listener_unlink(&first); /* not its file any more */
    assert_int_equal(access(path, F_OK), 0);
    listener_unlink(&second);
    close(second.fd);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    listener l;
    berth_error error = {0};
    FILE *f = fopen(path, "w");
    char longest[200];

    (void)state;
    assert_non_null(f);
    fclose(f);
    assert_int_equal(listener_open(&l, path, &error), BERTH_ERR_EXISTS);
    assert_int_equal(access(path, F_OK), 0);
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "/tmp/", 5);
    longest[108] = '\0';
    assert_int_equal(listener_open(&l, longest, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "at most 107"));
    assert_int_equal(listener_open(&l, "", &error), BERTH_ERR_INVALID);
}

static void only_our_user_and_root_are_let_in(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(peer_allowed(pair[0], geteuid()));
    assert_int_equal(peer_allowed(pair[0], geteuid() + 1), geteuid() == 0);
    close(pair[0]);
    close(pair[1]);
    assert_false(peer_allowed(-1, geteuid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hanging_jobs_leave_threads_for_others_until_the_pool_is_full),
        cmocka_unit_test(a_pool_that_stops_drops_what_waits_and_leaves_what_hangs),
        cmocka_unit_test_setup_teardown(the_socket_is_private_from_its_first_moment, enter_dir,
                                        leave_dir),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_made_and_an_open_one_refused,
                                        enter_dir, leave_dir),
        cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced_and_a_living_one_is_not,
                                        enter_dir, leave_dir),
        cmocka_unit_test_setup_teardown(what_is_no_socket_is_left_alone, enter_dir, leave_dir),
        cmocka_unit_test(only_our_user_and_root_are_let_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
