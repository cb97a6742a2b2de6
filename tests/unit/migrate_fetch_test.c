/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin fetched by a target: whole or not at all, never more than was said, from nobody but the
 * source; and what a source makes of being asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/fetch.h"
#include "migrate_pair.h"

#define FILE_MAX (5 * 1000)
#define PIECE    1000
#define LIMIT    4000
#define NODE     78
#define SIGNED   "untrusted comment: by a friend"

/* A fetch, and a source that answers as it is told to. */
typedef struct course {
    fetch *f;
    int64_t now;
    move_head head;
    uint64_t node;
    uint8_t digest[32], file[FILE_MAX], got[FILE_MAX];
    size_t size, have;
    size_t part;   /* bytes of one PART */
    unsigned lose; /* one of so many messages, of both, is lost; 0: none */
    uint32_t chance;
    unsigned fetches; /* FETCHes that were sent */
    unsigned opens, writes, loads, overs;
    bool hold; /* needs are not answered */
    berth_status open, write, load;
} course;

static course *begin_patient(size_t size, int64_t piece_ns)
{
    course *c = calloc(1, sizeof *c);
    fetch_config config = {
        .source = NODE, .digest = {5}, .limit = LIMIT, .piece = PIECE, .piece_ns = piece_ns};

    *c = (course){.now = 100 * SEC, .node = NODE, .digest = {5}, .size = size, .part = 300};
    c->head = config.head = (move_head){.attempt = {9}, .origin = 7};
    for (size_t i = 0; i < sizeof c->file; i++)
        c->file[i] = (uint8_t)(i * 31 + i / 256);
    c->f = fetch_new(&config, c->now);
    assert_non_null(c->f);
    return c;
}

static course *begin(size_t size)
{
    return begin_patient(size, 10 * SEC);
}

static void end(course *c)
{
    fetch_free(c->f);
    free(c);
}

static bool lost(course *c)
{
    c->chance = c->chance * 1664525 + 1013904223;
    return c->lose && (c->chance >> 8) % c->lose == 0;
}

static bool tell(course *c, writer *w)
{
    bool taken = !lost(c) && fetch_message(c->f, c->node, slice_of(w->data, w->len), c->now);

    writer_free(w);
    return taken;
}

static bool say_plugin(course *c, uint64_t total, const char *signature)
{
    move_plugin m = {.head = c->head, .total = total, .signature = slice_str(signature)};
    writer w = {0};

    memcpy(m.digest, c->digest, sizeof m.digest);
    move_plugin_write(&w, &m);
    return tell(c, &w);
}

static bool say_part(course *c, uint64_t offset, size_t len)
{
    move_part m = {.head = c->head, .offset = offset, .bytes = slice_of(c->file + offset, len)};
    writer w = {0};

    memcpy(m.digest, c->digest, sizeof m.digest);
    move_part_write(&w, &m);
    return tell(c, &w);
}

/* As a source does. */
static void serve(course *c, const buf *message)
{
    move_fetch m;

    assert_int_equal(move_fetch_read(&m, slice_of(message->data, message->len), NULL), BERTH_OK);
    assert_memory_equal(m.digest, c->digest, sizeof m.digest);
    assert_int_equal(m.limit, LIMIT);
    c->fetches++;
    if (lost(c))
        return;
    if (!m.length)
        say_plugin(c, c->size, SIGNED);
    assert_true(m.offset + m.length <= c->size);
    for (uint64_t at = m.offset; at < m.offset + m.length;) {
        size_t len = m.offset + m.length - at < c->part ? m.offset + m.length - at : c->part;

        say_part(c, at, len);
        at += len;
    }
}

static void answer(course *c, berth_status status)
{
    move_outcome why;

    move_failed(&why, MOVE_REFUSED, "as the test says");
    if (!c->hold)
        fetch_answered(c->f, status, status ? &why : NULL, c->now);
}

