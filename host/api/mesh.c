/* SPDX-License-Identifier: Apache-2.0 */
/* This node in the mesh: who it is, and how it goes. */
#include "api/emit.h"
#include "api/mesh_counters.h"
#include "api/peers.h"

#include "mesh/address.h"

#include <string.h>

static void emit_features(writer *w, unsigned in_use)
{
    static const char *const words[] = {"recvmmsg", "sendmmsg", "gso", "gro", "ecn", "pktinfo"};

    emit_key(w, "udp");
    emit_text(w, "[");
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (!(in_use & 1u << i))
            continue;
        emit_next(w);
        emit_cstring(w, words[i]);
    }
    emit_text(w, "]");
}

static void emit_counter(void *ctx, const mesh_counter *one)
{
    writer *w = ctx;
    char name[128];

    if (one->label) { /* datagrams_dropped_total and reason="short": datagrams_dropped_short */
        const char *quote = strchr(one->label, '"');

        snprintf(name, sizeof name, "%.*s_%s", (int)(strlen(one->name) - strlen("_total")),
                 one->name, quote + 1);
        name[strlen(name) - 1] = '\0';
    } else {
        size_t len = strlen(one->name);
        bool total = len > 6 && strcmp(one->name + len - 6, "_total") == 0;

        snprintf(name, sizeof name, "%.*s", (int)(total ? len - 6 : len), one->name);
    }
    for (char *at = name; *at; at++)
        if (*at == '-' || *at == ' ')
            *at = '_';
    emit_member_u64(w, name, one->value);
}

void emit_mesh_members(writer *w, mesh *m, const mesh_counters *c)
{
    peer_list all;
    mesh_self self;
    peer_sum sum;

    mesh_get_self(m, &self);
    peer_list_read(&all, m);
    peer_list_sum(&all, &sum);
    peer_list_fini(&all);
    emit_member_string(w, "name", self.name);
    emit_member_id(w, "node", self.node);
    emit_member_hex(w, "entity", slice_of(self.entity, sizeof self.entity));
    emit_member_hex(w, "key", slice_of(self.key, sizeof self.key));
    emit_key(w, "listening");
    emit_text(w, "[");
    for (unsigned i = 0; i < self.listening_count; i++) {
        char text[ADDRESS_TEXT];

        emit_next(w);
        emit_cstring(w, address_format(text, &self.listening[i]));
    }
    emit_text(w, "]");
    emit_features(w, self.udp);
    emit_member_u64(w, "sessions", c->endpoint.sessions);
    emit_member_u64(w, "peers_known", c->peers_known);
    emit_member_u64(w, "peers_live", c->peers_live);
    emit_member_u64(w, "rtt_min_ns", (uint64_t)sum.rtt_min_ns);
    emit_member_u64(w, "rtt_median_ns", (uint64_t)sum.rtt_median_ns);
    emit_member_u64(w, "rtt_max_ns", (uint64_t)sum.rtt_max_ns);
    emit_member_u64(w, "packets_out", sum.packets_out);
    emit_member_u64(w, "packets_lost", sum.packets_lost);
    emit_member_u64(w, "outbox_events", c->outbox_events);
    emit_member_u64(w, "outbox_bytes", c->outbox_bytes);
}

static void mesh_job(request *r)
{
    mesh *m = request_mesh(r);
    mesh_counters c = {0};
    writer w = {0};

    if (!m)
        return;
    mesh_get_counters(m, &c);
    emit_text(&w, "{");
    emit_mesh_members(&w, m, &c);
    emit_key(&w, "counters");
    emit_text(&w, "{");
    mesh_counters_each(&c, emit_counter, &w);
    emit_text(&w, "}}");
    request_answer(r, 200, &w);
}

void mesh_get(request *r)
{
    request_job(r, mesh_job);
}
