/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_run.h: what one check is and how it says what it found. For the files of checks.
 *
 * A check is a function that runs in a child process which exists for nothing else. It ends with
 * check_pass, check_fail or check_skip, which do not return: nothing needs to be cleaned up. If it
 * crashes, hangs or exits instead, the parent says so from what stands on the board, a piece of
 * memory that both share.
 */
#ifndef CLI_CHECK_RUN_H
#define CLI_CHECK_RUN_H

#include "cli/check.h"
#include "cli/check_script.h"

#include "plugin/load.h"

#include <stdatomic.h>

/* ---- The board ------------------------------------------------------------------------------- */

/* Lent memory between two guard regions; the fault handler tells by it what was touched. */
typedef struct check_region {
    uintptr_t begin, end; /* what may be touched */
    uintptr_t guard;      /* bytes on either side that may not */
    const char *name;     /* "event.data"; static */
    bool read_only, closed;
} check_region;

enum { CHECK_REGIONS = 512, CHECK_PLACES = 4, CHECK_DETAIL = 160 };

/* Where one thread of the child is. */
typedef struct check_place {
    const char *call; /* function of the plugin that runs; NULL: none. Static */
    char detail[CHECK_DETAIL];
} check_place;

typedef struct check_board {
    check_result result;
    atomic_bool done; /* the check has come to its end */
    check_place places[CHECK_PLACES];
    check_region regions[CHECK_REGIONS];
    atomic_uint region_count;
    bool unloading; /* the plugin's code is gone, or about to go */
    /* Of a fault, by the handler. */
    atomic_bool faulted;
    int signal;
    unsigned place; /* CHECK_PLACES: in a thread that is none of ours */
    uintptr_t address;
} check_board;

/* ---- What the checks of one kind leave to those after them ------------------------------------
 */

enum { CHECK_STATE_MAX = 16 << 20 };

typedef struct check_state {
    bool there;
    uint32_t version;
    uint64_t len;
    uint8_t bytes[CHECK_STATE_MAX];
} check_state;

typedef struct check_shared {
    script_trace trace;   /* of the whole script, undisturbed; by run */
    uint32_t event_count; /* how much of the script is used, fewer for slow plugins; by run */
    bool repeats;         /* another process answers the same; by replay */
    bool braces;          /* JSON is wanted and none was given: "{}" serves; by run */
    check_state middle;   /* the state after half of the script; by snapshot */
    check_state older;    /* the same in the oldest format that is written and read */
    script_world world;   /* timers and requests at that point */
} check_shared;

/* ---- A check --------------------------------------------------------------------------------- */

struct check_host;

typedef struct check {
    const check_options *options;
    const char *file; /* our copy */
    const char *name;
    const manifest_kind *facts; /* NULL for checks of the whole file */
    slice config;               /* with a zero behind it */
    const bool *lives;          /* for checks of the whole file: which kinds can be played */
    const script *script;
    check_board *board;
    check_shared *shared; /* of this kind */
    int64_t began_ns, limit_ns;
    unsigned number; /* of the check: memory is laid out differently in each */
    /* By check_open. */
    struct check_host *host;
    plugins *set;
    plugin_kind *kind;
} check;

typedef void check_fn(check *c);

_Noreturn void check_pass(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void check_skip(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void check_fail(check *c, const char *cure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A figure beside the verdict. */
void check_figure_add(check *c, const char *name, uint64_t value);

/* For loops that are as long as there is time for: false after a part of the limit. */
bool check_has_time(const check *c);

/* The calling thread has this place from now on; the first thread has 0. Gives it a stack to
 * handle its faults on. */
void check_thread(check *c, unsigned place);
/* What goes on there. call NULL: no code of the plugin. */
void check_call(check *c, const char *call);
void check_detail(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The words for one event, for check_detail and texts. */
char *check_event_text(char *out, size_t cap, size_t index, slice data);

/*
 * Run fn in a child and put what it found into *result (name and kind are taken from c). board is
 * overwritten. False, and nothing in *result, when the user wants no more.
 */
bool check_run(check *c, check_fn *fn, check_result *result);

/* SIGINT and SIGTERM end the running check, and check_run answers false from then on. */
void check_run_begin(void);
void check_run_end(void);

#endif
