/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that is to leave and goes on meanwhile: its state is taken once, and sent while it runs;
 * then what it has run since, again and again, until so little is left that its gate can be closed
 * for it. What may be large is hashed and signed on a worker.
 */
#include "migrate/migrations_private.h"
#include "migrate/stream.h"

#include "base/error.h"

#include <sodium.h>
#include <stdlib.h>

/* What may wait to be sent of what it has run; then it waits, too. */
#define RECORD_ROOM (8u << 20)
/* The same once it was found to run faster than it can be sent. */
#define RECORD_SLOW (64u << 10)

struct following {
    crypto_generichash_state hash; /* of the stream so far */
    uint64_t total;
};

bool following_new(attempt *a)
{
    a->following = aligned_alloc(_Alignof(following), sizeof *a->following);
    if (!a->following)
        return false;
    crypto_generichash_init(&a->following->hash, NULL, 0, MOVE_HASH_SIZE);
    a->following->total = 0;
    return true;
}

void following_free(attempt *a)
{
    free(a->following);
    a->following = NULL;
}

/* ---- A piece, and its proof ------------------------------------------------------------------ */

typedef struct packing {
    job job;
    attempt *a;
    move_offer offer;
    const berth_keypair *key; /* the departure's */
    uint8_t nonce[MOVE_NONCE_SIZE];
    source_bytes bytes;
    bool whole; /* it ends in a container, whose digest is to be made */
    berth_status status;
} packing;

static void drop_bytes(source_bytes *b)
{
    while (b->count)
        buf_unref(b->parts[--b->count]);
    buf_unref(b->proof);
    b->proof = NULL;
}

static void add_to_hash(following *f, const source_bytes *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        crypto_generichash_update(&f->hash, b->parts[i]->data, b->parts[i]->len);
        f->total += b->parts[i]->len;
    }
}

static void hash_so_far(const following *f, uint8_t out[MOVE_HASH_SIZE])
{
    crypto_generichash_state copy = f->hash;

    crypto_generichash_final(&copy, out, MOVE_HASH_SIZE);
}

