/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions tell, handed to the machine that it is for; and what changes of peers mean to all
 * of them.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>

const peers_transport mesh_transport = {.dial = endpoint_dial,
                                        .send = session_send,
                                        .datagram = session_datagram,
                                        .close = session_close,
                                        .set_user = session_set_user,
                                        .user = session_user,
                                        .peer = session_peer,
                                        .info = session_get_info};

static const char *end_word(session_end why)
{
    static const char *const words[] = {[END_LOCAL] = "closed here",
                                        [END_PEER] = "closed by the peer",
                                        [END_IDLE] = "silent",
                                        [END_HANDSHAKE] = "no handshake",
                                        [END_REFUSED] = "refused",
                                        [END_REPLACED] = "replaced",
                                        [END_EXPIRED] = "no longer let in",
                                        [END_ERROR] = "it broke the protocol"};

    return words[why];
}

mesh_node *mesh_node_of(mesh *m, uint64_t id)
{
    mesh_node *n = map64_get(&m->nodes, id);

    if (n)
        return n;
    n = calloc(1, sizeof *n);
    if (!n || !map64_put(&m->nodes, id, n)) {
        free(n);
        return NULL;
    }
    n->id = id;
    if (id == m->key.node_id)
        memcpy(n->entity, m->key.entity, sizeof n->entity);
    return n;
}

/* The entity of a node is that which its session has proven. */
static mesh_node *node_of_session(mesh *m, const session *s)
{
    const peer_identity *who = session_peer(s);
    mesh_node *n = who ? mesh_node_of(m, who->node_id) : NULL;

    if (n)
        memcpy(n->entity, who->entity, sizeof n->entity);
    return n;
}

berth_status mesh_send(mesh *m, uint64_t node, lane l, slice msg)
{
    session *s = peers_session(m->peers, node);
    berth_status status;
    buf *b;

    if (!s) {
        peers_want(m->peers, node, m->now_ns); /* in a large mesh there is one when it is needed */
        return BERTH_ERR_NOT_READY;
    }
    b = buf_copy(msg.ptr, msg.len);
    if (!b)
        return BERTH_ERR_NO_MEMORY;
    status = session_send(s, l, b, m->now_ns);
    buf_unref(b);
    return status;
}

void mesh_broadcast(mesh *m, lane l, slice msg)
{
    void *value;

    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);) {
        const mesh_node *n = value;

        if (n->up)
            mesh_send(m, n->id, l, msg);
    }
}

/* ---- From the transport ---------------------------------------------------------------------- */

static void on_up(void *ctx, session *s, const peer_identity *peer)
{
    mesh *m = ctx;

    (void)peer;
    node_of_session(m, s);
    peers_up(m->peers, s, m->now_ns);
}

bool mesh_may_say(const mesh *m, int64_t *said_ns, int64_t pause_ns)
{
    if (*said_ns && m->now_ns - *said_ns < pause_ns)
        return false;
    *said_ns = m->now_ns;
    return true;
}

static void on_down(void *ctx, session *s, session_end why, const char *text)
{
    mesh *m = ctx;

    if (!session_peer(s) && why != END_LOCAL && mesh_may_say(m, &m->dial_said_ns, 10 * S_NS))
        log_info("mesh", "a call came to nothing: %s%s%s", end_word(why), *text ? ": " : "", text);
    peers_down(m->peers, s, why, text, m->now_ns);
    relay_over(m, s, why);
}

