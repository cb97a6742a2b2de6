/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the text alive: a target points into it. */
static char text[4096];

static target parsed(const char *raw)
{
    target t;
    berth_error error = {0};

    snprintf(text, sizeof text, "%s", raw);
    if (target_parse(text, &t, &error))
        fail_msg("%s: %s", raw, error.text);
    return t;
}

static void refused(const char *raw, berth_status code, const char *part)
{
    target t;
    berth_error error = {0};

    snprintf(text, sizeof text, "%s", raw);
    assert_int_equal(target_parse(text, &t, &error), code);
    if (!strstr(error.text, part))
        fail_msg("%s: '%s' does not say '%s'", raw, error.text, part);
}

static void a_target_is_decoded_once_and_piece_by_piece(void **state)
{
    target t = parsed("/v1/daemons/a%2Fb%2525/events?framing=lines&reply=1&x=%26%3d&y&z=a+b");

    (void)state;
    assert_int_equal(t.segment_count, 4);
    assert_string_equal(t.segments[0], "v1");
    assert_string_equal(t.segments[2], "a/b%25");
    assert_string_equal(t.segments[3], "events");
    assert_int_equal(t.param_count, 5);
    assert_string_equal(target_param_get(&t, "framing"), "lines");
    assert_string_equal(target_param_get(&t, "x"), "&=");
    assert_string_equal(target_param_get(&t, "y"), "");
    assert_string_equal(target_param_get(&t, "z"), "a+b");
    assert_null(target_param_get(&t, "w"));
    t = parsed("http://berth/v1/status");
    assert_int_equal(t.segment_count, 2);
    t = parsed("/");
    assert_int_equal(t.segment_count, 0);
}

static void a_target_that_could_mean_two_things_is_refused(void **state)
{
    (void)state;
    refused("v1/status", BERTH_ERR_INVALID, "must begin with '/'");
    refused("*", BERTH_ERR_INVALID, "must begin with '/'");
    refused("http://berth", BERTH_ERR_INVALID, "has no path");
    refused("/v1//status", BERTH_ERR_INVALID, "empty segment");
    refused("/v1/status/", BERTH_ERR_INVALID, "empty segment");
    refused("/v1/status%00x", BERTH_ERR_INVALID, "not 00");
    refused("/v1/%2", BERTH_ERR_INVALID, "two hex digits");
    refused("/v1/%zz", BERTH_ERR_INVALID, "two hex digits");
    refused("/v1/x?a=%", BERTH_ERR_INVALID, "two hex digits");
    refused("/v1/x?=1", BERTH_ERR_INVALID, "has no name");
    refused("/v1/x?a=1&a=2", BERTH_ERR_INVALID, "'a' is given twice");
    refused("/v1/x?a=1&%61=2", BERTH_ERR_INVALID, "'a' is given twice");
    refused("/v1/x?1&2&3&4&5&6&7&8&9", BERTH_ERR_LIMIT, "more than 8");
}

static const api_route *found(const char *method, const char *raw)
{
    target t = parsed(raw);
    bool same_path;

    return route_find(&t, method, &same_path);
}

static void every_route_finds_itself_and_no_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < api_route_count; i++) {
        char path[256];
        size_t n = 0;

        /* any text may stand for {x}, also that of a literal segment */
        for (const char *p = api_routes[i].pattern; *p; p++) {
            if (*p == '{') {
                n += (size_t)snprintf(path + n, sizeof path - n, "any.thing-1");
                p += strcspn(p, "}");
            } else {
                path[n++] = *p;
            }
        }
        path[n] = '\0';
        assert_ptr_equal(found(api_routes[i].method, path), &api_routes[i]);
        assert_null(found("PATCH", path));
    }
    assert_ptr_equal(found("HEAD", "/v1/status"), found("GET", "/v1/status"));
}

static void an_unknown_path_is_told_the_nearest_route(void **state)
{
    static const struct {
        const char *path, *nearest;
    } rows[] = {
        {"/v1/statsu", "/v1/status"},
        {"/status", "/v1/status"},
        {"/v2/metrics", "/v1/metrics"},
        {"/v1/daemon", "/v1/daemons"},
        {"/v1/daemons/foo/event", "/v1/daemons/{daemon}/events"},
        {"/v1/daemons/foo/tail", "/v1/daemons/{daemon}"},
        {"/v1/plugin/foo", "/v1/plugins/{plugin}"},
        {"/", "/v1/mesh"},
        {"/v1/a/b/c/d/e/f/g/h/i", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        target t = parsed(rows[i].path);
        bool same_path = true;

        assert_null(route_find(&t, "GET", &same_path));
        assert_false(same_path);
        if (rows[i].nearest)
            assert_string_equal(route_nearest(&t), rows[i].nearest);
        else
            assert_non_null(route_nearest(&t));
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    target t = parsed("/v1/daemons/x");
    char methods[64];
    bool same_path = false;

    (void)state;
    assert_null(route_find(&t, "PUT", &same_path));
    assert_true(same_path);
    route_methods(&t, methods, sizeof methods);
    assert_string_equal(methods, "GET, DELETE");
}

/* The operations of the document: "METHOD /path" for each line that opens one. */
static unsigned documented(char rows[][128], unsigned cap)
{
    FILE *f = fopen(SOURCE_DIR "/docs/openapi.yaml", "r");
    char line[512], path[128] = "", word[128];
    unsigned count = 0;
    bool in_paths = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (*line != ' ' && *line != '\n')
            in_paths = strncmp(line, "paths:", 6) == 0;
        if (!in_paths)
            continue;
        if (strncmp(line, "  /", 3) == 0 && sscanf(line, "  %127[^:]:", word) == 1)
            snprintf(path, sizeof path, "%s", word);
        if (sscanf(line, "    %127[a-z]:", word) != 1 || strncmp(line, "    ", 4) != 0 ||
            line[4] == ' ' || strcmp(word, "parameters") == 0)
            continue;
        assert_true(count < cap);
        for (char *c = word; *c; c++)
            *c = (char)(*c - 'a' + 'A');
        snprintf(rows[count++], 128, "%.7s %.118s", word, path);
    }
    fclose(f);
    return count;
}

static void the_document_and_the_table_have_the_same_routes(void **state)
{
    static char rows[64][128];
    unsigned count = documented(rows, 64);
    char wanted[128];

    (void)state;
    assert_int_equal(count, api_route_count);
    for (unsigned i = 0; i < api_route_count; i++) {
        unsigned hits = 0;

        snprintf(wanted, sizeof wanted, "%s %s", api_routes[i].method, api_routes[i].pattern);
        for (unsigned j = 0; j < count; j++)
            hits += strcmp(rows[j], wanted) == 0;
        if (hits != 1)
            fail_msg("docs/openapi.yaml has '%s' %u times", wanted, hits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_decoded_once_and_piece_by_piece),
        cmocka_unit_test(a_target_that_could_mean_two_things_is_refused),
        cmocka_unit_test(every_route_finds_itself_and_no_other),
        cmocka_unit_test(an_unknown_path_is_told_the_nearest_route),
        cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(the_document_and_the_table_have_the_same_routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
