/* SPDX-License-Identifier: Apache-2.0 */
/* The target of an attempt: what it takes, from whom, and that it never decides by itself. */
#include "migrate_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool tell(pair *p, uint64_t node, buf *m)
{
    bool taken = target_message(p->target, node, slice_of(m->data, m->len), p->now);

    buf_unref(m);
    return taken;
}

static bool say(pair *p, uint16_t kind)
{
    return tell(p, p->source_node, pair_make(p, kind, 9));
}

static bool chunk(pair *p, uint64_t offset, const void *bytes, size_t len)
{
    writer w = {0};

    move_chunk_write(&w, &(move_chunk){.head = p->source_config.offer.head,
                                       .offset = offset,
                                       .bytes = slice_of(bytes, len)});
    return tell(p, p->source_node, pair_bytes(&w));
}

static pair *offered(void)
{
    pair *p = pair_new();
    buf *offer = pair_make(p, MESSAGE_MOVE_OFFER, 9);

    p->deaf[false] = true; /* the test answers */
    p->target = target_new(&p->target_config, slice_of(offer->data, offer->len), p->now);
    assert_non_null(p->target);
    buf_unref(offer);
    crypto_generichash_update(&p->hash, (const uint8_t *)"stream", 6); /* of which it is sent */
    p->total = 6;
    return p;
}

enum place {
    OFFERED,
    RECEIVING,
    CHECKING,
    PREPARING,
    PREPARED,
    OWNING,
    OWNED,
    REFUSED,
    ABORTED,
    PLACES
};

static pair *at(enum place place)
{
    static const target_need_kind held[] = {[OFFERED] = TARGET_ADMIT,
                                            [CHECKING] = TARGET_CHECK,
                                            [PREPARING] = TARGET_PREPARE,
                                            [OWNING] = TARGET_OWN,
                                            [PLACES] = TARGET_NONE};
    pair *p = offered();

    p->hold_target = held[place] ? 1u << held[place] : 0;
    if (place == REFUSED)
        p->own = BERTH_ERR_PLUGIN;
    pair_pump_target(p);
    if (place == ABORTED)
        say(p, MESSAGE_MOVE_ABORT);
    if (place >= CHECKING) {
        chunk(p, 0, "stream", 6);
        say(p, MESSAGE_MOVE_SEAL);
    }
    pair_pump_target(p);
    if (place >= OWNING && place != ABORTED)
        say(p, MESSAGE_MOVE_COMMIT);
    pair_pump_target(p);
    return p;
}

