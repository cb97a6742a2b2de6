/* SPDX-License-Identifier: Apache-2.0 */
#include "api/mesh_counters.h"

#include "mesh/announcements.h"

#include <stdio.h>
#include <string.h>

typedef struct row {
    const char *name, *label, *help;
    size_t offset;
} row;

#define ROW(name, member, help)                                                                    \
    {                                                                                              \
        name, NULL, help, offsetof(mesh_counters, member)                                          \
    }
#define OF(name, key, value, member, help)                                                         \
    {                                                                                              \
        name, key "=\"" value "\"", help, offsetof(mesh_counters, member)                          \
    }
#define MORE(name, key, value, member) OF(name, key, value, member, NULL)

static const row sessions[] = {
    ROW("sessions", endpoint.sessions, "Sessions that are up."),
    ROW("handshakes", endpoint.handshakes, "Handshakes begun by others and not proven yet."),
    ROW("peers_known", peers_known, "Nodes that this one knows."),
    ROW("peers_live", peers_live, "Nodes with a session that has proved itself."),
    ROW("sessions_dialled_total", endpoint.dialled, "Sessions begun here."),
    ROW("sessions_accepted_total", endpoint.accepted, "Sessions begun by others."),
    ROW("sessions_refused_total", endpoint.refused,
        "Sessions refused, by this node or by the other."),
    ROW("sessions_replaced_total", endpoint.replaced,
        "Sessions that gave way to another with the same node."),
    ROW("handshakes_failed_total", endpoint.handshakes_failed, "Handshakes that came to nothing."),
    ROW("cookies_sent_total", endpoint.cookies_sent, "Cookies demanded under load."),
    ROW("resets_sent_total", endpoint.resets_sent, "Resets of sessions that are not known here."),
    ROW("datagrams_received_total", endpoint.datagrams_in, "Datagrams that came to the sessions."),
    ROW("datagrams_sent_total", endpoint.datagrams_out, "Datagrams of the sessions."),
    OF("datagrams_dropped_total", "reason", "short", endpoint.dropped_short,
       "Datagrams that came and were dropped."),
    MORE("datagrams_dropped_total", "reason", "version", endpoint.dropped_version),
    MORE("datagrams_dropped_total", "reason", "unknown", endpoint.dropped_unknown),
    MORE("datagrams_dropped_total", "reason", "filter", endpoint.dropped_filter),
    MORE("datagrams_dropped_total", "reason", "token", endpoint.dropped_token),
    MORE("datagrams_dropped_total", "reason", "full", endpoint.dropped_full),
    MORE("datagrams_dropped_total", "reason", "invalid", endpoint.dropped_invalid),
    ROW("udp_datagrams_received_total", udp.datagrams_in, "Datagrams read from the sockets."),
    ROW("udp_datagrams_sent_total", udp.datagrams_out, "Datagrams written to the sockets."),
    ROW("udp_received_bytes_total", udp.bytes_in, "Bytes read from the sockets."),
    ROW("udp_sent_bytes_total", udp.bytes_out, "Bytes written to the sockets."),
    ROW("udp_receive_calls_total", udp.calls_in, "System calls that read."),
    ROW("udp_send_calls_total", udp.calls_out, "System calls that wrote."),
    ROW("udp_full_total", udp.full, "Times a socket took no more for now."),
    ROW("udp_fallbacks_total", udp.fallbacks, "Features of the kernel that were given up."),
    ROW("udp_errors_total", udp.errors_in, "Errors that the kernel told while reading."),
    OF("udp_dropped_total", "reason", "in-truncated", udp.dropped_in_truncated,
       "Datagrams dropped at the sockets; those sent are repeated."),
    MORE("udp_dropped_total", "reason", "in-empty", udp.dropped_in_empty),
    MORE("udp_dropped_total", "reason", "in-source", udp.dropped_in_source),
    MORE("udp_dropped_total", "reason", "out-size", udp.dropped_out_size),
    MORE("udp_dropped_total", "reason", "out-unreachable", udp.dropped_out_unreachable),
    MORE("udp_dropped_total", "reason", "out-buffers", udp.dropped_out_buffers),
    MORE("udp_dropped_total", "reason", "out-refused", udp.dropped_out_refused),
    MORE("udp_dropped_total", "reason", "out-memory", udp.dropped_out_memory),
    MORE("udp_dropped_total", "reason", "out-invalid", udp.dropped_out_invalid),
};

