/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin of a daemon that was offered, sent to its target, which lacks it. Nobody gets one who
 * was not granted that, none but the one that was offered, and only while the offer is open.
 */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "plugin/travel.h"

#include <stdlib.h>

#define PART      (32 * 1024u) /* small: a slow link is to show that it moves */
#define PARTS_MAX (MOVE_FETCH_MAX / PART)

struct serving {
    job job; /* first; one at a time */
    attempt *a;
    plugin_lent *lent;
    uint64_t total; /* 0: not known yet */
    bool out;       /* the job is */
    /* What it does, and what came of it. */
    move_fetch asked;
    buf *parts[PARTS_MAX];
    unsigned count;
    berth_status status;
    berth_error error;
};

/* An operator's word, or a grant. */
static bool may(const attempt *a)
{
    const order *o = &a->offer.order;
    mesh_peer_view peer;

    if (o->has_signature && (o->verbs & ORDER_FETCH_PLUGIN) && is_operator(a->x, o->signer) &&
        order_check(o, clock_wall_ns() / S_NS, berth_verify, NULL) == BERTH_OK)
        return true;
    return peer_find(a->x, a->peer, &peer) && (peer.may & TRUST_MAY_FETCH_PLUGIN);
}

static void refuse(attempt *a, move_reason reason, const char *text)
{
    char digest[2 * DIGEST_BYTES + 1];
    move_outcome why;

    move_failed(&why, reason,
                "kind '%s' (state version %u, plugin '%s' %s) is not on the target, and it does "
                "not get the plugin from here: %s",
                a->kind, a->offer.state_version, a->plugin,
                hex_encode(digest, slice_of(a->offer.digest, 8)), text);
    source_abort(a->source, &why, now_of());
}

/* ---- On a worker ----------------------------------------------------------------------------- */

static void read_part(serving *s, uint64_t offset, size_t len, uint8_t room[PART])
{
    move_part m = {.head = s->asked.head, .offset = offset, .bytes = slice_of(room, len)};
    writer w = {0};

    memcpy(m.digest, s->asked.digest, sizeof m.digest);
    s->status = plugin_lent_read(s->lent, offset, room, len, &s->error);
    if (s->status == BERTH_OK)
        move_part_write(&w, &m);
    if (w.len && !w.failed && (s->parts[s->count] = buf_copy(w.data, w.len)) != NULL)
        s->count++;
    writer_free(&w);
}

static void read_parts(serving *s)
{
    uint64_t at = s->asked.offset, end = at + s->asked.length; /* does not overflow: it was read */
    uint8_t *room = malloc(PART);

    if (end > plugin_lent_size(s->lent))
        end = plugin_lent_size(s->lent);
    while (room && at < end && s->status == BERTH_OK) {
        size_t len = end - at < PART ? (size_t)(end - at) : PART;

        read_part(s, at, len, room);
        at += len;
    }
    free(room);
}

static void work(job *j)
{
    serving *s = (serving *)j;

    s->error = (berth_error){0};
    s->status = BERTH_OK;
    if (!s->lent)
        s->status = plugins_lend(s->a->x->config.plugins, s->asked.digest, &s->lent, &s->error);
    if (s->status == BERTH_OK && s->asked.length)
        read_parts(s);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void drop_parts(serving *s)
{
    while (s->count)
        buf_unref(s->parts[--s->count]);
}

static void post(serving *s, lane on, buf *b)
{
    if (!b)
        return;
    mesh_tell(s->a->x->config.mesh, s->a->peer, on, b);
    count(s->a->x, &s->a->x->counters.plugin_bytes_out, b->len);
}

static void say_what_it_is(serving *s)
{
    move_plugin m = {
        .head = s->asked.head, .total = s->total, .signature = plugin_lent_signature(s->lent)};
    writer w = {0};
    buf *b;

    memcpy(m.digest, s->asked.digest, sizeof m.digest);
    move_plugin_write(&w, &m);
    b = w.failed ? NULL : buf_copy(w.data, w.len);
    post(s, LANE_CALL, b);
    buf_unref(b);
    writer_free(&w);
}

static void answer(serving *s)
{
    attempt *a = s->a;
    char text[96];

    if (s->status != BERTH_OK) {
        refuse(a,
               s->status == BERTH_ERR_REFUSED || s->status == BERTH_ERR_SIGNATURE
                   ? MOVE_REFUSED
                   : MOVE_FACTORY_NOT_FOUND,
               s->error.text);
        return;
    }
    s->total = plugin_lent_size(s->lent);
    if (s->total > s->asked.limit) {
        snprintf(text, sizeof text, "it has %llu bytes, and %llu are taken there",
                 (unsigned long long)s->total, (unsigned long long)s->asked.limit);
        refuse(a, MOVE_FACTORY_NOT_FOUND, text);
    } else if (!s->asked.length) {
        say_what_it_is(s);
    }
    for (unsigned i = 0; i < s->count && s->total <= s->asked.limit; i++)
        post(s, LANE_BULK, s->parts[i]);
}

static bool is_wanted(const attempt *a)
{
    source_view v;

    source_look(a->source, &v);
    return v.fetching;
}

static void has_worked(migrations *x, input *in, bool ended)
{
    serving *s = (serving *)in;
    attempt *a = s->a;

    (void)x;
    attempt_unpend(a);
    s->out = false;
    if (!ended && is_wanted(a))
        answer(s);
    drop_parts(s);
    if (!ended)
        attempt_pump(a);
}

/* ---- For the attempts ------------------------------------------------------------------------ */

void serving_ask(attempt *a, const move_fetch *m)
{
    serving *s = a->serving;

    if (!may(a)) {
        refuse(a, MOVE_REFUSED, "no `may = fetch-plugin` is granted to it");
        return;
    }
    if (!s)
        s = a->serving = calloc(1, sizeof *s);
    if (!s || s->out)
        return; /* it asks again */
    s->a = a;
    s->asked = *m;
    s->out = true;
    s->job = (job){.back = {.run = has_worked}, .work = work};
    a->pending++;
    migrations_work(a->x, &s->job);
}

void serving_free(attempt *a)
{
    if (!a->serving)
        return;
    plugin_lent_end(a->serving->lent);
    free(a->serving);
    a->serving = NULL;
}

void serving_pump(attempt *a)
{
    if (a->serving && !a->serving->out && !is_wanted(a))
        serving_free(a);
}

bool serving_progress(const attempt *a, uint64_t *bytes, uint64_t *total)
{
    source_view v;

    source_look(a->source, &v);
    if (!v.fetching)
        return false;
    *bytes = v.fetched;
    *total = a->serving ? a->serving->total : 0;
    return true;
}
