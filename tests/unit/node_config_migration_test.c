/* SPDX-License-Identifier: Apache-2.0 */
/* Migration in the configuration file: what reaches its field, and what each mistake is told. */
#include "node/config.h"

#include "base/text.h"
#include "migrate/migrations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH "/etc/berth/berth.conf"
/* Public keys of RFC 8032. */
#define ENTITY_A "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define ENTITY_B "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"

static config *parse(const char *text)
{
    config *c = NULL;
    berth_error error = {0};

    if (config_parse(slice_str(text), PATH, NULL, &c, &error) != BERTH_OK)
        fail_msg("%s\nfor: %s", error.text, text);
    return c;
}

static void every_option_of_migration_reaches_its_field(void **state)
{
    config *c = parse("migration {\n"
                      "  accept = { tally, \"org.example.*\" }\n"
                      "  operators = { " ENTITY_A ", " ENTITY_B " }\n"
                      "  expected_only = yes fetch = yes max_bytes = 64MiB precopy_from = 5KiB\n"
                      "}\n");
    char hex[129];

    (void)state;
    assert_int_equal(c->migration.line, 5);
    assert_int_equal(c->migration.accept.count, 2);
    assert_string_equal(c->migration.accept.items[0], "tally");
    assert_string_equal(c->migration.accept.items[1], "org.example.*");
    assert_int_equal(c->migration.operators.count, 2);
    assert_string_equal(hex_encode(hex, slice_of(c->migration.operators.bytes, 64)),
                        ENTITY_A ENTITY_B);
    assert_true(c->migration.expected_only);
    assert_true(c->migration.fetch);
    assert_int_equal(c->migration.max_bytes, 64 << 20);
    assert_int_equal(c->migration.precopy_from, 5 << 10);
    assert_false(config_mesh_on(c)); /* it says nothing about a mesh */
    config_free(c);
}

static void nothing_said_is_nothing_narrowed(void **state)
{
    static const config_migration none;
    config *c = parse("host { name = x }");

    (void)state;
    assert_memory_equal(&c->migration, &none, sizeof none);
    config_free(c);
}

static void each_mistake_names_the_line_and_the_cure(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *says;
    } mistakes[] = {
        {"migrations { }", 1, "did you mean 'migration'?"},
        {"migration { }\nmigration { }", 2, "'migration' is given twice"},
        {"migration {\n acept = { a } }", 2, "did you mean 'accept'?"},
        {"operators = { x }", 1, "it belongs into a section: migration { operators = ... }"},
        {"migration {\n accept = { } }", 2, "an empty list says nothing"},
        {"migration { accept = { \"a*b\" } }", 1, "must be a name such as 'tally', or"},
        {"migration { accept = { \"\" } }", 1, "must be a name such as 'tally', or"},
        {"migration {\n operators = { 123 } }", 2, "operators: '123': must be"},
        {"migration { expected_only = maybe }", 1, "must be one of: yes, no"},
        {"migration { precopy_from = 0 }", 1, "must be from 1 to"},
        {"migration { max_bytes = 1023KiB }", 1, "must be from 1048576 to"},
        {"migration { max_bytes = 1025GiB }", 1, "must be from 1048576 to"},
        {"migration { max_bytes = much }", 1, "must be a number of bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        char place[64];
        config *c = NULL;
        berth_error error = {0};

        snprintf(place, sizeof place, PATH ":%d: ", mistakes[i].line);
        if (config_parse(slice_str(mistakes[i].text), PATH, NULL, &c, &error) !=
                BERTH_ERR_INVALID ||
            strncmp(error.text, place, strlen(place)) != 0 || !strstr(error.text, mistakes[i].says))
            fail_msg("%s\nis told: %s", mistakes[i].text, error.text);
    }
}

/* count values of an option of the section. */
static berth_status parse_many(const char *option, const char *value, size_t count)
{
    char *text = malloc(64 + count * (strlen(value) + 2)), *at = text;
    config *c = NULL;
    berth_status status;

    assert_non_null(text);
    at += sprintf(at, "migration { %s = { ", option);
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i ? ", " : "", value);
    sprintf(at, " } }");
    status = config_parse(slice_str(text), PATH, NULL, &c, NULL);
    config_free(c);
    free(text);
    return status;
}

static void lists_are_bounded_at_and_above_the_limit(void **state)
{
    (void)state;
    assert_int_equal(parse_many("accept", "k", MIGRATIONS_KIND_PATTERNS), BERTH_OK);
    assert_int_equal(parse_many("accept", "k", MIGRATIONS_KIND_PATTERNS + 1), BERTH_ERR_INVALID);
    assert_int_equal(parse_many("operators", ENTITY_A, MIGRATIONS_OPERATORS), BERTH_OK);
    assert_int_equal(parse_many("operators", ENTITY_A, MIGRATIONS_OPERATORS + 1),
                     BERTH_ERR_INVALID);
}

static const char *changes(const char *before, const char *after)
{
    static char out[512];
    config *a = parse(before), *b = parse(after);

    config_start_changes(a, b, out, sizeof out);
    config_free(a);
    config_free(b);
    return out;
}

static void only_the_room_for_states_waits_for_a_start(void **state)
{
    (void)state;
    assert_string_equal(changes("", "migration { accept = { a } operators = { " ENTITY_A
                                    " } expected_only = yes precopy_from = 1 }"),
                        "");
    assert_string_equal(changes("migration { max_bytes = 1MiB }", "migration { max_bytes = 2MiB }"),
                        "migration { max_bytes }");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_of_migration_reaches_its_field),
        cmocka_unit_test(nothing_said_is_nothing_narrowed),
        cmocka_unit_test(each_mistake_names_the_line_and_the_cure),
        cmocka_unit_test(lists_are_bounded_at_and_above_the_limit),
        cmocka_unit_test(only_the_room_for_states_waits_for_a_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
