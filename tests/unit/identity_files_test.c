/* SPDX-License-Identifier: Apache-2.0 */
/* An identity at rest: sealed under the host key, or in a key file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "identity/keyfile.h"
#include "identity/seal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_sealed_identity_opens_under_the_same_key_purpose_and_epoch(void **state)
{
    uint8_t host_key[32], sealed[SEAL_SIZE], again[SEAL_SIZE];
    berth_keypair key, out;

    (void)state;
    random_bytes(host_key, 32);
    berth_keypair_generate(&key);
    assert_int_equal(seal_identity(sealed, &key, host_key, "daemon", 7, NULL), BERTH_OK);
    assert_int_equal(seal_identity(again, &key, host_key, "daemon", 7, NULL), BERTH_OK);
    assert_memory_not_equal(sealed, again, SEAL_SIZE);
    assert_int_equal(
        unseal_identity(&out, slice_of(sealed, SEAL_SIZE), key.entity, host_key, "daemon", 7, NULL),
        BERTH_OK);
    assert_memory_equal(&out, &key, sizeof key);
}

static void a_sealed_identity_opens_under_nothing_else(void **state)
{
    static const berth_keypair nothing;
    uint8_t host_key[32], sealed[SEAL_SIZE], bad[SEAL_SIZE + 1];
    berth_keypair key, other, out;
    berth_error error = {0};

    (void)state;
    random_bytes(host_key, 32);
    berth_keypair_generate(&key);
    berth_keypair_generate(&other);
    assert_int_equal(seal_identity(sealed, &key, host_key, "daemon", 7, NULL), BERTH_OK);

#define REFUSED(status, bytes, len, entity, purpose, epoch)                                        \
    do {                                                                                           \
        memset(&out, 0xAA, sizeof out);                                                            \
        assert_int_equal(                                                                          \
            unseal_identity(&out, slice_of(bytes, len), entity, host_key, purpose, epoch, &error), \
            status);                                                                               \
        assert_memory_equal(&out, &nothing, sizeof out);                                           \
    } while (0)

    REFUSED(BERTH_ERR_SIGNATURE, sealed, SEAL_SIZE, key.entity, "daemon", 8);
    assert_non_null(strstr(error.text, "does not open for 'daemon' at epoch 8"));
    REFUSED(BERTH_ERR_SIGNATURE, sealed, SEAL_SIZE, key.entity, "daemons", 7);
    REFUSED(BERTH_ERR_SIGNATURE, sealed, SEAL_SIZE, other.entity, "daemon", 7);
    REFUSED(BERTH_ERR_CORRUPT, sealed, SEAL_SIZE - 1, key.entity, "daemon", 7);
    REFUSED(BERTH_ERR_CORRUPT, sealed, 0, key.entity, "daemon", 7);
    REFUSED(BERTH_ERR_INVALID, sealed, SEAL_SIZE, key.entity, "", 7);
    memcpy(bad, sealed, SEAL_SIZE);
    bad[SEAL_SIZE] = 0;
    REFUSED(BERTH_ERR_CORRUPT, bad, SEAL_SIZE + 1, key.entity, "daemon", 7);
    bad[0] = 2;
    REFUSED(BERTH_ERR_VERSION, bad, SEAL_SIZE, key.entity, "daemon", 7);
    for (size_t i = 1; i < SEAL_SIZE; i++) {
        memcpy(bad, sealed, SEAL_SIZE);
        bad[i] ^= 0x80;
        REFUSED(BERTH_ERR_SIGNATURE, bad, SEAL_SIZE, key.entity, "daemon", 7);
    }
    host_key[31] ^= 1;
    REFUSED(BERTH_ERR_SIGNATURE, sealed, SEAL_SIZE, key.entity, "daemon", 7);
#undef REFUSED
}

static void a_public_half_or_a_bad_purpose_cannot_be_sealed(void **state)
{
    uint8_t host_key[32] = {1}, sealed[SEAL_SIZE];
    char purpose[SEAL_PURPOSE_MAX + 2];
    berth_keypair key;

    (void)state;
    berth_keypair_generate(&key);
    memset(purpose, 'p', sizeof purpose);
    purpose[SEAL_PURPOSE_MAX + 1] = 0;
    assert_int_equal(seal_identity(sealed, &key, host_key, purpose, 0, NULL), BERTH_ERR_INVALID);
    purpose[SEAL_PURPOSE_MAX] = 0;
    assert_int_equal(seal_identity(sealed, &key, host_key, purpose, 0, NULL), BERTH_OK);
    assert_int_equal(seal_identity(sealed, &key, host_key, "", 0, NULL), BERTH_ERR_INVALID);
    berth_keypair_wipe(&key);
    assert_int_equal(seal_identity(sealed, &key, host_key, "daemon", 0, NULL), BERTH_ERR_READ_ONLY);
}

static void a_key_file_is_private_and_read_back(void **state)
{
    char path[64];
    berth_error error = {0};
    berth_keypair key, out;
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "/tmp/berth-keyfile-%d", (int)getpid());
    unlink(path);
    umask(0);
    berth_keypair_generate(&key);
    assert_int_equal(keyfile_write(path, &key, &error), BERTH_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(keyfile_read(path, &out, &error), BERTH_OK);
    assert_memory_equal(&out, &key, sizeof key);
    assert_int_equal(keyfile_write(path, &key, &error), BERTH_ERR_EXISTS);

    chmod(path, 0644);
    assert_int_equal(keyfile_read(path, &out, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod go= /tmp/berth-keyfile-"));
    assert_false(berth_keypair_is_full(&out));
    unlink(path);
    assert_int_equal(keyfile_read(path, &out, &error), BERTH_ERR_NOT_FOUND);
}

#define SEED   "4242424242424242424242424242424242424242424242424242424242424242"
#define ENTITY "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12"

static void a_key_file_by_hand_is_read(void **state)
{
    static const char *const texts[] = {
        "berth-identity: 1\nseed: " SEED "\n",
        "\n# note\r\n  berth-identity :1\r\nentity:" ENTITY "\r\nseed:\t" SEED " \r\n\n",
        "berth-identity: 1\nseed: " SEED "\n#: end",
    };
    char text[BERTH_ENTITY_TEXT];
    berth_keypair key;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(keyfile_parse(slice_str(texts[i]), &key, NULL), BERTH_OK);
        assert_string_equal(berth_entity_text(text, key.entity), ENTITY);
    }
}

static void a_damaged_key_file_is_refused_with_its_line_and_without_its_seed(void **state)
{
    static const struct {
        const char *text;
        berth_status status;
        const char *part;
    } rows[] = {
        {"", BERTH_ERR_INVALID, "not an identity file"},
        {"hello\n", BERTH_ERR_INVALID, "line 1: expected 'name: value'"},
        {"seed: " SEED "\n", BERTH_ERR_INVALID, "line 1: not an identity file"},
        {"berth-identity: 2\n", BERTH_ERR_VERSION, "line 1: the version"},
        {"berth-identity: 1\n", BERTH_ERR_INVALID, "there is no 'seed'"},
        {"berth-identity: 1\nseed: 4242\n", BERTH_ERR_INVALID, "line 2: 'seed' must be 64 hex"},
        {"berth-identity: 1\nsead: " SEED "\n", BERTH_ERR_INVALID, "line 2: an unknown name"},
        {"berth-identity: 1\nseed: " SEED "\nseed: " SEED, BERTH_ERR_INVALID,
         "line 3: 'seed' is there"},
        {"berth-identity: 1\nentity: " SEED "\nseed: " SEED, BERTH_ERR_IDENTITY_MISMATCH,
         "not the public key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        berth_error error = {0};
        berth_keypair key;

        assert_int_equal(keyfile_parse(slice_str(rows[i].text), &key, &error), rows[i].status);
        if (!strstr(error.text, rows[i].part))
            fail_msg("'%s' does not say '%s'", error.text, rows[i].part);
        assert_null(strstr(error.text, "4242"));
        assert_false(berth_keypair_is_full(&key));
    }
}

static void a_public_half_is_not_written(void **state)
{
    berth_error error = {0};
    berth_keypair key;

    (void)state;
    berth_keypair_generate(&key);
    berth_keypair_wipe(&key);
    assert_int_equal(keyfile_write("/tmp/berth-never-written", &key, &error), BERTH_ERR_READ_ONLY);
    assert_int_equal(access("/tmp/berth-never-written", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_identity_opens_under_the_same_key_purpose_and_epoch),
        cmocka_unit_test(a_sealed_identity_opens_under_nothing_else),
        cmocka_unit_test(a_public_half_or_a_bad_purpose_cannot_be_sealed),
        cmocka_unit_test(a_key_file_is_private_and_read_back),
        cmocka_unit_test(a_key_file_by_hand_is_read),
        cmocka_unit_test(a_damaged_key_file_is_refused_with_its_line_and_without_its_seed),
        cmocka_unit_test(a_public_half_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
