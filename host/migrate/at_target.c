/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to move a daemon of another node here. */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"
#include "chain/container.h"
#include "identity/entity.h"
#include "mesh/came.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- May it come ----------------------------------------------------------------------------- */

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

static bool is_operator(migrations *x, const uint8_t key[BERTH_ENTITY_SIZE])
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
static plugin_kind *kind_for(migrations *x, const move_offer *o)
{
    static const uint8_t none[DIGEST_BYTES];
    plugin_kind *kind = memcmp(o->digest, none, sizeof none) != 0
                            ? plugins_kind_of(x->config.plugins, o->digest, o->kind)
                            : NULL;

    return kind ? kind : plugins_kind(x->config.plugins, o->kind);
}

static bool kind_can(migrations *x, const attempt *a, const move_offer *o, move_outcome *why)
{
    char digest[2 * DIGEST_BYTES + 1];
    plugin_kind *kind = kind_for(x, o);
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
    return can;
}

static uint64_t promised_to(migrations *x, uint64_t node)
{
    uint64_t sum = 0;
    void *value;
    slice key;

    for (size_t at = 0; strmap_next(&x->attempts, &at, &key, &value);) {
        const attempt *a = value;

        if (a->peer == node && a->target)
            sum += a->promised;
    }
    return sum;
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
    else {
        a->promised = wants;
        x->bytes_promised += wants;
        return true;
    }
    return false;
}

static bool is_meant(attempt *a, const move_offer *o, move_outcome *why)
{
    const order *r = &o->order;

    if (!entity_eq(r->source, a->peer_entity) ||
        !entity_eq(r->target, a->x->config.identity->entity) ||
        memcmp(r->attempt, a->id, sizeof a->id) != 0 || berth_entity_origin(r->entity) != a->origin)
        move_failed(why, MOVE_REFUSED, "the order is not for this move");
    else if (r->kind[0] && strcmp(r->kind, a->kind) != 0)
        move_failed(why, MOVE_REFUSED, "the order is for kind '%s'", r->kind);
    else
        return true;
    return false;
}

