/* SPDX-License-Identifier: Apache-2.0 */
/* Source and target together: whatever is lost, refused or stopped, one of them runs the daemon. */
#include "migrate_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_moved(pair *p)
{
    assert_true(pair_source(p).over);
    assert_true(source_outcome(p->source)->moved);
    assert_int_equal(pair_target(p).stage, TARGET_OWNED);
    assert_int_equal(p->source_needs[SOURCE_RELEASE], 1);
    assert_int_equal(p->source_needs[SOURCE_FINISH], 1);
    assert_int_equal(p->source_needs[SOURCE_OVER], 1);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 0);
    assert_int_equal(p->target_needs[TARGET_OWN], 1);
    assert_int_equal(p->target_needs[TARGET_OVER], 1);
    assert_int_equal(p->target_needs[TARGET_DROP], 0);
}

static void assert_stayed(pair *p, move_reason reason)
{
    assert_true(pair_source(p).over);
    assert_false(source_outcome(p->source)->moved);
    assert_string_equal(move_reason_word(source_outcome(p->source)->reason),
                        move_reason_word(reason));
    assert_int_equal(p->source_needs[SOURCE_RELEASE], 0);
    assert_int_equal(p->source_needs[SOURCE_OVER], 1);
    assert_int_equal(p->source_needs[SOURCE_RESUME], p->source_needs[SOURCE_PIECE] ? 1 : 0);
    assert_int_equal(p->target_needs[TARGET_OWN], 0);
}

/* migration 18 test_orchestrator_full_phase_chain, test_end_to_end_migration_local_source */
static void a_daemon_moves(void **state)
{
    pair *p = pair_new();

    (void)state;
    pair_begin(p);
    pair_run(p, 2 * SEC);
    assert_moved(p);
    assert_string_equal(p->trace, "apcPRwoFO");
    assert_int_equal(pair_source(p).phase, MOVE_PHASE_COMPLETE);
    for (unsigned i = 1; i < MOVE_PHASE_COUNT; i++)
        assert_true(pair_source(p).entered_ns[i] >= pair_source(p).entered_ns[i - 1]);
    assert_int_equal(pair_source(p).bytes_acknowledged, 1000);
    assert_int_equal(pair_source(p).ignored + pair_target(p).ignored, 0);
    pair_free(p);
}

/* migration 18 test_chunk_snapshot_small/_large, chunk edge cases */
static void a_stream_of_any_length_arrives_whole(void **state)
{
    static const size_t lengths[] = {1, 4095, 4096, 4097, 65536, 65537, 3000000};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        pair *p = pair_new();

        p->piece_bytes[0] = lengths[i];
        p->hold_target = 1u << TARGET_CHECK;
        pair_begin(p);
        pair_run(p, 5 * SEC);
        assert_int_equal(target_stream(p->target).len, lengths[i]);
        assert_int_equal(target_stream(p->target).ptr[lengths[i] - 1], 1);
        target_checked(p->target, BERTH_OK, NULL, p->now);
        pair_run(p, 2 * SEC);
        assert_moved(p);
        pair_free(p);
    }
}

/* migration 19.2 C9: one lost packet stalls forever. Each message is lost once, twice, 3 times. */
static void no_lost_message_stalls(void **state)
{
    static const uint8_t kinds[] = {MESSAGE_MOVE_OFFER % KINDS,  MESSAGE_MOVE_ACCEPT % KINDS,
                                    MESSAGE_MOVE_CHUNK % KINDS,  MESSAGE_MOVE_GOT % KINDS,
                                    MESSAGE_MOVE_SEAL % KINDS,   MESSAGE_MOVE_PREPARED % KINDS,
                                    MESSAGE_MOVE_COMMIT % KINDS, MESSAGE_MOVE_OWNED % KINDS};

    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++)
        for (unsigned times = 1; times <= 3; times++) {
            pair *p = pair_new();

            p->piece_bytes[0] = 100000;
            p->lose[kinds[i]] = times;
            pair_begin(p);
            pair_run(p, 30 * SEC);
            assert_int_equal(p->lose[kinds[i]], 0);
            assert_moved(p);
            pair_free(p);
        }
}

