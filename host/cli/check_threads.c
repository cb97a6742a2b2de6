/* SPDX-License-Identifier: Apache-2.0 */
/* Several instances beside each other, and one instance on many threads. */
#include "cli/check_checks.h"
#include "cli/check_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 5, ROUNDS = 8 };

#define OTHER_ORIGIN UINT64_C(0x636865636b000002)
#define STACK_BYTES  ((size_t)1 << 20)

static void other_differs(check *c, const script_trace *trace, const script_trace *alone,
                          const char *how)
{
    uint32_t count = c->shared->event_count, i = script_compare(trace, alone, 0, count);
    char text[CHECK_DETAIL];

    if (i == count)
        return;
    check_event_text(text, sizeof text, i, c->script->events[i]);
    check_fail(c, "keep everything in what create makes: no global or static variables",
               "two instances %s: %s gave '%s', and '%s' alone", how, text, trace->entries[i].shown,
               alone->entries[i].shown);
}

static check_daemon *begin(check *c, uint64_t origin)
{
    host_birth birth = {.origin = origin};
    check_daemon *d = host_create_or_fail(c, &birth);

    host_start(d, BERTH_START_NEW, NULL);
    return d;
}

/* ---- instances ------------------------------------------------------------------------------- */

static const char cure[] = "keep everything in what create makes: no global or static variables";

/* On one thread in turns, one of them ahead. */
static void in_turns(check *c, const script_trace *alone)
{
    static script_trace first, second;
    uint32_t count = c->shared->event_count;
    check_daemon *a = begin(c, 0), *b = begin(c, OTHER_ORIGIN);

    for (uint32_t i = 0; i < count + AHEAD; i++) {
        if (i < count)
            host_play_all(b, i, i + 1, &second);
        if (i >= AHEAD)
            host_play_all(a, i - AHEAD, i - AHEAD + 1, &first);
    }
    host_destroy(b);
    host_destroy(a);
    check_same(c, &first, 0, count, "two instances in turns", cure);
    other_differs(c, &second, alone, "in turns");
}

typedef struct player {
    check *c;
    check_daemon *daemon;
    unsigned place;
    script_trace trace;
    pthread_barrier_t *together;
} player;

static void *play(void *arg)
{
    player *p = (player *)arg;

    check_thread(p->c, p->place);
    pthread_barrier_wait(p->together);
    host_play_all(p->daemon, 0, p->c->shared->event_count, &p->trace);
    return NULL;
}

static void at_once(check *c, const script_trace *alone)
{
    static player players[2];
    pthread_barrier_t together;
    pthread_t threads[2];

    pthread_barrier_init(&together, NULL, 2);
    for (unsigned i = 0; i < 2; i++) {
        players[i].c = c;
        players[i].daemon = begin(c, i ? OTHER_ORIGIN : 0);
        players[i].place = i + 1;
        players[i].together = &together;
        memset(&players[i].trace, 0, sizeof players[i].trace);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, play, &players[i]) != 0)
            check_fail(c, "", "cannot start a thread");
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        host_destroy(players[i].daemon);
    }
    pthread_barrier_destroy(&together);
    check_same(c, &players[0].trace, 0, c->shared->event_count, "two instances on two threads",
               cure);
    other_differs(c, &players[1].trace, alone, "on two threads");
}

void check_threads_instances(check *c)
{
    static script_trace alone;
    unsigned rounds = 0;
    check_daemon *d;

    if (!c->shared->repeats)
        check_skip(c, "it answers differently each time, so nothing can be compared");
    check_open(c, TABLES_PLAIN);
    d = begin(c, OTHER_ORIGIN);
    host_play_all(d, 0, c->shared->event_count, &alone);
    host_destroy(d);
    in_turns(c, &alone);
    for (; rounds < ROUNDS && check_has_time(c); rounds++)
        at_once(c, &alone);
    check_pass(c, "two instances, in turns and %u times on two threads, answered as each alone",
               rounds);
}

/* ---- thread-change --------------------------------------------------------------------------- */

typedef struct hop {
    check *c;
    check_daemon *daemon;
    script_trace *trace;
    uint32_t event;
} hop;

static void *one_event(void *arg)
{
    hop *h = (hop *)arg;

    check_thread(h->c, 1);
    host_play_all(h->daemon, h->event, h->event + 1, h->trace);
    return NULL;
}

static void *end(void *arg)
{
    hop *h = (hop *)arg;

    check_thread(h->c, 1);
    host_destroy(h->daemon);
    return NULL;
}

/* On a thread that exists for it alone, with no more stack than is promised. */
static void on_new_thread(check *c, area *stack, void *(*fn)(void *), hop *h)
{
    enum { FOR_THE_LIBRARY = 64 << 10 };
    pthread_attr_t attributes;
    pthread_t thread;

    if (!stack->begin)
        area_open(stack, c, "the stack of 1 MiB", STACK_BYTES + FOR_THE_LIBRARY);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack->begin, stack->size) != 0 ||
        pthread_create(&thread, &attributes, fn, h) != 0)
        check_fail(c, "", "cannot start a thread");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

void check_threads_hops(check *c)
{
    static script_trace trace;
    hop h = {.c = c, .trace = &trace};
    area stack = {0};

    check_open(c, TABLES_PLAIN);
    h.daemon = begin(c, 0);
    for (; h.event < c->shared->event_count; h.event++)
        on_new_thread(c, &stack, one_event, &h);
    on_new_thread(c, &stack, end, &h);
    if (!c->shared->repeats)
        check_pass(c, "each of %u events came on another thread", c->shared->event_count);
    check_same(c, &trace, 0, c->shared->event_count, "each event on another thread",
               "keep nothing in thread-local variables from one call to the next");
    check_pass(c, "each of %u events came on another thread, with a stack of 1 MiB",
               c->shared->event_count);
}
