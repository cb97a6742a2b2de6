/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says of a peer that is to be let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/peer_order.h"
#include "base/text.h"

#include <string.h>

#define KEY    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define ENTITY "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

static void all_that_is_said_arrives(void **state)
{
    peer_order o;
    char hex[65];

    (void)state;
    assert_int_equal(
        peer_order_read(&o,
                        slice_str("{\"name\":\"harbour\",\"key\":\"" KEY "\",\"entity\":\"" ENTITY
                                  "\",\"address\":[\"192.0.2.7:1\",\"harbour.example.org\"],"
                                  "\"may\":[\"relay\",\"spawn\"]}"),
                        NULL),
        BERTH_OK);
    assert_string_equal(o.peer.name, "harbour");
    assert_true(o.peer.has_key && o.peer.has_entity);
    assert_string_equal(hex_encode(hex, slice_of(o.peer.key, 32)), KEY);
    assert_string_equal(hex_encode(hex, slice_of(o.peer.entity, 32)), ENTITY);
    assert_int_equal(o.peer.may, TRUST_MAY_RELAY | TRUST_MAY_SPAWN);
    assert_int_equal(o.address_count, 2);
    assert_false(o.addresses[0].is_name);
    assert_true(o.addresses[1].is_name);
    assert_int_equal(o.addresses[1].port, ADDRESS_PORT);
}

static void a_name_and_a_key_are_enough(void **state)
{
    peer_order o;

    (void)state;
    assert_int_equal(peer_order_read(&o, slice_str("{\"name\":\"b\",\"key\":\"" KEY "\"}"), NULL),
                     BERTH_OK);
    assert_true(o.peer.has_key);
    assert_false(o.peer.has_entity);
    assert_int_equal(o.peer.may, 0);
    assert_int_equal(o.address_count, 0);
}

static void every_mistake_is_refused_and_named(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        {"[]", "body: must be an object"},
        {"{\"key\":\"" KEY "\"}", "name"},
        {"{\"name\":\"b\"}", "key"},
        {"{\"name\":\"b/c\",\"key\":\"" KEY "\"}", "name: "},
        {"{\"name\":\"b\",\"key\":\"12\"}", "key"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"entity\":\"x\"}", "entity"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"address\":[\"a:b:c\"]}", "address[0]"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"address\":\"a\"}", "address"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"address\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
         "\"a\",\"a\",\"a\"]}",
         "address: there are at most 8"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"may\":[\"fly\"]}", "fly"},
        {"{\"name\":\"b\",\"key\":\"" KEY "\",\"addres\":[]}", "'addres' is no member"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        berth_error error = {0};
        peer_order o;

        assert_int_equal(peer_order_read(&o, slice_str(rows[i].body), &error), BERTH_ERR_INVALID);
        if (!strstr(error.text, rows[i].says))
            fail_msg("%s\nis told: %s", rows[i].body, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_said_arrives),
        cmocka_unit_test(a_name_and_a_key_are_enough),
        cmocka_unit_test(every_mistake_is_refused_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
