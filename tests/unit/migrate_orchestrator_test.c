/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever wants a daemon moved: how often it tries, what it believes, and one outcome. */
#include "mesh/message.h"
#include "migrate/orchestrator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS  INT64_C(1000000)
#define SEC (1000 * MS)

typedef struct fixture {
    orchestrator *o;
    int64_t now;
    unsigned begun, orders, looks, aborts, overs;
    int64_t begun_at[32];
    berth_status begin; /* of orchestrator_begun */
    move_outcome why;
    bool hold_begin;
    berth_keypair daemon, from, to;
} fixture;

static berth_keypair key_of(uint8_t n)
{
    uint8_t seed[BERTH_SEED_SIZE] = {n};
    berth_keypair key;

    berth_keypair_from_seed(&key, seed);
    return key;
}

static move_order order_of(const fixture *f, uint8_t attempt)
{
    move_order m = {.head.origin = f->daemon.origin, .order.verbs = ORDER_MOVE};

    memset(m.head.attempt, attempt, ATTEMPT_SIZE);
    memset(m.order.attempt, attempt, ATTEMPT_SIZE);
    memcpy(m.order.entity, f->daemon.entity, BERTH_ENTITY_SIZE);
    memcpy(m.order.source, f->from.entity, BERTH_ENTITY_SIZE);
    memcpy(m.order.target, f->to.entity, BERTH_ENTITY_SIZE);
    return m;
}

static fixture begin(bool local, int64_t budget)
{
    fixture f = {.daemon = key_of(1), .from = key_of(2), .to = key_of(3), .now = 50 * SEC};
    orchestrator_config config = {.origin = f.daemon.origin,
                                  .source = f.from.node_id,
                                  .local = local,
                                  .retry_not_ready_ns = budget};

    f.o = orchestrator_new(&config, f.now);
    return f;
}

static void answer_begin(fixture *f)
{
    move_order m = order_of(f, (uint8_t)f->begun);

    orchestrator_begun(f->o, f->begin, &m, &f->why, f->now);
}

static void pump(fixture *f)
{
    orchestrator_need need;

    while (orchestrator_next(f->o, &need, f->now)) {
        move_head head;

        if (need.kind == ORCHESTRATOR_BEGIN) {
            f->begun_at[f->begun++ % 32] = f->now;
            if (!f->hold_begin)
                answer_begin(f);
        }
        f->overs += need.kind == ORCHESTRATOR_OVER;
        if (need.kind != ORCHESTRATOR_SEND)
            continue;
        assert_int_equal(need.node, f->from.node_id);
        assert_int_equal(
            move_head_read(&head, slice_of(need.message->data, need.message->len), NULL), BERTH_OK);
        f->orders += head.kind == MESSAGE_MOVE_ORDER;
        f->looks += head.kind == MESSAGE_MOVE_LOOK;
        f->aborts += head.kind == MESSAGE_MOVE_ABORT;
        buf_unref(need.message);
    }
}

static void run(fixture *f, int64_t for_ns)
{
    int64_t end = f->now + for_ns;

    for (pump(f); orchestrator_deadline(f->o) <= end; pump(f)) {
        if (orchestrator_deadline(f->o) > f->now)
            f->now = orchestrator_deadline(f->o);
        orchestrator_expire(f->o, f->now);
    }
    f->now = end;
}

static bool tell(fixture *f, uint64_t node, writer *w)
{
    bool taken = orchestrator_message(f->o, node, slice_of(w->data, w->len), f->now);

    writer_free(w);
    pump(f);
    return taken;
}

static bool state(fixture *f, uint8_t attempt, move_phase phase, bool over, bool moved,
                  move_reason reason)
{
    move_state m = {.head = order_of(f, attempt).head,
                    .phase = phase,
                    .over = over,
                    .moved = moved,
                    .reason = over && !moved ? reason : 0,
                    .text = slice_str("as the source says")};
    writer w = {0};

    move_state_write(&w, &m);
    return tell(f, f->from.node_id, &w);
}

static bool refused(fixture *f, uint8_t attempt, move_reason reason)
{
    move_no m = {.head = order_of(f, attempt).head, .reason = reason, .text = slice_str("no")};
    writer w = {0};

    m.head.kind = MESSAGE_MOVE_REFUSED;
    move_no_write(&w, &m);
    return tell(f, f->from.node_id, &w);
}

static void assert_over(fixture *f, bool moved, move_reason reason)
{
    const move_outcome *outcome = orchestrator_outcome(f->o);
    orchestrator_view view;

    orchestrator_look(f->o, &view);
    assert_true(view.over);
    assert_int_equal(outcome->moved, moved);
    if (!moved)
        assert_string_equal(move_reason_word(outcome->reason), move_reason_word(reason));
    assert_int_equal(f->overs, 1);
    run(f, 3600 * SEC);
    state(f, (uint8_t)f->begun, MOVE_PHASE_COMPLETE, true, !moved, MOVE_REFUSED);
    orchestrator_cancel(f->o, f->now);
    run(f, SEC);
    assert_int_equal(outcome->moved, moved); /* it does not change any more */
    assert_int_equal(f->overs, 1);
    orchestrator_free(f->o);
}

