/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in, and peers that come and go while the mesh runs. */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "daemon/accept.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- Trust ----------------------------------------------------------------------------------- */

static berth_status pin(trust *t, const mesh_peer *p, berth_error *error)
{
    trust_peer as = {.has_static = p->has_key, .has_entity = p->has_entity, .may = p->may};

    snprintf(as.name, sizeof as.name, "%s", p->name);
    memcpy(as.static_key, p->key, sizeof as.static_key);
    memcpy(as.entity, p->entity, sizeof as.entity);
    return trust_pin(t, &as, error);
}

static berth_status add_realms(trust *t, const mesh_policy *p, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < p->realm_count && status == BERTH_OK; i++) {
        status = trust_add_realm(t, p->realms[i].id, error);
        if (status == BERTH_ERR_EXISTS)
            status = BERTH_OK;
        if (status == BERTH_OK && p->realms[i].revocations.len) {
            status = trust_revoke(t, p->realms[i].revocations, error);
            if (status == BERTH_ERR_STALE) /* a peer has brought a newer one */
                status = BERTH_OK;
        }
    }
    return status;
}

static bool is_configured(const mesh_policy *p, const char *name)
{
    for (size_t i = 0; i < p->peer_count; i++)
        if (strcmp(p->peers[i].name, name) == 0)
            return true;
    return false;
}

/* Into t, which has none of it: the policy, with the peers that were added by hand. */
static berth_status fill(const mesh *m, trust *t, const mesh_policy *p, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < p->peer_count && status == BERTH_OK; i++)
        status = pin(t, &p->peers[i], error);
    for (size_t i = 0; i < m->peer_count && status == BERTH_OK; i++)
        if (m->peer_list[i].added && !is_configured(p, m->peer_list[i].peer.name))
            status = pin(t, &m->peer_list[i].peer, error);
    return status == BERTH_OK ? add_realms(t, p, error) : status;
}

static berth_status try_trust(const mesh *m, const mesh_policy *p, berth_error *error)
{
    trust *trial = trust_new(m->key.entity);
    berth_status status =
        trial ? fill(m, trial, p, error) : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");

    trust_free(trial);
    return status;
}

static bool is_realm(const mesh_policy *p, const uint8_t id[BERTH_ENTITY_SIZE])
{
    for (size_t i = 0; i < p->realm_count; i++)
        if (memcmp(p->realms[i].id, id, BERTH_ENTITY_SIZE) == 0)
            return true;
    return false;
}

/* The table stays, since it remembers whose certificates it has seen; what it says changes. It has
 * been tried: only memory can be missing. */
static berth_status change_trust(mesh *m, const mesh_policy *p, berth_error *error)
{
    berth_status status;
    void *value;

    for (size_t i = 0; i < m->peer_count; i++)
        trust_unpin(m->trust, slice_str(m->peer_list[i].peer.name));
    for (size_t i = 0; i < m->realm_count; i++)
        if (!is_realm(p, m->realms[i]))
            trust_remove_realm(m->trust, m->realms[i]);
    status = fill(m, m->trust, p, error);
    m->realm_count = 0;
    for (size_t i = 0; i < p->realm_count && i < TRUST_REALMS_MAX; i++)
        memcpy(m->realms[m->realm_count++], p->realms[i].id, BERTH_ENTITY_SIZE);
    policy_review(m);
    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);)
        if (((const mesh_node *)value)->up)
            revocations_node_up(m, ((const mesh_node *)value)->id);
    return status;
}

berth_status policy_admit(void *ctx, peer_identity *peer, slice certificate, berth_error *error)
{
    mesh *m = ctx;
    trust_reason reason = TRUST_UNKNOWN;
    berth_status status = trust_admit(m->trust, peer, certificate, mesh_wall_s(m), &reason, error);

    m->trust_counts[reason]++;
    if (status != BERTH_OK && mesh_may_say(m, &m->refused_said_ns, S_NS))
        log_warn("mesh", "refused: %s", error->text);
    return status;
}

bool policy_takes_from(const mesh *m, const mesh_node *from)
{
    const session *s;
    const peer_identity *who;

    if (m->config.senders == MESH_SENDERS_ALL || from->id == m->key.node_id)
        return true;
    if (m->config.senders == MESH_SENDERS_NONE)
        return false;
    s = peers_session(m->peers, from->id);
    who = s ? session_peer(s) : NULL;
    return who && trust_pinned(m->trust, slice_str(who->name)) != NULL;
}

typedef struct asked {
    const char *peer;
    bool named, takes;
} asked;

static void ask_daemon(void *ctx, const runtime_face *face)
{
    asked *a = ctx;

    a->takes = accept_takes(face->accept, a->peer, a->named);
}

