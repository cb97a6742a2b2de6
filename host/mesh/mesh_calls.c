/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches for daemons of other nodes: runtime_submit by way of a call (mesh/call.h). Where the
 * daemon lives is found first; when it has moved meanwhile it is looked for again.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"

#include <stdlib.h>

#define CALLS_MAX   1024         /* batches under way, or looking for their daemon */
#define CALLS_BYTES (64u << 20)  /* of their events */
#define DEADLINE_NS (600 * S_NS) /* a slow daemon is no dead one; its node's end ends the call */
#define SEARCH_NS   (5 * S_NS)   /* for who knows the daemon */
#define LOOK_NS     (20 * MS_NS) /* an answer may be here any moment */

/* A batch on its way. */
struct outcall {
    call_user user; /* first */
    mesh_task task;
    struct outcall *all_prev, *all_next;
    struct outcall *next; /* of those that look for their daemon */
    bool searching;
    batch *b;
    uint64_t origin;
    uint64_t id; /* 0: not begun */
    uint64_t bytes;
    int64_t search_until_ns;
};

/* ---- Room ------------------------------------------------------------------------------------ */

static bool take_room(mesh *m, uint64_t bytes, void (*credit)(void *), void *ctx, bool *memory)
{
    bool room;

    *memory = true;
    pthread_mutex_lock(&m->calls_lock);
    room = !m->calls_open || (m->calls_open < CALLS_MAX && m->calls_bytes + bytes <= CALLS_BYTES);
    if (room) {
        m->calls_open++;
        m->calls_bytes += bytes;
    } else if (credit) {
        waiter *w = malloc(sizeof *w);

        *memory = w != NULL;
        if (w) {
            *w = (waiter){m->calls_waiting, credit, ctx};
            m->calls_waiting = w;
        }
    }
    pthread_mutex_unlock(&m->calls_lock);
    return room;
}

