/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/map.h"
#include "identity/entity.h"
#include "mesh/directory_private.h"
#include "mesh/fault.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct entry {
    uint64_t origin;
    bool placed; /* else only asked for: nothing below but the asking is filled in */
    bool local, conflict, doubtful;
    bool has_presence, has_handover;
    uint8_t entity[BERTH_ENTITY_SIZE], node[BERTH_ENTITY_SIZE];
    uint64_t epoch, incarnation;
    presence presence; /* at this epoch */
    presence other;    /* the second one of a conflict */
    handover handover; /* that began this epoch */
    uint8_t former[DIRECTORY_FORMER_MAX][BERTH_ENTITY_SIZE];
    uint32_t former_count;
    int64_t ask_at, ask_wait;
    struct entry *newer, *older; /* by use */
} entry;

struct directory {
    directory_config config;
    map64 by_origin;
    entry *newest, *oldest;
    directory_stats stats;
};

directory *directory_new(const directory_config *config)
{
    directory *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->config = *config;
    if (!d->config.max_entries)
        d->config.max_entries = 65536;
    if (!d->config.ask_ns)
        d->config.ask_ns = INT64_C(250) * 1000 * 1000;
    if (!d->config.ask_max_ns)
        d->config.ask_max_ns = INT64_C(10) * 1000 * 1000 * 1000;
    if (!d->config.verify)
        d->config.verify = berth_verify;
    return d;
}

static void unlink_entry(directory *d, entry *e)
{
    *(e->newer ? &e->newer->older : &d->newest) = e->older;
    *(e->older ? &e->older->newer : &d->oldest) = e->newer;
}

static void link_entry(directory *d, entry *e)
{
    e->newer = NULL;
    e->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = e;
    d->newest = e;
}

static void use(directory *d, entry *e)
{
    if (e == d->newest)
        return;
    unlink_entry(d, e);
    link_entry(d, e);
}

static void set_local(directory *d, entry *e, bool local)
{
    d->stats.local += (uint64_t)local - (uint64_t)e->local;
    e->local = local;
}

static void set_conflict(directory *d, entry *e, bool conflict)
{
    d->stats.conflicts += (uint64_t)conflict - (uint64_t)e->conflict;
    e->conflict = conflict;
}

static void drop(directory *d, entry *e)
{
    set_local(d, e, false);
    set_conflict(d, e, false);
    unlink_entry(d, e);
    map64_del(&d->by_origin, e->origin);
    d->stats.entries--;
    free(e);
}

void directory_free(directory *d)
{
    if (!d)
        return;
    while (d->newest)
        drop(d, d->newest);
    map64_fini(&d->by_origin);
    free(d);
}

static entry *find(const directory *d, uint64_t origin)
{
    return map64_get(&d->by_origin, origin);
}

/* Room for one more. A conflict is kept: forgetting it would open a gate. */
static bool evict(directory *d)
{
    for (entry *e = d->oldest; e; e = e->newer) {
        if (e->local || e->conflict)
            continue;
        drop(d, e);
        d->stats.evicted++;
        return true;
    }
    return false;
}

static entry *add(directory *d, uint64_t origin)
{
    entry *e;

    if (d->stats.entries >= d->config.max_entries && !evict(d))
        return NULL;
    e = calloc(1, sizeof *e);
    if (!e || !map64_put(&d->by_origin, origin, e)) {
        free(e);
        return NULL;
    }
    e->origin = origin;
    link_entry(d, e);
    d->stats.entries++;
    return e;
}

static void remember_former(entry *e, const uint8_t node[BERTH_ENTITY_SIZE])
{
    for (uint32_t i = 0; i < e->former_count; i++)
        if (entity_eq(e->former[i], node))
            return;
    if (e->former_count == DIRECTORY_FORMER_MAX) { /* the one of longest ago */
        memmove(e->former[0], e->former[1], sizeof e->former - sizeof e->former[0]);
        e->former_count--;
    }
    memcpy(e->former[e->former_count++], node, BERTH_ENTITY_SIZE);
}

static bool is_former(const entry *e, const uint8_t node[BERTH_ENTITY_SIZE])
{
    for (uint32_t i = 0; i < e->former_count; i++)
        if (entity_eq(e->former[i], node))
            return true;
    return false;
}

/* Another place, at a higher epoch. */
static void move_to(directory *d, entry *e, const uint8_t node[BERTH_ENTITY_SIZE], uint64_t epoch,
                    const handover *h)
{
    if (e->placed && !entity_eq(e->node, node))
        remember_former(e, e->node);
    if (h)
        remember_former(e, h->from);
    set_local(d, e, false);
    set_conflict(d, e, false);
    memcpy(e->node, node, sizeof e->node);
    e->epoch = epoch;
    e->placed = true;
    e->doubtful = e->has_presence = false;
    e->has_handover = h != NULL;
    if (h)
        e->handover = *h;
    e->ask_wait = 0;
}

