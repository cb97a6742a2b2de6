/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that moves daemons is killed again and again: each attempt is then at one of the stages
 * of its way, whole, and no earlier one than was reported. Of what was staged for nothing no file
 * is left at the next start.
 */
#include "unit/store_attempts.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define KILLS      25
#define GENERATION 100000 /* attempts that one process could make at most */
#define WAY        5

/* Attempt n goes one of these ways. */
#define WAYS 7
static const stage ways[WAYS][WAY] = {
    {T_NONE, T_PREPARED, T_OWNED, STAGES, STAGES},
    {T_NONE, S_BARE, S_NONE, S_RELEASED, S_HANDED_OVER},
    {T_NONE, T_PREPARED, T_REFUSED, STAGES, STAGES},
    {T_NONE, S_BARE, S_NONE, S_RELEASED, S_TAKEN_BACK},
    {T_NONE, T_BASED, T_OWNED_BASE, STAGES, STAGES},
    {T_NONE, T_BASED, T_REFUSED, STAGES, STAGES},
    {T_NONE, T_BASED, T_OWNED, STAGES, STAGES},
};

static size_t size_of(uint64_t n)
{
    return n % 3 == 0 ? STORE_INLINE_SNAPSHOT + 500 : 300;
}

typedef struct message {
    uint64_t n, step;
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

/* Containers of attempts that never come; some are given up, whatever has become of them. */
static void stage_in_vain(store *s, uint64_t turn)
{
    store_attempt a = an_attempt(UINT64_MAX - turn);
    buf *b = a_container(turn, 1, size_of(turn));

    store_attempt_stage(s, a.attempt, slice_of(b->data, b->len), b, NULL, NULL);
    if (turn % 2)
        store_attempt_unstage(s, a.attempt);
    buf_unref(b);
}

/* Several attempts are under way at any time. */
static void work_until_killed(int fd, uint64_t first)
{
    store *s;

    if (store_open(state_dir, &s, NULL))
        _exit(2);
    for (uint64_t turn = first; turn < first + GENERATION; turn++) {
        for (uint64_t step = 1; step < WAY && turn >= first + step; step++) {
            uint64_t n = turn - step;
            stage to = ways[n % WAYS][step];
            told *t = to == STAGES ? NULL : malloc(sizeof *t);

            if (!t)
                continue;
            *t = (told){fd, {n, step}};
            go(s, n, to, size_of(n), tell, t);
        }
        stage_in_vain(s, turn);
        if (turn % 3 == 0)
            store_barrier(s, NULL);
    }
    _exit(5);
}

static bool next_message(int fd, message *m)
{
    ssize_t n;

    do
        n = read(fd, m, sizeof *m); /* written whole: they are shorter than PIPE_BUF */
    while (n < 0 && errno == EINTR);
    return n == sizeof *m;
}

/* At or beyond `least` on its way. */
static void assert_on_its_way(store *s, uint64_t n, uint64_t least)
{
    for (uint64_t step = least; step < WAY && ways[n % WAYS][step] != STAGES; step++)
        if (is_at(s, n, ways[n % WAYS][step], size_of(n)))
            return;
    fail_msg("attempt %llu is at no stage from %llu on", (unsigned long long)n,
             (unsigned long long)least);
}

static unsigned files_named(void)
{
    unsigned n = 0;
    sqlite3_stmt *st;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT (SELECT count(file) FROM snapshot) + "
                                        "(SELECT count(file) FROM attempt_state) + "
                                        "(SELECT count(file) FROM attempt_base)",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = (unsigned)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void after_kill_9_each_attempt_is_whole_and_where_it_was_reported(void **state)
{
    uint32_t seed = 20260209;
    uint64_t reports = 0, orphans = 0;

    (void)state;
    for (uint64_t round = 0; round < KILLS; round++) {
        uint64_t first = round * GENERATION, beyond = first, *least;
        unsigned patience, files;
        int fds[2], status;
        message m;
        pid_t pid;
        store *s;

        least = calloc(GENERATION, sizeof *least);
        seed = seed * 1664525 + 1013904223;
        patience = (seed >> 16) % 300;
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            work_until_killed(fds[1], first);
        }
        close(fds[1]);
        for (bool alive = true; alive || next_message(fds[0], &m); reports++) {
            if (alive && (!patience-- || !next_message(fds[0], &m))) {
                alive = false;
                kill(pid, SIGKILL);
                continue;
            }
            least[m.n - first] = m.step;
            if (m.n >= beyond)
                beyond = m.n + 1;
        }
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* it neither ended nor failed by itself */

        files = count_files("snapshots");
        s = open_store();
        orphans += files - count_files("snapshots");
        for (uint64_t n = first; n < beyond + 20; n++)
            assert_on_its_way(s, n, least[n - first]);
        assert_int_equal(count_files("snapshots"), files_named());
        store_close(s);
        free(least);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
    assert_true(reports > KILLS * 50);
    assert_true(orphans > KILLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            after_kill_9_each_attempt_is_whole_and_where_it_was_reported, make_state, remove_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
