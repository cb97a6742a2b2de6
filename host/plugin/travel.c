/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/travel.h"
#include "base/error.h"
#include "base/text.h"
#include "plugin/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static plugin_policy *policy_now(plugins *set)
{
    plugin_policy *policy;

    pthread_mutex_lock(&set->lock);
    policy = policy_ref(set->policy);
    pthread_mutex_unlock(&set->lock);
    return policy;
}

static berth_status parse(const buf *text, minisign_signature *out, berth_error *error)
{
    berth_status status = minisign_signature_parse(slice_of(text->data, text->len), out, error);

    if (status)
        fail_prefix(error, "the signature");
    return status;
}

/* ---- Lending */

struct plugin_lent {
    content_file file;
};

static berth_status may_lend(plugins *set, const content_file *file, berth_error *error)
{
    plugin_policy *policy = policy_now(set);
    minisign_signature signature;
    const policy_key *key = NULL;
    berth_status status = file->signature ? parse(file->signature, &signature, error)
                                          : fail(error, BERTH_ERR_REFUSED,
                                                 "is not signed, and only what is signed is lent");

    if (!status)
        status = policy_check_signature(policy, &signature, file->hash, &key, error);
    if (!status && !key)
        status = fail(error, BERTH_ERR_REFUSED,
                      "is signed by a key that this host does not trust, and is not lent");
    if (!status)
        status = policy_check_revoked(policy, file->hash, error);
    policy_unref(policy);
    return status;
}

berth_status plugins_lend(plugins *set, const uint8_t digest[DIGEST_BYTES], plugin_lent **out,
                          berth_error *error)
{
    plugin_lent *lent = calloc(1, sizeof *lent);
    berth_status status;

    *out = NULL;
    if (!lent)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = content_open(set->store, digest, &lent->file, error);
    if (!status)
        status = may_lend(set, &lent->file, error);
    if (status)
        plugin_lent_end(lent);
    else
        *out = lent;
    return status;
}

uint64_t plugin_lent_size(const plugin_lent *lent)
{
    return lent->file.size;
}

slice plugin_lent_signature(const plugin_lent *lent)
{
    return slice_of(lent->file.signature->data, lent->file.signature->len);
}

berth_status plugin_lent_read(const plugin_lent *lent, uint64_t offset, void *out, size_t len,
                              berth_error *error)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(lent->file.fd, (uint8_t *)out + at, len - at, (off_t)(offset + at));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "%s: cannot read", lent->file.path);
        if (n == 0)
            return fail(error, BERTH_ERR_IO, "%s: is shorter than it was", lent->file.path);
        at += (size_t)n;
    }
    return BERTH_OK;
}

void plugin_lent_end(plugin_lent *lent)
{
    if (lent)
        content_drop(&lent->file);
    free(lent);
}

/* ---- Receiving */

struct plugin_coming {
    content_coming content;
    plugins *set;
    uint8_t digest[DIGEST_BYTES];
    buf *signature;
};

uint64_t plugins_max_file(const plugins *set)
{
    return content_max(set->store);
}

static berth_status may_come(const plugin_coming *in, berth_error *error)
{
    plugin_policy *policy = policy_now(in->set);
    minisign_signature signature;
    berth_status status = parse(in->signature, &signature, error);

    if (!status)
        status = policy_check_fetch_id(policy, &signature, error);
    if (!status)
        status = policy_check_revoked(policy, in->digest, error);
    policy_unref(policy);
    return status;
}

berth_status plugins_receive(plugins *set, const uint8_t digest[DIGEST_BYTES], uint64_t size,
                             slice signature, plugin_coming **out, berth_error *error)
{
    plugin_coming *in = aligned_alloc(_Alignof(plugin_coming), sizeof *in); /* for the hash */
    berth_status status = BERTH_OK;

    *out = NULL;
    if (!in)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    memset(in, 0, sizeof *in);
    in->set = set;
    in->content.file.fd = in->content.to = -1;
    memcpy(in->digest, digest, sizeof in->digest);
    in->signature = buf_copy(signature.ptr, signature.len);
    if (!in->signature)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (!status)
        status = may_come(in, error);
    if (!status)
        status = content_begin(set->store, size, "the file", &in->content, error);
    if (status)
        plugin_coming_end(in);
    else
        *out = in;
    return status;
}

berth_status plugin_coming_add(plugin_coming *in, slice bytes, berth_error *error)
{
    return content_add(&in->content, bytes, error);
}

berth_status plugin_coming_load(plugin_coming *in, const char *kind, plugins_loaded *out,
                                bool *judged, berth_error *error)
{
    const plugins_load_options options = {.source = PLUGINS_FETCH, .provides = kind};
    content_file file;
    berth_status status = content_complete(&in->content, in->signature, &file, error);

    *judged = false;
    if (!status && memcmp(file.hash, in->digest, DIGEST_BYTES) != 0) {
        content_drop(&file);
        status = fail(error, BERTH_ERR_CORRUPT, "what came is not the file that was asked for");
    }
    if (status)
        return status;
    *judged = true;
    return load_file(in->set, &file, &options, out, error);
}

void plugin_coming_end(plugin_coming *in)
{
    if (!in)
        return;
    content_abandon(&in->content);
    buf_unref(in->signature);
    free(in);
}
