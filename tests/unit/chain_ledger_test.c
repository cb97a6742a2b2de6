/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/channel.h"
#include "chain/ledger.h"
#include "vectors/vectors.h"

#include <stdlib.h>
#include <string.h>

static void record(ledger *l, uint64_t publisher, const char *channel, const char *token)
{
    slice bytes = slice_str(token);

    assert_int_equal(ledger_record(l, publisher, slice_str(channel), token ? &bytes : NULL, NULL),
                     BERTH_OK);
}

static void refused(const void *bytes, size_t len, const char *part)
{
    uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
    berth_error error = {0};
    binding *out;
    size_t n;

    memcpy(exact, bytes, len);
    assert_int_equal(bindings_decode(slice_of(exact, len), &out, &n, &error), BERTH_ERR_CORRUPT);
    assert_null(out);
    assert_non_null(strstr(error.text, "bindings"));
    assert_non_null(strstr(error.text, "tampered"));
    if (!strstr(error.text, part))
        fail_msg("'%s' does not say '%s'", error.text, part);
    free(exact);
}

/* compute-core 21 */
static void bindings_have_the_bytes_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "bindings"), *rows, *row;
    uint8_t *expected, *tokens[2] = {0};
    binding entries[2], *back;
    writer w = {0};
    size_t len, n;

    (void)state;
    rows = vector_at(v, "entries");
    for (size_t i = 0; i < 2; i++) {
        row = json_object_array_get_idx(rows, i);
        entries[i].publisher = vector_id(row, "publisher");
        entries[i].channel = slice_str(vector_text(row, "channel"));
        entries[i].has_token = json_object_object_get_ex(row, "token", NULL);
        entries[i].token = slice_of(NULL, 0);
        if (entries[i].has_token) {
            tokens[i] = vector_bytes(row, "token", &len);
            entries[i].token = slice_of(tokens[i], len);
        }
    }
    expected = vector_bytes(v, "bytes", &len);
    assert_int_equal(bindings_encode(&w, entries, 2, NULL), BERTH_OK);
    assert_int_equal(w.len, len);
    assert_memory_equal(w.data, expected, len);
    assert_int_equal(bindings_decode(slice_of(expected, len), &back, &n, NULL), BERTH_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(back[i].publisher == entries[i].publisher);
        assert_true(slice_eq(back[i].channel, entries[i].channel));
        assert_int_equal(back[i].has_token, entries[i].has_token);
        assert_true(slice_eq(back[i].token, entries[i].token));
    }
    free(back);
    free(expected);
    free(tokens[1]);
    writer_free(&w);
    json_object_put(all);
}

/* compute-core 20, bindings */
static void an_empty_ledger_is_four_zero_bytes_or_none(void **state)
{
    ledger l = {0};
    binding *out;
    writer w = {0};
    size_t n;

    (void)state;
    assert_int_equal(bindings_encode(&w, NULL, 0, NULL), BERTH_OK);
    assert_int_equal(w.len, 4);
    assert_memory_equal(w.data, "\0\0\0\0", 4);
    assert_int_equal(bindings_decode(slice_of(w.data, 4), &out, &n, NULL), BERTH_OK);
    assert_int_equal(n, 0);
    assert_null(out);
    assert_int_equal(bindings_decode(slice_of(NULL, 0), &out, &n, NULL), BERTH_OK);
    assert_int_equal(n, 0);
    w.len = 0;
    assert_int_equal(ledger_encode(&w, &l, NULL), BERTH_OK); /* what goes into a snapshot */
    assert_int_equal(w.len, 0);
    writer_free(&w);
}

#define ENTRY "\1\0\0\0\0\0\0\0\1\0a\0" /* publisher 1, channel "a", no token */

static void whatever_is_not_a_ledger_is_refused(void **state)
{
    static const char many[256] = "\xff\xff\xff\xff", million[256] = "\x40\x42\x0f";

    (void)state;
    refused("\1\0\0", 3, "end too early");
    refused("\1\0\0\0" ENTRY "x", 4 + 12 + 1, "bytes follow");
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\4\0../a\0", 4 + 15, "channel name");
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\1\0A\0", 4 + 12, "channel name");
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\1\0\xff\0", 4 + 12, "channel name");
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\1\0a\2", 4 + 12, "flag");
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\1\0a\1\5\0abcd", 4 + 18, "end too early");
    refused("\2\0\0\0" ENTRY, 4 + 12, "count");
    /* a count is not believed beyond what could fit (K23) */
    refused(many, sizeof many, "count exceeds");
    refused(million, sizeof million, "count exceeds");
    /* 11 bytes pass that gate, and then there is no name */
    refused("\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0", 4 + 11, "channel name");
    /* compute-core 20, host: 13 bytes of FF */
    refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 13, "count exceeds");
    for (size_t len = 1; len < 4 + 12; len++)
        refused("\1\0\0\0" ENTRY, len, "");
}

static void an_empty_token_is_not_the_same_as_none(void **state)
{
    static const char bytes[] = "\2\0\0\0" ENTRY "\2\0\0\0\0\0\0\0\1\0a\1\0\0";
    ledger l;
    writer w = {0};

    (void)state;
    assert_int_equal(ledger_decode(&l, slice_of(bytes, sizeof bytes - 1), NULL), BERTH_OK);
    assert_false(ledger_at(&l, 0).has_token);
    assert_true(ledger_at(&l, 1).has_token);
    assert_int_equal(ledger_at(&l, 1).token.len, 0);
    assert_int_equal(ledger_encode(&w, &l, NULL), BERTH_OK);
    assert_int_equal(w.len, sizeof bytes - 1);
    assert_memory_equal(w.data, bytes, w.len);
    ledger_fini(&l);
    writer_free(&w);
}

