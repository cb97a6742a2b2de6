/* SPDX-License-Identifier: Apache-2.0 */
/* How files that nobody has signed are read: by a helper, and what if that fails in any way. */
#include "plugin_fixture.h"

#include "base/json.h"
#include "plugin/examine.h"
#include "plugin/examine_confine.c" /* the helper's own; NOLINT(bugprone-suspicious-include) */
#include "plugin_forge.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

static forge file;

static int memory_file(void)
{
    int fd = memfd_create("plugin", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(file_write_all(fd, file.bytes, file.len)); /* the offset is at its end */
    return fd;
}

static const char *real_helper(void)
{
    static char path[PATH_MAX];

    assert_true(examine_helper(path));
    return path;
}

/* A helper that does something else. The path is valid until the next call. */
static const char *false_helper(const fixture *f, const char *script)
{
    static char path[128];
    char text[512];
    int n = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);

    snprintf(path, sizeof path, "%s/helper", f->dir);
    assert_ok(file_write(path, text, (size_t)n, 0700, ERROR));
    return path;
}

static void expect_within(const char *helper, int64_t limit_ns, berth_status code, const char *text)
{
    unsigned before = open_descriptors();
    berth_error error = {0};
    examination e;
    int fd;

    forge_good(&file);
    fd = memory_file();
    assert_int_equal(examine_apart(helper, fd, file.len, limit_ns, &e, &error), code);
    close(fd);
    if (error.code != code || !strstr(error.text, text))
        fail_msg("expected %s with '%s', got %s: %s", berth_status_name(code), text,
                 berth_status_name(error.code), error.text);
    assert_null(e.facts);
    assert_null(e.manifest);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void expect_failure(const char *helper, berth_status code, const char *text)
{
    expect_within(helper, EXAMINE_LIMIT_NS, code, text);
}

static void the_helper_reads_the_same_as_we_do(void **state)
{
    writer here = {0}, apart = {0};
    examination a, b;
    unsigned before = open_descriptors();
    int fd;

    (void)state;
    forge_good(&file);
    fd = memory_file();
    assert_ok(examine_apart(real_helper(), fd, file.len, EXAMINE_LIMIT_NS, &a, ERROR));
    close(fd);
    assert_int_equal(examine_here(file.bytes, file.len, &b, NULL), BERTH_OK);
    facts_encode(&apart, a.facts);
    manifest_encode(&apart, a.manifest);
    facts_encode(&here, b.facts);
    manifest_encode(&here, b.manifest);
    assert_int_equal(here.len, apart.len);
    assert_memory_equal(here.data, apart.data, here.len);
    examination_free(&a);
    examination_free(&b);
    writer_free(&here);
    writer_free(&apart);
    assert_int_equal(open_descriptors(), before);
}

static void a_manifest_that_is_not_right_is_told_beside_the_facts(void **state)
{
    examination e;
    int fd;

    (void)state;
    forge_good(&file);
    file.bytes[file.note + 20] = '[';
    fd = memory_file();
    assert_ok(examine_apart(real_helper(), fd, file.len, EXAMINE_LIMIT_NS, &e, ERROR));
    close(fd);
    assert_non_null(e.facts);
    assert_null(e.manifest);
    assert_int_equal(e.manifest_error.code, BERTH_ERR_INVALID);
    assert_non_null(strstr(e.manifest_error.text, "manifest"));
    examination_free(&e);
}

static void a_file_that_shrinks_meanwhile_is_told_from_a_bad_one(void **state)
{
    berth_error error = {0};
    examination e;
    int fd;

    (void)state;
    forge_good(&file);
    fd = memory_file();
    assert_int_equal(ftruncate(fd, (off_t)file.len - 1), 0);
    assert_int_not_equal(examine_apart(real_helper(), fd, file.len, EXAMINE_LIMIT_NS, &e, &error),
                         BERTH_OK);
    assert_null(e.facts);
    close(fd);
}

static void what_the_file_does_to_the_helper_is_its_own_fault(void **state)
{
    fixture *f = *state;

    expect_failure(false_helper(f, "kill -SEGV $$"), BERTH_ERR_ADMISSION, "crash (signal 11)");
    expect_failure(false_helper(f, "kill -ABRT $$"), BERTH_ERR_ADMISSION, "crash");
    expect_failure(false_helper(f, "kill -XCPU $$"), BERTH_ERR_ADMISSION, "takes too long");
    expect_failure(false_helper(f, "exec cat /dev/zero >&4"), BERTH_ERR_ADMISSION, "more to it");
}

static void what_others_do_to_the_helper_is_not_the_files_fault(void **state)
{
    fixture *f = *state;

    expect_failure(false_helper(f, "kill -KILL $$"), BERTH_ERR_BUSY, "try again");
    expect_failure(false_helper(f, "kill -TERM $$"), BERTH_ERR_BUSY, "try again");
    expect_failure(false_helper(f, "exit 1"), BERTH_ERR_IO, "ended with code 1");
}

static void a_helper_that_does_not_answer_is_ended(void **state)
{
    fixture *f = *state;

    expect_within(false_helper(f, "exec sleep 1000000"), 20000000, BERTH_ERR_BUSY, "within 20 ms");
    expect_within(real_helper(), 0, BERTH_ERR_BUSY, "within 0 ms");
    /* Half an answer, and then nothing. */
    expect_within(false_helper(f, "printf x >&4; exec sleep 1000000"), 20000000, BERTH_ERR_BUSY,
                  "within");
}

static void an_answer_that_makes_no_sense_is_no_answer(void **state)
{
    fixture *f = *state;

    expect_failure(false_helper(f, "echo garbage >&4"), BERTH_ERR_CORRUPT, "makes no sense");
    expect_failure(false_helper(f, "exit 0"), BERTH_ERR_CORRUPT, "makes no sense");
    expect_failure(false_helper(f, "exec cat <&3 >&4"), BERTH_ERR_CORRUPT, "makes no sense");
}

static void half_an_answer_is_no_answer(void **state)
{
    examination e, again;
    writer w = {0};

    (void)state;
    forge_good(&file);
    assert_int_equal(examine_here(file.bytes, file.len, &e, NULL), BERTH_OK);
    examination_encode(&w, BERTH_OK, NULL, &e);
    assert_int_equal(examination_decode(slice_of(w.data, w.len), &again, NULL), BERTH_OK);
    examination_free(&again);
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_equal(examination_decode(slice_of(w.data, cut), &again, NULL),
                         BERTH_ERR_CORRUPT);
    writer_u8(&w, 0);
    assert_int_equal(examination_decode(slice_of(w.data, w.len), &again, NULL), BERTH_ERR_CORRUPT);
    examination_free(&e);
    writer_free(&w);
}

/* What no parser would have let through, said by a helper that was taken over. */
static void an_answer_that_contradicts_itself_is_refused(void **state)
{
    static char name[] = "Not A Name";
    examination e, again;
    char *good;
    writer w = {0};

    (void)state;
    forge_good(&file);
    assert_int_equal(examine_here(file.bytes, file.len, &e, NULL), BERTH_OK);
    good = e.manifest->kinds[0].name;
    e.manifest->kinds[0].name = name;
    examination_encode(&w, BERTH_OK, NULL, &e);
    assert_int_equal(examination_decode(slice_of(w.data, w.len), &again, NULL), BERTH_ERR_CORRUPT);
    writer_free(&w);
    w = (writer){0};
    e.manifest->kinds[0].name = good;
    e.manifest->kinds[0].stateful = true;
    e.manifest->kinds[0].state_writes = 1;
    e.manifest->kinds[0].state_writes_oldest = 2;
    examination_encode(&w, BERTH_OK, NULL, &e);
    assert_int_equal(examination_decode(slice_of(w.data, w.len), &again, NULL), BERTH_ERR_CORRUPT);
    writer_free(&w);
    examination_free(&e);
}

static void a_helper_that_cannot_be_run_is_told_from_all_else(void **state)
{
    fixture *f = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/missing", f->dir);
    expect_failure(path, BERTH_ERR_NOT_FOUND, "missing");
    assert_ok(file_write(path, "text", 4, 0700, ERROR));
    expect_failure(path, BERTH_ERR_NOT_FOUND, "cannot run");
    assert_ok(file_write(path, "#!/bin/sh\n", 10, 0600, ERROR));
    expect_failure(path, BERTH_ERR_NOT_FOUND, "cannot run");
    expect_failure(f->dir, BERTH_ERR_NOT_FOUND, "cannot run");
    expect_failure(false_helper(f, "exit 3"), BERTH_ERR_NOT_FOUND, "version");
    expect_failure(false_helper(f, "exit 127"), BERTH_ERR_NOT_FOUND, "install it again");
}

static void the_helper_of_another_version_says_so(void **state)
{
    fixture *f = *state;
    char script[PATH_MAX + 32];

    snprintf(script, sizeof script, "exec %s 9.9.9", real_helper());
    expect_failure(false_helper(f, script), BERTH_ERR_NOT_FOUND, "is not of version");
}

/* An embedder may do so, and then there is no status to be had of a child. */
static void ignoring_the_ends_of_children_changes_nothing(void **state)
{
    examination e;
    int fd;

    (void)state;
    forge_good(&file);
    fd = memory_file();
    signal(SIGCHLD, SIG_IGN);
    assert_ok(examine_apart(real_helper(), fd, file.len, EXAMINE_LIMIT_NS, &e, ERROR));
    signal(SIGCHLD, SIG_DFL);
    close(fd);
    examination_free(&e);
}

static void the_helper_gets_nothing_of_ours_but_the_file(void **state)
{
    fixture *f = *state;
    char script[256], path[96], text[4096] = "";
    FILE *told;
    size_t n;
    int open_to_all = dup(2);

    assert_int_equal(dup2(open_to_all, 150), 150);
    setenv("BERTH_TEST_SECRET", "treasure", 1);
    snprintf(path, sizeof path, "%s/told", f->dir);
    snprintf(script, sizeof script,
             "{ cat /proc/$$/environ; ls -l /proc/$$/fd; grep SigIgn /proc/$$/status; } >%s", path);
    expect_failure(false_helper(f, script), BERTH_ERR_CORRUPT, "sense");
    told = fopen(path, "r");
    assert_non_null(told);
    n = fread(text, 1, sizeof text - 1, told);
    fclose(told);
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '\n';
    assert_non_null(strstr(text, " 3 -> "));
    assert_non_null(strstr(text, " 4 -> "));
    assert_null(strstr(text, "150 -> "));
    assert_null(strstr(text, "treasure"));
    unsetenv("BERTH_TEST_SECRET");
    close(150);
    close(open_to_all);
}

/* ---- The helper's confinement */

static int try_everything(int allowed)
{
    char byte = 'x';
    void *page;
    int other = dup(allowed), null = open("/dev/null", O_RDWR);

    if (other < 0 || null < 0)
        return 1;
    confine_calls(allowed);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || write(allowed, &byte, 1) != 1)
        return 2;
    if (write(other, &byte, 1) >= 0 || errno != EPERM)
        return 3;
    if (open("/dev/null", O_RDONLY) >= 0 || errno != EPERM)
        return 4;
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return 5;
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0 || errno != EPERM)
        return 6;
    if (kill(getppid(), 0) == 0)
        return 7;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 8;
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0)
        return 9;
    if (read(null, &byte, 1) >= 0)
        return 10;
    return 0;
}

