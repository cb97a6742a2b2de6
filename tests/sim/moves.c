/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move_sim: many worlds in which daemons move, one per seed.
 *
 *     move_sim [--seeds N] [--from SEED]   run them; the first that fails is printed
 *     move_sim --seed S [--trace]          that world again; step by step
 *     move_sim --mistakes N                each seeded mistake is found within N seeds
 *     BERTH_SEED=S move_sim                as --seed S --trace
 *     BERTH_MISTAKE=NAME                   with this mistake switched on
 *
 * `make soak` runs a hundred thousand a round.
 */
#include "moves.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum move_fault move_fault_now;

static const char *const names[] = {"none",
#define NAME(name, text) #name,
                                    MOVE_FAULT_TABLE(NAME)
#undef NAME
};

static world w;

static int replay(uint64_t seed, bool trace)
{
    bool fine = moves_run(&w, seed, trace);

    printf("seed %" PRIu64 ": %s\n", seed, fine ? "fine" : w.failure);
    return !fine;
}

static int run(uint64_t first, uint64_t seeds)
{
    uint64_t steps = 0, messages = 0, applied = 0, moved = 0, attempts = 0;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (!moves_run(&w, seed, false)) {
            printf("seed %" PRIu64 " fails: %s\nagain, step by step: move_sim --seed %" PRIu64
                   " --trace\n",
                   seed, w.failure, seed);
            return 1;
        }
        steps += w.steps;
        messages += w.messages;
        applied += w.applied;
        moved += w.moved;
        attempts += (uint64_t)w.attempt_count;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " messages, %" PRIu64
           " events applied, %" PRIu64 " of %" PRIu64
           " attempts moved a daemon: each runs on one host, nothing lost or doubled\n",
           seeds, steps, messages, applied, moved, attempts);
    return 0;
}

/* Whoever finds nothing must be shown to look: each mistake is found. */
static int mistakes(uint64_t seeds)
{
    int missed = 0;

    for (int f = 1; f < MOVE_FAULT_COUNT; f++) {
        uint64_t seed = 1;

        move_fault_now = (enum move_fault)f;
        while (seed <= seeds && moves_run(&w, seed, false))
            seed++;
        if (seed > seeds) {
            printf("%-24s NOT FOUND in %" PRIu64 " seeds\n", names[f], seeds);
            missed++;
        } else {
            printf("%-24s seed %-6" PRIu64 " %s\n", names[f], seed, w.failure);
        }
        fflush(stdout);
    }
    return missed != 0;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("BERTH_SEED"), *mistake = getenv("BERTH_MISTAKE");
    uint64_t seeds = 6000, first = 1, one = 0;
    bool trace = false;

    for (int f = 1; f < MOVE_FAULT_COUNT && mistake; f++)
        if (strcmp(names[f], mistake) == 0)
            move_fault_now = (enum move_fault)f;
    for (int i = 1; i < argc; i++) {
        uint64_t value = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;

        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--seeds") == 0)
            seeds = value;
        else if (strcmp(argv[i], "--from") == 0)
            first = value;
        else if (strcmp(argv[i], "--seed") == 0)
            one = value;
        else if (strcmp(argv[i], "--mistakes") == 0)
            return mistakes(value);
    }
    if (seed)
        return replay(strtoull(seed, NULL, 10), true);
    return one ? replay(one, trace) : run(first, seeds);
}
