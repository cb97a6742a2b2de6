/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to move a daemon of this node to another. */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"
#include "chain/container.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- Beginning ------------------------------------------------------------------------------- */

typedef struct asking {
    attempt *a;
    bool too_long;
    berth_keypair key;
    uint8_t head[BERTH_LINK_SIZE];
    uint64_t incarnation;
} asking;

static uint64_t precopy_from(migrations *x)
{
    uint64_t bytes;

    pthread_mutex_lock(&x->lock);
    bytes = x->precopy_from;
    pthread_mutex_unlock(&x->lock);
    return bytes;
}

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
    q->key = *f->key;
    memcpy(q->head, f->head, sizeof q->head);
    q->incarnation = f->incarnation;
    o->epoch = f->epoch + 1;
    o->kind = slice_str(a->kind);
    o->plugin = slice_str(a->plugin);
    memcpy(o->digest, f->digest, sizeof o->digest);
    o->state_version = f->state_version;
    o->state_bytes = f->state_bytes;
    o->precopy = f->deterministic && f->stateful && f->state_bytes >= precopy_from(a->x);
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
    q = (asking){.a = a};
    if (runtime_moving_facts(x->rt, origin, take_facts, &q, &error) != BERTH_OK || q.too_long) {
        move_failed(why,
                    error.code == BERTH_ERR_NOT_FOUND ? MOVE_DAEMON_NOT_FOUND : MOVE_STATE_FAILED,
                    "%s", q.too_long ? "its names are too long" : error.text);
        berth_keypair_wipe(&q.key);
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
        good = a->source && (!a->offer.precopy || following_new(a)) &&
               map64_put(&x->by_origin, origin, a);
        if (!good)
            move_failed(why, MOVE_STATE_FAILED, "out of memory");
    }
    if (good && !a->offer.precopy) /* its head will be another one */
        early_begin(a, &q.key, q.head, q.incarnation);
    berth_keypair_wipe(&q.key);
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
    source_piece piece;
    berth_status status;
    berth_error error;
} departing;

/* Who has it from now on, and its key for him. */
static berth_status sign_handover(attempt *a, const departed *d, move_seal *out, berth_error *error)
{
    berth_status status;

    handover_begin(&out->handover, a, d->head);
    status = handover_sign(&out->handover, d->key, a->x->config.identity);
    if (status != BERTH_OK)
        return fail(error, status, "the handover cannot be signed");
    out->has_envelope = a->offer.order.transport_identity;
    return out->has_envelope
               ? envelope_seal(&out->envelope, d->key, a->peer_static, d->head, NULL, error)
               : BERTH_OK;
}

