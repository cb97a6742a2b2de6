/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "mesh/channel_message.h"

#include <stdlib.h>
#include <string.h>

#define NONCE 0x1122334455667788

static channel_message subscribe(void)
{
    channel_message m = {.kind = MESSAGE_CHANNEL_SUBSCRIBE, .nonce = NONCE};

    memset(m.subscriber, 0xC5, sizeof m.subscriber);
    m.name = slice_str("sensors/lidar/front");
    return m;
}

/* What follows the kind (and the subscriber) is the reference's message without its tag. */
static void has_bytes(const channel_message *m, const char *reference)
{
    size_t skip = m->kind == MESSAGE_CHANNEL_ACK ? 2 : 34, len = strlen(reference) / 2;
    uint8_t *expected = malloc(len);
    writer w = {0};
    channel_message back;

    assert_true(hex_decode(expected, len, slice_str(reference)));
    assert_int_equal(channel_message_encode(&w, m, NULL), BERTH_OK);
    assert_int_equal(w.data[0] | w.data[1] << 8, 0x0500 + expected[0]);
    assert_int_equal(w.len - skip, len - 1);
    assert_memory_equal(w.data + skip, expected + 1, len - 1);
    assert_int_equal(channel_message_decode(slice_of(w.data, w.len), &back, NULL), BERTH_OK);
    assert_int_equal(back.kind, m->kind);
    assert_true(back.nonce == m->nonce);
    assert_memory_equal(back.subscriber, m->subscriber, sizeof m->subscriber);
    assert_true(slice_eq(back.name, m->name) && slice_eq(back.token, m->token) &&
                slice_eq(back.group, m->group));
    assert_int_equal(back.accepted, m->accepted);
    assert_int_equal(back.reason, m->reason);
    writer_free(&w);
    free(expected);
}

/* 20.3 roundtrip …; 22 */
static void messages_have_the_bytes_of_the_vectors(void **state)
{
    channel_message m = subscribe();

    (void)state;
    has_bytes(&m, "0088776655443322111373656e736f72732f6c696461722f66726f6e740000");
    m.group = slice_str("workers");
    has_bytes(&m, "0088776655443322111373656e736f72732f6c696461722f66726f6e74000007776f726b657273");
    m.token = slice_str("abc");
    has_bytes(
        &m, "0088776655443322111373656e736f72732f6c696461722f66726f6e74030061626307776f726b657273");
    m.group = slice_of(NULL, 0);
    has_bytes(&m, "0088776655443322111373656e736f72732f6c696461722f66726f6e740300616263");
    m.token = slice_of(NULL, 0);
    m.kind = MESSAGE_CHANNEL_UNSUBSCRIBE;
    has_bytes(&m, "0188776655443322111373656e736f72732f6c696461722f66726f6e74");
    m = (channel_message){.kind = MESSAGE_CHANNEL_ACK, .nonce = NONCE, .accepted = true};
    has_bytes(&m, "0288776655443322110100");
    m.accepted = false;
    m.reason = CHANNEL_UNAUTHORIZED;
    has_bytes(&m, "0288776655443322110001");
}

static void the_end_of_a_subscription_survives_its_bytes(void **state)
{
    channel_message m = subscribe(), back;
    writer w = {0};

    (void)state;
    m.kind = MESSAGE_CHANNEL_ENDED;
    m.reason = CHANNEL_UNAUTHORIZED;
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_OK);
    assert_int_equal(channel_message_decode(slice_of(w.data, w.len), &back, NULL), BERTH_OK);
    assert_true(slice_eq(back.name, m.name));
    assert_memory_equal(back.subscriber, m.subscriber, 32);
    assert_int_equal(back.reason, CHANNEL_UNAUTHORIZED);
    assert_true(back.nonce == 0);
    writer_free(&w);
}

/* A message: kind, 32 bytes of 0 unless it is an ACK, and these bytes. */
static berth_status decode(uint16_t kind, const char *hex, channel_message *out)
{
    uint8_t bytes[1024] = {(uint8_t)kind, (uint8_t)(kind >> 8)};
    size_t head = kind == MESSAGE_CHANNEL_ACK ? 2 : 34, len = strlen(hex) / 2;
    static uint8_t kept[1024];
    berth_error error = {0};
    berth_status status;

    assert_true(hex_decode(bytes + head, len, slice_str(hex)));
    memcpy(kept, bytes, sizeof kept);
    status = channel_message_decode(slice_of(kept, head + len), out, &error);
    assert_int_equal(status, error.code);
    if (status) {
        assert_int_equal(status, BERTH_ERR_CORRUPT);
        assert_int_equal(out->kind, 0);
    }
    return status;
}

static void refused(uint16_t kind, const char *hex)
{
    channel_message m;

    assert_int_equal(decode(kind, hex, &m), BERTH_ERR_CORRUPT);
}

#define N "8877665544332211" /* a nonce */

/* 20.3 legacy_subscribe_no_trailing_token_len_decodes_as_none */
static void nothing_behind_the_name_is_no_token_and_broadcast(void **state)
{
    channel_message m;

    (void)state;
    assert_int_equal(decode(MESSAGE_CHANNEL_SUBSCRIBE, N "0161", &m), BERTH_OK);
    assert_int_equal(m.token.len, 0);
    assert_int_equal(m.group.len, 0);
}

/* 20.3 subscribe_one_byte_token_len_rejected */
static void half_a_length_of_a_token_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "016100");
}

