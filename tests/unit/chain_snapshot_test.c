/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/ledger.h"
#include "chain/snapshot.h"
#include "vectors/vectors.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t seed42[32] = {0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42,
                                   0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42,
                                   0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42};

/* A snapshot of daemon 42 at some sequence, with the state "state". */
static void sample(snapshot *s, berth_keypair *key)
{
    memset(s, 0, sizeof *s);
    berth_keypair_from_seed(key, seed42);
    memcpy(s->entity, key->entity, 32);
    s->link = (berth_link){key->origin, 3, 10, 0x1234};
    s->created_at = 1700000000000000000;
    s->state = slice_str("state");
}

static void refused(const void *bytes, size_t len, berth_status status)
{
    static const snapshot nothing;
    uint8_t *exact = malloc(len ? len : 1);
    berth_error error = {0};
    snapshot out;

    memcpy(exact, bytes, len);
    memset(&out, 0xAA, sizeof out);
    assert_int_equal(snapshot_decode(&out, slice_of(exact, len), &error), status);
    assert_memory_equal(&out, &nothing, sizeof out);
    assert_memory_equal(error.text, "snapshot: ", 10);
    free(exact);
}

/* compute-core 21 */
static void a_snapshot_has_the_bytes_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "snapshot");
    uint8_t link[32], *expected;
    snapshot s, back;
    berth_keypair key;
    writer w = {0};
    size_t len;

    (void)state;
    sample(&s, &key);
    vector_fixed(v, "link", link, 32);
    berth_link_decode(&s.link, link, 32);
    s.created_at = 0;
    s.state = slice_str(vector_text(v, "state"));
    expected = vector_bytes(v, "bytes", &len);
    assert_int_equal(snapshot_encode(&w, &s, NULL), BERTH_OK);
    assert_int_equal(w.len, len);
    assert_memory_equal(w.data, expected, len);
    assert_int_equal(snapshot_decode(&back, slice_of(expected, len), NULL), BERTH_OK);
    assert_memory_equal(back.entity, key.entity, 32);
    assert_true(back.link.sequence == 1);
    free(expected);
    writer_free(&w);
    json_object_put(all);
}

/* compute-core 20, snapshot */
static void a_snapshot_survives_its_bytes(void **state)
{
    snapshot s, back;
    berth_keypair key;
    writer w = {0};
    size_t size;

    (void)state;
    sample(&s, &key);
    s.bindings = slice_str("not looked into");
    assert_int_equal(snapshot_encode(&w, &s, NULL), BERTH_OK);
    assert_int_equal(snapshot_size(&s, &size, NULL), BERTH_OK);
    assert_int_equal(w.len, size);
    assert_memory_equal(w.data, "CDS1\2", 5);
    assert_int_equal(w.data[w.len - 1], 0); /* no envelope */
    assert_int_equal(snapshot_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_memory_equal(&back.link, &s.link, sizeof s.link);
    assert_true(back.created_at == s.created_at);
    assert_true(slice_eq(back.state, s.state) && slice_eq(back.bindings, s.bindings));
    assert_false(back.has_envelope || back.has_next_parent);
    assert_true(back.state.ptr > w.data && back.state.ptr < w.data + w.len); /* in place */
    writer_free(&w);
}

static void every_damage_to_the_form_is_refused(void **state)
{
    static const size_t lengths[] = {85, 94};
    snapshot s;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&s, &key);
    snapshot_encode(&w, &s, NULL);
    for (size_t len = 0; len < w.len; len++)
        refused(w.data, len, BERTH_ERR_CORRUPT);
    writer_u8(&w, 0);
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* a trailing byte */
    w.len--;

    w.data[4] = 0xFE;
    refused(w.data, w.len, BERTH_ERR_VERSION);
    w.data[4] = 1;
    refused(w.data, w.len, BERTH_ERR_VERSION);
    w.data[4] = 2;
    refused(w.data + 5, w.len - 5, BERTH_ERR_CORRUPT); /* the layout without magic */
    w.data[37] ^= 1;
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* sequence is not the link's */
    w.data[37] ^= 1;
    w.data[45] ^= 1;
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* link of another origin */
    w.data[45] ^= 1;
    w.data[5] ^= 1;
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* another entity */
    w.data[5] ^= 1;
    w.data[w.len - 1] = 2;
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* envelope flag */
    w.data[w.len - 1] = 1;
    refused(w.data, w.len, BERTH_ERR_CORRUPT); /* announced, not there */
    w.data[w.len - 1] = 0;
    for (size_t i = 0; i < 2; i++) { /* lengths of state and bindings (K23) */
        memset(w.data + lengths[i], 0xFF, 4);
        refused(w.data, w.len, BERTH_ERR_CORRUPT);
        w.len = 0;
        snapshot_encode(&w, &s, NULL);
    }
    writer_free(&w);
}

/* compute-core K26 */
static void what_does_not_fit_is_an_error_that_names_the_lengths(void **state)
{
    berth_error error = {0};
    snapshot s;
    berth_keypair key;
    writer w = {0};
    size_t size;

    (void)state;
    sample(&s, &key);
    s.state = slice_of(seed42, (size_t)UINT32_MAX); /* never read */
    assert_int_equal(snapshot_size(&s, &size, &error), BERTH_OK);
    assert_true(size == (size_t)UINT32_MAX + SNAPSHOT_MIN);
    s.state.len++;
    assert_int_equal(snapshot_encode(&w, &s, &error), BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "4294967296 bytes of state and 0 of bindings"));
    s.bindings = s.state;
    s.state.len = 0;
    assert_int_equal(snapshot_encode(&w, &s, &error), BERTH_ERR_LIMIT);
    assert_null(w.data);
}

