/* SPDX-License-Identifier: Apache-2.0 */
/* What has come of a daemon: is it what it says, and does it work here? On a worker. */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"
#include "chain/container.h"
#include "identity/entity.h"
#include "mesh/came.h"

#include <sodium.h>
#include <stdlib.h>

typedef struct check {
    job job;
    attempt *a;
    buf *stream;
    buf *base;     /* of one that was followed, after a restart: its first container */
    uint64_t from; /* what the stream has before it was built already */
    move_offer offer;
    bool committed; /* after a restart: open it when it is built */
    early *early;   /* what was verified ahead, or NULL */
    arrival *made;
    char name[128];
    buf *how;
    presence presence;
    move_outcome why;
    berth_status status;
} check;

static berth_status bad(check *c, move_reason reason, const berth_error *error)
{
    move_failed(&c->why, reason, "%s", error->text);
    return error->code ? error->code : BERTH_ERR_CORRUPT;
}

/* The key: out of the envelope, or as it was registered here. Never the one instead of the other.
 */
static berth_status open_key(check *c, const move_seal *seal, berth_keypair *key)
{
    const attempt *a = c->a;
    berth_error error = {0};
    berth_status status;

    if (early_is_same(c->early, seal)) {
        *key = *early_key(c->early);
        status = BERTH_OK;
    } else if (seal->has_envelope)
        status = envelope_open_with(key, &seal->envelope, a->x->config.static_secret,
                                    a->x->static_public, seal->handover.head, c->offer.order.entity,
                                    NULL, &error);
    else if (runtime_moving_key(a->x->rt, a->origin, key))
        status = BERTH_OK;
    else
        status = fail(&error, BERTH_ERR_NOT_FOUND, "no identity came, and none is registered here");
    return status == BERTH_OK ? status : bad(c, MOVE_IDENTITY_TRANSPORT_FAILED, &error);
}

bool handover_fits(const handover *h, const attempt *a, uint64_t epoch)
{
    return entity_eq(h->entity, a->entity) && entity_eq(h->from, a->peer_entity) &&
           entity_eq(h->to, a->x->config.identity->entity) && entity_eq(h->by, h->from) &&
           h->epoch == epoch && memcmp(h->attempt, a->id, sizeof a->id) == 0;
}

presence presence_here(const attempt *a, uint64_t epoch, uint64_t incarnation)
{
    presence p = {.epoch = epoch,
                  .incarnation = incarnation,
                  .not_after_s = clock_wall_ns() / S_NS + PRESENCE_LIFE_S};

    memcpy(p.entity, a->entity, sizeof p.entity);
    memcpy(p.node, a->x->config.identity->entity, sizeof p.node);
    return p;
}

static berth_status check_proof(check *c, const move_seal *seal, const container *state)
{
    const handover *h = &seal->handover;
    const attempt *a = c->a;
    uint8_t text[MOVE_SIGNED_MAX], head[BERTH_LINK_SIZE];
    berth_error error = {0};
    size_t len = move_seal_signed(text, &c->offer, a->nonce, seal);

    berth_link_encode(head, &state->snapshot.link);
    if (berth_verify(c->offer.order.entity, text, len, seal->signature) != BERTH_OK)
        fail(&error, BERTH_ERR_SIGNATURE, "what came is not signed by the daemon's own key");
    else if (!early_is_same(c->early, seal) && handover_verify(h, berth_verify) != BERTH_OK)
        fail(&error, BERTH_ERR_SIGNATURE, "the handover is not signed by daemon and source");
    else if (!handover_fits(h, a, c->offer.epoch))
        fail(&error, BERTH_ERR_CORRUPT, "the handover is for another move");
    else if (!entity_eq(state->snapshot.entity, c->offer.order.entity) ||
             memcmp(h->head, head, sizeof head) != 0)
        fail(&error, BERTH_ERR_IDENTITY_MISMATCH,
             "the state is of another daemon, or another time");
    else if (!slice_eq(state->kind, c->offer.kind) || state->epoch + 1 != c->offer.epoch ||
             state->state_version != c->offer.state_version)
        fail(&error, BERTH_ERR_CORRUPT, "the state is not what was offered");
    return error.code ? bad(c, MOVE_STATE_FAILED, &error) : BERTH_OK;
}

