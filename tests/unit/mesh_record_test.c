/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/record.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define WALL 1900000000

static address v4(const char *ip, uint16_t port)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_port = htons(port);
    inet_pton(AF_INET, ip, &a.u.in.sin_addr);
    return a;
}

static address v6(const char *ip, uint16_t port)
{
    address a = {.len = sizeof a.u.in6};

    a.u.in6.sin6_family = AF_INET6;
    a.u.in6.sin6_port = htons(port);
    inet_pton(AF_INET6, ip, &a.u.in6.sin6_addr);
    return a;
}

static berth_keypair key_of(uint8_t n)
{
    uint8_t seed[32] = {n};
    berth_keypair k;

    berth_keypair_from_seed(&k, seed);
    return k;
}

static peer_record sample(void)
{
    peer_record r = {.name = "alpha-1.lab",
                     .address_count = 2,
                     .sequence = 7,
                     .not_after_s = WALL + 3600,
                     .addresses = {v4("192.0.2.1", 4701), v6("2001:db8::1", 4702)}};

    memset(r.static_key, 9, 32);
    return r;
}

static buf *signed_by(const peer_record *r, uint8_t seed)
{
    berth_keypair k = key_of(seed);
    buf *b;

    assert_int_equal(record_sign(r, &k, &b, NULL), BERTH_OK);
    return b;
}

static slice bytes(const buf *b)
{
    return slice_of(b->data, b->len);
}

static void what_is_signed_is_read_back(void **state)
{
    peer_record r = sample(), back;
    berth_keypair k = key_of(1);
    buf *b = signed_by(&r, 1);

    (void)state;
    assert_int_equal(record_decode(bytes(b), &back, NULL), BERTH_OK);
    assert_int_equal(record_verify(bytes(b), &back, WALL, NULL, NULL), BERTH_OK);
    assert_memory_equal(back.entity, k.entity, 32);
    assert_memory_equal(back.static_key, r.static_key, 32);
    assert_string_equal(back.name, r.name);
    assert_int_equal(back.sequence, 7);
    assert_int_equal(back.not_after_s, r.not_after_s);
    assert_int_equal(back.address_count, 2);
    assert_true(record_address_eq(&back.addresses[0], &r.addresses[0]));
    assert_true(record_address_eq(&back.addresses[1], &r.addresses[1]));
    buf_unref(b);
}

/* docs/wire.md, "Peer records": the example there */
static void the_bytes_are_those_of_the_wire_document(void **state)
{
    static const char want[] = "01"
                               "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737"
                               "0909090909090909090909090909090909090909090909090909090909090909"
                               "0700000000000000"
                               "10c13f7100000000"
                               "0b616c7068612d312e6c6162"
                               "02"
                               "04c00002015d12"
                               "0620010db80000000000000000000000015e12";
    peer_record r = sample();
    uint8_t seed[32];
    berth_keypair k;
    buf *b;
    char hex[2 * RECORD_SIZE_MAX + 1];

    (void)state;
    memset(seed, 0x11, sizeof seed);
    berth_keypair_from_seed(&k, seed);
    assert_int_equal(record_sign(&r, &k, &b, NULL), BERTH_OK);
    for (size_t i = 0; i < b->len - 64; i++)
        snprintf(hex + 2 * i, 3, "%02x", b->data[i]);
    assert_string_equal(hex, want);
    buf_unref(b);
}

