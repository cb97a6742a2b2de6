/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "identity/envelope.h"
#include "vectors/vectors.h"

#include <sodium.h>
#include <string.h>

struct fixture {
    berth_keypair daemon;
    uint8_t target_secret[32], target[32], link[32];
    envelope e;
};

static int seal_one(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->daemon);
    random_bytes(f->target_secret, 32);
    random_bytes(f->link, 32);
    crypto_scalarmult_base(f->target, f->target_secret);
    *state = f;
    return (int)envelope_seal(&f->e, &f->daemon, f->target, f->link, NULL, NULL);
}

static int free_fixture(void **state)
{
    free(*state);
    return 0;
}

/* Opening must fail like this, and leave nothing behind (compute-core K22). */
static void refused(const struct fixture *f, const uint8_t *expected, envelope_fault fault,
                    berth_status status)
{
    static const berth_keypair nothing;
    envelope_fault got = ENVELOPE_FINE;
    berth_error error = {0};
    berth_keypair out;

    memset(&out, 0xAA, sizeof out);
    assert_int_equal(envelope_open(&out, &f->e, f->target_secret, f->link, expected, &got, &error),
                     status);
    assert_int_equal(got, fault);
    assert_int_equal(error.code, status);
    assert_memory_equal(error.text, "identity envelope: ", 19);
    assert_memory_equal(&out, &nothing, sizeof out);
}

/* compute-core 21 */
static void sealing_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "envelope");
    uint8_t seed[32], ephemeral[32], secret[32], target[32], link[32], expected[64];
    uint8_t wire[ENVELOPE_SIZE];
    berth_keypair key, out;
    envelope e;

    (void)state;
    vector_fixed(v, "seed", seed, 32);
    vector_fixed(v, "ephemeral_secret", ephemeral, 32);
    vector_fixed(v, "target_secret", secret, 32);
    vector_fixed(v, "target", target, 32);
    vector_fixed(v, "link", link, 32);
    berth_keypair_from_seed(&key, seed);
    assert_int_equal(envelope_seal_with(&e, &key, target, link, ephemeral, NULL, NULL), BERTH_OK);
    envelope_encode(wire, &e);
    assert_int_equal(wire[0], 1);
    assert_memory_equal(wire + 1, target, 32);
    vector_fixed(v, "ephemeral", expected, 32);
    assert_memory_equal(wire + 33, expected, 32);
    vector_fixed(v, "sealed", expected, 48);
    assert_memory_equal(wire + 65, expected, 48);
    assert_memory_equal(wire + 113, key.entity, 32);
    vector_fixed(v, "signature", expected, 64);
    assert_memory_equal(wire + 145, expected, 64);
    assert_int_equal(envelope_open(&out, &e, secret, link, key.entity, NULL, NULL), BERTH_OK);
    assert_memory_equal(&out, &key, sizeof key);
    json_object_put(all);
}

/* compute-core 20, identity: envelope */
static void what_was_sealed_opens_to_the_same_identity(void **state)
{
    struct fixture *f = *state;
    envelope_fault fault;
    uint8_t wire[ENVELOPE_SIZE], signature[64];
    berth_keypair out;
    envelope back;

    envelope_encode(wire, &f->e);
    assert_int_equal(envelope_decode(&back, wire, sizeof wire, &fault, NULL), BERTH_OK);
    assert_int_equal(fault, ENVELOPE_FINE);
    assert_memory_equal(&back, &f->e, sizeof back);
    assert_int_equal(envelope_open(&out, &back, f->target_secret, f->link, NULL, NULL, NULL),
                     BERTH_OK);
    assert_memory_equal(out.entity, back.signer, 32);
    assert_int_equal(
        envelope_open(&out, &back, f->target_secret, f->link, f->daemon.entity, NULL, NULL),
        BERTH_OK);
    assert_int_equal(berth_sign(&out, "m", 1, signature), BERTH_OK);
    assert_int_equal(berth_verify(f->daemon.entity, "m", 1, signature), BERTH_OK);
}

static void two_seals_of_one_identity_differ(void **state)
{
    struct fixture *f = *state;
    envelope other;

    assert_int_equal(envelope_seal(&other, &f->daemon, f->target, f->link, NULL, NULL), BERTH_OK);
    assert_memory_not_equal(other.sealed, f->e.sealed, sizeof other.sealed);
}

