/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of packets: each is of one use, one direction, one handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "mesh/schedule.h"

#include <string.h>

/* No two of count pieces of len bytes are the same. */
static void assert_all_differ(const uint8_t *pieces, size_t count, size_t len)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(pieces + i * len, pieces + j * len, len);
}

/* mesh-transport 24.2 derive_key */
static void secrets_differ_by_direction_level_and_handshake(void **state)
{
    uint8_t split[2][32], hash[2][64], secrets[8][32], again[32];
    unsigned at = 0;

    (void)state;
    random_bytes(split, sizeof split);
    random_bytes(hash, sizeof hash);
    for (int d = 0; d < 2; d++)
        for (int h = 0; h < 2; h++)
            for (int l = 0; l < 2; l++)
                schedule_secret(secrets[at++], split[d], hash[h], (schedule_level)l);
    assert_all_differ(&secrets[0][0], 8, 32);
    schedule_secret(again, split[0], hash[0], SCHEDULE_HANDSHAKE);
    assert_memory_equal(again, secrets[0], 32);
}

static void key_nonce_and_header_key_of_a_secret_are_unrelated(void **state)
{
    uint8_t secret[32] = {7}, pieces[4][12];
    packet_keys keys;

    (void)state;
    schedule_keys(&keys, secret);
    memcpy(pieces[0], keys.key, 12);
    memcpy(pieces[1], keys.iv, 12);
    memcpy(pieces[2], keys.hp, 12);
    memcpy(pieces[3], secret, 12);
    assert_all_differ(&pieces[0][0], 4, 12);
}

/* Who learns a secret learns none before it: each step is one way. */
static void every_rekey_gives_new_keys_and_the_same_on_both_sides(void **state)
{
    uint8_t a[32], b[32], keys[20][32];
    packet_keys of_a, of_b;

    (void)state;
    random_bytes(a, 32);
    memcpy(b, a, 32);
    for (size_t i = 0; i < 20; i++) {
        schedule_keys(&of_a, a);
        schedule_keys(&of_b, b);
        assert_memory_equal(&of_a, &of_b, sizeof of_a);
        memcpy(keys[i], of_a.key, 32);
        schedule_next_secret(a);
        schedule_next_secret(b);
    }
    assert_all_differ(&keys[0][0], 20, 32);
}

static void initial_keys_need_the_static_key_and_the_connection_id(void **state)
{
    packet_keys client[3], server[3];
    uint8_t one[32] = {1}, two[32] = {2}, all[6][32];

    (void)state;
    schedule_initial(&client[0], &server[0], one, slice_str("12345678"));
    schedule_initial(&client[1], &server[1], two, slice_str("12345678"));
    schedule_initial(&client[2], &server[2], one, slice_str("1234567"));
    for (size_t i = 0; i < 3; i++) {
        memcpy(all[2 * i], client[i].key, 32);
        memcpy(all[2 * i + 1], server[i].key, 32);
    }
    assert_all_differ(&all[0][0], 6, 32);
}

static void a_confirmation_is_of_one_handshake(void **state)
{
    uint8_t split[32], hash[64], mac[SCHEDULE_CONFIRM], other[64] = {0};

    (void)state;
    random_bytes(split, sizeof split);
    random_bytes(hash, sizeof hash);
    schedule_confirm(mac, split, hash);
    assert_true(schedule_confirmed(mac, split, hash));
    assert_false(schedule_confirmed(mac, other, hash));
    assert_false(schedule_confirmed(mac, split, other));
    for (size_t bit = 0; bit < 8 * sizeof mac; bit++) {
        mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(schedule_confirmed(mac, split, hash));
        mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void the_prologue_tells_realms_apart(void **state)
{
    uint8_t realm[SCHEDULE_REALM_MAX + 1] = {0}, out[2][SCHEDULE_PROLOGUE_MAX];
    size_t len[2];

    (void)state;
    assert_int_equal(schedule_prologue(out[0], &len[0], slice_of(NULL, 0)), BERTH_OK);
    assert_int_equal(schedule_prologue(out[1], &len[1], slice_of(realm, 1)), BERTH_OK);
    assert_int_equal(len[1], len[0] + 1);
    assert_memory_not_equal(out[0], out[1], len[0]);
    assert_int_equal(schedule_prologue(out[0], &len[0], slice_of(realm, SCHEDULE_REALM_MAX)),
                     BERTH_OK);
    assert_int_equal(len[0], SCHEDULE_PROLOGUE_MAX);
    assert_int_equal(schedule_prologue(out[0], &len[0], slice_of(realm, sizeof realm)),
                     BERTH_ERR_LIMIT);
    assert_int_equal(len[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_differ_by_direction_level_and_handshake),
        cmocka_unit_test(key_nonce_and_header_key_of_a_secret_are_unrelated),
        cmocka_unit_test(every_rekey_gives_new_keys_and_the_same_on_both_sides),
        cmocka_unit_test(initial_keys_need_the_static_key_and_the_connection_id),
        cmocka_unit_test(a_confirmation_is_of_one_handshake),
        cmocka_unit_test(the_prologue_tells_realms_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