static const row others[] = {
    ROW("peer_dials_total", peers.dials, "Attempts to reach a peer."),
    ROW("peer_dials_failed_total", peers.dials_failed, "Attempts that failed."),
    ROW("peer_ups_total", peers.ups, "Peers that came to be connected."),
    ROW("peer_downs_total", peers.downs, "Peers that were connected and are no longer."),
    ROW("peer_restarts_total", peers.restarts, "Peers that had lost their memory."),
    ROW("peer_renewals_total", peers.renewals, "Sessions that another took the place of."),
    ROW("peer_duplicates_total", peers.duplicates, "Second sessions with a peer."),
    ROW("peer_leaves_total", peers.leaves, "Goodbyes of peers."),
    ROW("peer_rests_total", peers.rested, "Sessions that nobody needed any more."),
    ROW("peers_forgotten_total", peers.forgotten, "Learned peers that were forgotten."),
    ROW("peers_full_total", peers.full, "Nodes for which the table had no room."),
    ROW("pings_total", peers.pings, "Pings sent."),
    ROW("pongs_total", peers.pongs, "Answers to them."),
    ROW("pings_unsent_total", peers.pings_unsent, "Pings for which there was no room."),
    ROW("pongs_unknown_total", peers.pongs_unknown, "Answers to no ping of ours."),
    ROW("peer_records_received_total", peers.records_in, "Records of nodes that came."),
    ROW("peer_records_sent_total", peers.records_out, "Records of nodes passed on."),
    OF("peer_records_total", "result", "new", peers.records_new,
       "Received records, by what became of them."),
    MORE("peer_records_total", "result", "old", peers.records_old),
    MORE("peer_records_total", "result", "expired", peers.records_expired),
    MORE("peer_records_total", "result", "bad", peers.records_bad),
    MORE("peer_records_total", "result", "paced", peers.records_paced),
    MORE("peer_records_total", "result", "full", peers.records_full),
    ROW("peer_digests_received_total", peers.digests_in, "Digests of what peers know."),
    ROW("peer_digests_sent_total", peers.digests_out, "Digests of what this node knows."),
    ROW("peer_messages_unsent_total", peers.unsent,
        "Control messages for which there was no room."),
    ROW("peer_messages_malformed_total", peers.malformed,
        "Malformed messages; each ended its session."),
    ROW("peer_lies_total", peers.lies,
        "Messages of a peer about itself that its keys contradict; each ended its session."),
};

static const row announced[] = {
    ROW("announced_nodes", announced.nodes, "Nodes whose announcement holds."),
    ROW("announced_remembered", announced.remembered, "Nodes whose last version is remembered."),
    ROW("announced_bytes", announced.bytes, "Bytes of the announcements that hold."),
    ROW("announced_tags", announced.tags, "Entries of the index of tags."),
    ROW("announced_peers", announced.peers, "Peers that announcements are passed on to."),
    ROW("announcement_sums_received_total", announcements.sums_in,
        "Sums of what a peer has, to compare."),
    ROW("announcement_sums_sent_total", announcements.sums_out, "Sums of what this node has."),
    ROW("announcement_lists_received_total", announcements.lists_in,
        "Lists of what a peer has or lacks."),
    ROW("announcement_lists_sent_total", announcements.lists_out,
        "Lists of what this node has or lacks."),
    ROW("announcement_lists_bad_total", announcements.lists_bad,
        "Such messages that broke the protocol."),
    ROW("announcements_passed_on_total", announcements.passed_on, "Announcements passed on."),
    ROW("announcements_held_back_total", announcements.held_back,
        "Announcements that waited for room."),
    ROW("announcements_not_sent_total", announcements.not_sent,
        "Announcements that could not be sent."),
    ROW("announcements_ttl_cut_total", announcements.ttl_cut, "Announcements whose time was cut."),
    ROW("announcements_expired_total", announcements.expired, "Announcements that ran out."),
    ROW("announcements_displaced_total", announcements.displaced,
        "Nodes that gave way to nearer ones."),
    ROW("announcements_memory_lost_total", announcements.memory_lost,
        "Last versions that were forgotten for want of room."),
    ROW("announcements_metadata_stripped_total", announcements.metadata_stripped,
        "Metadata taken out that is nobody's business elsewhere."),
    ROW("announcements_heat_stripped_total", announcements.heat_stripped,
        "Heat taken out that nothing stands behind."),
};

