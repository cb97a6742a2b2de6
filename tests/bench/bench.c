/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 99

/* The columns; send.sh has the same. */
#define ROW "%-44s %11s %11s %8s  %-31s %s\n"

static bool json, first = true, headless;
static const char *only;

int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

void bench_begin(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--no-head"))
            headless = true;
        else
            only = argv[i];
    }
    if (json)
        printf("[");
    else if (!headless)
        printf(ROW, "", "figure", "floor", "ratio", "goal", "what the floor is");
}

bool bench_wanted(const char *group, const char *name)
{
    return !only || strstr(group, only) || strstr(name, only);
}

void bench_end(void)
{
    if (json)
        printf("\n]\n");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* In the unit in which people read it. */
static const char *scaled(char out[32], double value, const char *unit)
{
    int digits;

    if (!strcmp(unit, "ns") && value >= 1e6) {
        value /= 1e6;
        unit = "ms";
    } else if (!strcmp(unit, "ns") && value >= 1e3) {
        value /= 1e3;
        unit = "us";
    }
    digits = value < 10 ? 2 : value < 100 ? 1 : 0;
    snprintf(out, 32, "%.*f %s", digits, value, unit);
    return out;
}

/* The goal, and whether the ratio reaches it. */
static const char *judged(char out[64], const char *target, double ratio)
{
    double wanted = 0;
    bool most = sscanf(target, "at most %lf", &wanted) == 1;

    if (!ratio || (!most && sscanf(target, "at least %lf", &wanted) != 1))
        return target[0] == '-' ? "" : target;
    snprintf(out, 64, "%s: %s", target,
             (most ? ratio <= wanted : ratio >= wanted) ? "reached" : "MISSED");
    return out;
}

static void print(const char *group, const char *name, const char *unit, double figure,
                  double floor_value, double ratio, const char *floor_name, const char *target)
{
    if (json) {
        printf("%s\n  {\"group\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", \"figure\": %.2f, "
               "\"floor\": %.2f, \"ratio\": %.3f, \"floor_name\": \"%s\", \"goal\": \"%s\"}",
               first ? "" : ",", group, name, unit, figure, floor_value, ratio, floor_name, target);
        first = false;
        return;
    }
    char label[96], ours[32], least[32] = "", times[32] = "", goal[64];
    snprintf(label, sizeof(label), "%s: %s", group, name);
    if (ratio > 0) {
        scaled(least, floor_value, unit);
        snprintf(times, sizeof(times), "%.2fx", ratio);
    }
    printf(ROW, label, scaled(ours, figure, unit), least, times, judged(goal, target, ratio),
           floor_name);
    fflush(stdout);
}

void bench_run(const bench_row *row)
{
    double figures[ROUNDS_MAX], floors[ROUNDS_MAX], ratios[ROUNDS_MAX];
    int rounds = row->rounds ? row->rounds : 9;
    if (!bench_wanted(row->group, row->name))
        return;
    row->figure(row->ctx, row->n / 8 + 1); /* warm */
    if (row->floor)
        row->floor(row->ctx, row->n / 8 + 1);
    for (int i = 0; i < rounds; i++) {
        figures[i] = (double)row->figure(row->ctx, row->n) / (double)row->n;
        floors[i] = row->floor ? (double)row->floor(row->ctx, row->n) / (double)row->n : 0;
        ratios[i] = !row->floor                ? 0
                    : row->faster || row->rate ? floors[i] / figures[i]
                                               : figures[i] / floors[i];
        if (row->rate) {
            figures[i] = row->amount * 1e9 / figures[i];
            floors[i] = row->floor ? row->amount * 1e9 / floors[i] : 0;
        }
    }
    print(row->group, row->name, row->rate ? row->rate : "ns", median(figures, rounds),
          median(floors, rounds), median(ratios, rounds), row->floor_name, row->target);
}

void bench_report(const char *group, const char *name, const char *unit, double figure,
                  double floor_value, const char *floor_name, const char *target, bool faster)
{
    double ratio = floor_value > 0 ? (faster ? floor_value / figure : figure / floor_value) : 0;
    if (!bench_wanted(group, name))
        return;
    print(group, name, unit, figure, floor_value, ratio, floor_name, target);
}
