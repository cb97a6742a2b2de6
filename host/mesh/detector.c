/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list per state, each ordered by the last heartbeat: the next to change is the first of its
 * list, so neither a check nor the deadline looks at nodes that stay what they are.
 */
#include "mesh/detector.h"

#include "base/error.h"

#include <stdlib.h>

struct detector_node {
    uint64_t id;
    int64_t heard_ns;
    health state;
    detector_node *before, *after;
};

const char *health_name(health h)
{
    static const char *const names[HEALTH_COUNT] = {"unknown", "healthy", "suspected", "failed"};

    return names[h];
}

berth_status detector_init(detector *d, const detector_config *config, berth_error *error)
{
    *d = (detector){.config = *config, .now_ns = INT64_MIN};
    detector_config *c = &d->config;
    if (!c->timeout_ns)
        c->timeout_ns = 30000000000;
    if (!c->suspect_after)
        c->suspect_after = 2;
    if (!c->fail_after)
        c->fail_after = 3;
    if (!c->max_nodes)
        c->max_nodes = 4096;
    if (c->timeout_ns < 0)
        return fail(error, BERTH_ERR_INVALID, "failure detector: the timeout is negative");
    if (c->fail_after <= c->suspect_after)
        return fail(error, BERTH_ERR_INVALID,
                    "failure detector: a node fails after %u misses but is suspected after %u; it "
                    "must be suspected first",
                    c->fail_after, c->suspect_after);
    if (c->timeout_ns > INT64_MAX / 4 / c->fail_after)
        return fail(error, BERTH_ERR_INVALID, "failure detector: the timeout is too long");
    return BERTH_OK;
}

void detector_fini(detector *d)
{
    for (int h = 0; h < HEALTH_COUNT; h++)
        while (d->lists[h].first) {
            detector_node *n = d->lists[h].first;
            d->lists[h].first = n->after;
            free(n);
        }
    map64_fini(&d->nodes);
    *d = (detector){0};
}

static void list_remove(detector *d, detector_node *n)
{
    detector_list *l = &d->lists[n->state];
    *(n->before ? &n->before->after : &l->first) = n->after;
    *(n->after ? &n->after->before : &l->last) = n->before;
    l->count--;
}

/* At the end: nobody in the list was heard of later, because time only grows. */
static void list_append(detector *d, detector_node *n, health state)
{
    detector_list *l = &d->lists[state];
    n->state = state;
    n->before = l->last;
    n->after = NULL;
    *(l->last ? &l->last->after : &l->first) = n;
    l->last = n;
    l->count++;
}

static int64_t forward(detector *d, int64_t now_ns)
{
    if (now_ns > d->now_ns)
        d->now_ns = now_ns;
    return d->now_ns;
}

/* The last thing that a function does with a node: the callee may forget it. */
static void tell(detector *d, uint64_t id, health from, health to)
{
    d->failures += to == HEALTH_FAILED;
    d->recoveries += from == HEALTH_FAILED && to == HEALTH_HEALTHY;
    if (d->config.changed && from != to)
        d->config.changed(d->config.ctx, id, from, to);
}

berth_status detector_heartbeat(detector *d, uint64_t node, int64_t now_ns)
{
    detector_node *n = map64_get(&d->nodes, node);
    health from = n ? n->state : HEALTH_UNKNOWN;
    if (n) {
        list_remove(d, n);
    } else {
        if (d->nodes.count >= d->config.max_nodes) {
            d->refused++;
            return BERTH_ERR_LIMIT;
        }
        n = calloc(1, sizeof *n);
        if (!n || !map64_put(&d->nodes, node, n)) {
            free(n);
            return BERTH_ERR_NO_MEMORY;
        }
        n->id = node;
    }
    n->heard_ns = forward(d, now_ns);
    list_append(d, n, HEALTH_HEALTHY);
    d->heartbeats++;
    tell(d, node, from, HEALTH_HEALTHY);
    return BERTH_OK;
}

static int64_t turns_at(const detector *d, health state)
{
    const detector_node *n = d->lists[state].first;
    if (!n)
        return INT64_MAX;
    unsigned misses = state == HEALTH_HEALTHY ? d->config.suspect_after : d->config.fail_after;
    /* One miss needs more than the timeout; several are whole timeouts. */
    return n->heard_ns + d->config.timeout_ns * misses + (misses == 1);
}

/* The lists are looked at anew after each call back: it may have changed them. */
void detector_check(detector *d, int64_t now_ns)
{
    now_ns = forward(d, now_ns);
    for (;;) {
        health from;
        if (turns_at(d, HEALTH_SUSPECTED) <= now_ns)
            from = HEALTH_SUSPECTED;
        else if (turns_at(d, HEALTH_HEALTHY) <= now_ns)
            from = HEALTH_HEALTHY;
        else
            return;
        detector_node *n = d->lists[from].first;
        list_remove(d, n);
        list_append(d, n, from + 1);
        tell(d, n->id, from, from + 1);
    }
}

int64_t detector_deadline(const detector *d)
{
    int64_t a = turns_at(d, HEALTH_HEALTHY), b = turns_at(d, HEALTH_SUSPECTED);
    return a < b ? a : b;
}

void detector_forget(detector *d, uint64_t node)
{
    detector_node *n = map64_del(&d->nodes, node);
    if (!n)
        return;
    list_remove(d, n);
    free(n);
}

health detector_health(const detector *d, uint64_t node)
{
    const detector_node *n = map64_get(&d->nodes, node);
    return n ? n->state : HEALTH_UNKNOWN;
}

uint64_t detector_missed(const detector *d, uint64_t node, int64_t now_ns)
{
    const detector_node *n = map64_get(&d->nodes, node);
    if (!n || now_ns <= n->heard_ns || now_ns - n->heard_ns <= d->config.timeout_ns)
        return 0;
    return (uint64_t)((now_ns - n->heard_ns) / d->config.timeout_ns);
}

size_t detector_count(const detector *d, health h)
{
    return d->lists[h].count;
}