static const row flows[] = {
    ROW("events_sent_total", flows.sent, "Events of daemons here for daemons elsewhere."),
    ROW("events_resent_total", flows.resent, "Events sent again."),
    ROW("events_acknowledged_total", flows.acknowledged, "Events that have arrived."),
    ROW("events_received_total", flows.received, "Events that came for daemons here."),
    ROW("events_applied_total", flows.applied, "Events that daemons here have applied."),
    ROW("events_repeated_total", flows.repeated, "Events that came again and were dropped."),
    ROW("events_undelivered_total", flows.undelivered,
        "Events given up: nobody knows the receiver."),
    ROW("outbox_events", outbox_events, "Events sent and not acknowledged."),
    ROW("outbox_bytes", outbox_bytes, "Bytes of them."),
    OF("frames_total", "result", "refused", flows.refused,
       "Frames of events that were not for a daemon here, or could not be, by what became of "
       "them."),
    MORE("frames_total", "result", "asked", flows.asked),
    MORE("frames_total", "result", "not-here", flows.not_here),
    MORE("frames_total", "result", "forwarded", flows.forwarded),
    MORE("frames_total", "result", "malformed", flows.malformed),
    MORE("frames_total", "result", "unsent", flows.unsent),
    MORE("frames_total", "result", "stalled", flows.stalled),
    ROW("datagrams_unsent_total", flows.unsent_runs,
        "Runs of datagrams for which no socket had room."),
    ROW("acknowledgements_unsent_total", flows.acks_unsent,
        "Acknowledgements for which there was no room."),
    ROW("relay_sent_total", relay.sent, "Packets sent by way of another node."),
    ROW("relay_received_total", relay.received, "Packets that came by way of another node."),
    ROW("relay_passed_on_total", relay.passed_on, "Packets passed on between other nodes."),
    OF("relay_dropped_total", "reason", "refused", relay.refused, "Packets not passed on."),
    MORE("relay_dropped_total", "reason", "room", relay.dropped),
    MORE("relay_dropped_total", "reason", "malformed", relay.malformed),
    ROW("unknown_messages_total", unknown_messages,
        "Messages of a kind that this node does not know."),
    ROW("loop_turns_total", turns, "Turns of the mesh's loop."),
};

static const row places[] = {
    ROW("directory_entries", directory.entries, "Origins whose place is known."),
    ROW("directory_local", directory.local, "Those of this node."),
    ROW("directory_conflicts", directory.conflicts,
        "Origins that two nodes claim at the same time."),
    OF("directory_records_total", "result", "learnt", directory.learnt,
       "Records of places, by what became of them."),
    MORE("directory_records_total", "result", "stale", directory.stale),
    MORE("directory_records_total", "result", "forged", directory.forged),
    MORE("directory_records_total", "result", "refused", directory.refused),
    MORE("directory_records_total", "result", "collision", directory.collisions),
    MORE("directory_records_total", "result", "evicted", directory.evicted),
    ROW("directory_paced_total", flows.paced,
        "Records of places that came too fast to be verified."),
};

static const row channels[] = {
    ROW("channel_members", members, "Daemons elsewhere that hear channels of this node."),
    ROW("channel_subscriptions", subscriptions_wanted,
        "Subscriptions of daemons here to other nodes."),
    ROW("channel_published_total", flows.published, "Events published to other nodes."),
    ROW("channel_publish_refused_total", flows.refused_publish,
        "Publishes that the channel's rules refused."),
    OF("membership_total", "result", "accepted", membership.accepted,
       "Memberships on channels of this node, by what became of them."),
    MORE("membership_total", "result", "renewed", membership.renewed),
    MORE("membership_total", "result", "left", membership.left),
    MORE("membership_total", "result", "malformed", membership.malformed),
    MORE("membership_total", "result", "swept", membership.swept),
    MORE("membership_total", "result", "skipped", membership.skipped),
    OF("subscriptions_total", "result", "asked", subscriptions.asked,
       "Requests to hear channels elsewhere, by what became of them."),
    MORE("subscriptions_total", "result", "repeated", subscriptions.repeated),
    MORE("subscriptions_total", "result", "accepted", subscriptions.accepted),
    MORE("subscriptions_total", "result", "refused", subscriptions.refused),
    MORE("subscriptions_total", "result", "ended", subscriptions.ended),
    MORE("subscriptions_total", "result", "left", subscriptions.left),
    MORE("subscriptions_total", "result", "foreign", subscriptions.foreign),
    MORE("subscriptions_total", "result", "malformed", subscriptions.malformed),
};

