/* SPDX-License-Identifier: Apache-2.0 */
/* What instances leave behind, what they take, and how long their calls are. */
#include "cli/check_checks.h"
#include "cli/check_host.h"
#include "cli/check_usage.h"
#include "cli/format.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define BUDGET_NS 10000000ll /* of a call, as hosts have it */
#define CREATES   1000
#define LIVES     200

/* ---- growth ---------------------------------------------------------------------------------- */

static void create_destroy(check *c, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        check_detail(c, "round %u of create and destroy", i + 1);
        host_destroy(host_create_or_fail(c, NULL));
    }
}

static unsigned whole_lives(check *c, unsigned times)
{
    unsigned done = 0;

    for (; done < times && check_has_time(c); done++) {
        check_daemon *d = host_create_or_fail(c, NULL);
        berth_daemon_status status;

        host_start(d, BERTH_START_NEW, NULL);
        host_play_all(d, 0, c->shared->event_count, NULL);
        if (c->facts->stateful)
            host_snapshot(d, c->facts->state_writes, NULL, NULL);
        if (c->kind->table.status)
            host_status(d, &status, NULL);
        host_destroy(d);
    }
    return done;
}

void check_cost_growth(check *c)
{
    enum { SOME = 64 };
    check_daemon *daemons[SOME];
    char bytes[FORMAT_MAX];
    usage before, after;
    unsigned lives;
    uint64_t heap;

    check_open(c, TABLES_PLAIN);
    /* Whatever is made once and kept is made in these. */
    create_destroy(c, CREATES / 4);
    before = usage_now();
    create_destroy(c, CREATES);
    after = usage_settled(before.threads);
    usage_compare(c, &before, &after, CREATES, "create and destroy");
    whole_lives(c, LIVES / 8);
    before = usage_now();
    lives = whole_lives(c, LIVES);
    after = usage_settled(before.threads);
    usage_compare(c, &before, &after, lives ? lives : 1, "a whole life");
    heap = usage_heap();
    for (unsigned i = 0; i < SOME; i++)
        daemons[i] = host_create_or_fail(c, NULL);
    heap = usage_heap() > heap ? (usage_heap() - heap) / SOME : 0;
    for (unsigned i = 0; i < SOME; i++)
        host_destroy(daemons[i]);
    check_figure_add(c, "creates", CREATES);
    check_figure_add(c, "lives", lives);
    check_figure_add(c, "heap_per_instance_bytes", heap);
    check_pass(c, "%u creates and %u whole lives left nothing; a new instance takes %s of heap",
               CREATES, lives, format_bytes(bytes, heap));
}

/* ---- time ------------------------------------------------------------------------------------ */

static char *exact(char out[FORMAT_MAX], int64_t ns)
{
    if (ns < 10000)
        snprintf(out, FORMAT_MAX, "%d ns", (int)ns);
    else if (ns < 10000000)
        snprintf(out, FORMAT_MAX, "%.1f us", (double)ns / 1e3);
    else
        snprintf(out, FORMAT_MAX, "%.1f ms", (double)ns / 1e6);
    return out;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

void check_cost_time(check *c)
{
    enum { MOST = 20000 };
    static int64_t took[MOST];
    char min[FORMAT_MAX], median[FORMAT_MAX], p99[FORMAT_MAX];
    check_daemon *d;
    /* However slow the plugin, one event is left. */
    uint32_t n = 0, count = c->shared->event_count ? c->shared->event_count : 1;

    check_open(c, TABLES_PLAIN);
    d = host_create_or_fail(c, NULL);
    host_start(d, BERTH_START_NEW, NULL);
    for (; n < MOST && (n < count || check_has_time(c)); n++) {
        berth_event event;
        int64_t began;

        script_event(c->script, n % count, &event);
        began = clock_mono_ns();
        host_deliver(d, &event, NULL);
        took[n] = clock_mono_ns() - began;
    }
    host_destroy(d);
    qsort(took, n, sizeof *took, by_size);
    check_figure_add(c, "calls", n);
    check_figure_add(c, "min_ns", (uint64_t)took[0]);
    check_figure_add(c, "median_ns", (uint64_t)took[n / 2]);
    check_figure_add(c, "p99_ns", (uint64_t)took[n - 1 - n / 100]);
    check_figure_add(c, "max_ns", (uint64_t)took[n - 1]);
    exact(min, took[0]);
    exact(median, took[n / 2]);
    exact(p99, took[n - 1 - n / 100]);
    if (took[n / 2] > BUDGET_NS)
        check_fail(c,
                   "a handler never waits: let a thread of the daemon wait, and bring in with post "
                   "what came",
                   "process takes %s for a usual event; past 10 ms a host marks the daemon as "
                   "overrunning",
                   median);
    check_pass(c, "process takes %s at least, %s in the middle, %s at 99 %%", min, median, p99);
}
