/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to move a daemon of this node to another. */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- Beginning ------------------------------------------------------------------------------- */

typedef struct asking {
    attempt *a;
    bool too_long;
} asking;

static void take_facts(void *ctx, const moving_facts *f)
{
    asking *q = ctx;
    attempt *a = q->a;
    move_offer *o = &a->offer;

    memcpy(a->entity, f->key->entity, sizeof a->entity);
    snprintf(a->name, sizeof a->name, "%s", f->name);
    q->too_long =
        (size_t)snprintf(a->kind, sizeof a->kind, "%s", f->kind) >= sizeof a->kind ||
        (size_t)snprintf(a->plugin, sizeof a->plugin, "%s", f->plugin) >= sizeof a->plugin;
    o->epoch = f->epoch + 1;
    o->kind = slice_str(a->kind);
    o->plugin = slice_str(a->plugin);
    memcpy(o->digest, f->digest, sizeof o->digest);
    o->state_version = f->state_version;
    o->state_bytes = f->state_bytes;
}

/* Who the target is, as its session has proven. */
static bool know_target(attempt *a, uint64_t node, move_outcome *why)
{
    mesh_peer_view peer;

    a->peer = node;
    if (!peer_find(a->x, node, &peer)) {
        move_failed(why, MOVE_TARGET_UNAVAILABLE, "node %016llx is not connected",
                    (unsigned long long)node);
        return false;
    }
    memcpy(a->peer_entity, peer.entity, sizeof a->peer_entity);
    memcpy(a->peer_static, peer.key, sizeof a->peer_static);
    return true;
}

static bool is_none(const uint8_t digest[32])
{
    static const uint8_t none[32];

    return memcmp(digest, none, sizeof none) == 0;
}

/* The order may say what it is that is to be moved. */
static bool is_as_ordered(const attempt *a, const order *o, move_outcome *why)
{
    const move_offer *f = &a->offer;

    if (o->kind[0] && strcmp(o->kind, a->kind) != 0)
        move_failed(why, MOVE_REFUSED, "the order is for kind '%s', the daemon is of '%s'", o->kind,
                    a->kind);
    else if (!is_none(o->digest) && memcmp(o->digest, f->digest, sizeof o->digest) != 0)
        move_failed(why, MOVE_REFUSED, "the order is for another copy of plugin '%s'", a->plugin);
    else if (o->state_highest &&
             (f->state_version < o->state_lowest || f->state_version > o->state_highest))
        move_failed(why, MOVE_STATE_VERSION, "the order is for state versions %u to %u, it has %u",
                    o->state_lowest, o->state_highest, f->state_version);
    else if (memcmp(o->entity, a->entity, sizeof a->entity) != 0)
        move_failed(why, MOVE_DAEMON_NOT_FOUND, "another daemon has this origin here");
    else
        return true;
    return false;
}

attempt *source_begin(migrations *x, const order *o, uint64_t to, uint64_t ordered_by,
                      const move_order *limits, move_outcome *why)
{
    uint64_t origin = berth_entity_origin(o->entity);
    berth_error error = {0};
    source_config config = {.target = to,
                            .resend_ns = x->config.resend_ns,
                            .deadline_ns = (int64_t)limits->deadline_ns,
                            .max_hold_ns = (int64_t)limits->max_hold_ns};
    attempt *a;
    asking q;
    bool good;

    if (map64_get(&x->by_origin, origin)) {
        move_failed(why, MOVE_ALREADY_MIGRATING, "daemon %016llx is on its way already",
                    (unsigned long long)origin);
        return NULL;
    }
    a = attempt_new(x, o->attempt, origin);
    if (!a) {
        move_failed(why, MOVE_STATE_FAILED, "out of memory");
        return NULL;
    }
    q = (asking){a, false};
    if (runtime_moving_facts(x->rt, origin, take_facts, &q, &error) != BERTH_OK || q.too_long) {
        move_failed(why,
                    error.code == BERTH_ERR_NOT_FOUND ? MOVE_DAEMON_NOT_FOUND : MOVE_STATE_FAILED,
                    "%s", q.too_long ? "its names are too long" : error.text);
        attempt_free(a);
        return NULL;
    }
    good = is_as_ordered(a, o, why) && know_target(a, to, why);
    if (good && memcmp(o->target, a->peer_entity, sizeof o->target) != 0) {
        move_failed(why, MOVE_REFUSED, "the order is for another target");
        good = false;
    }
    if (good) {
        a->offer.order = *o;
        a->offer.head = (move_head){.kind = MESSAGE_MOVE_OFFER, .origin = origin};
        memcpy(a->offer.head.attempt, a->id, sizeof a->id);
        a->not_after_s = o->not_after_s;
        a->orchestrator = ordered_by;
        config.offer = a->offer;
        a->source = source_new(&config, now_of());
        good = a->source && map64_put(&x->by_origin, origin, a);
        if (!good)
            move_failed(why, MOVE_STATE_FAILED, "out of memory");
    }
    if (!good) {
        attempt_free(a);
        return NULL;
    }
    count(x, &x->counters.begun, 1);
    return a;
}