static void a_confined_process_can_do_nothing_but_answer(void **state)
{
    int pipes[2], how = 0;
    pid_t pid;

    (void)state;
#ifndef ARCH
    skip();
#endif
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0)
        syscall(SYS_exit_group, try_everything(pipes[1]));
    assert_int_equal(waitpid(pid, &how, 0), pid);
    close(pipes[0]);
    close(pipes[1]);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* ---- Loading */

static void start_with_helper(fixture *f, const char *helper)
{
    plugins_config config = {
        .state_dir = f->state, .policy = f->policy, .host = &test_host, .helper = helper};

    plugins_free(f->set);
    f->set = NULL;
    assert_ok(plugins_new(&config, &f->set, ERROR));
}

static void without_a_helper_an_unsigned_file_is_read_in_the_host(void **state)
{
    fixture *f = *state;
    static const char *const helpers[] = {"/nonexistent/berth-examine", "/dev/null", NULL};

    fixture_policy(f, &(policy_options){0});
    for (size_t i = 0; helpers[i]; i++) {
        start_with_helper(f, helpers[i]);
        refuse_load(f, operator_file(f, PLUGIN("text"), NULL), BERTH_ERR_ADMISSION,
                    "not a shared object");
        refuse_load(f, operator_file(f, PLUGIN("empty"), NULL), BERTH_ERR_ADMISSION, "is empty");
        assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), NULL), NULL, NULL, ERROR));
    }
}

