/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a mesh that is too large for sessions between all: with whom to have one.
 *
 * Each node makes sessions with a few peers that it draws, by a hash with a secret of its own, so
 * nobody can arrange to be drawn. It accepts all others, so it has about twice as many. Such a
 * graph hangs together, and any two nodes are a few hops apart. Whoever has something for another
 * node wants a session with it, which ends when it has not been wanted for a while.
 *
 * Drawn are those with the lowest hashes of all that are known, until enough of them answer: those
 * before them that do not answer are tried again all the same, so a partition that heals leaves the
 * graph as it was.
 */
#include "mesh/peers_private.h"

#define FAILING    2         /* dials in a row that failed: others are drawn in its place */
#define TRIED_MAX  4         /* times the neighbours: so many are drawn at most */
#define PAUSE_NS   100000000 /* at least, between two draws */
#define CHOSEN_MAX (TRIED_MAX * NEIGHBOURS_MAX)

static uint64_t rank_of(const peers *p, const peer *of)
{
    uint64_t z = of->node ^ p->salt;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void choose_soon(peers *p)
{
    if (p->choose_ns == NEVER)
        p->choose_ns = p->now_ns + PAUSE_NS;
}

/* Only those that have proven themselves count: whoever makes up nodes does not make the mesh
 * large. */
static void size_changed(peers *p)
{
    uint32_t full = p->config.full_mesh;
    bool sparse = p->sparse ? p->proven_count >= full - full / 4 : p->proven_count > full;

    if (sparse == p->sparse)
        return;
    p->sparse = sparse;
    choose_soon(p);
}

void peer_prove(peers *p, peer *of, bool proven)
{
    if (of->proven == proven)
        return;
    of->proven = proven;
    p->proven_count += proven ? 1 : -1;
    size_changed(p);
}

bool peers_are_many(const peers *p)
{
    return p->count > p->config.full_mesh;
}

bool peer_needed(const peers *p, const peer *of)
{
    return !p->sparse || of->configured || of->chosen || of->wanted_ns > p->now_ns;
}

void peer_consider(peers *p, const peer *of)
{
    if (!p->sparse || of->configured)
        return;
    if (of->chosen || p->chosen_count < p->config.neighbours || rank_of(p, of) <= p->chosen_rank)
        choose_soon(p);
}

static void keep_for_a_while(peers *p, peer *of)
{
    if (of->wanted_ns < p->now_ns + p->config.idle_ns)
        of->wanted_ns = p->now_ns + p->config.idle_ns;
}

/* Everybody again, and as soon as may be. */
static void choose_all(peers *p)
{
    for (peer *x = p->all; x; x = x->next) {
        x->chosen = false;
        if (!x->current && !x->dialling && x->dial_ns == NEVER)
            peer_dial_soon(p, x);
        peer_rearm(p, x);
    }
    p->chosen_count = 0;
}

static bool answers(const peer *of)
{
    return of->current || of->failures < FAILING;
}

void peers_choose(peers *p)
{
    struct {
        uint64_t rank;
        peer *of;
    } best[CHOSEN_MAX] = {{0}};
    unsigned most = TRIED_MAX * p->config.neighbours, count = 0, answering = 0, end = 0;

    p->choose_ns = NEVER;
    if (!p->sparse) {
        choose_all(p);
        return;
    }
    for (peer *x = p->all; x; x = x->next) {
        uint64_t rank = rank_of(p, x);
        if (x->configured || (count == most && rank >= best[count - 1].rank) ||
            !peer_may_dial(p, x))
            continue;
        unsigned at = count < most ? count++ : count - 1;
        for (; at && best[at - 1].rank > rank; at--)
            best[at] = best[at - 1];
        best[at].rank = rank;
        best[at].of = x;
    }
    while (end < count && answering < p->config.neighbours)
        answering += answers(best[end++].of);
    for (unsigned i = 0; i < end; i++)
        best[i].of->drawn = true;
    for (peer *x = p->all; x; x = x->next) {
        bool was = x->chosen;
        x->chosen = x->drawn;
        x->drawn = false;
        if (x->chosen && !was && !x->current && !x->dialling && x->dial_ns == NEVER)
            peer_dial_soon(p, x);
        if (!x->chosen && x->sessions && (was || !x->wanted_ns))
            keep_for_a_while(p, x);
        if (x->chosen != was || x->sessions)
            peer_rearm(p, x);
    }
    p->chosen_count = answering;
    p->chosen_rank = end ? best[end - 1].rank : 0;
}

/* ---- On demand ------------------------------------------------------------------------------- */

void peer_want(peers *p, peer *of)
{
    keep_for_a_while(p, of);
    if (!p->sparse || of->current || of->dialling)
        return;
    if (of->dial_ns == NEVER)
        peer_dial_soon(p, of);
}

berth_status peers_want(peers *p, uint64_t node, int64_t now_ns)
{
    peer *of = peer_by_node(p, node);

    if (!of)
        return BERTH_ERR_NOT_FOUND;
    peers_enter(p, now_ns);
    peer_want(p, of);
    berth_status s = of->current ? BERTH_OK : BERTH_ERR_NOT_READY;
    peers_exit(p);
    return s;
}

void peer_came_up(peers *p, peer *of)
{
    keep_for_a_while(p, of);
    peer_consider(p, of);
}

int64_t peer_idle_at(const peers *p, const peer *of)
{
    bool ours = p->sparse && of->current && of->current->dialled;

    return ours && !of->configured && !of->chosen ? of->wanted_ns : NEVER;
}

/* Who dialled closes. That we stop listening says nothing about its health. */
void peer_rest(peers *p, peer *of)
{
    detector_forget(&p->detector, of->node);
    while (of->sessions)
        held_close(p, of->sessions, END_LOCAL, "nobody needs it now");
    p->counters.rested++;
    of->failures = 0;
    of->dial_ns = NEVER;
}