/* handover, hash, envelope, signature: what proves the stream to be the daemon's own. */
static berth_status make_seal(attempt *a, const departed *d, const uint8_t hash[MOVE_HASH_SIZE],
                              uint64_t total, berth_error *error)
{
    move_seal seal = {.head = a->offer.head, .total = total, .held = d->held_count};
    uint8_t text[MOVE_SIGNED_MAX];
    source_view v;
    writer w = {0};
    berth_status status = BERTH_OK;
    size_t len;

    seal.head.kind = MESSAGE_MOVE_SEAL;
    if (!early_signed(a, d->head, &seal))
        status = sign_handover(a, d, &seal, error);
    if (status != BERTH_OK)
        return status;
    a->handover = seal.handover;
    memcpy(seal.hash, hash, sizeof seal.hash);
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

static uint8_t *put(uint8_t *at, const buf *b)
{
    if (b && b->len)
        memcpy(at, b->data, b->len);
    return at + (b ? b->len : 0);
}

static uint8_t *put_head(uint8_t *at, stream_piece type, uint64_t len)
{
    stream_head(at, type, len);
    return at + STREAM_HEAD;
}

static size_t len_of(const buf *b)
{
    return b ? b->len : 0;
}

static slice bytes_of(const buf *b)
{
    return b ? slice_of(b->data, b->len) : (slice){0};
}

void source_digest(uint8_t out[CONTAINER_DIGEST], const departed *d)
{
    container_digest(out, bytes_of(d->container_head), bytes_of(d->state),
                     bytes_of(d->container_tail));
}

/* A large state is copied once, to here. */
buf *source_last_piece(const departed *d)
{
    uint64_t bsn1 =
        d->container_head->len + len_of(d->state) + len_of(d->container_tail) + CONTAINER_DIGEST;
    size_t size = 4 * STREAM_HEAD + len_of(d->executed) + d->make->len + bsn1 + len_of(d->held);
    buf *b = buf_new(size);
    uint8_t *at = b ? b->data : NULL;

    if (!b)
        return NULL;
    if (d->executed)
        at = put(put_head(at, STREAM_EXECUTED, d->executed->len), d->executed);
    at = put(put_head(at, STREAM_MAKE, d->make->len), d->make);
    at = put(put_head(at, STREAM_CONTAINER, bsn1), d->container_head);
    at = put(put(at, d->state), d->container_tail);
    source_digest(at, d);
    at += CONTAINER_DIGEST;
    if (d->held)
        at = put(put_head(at, STREAM_HELD, d->held->len), d->held);
    b->len = (size_t)(at - b->data); /* nobody else has it yet */
    return b;
}

/* The last piece, and what proves all of them. */
static berth_status pack(attempt *a, source_bytes *out, berth_error *error)
{
    const departed *d = departure_state(a->departure);
    uint8_t hash[MOVE_HASH_SIZE];
    berth_status status;
    uint64_t total;
    buf *last;

    a->closed_ns = d->closed_ns;
    if (!a->following)
        a->snapshot_ns = d->snapshot_ns;
    a->held = d->held_count;
    count(a->x, &a->x->counters.executed_events, d->executed_count);
    a->incarnation = d->incarnation;
    a->sequence = d->sequence;
    if (d->epoch + 1 != a->offer.epoch)
        return fail(error, BERTH_ERR_STALE, "it has another epoch by now");
    last = source_last_piece(d);
    if (!last)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory for its state");
    total = last->len;
    if (a->following)
        following_last(a, last, hash, &total);
    else
        crypto_generichash(hash, sizeof hash, last->data, last->len, NULL, 0);
    status = make_seal(a, d, hash, total, error);
    departure_packed(a->departure);
    if (status != BERTH_OK) {
        buf_unref(last);
        return status;
    }
    /* Should it have to be brought back: of one that was followed the last snapshot has to do, as
     * after a crash. */
    a->stream = a->following ? NULL : buf_ref(last);
    *out = (source_bytes){.parts = {last}, .count = 1, .proof = a->seal};
    return BERTH_OK;
}

static void departed_now(migrations *x, input *in, bool ended)
{
    departing *d = (departing *)in;
    attempt *a = d->a;
    source_bytes bytes = {.count = 0};
    move_outcome why;

    (void)x;
    attempt_unpend(a);
    if (d->piece == PIECE_RUNNING) {
        following_state(a, d->status, &d->error);
        free(d);
        if (!ended)
            attempt_pump(a);
        return;
    }
    if (d->status == BERTH_OK)
        d->status = pack(a, &bytes, &d->error);
    if (d->status != BERTH_OK)
        move_failed(&why, d->status == BERTH_ERR_CANCELLED ? MOVE_CANCELLED : MOVE_STATE_FAILED,
                    "%s", d->error.text);
    source_piece_done(a->source, d->status, &bytes, d->status == BERTH_OK ? NULL : &why, now_of());
    buf_unref(bytes.parts[0]);
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

static berth_status ask(attempt *a, departing *d, berth_error *error)
{
    if (d->piece == PIECE_RUNNING)
        return following_begin(a, has_departed, d, error);
    if (a->departure)
        return departure_close(a->departure, has_departed, d, error);
    return departure_begin(a->x->rt, a->origin, has_departed, d, &a->departure, error);
}

void source_depart(attempt *a, source_piece piece)
{
    departing *d = calloc(1, sizeof *d);
    berth_error error = {0};
    move_outcome why;

    if (d) {
        *d = (departing){.in = {.run = departed_now}, .a = a, .piece = piece};
        a->pending++;
        if (ask(a, d, &error) == BERTH_OK)
            return;
        a->pending--;
        free(d);
    }
    move_failed(&why, MOVE_STATE_FAILED, "%s", d ? error.text : "out of memory");
    source_piece_done(a->source, BERTH_ERR_INTERNAL, NULL, &why, now_of());
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

/* The mesh knows where it is: what is left of it here goes. */
static void gone(attempt *a, berth_status status, const berth_error *error)
{
    attempt_stored *s;

    if (migrations_have_ended(a->x))
        return; /* the next start goes on from RELEASED */
    if (status != BERTH_OK)
        log_warn("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error->text);
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

/* The target runs it. */
static void finish(attempt *a)
{
    berth_error error = {0};
    attempt_stored *s = attempt_answer(a, gone);

    a->opened_ns = now_of();
    if (s)
        mesh_depart(a->x->config.mesh, &a->handover, attempt_has_stored, s);
    else
        gone(a, fail(&error, BERTH_ERR_NO_MEMORY, "out of memory"), &error);
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
    early_forget(a);
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

/* The first piece may have been waiting for the target to be ready. */
static void go_on(attempt *a)
{
    source_view v;

    if (!early_is_waiting(a))
        return;
    source_look(a->source, &v);
    if (v.ended) {
        early_forget(a);
        source_piece_done(a->source, BERTH_ERR_CANCELLED, NULL, NULL, now_of());
    } else if (!early_waits(a)) {
        source_depart(a, PIECE_FINAL);
    }
}

void source_pump(attempt *a)
{
    source_need need;

    go_on(a);
    while (source_next(a->source, &need, now_of())) {
        switch (need.kind) {
        case SOURCE_SEND:
            if (message_kind_of(need.message) == MESSAGE_MOVE_CHUNK)
                count(a->x, &a->x->counters.bytes_out, need.message->len);
            mesh_tell(a->x->config.mesh, need.node, need.lane, need.message);
            buf_unref(need.message);
            break;
        case SOURCE_PIECE:
            if (need.piece == PIECE_EXECUTED)
                following_executed(a);
            else if (need.piece == PIECE_RUNNING || !early_waits(a))
                source_depart(a, need.piece);
            break;
        case SOURCE_THROTTLE:
            following_slow(a);
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
        case SOURCE_SERVE:
            serving_ask(a, &need.fetch);
            break;
        case SOURCE_OVER:
            over(a);
            break;
        case SOURCE_NONE:
            return;
        }
    }
    serving_pump(a);
}

void source_let_go(attempt *a)
{
    serving_free(a);
    /* What was released is the target's, or will be: its gate stays closed as long as we live. */
    departure_free(a->departure);
    a->departure = NULL;
    following_free(a);
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
    out->fetching = !a->over && serving_progress(a, &out->bytes_sent, &out->bytes_total);
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
