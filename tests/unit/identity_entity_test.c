/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/entity.h"
#include "vectors/vectors.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t seed42[32] = {0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42,
                                   0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42,
                                   0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42};

/* compute-core 21 */
static void ids_are_derived_as_the_vectors_say(void **state)
{
    struct json_object *all = vectors_load(), *rows, *row;
    uint8_t out[32], expected[32], message[32];
    berth_keypair key;

    (void)state;
    row = vector_at(all, "derive");
    vector_fixed(row, "message", message, 32);
    vector_fixed(row, "digest", expected, 32);
    identity_derive(out, vector_text(row, "label"), slice_of(message, 32));
    assert_memory_equal(out, expected, 32);

    rows = vector_at(all, "identities");
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        row = json_object_array_get_idx(rows, i);
        vector_fixed(row, "seed", message, 32);
        vector_fixed(row, "entity", expected, 32);
        berth_keypair_from_seed(&key, message);
        assert_memory_equal(key.entity, expected, 32);
        assert_true(key.origin == vector_id(row, "origin"));
        assert_true(key.node_id == vector_id(row, "node_id"));
    }

    rows = vector_at(all, "replicas");
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        uint8_t group[33];

        row = json_object_array_get_idx(rows, i);
        vector_fixed(row, "group", group, 32);
        group[32] = (uint8_t)json_object_get_int(vector_at(row, "index"));
        vector_fixed(row, "seed", expected, 32);
        identity_derive(out, "net-replica-v1", slice_of(group, 33));
        assert_memory_equal(out, expected, 32);
        berth_keypair_from_seed(&key, out);
        assert_true(key.origin == vector_id(row, "origin"));
    }
    json_object_put(all);
}

/* compute-core 21: what a 32-bit projection would confuse is two identities (K25) */
static void identities_with_equal_low_halves_differ(void **state)
{
    struct json_object *all = vectors_load(), *row = vector_at(all, "colliding");
    berth_keypair keys[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t seed[32] = {0};

        store_u64(seed,
                  json_object_get_uint64(json_object_array_get_idx(vector_at(row, "counters"), i)));
        berth_keypair_from_seed(&keys[i], seed);
        assert_int_equal(berth_origin_wire(keys[i].origin), vector_id(row, "low"));
    }
    assert_false(entity_eq(keys[0].entity, keys[1].entity));
    assert_true(keys[0].origin != keys[1].origin);
    json_object_put(all);
}

/* compute-core 20, identity */
static void generated_identities_are_distinct_and_full(void **state)
{
    berth_keypair a, b;

    (void)state;
    berth_keypair_generate(&a);
    berth_keypair_generate(&b);
    assert_false(entity_eq(a.entity, b.entity));
    assert_true(berth_keypair_is_full(&a) && berth_keypair_is_full(&b));
    assert_true(a.origin == berth_entity_origin(a.entity));
    assert_true(a.node_id == berth_entity_node_id(a.entity));
}

static void one_seed_gives_one_identity(void **state)
{
    uint8_t seed[32];
    berth_keypair a, b;

    (void)state;
    berth_keypair_generate(&a);
    assert_int_equal(berth_keypair_seed(&a, seed), BERTH_OK);
    berth_keypair_from_seed(&b, seed);
    assert_memory_equal(&a, &b, sizeof a);
}

static void a_signature_holds_for_its_message_and_key_only(void **state)
{
    berth_keypair key, other, copy;
    uint8_t signature[64], again[64];

    (void)state;
    berth_keypair_generate(&key);
    berth_keypair_generate(&other);
    copy = key;
    assert_int_equal(berth_sign(&key, "message", 7, signature), BERTH_OK);
    assert_int_equal(berth_verify(key.entity, "message", 7, signature), BERTH_OK);
    assert_int_equal(berth_verify(key.entity, "massage", 7, signature), BERTH_ERR_SIGNATURE);
    assert_int_equal(berth_verify(other.entity, "message", 7, signature), BERTH_ERR_SIGNATURE);
    berth_sign_must(&copy, "message", 7, again);
    assert_memory_equal(signature, again, 64);
    assert_int_equal(berth_sign(&key, NULL, 0, signature), BERTH_OK);
    assert_int_equal(berth_verify(key.entity, "", 0, signature), BERTH_OK);
}

