/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static struct json_object *parsed(const char *text)
{
    struct json_object *out = NULL;
    berth_error error = {0};

    if (json_parse(slice_str(text), 1 << 20, &out, &error) != BERTH_OK)
        fail_msg("%s: %s", text, error.text);
    return out;
}

static void refused(const char *text, size_t len, const char *part)
{
    struct json_object *out = (struct json_object *)text;
    berth_error error = {0};
    berth_status status = json_parse(slice_of(text, len), 1 << 20, &out, &error);

    if (status != BERTH_ERR_INVALID && status != BERTH_ERR_LIMIT)
        fail_msg("accepted: %s", text);
    assert_null(out);
    if (!strstr(error.text, part))
        fail_msg("'%s' does not say '%s'", error.text, part);
}

static void every_value_of_the_grammar_is_read(void **state)
{
    static const char *const texts[] = {
        "0",
        " -1 ",
        "1.5e3",
        "18446744073709551615",
        "-9223372036854775808",
        "true",
        "false",
        "\"\"",
        "{}",
        "[]",
        "[1, \"two\", null, {\"three\": [3]}]\n",
        "{\"a\": {\"a\": 1}, \"b\": {\"a\": 2}}",
        "\"\\u00e9\\ud83d\\ude00\\n\\/ \xc3\xa9\"",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_object_put(parsed(texts[i]));
    assert_null(parsed("null"));
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "empty"},
        {"  ", "ends too early"},
        {"{\"a\":1} x", "line 1, column 9: something follows"},
        {"{\"a\":1\n,}", "line 2, column 2: expected a key"},
        {"{'a':1}", "expected a key in double quotes"},
        {"[1,]", "expected a value"},
        {"[1 2]", "expected ',' or ']'"},
        {"{\"a\" 1}", "expected ':'"},
        {"/* c */ 1", "expected a value"},
        {"NaN", "expected a value"},
        {"Infinity", "expected a value"},
        {"TRUE", "expected a value"},
        {"01", "something follows"},
        {"+1", "expected a value"},
        {".5", "expected a value"},
        {"1.", "ends too early"},
        {"1.x", "a fraction needs digits"},
        {"1ex", "an exponent needs digits"},
        {"18446744073709551616", "does not fit"},
        {"-9223372036854775809", "does not fit"},
        {"1e400", "does not fit"},
        {"\"a", "ends too early"},
        {"\"\t\"", "control character"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\u12g4\"", "four hex digits"},
        {"\"\\ud800\"", "half a surrogate"},
        {"\"\\ud800\\u0041\"", "half a surrogate"},
        {"\"\\udc00\"", "half a surrogate"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\xc0\x80\"", "not UTF-8"},
        {"\"\xed\xa0\x80\"", "not UTF-8"},
        {"{\"a\\u0000b\":1}", "zero byte"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused(rows[i].text, strlen(rows[i].text), rows[i].part);
    refused("1\0", 2, "something follows");
}

static void a_key_twice_is_refused_at_any_level_and_however_it_is_written(void **state)
{
    static const char *const texts[] = {
        "{\"a\":1,\"a\":2}",
        "{\"x\":[{\"b\":0,\"a\":1,\"c\":0,\"a\":1}]}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\":1,\"\":2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(texts[i], strlen(texts[i]), "is there twice");
    refused("{\"n\":1,\n \"m\":2,\n  \"n\":3}", 26, "line 3, column 3: the key \"n\"");
}

static void depth_and_size_are_bounded(void **state)
{
    char deep[JSON_MAX_DEPTH + 2];
    struct json_object *out;
    berth_error error = {0};

    (void)state;
    memset(deep, '[', sizeof deep);
    refused(deep, sizeof deep, "nested too deeply");
    assert_int_equal(json_parse(slice_str("[1, 2]"), 6, &out, &error), BERTH_OK);
    json_object_put(out);
    assert_int_equal(json_parse(slice_str("[1, 2]"), 5, &out, &error), BERTH_ERR_LIMIT);
    assert_string_equal(error.text, "JSON: 6 bytes, at most 5 are allowed");
}

static void getters_name_the_key_and_both_types(void **state)
{
    struct json_object *o = parsed("{\"s\":\"x\",\"n\":-1,\"f\":1.5,\"l\":[\"a\",2],\"b\":true,"
                                   "\"u\":18446744073709551615,\"z\":null}");
    berth_error error = {0};
    struct json_object *list;
    uint64_t u = 7;
    int64_t i = 7;
    bool b = false;
    slice s;

    (void)state;
    assert_int_equal(json_get_string(o, "", "s", JSON_REQUIRED, &s, &error), BERTH_OK);
    assert_true(slice_eq(s, slice_str("x")));
    assert_int_equal(json_get_bool(o, NULL, "b", JSON_REQUIRED, &b, &error), BERTH_OK);
    assert_true(b);
    assert_int_equal(json_get_u64(o, "", "u", JSON_REQUIRED, &u, &error), BERTH_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(json_get_i64(o, "", "n", JSON_REQUIRED, &i, &error), BERTH_OK);
    assert_true(i == -1);
    assert_int_equal(json_get_i64(o, "", "u", JSON_REQUIRED, &i, &error), BERTH_ERR_INVALID);
    assert_int_equal(json_get_u64(o, "", "missing", JSON_OPTIONAL, &u, &error), BERTH_OK);
    assert_int_equal(json_get_u64(o, "", "z", JSON_OPTIONAL, &u, &error), BERTH_OK);
    assert_true(u == UINT64_MAX);

    assert_int_equal(json_get_string(o, "kinds[2]", "n", JSON_REQUIRED, &s, &error),
                     BERTH_ERR_INVALID);
    assert_string_equal(error.text, "kinds[2].n: must be a string, not a number");
    assert_int_equal(json_get_u64(o, "", "n", JSON_REQUIRED, &u, &error), BERTH_ERR_INVALID);
    assert_string_equal(error.text, "n: must be a whole number from 0 up, not a negative one");
    assert_int_equal(json_get_u64(o, "", "f", JSON_REQUIRED, &u, &error), BERTH_ERR_INVALID);
    assert_string_equal(error.text, "f: must be a whole number, not a number with a fraction");
    assert_int_equal(json_get_string(o, "a", "missing", JSON_REQUIRED, &s, &error),
                     BERTH_ERR_INVALID);
    assert_string_equal(error.text, "a.missing: is missing");
    assert_int_equal(json_get_strings(o, "", "l", JSON_REQUIRED, &list, &error), BERTH_ERR_INVALID);
    assert_string_equal(error.text, "l[1]: must be a string, not a number");
    json_object_put(o);

    o = parsed("[]");
    assert_int_equal(json_get_string(o, "", "s", JSON_REQUIRED, &s, &error), BERTH_ERR_INVALID);
    assert_string_equal(error.text, "the document: must be an object, not an array");
    json_object_put(o);
}

static void bytes_and_ids_survive_the_way_through_json(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } rows[] = {
        {"", 0, "{\"text\":\"\"}"},
        {"hi\n", 3, "{\"text\":\"hi\\n\"}"},
        {"a\0b", 3, "{\"text\":\"a\\u0000b\"}"},
        {"\xff\x00\x01", 3, "{\"base64\":\"\\/wAB\"}"},
    };
    berth_error error = {0};
    uint64_t id = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_object *o = json_bytes_new(slice_of(rows[i].bytes, rows[i].len));
        struct json_object *back;
        buf *b = NULL;

        assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
                            rows[i].json);
        back = parsed(json_object_to_json_string(o));
        assert_int_equal(json_get_bytes(back, "", JSON_REQUIRED, &b, &error), BERTH_OK);
        assert_int_equal(b->len, rows[i].len);
        assert_memory_equal(b->data, rows[i].bytes, rows[i].len);
        buf_unref(b);
        json_object_put(o);
        json_object_put(back);
    }

    struct json_object *o = json_object_new_object();
    assert_true(json_put_id(o, "origin", 0xc162c80da6be3de4));
    assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
                        "{\"origin\":\"c162c80da6be3de4\"}");
    assert_int_equal(json_get_id(o, "", "origin", JSON_REQUIRED, &id, &error), BERTH_OK);
    assert_true(id == 0xc162c80da6be3de4);
    assert_true(json_put_string(o, "origin", slice_str("c162")));
    assert_int_equal(json_get_id(o, "", "origin", JSON_REQUIRED, &id, &error), BERTH_ERR_INVALID);
    assert_string_equal(error.text, "origin: must be an id of 16 hex digits");
    json_object_put(o);
}