bool policy_daemon_takes_from(const mesh *m, uint64_t receiver, uint64_t node)
{
    const session *s = peers_session(m->peers, node);
    const peer_identity *who = s ? session_peer(s) : NULL;
    asked a = {.peer = who ? who->name : "", .takes = true};

    if (node == m->key.node_id)
        return true;
    a.named = who && trust_pinned(m->trust, slice_str(who->name)) != NULL;
    runtime_face_of(m->rt, receiver, ask_daemon, &a);
    return a.takes;
}

typedef struct live {
    const peer_identity **items;
    session **sessions;
    size_t count, cap;
} live;

static void gather(void *ctx, const peer_view *v)
{
    live *l = ctx;

    if (!v->session || l->count == l->cap)
        return;
    l->sessions[l->count] = v->session;
    l->items[l->count++] = session_peer(v->session);
}

typedef struct review {
    mesh *m;
    const live *live;
} review;

static void close_one(void *ctx, const peer_identity *peer, const char *why)
{
    const review *r = ctx;

    for (size_t i = 0; i < r->live->count; i++)
        if (r->live->items[i] == peer)
            session_close(r->live->sessions[i], END_EXPIRED, why, r->m->now_ns);
}

void policy_review(mesh *m)
{
    live l = {.cap = peers_count(m->peers)};
    review r = {m, &l};

    l.items = calloc(l.cap + 1, sizeof *l.items);
    l.sessions = calloc(l.cap + 1, sizeof *l.sessions);
    if (l.items && l.sessions) {
        peers_each(m->peers, gather, &l);
        trust_review(m->trust, l.items, l.count, mesh_wall_s(m), close_one, &r);
    }
    free(l.items);
    free(l.sessions);
}

/* ---- Peers ----------------------------------------------------------------------------------- */

static berth_status remember(mesh *m, const mesh_peer *p, bool added, berth_error *error)
{
    for (size_t i = 0; i < m->peer_count; i++)
        if (strcmp(m->peer_list[i].peer.name, p->name) == 0) {
            m->peer_list[i] = (known_peer){*p, added};
            return BERTH_OK;
        }
    if (m->peer_count == m->peer_cap) {
        size_t cap = m->peer_cap ? 2 * m->peer_cap : 8;
        known_peer *more = realloc(m->peer_list, cap * sizeof *more);

        if (!more)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        m->peer_list = more;
        m->peer_cap = cap;
    }
    m->peer_list[m->peer_count++] = (known_peer){*p, added};
    return BERTH_OK;
}

static berth_status configure(mesh *m, const mesh_peer *p, bool added, berth_error *error)
{
    berth_status status = remember(m, p, added, error);

    if (status == BERTH_OK && p->has_key)
        status = peers_configure(m->peers, p->name, p->key, p->addresses, p->address_count,
                                 m->now_ns, error);
    return status;
}

static void forget(mesh *m, size_t i)
{
    known_peer gone = m->peer_list[i];

    memmove(&m->peer_list[i], &m->peer_list[i + 1], (--m->peer_count - i) * sizeof gone);
    if (gone.peer.has_key)
        peers_remove(m->peers, gone.peer.name, m->now_ns);
}

static berth_status check_peers(const mesh *m, const mesh_policy *p, berth_error *error)
{
    for (size_t i = 0; i < p->peer_count; i++)
        if (p->peers[i].has_key && sodium_memcmp(p->peers[i].key, m->static_public, 32) == 0)
            return fail(error, BERTH_ERR_INVALID,
                        "peer '%s': its key is this host's own; give that of the other host",
                        p->peers[i].name);
    return BERTH_OK;
}

berth_status policy_take(mesh *m, const mesh_policy *p, berth_error *error)
{
    berth_status status = check_peers(m, p, error);

    if (status == BERTH_OK)
        status = try_trust(m, p, error);
    if (status == BERTH_OK)
        status = mesh_channels_set_rules(m, p, error);
    if (status == BERTH_OK)
        status = change_trust(m, p, error);
    if (status != BERTH_OK)
        return status;
    for (size_t i = m->peer_count; i-- > 0;)
        if (!m->peer_list[i].added && !is_configured(p, m->peer_list[i].peer.name))
            forget(m, i);
    for (size_t i = 0; i < p->peer_count && status == BERTH_OK; i++)
        status = configure(m, &p->peers[i], false, error);
    return status;
}

typedef struct policy_call {
    const mesh_policy *policy;
    const mesh_peer *peer;
    const char *name;
    berth_status status;
    berth_error *error;
} policy_call;

static void set_policy(mesh *m, void *ctx)
{
    policy_call *c = ctx;

    c->status = m->stage == STAGE_RUNNING
                    ? policy_take(m, c->policy, c->error)
                    : fail(c->error, BERTH_ERR_NOT_READY, "the mesh is not running");
}