static void a_helper_that_fails_is_no_way_around_it(void **state)
{
    fixture *f = *state;

    fixture_policy(f, &(policy_options){0});
    start_with_helper(f, false_helper(f, "kill -SEGV $$"));
    refuse_load(f, operator_file(f, PLUGIN("plain"), NULL), BERTH_ERR_ADMISSION, "crash");
    start_with_helper(f, false_helper(f, "echo garbage >&4"));
    refuse_load(f, operator_file(f, PLUGIN("plain"), NULL), BERTH_ERR_CORRUPT, "sense");
    start_with_helper(f, false_helper(f, "kill -KILL $$"));
    refuse_load(f, operator_file(f, PLUGIN("plain"), NULL), BERTH_ERR_BUSY, "try again");
    assert_false(constructor_ran(f));
}

static void a_signed_file_needs_no_helper(void **state)
{
    fixture *f = *state;

    start_with_helper(f, false_helper(f, "exit 1"));
    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
}

static atomic_bool enough;

/* Each takes the C library's locale lock, as every request with JSON does. */
static void *read_json(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&enough)) {
        struct json_object *o = NULL;

        json_parse(slice_str("{\"a\": [1, 2.5]}"), 100, &o, NULL);
        json_object_put(o);
    }
    return NULL;
}