static void what_cannot_be_written_is_an_error(void **state)
{
    static uint8_t token[BINDING_TOKEN_MAX + 1];
    slice long_token = slice_of(token, sizeof token);
    berth_error error = {0};
    binding bad = {1, slice_str("UPPER"), slice_of(NULL, 0), false};
    ledger l = {0};
    writer w = {0};

    (void)state;
    assert_int_equal(bindings_encode(&w, &bad, 1, &error), BERTH_ERR_INVALID);
    assert_int_equal(ledger_record(&l, 1, slice_str("a"), &long_token, &error), BERTH_ERR_LIMIT);
    assert_int_equal(ledger_record(&l, 1, slice_str("/a"), NULL, &error), BERTH_ERR_INVALID);
    assert_int_equal(l.count, 0);
    long_token.len--;
    assert_int_equal(ledger_record(&l, 1, slice_str("a"), &long_token, &error), BERTH_OK);
    ledger_fini(&l);
    writer_free(&w);
}

/* compute-core 20, host: ledger */
static void recording_replaces_and_forgetting_is_idempotent(void **state)
{
    ledger l = {0};

    (void)state;
    record(&l, 1, "a", NULL);
    record(&l, 1, "b", NULL);
    assert_int_equal(l.count, 2);
    record(&l, 1, "b", "token");
    assert_int_equal(l.count, 2);
    assert_true(slice_eq(ledger_at(&l, 1).token, slice_str("token")));
    record(&l, 2, "b", NULL); /* another publisher */
    assert_int_equal(l.count, 3);
    assert_true(ledger_has(&l, 2, slice_str("b")));
    assert_true(ledger_forget(&l, 1, slice_str("b")));
    assert_false(ledger_forget(&l, 1, slice_str("b")));
    assert_false(ledger_has(&l, 1, slice_str("b")));
    assert_int_equal(l.count, 2);
    ledger_fini(&l);
}

static void a_ledger_gives_the_same_bytes_in_any_order_of_recording(void **state)
{
    static const char *const names[] = {"b", "a", "a/b", "ab", "sensors/lidar", "0"};
    ledger a = {0}, b = {0}, back;
    writer wa = {0}, wb = {0};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        record(&a, i % 2, names[i], "t");
        record(&b, (5 - i) % 2, names[5 - i], "t");
    }
    assert_int_equal(ledger_encode(&wa, &a, NULL), BERTH_OK);
    assert_int_equal(ledger_encode(&wb, &b, NULL), BERTH_OK);
    assert_int_equal(wa.len, wb.len);
    assert_memory_equal(wa.data, wb.data, wa.len);
    assert_int_equal(ledger_decode(&back, slice_of(wa.data, wa.len), NULL), BERTH_OK);
    assert_int_equal(back.count, 6);
    ledger_fini(&a);
    ledger_fini(&b);
    ledger_fini(&back);
    writer_free(&wa);
    writer_free(&wb);
}

static void of_two_equal_entries_in_the_bytes_the_last_wins(void **state)
{
    binding entries[3] = {{1, slice_str("a"), slice_str("old"), true},
                          {1, slice_str("b"), slice_of(NULL, 0), false},
                          {1, slice_str("a"), slice_str("new"), true}};
    ledger l;
    writer w = {0};

    (void)state;
    bindings_encode(&w, entries, 3, NULL);
    assert_int_equal(ledger_decode(&l, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(l.count, 2);
    assert_true(slice_eq(ledger_at(&l, 0).token, slice_str("new")));
    ledger_fini(&l);
    writer_free(&w);
}

static void channel_names_follow_the_rules(void **state)
{
    static const char *const good[] = {"a", "sensors/temp", "0-9_x.y", "a/.b", "...", "a/..b/c"};
    static const char *const bad[] = {"",    "/a",   "a/", "a//b", ".",         "..",  "a/./b",
                                      "../", "a/..", "A",  "a b",  "a\xc3\xa9", "a\n", "*"};
    char longest[CHANNEL_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(channel_name_check(slice_str(good[i]), NULL), BERTH_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(channel_name_check(slice_str(bad[i]), NULL), BERTH_ERR_INVALID);
    memset(longest, 'a', sizeof longest);
    assert_int_equal(channel_name_check(slice_of(longest, 254), NULL), BERTH_OK);
    assert_int_equal(channel_name_check(slice_of(longest, 255), NULL), BERTH_OK);
    assert_int_equal(channel_name_check(slice_of(longest, 256), NULL), BERTH_ERR_LIMIT);
}

/* compute-core 21 */
static void a_channel_has_the_hash_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "channel");
    uint64_t hash = channel_hash(slice_str(vector_text(v, "name")));

    (void)state;
    assert_true(hash == vector_id(v, "hash"));
    assert_int_equal(channel_hint(hash), json_object_get_int(vector_at(v, "hint")));
    json_object_put(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bindings_have_the_bytes_of_the_vectors),
        cmocka_unit_test(an_empty_ledger_is_four_zero_bytes_or_none),
        cmocka_unit_test(whatever_is_not_a_ledger_is_refused),
        cmocka_unit_test(an_empty_token_is_not_the_same_as_none),
        cmocka_unit_test(what_cannot_be_written_is_an_error),
        cmocka_unit_test(recording_replaces_and_forgetting_is_idempotent),
        cmocka_unit_test(a_ledger_gives_the_same_bytes_in_any_order_of_recording),
        cmocka_unit_test(of_two_equal_entries_in_the_bytes_the_last_wins),
        cmocka_unit_test(channel_names_follow_the_rules),
        cmocka_unit_test(a_channel_has_the_hash_of_the_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
