/* SPDX-License-Identifier: Apache-2.0 */
/* Who may send to a daemon, as text: what it may be, and whom it lets. */
#include "daemon/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool takes(const char *text, const char *peer, bool named)
{
    return accept_takes(slice_str(text), peer, named);
}

static void a_word_stands_for_all_of_its_nodes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const char *peer = i & 1 ? "a" : "";
        bool named = i & 2;

        assert_true(takes("", peer, named));
        assert_true(takes("realm", peer, named));
        assert_int_equal(takes("peers", peer, named), named);
        assert_false(takes("none", peer, named));
    }
    assert_false(takes("none", "none", true));
}

static void a_list_lets_those_whom_it_names_and_nobody_else(void **state)
{
    static const char list[] = "a,bc,d.e";

    (void)state;
    assert_true(takes(list, "a", false));
    assert_true(takes(list, "bc", false));
    assert_true(takes(list, "d.e", true));
    for (const char *const *p = (const char *const[]){"b", "c", "d", "abc", "a,bc", "A", "", NULL};
         *p; p++)
        assert_false(takes(list, *p, true));
    assert_false(takes("ab", "a", true));
    assert_false(takes("a", "ab", true));
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "must be realm, peers, none"},
        {",", "accept ','"},
        {"a,", "accept 'a,'"},
        {",a", "accept ',a'"},
        {"a,,b", "accept 'a,,b'"},
        {"a, b", "accept 'a, b'"},
        {"-a", "accept '-a'"},
        {"realm,a", "'realm' says it all"},
        {"a,none", "'none' says it all"},
        {"peers,realm", "'peers' says it all"},
    };
    berth_error error;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error = (berth_error){0};
        assert_int_equal(accept_check(slice_str(bad[i].text), &error), BERTH_ERR_INVALID);
        if (!strstr(error.text, bad[i].says))
            fail_msg("'%s': %s", bad[i].text, error.text);
    }
    for (const char *const *t =
             (const char *const[]){"realm", "peers", "none", "a", "a,b.c,D-1", NULL};
         *t; t++)
        assert_int_equal(accept_check(slice_str(*t), &error), BERTH_OK);
}

static void as_many_names_as_are_allowed_fit_and_one_more_does_not(void **state)
{
    char text[ACCEPT_TEXT_MAX + 128] = "", name[80];

    (void)state;
    for (unsigned i = 0; i < ACCEPT_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "%s%063u", i ? "," : "", i);
        strcat(text, name);
    }
    assert_true(strlen(text) <= ACCEPT_TEXT_MAX);
    assert_int_equal(accept_check(slice_str(text), NULL), BERTH_OK);
    snprintf(name, sizeof name, "%063u", ACCEPT_NAMES_MAX - 1);
    assert_true(takes(text, name, false));
    strcat(text, ",x");
    assert_int_equal(accept_check(slice_str(text), NULL), BERTH_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_stands_for_all_of_its_nodes),
        cmocka_unit_test(a_list_lets_those_whom_it_names_and_nobody_else),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(as_many_names_as_are_allowed_fit_and_one_more_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
