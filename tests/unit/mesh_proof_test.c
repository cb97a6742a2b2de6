/* SPDX-License-Identifier: Apache-2.0 */
/* A proof is of one entity, in one handshake, from one end of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "mesh/proof.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    berth_keypair node;
    proof_binding binding;
    writer with, without; /* a certificate */
};

static const char certificate_bytes[] = "what a realm says; looked into elsewhere";

static slice bytes_of(const writer *w)
{
    return slice_of(w->data, w->len);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->node);
    random_bytes(&f->binding, sizeof f->binding);
    f->binding.role = PROOF_INITIATOR;
    assert_int_equal(proof_write(&f->without, &f->node, slice_of(NULL, 0), &f->binding), BERTH_OK);
    assert_int_equal(proof_write(&f->with, &f->node, slice_str(certificate_bytes), &f->binding),
                     BERTH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    writer_free(&f->with);
    writer_free(&f->without);
    free(f);
    return 0;
}

static void refused(slice bytes, const proof_binding *binding, berth_status status)
{
    static const proof nothing;
    berth_error error = {0};
    proof got;

    memset(&got, 0xAA, sizeof got);
    assert_int_equal(proof_read(&got, bytes, binding, &error), status);
    assert_memory_equal(&got, &nothing, sizeof got);
    assert_memory_equal(error.text, "entity proof: ", 14);
}

static void a_proof_tells_entity_node_id_and_certificate(void **state)
{
    struct fixture *f = *state;
    proof got;

    assert_int_equal(f->without.len, PROOF_MIN);
    assert_int_equal(proof_read(&got, bytes_of(&f->without), &f->binding, NULL), BERTH_OK);
    assert_memory_equal(got.entity, f->node.entity, 32);
    assert_int_equal(got.node_id, f->node.node_id);
    assert_int_equal(got.certificate.len, 0);
    assert_int_equal(proof_read(&got, bytes_of(&f->with), &f->binding, NULL), BERTH_OK);
    assert_true(slice_eq(got.certificate, slice_str(certificate_bytes)));
}

static void
a_proof_counts_in_no_other_handshake_between_no_others_and_in_no_other_role(void **state)
{
    struct fixture *f = *state;
    proof_binding other = f->binding;

    other.role = PROOF_RESPONDER;
    refused(bytes_of(&f->with), &other, BERTH_ERR_SIGNATURE);
    other = f->binding;
    other.hash[63] ^= 1;
    refused(bytes_of(&f->with), &other, BERTH_ERR_SIGNATURE);
    other = f->binding;
    other.signer_static[0] ^= 1;
    refused(bytes_of(&f->with), &other, BERTH_ERR_SIGNATURE);
    other = f->binding;
    other.verifier_static[31] ^= 1;
    refused(bytes_of(&f->with), &other, BERTH_ERR_SIGNATURE);
    memcpy(other.signer_static, f->binding.verifier_static, 32);
    memcpy(other.verifier_static, f->binding.signer_static, 32);
    refused(bytes_of(&f->with), &other, BERTH_ERR_SIGNATURE);
}

static void no_bit_of_a_proof_can_be_changed(void **state)
{
    struct fixture *f = *state;

    for (size_t bit = 0; bit < f->with.len * 8; bit++) {
        berth_error error = {0};
        proof got;

        f->with.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(proof_read(&got, bytes_of(&f->with), &f->binding, &error), BERTH_OK);
        assert_int_equal(got.node_id, 0);
        f->with.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_proof_of_another_length_is_corrupt(void **state)
{
    struct fixture *f = *state;
    uint8_t large[PROOF_MAX + 1] = {PROOF_VERSION};

    for (size_t len = 0; len < f->with.len; len++)
        refused(slice_of(f->with.data, len), &f->binding, BERTH_ERR_CORRUPT);
    memcpy(large, f->with.data, f->with.len);
    refused(slice_of(large, f->with.len + 1), &f->binding, BERTH_ERR_CORRUPT);
    refused(slice_of(large, sizeof large), &f->binding, BERTH_ERR_CORRUPT);
    large[0]++;
    refused(slice_of(large, f->with.len), &f->binding, BERTH_ERR_VERSION);
}

/* The certificate is part of what is signed: none can be put in, taken out or exchanged. */
static void a_certificate_cannot_be_taken_out_of_a_proof(void **state)
{
    struct fixture *f = *state;
    writer forged = {0};

    writer_bytes(&forged, f->with.data, 1 + 32);
    writer_u16(&forged, 0);
    writer_bytes(&forged, f->with.data + f->with.len - 64, 64);
    refused(bytes_of(&forged), &f->binding, BERTH_ERR_SIGNATURE);
    writer_free(&forged);
}

/* An entity that is no key, or one for which anybody can sign. */
static void weak_entities_are_refused(void **state)
{
    struct fixture *f = *state;

    memset(f->without.data + 1, 0, 32);
    refused(bytes_of(&f->without), &f->binding, BERTH_ERR_SIGNATURE);
    f->without.data[1] = 1;
    refused(bytes_of(&f->without), &f->binding, BERTH_ERR_SIGNATURE);
    memset(f->without.data + 1, 0xff, 32);
    refused(bytes_of(&f->without), &f->binding, BERTH_ERR_SIGNATURE);
}

/* S plus the order of the group verifies where nobody looks; here it does not. */
static void a_signature_has_one_form(void **state)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    struct fixture *f = *state;
    uint8_t *s = f->without.data + f->without.len - 32;
    unsigned carry = 0;

    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)s[i] + order[i];
        s[i] = (uint8_t)carry;
        carry >>= 8;
    }
    refused(bytes_of(&f->without), &f->binding, BERTH_ERR_SIGNATURE);
}

static void the_length_shows_as_soon_as_it_is_there(void **state)
{
    struct fixture *f = *state;

    for (size_t len = 0; len < f->with.len; len++)
        assert_int_equal(proof_length(slice_of(f->with.data, len)), len < 35 ? 0 : f->with.len);
    assert_int_equal(proof_length(bytes_of(&f->without)), PROOF_MIN);
}

static void writing_needs_the_seed_and_a_certificate_of_bounded_length(void **state)
{
    struct fixture *f = *state;
    uint8_t large[CERTIFICATE_MAX + 1] = {0};
    writer out = {0};

    assert_int_equal(proof_write(&out, &f->node, slice_of(large, sizeof large), &f->binding),
                     BERTH_ERR_LIMIT);
    assert_int_equal(proof_write(&out, &f->node, slice_of(large, CERTIFICATE_MAX), &f->binding),
                     BERTH_OK);
    assert_int_equal(out.len, PROOF_MAX);
    berth_keypair_wipe(&f->node);
    assert_int_equal(proof_write(&out, &f->node, slice_of(NULL, 0), &f->binding),
                     BERTH_ERR_READ_ONLY);
    assert_int_equal(out.len, PROOF_MAX);
    writer_free(&out);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(a_proof_tells_entity_node_id_and_certificate),
        WITH(a_proof_counts_in_no_other_handshake_between_no_others_and_in_no_other_role),
        WITH(no_bit_of_a_proof_can_be_changed),
        WITH(a_proof_of_another_length_is_corrupt),
        WITH(a_certificate_cannot_be_taken_out_of_a_proof),
        WITH(weak_entities_are_refused),
        WITH(a_signature_has_one_form),
        WITH(the_length_shows_as_soon_as_it_is_there),
        WITH(writing_needs_the_seed_and_a_certificate_of_bounded_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