/* migration 20: which repeats and strangers are harmless, in every place */
static void a_message_counts_only_where_it_belongs(void **state)
{
    /* '.': ignored and counted; else taken, and the message that answers it: A ACCEPT, G GOT,
     * P PREPARED, O OWNED, R REFUSED, - nothing; 'x': ends it; 'w': asks to own */
    static const struct {
        uint16_t kind;
        const char in[PLACES + 1];
    } rows[] = {
        /*                       offered, receiving, checking, preparing, prepared, owning, owned,
                                 refused, aborted */
        {MESSAGE_MOVE_ORDER, "........."},   {MESSAGE_MOVE_OFFER, "GAGG---RR"},
        {MESSAGE_MOVE_ACCEPT, "........."},  {MESSAGE_MOVE_GOT, "........."},
        {MESSAGE_MOVE_SEAL, ".GGGP-OR."},    {MESSAGE_MOVE_PREPARED, "........."},
        {MESSAGE_MOVE_COMMIT, "....w-OR."},  {MESSAGE_MOVE_OWNED, "........."},
        {MESSAGE_MOVE_REFUSED, "........."}, {MESSAGE_MOVE_ABORT, "xxxxx..--"},
        {MESSAGE_MOVE_ASK, "........."},     {MESSAGE_MOVE_STATE, "........."},
        {MESSAGE_MOVE_LOOK, "........."},    {MESSAGE_MOVE_FETCH, "........."},
        {MESSAGE_MOVE_PLUGIN, "........."},  {MESSAGE_MOVE_PART, "........."},
        {MESSAGE_MOVE_HEARS, "........."},   {MESSAGE_MOVE_INQUIRE, "........."},
        {MESSAGE_MOVE_KIND, "........."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int place = 0; place < PLACES; place++) {
            static const uint16_t answers[128] = {['A'] = MESSAGE_MOVE_ACCEPT % KINDS,
                                                  ['G'] = MESSAGE_MOVE_GOT % KINDS,
                                                  ['P'] = MESSAGE_MOVE_PREPARED % KINDS,
                                                  ['O'] = MESSAGE_MOVE_OWNED % KINDS,
                                                  ['R'] = MESSAGE_MOVE_REFUSED % KINDS};
            pair *p = at((enum place)place);
            target_view before = pair_target(p), after;
            char expected = rows[i].in[place];

            if (say(p, rows[i].kind) != (expected != '.'))
                fail_msg("kind %u at place %d: not as %c", rows[i].kind % KINDS, place, expected);
            after = pair_target(p);
            assert_int_equal(after.ignored, before.ignored + (expected == '.'));
            if (expected != 'x' && expected != 'w')
                assert_int_equal(after.stage, before.stage);
            memset(p->target_needs, 0, sizeof p->target_needs);
            memset(p->sent, 0, sizeof p->sent);
            p->hold_target = ~0u;
            pair_pump_target(p);
            for (unsigned kind = 0; kind < KINDS; kind++)
                assert_int_equal(p->sent[kind], answers[(int)expected] == kind && kind);
            assert_int_equal(p->target_needs[TARGET_OWN], expected == 'w');
            assert_int_equal(p->target_needs[TARGET_PREPARE] + p->target_needs[TARGET_CHECK], 0);
            pair_free(p);
        }
}

/* migration 18 snapshot_ready_rejects_unexpected_orchestrator; a stop is only the source's */
static void others_and_other_attempts_change_nothing(void **state)
{
    (void)state;
    for (uint16_t kind = MESSAGE_MOVE_ORDER; kind <= MESSAGE_MOVE_KIND; kind++)
        for (int place = 0; place < PLACES; place++) {
            pair *p = at((enum place)place);
            target_view before = pair_target(p), after;
            target_need need;

            assert_false(tell(p, p->source_node ^ 1, pair_make(p, kind, 9)));
            assert_false(tell(p, p->target_node, pair_make(p, kind, 9)));
            assert_false(tell(p, p->source_node, pair_make(p, kind, 8)));
            assert_false(tell(p, p->source_node, buf_copy("?", 1)));
            after = pair_target(p);
            assert_int_equal(after.ignored, before.ignored + 4);
            assert_int_equal(after.stage, before.stage);
            assert_int_equal(after.bytes, before.bytes);
            assert_int_equal(after.total, before.total);
            assert_false(target_next(p->target, &need, p->now));
            pair_free(p);
        }
}

/* migration 18 chunk tests: out of order, repeats, lies; bounded by what really came */
static void the_stream_grows_without_a_gap(void **state)
{
    pair *p = at(RECEIVING);

    (void)state;
    assert_false(chunk(p, 3, "eam", 3)); /* too early */
    pair_pump_target(p);
    assert_int_equal(p->sent[MESSAGE_MOVE_GOT % KINDS], 1); /* and told so */
    assert_true(chunk(p, 0, "str", 3));
    assert_true(chunk(p, 0, "str", 3));
    assert_true(chunk(p, 1, "tre", 3)); /* half of it new */
    assert_int_equal(pair_target(p).bytes, 4);
    assert_memory_equal(target_stream(p->target).ptr, "stre", 4);
    assert_null(target_take_stream(p->target)); /* not yet */
    assert_true(chunk(p, 4, "am", 2));
    say(p, MESSAGE_MOVE_SEAL);
    p->hold_target = 1u << TARGET_CHECK;
    pair_pump_target(p);
    assert_int_equal(pair_target(p).stage, TARGET_CHECKING);
    buf *stream = target_take_stream(p->target);
    assert_int_equal(stream->len, 6);
    assert_memory_equal(stream->data, "stream", 6);
    assert_null(target_take_stream(p->target));
    buf_unref(stream);
    pair_free(p);
}

static void a_seal_may_come_before_the_bytes(void **state)
{
    pair *p = at(RECEIVING);

    (void)state;
    assert_true(chunk(p, 0, "str", 3));
    assert_true(say(p, MESSAGE_MOVE_SEAL));
    assert_true(say(p, MESSAGE_MOVE_SEAL));
    pair_pump_target(p);
    assert_int_equal(pair_target(p).stage, TARGET_RECEIVING);
    assert_int_equal(pair_target(p).total, 6);
    assert_true(chunk(p, 3, "eam", 3));
    pair_pump_target(p);
    assert_int_equal(pair_target(p).stage, TARGET_PREPARED);
    pair_free(p);
}

static void assert_ended(pair *p, move_reason reason)
{
    pair_pump_target(p);
    assert_int_equal(pair_target(p).stage, TARGET_ENDED);
    assert_string_equal(move_reason_word(target_outcome(p->target)->reason),
                        move_reason_word(reason));
    assert_int_equal(p->target_needs[TARGET_OVER], 1);
    assert_int_equal(p->target_needs[TARGET_OWN], 0);
    assert_int_equal(p->sent[MESSAGE_MOVE_REFUSED % KINDS], 1);
    pair_free(p);
}

static void a_stream_that_lies_ends_it(void **state)
{
    pair *p = at(RECEIVING);

    (void)state;
    chunk(p, 0, "str", 3);
    chunk(p, 0, "sTr", 3); /* other bytes than before */
    assert_ended(p, MOVE_STATE_FAILED);

    p = at(RECEIVING);
    say(p, MESSAGE_MOVE_SEAL);
    chunk(p, 0, "streams", 7); /* beyond its seal */
    assert_ended(p, MOVE_STATE_FAILED);

    p = at(RECEIVING);
    chunk(p, 0, "streams", 7);
    say(p, MESSAGE_MOVE_SEAL); /* before what came */
    assert_ended(p, MOVE_STATE_FAILED);

    p = at(RECEIVING);
    say(p, MESSAGE_MOVE_SEAL);
    p->total = 7;
    say(p, MESSAGE_MOVE_SEAL); /* another one */
    assert_ended(p, MOVE_STATE_FAILED);

    p = at(RECEIVING);
    chunk(p, 0, "sTream", 6);
    say(p, MESSAGE_MOVE_SEAL); /* another hash */
    assert_ended(p, MOVE_STATE_FAILED);

    p = at(RECEIVING);
    chunk(p, UINT64_MAX - 1, "s", 1);
    assert_ended(p, MOVE_NO_ROOM);
}

/* The seal's handover is from the ordered source to the ordered target, at the offered epoch. */
static void a_seal_for_another_move_ends_it(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        pair *p = at(RECEIVING);

        if (i == 0)
            p->source_config.offer.epoch++;
        else
            memset(i == 1 ? p->source_config.offer.order.source
                          : p->source_config.offer.order.target,
                   1, 32);
        say(p, MESSAGE_MOVE_SEAL);
        assert_ended(p, MOVE_STATE_FAILED);
    }
}

