/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/emit.h"
#include "api/orders.h"
#include "api/spool.h"
#include "base/json.h"
#include "base/random.h"
#include "berth/abi.h"
#include "identity/token_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *finished(writer *w)
{
    writer_u8(w, 0);
    assert_false(w->failed);
    return (char *)w->data;
}

static void values_are_written_as_json(void **state)
{
    writer w = {0};

    (void)state;
    emit_text(&w, "{");
    emit_member_string(&w, "a", "x");
    emit_member_string(&w, "n", NULL);
    emit_member_u64(&w, "zero", 0);
    emit_member_u64(&w, "max", UINT64_MAX);
    emit_member_bool(&w, "yes", true);
    emit_member_id(&w, "id", 0x1234);
    emit_member_hex(&w, "hex", slice_of("\x00\xff", 2));
    emit_member_time(&w, "t", INT64_C(1769862645123456789));
    emit_member_time(&w, "before", -1);
    emit_key(&w, "list");
    emit_text(&w, "[");
    emit_next(&w);
    emit_text(&w, "1");
    emit_next(&w);
    emit_text(&w, "2]}");
    assert_string_equal(
        finished(&w),
        "{\"a\":\"x\",\"n\":null,\"zero\":0,\"max\":18446744073709551615,\"yes\":true,"
        "\"id\":\"0000000000001234\",\"hex\":\"00ff\","
        "\"t\":\"2026-01-31T12:30:45.123456789Z\","
        "\"before\":\"1969-12-31T23:59:59.999999999Z\",\"list\":[1,2]}");
    writer_free(&w);
}

/* Through our own strict parser: what was written is what comes back. */
static void comes_back(slice bytes)
{
    struct json_object *o = NULL;
    buf *back = NULL;
    berth_error error = {0};
    writer w = {0};

    emit_bytes(&w, bytes);
    assert_false(w.failed);
    if (json_parse(slice_of(w.data, w.len), 1 << 24, &o, &error) ||
        json_get_bytes(o, "", JSON_REQUIRED, &back, &error))
        fail_msg("%.*s: %s", (int)w.len, (const char *)w.data, error.text);
    assert_int_equal(back->len, bytes.len);
    assert_memory_equal(back->data, bytes.ptr, bytes.len);
    buf_unref(back);
    json_object_put(o);
    writer_free(&w);
}

static void any_bytes_come_back_as_they_were(void **state)
{
    uint8_t bytes[300];

    (void)state;
    comes_back(slice_str(""));
    comes_back(slice_str("plain"));
    comes_back(slice_str("\"\\/\b\f\n\r\t \x7f é \xf0\x9f\x98\x80"));
    comes_back(slice_of("a\0b", 3));
    for (unsigned i = 0; i < 256; i++) {
        bytes[0] = (uint8_t)i;
        comes_back(slice_of(bytes, 1));
    }
    for (size_t len = 0; len < sizeof bytes; len++) {
        random_bytes(bytes, len);
        comes_back(slice_of(bytes, len));
        for (size_t i = 0; i < len; i++)
            bytes[i] &= 0x1f;
        comes_back(slice_of(bytes, len));
    }
}

