/* SPDX-License-Identifier: Apache-2.0 */
/* The source of an attempt: whom it believes, when, and how long it waits. */
#include "migrate_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool tell(pair *p, uint64_t node, buf *m)
{
    bool taken = source_message(p->source, node, slice_of(m->data, m->len), p->now);

    buf_unref(m);
    return taken;
}

static bool say(pair *p, uint16_t kind)
{
    return tell(p, p->target_node, pair_make(p, kind, 9));
}

/* Where the source can be, as the driver sees it. */
enum place { OFFERING, SNAPSHOT, SEALED, RELEASING, COMMITTING, FINISHING, MOVED, STAYED, PLACES };

static pair *at(enum place place)
{
    pair *p = pair_new();
    move_outcome why;

    p->deaf[true] = true; /* the test answers */
    if (place == SNAPSHOT || place == STAYED)
        p->hold_source = 1u << SOURCE_PIECE;
    if (place == RELEASING)
        p->hold_source = 1u << SOURCE_RELEASE;
    if (place == FINISHING)
        p->hold_source = 1u << SOURCE_FINISH;
    pair_begin(p);
    pair_pump_source(p);
    if (place == STAYED) {
        move_failed(&why, MOVE_CANCELLED, "enough");
        source_abort(p->source, &why, p->now);
    }
    if (place >= SNAPSHOT && place != STAYED)
        say(p, MESSAGE_MOVE_ACCEPT);
    pair_pump_source(p);
    if (place >= RELEASING && place != STAYED)
        say(p, MESSAGE_MOVE_PREPARED);
    pair_pump_source(p);
    if (place >= FINISHING && place != STAYED)
        say(p, MESSAGE_MOVE_OWNED);
    pair_pump_source(p);
    return p;
}

