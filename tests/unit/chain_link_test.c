/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/chain.h"
#include "chain/framing.h"
#include "vectors/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Link and payload in one piece, as an output lies in memory. */
struct output {
    uint8_t bytes[BERTH_LINK_SIZE + 64];
    size_t len;
    berth_link link;
};

static void emit(chain *c, struct output *o, const char *payload, uint64_t horizon)
{
    o->len = strlen(payload);
    memcpy(o->bytes + BERTH_LINK_SIZE, payload, o->len);
    assert_int_equal(chain_append(c, o->bytes, o->len, horizon, &o->link), BERTH_OK);
}

static berth_status follows(const struct output *a, const struct output *b,
                            berth_chain_fault *fault)
{
    return berth_link_validate(&a->link, a->bytes + BERTH_LINK_SIZE, a->len, &b->link, fault);
}

/* compute-core 21 */
static void a_chain_has_the_links_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "chain");
    struct json_object *payloads = vector_at(v, "payloads"), *parents = vector_at(v, "parents");
    uint8_t link1[32], *frame1;
    struct output o;
    frame_event e;
    frame_written written;
    writer w = {0};
    uint64_t expected;
    size_t len;
    chain c;

    (void)state;
    chain_init(&c, vector_id(v, "origin"));
    for (size_t i = 0; i < json_object_array_length(payloads); i++) {
        emit(&c, &o, (const char *)json_string_at(payloads, i).ptr, 0);
        assert_true(id_decode(&expected, json_string_at(parents, i)));
        assert_true(o.link.parent == expected);
        assert_int_equal(o.link.sequence, i + 1);
        if (i == 0) {
            vector_fixed(v, "link1", link1, 32);
            assert_memory_equal(o.bytes, link1, 32);
            e = (frame_event){o.link, json_string_at(payloads, 0)};
            assert_int_equal(frame_write(&w, &e, 1, &written), BERTH_OK);
            frame1 = vector_bytes(v, "frame1", &len);
            assert_int_equal(w.len, len);
            assert_memory_equal(w.data, frame1, len);
            free(frame1);
        }
    }
    assert_true(id_decode(&expected, json_string_at(parents, 2)));
    assert_true(c.next_parent == expected);
    writer_free(&w);
    json_object_put(all);
}

/* compute-core 20, causal */
static void a_link_is_32_bytes_and_survives_them(void **state)
{
    berth_link link = {1, 2, 3, 0xfedcba9876543210}, back;
    uint8_t raw[BERTH_LINK_SIZE + 1];

    (void)state;
    berth_link_encode(raw, &link);
    assert_int_equal(raw[0], 1);
    assert_int_equal(raw[24], 0x10);
    assert_int_equal(berth_link_decode(&back, raw, 32), BERTH_OK);
    assert_true(link_eq(&link, &back));
    assert_int_equal(berth_link_decode(&back, raw, 33), BERTH_OK);
    assert_int_equal(berth_link_decode(&back, raw, 31), BERTH_ERR_CORRUPT);
    assert_true(back.origin == 0 && back.parent == 0);
}

static void a_genesis_has_neither_sequence_nor_parent(void **state)
{
    berth_link link, next;

    (void)state;
    berth_link_genesis(&link, 7, 99);
    assert_true(link.origin == 7 && link.horizon == 99);
    assert_true(berth_link_is_genesis(&link));
    assert_int_equal(berth_link_next(&next, &link, NULL, 0, 5), BERTH_OK);
    assert_false(berth_link_is_genesis(&next));
    assert_true(next.origin == 7 && next.sequence == 1 && next.horizon == 5);
    assert_true(next.parent == berth_link_parent(&link, "", 0));
    link.parent = 1; /* as of a fork */
    assert_false(berth_link_is_genesis(&link));
}

static void a_chain_of_a_hundred_outputs_validates(void **state)
{
    struct output a, b;
    char payload[8];
    chain c;

    (void)state;
    chain_init(&c, 42);
    emit(&c, &a, "0", 0);
    for (int i = 1; i < 100; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        emit(&c, &b, payload, (uint64_t)i);
        assert_int_equal(b.link.sequence, i + 1);
        assert_int_equal(follows(&a, &b, NULL), BERTH_OK);
        a = b;
    }
}