/* 20.3 decode_empty */
static void no_bytes_are_refused(void **state)
{
    channel_message m;

    (void)state;
    assert_int_equal(channel_message_decode(slice_of(NULL, 0), &m, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(channel_message_decode(slice_of("\0", 1), &m, NULL), BERTH_ERR_CORRUPT);
}

/* 20.3 unknown_tag */
static void other_kinds_are_refused(void **state)
{
    (void)state;
    refused(0x0504, N "0161");
    refused(0x04ff, N "0161");
    refused(0x0600, N "0161");
}

/* 20.3 truncated_subscribe */
static void every_cut_of_a_message_is_refused(void **state)
{
    channel_message m = subscribe(), back;
    writer w = {0};

    (void)state;
    m.token = slice_str("a chain");
    m.group = slice_str("workers");
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_OK);
    for (size_t len = 0; len < w.len; len++) {
        berth_status status = channel_message_decode(slice_of(w.data, len), &back, NULL);
        bool whole = len == w.len - 8 || len == w.len - 8 - 9; /* without group; without token */

        assert_int_equal(status, whole ? BERTH_OK : BERTH_ERR_CORRUPT);
    }
    writer_free(&w);
}

/* 20.3 zero_name_len */
static void an_empty_name_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "000000");
    refused(MESSAGE_CHANNEL_UNSUBSCRIBE, N "00");
}

/* 20.3 overflow_name_len */
static void a_name_longer_than_the_message_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "ff610000");
    refused(MESSAGE_CHANNEL_UNSUBSCRIBE, N "0261");
}

/* 20.3 invalid_channel_name */
static void a_name_against_the_grammar_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "01410000");     /* A */
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "022f610000");   /* /a */
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "022e2e0000");   /* .. */
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "0161000000ff"); /* bytes left over */
    refused(MESSAGE_CHANNEL_UNSUBSCRIBE, N "01c3");       /* not UTF-8 */
}

/* 20.3 ack_strict_boolean_rejects_non_01; reason ∉ 0–4 */
static void an_answer_is_yes_or_no_for_a_known_reason(void **state)
{
    channel_message m;

    (void)state;
    assert_int_equal(decode(MESSAGE_CHANNEL_ACK, N "0004", &m), BERTH_OK);
    assert_int_equal(m.reason, CHANNEL_TOO_MANY);
    refused(MESSAGE_CHANNEL_ACK, N "0200");
    refused(MESSAGE_CHANNEL_ACK, N "ff00");
    refused(MESSAGE_CHANNEL_ACK, N "0005");
}

/* 20.3 unsubscribe / ack / subscribe-with-token with trailing bytes rejected */
static void bytes_behind_a_message_are_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_UNSUBSCRIBE, N "016100");
    refused(MESSAGE_CHANNEL_ACK, N "010000");
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "01610100aa016200");
    refused(MESSAGE_CHANNEL_ENDED, "01610100");
}

/* 20.3 pre_queue_group_payload_decodes_as_broadcast; Q = 0 */
static void an_empty_group_is_broadcast(void **state)
{
    channel_message m;

    (void)state;
    assert_int_equal(decode(MESSAGE_CHANNEL_SUBSCRIBE, N "0161000000", &m), BERTH_OK);
    assert_int_equal(m.group.len, 0);
    assert_int_equal(decode(MESSAGE_CHANNEL_SUBSCRIBE, N "01610000", &m), BERTH_OK);
    assert_int_equal(m.group.len, 0);
}

/* 20.3 queue_group_overflow */
static void a_group_longer_than_the_message_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "016100000261");
}

/* 20.3 queue_group non_utf8 rejected */
static void a_group_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    refused(MESSAGE_CHANNEL_SUBSCRIBE, N "0161000001ff");
}

static void what_cannot_be_said_is_not_encoded(void **state)
{
    static const uint8_t many[CHANNEL_TOKEN_MAX + 1] = {'a'};
    channel_message m = subscribe();
    writer w = {0};

    (void)state;
    m.name = slice_str("A");
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_INVALID);
    m.name = slice_of(many, 256);
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_LIMIT);
    m = subscribe();
    m.token = slice_of(many, sizeof many);
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_LIMIT);
    m = subscribe();
    m.group = slice_of(many, 256);
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_LIMIT);
    m.group = slice_str("\xff");
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_INVALID);
    m = subscribe();
    m.kind = 0x0504;
    assert_int_equal(channel_message_encode(&w, &m, NULL), BERTH_ERR_INVALID);
    assert_int_equal(w.len, 0);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_have_the_bytes_of_the_vectors),
        cmocka_unit_test(the_end_of_a_subscription_survives_its_bytes),
        cmocka_unit_test(nothing_behind_the_name_is_no_token_and_broadcast),
        cmocka_unit_test(half_a_length_of_a_token_is_refused),
        cmocka_unit_test(no_bytes_are_refused),
        cmocka_unit_test(other_kinds_are_refused),
        cmocka_unit_test(every_cut_of_a_message_is_refused),
        cmocka_unit_test(an_empty_name_is_refused),
        cmocka_unit_test(a_name_longer_than_the_message_is_refused),
        cmocka_unit_test(a_name_against_the_grammar_is_refused),
        cmocka_unit_test(an_answer_is_yes_or_no_for_a_known_reason),
        cmocka_unit_test(bytes_behind_a_message_are_refused),
        cmocka_unit_test(an_empty_group_is_broadcast),
        cmocka_unit_test(a_group_longer_than_the_message_is_refused),
        cmocka_unit_test(a_group_that_is_not_utf8_is_refused),
        cmocka_unit_test(what_cannot_be_said_is_not_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