/* migration 20: which repeats and strangers are harmless, in every place */
static void a_message_counts_only_where_it_belongs(void **state)
{
    /* '.': ignored and counted; 'r': repeated, harmless; 'a': goes on; 'x': ends it */
    static const struct {
        uint16_t kind;
        const char in[PLACES + 1];
    } rows[] = {
        /*                       OSEREFMS: offering, snapshot, sealed, releasing, ... */
        {MESSAGE_MOVE_ORDER, "........"},    {MESSAGE_MOVE_OFFER, "........"},
        {MESSAGE_MOVE_ACCEPT, "arrrrr.."},   {MESSAGE_MOVE_CHUNK, "........"},
        {MESSAGE_MOVE_GOT, "rrrrrr.."},      {MESSAGE_MOVE_SEAL, "........"},
        {MESSAGE_MOVE_PREPARED, "..arrr.r"}, {MESSAGE_MOVE_COMMIT, "........"},
        {MESSAGE_MOVE_OWNED, "....arr."},    {MESSAGE_MOVE_REFUSED, "xxx....."},
        {MESSAGE_MOVE_ABORT, "........"},    {MESSAGE_MOVE_ASK, "...rr..r"},
        {MESSAGE_MOVE_STATE, "........"},    {MESSAGE_MOVE_LOOK, "........"},
        {MESSAGE_MOVE_FETCH, "a......."},    {MESSAGE_MOVE_PLUGIN, "........"},
        {MESSAGE_MOVE_PART, "........"},     {MESSAGE_MOVE_HEARS, "........"},
        {MESSAGE_MOVE_INQUIRE, "........"},  {MESSAGE_MOVE_KIND, "........"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int place = 0; place < PLACES; place++) {
            pair *p = at((enum place)place);
            source_view before = pair_source(p), after;
            char expected = rows[i].in[place];
            bool released = before.released;

            if (place == STAYED) /* of which there is no stream */
                p->total = 0;
            if (place == STAYED && rows[i].kind == MESSAGE_MOVE_PREPARED)
                expected = '.';
            if (say(p, rows[i].kind) != (expected != '.'))
                fail_msg("kind %u at place %d: not as %c", rows[i].kind % KINDS, place, expected);
            after = pair_source(p);
            assert_int_equal(after.ignored, before.ignored + (expected == '.'));
            if (expected == '.' || expected == 'r') {
                assert_int_equal(after.phase, before.phase);
                assert_int_equal(after.over, before.over);
                assert_int_equal(after.released, before.released);
            }
            memset(p->source_needs, 0, sizeof p->source_needs);
            p->hold_source = ~0u;
            pair_pump_source(p);
            for (int need = SOURCE_PIECE; need < SOURCE_OVER && expected != 'a'; need++)
                assert_int_equal(p->source_needs[need],
                                 need == SOURCE_RESUME && expected == 'x' && place == SEALED);
            if (released)
                assert_int_equal(p->source_needs[SOURCE_RESUME], 0);
            pair_free(p);
        }
}

/* migration 18 test_regression_dispatch_arms_reject_unrelated_from_node; 19.1 S2-S4 */
static void others_and_other_attempts_change_nothing(void **state)
{
    (void)state;
    for (uint16_t kind = MESSAGE_MOVE_ORDER; kind <= MESSAGE_MOVE_KIND; kind++)
        for (int place = 0; place < PLACES; place++) {
            pair *p = at((enum place)place);
            source_view before = pair_source(p), after;
            source_need need;

            assert_false(tell(p, p->target_node ^ 1, pair_make(p, kind, 9)));
            assert_false(tell(p, p->source_node, pair_make(p, kind, 9)));
            assert_false(tell(p, p->target_node, pair_make(p, kind, 8)));
            assert_false(tell(p, p->target_node, buf_copy("?", 1)));
            after = pair_source(p);
            assert_int_equal(after.ignored, before.ignored + 4);
            assert_int_equal(after.phase, before.phase);
            assert_int_equal(after.over, before.over);
            assert_int_equal(after.released, before.released);
            assert_int_equal(after.bytes_acknowledged, before.bytes_acknowledged);
            assert_int_equal(after.bytes_total, before.bytes_total);
            p->now += 1;
            if (place != SNAPSHOT)
                assert_false(source_next(p->source, &need, p->now));
            pair_free(p);
        }
}

static void a_step_with_another_hash_or_epoch_is_none(void **state)
{
    (void)state;
    for (int place = SEALED; place <= COMMITTING; place += COMMITTING - SEALED)
        for (int what = 0; what < 2; what++) {
            pair *p = at((enum place)place);
            buf *m = pair_make(p, place == SEALED ? MESSAGE_MOVE_PREPARED : MESSAGE_MOVE_OWNED, 9);

            m->data[what ? m->len - 1 : 27] ^= 1;
            assert_false(tell(p, p->target_node, m));
            assert_int_equal(pair_source(p).ignored, 1);
            assert_int_equal(p->source_needs[SOURCE_RELEASE], place == SEALED ? 0 : 1);
            pair_free(p);
        }
}

/* The target cannot have what was not sent. */
static void a_receipt_beyond_what_was_sent_is_none(void **state)
{
    pair *p = at(SEALED);
    writer w = {0};

    (void)state;
    move_got_write(&w, &(move_got){.head = p->source_config.offer.head, .through = 1001});
    assert_false(tell(p, p->target_node, pair_bytes(&w)));
    assert_int_equal(pair_source(p).bytes_acknowledged, 0);
    pair_free(p);
}

/* What is only late is not sent again and again. */
static void a_slow_way_is_not_filled_with_repeats(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->deaf[true] = true;
    p->piece_bytes[0] = 20 * 4096;
    pair_begin(p);
    pair_pump_source(p);
    say(p, MESSAGE_MOVE_ACCEPT);
    for (uint64_t chunks = 1; chunks < 20; chunks++) { /* one each 1.2 s */
        writer w = {0};

        pair_run(p, 1200 * MS);
        move_got_write(&w,
                       &(move_got){.head = p->source_config.offer.head, .through = chunks * 4096});
        assert_true(tell(p, p->target_node, pair_bytes(&w)));
    }
    assert_int_equal(pair_source(p).resent, 1); /* before it knew */
    pair_run(p, 9 * SEC);                       /* but nothing at all is too late */
    assert_in_range(pair_source(p).resent, 2, 5);
    pair_free(p);
}

static void a_refusal_counts_after_release_only_when_it_is_on_disk(void **state)
{
    (void)state;
    for (int place = RELEASING; place <= COMMITTING; place++) {
        pair *p = at((enum place)place);
        move_no no = {.head = p->source_config.offer.head,
                      .reason = MOVE_NO_ROOM,
                      .final = true,
                      .text = slice_str("full")};
        writer w = {0};

        assert_false(say(p, MESSAGE_MOVE_REFUSED)); /* not final */
        no.head.kind = MESSAGE_MOVE_REFUSED;
        move_no_write(&w, &no);
        buf *m = pair_bytes(&w);
        assert_true(tell(p, p->target_node, buf_ref(m)));
        assert_true(tell(p, p->target_node, m));
        if (place == RELEASING) {
            pair_pump_source(p);
            assert_int_equal(p->source_needs[SOURCE_TAKE_BACK], 0); /* not before it is on disk */
            source_released(p->source, BERTH_OK, p->now);
        }
        pair_pump_source(p);
        assert_int_equal(p->source_needs[SOURCE_TAKE_BACK], 1);
        assert_int_equal(p->source_needs[SOURCE_RESUME], 0);
        assert_true(pair_source(p).over);
        assert_int_equal(source_outcome(p->source)->reason, MOVE_NO_ROOM);
        assert_string_equal(source_outcome(p->source)->text, "full");
        pair_free(p);
    }
}

static void assert_ends(pair *p, int64_t after, move_reason reason)
{
    int64_t began = p->now;

    p->deaf[true] = true;
    while (!pair_source(p).over && p->now < began + 1000 * SEC)
        pair_run(p, 10 * MS);
    assert_int_equal(source_outcome(p->source)->reason, reason);
    assert_in_range(p->now - began, after, after + 20 * MS);
    assert_int_equal(p->source_needs[SOURCE_OVER], 1);
}

static void silence_the_deadline_and_the_gate_end_it(void **state)
{
    pair *p = at(OFFERING);

    (void)state;
    assert_ends(p, 10 * SEC, MOVE_TARGET_UNAVAILABLE);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 0);
    pair_free(p);

    p = at(SEALED);
    assert_ends(p, 10 * SEC, MOVE_TARGET_UNAVAILABLE);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    pair_free(p);

    p = pair_new();
    p->source_config.answer_ns = 900 * SEC;
    p->source_config.max_hold_ns = 3 * SEC;
    p->hold_target = 1u << TARGET_CHECK;
    pair_begin(p);
    pair_run(p, SEC);
    assert_ends(p, 2 * SEC, MOVE_TIMEOUT);
    pair_free(p);

    p = pair_new();
    p->source_config.answer_ns = 900 * SEC;
    p->source_config.max_hold_ns = 900 * SEC;
    p->source_config.deadline_ns = 20 * SEC;
    p->hold_target = 1u << TARGET_ADMIT;
    pair_begin(p);
    pair_run(p, SEC);
    assert_ends(p, 19 * SEC, MOVE_TIMEOUT);
    pair_free(p);
}

