/* SPDX-License-Identifier: Apache-2.0 */
/* Bad weather: partitions, deaths, restarts, goodbyes; then all is well again, and all must be. */
#include "crowd.h"

#include <string.h>

#define TURNS 8

static uint64_t draw(crowd *c, uint64_t below)
{
    return crowd_random(&c->random) % below;
}

/* Quick, so that an hour of a mesh is some minutes. */
static const peers_config timings = {.heartbeat_ns = 3 * SEC,
                                     .timeout_ns = 10 * SEC,
                                     .idle_ns = 20 * SEC,
                                     .forget_ns = 100 * SEC,
                                     .record_life_s = 120};

/*
 * Three kinds of worlds: a mesh with a few sessions a node; a full one, in which some cannot reach
 * each other; and one whose nodes have very few neighbours, over lines that lose much.
 */
static crowd_config config_of(uint64_t seed)
{
    crowd_config config = {.nodes = 100, .seed = seed, .over_ns = 5 * SEC, .peers = timings};

    config.refresh_ns = 40 * SEC;
    switch (seed % 3) {
    case 1:
        config.peers.full_mesh = 32;
        config.loss = 1;
        break;
    case 2:
        config.nodes = 40;
        config.strangers = 30;
        break;
    default:
        config.peers.full_mesh = 16;
        config.peers.neighbours = 4;
        config.loss = 5;
        config.star = true;
    }
    return config;
}

/* Step by step, looking at what is always so. */
static void run(crowd *c, int64_t for_ns)
{
    int64_t until = c->now + for_ns;

    while (c->now < until && !c->failure[0]) {
        crowd_run(c, c->now + SEC < until ? c->now + SEC : until);
        crowd_check_bounds(c);
    }
}

static void until_converged(crowd *c, int64_t at_most, const char *when)
{
    int64_t from = c->now;

    while (!c->failure[0] && !(crowd_converged(c) && crowd_meshed(c))) {
        if (c->now - from > at_most) {
            crowd_fail(c, "%s: not converged after %d s: %s", when, (int)((c->now - from) / SEC),
                       crowd_why(c));
            return;
        }
        run(c, SEC);
    }
}

/* The first is always there: who has forgotten everybody else begins with it. */
static void turn(crowd *c)
{
    unsigned n = c->config.nodes;

    switch (draw(c, 5)) {
    case 0: {
        unsigned sides = 2 + (unsigned)draw(c, 2);
        for (unsigned i = 0; i < n; i++)
            c->nodes[i].side = (unsigned)draw(c, sides);
        break;
    }
    case 1:
        for (unsigned i = 0; i < n; i++)
            c->nodes[i].side = 0;
        break;
    case 2: /* one in ten dies */
        for (unsigned i = 0; i < n / 10; i++)
            crowd_kill(c, 1 + (unsigned)draw(c, n - 1));
        break;
    case 3: /* the dead are back, and do not remember; some do not notice that they were away */
        for (unsigned i = 1; i < n; i++)
            if (!c->nodes[i].peers || draw(c, 20) == 0) {
                crowd_kill(c, i);
                crowd_start(c, i);
            }
        break;
    default:
        for (unsigned i = 0; i < n / 20; i++) {
            unsigned at = 1 + (unsigned)draw(c, n - 1);
            if (c->nodes[at].peers && !c->nodes[at].leaving)
                crowd_leave(c, at);
        }
    }
    run(c, (int64_t)(1 + draw(c, 40)) * SEC);
}

bool crowd_world(crowd *c, uint64_t seed)
{
    crowd_config config = config_of(seed);
    unsigned n = config.nodes;

    crowd_init(c, &config);
    run(c, config.over_ns);
    until_converged(c, 120 * SEC, "at the start");
    for (unsigned i = 0; i < TURNS && !c->failure[0]; i++)
        turn(c);
    for (unsigned i = 0; i < n; i++) {
        c->nodes[i].side = 0;
        if (!c->nodes[i].peers)
            crowd_start(c, i);
    }
    /* These never come back. */
    crowd_kill(c, n - 1);
    crowd_kill(c, n / 2);
    if (c->nodes[n / 3].peers && !c->nodes[n / 3].leaving)
        crowd_leave(c, n / 3);
    run(c, 10 * SEC);
    for (unsigned i = 0; i < n; i++) /* who was leaving when it began is back, too */
        if (!c->nodes[i].peers && i != n - 1 && i != n / 2 && i != n / 3)
            crowd_start(c, i);
    until_converged(c, 180 * SEC, "after the last turn");
    run(c, 180 * SEC); /* what is remembered of the dead runs out */
    until_converged(c, 60 * SEC, "when all is quiet");
    crowd_check_quiet(c);
    return !c->failure[0];
}

/* More nodes than any of them has room for: nothing grows over its bound, and all go on. */
bool crowd_bounds(crowd *c)
{
    crowd_config config = {.nodes = 90, .seed = 1, .over_ns = 5 * SEC, .peers = timings};
    bool table = false, nodes = false, listeners = false, remembered = false;

    config.refresh_ns = 40 * SEC;
    config.peers.max_peers = 60;
    config.peers.full_mesh = 24;
    config.star = true;
    config.announcements.max_nodes = 50;
    config.announcements.max_peers = 30;
    config.announcements.max_remembered = 8;
    crowd_init(c, &config);
    for (unsigned s = 0; s < 200 && !c->failure[0]; s++) {
        run(c, SEC);
        for (unsigned i = 0; i < config.nodes; i++) {
            const endpoint *e = &c->nodes[i];
            announcements_size size;

            if (!e->peers)
                continue;
            size = announcements_get_size(e->announcements);
            table |= peers_count(e->peers) == config.peers.max_peers;
            nodes |= size.nodes == config.announcements.max_nodes;
            listeners |= size.peers == config.announcements.max_peers;
            remembered |= size.remembered == config.announcements.max_remembered;
        }
        if (s % 20 == 10)
            for (unsigned i = 0; i < 10; i++)
                crowd_kill(c, 1 + (unsigned)draw(c, config.nodes - 1));
        if (s % 20 == 19)
            for (unsigned i = 1; i < config.nodes; i++)
                if (!c->nodes[i].peers)
                    crowd_start(c, i);
    }
    if (!table)
        crowd_fail(c, "no table of peers was full");
    if (!nodes)
        crowd_fail(c, "no table of announcements was full");
    if (!listeners)
        crowd_fail(c, "nobody had as many peers as its announcements take");
    if (!remembered)
        crowd_fail(c, "nobody remembered as many versions as it may");
    return !c->failure[0];
}
