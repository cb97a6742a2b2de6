/* SPDX-License-Identifier: Apache-2.0 */
#include "node/mesh_sections.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "identity/certificate_file.h"
#include "identity/revocation_file.h"
#include "identity/token_revocation.h"
#include "node/mesh_keep.h"
#include "node/psk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static berth_status no_memory(berth_error *error)
{
    return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

/* ---- Peers ----------------------------------------------------------------------------------- */

static berth_status take_peer(mesh_sections *s, const config_peer *from, berth_error *error)
{
    size_t index = s->peer_count++;
    mesh_peer *p = &s->peers[index];

    *p = (mesh_peer){.has_key = from->key.said, .has_entity = from->entity.said, .may = from->may};
    snprintf(p->name, sizeof p->name, "%s", from->name);
    memcpy(p->key, from->key.bytes, sizeof p->key);
    memcpy(p->entity, from->entity.bytes, sizeof p->entity);
    for (size_t i = 0; i < from->addresses.count; i++) {
        address_text at;
        berth_status status = address_parse(slice_str(from->addresses.items[i]), &at, error);

        if (status != BERTH_OK)
            return fail_prefix(error, "peer \"%s\"", from->name), status;
        if (at.is_name)
            s->names[s->name_count++] = (section_name){index, at};
        else if (p->address_count < RECORD_ADDRESSES_MAX)
            p->addresses[p->address_count++] = at.numeric;
    }
    return BERTH_OK;
}

static berth_status take_peers(mesh_sections *s, const config *c, berth_error *error)
{
    size_t addresses = 0;
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < c->peer_count; i++)
        addresses += c->peers[i].addresses.count;
    s->peers = calloc(c->peer_count + 1, sizeof *s->peers);
    s->names = calloc(addresses + 1, sizeof *s->names);
    if (!s->peers || !s->names)
        return no_memory(error);
    for (size_t i = 0; i < c->peer_count && status == BERTH_OK; i++)
        status = take_peer(s, &c->peers[i], error);
    return status;
}

/* ---- Realms ---------------------------------------------------------------------------------- */

static berth_status take_certificate(mesh_sections *s, const config_realm *from,
                                     const uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error)
{
    berth_error late = {0};
    realm_certificate cert;
    berth_status status = certificate_file_read(from->certificate, &cert, error);

    if (status == BERTH_OK && memcmp(cert.realm, from->key.bytes, sizeof cert.realm) != 0)
        status = fail(error, BERTH_ERR_INVALID, "%s: the certificate is of another realm",
                      from->certificate);
    if (status == BERTH_OK && memcmp(cert.entity, entity, sizeof cert.entity) != 0)
        status = fail(error, BERTH_ERR_INVALID,
                      "%s: the certificate is for another node: have one signed for the entity "
                      "that `berth identity show` gives with this state directory",
                      from->certificate);
    if (status == BERTH_OK)
        status = certificate_verify(&cert, error);
    if (status != BERTH_OK)
        return fail_prefix(error, "realm \"%s\"", from->name), status;
    if (certificate_in_time(&cert, clock_wall_ns() / 1000000000, TRUST_CLOCK_TOLERANCE_S, &late) !=
        BERTH_OK)
        log_warn("node", "realm \"%s\": %s: %s", from->name, from->certificate, late.text);
    s->certificate = malloc(CERTIFICATE_MAX);
    if (!s->certificate)
        return no_memory(error);
    s->certificate_len = certificate_encode(s->certificate, &cert);
    return BERTH_OK;
}

static berth_status read_list(const config_realm *from, revocation_list *out, berth_error *error)
{
    berth_status status = BERTH_OK;

    *out = (revocation_list){0};
    if (from->revocations)
        status = revocation_file_read(from->revocations, out, error);
    if (status == BERTH_OK && from->revocations &&
        memcmp(out->realm, from->key.bytes, sizeof out->realm) != 0)
        status =
            fail(error, BERTH_ERR_INVALID, "%s: the list is of another realm", from->revocations);
    return status;
}

/* Of the list that the section names and the one that was kept the newer one; they may be none. */
static berth_status take_revocations(mesh_realm *r, const config_realm *from, const char *state_dir,
                                     berth_error *error)
{
    revocation_list said, kept = {0};
    berth_status status = read_list(from, &said, error);
    bool newer = status == BERTH_OK && state_dir &&
                 mesh_kept_revocations(state_dir, r->id, &kept) &&
                 (!from->revocations || kept.number > said.number);
    writer w = {0};

    if (status == BERTH_OK && (newer || from->revocations))
        revocation_encode(&w, newer ? &kept : &said);
    if (w.failed)
        status = no_memory(error);
    revocation_free(&said);
    revocation_free(&kept);
    if (status != BERTH_OK) {
        writer_free(&w);
        return fail_prefix(error, "realm \"%s\"", from->name), status;
    }
    r->revocations = slice_of(w.data, w.len);
    return BERTH_OK;
}

