/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "plugin/list.h"
#include "plugin/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static const char full[] =
    "{\"name\":\"org.example.meter\",\"version\":\"1.2.3-rc.1+build.5\",\"license\":\"MIT\","
    "\"abi\":[0,0],\"needs\":{\"extensions\":[\"berth.metrics/1\"],\"privileges\":[\"threads\"]},"
    "\"runtime\":\"rust\",\"kinds\":[{\"name\":\"meter\",\"summary\":\"counts\","
    "\"state\":{\"writes\":3,\"writes_oldest\":2,\"reads_oldest\":1},\"deterministic\":true,"
    "\"fork_snapshot\":true,\"config\":\"json\",\"isolation\":\"process\","
    "\"durability\":\"journal\",\"memory\":4096,"
    "\"tags\":{\"required\":[\"gpu\"],\"optional\":[\"ssd\",\"fast\"]}},{\"name\":\"null\"}]}";

static manifest *parse_good(const char *text)
{
    berth_error error = {0};
    manifest *m;

    if (manifest_parse(slice_str(text), &m, &error))
        fail_msg("%s", error.text);
    return m;
}

/* compute-core §18.27: what a kind needs is known without an instance of it */
static void everything_that_is_said_is_read(void **state)
{
    manifest *m = parse_good(full);
    const manifest_kind *k = manifest_find(m, slice_str("meter"));

    (void)state;
    assert_string_equal(m->name, "org.example.meter");
    assert_string_equal(m->version, "1.2.3-rc.1+build.5");
    assert_string_equal(m->license, "MIT");
    assert_string_equal(m->runtime, "rust");
    assert_int_equal(m->needs_extensions.count, 1);
    assert_true(list_has(&m->needs_privileges, "threads"));
    assert_int_equal(m->kind_count, 2);
    assert_non_null(k);
    assert_true(k->stateful && k->deterministic && k->fork_snapshot);
    assert_int_equal(k->state_writes, 3);
    assert_int_equal(k->state_writes_oldest, 2);
    assert_int_equal(k->state_reads_oldest, 1);
    assert_int_equal(k->config, CONFIG_JSON);
    assert_int_equal(k->isolation, ISOLATION_PROCESS);
    assert_int_equal(k->durability, DURABILITY_JOURNAL);
    assert_int_equal(k->memory_hint, 4096);
    assert_string_equal(k->tags_required.items[0], "gpu");
    assert_string_equal(k->tags_optional.items[1], "fast");
    assert_int_equal(m->warnings.count, 0);
    manifest_free(m);
}

static void what_is_not_said_has_the_careful_default(void **state)
{
    manifest *m = parse_good(full);
    const manifest_kind *k = manifest_find(m, slice_str("null"));

    (void)state;
    assert_non_null(k);
    assert_null(k->summary);
    assert_false(k->stateful || k->deterministic || k->fork_snapshot);
    assert_int_equal(k->config, CONFIG_NONE);
    assert_int_equal(k->isolation, ISOLATION_ANY);
    assert_int_equal(k->durability, DURABILITY_ANY);
    manifest_free(m);
    m = parse_good("{\"name\":\"x\",\"version\":\"1.0.0\",\"abi\":[0,0],\"kinds\":[{\"name\":\"x\","
                   "\"state\":{\"writes\":7}}]}");
    assert_string_equal(m->runtime, "c");
    assert_string_equal(m->license, "");
    assert_int_equal(m->kinds[0].state_writes_oldest, 7);
    assert_int_equal(m->kinds[0].state_reads_oldest, 7);
    manifest_free(m);
}

