/* SPDX-License-Identifier: Apache-2.0 */
/* The authority to move a daemon (delivery 6), and why a migration did not happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/order.h"
#include "migrate/reason.h"
#include "vectors/vectors.h"

#include <string.h>

#define NOW INT64_C(1900000000)

static berth_keypair key_of(uint8_t n)
{
    uint8_t seed[BERTH_SEED_SIZE];
    berth_keypair key;

    memset(seed, n, sizeof seed);
    berth_keypair_from_seed(&key, seed);
    return key;
}

/* The order of the vectors. */
static order example(void)
{
    berth_keypair daemon = key_of(0x21), source = key_of(0x22), target = key_of(0x23);
    order o = {.verbs = ORDER_MOVE | ORDER_FETCH_PLUGIN,
               .transport_identity = true,
               .not_before_s = NOW,
               .not_after_s = NOW + 3600,
               .kind = "org.example.counter",
               .state_lowest = 2,
               .state_highest = 4};

    for (uint8_t i = 0; i < 16; i++)
        o.attempt[i] = (uint8_t)(0x41 + i);
    for (uint8_t i = 0; i < 32; i++)
        o.digest[i] = i;
    memcpy(o.entity, daemon.entity, 32);
    memcpy(o.source, source.entity, 32);
    memcpy(o.target, target.entity, 32);
    return o;
}

static void an_order_gives_the_bytes_of_the_vectors(void **state)
{
    struct json_object *v = vectors_file(VECTORS_DIR "/migration.json");
    berth_keypair operator_key = key_of(0x24);
    order o = example(), got;
    writer w = {0};

    (void)state;
    for (int has_signature = 0; has_signature < 2; has_signature++) {
        size_t len;
        uint8_t *expected = vector_bytes(v, has_signature ? "order" : "order_unsigned", &len);
        reader r;

        w.len = 0;
        if (has_signature)
            assert_int_equal(order_sign(&o, &operator_key), BERTH_OK);
        order_write(&w, &o);
        assert_int_equal(w.len, len);
        assert_memory_equal(w.data, expected, len);
        r = reader_of(w.data, w.len);
        assert_int_equal(order_read(&r, &got, NULL), BERTH_OK);
        assert_true(reader_done(&r));
        assert_memory_equal(&got, &o, sizeof o);
        assert_int_equal(order_check(&got, NOW, NULL, NULL), BERTH_OK);
        free(expected);
    }
    writer_free(&w);
    json_object_put(v);
}

static void what_is_no_order_is_not_read(void **state)
{
    static const struct {
        size_t at;
        uint8_t to;
        berth_status status;
    } rows[] = {
        {0, 2, BERTH_ERR_VERSION},
        {117, 4, BERTH_ERR_CORRUPT},  /* flags */
        {135, 0, BERTH_ERR_CORRUPT},  /* a zero in the kind */
        {186, 9, BERTH_ERR_CORRUPT},  /* lowest above highest */
        {134, 200, BERTH_ERR_CORRUPT} /* a kind that is not there */
    };
    order o = example(), got, zero;
    writer w = {0};

    (void)state;
    memset(&zero, 0, sizeof zero);
    order_write(&w, &o);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t before = w.data[rows[i].at];
        reader r = reader_of(w.data, w.len);

        w.data[rows[i].at] = rows[i].to;
        assert_int_equal(order_read(&r, &got, NULL), rows[i].status);
        assert_memory_equal(&got, &zero, sizeof got);
        w.data[rows[i].at] = before;
    }
    for (size_t len = 0; len < w.len; len++) {
        reader r = reader_of(w.data, len);

        assert_int_equal(order_read(&r, &got, NULL), BERTH_ERR_CORRUPT);
    }
    writer_free(&w);
}

static void assert_check(const order *o, int64_t now_s, berth_status status)
{
    berth_error error = {0};

    assert_int_equal(order_check(o, now_s, NULL, &error), status);
    assert_int_equal(strlen(error.text) > 0, status != BERTH_OK);
}

static void an_order_is_valid_in_its_time(void **state)
{
    order o = example();

    (void)state;
    assert_check(&o, NOW - ORDER_CLOCK_TOLERANCE_S, BERTH_OK);
    assert_check(&o, NOW - ORDER_CLOCK_TOLERANCE_S - 1, BERTH_ERR_STALE);
    assert_check(&o, NOW + 3600 + ORDER_CLOCK_TOLERANCE_S, BERTH_OK);
    assert_check(&o, NOW + 3600 + ORDER_CLOCK_TOLERANCE_S + 1, BERTH_ERR_STALE);
    assert_check(&o, INT64_MIN, BERTH_ERR_STALE);
    assert_check(&o, INT64_MAX, BERTH_ERR_STALE);
    o.not_after_s = NOW + ORDER_LIFE_MAX_S;
    assert_check(&o, NOW, BERTH_OK);
    o.not_after_s++;
    assert_check(&o, NOW, BERTH_ERR_LIMIT);
    o.not_after_s = INT64_MAX;
    assert_check(&o, NOW, BERTH_ERR_LIMIT);
    o.not_after_s = NOW;
    assert_check(&o, NOW, BERTH_ERR_INVALID);
    o.not_before_s = INT64_MIN;
    assert_check(&o, NOW, BERTH_ERR_INVALID);
}

/* migration 19.2 C25 */
static void source_and_target_are_two_and_something_is_allowed(void **state)
{
    order o = example();

    (void)state;
    o.verbs = 0;
    assert_check(&o, NOW, BERTH_ERR_INVALID);
    o = example();
    memcpy(o.target, o.source, 32);
    assert_check(&o, NOW, BERTH_ERR_INVALID);
}