berth_status mesh_set_policy(mesh *m, const mesh_policy *policy, berth_error *error)
{
    berth_error unread = {0};
    policy_call c = {.policy = policy, .error = error ? error : &unread};

    mesh_ask(m, set_policy, &c);
    return c.status;
}

typedef struct certificate_call {
    slice certificate;
    berth_status status;
    berth_error *error;
} certificate_call;

static void set_certificate(mesh *m, void *ctx)
{
    certificate_call *c = ctx;
    buf *copy = NULL;

    if (m->stage != STAGE_RUNNING) {
        c->status = fail(c->error, BERTH_ERR_NOT_READY, "the mesh is not running");
        return;
    }
    if (c->certificate.len && !(copy = buf_copy(c->certificate.ptr, c->certificate.len))) {
        c->status = fail(c->error, BERTH_ERR_NO_MEMORY, "out of memory");
        return;
    }
    c->status = endpoint_set_certificate(
        m->endpoint, copy ? slice_of(copy->data, copy->len) : (slice){0}, c->error);
    if (c->status == BERTH_OK) {
        buf *before = m->certificate;

        m->certificate = copy;
        copy = before;
    }
    buf_unref(copy);
}

berth_status mesh_set_certificate(mesh *m, slice certificate, berth_error *error)
{
    berth_error unread = {0};
    certificate_call c = {.certificate = certificate, .error = error ? error : &unread};

    mesh_ask(m, set_certificate, &c);
    return c.status;
}

static void add_peer(mesh *m, void *ctx)
{
    policy_call *c = ctx;
    mesh_policy one = {.peers = c->peer, .peer_count = 1};

    if (m->stage != STAGE_RUNNING) {
        c->status = fail(c->error, BERTH_ERR_NOT_READY, "the mesh is not running");
        return;
    }
    c->status = check_peers(m, &one, c->error);
    if (c->status == BERTH_OK)
        c->status = pin(m->trust, c->peer, c->error);
    if (c->status == BERTH_OK)
        c->status = configure(m, c->peer, true, c->error);
    policy_review(m);
}

berth_status mesh_peer_add(mesh *m, const mesh_peer *peer, berth_error *error)
{
    berth_error unread = {0};
    policy_call c = {.peer = peer, .error = error ? error : &unread};

    mesh_ask(m, add_peer, &c);
    return c.status;
}

static void remove_peer(mesh *m, void *ctx)
{
    policy_call *c = ctx;

    for (size_t i = 0; i < m->peer_count; i++)
        if (strcmp(m->peer_list[i].peer.name, c->name) == 0) {
            trust_unpin(m->trust, slice_str(c->name));
            forget(m, i);
            policy_review(m);
            c->status = BERTH_OK;
            return;
        }
    c->status = fail(c->error, BERTH_ERR_NOT_FOUND,
                     "there is no configured peer '%s': `berth peer ls` lists them", c->name);
}

berth_status mesh_peer_remove(mesh *m, const char *name, berth_error *error)
{
    berth_error unread = {0};
    policy_call c = {.name = name, .error = error ? error : &unread};

    mesh_ask(m, remove_peer, &c);
    return c.status;
}

typedef struct learn_call {
    slice record;
    berth_status status;
    berth_error *error;
} learn_call;

static void learn(mesh *m, void *ctx)
{
    learn_call *c = ctx;

    c->status = m->stage == STAGE_RUNNING
                    ? peers_learn(m->peers, c->record, m->now_ns, c->error)
                    : fail(c->error, BERTH_ERR_NOT_READY, "the mesh is not running");
}

berth_status mesh_learn(mesh *m, slice record, berth_error *error)
{
    berth_error unread = {0};
    learn_call c = {.record = record, .error = error ? error : &unread};

    mesh_ask(m, learn, &c);
    return c.status;
}

/* ---- Bad links ------------------------------------------------------------------------------- */

typedef struct impair_call {
    const address *remote;
    const impair_rule *in, *out;
    uint64_t seed;
    berth_status status;
    berth_error *error;
} impair_call;

static void set_one(impair_call *c, impair **i, const impair_rule *rule, uint64_t seed)
{
    if (!rule || c->status != BERTH_OK)
        return;
    if (!*i)
        *i = impair_new(seed);
    c->status = *i ? impair_set(*i, c->remote, rule, c->error)
                   : fail(c->error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static void set_impair(mesh *m, void *ctx)
{
    impair_call *c = ctx;

    set_one(c, &m->impair_in, c->in, c->seed);
    set_one(c, &m->impair_out, c->out, ~c->seed);
}

berth_status mesh_impair(mesh *m, const address *remote, const impair_rule *in,
                         const impair_rule *out, uint64_t seed, berth_error *error)
{
    berth_error unread = {0};
    impair_call c = {
        .remote = remote, .in = in, .out = out, .seed = seed, .error = error ? error : &unread};

    mesh_ask(m, set_impair, &c);
    return c.status;
}
