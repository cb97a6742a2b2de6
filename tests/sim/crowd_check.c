/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of a crowd. */
#include "crowd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void crowd_fail(crowd *c, const char *format, ...)
{
    va_list args;

    if (c->failure[0])
        return; /* the first counts */
    va_start(args, format);
    vsnprintf(c->failure, sizeof c->failure, format, args);
    va_end(args);
}

static bool knows(const endpoint *a, const endpoint *b, int64_t now)
{
    peer_view v;

    return peers_find(a->peers, b->key.node_id, &v) && v.record &&
           announcements_version(a->announcements, b->key.node_id) == b->version &&
           announcements_get(a->announcements, b->key.node_id, now);
}

bool crowd_converged(const crowd *c)
{
    unsigned running = 0;

    for (unsigned i = 0; i < c->config.nodes; i++)
        running += c->nodes[i].peers && !c->nodes[i].leaving;
    /* Counting is cheap, and says no while there is much to look at. */
    for (unsigned i = 0; i < c->config.nodes; i++) {
        const endpoint *e = &c->nodes[i];
        if (e->wake.place && !e->peers)
            return false; /* has not started yet */
        if (e->peers && !e->leaving &&
            (peers_count(e->peers) + 1 < running ||
             announcements_get_size(e->announcements).nodes < running))
            return false;
    }
    for (unsigned a = 0; a < c->config.nodes; a++)
        for (unsigned b = 0; b < c->config.nodes; b++)
            if (a != b && c->nodes[a].peers && c->nodes[b].peers && !c->nodes[a].leaving &&
                !c->nodes[b].leaving && !knows(&c->nodes[a], &c->nodes[b], c->now))
                return false;
    return true;
}

bool crowd_meshed(const crowd *c)
{
    for (unsigned a = 0; a < c->config.nodes; a++)
        for (unsigned b = 0; b < c->config.nodes; b++) {
            const endpoint *from = &c->nodes[a], *to = &c->nodes[b];
            uint64_t via;

            if (a == b || !from->peers || !to->peers || from->leaving || to->leaving ||
                peers_session(from->peers, to->key.node_id))
                continue;
            if (crowd_reaches(c, a, b) ||
                !peers_relay(from->peers, to->key.node_id, c->now, &via))
                return false;
        }
    return true;
}
