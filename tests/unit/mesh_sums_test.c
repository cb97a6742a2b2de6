/* SPDX-License-Identifier: Apache-2.0 */
/* Two sets are compared by sums, and differ where they differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/sums.h"

#define KIND 0x0123

static uint64_t id(uint64_t i)
{
    return i * 0x9e3779b97f4a7c15;
}

static slice body_of(const buf *b)
{
    assert_non_null(b);
    assert_int_equal(b->data[0] | b->data[1] << 8, KIND);
    return slice_of(b->data + 2, b->len - 2);
}

static sums_places compared(const sums *theirs, const sums *ours)
{
    sums_places where;
    buf *b = sums_encode(KIND, theirs);

    assert_true(sums_compare(body_of(b), ours, &where));
    buf_unref(b);
    return where;
}

static void equal_sets_have_equal_sums_in_whatever_order_they_came(void **state)
{
    sums a = {0}, b = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        sums_add(&a, id(i), i % 7);
    for (uint64_t i = 1000; i-- > 0;) {
        sums_add(&b, id(i), 99);
        sums_remove(&b, id(i), 99);
        sums_add(&b, id(i), i % 7);
    }
    assert_int_equal(compared(&a, &b).count, 0);
    assert_int_equal(a.count, 1000);
    assert_int_equal(b.count, 1000);
}

/* What is sent grows with the set up to 256 sums, and each finds what changed, and little else. */
static void a_change_shows_in_its_bucket_and_in_no_other(void **state)
{
    static const uint64_t sizes[] = {0, 1, 8, 9, 100, 1000, 5000};

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        sums a = {0}, b;
        buf *message;

        for (uint64_t i = 0; i < sizes[s]; i++)
            sums_add(&a, id(i), 1);
        message = sums_encode(KIND, &a);
        assert_true(message->len <= 3 + 8 * SUMS_MAX);
        assert_true(message->len <= 3 + 8 * (sizes[s] / 4 + 1));
        buf_unref(message);
        for (uint64_t i = 0; i < 50; i++) {
            b = a;
            if (i < sizes[s])
                sums_remove(&b, id(i), 1);
            sums_add(&b, id(i), 2);
            sums_places where = compared(&a, &b);
            assert_int_equal(where.count, 1);
            assert_true(sums_in(&where, id(i)));
            assert_true(where.bits == 0 || !sums_in(&where, ~id(i)));
        }
    }
}

static void a_list_comes_back_as_it_was_sent(void **state)
{
    sums_entry all[40];
    sums_places where = {.bits = 5}, back;
    uint8_t flags;
    size_t count;
    reader r;

    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        all[i] = (sums_entry){id(i), i};
        sums_mark(&where, id(i));
    }
    buf *b = sums_list_encode(KIND, SUMS_ANSWER | SUMS_FULL, &where, all, 40);
    assert_true(sums_list_open(body_of(b), &flags, &back, &count, &r));
    assert_int_equal(flags, SUMS_ANSWER | SUMS_FULL);
    assert_int_equal(back.bits, 5);
    assert_int_equal(back.count, where.count);
    assert_int_equal(count, 40);
    for (uint64_t i = 0; i < 40; i++) {
        sums_entry e = sums_list_next(&r);
        assert_true(e.id == id(i) && e.version == i);
        assert_true(sums_in(&back, e.id));
    }
    assert_true(reader_done(&r));
    buf_unref(b);
}

static void what_is_none_is_refused(void **state)
{
    static const uint8_t bytes[2 + 8 * SUMS_MAX + 32] = {0};
    sums a = {0};
    sums_places where;
    uint8_t flags, list[2 + 1 + 16] = {0};
    size_t count;
    reader r;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        sums_add(&a, id(i), 1);
    buf *b = sums_encode(KIND, &a);
    slice body = body_of(b);
    for (size_t len = 0; len < body.len; len++)
        assert_false(sums_compare(slice_of(body.ptr, len), &a, &where));
    uint8_t longer[512];
    memcpy(longer, body.ptr, body.len);
    assert_false(sums_compare(slice_of(longer, body.len + 1), &a, &where));
    longer[0] = SUMS_BITS_MAX + 1;
    assert_false(sums_compare(slice_of(longer, body.len), &a, &where));
    buf_unref(b);
    assert_false(sums_compare(slice_of(bytes, 0), &a, &where));

    assert_true(sums_list_open(slice_of(list, sizeof list), &flags, &where, &count, &r));
    assert_int_equal(count, 1);
    for (size_t len = 0; len < sizeof list; len++)
        assert_int_equal(sums_list_open(slice_of(list, len), &flags, &where, &count, &r), len == 3);
    list[1] = SUMS_BITS_MAX + 1;
    assert_false(sums_list_open(slice_of(list, sizeof list), &flags, &where, &count, &r));
    list[1] = 1;
    list[2] = 4; /* the third of two buckets */
    assert_false(sums_list_open(slice_of(list, sizeof list), &flags, &where, &count, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sets_have_equal_sums_in_whatever_order_they_came),
        cmocka_unit_test(a_change_shows_in_its_bucket_and_in_no_other),
        cmocka_unit_test(a_list_comes_back_as_it_was_sent),
        cmocka_unit_test(what_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
