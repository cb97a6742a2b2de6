/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that was released and runs here again: its target will never own it, as it has put on
 * disk, or as an operator attests who knows that it is gone for good. In the second case the daemon
 * goes on above the epoch that the target was given: should that host turn up after all, it yields.
 */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"
#include "daemon/latch.h"
#include "identity/seal.h"

#include <stdlib.h>

static void taken_back(attempt *a, berth_status status, const berth_error *why)
{
    berth_error error = {0};

    if (status != BERTH_OK)
        log_error("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, why->text);
    else if (a->departure)
        source_stay(a, a->attested ? a->offer.epoch + 1 : 0);
    else if (runtime_resume_one(a->x->rt, a->entity, &error) != BERTH_OK)
        log_error("migrate", "daemon %016llx was taken back, and does not run: %s",
                  (unsigned long long)a->origin, error.text);
    source_taken_back(a->source, now_of());
}

/* After a restart: what the target was sent is newer than any snapshot before it. */
static buf *state_of(attempt *a)
{
    stream_parts parts;
    berth_error error = {0};
    buf *stream = NULL, *state = NULL;

    if (a->departure ||
        store_attempt_state(a->x->config.store, a->id, NULL, &stream, &error) != BERTH_OK)
        return NULL;
    if (stream && stream_read(&parts, slice_of(stream->data, stream->len), &error) == BERTH_OK)
        state = buf_copy(parts.container.ptr, parts.container.len);
    buf_unref(stream);
    return state;
}

void attempt_take_back(attempt *a)
{
    uint64_t epoch = a->attested ? a->offer.epoch + 1 : a->offer.epoch - 1;
    uint8_t sealed[SEAL_SIZE];
    berth_error error = {0};
    slice identity = {0};
    attempt_stored *s;
    buf *state;

    if (a->attested && a->x->config.store) {
        if (runtime_reseal(a->x->rt, a->entity, epoch, sealed, &error) != BERTH_OK) {
            log_error("migrate", "daemon %016llx: %s", (unsigned long long)a->origin, error.text);
            source_taken_back(a->source, now_of());
            return;
        }
        identity = slice_of(sealed, sizeof sealed);
    }
    s = attempt_store(a, taken_back);
    state = s ? state_of(a) : NULL;
    if (s)
        store_attempt_take_back(a->x->config.store, a->id, epoch, identity, a->incarnation,
                                a->sequence, state, attempt_has_stored, s);
    buf_unref(state);
}

/* ---- An operator's word ---------------------------------------------------------------------- */

/* As if the other node had said it: the machines know no other way. */
static void say_for(attempt *a)
{
    writer w = {0};

    if (a->source) {
        move_no no = {.head = a->offer.head,
                      .reason = MOVE_UNKNOWN_ATTEMPT,
                      .final = true,
                      .text = slice_str("an operator attests that the target is gone for good")};

        no.head.kind = MESSAGE_MOVE_REFUSED;
        a->attested = true;
        move_no_write(&w, &no);
        source_message(a->source, a->peer, slice_of(w.data, w.len), now_of());
    } else {
        const move_offer *o = target_offer(a->target);
        move_step commit = {.head = o->head, .epoch = o->epoch};
        berth_error error = {0};
        move_seal seal;

        commit.head.kind = MESSAGE_MOVE_COMMIT;
        if (move_seal_read(&seal, target_seal(a->target), &error) == BERTH_OK)
            memcpy(commit.hash, seal.hash, sizeof commit.hash);
        move_step_write(&w, &commit);
        target_message(a->target, a->peer, slice_of(w.data, w.len), now_of());
    }
    writer_free(&w);
    attempt_pump(a);
}

/* Decided by the one, and not known to be decided at the other. */
static bool is_in_doubt(const attempt *a)
{
    source_view s;
    target_view t;

    if (a->over)
        return false;
    if (a->source) {
        source_look(a->source, &s);
        return s.released;
    }
    target_look(a->target, &t);
    return t.stage == TARGET_PREPARED;
}

typedef struct resolving {
    input in;
    latch *done;
    const migration_id *id;
    uint64_t dead;
    berth_status status;
    berth_error *error;
} resolving;

static attempt *attempt_of(migrations *x, const migration_id *id)
{
    attempt *a = attempt_find(x, id->bytes);
    const migration *g = a ? NULL : migration_find(x, id->bytes);

    return g ? g->local : a;
}

static void resolve_now(migrations *x, input *in, bool ended)
{
    resolving *r = (resolving *)in;
    attempt *a = ended ? NULL : attempt_of(x, r->id);
    mesh_peer_view peer;

    if (!a)
        r->status =
            fail(r->error, BERTH_ERR_NOT_FOUND, "this node has no part in such a migration");
    else if (!is_in_doubt(a))
        r->status =
            fail(r->error, BERTH_ERR_REFUSED, "it is not in doubt: it waits for nobody's word");
    else if (a->peer != r->dead)
        r->status = fail(r->error, BERTH_ERR_REFUSED, "it waits for node %016llx, not for that one",
                         (unsigned long long)a->peer);
    else if (peer_find(x, r->dead, &peer))
        r->status = fail(r->error, BERTH_ERR_REFUSED,
                         "node %016llx is connected: it is not dead, and will decide",
                         (unsigned long long)r->dead);
    else {
        log_warn("migrate",
                 "daemon %016llx: an operator attests that node %016llx is gone for good; "
                 "it is decided without it",
                 (unsigned long long)a->origin, (unsigned long long)r->dead);
        say_for(a);
    }
    latch_answer(r->done, BERTH_OK, NULL);
}

berth_status migrations_resolve(migrations *x, const migration_id *id, uint64_t dead,
                                berth_error *error)
{
    latch done;
    berth_error unread = {0};
    resolving r = {.in = {.run = resolve_now},
                   .done = &done,
                   .id = id,
                   .dead = dead,
                   .error = error ? error : &unread};

    latch_init(&done, 1);
    migrations_post(x, &r.in);
    latch_wait(&done, NULL);
    latch_fini(&done);
    return r.status;
}
