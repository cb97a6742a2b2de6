/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory, the host key, the node's identity: made once, kept, and guarded. */
#include "node/state.h"

#include "base/file.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    char root[64], dir[96], key[128];
    config *c;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    strcpy(f->root, "/tmp/berth-state-XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->dir, sizeof f->dir, "%s/deep/state", f->root);
    snprintf(f->key, sizeof f->key, "%s/host.key", f->dir);
    f->c = config_new();
    f->c->state_dir = strdup(f->dir);
    unsetenv("CREDENTIALS_DIRECTORY");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", f->root);
    config_free(f->c);
    free(f);
    return system(command);
}

static void first_start_makes_it_private_and_later_ones_find_the_same_node(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    struct stat st;
    uint64_t node_id;
    uint8_t key[HOST_KEY_SIZE];

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(f->key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    node_id = s.identity.node_id;
    memcpy(key, s.host_key, sizeof key);
    state_close(&s);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
        assert_true(s.identity.node_id == node_id);
        assert_memory_equal(s.host_key, key, sizeof key);
        state_close(&s);
    }
}

static void whose_a_directory_is_can_be_asked_beside_a_host_and_without_one(void **state)
{
    fixture *f = *state;
    uint8_t before[BERTH_ENTITY_SIZE], beside[BERTH_ENTITY_SIZE], after[BERTH_ENTITY_SIZE];
    berth_error error = {0};
    node_state s = {0};

    assert_int_equal(state_entity(f->dir, before, &error), BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "no host has run there"));
    assert_int_equal(access(f->dir, F_OK), -1);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_int_equal(state_entity(f->dir, beside, NULL), BERTH_OK);
    assert_memory_equal(beside, s.identity.entity, sizeof beside);
    state_close(&s);
    assert_int_equal(unlink(f->key), 0); /* it takes no host key */
    assert_int_equal(state_entity(f->dir, after, NULL), BERTH_OK);
    assert_memory_equal(after, beside, sizeof after);
}

static unsigned warnings;

static void count_warnings(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    if (level == LOG_LEVEL_WARN && strcmp(room, "node") == 0 && strstr(text, "theft"))
        warnings++;
}

static void a_key_beside_the_data_is_warned_of_once(void **state)
{
    fixture *f = *state;
    node_state s = {0};

    warnings = 0;
    log_set_sink(count_warnings, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
        state_close(&s);
    }
    log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
}

static void refused(fixture *f, berth_status status, const char *says)
{
    node_state s = {0};
    berth_error error = {0};

    assert_int_equal(state_open(f->c, &s, &error), status);
    if (!strstr(error.text, says))
        fail_msg("wanted '%s' in: %s", says, error.text);
    assert_null(s.dir);
    assert_null(s.store);
}

static void a_second_host_on_the_directory_is_refused(void **state)
{
    fixture *f = *state;
    node_state first = {0};

    assert_int_equal(state_open(f->c, &first, NULL), BERTH_OK);
    refused(f, BERTH_ERR_LOCKED, f->dir);
    state_close(&first);
    assert_int_equal(state_open(f->c, &first, NULL), BERTH_OK);
    state_close(&first);
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
    fixture *f = *state;
    node_state s = {0};

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    state_close(&s);
    assert_int_equal(chmod(f->dir, 0770), 0);
    refused(f, BERTH_ERR_PERMISSION, "chmod");
    assert_int_equal(chmod(f->dir, 0707), 0);
    refused(f, BERTH_ERR_PERMISSION, "chmod");
}

static void a_lost_key_is_missed_and_not_replaced(void **state)
{
    fixture *f = *state;
    node_state s = {0};

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    state_close(&s);
    assert_int_equal(unlink(f->key), 0);
    refused(f, BERTH_ERR_NOT_FOUND, "put it back");
    assert_int_equal(access(f->key, F_OK), -1);
}

static void another_key_does_not_open_the_directory(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    uint8_t other[HOST_KEY_SIZE] = {1};

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    state_close(&s);
    assert_int_equal(file_write(f->key, other, sizeof other, 0600, NULL), BERTH_OK);
    refused(f, BERTH_ERR_SIGNATURE, "another host key");
}

static void a_key_file_elsewhere_is_used_and_has_to_be_private(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    uint8_t key[HOST_KEY_SIZE];
    char path[96];

    memset(key, 7, sizeof key);
    snprintf(path, sizeof path, "%s/elsewhere", f->root);
    f->c->key_file = strdup(path);
    refused(f, BERTH_ERR_NOT_FOUND, "elsewhere");
    assert_int_equal(file_write(path, key, sizeof key, 0640, NULL), BERTH_OK);
    refused(f, BERTH_ERR_PERMISSION, "chmod");
    assert_int_equal(file_write(path, key, sizeof key, 0600, NULL), BERTH_OK);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_memory_equal(s.host_key, key, sizeof key);
    state_close(&s);
    assert_int_equal(access(f->key, F_OK), -1);
}

static void a_credential_of_systemd_is_used_before_a_key_beside_the_data(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    uint8_t key[HOST_KEY_SIZE];
    char path[96];

    memset(key, 9, sizeof key);
    snprintf(path, sizeof path, "%s/" STATE_CREDENTIAL, f->root);
    assert_int_equal(file_write(path, key, sizeof key, 0440, NULL), BERTH_OK);
    setenv("CREDENTIALS_DIRECTORY", f->root, 1);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_memory_equal(s.host_key, key, sizeof key);
    assert_int_equal(access(f->key, F_OK), -1);
    state_close(&s);
}

static void a_host_key_has_one_of_two_forms(void **state)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    uint8_t out[HOST_KEY_SIZE], zero[HOST_KEY_SIZE] = {0};
    berth_error error = {0};

    (void)state;
    assert_int_equal(state_key_parse(slice_of(hex, 65), "k", out, NULL), BERTH_OK);
    assert_int_equal(out[31], 31);
    assert_int_equal(state_key_parse(slice_of(hex, 64), "k", out, NULL), BERTH_OK);
    assert_int_equal(state_key_parse(slice_of(hex, 32), "k", out, NULL), BERTH_OK);
    assert_int_equal(out[0], '0');
    for (size_t len = 0; len < 65; len++)
        if (len != 32 && len != 64)
            assert_int_equal(state_key_parse(slice_of(hex, len), "k", out, &error),
                             BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "/dev/urandom"));
    assert_int_equal(state_key_parse(slice_of(zero, 32), "k", out, NULL), BERTH_ERR_INVALID);
}

static void an_ephemeral_state_touches_no_directory(void **state)
{
    fixture *f = *state;
    node_state s = {0};

    f->c->ephemeral = true;
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_null(s.store);
    assert_null(s.dir);
    assert_true(berth_keypair_is_full(&s.identity));
    state_close(&s);
    assert_int_equal(access(f->dir, F_OK), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(first_start_makes_it_private_and_later_ones_find_the_same_node),
        TEST(whose_a_directory_is_can_be_asked_beside_a_host_and_without_one),
        TEST(a_key_beside_the_data_is_warned_of_once),
        TEST(a_second_host_on_the_directory_is_refused),
        TEST(a_directory_that_others_may_write_is_refused),
        TEST(a_lost_key_is_missed_and_not_replaced),
        TEST(another_key_does_not_open_the_directory),
        TEST(a_key_file_elsewhere_is_used_and_has_to_be_private),
        TEST(a_credential_of_systemd_is_used_before_a_key_beside_the_data),
        TEST(a_host_key_has_one_of_two_forms),
        TEST(an_ephemeral_state_touches_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
