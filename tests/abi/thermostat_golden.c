/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thermostat_golden FILE.so...: the same events for the same daemon in several languages. Each must
 * give the transcript below, to the byte. Built against the installed testkit by sdk_install.sh.
 */
#include <berth/testkit.h>

#include <stdio.h>
#include <string.h>

#define KIND "org.example.thermostat"

static char transcript[16384];
static size_t used;

static void add(const char *what, const void *ptr, size_t len)
{
    int n = snprintf(transcript + used, sizeof transcript - used, "%s%.*s\n", what, (int)len,
                     (const char *)ptr);
    used += (size_t)n;
}

/* The code of a call and all it did, a line each. */
static void record(berth_test_daemon *d, const char *call, berth_code code)
{
    char line[128];

    snprintf(line, sizeof line, "%s: %d %s", call, code, berth_test_failure(d));
    add("", line, strlen(line));
    for (size_t i = 0; i < berth_test_effect_count(d); i++) {
        const berth_test_effect *e = berth_test_effect_at(d, i);
        if (e->to == BERTH_TO_CALLER)
            add("  emit ", e->data.ptr, e->data.len);
        else
            add("  timer", "", 0);
    }
}

static void record_state(berth_test_daemon *d, uint32_t version)
{
    char hex[128] = "";
    berth_bytes state = {NULL, 0};
    berth_code code = berth_test_snapshot(d, version, &state);

    for (uint64_t i = 0; i < state.len && i < 60; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)state.ptr)[i]);
    record(d, hex, code);
}

static void say(berth_test_daemon *d, const char *reading)
{
    record(d, reading, berth_test_message(d, reading, strlen(reading)));
}

static void record_create(berth_test *t, const char *config, const void *state, uint64_t len,
                          uint32_t version)
{
    berth_test_birth birth = {.kind = KIND,
                              .config = {config, strlen(config)},
                              .state = {state, len},
                              .state_version = version};
    char line[128];
    berth_code code;
    berth_test_daemon *d = berth_test_spawn(t, &birth, &code);

    snprintf(line, sizeof line, "create '%s': %d %s", config, code, berth_test_last_failure(t));
    add("", line, strlen(line));
    if (d) {
        record_state(d, 2);
        berth_test_destroy(d);
    }
}

static int run(const char *file)
{
    static const char *const readings[] = {
        "21.4", "20.9", "20.8\n", "21.5",  "22",    "22.001", "22.0",   "-5.25 \n",
        "-0",   "warm", "",       "-",     "1.",    ".5",     "1.2.3",  "1.2345",
        "1234", "+1",   " 20.0",  "20 .0", "20.0x", "999",    "-999.9", "20\n\n"};
    const char *why;
    berth_test *t = berth_test_open_file(file, &why);
    berth_test_birth birth = {.kind = KIND, .config = {"21.5", 4}};
    berth_test_daemon *d;
    berth_daemon_status status;

    used = 0;
    if (!t || !(d = berth_test_spawn(t, &birth, NULL))) {
        fprintf(stderr, "%s: %s\n", file, t ? berth_test_last_failure(t) : why);
        return 0;
    }
    record(d, "start", berth_test_start(d, BERTH_START_NEW));
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++)
        say(d, readings[i]);
    record_state(d, 1);
    record_state(d, 2);
    record_state(d, 3);
    record(d, "rebuild", berth_test_rebuild(d, 2));
    record(d, "start", berth_test_start(d, BERTH_START_RESTORED));
    say(d, "15");
    berth_test_advance(t, INT64_C(600000000000));
    record(d, "silence", berth_test_run_timers(d) == 1 ? BERTH_OK : BERTH_E_BROKEN);
    record_state(d, 2);
    record(d, "status", berth_test_status(d, &status));
    add(status.health == BERTH_DEGRADED ? "degraded" : "healthy", "", 0);
    record(d, "rebuild", berth_test_rebuild(d, 1));
    record_state(d, 2);
    record_create(t, "", NULL, 0, 0);
    record_create(t, "hot", NULL, 0, 0);
    record_create(t, "", "\x10\x27\0\0\0\0\0\0\1", 9, 1);
    record_create(t, "", "\x10\x27\0\0\0\0\0\0\1", 9, 2);
    record_create(t, "", "\x10\x27\0\0\0\0\0\0\2", 9, 1);
    record_create(t, "", "\x10\x27\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0\1", 18, 2);
    record_create(t, "", "\x10\x27\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0\1", 18, 3);
    record_create(t, "", "", 0, 1);
    berth_test_close(t);
    return 1;
}

int main(int argc, char **argv)
{
    static char golden[sizeof transcript];
    size_t golden_len;
    FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;

    if (!file) {
        fprintf(stderr, "usage: thermostat_golden TRANSCRIPT FILE.so...\n");
        return 2;
    }
    golden_len = fread(golden, 1, sizeof golden, file);
    fclose(file);
    for (int i = 2; i < argc; i++) {
        if (!run(argv[i]))
            return 1;
        if (used != golden_len || memcmp(transcript, golden, used) != 0) {
            fprintf(stderr, "%s: gives another transcript than %s:\n", argv[i], argv[1]);
            fwrite(transcript, 1, used, stderr);
            return 1;
        }
    }
    return 0;
}