/* One need; false: there is none. */
static bool step(course *c, bool answering)
{
    fetch_need need;

    if (!fetch_next(c->f, &need, c->now))
        return false;
    assert_int_equal(c->overs, 0);
    switch (need.kind) {
    case FETCH_SEND:
        if (answering)
            serve(c, need.message);
        buf_unref(need.message);
        break;
    case FETCH_OPEN:
        c->opens++;
        assert_int_equal(need.total, c->size);
        assert_true(slice_eq(need.signature, slice_str(SIGNED)));
        answer(c, c->open);
        break;
    case FETCH_WRITE:
        c->writes++;
        assert_true(c->have + need.bytes->len <= c->size);
        memcpy(c->got + c->have, need.bytes->data, need.bytes->len);
        c->have += need.bytes->len;
        buf_unref(need.bytes);
        answer(c, c->write);
        break;
    case FETCH_LOAD:
        c->loads++;
        answer(c, c->load);
        break;
    default:
        c->overs++;
        break;
    }
    return true;
}

static void pump(course *c, bool answering)
{
    while (step(c, answering))
        ;
}

/* Until it is over, or nothing happens any more. */
static void go(course *c)
{
    for (int i = 0; i < 100000 && !c->overs; i++) {
        pump(c, true);
        if (fetch_deadline(c->f) == INT64_MAX)
            break;
        c->now = fetch_deadline(c->f);
        fetch_expire(c->f, c->now);
    }
}

static fetch_view look(const course *c)
{
    fetch_view v;

    fetch_look(c->f, &v);
    return v;
}

static void expect_end(course *c, move_reason reason, const char *text)
{
    const move_outcome *o = fetch_outcome(c->f);

    pump(c, false);
    assert_int_equal(c->overs, 1);
    assert_false(look(c).loaded);
    if (o->reason != reason || !strstr(o->text, text))
        fail_msg("%s: %s", move_reason_word(o->reason), o->text);
    assert_int_equal(fetch_deadline(c->f), INT64_MAX);
    assert_false(say_part(c, 0, 1)); /* nothing counts any more */
}

/* ---- It comes -------------------------------------------------------------------------------- */

static void a_file_of_any_length_comes_whole(void **state)
{
    static const size_t sizes[] = {1, 299, 300, 999, 1000, 1001, 2000, 3999, 4000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        course *c = begin(sizes[i]);

        go(c);
        assert_int_equal(c->overs, 1);
        assert_true(look(c).loaded);
        assert_int_equal(look(c).bytes, sizes[i]);
        assert_int_equal(c->have, sizes[i]);
        assert_memory_equal(c->got, c->file, sizes[i]);
        assert_int_equal(c->opens, 1);
        assert_int_equal(c->writes, (sizes[i] + PIECE - 1) / PIECE);
        assert_int_equal(c->loads, 1);
        end(c);
    }
}

static void what_is_lost_is_asked_for_again(void **state)
{
    unsigned asked = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        course *c = begin_patient(3500, 300 * SEC);

        c->lose = 4 + i % 8;
        c->chance = i;
        go(c);
        assert_true(look(c).loaded);
        assert_memory_equal(c->got, c->file, 3500);
        asked += c->fetches;
        end(c);
    }
    assert_true(asked > 100 * 5);
}

/* Parts that come twice, too early or too late change nothing. */
static void parts_may_come_in_any_order(void **state)
{
    course *c = begin(2500);

    (void)state;
    pump(c, false);
    assert_false(say_part(c, 0, 300)); /* before it is known what it is of */
    assert_true(say_plugin(c, 2500, SIGNED));
    assert_true(say_plugin(c, 2500, SIGNED));
    pump(c, false);
    assert_true(say_part(c, 500, 300)); /* behind a gap */
    assert_int_equal(look(c).bytes, 0);
    assert_true(say_part(c, 0, 400));
    assert_true(say_part(c, 0, 400));
    assert_true(say_part(c, 100, 500)); /* half of it is new */
    assert_int_equal(look(c).bytes, 600);
    assert_true(say_part(c, 600, 1900)); /* more than was asked for */
    assert_int_equal(look(c).bytes, 1000);
    go(c);
    assert_true(look(c).loaded);
    assert_memory_equal(c->got, c->file, 2500);
    end(c);
}

