/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_sim: many worlds, one per seed.
 *
 *     mesh_sim [--seeds N] [--from SEED]   run them; the first that fails is printed
 *     mesh_sim --mistakes N                each seeded mistake is found within N seeds
 *     BERTH_SEED=S mesh_sim                that world again, step by step
 *     BERTH_MISTAKE=NAME                   with this mistake switched on
 *
 * `make soak` runs a hundred thousand a round.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum mesh_fault mesh_fault_now;

static const char *const names[] = {"none",
#define NAME(name, text) #name,
                                    MESH_FAULT_TABLE(NAME)
#undef NAME
};

static world w;

static int replay(uint64_t seed)
{
    bool fine = sim_run(&w, seed, true);

    printf("seed %" PRIu64 ": %s\n", seed, fine ? "fine" : w.failure);
    return !fine;
}

static int run(uint64_t first, uint64_t seeds)
{
    uint64_t steps = 0, messages = 0, applied = 0;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (!sim_run(&w, seed, false)) {
            printf("seed %" PRIu64 " fails: %s\nagain, step by step: BERTH_SEED=%" PRIu64
                   " mesh_sim\n",
                   seed, w.failure, seed);
            return 1;
        }
        steps += w.steps;
        messages += w.messages;
        applied += w.applied;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " messages, %" PRIu64
           " events applied: nothing lost, doubled or reordered\n",
           seeds, steps, messages, applied);
    return 0;
}

/* Whoever finds nothing must be shown to look: each mistake is found. */
static int mistakes(uint64_t seeds)
{
    int missed = 0;

    for (int f = 1; f < FAULT_COUNT; f++) {
        uint64_t seed = 1;

        mesh_fault_now = (enum mesh_fault)f;
        while (seed <= seeds && sim_run(&w, seed, false))
            seed++;
        if (seed > seeds) {
            printf("%-20s NOT FOUND in %" PRIu64 " seeds\n", names[f], seeds);
            missed++;
        } else {
            printf("%-20s seed %-6" PRIu64 " %s\n", names[f], seed, w.failure);
        }
        fflush(stdout);
    }
    return missed != 0;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("BERTH_SEED"), *mistake = getenv("BERTH_MISTAKE");
    uint64_t seeds = 6000, first = 1;

    for (int f = 1; f < FAULT_COUNT && mistake; f++)
        if (strcmp(names[f], mistake) == 0)
            mesh_fault_now = (enum mesh_fault)f;
    if (seed)
        return replay(strtoull(seed, NULL, 10));
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--seeds") == 0)
            seeds = value;
        else if (strcmp(argv[i], "--from") == 0)
            first = value;
        else if (strcmp(argv[i], "--mistakes") == 0)
            return mistakes(value);
    }
    return run(first, seeds);
}
