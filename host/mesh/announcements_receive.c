/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to one announcement, in this order: read it, refuse what contradicts the session,
 * what is ours or known already, what is not signed by the entity that its node id comes from, what
 * is out of time, what comes too often. Only then is anything remembered; then it is passed on as
 * it came, and what is nobody's business here is taken out before it is indexed.
 */
#include "mesh/announcements_parts.h"
#include "mesh/message.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000ull

/* An honest node announces four times in a row, then every ten seconds. When it restarts at once,
 * what it says before, when it leaves and afterwards is just within this burst. */
#define RATE_BURST       8
#define RATE_INTERVAL_NS ((int64_t)(5 * SECOND_NS))

const char *announcement_result_name(announcement_result result)
{
    static const char *const names[] = {
#define NAME(name, member) #member,
        ANNOUNCEMENT_RESULTS(NAME)
#undef NAME
    };

    return names[result];
}

static announcement_result refuse(announcement_result result, berth_status code, const char *why,
                                  uint64_t node, uint64_t peer, berth_error *error)
{
    fail(error, code, "announcement of node %016llx from %016llx: %s", (unsigned long long)node,
         (unsigned long long)peer, why);
    return result;
}

/* Whether wall_ns lies in the time that the announcement may be believed in. */
static announcement_result check_time(const announcements *t, const announcement *a, uint64_t ttl_s,
                                      uint64_t wall_ns)
{
    uint64_t skew = t->config.skew_s * SECOND_NS, lasts = ttl_s * SECOND_NS + skew;

    if (a->timestamp_ns > wall_ns && a->timestamp_ns - wall_ns > skew)
        return ANNOUNCEMENT_FUTURE;
    if (wall_ns > a->timestamp_ns && wall_ns - a->timestamp_ns > lasts)
        return ANNOUNCEMENT_PAST;
    return ANNOUNCEMENT_ACCEPTED;
}

/* One more from this node: has it paid for it? */
static bool within_rate(known *k, int64_t now_ns)
{
    int64_t paid = k->credit_ns > now_ns ? k->credit_ns : now_ns;

    if (paid - now_ns > (RATE_BURST - 1) * RATE_INTERVAL_NS)
        return false;
    k->credit_ns = paid + RATE_INTERVAL_NS;
    return true;
}

/* What the text alone and the session decide; nothing is remembered yet. */
static announcement_result check_claims(const announcements *t, const listener *p,
                                        const announcement *a, slice text, const known *k,
                                        berth_error *error)
{
    bool direct = !a->hop_count;
    bool returns; /* a node that was forgotten speaks for itself */

    if (direct && a->node_id != p->node_id)
        return refuse(ANNOUNCEMENT_IMPOSTOR, BERTH_ERR_IDENTITY_MISMATCH, "is not of that peer",
                      a->node_id, p->node_id, error);
    if (a->node_id == t->config.node_id)
        return ANNOUNCEMENT_OWN;
    returns = direct && k && !k->live && a->version == k->seen[1];
    if (k && a->version <= k->seen[direct] && !returns)
        return ANNOUNCEMENT_DUPLICATE;
    if (!a->is_signed)
        return refuse(ANNOUNCEMENT_UNSIGNED, BERTH_ERR_SIGNATURE, "is not signed", a->node_id,
                      p->node_id, error);
    if (announcement_verify(a, text, t->config.verify, NULL))
        return refuse(ANNOUNCEMENT_SIGNATURE, BERTH_ERR_SIGNATURE, "its signature does not verify",
                      a->node_id, p->node_id, error);
    if (berth_entity_node_id(a->entity) != a->node_id)
        return refuse(ANNOUNCEMENT_NODE_ID, BERTH_ERR_IDENTITY_MISMATCH,
                      "the node id is not that of its entity", a->node_id, p->node_id, error);
    if ((direct && memcmp(a->entity, p->entity, sizeof a->entity) != 0) ||
        (k && memcmp(a->entity, k->entity, sizeof a->entity) != 0))
        return refuse(ANNOUNCEMENT_ENTITY, BERTH_ERR_IDENTITY_MISMATCH, "is by another entity",
                      a->node_id, p->node_id, error);
    return ANNOUNCEMENT_ACCEPTED;
}

static buf *as_message(slice text, unsigned hops)
{
    static const uint8_t kind[MESSAGE_KIND_SIZE] = {MESSAGE_ANNOUNCEMENT & 0xff,
                                                    MESSAGE_ANNOUNCEMENT >> 8};
    writer w = {0};
    buf *b = NULL;

    writer_bytes(&w, kind, sizeof kind);
    if (!hops)
        writer_bytes(&w, text.ptr, text.len);
    else
        announcement_write_hop(&w, text, (uint8_t)(hops < UINT8_MAX ? hops : UINT8_MAX), NULL);
    if (!w.failed)
        b = buf_copy(w.data, w.len);
    writer_free(&w);
    return b;
}

/* The same announcement by another way: if that is shorter, from now on passed on as that one. */
static void second_way(announcements *t, known *k, const listener *p, const announcement *a,
                       slice text)
{
    buf *message;

    if (!k->live || a->version != k->version || a->hop_count >= k->hops)
        return;
    message = as_message(text, a->hop_count + 1u);
    if (!message)
        return;
    t->bytes = t->bytes - k->message->len + message->len;
    buf_unref(k->message);
    k->message = message;
    k->hops = a->hop_count;
    k->via = p->node_id;
}

