/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake, against the published vector and against everything that is not a handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "mesh/noise.h"
#include "vectors/vectors.h"

#include <sodium.h>
#include <string.h>

struct side {
    uint8_t static_secret[32], static_public[32], ephemeral[32];
    noise n;
};

struct pair {
    struct side a, b; /* the one who dials, the one who answers */
    uint8_t psk[32];
    writer message;
};

static void begin(struct pair *p, slice prologue_a, slice prologue_b, const uint8_t *dialled)
{
    noise_init(&p->a.n, true, prologue_a, p->a.static_secret, dialled, p->a.ephemeral);
    noise_init(&p->b.n, false, prologue_b, p->b.static_secret, NULL, p->b.ephemeral);
    assert_int_equal(noise_set_psk(&p->a.n, p->psk), BERTH_OK);
    assert_int_equal(noise_set_psk(&p->b.n, p->psk), BERTH_OK);
}

static int new_pair(void **state)
{
    struct pair *p = calloc(1, sizeof *p);

    sodium_ready();
    for (struct side *s = &p->a; s; s = s == &p->a ? &p->b : NULL) {
        random_bytes(s->static_secret, 32);
        random_bytes(s->ephemeral, 32);
        crypto_scalarmult_base(s->static_public, s->static_secret);
    }
    random_bytes(p->psk, 32);
    begin(p, slice_str("same"), slice_str("same"), p->b.static_public);
    *state = p;
    return 0;
}

static int free_pair(void **state)
{
    struct pair *p = *state;

    noise_fini(&p->a.n);
    noise_fini(&p->b.n);
    writer_free(&p->message);
    free(p);
    return 0;
}

static slice message_of(const struct pair *p)
{
    return slice_of(p->message.data, p->message.len);
}

static void write_next(struct pair *p, noise *from, const char *payload)
{
    p->message.len = 0;
    assert_int_equal(noise_write(from, slice_str(payload), &p->message), BERTH_OK);
}

