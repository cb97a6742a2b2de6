/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches for daemons of other nodes: runtime_submit by way of a call (mesh/call.h). Where the
 * daemon lives is found first; when it has moved meanwhile it is looked for again.
 *
 * Those for one daemon stand in a line and are executed in its order, wherever the daemon goes.
 * Several of them are asked for at once, but all at one place: as soon as one comes back, or the
 * place is another, no more is begun until all that are under way have been answered. What is
 * handed in where the daemon is stands in the same line as long as there is one.
 */
#include "mesh/mesh_calls.h"

#include "base/error.h"

#include <stdlib.h>

#define ASKED_MAX   64           /* of one line at once: a node runs only so many for another */
#define DEADLINE_NS (600 * S_NS) /* a slow daemon is no dead one; its node's end ends the call */
#define SEARCH_NS   (5 * S_NS)   /* for who knows the daemon */
#define LOOK_NS     (20 * MS_NS) /* an answer may be here any moment */

/* ---- Ends ------------------------------------------------------------------------------------ */

/* The batch has its results. */
static void finish(mesh *m, struct outcall *c)
{
    batch *b = c->b;

    outcall_drop(m, c);
    outcall_tell(b);
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

void outcall_done(mesh *m, call_user *u, const call_outcome *o)
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

/* It waits again, and so do all that follow it. */
bool outcall_moved(mesh *m, call_user *u, const call_moved *moved)
{
    struct outcall *c = (struct outcall *)u;
    calls_line *l = c->line;
    bool post;

    if (!moved->gone) {
        const mesh_node *n = mesh_node_of(m, moved->node);

        pthread_mutex_lock(&m->places_lock);
        if (n)
            directory_not_here(m->directory, moved->origin, moved->min_epoch, n->entity);
        pthread_mutex_unlock(&m->places_lock);
    }
    pthread_mutex_lock(&m->calls_lock);
    l->asked -= c->asked;
    c->asked = false;
    l->settling = true;
    post = line_due(m, l); /* at the next turn: from here nothing may be called */
    pthread_mutex_unlock(&m->calls_lock);
    if (post)
        calls_post(m);
    return true;
}

/* ---- Beginnings ------------------------------------------------------------------------------ */

/* A daemon here has room again, or has left; the line may be gone by then. */
typedef struct room_word {
    mesh *m;
    uint64_t origin;
} room_word;

static void room_came(void *ctx)
{
    room_word *w = ctx;
    mesh *m = w->m;
    calls_line *l;
    bool post = false;

    pthread_mutex_lock(&m->calls_lock);
    l = map64_get(&m->calls_lines, w->origin);
    if (l) {
        l->room = false;
        post = line_due(m, l);
    }
    pthread_mutex_unlock(&m->calls_lock);
    free(w);
    if (post)
        calls_post(m);
}

/*
 * To the daemon, if it is here. Under calls_lock, so that what is taken from a daemon that leaves
 * (calls_follow) is in the line before the daemon is found gone. NOT_FOUND: it is not here.
 */
static berth_status run_here(mesh *m, calls_line *l, batch *b, berth_error *error)
{
    room_word *w = calloc(1, sizeof *w);
    berth_status status;

    if (!w)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    *w = (room_word){m, l->origin};
    l->room = true; /* its word may be faster than this returns, but not than the lock */
    status = runtime_submit_here(m->rt, l->origin, b, room_came, w, error);
    if (status == BERTH_ERR_WOULD_BLOCK)
        return status;
    l->room = false;
    free(w);
    return status;
}

static void ask(mesh *m, struct outcall *c, uint64_t node, uint64_t epoch)
{
    batch *b = c->b;
    berth_error error = {0};
    berth_status status;
    slice events[CALL_EVENTS_MAX];
    char text[100];

    if (c->id) {
        call_redirect(m->call_client, c->id, node, epoch, m->now_ns);
        return;
    }
    if (b->count > CALL_EVENTS_MAX) {
        snprintf(text, sizeof text,
                 "%u events at once; a daemon of another node takes %d: send several batches",
                 b->count, CALL_EVENTS_MAX);
        fail_all(m, c, BERTH_ERR_LIMIT, text);
        return;
    }
    for (uint32_t i = 0; i < b->count; i++)
        events[i] = slice_of(b->messages[i].data, b->messages[i].len);
    call_spec spec = {.node = node,
                      .origin = c->line->origin,
                      .min_epoch = epoch,
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
}

static void end_one(mesh *m, struct outcall *c, berth_status status, const char *text)
{
    if (!c->id || call_cancel(m->call_client, c->id, m->now_ns) != BERTH_OK)
        fail_all(m, c, status, text);
}

/* The first that waits; NULL: none. Under calls_lock. */
static struct outcall *first_waiting(const calls_line *l)
{
    struct outcall *c = l->head;

    while (c && c->asked)
        c = c->next;
    return c;
}

/* Nobody knows the daemon. False: not yet, and all wait. */
static bool give_up(mesh *m, calls_line *l)
{
    char text[80];
    struct outcall *c;
    unsigned n = 0;

    if (l->asked)
        return false; /* an answer comes, and then this again */
    if (!l->until_ns)
        line_search(m, l, m->now_ns + SEARCH_NS);
    if (m->now_ns < l->until_ns) {
        mesh_sweep_in(m, LOOK_NS);
        return false;
    }
    line_search(m, l, 0);
    snprintf(text, sizeof text, "no node that is up has a daemon %016llx",
             (unsigned long long)l->origin);
    do { /* those that have come by now */
        pthread_mutex_lock(&m->calls_lock);
        n = n ? n : l->count;
        c = first_waiting(l);
        pthread_mutex_unlock(&m->calls_lock);
        end_one(m, c, BERTH_ERR_NOT_FOUND, text);
    } while (--n);
    return true;
}

/* The first that waits goes where the daemon is. False: none does, for now. */
static bool begin_elsewhere(mesh *m, calls_line *l, struct outcall *c)
{
    directory_place place;
    uint64_t node;

    places_own(m, l->origin, 0);
    places_find(m, l->origin, &place);
    if (!place.known || place.conflict || place.local)
        return give_up(m, l);
    node = berth_entity_node_id(place.node);
    pthread_mutex_lock(&m->calls_lock);
    if (l->asked && (node != l->node || place.epoch != l->epoch)) {
        pthread_mutex_unlock(&m->calls_lock);
        return false;
    }
    line_search(m, l, 0);
    l->node = node;
    l->epoch = place.epoch;
    l->asked++;
    c->asked = true;
    pthread_mutex_unlock(&m->calls_lock);
    ask(m, c, node, place.epoch);
    return true;
}

static bool begin_one(mesh *m, calls_line *l)
{
    berth_error error = {0};
    berth_status status = BERTH_ERR_NOT_FOUND;
    struct outcall *c;
    bool wait;

    pthread_mutex_lock(&m->calls_lock);
    l->settling &= l->asked != 0;
    wait = m->stage == STAGE_RUNNING && (l->settling || l->room || l->asked == ASKED_MAX);
    c = wait ? NULL : first_waiting(l);
    if (c && !l->asked && m->stage == STAGE_RUNNING)
        status = run_here(m, l, c->b, &error);
    pthread_mutex_unlock(&m->calls_lock);
    if (!c)
        return false;
    if (m->stage != STAGE_RUNNING)
        end_one(m, c, BERTH_ERR_SHUTTING_DOWN, "the host is leaving the mesh");
    else if (status == BERTH_ERR_NOT_FOUND)
        return begin_elsewhere(m, l, c);
    else if (status == BERTH_ERR_WOULD_BLOCK)
        line_search(m, l, 0);
    else if (status == BERTH_OK)
        outcall_drop(m, c);
    else
        end_one(m, c, status, error.text);
    return status != BERTH_ERR_WOULD_BLOCK;
}

static void look_at(mesh *m, calls_line *l)
{
    while (begin_one(m, l))
        ;
    pthread_mutex_lock(&m->calls_lock);
    l->pinned = false;
    line_done(m, l);
    pthread_mutex_unlock(&m->calls_lock);
}

void calls_look(mesh *m)
{
    calls_line *l;

    while ((l = line_next_due(m)))
        look_at(m, l);
}

/* Those whose daemon is being looked for. */
void calls_search(mesh *m)
{
    void *value;

    if (!m->calls_searching)
        return;
    pthread_mutex_lock(&m->calls_lock);
    for (size_t at = 0; map64_next(&m->calls_lines, &at, NULL, &value);) {
        calls_line *l = value;

        if (l->until_ns && !l->due) {
            l->due = true;
            l->due_next = m->calls_due;
            m->calls_due = l;
        }
    }
    pthread_mutex_unlock(&m->calls_lock);
    calls_look(m);
}

/* In a large mesh a node is met in search of a daemon: it is asked. */
void calls_node_up(mesh *m, uint64_t node)
{
    uint64_t *origins = malloc((m->calls_searching + 1) * sizeof *origins);
    size_t n = 0;
    void *value;

    pthread_mutex_lock(&m->calls_lock);
    for (size_t at = 0; origins && map64_next(&m->calls_lines, &at, NULL, &value);)
        if (((const calls_line *)value)->until_ns && n < m->calls_searching)
            origins[n++] = ((const calls_line *)value)->origin;
    pthread_mutex_unlock(&m->calls_lock);
    while (n)
        places_ask_one(m, node, origins[--n]);
    free(origins);
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
    struct outcall *c;

    requests_end(m);
    while ((c = calls_any(m)))
        end_one(m, c, BERTH_ERR_SHUTTING_DOWN, "the host is leaving the mesh");
}
