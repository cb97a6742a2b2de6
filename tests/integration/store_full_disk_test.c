/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on a real file system that is really full: a small one in memory, in a mount namespace
 * of a child. Skipped where that may not be made; store_fault_test covers the same without it.
 */
#include "unit/store_attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define SKIPPED 77

/* cmocka's assertions are for the parent. */
#define NEED(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            print_error("line %d: %s\n", __LINE__, #what);                                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* An ordinary user may mount in a namespace of users, in which it must stay who it is. */
static bool enter_namespace(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char users[64], groups[64];

    if (uid == 0)
        return unshare(CLONE_NEWNS) == 0;
    snprintf(users, sizeof users, "%u %u 1", uid, uid);
    snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
    return unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

static bool mount_small(void)
{
    return enter_namespace() && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", state_dir, "tmpfs", 0, "size=3m,mode=0700") == 0;
}

/* Take what space there is, or all but a few pages. */
static void fill(size_t but)
{
    static const uint8_t page[4096];
    int fd = open(in_state("filler"), O_WRONLY | O_CREAT, 0600);
    off_t size;

    while (write(fd, page, sizeof page) == sizeof page)
        ;
    size = lseek(fd, 0, SEEK_END);
    NEED(ftruncate(fd, size > (off_t)but ? size - (off_t)but : 0) == 0);
    close(fd);
}

static void in_a_full_file_system(void)
{
    static wanted w;
    store_daemon row = a_row(1);
    uint64_t sequence = 2;
    store_stats stats;
    store *s;

    s = open_store();
    NEED(add_row(s, &row).status == BERTH_OK);
    NEED(put_bytes(s, 1, 1, 1, 200000).status == BERTH_OK);

    /* A snapshot file does not fit: it fails alone. */
    fill(65536);
    NEED(put_bytes(s, 1, 1, sequence, 200000).status == BERTH_ERR_NO_SPACE);
    NEED(staged_it(s, 1, 1, 200000).status == BERTH_ERR_NO_SPACE);
    NEED(count_files("snapshots") == 1);
    row = a_row(2);
    NEED(add_row(s, &row).status == BERTH_OK);

    /* Nothing fits: changes fail, whatever they are, once the log can grow no more. */
    fill(0);
    while (put_bytes(s, 2, 1, sequence, 60000).status == BERTH_OK)
        NEED(++sequence < 1000);
    row = a_row(3);
    for (uint64_t i = 3; add_row(s, &row).status == BERTH_OK; row = a_row(++i))
        NEED(i < 10000);
    NEED(add_row(s, &row).status == BERTH_ERR_NO_SPACE);

    /* What was there is there, and can be read. */
    NEED(holds_snapshot(s, 1, 1, 200000));
    NEED(!find_row(s, (uint64_t)row.created_wall_ns, &w));

    /* With room again, so is everything else, without a new start. */
    NEED(unlink(in_state("filler")) == 0);
    NEED(add_row(s, &row).status == BERTH_OK);
    NEED(put_bytes(s, 1, 1, 2, 200000).status == BERTH_OK);
    NEED(staged_it(s, 1, 1, 200000).status == BERTH_OK);
    store_get_stats(s, &stats);
    NEED(stats.failures >= 3);
    store_close(s);

    s = open_store();
    NEED(holds_snapshot(s, 1, 2, 200000));
    NEED(find_row(s, (uint64_t)row.created_wall_ns, &w));
    store_close(s);

    /* A host that starts on a full disk says so, or starts. */
    fill(0);
    {
        berth_error error = {0};
        berth_status status = store_open(state_dir, &s, &error);

        NEED(status == BERTH_OK || status == BERTH_ERR_NO_SPACE);
        store_close(s);
    }
    NEED(unlink(in_state("filler")) == 0);
    s = open_store();
    NEED(holds_snapshot(s, 1, 2, 200000));
    store_close(s);
}

static void a_full_file_system_fails_changes_and_harms_nothing(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        if (!mount_small())
            _exit(SKIPPED);
        in_a_full_file_system();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_file_system_fails_changes_and_harms_nothing,
                                        make_state, remove_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