static void everything_may_come_twice(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->piece_bytes[0] = 100000;
    pair_begin(p);
    for (int i = 0; i < 60000 && !pair_source(p).over; i++) {
        pair_pump(p);
        if (p->head == p->tail) {
            pair_run(p, MS);
            continue;
        }
        pair_message again = p->queue[p->head % QUEUE];

        buf_ref(again.bytes);
        pair_deliver(p);
        pair_pump(p);
        p->queue[--p->head % QUEUE] = again;
        pair_deliver(p);
    }
    pair_run(p, SEC);
    assert_moved(p);
    pair_free(p);
}

static void a_session_that_ends_costs_only_what_was_under_way(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->piece_bytes[0] = 1 << 20;
    pair_begin(p);
    pair_until(p, MESSAGE_MOVE_GOT, 4);
    p->deaf[true] = true;
    pair_run(p, 3 * SEC);
    assert_false(pair_source(p).over);
    p->deaf[true] = false;
    source_target_up(p->source, p->now);
    target_source_up(p->target, p->now);
    pair_run(p, 2 * SEC);
    assert_moved(p);
    pair_free(p);
}

/* migration 18 test_abort_at_each_phase */
static void a_stop_works_in_each_phase_before_release(void **state)
{
    static const struct {
        uint32_t source, target;
        move_phase phase;
    } stops[] = {{0, 1u << TARGET_ADMIT, MOVE_PHASE_SNAPSHOT},
                 {1u << SOURCE_PIECE, 0, MOVE_PHASE_SNAPSHOT},
                 {0, 0, MOVE_PHASE_TRANSFER},
                 {0, 1u << TARGET_CHECK, MOVE_PHASE_RESTORE},
                 {0, 1u << TARGET_PREPARE, MOVE_PHASE_RESTORE}};

    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        pair *p = pair_new();
        move_outcome why, other;

        move_failed(&why, MOVE_CANCELLED, "enough");
        move_failed(&other, MOVE_SHUTTING_DOWN, "and again");
        p->hold_source = stops[i].source;
        p->hold_target = stops[i].target;
        p->piece_bytes[0] = 1 << 20;
        pair_begin(p);
        if (stops[i].phase == MOVE_PHASE_TRANSFER)
            pair_until(p, MESSAGE_MOVE_GOT, 2);
        else
            pair_run(p, 5 * SEC);
        assert_int_equal(pair_source(p).phase, stops[i].phase);
        assert_int_equal(source_abort(p->source, &why, p->now), BERTH_OK);
        assert_int_equal(source_abort(p->source, &other, p->now), BERTH_OK);
        pair_run(p, SEC);
        /* What is out is waited for, then it ends. */
        if (stops[i].source & 1u << SOURCE_PIECE) {
            assert_int_equal(p->source_needs[SOURCE_OVER] + p->source_needs[SOURCE_RESUME], 0);
            pair_piece(p, PIECE_FINAL);
        }
        if (stops[i].target & 1u << TARGET_ADMIT)
            target_admitted(p->target, BERTH_OK, (const uint8_t[32]){1}, NULL, p->now);
        if (stops[i].target & 1u << TARGET_CHECK)
            target_checked(p->target, BERTH_OK, NULL, p->now);
        if (stops[i].target & 1u << TARGET_PREPARE)
            target_prepared(p->target, BERTH_OK, p->now);
        pair_run(p, SEC);
        assert_stayed(p, MOVE_CANCELLED);
        assert_string_equal(source_outcome(p->source)->text, "enough");
        assert_int_equal(pair_target(p).stage, TARGET_ENDED);
        assert_int_equal(p->target_needs[TARGET_DROP], 1);
        assert_int_equal(p->target_needs[TARGET_OVER], 1);
        pair_free(p);
    }
}

/* delivery 5: abort is a request to the source, answered too late after RELEASED */
static void a_stop_after_release_is_too_late(void **state)
{
    static const uint32_t held[] = {1u << SOURCE_RELEASE, 1u << SOURCE_FINISH};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pair *p = pair_new();
        move_outcome why;

        move_failed(&why, MOVE_CANCELLED, "enough");
        p->hold_source = i < 2 ? held[i] : 0;
        pair_begin(p);
        pair_run(p, 2 * SEC);
        assert_true(pair_source(p).released);
        assert_int_equal(source_abort(p->source, &why, p->now), BERTH_ERR_BUSY);
        source_target_gone(p->source, p->now);
        if (i == 0)
            source_released(p->source, BERTH_OK, p->now);
        pair_run(p, 2 * SEC);
        if (i == 1)
            source_finished(p->source, p->now);
        pair_run(p, SEC);
        assert_moved(p);
        pair_free(p);
    }
}