/* One that ran at its source while it was sent: what is not built yet comes to what is. */
static berth_status go_on(check *c, const stream_parts *parts, const arrival_spec *spec,
                          berth_error *error)
{
    arrival_base base = {.kind = spec->kind,
                         .entity = c->offer.order.entity,
                         .make = parts->base_make,
                         .container = parts->base,
                         .epoch = spec->epoch};
    runtime *rt = c->a->x->rt;
    berth_status status = BERTH_OK;

    if (!c->offer.precopy)
        return fail(error, BERTH_ERR_CORRUPT, "the offer did not say that it ran meanwhile");
    if (c->base)
        base.container = slice_of(c->base->data, c->base->len);
    if (!c->made)
        status = arrival_begin(rt, &base, &c->made, error);
    for (unsigned i = 0; status == BERTH_OK && i < parts->executed_count; i++)
        if (parts->executed[i].ptr >= c->stream->data + c->from)
            status = arrival_replay(c->made, parts->executed[i], error);
    if (status == BERTH_OK)
        status = arrival_finish(c->made, spec, error);
    if (status != BERTH_OK)
        c->made = NULL; /* it is gone */
    return status;
}

static berth_status sign_presence(check *c, const move_seal *seal, uint64_t incarnation,
                                  const berth_keypair *key)
{
    const presence *made =
        early_is_same(c->early, seal) ? early_presence(c->early, incarnation) : NULL;

    if (made) {
        c->presence = *made;
        return BERTH_OK;
    }
    c->presence = presence_here(c->a, c->offer.epoch, incarnation);
    return presence_sign(&c->presence, key) == BERTH_OK ? BERTH_OK : BERTH_ERR_INTERNAL;
}

static berth_status build(check *c, const move_seal *seal, const stream_parts *parts,
                          const container *state)
{
    plugin_kind *kind = target_kind(c->a->x, &c->offer);
    berth_keypair key = {0};
    berth_error error = {0};
    writer how = {0};
    berth_status status = open_key(c, seal, &key);

    if (status == BERTH_OK && !kind) {
        fail(&error, BERTH_ERR_KIND_UNKNOWN, "its kind has been unloaded meanwhile");
        status = bad(c, MOVE_FACTORY_NOT_FOUND, &error);
    }
    came_write(&how, &seal->handover, state->came);
    c->how = how.failed ? NULL : buf_copy(how.data, how.len);
    writer_free(&how);
    if (status == BERTH_OK && c->how) {
        arrival_spec spec = {.kind = kind,
                             .identity = &key,
                             .make = parts->make,
                             .container = parts->container,
                             .held = parts->held,
                             .epoch = c->offer.epoch,
                             .came = slice_of(c->how->data, c->how->len)};

        if (parts->base_make.len)
            status = go_on(c, parts, &spec, &error);
        else if (c->made)
            status = fail(&error, BERTH_ERR_CORRUPT, "the stream does not go on as it began");
        else
            status = arrival_build(c->a->x->rt, &spec, &c->made, &error);
        if (status != BERTH_OK)
            bad(c, MOVE_STATE_FAILED, &error);
        else
            status = sign_presence(c, seal, state->incarnation, &key);
    }
    berth_keypair_wipe(&key);
    if (kind)
        plugin_kind_unref(kind);
    return c->how ? status : BERTH_ERR_NO_MEMORY;
}

