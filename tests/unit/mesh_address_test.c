/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as people write them. */
#include "mesh/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_numeric_address_is_read_and_written_back(void **state)
{
    static const struct {
        const char *text, *same;
    } cases[] = {
        {"10.0.0.1:9", "10.0.0.1:9"},
        {"10.0.0.1", "10.0.0.1:4700"},
        {"255.255.255.255:65535", "255.255.255.255:65535"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::]", "[::]:4700"},
        {"[2001:DB8:0::1]:04701", "[2001:db8::1]:4701"},
        {"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        address_text at;
        char out[ADDRESS_TEXT];

        assert_int_equal(address_parse(slice_str(cases[i].text), &at, NULL), BERTH_OK);
        assert_false(at.is_name);
        assert_string_equal(address_format(out, &at.numeric), cases[i].same);
        assert_int_equal(at.numeric.len, at.numeric.u.any.sa_family == AF_INET
                                             ? sizeof(struct sockaddr_in)
                                             : sizeof(struct sockaddr_in6));
    }
}

static void a_name_is_kept_to_be_looked_up(void **state)
{
    address_text at;

    (void)state;
    assert_int_equal(address_parse(slice_str("b-1.Example_x.org:22"), &at, NULL), BERTH_OK);
    assert_true(at.is_name);
    assert_string_equal(at.host, "b-1.Example_x.org");
    assert_int_equal(at.port, 22);
    assert_int_equal(at.numeric.len, 0);
    assert_int_equal(address_parse(slice_str("localhost"), &at, NULL), BERTH_OK);
    assert_int_equal(at.port, ADDRESS_PORT);
    assert_int_equal(address_parse(slice_str("1.2.3.4a"), &at, NULL), BERTH_OK);
    assert_true(at.is_name);
}

static void what_is_no_address_is_refused_with_the_cure(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "must be HOST:PORT, [IPV6]:PORT"},
        {":4700", "must be HOST:PORT"},
        {"[]:4700", "must be HOST:PORT"},
        {"::1", "needs brackets"},
        {"a:1:2", "needs brackets"},
        {"[::1", "the ] behind"},
        {"[", "the ] behind"},
        {"[::1]4700", "the port must be"},
        {"[::1]:", "the port must be"},
        {"[::1]x:1", "the port must be"},
        {"[a.example]:1", "no IPv6 address"},
        {"[fe80::1%eth0]:1", "no %zone"},
        {"a:", "the port must be"},
        {"a:-1", "the port must be"},
        {"a:+1", "the port must be"},
        {"a: 1", "the port must be"},
        {"a:65536", "the port must be"},
        {"a:000001", "the port must be"},
        {"a:http", "the port must be"},
        {"1.2.3.256", "is neither"},
        {"1.2.3", "is neither"},
        {"7", "is neither"},
        {"a..b", "is neither"},
        {".a", "is neither"},
        {"a.", "is neither"},
        {"a b", "is neither"},
        {"a/b", "is neither"},
        {"h\xc3\xa4"
         "fen",
         "is neither"},
    };
    berth_error error;
    address_text at;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error = (berth_error){0};
        if (address_parse(slice_str(cases[i].text), &at, &error) != BERTH_ERR_INVALID)
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(error.text, cases[i].says))
            fail_msg("for: %s\ngot: %s", cases[i].text, error.text);
    }
    assert_int_equal(address_parse(slice_of("a\0b", 3), &at, NULL), BERTH_ERR_INVALID);
    assert_int_equal(address_parse(slice_of(NULL, 0), &at, NULL), BERTH_ERR_INVALID);
}

static void names_are_bounded_at_and_above_the_limit(void **state)
{
    char name[ADDRESS_HOST_MAX + 2];
    address_text at;

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t i = 63; i < sizeof name; i += 64)
        name[i] = '.';
    assert_int_equal(address_parse(slice_of(name, 63), &at, NULL), BERTH_OK);
    assert_int_equal(address_parse(slice_of(name, 253), &at, NULL), BERTH_OK);
    assert_int_equal(strlen(at.host), 253);
    assert_int_equal(address_parse(slice_of(name, 254), &at, NULL), BERTH_ERR_INVALID);
    memset(name, 'a', 64);
    assert_int_equal(address_parse(slice_of(name, 64), &at, NULL), BERTH_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_numeric_address_is_read_and_written_back),
        cmocka_unit_test(a_name_is_kept_to_be_looked_up),
        cmocka_unit_test(what_is_no_address_is_refused_with_the_cure),
        cmocka_unit_test(names_are_bounded_at_and_above_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
