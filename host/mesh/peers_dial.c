/* SPDX-License-Identifier: Apache-2.0 */
/* Whom to dial, when, and where; and all else that becomes due. */
#include "mesh/peers_private.h"

int64_t peers_jitter(peers *p, int64_t base)
{
    if (base < 2)
        return 1;
    return base / 2 + (int64_t)(peers_random(p) % (uint64_t)(base - base / 2));
}

/* ---- Where ----------------------------------------------------------------------------------- */

static unsigned candidates(const peer *of)
{
    return (of->seen_at.len ? 1 : 0) + of->configured_count + (of->bytes ? of->address_count : 0);
}

/* Where it was last seen, then what the configuration says, then what it says itself. */
static address candidate(const peer *of)
{
    unsigned i = of->turn % candidates(of);
    peer_record r;

    if (of->seen_at.len && i-- == 0)
        return of->seen_at;
    if (i < of->configured_count)
        return of->configured_at[i];
    peer_get_record(of, &r);
    return r.addresses[i - of->configured_count];
}

/* ---- When ------------------------------------------------------------------------------------ */

bool peer_may_dial(const peers *p, const peer *of)
{
    if (!candidates(of))
        return false;
    if (of->configured)
        return true;
    if (of->left || !of->bytes || of->not_after_s < peers_wall(p))
        return false;
    /* Perhaps it is one of the configured peers, which is being dialled under that name. */
    const peer *same = peer_by_key(p, of->static_key);
    if (same && same != of && same->configured_count && same->failures < 3)
        return false;
    if (!p->config.may_dial)
        return true;
    peer_record r;
    peer_get_record(of, &r);
    return p->config.may_dial(p->config.ctx, &r);
}

static bool wants_dial(const peers *p, const peer *of)
{
    if (p->leaving || of->dialling || of->current)
        return false;
    for (const held *h = of->sessions; h; h = h->sibling)
        if (h->up)
            return false; /* its greeting is on its way */
    return peer_may_dial(p, of);
}

/* The lower id leaves the first attempt to the other. */
static int64_t yield(const peers *p, const peer *of)
{
    return of->node && p->self < of->node ? p->config.yield_ns : 0;
}

void peer_redial(peers *p, peer *of)
{
    int64_t wait = p->config.backoff_max_ns;

    peer_consider(p, of);
    if (!peer_needed(p, of)) {
        of->dial_ns = NEVER;
    } else if (of->left) {
        of->dial_ns = p->now_ns + peers_jitter(p, wait);
    } else if (!of->failures) {
        of->dial_ns = p->now_ns + peers_jitter(p, p->config.backoff_ns / 4) + yield(p, of);
    } else {
        unsigned doublings = of->failures - 1;
        if (doublings < 32 && p->config.backoff_ns < wait >> doublings)
            wait = p->config.backoff_ns << doublings;
        of->dial_ns = p->now_ns + peers_jitter(p, wait);
    }
    peer_rearm(p, of);
}

void peer_dial_soon(peers *p, peer *of)
{
    of->dial_ns = peer_needed(p, of) ? p->now_ns : NEVER;
    if (!of->configured && of->dial_ns != NEVER)
        of->dial_ns += peers_jitter(p, p->config.backoff_ns / 4) + yield(p, of);
    peer_rearm(p, of);
}

/* Where all have sessions with all, who has had none for long is gone. Elsewhere its record says
 * so, which it signs anew as long as it lives. */
static int64_t forget_at(const peers *p, const peer *of)
{
    if (of->configured || of->sessions || (p->sparse && of->listed))
        return NEVER;
    if (p->sparse && of->bytes && !of->left)
        return p->now_ns; /* it has run out */
    return of->lost_ns + p->config.forget_ns;
}

void peer_rearm(peers *p, peer *of)
{
    int64_t due = of->dialling || of->current || p->leaving ? NEVER : of->dial_ns;

    for (const held *h = of->sessions; h; h = h->sibling) {
        if (h->close_ns < due)
            due = h->close_ns;
        if (h == of->current && h->ping_ns < due)
            due = h->ping_ns;
        if (h == of->current && h->renew_ns < due)
            due = h->renew_ns;
    }
    int64_t idle = peer_idle_at(p, of), forget = forget_at(p, of);
    if (idle < due)
        due = idle;
    if (of->expires_ns < due)
        due = of->expires_ns;
    if (forget < due)
        due = forget;
    if (of->due.place && of->due.due_ns == due)
        return;
    heap_remove(&p->due, &of->due);
    of->due.due_ns = due;
    heap_push(&p->due, &of->due);
}

/* ---- Dialling -------------------------------------------------------------------------------- */

