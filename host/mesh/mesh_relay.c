/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes that cannot reach each other directly, by way of one that reaches both: their packets
 * travel in its sessions, sealed from end to end, so that it learns who talks to whom and nothing
 * more. For the sessions the other node has an address like any other, of which only this file
 * knows that no network has it.
 *
 * One hop: who passes a packet on takes it from its sender's own session only. Who may ask for it
 * has the grant `relay`, both of them.
 */
#include "mesh/mesh_private.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define RELAY_HEAD (MESSAGE_KIND_SIZE + 8 + 8) /* kind, to, from */
#define QUEUED_MAX (1u << 20)                  /* bytes of packets that wait for the next turn */

/* fd62:6572:7468::/64 and the node: a network that nobody is to use for anything else. */
static const uint8_t prefix[8] = {0xfd, 0x62, 0x65, 0x72, 0x74, 0x68, 0, 0};

struct relayed {
    struct relayed *next;
    uint64_t from;
    size_t len;
    uint8_t bytes[];
};

address relay_address(uint64_t node)
{
    address a = {.len = sizeof a.u.in6};

    a.u.in6.sin6_family = AF_INET6;
    a.u.in6.sin6_port = htons(1);
    memcpy(a.u.in6.sin6_addr.s6_addr, prefix, sizeof prefix);
    store_u64(a.u.in6.sin6_addr.s6_addr + sizeof prefix, node);
    return a;
}

bool relay_is(const address *a, uint64_t *node)
{
    if (a->u.any.sa_family != AF_INET6 ||
        memcmp(a->u.in6.sin6_addr.s6_addr, prefix, sizeof prefix) != 0)
        return false;
    *node = load_u64(a->u.in6.sin6_addr.s6_addr + sizeof prefix);
    return true;
}

bool relay_find(void *ctx, uint64_t node, address *out)
{
    mesh *m = ctx;
    uint64_t via;

    if (!peers_relay(m->peers, node, m->now_ns, &via))
        return false;
    *out = relay_address(node);
    return true;
}

bool relay_leads(void *ctx, const address *path)
{
    uint64_t unused;

    (void)ctx;
    return relay_is(path, &unused);
}

/* A session that is relayed itself would be a second hop. */
static session *direct_session(mesh *m, uint64_t node)
{
    session *s = peers_session(m->peers, node);
    session_info info;

    if (!s)
        return NULL;
    session_get_info(s, &info);
    return relay_leads(m, &info.path) ? NULL : s;
}

/* As a datagram if it fits: what is lost is the inner session's to send again. */
static void pass(mesh *m, session *s, uint64_t to, uint64_t from, const uint8_t *packet, size_t len)
{
    buf *b = buf_new(RELAY_HEAD + len);
    berth_status status = BERTH_ERR_NO_MEMORY;

    if (b) {
        b->data[0] = MESSAGE_RELAY & 0xff;
        b->data[1] = MESSAGE_RELAY >> 8;
        store_u64(b->data + MESSAGE_KIND_SIZE, to);
        store_u64(b->data + MESSAGE_KIND_SIZE + 8, from);
        memcpy(b->data + RELAY_HEAD, packet, len);
        status = b->len <= session_datagram_max(s) ? session_datagram(s, b->data, b->len, m->now_ns)
                                                   : session_send(s, LANE_CALL, b, m->now_ns);
        buf_unref(b);
    }
    if (status == BERTH_OK)
        m->relay.sent++;
    else
        m->relay.dropped++;
}

/* The way that it came by last, as long as there is one; else that which others know. */
static session *way_to(mesh *m, uint64_t node)
{
    mesh_node *n = mesh_node_of(m, node);
    session *s = n && n->via ? direct_session(m, n->via) : NULL;
    uint64_t via = 0;

    if (s)
        return s;
    if (!n || !peers_relay(m->peers, node, m->now_ns, &via))
        return NULL;
    s = direct_session(m, via);
    if (s)
        n->via = via;
    return s;
}