/* full, with the first occurrence of one text replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(full, from);
    char *text = malloc(sizeof full + strlen(to));

    assert_non_null(at);
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)(at - full), full, to, at + strlen(from));
    return text;
}

static void mistakes_are_named_by_their_path_with_what_would_be_right(void **state)
{
    static const struct {
        const char *from, *to, *path, *right;
    } mistakes[] = {
        {"\"org.example.meter\"", "\"Org\"", "name:", "a-z 0-9"},
        {"\"org.example.meter\"", "7", "name", "string"},
        {"\"1.2.3-rc.1+build.5\"", "\"1.2\"", "version:", "1.2.3"},
        {"\"1.2.3-rc.1+build.5\"", "\"01.2.3\"", "version:", "1.2.3"},
        {"[0,0]", "[0]", "abi:", "[major, needed minor]"},
        {"[0,0]", "[0,-1]", "abi[1]:", "0 to 65535"},
        {"[0,0]", "[0.0,0]", "abi[0]:", "integer"},
        {"\"extensions\"", "\"extension\"", "needs.extension:", "needs.extensions"},
        {"\"berth.metrics/1\"", "\"\"", "needs.extensions[0]", "1 to"},
        {"\"threads\"", "\"threads\",\"threads\"", "needs.privileges[1]", "twice"},
        {"\"writes\":3", "\"writes\":0", "kinds[0].state.writes", "from 1"},
        {"\"writes_oldest\":2", "\"writes_oldest\":4", "kinds[0].state.writes_oldest", "to 3"},
        {"\"reads_oldest\":1", "\"reads_oldest\":0", "kinds[0].state.reads_oldest", "from 1"},
        {"\"writes\":3,", "", "kinds[0].state.writes", ""},
        {"\"json\"", "\"yaml\"", "kinds[0].config", "\"none\", \"text\", \"json\""},
        {"\"process\"", "\"thread\"", "kinds[0].isolation", "\"inline\""},
        {"\"journal\"", "\"ever\"", "kinds[0].durability", "\"snapshot\""},
        {"\"memory\":4096", "\"memory\":-1", "kinds[0].memory", ""},
        {"true", "1", "kinds[0].deterministic", ""},
        {"{\"name\":\"null\"}", "{\"name\":\"meter\"}", "kinds[1].name", "rename one"},
        {"{\"name\":\"null\"}", "{}", "kinds[1].name", ""},
        {"{\"name\":\"null\"}", "\"null\"", "kinds[1]", "object"},
        {"\"MIT\"", "\"M\\u0000T\"", "license", "zero byte"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        char *text = changed(mistakes[i].from, mistakes[i].to);
        berth_error error = {0};
        manifest *m;

        if (manifest_parse(slice_str(text), &m, &error) == BERTH_OK ||
            !strstr(error.text, mistakes[i].path) || !strstr(error.text, mistakes[i].right))
            fail_msg("%s -> %s: %s", mistakes[i].from, mistakes[i].to, error.text);
        assert_null(m);
        free(text);
    }
}

static void unknown_keys_are_ignored_with_a_warning_for_the_author(void **state)
{
    manifest *m = parse_good("{\"name\":\"x\",\"version\":\"1.0.0\",\"license\":\"\",\"abi\":[0,0],"
                             "\"future\":{\"a\":[1]},\"kinds\":[{\"name\":\"x\",\"sumary\":\"y\","
                             "\"state\":{\"writes\":1,\"wirtes\":2}}]}");

    (void)state;
    assert_int_equal(m->warnings.count, 3);
    assert_true(list_has(&m->warnings, "future: unknown key, ignored"));
    assert_true(
        list_has(&m->warnings, "kinds[0].sumary: unknown key, ignored; did you mean summary?"));
    assert_true(list_has(&m->warnings,
                         "kinds[0].state.wirtes: unknown key, ignored; did you mean writes?"));
    manifest_free(m);
}

static void limits_hold_at_and_above(void **state)
{
    (void)state;
    for (size_t count = MANIFEST_MAX_KINDS; count <= MANIFEST_MAX_KINDS + 1; count++) {
        char *text = malloc(64 * 1024);
        berth_error error = {0};
        manifest *m;
        berth_status status;
        int at = sprintf(text, "{\"name\":\"x\",\"version\":\"1.0.0\",\"abi\":[0,0],\"kinds\":[");

        for (size_t i = 0; i < count; i++)
            at += sprintf(text + at, "%s{\"name\":\"k%zu\"}", i ? "," : "", i);
        sprintf(text + at, "]}");
        status = manifest_parse(slice_str(text), &m, &error);
        assert_int_equal(status, count > MANIFEST_MAX_KINDS ? BERTH_ERR_LIMIT : BERTH_OK);
        manifest_free(m);
        free(text);
    }
    for (size_t len = MANIFEST_MAX_NAME; len <= MANIFEST_MAX_NAME + 1; len++) {
        char name[160], text[512];
        manifest *m;

        memset(name, 'a', len);
        name[len] = 0;
        sprintf(text,
                "{\"name\":\"%s\",\"version\":\"1.0.0\",\"abi\":[0,0],\"kinds\":[{\"name\":"
                "\"k\"}]}",
                name);
        assert_int_equal(manifest_parse(slice_str(text), &m, NULL),
                         len > MANIFEST_MAX_NAME ? BERTH_ERR_INVALID : BERTH_OK);
        manifest_free(m);
    }
}

static void a_manifest_survives_the_way_between_processes(void **state)
{
    manifest *m = parse_good(full), *again;
    writer first = {0}, second = {0};
    reader r;

    (void)state;
    manifest_encode(&first, m);
    r = reader_of(first.data, first.len);
    assert_int_equal(manifest_decode(&r, &again, NULL), BERTH_OK);
    assert_true(reader_done(&r));
    manifest_encode(&second, again);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    manifest_free(again);
    for (size_t cut = 0; cut < first.len; cut++) {
        r = reader_of(first.data, cut);
        assert_int_equal(manifest_decode(&r, &again, NULL), BERTH_ERR_CORRUPT);
    }
    writer_free(&first);
    writer_free(&second);
    manifest_free(m);
}

/* ---- Versions */