static void a_malleated_signature_is_refused(void **state)
{
    /* the order of the base point, little-endian */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    berth_keypair key;
    uint8_t signature[64];
    unsigned carry = 0;

    (void)state;
    berth_keypair_from_seed(&key, seed42);
    berth_sign_must(&key, "m", 1, signature);
    for (int i = 0; i < 32; i++) {
        carry += signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(berth_verify(key.entity, "m", 1, signature), BERTH_ERR_SIGNATURE);
}

static void a_key_of_small_order_verifies_nothing(void **state)
{
    /* the neutral element: under a cofactored check it "signs" everything with R = A, S = 0 */
    uint8_t neutral[32] = {1}, signature[64] = {1};

    (void)state;
    assert_true(entity_on_curve(neutral));
    assert_int_equal(berth_verify(neutral, "m", 1, signature), BERTH_ERR_SIGNATURE);
}

static void bytes_that_are_no_point_are_taken_and_told_apart_at_verification(void **state)
{
    uint8_t nonsense[32] = {2}, signature[64] = {0};
    berth_keypair key;

    (void)state;
    berth_keypair_public(&key, nonsense);
    assert_memory_equal(key.entity, nonsense, 32);
    assert_int_equal(berth_verify(key.entity, "m", 1, signature), BERTH_ERR_INVALID);
}

static void a_public_half_has_the_ids_but_cannot_sign(void **state)
{
    static const uint8_t zero[64];
    berth_keypair full, public, copy;
    uint8_t signature[64], seed[32];

    (void)state;
    berth_keypair_generate(&full);
    berth_keypair_public(&public, full.entity);
    assert_false(berth_keypair_is_full(&public));
    assert_memory_equal(public.entity, full.entity, 32);
    assert_true(public.origin == full.origin && public.node_id == full.node_id);
    memset(signature, 1, sizeof signature);
    assert_int_equal(berth_sign(&public, "m", 1, signature), BERTH_ERR_READ_ONLY);
    assert_memory_equal(signature, zero, 64);
    memset(seed, 1, sizeof seed);
    assert_int_equal(berth_keypair_seed(&public, seed), BERTH_ERR_READ_ONLY);
    assert_memory_equal(seed, zero, 32);
    copy = public;
    assert_int_equal(berth_sign(&copy, "m", 1, signature), BERTH_ERR_READ_ONLY);
}

static void wiping_leaves_the_public_half_and_no_seed(void **state)
{
    static const uint8_t zero[32];
    berth_keypair key, before;
    uint8_t signature[64];

    (void)state;
    berth_keypair_generate(&key);
    before = key;
    for (int i = 0; i < 2; i++) { /* idempotent */
        berth_keypair_wipe(&key);
        assert_memory_equal(key.seed, zero, 32);
        assert_false(berth_keypair_is_full(&key));
        assert_memory_equal(key.entity, before.entity, 32);
        assert_true(key.origin == before.origin && key.node_id == before.node_id);
        assert_int_equal(berth_sign(&key, "m", 1, signature), BERTH_ERR_READ_ONLY);
    }
    berth_keypair_wipe(&before);
}

static void signing_without_a_seed_where_it_must_not_fail_aborts(void **state)
{
    int ended = 0;
    pid_t child;

    (void)state;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        berth_keypair public;
        uint8_t signature[64], id[32] = {1};

        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        berth_keypair_public(&public, id);
        berth_sign_must(&public, "m", 1, signature);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT);
}

static void text_forms_are_exact_and_never_show_the_seed(void **state)
{
    char text[BERTH_ENTITY_TEXT], display[BERTH_ENTITY_DISPLAY], debug[KEYPAIR_DEBUG];
    berth_keypair key;
    uint8_t back[32];

    (void)state;
    berth_keypair_from_seed(&key, seed42);
    assert_string_equal(berth_entity_text(text, key.entity),
                        "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12");
    assert_string_equal(berth_entity_display(display, key.entity), "2152f8d19b791d24...");
    assert_string_equal(keypair_debug(debug, &key), "2152f8d19b791d24... [REDACTED]");
    assert_null(strstr(debug, "4242"));
    berth_keypair_wipe(&key);
    assert_string_equal(keypair_debug(debug, &key), "2152f8d19b791d24... [PUBLIC-ONLY]");

    assert_int_equal(berth_entity_parse(back, text, 64), BERTH_OK);
    assert_memory_equal(back, key.entity, 32);
    text[20] = 'B';
    text[21] = 'b';
    assert_int_equal(berth_entity_parse(back, text, 64), BERTH_OK);
    assert_int_equal(berth_entity_parse(back, text, 62), BERTH_ERR_INVALID);
    assert_int_equal(berth_entity_parse(back, "", 0), BERTH_ERR_INVALID);
}

static void the_binary_form_has_its_length_before_it(void **state)
{
    berth_keypair key;
    uint8_t back[32];
    writer w = {0};
    reader r;

    (void)state;
    berth_keypair_from_seed(&key, seed42);
    entity_write(&w, key.entity);
    assert_int_equal(w.len, 33);
    assert_int_equal(w.data[0], 0x20);
    r = reader_of(w.data, w.len);
    entity_read(&r, back);
    assert_true(reader_done(&r));
    assert_memory_equal(back, key.entity, 32);
    w.data[0] = 0x1f;
    r = reader_of(w.data, w.len);
    entity_read(&r, back);
    assert_false(reader_ok(&r));
    writer_free(&w);
}

static void a_stamp_is_the_same_from_key_pair_and_entity(void **state)
{
    berth_origin_stamp a, b;
    berth_keypair key;

    (void)state;
    berth_keypair_generate(&key);
    berth_origin_stamp_of_keypair(&a, &key);
    berth_origin_stamp_of(&b, key.entity);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.origin == key.origin && a.node_id == key.node_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_derived_as_the_vectors_say),
        cmocka_unit_test(identities_with_equal_low_halves_differ),
        cmocka_unit_test(generated_identities_are_distinct_and_full),
        cmocka_unit_test(one_seed_gives_one_identity),
        cmocka_unit_test(a_signature_holds_for_its_message_and_key_only),
        cmocka_unit_test(a_malleated_signature_is_refused),
        cmocka_unit_test(a_key_of_small_order_verifies_nothing),
        cmocka_unit_test(bytes_that_are_no_point_are_taken_and_told_apart_at_verification),
        cmocka_unit_test(a_public_half_has_the_ids_but_cannot_sign),
        cmocka_unit_test(wiping_leaves_the_public_half_and_no_seed),
        cmocka_unit_test(signing_without_a_seed_where_it_must_not_fail_aborts),
        cmocka_unit_test(text_forms_are_exact_and_never_show_the_seed),
        cmocka_unit_test(the_binary_form_has_its_length_before_it),
        cmocka_unit_test(a_stamp_is_the_same_from_key_pair_and_entity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