/* Does this handover give the daemon to that node at that epoch, by who had it? */
static bool gives(const directory *d, const entry *e, const handover *h, uint64_t epoch,
                  const uint8_t node[BERTH_ENTITY_SIZE])
{
    if (!h || h->epoch != epoch || !entity_eq(h->to, node))
        return false;
    if (!entity_eq(h->by, h->from)) /* an operator's word */
        return d->config.may_take_over && d->config.may_take_over(d->config.ctx, h->by);
    /* Of the epoch just before, the owner is known; of others the daemon's own signature has to do.
     */
    return !e->placed || e->epoch + 1 != epoch || entity_eq(h->from, e->node);
}

/* Time and signatures, which are the same for all. */
static berth_status check_records(directory *d, const presence *p, const handover *h, int64_t now_s,
                                  berth_error *error)
{
    if (p && h && !entity_eq(p->entity, h->entity))
        return fail(error, BERTH_ERR_CORRUPT, "directory: a hint about two daemons");
    if ((p && presence_verify(p, d->config.verify)) ||
        (h && handover_verify(h, d->config.verify))) {
        d->stats.forged++;
        if (!FAULT(UNSIGNED))
            return fail(error, BERTH_ERR_SIGNATURE,
                        "directory: a record that its daemon did not sign");
    }
    if (!p)
        return BERTH_OK;
    if (p->not_after_s < now_s) {
        d->stats.stale++;
        return fail(error, BERTH_ERR_STALE, "directory: a presence that is over");
    }
    if (p->not_after_s - now_s > PRESENCE_LIFE_MAX_S) {
        d->stats.refused++;
        return fail(error, BERTH_ERR_REFUSED, "directory: a presence for more than %d hours",
                    PRESENCE_LIFE_MAX_S / 3600);
    }
    return BERTH_OK;
}

static berth_status stale(directory *d, const entry *e, uint64_t epoch, berth_error *error)
{
    d->stats.stale++;
    return fail(error, BERTH_ERR_STALE, "directory: epoch %" PRIu64 " when %" PRIu64 " is known",
                epoch, e->epoch);
}

static berth_status same_epoch(directory *d, entry *e, const presence *p, const uint8_t *from,
                               berth_error *error)
{
    if (!entity_eq(p->node, e->node)) {
        if (FAULT(IGNORE_CONFLICT))
            return BERTH_OK;
        if (e->has_presence) {
            e->other = *p;
            set_conflict(d, e, true);
            return fail(error, BERTH_ERR_BUSY,
                        "directory: two nodes own origin %016" PRIx64 " at epoch %" PRIu64,
                        e->origin, e->epoch);
        }
        d->stats.refused++; /* not where it was handed over to */
        return fail(error, BERTH_ERR_REFUSED, "directory: epoch %" PRIu64 " was given elsewhere",
                    e->epoch);
    }
    if (p->incarnation < e->incarnation)
        return stale(d, e, p->epoch, error);
    if (!e->has_presence || p->incarnation > e->incarnation ||
        p->not_after_s > e->presence.not_after_s)
        e->presence = *p;
    e->has_presence = true;
    e->incarnation = e->presence.incarnation;
    if (from && entity_eq(from, e->node))
        e->doubtful = false;
    return BERTH_OK;
}

static berth_status learn_presence(directory *d, entry *e, const presence *p, const handover *h,
                                   const uint8_t *from, berth_error *error)
{
    if (!e->placed || p->epoch > e->epoch || (p->epoch < e->epoch && FAULT(LOWER_EPOCH))) {
        bool stays = e->placed && entity_eq(p->node, e->node);
        bool first = !e->placed && p->epoch == 1;

        if (e->placed && p->incarnation < e->incarnation)
            return stale(d, e, p->epoch, error);
        if (!stays && !first && !gives(d, e, h, p->epoch, p->node) && !FAULT(LOWER_EPOCH) &&
            !FAULT(UNSIGNED)) {
            d->stats.refused++;
            return fail(error, BERTH_ERR_REFUSED,
                        "directory: nobody gave epoch %" PRIu64 " to that node", p->epoch);
        }
        move_to(d, e, p->node, p->epoch, h && h->epoch == p->epoch ? h : NULL);
    }
    if (p->epoch < e->epoch)
        return stale(d, e, p->epoch, error);
    return same_epoch(d, e, p, from, error);
}

