/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/policy.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "plugin/list.h"

#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct plugin_policy {
    atomic_uint refs;
    policy_key *keys;
    size_t key_count;
    uint8_t (*revoked)[32];
    size_t revoked_count;
    bool allow_unsigned;
    bool all_privileges;
    manifest_list libs, privileges;
};

static size_t count_of(const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

static berth_status copy_list(const char *const *from, manifest_list *to, berth_error *error)
{
    for (; from && *from; from++) {
        if (!list_add(to, slice_str(*from)))
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    return BERTH_OK;
}

/* All base64 lines start with the letters of "Ed"; a path starts otherwise, or is longer. */
static bool is_key_line(const char *text)
{
    return strncmp(text, "RW", 2) == 0 && strlen(text) == MINISIGN_PUBLIC_LINE - 1;
}

static berth_status read_key(const char *text, minisign_public *out, berth_error *error)
{
    buf *file = NULL;
    berth_status status;

    if (is_key_line(text))
        return minisign_public_parse(slice_str(text), out, error);
    if (!strchr(text, '/') && !strchr(text, '.'))
        return fail(error, BERTH_ERR_INVALID,
                    "is neither a minisign public key (56 characters that start with RW) nor the "
                    "path of one");
    status = file_read(text, MINISIGN_FILE_MAX, FILE_SAFE, &file, error);
    if (status)
        return status;
    status = minisign_public_parse(slice_of(file->data, file->len), out, error);
    buf_unref(file);
    return status;
}

static berth_status add_key(plugin_policy *p, const policy_key_options *o, berth_error *error)
{
    policy_key *k = &p->keys[p->key_count];
    berth_status status = read_key(o->key, &k->public, error);

    if (status) {
        fail_prefix(error, "plugin key '%.100s'", o->name);
        return status;
    }
    for (size_t i = 0; i < p->key_count; i++) {
        if (memcmp(p->keys[i].public.key, k->public.key, sizeof k->public.key) == 0)
            return fail(error, BERTH_ERR_INVALID,
                        "plugin key '%.100s': is the same key as '%.100s': name each key once",
                        o->name, p->keys[i].name);
    }
    p->key_count++; /* from here on policy_unref frees it */
    k->isolation = o->isolation;
    k->fetch = o->fetch;
    k->name = text_dup(slice_str(o->name));
    if (!k->name)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = copy_list(o->names, &k->names, error);
    return status ? status : copy_list(o->kinds, &k->kinds, error);
}

static berth_status add_keys(plugin_policy *p, const policy_options *o, berth_error *error)
{
    size_t trusted = count_of(o->trusted);
    berth_status status = BERTH_OK;

    p->keys = calloc(o->key_count + trusted + 1, sizeof *p->keys);
    if (!p->keys)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < o->key_count && !status; i++)
        status = add_key(p, &o->keys[i], error);
    for (size_t i = 0; i < trusted && !status; i++) {
        policy_key_options all = {.name = o->trusted[i], .key = o->trusted[i]};

        status = add_key(p, &all, error);
    }
    return status;
}

static berth_status add_revoked(plugin_policy *p, const policy_options *o, berth_error *error)
{
    size_t count = count_of(o->revoked);

    p->revoked = calloc(count + 1, sizeof *p->revoked);
    if (!p->revoked)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (; p->revoked_count < count; p->revoked_count++) {
        const char *text = o->revoked[p->revoked_count];

        if (!hex_decode(p->revoked[p->revoked_count], 32, slice_str(text)))
            return fail(error, BERTH_ERR_INVALID,
                        "revoked '%.80s': must be a digest of 64 hex digits, as berth plugin ls "
                        "shows it",
                        text);
    }
    return BERTH_OK;
}

berth_status policy_new(const policy_options *options, plugin_policy **out, berth_error *error)
{
    plugin_policy *p = calloc(1, sizeof *p);
    berth_status status;

    *out = NULL;
    if (!p)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    atomic_init(&p->refs, 1);
    status = add_keys(p, options, error);
    if (!status)
        status = add_revoked(p, options, error);
    if (!status)
        status = copy_list(options->libs, &p->libs, error);
    if (!status)
        status = copy_list(options->privileges, &p->privileges, error);
    p->all_privileges = !options->privileges;
    p->allow_unsigned = options->unsigned_plugins == POLICY_UNSIGNED_WARN ||
                        (options->unsigned_plugins == POLICY_UNSIGNED_DEFAULT && !p->key_count);
    if (status)
        policy_unref(p);
    else
        *out = p;
    return status;
}

plugin_policy *policy_ref(plugin_policy *policy)
{
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

void policy_unref(plugin_policy *policy)
{
    if (!policy || atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < policy->key_count; i++) {
        free(policy->keys[i].name);
        list_free(&policy->keys[i].names);
        list_free(&policy->keys[i].kinds);
    }
    free(policy->keys);
    free(policy->revoked);
    list_free(&policy->libs);
    list_free(&policy->privileges);
    free(policy);
}

berth_status policy_check_signature(const plugin_policy *policy,
                                    const minisign_signature *signature,
                                    const uint8_t hash[MINISIGN_HASH_BYTES], const policy_key **key,
                                    berth_error *error)
{
    berth_status status = BERTH_ERR_NOT_FOUND;
    berth_error why = {0};
    char id[MINISIGN_ID_TEXT];

    *key = NULL;
    if (!signature) {
        if (policy->allow_unsigned)
            return BERTH_OK;
        return fail(
            error, BERTH_ERR_REFUSED,
            "is not signed, and this host takes signed plugins only: put its .minisig beside "
            "it (berth plugin sign, or minisign -S)");
    }
    /* Ids are chosen by whoever makes a key, so two keys may have the same one. */
    for (size_t i = 0; i < policy->key_count && status; i++) {
        if (memcmp(policy->keys[i].public.id, signature->id, sizeof signature->id) != 0)
            continue;
        status = minisign_verify(signature, &policy->keys[i].public, hash, &why);
        if (!status)
            *key = &policy->keys[i];
    }
    if (status && status != BERTH_ERR_NOT_FOUND && error)
        *error = why;
    if (status != BERTH_ERR_NOT_FOUND)
        return status;
    /* A host without keys cannot tell a good signature from a bad one: it is as if there was none.
     */
    if (policy->key_count == 0 && policy->allow_unsigned)
        return BERTH_OK;
    return fail(error, BERTH_ERR_SIGNATURE,
                "is signed by key %s, which this host does not trust: add that public key to "
                "plugins { keys = {...} } if it should",
                minisign_id_text(id, signature->id));
}

static bool matches(const manifest_list *globs, const char *name)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (fnmatch(globs->items[i], name, FNM_NOESCAPE) == 0)
            return true;
    }
    return globs->count == 0;
}

