/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the command line with two hosts, a and b, each with a directory of its own and
 * sockets on the loopback.
 */
#ifndef CLI_TWO_H
#define CLI_TWO_H

#include "cli_run.h"

#include "base/json.h"

static run hosts[2];
static const char *const names[] = {"a", "b"};

static inline int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    unsetenv("BERTH_SOCKET");
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        if (!hosts[i].pid)
            continue;
        kill(hosts[i].pid, SIGKILL);
        run_finish(&hosts[i], NULL, 0);
        run_free(&hosts[i]);
    }
    remove_dir();
    return 0;
}

/* ---- Hosts ----------------------------------------------------------------------------------- */

static inline void configure(unsigned i, const char *more)
{
    char text[2048], file[16];

    snprintf(file, sizeof file, "%s.conf", names[i]);
    snprintf(text, sizeof text, "host { name = %s }\n%s\n", names[i], more);
    write_file(file, text, strlen(text), 0600);
}

#define LISTEN "mesh { listen = { 127.0.0.1:0 } }"

/* options: more of them, such as plugins. */
static inline void start_with(unsigned i, const char *options)
{
    char words[1024];

    snprintf(words, sizeof words,
             "run --json --config {}/%s.conf --state {}/%s --socket {}/%s.run/sock %s", names[i],
             names[i], names[i], options);
    run_start(&hosts[i], words);
    run_expect(&hosts[i], false, "\"ready\":true");
}

static inline void start(unsigned i)
{
    start_with(i, "--plugin " BUILD_DIR "/tests/plugins/probe.so --plugin " BUILD_DIR
                  "/plugins/counter.so");
}

static inline void stop(unsigned i)
{
    kill(hosts[i].pid, SIGTERM);
    run_finish(&hosts[i], NULL, 0);
    if (hosts[i].code != 0)
        fail_msg("host %s ended with %d: %s", names[i], hosts[i].code, hosts[i].errors);
    run_free(&hosts[i]);
}

/* The words, for the host. */
static inline const char *at(unsigned i, const char *words)
{
    static char text[4][1024];
    static unsigned next;
    char *out = text[next++ % 4];

    snprintf(out, sizeof text[0], "%s --socket {}/%s.run/sock", words, names[i]);
    return out;
}

/* What the command prints; free() it. */
static inline char *said(unsigned i, const char *words)
{
    run r;
    char *out;

    run_berth(&r, at(i, words), NULL);
    if (r.code != 0)
        fail_msg("berth %s: %d: %s", words, r.code, r.errors);
    out = strdup(r.output);
    run_free(&r);
    return out;
}

/* Again and again, until its output has this. */
static inline void until(unsigned i, const char *words, const char *text)
{
    for (;;) {
        run r;
        bool there;

        run_berth(&r, at(i, words), NULL);
        there = r.code == 0 && strstr(r.output, text);
        run_free(&r);
        if (there)
            return;
    }
}

/* A string member of the JSON that the command prints; "a.0" is an element of an array. */
static inline char *member(unsigned i, const char *words, const char *key, const char *list)
{
    char *text = said(i, words);
    struct json_object *o = NULL;
    slice value = {0};
    char *out;

    assert_int_equal(json_parse(slice_str(text), 1 << 20, &o, NULL), BERTH_OK);
    if (list) {
        struct json_object *array = NULL;

        assert_int_equal(json_get_strings(o, "", list, JSON_REQUIRED, &array, NULL), BERTH_OK);
        value = json_string_at(array, 0);
    } else {
        assert_int_equal(json_get_string(o, "", key, JSON_REQUIRED, &value, NULL), BERTH_OK);
    }
    out = strndup((const char *)value.ptr, value.len);
    json_object_put(o);
    free(text);
    return out;
}

static inline char *key_of(unsigned i)
{
    return member(i, "mesh show --json", "key", NULL);
}

static inline char *address_of(unsigned i)
{
    return member(i, "mesh show --json", NULL, "listening");
}

/* Options of `peer add` beside the others: what is granted. */
static const char *granted = "";

/* Host i lets the other one in, and calls it if that is said. How far the call is when the command
 * looks is anybody's guess. */
static inline void introduce(unsigned i, bool calls)
{
    unsigned other = !i;
    char *key = key_of(other), *address = address_of(other), words[512], *out;

    snprintf(words, sizeof words, "peer add %s %s%s%s%s", names[other], key,
             calls ? " --address " : "", calls ? address : "", granted);
    out = said(i, words);
    snprintf(words, sizeof words, "added %s: ", names[other]);
    assert_int_equal(strncmp(out, words, strlen(words)), 0);
    assert_non_null(strstr(out, "; until the host's next start\n"));
    free(out);
    free(key);
    free(address);
}

static inline void two_hosts(void)
{
    for (unsigned i = 0; i < 2; i++) {
        configure(i, LISTEN);
        start(i);
    }
}

static inline void meet(void)
{
    introduce(1, false);
    introduce(0, true);
    until(0, "peer ls", "connected");
    until(1, "peer ls", "connected");
}

static inline void connect_hosts(void)
{
    two_hosts();
    meet();
}

#endif
