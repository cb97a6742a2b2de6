/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory, the host key, the node's identity: made once, kept, and guarded. */
#include "node/state.h"

#include "base/clock.h"
#include "base/cursor.h"
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

static bool is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

static void the_secrets_of_the_mesh_are_kept_and_wiped(void **state)
{
    fixture *f = *state;
    node_state s = {0}, first;

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    first = s;
    assert_false(is_zero(s.mesh_static, 32));
    assert_memory_not_equal(s.mesh_static, s.mesh_reset, 32);
    assert_memory_not_equal(s.mesh_static, s.identity.seed, 32);
    assert_memory_not_equal(s.mesh_reset, s.host_key, 32);
    state_close(&s);
    assert_true(is_zero((const uint8_t *)&s, sizeof s));
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_memory_equal(s.mesh_static, first.mesh_static, 32);
    assert_memory_equal(s.mesh_reset, first.mesh_reset, 32);
    state_close(&s);
}

static void other_nodes_have_other_secrets(void **state)
{
    fixture *f = *state;
    node_state a = {0}, b = {0}, kept = {0};

    assert_int_equal(state_open(f->c, &kept, NULL), BERTH_OK);
    f->c->ephemeral = true;
    assert_int_equal(state_open(f->c, &a, NULL), BERTH_OK);
    assert_int_equal(state_open(f->c, &b, NULL), BERTH_OK);
    assert_memory_not_equal(a.mesh_static, b.mesh_static, 32);
    assert_memory_not_equal(a.mesh_reset, b.mesh_reset, 32);
    assert_memory_not_equal(a.mesh_static, kept.mesh_static, 32);
    assert_memory_not_equal(a.mesh_reset, kept.mesh_reset, 32);
    state_close(&a);
    state_close(&b);
    state_close(&kept);
}

/* What they are made of is for ever: other values, and no peer knows this node any more. */
static void the_secrets_of_the_mesh_stay_what_they_are_in_later_versions(void **state)
{
    static const uint8_t static_secret[32] = {0x03, 0xf9, 0x89, 0xc9, 0x73, 0x8b, 0x7a, 0x86,
                                              0x38, 0xab, 0xbc, 0x98, 0xec, 0x4d, 0x9c, 0xc2,
                                              0xfa, 0x88, 0xfe, 0x45, 0x76, 0x00, 0xb5, 0x02,
                                              0x40, 0x63, 0x08, 0x64, 0x8a, 0xaa, 0x52, 0xc6};
    static const uint8_t reset_key[32] = {0x5c, 0x14, 0x61, 0xdc, 0x3a, 0xaf, 0x7a, 0xc6,
                                          0x24, 0xc4, 0xb5, 0x80, 0x98, 0xfa, 0x3f, 0x1b,
                                          0x66, 0x84, 0x3e, 0x3e, 0x47, 0xa6, 0x5d, 0xaa,
                                          0x71, 0x14, 0x06, 0x31, 0x6a, 0x7e, 0x23, 0x39};
    fixture *f = *state;
    node_state s = {0};
    berth_keypair key;
    store *st = NULL;
    uint8_t host_key[HOST_KEY_SIZE], seed[BERTH_SEED_SIZE];
    uint8_t fact[BERTH_ENTITY_SIZE + SEAL_SIZE];

    memset(host_key, 1, sizeof host_key);
    memset(seed, 2, sizeof seed);
    berth_keypair_from_seed(&key, seed);
    assert_int_equal(file_mkdirs(f->dir, NULL), BERTH_OK);
    assert_int_equal(file_write(f->key, host_key, sizeof host_key, 0600, NULL), BERTH_OK);
    memcpy(fact, key.entity, sizeof key.entity);
    assert_int_equal(seal_identity(fact + BERTH_ENTITY_SIZE, &key, host_key, "node", 0, NULL),
                     BERTH_OK);
    assert_int_equal(store_open(f->dir, &st, NULL), BERTH_OK);
    assert_int_equal(store_put_fact(st, "node.identity", slice_of(fact, sizeof fact), NULL),
                     BERTH_OK);
    store_close(st);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_memory_equal(s.mesh_static, static_secret, 32);
    assert_memory_equal(s.mesh_reset, reset_key, 32);
    state_close(&s);
}