static void a_session_that_is_up_again_is_asked_at_once(void **state)
{
    course *c = begin(2500);
    int64_t began = c->now;

    (void)state;
    pump(c, false); /* lost */
    fetch_source_up(c->f, c->now);
    c->hold = true;
    pump(c, true);
    assert_int_equal(c->opens, 1);
    fetch_source_up(c->f, c->now); /* nothing is owed */
    pump(c, true);
    assert_int_equal(c->fetches, 1);
    c->hold = false;
    answer(c, BERTH_OK);
    pump(c, false); /* lost */
    fetch_source_up(c->f, c->now);
    go(c);
    assert_true(look(c).loaded);
    assert_int_equal(c->now, began);
    end(c);
}

static void while_a_need_is_out_nothing_else_is_asked_for(void **state)
{
    course *c = begin(1500);
    fetch_need need;

    (void)state;
    c->hold = true;
    pump(c, true);
    assert_int_equal(c->opens, 1);
    c->now += 1000 * SEC; /* a slow disk is no offence of the source */
    fetch_expire(c->f, c->now);
    assert_false(fetch_next(c->f, &need, c->now));
    c->hold = false;
    answer(c, BERTH_OK);
    answer(c, BERTH_ERR_IO); /* it was not asked for */
    go(c);
    assert_true(look(c).loaded);
    end(c);
}

/* ---- It does not ----------------------------------------------------------------------------- */

static void a_longer_file_than_the_limit_is_refused_before_it_comes(void **state)
{
    course *c = begin(LIMIT + 1);

    (void)state;
    pump(c, false);
    assert_true(say_plugin(c, LIMIT + 1, SIGNED));
    expect_end(c, MOVE_FACTORY_NOT_FOUND, "the plugin has 4001 bytes, and 4000 are the most here");
    assert_int_equal(c->opens, 0);
    end(c);
}

static void a_source_that_lies_about_it_ends_it(void **state)
{
    static const struct {
        uint64_t total;
        const char *signature;
    } lies[] = {{2501, SIGNED}, {2499, SIGNED}, {2500, "another"}};

    (void)state;
    for (size_t i = 0; i <= sizeof lies / sizeof *lies; i++) {
        course *c = begin(2500);

        pump(c, false);
        say_plugin(c, 2500, SIGNED);
        pump(c, false);
        if (i < sizeof lies / sizeof *lies) {
            assert_true(say_plugin(c, lies[i].total, lies[i].signature));
            expect_end(c, MOVE_FACTORY_NOT_FOUND, "what it did not say before");
        } else {
            assert_true(say_part(c, 2400, 101));
            expect_end(c, MOVE_FACTORY_NOT_FOUND, "goes on behind its 2500 bytes");
        }
        assert_int_equal(c->loads, 0);
        end(c);
    }
}

/* The lie comes while a piece is being written. */
static void one_that_ends_while_a_need_is_out_waits_for_its_answer(void **state)
{
    course *c = begin(2500);

    (void)state;
    c->hold = true;
    pump(c, true);
    say_plugin(c, 2400, SIGNED);
    pump(c, true);
    assert_int_equal(c->overs, 0);
    c->hold = false;
    answer(c, BERTH_OK);
    expect_end(c, MOVE_FACTORY_NOT_FOUND, "what it did not say before");
    end(c);
}

