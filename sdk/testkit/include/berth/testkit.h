/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/testkit.h: unit tests of daemons without a host.
 *
 * Link the plugin's own sources (or name its .so) and the library berth-testkit. The kit stands in
 * for the host: it has a clock and a seed that the test sets, makes daemons, gives them events one
 * at a time on the calling thread, and keeps what they did for the test to look at. It holds the
 * plugin to the contract as a host does: the matrix of calls, the limits, transactions, dead
 * handles. It is stricter where that finds mistakes: event data, configuration and state lie in
 * buffers of exactly their length at odd addresses that are gone after the call, so a sanitizer
 * sees every stray read.
 *
 *     const char *why;
 *     berth_test *t = berth_test_open(&berth_plugin_0, &why);
 *     berth_test_daemon *d = berth_test_spawn(t, NULL, NULL);
 *     assert(berth_test_message(d, "hello", 5) == BERTH_OK);
 *     assert(berth_test_emitted(d, 0, "hello"));
 *     berth_test_close(t);
 *
 * One thread at a time, except that plugins may log and post from theirs. Whatever a function
 * returns by pointer belongs to the kit and lives until the next call on the same daemon, if its
 * comment says nothing else. Where memory runs out the process aborts.
 */
#ifndef BERTH_TESTKIT_H
#define BERTH_TESTKIT_H

#include "berth/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A plugin under test, initialised, with the host that it sees. */
typedef struct berth_test berth_test;

/* One daemon of it. */
typedef struct berth_test_daemon berth_test_daemon;

/* ---- The plugin ------------------------------------------------------------------------------ */

/* Check the table and call init. NULL when it is refused, with the reason in *why (static; why may
 * be NULL). */
berth_test *berth_test_open(const berth_plugin *plugin, const char **why);

/* The same for a shared object. No admission is done and no manifest is read: that is what
 * `berth plugin check` is for. */
berth_test *berth_test_open_file(const char *path, const char **why);

/* With extensions of the host for init to find: ids[i] has tables[i]. */
berth_test *berth_test_open_with(const berth_plugin *plugin, size_t extensions,
                                 const char *const *ids, const void *const *tables,
                                 const char **why);

/* Destroys the daemons that are left, calls deinit, and closes the file. NULL is allowed. */
void berth_test_close(berth_test *t);

/* The clock: nanoseconds since 1970. It stands still; it begins at 1,700,000,000 s. */
int64_t berth_test_now(const berth_test *t);
void berth_test_advance(berth_test *t, int64_t ns);

/* Events get seeds from a sequence that these two numbers begin; it is 1, 2 at first. */
void berth_test_set_seed(berth_test *t, uint64_t a, uint64_t b);

/* The log: escaped lines, as a host would write them, from the first one. NULL past the last. They
 * live until berth_test_close. */
size_t berth_test_log_count(berth_test *t);
const char *berth_test_log_text(berth_test *t, size_t i);
int32_t berth_test_log_level(berth_test *t, size_t i);

/* ---- Daemons --------------------------------------------------------------------------------- */

/* Zero-initialise, set what matters; zero means the default. */
typedef struct berth_test_birth {
    const char *kind;   /* NULL: the plugin's first */
    const char *name;   /* NULL: "test" */
    berth_bytes config; /* empty */
    /* ptr NULL: born new. Else a state, with the version that wrote it. */
    berth_bytes state;
    uint32_t state_version;
    uint32_t reserved;
    uint64_t origin;           /* a number of its own per daemon */
    uint64_t max_event;        /* 1 MiB */
    uint64_t max_outputs;      /* 4096 */
    uint64_t max_output_bytes; /* 64 MiB */
    uint64_t max_state;        /* 4 GiB - 1 */
    uint64_t max_posts;        /* 1024: how many wait */
} berth_test_birth;

/* Call create. birth may be NULL. NULL when it fails; then *code (may be NULL) is what create
 * answered and berth_test_last_failure(t) the text. on_start does not run by itself. */
berth_test_daemon *berth_test_spawn(berth_test *t, const berth_test_birth *birth, berth_code *code);
const char *berth_test_last_failure(const berth_test *t);

/* Call destroy. The handle that the plugin has stays in memory, dead, until berth_test_close. */
void berth_test_destroy(berth_test_daemon *d);

uint64_t berth_test_origin(const berth_test_daemon *d);

/* ---- Events ---------------------------------------------------------------------------------- */