static berth_status learn_handover(directory *d, entry *e, const handover *h, berth_error *error)
{
    if (e->placed && h->epoch < e->epoch)
        return stale(d, e, h->epoch, error);
    if (e->placed && h->epoch == e->epoch) {
        if (entity_eq(h->to, e->node) && !e->has_handover) {
            e->handover = *h;
            e->has_handover = true;
            remember_former(e, h->from);
        }
        return BERTH_OK;
    }
    if (!gives(d, e, h, h->epoch, h->to)) {
        d->stats.refused++;
        return fail(error, BERTH_ERR_REFUSED,
                    "directory: epoch %" PRIu64 " was not its node's to give", h->epoch);
    }
    move_to(d, e, h->to, h->epoch, h);
    return BERTH_OK;
}

static berth_status entry_for(directory *d, const uint8_t entity[BERTH_ENTITY_SIZE], entry **out,
                              berth_error *error)
{
    uint64_t origin = berth_entity_origin(entity);
    entry *e = find(d, origin);

    if (!e)
        e = add(d, origin);
    *out = e;
    if (!e)
        return fail(error, BERTH_ERR_LIMIT, "directory: full; every entry is of a daemon here");
    if (e->placed && !entity_eq(e->entity, entity)) {
        d->stats.collisions++;
        return fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                    "directory: origin %016" PRIx64 " is another daemon's already", origin);
    }
    return BERTH_OK;
}

static berth_status take(directory *d, const uint8_t *entity, const uint8_t *from,
                         const presence *p, const handover *h, berth_error *error)
{
    entry *e;
    berth_status status = entry_for(d, entity, &e, error);

    if (status)
        return status;
    status = p ? learn_presence(d, e, p, h, from, error) : learn_handover(d, e, h, error);
    if (e->placed)
        memcpy(e->entity, entity, sizeof e->entity);
    else if (!e->ask_wait) /* nothing came of it, and nobody had asked */
        drop(d, e);
    if (!status && h && p)
        learn_handover(d, e, h, NULL);
    return status;
}

berth_status directory_learn(directory *d, const uint8_t from[BERTH_ENTITY_SIZE], const presence *p,
                             const handover *h, int64_t now_s, berth_error *error)
{
    const uint8_t *entity = p ? p->entity : h ? h->entity : NULL;
    const entry *known;
    berth_status status;

    if (!entity)
        return fail(error, BERTH_ERR_INVALID, "directory: an empty hint");
    known = find(d, berth_entity_origin(entity));
    /* What was verified once is not verified again. */
    if (!(known && p && known->has_presence && presence_eq(p, &known->presence) &&
          (!h || known->has_handover) && p->not_after_s >= now_s)) {
        status = check_records(d, p, h, now_s, error);
        if (status)
            return status;
    } else {
        h = NULL;
    }
    status = take(d, entity, from, p, h, error);
    d->stats.learnt += status == BERTH_OK;
    return status;
}

berth_status directory_own(directory *d, const presence *p, const handover *h, berth_error *error)
{
    entry *e;
    berth_status status;

    if (!entity_eq(p->node, d->config.self) || (h && h->epoch > p->epoch))
        return fail(error, BERTH_ERR_INVALID, "directory: not a presence of this node");
    status = entry_for(d, p->entity, &e, error);
    if (status)
        return status;
    if (e->placed && p->epoch < e->epoch)
        return stale(d, e, p->epoch, error);
    if (!e->placed || p->epoch > e->epoch)
        move_to(d, e, p->node, p->epoch, h && h->epoch == p->epoch ? h : NULL);
    memcpy(e->entity, p->entity, sizeof e->entity);
    status = same_epoch(d, e, p, d->config.self, error);
    if (!status)
        set_local(d, e, true);
    return status;
}

berth_status directory_release(directory *d, const handover *h, berth_error *error)
{
    entry *e = find(d, berth_entity_origin(h->entity));

    if (!e || !e->local || h->epoch != e->epoch + 1 || !entity_eq(h->from, d->config.self))
        return fail(error, BERTH_ERR_INVALID, "directory: not this node's to give at that epoch");
    move_to(d, e, h->to, h->epoch, h);
    return BERTH_OK;
}

void directory_forget(directory *d, uint64_t origin)
{
    entry *e = find(d, origin);

    if (e)
        drop(d, e);
}

void directory_add_former(directory *d, uint64_t origin, const uint8_t node[BERTH_ENTITY_SIZE])
{
    entry *e = find(d, origin);

    if (e)
        remember_former(e, node);
}

size_t directory_former(const directory *d, uint64_t origin,
                        uint8_t out[DIRECTORY_FORMER_MAX][BERTH_ENTITY_SIZE])
{
    const entry *e = find(d, origin);

    if (!e)
        return 0;
    memcpy(out, e->former, sizeof e->former);
    return e->former_count;
}

