/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/berth-file-XXXXXX";
static char path[256];

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = -2; /* . and .. */

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void what_is_written_is_read_and_nothing_else_is_left(void **state)
{
    berth_error error = {0};
    struct stat st;
    buf *b = NULL;

    (void)state;
    umask(0077);
    assert_int_equal(file_write(in_dir("f"), "one", 3, 0644, &error), BERTH_OK);
    assert_int_equal(file_write(path, "three", 5, 0640, &error), BERTH_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(file_read(path, 5, 0, &b, &error), BERTH_OK);
    assert_int_equal(b->len, 5);
    assert_memory_equal(b->data, "three", 5);
    buf_unref(b);
    assert_int_equal(entries(), 1);
}

static void an_existing_file_is_not_overwritten_when_it_must_be_new(void **state)
{
    berth_error error = {0};
    buf *b = NULL;

    (void)state;
    assert_int_equal(file_write_new(in_dir("f"), "one", 3, 0600, &error), BERTH_OK);
    assert_int_equal(file_write_new(path, "two", 3, 0600, &error), BERTH_ERR_EXISTS);
    assert_non_null(strstr(error.text, "exists already"));
    assert_int_equal(file_read(path, 100, 0, &b, &error), BERTH_OK);
    assert_memory_equal(b->data, "one", 3);
    buf_unref(b);
    assert_int_equal(entries(), 1);
}

static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    berth_error error = {0};

    (void)state;
    assert_int_equal(mkdir(in_dir("d"), 0700), 0);
    assert_int_equal(file_write(path, "x", 1, 0600, &error), BERTH_ERR_INVALID);
    assert_int_equal(file_write(in_dir("missing/f"), "x", 1, 0600, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(entries(), 1);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0); /* as a device: it stays what it is */
    assert_int_equal(file_write(path, "x", 1, 0600, &error), BERTH_ERR_INVALID);
    assert_int_equal(entries(), 2);
}

static void what_is_not_a_regular_file_is_refused(void **state)
{
    berth_error error = {0};
    buf *b;

    (void)state;
    assert_int_equal(file_read(in_dir("missing"), 9, 0, &b, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(file_read(dir, 9, 0, &b, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "is a directory, not a regular file"));
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(file_read(path, 9, 0, &b, &error), BERTH_ERR_INVALID);
    assert_int_equal(file_read("/dev/zero", 9, 0, &b, &error), BERTH_ERR_INVALID);
    assert_null(b);
}

static void a_file_at_the_limit_is_read_and_one_above_is_not(void **state)
{
    berth_error error = {0};
    buf *b;

    (void)state;
    assert_int_equal(file_write(in_dir("f"), "12345", 5, 0600, &error), BERTH_OK);
    assert_int_equal(file_read(path, 5, 0, &b, &error), BERTH_OK);
    buf_unref(b);
    assert_int_equal(file_read(path, 4, 0, &b, &error), BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "has 5 bytes, at most 4 are allowed"));
}

static void a_symbolic_link_is_followed_only_when_allowed(void **state)
{
    char target[256];
    berth_error error = {0};
    buf *b;

    (void)state;
    assert_int_equal(file_write(in_dir("f"), "x", 1, 0600, &error), BERTH_OK);
    strcpy(target, path);
    assert_int_equal(symlink(target, in_dir("link")), 0);
    assert_int_equal(file_read(path, 9, 0, &b, &error), BERTH_OK);
    buf_unref(b);
    assert_int_equal(file_read(path, 9, FILE_NOFOLLOW, &b, &error), BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "symbolic link"));
}

static void what_others_may_write_to_is_refused_with_the_cure(void **state)
{
    static const mode_t bad[] = {0620, 0602, 0666};
    berth_error error = {0};
    buf *b;

    (void)state;
    assert_int_equal(file_write(in_dir("f"), "x", 1, 0644, &error), BERTH_OK);
    assert_int_equal(file_check_safe(path, &error), BERTH_OK);
    assert_int_equal(file_read(path, 9, FILE_SAFE, &b, &error), BERTH_OK);
    buf_unref(b);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chmod(path, bad[i]);
        assert_int_equal(file_check_safe(path, &error), BERTH_ERR_PERMISSION);
        assert_int_equal(file_read(path, 9, FILE_SAFE, &b, &error), BERTH_ERR_PERMISSION);
        assert_non_null(strstr(error.text, "chmod go-w /tmp/berth-file-"));
    }
    chmod(dir, 0777);
    assert_int_equal(file_check_safe(dir, &error), BERTH_ERR_PERMISSION);
    chmod(dir, 0700);
    assert_int_equal(file_check_safe(dir, &error), BERTH_OK);
}

static void a_secret_that_others_may_read_is_refused_with_the_cure(void **state)
{
    berth_error error = {0};
    buf *b;

    (void)state;
    assert_int_equal(file_write(in_dir("f"), "x", 1, 0640, &error), BERTH_OK);
    assert_int_equal(file_read(path, 9, FILE_PRIVATE, &b, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod go= /tmp/berth-file-"));
    chmod(path, 0400);
    assert_int_equal(file_read(path, 9, FILE_PRIVATE, &b, &error), BERTH_OK);
    buf_unref(b);
}

static void a_file_of_another_user_is_refused(void **state)
{
    berth_error error = {0};

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(file_write(in_dir("f"), "x", 1, 0600, &error), BERTH_OK);
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_int_equal(file_check_safe(path, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "belongs to another user (uid 12345)"));
}

static void directories_are_made_private_and_kept_as_they_are(void **state)
{
    berth_error error = {0};
    struct stat st;

    (void)state;
    umask(0);
    assert_int_equal(file_mkdirs(in_dir("a/b/c/"), &error), BERTH_OK);
    assert_int_equal(stat(in_dir("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    chmod(in_dir("a"), 0755);
    assert_int_equal(file_mkdirs(in_dir("a/b/c"), &error), BERTH_OK);
    assert_int_equal(stat(in_dir("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(file_write(in_dir("f"), "x", 1, 0600, &error), BERTH_OK);
    assert_int_equal(file_mkdirs(in_dir("f"), &error), BERTH_ERR_INVALID);
    assert_int_equal(file_mkdirs(in_dir("f/g"), &error), BERTH_ERR_INVALID);
    assert_int_equal(file_mkdirs("", &error), BERTH_ERR_NOT_FOUND);
    umask(0077);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_and_nothing_else_is_left),
        TEST(an_existing_file_is_not_overwritten_when_it_must_be_new),
        TEST(a_failed_write_leaves_the_old_file_and_no_other),
        TEST(what_is_not_a_regular_file_is_refused),
        TEST(a_file_at_the_limit_is_read_and_one_above_is_not),
        TEST(a_symbolic_link_is_followed_only_when_allowed),
        TEST(what_others_may_write_to_is_refused_with_the_cure),
        TEST(a_secret_that_others_may_read_is_refused_with_the_cure),
        TEST(a_file_of_another_user_is_refused),
        TEST(directories_are_made_private_and_kept_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