/* delivery 5: a prepared target asks for ever and never activates by timeout */
static void a_prepared_target_waits_for_ever(void **state)
{
    pair *p = pair_new();

    (void)state;
    pair_begin(p);
    p->hold_source = 1u << SOURCE_RELEASE;
    pair_run(p, 2 * SEC);
    source_free(p->source);
    p->source = NULL;
    pair_run(p, 3600 * SEC);
    assert_int_equal(pair_target(p).stage, TARGET_PREPARED);
    assert_int_equal(p->target_needs[TARGET_OWN] + p->target_needs[TARGET_DROP], 0);
    assert_in_range(p->sent[MESSAGE_MOVE_ASK % KINDS], 3600 / 4 - 5, 3600);
    pair_free(p);
}

/* delivery 5: after RELEASE the source never runs it again, and resends for ever */
static void a_released_daemon_is_never_opened_again(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->lose[MESSAGE_MOVE_COMMIT % KINDS] = UINT32_MAX;
    pair_begin(p);
    pair_run(p, 3600 * SEC);
    assert_false(pair_source(p).over);
    assert_false(pair_source(p).in_doubt); /* it asks */
    p->deaf[false] = true;
    pair_run(p, 3600 * SEC);
    assert_true(pair_source(p).in_doubt);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 0);
    assert_in_range(p->sent[MESSAGE_MOVE_COMMIT % KINDS], 1000, 10000);
    p->deaf[false] = false;
    p->lose[MESSAGE_MOVE_COMMIT % KINDS] = 0;
    pair_run(p, 10 * SEC);
    assert_moved(p);
    assert_false(pair_source(p).in_doubt);
    pair_free(p);
}

/* delivery 5: unless the target durably refused */
static void a_durable_refusal_gives_it_back(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->own = BERTH_ERR_PLUGIN;
    move_failed(&p->why, MOVE_STATE_FAILED, "it did not open");
    p->refuse = BERTH_ERR_IO; /* at first */
    pair_begin(p);
    pair_run(p, 3 * SEC);
    assert_int_equal(pair_target(p).stage, TARGET_REFUSING);
    assert_int_equal(p->sent[MESSAGE_MOVE_REFUSED % KINDS], 0);
    assert_true(p->target_needs[TARGET_REFUSE] > 1);
    p->refuse = BERTH_OK;
    p->lose[MESSAGE_MOVE_REFUSED % KINDS] = 2;
    pair_run(p, 30 * SEC);
    assert_int_equal(pair_target(p).stage, TARGET_ENDED);
    assert_int_equal(p->source_needs[SOURCE_TAKE_BACK], 1);
    assert_int_equal(p->source_needs[SOURCE_FINISH] + p->source_needs[SOURCE_RESUME], 0);
    assert_int_equal(p->source_needs[SOURCE_OVER], 1);
    assert_false(source_outcome(p->source)->moved);
    assert_string_equal(source_outcome(p->source)->text, "it did not open");
    pair_free(p);
}

static void what_the_target_refuses_stays(void **state)
{
    static const move_reason reasons[] = {MOVE_NOT_READY, MOVE_FACTORY_NOT_FOUND, MOVE_REFUSED,
                                          MOVE_STATE_FAILED, MOVE_STORE_FAILED};

    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        pair *p = pair_new();

        move_failed(&p->why, reasons[i], "no");
        p->admit = i < 3 ? BERTH_ERR_REFUSED : BERTH_OK;
        p->check = reasons[i] == MOVE_STATE_FAILED ? BERTH_ERR_CORRUPT : BERTH_OK;
        p->prepare = reasons[i] == MOVE_STORE_FAILED ? BERTH_ERR_IO : BERTH_OK;
        p->lose[MESSAGE_MOVE_REFUSED % KINDS] = 1;
        pair_begin(p);
        pair_run(p, 5 * SEC);
        assert_stayed(p, reasons[i]);
        assert_int_equal(p->source_needs[SOURCE_PIECE], i < 3 ? 0 : 1); /* it noticed nothing */
        assert_int_equal(p->target_needs[TARGET_DROP], i < 3 ? 0 : 1);
        assert_int_equal(p->sent[MESSAGE_MOVE_ABORT % KINDS], 0);
        pair_free(p);
    }
}

