/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are killed at any moment, and hosts whose disk is full. */
#include "node_fixture.h"

#include <sched.h>
#include <sys/mount.h>

#define ROUNDS  8
#define SKIPPED 77

/* ---- Killed ------------------------------------------------------------------------------------
 */

/* The store commits in order: when a new daemon's row is on disk, so is all that came before. */
static void settle(berth_runtime *rt)
{
    berth_daemon_config config = {.size = sizeof config, .durability = 2};
    uint64_t origin;

    if (berth_spawn_kind(rt, "counter", NULL, &config, &origin, NULL) != BERTH_OK ||
        berth_stop(rt, origin, 0, NULL) != BERTH_OK)
        _exit(7);
}

/* Counts for ever; tells each count of which a snapshot is on disk. */
static void count_and_snapshot(berth_node *node)
{
    berth_runtime *rt = berth_node_runtime(node);
    uint64_t origin = 0;

    if (berth_daemon_find(rt, "c", &origin, NULL) != BERTH_OK) {
        berth_daemon_config config = {.size = sizeof config, .name = "c", .durability = 2};
        if (berth_spawn_kind(rt, "counter", NULL, &config, &origin, NULL) != BERTH_OK)
            _exit(4);
    }
    for (;;) {
        char text[32];
        void *bytes = NULL;
        uint64_t len;
        berth_outputs *outputs = berth_outputs_new();
        berth_output_view last;

        for (int i = 0; i < 10; i++)
            if (berth_deliver(rt, origin, "x", 1, outputs, NULL) != BERTH_OK)
                _exit(5);
        last = berth_outputs_at(outputs, berth_outputs_count(outputs) - 1);
        snprintf(text, sizeof text, "%.*s", (int)last.len, (const char *)last.data);
        berth_outputs_free(outputs);
        if (berth_snapshot(rt, origin, &bytes, &len, NULL) != BERTH_OK)
            _exit(6);
        free(bytes);
        settle(rt);
        told(strtoull(text, NULL, 10));
    }
}

static void a_host_killed_while_it_takes_snapshots_returns_to_the_last_one_or_later(void **state)
{
    uint64_t known = 0, incarnation = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int progress;
        pid_t pid = start_child(count_and_snapshot, COUNTER, &progress);
        berth_daemon_info info;
        berth_node *node;
        uint64_t back;

        known = hear(progress, known + 10 * (uint64_t)(1 + round * 3));
        kill_child(pid);
        /* What it told after that, and before it died, counts too. */
        uint64_t more = hear(progress, UINT64_MAX);
        known = more > known ? more : known;
        close(progress);

        logged.text[0] = '\0'; /* nobody else runs */
        node = start_node(NULL);
        assert_true(log_has("did not end cleanly: ")); /* one daemon, or those of settle, too */
        assert_true(log_has(" back as of the last snapshot"));
        assert_true(find(node, "c", &info));
        assert_true(info.incarnation > incarnation);
        incarnation = info.incarnation;
        back = strtoull(ask(node, "c", "x"), NULL, 10) - 1;
        if (back < known)
            fail_msg("round %d: came back to %llu, %llu was on disk", round,
                     (unsigned long long)back, (unsigned long long)known);
        known = back + 1;
        stop_node(node);
        logged.text[0] = '\0';
        node = start_node(NULL);
        assert_false(log_has("cleanly"));
        assert_true(find(node, "c", &info));
        assert_int_equal(info.incarnation, incarnation);
        stop_node(node);
    }
}

/* New plugins through the watched directory and daemons of them, for ever. */
static void load_and_spawn(berth_node *node)
{
    berth_runtime *rt = berth_node_runtime(node);

    for (uint64_t i = 1;; i++) {
        berth_daemon_config config = {.size = sizeof config, .durability = 2};
        uint64_t origin;

        told(i);
        if (berth_spawn_kind(rt, i % 2 ? "counter" : "tally", NULL, &config, &origin, NULL) ==
                BERTH_OK &&
            i % 3 == 0)
            berth_stop(rt, origin, 0, NULL);
        berth_node_reload(node, NULL);
    }
}

static bool only_whole_files(const char *dir)
{
    DIR *d = opendir(dir);
    bool whole = d != NULL;

    for (struct dirent *e; d && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (e->d_name[0] == '.' && (len == 1 || strcmp(e->d_name, "..") == 0))
            continue;
        whole = whole && ((len == 67 && strcmp(e->d_name + 64, ".so") == 0) ||
                          strcmp(e->d_name, "floors.json") == 0);
    }
    if (d)
        closedir(d);
    return whole;
}

