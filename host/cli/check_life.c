/* SPDX-License-Identifier: Apache-2.0 */
/* Being born, by whatever configuration, living, and saying how one is. */
#include "cli/check_checks.h"
#include "cli/check_host.h"
#include "cli/check_usage.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASS_NS 300000000ll /* what one playing of the script should take at most */

enum { LEAST = 4 }; /* events of it that are played in any case */

/* ---- run ------------------------------------------------------------------------------------- */

static _Noreturn void cannot_create(check *c, const host_answer *answer)
{
    char config[80];

    snprintf(config, sizeof config, "%.60s", c->config.len ? (const char *)c->config.ptr : "");
    if (answer->code == BERTH_E_CONFIG)
        check_fail(c,
                   "give it a configuration that it understands: --config TEXT or --config @FILE",
                   "create does not understand the %s configuration%s%s%s%s",
                   c->config.len ? "given" : "empty", config[0] ? " " : "", config,
                   answer->text[0] ? ": " : "", answer->text);
    check_fail(c, "see why it refuses to be born with nothing but a configuration",
               "create answered %s%s%s", host_code_name(answer->code), answer->text[0] ? ": " : "",
               answer->text);
}

/* The first instance; where JSON is wanted and none was given, an empty object will do. */
static check_daemon *be_born(check *c)
{
    host_answer answer;
    check_daemon *d = host_create(c, NULL, &answer);

    if (!d && !c->config.len && c->facts->config == CONFIG_JSON) {
        c->shared->braces = true;
        c->config = slice_str("{}");
        d = host_create(c, NULL, &answer);
    }
    if (d)
        return d;
    cannot_create(c, &answer);
}

/* How much of the script later checks play: slow plugins get less. */
static void choose_length(check *c, uint32_t played, int64_t took_ns)
{
    int64_t each = played ? took_ns / played : 0;
    int64_t fit = each > 0 ? PASS_NS / each : SCRIPT_MAX;

    c->shared->event_count = fit < LEAST ? LEAST : (uint32_t)fit;
    if (c->shared->event_count > played)
        c->shared->event_count = played;
}

void check_life_run(check *c)
{
    script_trace *trace = &c->shared->trace;
    uint32_t count = c->script->count;
    host_answer answer;
    check_daemon *d;
    int64_t began;

    check_open(c, TABLES_PLAIN);
    check_detail(c, "without a state");
    d = be_born(c);
    check_detail(c, "as a new daemon");
    if (host_start(d, BERTH_START_NEW, &answer) == BERTH_E_BROKEN)
        check_fail(c, "a fresh daemon has nothing to be broken", "on_start answered BROKEN%s%s",
                   answer.text[0] ? ": " : "", answer.text);
    memset(trace, 0, sizeof *trace);
    began = clock_mono_ns();
    for (uint32_t i = 0; i < count; i++) {
        host_play_all(d, i, i + 1, trace);
        /* The rest would take too long, also for those who come after. */
        if (i >= LEAST && clock_mono_ns() - began > 2 * PASS_NS)
            break;
    }
    choose_length(c, trace->count, clock_mono_ns() - began);
    if (trace->broken)
        check_fail(c, "answer BERTH_E_REJECT to events that make no sense",
                   "answered BROKEN to %u of %u events", trace->broken, trace->count);
    check_detail(c, "%s", "");
    host_control(d, BERTH_CONTROL_SHUTDOWN, 1000, NULL);
    host_destroy(d);
    check_figure_add(c, "events", trace->count);
    check_figure_add(c, "rejected", trace->rejected);
    if (trace->rejected == trace->count)
        check_pass(c,
                   "lived, but refused every one of %u events, so little is tried: give it some "
                   "that it takes with --events FILE",
                   trace->count);
    check_pass(c, "%u events, %u of them rejected", trace->count, trace->rejected);
}

/* ---- config ---------------------------------------------------------------------------------- */

static bool try_config(check *c, const void *ptr, size_t len)
{
    host_birth birth = {.config = slice_of(ptr, len)};
    check_daemon *d = host_create(c, &birth, NULL);

    if (d)
        host_destroy(d);
    return d != NULL;
}

enum { CONFIG_MAX = 64 << 10 };

