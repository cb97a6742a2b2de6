/* SPDX-License-Identifier: Apache-2.0 */
#include "node/mesh_part.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "mesh/impair.h"
#include "node/mesh_keep.h"
#include "node/mesh_sections.h"
#include "node/peer_book.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct mesh_part {
    mesh *mesh;
    node_state *state;
    mesh_keep *keep; /* NULL: nothing is kept */
    impair_rule impair;
    bool impaired;
    resolver *resolver;
    pthread_mutex_t lock;
    mesh_sections *sections; /* [lock] in force */
    bool running;            /* [lock] */
};

/* ---- Policy ---------------------------------------------------------------------------------- */

/* Under the lock. */
static berth_status apply(mesh_part *p, const mesh_sections *s, runtime *start, berth_error *error)
{
    mesh_peer *list = calloc(s->peer_count + 1, sizeof *list);
    mesh_policy policy;
    berth_status status;

    if (!list)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    policy = mesh_sections_policy(s, p->resolver, list);
    status = start ? mesh_start(p->mesh, start, &policy, error)
                   : mesh_set_policy(p->mesh, &policy, error);
    free(list);
    return status;
}

/* On the resolver's thread. */
static void names_changed(void *ctx)
{
    mesh_part *p = ctx;
    berth_error error = {0};

    pthread_mutex_lock(&p->lock);
    if (p->running && apply(p, p->sections, NULL, &error) != BERTH_OK)
        log_error("node", "mesh: other addresses of peers cannot be taken: %s", error.text);
    pthread_mutex_unlock(&p->lock);
}

static berth_status want_names(mesh_part *p, const mesh_sections *s, berth_error *error)
{
    address_text *names = calloc(s->name_count + 1, sizeof *names);
    berth_status status;

    if (!names)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < s->name_count; i++)
        names[i] = s->names[i].at;
    status = resolver_want(p->resolver, names, s->name_count, error);
    free(names);
    return status;
}

/* ---- Birth ----------------------------------------------------------------------------------- */

static berth_status keep_version(void *ctx, uint64_t version)
{
    mesh_part *p = ctx;
    berth_error error = {0};
    berth_status status = state_keep_announcement(p->state, version, &error);

    if (status != BERTH_OK)
        log_error("node", "mesh: this node announces nothing new: %s", error.text);
    return status;
}

static void keep_record(void *ctx, uint64_t node, slice bytes)
{
    mesh_part *p = ctx;

    if (p->keep)
        mesh_keep_record(p->keep, node, bytes);
}

static void keep_revocations(void *ctx, slice list)
{
    mesh_part *p = ctx;

    if (p->keep)
        mesh_keep_revocations(p->keep, list);
}

static berth_status make(mesh_part *p, const config *c, const char *name, berth_error *error)
{
    mesh_config settings;
    berth_status status = mesh_sections_start(c, &settings, error);

    if (status == BERTH_OK && c->mesh.impair) {
        p->impaired = true;
        status = impair_parse(&p->impair, slice_str(c->mesh.impair), error);
        if (status != BERTH_OK)
            fail_prefix(error, "mesh: impair");
    }
    if (status == BERTH_OK) {
        settings.name = name;
        settings.identity = &p->state->identity;
        memcpy(settings.static_secret, p->state->mesh_static, sizeof settings.static_secret);
        memcpy(settings.reset_key, p->state->mesh_reset, sizeof settings.reset_key);
        settings.boot = p->state->boot;
        settings.certificate = slice_of(p->sections->certificate, p->sections->certificate_len);
        settings.announcement_version = p->state->announcement_version;
        settings.keep_version = keep_version;
        settings.keep_record = keep_record;
        settings.keep_revocations = keep_revocations;
        settings.ctx = p;
        status = mesh_new(&settings, &p->mesh, error);
    }
    sodium_memzero(&settings, sizeof settings);
    return status;
}

berth_status mesh_part_new(const config *c, node_state *state, const char *name, mesh_part **out,
                           berth_error *error)
{
    mesh_part *p;
    berth_status status;

    *out = NULL;
    if (!config_mesh_on(c))
        return BERTH_OK;
    p = calloc(1, sizeof *p);
    if (!p)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    p->state = state;
    pthread_mutex_init(&p->lock, NULL);
    status = mesh_sections_read(c, state->identity.entity, state->dir, &p->sections, error);
    if (status == BERTH_OK)
        status = make(p, c, name, error);
    if (status == BERTH_OK)
        *out = p;
    else
        mesh_part_free(p);
    return status;
}

mesh *mesh_part_mesh(const mesh_part *p)
{
    return p ? p->mesh : NULL;
}

const route *mesh_part_route(const mesh_part *p)
{
    return p ? mesh_route(p->mesh) : NULL;
}

