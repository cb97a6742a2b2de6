/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's key goes ahead of its state. What proves a move to be the daemon's own costs more
 * time than all else that a small one does, and most of it does not depend on the state: handover
 * and envelope are made while the target is asked, and the target has verified them, has the key
 * and has signed its presence, before the source closes the gate.
 *
 * That is all it is: the seal says everything again. Where it says the same, what was verified need
 * not be verified once more; where it does not, because the daemon has emitted something since, or
 * nothing came, or it came too late, the seal alone counts. So nothing here can make an attempt
 * fail, and its messages are sent once.
 */
#include "migrate/migrations_private.h"

#include "identity/entity.h"

#include <sodium.h>
#include <stdlib.h>

/* How long a source waits for a target that does not say that it is ready: it is an older one, or a
 * message was lost. */
#define READY_NS (S_NS / 2)

_Static_assert(sizeof(handover) + 1 == HANDOVER_SIZE, "it can be compared as bytes");

struct early {
    job job; /* first */
    attempt *a;
    bool underway; /* a worker has it */
    bool dropped;  /* meanwhile: nobody else has it any more */
    bool good;     /* signed, or verified */
    berth_keypair key;
    move_key m;

    /* At the source. */
    bool waits; /* the first piece, for the target */
    bool sent, ready;
    int64_t until_ns;

    /* At the target. */
    uint64_t epoch; /* as it was offered */
    presence presence;
};

void early_free(early *e)
{
    if (!e)
        return;
    sodium_memzero(e, sizeof *e);
    free(e);
}

void early_forget(attempt *a)
{
    early *e = a->early;

    a->early = NULL;
    if (e && e->underway)
        e->dropped = true;
    else
        early_free(e);
}

static void begin_work(attempt *a, early *e, void (*work)(job *j),
                       void (*back)(migrations *x, input *in, bool ended))
{
    e->job = (job){.back = {.run = back}, .work = work};
    e->a = a;
    e->underway = true;
    a->early = e;
    a->pending++;
    migrations_work(a->x, &e->job);
}

/* False: nobody wants it any more, and it is gone. */
static bool end_work(early *e)
{
    attempt_unpend(e->a);
    e->underway = false;
    if (!e->dropped)
        return true;
    early_free(e);
    return false;
}

/* ---- At the source --------------------------------------------------------------------------- */

/* On a worker. */
static void sign_work(job *j)
{
    early *e = (early *)j;
    const attempt *a = e->a;
    berth_error error = {0};

    e->good = handover_sign(&e->m.handover, &e->key, a->x->config.identity) == BERTH_OK &&
              envelope_seal(&e->m.envelope, &e->key, a->peer_static, e->m.handover.head, NULL,
                            &error) == BERTH_OK;
    berth_keypair_wipe(&e->key);
}

static void has_signed(migrations *x, input *in, bool ended)
{
    early *e = (early *)in;
    attempt *a = e->a;

    (void)x;
    if (end_work(e) && !ended)
        attempt_pump(a);
}

void early_begin(attempt *a, const berth_keypair *key, const uint8_t head[BERTH_LINK_SIZE],
                 uint64_t incarnation)
{
    early *e = a->offer.order.transport_identity ? calloc(1, sizeof *e) : NULL;

    if (!e)
        return;
    e->key = *key;
    e->m = (move_key){.head = a->offer.head, .incarnation = incarnation};
    handover_begin(&e->m.handover, a, head);
    begin_work(a, e, sign_work, has_signed);
}

void handover_begin(handover *h, const attempt *a, const uint8_t head[BERTH_LINK_SIZE])
{
    *h = (handover){.epoch = a->offer.epoch};
    memcpy(h->from, a->x->config.identity->entity, sizeof h->from);
    memcpy(h->to, a->peer_entity, sizeof h->to);
    memcpy(h->attempt, a->id, sizeof h->attempt);
    memcpy(h->head, head, sizeof h->head);
}