static void what_the_host_refuses_ends_it(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        course *c = begin(2500);

        *(i == 0 ? &c->open : i == 1 ? &c->write : &c->load) = BERTH_ERR_REFUSED;
        go(c);
        expect_end(c, MOVE_REFUSED, "as the test says");
        assert_int_equal(c->writes, i == 0 ? 0 : i == 1 ? 1 : 3);
        assert_int_equal(c->loads, i == 2);
        end(c);
    }
}

static void a_source_that_is_silent_or_drips_ends_it(void **state)
{
    course *c = begin(2500);
    int64_t began = c->now;

    (void)state;
    while (!c->overs) {
        pump(c, false);
        c->now = fetch_deadline(c->f);
        if (c->now == INT64_MAX)
            break;
        fetch_expire(c->f, c->now);
    }
    expect_end(c, MOVE_TIMEOUT, "the plugin does not come: 0 of 0 bytes");
    assert_int_equal(c->now == INT64_MAX ? 10 * SEC : c->now - began, 10 * SEC);
    end(c);

    c = begin(2500);
    pump(c, false);
    say_plugin(c, 2500, SIGNED);
    pump(c, false);
    for (uint64_t at = 0; at < 9; at++) { /* a byte each second is not a piece */
        c->now += SEC;
        assert_true(say_part(c, at, 1));
        fetch_expire(c->f, c->now);
        pump(c, false);
        assert_int_equal(c->overs, 0);
    }
    c->now += SEC;
    fetch_expire(c->f, c->now);
    expect_end(c, MOVE_TIMEOUT, "the plugin does not come: 9 of 2500 bytes");
    end(c);
}

static void others_other_attempts_and_other_files_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        course *c = begin(2500);
        writer w = {0};

        pump(c, false);
        say_plugin(c, 2500, SIGNED);
        pump(c, false);
        c->node += i == 0;
        c->head.attempt[3] ^= i == 1;
        c->head.origin ^= i == 2;
        c->digest[31] ^= i == 3;
        if (i == 4) { /* what only a target says */
            move_fetch_write(&w, &(move_fetch){.head = c->head, .digest = {5}, .limit = 1});
            assert_false(tell(c, &w));
        } else {
            assert_false(say_part(c, 0, 300));
            assert_false(say_plugin(c, 2600, SIGNED));
            assert_false(say_part(c, 2400, 200));
        }
        assert_int_equal(look(c).bytes, 0);
        assert_true(look(c).ignored > 0);
        pump(c, false);
        assert_int_equal(c->overs, 0);
        end(c);
    }
}

static void what_is_cut_or_changed_is_no_part(void **state)
{
    course *c = begin(2500);
    move_part m = {.head = c->head, .digest = {5}, .bytes = slice_of(c->file, 100)};
    writer w = {0};

    (void)state;
    pump(c, false);
    say_plugin(c, 2500, SIGNED);
    pump(c, false);
    move_part_write(&w, &m);
    for (size_t len = 0; len <= 67; len++)
        assert_false(fetch_message(c->f, NODE, slice_of(w.data, len), c->now));
    for (size_t at = 0; at < 59; at++) {
        w.data[at] ^= 0x40;
        assert_false(fetch_message(c->f, NODE, slice_of(w.data, w.len), c->now));
        w.data[at] ^= 0x40;
    }
    assert_int_equal(look(c).bytes, 0);
    assert_true(fetch_message(c->f, NODE, slice_of(w.data, w.len), c->now));
    assert_int_equal(look(c).bytes, 100);
    writer_free(&w);
    end(c);
}

/* ---- The source ------------------------------------------------------------------------------ */

static bool ask_source(pair *p, uint64_t node, const uint8_t digest[32], uint64_t offset)
{
    move_fetch m = {
        .head = p->source_config.offer.head, .limit = 1 << 20, .offset = offset, .length = 100};
    writer w = {0};
    bool taken;

    memcpy(m.digest, digest, sizeof m.digest);
    move_fetch_write(&w, &m);
    taken = source_message(p->source, node, slice_of(w.data, w.len), p->now);
    writer_free(&w);
    return taken;
}

