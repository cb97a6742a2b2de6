/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/identity.h"

#include "cli/commands.h"
#include "cli/input.h"
#include "cli/output.h"

#include "base/error.h"
#include "base/text.h"
#include "identity/keyfile.h"
#include "node/state.h"

#include <sodium.h>
#include <string.h>

int identity_of(const cli_invocation *inv, char seed[IDENTITY_SEED_TEXT])
{
    const char *path = cli_value(inv, "identity");
    berth_error error = {0};
    berth_keypair key;

    seed[0] = 0;
    if (!path)
        return EXIT_DONE;
    if (keyfile_read(path, &key, &error) != BERTH_OK)
        return output_fail(&error);
    hex_encode(seed, slice_of(key.seed, sizeof key.seed));
    berth_keypair_wipe(&key);
    return EXIT_DONE;
}

static void show(const cli_invocation *inv, const berth_keypair *key, const char *file, FILE *to)
{
    char entity[BERTH_ENTITY_TEXT], origin[ID_TEXT], node[ID_TEXT];
    struct json_object *object;
    tab t;

    berth_entity_text(entity, key->entity);
    id_encode(origin, key->origin);
    id_encode(node, key->node_id);
    if (cli_flag(inv, "json")) {
        object = json_object_new_object();
        json_put_string(object, "entity", slice_str(entity));
        json_put_string(object, "origin", slice_str(origin));
        json_put_string(object, "node", slice_str(node));
        if (file)
            json_put_string(object, "file", slice_str(file));
        output_json(object);
        json_object_put(object);
        return;
    }
    page_begin(&t);
    page_add(&t, STYLE_PLAIN, "entity", "%s", entity);
    page_add(&t, STYLE_PLAIN, "origin", "%s", origin);
    page_add(&t, STYLE_PLAIN, "node", "%s", node);
    if (file)
        page_add(&t, STYLE_PLAIN, "file", "%s", file);
    tab_end(&t, to, output_has_colours(to));
}

/* The secret itself to standard output, for a pipe. */
static int print_secret(const cli_invocation *inv, const berth_keypair *key)
{
    char text[KEYFILE_TEXT], seed[IDENTITY_SEED_TEXT], entity[BERTH_ENTITY_TEXT], origin[ID_TEXT];
    berth_error error = {0};
    size_t len = 0;

    if (cli_flag(inv, "json")) {
        printf("{\"entity\":\"%s\",\"origin\":\"%s\",\"seed\":\"%s\"}\n",
               berth_entity_text(entity, key->entity), id_encode(origin, key->origin),
               hex_encode(seed, slice_of(key->seed, sizeof key->seed)));
        sodium_memzero(seed, sizeof seed);
        return EXIT_DONE;
    }
    if (keyfile_format(text, &len, key, &error) != BERTH_OK)
        return output_fail(&error);
    fwrite(text, 1, len, stdout);
    sodium_memzero(text, sizeof text);
    return EXIT_DONE;
}

int cmd_identity_new(const cli_invocation *inv)
{
    const char *file = cli_value(inv, "output");
    berth_error error = {0};
    berth_keypair key;
    int code = EXIT_DONE;

    berth_keypair_generate(&key);
    if (!file || strcmp(file, "-") == 0)
        code = print_secret(inv, &key);
    else if (keyfile_write(file, &key, &error) != BERTH_OK)
        code = output_fail(&error);
    else
        show(inv, &key, file, stdout);
    berth_keypair_wipe(&key);
    return code;
}

/* From standard input there are no permissions to check. */
static berth_status read_secret(const char *file, berth_keypair *key, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    if (strcmp(file, "-") != 0)
        return keyfile_read(file, key, error);
    status = input_read(file, KEYFILE_MAX, &text, error);
    if (status)
        return status;
    status = keyfile_parse(slice_of(text->data, text->len), key, error);
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status;
}

int cmd_identity_show(const cli_invocation *inv)
{
    const char *file = cli_argument_at(inv, 0), *state = cli_value(inv, "state");
    uint8_t entity[BERTH_ENTITY_SIZE];
    berth_error error = {0};
    berth_keypair key;
    berth_status status;

    if (!file == !state)
        return output_usage(inv, "either an identity's file or --state");
    if (file) {
        status = read_secret(file, &key, &error);
        berth_keypair_wipe(&key);
    } else {
        status = state_entity(state, entity, &error);
        if (!status)
            berth_keypair_public(&key, entity);
    }
    if (status)
        return output_fail(&error);
    show(inv, &key, NULL, stdout);
    return EXIT_DONE;
}
