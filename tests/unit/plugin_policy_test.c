/* SPDX-License-Identifier: Apache-2.0 */
/* Trusted keys and version floors. */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "base/file.h"
#include "plugin/floors.h"
#include "plugin/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static minisign_secret secret, other_secret;
static minisign_public public, other_public;
static char line[MINISIGN_PUBLIC_LINE], other_line[MINISIGN_PUBLIC_LINE];

static int begin(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-test-XXXXXX");
    minisign_keygen(&secret, &public);
    minisign_keygen(&other_secret, &other_public);
    minisign_public_line(line, &public);
    minisign_public_line(other_line, &other_public);
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* ---- Policy */

static plugin_policy *policy_of(const policy_options *options)
{
    berth_error error = {0};
    plugin_policy *p;

    if (policy_new(options, &p, &error))
        fail_msg("%s", error.text);
    return p;
}

static void signed_by(const minisign_secret *key, const uint8_t hash[64], minisign_signature *out)
{
    buf *text;

    assert_int_equal(minisign_sign(key, hash, "", &text, NULL), BERTH_OK);
    assert_int_equal(minisign_signature_parse(slice_of(text->data, text->len), out, NULL),
                     BERTH_OK);
    buf_unref(text);
}

static void a_key_is_found_among_several_and_named(void **state)
{
    static const char *const names[] = {"a*", NULL};
    policy_key_options keys[] = {{.name = "one", .key = other_line},
                                 {.name = "two", .key = line, .names = names}};
    plugin_policy *p = policy_of(&(policy_options){.keys = keys, .key_count = 2});
    const policy_key *key;
    minisign_signature s;
    uint8_t hash[64] = {1};

    (void)state;
    signed_by(&secret, hash, &s);
    assert_int_equal(policy_check_signature(p, &s, hash, &key, NULL), BERTH_OK);
    assert_string_equal(key->name, "two");
    hash[0] = 2;
    assert_int_equal(policy_check_signature(p, &s, hash, &key, NULL), BERTH_ERR_SIGNATURE);
    assert_null(key);
    policy_unref(p);
}

/* Whoever makes a key chooses its id, so an id proves nothing, and hides no other key either. */
static void two_keys_of_one_id_are_both_tried(void **state)
{
    const char *const trusted[] = {line, other_line, NULL};
    const policy_key *key;
    minisign_signature s;
    uint8_t hash[64] = {1};
    plugin_policy *p;

    (void)state;
    memcpy(other_secret.id, secret.id, sizeof secret.id);
    minisign_public_of(&other_secret, &other_public);
    minisign_public_line(other_line, &other_public);
    p = policy_of(&(policy_options){.trusted = trusted});
    signed_by(&other_secret, hash, &s);
    assert_int_equal(policy_check_signature(p, &s, hash, &key, NULL), BERTH_OK);
    assert_memory_equal(&key->public, &other_public, sizeof other_public);
    policy_unref(p);
}

static void keys_may_stand_in_files_that_nobody_else_writes(void **state)
{
    char path[128];
    const char *const trusted[] = {path, NULL};
    berth_error error = {0};
    plugin_policy *p;
    buf *text;

    (void)state;
    snprintf(path, sizeof path, "%s/author.pub", dir);
    assert_int_equal(minisign_public_format(&public, &text, NULL), BERTH_OK);
    assert_int_equal(file_write(path, text->data, text->len, 0644, NULL), BERTH_OK);
    buf_unref(text);
    policy_unref(policy_of(&(policy_options){.trusted = trusted}));
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(policy_new(&(policy_options){.trusted = trusted}, &p, &error),
                     BERTH_ERR_PERMISSION);
    assert_null(p);
}

static void mistakes_in_keys_and_digests_are_named(void **state)
{
    const char *const twice[] = {line, line, NULL};
    const char *const garbage[] = {"hello", NULL};
    const char *const short_digest[] = {"abcd", NULL};
    berth_error error = {0};
    plugin_policy *p;

    (void)state;
    assert_int_equal(policy_new(&(policy_options){.trusted = twice}, &p, &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "name each key once"));
    assert_int_equal(policy_new(&(policy_options){.trusted = garbage}, &p, &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "'hello'"));
    assert_int_equal(policy_new(&(policy_options){.revoked = short_digest}, &p, &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "64 hex digits"));
}

/* ---- Floors */

static void floors_rise_never_fall_and_outlive_the_process(void **state)
{
    char path[128];
    floors *f;

    (void)state;
    snprintf(path, sizeof path, "%s/floors.json", dir);
    assert_int_equal(floors_open(path, &f, NULL), BERTH_OK);
    assert_int_equal(floors_check(f, "a", public.id, "0.0.1", NULL), BERTH_OK);
    assert_int_equal(floors_raise(f, "a", public.id, "1.10.0", NULL), BERTH_OK);
    assert_int_equal(floors_raise(f, "a", public.id, "1.9.0", NULL), BERTH_OK);
    assert_int_equal(floors_raise(f, "b", public.id, "3.0.0", NULL), BERTH_OK);
    floors_close(f);
    assert_int_equal(floors_open(path, &f, NULL), BERTH_OK);
    assert_int_equal(floors_check(f, "a", public.id, "1.9.9", NULL), BERTH_ERR_REFUSED);
    assert_int_equal(floors_check(f, "a", public.id, "1.10.0-rc.1", NULL), BERTH_ERR_REFUSED);
    assert_int_equal(floors_check(f, "a", public.id, "1.10.0", NULL), BERTH_OK);
    assert_int_equal(floors_check(f, "a", other_public.id, "0.1.0", NULL), BERTH_OK);
    assert_int_equal(floors_check(f, "b", public.id, "2.9.9", NULL), BERTH_ERR_REFUSED);
    floors_close(f);
}

static void a_floor_that_cannot_be_written_is_not_raised(void **state)
{
    char path[128];
    floors *f;

    (void)state;
    snprintf(path, sizeof path, "%s/gone", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/floors.json");
    assert_int_equal(floors_open(path, &f, NULL), BERTH_OK);
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0);
    assert_int_not_equal(floors_raise(f, "a", public.id, "2.0.0", NULL), BERTH_OK);
    assert_int_equal(floors_check(f, "a", public.id, "1.0.0", NULL), BERTH_OK);
    floors_close(f);
}

static void damaged_floors_are_corrupt(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"floors\":[1]}",
        "{\"floors\":[{\"name\":\"a\",\"key\":\"12\",\"version\":\"1.0.0\"}]}",
        "{\"floors\":[{\"name\":\"a\",\"key\":\"0123456789ABCDEF\",\"version\":\"one\"}]}",
        "{\"floors\":[{\"name\":\"a\",\"key\":\"0123456789ABCDEF\"}]}",
    };
    char path[128];
    floors *f;

    (void)state;
    snprintf(path, sizeof path, "%s/floors.json", dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(file_write(path, bad[i], strlen(bad[i]), 0600, NULL), BERTH_OK);
        if (floors_open(path, &f, NULL) != BERTH_ERR_CORRUPT)
            fail_msg("%s", bad[i]);
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_key_is_found_among_several_and_named),
        test(two_keys_of_one_id_are_both_tried),
        test(keys_may_stand_in_files_that_nobody_else_writes),
        test(mistakes_in_keys_and_digests_are_named),
        test(floors_rise_never_fall_and_outlive_the_process),
        test(a_floor_that_cannot_be_written_is_not_raised),
        test(damaged_floors_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
