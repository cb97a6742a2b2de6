/* SPDX-License-Identifier: Apache-2.0 */
/* May a daemon come here, and can it run here: asked before anything of it is sent. */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "identity/entity.h"

static bool matches(const char *pattern, const char *kind)
{
    size_t n = strlen(pattern);

    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, kind, n - 1) == 0;
    return strcmp(pattern, kind) == 0;
}

static bool kind_is_wanted(migrations *x, const char *kind)
{
    bool wanted;

    pthread_mutex_lock(&x->lock);
    wanted = x->accept_count == 0;
    for (size_t i = 0; i < x->accept_count && !wanted; i++)
        wanted = matches(x->accept[i], kind);
    pthread_mutex_unlock(&x->lock);
    return wanted;
}

bool is_operator(migrations *x, const uint8_t key[BERTH_ENTITY_SIZE])
{
    bool is = false;

    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->operator_count && !is; i++)
        is = entity_eq(x->operators[i], key);
    pthread_mutex_unlock(&x->lock);
    return is;
}

bool order_counts(migrations *x, const order *o, uint64_t node, uint32_t grant, move_outcome *why)
{
    char id[ID_TEXT];
    berth_error error = {0};
    mesh_peer_view peer;

    id_encode(id, node);
    if (order_check(o, clock_wall_ns() / S_NS, berth_verify, &error) != BERTH_OK) {
        move_failed(why, MOVE_REFUSED, "%s", error.text);
    } else if (!(o->verbs & ORDER_MOVE)) {
        move_failed(why, MOVE_REFUSED, "the order does not say that it is to be moved");
    } else if (o->has_signature && is_operator(x, o->signer)) {
        return true;
    } else if (peer_find(x, node, &peer) && (peer.may & grant)) {
        return true;
    } else {
        move_failed(why, MOVE_REFUSED,
                    "node %s may not: no operator that this node knows has signed the order, and "
                    "no `may = %s` is granted to it here",
                    id, trust_grant_word(grant));
    }
    count(x, &x->counters.unauthorized, 1);
    return false;
}

/* The very copy it ran on, else whatever is loaded under the name and reads its state. */
plugin_kind *target_kind(migrations *x, const move_offer *o)
{
    static const uint8_t none[DIGEST_BYTES];
    plugin_kind *kind = memcmp(o->digest, none, sizeof none) != 0
                            ? plugins_kind_of(x->config.plugins, o->digest, o->kind)
                            : NULL;

    return kind ? kind : plugins_kind(x->config.plugins, o->kind);
}

static admission kind_can(migrations *x, const attempt *a, const move_offer *o, move_outcome *why)
{
    char digest[2 * DIGEST_BYTES + 1];
    plugin_kind *kind = target_kind(x, o);
    const manifest_kind *f = kind ? kind->facts : NULL;
    bool can = kind && (!f->stateful || (o->state_version <= f->state_writes &&
                                         o->state_version >= f->state_reads_oldest));

    if (!kind)
        move_failed(why, MOVE_FACTORY_NOT_FOUND,
                    "no loaded plugin provides kind '%s' (state version %u, plugin '%.*s' %s)",
                    a->kind, o->state_version, (int)o->plugin.len, (const char *)o->plugin.ptr,
                    hex_encode(digest, slice_of(o->digest, 8)));
    else if (!can)
        move_failed(why, MOVE_STATE_VERSION,
                    "kind '%s' reads state versions %u to %u here, it has %u", a->kind,
                    f->state_reads_oldest, f->state_writes, o->state_version);
    if (kind)
        plugin_kind_unref(kind);
    return can ? ADMISSION_YES : kind ? ADMISSION_NO : ADMISSION_LACKS;
}

static uint64_t promised_to(migrations *x, uint64_t node)
{
    return (uintptr_t)map64_get(&x->promised, node);
}

/* False: no memory. */
static bool promise(attempt *a, uint64_t bytes)
{
    migrations *x = a->x;

    if (!map64_put(&x->promised, a->peer, (void *)(uintptr_t)(promised_to(x, a->peer) + bytes)))
        return false;
    a->promised = bytes;
    x->bytes_promised += bytes;
    return true;
}

void target_unpromise(attempt *a)
{
    migrations *x = a->x;
    uint64_t left = promised_to(x, a->peer) - a->promised;

    if (!a->promised)
        return;
    if (left)
        map64_put(&x->promised, a->peer, (void *)(uintptr_t)left);
    else
        map64_del(&x->promised, a->peer);
    x->bytes_promised -= a->promised;
    a->promised = 0;
}