/* A forked child would wait for ever for a lock that another thread held at the fork. */
static void no_lock_of_another_thread_is_in_the_way(void **state)
{
    fixture *f = *state;
    plugins_load_options dry = {.dry_run = true};
    pthread_t threads[3];

    fixture_policy(f, &(policy_options){0});
    operator_file(f, PLUGIN("plain"), NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_json, NULL), 0);
    for (int i = 0; i < 100; i++)
        assert_ok(plugins_load(f->set, f->path, &dry, NULL, ERROR));
    atomic_store(&enough, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_helper_reads_the_same_as_we_do),
        test(a_manifest_that_is_not_right_is_told_beside_the_facts),
        test(a_file_that_shrinks_meanwhile_is_told_from_a_bad_one),
        test(what_the_file_does_to_the_helper_is_its_own_fault),
        test(what_others_do_to_the_helper_is_not_the_files_fault),
        test(a_helper_that_does_not_answer_is_ended),
        test(an_answer_that_makes_no_sense_is_no_answer),
        test(half_an_answer_is_no_answer),
        test(an_answer_that_contradicts_itself_is_refused),
        test(a_helper_that_cannot_be_run_is_told_from_all_else),
        test(the_helper_of_another_version_says_so),
        test(ignoring_the_ends_of_children_changes_nothing),
        test(the_helper_gets_nothing_of_ours_but_the_file),
        test(a_confined_process_can_do_nothing_but_answer),
        test(without_a_helper_an_unsigned_file_is_read_in_the_host),
        test(a_helper_that_fails_is_no_way_around_it),
        test(a_signed_file_needs_no_helper),
        test(no_lock_of_another_thread_is_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