static bool on_message(void *ctx, session *s, lane l, buf *msg)
{
    mesh *m = ctx;
    slice bytes = slice_of(msg->data, msg->len);
    uint16_t kind = message_kind(bytes);
    mesh_node *n;
    uint64_t node;

    (void)l;
    if (kind >= MESSAGE_PEERS_FIRST && kind <= MESSAGE_PEERS_LAST) {
        if (!peers_message(m->peers, s, bytes, m->now_ns))
            m->unknown_messages++;
        return true;
    }
    n = node_of_session(m, s);
    if (!n)
        return true;
    node = n->id;
    if (kind >= MESSAGE_MOVE_FIRST && kind <= MESSAGE_MOVE_LAST) {
        moving_message(m, n, msg);
        return true;
    }
    switch (kind) {
    case MESSAGE_FLOW_EVENTS:
    case MESSAGE_FLOW_CLOSE:
        receive_flow(m, node, kind, msg);
        break;
    case MESSAGE_FLOW_ACK:
        flows_answer(m, node, bytes);
        break;
    case MESSAGE_DIRECTORY_WHERE:
    case MESSAGE_DIRECTORY_HINT:
    case MESSAGE_DIRECTORY_NOT_HERE:
    case MESSAGE_DIRECTORY_CONFLICT:
        places_message(m, node, kind, bytes);
        break;
    case MESSAGE_REVOCATIONS:
        revocations_message(m, node, bytes);
        break;
    case MESSAGE_RELAY:
        relay_message(m, s, bytes);
        break;
    case MESSAGE_CALL_ANSWER: {
        berth_error error = {0};

        call_client_receive(m->call_client, node, msg, m->now_ns, &error);
        break;
    }
    case MESSAGE_CALL_REQUEST:
    case MESSAGE_CALL_CANCEL:
    case MESSAGE_CALL_ACK: {
        berth_error error = {0};

        call_server_receive(m->call_server, node, msg, m->now_ns, &error);
        break;
    }
    case MESSAGE_DIRECTORY_NAME:
    case MESSAGE_DIRECTORY_NAMED:
        names_message(m, node, kind, bytes);
        break;
    case MESSAGE_ANNOUNCEMENT: {
        berth_error error = {0};

        announcements_receive(
            m->announcements, node,
            slice_of(bytes.ptr + MESSAGE_KIND_SIZE, bytes.len - MESSAGE_KIND_SIZE), m->now_ns,
            (uint64_t)mesh_wall_ns(m), &error);
        break;
    }
    case MESSAGE_ANNOUNCEMENT_SUMS:
    case MESSAGE_ANNOUNCEMENT_LIST: {
        berth_error error = {0};

        announcements_compare(
            m->announcements, node, kind,
            slice_of(bytes.ptr + MESSAGE_KIND_SIZE, bytes.len - MESSAGE_KIND_SIZE), m->now_ns,
            &error);
        break;
    }
    case MESSAGE_CHANNEL_SUBSCRIBE:
    case MESSAGE_CHANNEL_UNSUBSCRIBE:
    case MESSAGE_CHANNEL_ACK:
    case MESSAGE_CHANNEL_ENDED:
        mesh_channels_message(m, node, bytes);
        break;
    default:
        m->unknown_messages++;
    }
    return true;
}

static void on_datagram(void *ctx, session *s, const uint8_t *bytes, size_t len)
{
    mesh *m = ctx;

    if (message_kind(slice_of(bytes, len)) == MESSAGE_RELAY)
        relay_message(m, s, slice_of(bytes, len));
    else if (!peers_datagram(m->peers, s, slice_of(bytes, len), m->now_ns))
        m->unknown_messages++;
}

static void on_room(void *ctx, session *s, lane l)
{
    mesh *m = ctx;
    mesh_node *n = node_of_session(m, s);

    peers_room(m->peers, s, l, m->now_ns);
    if (!n)
        return;
    if (l == LANE_EVENT)
        flows_node_room(m, n);
    if (l == LANE_CONTROL)
        announcements_room(m->announcements, n->id);
    if (l == LANE_CALL) {
        call_client_room(m->call_client, n->id, m->now_ns);
        call_server_room(m->call_server, n->id);
    }
}

transport_events mesh_transport_events(mesh *m)
{
    return (transport_events){m, on_up, on_down, on_message, on_datagram, on_room};
}

/* ---- Changes of peers ------------------------------------------------------------------------ */

/* It is gone with all it had here; what was sent to its daemons waits for them. */
static void node_gone(mesh *m, uint64_t id)
{
    call_client_gone(m->call_client, id);
    call_server_node_gone(m->call_server, id, m->now_ns);
    mesh_channels_node_gone(m, id);
    announcements_forget(m->announcements, id);
}

static void answer_pings(mesh *m, uint64_t node, berth_status status, int64_t rtt_ns)
{
    for (ping **at = &m->pings; *at;) {
        ping *p = *at;

        if (p->node != node) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->answer(p->ctx, status, rtt_ns);
        free(p);
    }
}