static void a_broken_chain_is_refused_with_the_first_fault(void **state)
{
    berth_chain_fault fault;
    struct output a, b, bad;
    char text[100];
    chain c;

    (void)state;
    chain_init(&c, 0xabcd);
    emit(&c, &a, "one", 0);
    emit(&c, &b, "two", 0);

    bad = b;
    bad.link.origin = 1;
    bad.link.sequence = 9; /* both wrong: the origin is told */
    assert_int_equal(follows(&a, &bad, &fault), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_ORIGIN);
    assert_true(fault.expected == 0xabcd && fault.got == 1);
    assert_string_equal(berth_chain_fault_text(text, sizeof text, &fault),
                        "origin 0000000000000001 where 000000000000abcd was expected");

    bad = b;
    bad.link.sequence = 9;
    bad.link.parent = 9;
    assert_int_equal(follows(&a, &bad, &fault), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_SEQUENCE);
    assert_true(fault.expected == 2 && fault.got == 9);

    bad = b;
    bad.link.parent ^= 1;
    assert_int_equal(follows(&a, &bad, &fault), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_PARENT);
    assert_true(fault.got == bad.link.parent && fault.expected == b.link.parent);

    bad = a;
    bad.bytes[BERTH_LINK_SIZE] ^= 1; /* the payload is part of the chain */
    assert_int_equal(follows(&bad, &b, &fault), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_PARENT);

    a.link.sequence = UINT64_MAX;
    assert_int_equal(follows(&a, &b, &fault), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_SEQUENCE);
    assert_true(fault.expected == UINT64_MAX);
}

static void the_horizon_of_a_link_is_covered_by_the_next_one(void **state)
{
    struct output a, b;
    chain c;

    (void)state;
    chain_init(&c, 1);
    emit(&c, &a, "one", 5);
    emit(&c, &b, "two", 6);
    b.link.horizon = 7; /* not judged itself */
    assert_int_equal(follows(&a, &b, NULL), BERTH_OK);
    a.link.horizon = 7;
    assert_int_equal(follows(&a, &b, NULL), BERTH_ERR_CORRUPT);
}

/* In one piece and in two: the same hash, on both sides of the switch between them. */
static void the_hash_does_not_depend_on_how_it_is_taken(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1024, 8192, 100000};
    uint8_t *whole = malloc(BERTH_LINK_SIZE + 100000);
    berth_link link = {3, 1, 4, 1};

    (void)state;
    berth_link_encode(whole, &link);
    for (size_t i = 0; i < 100000; i++)
        whole[BERTH_LINK_SIZE + i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_true(berth_link_parent(&link, whole + BERTH_LINK_SIZE, sizes[i]) ==
                    xxh3(whole, BERTH_LINK_SIZE + sizes[i]));
    free(whole);
}