static void send_key(attempt *a, early *e)
{
    writer w = {0};
    buf *b;

    move_key_write(&w, &e->m);
    b = w.failed ? NULL : buf_copy(w.data, w.len);
    if (b)
        mesh_tell(a->x->config.mesh, a->peer, LANE_CALL, b);
    buf_unref(b);
    writer_free(&w);
    e->sent = true;
}

bool early_waits(attempt *a)
{
    early *e = a->early;

    if (!e)
        return false;
    if (!e->waits) {
        e->waits = true;
        e->until_ns = now_of() + READY_NS;
    }
    if (!e->underway && e->good && !e->sent)
        send_key(a, e);
    e->waits = !e->ready && (e->underway || e->good) && now_of() < e->until_ns;
    return e->waits;
}

bool early_is_waiting(const attempt *a)
{
    return a->early && a->early->waits;
}

int64_t early_deadline(const attempt *a)
{
    return early_is_waiting(a) ? a->early->until_ns : INT64_MAX;
}

void early_ready(attempt *a)
{
    if (a->early)
        a->early->ready = true;
}

bool early_signed(attempt *a, const uint8_t head[BERTH_LINK_SIZE], move_seal *out)
{
    const early *e = a->early;

    if (!e || e->underway || !e->good || memcmp(e->m.handover.head, head, BERTH_LINK_SIZE) != 0)
        return false;
    out->handover = e->m.handover;
    out->envelope = e->m.envelope;
    out->has_envelope = true;
    return true;
}

/* ---- At the target --------------------------------------------------------------------------- */

/* On a worker. */
static void verify_work(job *j)
{
    early *e = (early *)j;
    const attempt *a = e->a;
    const handover *h = &e->m.handover;
    const migrations_config *self = &a->x->config;
    berth_error error = {0};

    if (!handover_fits(h, a, e->epoch) || handover_verify(h, berth_verify) != BERTH_OK ||
        envelope_open_with(&e->key, &e->m.envelope, self->static_secret, a->x->static_public,
                           h->head, a->entity, NULL, &error) != BERTH_OK)
        return;
    e->presence = presence_here(a, h->epoch, e->m.incarnation);
    e->good = presence_sign(&e->presence, &e->key) == BERTH_OK;
}

static void has_verified(migrations *x, input *in, bool ended)
{
    early *e = (early *)in;
    move_head head = e->m.head;
    attempt *a = e->a;
    writer w = {0};
    buf *b;

    if (!end_work(e) || ended)
        return;
    /* What is wrong with it the seal tells. */
    head.kind = MESSAGE_MOVE_READY;
    move_bare_write(&w, &head);
    b = w.failed ? NULL : buf_copy(w.data, w.len);
    if (b)
        mesh_tell(x->config.mesh, a->peer, LANE_CALL, b);
    buf_unref(b);
    writer_free(&w);
}

bool early_received(attempt *a, slice msg)
{
    berth_error error = {0};
    target_view v;
    early *e;

    target_look(a->target, &v);
    e = a->early || v.stage != TARGET_RECEIVING ? NULL : calloc(1, sizeof *e);
    if (!e)
        return false;
    if (move_key_read(&e->m, msg, &error) != BERTH_OK) {
        free(e);
        return false;
    }
    e->epoch = target_offer(a->target)->epoch;
    begin_work(a, e, verify_work, has_verified);
    return true;
}

early *early_take(attempt *a)
{
    early *e = a->early && !a->early->underway && a->early->good ? a->early : NULL;

    if (e)
        a->early = NULL;
    return e;
}

bool early_is_same(const early *e, const move_seal *seal)
{
    return e && seal->has_envelope &&
           memcmp(&e->m.handover, &seal->handover, sizeof seal->handover) == 0 &&
           memcmp(&e->m.envelope, &seal->envelope, sizeof seal->envelope) == 0;
}

const berth_keypair *early_key(const early *e)
{
    return &e->key;
}

const presence *early_presence(const early *e, uint64_t incarnation)
{
    return e->m.incarnation == incarnation ? &e->presence : NULL;
}
