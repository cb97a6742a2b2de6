/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of what bad input gets where people give it: one line that names the thing, the right
 * exit code, a host that goes on, and nothing left behind.
 */
#ifndef CLI_REFUSED_H
#define CLI_REFUSED_H

#include "cli_run.h"

#include <dirent.h>
#include <limits.h>
#include <time.h>

#define PLUGINS BUILD_DIR "/tests/plugins/"

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define TEST(name)  cmocka_unit_test_setup_teardown(name, begin, end)

static run host;

static inline int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("run/sock"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("BERTH_TEST_CTOR", in_dir("mark"), 1);
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

static inline void host_start(const char *options)
{
    char words[256];

    snprintf(words, sizeof words, "run --json --socket {}/run/sock %s", options);
    /* Only root sees the descriptors of a host that may not be debugged. */
    setenv("BERTH_DUMPABLE", "1", 1);
    run_start(&host, words);
    unsetenv("BERTH_DUMPABLE");
    run_expect(&host, false, "\"ready\":true");
}

static inline void host_end(void)
{
    kill(host.pid, SIGTERM);
    run_finish(&host, NULL, 0);
    if (host.code != 0)
        fail_msg("the host ended with %d: %s", host.code, host.errors);
    run_free(&host);
}

static inline int end(void **state)
{
    (void)state;
    if (host.pid) {
        kill(host.pid, SIGKILL);
        run_finish(&host, NULL, 0);
        run_free(&host);
    }
    unsetenv("BERTH_TEST_CTOR");
    unsetenv("LD_LIBRARY_PATH");
    remove_dir();
    return 0;
}

/* Run it: this code, nothing printed, and one line that begins as all do and has this in it. */
static inline void refused(const char *words, const char *input, int code, const char *says)
{
    run r;

    run_berth(&r, words, input);
    if (r.code != code || r.output_len || strncmp(r.errors, "berth: ", 7) != 0 ||
        strchr(r.errors, '\n') != r.errors + r.errors_len - 1 || !strstr(r.errors, says))
        fail_msg("berth %s\nanswered %d, not %d with '%s'\nprinted: %s\nsaid: %s", words, r.code,
                 code, says, r.output, r.errors);
    run_free(&r);
}

static inline unsigned entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A connection that a client has left may be open for a moment more. */
static inline void await_descriptors(unsigned n)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd", (int)host.pid);
    for (int i = 0; entries(path) != n; i++) {
        if (i == 30000)
            fail_msg("the host has %u descriptors open, not %u", entries(path), n);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* As many as the host has when nobody is connected: the same twice with a pause, after work. */
static inline unsigned descriptors(void)
{
    char path[64];
    unsigned n, same = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)host.pid);
    n = entries(path);
    while (same < 50) {
        unsigned now = entries(path);

        same = now == n ? same + 1 : 0;
        n = now;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return n;
}

#endif
