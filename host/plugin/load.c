/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/load.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "plugin/admit.h"
#include "plugin/list.h"
#include "plugin/open.h"
#include "plugin/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One load on its way. */
typedef struct load {
    plugins *set;
    plugins_load_options options;
    const char *path; /* what the operator named; for errors and the log */
    plugin_policy *policy;
    content_file file;
    minisign_signature signature;
    const policy_key *key; /* of policy; NULL: unsigned */
    examination found;
    loading reserved;
    bool is_reserved;
    bool created; /* the store has the file because of us */
    plugin *p;
} load;

static berth_status verify(load *l, berth_error *error)
{
    const buf *beside = l->file.signature;
    berth_status status;

    if (beside) {
        status =
            minisign_signature_parse(slice_of(beside->data, beside->len), &l->signature, error);
        if (status) {
            fail_prefix(error, "the signature");
            return status;
        }
    }
    status = policy_check_signature(l->policy, beside ? &l->signature : NULL, l->file.hash, &l->key,
                                    error);
    l->file.verified = l->key != NULL;
    if (!status && l->options.source == PLUGINS_FETCH)
        status = policy_check_fetch(l->key, error);
    return status ? status : policy_check_revoked(l->policy, l->file.hash, error);
}

static berth_status examine_apart_or_not_found(load *l, berth_error *error)
{
    char found[PATH_MAX];
    const char *helper = l->set->helper;

    if (!helper && examine_helper(found))
        helper = found;
    if (helper)
        return examine_apart(helper, l->file.fd, l->file.size, EXAMINE_LIMIT_NS, &l->found, error);
    return fail(error, BERTH_ERR_NOT_FOUND, "libexec/berth/berth-examine is not there");
}

/*
 * What bears a good signature is read here; anything else at arm's length, if we have an arm. An
 * embedder may not have brought the helper along. Then it is read here too: whoever lets unsigned
 * files in lets them run here next, so only a damaged file is more of a risk than it was.
 */
static berth_status examine(load *l, berth_error *error)
{
    berth_status status;
    void *image;

    if (!l->key) {
        berth_error why = {0};

        status = examine_apart_or_not_found(l, &why);
        if (status != BERTH_ERR_NOT_FOUND) {
            if (status && error)
                *error = why;
            return status;
        }
        log_warn("plugin", "%s: is not signed and is read inside of the host: %s",
                 l->path ? l->path : l->file.path, why.text);
    }
    image = content_bytes(&l->file);
    if (!image)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = examine_here(image, (size_t)l->file.size, &l->found, error);
    free(image);
    return status;
}

static berth_status check_floor(load *l, berth_error *error)
{
    const manifest *m = l->found.manifest;
    berth_status status;

    if (!l->key || l->options.source == PLUGINS_RESTART ||
        (l->options.source == PLUGINS_OPERATOR && l->options.allow_downgrade))
        return BERTH_OK;
    pthread_mutex_lock(&l->set->floors_lock);
    status = floors_check(l->set->floors, m->name, l->key->public.id, m->version, error);
    pthread_mutex_unlock(&l->set->floors_lock);
    return status;
}

static berth_status raise_floor(load *l, berth_error *error)
{
    const manifest *m = l->p->manifest;
    berth_status status;

    if (!l->key || l->options.source == PLUGINS_RESTART)
        return BERTH_OK;
    pthread_mutex_lock(&l->set->floors_lock);
    status = floors_raise(l->set->floors, m->name, l->key->public.id, m->version, error);
    pthread_mutex_unlock(&l->set->floors_lock);
    return status;
}

/* One that is loaded for the sake of a kind. */
static berth_status check_provides(const load *l, berth_error *error)
{
    const manifest *m = l->found.manifest;

    for (size_t i = 0; l->options.provides && i < m->kind_count; i++) {
        if (strcmp(m->kinds[i].name, l->options.provides) == 0)
            return BERTH_OK;
    }
    if (!l->options.provides)
        return BERTH_OK;
    return fail(error, BERTH_ERR_REFUSED, "is '%s' %s, which does not provide kind '%s'", m->name,
                m->version, l->options.provides);
}