static void text_that_is_no_utf8_is_made_so(void **state)
{
    writer w = {0};

    (void)state;
    emit_string(&w, slice_str("a\xff\xc3\xa9\xc3"));
    assert_string_equal(finished(&w), "\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"");
    writer_free(&w);
}

static unsigned files_in(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void a_spool_reads_the_same_in_memory_and_from_its_file(void **state)
{
    char dir[] = "/tmp/berth-spool-XXXXXX", line[64], got[64], command[64];
    unsigned files;

    (void)state;
    assert_non_null(mkdtemp(dir));
    files = files_in(dir);
    for (size_t in_memory = 0; in_memory < 5000; in_memory += 777) {
        spool s;
        uint64_t at = 0;

        spool_init(&s, dir, in_memory, 1 << 20);
        for (int i = 0; i < 200; i++) {
            snprintf(line, sizeof line, "line %d\n", i);
            emit_text(&s.tail, line);
            assert_int_equal(spool_flush(&s, NULL), BERTH_OK);
        }
        for (int i = 0; i < 200; i++) {
            size_t len = (size_t)snprintf(line, sizeof line, "line %d\n", i), have = 0;

            while (have < len) {
                ssize_t n = spool_read(&s, at, got + have, len - have);

                assert_true(n > 0);
                have += (size_t)n;
                at += (uint64_t)n;
            }
            assert_memory_equal(got, line, len);
        }
        assert_int_equal(spool_length(&s), at);
        assert_int_equal(spool_read(&s, at, got, 1), 0);
        spool_fini(&s);
    }
    assert_int_equal(files_in(dir), files);
    snprintf(command, sizeof command, "rmdir %s", dir);
    assert_int_equal(system(command), 0);
}

static void a_spool_past_its_limit_says_so(void **state)
{
    berth_error error = {0};
    spool s;

    (void)state;
    spool_init(&s, "/tmp", 4, 8);
    emit_text(&s.tail, "12345678");
    assert_int_equal(spool_flush(&s, &error), BERTH_OK);
    emit_text(&s.tail, "9");
    assert_int_equal(spool_flush(&s, &error), BERTH_ERR_LIMIT);
    spool_fini(&s);
    spool_init(&s, "/nonexistent", 4, 100);
    emit_text(&s.tail, "12345678");
    assert_int_not_equal(spool_flush(&s, &error), BERTH_OK);
    assert_non_null(strstr(error.text, "/nonexistent"));
    spool_fini(&s);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static void a_spawn_order_is_read_whole(void **state)
{
    spawn_order order;

    (void)state;
    assert_int_equal(
        spawn_order_read(
            &order,
            slice_str("{\"kind\":\"counter\",\"name\":\"c1\",\"config\":{\"base64\":\"AP8=\"},"
                      "\"durability\":\"snapshot\",\"auto_snapshot\":100,\"identity\":{\"seed\":"
                      "\"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\"}}"),
            NULL),
        BERTH_OK);
    assert_string_equal(order.kind, "counter");
    assert_string_equal(order.name, "c1");
    assert_int_equal(order.config->len, 2);
    assert_memory_equal(order.config->data, "\x00\xff", 2);
    assert_int_equal(order.durability, 2);
    assert_int_equal(order.auto_snapshot, 100);
    assert_true(order.has_identity && order.identity.full);
    spawn_order_fini(&order);
    assert_false(order.identity.full);
    assert_int_equal(spawn_order_read(&order, slice_str("{\"kind\":\"x\"}"), NULL), BERTH_OK);
    assert_string_equal(order.name, "");
    assert_null(order.config);
    assert_false(order.has_identity);
    spawn_order_fini(&order);
}

static void a_wrong_member_is_named_with_what_would_be_right(void **state)
{
    static const struct {
        const char *body, *part;
    } rows[] = {
        {"", "empty"},
        {"[]", "must be an object"},
        {"{\"kind\":\"x\"", "line 1"},
        {"{}", "kind: is missing"},
        {"{\"kind\":7}", "kind: must be a string, not a number"},
        {"{\"kind\":\"\"}", "kind: must not be empty"},
        {"{\"kind\":\"x\\u0000y\"}", "kind: must not contain a zero byte"},
        {"{\"kind\":\"x\",\"nmae\":\"y\"}", "'nmae' is no member of it; there is kind, name"},
        {"{\"kind\":\"x\",\"name\":[]}", "name: must be a string, not an array"},
        {"{\"kind\":\"x\",\"durability\":\"eternal\"}", "must be volatile or snapshot"},
        {"{\"kind\":\"x\",\"auto_snapshot\":-1}", "auto_snapshot"},
        {"{\"kind\":\"x\",\"auto_snapshot\":1.5}", "auto_snapshot"},
        {"{\"kind\":\"x\",\"config\":\"text\"}", "config: must be an object, not a string"},
        {"{\"kind\":\"x\",\"config\":{}}", "config"},
        {"{\"kind\":\"x\",\"config\":{\"file\":\"y\"}}", "there is text, base64"},
        {"{\"kind\":\"x\",\"config\":{\"text\":\"y\",\"base64\":\"eQ==\"}}", "config"},
        {"{\"kind\":\"x\",\"config\":{\"base64\":\"?\"}}", "config"},
        {"{\"kind\":\"x\",\"identity\":{\"seed\":\"abc\"}}", "identity.seed"},
        {"{\"kind\":\"x\",\"identity\":{\"key\":\"abc\"}}", "there is seed"},
        {"{\"kind\":\"x\",\"subscribe\":\"jobs\"}", "subscribe: must be an array"},
        {"{\"kind\":\"x\",\"subscribe\":[\"a\",7]}", "subscribe[1]"},
        {"{\"kind\":\"x\",\"serve\":[\"a\\u0000b\"]}", "serve[0]: must not contain a zero byte"},
        {"{\"kind\":\"x\",\"tokens\":[\"AQ==\"]}", "tokens[0]: must be an object"},
        {"{\"kind\":\"x\",\"tokens\":[{}]}", "tokens[0]"},
        {"{\"kind\":\"x\",\"tokens\":[{\"file\":\"a\"}]}", "there is text, base64, name"},
        {"{\"kind\":\"x\",\"tokens\":[{\"text\":\"a\",\"name\":7}]}", "tokens[0].name"},
        {"{\"kind\":\"x\",\"tokens\":[{\"text\":\"nonsense\",\"name\":\"a.token\"}]}", "a.token"},
        {"{\"kind\":\"x\",\"tokens\":[{\"base64\":\"AQ==\"}]}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spawn_order order;
        berth_error error = {0};

        if (!spawn_order_read(&order, slice_str(rows[i].body), &error))
            fail_msg("accepted: %s", rows[i].body);
        spawn_order_fini(&order);
        if (!strstr(error.text, rows[i].part))
            fail_msg("%s: '%s' does not say '%s'", rows[i].body, error.text, rows[i].part);
    }
}

/* A chain as its bytes, or as a file has it. */
static void tokens_and_channels_are_read(void **state)
{
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    berth_keypair owner;
    token_file file = {.channel = "jobs"};
    berth_token_grant grant = {.channel = 1, .ttl_s = 100, .scope = BERTH_SCOPE_PUBLISH};
    struct json_object *body = json_object_new_object(), *list = json_object_new_array(), *token;
    subscribe_order sub;
    spawn_order order;
    char *text;
    void *read = NULL;
    size_t len, got = 0;
    berth_token t;

    (void)state;
    berth_keypair_generate(&owner);
    memcpy(grant.subject, owner.entity, sizeof grant.subject);
    assert_int_equal(berth_token_issue(&t, &owner, &grant, 1000, NULL, NULL), BERTH_OK);
    berth_token_chain_of(&file.chain, &t);
    len = berth_token_chain_encode(bytes, &file.chain);
    text = token_file_format(&file);
    token = json_bytes_new(slice_str(text));
    json_put_string(token, "name", slice_str("a.token"));
    json_object_array_add(list, token);
    json_object_array_add(list, json_bytes_new(slice_of(bytes, len)));
    json_put(body, "tokens", list);
    json_put_string(body, "kind", slice_str("k"));
    list = json_object_new_array();
    json_object_array_add(list, json_object_new_string("jobs@workers"));
    json_put(body, "subscribe", list);
    assert_int_equal(spawn_order_read(&order, slice_str(json_object_to_json_string(body)), NULL),
                     BERTH_OK);
    assert_int_equal(order.token_count, 2);
    assert_string_equal(order.tokens[0].name, "a.token");
    assert_string_equal(order.tokens[1].name, "tokens[1]");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(order.tokens[i].len, len);
        assert_memory_equal(order.tokens[i].bytes, bytes, len);
    }
    assert_int_equal(order.subscribe_count, 1);
    assert_string_equal(order.subscribe[0], "jobs@workers");
    assert_int_equal(order.serve_count, 0);
    spawn_order_fini(&order);
    json_object_put(body);

    body = json_bytes_new(slice_str(text));
    assert_int_equal(
        token_order_read(&read, &got, slice_str(json_object_to_json_string(body)), NULL), BERTH_OK);
    assert_int_equal(got, len);
    assert_memory_equal(read, bytes, len);
    free(read);
    json_object_put(body);
    assert_int_equal(token_order_read(&read, &got, slice_str("{\"text\":\"x\"}"), NULL),
                     BERTH_ERR_INVALID);
    assert_null(read);
    assert_int_equal(
        subscribe_order_read(&sub, slice_str("{\"channel\":\"a\",\"group\":\"g\"}"), NULL),
        BERTH_OK);
    assert_string_equal(sub.channel, "a");
    assert_string_equal(sub.group, "g");
    assert_int_equal(subscribe_order_read(&sub, slice_str("{\"group\":\"g\"}"), NULL),
                     BERTH_ERR_INVALID);
    free(text);
}

static void a_config_of_the_limit_passes_in_its_longest_form(void **state)
{
    static char body[ORDER_JSON_MAX + 64];
    spawn_order order;
    size_t n = (size_t)sprintf(body, "{\"kind\":\"x\",\"config\":{\"text\":\"");

    (void)state;
    for (unsigned i = 0; i < ORDER_CONFIG_MAX; i++)
        n += (size_t)sprintf(body + n, "\\u0001");
    strcpy(body + n, "\"}}");
    assert_int_equal(spawn_order_read(&order, slice_str(body), NULL), BERTH_OK);
    assert_int_equal(order.config->len, ORDER_CONFIG_MAX);
    spawn_order_fini(&order);
    strcpy(body + n, "x\"}}");
    assert_int_equal(spawn_order_read(&order, slice_str(body), NULL), BERTH_ERR_LIMIT);
    spawn_order_fini(&order);
}

static void controls_and_loads_are_read(void **state)
{
    control_order control;
    load_order load;
    berth_error error = {0};

    (void)state;
    assert_int_equal(control_order_read(&control,
                                        slice_str("{\"control\":\"drain-start\",\"operand\":500}"),
                                        &error),
                     BERTH_OK);
    assert_int_equal(control.control, BERTH_CONTROL_DRAIN_START);
    assert_int_equal(control.operand, 500);
    assert_int_equal(control_order_read(&control, slice_str("{\"control\":\"drain\"}"), &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "shutdown, drain-start, drain-finish, backpressure-on"));
    assert_int_equal(
        load_order_read(&load, slice_str("{\"path\":\"/a.so\",\"allow_downgrade\":true}"), &error),
        BERTH_OK);
    assert_string_equal(load.path, "/a.so");
    assert_true(load.allow_downgrade);
    assert_int_equal(load_order_read(&load, slice_str("{\"path\":\"a.so\"}"), &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "must be absolute"));
    assert_int_equal(
        load_order_read(&load, slice_str("{\"path\":\"/a\",\"allow_downgrade\":1}"), &error),
        BERTH_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written_as_json),
        cmocka_unit_test(any_bytes_come_back_as_they_were),
        cmocka_unit_test(text_that_is_no_utf8_is_made_so),
        cmocka_unit_test(a_spool_reads_the_same_in_memory_and_from_its_file),
        cmocka_unit_test(a_spool_past_its_limit_says_so),
        cmocka_unit_test(a_spawn_order_is_read_whole),
        cmocka_unit_test(tokens_and_channels_are_read),
        cmocka_unit_test(a_wrong_member_is_named_with_what_would_be_right),
        cmocka_unit_test(a_config_of_the_limit_passes_in_its_longest_form),
        cmocka_unit_test(controls_and_loads_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