static buf *make_round(const packing *p)
{
    const following *f = p->a->following;
    move_round round = {.head = p->offer.head, .total = f->total};
    uint8_t text[MOVE_SIGNED_MAX];
    writer w = {0};
    buf *out = NULL;
    size_t len;

    hash_so_far(f, round.hash);
    len = move_round_signed(text, &p->offer, p->nonce, &round);
    if (berth_sign(p->key, text, len, round.signature) == BERTH_OK)
        move_round_write(&w, &round);
    if (w.len && !w.failed)
        out = buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

/* On a worker: nobody else has the hash while a piece is out. */
static void pack_work(job *j)
{
    packing *p = (packing *)j;

    if (p->whole)
        source_digest(p->bytes.parts[p->bytes.count - 1]->data, departure_state(p->a->departure));
    add_to_hash(p->a->following, &p->bytes);
    p->bytes.proof = make_round(p);
    p->status = p->bytes.proof ? BERTH_OK : BERTH_ERR_NO_MEMORY;
}

static void packed(migrations *x, input *in, bool ended)
{
    packing *p = (packing *)in;
    attempt *a = p->a;

    (void)x;
    attempt_unpend(a);
    if (p->whole)
        departure_packed(a->departure);
    source_piece_done(a->source, p->status, &p->bytes, NULL, now_of());
    drop_bytes(&p->bytes);
    free(p);
    if (!ended)
        attempt_pump(a);
}

static void failed(attempt *a, berth_status status, const char *text)
{
    move_outcome why;

    move_failed(&why, status == BERTH_ERR_CANCELLED ? MOVE_CANCELLED : MOVE_STATE_FAILED, "%s",
                text);
    source_piece_done(a->source, status, NULL, &why, now_of());
}

/* Takes over the references of bytes. */
static void pack(attempt *a, source_bytes *bytes, bool whole)
{
    packing *p = calloc(1, sizeof *p);
    source_view v;

    if (!p) {
        drop_bytes(bytes);
        failed(a, BERTH_ERR_NO_MEMORY, "out of memory for its state");
        return;
    }
    source_look(a->source, &v);
    *p = (packing){.job = {.back = {.run = packed}, .work = pack_work},
                   .a = a,
                   .offer = a->offer,
                   .key = departure_state(a->departure)->key,
                   .bytes = *bytes,
                   .whole = whole};
    memcpy(p->nonce, v.nonce, sizeof p->nonce);
    a->pending++;
    migrations_work(a->x, &p->job);
}

/* ---- Its state, while it runs ---------------------------------------------------------------- */

/* The first bytes of a piece of so many, behind what is there. */
static void put_head(writer *w, stream_piece type, uint64_t len)
{
    uint8_t head[STREAM_HEAD];

    stream_head(head, type, len);
    writer_bytes(w, head, sizeof head);
}

static void add_part(source_bytes *b, buf *part)
{
    if (part && part->len)
        b->parts[b->count++] = buf_ref(part);
}

/* The state is not copied: it stays in the buffer that the daemon has written it to. */
static bool state_bytes(const departed *d, source_bytes *out)
{
    uint64_t len =
        d->container_head->len + d->state->len + d->container_tail->len + CONTAINER_DIGEST;
    writer w = {0};

    put_head(&w, STREAM_MAKE, d->make->len);
    writer_bytes(&w, d->make->data, d->make->len);
    put_head(&w, STREAM_CONTAINER, len);
    writer_bytes(&w, d->container_head->data, d->container_head->len);
    out->parts[0] = w.failed ? NULL : buf_copy(w.data, w.len);
    out->count = out->parts[0] != NULL;
    writer_free(&w);
    if (!out->count)
        return false;
    add_part(out, d->state);
    add_part(out, d->container_tail);
    out->parts[out->count] = buf_new(CONTAINER_DIGEST); /* filled in by the worker */
    return out->parts[out->count] ? ++out->count : false;
}

void following_state(attempt *a, berth_status status, const berth_error *error)
{
    const departed *d = departure_state(a->departure);
    source_bytes bytes = {.count = 0};

    if (status != BERTH_OK) {
        failed(a, status, error->text);
        return;
    }
    a->snapshot_ns = d->snapshot_ns;
    if (!state_bytes(d, &bytes)) {
        failed(a, BERTH_ERR_NO_MEMORY, "out of memory for its state");
        return;
    }
    pack(a, &bytes, true);
}

void following_executed(attempt *a)
{
    source_bytes bytes = {.count = 0};
    berth_error error = {0};
    writer w = {0};
    uint32_t events;
    buf *executed = NULL;

    if (departure_executed(a->departure, &executed, &events, &error) != BERTH_OK) {
        failed(a, error.code, error.text);
        return;
    }
    if (!executed) {
        source_piece_done(a->source, BERTH_OK, &bytes, NULL, now_of());
        return;
    }
    count(a->x, &a->x->counters.executed_events, events);
    put_head(&w, STREAM_EXECUTED, executed->len);
    bytes.parts[0] = w.failed ? NULL : buf_copy(w.data, w.len);
    bytes.count = bytes.parts[0] != NULL;
    writer_free(&w);
    if (bytes.count) {
        bytes.parts[bytes.count++] = executed;
        pack(a, &bytes, false);
        return;
    }
    buf_unref(executed);
    failed(a, BERTH_ERR_NO_MEMORY, "out of memory for what it has run");
}

/* ---- Its end --------------------------------------------------------------------------------- */

void following_last(attempt *a, buf *last, uint8_t hash[MOVE_HASH_SIZE], uint64_t *total)
{
    add_to_hash(a->following, &(source_bytes){.parts = {last}, .count = 1});
    hash_so_far(a->following, hash);
    *total = a->following->total;
}

void following_slow(attempt *a)
{
    if (a->departure)
        departure_set_room(a->departure, RECORD_SLOW);
}

berth_status following_begin(attempt *a, departure_done *done, void *ctx, berth_error *error)
{
    return departure_follow(a->x->rt, a->origin, RECORD_ROOM, done, ctx, &a->departure, error);
}