static void
a_host_killed_while_it_loads_and_spawns_starts_again_with_nothing_half_done(void **state)
{
    char stored[100];

    (void)state;
    snprintf(stored, sizeof stored, "%s/plugins", at.state);
    write_conf("plugins { dir = drop }");
    drop(COUNTER, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int progress;
        pid_t pid = start_child(load_and_spawn, NULL, &progress);
        berth_node *node;
        uint64_t count;

        drop(TALLY, NULL);
        drop(ECHO, NULL);
        hear(progress, 1 + (uint64_t)round * 2);
        kill_child(pid);
        close(progress);

        node = start_node(NULL);
        assert_true(only_whole_files(stored));
        assert_false(log_has("stays down"));
        count = berth_daemon_count(berth_node_runtime(node));
        stop_node(node);
        node = start_node(NULL);
        assert_true(berth_daemon_count(berth_node_runtime(node)) == count);
        stop_node(node);
    }
}

/* Killed before it says that it is ready: at any point of its start. */
static void nothing(berth_node *node)
{
    (void)node;
    told(1);
    for (;;)
        pause();
}

static void a_host_killed_while_it_starts_starts_again(void **state)
{
    berth_node *node = start_node(COUNTER);
    uint64_t node_daemons = 20;

    (void)state;
    for (uint64_t i = 0; i < node_daemons; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%llu", (unsigned long long)i);
        spawn(node, "counter", name);
    }
    stop_node(node);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        int progress;
        pid_t pid = start_child(nothing, COUNTER, &progress);

        /* As long as it takes to look at a growing number of files: each round a little later. */
        for (int i = 0; i < round * round * 20; i++)
            (void)count_entries(at.state);
        kill_child(pid);
        close(progress);
    }
    node = start_node(NULL);
    assert_true(berth_daemon_count(berth_node_runtime(node)) == node_daemons);
    stop_node(node);
}

/* ---- Full --------------------------------------------------------------------------------------
 */

#define NEED(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, error.text);                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static bool mount_small(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0)
        return false;
    return mkdir(at.state, 0700) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", at.state, "tmpfs", 0, "size=4m,mode=0700") == 0;
}

static void fill(void)
{
    static const char zeros[4096];
    char path[100];
    int fd;

    snprintf(path, sizeof path, "%s/filler", at.state);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    close(fd);
}

static void on_a_full_disk(void)
{
    berth_error error = {0};
    berth_node *node = NULL;
    berth_daemon_info info;
    berth_daemon_config config = {.size = sizeof config, .name = "c", .durability = 2};
    uint64_t origin = 0, other;
    berth_runtime *rt;
    char filler[100];
    berth_status status;

    snprintf(filler, sizeof filler, "%s/filler", at.state);
    /* Full before the first start: nothing is begun. */
    fill();
    NEED(try_start(COUNTER, &node, &error) == BERTH_ERR_NO_SPACE && !node);
    NEED(unlink(filler) == 0);

    NEED(try_start(COUNTER, &node, &error) == BERTH_OK);
    rt = berth_node_runtime(node);
    NEED(berth_spawn_kind(rt, "counter", NULL, &config, &origin, &error) == BERTH_OK);
    for (int i = 0; i < 3; i++)
        NEED(berth_deliver(rt, origin, "x", 1, NULL, &error) == BERTH_OK);

    /* Full while it runs: what needs the disk says so, what does not goes on. */
    fill();
    config.name = NULL;
    do
        status = berth_spawn_kind(rt, "counter", NULL, &config, &other, &error);
    while (status == BERTH_OK);
    NEED(status == BERTH_ERR_NO_SPACE);
    NEED(berth_deliver(rt, origin, "x", 1, NULL, &error) == BERTH_OK);

    /* With room again it works again, without a new start, and everything is kept. */
    NEED(unlink(filler) == 0);
    NEED(berth_spawn_kind(rt, "counter", NULL, &config, &other, &error) == BERTH_OK);
    NEED(berth_node_stop(node, 20000, &error) == BERTH_OK);
    berth_node_free(node);
    NEED(try_start(NULL, &node, &error) == BERTH_OK);
    NEED(find(node, "c", &info));
    NEED(strcmp(ask(node, "c", "x"), "5") == 0);
    NEED(berth_node_stop(node, 20000, &error) == BERTH_OK);
    berth_node_free(node);
}

static void a_full_disk_is_said_and_survived(void **state)
{
    pid_t pid;
    int how;

    (void)state;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (!mount_small())
            _exit(SKIPPED);
        on_a_full_disk();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (WIFEXITED(how) && WEXITSTATUS(how) == SKIPPED)
        skip();
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        fail_msg("status %x", (unsigned)how);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_host_killed_while_it_takes_snapshots_returns_to_the_last_one_or_later),
        TEST(a_host_killed_while_it_loads_and_spawns_starts_again_with_nothing_half_done),
        TEST(a_host_killed_while_it_starts_starts_again),
        TEST(a_full_disk_is_said_and_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