/* Who brings a packet of a node can take one to it. Not in place of another who still does: then a
 * relay could draw to itself what goes through others. */
static void remember_way(mesh *m, uint64_t node, uint64_t via)
{
    mesh_node *n;
    peer_view v;

    if (!peers_find(m->peers, node, &v))
        return; /* nobody has told us of such a node: it may be made up */
    n = mesh_node_of(m, node);
    if (n && (!n->via || !direct_session(m, n->via)))
        n->via = via;
}

/* The way may lead nowhere, whatever was said of it: another one is to be tried. As long as there
 * is a session its way stays, so nobody can draw it to himself by calls that fail. */
void relay_over(mesh *m, const session *s, session_end why)
{
    session_info info;
    uint64_t node;
    mesh_node *n;

    session_get_info(s, &info);
    if ((why != END_HANDSHAKE && why != END_IDLE) || !relay_is(&info.path, &node) ||
        peers_session(m->peers, node))
        return;
    n = map64_get(&m->nodes, node);
    if (!n || !n->via)
        return;
    peers_relay_failed(m->peers, node, n->via);
    n->via = 0;
}

void relay_send(mesh *m, uint64_t node, const outgoing *run)
{
    session *s = way_to(m, node);

    for (size_t at = 0; at < run->len; at += run->segment) {
        size_t len = run->len - at < run->segment ? run->len - at : run->segment;

        if (s)
            pass(m, s, node, m->key.node_id, run->bytes + at, len);
        else
            m->relay.dropped++;
    }
}

/* From inside the transport: it is handed in at the next turn. */
static void keep(mesh *m, uint64_t from, slice packet)
{
    struct relayed *r = NULL;

    if (m->relayed_bytes + packet.len <= QUEUED_MAX)
        r = malloc(sizeof *r + packet.len);
    if (!r) {
        m->relay.dropped++;
        return;
    }
    r->next = NULL;
    r->from = from;
    r->len = packet.len;
    memcpy(r->bytes, packet.ptr, packet.len);
    *(m->relayed_tail ? &m->relayed_tail->next : &m->relayed) = r;
    m->relayed_tail = r;
    m->relayed_bytes += packet.len;
}

void relay_message(mesh *m, const session *s, slice msg)
{
    const peer_identity *who = session_peer(s);
    reader r = reader_of(msg.ptr, msg.len);
    uint64_t to, from;
    slice packet;
    session *on;

    reader_u16(&r);
    to = reader_u64(&r);
    from = reader_u64(&r);
    packet = reader_bytes(&r, reader_left(&r));
    if (!reader_ok(&r) || !packet.len || !who) {
        m->relay.malformed++;
        return;
    }
    if (to == m->key.node_id) {
        m->relay.received++;
        remember_way(m, from, who->node_id);
        keep(m, from, packet);
        return;
    }
    on = direct_session(m, to);
    if (from != who->node_id || !trust_may(m->trust, who, TRUST_MAY_RELAY, mesh_wall_s(m))) {
        m->relay.refused++;
    } else if (!on) {
        m->relay.dropped++;
    } else {
        m->relay.passed_on++;
        pass(m, on, to, from, packet.ptr, packet.len);
    }
}

void relay_receive(mesh *m)
{
    struct relayed *list = m->relayed;
    static const address none;

    m->relayed = m->relayed_tail = NULL;
    m->relayed_bytes = 0;
    while (list) {
        struct relayed *r = list;
        address from = relay_address(r->from);

        list = r->next;
        endpoint_receive(m->endpoint, &none, &from, r->bytes, r->len, 0, m->now_ns);
        free(r);
    }
}

void relay_fini(mesh *m)
{
    while (m->relayed) {
        struct relayed *r = m->relayed;

        m->relayed = r->next;
        free(r);
    }
}
