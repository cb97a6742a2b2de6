/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, revocation lists, realm keys and their books as files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "identity/certificate_file.h"
#include "identity/realm_book.h"
#include "identity/realm_key.h"
#include "identity/revocation_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[64], path[96];
    realm_key key;
    realm_certificate certificate;
    revocation_list list;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uint8_t entity[BERTH_ENTITY_SIZE] = {3};

    strcpy(f->dir, "/tmp/berth-realm-XXXXXX");
    if (!mkdtemp(f->dir))
        return 1;
    snprintf(f->path, sizeof f->path, "%s/file", f->dir);
    berth_keypair_generate(&f->key.pair);
    strcpy(f->key.name, "harbour");
    f->certificate = (realm_certificate){.serial = 3, .not_before = 1000, .not_after = 2000};
    memset(f->certificate.name, 'n', CERTIFICATE_NAME_MAX);
    memset(f->certificate.entity, 7, BERTH_ENTITY_SIZE);
    certificate_sign(&f->certificate, &f->key.pair, NULL);
    f->list.number = 4;
    f->list.issued = 1700000000;
    revocation_add_serial(&f->list, 5);
    revocation_add_entity(&f->list, entity);
    revocation_sign(&f->list, &f->key.pair, NULL);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    rmdir(f->dir);
    revocation_free(&f->list);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void mode_is(const char *path, mode_t mode)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void says(const char *text, const berth_error *error, const char *part)
{
    if (!strstr(error->text, part))
        fail_msg("'%s' says: %s", text, error->text);
}

/* ---- Certificates ---- */

static void no_certificate(const char *text, berth_status status, const char *part)
{
    static const realm_certificate nothing;
    berth_error error = {0};
    realm_certificate out;

    memset(&out, 0xAA, sizeof out);
    assert_int_equal(certificate_file_parse(slice_str(text), &out, &error), status);
    assert_memory_equal(&out, &nothing, sizeof out);
    says(text, &error, part);
}

static void a_certificate_survives_its_file(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    realm_certificate back;

    assert_int_equal(certificate_file_write(f->path, &f->certificate, &error), BERTH_OK);
    mode_is(f->path, 0644);
    assert_int_equal(certificate_file_read(f->path, &back, &error), BERTH_OK);
    assert_memory_equal(&back, &f->certificate, sizeof back);
    assert_int_equal(certificate_verify(&back, NULL), BERTH_OK);
    assert_int_equal(certificate_file_write(f->path, &f->certificate, &error), BERTH_ERR_EXISTS);
    unlink(f->path);
    assert_int_equal(certificate_file_read(f->path, &back, &error), BERTH_ERR_NOT_FOUND);
}

static void what_is_no_certificate_file_says_why(void **state)
{
    struct fixture *f = *state;
    char *text = certificate_file_format(&f->certificate), *twice, long_line[512];

    no_certificate("", BERTH_ERR_INVALID, "berth-certificate: 1");
    no_certificate("hello\n", BERTH_ERR_INVALID, "line 1: expected 'name: value'");
    no_certificate("berth-token: 1\n", BERTH_ERR_INVALID, "must come first");
    no_certificate("berth-certificate: 2\n", BERTH_ERR_VERSION, "line 1: the version");
    no_certificate("berth-certificate: 1\n", BERTH_ERR_INVALID, "there is no 'certificate'");
    no_certificate("berth-certificate: 1\n\ncolour: red\n", BERTH_ERR_INVALID,
                   "line 3: an unknown name");
    no_certificate("berth-certificate: 1\ncertificate: !\n", BERTH_ERR_INVALID, "base64");
    no_certificate("berth-certificate: 1\ncertificate: AA==\n", BERTH_ERR_CORRUPT,
                   "line 2: certificate: 1 bytes");
    memset(long_line, 'A', sizeof long_line);
    memcpy(long_line, "berth-certificate: 1\ncertificate: ", 34);
    long_line[sizeof long_line - 1] = 0;
    no_certificate(long_line, BERTH_ERR_INVALID, "at most 217 bytes");
    assert_true(asprintf(&twice, "%s%s", text, strstr(text, "certificate: A")) > 0);
    no_certificate(twice, BERTH_ERR_INVALID, "'certificate' is there twice");
    free(twice);
    free(text);
}

/* ---- Revocation lists ---- */

static void no_list(const char *text, berth_status status, const char *part)
{
    static const revocation_list nothing;
    berth_error error = {0};
    revocation_list out;

    memset(&out, 0xAA, sizeof out);
    assert_int_equal(revocation_file_parse(slice_str(text), &out, &error), status);
    assert_memory_equal(&out, &nothing, sizeof out);
    says(text, &error, part);
}