/* Everything that is asked of facts and manifest. */
static berth_status judge(load *l, berth_error *error)
{
    admit_policy policy = {
        .libs = policy_libs(l->policy),
        .privileges = policy_privileges(l->policy),
        .extensions = l->set->extension_ids,
    };
    const manifest *m = l->found.manifest;
    admission a;
    berth_status status = admit(l->found.facts, m, &policy, &a, error);

    if (!status && m)
        status = policy_check_scope(l->key, m, error);
    if (!status && m)
        status = check_floor(l, error);
    if (!status && m)
        status = check_provides(l, error);
    if (!status)
        status = admission_verdict(&a, error);
    if (!status && !m)
        status = fail(error, BERTH_ERR_ADMISSION, "%s", l->found.manifest_error.text);
    for (size_t i = 0; m && i < a.count && !status && !l->options.dry_run; i++)
        log_warn("plugin", "%s %s: %s", m->name, m->version, a.items[i].text);
    admission_free(&a);
    return status;
}

static berth_status reserve(load *l, bool *already, berth_error *error)
{
    berth_status status;

    l->reserved = (loading){.has_digest = true,
                            .manifest = l->found.manifest,
                            .look_only = l->options.dry_run,
                            .policy = l->policy};
    memcpy(l->reserved.digest, l->file.hash, DIGEST_BYTES);
    status = set_reserve(l->set, &l->reserved, already, error);
    l->is_reserved = !status && !*already && !l->options.dry_run;
    return status;
}

/* The plugin as it will be; the manifest moves over, and the reservation's pointer stays good. */
static berth_status describe(load *l, berth_error *error)
{
    plugin *p = plugin_new(l->set, l->found.manifest);

    if (!p)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    l->p = p;
    l->found.manifest = NULL;
    p->has_file = true;
    memcpy(p->digest, l->file.hash, DIGEST_BYTES);
    p->loaded_wall_ns = clock_wall_ns();
    p->path = text_dup(slice_str(l->path ? l->path : l->file.path));
    p->stored_path = text_dup(slice_str(l->file.path));
    if (l->key) {
        p->key_name = text_dup(slice_str(l->key->name));
        p->trusted_comment = text_dup(slice_str(l->signature.trusted_comment));
    }
    if (!p->path || !p->stored_path || (l->key && (!p->key_name || !p->trusted_comment)))
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return BERTH_OK;
}

/* From here on code of the plugin runs. */
static berth_status start(load *l, berth_error *error)
{
    berth_status status = plugin_open(l->p, &l->file, l->found.facts, error);
    char why_not[256];

    if (status)
        return status;
    status = plugin_init(l->p, error);
    if (!status) {
        status = raise_floor(l, error);
        if (!status)
            status = set_publish(l->set, l->p, &l->reserved, error);
        if (status)
            plugin_deinit(l->p);
        else
            l->is_reserved = false;
    }
    if (status && !plugin_unmap(l->p, why_not, sizeof why_not))
        log_warn("plugin", "%s: was not loaded, but stays in memory: %s", l->p->manifest->name,
                 why_not);
    return status;
}

static void tell(const load *l, const manifest *m, bool already, plugins_loaded *out)
{
    char hex[2 * DIGEST_BYTES + 1];

    if (out) {
        *out = (plugins_loaded){.has_key = l->key != NULL, .already = already};
        memcpy(out->digest, l->file.hash, DIGEST_BYTES);
        snprintf(out->name, sizeof out->name, "%s", m->name);
        snprintf(out->version, sizeof out->version, "%s", m->version);
        if (l->key)
            snprintf(out->key_name, sizeof out->key_name, "%s", l->key->name);
    }
    if (already || l->options.dry_run)
        return;
    hex_encode(hex, slice_of(l->file.hash, DIGEST_BYTES));
    if (l->key)
        log_info("plugin", "%s %s: loaded, signed by '%s', digest %.16s", m->name, m->version,
                 l->key->name, hex);
    else
        log_warn("plugin", "%s %s: loaded without a trusted signature, digest %.16s", m->name,
                 m->version, hex);
}

