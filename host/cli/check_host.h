/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_host.h: the host that a plugin sees while it is checked.
 *
 * It keeps the contract of berth/abi.h, and watches the plugin keep it: what is called where it may
 * not be, or through a dead handle, is answered as a host answers it and noted. It lends memory in
 * ways that make stray touches fault, gives tables of other sizes, and refuses effects on purpose,
 * as the check wishes. What a call did is kept as a digest.
 *
 * Daemons may be called from several threads, each from one at a time. It takes its memory from the
 * system and not from malloc, so that the plugin's can be counted.
 */
#ifndef CLI_CHECK_HOST_H
#define CLI_CHECK_HOST_H

#include "cli/check_area.h"

/* How events and births are lent. */
typedef enum host_lend {
    LEND_PLAIN,     /* in memory that stays */
    LEND_END,       /* up against a guard */
    LEND_BEGIN,     /* right behind one */
    LEND_READ_ONLY, /* at odd addresses; writing faults, struct included */
    LEND_BORROWED,  /* gone after the call, struct included */
} host_lend;

/* How the host's tables and structs look. */
typedef enum host_tables {
    TABLES_PLAIN,
    TABLES_SHORT,    /* of version 0.0, nothing behind them */
    TABLES_POISONED, /* garbage behind them */
    TABLES_NEWER,    /* larger, as of a later minor version; garbage in what is new */
} host_tables;

/* What a plugin must not do. */
typedef enum host_rule {
    RULE_PHASE,       /* an effect where none is allowed */
    RULE_DEAD_CALL,   /* a berth_call after its call */
    RULE_THREAD,      /* a berth_call on another thread */
    RULE_DEAD_DAEMON, /* a berth_daemon after destroy */
    RULE_EXTENSION,   /* extension outside of init */
    RULE_RESERVE,     /* bytes written past what was reserved */
    HOST_RULES
} host_rule;

typedef struct check_host check_host;
typedef struct check_daemon check_daemon;

/* What became of one call. */
typedef struct host_answer {
    berth_code code; /* that counts: LIMIT when one was passed */
    bool limited;
    uint32_t effects;
    uint64_t digest;
    char shown[SCRIPT_SHOWN];
    char text[160]; /* given to fail, escaped and cut */
} host_answer;

/* Make the host, load the plugin with it, take the kind. Any failure ends the check. */
void check_open(check *c, host_tables tables);
/* The same for the whole file; the verdict is the caller's. */
berth_status host_load(check *c, host_tables tables, berth_error *error);

void host_set_lend(check_host *h, host_lend lend);

/* Refuse the effect with this number (from 0, counted over all daemons since this call) by code;
 * for LIMIT all after it in the same call too. count of effects so far, refused ones included, by
 * host_effects. */
void host_refuse(check_host *h, uint64_t number, berth_code code);
uint64_t host_effects(const check_host *h);
bool host_has_refused(const check_host *h);

/* NULL: it was kept. */
const char *host_broken_rule(const check_host *h, host_rule rule);
const char *host_rule_cure(host_rule rule);

/* ---- Daemons --------------------------------------------------------------------------------- */

typedef struct host_birth {
    slice config;             /* a zero is put behind it; ptr NULL: the check's */
    const check_state *state; /* NULL: born new */
    slice raw_state;          /* where state is NULL and ptr is not */
    uint32_t raw_version;
    const script_world *world; /* NULL: empty */
    uint64_t origin;           /* 0: the usual one */
} host_birth;

/* NULL when create fails. birth and answer may be NULL. */
check_daemon *host_create(check *c, const host_birth *birth, host_answer *answer);
/* The same, but a failure ends the check. */
check_daemon *host_create_or_fail(check *c, const host_birth *birth);
void host_destroy(check_daemon *d);

/* BERTH_E_ARGUMENT without a call where the kind has no such handler. */
berth_code host_deliver(check_daemon *d, const berth_event *event, host_answer *answer);
berth_code host_start(check_daemon *d, int32_t reason, host_answer *answer);
berth_code host_control(check_daemon *d, int32_t control, uint64_t operand, host_answer *answer);
/* *state lives until the daemon's next snapshot. */
berth_code host_snapshot(check_daemon *d, uint32_t version, slice *state, host_answer *answer);
/* The same, kept; false when it does not fit. */
bool host_keep_state(check_state *out, slice state, uint32_t version);
berth_code host_status(check_daemon *d, berth_daemon_status *out, host_answer *answer);

const script_world *host_world(const check_daemon *d);

/* Number i of the script, after what is due before it; the entry (may be NULL) covers all of that.
 * Where there is no entry, posts of the plugin's threads are delivered too. The event's code. */
berth_code host_play(check_daemon *d, uint32_t i, script_entry *entry);
/* Those from `from` on, below `to`; trace may be NULL. */
void host_play_all(check_daemon *d, uint32_t from, uint32_t to, script_trace *trace);

/* "LIMIT", or the number. */
const char *host_code_name(berth_code code);

#endif