/* migration 18 test_start_migration_remote_source */
static void a_source_is_asked_until_it_answers_and_then_looked_at(void **unused)
{
    fixture f = begin(false, 0);
    orchestrator_view view;

    (void)unused;
    run(&f, 2 * SEC);
    assert_in_range(f.orders, 3, 4);
    assert_true(state(&f, 1, MOVE_PHASE_SNAPSHOT, false, false, 0));
    run(&f, 5 * SEC);
    assert_in_range(f.looks, 5, 6);
    assert_true(state(&f, 1, MOVE_PHASE_CUTOVER, false, false, 0));
    assert_true(state(&f, 1, MOVE_PHASE_TRANSFER, false, false, 0)); /* a late one */
    orchestrator_look(f.o, &view);
    assert_int_equal(view.state.phase, MOVE_PHASE_CUTOVER);
    assert_int_equal(view.attempts, 1);
    assert_true(state(&f, 1, MOVE_PHASE_COMPLETE, true, true, 0));
    assert_over(&f, true, 0);
}

static void of_a_local_source_nothing_is_asked(void **unused)
{
    fixture f = begin(true, 0);
    move_state m = {.over = true, .moved = true};

    (void)unused;
    run(&f, 100 * SEC);
    assert_int_equal(f.orders + f.looks, 0);
    m.head = order_of(&f, 1).head;
    orchestrator_state(f.o, &m, f.now);
    pump(&f);
    assert_over(&f, true, 0);
}

static void others_and_other_attempts_say_nothing(void **unused)
{
    fixture f = begin(false, 0);
    writer w = {0};
    move_state m = {.over = true, .moved = true};

    (void)unused;
    run(&f, SEC);
    m.head = order_of(&f, 1).head;
    move_state_write(&w, &m);
    assert_false(tell(&f, f.from.node_id ^ 1, &w));
    assert_false(state(&f, 2, MOVE_PHASE_COMPLETE, true, true, 0));
    m.head.origin ^= 1;
    move_state_write(&w, &m);
    assert_false(tell(&f, f.from.node_id, &w));
    m.head = order_of(&f, 1).head;
    m.head.kind = MESSAGE_MOVE_ABORT;
    move_no_write(&w, &(move_no){.head = m.head});
    assert_false(tell(&f, f.from.node_id, &w));
    assert_int_equal(f.overs, 0);
    assert_true(refused(&f, 1, MOVE_DAEMON_NOT_FOUND));
    assert_over(&f, false, MOVE_DAEMON_NOT_FOUND);
}

/* migration 11.2: tries at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s; attempts = 7 */
static void not_ready_is_tried_again_with_backoff(void **unused)
{
    static const int64_t at[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    fixture f = begin(false, 30 * SEC);
    int64_t start = f.now;

    (void)unused;
    for (unsigned i = 1; i <= 7; i++) {
        run(&f, 0);
        assert_int_equal(f.begun, i);
        assert_int_equal(f.begun_at[i - 1] - start, at[i - 1] * MS);
        assert_true(state(&f, (uint8_t)i, MOVE_PHASE_SNAPSHOT, true, false, MOVE_NOT_READY));
        if (i < 7) {
            assert_int_equal(f.overs, 0);
            assert_false(
                state(&f, (uint8_t)i, MOVE_PHASE_COMPLETE, true, true, 0)); /* a dead one */
            run(&f, orchestrator_deadline(f.o) - f.now);
        }
    }
    assert_int_equal(orchestrator_outcome(f.o)->attempts, 7);
    assert_over(&f, false, MOVE_NOT_READY_TIMEOUT);
}

/* migration 18 auto_retry_succeeds_after_target_becomes_ready */
static void a_retry_may_succeed(void **unused)
{
    fixture f = begin(false, 30 * SEC);

    (void)unused;
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_SNAPSHOT, true, false, MOVE_NOT_READY);
    run(&f, 499 * MS);
    assert_int_equal(f.begun, 1);
    run(&f, 2 * MS);
    assert_int_equal(f.begun, 2);
    assert_true(state(&f, 2, MOVE_PHASE_COMPLETE, true, true, 0));
    assert_over(&f, true, 0);
}

/* migration 18 migration_opts_retry_disabled_surfaces_not_ready_verbatim */
static void without_a_budget_not_ready_is_what_comes(void **unused)
{
    fixture f = begin(false, 0);

    (void)unused;
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_SNAPSHOT, true, false, MOVE_NOT_READY);
    assert_string_equal(orchestrator_outcome(f.o)->text, "as the source says");
    assert_over(&f, false, MOVE_NOT_READY);
}

