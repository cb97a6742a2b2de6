/* SPDX-License-Identifier: Apache-2.0 */
/* docs/wire.md, from the handshake to revocations: the bytes of tests/vectors/handshake.json, which
 * were computed with other implementations of the primitives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/revocation.h"
#include "mesh/noise.h"
#include "mesh/proof.h"
#include "mesh/schedule.h"
#include "vectors/vectors.h"

#include <string.h>

static int load(void **state)
{
    *state = vectors_file(VECTORS_DIR "/handshake.json");
    return 0;
}

static int put(void **state)
{
    json_object_put(*state);
    return 0;
}

static void assert_bytes(struct json_object *object, const char *key, const void *got, size_t len)
{
    size_t expected_len;
    uint8_t *expected = vector_bytes(object, key, &expected_len);

    assert_int_equal(len, expected_len);
    assert_memory_equal(got, expected, len);
    free(expected);
}

static void one_message(struct json_object *v, noise *from, noise *to, const char *payload_key,
                        const char *message_key)
{
    size_t len;
    uint8_t *payload = vector_bytes(v, payload_key, &len);
    writer message = {0};
    buf *got = NULL;

    assert_int_equal(noise_write(from, slice_of(payload, len), &message), BERTH_OK);
    assert_bytes(v, message_key, message.data, message.len);
    assert_int_equal(noise_read(to, slice_of(message.data, message.len), &got, NULL), BERTH_OK);
    assert_bytes(v, payload_key, got->data, got->len);
    buf_unref(got);
    writer_free(&message);
    free(payload);
}

static void the_handshake_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *v = vector_at(*state, "handshake");
    uint8_t realm[32], psk[32], secret[4][32], public[32], prologue[SCHEDULE_PROLOGUE_MAX];
    uint8_t to_responder[32], to_initiator[32], hash[64];
    size_t len;
    noise a, b;

    vector_fixed(v, "realm", realm, 32);
    vector_fixed(v, "psk", psk, 32);
    vector_fixed(v, "initiator_static", secret[0], 32);
    vector_fixed(v, "initiator_ephemeral", secret[1], 32);
    vector_fixed(v, "responder_static", secret[2], 32);
    vector_fixed(v, "responder_ephemeral", secret[3], 32);
    vector_fixed(v, "responder_static_public", public, 32);
    assert_int_equal(schedule_prologue(prologue, &len, slice_of(realm, 32)), BERTH_OK);
    assert_bytes(v, "prologue", prologue, len);
    noise_init(&a, true, slice_of(prologue, len), secret[0], public, secret[1]);
    noise_init(&b, false, slice_of(prologue, len), secret[2], NULL, secret[3]);
    noise_set_psk(&a, psk);
    noise_set_psk(&b, psk);
    one_message(v, &a, &b, "payload_1", "message_1");
    one_message(v, &b, &a, "payload_2", "message_2");
    assert_int_equal(noise_split(&a, to_responder, to_initiator, hash), BERTH_OK);
    assert_bytes(v, "initiator_to_responder", to_responder, 32);
    assert_bytes(v, "responder_to_initiator", to_initiator, 32);
    assert_bytes(v, "hash", hash, 64);
    noise_fini(&a);
    noise_fini(&b);
}

static void assert_keys(struct json_object *schedule, const char *which, const packet_keys *keys)
{
    struct json_object *v = vector_at(schedule, which);

    assert_bytes(v, "key", keys->key, sizeof keys->key);
    assert_bytes(v, "iv", keys->iv, sizeof keys->iv);
    assert_bytes(v, "hp", keys->hp, sizeof keys->hp);
}

static void assert_secret(struct json_object *schedule, const char *which, const uint8_t secret[32])
{
    packet_keys keys;

    assert_bytes(vector_at(schedule, which), "secret", secret, 32);
    schedule_keys(&keys, secret);
    assert_keys(schedule, which, &keys);
}

static void the_key_schedule_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *h = vector_at(*state, "handshake"), *v = vector_at(*state, "schedule");
    uint8_t split[2][32], hash[64], public[32], dcid[8], secret[32], mac[SCHEDULE_CONFIRM];
    packet_keys client, server;

    vector_fixed(h, "initiator_to_responder", split[0], 32);
    vector_fixed(h, "responder_to_initiator", split[1], 32);
    vector_fixed(h, "hash", hash, 64);
    vector_fixed(h, "responder_static_public", public, 32);
    vector_fixed(v, "client_dcid", dcid, sizeof dcid);
    schedule_initial(&client, &server, public, slice_of(dcid, sizeof dcid));
    assert_keys(v, "initial_client", &client);
    assert_keys(v, "initial_server", &server);
    for (int i = 0; i < 2; i++) {
        schedule_secret(secret, split[i], hash, SCHEDULE_HANDSHAKE);
        assert_secret(v, i ? "handshake_responder" : "handshake_initiator", secret);
        schedule_secret(secret, split[i], hash, SCHEDULE_APPLICATION);
        assert_secret(v, i ? "application_responder" : "application_initiator", secret);
        schedule_next_secret(secret);
        assert_secret(v, i ? "rekeyed_responder" : "rekeyed_initiator", secret);
    }
    schedule_confirm(mac, split[0], hash);
    assert_bytes(v, "confirm", mac, sizeof mac);
}

static void a_certificate_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *v = vector_at(*state, "certificate");
    uint8_t seed[32], bytes[CERTIFICATE_MAX];
    realm_certificate c = {0}, got;
    berth_keypair realm;
    size_t len;

    vector_fixed(v, "realm_seed", seed, 32);
    berth_keypair_from_seed(&realm, seed);
    vector_fixed(v, "entity", c.entity, 32);
    c.serial = json_object_get_uint64(vector_at(v, "serial"));
    c.not_before = json_object_get_int64(vector_at(v, "not_before"));
    c.not_after = json_object_get_int64(vector_at(v, "not_after"));
    strcpy(c.name, vector_text(v, "name"));
    assert_int_equal(certificate_sign(&c, &realm, NULL), BERTH_OK);
    len = certificate_encode(bytes, &c);
    assert_bytes(v, "bytes", bytes, len);
    assert_int_equal(certificate_decode(&got, slice_of(bytes, len), NULL), BERTH_OK);
    assert_memory_equal(&got, &c, sizeof c);
}

static void a_revocation_list_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *v = vector_at(*state, "revocations");
    struct json_object *serials = vector_at(v, "serials"), *entities = vector_at(v, "entities");
    revocation_list list = {0};
    uint8_t seed[32], entity[32];
    berth_keypair realm;
    writer bytes = {0};

    vector_fixed(vector_at(*state, "certificate"), "realm_seed", seed, 32);
    berth_keypair_from_seed(&realm, seed);
    list.number = json_object_get_uint64(vector_at(v, "number"));
    list.issued = json_object_get_int64(vector_at(v, "issued"));
    for (size_t i = 0; i < json_object_array_length(serials); i++)
        revocation_add_serial(&list, json_object_get_uint64(json_object_array_get_idx(serials, i)));
    for (size_t i = 0; i < json_object_array_length(entities); i++) {
        assert_true(hex_decode(entity, 32, json_string_at(entities, i)));
        revocation_add_entity(&list, entity);
    }
    assert_int_equal(revocation_sign(&list, &realm, NULL), BERTH_OK);
    revocation_encode(&bytes, &list);
    assert_bytes(v, "bytes", bytes.data, bytes.len);
    writer_free(&bytes);
    revocation_free(&list);
}

static void proofs_give_the_bytes_of_the_vectors(void **state)
{
    struct json_object *h = vector_at(*state, "handshake"), *v = vector_at(*state, "proofs");
    size_t len;
    uint8_t *cert = vector_bytes(vector_at(*state, "certificate"), "bytes", &len);

    for (int i = 0; i < 2; i++) {
        proof_binding binding = {.role = i ? PROOF_RESPONDER : PROOF_INITIATOR};
        writer bytes = {0};
        berth_keypair node;
        uint8_t seed[32];
        proof p;

        vector_fixed(h, "hash", binding.hash, 64);
        vector_fixed(h, "initiator_static_public",
                     i ? binding.verifier_static : binding.signer_static, 32);
        vector_fixed(h, "responder_static_public",
                     i ? binding.signer_static : binding.verifier_static, 32);
        vector_fixed(v, i ? "responder_seed" : "initiator_seed", seed, 32);
        berth_keypair_from_seed(&node, seed);
        assert_int_equal(proof_write(&bytes, &node, slice_of(cert, i ? 0 : len), &binding),
                         BERTH_OK);
        assert_bytes(v, i ? "responder" : "initiator", bytes.data, bytes.len);
        assert_int_equal(proof_read(&p, slice_of(bytes.data, bytes.len), &binding, NULL), BERTH_OK);
        assert_memory_equal(p.entity, node.entity, 32);
        writer_free(&bytes);
    }
    free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_gives_the_bytes_of_the_vectors),
        cmocka_unit_test(the_key_schedule_gives_the_bytes_of_the_vectors),
        cmocka_unit_test(a_certificate_gives_the_bytes_of_the_vectors),
        cmocka_unit_test(a_revocation_list_gives_the_bytes_of_the_vectors),
        cmocka_unit_test(proofs_give_the_bytes_of_the_vectors),
    };

    return cmocka_run_group_tests(tests, load, put);
}
