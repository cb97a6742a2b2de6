/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd_sim: a mesh of many nodes.
 *
 *     crowd_sim [--seeds N] [--from SEED]   worlds of a hundred nodes in bad weather; the first
 * that fails is printed BERTH_SEED=S crowd_sim                that world again, twice: it is the
 * same both times crowd_sim --bounds                    what is bounded reaches its bound, and
 * stays there crowd_sim --growth                    what 10, 100 and 1,000 nodes cost each of them
 *     crowd_sim --nodes N [--star]          the same of N; with --star all begin with the first one
 *     crowd_sim ... --memory MB             [6000] what may not fit is not begun
 */
#include "crowd.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAIR_BYTES 2600 /* that one node keeps of another, about */

static crowd c;

static double seconds(clockid_t of)
{
    struct timespec t;

    clock_gettime(of, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Figures --------------------------------------------------------------------------------- */

static crowd_traffic since(const crowd_traffic *before)
{
    crowd_traffic t = c.sent;

    for (int k = 0; k < KIND_COUNT; k++) {
        t.messages[k] -= before->messages[k];
        t.bytes[k] -= before->bytes[k];
    }
    t.dials -= before->dials;
    return t;
}

static void head(void)
{
    static const char *const names[] = {
#define NAME(name, member, text) #member,
        CROWD_KINDS(NAME)
#undef NAME
    };

    printf("What a mesh costs each of its nodes: messages that it sends, and KB of them.\n\n"
           "%6s %-12s %9s %8s",
           "nodes", "", "messages", "KB");
    for (int k = 0; k < KIND_COUNT; k++)
        printf(" %13s", names[k]);
    printf(" %7s %9s\n", "dials", "sessions");
}

static void row(const char *what, const crowd_traffic *t, double minutes)
{
    double share = 1 / (minutes * c.config.nodes);
    uint64_t messages = 0, bytes = 0;

    for (int k = 0; k < KIND_COUNT; k++) {
        messages += t->messages[k];
        bytes += t->bytes[k];
    }
    printf("%6u %-12s %9.0f %8.0f", c.config.nodes, what, (double)messages * share,
           (double)bytes * share / 1000);
    for (int k = 0; k < KIND_COUNT; k++)
        printf(" %13.1f", (double)t->messages[k] * share);
    printf(" %7.1f %9.1f\n", (double)t->dials * share, (double)c.sessions / c.config.nodes);
    fflush(stdout);
}

static int figures(unsigned nodes, uint64_t seed, bool star, unsigned memory_mb)
{
    crowd_config config = {
        .nodes = nodes, .seed = seed, .star = star, .over_ns = 5 * SEC, .loss = 1};
    double from = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID),
           needs = (double)nodes * nodes * PAIR_BYTES / 1e6;
    crowd_traffic begun = {0};

    if (needs > memory_mb) {
        printf("%6u not begun: each node keeps about %d bytes of each other, together %.0f MB; "
               "--memory allows %u\n",
               nodes, PAIR_BYTES, needs, memory_mb);
        return 0;
    }
    if (nodes > 4000) {
        config.peers.max_peers = 16384;
        config.announcements.max_peers = 16384;
    }
    crowd_init(&c, &config);
    while (!crowd_converged(&c) && c.now < 600 * SEC)
        crowd_run(&c, c.now + SEC / 4);
    bool done = crowd_converged(&c);
    int64_t at = c.now;
    double took = seconds(CLOCK_MONOTONIC) - from;

    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    begun = c.sent;
    row(done ? "to converge" : "NOT CONVERGED", &begun, 1);
    crowd_run(&c, c.now + 120 * SEC); /* sessions that are not needed end */
    begun = c.sent;
    crowd_run(&c, c.now + 150 * SEC); /* everybody announces once */
    crowd_traffic t = since(&begun);
    row("each minute", &t, 2.5);
    printf("%6s after %.1f s of its time, %.1f s of ours (%.1f s of CPU); %zu MB; at most %zu "
           "sessions at one\n",
           "", (double)at / 1e9, took, cpu, mallinfo2().uordblks >> 20, c.sessions_most);
    if (c.failure[0])
        printf("%6s %s\n", "", c.failure);
    done = done && !c.failure[0];
    crowd_fini(&c);
    return !done;
}

/* ---- Worlds ---------------------------------------------------------------------------------- */

static int replay(uint64_t seed)
{
    uint64_t trace[2], steps[2];

    for (int i = 0; i < 2; i++) {
        bool fine = crowd_world(&c, seed);
        trace[i] = c.trace;
        steps[i] = c.steps;
        printf("seed %" PRIu64 ": trace %016" PRIx64 ", %" PRIu64 " steps: %s\n", seed, trace[i],
               steps[i], fine ? "fine" : c.failure);
        crowd_fini(&c);
        if (!fine)
            return 1;
    }
    if (trace[0] == trace[1] && steps[0] == steps[1])
        return 0;
    printf("seed %" PRIu64 " is not the same twice\n", seed);
    return 1;
}

static int worlds(uint64_t first, uint64_t seeds)
{
    uint64_t steps = 0;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (!crowd_world(&c, seed)) {
            printf("seed %" PRIu64 " fails: %s\nagain: BERTH_SEED=%" PRIu64 " crowd_sim\n", seed,
                   c.failure, seed);
            crowd_fini(&c);
            return 1;
        }
        steps += c.steps;
        crowd_fini(&c);
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " steps: all found each other again\n", seeds, steps);
    return 0;
}

static int bounds(void)
{
    bool fine = crowd_bounds(&c);

    printf("bounds: %s\n", fine ? "reached, and kept" : c.failure);
    crowd_fini(&c);
    return !fine;
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {10, 100, 1000};
    const char *seed = getenv("BERTH_SEED");
    uint64_t seeds = 3, first = 1;
    unsigned nodes = 0, memory_mb = 6000;
    bool star = false, growth = false;
    int bad = 0;

    for (int i = 1; i < argc; i++) {
        uint64_t value = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;

        if (strcmp(argv[i], "--star") == 0)
            star = true;
        else if (strcmp(argv[i], "--growth") == 0)
            growth = true;
        else if (strcmp(argv[i], "--bounds") == 0)
            return bounds();
        else if (strcmp(argv[i], "--nodes") == 0)
            nodes = (unsigned)value;
        else if (strcmp(argv[i], "--memory") == 0)
            memory_mb = (unsigned)value;
        else if (strcmp(argv[i], "--seeds") == 0)
            seeds = value;
        else if (strcmp(argv[i], "--from") == 0)
            first = value;
    }
    if (growth || nodes) {
        head();
        for (size_t i = 0; growth && i < sizeof sizes / sizeof *sizes; i++)
            bad |= figures(sizes[i], 1, star, memory_mb);
        return nodes ? bad | figures(nodes, seed ? strtoull(seed, NULL, 10) : 1, star, memory_mb)
                     : bad;
    }
    return seed ? replay(strtoull(seed, NULL, 10)) : worlds(first, seeds);
}