static void whatever_is_changed_is_not_signed(void **state)
{
    berth_keypair operator_key = key_of(0x24), wiped = operator_key;
    order o = example(), got;
    writer w = {0};

    (void)state;
    assert_int_equal(order_sign(&o, &operator_key), BERTH_OK);
    order_write(&w, &o);
    for (size_t i = 0; i < w.len; i++) {
        reader r = reader_of(w.data, w.len);

        w.data[i] ^= 0x40;
        if (order_read(&r, &got, NULL) == BERTH_OK && got.has_signature)
            assert_int_not_equal(order_check(&got, NOW, NULL, NULL), BERTH_OK);
        w.data[i] ^= 0x40;
    }
    writer_free(&w);
    berth_keypair_wipe(&wiped);
    assert_int_equal(order_sign(&o, &wiped), BERTH_ERR_READ_ONLY);
}

/* migration 18 migration_failure_reason_code_is_stable_and_unique, _display_covers_every_variant,
 * _is_retriable_only_for_not_ready */
static void reasons_keep_their_codes_words_and_texts(void **state)
{
    static const struct {
        const char *word, *text;
        berth_status status;
    } rows[] = {
        {"not-ready", "target runtime not ready yet", BERTH_ERR_NOT_READY},
        {"factory-not-found", "no factory registered on target for this daemon",
         BERTH_ERR_KIND_UNKNOWN},
        {"compute-not-supported", "target does not run a compute runtime", BERTH_ERR_UNSUPPORTED},
        {"state-failed", "state failed", BERTH_ERR_CORRUPT},
        {"already-migrating", "daemon is already migrating", BERTH_ERR_BUSY},
        {"identity-transport-failed", "identity envelope transport failed", BERTH_ERR_SIGNATURE},
        {"not-ready-timeout", "source gave up after NotReady retries", BERTH_ERR_TIMEOUT},
        {"refused", "not allowed", BERTH_ERR_REFUSED},
        {"daemon-not-found", "there is no such daemon on the source", BERTH_ERR_NOT_FOUND},
        {"target-unavailable", "the target cannot be reached", BERTH_ERR_NOT_READY},
        {"no-target-available", "no node can take the daemon", BERTH_ERR_NOT_FOUND},
        {"timeout", "it took too long", BERTH_ERR_TIMEOUT},
        {"cancelled", "cancelled", BERTH_ERR_CANCELLED},
        {"not-converging", "the state changes faster than it can be sent", BERTH_ERR_BUSY},
        {"no-room", "the target has no room for the state", BERTH_ERR_LIMIT},
        {"state-version", "the target cannot read this state version", BERTH_ERR_VERSION},
        {"already-there", "the daemon runs there already", BERTH_ERR_EXISTS},
        {"shutting-down", "the host is shutting down", BERTH_ERR_SHUTTING_DOWN},
        {"unknown-attempt", "the other side knows nothing of this attempt", BERTH_ERR_STALE},
        {"store-failed", "it could not be put on disk", BERTH_ERR_IO},
        {"too-late", "it is decided already: the daemon goes", BERTH_ERR_BUSY},
    };
    const unsigned count = sizeof rows / sizeof *rows;

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        assert_true(move_reason_known((uint16_t)i));
        assert_string_equal(move_reason_word((move_reason)i), rows[i].word);
        assert_string_equal(move_reason_text((move_reason)i), rows[i].text);
        assert_int_equal(move_reason_status((move_reason)i), rows[i].status);
        assert_int_equal(move_reason_retriable((move_reason)i), i == MOVE_NOT_READY);
    }
    assert_false(move_reason_known((uint16_t)count));
    assert_false(move_reason_known(UINT16_MAX));
    assert_null(move_reason_word((move_reason)count));
    assert_null(move_reason_text((move_reason)count));
    assert_int_equal(move_reason_status((move_reason)count), BERTH_ERR_INTERNAL);
}

/* migration 18 phase_progress_pct_*, test_migration_phase_progression */
static void phases_rise(void **state)
{
    static const char *const words[] = {"snapshot", "transfer", "restore",
                                        "replay",   "cutover",  "complete"};
    static const unsigned percents[] = {10, 30, 50, 70, 90, 100};

    (void)state;
    for (unsigned i = 0; i < MOVE_PHASE_COUNT; i++) {
        assert_string_equal(move_phase_word((move_phase)i), words[i]);
        assert_int_equal(move_phase_percent((move_phase)i), percents[i]);
    }
    assert_null(move_phase_word(MOVE_PHASE_COUNT));
    assert_int_equal(move_phase_percent(MOVE_PHASE_COUNT), 0);
}

static void a_text_is_cut_where_a_character_ends(void **state)
{
    char text[MOVE_TEXT_MAX + 1], longer[2 * MOVE_TEXT_MAX];
    move_outcome out;

    (void)state;
    move_text_cut(text, slice_of("good\0bad", 8));
    assert_string_equal(text, "good");
    move_text_cut(text, slice_of("good\xff"
                                 "bad",
                                 8));
    assert_string_equal(text, "good");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    move_failed(&out, MOVE_TIMEOUT, "%s", longer);
    assert_int_equal(strlen(out.text), MOVE_TEXT_MAX);
    assert_false(out.moved);
    assert_int_equal(out.reason, MOVE_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_gives_the_bytes_of_the_vectors),
        cmocka_unit_test(what_is_no_order_is_not_read),
        cmocka_unit_test(an_order_is_valid_in_its_time),
        cmocka_unit_test(source_and_target_are_two_and_something_is_allowed),
        cmocka_unit_test(whatever_is_changed_is_not_signed),
        cmocka_unit_test(reasons_keep_their_codes_words_and_texts),
        cmocka_unit_test(phases_rise),
        cmocka_unit_test(a_text_is_cut_where_a_character_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