static held *dial_at(peers *p, peer *of, const address *to)
{
    session *s;

    p->counters.dials++;
    if (p->t.dial(p->t.endpoint, to, of->static_key, p->now_ns, &s, NULL) != BERTH_OK)
        return NULL;
    held *h = held_new(p, of, s, true);
    if (h) {
        of->dialling = h;
        p->dials++;
    }
    return h;
}

/* Every other time, once it has not answered twice. */
static bool detour(peers *p, peer *of, address *to)
{
    return of->failures >= 2 && of->failures % 2 == 0 && of->node && p->config.relayed &&
           p->config.relayed(p->config.ctx, of->node, to);
}

static void dial(peers *p, peer *of)
{
    /* More are known than there will be sessions: it will soon be seen how many of them are real.
     */
    bool crowded = peers_are_many(p);

    of->dial_ns = NEVER;
    if (p->dials >= (crowded ? p->config.max_dials / 4 + 1 : p->config.max_dials)) {
        /* Those who wait look again the more seldom, the more they are. */
        int64_t wait = p->config.backoff_ns;
        if (crowded && !of->configured)
            wait *= 1 + (int64_t)(p->count / p->config.full_mesh);
        of->dial_ns = p->now_ns + peers_jitter(p, wait);
        return;
    }
    address to;
    if (!detour(p, of, &to))
        to = candidate(of);
    if (dial_at(p, of, &to))
        return;
    p->counters.dials_failed++;
    of->failures++;
    of->turn++;
    peer_redial(p, of);
}

void peer_dial_over(peers *p, held *h)
{
    if (h->dialled && !h->up && p->dials)
        p->dials--;
    if (h->peer && h->peer->dialling == h)
        h->peer->dialling = NULL;
}

void peer_renew(peers *p, peer *of)
{
    session_info info = {0};
    held *h = NULL;

    /* Should it fail, it is tried again until the old one ends. */
    of->current->renew_ns = p->now_ns + peers_jitter(p, p->config.backoff_max_ns);
    if (of->dialling || p->leaving || p->dials >= p->config.max_dials)
        return;
    p->t.info(of->current->s, &info);
    if (info.path.len)
        h = dial_at(p, of, &info.path);
    if (h)
        h->renewal = true;
    else
        p->counters.dials_failed++;
}

/* ---- What is due ----------------------------------------------------------------------------- */

static void forget(peers *p, peer *of)
{
    if (of->node)
        peers_tell(p, of, PEER_FORGOTTEN);
    p->counters.forgotten++;
    peer_free(p, of);
}

static void step(peers *p, peer *of)
{
    held *next;

    for (held *h = of->sessions; h; h = next) {
        next = h->sibling;
        held_step(p, h);
    }
    if (of->expires_ns <= p->now_ns)
        peer_list(p, of); /* unless the clock was set back, it is not listed any more */
    if (forget_at(p, of) <= p->now_ns ||
        (forget_at(p, of) != NEVER && !of->proven && of->failures >= ATTEMPTS_UNKNOWN)) {
        forget(p, of);
        return;
    }
    if (peer_idle_at(p, of) <= p->now_ns)
        peer_rest(p, of);
    if (of->dial_ns <= p->now_ns && !of->dialling && !of->current) {
        if (!peer_needed(p, of))
            of->dial_ns = NEVER;
        else if (wants_dial(p, of))
            dial(p, of);
        else
            of->dial_ns = p->now_ns + peers_jitter(p, p->config.backoff_max_ns);
    }
    peer_rearm(p, of);
}

int64_t peers_deadline(const peers *p)
{
    int64_t due = heap_next(&p->due), other = detector_deadline(&p->detector);

    if (other < due)
        due = other;
    if (p->live_count && p->gossip_ns < due)
        due = p->gossip_ns;
    if (p->resign_ns < due)
        due = p->resign_ns;
    if (p->choose_ns < due)
        due = p->choose_ns;
    return p->leave_ns < due ? p->leave_ns : due;
}

void peers_tick(peers *p, int64_t now_ns)
{
    heap_node *n;

    peers_enter(p, now_ns);
    detector_check(&p->detector, p->now_ns);
    if (p->choose_ns <= p->now_ns)
        peers_choose(p);
    while ((n = heap_pop_due(&p->due, p->now_ns)))
        step(p, (peer *)n);
    if (p->gossip_ns <= p->now_ns)
        gossip_tick(p);
    if (p->resign_ns <= p->now_ns) {
        if (peers_resign(p, p->own_record.sequence, NULL) == BERTH_OK)
            gossip_own(p);
        else
            p->resign_ns = p->now_ns + p->config.backoff_max_ns;
    }
    if (p->leave_ns <= p->now_ns) {
        p->leave_ns = NEVER;
        held *next;
        for (held *h = p->held; h; h = next) {
            next = h->next;
            if (h->peer)
                held_close(p, h, END_LOCAL, "this host leaves");
        }
    }
    peers_exit(p);
}