/* A target that works for long says so; so does a source whose snapshot takes long. */
static void who_is_at_work_is_not_silent(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        pair *p = pair_new();

        p->source_config.max_hold_ns = 200 * SEC;
        p->hold_target = i == 0   ? 1u << TARGET_ADMIT
                         : i == 1 ? 1u << TARGET_CHECK
                         : i == 2 ? 1u << TARGET_PREPARE
                                  : 0;
        p->hold_source = i == 3 ? 1u << SOURCE_PIECE : 0;
        pair_begin(p);
        pair_run(p, 100 * SEC);
        assert_false(pair_source(p).over);
        assert_int_not_equal(pair_target(p).stage, TARGET_ENDED);
        assert_in_range(p->head == p->tail ? p->sent[MESSAGE_MOVE_OFFER % KINDS] : 0, 1, 40);
        pair_free(p);
    }
}

/* A target that accepts with another nonce has lost the first one: nothing of it can be prepared.
 */
static void a_target_that_begins_anew_ends_it(void **state)
{
    pair *p = at(SEALED);
    buf *m = pair_make(p, MESSAGE_MOVE_ACCEPT, 9);

    (void)state;
    m->data[m->len - 1] ^= 1;
    assert_true(tell(p, p->target_node, m));
    pair_pump_source(p);
    assert_int_equal(source_outcome(p->source)->reason, MOVE_TARGET_UNAVAILABLE);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    pair_free(p);
}

static void a_seal_that_does_not_fit_the_stream_moves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        pair *p = pair_new();
        buf *stream = buf_copy("stream", 6), *seal;

        p->hold_source = 1u << SOURCE_PIECE;
        pair_begin(p);
        pair_pump_source(p);
        say(p, MESSAGE_MOVE_ACCEPT);
        pair_pump_source(p);
        p->total = i == 0 ? 7 : 6;
        seal = pair_make_seal(p);
        seal->data[3] ^= i == 1; /* the attempt */
        seal->data[2] ^= i == 2; /* the version */
        source_piece_done(
            p->source, BERTH_OK,
            &(source_bytes){.parts = {stream}, .count = 1, .proof = i == 3 ? NULL : seal}, NULL,
            p->now);
        pair_pump_source(p);
        assert_int_equal(source_outcome(p->source)->reason, MOVE_STATE_FAILED);
        assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
        buf_unref(stream);
        buf_unref(seal);
        pair_free(p);
    }
}

static void what_a_snapshot_says_is_the_reason(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->piece = BERTH_ERR_PLUGIN;
    move_failed(&p->why, MOVE_STATE_FAILED, "the daemon is stateless or snapshot failed");
    pair_begin(p);
    pair_run(p, SEC);
    assert_string_equal(source_outcome(p->source)->text,
                        "the daemon is stateless or snapshot failed");
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    assert_int_equal(pair_target(p).stage, TARGET_ENDED);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_counts_only_where_it_belongs),
        cmocka_unit_test(others_and_other_attempts_change_nothing),
        cmocka_unit_test(a_step_with_another_hash_or_epoch_is_none),
        cmocka_unit_test(a_receipt_beyond_what_was_sent_is_none),
        cmocka_unit_test(a_slow_way_is_not_filled_with_repeats),
        cmocka_unit_test(a_refusal_counts_after_release_only_when_it_is_on_disk),
        cmocka_unit_test(silence_the_deadline_and_the_gate_end_it),
        cmocka_unit_test(who_is_at_work_is_not_silent),
        cmocka_unit_test(a_target_that_begins_anew_ends_it),
        cmocka_unit_test(a_seal_that_does_not_fit_the_stream_moves_nothing),
        cmocka_unit_test(what_a_snapshot_says_is_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