static bool is_expected(attempt *a, const move_offer *o, move_outcome *why)
{
    moving_place place = runtime_moving_place(a->x->rt, a->origin, a->kind);
    bool only;

    pthread_mutex_lock(&a->x->lock);
    only = a->x->expected_only;
    pthread_mutex_unlock(&a->x->lock);
    if (place.taken)
        move_failed(why, MOVE_ALREADY_THERE, "it runs here, or is being built here");
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

static bool admit(attempt *a, move_outcome *why)
{
    const move_offer *o = target_offer(a->target);
    store_attempt_phase phase;
    uint64_t epoch;

    if (!is_meant(a, o, why) ||
        !order_counts(a->x, &o->order, a->peer, TRUST_MAY_MIGRATE_IN, why))
        return false;
    if (berth_runtime_get_state(a->x->rt) != BERTH_RUNTIME_READY) {
        move_failed(why, MOVE_NOT_READY, "the target is starting or ending");
        return false;
    }
    if (journal_phase(a->x, a->id, &phase, &epoch)) {
        move_failed(why, MOVE_UNKNOWN_ATTEMPT, "this attempt was used already");
        return false;
    }
    if (!kind_is_wanted(a->x, a->kind)) {
        move_failed(why, MOVE_REFUSED, "kind '%s' is not in `migration { accept }` here", a->kind);
        return false;
    }
    return is_expected(a, o, why) && kind_can(a->x, a, o, why) && has_room(a, o, why);
}

attempt *target_begin(migrations *x, uint64_t node, const uint8_t *entity, const move_offer *offer,
                      buf *msg)
{
    attempt *a = attempt_new(x, offer->head.attempt, offer->head.origin);
    target_config config = {
        .source = node, .max_stream = x->config.max_stream, .resend_ns = x->config.resend_ns};

    if (!a)
        return NULL;
    a->peer = node;
    memcpy(a->peer_entity, entity, sizeof a->peer_entity);
    memcpy(a->entity, offer->order.entity, sizeof a->entity);
    snprintf(a->kind, sizeof a->kind, "%.*s", (int)offer->kind.len, (const char *)offer->kind.ptr);
    order_hash(a->order_hash, &offer->order);
    a->not_after_s = offer->order.not_after_s;
    a->offer_bytes = buf_ref(msg);
    a->target = target_new(&config, slice_of(msg->data, msg->len), now_of());
    if (a->target)
        return a;
    attempt_free(a);
    return NULL;
}

/* ---- Is it what it says, and does it work here ----------------------------------------------- */

typedef struct check {
    job job;
    attempt *a;
    buf *stream;
    move_offer offer;
    bool committed; /* after a restart: open it when it is built */
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

/* The key: out of the envelope, or as it was registered here. Never the one instead of the other. */
static berth_status open_key(check *c, const move_seal *seal, berth_keypair *key)
{
    const attempt *a = c->a;
    berth_error error = {0};
    berth_status status;

    if (seal->has_envelope)
        status = envelope_open(key, &seal->envelope, a->x->config.static_secret,
                               seal->handover.head, c->offer.order.entity, NULL, &error);
    else if (runtime_moving_key(a->x->rt, a->origin, key))
        status = BERTH_OK;
    else
        status = fail(&error, BERTH_ERR_NOT_FOUND, "no identity came, and none is registered here");
    return status == BERTH_OK ? status : bad(c, MOVE_IDENTITY_TRANSPORT_FAILED, &error);
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
    else if (handover_verify(h, berth_verify) != BERTH_OK)
        fail(&error, BERTH_ERR_SIGNATURE, "the handover is not signed by daemon and source");
    else if (!entity_eq(h->entity, c->offer.order.entity) || !entity_eq(h->from, a->peer_entity) ||
             !entity_eq(h->to, a->x->config.identity->entity) || !entity_eq(h->by, h->from) ||
             h->epoch != c->offer.epoch || memcmp(h->attempt, a->id, sizeof a->id) != 0)
        fail(&error, BERTH_ERR_CORRUPT, "the handover is for another move");
    else if (!entity_eq(state->snapshot.entity, c->offer.order.entity) ||
             memcmp(h->head, head, sizeof head) != 0)
        fail(&error, BERTH_ERR_IDENTITY_MISMATCH, "the state is of another daemon, or another time");
    else if (!slice_eq(state->kind, c->offer.kind) || state->epoch + 1 != c->offer.epoch ||
             state->state_version != c->offer.state_version)
        fail(&error, BERTH_ERR_CORRUPT, "the state is not what was offered");
    return error.code ? bad(c, MOVE_STATE_FAILED, &error) : BERTH_OK;
}

static berth_status build(check *c, const move_seal *seal, const stream_parts *parts,
                          const container *state)
{
    plugin_kind *kind = kind_for(c->a->x, &c->offer);
    berth_keypair key = {0};
    berth_error error = {0};
    writer how = {0};
    berth_status status = open_key(c, seal, &key);
    presence *p = &c->presence;

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

        *p = (presence){.epoch = c->offer.epoch,
                        .incarnation = state->incarnation,
                        .not_after_s = clock_wall_ns() / S_NS + PRESENCE_LIFE_S};
        memcpy(p->entity, key.entity, sizeof p->entity);
        memcpy(p->node, c->a->x->config.identity->entity, sizeof p->node);
        status = arrival_build(c->a->x->rt, &spec, &c->made, &error);
        if (status != BERTH_OK)
            bad(c, MOVE_STATE_FAILED, &error);
        else if (presence_sign(p, &key) != BERTH_OK)
            status = BERTH_ERR_INTERNAL;
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
    stream_parts parts;
    move_seal seal = {.total = 0};
    uint32_t held = 0;

    c->status =
        move_seal_read(&seal, slice_of(c->a->seal_bytes->data, c->a->seal_bytes->len), &error);
    if (c->status == BERTH_OK)
        c->status = stream_read(&parts, slice_of(c->stream->data, c->stream->len), &error);
    if (c->status == BERTH_OK)
        c->status = moving_held_count(parts.held, &held, &error);
    if (c->status == BERTH_OK && held != seal.held)
        c->status = fail(&error, BERTH_ERR_CORRUPT, "%u events were held, %u have come", seal.held,
                         held);
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

static void own(attempt *a);
static void refuse(attempt *a);

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
    if (c->status != BERTH_OK) {
        count(x, &x->counters.refused, 1);
        log_warn("migrate", "a daemon of kind '%s' from node %016llx is not taken: %s: %s", a->kind,
                 (unsigned long long)a->peer, move_reason_text(c->why.reason), c->why.text);
    }
    if (c->committed && c->status == BERTH_OK)
        own(a);
    else if (c->committed)
        target_owned(a->target, c->status, &c->why, now_of());
    else
        target_checked(a->target, c->status, c->status == BERTH_OK ? NULL : &c->why, now_of());
    if (c->stream && !c->committed && c->status == BERTH_OK) {
        buf_unref(a->stream);
        a->stream = buf_ref(c->stream); /* until it is on disk */
    }
    buf_unref(c->stream);
    free(c);
    if (!ended)
        attempt_pump(a);
}

static void begin_check(attempt *a, bool committed)
{
    check *c = calloc(1, sizeof *c);
    move_outcome why;
    berth_error error = {0};

    if (c && committed && a->x->config.store)
        store_attempt_state(a->x->config.store, a->id, &c->stream, &error);
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
        if (c)
            buf_unref(c->stream);
        free(c);
        return;
    }
    if (!committed)
        memcpy(a->nonce, target_nonce(a->target), sizeof a->nonce);
    c->job = (job){.back = {.run = checked}, .work = check_work};
    c->a = a;
    c->offer = *target_offer(a->target);
    c->committed = committed;
    a->pending++;
    migrations_work(a->x, &c->job);
}

/* ---- The journal ----------------------------------------------------------------------------- */

typedef struct stored {
    input in;
    attempt *a;
    void (*then)(attempt *a, berth_status status, const berth_error *error);
    berth_status status;
    berth_error error;
} stored;

static void stored_now(migrations *x, input *in, bool ended)
{
    stored *s = (stored *)in;
    attempt *a = s->a;

    (void)x;
    attempt_unpend(a);
    s->then(a, s->status, &s->error);
    free(s);
    if (!ended)
        attempt_pump(a);
}

/* On the store's thread. */
static void has_stored(void *ctx, berth_status status, const berth_error *error)
{
    stored *s = ctx;

    s->status = status;
    if (error)
        s->error = *error;
    migrations_post(s->a->x, &s->in);
}

static stored *storing(attempt *a,
                       void (*then)(attempt *a, berth_status status, const berth_error *error))
{
    stored *s = calloc(1, sizeof *s);
    berth_error error = {0};

    if (!s) {
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        then(a, BERTH_ERR_NO_MEMORY, &error);
        return NULL;
    }
    *s = (stored){.in = {.run = stored_now}, .a = a, .then = then};
    a->pending++;
    return s;
}

static void prepared(attempt *a, berth_status status, const berth_error *error)
{
    a->prepared = status == BERTH_OK;
    if (status != BERTH_OK)
        log_error("migrate", "a daemon from node %016llx cannot be kept: %s",
                  (unsigned long long)a->peer, error->text);
    else if (a->x->config.store) { /* it can be had from there */
        buf_unref(a->stream);
        a->stream = NULL;
    }
    target_prepared(a->target, status, now_of());
}

static void prepare(attempt *a)
{
    berth_error none = {0};
    stored *s;

    if (!a->x->config.store) {
        prepared(a, BERTH_OK, &none);
        return;
    }
    s = storing(a, prepared);
    if (s)
        journal_prepare(a, a->stream, has_stored, s);
}

static void forget_secret(attempt *a)
{
    if (a->seal_bytes)
        sodium_memzero(a->seal_bytes->data, a->seal_bytes->len);
    buf_unref(a->seal_bytes);
    a->seal_bytes = NULL;
    buf_unref(a->stream);
    a->stream = NULL;
}

static void owned(attempt *a, berth_status status, const berth_error *error)
{
    move_outcome why;

    if (status != BERTH_OK) {
        /* It runs, and what it emits waits: PREPARED is on disk, the next start goes on from there.
         */
        log_error("migrate", "daemon '%s' has come, but that is not on disk, and its outputs wait: "
                             "%s",
                  a->name, error->text);
        move_failed(&why, MOVE_STORE_FAILED, "%s", error->text);
        return;
    }
    arrival_kept(a->arrival);
    a->arrival = NULL;
    forget_secret(a);
    count(a->x, &a->x->counters.received, 1);
    log_info("migrate", "daemon '%s' (%016llx) has come from node %016llx", a->name,
             (unsigned long long)a->origin, (unsigned long long)a->peer);
    target_owned(a->target, BERTH_OK, NULL, now_of());
}

static void put_row(void *ctx, const store_daemon *row, uint64_t incarnation, uint64_t sequence,
                    buf *bytes)
{
    stored *s = ctx;

    store_attempt_own(s->a->x->config.store, s->a->id, row, incarnation, sequence, bytes,
                      has_stored, s);
}

/* It is ours: it runs at once; what it emits waits until that is on disk. */
static void own(attempt *a)
{
    berth_error error = {0};
    move_outcome why;
    stored *s;

    if (!a->arrival) {
        begin_check(a, true); /* after a restart it is built first */
        return;
    }
    if (arrival_open(a->arrival, &error) != BERTH_OK) {
        a->arrival = NULL;
        if (error.code == BERTH_ERR_SHUTTING_DOWN)
            return; /* PREPARED is on disk: the next start asks again */
        move_failed(&why, MOVE_STATE_FAILED, "%s", error.text);
        target_owned(a->target, error.code, &why, now_of());
        return;
    }
    if (mesh_arrive(a->x->config.mesh, &a->presence, slice_of(a->how->data, a->how->len), &error) !=
        BERTH_OK)
        log_error("migrate", "daemon '%s' has come, and is held: %s", a->name, error.text);
    if (!a->x->config.store) {
        owned(a, BERTH_OK, &error);
        return;
    }
    s = storing(a, owned);
    if (s && arrival_row(a->arrival, put_row, s, &error) != BERTH_OK) {
        a->pending--;
        free(s);
        owned(a, error.code, &error);
    }
}

static void refused(attempt *a, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK)
        log_error("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error->text);
    target_refused(a->target, status, now_of());
}

/* ---- Undoing --------------------------------------------------------------------------------- */

typedef struct dropping {
    job job;
    attempt *a;
    arrival *arrival;
} dropping;

static void drop_work(job *j)
{
    arrival_abandon(((dropping *)j)->arrival);
}

static void dropped(migrations *x, input *in, bool ended)
{
    dropping *d = (dropping *)in;

    (void)x;
    (void)ended;
    attempt_unpend(d->a);
    free(d);
}

static void drop_arrival(attempt *a)
{
    dropping *d = a->arrival ? calloc(1, sizeof *d) : NULL;

    if (d) {
        *d = (dropping){.job = {.back = {.run = dropped}, .work = drop_work},
                        .a = a,
                        .arrival = a->arrival};
        a->pending++;
        migrations_work(a->x, &d->job);
    }
    a->arrival = NULL;
}

static void refuse(attempt *a)
{
    berth_error none = {0};
    stored *s;

    drop_arrival(a);
    forget_secret(a);
    if (!a->x->config.store) {
        refused(a, BERTH_OK, &none);
        return;
    }
    s = storing(a, refused);
    if (s)
        journal_refuse(a, has_stored, s);
}

static void drop(attempt *a)
{
    drop_arrival(a);
    forget_secret(a);
    if (a->prepared && a->x->config.store)
        store_attempt_drop(a->x->config.store, a->id, NULL, NULL);
    a->prepared = false;
}

/* ---- What is needed -------------------------------------------------------------------------- */

static void answer_admission(attempt *a)
{
    uint8_t nonce[MOVE_NONCE_SIZE];
    move_outcome why = {.moved = false};
    bool may = admit(a, &why);

    if (!may) {
        count(a->x, &a->x->counters.refused, 1);
        log_warn("migrate", "a daemon of kind '%s' offered by node %016llx is not taken: %s: %s",
                 a->kind, (unsigned long long)a->peer, move_reason_text(why.reason), why.text);
    }
    randombytes_buf(nonce, sizeof nonce);
    target_admitted(a->target, may ? BERTH_OK : move_reason_status(why.reason), nonce,
                    may ? NULL : &why, now_of());
}

static void over(attempt *a)
{
    a->over = true;
    a->ended_ns = now_of();
    a->outcome = *target_outcome(a->target);
    a->x->bytes_promised -= a->promised;
    a->promised = 0;
}

void target_pump(attempt *a)
{
    target_need need;

    while (target_next(a->target, &need, now_of())) {
        switch (need.kind) {
        case TARGET_SEND:
            mesh_tell(a->x->config.mesh, need.node, need.lane, need.message);
            buf_unref(need.message);
            break;
        case TARGET_ADMIT:
            answer_admission(a);
            break;
        case TARGET_CHECK:
            begin_check(a, false);
            break;
        case TARGET_PREPARE:
            prepare(a);
            break;
        case TARGET_OWN:
            own(a);
            break;
        case TARGET_REFUSE:
            refuse(a);
            break;
        case TARGET_DROP:
            drop(a);
            break;
        case TARGET_OVER:
            over(a);
            break;
        case TARGET_NONE:
            return;
        }
    }
}

void target_let_go(attempt *a)
{
    if (a->arrival)
        arrival_abandon(a->arrival);
    a->arrival = NULL;
    forget_secret(a);
}
