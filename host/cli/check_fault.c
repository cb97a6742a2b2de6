/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_fault.h"

#include "base/error.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLER_STACK = 64 << 10 };

static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

/* ---- In the child ---------------------------------------------------------------------------- */

static check_board *the_board;
static _Thread_local unsigned here = CHECK_PLACES;

/* Plain stores into shared memory only. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (!atomic_exchange(&the_board->faulted, true)) {
        the_board->signal = number;
        the_board->place = here;
        /* The kernel knows no address of some faults. */
        the_board->address = info->si_code > 0 && info->si_code != SI_KERNEL
                                 ? (uintptr_t)info->si_addr
                                 : UINTPTR_MAX / 2;
    }
    /* SA_RESETHAND: a fault happens again when we return, and abort() raises its signal again. */
    if (number == SIGTRAP || number == SIGSYS || info->si_code <= 0)
        if (number != SIGABRT)
            raise(number);
}

void check_fault_install(check_board *board)
{
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER};

    the_board = board;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaction(faults[i], &action, NULL);
}

void check_thread(check *c, unsigned place)
{
    static _Alignas(16) uint8_t stacks[CHECK_PLACES][HANDLER_STACK];
    stack_t stack = {.ss_sp = stacks[place], .ss_size = HANDLER_STACK}, has;

    (void)c;
    here = place;
    /* The address sanitizer gives threads one of its own, and wants to find it again. */
    if (sigaltstack(NULL, &has) == 0 && has.ss_flags & SS_DISABLE)
        sigaltstack(&stack, NULL);
}

void check_call(check *c, const char *call)
{
    if (here < CHECK_PLACES)
        c->board->places[here].call = call;
}

void check_detail(check *c, const char *format, ...)
{
    va_list args;

    if (here >= CHECK_PLACES)
        return;
    va_start(args, format);
    vsnprintf(c->board->places[here].detail, CHECK_DETAIL, format, args);
    va_end(args);
}

char *check_event_text(char *out, size_t cap, size_t index, slice data)
{
    char text[64];

    text_escape(text, sizeof text, (const char *)data.ptr, data.len < 24 ? data.len : 24);
    if (!data.len)
        snprintf(out, cap, "event %zu (empty)", index + 1);
    else
        snprintf(out, cap, "event %zu (%zu bytes, '%s%s')", index + 1, data.len, text,
                 data.len > 24 ? "..." : "");
    return out;
}

/* ---- In the parent --------------------------------------------------------------------------- */

const char *check_fault_where(check_board *board, unsigned place)
{
    static char out[320];
    char detail[CHECK_DETAIL * 4];
    check_place *p = &board->places[place < CHECK_PLACES ? place : 0];

    p->detail[CHECK_DETAIL - 1] = 0;
    text_escape(detail, sizeof detail, p->detail, strlen(p->detail));
    if (place >= CHECK_PLACES)
        return ", in a thread of the plugin's own";
    snprintf(out, sizeof out, "%s%s%s%.200s", p->call ? ", in " : "", p->call ? p->call : "",
             detail[0] ? ", " : "", detail);
    return out;
}

/* A fault that tells by its address what was done. */
static bool explain_address(const check_board *board, const char *signal, const char *where,
                            check_result *r)
{
    unsigned count = atomic_load(&board->region_count);
    uintptr_t a = board->address;

    for (unsigned i = 0; i < count && i < CHECK_REGIONS; i++) {
        const check_region *region = &board->regions[i];
        const char *what, *cure;

        if (a < region->begin - region->guard || a >= region->end + region->guard)
            continue;
        if (strncmp(region->name, "the stack", 9) == 0) {
            what = "ran out of";
            cure = "put what is large on the heap: a call has 1 MiB of stack";
        } else if (a >= region->end) {
            what = "touched memory past the end of";
            cure = "never go past the length that comes with the pointer; there is no zero behind "
                   "it unless abi.h says so";
        } else if (a < region->begin) {
            what = "touched memory before the beginning of";
            cure = "never step back from the pointer that was given";
        } else if (region->closed) {
            what = "used, after the call that it was lent for,";
            cure = "copy what is needed later: lent memory is gone when the call returns";
        } else if (region->read_only) {
            what = "wrote to";
            cure = "what the host lends is read-only: change a copy";
        } else {
            continue;
        }
        snprintf(r->text, CHECK_TEXT, "%s %s%s (%s)", what, region->name, where, signal);
        snprintf(r->cure, CHECK_CURE, "%s", cure);
        return true;
    }
    return false;
}

void check_fault_explain(check_board *board, int number, const char *said, check_result *r)
{
    bool noted = atomic_load(&board->faulted) && board->signal == number;
    const char *name = sigabbrev_np(number);
    const char *where = check_fault_where(board, noted ? board->place : 0);
    char signal[32];

    snprintf(signal, sizeof signal, "SIG%s", name ? name : "?");
    if (noted && (number == SIGSEGV || number == SIGBUS) &&
        explain_address(board, signal, where, r))
        return;
    if (noted && board->unloading && board->place == CHECK_PLACES) {
        snprintf(r->text, CHECK_TEXT,
                 "a thread of its own still ran when its code was unloaded (%s)", signal);
        snprintf(r->cure, CHECK_CURE, "stop and join every thread in destroy or deinit");
        return;
    }
    if (number == SIGABRT) {
        snprintf(r->text, CHECK_TEXT, "aborted%s%s%s (%s)", where, said[0] ? ": " : "", said,
                 signal);
        snprintf(r->cure, CHECK_CURE,
                 "let nothing escape: no failed assertion, exception or panic, no block freed "
                 "twice; answer BERTH_E_BROKEN instead");
    } else if (number == SIGKILL) {
        snprintf(r->text, CHECK_TEXT, "was killed%s (%s)", where, signal);
        snprintf(r->cure, CHECK_CURE, "see in the system's log whether memory ran out");
    } else if (noted && number == SIGSEGV && board->address < 65536) {
        snprintf(r->text, CHECK_TEXT, "followed a null pointer%s (%s at %#" PRIxPTR ")", where,
                 signal, board->address);
        snprintf(r->cure, CHECK_CURE, "check what may be NULL: allocations, reserve, empty bytes");
    } else {
        snprintf(r->text, CHECK_TEXT, "crashed%s (%s)", where, signal);
        snprintf(r->cure, CHECK_CURE,
                 "'gdb --args berth plugin check ...' with 'set follow-fork-mode child' stops "
                 "there");
    }
}
