/* SPDX-License-Identifier: Apache-2.0 */
/* Signing and making keys, as minisign does. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/password.h"
#include "cli/plugin_file.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "plugin/minisign.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The secret key in a file, unsealed. The caller wipes it. */
static berth_status read_key(const char *path, minisign_secret *key, berth_error *error)
{
    char password[PASSWORD_MAX] = "";
    size_t len = 0;
    buf *text = NULL;
    bool sealed = false;
    berth_status status = file_read(path, MINISIGN_FILE_MAX, FILE_PRIVATE, &text, error);

    if (status != BERTH_OK)
        return status;
    status = minisign_secret_sealed(slice_of(text->data, text->len), &sealed, error);
    if (status == BERTH_OK && sealed)
        status = password_ask("password of the key: ", password, &len, error);
    if (status == BERTH_OK)
        status = minisign_secret_parse(slice_of(text->data, text->len), slice_of(password, len),
                                       key, error);
    if (status != BERTH_OK)
        fail_prefix(error, "%s", path);
    minisign_wipe(password, sizeof password);
    minisign_wipe(text->data, text->len);
    buf_unref(text);
    return status;
}

static berth_status sign_file(const char *file, const minisign_secret *key, char *made, size_t cap,
                              berth_error *error)
{
    uint8_t hash[MINISIGN_HASH_BYTES];
    const char *slash = strrchr(file, '/');
    char comment[1024];
    buf *signature = NULL;
    berth_status status = plugin_file_hash(file, hash, NULL, error);

    if (status != BERTH_OK)
        return status;
    snprintf(comment, sizeof comment, "timestamp:%lld\tfile:%s\thashed",
             (long long)(clock_wall_ns() / 1000000000), slash ? slash + 1 : file);
    status = minisign_sign(key, hash, comment, &signature, error);
    if (status != BERTH_OK)
        return status;
    if ((size_t)snprintf(made, cap, "%s.minisig", file) >= cap)
        status = fail(error, BERTH_ERR_INVALID, "%s: the name is too long", file);
    else
        status = file_write(made, signature->data, signature->len, 0644, error);
    buf_unref(signature);
    return status;
}

int cmd_plugin_sign(const cli_invocation *inv)
{
    const char *file = cli_argument_at(inv, 0), *key_file = cli_value(inv, "key");
    struct json_object *object;
    minisign_secret key = {0};
    berth_error error = {0};
    char made[4096 + 16], id[MINISIGN_ID_TEXT];

    if (!key_file)
        return output_usage(inv, "--key KEYFILE is needed: 'berth plugin keygen' makes one");
    if (read_key(key_file, &key, &error) == BERTH_OK)
        sign_file(file, &key, made, sizeof made, &error);
    minisign_id_text(id, key.id);
    minisign_wipe(&key, sizeof key);
    if (error.code != BERTH_OK)
        return output_fail(&error);
    if (!cli_flag(inv, "json")) {
        printf("%s: signed by key %s\n", made, id);
        return EXIT_DONE;
    }
    object = json_object_new_object();
    json_put_string(object, "signature", slice_str(made));
    json_put_string(object, "key_id", slice_str(id));
    output_json(object);
    json_object_put(object);
    return EXIT_DONE;
}

/* ptr stays NULL for an empty one, which leaves the key as it is. */
static berth_status new_password(char password[PASSWORD_MAX], slice *out, berth_error *error)
{
    char again[PASSWORD_MAX] = "";
    size_t len = 0, len_again = 0;
    berth_status status =
        password_ask("password for the new key (empty: none): ", password, &len, error);

    *out = (slice){0};
    if (status != BERTH_OK || !len)
        return status;
    if (isatty(STDIN_FILENO)) {
        status = password_ask("the same once more: ", again, &len_again, error);
        if (status == BERTH_OK && (len != len_again || memcmp(password, again, len) != 0))
            status = fail(error, BERTH_ERR_INVALID, "the two passwords differ: nothing was made");
        minisign_wipe(again, sizeof again);
    }
    if (status == BERTH_OK)
        *out = slice_of(password, len);
    return status;
}

/* Both files or none. */
static berth_status write_pair(const char *dir, const minisign_secret *secret, slice password,
                               const minisign_public *public, berth_error *error)
{
    char secret_path[4096], public_path[4096];
    buf *secret_text = NULL, *public_text = NULL;
    berth_status status;

    if ((size_t)snprintf(secret_path, sizeof secret_path, "%s/berth.key", dir) >=
            sizeof secret_path ||
        (size_t)snprintf(public_path, sizeof public_path, "%s/berth.pub", dir) >=
            sizeof public_path)
        return fail(error, BERTH_ERR_INVALID, "%s: the name is too long", dir);
    status = minisign_secret_format(secret, password, &secret_text, error);
    if (status == BERTH_OK)
        status = minisign_public_format(public, &public_text, error);
    if (status == BERTH_OK)
        status = file_mkdirs(dir, error);
    if (status == BERTH_OK)
        status = file_write_new(secret_path, secret_text->data, secret_text->len, 0600, error);
    if (status == BERTH_OK) {
        status = file_write_new(public_path, public_text->data, public_text->len, 0644, error);
        if (status != BERTH_OK)
            unlink(secret_path);
    }
    if (secret_text)
        minisign_wipe(secret_text->data, secret_text->len);
    buf_unref(secret_text);
    buf_unref(public_text);
    return status;
}

int cmd_plugin_keygen(const cli_invocation *inv)
{
    const char *dir = cli_value(inv, "output") ? cli_value(inv, "output") : ".";
    char password[PASSWORD_MAX] = "", line[MINISIGN_PUBLIC_LINE], id[MINISIGN_ID_TEXT];
    struct json_object *object;
    minisign_secret secret;
    minisign_public public;
    berth_error error = {0};
    slice chosen;

    minisign_keygen(&secret, &public);
    if (new_password(password, &chosen, &error) == BERTH_OK)
        write_pair(dir, &secret, chosen, &public, &error);
    minisign_wipe(&secret, sizeof secret);
    minisign_wipe(password, sizeof password);
    if (error.code != BERTH_OK)
        return output_fail(&error);
    minisign_public_line(line, &public);
    minisign_id_text(id, public.id);
    if (cli_flag(inv, "json")) {
        object = json_object_new_object();
        json_put_string(object, "directory", slice_str(dir));
        json_put_string(object, "key_id", slice_str(id));
        json_put_string(object, "public_key", slice_str(line));
        json_put_bool(object, "encrypted", chosen.ptr != NULL);
        output_json(object);
        json_object_put(object);
        return EXIT_DONE;
    }
    printf("%s/berth.key: the secret key %s%s\n", dir, id,
           chosen.ptr ? "" : ", not encrypted: whoever reads it can sign");
    printf("%s/berth.pub: the public key, for the hosts' configuration:\n", dir);
    printf("    plugins {\n        keys = {\"%s\"}\n    }\n", line);
    return EXIT_DONE;
}
