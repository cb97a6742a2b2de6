/* SPDX-License-Identifier: Apache-2.0 */
/* buf, cursor, text, random */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/random.h"
#include "base/text.h"

#include <stdlib.h>

static void the_last_reference_frees_a_buf(void **state)
{
    buf *b = buf_copy("abc", 3);

    (void)state;
    assert_int_equal(b->len, 3);
    assert_ptr_equal(buf_ref(b), b);
    buf_unref(b);
    assert_memory_equal(b->data, "abc", 3);
    buf_unref(b);
    buf_unref(NULL);
    assert_null(buf_new(SIZE_MAX - 4));
}

static void what_a_writer_wrote_a_reader_reads(void **state)
{
    static const uint8_t expected[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 'x', 'y'};
    uint8_t tail[2];
    writer w = {0};
    reader r;

    (void)state;
    writer_u8(&w, 1);
    writer_u16(&w, 0x0203);
    writer_u32(&w, 0x04050607);
    writer_u64(&w, 0x08090a0b0c0d0e0f);
    writer_bytes(&w, "xy", 2);
    writer_bytes(&w, NULL, 0);
    assert_false(w.failed);
    assert_int_equal(w.len, sizeof expected);
    assert_memory_equal(w.data, expected, sizeof expected);

    r = reader_of(w.data, w.len);
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u32(&r), 0x04050607);
    assert_true(reader_u64(&r) == 0x08090a0b0c0d0e0f);
    assert_false(reader_done(&r));
    reader_copy(&r, tail, 2);
    assert_memory_equal(tail, "xy", 2);
    assert_true(reader_done(&r));
    writer_free(&w);
    assert_null(w.data);
}

static void a_writer_grows_to_any_length(void **state)
{
    writer w = {0};

    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        writer_u32(&w, i);
    assert_int_equal(w.len, 40000);
    assert_true(load_u64(w.data + 4 * 9998) == (9999ull << 32 | 9998));
    writer_bytes(&w, w.data, SIZE_MAX - 10);
    assert_true(w.failed);
    assert_int_equal(w.len, 40000);
    writer_u8(&w, 1);
    assert_int_equal(w.len, 40000);
    writer_free(&w);
}

/* compute-core K23 */
static void a_reader_never_passes_its_end_and_stays_bad(void **state)
{
    uint8_t *exact = malloc(5);
    uint8_t out[4] = {1, 1, 1, 1};
    reader r = reader_of(exact, 5);

    (void)state;
    memset(exact, 0xEE, 5);
    assert_int_equal(reader_u32(&r), 0xEEEEEEEE);
    assert_int_equal(reader_u16(&r), 0);
    assert_false(reader_ok(&r));
    assert_int_equal(reader_u8(&r), 0);
    reader_copy(&r, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_int_equal(reader_bytes(&r, 1).len, 0);
    assert_false(reader_done(&r));

    r = reader_of(exact, 5);
    assert_int_equal(reader_bytes(&r, SIZE_MAX).len, 0);
    assert_false(reader_ok(&r));
    r = reader_of(NULL, 0);
    assert_true(reader_done(&r));
    assert_int_equal(reader_bytes(&r, 0).len, 0);
    assert_true(reader_done(&r));
    free(exact);
}

static void utf8_is_what_the_standard_says(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xee\x80\x80",
                                       "\xed\x9f\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "a\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_valid(slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_valid(slice_str(bad[i])));
    assert_true(utf8_valid(slice_of("a\0b", 3)));
    assert_true(utf8_valid(slice_of(NULL, 0)));
}

static void hex_is_exact(void **state)
{
    uint8_t raw[3];
    char text[7];

    (void)state;
    assert_string_equal(hex_encode(text, slice_of("\x00\xab\xff", 3)), "00abff");
    assert_true(hex_decode(raw, 3, slice_str("00AbfF")));
    assert_memory_equal(raw, "\x00\xab\xff", 3);
    assert_false(hex_decode(raw, 3, slice_str("00abf")));
    assert_memory_equal(raw, "\0\0\0", 3);
    assert_false(hex_decode(raw, 3, slice_str("00abfff0")));
    assert_false(hex_decode(raw, 3, slice_str("00abfg")));
    assert_false(hex_decode(raw, 3, slice_str(" 0abff")));
    assert_false(hex_decode(raw, 3, slice_of("00abf\0", 6)));
    assert_true(hex_decode(raw, 0, slice_of(NULL, 0)));
}

static void ids_are_sixteen_digits(void **state)
{
    char text[ID_TEXT];
    uint64_t id = 5;

    (void)state;
    assert_string_equal(id_encode(text, 0x1a), "000000000000001a");
    assert_true(id_decode(&id, slice_str("C162c80da6be3de4")));
    assert_true(id == 0xc162c80da6be3de4);
    assert_false(id_decode(&id, slice_str("162c80da6be3de4")));
    assert_false(id_decode(&id, slice_str("0x62c80da6be3de4")));
    assert_true(id == 0xc162c80da6be3de4);
}

static void base64_is_the_padded_standard_form(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"", ""},        {"f", "Zg=="},          {"fo", "Zm8="},
                {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"}};
    static const char *const bad[] = {"Zg", "Zg=", "Zg==\n", "Zh==", "Z-==", "====", "Zg==Zg=="};
    uint8_t *raw;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = base64_encode(slice_str(rows[i].bytes));

        assert_string_equal(text, rows[i].text);
        assert_true(base64_decode(slice_str(text), &raw, &len));
        assert_int_equal(len, strlen(rows[i].bytes));
        assert_memory_equal(raw, rows[i].bytes, len);
        free(raw);
        free(text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(base64_decode(slice_str(bad[i]), &raw, &len));
        assert_null(raw);
    }
}

static void random_bytes_differ(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(random_u64() != random_u64());
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    int64_t before = clock_mono_ns();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();

        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_ns() > 1600000000000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_reference_frees_a_buf),
        cmocka_unit_test(what_a_writer_wrote_a_reader_reads),
        cmocka_unit_test(a_writer_grows_to_any_length),
        cmocka_unit_test(a_reader_never_passes_its_end_and_stays_bad),
        cmocka_unit_test(utf8_is_what_the_standard_says),
        cmocka_unit_test(hex_is_exact),
        cmocka_unit_test(ids_are_sixteen_digits),
        cmocka_unit_test(base64_is_the_padded_standard_form),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