static void other_versions_and_lengths_do_not_decode(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[ENVELOPE_SIZE + 1] = {0};
    envelope_fault fault;
    envelope e;

    envelope_encode(wire, &f->e);
    assert_int_equal(envelope_decode(&e, wire, 208, &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(fault, ENVELOPE_MALFORMED);
    assert_int_equal(envelope_decode(&e, wire, 210, &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(envelope_decode(&e, wire, 0, &fault, NULL), BERTH_ERR_CORRUPT);
    wire[0] = 0;
    assert_int_equal(envelope_decode(&e, wire, 209, &fault, NULL), BERTH_ERR_VERSION);
    assert_int_equal(fault, ENVELOPE_UNKNOWN_VERSION);
    wire[0] = 0xFF;
    assert_int_equal(envelope_decode(&e, wire, 209, &fault, NULL), BERTH_ERR_VERSION);
}

static void a_tampered_signature_is_an_invalid_attestation(void **state)
{
    struct fixture *f = *state;

    f->e.signature[10] ^= 1;
    refused(f, NULL, ENVELOPE_INVALID_ATTESTATION, BERTH_ERR_SIGNATURE);
}

static void a_tampered_ciphertext_does_not_open(void **state)
{
    struct fixture *f = *state;

    f->e.sealed[5] ^= 1;
    refused(f, f->daemon.entity, ENVELOPE_OPEN_FAILED, BERTH_ERR_SIGNATURE);
}

static void another_nodes_key_does_not_open(void **state)
{
    struct fixture *f = *state;

    f->target_secret[1] ^= 1;
    refused(f, NULL, ENVELOPE_OPEN_FAILED, BERTH_ERR_SIGNATURE);
}

static void another_link_is_an_invalid_attestation(void **state)
{
    struct fixture *f = *state;

    f->link[16] ^= 1;
    refused(f, NULL, ENVELOPE_INVALID_ATTESTATION, BERTH_ERR_SIGNATURE);
}

static void a_retargeted_envelope_is_an_invalid_attestation(void **state)
{
    struct fixture *f = *state;

    f->target_secret[1] ^= 1;
    crypto_scalarmult_base(f->e.target, f->target_secret);
    refused(f, NULL, ENVELOPE_INVALID_ATTESTATION, BERTH_ERR_SIGNATURE);
}

/* compute-core K24: told apart before any cryptography */
static void an_unexpected_signer_is_refused_first(void **state)
{
    struct fixture *f = *state;
    berth_keypair other;

    berth_keypair_generate(&other);
    f->e.signature[0] ^= 1;
    refused(f, other.entity, ENVELOPE_INVALID_SIGNER, BERTH_ERR_IDENTITY_MISMATCH);
}

static void a_signer_that_is_no_key_is_refused(void **state)
{
    struct fixture *f = *state;

    memset(f->e.signer, 0, 32);
    f->e.signer[0] = 2;
    refused(f, NULL, ENVELOPE_INVALID_SIGNER, BERTH_ERR_IDENTITY_MISMATCH);
}

static void a_seed_of_another_identity_inside_is_refused(void **state)
{
    struct fixture *f = *state;
    berth_keypair impostor;

    /* the impostor seals its own seed, then the daemon's attestation is put over it */
    berth_keypair_generate(&impostor);
    envelope theirs;
    assert_int_equal(envelope_seal(&theirs, &impostor, f->target, f->link, NULL, NULL), BERTH_OK);
    memcpy(f->e.ephemeral, theirs.ephemeral, 32);
    memcpy(f->e.sealed, theirs.sealed, 48);
    refused(f, f->daemon.entity, ENVELOPE_INVALID_ATTESTATION, BERTH_ERR_SIGNATURE);
}

static void a_public_only_source_cannot_seal(void **state)
{
    struct fixture *f = *state;
    envelope_fault fault;

    berth_keypair_wipe(&f->daemon);
    assert_int_equal(envelope_seal(&f->e, &f->daemon, f->target, f->link, &fault, NULL),
                     BERTH_ERR_READ_ONLY);
    assert_int_equal(fault, ENVELOPE_SOURCE_READ_ONLY);
}

static void a_low_order_target_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t low[32];
    envelope_fault fault;

    assert_int_equal(envelope_seal(&f->e, &f->daemon, low, f->link, &fault, NULL),
                     BERTH_ERR_INVALID);
    assert_int_equal(fault, ENVELOPE_SEAL_FAILED);
}

static void a_low_order_ephemeral_key_does_not_open(void **state)
{
    struct fixture *f = *state;

    memset(f->e.ephemeral, 0, 32);
    refused(f, NULL, ENVELOPE_OPEN_FAILED, BERTH_ERR_SIGNATURE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, seal_one, free_fixture)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_gives_the_bytes_of_the_vectors),
        TEST(what_was_sealed_opens_to_the_same_identity),
        TEST(two_seals_of_one_identity_differ),
        TEST(other_versions_and_lengths_do_not_decode),
        TEST(a_tampered_signature_is_an_invalid_attestation),
        TEST(a_tampered_ciphertext_does_not_open),
        TEST(another_nodes_key_does_not_open),
        TEST(another_link_is_an_invalid_attestation),
        TEST(a_retargeted_envelope_is_an_invalid_attestation),
        TEST(an_unexpected_signer_is_refused_first),
        TEST(a_signer_that_is_no_key_is_refused),
        TEST(a_seed_of_another_identity_inside_is_refused),
        TEST(a_public_only_source_cannot_seal),
        TEST(a_low_order_target_is_refused),
        TEST(a_low_order_ephemeral_key_does_not_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