static void memory_is_bounded(void **state)
{
    uint8_t bytes[64] = {0};
    buf *offer;
    pair *p = at(RECEIVING);

    (void)state;
    pair_free(p);
    p = pair_new();
    p->target_config.max_stream = 100;
    p->source_config.offer.state_bytes = 100;
    offer = pair_make(p, MESSAGE_MOVE_OFFER, 9);
    p->target = target_new(&p->target_config, slice_of(offer->data, offer->len), p->now);
    buf_unref(offer);
    pair_pump_target(p);
    assert_true(chunk(p, 0, bytes, 64));
    assert_true(chunk(p, 64, bytes, 36));
    assert_int_equal(pair_target(p).bytes, 100);
    chunk(p, 100, bytes, 1);
    assert_ended(p, MOVE_NO_ROOM);

    /* What is announced as too large is refused before anybody is asked. */
    p = pair_new();
    p->target_config.max_stream = 99;
    p->source_config.offer.state_bytes = 100;
    offer = pair_make(p, MESSAGE_MOVE_OFFER, 9);
    p->target = target_new(&p->target_config, slice_of(offer->data, offer->len), p->now);
    buf_unref(offer);
    pair_pump_target(p);
    assert_int_equal(p->target_needs[TARGET_ADMIT], 0);
    assert_ended(p, MOVE_NO_ROOM);
}

/* delivery 5: only what was prepared is committed */
static void a_commit_of_something_else_is_none(void **state)
{
    (void)state;
    for (int what = 0; what < 2; what++) {
        pair *p = at(PREPARED);
        buf *m = pair_make(p, MESSAGE_MOVE_COMMIT, 9);

        m->data[what ? m->len - 1 : 27] ^= 1;
        assert_false(tell(p, p->source_node, m));
        assert_int_equal(pair_target(p).stage, TARGET_PREPARED);
        assert_int_equal(pair_target(p).ignored, 1);
        pair_free(p);
    }
}