/* A record is as true as its signature: no bit of it can be changed. */
static void a_flipped_bit_anywhere_is_found(void **state)
{
    peer_record r = sample(), back;
    buf *b = signed_by(&r, 1);

    (void)state;
    for (size_t i = 0; i < b->len * 8; i++) {
        b->data[i / 8] ^= (uint8_t)(1 << i % 8);
        if (record_decode(bytes(b), &back, NULL) == BERTH_OK)
            assert_int_not_equal(record_verify(bytes(b), &back, WALL, NULL, NULL), BERTH_OK);
        b->data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_unref(b);
}

static void a_record_that_is_cut_or_followed_by_more_is_none(void **state)
{
    peer_record r = sample(), back;
    buf *b = signed_by(&r, 1);
    uint8_t more[RECORD_SIZE_MAX + 2] = {0};

    (void)state;
    for (size_t n = 0; n < b->len; n++)
        assert_int_equal(record_decode(slice_of(b->data, n), &back, NULL), BERTH_ERR_INVALID);
    memcpy(more, b->data, b->len);
    assert_int_equal(record_decode(slice_of(more, b->len + 1), &back, NULL), BERTH_ERR_INVALID);
    assert_int_equal(record_decode(slice_of(more, sizeof more), &back, NULL), BERTH_ERR_INVALID);
    buf_unref(b);
}

static void a_record_about_another_node_does_not_verify(void **state)
{
    peer_record r = sample(), back;
    buf *b = signed_by(&r, 1);
    berth_keypair other = key_of(2);

    (void)state;
    memcpy(b->data + 1, other.entity, 32);
    assert_int_equal(record_decode(bytes(b), &back, NULL), BERTH_OK);
    assert_int_equal(record_verify(bytes(b), &back, WALL, NULL, NULL), BERTH_ERR_SIGNATURE);
    buf_unref(b);
}

static void a_record_ends_and_cannot_claim_to_hold_for_ever(void **state)
{
    peer_record r = sample(), back;

    (void)state;
    static const struct {
        int64_t not_after;
        berth_status want;
    } rows[] = {
        {WALL - 1, BERTH_ERR_TIMEOUT},        {WALL, BERTH_OK},
        {WALL + RECORD_LIFE_MAX_S, BERTH_OK}, {WALL + RECORD_LIFE_MAX_S + 1, BERTH_ERR_LIMIT},
        {INT64_MAX, BERTH_ERR_LIMIT},         {INT64_MIN, BERTH_ERR_TIMEOUT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        r.not_after_s = rows[i].not_after;
        buf *b = signed_by(&r, 1);
        assert_int_equal(record_decode(bytes(b), &back, NULL), BERTH_OK);
        assert_int_equal(record_verify(bytes(b), &back, WALL, NULL, NULL), rows[i].want);
        buf_unref(b);
    }
}

static void addresses_that_reach_nobody_are_refused(void **state)
{
    const address nothing = {.len = 0};
    const address bad[] = {
        v4("192.0.2.1", 0),        v4("0.0.0.0", 1), v4("224.0.0.1", 1), v4("255.255.255.255", 1),
        v6("2001:db8::1", 0),      v6("::", 1),      v6("ff02::1", 1),   v6("fe80::1", 1),
        v6("::ffff:192.0.2.1", 1), nothing};
    peer_record r = sample();
    berth_keypair k = key_of(1);
    buf *b;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.addresses[1] = bad[i];
        assert_int_equal(record_sign(&r, &k, &b, NULL), BERTH_ERR_INVALID);
    }
    /* ... also when another's program signed them. */
    r.addresses[1] = v4("192.0.2.9", 1);
    b = signed_by(&r, 1);
    b->data[b->len - 64 - 6] = 0xe0;
    assert_int_equal(record_decode(bytes(b), &r, NULL), BERTH_ERR_INVALID);
    buf_unref(b);
}

static void limits_of_a_record_hold_at_the_edge(void **state)
{
    peer_record r = sample(), back;
    berth_keypair k = key_of(1);
    buf *b;

    (void)state;
    memset(r.name, 'x', RECORD_NAME_MAX);
    for (r.address_count = 0; r.address_count < RECORD_ADDRESSES_MAX; r.address_count++)
        r.addresses[r.address_count] = v6("2001:db8::2", 9);
    b = signed_by(&r, 1);
    assert_int_equal(b->len, RECORD_SIZE_MAX);
    assert_int_equal(record_decode(bytes(b), &back, NULL), BERTH_OK);
    buf_unref(b);
    r.address_count++;
    assert_int_equal(record_sign(&r, &k, &b, NULL), BERTH_ERR_INVALID);
    r.address_count = 0;
    strcpy(r.name, "line\nbreak");
    assert_int_equal(record_sign(&r, &k, &b, NULL), BERTH_ERR_INVALID);
    r.name[0] = 0;
    b = signed_by(&r, 1);
    assert_int_equal(record_decode(bytes(b), &back, NULL), BERTH_OK);
    buf_unref(b);
    berth_keypair_wipe(&k);
    assert_int_equal(record_sign(&r, &k, &b, NULL), BERTH_ERR_READ_ONLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_read_back),
        cmocka_unit_test(the_bytes_are_those_of_the_wire_document),
        cmocka_unit_test(a_flipped_bit_anywhere_is_found),
        cmocka_unit_test(a_record_that_is_cut_or_followed_by_more_is_none),
        cmocka_unit_test(a_record_about_another_node_does_not_verify),
        cmocka_unit_test(a_record_ends_and_cannot_claim_to_hold_for_ever),
        cmocka_unit_test(addresses_that_reach_nobody_are_refused),
        cmocka_unit_test(limits_of_a_record_hold_at_the_edge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