/* ---- Start ----------------------------------------------------------------------------------- */

static void say_who(const mesh_part *p)
{
    char node[ID_TEXT], entity[65], key[65], at[ADDRESS_TEXT];
    mesh_self self;

    mesh_get_self(p->mesh, &self);
    hex_encode(entity, slice_of(self.entity, sizeof self.entity));
    hex_encode(key, slice_of(self.key, sizeof self.key));
    for (unsigned i = 0; i < self.listening_count; i++)
        log_info("node", "mesh: listening at %s", address_format(at, &self.listening[i]));
    log_info("node", "mesh: this is node %s, entity %s, key %s", id_encode(node, self.node), entity,
             key);
}

/* One that has run out since, or is not right, is nothing to speak of: it is a help only. */
static void learn(void *ctx, slice record)
{
    berth_error unread = {0};

    mesh_learn((mesh *)ctx, record, &unread);
}

static berth_status start(mesh_part *p, runtime *rt, berth_error *error)
{
    berth_status status;

    pthread_mutex_lock(&p->lock);
    status = apply(p, p->sections, rt, error);
    p->running = status == BERTH_OK;
    pthread_mutex_unlock(&p->lock);
    if (status == BERTH_OK && p->impaired) {
        status = mesh_impair(p->mesh, NULL, &p->impair, &p->impair, random_u64(), error);
        log_warn("node", "mesh: impair makes faults on purpose: take it out where they matter");
    }
    return status;
}

berth_status mesh_part_start(mesh_part *p, runtime *rt, berth_error *error)
{
    berth_status status = p ? resolver_new(names_changed, p, &p->resolver, error) : BERTH_OK;

    if (!p || status != BERTH_OK)
        return status;
    if (p->state->dir)
        status = mesh_keep_open(p->state->dir, &p->keep, error);
    if (status == BERTH_OK)
        status = start(p, rt, error);
    if (status == BERTH_OK)
        status = want_names(p, p->sections, error);
    if (status != BERTH_OK)
        return status;
    if (p->state->dir)
        peer_book_read(p->state->dir, learn, p->mesh);
    say_who(p);
    return BERTH_OK;
}

/* ---- Change ---------------------------------------------------------------------------------- */

static bool same_certificate(const mesh_sections *a, const mesh_sections *b)
{
    return a->certificate_len == b->certificate_len &&
           (!a->certificate_len || memcmp(a->certificate, b->certificate, a->certificate_len) == 0);
}

/* Sessions that are up have shown the one before, and show this one when they are renewed. */
static berth_status show_certificate(mesh_part *p, const mesh_sections *s, berth_error *error)
{
    berth_status status =
        mesh_set_certificate(p->mesh, slice_of(s->certificate, s->certificate_len), error);

    if (status == BERTH_OK)
        log_info("node", "mesh: %s",
                 s->certificate_len ? "another certificate is shown to others from now on"
                                    : "no certificate is shown to others from now on");
    return status;
}

berth_status mesh_part_reload(mesh_part *p, const config *c, berth_error *error)
{
    mesh_sections *fresh = NULL, *old;
    berth_status status =
        p ? mesh_sections_read(c, p->state->identity.entity, p->state->dir, &fresh, error)
          : BERTH_OK;

    if (!p || status != BERTH_OK)
        return status;
    pthread_mutex_lock(&p->lock);
    status = apply(p, fresh, NULL, error);
    if (status == BERTH_OK && !same_certificate(p->sections, fresh))
        status = show_certificate(p, fresh, error);
    old = status == BERTH_OK ? p->sections : fresh;
    if (status != BERTH_OK) {
        berth_error unread = {0};

        apply(p, p->sections, NULL, &unread); /* nothing may point into what is freed now */
    } else {
        p->sections = fresh;
    }
    pthread_mutex_unlock(&p->lock);
    mesh_sections_free(old);
    return status == BERTH_OK ? want_names(p, fresh, error) : status;
}

void mesh_part_facts_changed(mesh_part *p)
{
    if (p)
        mesh_facts_changed(p->mesh);
}

/* ---- End ------------------------------------------------------------------------------------- */

void mesh_part_leave(mesh_part *p, uint64_t grace_ms)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->running = false;
    pthread_mutex_unlock(&p->lock);
    resolver_free(p->resolver);
    p->resolver = NULL;
    if (p->mesh)
        mesh_leave(p->mesh, grace_ms);
    mesh_keep_close(p->keep);
    p->keep = NULL;
}

void mesh_part_free(mesh_part *p)
{
    if (!p)
        return;
    mesh_part_leave(p, 0);
    mesh_free(p->mesh);
    mesh_sections_free(p->sections);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
