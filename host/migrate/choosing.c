/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a daemon could go. What kind one of another node is of, that node is asked: it tells those
 * who may order the daemon away from it, and nobody else.
 */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "identity/entity.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

/* ---- Where it is ----------------------------------------------------------------------------- */

#define FIND_NS (2 * S_NS)

/* Of a daemon that nobody here has sent to the others are asked, who answer soon or not at all. */
uint64_t migrations_find(migrations *x, uint64_t origin)
{
    int64_t until = now_of() + FIND_NS;
    directory_place place;

    while (x->rt && !runtime_has(x->rt, origin)) {
        mesh_where(x->config.mesh, origin, &place);
        if (place.known)
            return berth_entity_node_id(place.node);
        if (now_of() >= until)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return x->rt ? x->config.identity->node_id : 0;
}

/* ---- Among whom ------------------------------------------------------------------------------ */

/* This node itself, which knows what it would say. */
static bool is_welcome_here(migrations *x, const char *kind, uint64_t from)
{
    plugin_kind *k = from != x->config.identity->node_id
                         ? plugins_kind(x->config.plugins, slice_str(kind))
                         : NULL;
    mesh_peer_view peer;

    if (!k)
        return false;
    plugin_kind_unref(k);
    return peer_find(x, from, &peer) && peer.may & TRUST_MAY_MIGRATE_IN;
}

uint64_t migrations_choose(migrations *x, const char *kind, uint64_t from)
{
    uint64_t *nodes = NULL, chosen = 0;
    char tag[KIND_MAX + sizeof "kind:"];
    capability_filter filter = {.tag_count = 1};
    size_t count_of = 0, fit = 0;

    snprintf(tag, sizeof tag, "kind:%s", kind);
    filter.tags[0] = slice_str(tag);
    mesh_find_nodes(x->config.mesh, &filter, &nodes, &count_of, NULL);
    if (is_welcome_here(x, kind, from)) {
        chosen = x->config.identity->node_id;
        fit = 1;
    }
    for (size_t i = 0; i < count_of; i++) {
        mesh_peer_view peer;

        if (nodes[i] == from || !peer_find(x, nodes[i], &peer))
            continue;
        if (randombytes_uniform((uint32_t)++fit) == 0) /* each as likely as the others */
            chosen = nodes[i];
    }
    free(nodes);
    return chosen;
}

/* ---- What kind ------------------------------------------------------------------------------- */

#define INQUIRY_NS       (5 * S_NS)
#define INQUIRY_AGAIN_NS S_NS /* the session may not be up yet */

/* Somebody who waits for an answer; on their stack. */
struct inquiry {
    inquiry *next;
    uint8_t id[ATTEMPT_SIZE];
    uint64_t node, origin;
    bool answered;
    char kind[KIND_MAX + 1];
    move_outcome why; /* kind empty */
};

static void send_to(migrations *x, uint64_t node, writer *w)
{
    buf *b = w->failed ? NULL : buf_copy(w->data, w->len);

    if (b)
        mesh_tell(x->config.mesh, node, LANE_CALL, b);
    buf_unref(b);
    writer_free(w);
}

static void ask(migrations *x, const inquiry *q)
{
    move_head head = {.kind = MESSAGE_MOVE_INQUIRE, .origin = q->origin};
    writer w = {0};

    memcpy(head.attempt, q->id, sizeof head.attempt);
    move_bare_write(&w, &head);
    send_to(x, q->node, &w);
}

/* With the lock. */
static void await(migrations *x, inquiry *q)
{
    int64_t end = now_of() + INQUIRY_NS;

    while (!q->answered && !x->ended && now_of() < end) {
        int64_t at = now_of() + INQUIRY_AGAIN_NS;
        struct timespec until;

        if (at > end)
            at = end;
        until = (struct timespec){.tv_sec = (time_t)(at / S_NS), .tv_nsec = (long)(at % S_NS)};
        pthread_mutex_unlock(&x->lock);
        ask(x, q);
        pthread_mutex_lock(&x->lock);
        while (!q->answered && !x->ended && now_of() < at)
            pthread_cond_timedwait(&x->change, &x->lock, &until);
    }
}

static void inquire(migrations *x, inquiry *q)
{
    bool ended;

    randombytes_buf(q->id, sizeof q->id);
    pthread_mutex_lock(&x->lock);
    q->next = x->inquiries;
    x->inquiries = q;
    await(x, q);
    for (inquiry **at = &x->inquiries; *at; at = &(*at)->next)
        if (*at == q) {
            *at = q->next;
            break;
        }
    ended = x->ended;
    pthread_mutex_unlock(&x->lock);
    if (!q->answered && ended)
        move_failed(&q->why, MOVE_SHUTTING_DOWN, "this node is starting or ending");
    else if (!q->answered)
        move_failed(&q->why, MOVE_TARGET_UNAVAILABLE,
                    "node %016llx, where it is, does not say what kind it is of",
                    (unsigned long long)q->node);
}

bool migrations_kind_of(migrations *x, uint64_t origin, uint64_t node, char *out, size_t cap,
                        move_outcome *why)
{
    inquiry q = {.node = node, .origin = origin};

    if (x->rt && runtime_kind_of(x->rt, origin, out, cap))
        return true;
    if (!node)
        q.node = migrations_find(x, origin);
    if (!q.node || q.node == x->config.identity->node_id) {
        move_failed(why, MOVE_DAEMON_NOT_FOUND, "no node is known that runs %016llx",
                    (unsigned long long)origin);
        return false;
    }
    inquire(x, &q);
    *why = q.why;
    return q.answered && q.kind[0] && (size_t)snprintf(out, cap, "%s", q.kind) < cap;
}

bool inquiry_message(migrations *x, uint64_t node, const move_head *head, slice msg)
{
    move_kind kind;
    move_no no;
    bool refused = move_no_read(&no, msg, NULL) == BERTH_OK && head->kind == MESSAGE_MOVE_REFUSED;
    bool taken = false;

    if (!refused && move_kind_read(&kind, msg, NULL) != BERTH_OK)
        return false;
    pthread_mutex_lock(&x->lock);
    for (inquiry *q = x->inquiries; q && !taken; q = q->next) {
        if (q->answered || q->node != node || q->origin != head->origin ||
            memcmp(q->id, head->attempt, sizeof q->id) != 0)
            continue;
        taken = q->answered = true;
        if (refused)
            move_failed(&q->why, no.reason, "%.*s", (int)no.text.len, (const char *)no.text.ptr);
        else
            memcpy(q->kind, kind.kind.ptr, kind.kind.len);
        pthread_cond_broadcast(&x->change);
    }
    pthread_mutex_unlock(&x->lock);
    return taken;
}

/* ---- At the source --------------------------------------------------------------------------- */

void inquiry_answer(migrations *x, uint64_t node, const move_head *head)
{
    char text[KIND_MAX + 1], id[ID_TEXT], why[160];
    move_kind m = {.head = *head};
    mesh_peer_view peer;
    writer w = {0};

    if (!peer_find(x, node, &peer) || !(peer.may & TRUST_MAY_ORCHESTRATE)) {
        count(x, &x->counters.unauthorized, 1);
        snprintf(why, sizeof why, "node %s may not: no `may = %s` is granted to it here",
                 id_encode(id, node), trust_grant_word(TRUST_MAY_ORCHESTRATE));
        say_no(x, node, MESSAGE_MOVE_REFUSED, head->attempt, head->origin, MOVE_REFUSED, false,
               why);
    } else if (!runtime_kind_of(x->rt, head->origin, text, sizeof text)) {
        say_no(x, node, MESSAGE_MOVE_REFUSED, head->attempt, head->origin, MOVE_DAEMON_NOT_FOUND,
               false, "it does not run here");
    } else {
        m.kind = slice_str(text);
        move_kind_write(&w, &m);
        send_to(x, node, &w);
    }
}
