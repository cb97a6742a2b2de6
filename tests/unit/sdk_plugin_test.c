/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.h: readers and writers cannot overrun, chance is reproducible, the note is as documented.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "berth/plugin.h"

#include <stdlib.h>
#include <string.h>

#define JSON "{\"name\": \"t\", \"text\": \"a \\\"b\\\" \\\\ c\", \"list\": [1, 2]}"
/* clang-format off */
BERTH_MANIFEST({"name": "t", "text": "a \"b\" \\ c", "list": [1, 2]});
/* clang-format on */

/* ---- A call that only knows write ---- */

typedef struct fake_call {
    berth_call call;
    uint8_t bytes[4096];
    uint64_t len, max;
    unsigned writes;
} fake_call;

static berth_code fake_write(berth_call *call, const void *ptr, uint64_t len)
{
    fake_call *f = (fake_call *)call;

    f->writes++;
    if (len > f->max - f->len)
        return BERTH_E_LIMIT;
    memcpy(f->bytes + f->len, ptr, len);
    f->len += len;
    return BERTH_OK;
}

static const berth_call_api fake_api = {.size = sizeof fake_api, .write = fake_write};

static fake_call fake(uint64_t max)
{
    return (fake_call){.call = {&fake_api}, .max = max};
}

/* ---- Tests ---- */

