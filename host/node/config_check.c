/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/map.h"
#include "chain/channel.h"
#include "mesh/trust.h"
#include "node/config_parts.h"

#include <stdio.h>
#include <string.h>

#define CONFIG_TEXT_MAX (64 * 1024) /* of a daemon's config */
#define HEARTBEAT_NS    5000000000u /* if they are not said */
#define TIMEOUT_NS      30000000000u

typedef struct check {
    const config *c;
    const char *path;
    berth_error *error;
} check;

#define BAD(k, line, format, ...)                                                                  \
    fail((k)->error, BERTH_ERR_INVALID, "%s:%u: " format, (k)->path, line, __VA_ARGS__)

/* Remembers whose this is; *before is who had it already, or NULL. */
static berth_status claim(const check *k, strmap *m, slice what, const void *whose, void **before)
{
    if (!strmap_add(m, what, (void *)(uintptr_t)whose, before) && !*before)
        return fail(k->error, BERTH_ERR_NO_MEMORY, "out of memory for %s", k->path);
    return BERTH_OK;
}

/* ---- Daemons ---------------------------------------------------------------------------------
 */

static berth_status check_subscriptions(const check *k, const config_daemon *d)
{
    strmap seen = {0};
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < d->subscribe.count && status == BERTH_OK; i++) {
        slice channel, group;
        void *before = NULL;
        config_subscription(d->subscribe.items[i], &channel, &group);
        status = claim(k, &seen, channel, d, &before);
        if (before)
            status = BAD(k, d->line, "daemon \"%s\" subscribes to '%.*s' twice", d->name,
                         (int)channel.len, (const char *)channel.ptr);
    }
    strmap_fini(&seen);
    return status;
}

static berth_status check_daemon(const check *k, const config_daemon *d, strmap *services)
{
    berth_status status = BERTH_OK;

    if (d->config && d->config_file)
        return BAD(k, d->line, "daemon \"%s\" has both config and config_file: keep one", d->name);
    if (d->config && strlen(d->config) > CONFIG_TEXT_MAX)
        return BAD(k, d->line, "daemon \"%s\": its config is longer than 64 KiB", d->name);
    for (size_t i = 0; i < d->serve.count && status == BERTH_OK; i++) {
        void *before = NULL;
        status = claim(k, services, slice_str(d->serve.items[i]), d, &before);
        if (before)
            status = BAD(k, d->line, "daemon \"%s\" serves '%s', which daemon \"%s\" serves",
                         d->name, d->serve.items[i], ((const config_daemon *)before)->name);
    }
    if (status == BERTH_OK && d->accept.count) {
        char text[ACCEPT_TEXT_MAX + 1];
        berth_error why = {0};
        config_accept(d, text);
        if (accept_check(slice_str(text), &why) != BERTH_OK)
            status = BAD(k, d->line, "daemon \"%s\": %s", d->name, why.text);
    }
    return status == BERTH_OK ? check_subscriptions(k, d) : status;
}

static berth_status check_daemons(const check *k)
{
    strmap services = {0};
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < k->c->daemon_count && status == BERTH_OK; i++)
        status = check_daemon(k, &k->c->daemons[i], &services);
    strmap_fini(&services);
    return status;
}

/* ---- The mesh --------------------------------------------------------------------------------
 */

static berth_status check_mesh(const check *k)
{
    const config_mesh *m = &k->c->mesh;
    const config_list *lists[] = {&m->listen, &m->advertise};
    uint64_t heartbeat = m->heartbeat_ns ? m->heartbeat_ns : HEARTBEAT_NS;
    uint64_t timeout = m->timeout_ns ? m->timeout_ns : TIMEOUT_NS;

    if (timeout <= heartbeat)
        return BAD(k, m->line, "mesh: %s",
                   "timeout must be longer than heartbeat (if not said "
                   "they are 30s and 5s)");
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            for (size_t j = 0; j < i; j++)
                if (strcmp(lists[l]->items[i], lists[l]->items[j]) == 0)
                    return BAD(k, m->line, "mesh: %s has '%s' twice", l ? "advertise" : "listen",
                               lists[l]->items[i]);
    return BERTH_OK;
}

static berth_status pin(const check *k, const config_peer *p, const char *what, const config_id *id,
                        strmap *pinned)
{
    void *before = NULL;
    berth_status status =
        id->said ? claim(k, pinned, slice_of(id->bytes, sizeof id->bytes), p, &before) : BERTH_OK;

    if (before)
        return BAD(k, p->line, "peer \"%s\": its %s is that of peer \"%s\"", p->name, what,
                   ((const config_peer *)before)->name);
    return status;
}

static berth_status check_peers(const check *k)
{
    strmap keys = {0}, entities = {0};
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < k->c->peer_count && status == BERTH_OK; i++) {
        const config_peer *p = &k->c->peers[i];
        status = pin(k, p, "key", &p->key, &keys);
        if (status == BERTH_OK)
            status = pin(k, p, "entity", &p->entity, &entities);
        if (status == BERTH_OK && p->addresses.count && !p->key.said)
            status = BAD(k, p->line,
                         "peer \"%s\" has an address and no key, without which nobody can be "
                         "called there: add `key = ...`",
                         p->name);
    }
    strmap_fini(&keys);
    strmap_fini(&entities);
    return status;
}

static berth_status check_realms(const check *k)
{
    const config_realm *certified = NULL;

    for (size_t i = 0; i < k->c->realm_count; i++) {
        const config_realm *r = &k->c->realms[i];
        if (i == TRUST_REALMS_MAX)
            return BAD(k, r->line, "realm \"%s\": at most %d realms are allowed", r->name,
                       TRUST_REALMS_MAX);
        for (size_t j = 0; j < i; j++)
            if (memcmp(r->key.bytes, k->c->realms[j].key.bytes, sizeof r->key.bytes) == 0)
                return BAD(k, r->line, "realm \"%s\": its key is that of realm \"%s\"", r->name,
                           k->c->realms[j].name);
        if (r->certificate && certified)
            return BAD(k, r->line,
                       "realm \"%s\" has a certificate, as has realm \"%s\": a node shows one, "
                       "keep one",
                       r->name, certified->name);
        if (r->certificate)
            certified = r;
    }
    return BERTH_OK;
}

/* A prefix is right when a name can begin with it. */
static berth_status check_channel(const check *k, const config_channel *ch)
{
    char longer[CHANNEL_NAME_MAX + 2];
    slice name = slice_str(ch->name);

    snprintf(longer, sizeof longer, "%sa", ch->name);
    if (ch->prefix && name.len < CHANNEL_NAME_MAX &&
        channel_name_check(slice_str(longer), NULL) == BERTH_OK)
        return BERTH_OK;
    if (channel_name_check(name, k->error) == BERTH_OK)
        return BERTH_OK;
    fail_prefix(k->error, "%s:%u", k->path, ch->line);
    k->error->code = BERTH_ERR_INVALID;
    return BERTH_ERR_INVALID;
}

berth_status config_check(const config *c, const char *path, berth_error *error)
{
    check k = {c, path, error};
    berth_status status = check_daemons(&k);

    if (status == BERTH_OK)
        status = check_mesh(&k);
    if (status == BERTH_OK)
        status = check_peers(&k);
    if (status == BERTH_OK)
        status = check_realms(&k);
    for (size_t i = 0; i < c->channel_count && status == BERTH_OK; i++)
        status = check_channel(&k, &c->channels[i]);
    return status;
}