static void a_state_of_four_mebibytes_is_nothing_special(void **state)
{
    size_t len = 4 << 20;
    uint8_t *big = calloc(1, len);
    snapshot s, back;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&s, &key);
    s.state = slice_of(big, len);
    assert_int_equal(snapshot_encode(&w, &s, NULL), BERTH_OK);
    assert_int_equal(snapshot_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(back.state.len, len);
    free(big);
    writer_free(&w);
}

/* compute-core 7.5, 18.1 */
static void the_next_parent_is_local_and_its_absence_is_told(void **state)
{
    snapshot s, back;
    berth_keypair key;
    writer with = {0}, without = {0};
    bool guessed;

    (void)state;
    sample(&s, &key);
    snapshot_encode(&without, &s, NULL);
    s.has_next_parent = true;
    s.next_parent = 0; /* known to be 0 is not the same as unknown */
    snapshot_encode(&with, &s, NULL);
    assert_int_equal(with.len, without.len);
    assert_memory_equal(with.data, without.data, with.len);
    assert_true(snapshot_next_parent(&s, &guessed) == 0);
    assert_false(guessed);

    snapshot_decode(&back, slice_of(with.data, with.len), NULL);
    assert_false(back.has_next_parent);
    assert_true(snapshot_next_parent(&back, &guessed) ==
                berth_link_parent(&s.link, s.state.ptr, s.state.len));
    assert_true(guessed);
    back.link.sequence = 0; /* before any output the empty payload is the truth */
    assert_true(snapshot_next_parent(&back, &guessed) == berth_link_parent(&back.link, NULL, 0));
    assert_false(guessed);
    writer_free(&with);
    writer_free(&without);
}

static void an_identity_travels_in_its_snapshot(void **state)
{
    uint8_t secret[32] = {7}, target[32], signature[64];
    ledger l = {0};
    snapshot s, back;
    berth_keypair key, out;
    writer bindings = {0}, w = {0};
    envelope_fault fault;
    bool found;

    (void)state;
    crypto_scalarmult_base(target, secret);
    sample(&s, &key);
    ledger_record(&l, 1, slice_str("a"), NULL, NULL);
    ledger_encode(&bindings, &l, NULL);
    s.bindings = slice_of(bindings.data, bindings.len);
    assert_int_equal(snapshot_open_identity(&s, secret, &out, &found, &fault, NULL), BERTH_OK);
    assert_false(found); /* none is no error */

    assert_int_equal(snapshot_seal_identity(&s, &key, target, &fault, NULL), BERTH_OK);
    assert_int_equal(snapshot_encode(&w, &s, NULL), BERTH_OK);
    assert_int_equal(w.len, SNAPSHOT_MIN + 5 + bindings.len + ENVELOPE_SIZE);
    assert_int_equal(snapshot_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_true(back.has_envelope);
    assert_int_equal(snapshot_open_identity(&back, secret, &out, &found, &fault, NULL), BERTH_OK);
    assert_true(found);
    assert_memory_equal(&out, &key, sizeof key);
    assert_int_equal(berth_sign(&out, "m", 1, signature), BERTH_OK);
    w.data[w.len - ENVELOPE_SIZE] = 0; /* its version byte */
    refused(w.data, w.len, BERTH_ERR_VERSION);
    w.data[w.len - ENVELOPE_SIZE] = 1;
    refused(w.data, w.len - 1, BERTH_ERR_CORRUPT);
    ledger_fini(&l);
    writer_free(&bindings);
    writer_free(&w);
}

/* compute-core K24, K25 */
static void an_envelope_of_another_identity_is_final(void **state)
{
    uint8_t secret[32] = {7}, target[32], link[32];
    berth_keypair key, impostor, out;
    envelope_fault fault;
    snapshot s;
    bool found;

    (void)state;
    crypto_scalarmult_base(target, secret);
    sample(&s, &key);
    berth_keypair_generate(&impostor);
    assert_int_equal(snapshot_seal_identity(&s, &impostor, target, &fault, NULL),
                     BERTH_ERR_IDENTITY_MISMATCH);
    assert_int_equal(fault, ENVELOPE_ORIGIN_MISMATCH);
    assert_false(s.has_envelope);
    berth_link_encode(link, &s.link);
    assert_int_equal(envelope_seal(&s.envelope, &impostor, target, link, NULL, NULL), BERTH_OK);
    s.has_envelope = true;
    assert_int_equal(snapshot_open_identity(&s, secret, &out, &found, &fault, NULL),
                     BERTH_ERR_IDENTITY_MISMATCH);
    assert_int_equal(fault, ENVELOPE_INVALID_SIGNER);
    assert_true(found);
    assert_false(berth_keypair_is_full(&out));
}

static void age_counts_whole_seconds_and_never_below_zero(void **state)
{
    snapshot s = {.created_at = 5000000000};

    (void)state;
    assert_true(snapshot_age_seconds(&s, 7999999999) == 2);
    assert_true(snapshot_age_seconds(&s, 4000000000) == 0);
    assert_true(snapshot_age_seconds(&s, -1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_has_the_bytes_of_the_vectors),
        cmocka_unit_test(a_snapshot_survives_its_bytes),
        cmocka_unit_test(every_damage_to_the_form_is_refused),
        cmocka_unit_test(what_does_not_fit_is_an_error_that_names_the_lengths),
        cmocka_unit_test(a_state_of_four_mebibytes_is_nothing_special),
        cmocka_unit_test(the_next_parent_is_local_and_its_absence_is_told),
        cmocka_unit_test(an_identity_travels_in_its_snapshot),
        cmocka_unit_test(an_envelope_of_another_identity_is_final),
        cmocka_unit_test(age_counts_whole_seconds_and_never_below_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
