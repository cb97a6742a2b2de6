/* SPDX-License-Identifier: Apache-2.0 */
/* The file of pre-shared keys: what it may hold, and who may read it. */
#include "node/psk.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define KEY_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define KEY_3 "ABCDEFabcdef3333333333333333333333333333333333333333333333333333"
#define KEY_4 "4444444444444444444444444444444444444444444444444444444444444444"
#define KEY_5 "5555555555555555555555555555555555555555555555555555555555555555"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void keys_are_read_in_their_order(void **state)
{
    psk_set set;

    (void)state;
    assert_int_equal(psk_parse(slice_str("# newest\n\n  " KEY_1 "\t\r\n#" KEY_5 "\n" KEY_2
                                         "\n" KEY_3 "\n \n" KEY_4),
                               &set, NULL),
                     BERTH_OK);
    assert_int_equal(set.count, 4);
    assert_int_equal(set.keys[0][0], 0x11);
    assert_int_equal(set.keys[1][31], 0x22);
    assert_int_equal(set.keys[2][0], 0xab);
    assert_int_equal(set.keys[2][3], 0xab);
    assert_int_equal(set.keys[3][31], 0x44);
    psk_wipe(&set);
    assert_int_equal(set.count, 0);
    /* As `openssl rand -hex 32` writes it. */
    assert_int_equal(psk_parse(slice_str(KEY_1 "\n"), &set, NULL), BERTH_OK);
    assert_int_equal(set.count, 1);
}

static void each_mistake_names_its_line_and_no_secret(void **state)
{
    static const psk_set none;
    static const struct {
        const char *text;
        berth_status status;
        const char *says;
    } mistakes[] = {
        {"", BERTH_ERR_INVALID, "there is no key in it: `openssl rand -hex 32` makes one"},
        {"\n# " KEY_1 "\n", BERTH_ERR_INVALID, "there is no key in it"},
        {KEY_1 "\n" KEY_2 "1\n", BERTH_ERR_INVALID, "line 2: must be 64 hex digits"},
        {KEY_1 "\n\n2222\n", BERTH_ERR_INVALID, "line 3: must be 64 hex digits"},
        {KEY_1 " " KEY_2, BERTH_ERR_INVALID, "line 1: must be 64 hex digits"},
        {KEY_1 " # mine", BERTH_ERR_INVALID, "line 1: must be 64 hex digits"},
        {"psk: " KEY_1, BERTH_ERR_INVALID, "line 1: must be 64 hex digits, or a # first"},
        {"\n" ZEROS, BERTH_ERR_INVALID, "line 2: a key of zeros keeps nobody out"},
        {KEY_1 "\n" KEY_2 "\n" KEY_1, BERTH_ERR_INVALID, "line 3: this key was there before"},
        {KEY_1 "\n" KEY_2 "\n" KEY_3 "\n" KEY_4 "\n" KEY_5, BERTH_ERR_LIMIT,
         "line 5: at most 4 keys: remove the oldest"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        berth_error error = {0};
        psk_set set;

        memset(&set, 0xaa, sizeof set);
        assert_int_equal(psk_parse(slice_str(mistakes[i].text), &set, &error), mistakes[i].status);
        if (!strstr(error.text, mistakes[i].says))
            fail_msg("for: %s\ngot: %s", mistakes[i].text, error.text);
        assert_null(strstr(error.text, "1111"));
        assert_null(strstr(error.text, "2222"));
        assert_memory_equal(&set, &none, sizeof set);
    }
}

static void the_file_has_to_be_private(void **state)
{
    static const psk_set none;
    char dir[] = "/tmp/berth-psk-XXXXXX", path[64];
    berth_error error = {0};
    psk_set set;

    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/psk", dir);
    assert_int_equal(psk_read(path, &set, &error), BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "openssl rand -hex 32 > /tmp/berth-psk-"));
    assert_int_equal(file_write(path, KEY_1, 64, 0600, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, &error), BERTH_OK);
    assert_int_equal(set.count, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_write(path, KEY_1, 64, i ? 0620 : 0640, NULL), BERTH_OK);
        assert_int_equal(psk_read(path, &set, &error), BERTH_ERR_PERMISSION);
        assert_non_null(strstr(error.text, "chmod go= "));
        assert_memory_equal(&set, &none, sizeof set);
    }
    assert_int_equal(file_write(path, "x\n", 2, 0600, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "pre-shared keys: /tmp/"));
    assert_non_null(strstr(error.text, "/psk: line 1: must be"));
    assert_int_equal(psk_read(dir, &set, &error), BERTH_ERR_INVALID);

    /* Longer than any. */
    char *much = calloc(1, PSK_FILE_MAX + 1);
    memset(much, '\n', PSK_FILE_MAX + 1);
    memcpy(much, KEY_1, 64);
    assert_int_equal(file_write(path, much, PSK_FILE_MAX, 0600, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, &error), BERTH_OK);
    assert_int_equal(file_write(path, much, PSK_FILE_MAX + 1, 0600, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, &error), BERTH_ERR_LIMIT);
    free(much);
    unlink(path);
    rmdir(dir);
}

static void a_credential_of_systemd_may_look_as_if_a_group_could_read_it(void **state)
{
    char dir[] = "/tmp/berth-psk-XXXXXX", path[64], around[64];
    psk_set set;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/psk", dir);
    snprintf(around, sizeof around, "%s/../%s/psk", dir, dir + 5);
    assert_int_equal(file_write(path, KEY_1, 64, 0440, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, NULL), BERTH_ERR_PERMISSION);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_int_equal(psk_read(path, &set, NULL), BERTH_OK);
    assert_int_equal(psk_read(around, &set, NULL), BERTH_ERR_PERMISSION);
    setenv("CREDENTIALS_DIRECTORY", "/tmp/berth-psk", 1);
    assert_int_equal(psk_read(path, &set, NULL), BERTH_ERR_PERMISSION);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_int_equal(file_write(path, KEY_1, 64, 0660, NULL), BERTH_OK);
    assert_int_equal(psk_read(path, &set, NULL), BERTH_ERR_PERMISSION);
    unsetenv("CREDENTIALS_DIRECTORY");
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_in_their_order),
        cmocka_unit_test(each_mistake_names_its_line_and_no_secret),
        cmocka_unit_test(the_file_has_to_be_private),
        cmocka_unit_test(a_credential_of_systemd_may_look_as_if_a_group_could_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
