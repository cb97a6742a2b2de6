/* SPDX-License-Identifier: Apache-2.0 */
/* Files of minisign, in both directions, against the program itself where it is installed. */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "base/file.h"
#include "plugin/minisign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char dir[64];

static void write_file(const char *name, const void *ptr, size_t len)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_write(path, ptr, len, 0600, NULL), BERTH_OK);
}

static buf *read_back(const char *name)
{
    char path[128];
    buf *b = NULL;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_read(path, 1 << 20, 0, &b, NULL), BERTH_OK);
    return b;
}

/* Run in the test's directory; the exit code. */
static int run(const char *command)
{
    char line[512];

    snprintf(line, sizeof line, "cd %s && %s >/dev/null 2>&1", dir, command);
    return system(line);
}

static bool have_minisign(void)
{
    return system("command -v minisign >/dev/null 2>&1") == 0;
}

static void hash_of(const void *ptr, size_t len, uint8_t hash[MINISIGN_HASH_BYTES])
{
    minisign_hash h;

    minisign_hash_init(&h);
    minisign_hash_update(&h, ptr, len);
    minisign_hash_final(&h, hash);
}

static int directory(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int no_directory(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        berth_error error_ = {0}, *error = &error_;                                                \
        if ((call) != BERTH_OK)                                                                    \
            fail_msg("%s: %s", #call, error->text);                                                \
    } while (0)

/* ---- Ourselves */

static void what_we_sign_we_verify_and_any_change_we_notice(void **state)
{
    minisign_secret secret;
    minisign_public public;
    minisign_signature s;
    uint8_t hash[64];
    buf *text;

    (void)state;
    minisign_keygen(&secret, &public);
    hash_of("content", 7, hash);
    OK(minisign_sign(&secret, hash, "a comment", &text, error));
    OK(minisign_signature_parse(slice_of(text->data, text->len), &s, error));
    assert_string_equal(s.trusted_comment, "a comment");
    OK(minisign_verify(&s, &public, hash, error));

    hash[0] ^= 1;
    assert_int_equal(minisign_verify(&s, &public, hash, NULL), BERTH_ERR_SIGNATURE);
    hash[0] ^= 1;
    s.trusted_comment[0] = 'b';
    assert_int_equal(minisign_verify(&s, &public, hash, NULL), BERTH_ERR_SIGNATURE);
    s.trusted_comment[0] = 'a';
    public.id[0] ^= 1;
    assert_int_equal(minisign_verify(&s, &public, hash, NULL), BERTH_ERR_SIGNATURE);
    public.id[0] ^= 1;
    public.key[0] ^= 1;
    assert_int_equal(minisign_verify(&s, &public, hash, NULL), BERTH_ERR_SIGNATURE);
    buf_unref(text);
}

/* Of each signature file one byte changed or cut off: refused, or the same signature (the untrusted
 * comment and the line ends say nothing). */
static void no_damaged_signature_file_verifies(void **state)
{
    minisign_secret secret;
    minisign_public public;
    minisign_signature s;
    uint8_t hash[64];
    buf *text;
    size_t comment;

    (void)state;
    minisign_keygen(&secret, &public);
    hash_of("content", 7, hash);
    OK(minisign_sign(&secret, hash, "c", &text, error));
    comment = (size_t)((uint8_t *)memchr(text->data, '\n', text->len) - text->data);
    for (size_t i = 0; i < text->len; i++) {
        text->data[i] ^= 1;
        if (minisign_signature_parse(slice_of(text->data, text->len), &s, NULL) == BERTH_OK &&
            minisign_verify(&s, &public, hash, NULL) == BERTH_OK && i >= comment &&
            i + 1 < text->len)
            fail_msg("byte %zu changed", i);
        text->data[i] ^= 1;
        if (i + 2 < text->len &&
            minisign_signature_parse(slice_of(text->data, i), &s, NULL) == BERTH_OK)
            fail_msg("cut at %zu", i);
    }
    buf_unref(text);
}

static void lines_may_end_in_cr_lf(void **state)
{
    minisign_secret secret;
    minisign_public public;
    minisign_signature s;
    uint8_t hash[64];
    char dos[1024];
    size_t n = 0;
    buf *text;

    (void)state;
    minisign_keygen(&secret, &public);
    hash_of("content", 7, hash);
    OK(minisign_sign(&secret, hash, "c", &text, error));
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] == '\n')
            dos[n++] = '\r';
        dos[n++] = (char)text->data[i];
    }
    OK(minisign_signature_parse(slice_of(dos, n), &s, error));
    OK(minisign_verify(&s, &public, hash, error));
    buf_unref(text);
}