static announcement_result apply(announcements *t, known *k, const listener *p, announcement *a,
                                 slice text, uint64_t ttl_s, int64_t mono_ns, berth_error *error)
{
    bool direct = !a->hop_count, nearer;
    buf *message = as_message(text, a->hop_count + 1u);
    berth_status status;

    if (!message)
        return ANNOUNCEMENT_NO_MEMORY;
    if (!known_room(t, k, message->len, a->set.tag_count, direct)) {
        buf_unref(message);
        return refuse(ANNOUNCEMENT_FULL, BERTH_ERR_LIMIT, "there is no room for another node",
                      a->node_id, p->node_id, error);
    }
    nearer = !k->live || !k->via || a->hop_count <= k->hops;
    memcpy(k->entity, a->entity, sizeof k->entity);
    k->hops = a->hop_count;
    k->sender = p->node_id;
    k->asked = !direct && mono_ns < p->asked_ns;
    if (nearer)
        k->via = p->node_id;
    if (!direct && t->events.route)
        t->events.route(t->ctx, k->node_id, p->node_id, a->hop_count + 2u);
    t->counters.metadata_stripped += capabilities_strip_reserved(&a->set);
    t->counters.heat_stripped += capabilities_strip_heat(&a->set);
    status = known_install(t, k, a->version, &a->set, message,
                           mono_ns + (int64_t)(ttl_s * SECOND_NS), ttl_s > 0, error);
    if (status)
        return status == BERTH_ERR_LIMIT ? ANNOUNCEMENT_FULL : ANNOUNCEMENT_NO_MEMORY;
    k->seen[direct] = a->version;
    announcements_pump(t);
    return ANNOUNCEMENT_ACCEPTED;
}

static announcement_result receive(announcements *t, const listener *p, announcement *a, slice text,
                                   int64_t mono_ns, uint64_t wall_ns, berth_error *error)
{
    uint64_t ttl_s = a->ttl_s < t->config.max_ttl_s ? a->ttl_s : t->config.max_ttl_s;
    known *k = map64_get(&t->nodes, a->node_id);
    announcement_result result = check_claims(t, p, a, text, k, error);
    bool direct = !a->hop_count;

    if (result == ANNOUNCEMENT_ACCEPTED)
        result = check_time(t, a, ttl_s, wall_ns);
    if (result != ANNOUNCEMENT_ACCEPTED) {
        if (result == ANNOUNCEMENT_PAST || result == ANNOUNCEMENT_FUTURE)
            refuse(result, BERTH_ERR_STALE, "its time is too far from ours", a->node_id, p->node_id,
                   error);
        return result;
    }
    if (k && (a->version < k->version || (a->version == k->version && (k->live || !direct)))) {
        k->seen[direct] = a->version;
        second_way(t, k, p, a, text);
        return ANNOUNCEMENT_SECOND;
    }
    k = known_at(t, a->node_id);
    if (!k)
        return ANNOUNCEMENT_NO_MEMORY;
    if (!within_rate(k, mono_ns))
        return refuse(ANNOUNCEMENT_RATE, BERTH_ERR_LIMIT, "it announces too often", a->node_id,
                      p->node_id, error);
    t->counters.ttl_cut += ttl_s < a->ttl_s;
    result = apply(t, k, p, a, text, ttl_s, mono_ns, error);
    known_drop_empty(t, k);
    return result;
}

/* Most of what comes over hops has come already, by another way: then it is not read further than
 * to where it says so. */
static bool is_second_copy(const announcements *t, slice text)
{
    uint64_t node, version;
    const known *k;

    if (!announcement_peek(text, &node, &version))
        return false;
    k = map64_get(&t->nodes, node);
    return k && version <= k->seen[0];
}

announcement_result announcements_receive(announcements *t, uint64_t peer, slice text,
                                          int64_t mono_ns, uint64_t wall_ns, berth_error *error)
{
    const listener *p = map64_get(&t->peers, peer);
    announcement_result result = ANNOUNCEMENT_STRANGER;
    announcement *a = NULL;

    announcements_advance(t, mono_ns);
    if (p && is_second_copy(t, text)) {
        t->counters.results[ANNOUNCEMENT_DUPLICATE]++;
        return ANNOUNCEMENT_DUPLICATE;
    }
    a = malloc(sizeof *a); /* several kilobytes */
    if (!a)
        result = ANNOUNCEMENT_NO_MEMORY;
    else if (p && announcement_read(a, text, error) != BERTH_OK)
        result = ANNOUNCEMENT_MALFORMED;
    else if (p) {
        result = receive(t, p, a, text, mono_ns, wall_ns, error);
        announcement_fini(a);
        known_trim(t);
    }
    free(a);
    t->counters.results[result]++;
    return result;
}

berth_status announcements_own(announcements *t, const announcement *own, slice text,
                               int64_t mono_ns, berth_error *error)
{
    int64_t expires_ns = mono_ns + (int64_t)((uint64_t)own->ttl_s * SECOND_NS);

    announcements_advance(t, mono_ns);
    known *k = known_at(t, t->config.node_id);
    buf *message = k ? as_message(text, 0) : NULL;
    capabilities set = {0};
    berth_status status;

    if (!message)
        return fail(error, BERTH_ERR_NO_MEMORY, "announcements: out of memory");
    status = capabilities_copy(&set, &own->set, error);
    if (!status && !known_room(t, k, message->len, set.tag_count, true))
        status = fail(error, BERTH_ERR_LIMIT, "announcements: no room for our own");
    if (status) {
        buf_unref(message);
        capabilities_fini(&set);
        known_trim(t);
        return status;
    }
    memcpy(k->entity, own->entity, sizeof k->entity);
    k->own = true;
    k->seen[0] = k->seen[1] = own->version;
    status = known_install(t, k, own->version, &set, message, expires_ns, own->ttl_s > 0, error);
    if (!status)
        announcements_pump(t);
    known_trim(t);
    return status;
}
