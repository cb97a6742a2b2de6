/* SPDX-License-Identifier: Apache-2.0 */
#include "node/policy.h"

#include "base/error.h"

#include <stdlib.h>

static const char *const *list(const config_list *l)
{
    return (const char *const *)l->items;
}

static manifest_isolation isolation(config_isolation i)
{
    return i == CONFIG_ISOLATION_PROCESS  ? ISOLATION_PROCESS
           : i == CONFIG_ISOLATION_INLINE ? ISOLATION_INLINE
                                          : ISOLATION_ANY;
}

static policy_unsigned unsigned_plugins(config_unsigned u)
{
    return u == CONFIG_UNSIGNED_REFUSE ? POLICY_UNSIGNED_REFUSE
           : u == CONFIG_UNSIGNED_WARN ? POLICY_UNSIGNED_WARN
                                       : POLICY_UNSIGNED_DEFAULT;
}

/* Whoever asks for a process of its own must not get less without a word. */
static berth_status check_isolation(const config *c, berth_error *error)
{
    for (size_t i = 0; i < c->plugin_count; i++)
        if (c->plugins[i].isolation == CONFIG_ISOLATION_PROCESS)
            return fail(
                error, BERTH_ERR_UNSUPPORTED,
                "plugin \"%s\": isolation = process: this berth runs plugins inside the host "
                "only: remove the plugin or the line",
                c->plugins[i].name);
    return BERTH_OK;
}

berth_status node_policy(const config *c, plugin_policy **out, berth_error *error)
{
    policy_options options = {.key_count = c->scoped_count,
                              .trusted = list(&c->keys),
                              .unsigned_plugins = unsigned_plugins(c->unsigned_plugins),
                              .libs = list(&c->libs),
                              .revoked = list(&c->revoked)};
    policy_key_options *keys = calloc(c->scoped_count + 1, sizeof *keys);
    berth_status status;

    *out = NULL;
    if (!keys)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < c->scoped_count; i++) {
        const config_key *key = &c->scoped[i];
        keys[i] = (policy_key_options){.name = key->name,
                                       .key = key->key,
                                       .names = list(&key->names),
                                       .kinds = list(&key->kinds),
                                       .isolation = isolation(key->isolation),
                                       .fetch = key->fetch};
    }
    options.keys = keys;
    status = check_isolation(c, error);
    if (status == BERTH_OK)
        status = policy_new(&options, out, error);
    if (status != BERTH_OK && error && c->file)
        fail_prefix(error, "%s", c->file);
    free(keys);
    return status;
}