static void read_next(struct pair *p, noise *to, const char *payload)
{
    berth_error error = {0};
    buf *got = NULL;

    if (noise_read(to, message_of(p), &got, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    assert_int_equal(got->len, strlen(payload));
    assert_memory_equal(got->data, payload, got->len);
    buf_unref(got);
}

/* Nothing secret is left, and nothing goes on. */
static void assert_over(noise *n)
{
    uint8_t k1[32], k2[32], hash[64];
    writer none = {0};
    buf *got = NULL;

    assert_int_equal(n->step, NOISE_OVER);
    assert_true(sodium_is_zero(n->chain, sizeof n->chain));
    assert_true(sodium_is_zero(n->key, sizeof n->key));
    assert_true(sodium_is_zero(n->static_secret, sizeof n->static_secret));
    assert_true(sodium_is_zero(n->ephemeral_secret, sizeof n->ephemeral_secret));
    assert_true(sodium_is_zero(n->psk, sizeof n->psk));
    assert_int_equal(noise_set_psk(n, hash), BERTH_ERR_INVALID);
    assert_int_equal(noise_write(n, slice_str("x"), &none), BERTH_ERR_INVALID);
    assert_null(none.data);
    assert_int_equal(noise_read(n, slice_str("x"), &got, NULL), BERTH_ERR_INVALID);
    assert_null(got);
    memset(k1, 0xAA, sizeof k1);
    assert_int_equal(noise_split(n, k1, k2, hash), BERTH_ERR_INVALID);
    assert_true(sodium_is_zero(k1, sizeof k1));
}

static void refused(struct pair *p, noise *to, slice message, berth_status status)
{
    berth_error error = {0};
    buf *got = (buf *)p;

    assert_int_equal(noise_read(to, message, &got, &error), status);
    assert_null(got);
    assert_int_equal(error.code, status);
    assert_memory_equal(error.text, "handshake: message ", 19);
    assert_over(to);
}

/* ---- The published vector -------------------------------------------------------------------- */

static void vector_message(struct json_object *message, noise *from, noise *to)
{
    size_t payload_len, expected_len;
    uint8_t *payload = vector_bytes(message, "payload", &payload_len);
    uint8_t *expected = vector_bytes(message, "ciphertext", &expected_len);
    writer out = {0};
    buf *got = NULL;

    assert_int_equal(noise_write(from, slice_of(payload, payload_len), &out), BERTH_OK);
    assert_int_equal(out.len, expected_len);
    assert_memory_equal(out.data, expected, expected_len);
    assert_int_equal(noise_read(to, slice_of(expected, expected_len), &got, NULL), BERTH_OK);
    assert_int_equal(got->len, payload_len);
    assert_memory_equal(got->data, payload, payload_len);
    buf_unref(got);
    writer_free(&out);
    free(payload);
    free(expected);
}

static void vector_transport(struct json_object *message, const uint8_t key[32], uint64_t counter)
{
    size_t payload_len, expected_len;
    uint8_t *payload = vector_bytes(message, "payload", &payload_len);
    uint8_t *expected = vector_bytes(message, "ciphertext", &expected_len);
    uint8_t *out = malloc(payload_len + 16), nonce[12] = {0};

    store_u64(nonce + 4, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, payload, payload_len, NULL, 0, NULL, nonce,
                                              key);
    assert_int_equal(expected_len, payload_len + 16);
    assert_memory_equal(out, expected, expected_len);
    free(out);
    free(payload);
    free(expected);
}

static void the_published_vector_is_met_message_by_message(void **state)
{
    struct json_object *v = vectors_file(VECTORS_DIR "/noise.json");
    struct json_object *messages = vector_at(v, "messages");
    uint8_t a_static[32], a_ephemeral[32], b_static[32], b_ephemeral[32], b_public[32], psk[32];
    uint8_t keys[2][2][32], hash[2][64], expected[64];
    size_t prologue_len, count = json_object_array_length(messages);
    uint8_t *prologue = vector_bytes(v, "init_prologue", &prologue_len);
    noise a, b;

    (void)state;
    vector_fixed(v, "init_static", a_static, 32);
    vector_fixed(v, "init_ephemeral", a_ephemeral, 32);
    vector_fixed(v, "init_remote_static", b_public, 32);
    vector_fixed(v, "resp_static", b_static, 32);
    vector_fixed(v, "resp_ephemeral", b_ephemeral, 32);
    vector_fixed(v, "handshake_hash", expected, 64);
    assert_true(hex_decode(psk, 32,
                           slice_str(json_object_get_string(
                               json_object_array_get_idx(vector_at(v, "init_psks"), 0)))));

    noise_init(&a, true, slice_of(prologue, prologue_len), a_static, b_public, a_ephemeral);
    noise_init(&b, false, slice_of(prologue, prologue_len), b_static, NULL, b_ephemeral);
    assert_memory_equal(noise_own_static(&b), b_public, 32);
    noise_set_psk(&a, psk);
    noise_set_psk(&b, psk);
    vector_message(json_object_array_get_idx(messages, 0), &a, &b);
    assert_memory_equal(noise_remote_static(&b), noise_own_static(&a), 32);
    vector_message(json_object_array_get_idx(messages, 1), &b, &a);
    assert_int_equal(noise_split(&a, keys[0][0], keys[0][1], hash[0]), BERTH_OK);
    assert_int_equal(noise_split(&b, keys[1][0], keys[1][1], hash[1]), BERTH_OK);
    assert_memory_equal(keys[0], keys[1], sizeof keys[0]);
    assert_memory_equal(hash[0], expected, 64);
    assert_memory_equal(hash[1], expected, 64);
    assert_int_equal(count, 6);
    for (size_t i = 2; i < count; i++) /* in turns, the initiator first */
        vector_transport(json_object_array_get_idx(messages, i), keys[0][i % 2], (i - 2) / 2);
    free(prologue);
    json_object_put(v);
}

/* ---- Properties ------------------------------------------------------------------------------ */

/* mesh-transport 24.2 test_noise_handshake, test_session_keys_generation */
static void both_sides_have_the_same_keys_and_hash_and_know_each_other(void **state)
{
    uint8_t keys[2][2][32], hash[2][64];
    struct pair *p = *state;

    assert_null(noise_remote_static(&p->b.n));
    write_next(p, &p->a.n, "one");
    assert_int_equal(p->message.len, 3 + NOISE_MESSAGE_1_OVERHEAD);
    read_next(p, &p->b.n, "one");
    assert_memory_equal(noise_remote_static(&p->b.n), p->a.static_public, 32);
    write_next(p, &p->b.n, "");
    assert_int_equal(p->message.len, NOISE_MESSAGE_2_OVERHEAD);
    read_next(p, &p->a.n, "");
    assert_int_equal(noise_split(&p->a.n, keys[0][0], keys[0][1], hash[0]), BERTH_OK);
    assert_int_equal(noise_split(&p->b.n, keys[1][0], keys[1][1], hash[1]), BERTH_OK);
    assert_memory_equal(keys[0], keys[1], sizeof keys[0]);
    assert_memory_equal(hash[0], hash[1], 64);
    assert_memory_not_equal(keys[0][0], keys[0][1], 32);
    assert_memory_equal(noise_remote_static(&p->a.n), p->b.static_public, 32);
    assert_over(&p->a.n);
    assert_over(&p->b.n);
}

/* A message is appended to what the writer holds. */
static void writing_keeps_what_the_writer_has(void **state)
{
    struct pair *p = *state;

    writer_bytes(&p->message, "before", 6);
    assert_int_equal(noise_write(&p->a.n, slice_str("x"), &p->message), BERTH_OK);
    assert_memory_equal(p->message.data, "before", 6);
    assert_int_equal(p->message.len, 6 + 1 + NOISE_MESSAGE_1_OVERHEAD);
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    struct pair *p = *state;
    noise fresh_b = p->b.n, waiting_a;

    write_next(p, &p->a.n, "hello");
    waiting_a = p->a.n;
    for (size_t bit = 0; bit < p->message.len * 8; bit++) {
        berth_error error = {0};
        buf *got = NULL;

        p->b.n = fresh_b;
        p->message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(noise_read(&p->b.n, message_of(p), &got, &error), BERTH_ERR_SIGNATURE);
        assert_null(got);
        p->message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_over(&p->b.n);
    p->b.n = fresh_b;
    read_next(p, &p->b.n, "hello");
    write_next(p, &p->b.n, "hello back");
    for (size_t bit = 0; bit < p->message.len * 8; bit++) {
        berth_error error = {0};
        buf *got = NULL;

        p->a.n = waiting_a;
        p->message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(noise_read(&p->a.n, message_of(p), &got, &error), BERTH_ERR_SIGNATURE);
        assert_null(got);
        p->message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_over(&p->a.n);
    p->a.n = waiting_a;
    read_next(p, &p->a.n, "hello back");
    sodium_memzero(&fresh_b, sizeof fresh_b);
    sodium_memzero(&waiting_a, sizeof waiting_a);
}

static void a_message_of_another_length_is_refused(void **state)
{
    struct pair *p = *state;
    noise fresh = p->b.n;
    uint8_t *large = calloc(1, NOISE_MESSAGE_MAX + 1);

    write_next(p, &p->a.n, "hello");
    for (size_t len = 0; len < p->message.len; len++) {
        p->b.n = fresh;
        refused(p, &p->b.n, slice_of(p->message.data, len),
                len < NOISE_MESSAGE_1_OVERHEAD ? BERTH_ERR_CORRUPT : BERTH_ERR_SIGNATURE);
    }
    writer_u8(&p->message, 0);
    p->b.n = fresh;
    refused(p, &p->b.n, message_of(p), BERTH_ERR_SIGNATURE);
    p->b.n = fresh;
    refused(p, &p->b.n, slice_of(large, NOISE_MESSAGE_MAX + 1), BERTH_ERR_CORRUPT);
    free(large);
}

static void the_longest_payload_passes_and_one_byte_more_is_refused(void **state)
{
    const size_t max = NOISE_MESSAGE_MAX - NOISE_MESSAGE_1_OVERHEAD;
    uint8_t *payload = calloc(1, max + 1);
    struct pair *p = *state;
    buf *got = NULL;

    assert_int_equal(noise_write(&p->a.n, slice_of(payload, max + 1), &p->message),
                     BERTH_ERR_LIMIT);
    assert_int_equal(p->message.len, 0);
    assert_int_equal(noise_write(&p->a.n, slice_of(payload, max), &p->message), BERTH_OK);
    assert_int_equal(noise_read(&p->b.n, message_of(p), &got, NULL), BERTH_OK);
    assert_int_equal(got->len, max);
    buf_unref(got);
    free(payload);
}

static void another_psk_is_found_out_at_message_2(void **state)
{
    struct pair *p = *state;
    uint8_t other[32] = {1};

    assert_int_equal(noise_set_psk(&p->b.n, other), BERTH_OK);
    write_next(p, &p->a.n, "hello");
    read_next(p, &p->b.n, "hello");
    write_next(p, &p->b.n, "back");
    refused(p, &p->a.n, message_of(p), BERTH_ERR_SIGNATURE);
}

static void the_psk_may_be_chosen_after_message_1(void **state)
{
    struct pair *p = *state;
    uint8_t other[32] = {1};

    assert_int_equal(noise_set_psk(&p->b.n, other), BERTH_OK);
    write_next(p, &p->a.n, "hello");
    read_next(p, &p->b.n, "hello");
    assert_int_equal(noise_set_psk(&p->b.n, p->psk), BERTH_OK);
    write_next(p, &p->b.n, "back");
    assert_int_equal(noise_set_psk(&p->b.n, p->psk), BERTH_ERR_INVALID);
    read_next(p, &p->a.n, "back");
}

static void another_prologue_is_refused(void **state)
{
    struct pair *p = *state;

    begin(p, slice_str("this realm"), slice_str("that realm"), p->b.static_public);
    write_next(p, &p->a.n, "hello");
    refused(p, &p->b.n, message_of(p), BERTH_ERR_SIGNATURE);
}

static void a_message_for_somebody_else_is_refused(void **state)
{
    struct pair *p = *state;
    uint8_t secret[32], other[32];

    random_bytes(secret, 32);
    crypto_scalarmult_base(other, secret);
    begin(p, slice_str("same"), slice_str("same"), other);
    write_next(p, &p->a.n, "hello");
    refused(p, &p->b.n, message_of(p), BERTH_ERR_SIGNATURE);
}

/* Who answers without the secret of the key that was dialled, e.g. with its own. */
static void an_answer_by_somebody_else_is_refused(void **state)
{
    struct pair *p = *state, *q;
    void *another;

    new_pair(&another);
    q = another;
    write_next(p, &p->a.n, "hello");
    /* the liar knows all that went over the wire, and the psk */
    memcpy(q->psk, p->psk, 32);
    begin(q, slice_str("same"), slice_str("same"), q->b.static_public);
    write_next(q, &q->a.n, "hello");
    read_next(q, &q->b.n, "hello");
    memcpy(q->b.n.remote_static, p->a.static_public, 32);
    memcpy(q->b.n.remote_ephemeral, p->message.data, 32);
    write_next(q, &q->b.n, "back");
    refused(q, &p->a.n, message_of(q), BERTH_ERR_SIGNATURE);
    free_pair(&another);
}

/* The points of small order, in all encodings that X25519 takes. */
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void keys_of_low_order_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof low_order / sizeof *low_order; i++) {
        struct pair *p = *state;
        uint8_t point[32];

        assert_true(hex_decode(point, 32, slice_str(low_order[i])));
        /* as the key that is dialled */
        begin(p, slice_str("same"), slice_str("same"), point);
        p->message.len = 0;
        assert_int_equal(noise_write(&p->a.n, slice_str("x"), &p->message), BERTH_ERR_INVALID);
        assert_int_equal(p->message.len, 0);
        assert_over(&p->a.n);
        /* as the ephemeral key of message 1 */
        begin(p, slice_str("same"), slice_str("same"), p->b.static_public);
        write_next(p, &p->a.n, "x");
        memcpy(p->message.data, point, 32);
        refused(p, &p->b.n, message_of(p), BERTH_ERR_INVALID);
        /* as the ephemeral key of message 2 */
        begin(p, slice_str("same"), slice_str("same"), p->b.static_public);
        write_next(p, &p->a.n, "x");
        read_next(p, &p->b.n, "x");
        write_next(p, &p->b.n, "x");
        memcpy(p->message.data, point, 32);
        refused(p, &p->a.n, message_of(p), BERTH_ERR_INVALID);
        /* as the initiator's static key: it encrypts well, but gives no secret */
        begin(p, slice_str("same"), slice_str("same"), p->b.static_public);
        memcpy(p->a.n.static_public, point, 32);
        write_next(p, &p->a.n, "x");
        refused(p, &p->b.n, message_of(p), BERTH_ERR_INVALID);
        assert_null(noise_remote_static(&p->b.n));
    }
}

static void calls_out_of_order_are_errors_and_change_nothing(void **state)
{
    struct pair *p = *state;
    uint8_t k1[32], k2[32], hash[64];
    writer none = {0};
    buf *got = NULL;

    assert_int_equal(noise_read(&p->a.n, slice_str("x"), &got, NULL), BERTH_ERR_INVALID);
    assert_int_equal(noise_write(&p->b.n, slice_str("x"), &none), BERTH_ERR_INVALID);
    assert_int_equal(noise_split(&p->a.n, k1, k2, hash), BERTH_ERR_INVALID);
    assert_int_equal(noise_split(&p->b.n, k1, k2, hash), BERTH_ERR_INVALID);
    write_next(p, &p->a.n, "hello");
    assert_int_equal(noise_write(&p->a.n, slice_str("x"), &none), BERTH_ERR_INVALID);
    assert_int_equal(noise_split(&p->a.n, k1, k2, hash), BERTH_ERR_INVALID);
    read_next(p, &p->b.n, "hello");
    assert_int_equal(noise_read(&p->b.n, message_of(p), &got, NULL), BERTH_ERR_INVALID);
    assert_int_equal(noise_split(&p->b.n, k1, k2, hash), BERTH_ERR_INVALID);
    write_next(p, &p->b.n, "back");
    assert_int_equal(noise_write(&p->b.n, slice_str("x"), &none), BERTH_ERR_INVALID);
    assert_int_equal(noise_read(&p->b.n, message_of(p), &got, NULL), BERTH_ERR_INVALID);
    read_next(p, &p->a.n, "back");
    assert_int_equal(noise_read(&p->a.n, message_of(p), &got, NULL), BERTH_ERR_INVALID);
    assert_null(got);
    assert_null(none.data);
    assert_int_equal(noise_split(&p->a.n, k1, k2, hash), BERTH_OK);
    assert_int_equal(noise_split(&p->a.n, k1, k2, hash), BERTH_ERR_INVALID);
}

/* Whoever dials must know whom. */
static void dialling_without_a_key_is_an_error(void **state)
{
    struct pair *p = *state;

    noise_init(&p->a.n, true, slice_str("same"), p->a.static_secret, NULL, p->a.ephemeral);
    assert_int_equal(noise_write(&p->a.n, slice_str("x"), &p->message), BERTH_ERR_INVALID);
}

static void a_handshake_that_ends_leaves_no_secret(void **state)
{
    struct pair *p = *state;
    const noise *n = &p->a.n;

    write_next(p, &p->a.n, "hello");
    noise_fini(&p->a.n);
    assert_over(&p->a.n);
    assert_true(sodium_is_zero(n->hash, sizeof n->hash));
    assert_true(sodium_is_zero(n->remote_static, sizeof n->remote_static));
    assert_null(noise_remote_static(n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vector_is_met_message_by_message),
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, new_pair, free_pair)
        WITH_PAIR(both_sides_have_the_same_keys_and_hash_and_know_each_other),
        WITH_PAIR(writing_keeps_what_the_writer_has),
        WITH_PAIR(a_flipped_bit_anywhere_is_refused),
        WITH_PAIR(a_message_of_another_length_is_refused),
        WITH_PAIR(the_longest_payload_passes_and_one_byte_more_is_refused),
        WITH_PAIR(another_psk_is_found_out_at_message_2),
        WITH_PAIR(the_psk_may_be_chosen_after_message_1),
        WITH_PAIR(another_prologue_is_refused),
        WITH_PAIR(a_message_for_somebody_else_is_refused),
        WITH_PAIR(an_answer_by_somebody_else_is_refused),
        WITH_PAIR(keys_of_low_order_are_refused),
        WITH_PAIR(calls_out_of_order_are_errors_and_change_nothing),
        WITH_PAIR(dialling_without_a_key_is_an_error),
        WITH_PAIR(a_handshake_that_ends_leaves_no_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
