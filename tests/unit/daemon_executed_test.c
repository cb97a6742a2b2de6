/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/executed.h"
#include "daemon/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, BERTH_OK)

#define HEAD 21

static const effect_limits limits = {1000, 1 << 20};

static berth_bytes bytes(const char *text)
{
    return (berth_bytes){text, strlen(text)};
}

static executed_event plain(void)
{
    return (executed_event){.event = {.size = sizeof(berth_event),
                                      .type = BERTH_EVENT_MESSAGE,
                                      .time_ns = 1700000000000000000,
                                      .seed = {1, UINT64_MAX},
                                      .attempt = 1,
                                      .data = bytes("data")},
                            .counts = true};
}

/* Every member says something. */
static executed_event full(const uint8_t *numbers)
{
    return (executed_event){.event = {.size = sizeof(berth_event),
                                      .type = BERTH_EVENT_REPLY,
                                      .flags = BERTH_MORE,
                                      .origin = 0xAAAA,
                                      .sequence = 77,
                                      .time_ns = -5,
                                      .seed = {3, 4},
                                      .data = bytes(""),
                                      .channel = bytes("news/today"),
                                      .reply_to = {{1, 2, 3, 4}},
                                      .request = 9,
                                      .status = -2,
                                      .attempt = 3},
                            .observed = true,
                            .peer = 0xBBBB,
                            .code = -7,
                            .counts = false,
                            .in_use = numbers,
                            .in_use_count = 2};
}

static void put(writer *w, const executed_event *list, uint32_t n)
{
    int64_t time_ns = 0;
    executed_begin(w, &limits);
    for (uint32_t i = 0; i < n; i++)
        executed_add(w, &list[i], &time_ns);
    executed_end(w, 0, n);
    assert_false(w->failed);
}

static bool same(berth_bytes a, berth_bytes b)
{
    return slice_eq(slice_of(a.ptr, a.len), slice_of(b.ptr, b.len));
}

static void check_same(const executed_event *a, const executed_event *b)
{
    berth_event x = a->event, y = b->event;
    assert_true(same(x.data, y.data) && same(x.channel, y.channel));
    x.data = y.data = x.channel = y.channel = (berth_bytes){NULL, 0};
    assert_memory_equal(&x, &y, sizeof(x));
    assert_true(a->observed == b->observed && a->peer == b->peer);
    assert_true(a->code == b->code && a->counts == b->counts);
    assert_int_equal(a->in_use_count, b->in_use_count);
    if (a->in_use_count)
        assert_memory_equal(a->in_use, b->in_use, a->in_use_count * 8u);
}

static void everything_survives_the_bytes(void **state)
{
    (void)state;
    uint8_t numbers[16];
    store_u64(numbers, 5);
    store_u64(numbers + 8, UINT64_MAX);
    executed_event list[] = {plain(), full(numbers), plain(), plain(), plain()}, got;
    list[3].observed = true; /* by a daemon of the same host */
    list[3].event.origin = 0xCCCC;
    list[4].event.type = BERTH_EVENT_START;
    list[4].event.status = BERTH_START_NEW;
    writer w = {0};
    executed_reader r;
    put(&w, list, 5);
    OK(executed_open(&r, slice_of(w.data, w.len), NULL));
    assert_true(r.limits.outputs == 1000 && r.limits.output_bytes == 1 << 20);
    assert_int_equal(r.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        OK(executed_next(&r, &got, NULL));
        check_same(&got, &list[i]);
    }
    assert_int_equal(r.at, r.count);
    writer_free(&w);
}

static void an_ordinary_message_costs_little(void **state)
{
    (void)state;
    executed_event list[] = {plain(), plain()};
    writer one = {0}, two = {0};
    put(&one, list, 1);
    put(&two, list, 2);
    assert_int_equal(two.len - one.len, 4 + 16 + 4 + 4); /* the time is that of the one before */
    writer_free(&one);
    writer_free(&two);
}

static berth_status read_all(slice s, berth_error *error)
{
    executed_reader r;
    executed_event e;
    uint8_t *exact = malloc(s.len ? s.len : 1); /* a read beyond its end is seen */
    memcpy(exact, s.ptr, s.len);
    berth_status status = executed_open(&r, slice_of(exact, s.len), error);
    for (uint32_t n = r.count; status == BERTH_OK && n > 0; n--)
        status = executed_next(&r, &e, error);
    free(exact);
    return status;
}

static void refused(writer *w, berth_status status, const char *part)
{
    berth_error error = {0};
    assert_int_equal(read_all(slice_of(w->data, w->len), &error), status);
    if (!strstr(error.text, part))
        fail_msg("'%s' does not say '%s'", error.text, part);
}

