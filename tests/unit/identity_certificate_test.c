/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and revocation lists of a realm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/random.h"
#include "identity/certificate.h"
#include "identity/revocation.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    berth_keypair realm, node;
    realm_certificate c;
    uint8_t bytes[CERTIFICATE_MAX];
    size_t len;
    revocation_list list;
    writer encoded;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->realm);
    berth_keypair_generate(&f->node);
    f->c = (realm_certificate){.serial = 7, .not_before = 1000, .not_after = 2000};
    memcpy(f->c.entity, f->node.entity, 32);
    strcpy(f->c.name, "node-a");
    assert_int_equal(certificate_sign(&f->c, &f->realm, NULL), BERTH_OK);
    f->len = certificate_encode(f->bytes, &f->c);
    f->list.number = 3;
    f->list.issued = 1500;
    for (uint64_t serial = 50; serial > 0; serial -= 10)
        assert_int_equal(revocation_add_serial(&f->list, serial), BERTH_OK);
    assert_int_equal(revocation_add_entity(&f->list, f->node.entity), BERTH_OK);
    assert_int_equal(revocation_add_entity(&f->list, f->realm.entity), BERTH_OK);
    assert_int_equal(revocation_sign(&f->list, &f->realm, NULL), BERTH_OK);
    revocation_encode(&f->encoded, &f->list);
    assert_false(f->encoded.failed);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    revocation_free(&f->list);
    writer_free(&f->encoded);
    free(f);
    return 0;
}

static void a_certificate_comes_back_as_it_was_signed(void **state)
{
    struct fixture *f = *state;
    realm_certificate got;

    assert_int_equal(certificate_decode(&got, slice_of(f->bytes, f->len), NULL), BERTH_OK);
    assert_memory_equal(&got, &f->c, sizeof got);
    assert_int_equal(certificate_verify(&got, NULL), BERTH_OK);
}

static void no_bit_of_a_certificate_can_be_changed(void **state)
{
    struct fixture *f = *state;

    for (size_t bit = 0; bit < f->len * 8; bit++) {
        berth_error error = {0};
        realm_certificate got;

        f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (certificate_decode(&got, slice_of(f->bytes, f->len), &error) == BERTH_OK)
            assert_int_equal(certificate_verify(&got, &error), BERTH_ERR_SIGNATURE);
        assert_true(error.text[0]);
        f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_certificate_of_another_length_is_corrupt(void **state)
{
    struct fixture *f = *state;
    uint8_t longer[CERTIFICATE_MAX + 1] = {0};
    realm_certificate got;

    memcpy(longer, f->bytes, f->len);
    for (size_t len = 0; len <= sizeof longer; len++)
        if (len != f->len)
            assert_int_equal(certificate_decode(&got, slice_of(longer, len), NULL),
                             BERTH_ERR_CORRUPT);
    longer[0] = CERTIFICATE_VERSION + 1;
    assert_int_equal(certificate_decode(&got, slice_of(longer, f->len), NULL), BERTH_ERR_VERSION);
}

static void names_have_a_grammar_and_a_limit(void **state)
{
    static const char *const bad[] = {"",    ".a",   "-a",       "_a",  "a b",
                                      "a/b", "a\nb", "\xc3\xa4", "a\"b"};
    static const char *const good[] = {"a", "9", "node-a.example_1"};
    char longest[CERTIFICATE_NAME_MAX + 1];
    struct fixture *f = *state;
    berth_error error = {0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(certificate_name_check(slice_str(bad[i]), &error), BERTH_ERR_INVALID);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(certificate_name_check(slice_str(good[i]), NULL), BERTH_OK);
    memset(longest, 'a', sizeof longest);
    assert_int_equal(certificate_name_check(slice_of(longest, CERTIFICATE_NAME_MAX), NULL),
                     BERTH_OK);
    assert_int_equal(certificate_name_check(slice_of(longest, CERTIFICATE_NAME_MAX + 1), NULL),
                     BERTH_ERR_INVALID);
    memset(f->c.name, 'a', sizeof f->c.name); /* without an end */
    assert_int_equal(certificate_sign(&f->c, &f->realm, &error), BERTH_ERR_INVALID);
    f->c.name[CERTIFICATE_NAME_MAX] = 0;
    assert_int_equal(certificate_sign(&f->c, &f->realm, &error), BERTH_OK);
    assert_int_equal(certificate_encode(f->bytes, &f->c), CERTIFICATE_MAX);
}

static void times_that_make_no_sense_are_not_signed(void **state)
{
    struct fixture *f = *state;
    const int64_t bad[][2] = {{2000, 2000},
                              {2000, 1000},
                              {-1, 1000},
                              {0, CERTIFICATE_TIME_MAX + 1},
                              {INT64_MIN, INT64_MAX}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f->c.not_before = bad[i][0];
        f->c.not_after = bad[i][1];
        assert_int_equal(certificate_sign(&f->c, &f->realm, NULL), BERTH_ERR_INVALID);
    }
    berth_keypair_wipe(&f->realm);
    f->c.not_before = 0;
    f->c.not_after = CERTIFICATE_TIME_MAX;
    assert_int_equal(certificate_sign(&f->c, &f->realm, NULL), BERTH_ERR_READ_ONLY);
}

static void both_ends_of_its_time_count_and_the_tolerance_widens_them(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};

    assert_int_equal(certificate_in_time(&f->c, 1000, 0, NULL), BERTH_OK);
    assert_int_equal(certificate_in_time(&f->c, 2000, 0, NULL), BERTH_OK);
    assert_int_equal(certificate_in_time(&f->c, 999, 0, &error), BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "begins 1 s from now"));
    assert_int_equal(certificate_in_time(&f->c, 2001, 0, &error), BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "ended 1 s ago"));
    assert_int_equal(certificate_in_time(&f->c, 700, 300, NULL), BERTH_OK);
    assert_int_equal(certificate_in_time(&f->c, 2300, 300, NULL), BERTH_OK);
    assert_int_equal(certificate_in_time(&f->c, 699, 300, NULL), BERTH_ERR_REFUSED);
    assert_int_equal(certificate_in_time(&f->c, 2301, 300, NULL), BERTH_ERR_REFUSED);
}