static berth_status take_realms(mesh_sections *s, const config *c,
                                const uint8_t entity[BERTH_ENTITY_SIZE], const char *state_dir,
                                berth_error *error)
{
    berth_status status = BERTH_OK;

    s->realms = calloc(c->realm_count + 1, sizeof *s->realms);
    if (!s->realms)
        return no_memory(error);
    for (size_t i = 0; i < c->realm_count && status == BERTH_OK; i++) {
        const config_realm *from = &c->realms[i];
        mesh_realm *r = &s->realms[s->realm_count++];

        memcpy(r->id, from->key.bytes, sizeof r->id);
        status = take_revocations(r, from, state_dir, error);
        if (status == BERTH_OK && from->certificate)
            status = take_certificate(s, from, entity, error);
    }
    return status;
}

/* ---- Channels -------------------------------------------------------------------------------- */

static const char *keep_text(mesh_sections *s, const char *text)
{
    char *copy = strdup(text);

    if (copy)
        s->texts[s->text_count++] = copy;
    return copy;
}

static berth_status take_filter(mesh_sections *s, const char *from, capability_filter *f,
                                const capability_filter **out, berth_error *error)
{
    capability_scope scope;
    const char *text;

    if (!from)
        return BERTH_OK;
    text = keep_text(s, from);
    if (!text)
        return no_memory(error);
    *out = f;
    return filter_parse(f, &scope, slice_str(text), error);
}

static berth_status take_channel(mesh_sections *s, const config_channel *from, berth_error *error)
{
    capability_filter *filters = &s->filters[2 * s->channel_count];
    channel_rule *r = &s->channels[s->channel_count++];
    const char *name = keep_text(s, from->name);
    uint8_t *roots = malloc(from->roots.count * BERTH_ENTITY_SIZE + 1);
    berth_status status;

    *r = (channel_rule){
        .prefix = from->prefix, .require_token = from->require_token, .roots = roots};
    if (!name || !roots)
        return no_memory(error);
    r->name = slice_str(name);
    r->root_count = from->roots.count;
    if (from->roots.count)
        memcpy(roots, from->roots.bytes, from->roots.count * BERTH_ENTITY_SIZE);
    status = take_filter(s, from->publish, &filters[0], &r->publish, error);
    if (status == BERTH_OK)
        status = take_filter(s, from->subscribe, &filters[1], &r->subscribe, error);
    return status == BERTH_OK ? status : (fail_prefix(error, "channel \"%s\"", from->name), status);
}

static berth_status take_channels(mesh_sections *s, const config *c, berth_error *error)
{
    berth_status status = BERTH_OK;

    s->channels = calloc(c->channel_count + 1, sizeof *s->channels);
    s->filters = calloc(2 * c->channel_count + 1, sizeof *s->filters);
    s->texts = calloc(3 * c->channel_count + 1, sizeof *s->texts);
    if (!s->channels || !s->filters || !s->texts)
        return no_memory(error);
    for (size_t i = 0; i < c->channel_count && status == BERTH_OK; i++)
        status = take_channel(s, &c->channels[i], error);
    return status;
}

/* As text again, by then known to be good, for a mesh that may run already. */
static berth_status take_revoked_tokens(mesh_sections *s, const char *path, berth_error *error)
{
    token_revocations *r;
    berth_status status;

    if (!path)
        return BERTH_OK;
    r = token_revocations_new();
    status = r ? token_revocations_read(r, path, error) : no_memory(error);
    if (status == BERTH_OK) {
        s->revoked_tokens = token_revocations_format(r, (uint64_t)(clock_wall_ns() / 1000000000));
        if (!s->revoked_tokens)
            status = no_memory(error);
    }
    token_revocations_free(r);
    return status == BERTH_OK ? status : (fail_prefix(error, "mesh: revoked_tokens"), status);
}

/* ---- All of it ------------------------------------------------------------------------------- */

berth_status mesh_sections_read(const config *c, const uint8_t entity[BERTH_ENTITY_SIZE],
                                const char *state_dir, mesh_sections **out, berth_error *error)
{
    mesh_sections *s = calloc(1, sizeof *s);
    berth_status status = s ? take_peers(s, c, error) : no_memory(error);

    *out = NULL;
    if (status == BERTH_OK)
        status = take_realms(s, c, entity, state_dir, error);
    if (status == BERTH_OK)
        status = take_channels(s, c, error);
    if (status == BERTH_OK)
        status = take_revoked_tokens(s, c->mesh.revoked_tokens, error);
    if (status == BERTH_OK)
        *out = s;
    else
        mesh_sections_free(s);
    return status;
}

