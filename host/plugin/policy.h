/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/policy.h: whose plugins may be loaded, and which.
 *
 * An immutable object made from the configuration, shared by reference; a reload makes a new one
 * and puts it in the old one's place (plugins_set_policy). Any thread.
 */
#ifndef PLUGIN_POLICY_H
#define PLUGIN_POLICY_H

#include "plugin/manifest.h"
#include "plugin/minisign.h"

typedef enum policy_unsigned {
    POLICY_UNSIGNED_DEFAULT, /* refuse if there is any key, else warn */
    POLICY_UNSIGNED_REFUSE,
    POLICY_UNSIGNED_WARN
} policy_unsigned;

/* ---- The configuration, borrowed for the call. Lists are NULL-terminated; NULL: empty. */

typedef struct policy_key_options {
    const char *name;             /* for people */
    const char *key;              /* base64 line as minisign prints it, or path of a .pub file */
    const char *const *names;     /* globs of plugin names it may sign; NULL: all */
    const char *const *kinds;     /* globs of kind names; NULL: all */
    manifest_isolation isolation; /* PROCESS: what it signs may not run inside of the host */
    bool fetch;                   /* what it signs may be fetched from peers */
} policy_key_options;

typedef struct policy_options {
    const policy_key_options *keys;
    size_t key_count;
    const char *const *trusted; /* keys that may sign everything, in the form of .key */
    policy_unsigned unsigned_plugins;
    const char *const *libs;       /* allowed in DT_NEEDED */
    const char *const *revoked;    /* digests, 64 hex digits each */
    const char *const *privileges; /* granted to plugins; NULL: all */
} policy_options;

/* ---- The policy. */

typedef struct plugin_policy plugin_policy;

/* Checks all of it; an error names the key or digest and what would be right. Reads .pub files,
 * which must not be writable by others. One reference is the caller's. */
berth_status policy_new(const policy_options *options, plugin_policy **out, berth_error *error);
plugin_policy *policy_ref(plugin_policy *policy);
void policy_unref(plugin_policy *policy);

/* One trusted key. */
typedef struct policy_key {
    char *name;
    minisign_public public;
    manifest_list names, kinds; /* empty: all */
    manifest_isolation isolation;
    bool fetch;
} policy_key;

/*
 * Whose signature it is. With signature NULL: OK and *key NULL where unsigned plugins are let in,
 * else REFUSED. SIGNATURE when no trusted key made it, or it does not verify. The key lives as long
 * as the policy.
 */
berth_status policy_check_signature(const plugin_policy *policy,
                                    const minisign_signature *signature,
                                    const uint8_t hash[MINISIGN_HASH_BYTES], const policy_key **key,
                                    berth_error *error);

/* Whether that key may sign this plugin with all its kinds, to run inside of the host. key NULL: an
 * unsigned one, OK. REFUSED, or UNSUPPORTED where a process of its own is demanded. */
berth_status policy_check_scope(const policy_key *key, const manifest *m, berth_error *error);

/*
 * Whether what this key signed may come from another host. key NULL: it is unsigned, or its key is
 * unknown, REFUSED as well.
 */
berth_status policy_check_fetch(const policy_key *key, berth_error *error);

/* The same before a byte of it has come: has any trusted key the id that this signature names, and
 * may what it signs be fetched? REFUSED. That the signature is good is still to be seen. */
berth_status policy_check_fetch_id(const plugin_policy *policy, const minisign_signature *signature,
                                   berth_error *error);

/* REFUSED when the digest is revoked. */
berth_status policy_check_revoked(const plugin_policy *policy, const uint8_t digest[32],
                                  berth_error *error);

bool policy_allows_unsigned(const plugin_policy *policy);
const manifest_list *policy_libs(const plugin_policy *policy);
/* NULL: all. */
const manifest_list *policy_privileges(const plugin_policy *policy);

#endif