static void a_revocation_list_comes_back_and_finds_what_is_in_it(void **state)
{
    struct fixture *f = *state;
    uint8_t other[32] = {1};
    revocation_list got;

    assert_int_equal(revocation_read(&got, slice_of(f->encoded.data, f->encoded.len), NULL),
                     BERTH_OK);
    assert_int_equal(got.number, 3);
    assert_int_equal(got.issued, 1500);
    assert_int_equal(got.serial_count, 5);
    for (uint64_t serial = 0; serial < 60; serial++)
        assert_int_equal(revocation_has_serial(&got, serial), serial && serial % 10 == 0);
    assert_true(revocation_has_entity(&got, f->node.entity));
    assert_true(revocation_has_entity(&got, f->realm.entity));
    assert_false(revocation_has_entity(&got, other));
    assert_int_equal(revocation_add_serial(&got, 30), BERTH_ERR_EXISTS);
    assert_int_equal(revocation_add_entity(&got, f->node.entity), BERTH_ERR_EXISTS);
    revocation_free(&got);
}

static void no_bit_of_a_revocation_list_can_be_changed(void **state)
{
    static const revocation_list empty;
    struct fixture *f = *state;

    for (size_t bit = 0; bit < f->encoded.len * 8; bit++) {
        berth_error error = {0};
        revocation_list got;

        f->encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(
            revocation_read(&got, slice_of(f->encoded.data, f->encoded.len), &error), BERTH_OK);
        assert_true(error.text[0]);
        assert_memory_equal(&got, &empty, sizeof got);
        f->encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < f->encoded.len; len++) {
        revocation_list got;

        assert_int_equal(revocation_read(&got, slice_of(f->encoded.data, len), NULL),
                         BERTH_ERR_CORRUPT);
    }
}

/* Even a realm cannot write a list in two ways. */
static void entries_that_do_not_ascend_are_refused_though_signed(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    revocation_list got;

    f->list.serials[1] = f->list.serials[0];
    assert_int_equal(revocation_sign(&f->list, &f->realm, NULL), BERTH_OK);
    f->encoded.len = 0;
    revocation_encode(&f->encoded, &f->list);
    assert_int_equal(revocation_read(&got, slice_of(f->encoded.data, f->encoded.len), &error),
                     BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "ascend"));
}

static void a_list_has_a_bound(void **state)
{
    struct fixture *f = *state;
    revocation_list got;

    for (uint64_t serial = 100; f->list.serial_count < REVOCATION_SERIALS_MAX; serial++)
        assert_int_equal(revocation_add_serial(&f->list, serial), BERTH_OK);
    assert_int_equal(revocation_add_serial(&f->list, 1), BERTH_ERR_LIMIT);
    for (uint8_t entity[32] = {0}; f->list.entity_count < REVOCATION_ENTITIES_MAX;) {
        entity[0]++;
        entity[1] = (uint8_t)(entity[1] + !entity[0]);
        assert_int_equal(revocation_add_entity(&f->list, entity), BERTH_OK);
    }
    assert_int_equal(revocation_add_entity(&f->list, (uint8_t[32]){0, 0, 1}), BERTH_ERR_LIMIT);
    assert_int_equal(revocation_sign(&f->list, &f->realm, NULL), BERTH_OK);
    f->encoded.len = 0;
    revocation_encode(&f->encoded, &f->list);
    assert_int_equal(f->encoded.len, REVOCATION_MAX);
    assert_int_equal(revocation_read(&got, slice_of(f->encoded.data, f->encoded.len), NULL),
                     BERTH_OK);
    revocation_free(&got);
    /* one more is refused by its count, before anything is allocated or verified */
    f->encoded.data[1 + 32 + 8 + 8 + 2] = 2;
    assert_int_equal(revocation_read(&got, slice_of(f->encoded.data, f->encoded.len), NULL),
                     BERTH_ERR_LIMIT);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(a_certificate_comes_back_as_it_was_signed),
        WITH(no_bit_of_a_certificate_can_be_changed),
        WITH(a_certificate_of_another_length_is_corrupt),
        WITH(names_have_a_grammar_and_a_limit),
        WITH(times_that_make_no_sense_are_not_signed),
        WITH(both_ends_of_its_time_count_and_the_tolerance_widens_them),
        WITH(a_revocation_list_comes_back_and_finds_what_is_in_it),
        WITH(no_bit_of_a_revocation_list_can_be_changed),
        WITH(entries_that_do_not_ascend_are_refused_though_signed),
        WITH(a_list_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
