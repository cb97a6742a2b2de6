/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/call_server_private.h: what call_server*.c share. */
#ifndef MESH_CALL_SERVER_PRIVATE_H
#define MESH_CALL_SERVER_PRIVATE_H

#include "base/map.h"
#include "daemon/heap.h"
#include "mesh/call.h"
#include "mesh/call_list.h"
#include "mesh/call_numbers.h"

/* An answer without an entry, that waits for room. */
typedef struct bounce {
    uint64_t id, number;
    call_status status;
} bounce;

typedef struct caller {
    heap_node timer; /* without entries: when it can be forgotten */
    uint64_t node, boot;
    call_numbers over; /* numbers that will not be executed (again) */
    map64 entries;     /* by number */
    /* open: all, by number. kept: answered and not acknowledged, the oldest first. unsent: answered
     * and not sent. */
    call_link open, kept, unsent;
    uint32_t running;
    uint64_t bytes;    /* of those kept */
    int64_t forget_ns; /* then no copy of a request is under way any more */
    bool blocked;
    bounce *bounces;
    uint32_t bounce_count, bounce_cap;
} caller;

typedef struct entry {
    heap_node timer; /* running: its deadline; answered: when it is dropped */
    call_link open, kept, unsent;
    caller *caller;
    uint64_t id, number;
    uint64_t handle;       /* 0: answered */
    call_status withdrawn; /* CALL_OK: no; else what an OK becomes */
    int64_t deadline_ns;
    buf *answer;
} entry;

struct call_server {
    call_server_config config;
    map64 callers, handles;
    heap timers, idle;
    uint64_t last_handle, entries;
    call_server_stats stats;
};

static inline int64_t call_later(int64_t at_ns, int64_t by_ns)
{
    return by_ns > INT64_MAX - at_ns ? INT64_MAX : at_ns + by_ns;
}

/* ---- call_server_answers.c: what goes out, and how long it is kept --------------------------- */

/* An answer without an entry. c NULL: sent now or never. */
void call_bounce(call_server *s, caller *c, uint64_t node, bounce b);
/* Sends what waits, the oldest first. */
void call_server_flush(call_server *s, caller *c);
/* What became of it: send the answer and keep it. e may be gone afterwards. */
void call_entry_conclude(call_server *s, entry *e, const call_result *result,
                         const call_output *outputs, int64_t now_ns);
/* Send what was answered (again); at once, or when there is room. e may be gone afterwards. */
void call_entry_send(call_server *s, entry *e);
/* It is over: its number will not be executed again. */
void call_entry_end(call_server *s, entry *e);
/* Forget the oldest answer that the caller has not acknowledged. False: there is none. */
bool call_caller_evict(call_server *s, caller *c);
/* If it has no entries: see that it is forgotten when its time has come. */
void call_caller_rest(call_server *s, caller *c);

#endif
