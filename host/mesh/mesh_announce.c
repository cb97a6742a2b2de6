/* SPDX-License-Identifier: Apache-2.0 */
/* What this node says of itself, and what it hears of the others. */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

/* What this version speaks beyond sessions, as the reference numbers it. */
static const uint16_t spoken[] = {0x0a00 /* membership */, 0x0c00 /* capabilities */};

static berth_status announcement_send(void *ctx, uint64_t peer, buf *msg)
{
    mesh *m = ctx;
    session *s = peers_session(m->peers, peer);

    return s ? session_send(s, LANE_CONTROL, msg, m->now_ns) : BERTH_ERR_NOT_READY;
}

/* ---- Facts ----------------------------------------------------------------------------------- */

typedef struct kind_names {
    const char **names;
    size_t count, cap;
} kind_names;

static void take_kinds(void *ctx, const plugin_info *info)
{
    kind_names *k = ctx;

    for (size_t i = 0; !info->retired && i < info->manifest->kind_count; i++) {
        char *copy;

        if (k->count == k->cap) {
            size_t cap = k->cap ? 2 * k->cap : 16;
            const char **more = realloc(k->names, cap * sizeof *more);

            if (!more)
                return;
            k->names = more;
            k->cap = cap;
        }
        copy = strdup(info->manifest->kinds[i].name);
        if (copy)
            k->names[k->count++] = copy;
    }
}

static void gather(mesh *m)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES);
    kind_names kinds = {0};
    size_t service_count = services_names(m->services, NULL, 0);
    const char **served = calloc(service_count + 1, sizeof *served);
    capabilities set = {0}, former;
    berth_error error = {0};
    host_facts facts;

    if (served)
        services_names(m->services, served, service_count);
    else
        service_count = 0;

    plugins_each(runtime_plugins(m->rt), take_kinds, &kinds);
    facts = (host_facts){.cores = cores > 0 ? (unsigned)cores : 1,
                         .memory_bytes =
                             pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0,
                         .os = "linux",
                         .abi_major = BERTH_ABI_MAJOR,
                         .abi_minor = BERTH_ABI_MINOR,
                         .kinds = kinds.names,
                         .kind_count = kinds.count,
                         .services = served,
                         .service_count = service_count,
                         .subprotocols = spoken,
                         .subprotocol_count = sizeof spoken / sizeof *spoken};
    if (host_facts_write(&set, &facts, &error) != BERTH_OK ||
        announcer_set(&m->announcer, &set, &error) != BERTH_OK)
        log_warn("mesh", "cannot announce this host: %s", error.text);
    pthread_mutex_lock(&m->channels_lock);
    former = m->offered;
    m->offered = set;
    pthread_mutex_unlock(&m->channels_lock);
    capabilities_fini(&former);
    for (size_t i = 0; i < kinds.count; i++)
        free((char *)kinds.names[i]);
    free(kinds.names);
    free(served);
}

void mesh_facts_changed(mesh *m)
{
    atomic_store(&m->facts_flag, true);
    mesh_wake(m);
}

/* ---- Life ------------------------------------------------------------------------------------ */

berth_status announce_open(mesh *m, berth_error *error)
{
    announcements_config config = {.node_id = m->key.node_id};
    announcements_events events = {.send = announcement_send};
    announcer_config own = {.last_version = m->config.announcement_version,
                            .keep_version = m->config.keep_version,
                            .ctx = m->config.ctx};

    m->announcements = announcements_new(&config, &events, m);
    if (!m->announcements)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    announcer_init(&m->announcer, &own, &m->key);
    return BERTH_OK;
}

void announce_node_up(mesh *m, const peer_event *e)
{
    berth_error error = {0};

    if (announcements_peer_up(m->announcements, e->node, e->entity, &error) != BERTH_OK)
        log_warn("mesh", "%s", error.text);
}

int64_t announce_deadline(mesh *m)
{
    int64_t own = m->stage == STAGE_RUNNING ? announcer_deadline(&m->announcer) : NEVER;
    int64_t others = announcements_deadline(m->announcements);

    return own < others ? own : others;
}

static void announce(mesh *m)
{
    writer text = {0};
    announcement own = {0};
    berth_error error = {0};
    berth_status status =
        announcer_next(&m->announcer, &text, &own, m->now_ns, (uint64_t)mesh_wall_ns(m), &error);

    if (status == BERTH_OK) {
        announcements_own(m->announcements, &own, slice_of(text.data, text.len), m->now_ns, &error);
        announcement_fini(&own);
    } else if (status != BERTH_ERR_NOT_READY) {
        log_warn("mesh", "cannot announce this host: %s", error.text);
    }
    writer_free(&text);
}

void announce_expire(mesh *m)
{
    if (atomic_exchange(&m->facts_flag, false))
        gather(m);
    if (m->stage == STAGE_RUNNING && announcer_deadline(&m->announcer) <= m->now_ns)
        announce(m);
    announcements_expire(m->announcements, m->now_ns);
}

void announce_farewell(mesh *m)
{
    announcer_withdraw(&m->announcer);
    announce(m);
}

void announce_fini(mesh *m)
{
    announcer_fini(&m->announcer);
    capabilities_fini(&m->offered);
    announcements_free(m->announcements);
}