static void a_list_survives_its_file_and_is_replaced(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    revocation_list back;

    assert_int_equal(revocation_file_read(f->path, &back, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(revocation_file_write(f->path, &f->list, &error), BERTH_OK);
    mode_is(f->path, 0644);
    assert_int_equal(revocation_file_read(f->path, &back, &error), BERTH_OK);
    assert_true(back.number == 4 && back.serial_count == 1 && back.entity_count == 1);
    assert_true(revocation_has_serial(&back, 5));
    assert_memory_equal(back.realm, f->key.pair.entity, BERTH_ENTITY_SIZE);
    back.number++;
    assert_int_equal(revocation_sign(&back, &f->key.pair, NULL), BERTH_OK);
    assert_int_equal(revocation_file_write(f->path, &back, &error), BERTH_OK);
    revocation_free(&back);
    assert_int_equal(revocation_file_read(f->path, &back, &error), BERTH_OK);
    assert_true(back.number == 5);
    revocation_free(&back);
}

static void the_longest_list_fits_into_its_file(void **state)
{
    struct fixture *f = *state;
    revocation_list longest = {.number = UINT64_MAX, .issued = INT64_MAX}, back;
    berth_error error = {0};

    longest.serial_count = REVOCATION_SERIALS_MAX;
    longest.entity_count = REVOCATION_ENTITIES_MAX;
    longest.serials = calloc(REVOCATION_SERIALS_MAX, sizeof *longest.serials);
    longest.entities = calloc(REVOCATION_ENTITIES_MAX, sizeof *longest.entities);
    for (uint32_t i = 0; i < REVOCATION_SERIALS_MAX; i++)
        longest.serials[i] = UINT64_MAX - REVOCATION_SERIALS_MAX + i;
    for (uint32_t i = 0; i < REVOCATION_ENTITIES_MAX; i++) {
        longest.entities[i][0] = (uint8_t)(i >> 8);
        longest.entities[i][1] = (uint8_t)i;
    }
    assert_int_equal(revocation_sign(&longest, &f->key.pair, NULL), BERTH_OK);
    assert_int_equal(revocation_file_write(f->path, &longest, &error), BERTH_OK);
    assert_int_equal(revocation_file_read(f->path, &back, &error), BERTH_OK);
    assert_int_equal(back.serial_count, REVOCATION_SERIALS_MAX);
    assert_int_equal(back.entity_count, REVOCATION_ENTITIES_MAX);
    revocation_free(&back);
    revocation_free(&longest);
}

static void what_is_no_list_file_says_why(void **state)
{
    struct fixture *f = *state;
    char *text = revocation_file_format(&f->list), *twice, *at;

    no_list("", BERTH_ERR_INVALID, "berth-revocations: 1");
    no_list("berth-certificate: 1\n", BERTH_ERR_INVALID, "must come first");
    no_list("berth-revocations: 7\n", BERTH_ERR_VERSION, "line 1: the version");
    no_list("berth-revocations: 1\n", BERTH_ERR_INVALID, "there is no 'list'");
    no_list("berth-revocations: 1\ncolour: red\n", BERTH_ERR_INVALID, "line 2: an unknown name");
    no_list("berth-revocations: 1\nlist: !\n", BERTH_ERR_INVALID, "base64");
    no_list("berth-revocations: 1\nlist: AA==\n", BERTH_ERR_CORRUPT, "line 2: revocation list: 1");
    assert_true(asprintf(&twice, "%s%s", text, strstr(text, "list: A")) > 0);
    no_list(twice, BERTH_ERR_INVALID, "'list' is there twice");
    free(twice);
    at = strstr(text, "list: A") + 60; /* its number, or what it lists: not what was signed */
    *at = *at == 'A' ? 'B' : 'A';
    no_list(text, BERTH_ERR_SIGNATURE, "not signed by its realm");
    free(text);
}

/* ---- Keys ---- */

static void no_key(const char *text, berth_status status, const char *part)
{
    static const realm_key nothing;
    berth_error error = {0};
    realm_key out;

    memset(&out, 0xAA, sizeof out);
    assert_int_equal(realm_key_parse(slice_str(text), &out, &error), status);
    assert_memory_equal(&out, &nothing, sizeof out);
    says(text, &error, part);
}

static void a_key_is_private_and_survives_its_file(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    realm_key back;

    umask(0);
    assert_int_equal(realm_key_write(f->path, &f->key, &error), BERTH_OK);
    mode_is(f->path, 0600);
    assert_int_equal(realm_key_read(f->path, &back, &error), BERTH_OK);
    assert_memory_equal(&back, &f->key, sizeof back);
    assert_int_equal(realm_key_write(f->path, &f->key, &error), BERTH_ERR_EXISTS);
    chmod(f->path, 0640);
    assert_int_equal(realm_key_read(f->path, &back, &error), BERTH_ERR_PERMISSION);
    says("mode 0640", &error, "chmod");
    realm_key_wipe(&f->key);
    assert_int_equal(realm_key_write("/tmp/never", &f->key, &error), BERTH_ERR_READ_ONLY);
}

/* "chmod it" is no advice about what is no key. */
static void what_is_no_key_need_not_be_private(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    realm_key back;

    assert_int_equal(certificate_file_write(f->path, &f->certificate, NULL), BERTH_OK);
    assert_int_equal(realm_key_read(f->path, &back, &error), BERTH_ERR_INVALID);
    says("a certificate", &error, "is not the key of a realm");
}

static void what_is_no_key_file_says_why_and_never_quotes_it(void **state)
{
#define SEED "seed: 0707070707070707070707070707070707070707070707070707070707070707\n"
    (void)state;
    no_key("", BERTH_ERR_INVALID, "berth-realm-key: 1");
    no_key("berth-identity: 1\n" SEED, BERTH_ERR_INVALID, "'berth-realm-key: 1' must come first");
    no_key("berth-realm-key: 2\n", BERTH_ERR_VERSION, "line 1: the version");
    no_key("berth-realm-key: 1\n", BERTH_ERR_INVALID, "there is no 'seed'");
    no_key("berth-realm-key: 1\n" SEED SEED, BERTH_ERR_INVALID, "line 3: 'seed' is there twice");
    no_key("berth-realm-key: 1\nseed: 12\n", BERTH_ERR_INVALID,
           "line 2: 'seed' must be 64 hex digits");
    no_key("berth-realm-key: 1\nsead: 12\n", BERTH_ERR_INVALID, "line 2: an unknown name");
    no_key("berth-realm-key: 1\nname: a b\n" SEED, BERTH_ERR_INVALID, "line 2: 'name'");
    no_key("berth-realm-key: 1\nrealm: "
           "0000000000000000000000000000000000000000000000000000000000000000\n" SEED,
           BERTH_ERR_IDENTITY_MISMATCH, "the file was altered");
#undef SEED
}

/* ---- Books ---- */

static void no_book(const char *text, const char *part)
{
    static const realm_book nothing;
    berth_error error = {0};
    realm_book out;

    memset(&out, 0xAA, sizeof out);
    assert_int_not_equal(realm_book_parse(slice_str(text), &out, &error), BERTH_OK);
    assert_memory_equal(&out, &nothing, sizeof out);
    says(text, &error, part);
}

static void a_book_survives_its_file_and_belongs_to_one_realm(void **state)
{
    struct fixture *f = *state;
    realm_book book = {.serial = UINT64_MAX, .list = 4}, back;
    uint8_t other[BERTH_ENTITY_SIZE] = {1};
    berth_error error = {0};

    memcpy(book.realm, f->key.pair.entity, sizeof book.realm);
    assert_int_equal(realm_book_read(f->path, book.realm, &back, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(realm_book_write(f->path, &book, &error), BERTH_OK);
    mode_is(f->path, 0600);
    assert_int_equal(realm_book_read(f->path, book.realm, &back, &error), BERTH_OK);
    assert_memory_equal(&back, &book, sizeof back);
    assert_int_equal(realm_book_read(f->path, other, &back, &error), BERTH_ERR_INVALID);
    says("a book", &error, "belongs to another realm");
    chmod(f->path, 0622);
    assert_int_equal(realm_book_read(f->path, book.realm, &back, &error), BERTH_ERR_PERMISSION);
}

static void what_is_no_book_says_why(void **state)
{
#define REALM "realm: 0707070707070707070707070707070707070707070707070707070707070707\n"
    (void)state;
    no_book("", "berth-realm-book: 1");
    no_book("berth-realm-book: 1\n" REALM "serial: 1\n", "must all be there");
    no_book("berth-realm-book: 1\nserial: 1\nserial: 1\n", "line 3: 'serial' is there twice");
    no_book("berth-realm-book: 1\nserial: -1\n", "line 2: 'serial' must be a whole number");
    no_book("berth-realm-book: 1\nlist:\n", "line 2: 'list' must be a whole number");
    no_book("berth-realm-book: 1\nlist: 18446744073709551616\n", "must be a whole number");
    no_book("berth-realm-book: 1\nrealm: 12\n", "line 2: 'realm' must be 64 hex digits");
    no_book("berth-realm-book: 1\ncolour: red\n", "line 2: an unknown name");
#undef REALM
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_survives_its_file),
        TEST(what_is_no_certificate_file_says_why),
        TEST(a_list_survives_its_file_and_is_replaced),
        TEST(the_longest_list_fits_into_its_file),
        TEST(what_is_no_list_file_says_why),
        TEST(a_key_is_private_and_survives_its_file),
        TEST(what_is_no_key_need_not_be_private),
        TEST(what_is_no_key_file_says_why_and_never_quotes_it),
        TEST(a_book_survives_its_file_and_belongs_to_one_realm),
        TEST(what_is_no_book_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