berth_status policy_check_scope(const policy_key *key, const manifest *m, berth_error *error)
{
    if (!key)
        return BERTH_OK;
    if (!matches(&key->names, m->name))
        return fail(error, BERTH_ERR_REFUSED,
                    "is plugin '%s', which key '%.100s' may not sign: widen names in plugin-key "
                    "\"%.100s\", or have another key sign it",
                    m->name, key->name, key->name);
    for (size_t i = 0; i < m->kind_count; i++) {
        if (!matches(&key->kinds, m->kinds[i].name))
            return fail(error, BERTH_ERR_REFUSED,
                        "provides kind '%s', which key '%.100s' may not sign: widen kinds in "
                        "plugin-key \"%.100s\", or have another key sign it",
                        m->kinds[i].name, key->name, key->name);
    }
    if (key->isolation == ISOLATION_PROCESS)
        return fail(
            error, BERTH_ERR_UNSUPPORTED,
            "would have to run in a process of its own, as key '%.100s' demands, which this "
            "host cannot give yet: set isolation = inline for the key to run it in the host",
            key->name);
    return BERTH_OK;
}

berth_status policy_check_fetch(const policy_key *key, berth_error *error)
{
    if (!key)
        return fail(error, BERTH_ERR_REFUSED,
                    "is not signed by a key that this host trusts, and no other is fetched");
    if (!key->fetch)
        return fail(error, BERTH_ERR_REFUSED,
                    "is signed by key '%.100s', whose plugins are not fetched: say fetch = yes in "
                    "plugin-key \"%.100s\" if they may be",
                    key->name, key->name);
    return BERTH_OK;
}

berth_status policy_check_fetch_id(const plugin_policy *policy, const minisign_signature *signature,
                                   berth_error *error)
{
    const policy_key *key = NULL;

    /* Of several keys with this id one may do. */
    for (size_t i = 0; i < policy->key_count && !(key && key->fetch); i++) {
        if (memcmp(policy->keys[i].public.id, signature->id, sizeof signature->id) == 0)
            key = &policy->keys[i];
    }
    return policy_check_fetch(key, error);
}

berth_status policy_check_revoked(const plugin_policy *policy, const uint8_t digest[32],
                                  berth_error *error)
{
    char hex[65];

    for (size_t i = 0; i < policy->revoked_count; i++) {
        if (memcmp(policy->revoked[i], digest, 32) == 0)
            return fail(error, BERTH_ERR_REFUSED,
                        "is revoked on this host (digest %.16s...): get a newer version from its "
                        "author",
                        hex_encode(hex, slice_of(digest, 32)));
    }
    return BERTH_OK;
}

bool policy_allows_unsigned(const plugin_policy *policy)
{
    return policy->allow_unsigned;
}

const manifest_list *policy_libs(const plugin_policy *policy)
{
    return &policy->libs;
}

const manifest_list *policy_privileges(const plugin_policy *policy)
{
    return policy->all_privileges ? NULL : &policy->privileges;
}
