/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/bench/bench.h: figures beside their floors.
 *
 * A row is a figure and the floor it is measured against, both taken in this run, in turns (figure,
 * floor, figure, floor, ...), so that a machine whose speed drifts shifts both. Printed: medians,
 * and the median of the ratios pair by pair. Nothing here passes or fails.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

/* Does `n` operations; returns the nanoseconds they took. */
typedef int64_t bench_fn(void *ctx, uint64_t n);

typedef struct bench_row {
    const char *group, *name;
    const char *unit;       /* of one operation: "event", "daemon" */
    const char *floor_name; /* what the floor is made of */
    const char *target;     /* as the goal is written: "at most 4x" */
    bench_fn *figure, *floor;
    void *ctx;
    uint64_t n;  /* operations a round */
    int rounds;  /* 0: 9 */
    bool faster; /* the ratio wanted is floor / figure: how many times faster we are */
    /* Printed as a rate, "MB/s", of so much an operation; the ratio is that of the speeds. */
    const char *rate;
    double amount;
} bench_row;

void bench_begin(int argc, char **argv);
/* Was it asked for? What is costly to prepare need not be otherwise. */
bool bench_wanted(const char *group, const char *name);
void bench_run(const bench_row *row);
/* A figure that was measured elsewhere, with its floor (0: none). */
void bench_report(const char *group, const char *name, const char *unit, double figure,
                  double floor, const char *floor_name, const char *target, bool faster);
void bench_end(void);

int64_t bench_now(void);

/* Keep the compiler from leaving work out. */
#define bench_use(value) __asm__ volatile("" : : "g"(value) : "memory")

#endif
