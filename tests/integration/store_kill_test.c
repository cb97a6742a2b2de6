/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that commits is killed again and again, at moments that differ; whatever it was told
 * was on disk must be there, in the next process and after all of them.
 */
#include "unit/store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define KILLS      40
#define GENERATION 100000 /* daemons that one process could add at most */

/* One message in the pipe: daemon number, and the sequence of its snapshot or 0 for its row. */
typedef struct message {
    uint64_t daemon, sequence;
} message;

typedef struct told {
    int fd;
    message message;
} told;

static void tell(void *ctx, berth_status status, const berth_error *error)
{
    told *t = ctx;

    (void)error;
    if (status || write(t->fd, &t->message, sizeof t->message) != sizeof t->message)
        _exit(3);
    free(t);
}

static told *new_told(int fd, uint64_t daemon, uint64_t sequence)
{
    told *t = malloc(sizeof *t);

    if (!t)
        _exit(4);
    *t = (told){fd, {daemon, sequence}};
    return t;
}

static size_t size_of(uint64_t sequence)
{
    return sequence % 3 == 0 ? STORE_INLINE_SNAPSHOT + 500 : 300;
}

static void work_until_killed(int fd, uint64_t first)
{
    store *s;

    if (store_open(state_dir, &s, NULL))
        _exit(2);
    for (uint64_t i = first; i < first + GENERATION; i++) {
        store_daemon row = a_row(i);

        store_add_daemon(s, &row, tell, new_told(fd, i, 0));
        for (uint64_t sequence = 1; sequence <= 4; sequence++) {
            buf *b = a_container(i, sequence, size_of(sequence));

            store_put_snapshot(s, row.entity, 1, sequence, b, false, tell,
                               new_told(fd, i, sequence));
            buf_unref(b);
        }
        if (i % 3 == 0)
            store_barrier(s, NULL);
    }
    _exit(5);
}

static bool next_message(int fd, message *m)
{
    uint8_t *at = (uint8_t *)m;
    size_t left = sizeof *m;

    while (left) {
        ssize_t n = read(fd, at, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

/* What one process was told of one daemon, the highest sequence last. */
static void assert_there(store *s, const message *m)
{
    static wanted w;
    uint64_t sequence;

    assert_true(find_row(s, m->daemon, &w));
    sequence = w.row.snapshot_sequence;
    assert_true(sequence >= m->sequence);
    if (w.row.has_snapshot)
        assert_true(holds_snapshot(s, m->daemon, sequence, size_of(sequence)));
}

static void what_was_reported_done_survives_kill_9(void **state)
{
    static message all[KILLS * 4000];
    uint32_t seed = 20260207;
    size_t count = 0;
    store *s;

    (void)state;
    for (uint64_t round = 0; round < KILLS; round++) {
        unsigned patience;
        int fds[2], status;
        size_t before = count;
        pid_t pid;

        seed = seed * 1664525 + 1013904223;
        patience = (seed >> 16) % 300;
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            work_until_killed(fds[1], round * GENERATION);
        }
        close(fds[1]);
        while (patience-- && next_message(fds[0], &all[count]))
            count++;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* it neither ended nor failed by itself */
        while (count < before + 4000 && next_message(fds[0], &all[count]))
            count++;
        close(fds[0]);

        s = open_store(); /* at once: no lock is left behind */
        /* Reports come in order, so the last of each daemon covers those before it. */
        for (size_t i = before; i < count; i++)
            if (i + 1 == count || all[i + 1].daemon != all[i].daemon)
                assert_there(s, &all[i]);
        store_close(s);
    }
    assert_true(count > KILLS * 50);
    s = open_store();
    for (size_t i = 0; i < count; i += 37)
        assert_there(s, &all[i]);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_reported_done_survives_kill_9, make_state,
                                        remove_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