static void a_source_serves_what_it_offered_while_it_offers_it(void **state)
{
    static const uint8_t other[32] = {6};
    pair *p = pair_new();
    const uint8_t *digest = p->source_config.offer.digest;

    (void)state;
    pair_begin(p);
    pair_pump_source(p);
    assert_false(ask_source(p, p->target_node ^ 1, digest, 0));
    assert_false(ask_source(p, p->target_node, other, 0));
    assert_false(pair_source(p).fetching);
    p->now += 9 * SEC;
    assert_true(ask_source(p, p->target_node, digest, 300));
    pair_pump_source(p);
    assert_int_equal(p->source_needs[SOURCE_SERVE], 1);
    assert_true(pair_source(p).fetching);
    assert_int_equal(pair_source(p).fetched, 300);
    p->now += 9 * SEC; /* it was a word of the target */
    source_expire(p->source, p->now);
    assert_false(pair_source(p).over);
    assert_true(ask_source(p, p->target_node, digest, 400));
    p->lose[MESSAGE_MOVE_CHUNK % KINDS] = ~0u;
    {
        buf *accept = pair_make(p, MESSAGE_MOVE_ACCEPT, 9);

        assert_true(
            source_message(p->source, p->target_node, slice_of(accept->data, accept->len), p->now));
        buf_unref(accept);
    }
    assert_false(pair_source(p).fetching);
    pair_pump_source(p);
    assert_int_equal(p->source_needs[SOURCE_SERVE], 1); /* too late */
    assert_false(ask_source(p, p->target_node, digest, 500));
    pair_free(p);
}

static void a_daemon_without_a_file_has_nothing_to_serve(void **state)
{
    static const uint8_t none[32];
    pair *p = pair_new();

    (void)state;
    memset(p->source_config.offer.digest, 0, 32);
    pair_begin(p);
    pair_pump_source(p);
    assert_false(ask_source(p, p->target_node, none, 0));
    pair_free(p);
}

/* The target is silent about the offer while it fetches; both wait for each other. */
static void an_offer_waits_as_long_as_the_plugin_takes(void **state)
{
    static const uint8_t nonce[MOVE_NONCE_SIZE] = {7};
    pair *p = pair_new();

    (void)state;
    pair_begin(p);
    p->hold_target = 1u << TARGET_ADMIT;
    pair_run(p, 200 * SEC);
    assert_false(pair_source(p).over);
    assert_int_equal(pair_target(p).stage, TARGET_OFFERED);
    target_admitted(p->target, BERTH_OK, nonce, NULL, p->now);
    pair_run(p, 60 * SEC);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_any_length_comes_whole),
        cmocka_unit_test(what_is_lost_is_asked_for_again),
        cmocka_unit_test(parts_may_come_in_any_order),
        cmocka_unit_test(a_session_that_is_up_again_is_asked_at_once),
        cmocka_unit_test(while_a_need_is_out_nothing_else_is_asked_for),
        cmocka_unit_test(a_longer_file_than_the_limit_is_refused_before_it_comes),
        cmocka_unit_test(a_source_that_lies_about_it_ends_it),
        cmocka_unit_test(one_that_ends_while_a_need_is_out_waits_for_its_answer),
        cmocka_unit_test(what_the_host_refuses_ends_it),
        cmocka_unit_test(a_source_that_is_silent_or_drips_ends_it),
        cmocka_unit_test(others_other_attempts_and_other_files_change_nothing),
        cmocka_unit_test(what_is_cut_or_changed_is_no_part),
        cmocka_unit_test(a_source_serves_what_it_offered_while_it_offers_it),
        cmocka_unit_test(a_daemon_without_a_file_has_nothing_to_serve),
        cmocka_unit_test(an_offer_waits_as_long_as_the_plugin_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
