/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines of each node. */
#include "node/cluster_private.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep(void *ctx, log_level level, const char *room, const char *text)
{
    static const char *const names[] = {"error", "warn ", "info ", "debug"};
    cluster_lines *l = ctx;
    double at = (double)(clock_mono_ns() - l->began_ns) / 1e9;
    char *line = NULL;

    if (asprintf(&line, "%8.3f %s %s: %s", at, names[level], room, text) < 0)
        return;
    pthread_mutex_lock(&l->lock);
    if (!l->items)
        l->items = calloc(l->cap, sizeof *l->items);
    if (l->items) {
        free(l->items[l->next]);
        l->items[l->next] = line;
        line = NULL;
        l->next = (l->next + 1) % l->cap;
        l->count += l->count < l->cap;
    }
    pthread_mutex_unlock(&l->lock);
    free(line);
}

void cluster_lines_init(cluster_lines *l, uint32_t cap, log_level level, int64_t now_ns)
{
    *l = (cluster_lines){.capture = {keep, l, level}, .cap = cap, .began_ns = now_ns};
    pthread_mutex_init(&l->lock, NULL);
}

void cluster_lines_fini(cluster_lines *l)
{
    for (uint32_t i = 0; l->items && i < l->cap; i++)
        free(l->items[i]);
    free(l->items);
    pthread_mutex_destroy(&l->lock);
}

static void to_stderr(void *ctx, uint32_t node, const char *line)
{
    (void)ctx;
    fprintf(stderr, "node%u %s\n", node, line);
}

void berth_cluster_log(berth_cluster *c, berth_cluster_set nodes,
                       void (*fn)(void *ctx, uint32_t node, const char *line), void *ctx)
{
    for (uint32_t i = 0; i < c->count; i++) {
        cluster_lines *l = &c->nodes[i].lines;
        char **copy = cluster_has(nodes, i) ? calloc(l->cap, sizeof *copy) : NULL;
        uint32_t count = 0;

        if (!copy)
            continue;
        pthread_mutex_lock(&l->lock);
        for (uint32_t k = 0; k < l->count; k++) {
            copy[count] = strdup(l->items[(l->next + l->cap - l->count + k) % l->cap]);
            count += copy[count] != NULL;
        }
        pthread_mutex_unlock(&l->lock);
        for (uint32_t k = 0; k < count; k++) {
            (fn ? fn : to_stderr)(ctx, i, copy[k]);
            free(copy[k]);
        }
        free(copy);
    }
}