/* l->file is there: all the rest of the way. */
static berth_status go(load *l, plugins_loaded *out, berth_error *error)
{
    bool already = false;
    berth_status status = verify(l, error);

    if (!status)
        status = examine(l, error);
    if (!status)
        status = judge(l, error);
    if (!status)
        status = reserve(l, &already, error);
    if (status)
        return status;
    /* Signed since it was loaded: the stored copy must have that signature at the next start. */
    if (already && !l->options.dry_run && l->file.temporary && l->file.signature)
        status = content_keep(l->set->store, &l->file, &l->created, error);
    if (status)
        return status;
    if (already || l->options.dry_run) {
        tell(l, l->found.manifest, already, out);
        return BERTH_OK;
    }
    if (l->file.temporary)
        status = content_keep(l->set->store, &l->file, &l->created, error);
    if (!status)
        status = describe(l, error);
    if (!status)
        status = start(l, error);
    if (!status)
        tell(l, l->p->manifest, false, out);
    return status;
}

static berth_status finish(load *l, berth_status status)
{
    if (status && l->created)
        content_remove(l->set->store, l->file.hash);
    /* Only then may another load of the same file begin. */
    if (l->is_reserved)
        set_release(l->set, &l->reserved);
    content_drop(&l->file);
    plugin_unref(l->p);
    examination_free(&l->found);
    policy_unref(l->policy);
    free(l);
    return status;
}

static load *begin(plugins *set, const char *path, const plugins_load_options *options)
{
    load *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->set = set;
    l->path = path;
    l->file.fd = -1;
    if (options)
        l->options = *options;
    pthread_mutex_lock(&set->lock);
    l->policy = policy_ref(set->policy);
    pthread_mutex_unlock(&set->lock);
    return l;
}

berth_status plugins_load(plugins *set, const char *path, const plugins_load_options *options,
                          plugins_loaded *out, berth_error *error)
{
    load *l = begin(set, path, options);
    berth_status status;

    if (!l)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = content_take(set->store, path, &l->file, error); /* names the path itself */
    if (!status) {
        status = go(l, out, error);
        if (status)
            fail_prefix(error, "%s", path);
    }
    return finish(l, status);
}

berth_status load_file(plugins *set, content_file *file, const plugins_load_options *options,
                       plugins_loaded *out, berth_error *error)
{
    load *l = begin(set, NULL, options);

    if (!l) {
        content_drop(file);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    l->file = *file;
    *file = (content_file){.fd = -1};
    return finish(l, go(l, out, error));
}

/*
 * Whoever reads why a stored copy is refused knows the plugin by its name, not by its digest. One
 * that was refused before it was read is read for that now, at arm's length or not at all.
 */
static void name_stored(load *l, berth_error *error)
{
    const manifest *m = l->p ? l->p->manifest : l->found.manifest;
    char hex[2 * DIGEST_BYTES + 1];
    berth_error unread = {0};

    if (!m && !examine_apart_or_not_found(l, &unread))
        m = l->found.manifest;
    if (m)
        fail_prefix(error, "plugin '%s' %s", m->name, m->version);
    else
        fail_prefix(error, "stored plugin %.16s",
                    hex_encode(hex, slice_of(l->file.hash, DIGEST_BYTES)));
}

berth_status plugins_load_digest(plugins *set, const uint8_t digest[DIGEST_BYTES],
                                 const plugins_load_options *options, plugins_loaded *out,
                                 berth_error *error)
{
    load *l = begin(set, NULL, options);
    berth_status status;

    if (!l)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = content_open(set->store, digest, &l->file, error);
    if (!status) {
        status = go(l, out, error);
        if (status)
            name_stored(l, error);
    }
    return finish(l, status);
}

berth_status plugins_forget(plugins *set, const uint8_t digest[DIGEST_BYTES], berth_error *error)
{
    char hex[2 * DIGEST_BYTES + 1];
    loading l = {.has_digest = true};

    memcpy(l.digest, digest, DIGEST_BYTES);
    if (!set_reserve_digest(set, &l))
        return fail(error, BERTH_ERR_BUSY, "digest %.16s is loaded: unload the plugin first",
                    hex_encode(hex, slice_of(digest, DIGEST_BYTES)));
    content_remove(set->store, digest);
    set_release(set, &l);
    return BERTH_OK;
}