void sessions_sweep(mesh *m)
{
    names_sweep(m);
    for (ping **at = &m->pings; *at;) {
        ping *p = *at;

        if (p->until_ns > m->now_ns && m->stage == STAGE_RUNNING) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->answer(p->ctx, BERTH_ERR_TIMEOUT, 0);
        free(p);
    }
}

static void keep(mesh *m, uint64_t node)
{
    peer_view v;

    if (m->config.keep_record && peers_find(m->peers, node, &v) && v.record_bytes.len)
        m->config.keep_record(m->config.ctx, node, v.record_bytes);
}

static void keep_one(void *ctx, const peer_view *v)
{
    mesh *m = ctx;

    if (v->node && v->record_bytes.len)
        m->config.keep_record(m->config.ctx, v->node, v->record_bytes);
}

void sessions_keep(mesh *m)
{
    if (m->config.keep_record)
        peers_each(m->peers, keep_one, m);
}

void mesh_peer_changed(void *ctx, const peer_event *e)
{
    mesh *m = ctx;
    mesh_node *n = mesh_node_of(m, e->node);
    char id[ID_TEXT];

    if (!n)
        return;
    id_encode(id, e->node);
    switch (e->change) {
    case PEER_UP:
        log_info("mesh", "node %s: connected", id);
        n->up = true;
        n->life++;
        memcpy(n->entity, e->entity, sizeof n->entity);
        announce_node_up(m, e);
        revocations_node_up(m, e->node);
        mesh_channels_node_up(m, e->node);
        flows_node_up(m, n);
        calls_node_up(m, e->node);
        call_client_up(m->call_client, e->node, m->now_ns);
        call_server_up(m->call_server, e->node);
        keep(m, e->node);
        break;
    case PEER_RENEWED:
        flows_node_room(m, n);
        call_client_up(m->call_client, e->node, m->now_ns);
        call_server_up(m->call_server, e->node);
        break;
    case PEER_RESTARTED:
        log_info("mesh", "node %s: it has started anew", id);
        n->life++;
        announcements_peer_down(m->announcements, e->node);
        announce_node_up(m, e); /* it has forgotten what it was told */
        mesh_channels_node_gone(m, e->node);
        mesh_channels_node_down(m, e->node);
        mesh_channels_node_up(m, e->node);
        flows_node_up(m, n);
        call_client_restarted(m->call_client, e->node);
        call_server_restarted(m->call_server, e->node);
        call_client_up(m->call_client, e->node, m->now_ns);
        break;
    case PEER_DOWN:
        log_info("mesh", "node %s: disconnected, %s%s%s", id, end_word(e->why),
                 e->text[0] ? ": " : "", e->text);
        n->up = false;
        announcements_peer_down(m->announcements, e->node);
        mesh_channels_node_down(m, e->node);
        answer_pings(m, e->node, BERTH_ERR_NOT_READY, 0);
        names_node_down(m, e->node);
        break;
    case PEER_LEFT:
        log_info("mesh", "node %s: it has left", id);
        node_gone(m, e->node);
        break;
    case PEER_SUSPECTED:
        log_warn("mesh", "node %s: nothing heard of it for some time", id);
        break;
    case PEER_FAILED:
        log_warn("mesh", "node %s: held for dead", id);
        node_gone(m, e->node);
        /* It does not know what was forgotten of it here. Should it live, both say it again with
         * the next session. */
        if (peers_session(m->peers, e->node))
            session_close(peers_session(m->peers, e->node), END_IDLE, "nothing was heard",
                          m->now_ns);
        break;
    case PEER_RECOVERED:
        log_info("mesh", "node %s: it is back", id);
        break;
    case PEER_FORGOTTEN:
        node_gone(m, e->node);
        if (!n->up && !n->stall_count) {
            free(n->stalls);
            free(map64_del(&m->nodes, e->node));
        }
        if (m->config.keep_record)
            m->config.keep_record(m->config.ctx, e->node, (slice){0});
        break;
    case PEER_PONG:
        answer_pings(m, e->node, BERTH_OK, e->rtt_ns);
        break;
    case PEER_LEARNED:
        keep(m, e->node);
        break;
    }
    for (unsigned i = 0; i < m->watcher_count; i++)
        m->watchers[i].call(m->watchers[i].ctx, e);
}