/* Configurations that nobody has in mind who writes create. */
static void odd_configs(check *c, uint8_t *room, unsigned *tried, unsigned *taken)
{
    static const char *const texts[] = {
        "",
        "x",
        "\n",
        "0",
        "-1",
        "1e999",
        "{}",
        "[]",
        "null",
        "{\"a\": {\"a\": {\"a\": []}}}",
        "{\"a\": ",
        "\"",
        "=",
        "a=b\nc",
        "\xff\xfe",
        "../../etc/passwd",
        "%s%s%s%n",
        "'; --",
        "99999999999999999999999999",
        "true",
        "\xef\xbb\xbf{}",
    };
    static const char *const fills[] = {"A",  "[",       "{\"a\":",         "9",
                                        "\n", "\\u0000", "\xf0\x9f\x98\x80"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++, ++*tried) {
        check_detail(c, "configuration '%s'", texts[i]);
        *taken += try_config(c, texts[i], strlen(texts[i]));
    }
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++, ++*tried) {
        size_t n = strlen(fills[i]);

        check_detail(c, "64 KiB of '%s' as configuration", fills[i]);
        for (size_t j = 0; j < CONFIG_MAX; j++)
            room[j] = (uint8_t)fills[i][j % n];
        *taken += try_config(c, room, CONFIG_MAX);
    }
}

static void random_configs(check *c, uint8_t *room, unsigned *tried, unsigned *taken)
{
    script_random r = {c->options->seed ^ 0xc0f1};
    slice given = c->config;

    for (unsigned i = 0; i < 400 && check_has_time(c); i++, ++*tried) {
        size_t len = (size_t)script_below(&r, 200);

        check_detail(c, "random configuration %u", i);
        for (size_t j = 0; j < len; j++)
            room[j] = (uint8_t)script_next(&r);
        /* Half of them: the given one with a byte changed, cut short somewhere. */
        if (given.len && given.len <= CONFIG_MAX && i % 2) {
            memcpy(room, given.ptr, given.len);
            room[script_below(&r, given.len)] = (uint8_t)script_next(&r);
            len = i % 4 == 1 ? given.len : (size_t)script_below(&r, given.len);
        }
        *taken += try_config(c, room, len);
    }
}

/* What create has begun when it refuses, it takes back. */
static void refusing_leaves_nothing(check *c, uint8_t *room)
{
    enum { LEN = 100, ROUNDS = 1000 };
    usage before, after;

    memset(room, '[', LEN);
    check_detail(c, "again and again with a bad configuration");
    if (try_config(c, room, LEN))
        return;
    before = usage_now();
    for (unsigned i = 0; i < ROUNDS; i++)
        try_config(c, room, LEN);
    after = usage_settled(before.threads);
    usage_compare(c, &before, &after, ROUNDS, "create with a bad configuration");
}

void check_life_config(check *c)
{
    uint8_t *room = (uint8_t *)malloc(CONFIG_MAX);
    unsigned tried = 0, taken = 0;

    if (!room)
        abort();
    check_open(c, TABLES_PLAIN);
    host_set_lend(c->host, LEND_END);
    odd_configs(c, room, &tried, &taken);
    random_configs(c, room, &tried, &taken);
    refusing_leaves_nothing(c, room);
    check_figure_add(c, "tried", tried);
    check_figure_add(c, "taken", taken);
    check_pass(c, "%u odd configurations, %u of them taken", tried, taken);
}

/* ---- status ---------------------------------------------------------------------------------- */

void check_life_status(check *c)
{
    check_daemon *d;

    check_open(c, TABLES_PLAIN);
    if (!c->kind->table.status)
        check_skip(c, "the kind has no status function");
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (uint32_t i = 0; i < c->shared->event_count; i++) {
        berth_daemon_status status;
        host_answer answer;

        if (host_status(d, &status, &answer) != BERTH_OK)
            check_fail(c, "a daemon that is not well says so in out->health, and answers OK",
                       "status answered %s%s%s", host_code_name(answer.code),
                       answer.text[0] ? ": " : "", answer.text);
        if (status.health < BERTH_HEALTHY || status.health > BERTH_UNHEALTHY)
            check_fail(c, "use BERTH_HEALTHY, BERTH_DEGRADED or BERTH_UNHEALTHY",
                       "status says health %d, which means nothing", (int)status.health);
        if (status.saturation_ppm > 1000000)
            check_fail(c, "saturation_ppm is in parts per million",
                       "status says a saturation of %u ppm, over 1,000,000", status.saturation_ppm);
        if (status.size != sizeof status || status.reserved)
            check_fail(c, "fill in members one by one and leave size and reserved alone",
                       "status changed a member that is not its own");
        host_play(d, i, NULL);
    }
    host_destroy(d);
    check_pass(c, "answered %u times", c->shared->event_count);
}
