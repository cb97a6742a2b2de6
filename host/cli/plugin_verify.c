/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin verify`: what a host with these keys would say of a signature. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/plugin_file.h"

#include "base/error.h"
#include "base/paths.h"
#include "base/text.h"
#include "node/policy.h"
#include "plugin/examine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX_BYTES (256ull << 20)

/* The keys of --key; a bare file name is a path too. */
static berth_status policy_of_options(const cli_invocation *inv, plugin_policy **out,
                                      berth_error *error)
{
    const char **keys = (const char **)calloc(inv->given_count + 1, sizeof *keys);
    char **paths = (char **)calloc(inv->given_count + 1, sizeof *paths);
    policy_options options = {.unsigned_plugins = POLICY_UNSIGNED_REFUSE};
    size_t at = 0, count = 0;
    berth_status status;

    if (!keys || !paths)
        abort();
    for (const char *key; (key = cli_next_value(inv, "key", &at)); count++) {
        if (strncmp(key, "RW", 2) != 0 && access(key, F_OK) != 0) {
            status = fail(error, BERTH_ERR_NOT_FOUND,
                          "--key: '%s' is neither a minisign public key (RW...) nor a file that "
                          "is there",
                          key);
            goto out;
        }
        if (!strchr(key, '/') && strncmp(key, "RW", 2) != 0 &&
            asprintf(&paths[count], "./%s", key) < 0)
            abort();
        keys[count] = paths[count] ? paths[count] : key;
    }
    options.trusted = keys;
    status = policy_new(&options, out, error);
out:
    while (count)
        free(paths[--count]);
    free(paths);
    free(keys);
    return status;
}

/* The keys of the configuration; *out stays NULL when it has none. */
static berth_status policy_of_config(const cli_invocation *inv, plugin_policy **out,
                                     berth_error *error)
{
    const char *said = cli_value(inv, "config");
    char path[PATHS_MAX];
    bool found = true;
    config *c = NULL;
    berth_status status = BERTH_OK;

    if (!said) {
        status = paths_config_file(path, sizeof path, &found, error);
        said = path;
    }
    if (status != BERTH_OK || !found)
        return status;
    status = config_read(said, &c, error);
    if (status == BERTH_OK && c->keys.count + c->scoped_count)
        status = node_policy(c, out, error);
    config_free(c);
    return status;
}

/* In the order in which a host asks: nothing reads the file before its signature holds. */
static berth_status judge(const char *file, const plugin_policy *policy, const policy_key **key,
                          minisign_signature *signature, berth_error *error)
{
    uint8_t hash[MINISIGN_HASH_BYTES];
    examination e = {0};
    bool is_signed = false;
    berth_status status = plugin_file_hash(file, hash, NULL, error);

    if (status == BERTH_OK)
        status = plugin_file_signature(file, signature, &is_signed, error);
    if (status == BERTH_OK && !is_signed)
        return fail(error, BERTH_ERR_SIGNATURE,
                    "%s: there is no %s.minisig beside it: 'berth plugin sign' makes one", file,
                    file);
    if (status == BERTH_OK &&
        (status = policy_check_signature(policy, signature, hash, key, error)))
        fail_prefix(error, "%s", file);
    if (status == BERTH_OK && (status = policy_check_revoked(policy, hash, error)))
        fail_prefix(error, "%s", file);
    if (status == BERTH_OK)
        status = examine_file(file, FILE_MAX_BYTES, &e, error);
    if (status == BERTH_OK && !e.manifest)
        status = fail(error, BERTH_ERR_ADMISSION, "%s: is signed, but no plugin: %s", file,
                      e.manifest_error.code ? e.manifest_error.text : "it has no manifest");
    if (status == BERTH_OK && (status = policy_check_scope(*key, e.manifest, error)))
        fail_prefix(error, "%s", file);
    examination_free(&e);
    return status;
}

static void tell(const cli_invocation *inv, const char *file, const policy_key *key,
                 const minisign_signature *signature)
{
    struct json_object *object;
    char id[MINISIGN_ID_TEXT];

    assert(key);
    minisign_id_text(id, signature->id);
    if (!cli_flag(inv, "json")) {
        printf("%s: good signature by %s (key %s)\n", file, key->name, id);
        output_payload(stdout, true, slice_str(signature->trusted_comment));
        return;
    }
    object = json_object_new_object();
    json_put_string(object, "file", slice_str(file));
    json_put_bool(object, "verified", true);
    json_put_string(object, "key", slice_str(key->name));
    json_put_string(object, "key_id", slice_str(id));
    json_put_string(object, "trusted_comment", slice_str(signature->trusted_comment));
    output_json(object);
    json_object_put(object);
}

int cmd_plugin_verify(const cli_invocation *inv)
{
    const char *file = cli_argument_at(inv, 0);
    minisign_signature *signature = (minisign_signature *)calloc(1, sizeof *signature);
    const policy_key *key = NULL;
    plugin_policy *policy = NULL;
    berth_error error = {0};
    int code = EXIT_DONE;

    if (!signature)
        abort();
    if (cli_value(inv, "key"))
        policy_of_options(inv, &policy, &error);
    else
        policy_of_config(inv, &policy, &error);
    if (error.code == BERTH_OK && !policy)
        code = output_usage(inv, "no key is configured: name one with --key");
    else if (error.code != BERTH_OK || judge(file, policy, &key, signature, &error) != BERTH_OK)
        code = output_fail(&error);
    else
        tell(inv, file, key, signature);
    policy_unref(policy);
    free(signature);
    return code;
}