/* migration 18 target_failure_mid_chunking, corrupted snapshot: the wrong hash is not built */
static void a_stream_with_another_hash_is_not_built(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->wrong_hash = true;
    pair_begin(p);
    pair_run(p, 5 * SEC);
    assert_stayed(p, MOVE_STATE_FAILED);
    assert_int_equal(p->target_needs[TARGET_CHECK], 0);
    pair_free(p);
}

static void a_release_that_is_not_on_disk_is_none(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->release = BERTH_ERR_NO_SPACE;
    pair_begin(p);
    pair_run(p, 5 * SEC);
    assert_int_equal(p->sent[MESSAGE_MOVE_COMMIT % KINDS], 0);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    assert_int_equal(source_outcome(p->source)->reason, MOVE_STORE_FAILED);
    assert_int_equal(pair_target(p).stage, TARGET_ENDED);
    assert_int_equal(p->target_needs[TARGET_DROP], 1);
    pair_free(p);
}

/* Restart of the target in each durable phase; migration 19.2 C21 */
static void a_target_that_restarts_asks_and_goes_on(void **state)
{
    (void)state;
    for (int owned = 0; owned < 2; owned++) {
        pair *p = pair_new();

        p->lose[MESSAGE_MOVE_COMMIT % KINDS] = owned ? 0 : 1;
        p->lose[MESSAGE_MOVE_OWNED % KINDS] = owned;
        pair_begin(p);
        pair_until(p, owned ? MESSAGE_MOVE_OWNED : MESSAGE_MOVE_COMMIT, 1);
        assert_int_equal(pair_target(p).stage, owned ? TARGET_OWNED : TARGET_PREPARED);
        target_free(p->target);
        p->target = target_recover(&p->target_config,
                                   slice_of(p->last[MESSAGE_MOVE_OFFER % KINDS]->data,
                                            p->last[MESSAGE_MOVE_OFFER % KINDS]->len),
                                   slice_of(p->seal->data, p->seal->len), owned, p->now);
        assert_non_null(p->target);
        if (owned)
            p->target_needs[TARGET_OVER] = 0;
        pair_run(p, 10 * SEC);
        assert_moved(p);
        pair_free(p);
    }
}

/* Restart of the source: before RELEASED there is no machine any more, after it there is one. */
static void a_source_that_restarts_after_release_commits(void **state)
{
    pair *p = pair_new();
    move_seal seal;

    (void)state;
    p->lose[MESSAGE_MOVE_COMMIT % KINDS] = 1;
    pair_begin(p);
    pair_until(p, MESSAGE_MOVE_COMMIT, 1);
    source_free(p->source);
    assert_int_equal(move_seal_read(&seal, slice_of(p->seal->data, p->seal->len), NULL), BERTH_OK);
    p->source = source_recover(&p->source_config, seal.hash, p->now);
    assert_true(pair_source(p).released);
    assert_int_equal(pair_source(p).phase, MOVE_PHASE_CUTOVER);
    pair_run(p, 10 * SEC);
    assert_moved(p);
    pair_free(p);
}

static void a_target_that_restarts_before_it_prepared_ends_the_attempt(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->hold_target = 1u << TARGET_CHECK;
    pair_begin(p);
    pair_run(p, 2 * SEC);
    target_free(p->target);
    p->target = NULL; /* it knows nothing, and nobody answers for it */
    pair_run(p, 20 * SEC);
    assert_stayed(p, MOVE_TARGET_UNAVAILABLE);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_moves),
        cmocka_unit_test(a_stream_of_any_length_arrives_whole),
        cmocka_unit_test(no_lost_message_stalls),
        cmocka_unit_test(everything_may_come_twice),
        cmocka_unit_test(a_session_that_ends_costs_only_what_was_under_way),
        cmocka_unit_test(a_stop_works_in_each_phase_before_release),
        cmocka_unit_test(a_stop_after_release_is_too_late),
        cmocka_unit_test(a_prepared_target_waits_for_ever),
        cmocka_unit_test(a_released_daemon_is_never_opened_again),
        cmocka_unit_test(a_durable_refusal_gives_it_back),
        cmocka_unit_test(what_the_target_refuses_stays),
        cmocka_unit_test(a_stream_with_another_hash_is_not_built),
        cmocka_unit_test(a_release_that_is_not_on_disk_is_none),
        cmocka_unit_test(a_target_that_restarts_asks_and_goes_on),
        cmocka_unit_test(a_source_that_restarts_after_release_commits),
        cmocka_unit_test(a_target_that_restarts_before_it_prepared_ends_the_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
