/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes of a daemon while it still runs at its source: verified, and built as far as it can be
 * before its end is there. First its state, which the store is given at once, so that little is
 * left to be written when it stands still; then what it has run since, replayed.
 */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"
#include "identity/entity.h"

#include <stdlib.h>

typedef struct building {
    job job; /* first */
    input staged_in;
    attempt *a;
    move_offer offer;
    move_round round;
    uint8_t nonce[MOVE_NONCE_SIZE];
    buf *stream; /* the machine's; it adds nothing meanwhile */
    slice fresh; /* what the round has brought */
    arrival *arrival;
    bool first;
    slice make, container; /* of the first */
    unsigned left;         /* answers: the worker's, the store's */
    berth_status status, kept;
    berth_error kept_error;
    move_outcome why;
} building;

static berth_status bad(building *b, move_reason reason, const berth_error *error)
{
    move_failed(&b->why, reason, "%s", error->text);
    return error->code;
}

static void stage_done(void *ctx, berth_status status, const berth_error *error);

static berth_status verify(const building *b, berth_error *error)
{
    uint8_t text[MOVE_SIGNED_MAX];
    size_t len = move_round_signed(text, &b->offer, b->nonce, &b->round);

    return berth_verify(b->offer.order.entity, text, len, b->round.signature) == BERTH_OK
               ? BERTH_OK
               : fail(error, BERTH_ERR_SIGNATURE,
                      "what came is not signed by the daemon's own key");
}

static berth_status read_first(building *b, berth_error *error)
{
    stream_piece make, container;
    slice rest = b->fresh;

    if (stream_next(&rest, &make, &b->make) && make == STREAM_MAKE &&
        stream_next(&rest, &container, &b->container) && container == STREAM_CONTAINER && !rest.len)
        return moving_make_check(b->make, error);
    return fail(error, BERTH_ERR_CORRUPT, "the first round is not a daemon's state");
}

static berth_status begin_arrival(building *b)
{
    plugin_kind *kind = target_kind(b->a->x, &b->offer);
    arrival_base base = {.kind = kind,
                         .entity = b->offer.order.entity,
                         .make = b->make,
                         .container = b->container,
                         .epoch = b->offer.epoch};
    berth_error error = {0};
    berth_status status;

    if (!kind) {
        fail(&error, BERTH_ERR_KIND_UNKNOWN, "its kind has been unloaded meanwhile");
        return bad(b, MOVE_FACTORY_NOT_FOUND, &error);
    }
    status = arrival_begin(b->a->x->rt, &base, &b->arrival, &error);
    plugin_kind_unref(kind);
    return status == BERTH_OK ? status : bad(b, MOVE_STATE_FAILED, &error);
}

static berth_status replay(building *b)
{
    berth_error error = {0};
    slice rest = b->fresh, body;
    stream_piece type;

    while (rest.len) {
        if (!stream_next(&rest, &type, &body) || type != STREAM_EXECUTED)
            fail(&error, BERTH_ERR_CORRUPT, "a round is not what a daemon has run");
        else if (arrival_replay(b->arrival, body, &error) != BERTH_OK)
            b->arrival = NULL; /* it is gone */
        if (error.code)
            return bad(b, MOVE_STATE_FAILED, &error);
    }
    return BERTH_OK;
}

/* On a worker: nothing of it is looked at before its signature, and then plugin code runs. */
static void round_work(job *j)
{
    building *b = (building *)j;
    store *s = b->a->x->config.store;
    berth_error error = {0};

    if (verify(b, &error) != BERTH_OK || (b->first && read_first(b, &error) != BERTH_OK)) {
        b->status = bad(b, MOVE_STATE_FAILED, &error);
        return;
    }
    if (b->first && s) {
        b->left++; /* the worker's own answer is still out */
        store_attempt_stage(s, b->a->id, b->container, b->stream, stage_done, b);
    }
    b->status = b->first ? begin_arrival(b) : replay(b);
}

static void finish(building *b, bool ended)
{
    attempt *a = b->a;
    uint64_t cut = b->first ? STREAM_HEAD + b->container.len : 0;

    a->arrival = b->arrival;
    if (b->status == BERTH_OK && b->kept != BERTH_OK) {
        b->status = b->kept;
        move_failed(&b->why, MOVE_STORE_FAILED, "its state could not be put on disk: %s",
                    b->kept_error.text);
    }
    if (b->status != BERTH_OK)
        target_tell_refused(a, &b->why);
    a->built = target_stream(a->target).len - cut;
    target_built(a->target, b->status, STREAM_HEAD + b->make.len, cut, &b->why, now_of());
    buf_unref(b->stream);
    free(b);
    attempt_unpend(a);
    if (!ended)
        attempt_pump(a);
}

/* The worker's. */
static void built(migrations *x, input *in, bool ended)
{
    building *b = (building *)in;

    (void)x;
    if (!--b->left)
        finish(b, ended);
}

static void staged(migrations *x, input *in, bool ended)
{
    building *b = (building *)((char *)in - offsetof(building, staged_in));

    (void)x;
    if (!--b->left)
        finish(b, ended);
}

/* On the store's thread. */
static void stage_done(void *ctx, berth_status status, const berth_error *error)
{
    building *b = ctx;

    b->kept = status;
    if (error)
        b->kept_error = *error;
    migrations_post(b->a->x, &b->staged_in);
}

void target_build(attempt *a)
{
    building *b = calloc(1, sizeof *b);
    slice all = target_stream(a->target);
    move_outcome why;

    if (!b) {
        move_failed(&why, MOVE_STATE_FAILED, "out of memory");
        target_built(a->target, BERTH_ERR_NO_MEMORY, 0, 0, &why, now_of());
        return;
    }
    *b = (building){.job = {.back = {.run = built}, .work = round_work},
                    .staged_in = {.run = staged},
                    .a = a,
                    .offer = *target_offer(a->target),
                    .round = *target_round(a->target),
                    .stream = buf_ref(target_stream_buf(a->target)),
                    .fresh = slice_of(all.ptr + a->built, all.len - a->built),
                    .arrival = a->arrival,
                    .first = a->built == 0,
                    .left = 1};
    memcpy(b->nonce, target_nonce(a->target), sizeof b->nonce);
    a->arrival = NULL;
    a->pending++;
    migrations_work(a->x, &b->job);
}