static void give_room(mesh *m, uint64_t bytes)
{
    waiter *list;

    pthread_mutex_lock(&m->calls_lock);
    m->calls_open--;
    m->calls_bytes -= bytes;
    list = m->calls_waiting;
    m->calls_waiting = NULL;
    pthread_mutex_unlock(&m->calls_lock);
    while (list) {
        waiter *w = list;

        list = w->next;
        w->wake(w->ctx);
        free(w);
    }
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void search_for(mesh *m, struct outcall *c)
{
    if (c->searching)
        return;
    c->searching = true;
    c->next = m->calls_searching;
    m->calls_searching = c;
}

static void enlist(mesh *m, struct outcall *c)
{
    c->all_next = m->calls_all;
    if (c->all_next)
        c->all_next->all_prev = c;
    m->calls_all = c;
}

static void drop(mesh *m, struct outcall *c)
{
    for (struct outcall **at = &m->calls_searching; c->searching; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    if (c->all_prev)
        c->all_prev->all_next = c->all_next;
    else if (m->calls_all == c)
        m->calls_all = c->all_next;
    if (c->all_next)
        c->all_next->all_prev = c->all_prev;
    give_room(m, c->bytes);
    free(c);
}

/* The batch has its results. */
static void finish(mesh *m, struct outcall *c)
{
    batch *b = c->b;

    drop(m, c);
    b->at = b->count;
    if (b->done)
        b->done(b->ctx, b);
    else
        batch_free(b);
}

/* Nothing of it was applied, or nobody knows. */
static void fail_all(mesh *m, struct outcall *c, berth_status status, const char *text)
{
    for (uint32_t i = 0; i < c->b->count; i++)
        batch_fail(c->b, i, status, text, strlen(text));
    finish(m, c);
}

static void take_result(batch *b, const call_result *r)
{
    slice outputs = r->outputs;
    call_output o;

    b->applied = r->applied;
    b->duplicates = r->duplicates;
    for (uint32_t i = 0; i < r->failure_count && r->failures[i].index < b->count; i++)
        batch_fail(b, r->failures[i].index, call_status_here(r->failures[i].status),
                   (const char *)r->text.ptr, r->text.len);
    b->failed = r->failed;
    while (b->want_outputs && call_output_next(&outputs, &o)) {
        buf *bytes = o.input < b->count ? buf_copy(o.bytes.ptr, o.bytes.len) : NULL;

        if (bytes)
            batch_output(b, o.input, bytes);
    }
}

static void batch_done_elsewhere(mesh *m, call_user *u, const call_outcome *o)
{
    struct outcall *c = (struct outcall *)u;
    char text[CALL_TEXT_MAX + 1];

    snprintf(text, sizeof text, "%.*s", (int)o->text.len, (const char *)o->text.ptr);
    /* What ran has told what became of each event; what did not run fails as a whole. */
    if (o->result && (o->result->applied || o->result->failed || o->result->duplicates)) {
        take_result(c->b, o->result);
        finish(m, c);
    } else {
        fail_all(m, c, o->status, text);
    }
}

static bool batch_moved(mesh *m, call_user *u, const call_moved *moved)
{
    struct outcall *c = (struct outcall *)u;

    if (!moved->gone) {
        const mesh_node *n = mesh_node_of(m, moved->node);

        pthread_mutex_lock(&m->places_lock);
        if (n)
            directory_not_here(m->directory, moved->origin, moved->min_epoch, n->entity);
        pthread_mutex_unlock(&m->places_lock);
    }
    c->search_until_ns = m->now_ns + SEARCH_NS;
    search_for(m, c); /* at the next turn: from here nothing may be called */
    mesh_sweep_in(m, 0);
    return true;
}

/* ---- Beginnings ------------------------------------------------------------------------------ */

static void credit_ignored(void *ctx)
{
    (void)ctx;
}

/* It has come here meanwhile. False: it has no room now, or is on its way again and nobody has been
 * told yet where to. */
static bool run_here(mesh *m, struct outcall *c)
{
    batch *b = c->b;
    berth_error error = {0};
    berth_status status = runtime_submit_here(m->rt, c->origin, b, credit_ignored, NULL, &error);

    if (status == BERTH_ERR_WOULD_BLOCK)
        c->search_until_ns = m->now_ns + SEARCH_NS;
    if (status == BERTH_ERR_WOULD_BLOCK || status == BERTH_ERR_NOT_FOUND)
        return false;
    if (status == BERTH_OK)
        drop(m, c);
    else
        fail_all(m, c, status, error.text);
    return true;
}

/* False: not yet. */
static bool begin(mesh *m, struct outcall *c)
{
    batch *b = c->b;
    directory_place place;
    berth_error error = {0};
    berth_status status;
    slice events[CALL_EVENTS_MAX];
    uint64_t node;

    places_own(m, c->origin, 0);
    places_find(m, c->origin, &place);
    if (!place.known || place.conflict)
        return false;
    if (place.local)
        return run_here(m, c);
    node = berth_entity_node_id(place.node);
    if (c->id) {
        /* Refused only where it may be running: then its answer comes. */
        call_redirect(m->call_client, c->id, node, place.epoch, m->now_ns);
        return true;
    }
    for (uint32_t i = 0; i < b->count; i++)
        events[i] = slice_of(b->messages[i].data, b->messages[i].len);
    call_spec spec = {.node = node,
                      .origin = c->origin,
                      .min_epoch = place.epoch,
                      .events = events,
                      .count = b->count,
                      .deadline_ns = DEADLINE_NS,
                      .want_outputs = b->want_outputs,
                      .source = slice_str(b->source),
                      .source_seq = b->source_seq,
                      .user = &c->user};
    status = call_begin(m->call_client, &spec, m->now_ns, &c->id, &error);
    if (status != BERTH_OK)
        fail_all(m, c, status, error.text);
    return true;
}

static void not_found(mesh *m, struct outcall *c)
{
    char text[80];

    if (c->id) {
        call_cancel(m->call_client, c->id, m->now_ns);
        return;
    }
    snprintf(text, sizeof text, "no node that is up has a daemon %016llx",
             (unsigned long long)c->origin);
    fail_all(m, c, BERTH_ERR_NOT_FOUND, text);
}

/* Those whose daemon is being looked for. */
void calls_search(mesh *m)
{
    struct outcall *list = m->calls_searching;

    m->calls_searching = NULL;
    for (struct outcall *c = list; c; c = c->next)
        c->searching = false;
    while (list) {
        struct outcall *c = list;

        list = c->next;
        if (begin(m, c))
            continue;
        if (m->now_ns < c->search_until_ns)
            search_for(m, c);
        else
            not_found(m, c);
    }
    if (m->calls_searching)
        mesh_sweep_in(m, LOOK_NS);
}

/* In a large mesh a node is met in search of a daemon: it is asked. */
void calls_node_up(mesh *m, uint64_t node)
{
    for (const struct outcall *c = m->calls_searching; c; c = c->next)
        places_ask_one(m, node, c->origin);
}

static void begin_task(mesh *m, mesh_task *t, bool closed)
{
    struct outcall *c = (struct outcall *)((char *)t - offsetof(struct outcall, task));

    if (closed || m->stage != STAGE_RUNNING) {
        fail_all(m, c, BERTH_ERR_SHUTTING_DOWN, "the host is leaving the mesh");
        return;
    }
    enlist(m, c);
    c->search_until_ns = m->now_ns + SEARCH_NS;
    if (!begin(m, c)) {
        search_for(m, c);
        mesh_sweep_in(m, LOOK_NS);
    }
}

/* route.submit: any thread. */
berth_status calls_submit(void *ctx, uint64_t origin, batch *b, void (*credit)(void *),
                          void *credit_ctx, berth_error *error)
{
    mesh *m = ctx;
    struct outcall *c;
    bool memory;

    if (b->count > CALL_EVENTS_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "%u events at once; a daemon of another node takes %d: send several batches",
                    b->count, CALL_EVENTS_MAX);
    c = calloc(1, sizeof *c);
    if (!c)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (!take_room(m, b->bytes, credit, credit_ctx, &memory)) {
        free(c);
        return memory ? fail(error, BERTH_ERR_WOULD_BLOCK,
                             "too much is on its way to other nodes already")
                      : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    *c = (struct outcall){.user = {batch_done_elsewhere, batch_moved},
                          .task = {.run = begin_task},
                          .b = b,
                          .origin = origin,
                          .bytes = b->bytes};
    mesh_post(m, &c->task);
    return BERTH_OK;
}

/* ---- Life ------------------------------------------------------------------------------------ */

berth_status calls_send(void *ctx, uint64_t node, lane l, buf *msg)
{
    mesh *m = ctx;
    session *s = peers_session(m->peers, node);

    peers_want(m->peers, node, m->now_ns);
    return s ? session_send(s, l, msg, m->now_ns) : BERTH_ERR_NOT_READY;
}

static void call_done(void *ctx, void *user, const call_outcome *o)
{
    call_user *u = user;

    u->done(ctx, u, o);
}

static bool call_moved_on(void *ctx, void *user, const call_moved *moved)
{
    call_user *u = user;

    return u->moved && u->moved(ctx, u, moved);
}

berth_status calls_open(mesh *m, berth_error *error)
{
    call_client_config config = {
        .ctx = m, .send = calls_send, .done = call_done, .moved = call_moved_on};

    m->call_client = call_client_new(&config);
    return m->call_client ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

/* Nobody waits for ever: what is open ends, with what is known of it. */
void calls_end(mesh *m)
{
    requests_end(m);
    while (m->calls_all) {
        struct outcall *c = m->calls_all;

        if (!c->id || call_cancel(m->call_client, c->id, m->now_ns) != BERTH_OK)
            fail_all(m, c, BERTH_ERR_SHUTTING_DOWN, "the host is leaving the mesh");
    }
}