void mesh_sections_free(mesh_sections *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->realm_count; i++)
        free((uint8_t *)s->realms[i].revocations.ptr);
    for (size_t i = 0; i < s->channel_count; i++)
        free((uint8_t *)s->channels[i].roots);
    for (size_t i = 0; i < s->text_count; i++)
        free(s->texts[i]);
    free(s->peers);
    free(s->names);
    free(s->realms);
    free(s->channels);
    free(s->filters);
    free(s->texts);
    free(s->certificate);
    free(s->revoked_tokens);
    free(s);
}

mesh_policy mesh_sections_policy(const mesh_sections *s, resolver *r, mesh_peer *list)
{
    if (s->peer_count)
        memcpy(list, s->peers, s->peer_count * sizeof *list);
    for (size_t i = 0; i < s->name_count; i++) {
        mesh_peer *p = &list[s->names[i].peer];

        p->address_count += resolver_get(r, &s->names[i].at, &p->addresses[p->address_count],
                                         RECORD_ADDRESSES_MAX - p->address_count);
    }
    return (mesh_policy){.peers = list,
                         .peer_count = s->peer_count,
                         .realms = s->realms,
                         .realm_count = s->realm_count,
                         .channels = s->channels,
                         .channel_count = s->channel_count,
                         .revoked_tokens = slice_str(s->revoked_tokens ? s->revoked_tokens : "")};
}

/* ---- What only a start takes ----------------------------------------------------------------- */

static berth_status take_addresses(const config_list *from, const char *option, address *out,
                                   unsigned cap, unsigned *count, berth_error *error)
{
    for (size_t i = 0; i < from->count; i++) {
        address_text at;

        if (i == cap || address_parse(slice_str(from->items[i]), &at, error) != BERTH_OK ||
            at.is_name)
            return fail(error, BERTH_ERR_INVALID, "mesh: %s: '%s' cannot be used", option,
                        from->items[i]);
        out[(*count)++] = at.numeric;
    }
    return BERTH_OK;
}

static bool ipv6_is_there(const address *any)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && bind(fd, &any->u.any, any->len) == 0;

    if (fd >= 0)
        close(fd);
    return there;
}

/* A node that only calls others has any port, in the families that this machine has. */
static void listen_anywhere(mesh_config *out)
{
    address v4 = {.len = sizeof v4.u.in}, v6 = {.len = sizeof v6.u.in6};

    v4.u.in.sin_family = AF_INET;
    v6.u.in6.sin6_family = AF_INET6;
    out->listen[out->listen_count++] = v4;
    if (ipv6_is_there(&v6))
        out->listen[out->listen_count++] = v6;
}

static berth_status take_psks(const char *path, mesh_config *out, berth_error *error)
{
    psk_set set;
    berth_status status;

    if (!path)
        return BERTH_OK;
    status = psk_read(path, &set, error);
    if (status == BERTH_OK) {
        memcpy(out->psks, set.keys, sizeof out->psks);
        out->psk_count = set.count;
    }
    psk_wipe(&set);
    return status == BERTH_OK ? status : (fail_prefix(error, "mesh: psk_file"), status);
}

berth_status mesh_sections_start(const config *c, mesh_config *out, berth_error *error)
{
    const config_mesh *m = &c->mesh;
    berth_status status;

    *out = (mesh_config){.max_peers = m->max_peers,
                         .max_packet = m->max_packet,
                         .max_message = m->max_message,
                         .heartbeat_ns = (int64_t)m->heartbeat_ns,
                         .timeout_ns = (int64_t)m->timeout_ns,
                         .discover_mtu = m->discover_mtu != CONFIG_NO,
                         .senders = m->allow_send == CONFIG_SENDERS_NONE    ? MESH_SENDERS_NONE
                                    : m->allow_send == CONFIG_SENDERS_PEERS ? MESH_SENDERS_PEERS
                                                                            : MESH_SENDERS_ALL};
    status = take_addresses(&m->listen, "listen", out->listen, MESH_LISTEN_MAX, &out->listen_count,
                            error);
    if (status == BERTH_OK)
        status = take_addresses(&m->advertise, "advertise", out->advertise, RECORD_ADDRESSES_MAX,
                                &out->advertise_count, error);
    if (status == BERTH_OK && !out->listen_count)
        listen_anywhere(out);
    return status == BERTH_OK ? take_psks(m->psk_file, out, error) : status;
}