static void what_is_written_is_read_back(void **state)
{
    static const uint64_t varints[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    fake_call f = fake(sizeof f.bytes);
    berth_writer w;

    (void)state;
    berth_writer_begin(&w, &f.call);
    berth_write_u8(&w, 0xfe);
    berth_write_u16(&w, 0x1234);
    berth_write_u32(&w, 0x89abcdef);
    berth_write_u64(&w, UINT64_C(0x0123456789abcdef));
    berth_write_i64(&w, INT64_MIN);
    for (size_t i = 0; i < 8; i++)
        berth_write_varint(&w, varints[i]);
    berth_write_blob(&w, BERTH_LIT("blob"));
    berth_write_blob(&w, berth_nothing());
    assert_int_equal(berth_writer_end(&w), BERTH_OK);
    assert_int_equal(f.writes, 1);
    assert_memory_equal(f.bytes, "\xfe\x34\x12\xef\xcd\xab\x89\xef\xcd", 9);

    berth_reader r = berth_reader_of(berth_bytes_of(f.bytes, f.len));
    assert_int_equal(berth_read_u8(&r), 0xfe);
    assert_int_equal(berth_read_u16(&r), 0x1234);
    assert_int_equal(berth_read_u32(&r), 0x89abcdef);
    assert_true(berth_read_u64(&r) == UINT64_C(0x0123456789abcdef));
    assert_true(berth_read_i64(&r) == INT64_MIN);
    for (size_t i = 0; i < 8; i++)
        assert_true(berth_read_varint(&r) == varints[i]);
    assert_true(berth_bytes_equal(berth_read_blob(&r), BERTH_LIT("blob")));
    assert_int_equal(berth_read_blob(&r).len, 0);
    assert_true(berth_reader_done(&r));
}

static void a_reader_never_passes_its_end(void **state)
{
    (void)state;
    for (uint64_t len = 0; len < 16; len++) {
        /* Of exactly this length, so that a sanitizer sees a step too far. */
        uint8_t *bytes = malloc(len ? len : 1);
        memset(bytes, 0xff, len);
        berth_reader r = berth_reader_of(berth_bytes_of(bytes, len));
        for (int i = 0; i < 3; i++) {
            berth_read_u64(&r);
            berth_read_u32(&r);
            berth_read_blob(&r);
        }
        assert_false(berth_reader_ok(&r));
        assert_int_equal(berth_reader_left(&r), 0);
        free(bytes);
    }
    berth_reader none = berth_reader_of(berth_nothing());
    assert_true(berth_reader_done(&none));
    assert_int_equal(berth_read_bytes(&none, 0).len, 0);
    assert_true(berth_reader_ok(&none));
    assert_int_equal(berth_read_u8(&none), 0);
    assert_false(berth_reader_ok(&none));
}

static void a_bad_reader_gives_nothing_more(void **state)
{
    (void)state;
    berth_reader r = berth_reader_of(BERTH_LIT("abc"));
    assert_int_equal(berth_read_u32(&r), 0);
    assert_int_equal(berth_read_u8(&r), 0);
    assert_null(berth_read_bytes(&r, 1).ptr);
    assert_false(berth_reader_done(&r));
    /* A length near 2^64 does not wrap around. */
    r = berth_reader_of(BERTH_LIT("abc"));
    assert_null(berth_read_bytes(&r, UINT64_MAX).ptr);
    assert_false(berth_reader_ok(&r));
}

static void a_varint_has_one_encoding(void **state)
{
    static const struct {
        const char *bytes;
        uint64_t len;
    } bad[] = {{"\x80\x00", 2},
               {"\xff\x00", 2},
               {"\x80", 1},
               {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
               {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11},
               {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        berth_reader r = berth_reader_of(berth_bytes_of(bad[i].bytes, bad[i].len));
        assert_int_equal(berth_read_varint(&r), 0);
        assert_false(berth_reader_ok(&r));
    }
}

static void a_writer_remembers_its_first_failure(void **state)
{
    static const uint8_t big[1000];
    fake_call f = fake(600);
    berth_writer w;

    (void)state;
    berth_writer_begin(&w, &f.call);
    berth_write_bytes(&w, big, 500);
    berth_write_bytes(&w, big, 100);
    berth_write_u8(&w, 1);
    berth_write_bytes(&w, big, 1000);
    berth_write_bytes(&w, big, 1000);
    assert_int_equal(berth_writer_end(&w), BERTH_E_LIMIT);
    assert_int_equal(berth_writer_end(&w), BERTH_E_LIMIT);
    assert_true(f.len <= 600);
}

static void writes_of_every_size_arrive_whole(void **state)
{
    uint8_t pattern[3000];

    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7);
    for (uint64_t head = 0; head < 4; head++) {
        for (uint64_t len = 470; len < 490; len++) {
            fake_call f = fake(sizeof f.bytes);
            berth_writer w;
            berth_writer_begin(&w, &f.call);
            berth_write_bytes(&w, pattern, head);
            berth_write_bytes(&w, pattern + head, len);
            berth_write_bytes(&w, pattern + head + len, 700);
            assert_int_equal(berth_writer_end(&w), BERTH_OK);
            assert_int_equal(f.len, head + len + 700);
            assert_memory_equal(f.bytes, pattern, f.len);
        }
    }
}

static void chance_is_the_same_for_the_same_seed(void **state)
{
    const uint64_t seed[2] = {1, 2}, other[2] = {2, 1}, zero[2] = {0, 0};
    berth_random a = berth_random_from(seed), b = berth_random_from(seed);
    berth_random c = berth_random_from(other), d = berth_random_from(zero);
    int same = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = berth_random_u64(&a);
        assert_true(x == berth_random_u64(&b));
        same += x == berth_random_u64(&c);
        assert_true(berth_random_below(&d, 10) < 10);
    }
    assert_int_equal(same, 0);
    assert_int_equal(berth_random_below(&a, 0), 0);
    assert_int_equal(berth_random_below(&a, 1), 0);
}

/* The reference implementation's first outputs from the state {1, 2}. */
static void the_generator_is_xoroshiro128plusplus(void **state)
{
    berth_random r = {{1, 2}};

    (void)state;
    assert_true(berth_random_u64(&r) == UINT64_C(393217));
    assert_true(berth_random_u64(&r) == UINT64_C(669327710093319));
}

static void the_note_holds_the_json_as_written(void **state)
{
    const berth_note *note = BERTH_EMBEDDED_MANIFEST;

    (void)state;
    assert_int_equal(note->owner_size, sizeof BERTH_NOTE_OWNER);
    assert_int_equal(note->type, BERTH_NOTE_TYPE);
    assert_memory_equal(note->owner, "berth\0\0", 8);
    assert_int_equal(note->json_size, strlen(JSON));
    assert_memory_equal((const char *)(note + 1), JSON, strlen(JSON));
    assert_int_equal((uintptr_t)note % 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_reader_never_passes_its_end),
        cmocka_unit_test(a_bad_reader_gives_nothing_more),
        cmocka_unit_test(a_varint_has_one_encoding),
        cmocka_unit_test(a_writer_remembers_its_first_failure),
        cmocka_unit_test(writes_of_every_size_arrive_whole),
        cmocka_unit_test(chance_is_the_same_for_the_same_seed),
        cmocka_unit_test(the_generator_is_xoroshiro128plusplus),
        cmocka_unit_test(the_note_holds_the_json_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