void directory_not_here(directory *d, uint64_t origin, uint64_t epoch,
                        const uint8_t node[BERTH_ENTITY_SIZE])
{
    entry *e = find(d, origin);

    if (e && e->placed && !e->local && e->epoch == epoch && entity_eq(e->node, node))
        e->doubtful = true;
}

void directory_look(const directory *d, uint64_t origin, directory_place *out)
{
    const entry *e = find(d, origin);

    memset(out, 0, sizeof *out);
    if (!e || !e->placed)
        return;
    out->known = true;
    out->local = e->local;
    out->conflict = e->conflict;
    out->epoch = e->epoch;
    out->incarnation = e->incarnation;
    memcpy(out->node, e->node, sizeof out->node);
    memcpy(out->entity, e->entity, sizeof out->entity);
}

/* Others say that it is here, as before a restart of this node, and it is not: not yet, or not any
 * more. Nobody may be sent here. */
static bool is_hearsay(const directory *d, const entry *e)
{
    return !e->local && entity_eq(e->node, d->config.self);
}

void directory_resolve(directory *d, uint64_t origin, int64_t now_ns, int64_t now_s,
                       directory_place *out)
{
    entry *e = find(d, origin);

    directory_look(d, origin, out);
    if (!e)
        e = add(d, origin);
    if (!e)
        return;
    use(d, e);
    if (out->known && (e->local || (!e->doubtful && !is_hearsay(d, e) &&
                                    !(e->has_presence && e->presence.not_after_s < now_s))))
        return;
    out->known = false;
    if (now_ns < e->ask_at && e->ask_wait)
        return;
    out->ask = true;
    e->ask_wait = e->ask_wait == 0                         ? d->config.ask_ns
                  : e->ask_wait > d->config.ask_max_ns / 2 ? d->config.ask_max_ns
                                                           : 2 * e->ask_wait;
    e->ask_at = now_ns + e->ask_wait;
}

bool directory_owns(const directory *d, uint64_t origin)
{
    const entry *e = find(d, origin);

    return e && e->local && !e->conflict;
}

directory_route directory_route_of(const directory *d, uint64_t origin, uint64_t min_epoch,
                                   unsigned hops, directory_place *place)
{
    const entry *e = find(d, origin);

    directory_look(d, origin, place);
    if (place->known && place->local && place->epoch >= min_epoch)
        return place->conflict ? ROUTE_HOLD : ROUTE_DELIVER;
    if (!place->known || place->local || e->doubtful || is_hearsay(d, e) ||
        (place->epoch <= min_epoch && !FAULT(FORWARD_SIDEWAYS)) || (hops >= DIRECTORY_HOPS_MAX))
        return ROUTE_NOT_HERE;
    return ROUTE_FORWARD;
}

directory_carrier directory_carrier_of(const directory *d, uint64_t sender, uint64_t incarnation,
                                       uint64_t receiver, const uint8_t node[BERTH_ENTITY_SIZE],
                                       int64_t now_s)
{
    const entry *e = find(d, sender), *to = find(d, receiver);

    if (FAULT(ANY_CARRIER))
        return CARRIER_DIRECT;
    if (!e || !e->placed || !e->has_presence || (!e->local && e->presence.not_after_s < now_s) ||
        incarnation > e->incarnation)
        return CARRIER_UNKNOWN;
    if (e->conflict || incarnation < e->incarnation)
        return CARRIER_REFUSED;
    if (entity_eq(e->node, node))
        return CARRIER_DIRECT;
    return to && is_former(to, node) ? CARRIER_FORWARDER : CARRIER_REFUSED;
}

bool directory_speaks_for(const directory *d, uint64_t receiver, uint64_t epoch,
                          const uint8_t node[BERTH_ENTITY_SIZE])
{
    const entry *e = find(d, receiver);

    if (FAULT(ACK_FROM_ANYONE))
        return true;
    return e && e->placed && !e->conflict && e->epoch == epoch && entity_eq(e->node, node);
}

bool directory_conflict(const directory *d, uint64_t origin, presence *a, presence *b)
{
    const entry *e = find(d, origin);

    if (!e || !e->conflict)
        return false;
    *a = e->presence;
    *b = e->other;
    return true;
}

void directory_get_stats(const directory *d, directory_stats *out)
{
    *out = d->stats;
}

bool directory_hint_write(const directory *d, uint64_t origin, uint64_t min_epoch, int64_t now_s,
                          writer *w)
{
    const entry *e = find(d, origin);
    const presence *p;

    if (!e || !e->placed || e->epoch < min_epoch)
        return false;
    p = e->has_presence && e->presence.not_after_s >= now_s ? &e->presence : NULL;
    if (!p && !e->has_handover)
        return false;
    directory_hint_put(w, p, e->has_handover ? &e->handover : NULL);
    return true;
}
