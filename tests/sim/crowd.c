/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd_sim: how many messages a mesh of so many nodes costs each of them.
 */
#include "crowd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <malloc.h>

static const char *const kind_names[] = {
#define NAME(name, member, text) #member,
    CROWD_KINDS(NAME)
#undef NAME
};

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static crowd_traffic since(const crowd *c, const crowd_traffic *before)
{
    crowd_traffic t = c->sent;

    for (int k = 0; k < KIND_COUNT; k++) {
        t.messages[k] -= before->messages[k];
        t.bytes[k] -= before->bytes[k];
    }
    t.dials -= before->dials;
    return t;
}

static void show(const char *what, const crowd_traffic *t, double share)
{
    uint64_t messages = 0, bytes = 0;

    for (int k = 0; k < KIND_COUNT; k++) {
        messages += t->messages[k];
        bytes += t->bytes[k];
    }
    printf("  %s, of each node: %.0f messages, %.1f KB, %.1f dials:", what,
           (double)messages * share, (double)bytes * share / 1000, (double)t->dials * share);
    for (int k = 0; k < KIND_COUNT; k++)
        printf(" %s %.0f/%.1fKB", kind_names[k], (double)t->messages[k] * share,
               (double)t->bytes[k] * share / 1000);
    printf("\n");
}

int main(int argc, char **argv)
{
    crowd_config config = {.nodes = 10, .seed = 1, .over_ns = 5 * SEC, .loss = 1};
    unsigned quiet = 300;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--star"))
            config.star = true;
        else if (!strcmp(argv[i], "--nodes") && i + 1 < argc)
            config.nodes = (unsigned)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            config.seed = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--quiet") && i + 1 < argc)
            quiet = (unsigned)atoi(argv[++i]);
    }
    static crowd c;
    double from = seconds();
    if (config.nodes > 4000) {
        config.peers.max_peers = 16384;
        config.announcements.max_peers = 16384;
    }
    crowd_init(&c, &config);
    while (!crowd_converged(&c) && c.now < 600 * SEC) {
        crowd_run(&c, c.now + SEC / 4);
    }
    bool done = crowd_converged(&c);
    printf("%u nodes: %s after %.2f s of theirs, %.1f s of ours; %zu sessions, most %zu; heap %zu MB; steps %" PRIu64 " verifications %" PRIu64 " trace %016" PRIx64 "\n",
           config.nodes, done ? "converged" : "NOT converged", (double)c.now / 1e9, seconds() - from,
           c.sessions / 2, c.sessions_most, mallinfo2().uordblks >> 20, c.steps, c.verifications, c.trace);
    show("until then", &c.sent, 1.0 / config.nodes);
    crowd_run(&c, c.now + 120 * SEC);
    crowd_traffic before = c.sent;
    crowd_run(&c, c.now + quiet * SEC);
    crowd_traffic t = since(&c, &before);
    show("each minute then", &t, quiet ? 60.0 / quiet / config.nodes : 0);
    printf("  %.1f s of ours; %zu sessions, meshed %d; heap %zu MB trace %016" PRIx64 "\n", seconds() - from, c.sessions / 2, crowd_meshed(&c), mallinfo2().uordblks >> 20, c.trace);
    crowd_fini(&c);
    return !done;
}