static void versions_are_those_of_semver(void **state)
{
    static const char *const good[] = {
        "0.0.0",       "1.2.3",     "1.0.0-alpha",    "1.0.0-0.3.7",
        "1.0.0-x-y.z", "1.0.0+001", "1.0.0-rc.1+a.b", "99999999999999999999.0.1"};
    static const char *const bad[] = {"",       "1",      "1.2",      "1.2.3.4", "01.2.3",
                                      "1.2.03", "1.2.3-", "1.2.3-01", "1.2.3+",  "1.2.3-a..b",
                                      "v1.2.3", "1.2.3 ", "1.2.3-é",  "-1.2.3",  "1..3"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!version_valid(good[i]))
            fail_msg("%s is valid", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (version_valid(bad[i]))
            fail_msg("%s is not valid", bad[i]);
    }
}

static void versions_have_the_order_of_semver(void **state)
{
    static const char *const order[] = {
        "0.9.9",      "1.0.0-1",      "1.0.0-2",       "1.0.0-10",
        "1.0.0--",    "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
        "1.0.0",      "1.0.1",        "1.1.0",         "1.2.0",
        "1.10.0",     "2.0.0",        "10.0.0",        "99999999999999999999.0.0",
    };
    size_t count = sizeof order / sizeof *order;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            int got = version_compare(order[i], order[j]);

            if ((got > 0) - (got < 0) != (i > j) - (i < j))
                fail_msg("%s against %s: %d", order[i], order[j], got);
        }
    }
    assert_int_equal(version_compare("1.0.0+a", "1.0.0+b"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_said_is_read),
        cmocka_unit_test(what_is_not_said_has_the_careful_default),
        cmocka_unit_test(mistakes_are_named_by_their_path_with_what_would_be_right),
        cmocka_unit_test(unknown_keys_are_ignored_with_a_warning_for_the_author),
        cmocka_unit_test(limits_hold_at_and_above),
        cmocka_unit_test(a_manifest_survives_the_way_between_processes),
        cmocka_unit_test(versions_are_those_of_semver),
        cmocka_unit_test(versions_have_the_order_of_semver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
