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

static bool takes_part(const endpoint *e)
{
    return e->peers && !e->leaving;
}

bool crowd_converged(const crowd *c)
{
    unsigned running = 0;

    for (unsigned i = 0; i < c->config.nodes; i++) {
        if (c->nodes[i].wake.place && !c->nodes[i].peers)
            return false; /* has not started yet */
        running += takes_part(&c->nodes[i]);
    }
    /* Counting is cheap, and says no while there is much to look at. */
    for (unsigned i = 0; i < c->config.nodes; i++) {
        const endpoint *e = &c->nodes[i];
        if (takes_part(e) && (peers_count(e->peers) + 1 < running ||
                              announcements_get_size(e->announcements).nodes < running))
            return false;
    }
    return !crowd_why(c)[0];
}

const char *crowd_why(const crowd *c)
{
    static char why[160];

    for (unsigned a = 0; a < c->config.nodes; a++)
        for (unsigned b = 0; b < c->config.nodes; b++) {
            const endpoint *from = &c->nodes[a], *to = &c->nodes[b];
            uint64_t id = to->key.node_id;
            peer_view v;

            if (a == b || !takes_part(from) || !takes_part(to))
                continue;
            const char *what = NULL;
            if (!peers_find(from->peers, id, &v) || !v.record)
                what = "does not know";
            else if (announcements_version(from->announcements, id) != to->version ||
                     !announcements_get(from->announcements, id, c->now))
                what = "has not heard what is announced by";
            if (what) {
                snprintf(why, sizeof why, "node %u %s node %u", a, what, b);
                return why;
            }
        }
    return "";
}

static bool is_full(const crowd *c)
{
    uint32_t full = c->config.peers.full_mesh;

    return c->config.nodes <= (full ? full : 64);
}

bool crowd_meshed(const crowd *c)
{
    if (!is_full(c))
        return true;
    for (unsigned a = 0; a < c->config.nodes; a++)
        for (unsigned b = 0; b < c->config.nodes; b++) {
            const endpoint *from = &c->nodes[a], *to = &c->nodes[b];
            uint64_t via;

            if (a == b || !takes_part(from) || !takes_part(to) ||
                peers_session(from->peers, to->key.node_id))
                continue;
            if (crowd_reaches(c, a, b) || !peers_relay(from->peers, to->key.node_id, c->now, &via))
                return false;
        }
    return true;
}

/* ---- Always ---------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

void crowd_check_bounds(crowd *c)
{
    const announcements_config *most = &c->config.announcements;

    for (unsigned i = 0; i < c->config.nodes; i++) {
        const endpoint *e = &c->nodes[i];
        announcements_size size;

        if (!e->peers)
            continue;
        size = announcements_get_size(e->announcements);
        if (peers_count(e->peers) > or_default(c->config.peers.max_peers, 4096) ||
            size.nodes > or_default(most->max_nodes, 16384) ||
            size.remembered > or_default(most->max_remembered, 65536) ||
            size.bytes > or_default(most->max_bytes, (size_t)64 << 20) ||
            size.peers > or_default(most->max_peers, 4096))
            crowd_fail(c, "node %u keeps more than it may", i);
    }
}

/* ---- When all is quiet ----------------------------------------------------------------------- */

/* Sessions of a: with whom, and whether it is the one that both use. */
static void check_sessions(crowd *c, endpoint *e)
{
    bool *with = calloc(c->config.nodes, sizeof *with);
    unsigned dialled = 0;

    if (!with)
        abort();
    for (const session *s = e->sessions; s; s = s->next) {
        if (!s->up || s->closing)
            continue;
        if (with[s->far_at])
            crowd_fail(c, "nodes %u and %u have two sessions", e->at, s->far_at);
        with[s->far_at] = true;
        dialled += s->dialled;
        if (peers_session(e->peers, s->who.node_id) != s)
            crowd_fail(c, "node %u does not use its session with node %u", e->at, s->far_at);
    }
    free(with);
    unsigned most = (unsigned)or_default(c->config.peers.neighbours, 8) + 2; /* configured */
    if (!is_full(c) && dialled > most)
        crowd_fail(c, "node %u keeps %u sessions that it has made; %u are enough", e->at, dialled,
                   most);
}

static void check_dead(crowd *c, const endpoint *e, const endpoint *dead)
{
    peer_view v;

    if (announcements_get(e->announcements, dead->key.node_id, c->now))
        crowd_fail(c, "node %u believes what node %u announced, which is dead", e->at, dead->at);
    if (!peers_find(e->peers, dead->key.node_id, &v))
        return;
    if (!v.configured)
        crowd_fail(c, "node %u remembers node %u, which is dead", e->at, dead->at);
    if (v.health == HEALTH_HEALTHY)
        crowd_fail(c, "node %u believes that node %u is well, which is dead", e->at, dead->at);
}

/* Everybody is reached over sessions from the first. */
static void check_connected(crowd *c)
{
    unsigned *reached = calloc(c->config.nodes + 1, sizeof *reached), count = 1;
    bool *seen = calloc(c->config.nodes, sizeof *seen);

    if (!reached || !seen)
        abort();
    seen[0] = true;
    for (unsigned i = 0; i < count; i++)
        for (const session *s = c->nodes[reached[i]].sessions; s; s = s->next)
            if (s->up && !seen[s->far_at]) {
                seen[s->far_at] = true;
                reached[count++] = s->far_at;
            }
    for (unsigned i = 0; i < c->config.nodes; i++)
        if (takes_part(&c->nodes[i]) && !seen[i])
            crowd_fail(c, "no way leads from node 0 to node %u", i);
    free(reached);
    free(seen);
}

void crowd_check_quiet(crowd *c)
{
    check_connected(c);
    for (unsigned a = 0; a < c->config.nodes; a++) {
        if (!takes_part(&c->nodes[a]))
            continue;
        check_sessions(c, &c->nodes[a]);
        for (unsigned b = 0; b < c->config.nodes; b++)
            if (!c->nodes[b].peers)
                check_dead(c, &c->nodes[a], &c->nodes[b]);
    }
}