static void appending_in_one_piece_or_apart_is_the_same(void **state)
{
    struct output o;
    berth_link link;
    chain a, b;

    (void)state;
    chain_init(&a, 5);
    chain_init(&b, 5);
    for (int i = 0; i < 10; i++) {
        emit(&a, &o, "payload", 3);
        assert_int_equal(chain_append_apart(&b, slice_str("payload"), 3, &link), BERTH_OK);
        assert_memory_equal(&link, &o.link, sizeof link);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void at_the_last_sequence_nothing_is_appended(void **state)
{
    berth_link head = {.origin = 1, .sequence = UINT64_MAX - 1}, link = {0};
    uint8_t out[BERTH_LINK_SIZE] = {0};
    chain c, before;

    (void)state;
    chain_from_head(&c, &head, slice_of(NULL, 0));
    assert_int_equal(chain_append(&c, out, 0, 0, &link), BERTH_OK);
    assert_true(link.sequence == UINT64_MAX);
    before = c;
    assert_int_equal(chain_append(&c, out, 0, 0, &link), BERTH_ERR_SEQUENCE);
    assert_int_equal(chain_append_apart(&c, slice_of(NULL, 0), 0, &link), BERTH_ERR_SEQUENCE);
    assert_memory_equal(&c, &before, sizeof c);
    assert_int_equal(berth_link_next(&link, &c.head, NULL, 0, 0), BERTH_ERR_SEQUENCE);
}

/* compute-core 18.1: what a snapshot carries is enough to go on exactly */
static void a_resumed_chain_continues_as_if_never_stopped(void **state)
{
    struct output a, b, c;
    chain whole, resumed;

    (void)state;
    chain_init(&whole, 1);
    emit(&whole, &a, "one", 0);
    chain_resume(&resumed, &whole.head, whole.next_parent);
    emit(&whole, &b, "two", 0);
    emit(&resumed, &c, "two", 0);
    assert_memory_equal(&b.link, &c.link, sizeof b.link);
    assert_int_equal(follows(&a, &c, NULL), BERTH_OK);
    chain_from_head(&resumed, &a.link, slice_str("one"));
    emit(&resumed, &c, "two", 0);
    assert_memory_equal(&b.link, &c.link, sizeof b.link);
}

static void frames_are_read_as_they_were_written(void **state)
{
    frame_event events[3], got;
    frame_written written;
    writer w = {0};
    frame_reader f;
    chain c;

    (void)state;
    chain_init(&c, 9);
    for (int i = 0; i < 3; i++) {
        events[i].payload = slice_of("abc", (size_t)i);
        chain_append_apart(&c, events[i].payload, 0, &events[i].link);
    }
    assert_int_equal(frame_write(&w, events, 3, &written), BERTH_OK);
    assert_int_equal(written.events, 3);
    assert_int_equal(written.skipped, 0);
    assert_int_equal(written.bytes, 3 * FRAME_MIN + 0 + 1 + 2);
    assert_int_equal(written.bytes, w.len);
    f = frame_read(slice_of(w.data, w.len), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(frame_next(&f, &got));
        assert_true(link_eq(&got.link, &events[i].link));
        assert_true(slice_eq(got.payload, events[i].payload));
    }
    assert_false(frame_next(&f, &got));
    assert_int_equal(f.left, 0);
    writer_free(&w);
}

static void an_event_too_long_for_a_frame_is_skipped_and_counted(void **state)
{
    frame_event events[3] = {{.payload = slice_str("a")},
                             /* never read, so nothing need lie there */
                             {.payload = slice_of("b", (size_t)UINT32_MAX - 31)},
                             {.payload = slice_str("c")}};
    frame_written written;
    writer w = {0};
    frame_reader f;
    frame_event got;

    (void)state;
    assert_int_equal(frame_write(&w, events, 3, &written), BERTH_OK);
    assert_int_equal(written.events, 2);
    assert_int_equal(written.skipped, 1);
    f = frame_read(slice_of(w.data, w.len), (uint16_t)written.events);
    assert_true(frame_next(&f, &got) && slice_eq(got.payload, slice_str("a")));
    assert_true(frame_next(&f, &got) && slice_eq(got.payload, slice_str("c")));
    assert_int_equal(f.left, 0);
    writer_free(&w);
}

/* compute-core K23 */
static void a_damaged_frame_gives_the_events_before_the_damage(void **state)
{
    frame_event events[2] = {{.payload = slice_str("good")}, {.payload = slice_str("bad")}}, got;
    frame_written written;
    writer w = {0};
    frame_reader f;

    (void)state;
    frame_write(&w, events, 2, &written);
    for (size_t len = FRAME_MIN + 4; len < w.len; len++) {
        uint8_t *exact = malloc(len);

        memcpy(exact, w.data, len);
        f = frame_read(slice_of(exact, len), UINT16_MAX);
        assert_true(frame_next(&f, &got));
        assert_true(slice_eq(got.payload, slice_str("good")));
        assert_false(frame_next(&f, &got));
        assert_int_equal(f.left, UINT16_MAX - 1);
        free(exact);
    }
    w.data[FRAME_MIN + 4] = 31; /* shorter than a link */
    f = frame_read(slice_of(w.data, w.len), 2);
    assert_true(frame_next(&f, &got));
    assert_false(frame_next(&f, &got));
    assert_false(frame_next(&f, &got));
    f = frame_read(slice_of(w.data, w.len), 1); /* what follows the last event does not count */
    assert_true(frame_next(&f, &got));
    assert_int_equal(f.left, 0);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_has_the_links_of_the_vectors),
        cmocka_unit_test(a_link_is_32_bytes_and_survives_them),
        cmocka_unit_test(a_genesis_has_neither_sequence_nor_parent),
        cmocka_unit_test(a_chain_of_a_hundred_outputs_validates),
        cmocka_unit_test(a_broken_chain_is_refused_with_the_first_fault),
        cmocka_unit_test(the_horizon_of_a_link_is_covered_by_the_next_one),
        cmocka_unit_test(the_hash_does_not_depend_on_how_it_is_taken),
        cmocka_unit_test(appending_in_one_piece_or_apart_is_the_same),
        cmocka_unit_test(at_the_last_sequence_nothing_is_appended),
        cmocka_unit_test(a_resumed_chain_continues_as_if_never_stopped),
        cmocka_unit_test(frames_are_read_as_they_were_written),
        cmocka_unit_test(an_event_too_long_for_a_frame_is_skipped_and_counted),
        cmocka_unit_test(a_damaged_frame_gives_the_events_before_the_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