static void what_is_damaged_does_not_read(void **state)
{
    (void)state;
    uint8_t numbers[16] = {0};
    executed_event list[] = {plain(), full(numbers)};
    berth_error error = {0};
    writer w = {0};
    put(&w, list, 2);
    for (size_t n = 0; n < w.len; n++)
        assert_int_equal(read_all(slice_of(w.data, n), &error), BERTH_ERR_CORRUPT);
    w.data[0] = 2;
    refused(&w, BERTH_ERR_VERSION, "of version 2, only 1 is known");
    w.data[0] = 1;
    w.data[HEAD - 4] = 0;
    refused(&w, BERTH_ERR_CORRUPT, "there are none");
    w.data[HEAD - 4] = 1;
    refused(&w, BERTH_ERR_CORRUPT, "bytes follow the last one");
    w.data[HEAD - 1] = 0xff; /* so many that no memory would do */
    refused(&w, BERTH_ERR_CORRUPT, "cut off");
    w.data[HEAD - 1] = 0;
    w.data[HEAD - 4] = 2;
    w.data[1 + 7] = 1;
    refused(&w, BERTH_ERR_CORRUPT, "more outputs a call than there can be");
    w.data[1 + 7] = 0;
    w.data[HEAD + 1] |= 0x80; /* an unknown bit */
    refused(&w, BERTH_ERR_CORRUPT, "event 0 does not read");
    writer_free(&w);
}

/* Equal events are equal bytes: what need not be said may not be. */
static void what_need_not_be_said_does_not_read(void **state)
{
    (void)state;
    static const uint16_t types[] = {BERTH_EVENT_MESSAGE, 0, BERTH_EVENT_CONTROL + 1};
    for (unsigned i = 0; i < 3; i++) {
        writer w = {0};
        executed_begin(&w, &limits);
        writer_u32(&w, 1); /* its type */
        writer_u16(&w, types[i]);
        writer_u64(&w, 1);
        writer_u64(&w, 2);
        writer_u32(&w, 0);
        executed_end(&w, 0, 1);
        refused(&w, BERTH_ERR_CORRUPT, "event 0 does not read");
        writer_free(&w);
    }
}

/* ---- The tap --------------------------------------------------------------------------------- */

static uint32_t take(tap *t, executed_event *last)
{
    static buf *kept;
    executed_reader r;
    uint32_t count;
    buf_unref(kept);
    OK(tap_take(t, &kept, &count, NULL));
    if (!count)
        return 0;
    OK(executed_open(&r, slice_of(kept->data, kept->len), NULL));
    assert_int_equal(r.count, count);
    while (r.at < r.count)
        OK(executed_next(&r, last, NULL));
    return count;
}

static void a_tap_is_full_until_it_is_fetched(void **state)
{
    (void)state;
    tap *t = tap_new(110, &limits);
    executed_event e = plain(), got;
    assert_int_equal(take(t, &got), 0);
    tap_in_use(t, 5);
    tap_in_use(t, 6);
    tap_in_use(t, 5);
    tap_event(t, &e);
    assert_false(tap_full(t));
    e = plain();
    tap_event(t, &e);
    assert_false(tap_full(t)); /* 103 bytes */
    tap_event(t, &e);
    assert_true(tap_full(t));
    assert_int_equal(take(t, &got), 3);
    assert_int_equal(got.in_use_count, 0); /* they were the first one's */
    assert_false(tap_full(t));
    e.event.time_ns++;
    for (unsigned i = 0; i < 9; i++)
        tap_event(t, &e);
    assert_true(tap_full(t));
    tap_lift(t);
    assert_false(tap_full(t));
    tap_event(t, &e);
    assert_false(tap_full(t));
    assert_int_equal(take(t, &got), 10);
    assert_true(got.event.time_ns == e.event.time_ns); /* said anew in each record */
    assert_int_equal(take(t, &got), 0);
    tap_unref(t);
}

static void a_broken_tap_says_why_and_holds_nobody(void **state)
{
    (void)state;
    tap *t = tap_new(0, &limits);
    executed_event e = plain();
    berth_error error = {0};
    buf *out;
    uint32_t count;
    tap_event(t, &e);
    assert_true(tap_full(t));
    tap_break(t, BERTH_ERR_BROKEN, "the first reason");
    tap_break(t, BERTH_ERR_CANCELLED, "the second");
    assert_false(tap_full(t));
    tap_event(t, &e);
    assert_false(tap_full(t));
    assert_int_equal(tap_take(t, &out, &count, &error), BERTH_ERR_BROKEN);
    assert_non_null(strstr(error.text, "the first reason"));
    assert_null(out);
    assert_int_equal(count, 0);
    tap_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives_the_bytes),
        cmocka_unit_test(an_ordinary_message_costs_little),
        cmocka_unit_test(what_is_damaged_does_not_read),
        cmocka_unit_test(what_need_not_be_said_does_not_read),
        cmocka_unit_test(a_tap_is_full_until_it_is_fetched),
        cmocka_unit_test(a_broken_tap_says_why_and_holds_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