static void put_fact(fixture *f, const char *name, const void *value, size_t len)
{
    store *st = NULL;

    assert_int_equal(store_open(f->dir, &st, NULL), BERTH_OK);
    assert_int_equal(store_put_fact(st, name, slice_of(value, len), NULL), BERTH_OK);
    store_close(st);
}

static void every_start_has_a_higher_number_whatever_the_clock_says(void **state)
{
    static const uint8_t ahead[8] = {0, 0, 0, 0, 0, 0, 0, 0x10}; /* little-endian */
    fixture *f = *state;
    node_state s = {0};
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
        assert_true(s.boot > last);
        last = s.boot;
        state_close(&s);
    }
    /* The clock was far ahead once. */
    put_fact(f, "node.boot", ahead, sizeof ahead);
    for (uint64_t i = 1; i < 3; i++) {
        assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
        assert_true(s.boot == (UINT64_C(0x10) << 56) + i);
        state_close(&s);
    }
}

static void the_number_of_a_start_is_on_disk_before_it_is_used(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    buf *fact = NULL;

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_int_equal(store_get_fact(s.store, "node.boot", &fact, NULL), BERTH_OK);
    assert_int_equal(fact->len, 8);
    assert_true(load_u64(fact->data) == s.boot);
    buf_unref(fact);
    state_close(&s);
}

/* A directory from a backup: starts were counted since that it knows nothing of. */
static void a_rolled_back_directory_does_not_count_again(void **state)
{
    static const uint8_t old[8] = {5};
    fixture *f = *state;
    node_state s = {0};
    uint64_t last;

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    last = s.boot;
    state_close(&s);
    put_fact(f, "node.boot", old, sizeof old);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_true(s.boot >= last);
    state_close(&s);
}

static void damaged_numbers_are_told_and_not_replaced(void **state)
{
    static const uint8_t last[9] = {255, 255, 255, 255, 255, 255, 255, 255, 255};
    fixture *f = *state;
    node_state s = {0};

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    state_close(&s);
    put_fact(f, "node.boot", last, 7);
    refused(f, BERTH_ERR_CORRUPT, "the fact 'node.boot' is damaged");
    put_fact(f, "node.boot", last, 8);
    refused(f, BERTH_ERR_CORRUPT, "the fact 'node.boot' is damaged");
    put_fact(f, "node.boot", (const uint8_t[8]){0}, 8);
    put_fact(f, "node.announcement", last, 9);
    refused(f, BERTH_ERR_CORRUPT, "the fact 'node.announcement' is damaged");
}

static void the_version_of_an_announcement_is_kept_and_never_falls(void **state)
{
    fixture *f = *state;
    node_state s = {0};

    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_true(s.announcement_version == 0);
    assert_int_equal(state_keep_announcement(&s, 7, NULL), BERTH_OK);
    assert_int_equal(state_keep_announcement(&s, 6, NULL), BERTH_OK);
    assert_true(s.announcement_version == 7);
    state_close(&s);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_true(s.announcement_version == 7);
    assert_int_equal(state_keep_announcement(&s, UINT64_MAX, NULL), BERTH_OK);
    state_close(&s);
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_true(s.announcement_version == UINT64_MAX);
    state_close(&s);
}

static void an_ephemeral_state_counts_by_the_clock_and_remembers_in_memory(void **state)
{
    fixture *f = *state;
    node_state s = {0};
    uint64_t before = (uint64_t)(clock_wall_ns() / 1000000);

    f->c->ephemeral = true;
    assert_int_equal(state_open(f->c, &s, NULL), BERTH_OK);
    assert_true(s.boot >= before);
    assert_int_equal(state_keep_announcement(&s, 9, NULL), BERTH_OK);
    assert_true(s.announcement_version == 9);
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
        TEST(the_secrets_of_the_mesh_are_kept_and_wiped),
        TEST(other_nodes_have_other_secrets),
        TEST(the_secrets_of_the_mesh_stay_what_they_are_in_later_versions),
        TEST(every_start_has_a_higher_number_whatever_the_clock_says),
        TEST(the_number_of_a_start_is_on_disk_before_it_is_used),
        TEST(a_rolled_back_directory_does_not_count_again),
        TEST(damaged_numbers_are_told_and_not_replaced),
        TEST(the_version_of_an_announcement_is_kept_and_never_falls),
        TEST(an_ephemeral_state_counts_by_the_clock_and_remembers_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