/* On a worker: plugin code may run. */
static void check_work(job *j)
{
    check *c = (check *)j;
    container state = {0};
    berth_error error = {0};
    stream_parts parts = {.executed_count = 0};
    move_seal seal = {.total = 0};
    uint32_t held = 0;

    c->status =
        move_seal_read(&seal, slice_of(c->a->seal_bytes->data, c->a->seal_bytes->len), &error);
    if (c->status == BERTH_OK)
        c->status = stream_read(&parts, slice_of(c->stream->data, c->stream->len), &error);
    if (c->status == BERTH_OK)
        c->status = moving_held_count(parts.held, &held, &error);
    if (c->status == BERTH_OK && held != seal.held)
        c->status =
            fail(&error, BERTH_ERR_CORRUPT, "%u events were held, %u have come", seal.held, held);
    if (c->status == BERTH_OK)
        c->status = moving_make_check(parts.make, &error);
    if (c->status == BERTH_OK)
        c->status = container_decode(&state, parts.container, &error);
    if (c->status != BERTH_OK)
        bad(c, MOVE_STATE_FAILED, &error);
    if (c->status == BERTH_OK)
        c->status = check_proof(c, &seal, &state);
    if (c->status == BERTH_OK) {
        snprintf(c->name, sizeof c->name, "%.*s", (int)state.name.len,
                 (const char *)state.name.ptr);
        c->status = build(c, &seal, &parts, &state);
    }
    if (c->status != BERTH_OK && !c->why.text[0])
        move_failed(&c->why, MOVE_STATE_FAILED, "%s", berth_status_text(c->status));
    container_fini(&state);
    sodium_memzero(&seal, sizeof seal);
}

static void checked(migrations *x, input *in, bool ended)
{
    check *c = (check *)in;
    attempt *a = c->a;

    attempt_unpend(a);
    a->arrival = c->made;
    buf_unref(a->how);
    a->how = c->how;
    a->presence = c->presence;
    memcpy(a->name, c->name, sizeof a->name);
    (void)x;
    if (c->status != BERTH_OK)
        target_tell_refused(a, &c->why);
    if (c->committed && c->status == BERTH_OK)
        target_take_over(a);
    else if (c->committed)
        target_owned(a->target, c->status, &c->why, now_of());
    else
        target_checked(a->target, c->status, c->status == BERTH_OK ? NULL : &c->why, now_of());
    early_free(c->early);
    buf_unref(c->stream);
    buf_unref(c->base);
    free(c);
    if (!ended)
        attempt_pump(a);
}

void target_check(attempt *a, bool committed)
{
    check *c = calloc(1, sizeof *c);
    move_outcome why;
    berth_error error = {0};

    if (c && committed && a->x->config.store)
        store_attempt_state(a->x->config.store, a->id, &c->base, &c->stream, &error);
    else if (c)
        c->stream = committed && a->stream ? buf_ref(a->stream) : target_take_stream(a->target);
    if (!a->seal_bytes) {
        slice seal = target_seal(a->target);

        a->seal_bytes = buf_copy(seal.ptr, seal.len);
    }
    if (!c || !c->stream || !a->seal_bytes) {
        move_failed(&why, MOVE_STATE_FAILED, "%s",
                    error.code ? error.text : "out of memory for its state");
        if (committed)
            target_owned(a->target, BERTH_ERR_NO_MEMORY, &why, now_of());
        else
            target_checked(a->target, BERTH_ERR_NO_MEMORY, &why, now_of());
        if (c) {
            buf_unref(c->stream);
            buf_unref(c->base);
        }
        free(c);
        return;
    }
    if (!committed) {
        memcpy(a->nonce, target_nonce(a->target), sizeof a->nonce);
        buf_unref(a->stream);
        a->stream = buf_ref(c->stream); /* until it is on disk */
    }
    c->job = (job){.back = {.run = checked}, .work = check_work};
    c->a = a;
    c->made = a->arrival;
    c->from = a->built;
    a->arrival = NULL;
    c->offer = *target_offer(a->target);
    c->committed = committed;
    c->early = early_take(a);
    a->pending++;
    migrations_work(a->x, &c->job);
}
