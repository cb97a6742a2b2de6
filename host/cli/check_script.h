/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_script.h: a script of events that each check plays, or a part of it, and the trace of
 * what a daemon answered to each.
 *
 * The same script and seed give the same events, their times and random bits included, so that two
 * traces can be compared, also from two processes. Around the events stands a small world: timers
 * that the daemon sets fire when their time has come, requests are answered before the next event.
 */
#ifndef CLI_CHECK_SCRIPT_H
#define CLI_CHECK_SCRIPT_H

#include "base/buf.h"
#include "berth/abi.h"

#include <stdbool.h>

enum { SCRIPT_LINES = 150, SCRIPT_LINE_MAX = 1 << 20 };
enum { SCRIPT_MAX = 600, SCRIPT_TIMERS = 32, SCRIPT_TIMER_DATA = 256, SCRIPT_REQUESTS = 32 };

typedef struct script {
    uint8_t *bytes;
    slice events[SCRIPT_MAX]; /* a few zeroes behind each */
    uint32_t count;
    uint64_t seed;
} script;

/* The author's lines (the first SCRIPT_LINES, cut at SCRIPT_LINE_MAX), and a bit of everything:
 * text, numbers, JSON, questions, binary, nothing. */
script *script_new(slice lines, uint64_t seed);
void script_free(script *s);

/* A generator for all that is random in checks. */
typedef struct script_random {
    uint64_t state;
} script_random;
uint64_t script_next(script_random *r);
/* Below n, which is not 0. */
uint64_t script_below(script_random *r, uint64_t n);

/* Number i of the script, as an event; all its pointers stay valid. */
void script_event(const script *s, uint32_t i, berth_event *out);

/* ---- The world ------------------------------------------------------------------------------- */

typedef struct script_timer {
    uint64_t number;
    int64_t due_ns;
    uint64_t len;
    uint8_t data[SCRIPT_TIMER_DATA];
} script_timer;

typedef struct script_request {
    uint64_t number;
    bool is_spawn;
} script_request;

/* What hosts keep of a daemon beside its state. Plain bytes. */
typedef struct script_world {
    script_timer timers[SCRIPT_TIMERS];
    uint32_t timer_count;
    script_request requests[SCRIPT_REQUESTS];
    uint32_t request_count;
} script_world;

/* ---- Traces ---------------------------------------------------------------------------------- */

enum { SCRIPT_SHOWN = 40 };

/* What one event, and what it set off, came to. */
typedef struct script_entry {
    uint64_t digest; /* of codes and effects, all their members */
    berth_code code; /* of the event itself */
    uint32_t effects;
    char shown[SCRIPT_SHOWN]; /* the first output, escaped and cut; for people */
} script_entry;

typedef struct script_trace {
    uint32_t count;
    uint32_t rejected, limited, broken;
    script_entry entries[SCRIPT_MAX];
} script_trace;

/* The first entry from `from` on, below `to`, that differs; `to` if there is none. */
uint32_t script_compare(const script_trace *a, const script_trace *b, uint32_t from, uint32_t to);

/* 64 bits of a hash that goes on from h; not for keys. */
uint64_t script_mix(uint64_t h, const void *ptr, size_t len);

#endif