static void nothing_is_acknowledged_before_it_is_on_disk(void **state)
{
    pair *p = at(PREPARING);

    (void)state;
    assert_int_equal(p->sent[MESSAGE_MOVE_PREPARED % KINDS], 0);
    target_prepared(p->target, BERTH_OK, p->now);
    pair_pump_target(p);
    assert_int_equal(p->sent[MESSAGE_MOVE_PREPARED % KINDS], 1);
    p->hold_target = 1u << TARGET_OWN;
    say(p, MESSAGE_MOVE_COMMIT);
    pair_pump_target(p);
    assert_int_equal(p->sent[MESSAGE_MOVE_OWNED % KINDS], 0);
    target_owned(p->target, BERTH_OK, NULL, p->now);
    pair_pump_target(p);
    assert_int_equal(p->sent[MESSAGE_MOVE_OWNED % KINDS], 1);
    assert_true(target_outcome(p->target)->moved);
    pair_free(p);
}

/* A stop that comes while it is written is honoured when it is written. */
static void a_stop_waits_for_the_disk(void **state)
{
    pair *p = at(PREPARING);

    (void)state;
    assert_true(say(p, MESSAGE_MOVE_ABORT));
    pair_pump_target(p);
    assert_int_equal(p->target_needs[TARGET_DROP] + p->target_needs[TARGET_OVER], 0);
    target_prepared(p->target, BERTH_OK, p->now);
    pair_pump_target(p);
    assert_int_equal(p->target_needs[TARGET_DROP], 1);
    assert_int_equal(p->target_needs[TARGET_OVER], 1);
    assert_int_equal(p->sent[MESSAGE_MOVE_PREPARED % KINDS], 0);
    pair_free(p);
}

static void silence_before_prepared_ends_it(void **state)
{
    (void)state;
    for (int place = OFFERED; place <= PREPARED; place++) {
        pair *p = at((enum place)place);

        pair_run(p, 31 * SEC);
        assert_int_equal(pair_target(p).stage == TARGET_ENDED, place < PREPARING);
        if (place == RECEIVING)
            assert_int_equal(target_outcome(p->target)->reason, MOVE_TIMEOUT);
        if (place == RECEIVING)
            assert_int_equal(p->target_needs[TARGET_DROP], 1);
        pair_free(p);
    }
}

static void receipts_come_in_time_and_not_too_often(void **state)
{
    pair *p = at(RECEIVING);
    static uint8_t bytes[4096];

    (void)state;
    p->target_config.got_every = 0;
    for (uint64_t i = 0; i < 256; i++) {
        assert_true(chunk(p, i * sizeof bytes, bytes, sizeof bytes));
        pair_pump_target(p);
    }
    assert_int_equal(p->sent[MESSAGE_MOVE_GOT % KINDS], 2); /* each 512 KiB */
    assert_true(chunk(p, 256 * sizeof bytes, bytes, 1));
    pair_run(p, SEC); /* what is left, soon after */
    assert_int_equal(p->sent[MESSAGE_MOVE_GOT % KINDS], 3);
    pair_free(p);
}

static void what_does_not_read_begins_nothing(void **state)
{
    pair *p = pair_new();
    buf *offer = pair_make(p, MESSAGE_MOVE_OFFER, 9);

    (void)state;
    assert_null(target_new(&p->target_config, slice_of(offer->data, offer->len - 1), p->now));
    assert_null(target_recover(&p->target_config, slice_of(offer->data, offer->len),
                               slice_of(offer->data, offer->len), false, p->now));
    buf_unref(offer);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_counts_only_where_it_belongs),
        cmocka_unit_test(others_and_other_attempts_change_nothing),
        cmocka_unit_test(the_stream_grows_without_a_gap),
        cmocka_unit_test(a_seal_may_come_before_the_bytes),
        cmocka_unit_test(a_stream_that_lies_ends_it),
        cmocka_unit_test(a_seal_for_another_move_ends_it),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(a_commit_of_something_else_is_none),
        cmocka_unit_test(nothing_is_acknowledged_before_it_is_on_disk),
        cmocka_unit_test(a_stop_waits_for_the_disk),
        cmocka_unit_test(silence_before_prepared_ends_it),
        cmocka_unit_test(receipts_come_in_time_and_not_too_often),
        cmocka_unit_test(what_does_not_read_begins_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