static void comments_are_one_line_of_limited_length(void **state)
{
    static char comment[MINISIGN_TRUSTED_MAX + 2];
    minisign_secret secret;
    minisign_public public;
    minisign_signature s;
    uint8_t hash[64] = {0};
    buf *text = NULL;

    (void)state;
    minisign_keygen(&secret, &public);
    assert_int_equal(minisign_sign(&secret, hash, "two\nlines", &text, NULL), BERTH_ERR_INVALID);
    memset(comment, 'x', MINISIGN_TRUSTED_MAX);
    OK(minisign_sign(&secret, hash, comment, &text, error));
    OK(minisign_signature_parse(slice_of(text->data, text->len), &s, error));
    OK(minisign_verify(&s, &public, hash, error));
    buf_unref(text);
    comment[MINISIGN_TRUSTED_MAX] = 'x';
    assert_int_equal(minisign_sign(&secret, hash, comment, &text, NULL), BERTH_ERR_INVALID);
}

static void public_keys_are_read_from_file_and_from_line(void **state)
{
    static const char *const bad[] = {"", "hello", "untrusted comment: x\n",
                                      "RWQrqDVqVhZY011BjUM6Xup6qaJRV0qLYO09BjXgm+Qutgea/ZLVDEc",
                                      "RUQrqDVqVhZY011BjUM6Xup6qaJRV0qLYO09BjXgm+Qutgea/ZLVDEc3"};
    minisign_public public, again;
    minisign_secret secret;
    char line[MINISIGN_PUBLIC_LINE];
    buf *text;

    (void)state;
    minisign_keygen(&secret, &public);
    OK(minisign_public_parse(slice_str(minisign_public_line(line, &public)), &again, error));
    assert_memory_equal(&public, &again, sizeof public);
    OK(minisign_public_format(&public, &text, error));
    memset(&again, 0, sizeof again);
    OK(minisign_public_parse(slice_of(text->data, text->len), &again, error));
    assert_memory_equal(&public, &again, sizeof public);
    buf_unref(text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(minisign_public_parse(slice_str(bad[i]), &again, NULL), BERTH_ERR_INVALID);
}

static void a_secret_key_file_that_asks_for_too_much_is_refused(void **state)
{
    /* A sealed key of the program, its memory limit raised to 2^40. */
    static const char text[] = "untrusted comment: minisign encrypted secret key\n"
                               "RWRTY0IygV5bFWSGCz7cFuf75UzR27+3aMdnFmo4L7pp1qGP/"
                               "bkAAAACAAAAAAAAAAAAAQAAXUR+HcYppWucVvCwcgo+"
                               "KFVsrvRxFtVNAlfH8vV8fL/9jABCbi0glkDI+C/"
                               "gP8Ll0gClUDnkGjx3k1hsDBdAduaf4PqPqyYvM1nfkz9uHpe+mh5C"
                               "qWDgfbeggqcJHMK/cFwr5Px2QRE=\n";
    minisign_secret secret;
    bool sealed;

    (void)state;
    OK(minisign_secret_sealed(slice_str(text), &sealed, error));
    assert_true(sealed);
    assert_int_equal(minisign_secret_parse(slice_str(text), slice_str("pw"), &secret, NULL),
                     BERTH_ERR_INVALID);
}

static void a_damaged_plain_secret_key_is_refused(void **state)
{
    minisign_secret secret, again;
    minisign_public public;
    buf *text;

    (void)state;
    minisign_keygen(&secret, &public);
    secret.key[40] ^= 1; /* its public half */
    OK(minisign_secret_format(&secret, slice_of(NULL, 0), &text, error));
    assert_int_equal(
        minisign_secret_parse(slice_of(text->data, text->len), slice_of(NULL, 0), &again, NULL),
        BERTH_ERR_INVALID);
    buf_unref(text);
}

/* ---- The program */

static void the_program_verifies_what_we_sign(void **state)
{
    minisign_secret secret;
    minisign_public public;
    uint8_t hash[64];
    buf *text;

    (void)state;
    if (!have_minisign())
        skip();
    minisign_keygen(&secret, &public);
    OK(minisign_public_format(&public, &text, error));
    write_file("ours.pub", text->data, text->len);
    buf_unref(text);
    write_file("file", "content", 7);
    hash_of("content", 7, hash);
    OK(minisign_sign(&secret, hash, "timestamp:1\tfile:file\thashed", &text, error));
    write_file("file.minisig", text->data, text->len);
    buf_unref(text);
    assert_int_equal(run("minisign -Vm file -p ours.pub"), 0);
    assert_int_equal(run("minisign -VHm file -p ours.pub"), 0);
    write_file("file", "Content", 7);
    assert_int_not_equal(run("minisign -Vm file -p ours.pub"), 0);
}

static void we_verify_what_the_program_signs_and_refuse_its_legacy_form(void **state)
{
    minisign_signature s;
    minisign_public public;
    berth_error told = {0};
    uint8_t hash[64];
    buf *key, *text;

    (void)state;
    if (!have_minisign())
        skip();
    write_file("file", "content", 7);
    assert_int_equal(run("minisign -GWf -p its.pub -s its.key"), 0);
    assert_int_equal(run("minisign -SW -s its.key -m file -t 'from the program'"), 0);
    key = read_back("its.pub");
    OK(minisign_public_parse(slice_of(key->data, key->len), &public, error));
    text = read_back("file.minisig");
    OK(minisign_signature_parse(slice_of(text->data, text->len), &s, error));
    hash_of("content", 7, hash);
    OK(minisign_verify(&s, &public, hash, error));
    assert_string_equal(s.trusted_comment, "from the program");
    buf_unref(text);
    assert_int_equal(run("minisign -SWl -s its.key -m file"), 0);
    text = read_back("file.minisig");
    assert_int_equal(minisign_signature_parse(slice_of(text->data, text->len), &s, &told),
                     BERTH_ERR_SIGNATURE);
    assert_non_null(strstr(told.text, "legacy form"));
    buf_unref(text);
    buf_unref(key);
}

static void plain_key_files_go_both_ways(void **state)
{
    minisign_secret secret, ours;
    minisign_public public, its;
    buf *text;

    (void)state;
    if (!have_minisign())
        skip();
    assert_int_equal(run("minisign -GWf -p its.pub -s its.key"), 0);
    text = read_back("its.key");
    OK(minisign_secret_parse(slice_of(text->data, text->len), slice_of(NULL, 0), &secret, error));
    buf_unref(text);
    text = read_back("its.pub");
    OK(minisign_public_parse(slice_of(text->data, text->len), &its, error));
    buf_unref(text);
    minisign_public_of(&secret, &public);
    assert_memory_equal(&public, &its, sizeof its);

    minisign_keygen(&ours, &public);
    OK(minisign_secret_format(&ours, slice_of(NULL, 0), &text, error));
    write_file("ours.key", text->data, text->len);
    buf_unref(text);
    OK(minisign_public_format(&public, &text, error));
    write_file("ours.pub", text->data, text->len);
    buf_unref(text);
    write_file("file", "content", 7);
    assert_int_equal(run("minisign -SW -s ours.key -m file"), 0);
    assert_int_equal(run("minisign -Vm file -p ours.pub"), 0);
}

/* Seal a key while memory is short, so that it takes a moment and not seconds. */
static buf *seal_cheaply(const minisign_secret *key, const char *password)
{
    struct rlimit before, low;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    berth_status status;
    buf *text;

    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    fclose(statm);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    low = before;
    low.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (96ul << 20);
    setrlimit(RLIMIT_AS, &low);
    status = minisign_secret_format(key, slice_str(password), &text, NULL);
    setrlimit(RLIMIT_AS, &before);
    assert_int_equal(status, BERTH_OK);
    return text;
}

static void a_sealed_key_opens_with_its_password_only(void **state)
{
    minisign_secret secret, again;
    minisign_public public;
    buf *text;

    (void)state;
    minisign_keygen(&secret, &public);
    text = seal_cheaply(&secret, "pass word");
    assert_int_equal(
        minisign_secret_parse(slice_of(text->data, text->len), slice_of(NULL, 0), &again, NULL),
        BERTH_ERR_REFUSED);
    assert_int_equal(minisign_secret_parse(slice_of(text->data, text->len), slice_str("Pass word"),
                                           &again, NULL),
                     BERTH_ERR_REFUSED);
    OK(minisign_secret_parse(slice_of(text->data, text->len), slice_str("pass word"), &again,
                             error));
    assert_memory_equal(&secret, &again, sizeof secret);
    buf_unref(text);
}

static void sealed_key_files_go_both_ways(void **state)
{
    minisign_secret secret, ours;
    minisign_public public, its;
    buf *text;

    (void)state;
    if (!have_minisign())
        skip();
    assert_int_equal(run("printf 'pass word\\npass word\\n' | minisign -Gf -p its.pub -s its.key"),
                     0);
    text = read_back("its.key");
    OK(minisign_secret_parse(slice_of(text->data, text->len), slice_str("pass word"), &secret,
                             error));
    buf_unref(text);
    text = read_back("its.pub");
    OK(minisign_public_parse(slice_of(text->data, text->len), &its, error));
    buf_unref(text);
    minisign_public_of(&secret, &public);
    assert_memory_equal(&public, &its, sizeof its);

    minisign_keygen(&ours, &public);
    text = seal_cheaply(&ours, "secret");
    write_file("ours.key", text->data, text->len);
    buf_unref(text);
    OK(minisign_public_format(&public, &text, error));
    write_file("ours.pub", text->data, text->len);
    buf_unref(text);
    write_file("file", "content", 7);
    assert_int_not_equal(run("printf 'wrong\\n' | minisign -S -s ours.key -m file"), 0);
    assert_int_equal(run("printf 'secret\\n' | minisign -S -s ours.key -m file"), 0);
    assert_int_equal(run("minisign -Vm file -p ours.pub"), 0);
}

#define with_directory(name) cmocka_unit_test_setup_teardown(name, directory, no_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_sign_we_verify_and_any_change_we_notice),
        cmocka_unit_test(no_damaged_signature_file_verifies),
        cmocka_unit_test(lines_may_end_in_cr_lf),
        cmocka_unit_test(comments_are_one_line_of_limited_length),
        cmocka_unit_test(public_keys_are_read_from_file_and_from_line),
        cmocka_unit_test(a_secret_key_file_that_asks_for_too_much_is_refused),
        cmocka_unit_test(a_damaged_plain_secret_key_is_refused),
        cmocka_unit_test(a_sealed_key_opens_with_its_password_only),
        with_directory(the_program_verifies_what_we_sign),
        with_directory(we_verify_what_the_program_signs_and_refuse_its_legacy_form),
        with_directory(plain_key_files_go_both_ways),
        with_directory(sealed_key_files_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
