/* SPDX-License-Identifier: Apache-2.0 */
/* docs/wire.md, "Migration": the bytes of tests/vectors/migration.json, which were computed with
 * other implementations of the primitives; and what is no message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/message.h"
#include "migrate/wire.h"
#include "vectors/vectors.h"

#include <string.h>

typedef berth_status read_any(void *out, slice message, berth_error *error);

#define MESSAGES(X)                                                                                \
    X(order_message, move_order)                                                                   \
    X(offer, move_offer)                                                                           \
    X(accept, move_accept)                                                                         \
    X(chunk, move_chunk)                                                                           \
    X(got, move_got)                                                                               \
    X(key, move_key)                                                                               \
    X(round, move_round)                                                                           \
    X(built, move_got)                                                                             \
    X(seal, move_seal)                                                                             \
    X(prepared, move_step)                                                                         \
    X(commit, move_step)                                                                           \
    X(owned, move_step)                                                                            \
    X(refused, move_no)                                                                            \
    X(abort, move_no)                                                                              \
    X(state, move_state)                                                                           \
    X(fetch, move_fetch)                                                                           \
    X(plugin, move_plugin)                                                                         \
    X(part, move_part)                                                                             \
    X(hears, move_hears)                                                                           \
    X(kind, move_kind)

/* One reader and writer for all of a kind, by the vector's name. */
static berth_status read_named(const char *name, slice message, writer *again, berth_error *error)
{
#define READ(row, type)                                                                            \
    if (strcmp(name, #row) == 0) {                                                                 \
        type m, zero;                                                                              \
        berth_status status;                                                                       \
        memset(&zero, 0, sizeof zero);                                                             \
        status = type##_read(&m, message, error);                                                  \
        if (status)                                                                                \
            assert_memory_equal(&m, &zero, sizeof m);                                              \
        else                                                                                       \
            type##_write(again, &m);                                                               \
        return status;                                                                             \
    }
    MESSAGES(READ)
#undef READ
    move_head head;
    berth_status status = move_bare_read(&head, message, error);

    if (!status)
        move_bare_write(again, &head);
    return status;
}

static int load(void **state)
{
    *state = vectors_file(VECTORS_DIR "/migration.json");
    return 0;
}

static int put(void **state)
{
    json_object_put(*state);
    return 0;
}

static slice bytes_of(struct json_object *v, const char *key)
{
    size_t len;
    uint8_t *bytes = vector_bytes(v, key, &len);

    return slice_of(bytes, len);
}

static void assert_bytes(struct json_object *v, const char *key, const void *got, size_t len)
{
    slice expected = bytes_of(v, key);

    assert_int_equal(len, expected.len);
    assert_memory_equal(got, expected.ptr, len);
    free((void *)(uintptr_t)expected.ptr);
}

/* Each message of the vectors is read, and written again the same. */
static void every_message_is_read_and_written_again(void **state)
{
    json_object_object_foreach(vector_at(*state, "messages"), name, value)
    {
        slice message = bytes_of(vector_at(*state, "messages"), name);
        move_head head;
        writer again = {0};

        (void)value;
        assert_int_equal(read_named(name, message, &again, NULL), BERTH_OK);
        assert_int_equal(again.len, message.len);
        assert_memory_equal(again.data, message.ptr, message.len);
        assert_int_equal(move_head_read(&head, message, NULL), BERTH_OK);
        assert_int_equal(head.kind, message.ptr[0] | message.ptr[1] << 8);
        writer_free(&again);
        free((void *)(uintptr_t)message.ptr);
    }
}

/* migration 18 test_gap_wire_decode_truncated_messages, from_bytes_rejects_trailing_garbage */
static void what_is_cut_or_goes_on_is_none(void **state)
{
    json_object_object_foreach(vector_at(*state, "messages"), name, value)
    {
        slice message = bytes_of(vector_at(*state, "messages"), name);
        uint8_t *room = malloc(message.len + 1);
        writer again = {0};
        bool part = strcmp(name, "part") == 0;
        bool stream = part || strcmp(name, "chunk") == 0; /* has no length of its own */

        (void)value;
        memcpy(room, message.ptr, message.len);
        room[message.len] = 0;
        for (size_t len = 0; len < message.len; len++) {
            berth_error error = {0};
            uint8_t *exact = malloc(len ? len : 1); /* of its size, for the sanitizer */

            memcpy(exact, room, len);
            if (!stream || len <= (part ? 67 : 35)) {
                assert_int_equal(read_named(name, slice_of(exact, len), &again, &error),
                                 BERTH_ERR_CORRUPT);
                assert_true(strlen(error.text) > 0);
            }
            free(exact);
        }
        if (!stream)
            assert_int_equal(read_named(name, slice_of(room, message.len + 1), &again, NULL),
                             BERTH_ERR_CORRUPT);
        room[2] = 2;
        assert_int_equal(read_named(name, slice_of(room, message.len), &again, NULL),
                         BERTH_ERR_VERSION);
        room[2] = 1;
        room[0] = 0x7f;
        assert_int_equal(read_named(name, slice_of(room, message.len), &again, NULL),
                         BERTH_ERR_CORRUPT);
        writer_free(&again);
        free(room);
        free((void *)(uintptr_t)message.ptr);
    }
}

/* A message with one byte changed; the status that reading gives. */
static berth_status changed(void *v, const char *name, size_t at, uint8_t to)
{
    slice message = bytes_of(vector_at(v, "messages"), name);
    berth_status status;
    writer again = {0};
    uint8_t *bytes = (uint8_t *)(uintptr_t)message.ptr;

    assert_true(at < message.len);
    bytes[at] = to;
    status = read_named(name, message, &again, NULL);
    writer_free(&again);
    free(bytes);
    return status;
}

static void what_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t to;
    } rows[] = {
        {"offer", 3, 0},       /* another attempt than its order's */
        {"offer", 19, 0xff},   /* another origin than its order's */
        {"offer", 27, 1},      /* epoch 1 */
        {"offer", 27 + 8, 0},  /* no kind */
        {"offer", 107, 4},     /* a flag */
        {"round", 27, 0},      /* no bytes */
        {"seal", 3, 0},        /* another attempt than its handover's */
        {"seal", 19, 0xff},    /* another origin */
        {"seal", 27, 0},       /* no bytes */
        {"seal", 71 + 313, 2}, /* a flag */
        {"key", 3, 0},         /* another attempt than its handover's */
        {"key", 19, 0xff},     /* another origin */
        {"prepared", 27, 1},
        {"refused", 27, 21}, /* migration 18 test_wire_rejects_unknown_failure_code */
        {"refused", 29, 2},
        {"refused", 32, 0},          /* a zero in its text */
        {"abort", 29, 1},            /* nobody stops for good */
        {"state", 27, 6},            /* a phase */
        {"state", 28, 16},           /* a flag */
        {"state", 28, 2},            /* moved, and not over */
        {"state", 28, 5},            /* over, and in doubt */
        {"state", 28, 9},            /* over, and the plugin is fetched */
        {"fetch", 27 + 32 + 3, 0},   /* bytes beyond its own limit */
        {"fetch", 27 + 32 + 15, 1},  /* an offset beyond it */
        {"fetch", 27 + 32 + 18, 17}, /* too many at once */
        {"state", 29, 7},            /* a reason for nothing */
        {"state", 81, 0xff},         /* no UTF-8 */
        {"state", 88, 1},            /* what is heard of one that has not come */
        {"state", 89, 1},            /* subscriptions of which nothing is known */
        {"hears", 27, 0},            /* nothing is known */
        {"hears", 27, 2},            /* a flag */
        {"hears", 28, 1},            /* fewer than are missing */
        {"hears", 36, 0},            /* nothing is missing, and why */
        {"hears", 40, 10},           /* it ends in its last part */
        {"hears", 41, 'N'},          /* no name of a channel */
        {"hears", 60, 0},            /* a zero in its text */
        {"kind", 27, 0},             /* no kind, and more */
        {"kind", 28, 0},             /* a zero in its name */
        {"order_message", 34, 0x80}, /* a time that never ends */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (changed(*state, rows[i].name, rows[i].at, rows[i].to) != BERTH_ERR_CORRUPT)
            fail_msg("row %zu: %s", i, rows[i].name);
    assert_int_equal(changed(*state, "seal", 71 + 314, 2), BERTH_ERR_VERSION); /* the envelope's */
    assert_int_equal(changed(*state, "seal", 71, 2), BERTH_ERR_VERSION);       /* the handover's */
}