/*
 * Each answers what the host would count: the handler's code, or BERTH_E_LIMIT if a limit was
 * passed. BERTH_E_ARGUMENT without calling the plugin: the kind has no such handler, the data is
 * longer than max_event, there is no such timer or request.
 */
berth_code berth_test_start(berth_test_daemon *d, int32_t reason);
berth_code berth_test_message(berth_test_daemon *d, const void *data, uint64_t len);
/* A message that waits for an answer: reply_to is the kit's reference number `request`. */
berth_code berth_test_ask(berth_test_daemon *d, uint64_t request, const void *data, uint64_t len);
berth_code berth_test_control(berth_test_daemon *d, int32_t control, uint64_t operand);
/* An answer to an open request of the daemon. flags: 0 or BERTH_MORE. */
berth_code berth_test_reply(berth_test_daemon *d, uint64_t request, int32_t status, uint16_t flags,
                            const void *data, uint64_t len);
/* The pending timer with this number, now; the clock is put forward if it was due later. */
berth_code berth_test_fire(berth_test_daemon *d, uint64_t number);
/* The oldest post that waits. */
berth_code berth_test_run_post(berth_test_daemon *d);
/* Any event. size, and where they are 0 time_ns, seed, attempt, are filled in; data and channel
 * copied. */
berth_code berth_test_deliver(berth_test_daemon *d, const berth_event *event);

/* All timers that are due, in order, including those that they set. How many there were. */
size_t berth_test_run_timers(berth_test_daemon *d);

/* The text that the last call gave to fail, escaped and cut; "" for none. */
const char *berth_test_failure(const berth_test_daemon *d);

/* ---- What the last call did ------------------------------------------------------------------ */

#define BERTH_TEST_OUTPUT      1
#define BERTH_TEST_SUBSCRIBE   2
#define BERTH_TEST_UNSUBSCRIBE 3
#define BERTH_TEST_SPAWN       4

/* An effect, as recorded; members that do not belong to it are zero. */
typedef struct berth_test_effect {
    int32_t what;
    uint16_t to;
    uint16_t flags;
    berth_bytes data;    /* OUTPUT; SPAWN: the configuration */
    uint64_t origin;     /* OUTPUT to a daemon; (UN)SUBSCRIBE: the publisher */
    berth_bytes channel; /* OUTPUT to a channel; (UN)SUBSCRIBE */
    berth_bytes kind;    /* SPAWN */
    berth_bytes name;    /* SPAWN */
    berth_ref reply_to;
    uint64_t request;
    int64_t delay_ns;
} berth_test_effect;

/* The effects of the last event, in order. None when it failed. */
size_t berth_test_effect_count(const berth_test_daemon *d);
const berth_test_effect *berth_test_effect_at(const berth_test_daemon *d, size_t i);

/* The i-th output to the caller: its bytes (ptr NULL: there is none), or whether it is this text.
 */
berth_bytes berth_test_output(const berth_test_daemon *d, size_t i);
int berth_test_emitted(const berth_test_daemon *d, size_t i, const char *text);

/* The reply_to of berth_test_ask(d, request, ...). */
berth_ref berth_test_ref(uint64_t request);

/* What has added up over all events. */
int berth_test_subscribed(const berth_test_daemon *d, const char *channel, uint64_t publisher);
int berth_test_requested(const berth_test_daemon *d, uint64_t request);
/* Whether a timer with this number is pending; *due_ns (may be NULL) is when. */
int berth_test_timer(const berth_test_daemon *d, uint64_t number, int64_t *due_ns);
size_t berth_test_post_count(berth_test_daemon *d);

/* ---- State and status ------------------------------------------------------------------------ */

/* Call snapshot. BERTH_E_ARGUMENT for a kind without one. *state lives until the daemon's next
 * snapshot. */
berth_code berth_test_snapshot(berth_test_daemon *d, uint32_t want_version, berth_bytes *state);

/* Snapshot in this version, create a second instance from it, and put it in the place of the first,
 * which is destroyed. On failure the daemon is as it was. Timers, requests and subscriptions stay.
 */
berth_code berth_test_rebuild(berth_test_daemon *d, uint32_t version);

/* Call status. BERTH_E_ARGUMENT for a kind without one. */
berth_code berth_test_status(berth_test_daemon *d, berth_daemon_status *out);

#ifdef __cplusplus
}
#endif
#endif
