/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a state directory, at the moment its holder ends. */
#include "store_fixture.h"

#include "store/dirlock.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/* Whether process pid has the lock file open. */
static bool has_open(pid_t pid)
{
    char dir[64], path[400], to[PATH_MAX];
    bool found = false;
    DIR *d;

    snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
    d = opendir(dir);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        ssize_t n;

        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n = readlink(path, to, sizeof to - 1);
        found = n > 0 && (size_t)n == strlen(in_state("lock")) &&
                memcmp(to, in_state("lock"), (size_t)n) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

/*
 * A host that ended, and a process that it was starting: until that one runs its own program it
 * has what the host had open. It goes on when the next host has come.
 */
static void end_while_starting_another(void)
{
    pid_t next = getpid(), pid = fork();
    int fd;

    if (pid == 0) {
        if (dirlock_take(state_dir, &fd, NULL) != BERTH_OK)
            _exit(1);
        if (fork() == 0) {
            while (!has_open(next) && kill(next, 0) == 0)
                sched_yield();
            _exit(0);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_lock_that_its_dead_holder_left_for_a_moment_is_waited_for(void **state)
{
    berth_error error = {0};
    int fd;

    (void)state;
    for (int i = 0; i < 20; i++) {
        end_while_starting_another();
        if (dirlock_take(state_dir, &fd, &error) != BERTH_OK)
            fail_msg("%s", error.text);
        dirlock_drop(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lock_that_its_dead_holder_left_for_a_moment_is_waited_for,
                                        make_state, remove_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