static void a_chunk_has_bytes_and_not_too_many(void **state)
{
    static uint8_t bytes[MOVE_CHUNK_MAX + 1];
    move_chunk m = {.bytes = slice_of(bytes, MOVE_CHUNK_MAX)}, got;
    writer w = {0};

    (void)state;
    move_chunk_write(&w, &m);
    assert_int_equal(move_chunk_read(&got, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(got.bytes.len, MOVE_CHUNK_MAX);
    w.len = 0;
    m.bytes.len++;
    move_chunk_write(&w, &m);
    assert_int_equal(move_chunk_read(&got, slice_of(w.data, w.len), NULL), BERTH_ERR_CORRUPT);
    w.len = 0;
    m.bytes.len = 2;
    m.offset = UINT64_MAX - 1;
    move_chunk_write(&w, &m);
    assert_int_equal(move_chunk_read(&got, slice_of(w.data, w.len), NULL), BERTH_ERR_CORRUPT);
    writer_free(&w);
}

static void a_plugin_has_bytes_and_a_signature(void **state)
{
    static uint8_t bytes[MOVE_CHUNK_MAX + 1];
    move_plugin m = {.total = 1, .signature = slice_of(bytes, UINT16_MAX)}, got;
    move_part p = {.bytes = slice_of(bytes, MOVE_CHUNK_MAX)}, part;
    writer w = {0};

    (void)state;
    move_plugin_write(&w, &m);
    assert_int_equal(move_plugin_read(&got, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(got.signature.len, UINT16_MAX);
    w.len = 0;
    m.total = 0;
    move_plugin_write(&w, &m);
    assert_int_equal(move_plugin_read(&got, slice_of(w.data, w.len), NULL), BERTH_ERR_CORRUPT);
    w.len = 0;
    m = (move_plugin){.total = 1};
    move_plugin_write(&w, &m);
    assert_int_equal(move_plugin_read(&got, slice_of(w.data, w.len), NULL), BERTH_ERR_CORRUPT);
    for (int i = 0; i < 3; i++) {
        w.len = 0;
        p.bytes.len = i == 0 ? MOVE_CHUNK_MAX : i == 1 ? MOVE_CHUNK_MAX + 1 : 2;
        p.offset = i == 2 ? UINT64_MAX - 1 : 7;
        move_part_write(&w, &p);
        assert_int_equal(move_part_read(&part, slice_of(w.data, w.len), NULL),
                         i ? BERTH_ERR_CORRUPT : BERTH_OK);
    }
    writer_free(&w);
}

static void a_long_text_is_cut_at_a_character(void **state)
{
    char text[2 * MOVE_TEXT_MAX + 1];
    move_no m = {.head.kind = MESSAGE_MOVE_REFUSED}, got;
    writer w = {0};

    (void)state;
    for (int i = 0; i < MOVE_TEXT_MAX - 1; i++)
        text[i] = 'x';
    strcpy(text + MOVE_TEXT_MAX - 1, "\xc3\xa4rger");
    m.text = slice_str(text);
    move_no_write(&w, &m);
    assert_int_equal(move_no_read(&got, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(got.text.len, MOVE_TEXT_MAX - 1);
    writer_free(&w);
}

/* What the daemon's key signs is bound to order, nonce, target and stream. */
static void a_seal_is_signed_as_the_vectors_say(void **state)
{
    struct json_object *messages = vector_at(*state, "messages");
    uint8_t bytes[MOVE_SIGNED_MAX], nonce[MOVE_NONCE_SIZE], hash[32];
    slice offer_bytes = bytes_of(messages, "offer"), seal_bytes = bytes_of(messages, "seal");
    move_offer offer;
    move_seal seal;
    size_t len;

    vector_fixed(*state, "nonce", nonce, sizeof nonce);
    assert_int_equal(move_offer_read(&offer, offer_bytes, NULL), BERTH_OK);
    assert_int_equal(move_seal_read(&seal, seal_bytes, NULL), BERTH_OK);
    len = move_seal_signed(bytes, &offer, nonce, &seal);
    assert_bytes(*state, "seal_signed", bytes, len);
    assert_int_equal(berth_verify(offer.order.entity, bytes, len, seal.signature), BERTH_OK);
    assert_int_equal(handover_verify(&seal.handover, berth_verify), BERTH_OK);
    order_hash(hash, &offer.order);
    assert_bytes(*state, "order_hash", hash, sizeof hash);
    nonce[0] ^= 1;
    len = move_seal_signed(bytes, &offer, nonce, &seal);
    assert_int_not_equal(berth_verify(offer.order.entity, bytes, len, seal.signature), BERTH_OK);
    free((void *)(uintptr_t)offer_bytes.ptr);
    free((void *)(uintptr_t)seal_bytes.ptr);
}

static void a_round_is_signed_as_the_vectors_say(void **state)
{
    struct json_object *messages = vector_at(*state, "messages");
    uint8_t bytes[MOVE_SIGNED_MAX], nonce[MOVE_NONCE_SIZE];
    slice offer_bytes = bytes_of(messages, "offer"), round_bytes = bytes_of(messages, "round");
    move_offer offer;
    move_round round;
    size_t len;

    vector_fixed(*state, "nonce", nonce, sizeof nonce);
    assert_int_equal(move_offer_read(&offer, offer_bytes, NULL), BERTH_OK);
    assert_int_equal(move_round_read(&round, round_bytes, NULL), BERTH_OK);
    len = move_round_signed(bytes, &offer, nonce, &round);
    assert_bytes(*state, "round_signed", bytes, len);
    assert_int_equal(berth_verify(offer.order.entity, bytes, len, round.signature), BERTH_OK);
    round.total++;
    len = move_round_signed(bytes, &offer, nonce, &round);
    assert_int_not_equal(berth_verify(offer.order.entity, bytes, len, round.signature), BERTH_OK);
    free((void *)(uintptr_t)offer_bytes.ptr);
    free((void *)(uintptr_t)round_bytes.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_read_and_written_again),
        cmocka_unit_test(what_is_cut_or_goes_on_is_none),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_chunk_has_bytes_and_not_too_many),
        cmocka_unit_test(a_plugin_has_bytes_and_a_signature),
        cmocka_unit_test(a_long_text_is_cut_at_a_character),
        cmocka_unit_test(a_seal_is_signed_as_the_vectors_say),
        cmocka_unit_test(a_round_is_signed_as_the_vectors_say),
    };

    return cmocka_run_group_tests(tests, load, put);
}