static void bytes_in_both_forms_or_none_or_damaged_are_refused(void **state)
{
    static const char *const texts[] = {
        "{\"text\":\"\",\"base64\":\"\"}",
        "{}",
        "{\"base64\":\"A\"}",
        "{\"base64\":\"AA=\"}",
        "{\"base64\":\"AAA A\"}",
        "{\"base64\":\"AAF=\"}",
        "{\"text\":3}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json_object *o = parsed(texts[i]);
        berth_error error = {0};
        buf *b = NULL;

        assert_int_equal(json_get_bytes(o, "data", JSON_REQUIRED, &b, &error), BERTH_ERR_INVALID);
        assert_null(b);
        assert_non_null(strstr(error.text, "data"));
        json_object_put(o);
    }
}

static void an_unknown_key_is_found(void **state)
{
    static const char *const known[] = {"a", "b", NULL};
    struct json_object *o = parsed("{\"a\":1,\"bb\":2}");

    (void)state;
    assert_string_equal(json_unknown_key(o, known), "bb");
    json_object_object_del(o, "bb");
    assert_null(json_unknown_key(o, known));
    json_object_put(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_of_the_grammar_is_read),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(a_key_twice_is_refused_at_any_level_and_however_it_is_written),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(getters_name_the_key_and_both_types),
        cmocka_unit_test(bytes_and_ids_survive_the_way_through_json),
        cmocka_unit_test(bytes_in_both_forms_or_none_or_damaged_are_refused),
        cmocka_unit_test(an_unknown_key_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