static const row calls[] = {
    ROW("calls_open", asked.calls, "Calls made here that wait for their answer."),
    ROW("calls_open_bytes", asked.bytes, "Bytes of them."),
    ROW("calls_open_nodes", asked.nodes, "Nodes that they are made to."),
    OF("calls_total", "result", "begun", asked.begun, "Calls made here, by what became of them."),
    MORE("calls_total", "result", "sent", asked.sent),
    MORE("calls_total", "result", "repeated", asked.repeated),
    MORE("calls_total", "result", "redirected", asked.redirected),
    MORE("calls_total", "result", "moved", asked.moved),
    MORE("calls_total", "result", "answered", asked.answered),
    MORE("calls_total", "result", "timeout", asked.timeouts),
    MORE("calls_total", "result", "no-route", asked.no_route),
    MORE("calls_total", "result", "cancelled", asked.cancelled),
    MORE("calls_total", "result", "unknown", asked.unknown_outcomes),
    MORE("calls_total", "result", "late", asked.late),
    MORE("calls_total", "result", "foreign", asked.foreign),
    MORE("calls_total", "result", "malformed", asked.malformed),
    MORE("calls_total", "result", "notice-dropped", asked.notices_dropped),
    ROW("served_nodes", served.nodes, "Nodes whose calls are remembered here."),
    ROW("served_running", served.running, "Calls that run here."),
    ROW("served_kept", served.kept, "Answers kept until they are acknowledged."),
    ROW("served_kept_bytes", served.kept_bytes, "Bytes of them."),
    OF("served_total", "result", "executed", served.executed,
       "Calls that came, by what became of them."),
    MORE("served_total", "result", "answered", served.answered),
    MORE("served_total", "result", "refused", served.refused),
    MORE("served_total", "result", "repeated", served.repeated),
    MORE("served_total", "result", "over", served.over),
    MORE("served_total", "result", "expired", served.expired),
    MORE("served_total", "result", "backpressure", served.backpressure),
    MORE("served_total", "result", "cancelled", served.cancelled),
    MORE("served_total", "result", "acknowledged", served.acknowledged),
    MORE("served_total", "result", "evicted", served.evicted),
    MORE("served_total", "result", "outlived", served.outlived),
    MORE("served_total", "result", "late", served.late),
    MORE("served_total", "result", "malformed", served.malformed),
    MORE("served_total", "result", "answer-dropped", served.answers_dropped),
    OF("revocations_total", "result", "told", revocations_told,
       "Revocation lists of realms between nodes, by what became of them."),
    MORE("revocations_total", "result", "taken", revocations_taken),
    MORE("revocations_total", "result", "old", revocations_old),
    MORE("revocations_total", "result", "refused", revocations_refused),
};

typedef struct teller {
    const mesh_counters *from;
    void (*fn)(void *ctx, const mesh_counter *one);
    void *ctx;
} teller;

/* Members are uint64_t or size_t, which are the same here. */
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "counters are read as uint64_t");

static void tell(const teller *t, const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mesh_counter one = {.name = rows[i].name, .label = rows[i].label, .help = rows[i].help};

        memcpy(&one.value, (const char *)t->from + rows[i].offset, sizeof one.value);
        t->fn(t->ctx, &one);
    }
}

static void tell_one(const teller *t, const char *name, const char *key, const char *word,
                     const char *help, uint64_t value)
{
    char label[64];
    mesh_counter one = {.name = name, .label = label, .help = help, .value = value};

    snprintf(label, sizeof label, "%s=\"%s\"", key, word);
    t->fn(t->ctx, &one);
}

#define TELL(rows) tell(&t, rows, sizeof(rows) / sizeof *(rows))

void mesh_counters_each(const mesh_counters *c, void (*fn)(void *ctx, const mesh_counter *one),
                        void *ctx)
{
    teller t = {c, fn, ctx};

    TELL(sessions);
    for (unsigned i = 0; i < TRUST_REASON_COUNT; i++)
        tell_one(&t, "trust_total", "decision", trust_reason_word((trust_reason)i),
                 i ? NULL : "Decisions about who is let in.", c->trust[i]);
    TELL(others);
    TELL(announced);
    for (unsigned i = 0; i < ANNOUNCEMENT_RESULT_COUNT; i++)
        tell_one(&t, "announcements_total", "result",
                 announcement_result_name((announcement_result)i),
                 i ? NULL : "Announcements that came, by what became of them.",
                 c->announcements.results[i]);
    TELL(flows);
    TELL(places);
    TELL(channels);
    TELL(calls);
    for (unsigned i = CHANNEL_FINE + 1; i <= CHANNEL_REASON_LAST; i++)
        tell_one(&t, "membership_refused_total", "reason", channel_reason_text((channel_reason)i),
                 i > CHANNEL_FINE + 1 ? NULL : "Memberships on channels of this node refused.",
                 c->membership.refused[i]);
}