/* ---- Leaving --------------------------------------------------------------------------------- */

typedef struct departing {
    input in;
    attempt *a;
    berth_status status;
    berth_error error;
} departing;

/* handover, hash, envelope, signature: what proves the stream to be the daemon's own. */
static berth_status make_seal(attempt *a, const departed *d, berth_error *error)
{
    handover *h = &a->handover;
    move_seal seal = {.head = a->offer.head, .total = a->stream->len, .held = d->held_count};
    uint8_t text[MOVE_SIGNED_MAX];
    source_view v;
    writer w = {0};
    berth_status status;
    size_t len;

    seal.head.kind = MESSAGE_MOVE_SEAL;
    *h = (handover){.epoch = a->offer.epoch};
    memcpy(h->from, a->x->config.identity->entity, sizeof h->from);
    memcpy(h->to, a->peer_entity, sizeof h->to);
    memcpy(h->attempt, a->id, sizeof h->attempt);
    memcpy(h->head, d->head, sizeof h->head);
    status = handover_sign(h, d->key, a->x->config.identity);
    if (status != BERTH_OK)
        return fail(error, status, "the handover cannot be signed");
    seal.handover = *h;
    crypto_generichash(seal.hash, sizeof seal.hash, a->stream->data, a->stream->len, NULL, 0);
    seal.has_envelope = a->offer.order.transport_identity;
    if (seal.has_envelope)
        status = envelope_seal(&seal.envelope, d->key, a->peer_static, d->head, NULL, error);
    if (status != BERTH_OK)
        return status;
    source_look(a->source, &v);
    len = move_seal_signed(text, &a->offer, v.nonce, &seal);
    status = berth_sign(d->key, text, len, seal.signature);
    if (status == BERTH_OK)
        move_seal_write(&w, &seal);
    a->seal = status == BERTH_OK && !w.failed ? buf_copy(w.data, w.len) : NULL;
    sodium_memzero(&seal, sizeof seal);
    if (w.data)
        sodium_memzero(w.data, w.len);
    writer_free(&w);
    return a->seal ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status pack(attempt *a, berth_error *error)
{
    const departed *d = departure_state(a->departure);
    stream_parts parts = {.make = slice_of(d->make->data, d->make->len),
                          .container = slice_of(d->container->data, d->container->len),
                          .held = d->held ? slice_of(d->held->data, d->held->len) : (slice){0}};

    a->closed_ns = d->closed_ns;
    a->snapshot_ns = d->snapshot_ns;
    a->held = d->held_count;
    a->incarnation = d->incarnation;
    a->sequence = d->sequence;
    if (d->epoch + 1 != a->offer.epoch)
        return fail(error, BERTH_ERR_STALE, "it has another epoch by now");
    a->stream = stream_write(&parts);
    if (!a->stream)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory for its state");
    departure_packed(a->departure);
    return make_seal(a, d, error);
}

static void departed_now(migrations *x, input *in, bool ended)
{
    departing *d = (departing *)in;
    attempt *a = d->a;
    move_outcome why;

    (void)x;
    attempt_unpend(a);
    if (d->status == BERTH_OK)
        d->status = pack(a, &d->error);
    if (d->status != BERTH_OK)
        move_failed(&why, d->status == BERTH_ERR_CANCELLED ? MOVE_CANCELLED : MOVE_STATE_FAILED,
                    "%s", d->error.text);
    source_piece_done(a->source, d->status, a->stream, a->seal, d->status == BERTH_OK ? NULL : &why,
                      now_of());
    free(d);
    if (!ended)
        attempt_pump(a);
}

/* On the daemon's thread. */
static void has_departed(void *ctx, departure *dep, berth_status status, const berth_error *error)
{
    departing *d = ctx;

    (void)dep;
    d->status = status;
    if (error)
        d->error = *error;
    migrations_post(d->a->x, &d->in);
}

static void begin_departure(attempt *a)
{
    departing *d = calloc(1, sizeof *d);
    berth_error error = {0};
    move_outcome why;

    if (d) {
        *d = (departing){.in = {.run = departed_now}, .a = a};
        a->pending++;
        if (departure_begin(a->x->rt, a->origin, has_departed, d, &a->departure, &error) ==
            BERTH_OK)
            return;
        a->pending--;
        free(d);
    }
    move_failed(&why, MOVE_STATE_FAILED, "%s", d ? error.text : "out of memory");
    source_piece_done(a->source, BERTH_ERR_INTERNAL, NULL, NULL, &why, now_of());
}

void source_stay(attempt *a, uint64_t epoch)
{
    if (!a->departure)
        return;
    departure_resume(a->departure, epoch);
    departure_free(a->departure);
    a->departure = NULL;
    a->closed_ns = 0;
}

/* ---- The journal ----------------------------------------------------------------------------- */

static void tell(const attempt *a, berth_status status, const berth_error *error)
{
    if (status != BERTH_OK)
        log_error("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error->text);
}

static void released(attempt *a, berth_status status, const berth_error *error)
{
    tell(a, status, error);
    source_released(a->source, status, now_of());
}

static void finished(attempt *a, berth_status status, const berth_error *error)
{
    tell(a, status, error);
    if (status != BERTH_OK)
        log_error("migrate", "daemon %016llx has gone, but its row stays until the next start",
                  (unsigned long long)a->origin);
    source_finished(a->source, now_of());
}

/* The target runs it. */
static void finish(attempt *a)
{
    berth_error error = {0};
    attempt_stored *s;

    a->opened_ns = now_of();
    if (mesh_depart(a->x->config.mesh, &a->handover, &error) != BERTH_OK)
        log_warn("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error.text);
    if (a->departure) {
        departure_release(a->departure);
        departure_free(a->departure);
        a->departure = NULL;
    }
    buf_unref(a->stream);
    a->stream = NULL;
    buf_unref(a->seal);
    a->seal = NULL;
    s = attempt_store(a, finished);
    if (s)
        store_attempt_hand_over(a->x->config.store, a->id, a->incarnation, a->sequence,
                                attempt_has_stored, s);
}

static void release(attempt *a)
{
    attempt_stored *s = attempt_store(a, released);

    if (s)
        journal_release(a, attempt_has_stored, s);
}

/* ---- What is needed -------------------------------------------------------------------------- */

static void over(attempt *a)
{
    migrations *x = a->x;

    a->over = true;
    a->ended_ns = now_of();
    a->outcome = *source_outcome(a->source);
    if (map64_get(&x->by_origin, a->origin) == a)
        map64_del(&x->by_origin, a->origin);
    pthread_mutex_lock(&x->lock);
    x->counters.moved += a->outcome.moved;
    x->counters.failed += !a->outcome.moved;
    if (a->outcome.moved && a->closed_ns) {
        x->counters.blackout_ns += (uint64_t)(a->opened_ns - a->closed_ns);
        x->counters.snapshot_ns += (uint64_t)a->snapshot_ns;
        x->counters.held_events += a->held;
    }
    pthread_mutex_unlock(&x->lock);
    if (a->outcome.moved)
        log_info("migrate",
                 "daemon '%s' (%016llx) runs on node %016llx now, after %.1f ms in which "
                 "it ran nowhere",
                 a->name, (unsigned long long)a->origin, (unsigned long long)a->peer,
                 a->closed_ns ? (double)(a->opened_ns - a->closed_ns) / 1e6 : 0.0);
    else
        log_warn("migrate", "daemon '%s' (%016llx) stays here: %s%s%s", a->name,
                 (unsigned long long)a->origin, move_reason_text(a->outcome.reason),
                 a->outcome.text[0] ? ": " : "", a->outcome.text);
    if (a->orchestrator)
        source_tell(a, a->orchestrator);
}

void source_pump(attempt *a)
{
    source_need need;

    while (source_next(a->source, &need, now_of())) {
        switch (need.kind) {
        case SOURCE_SEND:
            if (message_kind_of(need.message) == MESSAGE_MOVE_CHUNK)
                count(a->x, &a->x->counters.bytes_out, need.message->len);
            mesh_tell(a->x->config.mesh, need.node, need.lane, need.message);
            buf_unref(need.message);
            break;
        case SOURCE_PIECE:
            begin_departure(a);
            break;
        case SOURCE_THROTTLE:
            break;
        case SOURCE_RELEASE:
            release(a);
            break;
        case SOURCE_RESUME:
            source_stay(a, 0);
            break;
        case SOURCE_FINISH:
            finish(a);
            break;
        case SOURCE_TAKE_BACK:
            attempt_take_back(a);
            break;
        case SOURCE_OVER:
            over(a);
            break;
        case SOURCE_NONE:
            return;
        }
    }
}

void source_let_go(attempt *a)
{
    /* What was released is the target's, or will be: its gate stays closed as long as we live. */
    departure_free(a->departure);
    a->departure = NULL;
}

/* ---- Telling an orchestrator ----------------------------------------------------------------- */

void source_state(const attempt *a, move_state *out)
{
    source_view v;

    source_look(a->source, &v);
    *out = (move_state){.head = a->offer.head,
                        .phase = v.phase,
                        .over = a->over,
                        .in_doubt = v.in_doubt,
                        .bytes_sent = v.bytes_acknowledged,
                        .bytes_total = v.bytes_total,
                        .held = a->held,
                        .snapshot_ns = (uint64_t)a->snapshot_ns,
                        .target = a->peer};
    out->head.kind = MESSAGE_MOVE_STATE;
    if (a->closed_ns)
        out->blackout_ns = (uint64_t)((a->opened_ns ? a->opened_ns : now_of()) - a->closed_ns);
    if (!a->over)
        return;
    out->moved = a->outcome.moved;
    out->reason = a->outcome.reason;
    out->text = slice_str(a->outcome.text);
    if (out->moved)
        out->hearing = a->hearing;
}

void source_tell(attempt *a, uint64_t node)
{
    move_state state;
    writer w = {0};
    buf *b;

    source_state(a, &state);
    move_state_write(&w, &state);
    b = w.failed ? NULL : buf_copy(w.data, w.len);
    if (b)
        mesh_tell(a->x->config.mesh, node, LANE_CALL, b);
    buf_unref(b);
    writer_free(&w);
}