/* migration 18 migration_opts_retry_disabled_surfaces_factory_not_found_immediately */
static void other_reasons_are_not_tried_again(void **unused)
{
    (void)unused;
    for (uint16_t reason = 1; move_reason_known(reason); reason++) {
        fixture f = begin(false, 30 * SEC);

        run(&f, SEC);
        assert_true(state(&f, 1, MOVE_PHASE_SNAPSHOT, true, false, (move_reason)reason));
        assert_int_equal(f.begun, 1);
        assert_over(&f, false, (move_reason)reason);
    }
}

/* A source that never answered: over, and not sure. One that did: in doubt, for ever. */
static void silence_is_only_an_end_when_nothing_was_ever_heard(void **unused)
{
    fixture f = begin(false, 30 * SEC);
    orchestrator_view view;

    (void)unused;
    run(&f, 11 * SEC);
    assert_true(orchestrator_outcome(f.o)->unknown);
    assert_over(&f, false, MOVE_TIMEOUT);

    f = begin(false, 30 * SEC);
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_CUTOVER, false, false, 0);
    run(&f, 3600 * SEC);
    assert_int_equal(f.overs, 0);
    orchestrator_look(f.o, &view);
    assert_true(view.state.in_doubt);
    state(&f, 1, MOVE_PHASE_CUTOVER, false, false, 0);
    orchestrator_look(f.o, &view);
    assert_false(view.state.in_doubt);
    refused(&f, 1, MOVE_UNKNOWN_ATTEMPT); /* it restarted, and had not released it */
    assert_over(&f, false, MOVE_UNKNOWN_ATTEMPT);
}

static void a_cancel_is_asked_of_the_source(void **unused)
{
    fixture f = begin(false, 0);

    (void)unused;
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_TRANSFER, false, false, 0);
    orchestrator_cancel(f.o, f.now);
    run(&f, 2 * SEC);
    assert_in_range(f.aborts, 2, 4); /* until it is answered */
    state(&f, 1, MOVE_PHASE_TRANSFER, true, false, MOVE_CANCELLED);
    assert_over(&f, false, MOVE_CANCELLED);
}

/* delivery 5: answered "too late", and then it is moved */
static void a_cancel_may_be_too_late(void **unused)
{
    fixture f = begin(false, 0);
    unsigned aborts;

    (void)unused;
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_CUTOVER, false, false, 0);
    orchestrator_cancel(f.o, f.now);
    run(&f, 100 * MS);
    assert_true(refused(&f, 1, MOVE_TOO_LATE));
    aborts = f.aborts;
    run(&f, 5 * SEC);
    assert_int_equal(f.aborts, aborts);
    assert_int_equal(f.overs, 0);
    state(&f, 1, MOVE_PHASE_COMPLETE, true, true, 0);
    assert_over(&f, true, 0);
}

static void a_cancel_before_the_source_knows_is_an_end(void **unused)
{
    fixture f = begin(false, 0);

    (void)unused;
    orchestrator_cancel(f.o, f.now); /* before an order was made */
    pump(&f);
    assert_int_equal(f.begun, 0);
    assert_over(&f, false, MOVE_CANCELLED);

    f = begin(false, 0);
    f.hold_begin = true;
    pump(&f);
    orchestrator_cancel(f.o, f.now); /* while it is made */
    pump(&f);
    assert_int_equal(f.overs, 0);
    answer_begin(&f);
    pump(&f);
    assert_int_equal(f.orders, 0);
    assert_over(&f, false, MOVE_CANCELLED);

    f = begin(false, 30 * SEC);
    run(&f, SEC);
    state(&f, 1, MOVE_PHASE_SNAPSHOT, true, false, MOVE_NOT_READY);
    orchestrator_cancel(f.o, f.now); /* between two attempts */
    pump(&f);
    assert_over(&f, false, MOVE_CANCELLED);
}

static void without_an_order_there_is_no_attempt(void **unused)
{
    fixture f = begin(false, 30 * SEC);

    (void)unused;
    f.begin = BERTH_ERR_REFUSED;
    move_failed(&f.why, MOVE_NO_TARGET, "nobody can");
    run(&f, SEC);
    assert_int_equal(f.orders, 0);
    assert_over(&f, false, MOVE_NO_TARGET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_asked_until_it_answers_and_then_looked_at),
        cmocka_unit_test(of_a_local_source_nothing_is_asked),
        cmocka_unit_test(others_and_other_attempts_say_nothing),
        cmocka_unit_test(not_ready_is_tried_again_with_backoff),
        cmocka_unit_test(a_retry_may_succeed),
        cmocka_unit_test(without_a_budget_not_ready_is_what_comes),
        cmocka_unit_test(other_reasons_are_not_tried_again),
        cmocka_unit_test(silence_is_only_an_end_when_nothing_was_ever_heard),
        cmocka_unit_test(a_cancel_is_asked_of_the_source),
        cmocka_unit_test(a_cancel_may_be_too_late),
        cmocka_unit_test(a_cancel_before_the_source_knows_is_an_end),
        cmocka_unit_test(without_an_order_there_is_no_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
