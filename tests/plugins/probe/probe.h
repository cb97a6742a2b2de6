/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h: a daemon that does what its events tell it, so that tests can drive every function of
 * the contract from every phase and see what it answered.
 *
 * An event's data (and the configuration, which runs in create) is a script: one command a line,
 * operands separated by single spaces, TEXT being the rest of the line. NUMBERs are decimal or 0x
 * hex. What a function of the host answered is noted; `answers` emits the notes of all calls so far
 * as "0 3 4" and forgets them. Notes are not part of the state.
 *
 *   effects    emit TEXT | emitn LEN | flood COUNT LEN | reserve CAP LEN | send ORIGIN TEXT | self
 * TEXT request ORIGIN NUMBER TIMEOUT_NS TEXT | bounce (data back to the event's origin) reply TEXT
 * | reply-part TEXT | refuse TEXT | keep | reply-kept TEXT publish CHANNEL TEXT | timer NUMBER
 * DELAY_NS TEXT | cancel NUMBER subscribe CHANNEL | subscribe-from NODE CHANNEL | unsubscribe
 * CHANNEL spawn KIND NAME REQUEST CONFIG (NAME "-": none) bad ones   to TO | flags TO FLAGS | newer
 * | newer-zero | short SIZE | null-emit LEN | stale | foreign commit LEN (without reserve) | write
 * TEXT | post-dead TEXT | extension ID others     log LEVEL TEXT | post TEXT | thread-post TEXT |
 * fail CODE TEXT | return CODE in PHASE COMMAND...: run it then; PHASE is snapshot, status or
 * destroy state      add NUMBER | memo TEXT | pad LEN (snapshot grows by LEN bytes) | value | memo?
 *   reports    answers | dump (the event) | limits | birth | dumpable (the process)
 *   abuse      sleep MS | spin | crash | leak BYTES
 *
 * Only the first `return` or `fail` counts; commands behind it still run. The state: value u64 and
 * memo blob (version 1), then the kept berth_ref and pad u64 with that many zeroes (version 2).
 */
#ifndef PROBE_H
#define PROBE_H

#include "berth/plugin.h"

#define PROBE_NOTES  256
#define PROBE_SCRIPT 512

typedef struct probe {
    berth_daemon *daemon;
    uint64_t origin;
    uint64_t max_event, max_outputs, max_output_bytes, max_state;
    uint32_t state_version;
    berth_call *last_call; /* dead by now */
    /* The state. */
    uint64_t value, pad;
    char memo[PROBE_SCRIPT];
    uint64_t memo_len;
    berth_ref kept;
    /* Scripts for the calls that get no event. */
    char in_snapshot[PROBE_SCRIPT], in_status[PROBE_SCRIPT], in_destroy[PROBE_SCRIPT];
    int32_t notes[PROBE_NOTES];
    uint32_t note_count;
} probe;

extern const berth_host *probe_host;
extern berth_daemon *probe_dead; /* the daemon destroyed last */

/* Run a script. event is NULL in calls that have none. Gives the code to return. */
berth_code probe_run(probe *p, berth_call *call, const berth_event *event, berth_bytes script);

#endif