static bool has_room(attempt *a, const move_offer *o, move_outcome *why)
{
    migrations *x = a->x;
    uint64_t wants = o->state_bytes + (1 << 20);

    if (o->state_bytes > x->config.max_stream)
        move_failed(why, MOVE_NO_ROOM, "its state has %llu bytes, %llu are taken here",
                    (unsigned long long)o->state_bytes, (unsigned long long)x->config.max_stream);
    else if (x->bytes_promised + wants > x->config.max_bytes ||
             promised_to(x, a->peer) + wants > x->config.max_bytes / 2 + (1 << 20))
        move_failed(why, MOVE_NOT_READY, "too much is on its way here already");
    else if (promise(a, wants))
        return true;
    else
        move_failed(why, MOVE_NO_ROOM, "out of memory");
    return false;
}

static bool is_meant(attempt *a, const move_offer *o, move_outcome *why)
{
    static const uint8_t any[DIGEST_BYTES];
    const order *r = &o->order;

    if (!entity_eq(r->source, a->peer_entity) ||
        !entity_eq(r->target, a->x->config.identity->entity) ||
        memcmp(r->attempt, a->id, sizeof a->id) != 0 || berth_entity_origin(r->entity) != a->origin)
        move_failed(why, MOVE_REFUSED, "the order is not for this move");
    else if (r->kind[0] && strcmp(r->kind, a->kind) != 0)
        move_failed(why, MOVE_REFUSED, "the order is for kind '%s'", r->kind);
    else if (memcmp(r->digest, any, sizeof any) != 0 &&
             memcmp(r->digest, o->digest, sizeof r->digest) != 0)
        move_failed(why, MOVE_REFUSED, "the order is for another copy of the plugin");
    else
        return true;
    return false;
}

bool target_undecided(attempt *a)
{
    void *other;

    return map64_add(&a->x->coming, a->origin, a, &other) || other;
}

void target_decided(attempt *a)
{
    if (map64_get(&a->x->coming, a->origin) == a)
        map64_del(&a->x->coming, a->origin);
}

static bool is_expected(attempt *a, const move_offer *o, move_outcome *why)
{
    moving_place place = runtime_moving_place(a->x->rt, a->origin, a->kind);
    bool only;

    pthread_mutex_lock(&a->x->lock);
    only = a->x->expected_only;
    pthread_mutex_unlock(&a->x->lock);
    if (map64_get(&a->x->coming, a->origin) != a)
        move_failed(why, MOVE_NOT_READY, "an earlier attempt to move it here is not over");
    else if (place.taken && !runtime_has(a->x->rt, a->origin))
        move_failed(why, MOVE_NOT_READY, "what was here of it has not ended yet");
    else if (place.taken)
        move_failed(why, MOVE_ALREADY_THERE, "it runs here");
    else if (place.expected && place.other_kind)
        move_failed(why, MOVE_FACTORY_NOT_FOUND, "it is expected here as another kind");
    else if (place.expected && place.orchestrator && place.orchestrator != a->peer)
        move_failed(why, MOVE_REFUSED, "it is expected here from another node");
    else if (only && !place.expected)
        move_failed(why, MOVE_FACTORY_NOT_FOUND, "this node takes only daemons that it expects");
    else if (!o->order.transport_identity && !place.has_key)
        move_failed(why, MOVE_IDENTITY_TRANSPORT_FAILED,
                    "its identity does not travel, and none is registered for it here");
    else
        return true;
    return false;
}

admission target_admits(attempt *a, move_outcome *why)
{
    const move_offer *o = target_offer(a->target);
    store_attempt_phase phase;
    admission can;
    uint64_t epoch;

    if (!is_meant(a, o, why) || !order_counts(a->x, &o->order, a->peer, TRUST_MAY_MIGRATE_IN, why))
        return ADMISSION_NO;
    if (berth_runtime_get_state(a->x->rt) != BERTH_RUNTIME_READY) {
        move_failed(why, MOVE_NOT_READY, "the target is starting or ending");
        return ADMISSION_NO;
    }
    if (journal_phase(a->x, a->id, &phase, &epoch)) {
        move_failed(why, MOVE_UNKNOWN_ATTEMPT, "this attempt was used already");
        return ADMISSION_NO;
    }
    if (!kind_is_wanted(a->x, a->kind)) {
        move_failed(why, MOVE_REFUSED, "kind '%s' is not in `migration { accept }` here", a->kind);
        return ADMISSION_NO;
    }
    if (!is_expected(a, o, why))
        return ADMISSION_NO;
    can = kind_can(a->x, a, o, why);
    return can != ADMISSION_YES || has_room(a, o, why) ? can : ADMISSION_NO;
}
