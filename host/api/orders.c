/* SPDX-License-Identifier: Apache-2.0 */
#include "api/orders.h"
#include "api/table.h"
#include "base/error.h"
#include "base/json.h"
#include "berth/abi.h"
#include "identity/token_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

berth_status order_body(slice body, const char *const *members, struct json_object **out,
                        berth_error *error)
{
    const char *unknown;
    char names[256];
    berth_status status = json_parse(body, ORDER_JSON_MAX, out, error);

    if (!status && !json_object_is_type(*out, json_type_object))
        status = fail(error, BERTH_ERR_INVALID, "body: must be an object");
    if (!status && (unknown = json_unknown_key(*out, members))) {
        names_join(members, names, sizeof names);
        status = fail(error, BERTH_ERR_INVALID, "body: '%.64s' is no member of it; there is %s",
                      unknown, names);
    }
    if (status) {
        json_object_put(*out);
        *out = NULL;
    }
    return status;
}

berth_status order_string(struct json_object *o, const char *key, enum json_need need, char *out,
                          size_t cap, berth_error *error)
{
    slice value = {0};
    berth_status status = json_get_string(o, "", key, need, &value, error);

    *out = '\0';
    if (status || !value.ptr)
        return status;
    if (!value.len)
        return fail(error, BERTH_ERR_INVALID, "%s: must not be empty; leave it out", key);
    if (value.len >= cap)
        return fail(error, BERTH_ERR_INVALID, "%s: has at most %zu bytes", key, cap - 1);
    if (memchr(value.ptr, 0, value.len))
        return fail(error, BERTH_ERR_INVALID, "%s: must not contain a zero byte", key);
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return BERTH_OK;
}

static berth_status read_durability(struct json_object *o, uint32_t *out, berth_error *error)
{
    char text[32];
    berth_status status = order_string(o, "durability", JSON_OPTIONAL, text, sizeof text, error);

    if (status || !*text)
        return status;
    if (strcmp(text, "volatile") == 0)
        *out = 1;
    else if (strcmp(text, "snapshot") == 0)
        *out = 2;
    else
        return fail(error, BERTH_ERR_INVALID, "durability: must be volatile or snapshot, not '%s'",
                    text);
    return BERTH_OK;
}

static berth_status read_config(struct json_object *o, buf **out, berth_error *error)
{
    static const char *const forms[] = {"text", "base64", NULL};
    struct json_object *config = NULL;
    berth_status status = json_get_object(o, "", "config", JSON_OPTIONAL, &config, error);

    if (status || !config)
        return status;
    if (json_unknown_key(config, forms))
        return fail(error, BERTH_ERR_INVALID,
                    "config: '%.64s' is no member of it; there is text, base64",
                    json_unknown_key(config, forms));
    status = json_get_bytes(config, "config", JSON_REQUIRED, out, error);
    if (!status && (*out)->len > ORDER_CONFIG_MAX)
        return fail(error, BERTH_ERR_LIMIT, "config: %zu bytes, and the most is %d", (*out)->len,
                    ORDER_CONFIG_MAX);
    return status;
}

static berth_status read_identity(struct json_object *o, spawn_order *order, berth_error *error)
{
    static const char *const members[] = {"seed", NULL};
    struct json_object *identity = NULL;
    uint8_t seed[BERTH_SEED_SIZE];
    berth_status status = json_get_object(o, "", "identity", JSON_OPTIONAL, &identity, error);

    if (status || !identity)
        return status;
    if (json_unknown_key(identity, members))
        return fail(error, BERTH_ERR_INVALID, "identity: '%.64s' is no member of it; there is seed",
                    json_unknown_key(identity, members));
    status = json_get_hex(identity, "identity", "seed", JSON_REQUIRED, seed, sizeof seed, error);
    if (!status) {
        berth_keypair_from_seed(&order->identity, seed);
        order->has_identity = true;
    }
    explicit_bzero(seed, sizeof seed);
    return status;
}

/* An array of strings without zero bytes. */
static berth_status read_strings(struct json_object *o, const char *key, const char ***out,
                                 size_t *count, berth_error *error)
{
    struct json_object *list = NULL;
    berth_status status = json_get_strings(o, "", key, JSON_OPTIONAL, &list, error);
    size_t n;

    if (status || !list)
        return status;
    n = json_object_array_length(list);
    *out = calloc(n + 1, sizeof **out);
    if (!*out)
        return fail(error, BERTH_ERR_NO_MEMORY, "body: out of memory");
    for (size_t i = 0; i < n; i++) {
        slice text = json_string_at(list, i);

        if (memchr(text.ptr, 0, text.len))
            return fail(error, BERTH_ERR_INVALID, "%s[%zu]: must not contain a zero byte", key, i);
        (*out)[(*count)++] = (const char *)text.ptr;
    }
    return BERTH_OK;
}

/* The object's "text" or "base64": a chain of tokens, or what a file with one has. */
static berth_status read_chain(struct json_object *o, const char *path, void **bytes, uint64_t *len,
                               berth_error *error)
{
    berth_token_chain tokens;
    token_file file;
    buf *said = NULL;
    berth_status status = json_get_bytes(o, path, JSON_REQUIRED, &said, error);

    if (status)
        return status;
    if (berth_token_chain_decode(&tokens, said->data, said->len, NULL, NULL) != BERTH_OK) {
        status = token_file_parse(slice_of(said->data, said->len), &file, error);
        tokens = file.chain;
    }
    buf_unref(said);
    if (status)
        return status;
    *bytes = malloc(BERTH_TOKEN_CHAIN_SIZE);
    if (!*bytes)
        return fail(error, BERTH_ERR_NO_MEMORY, "body: out of memory");
    *len = berth_token_chain_encode(*bytes, &tokens);
    return BERTH_OK;
}

static berth_status read_token(struct json_object *o, size_t i, berth_daemon_token *out,
                               berth_error *error)
{
    static const char *const members[] = {"text", "base64", "name", NULL};
    char path[32];
    slice name = {0};
    berth_status status;

    snprintf(path, sizeof path, "tokens[%zu]", i);
    if (!json_object_is_type(o, json_type_object))
        return fail(error, BERTH_ERR_INVALID, "%s: must be an object with text or base64", path);
    if (json_unknown_key(o, members))
        return fail(error, BERTH_ERR_INVALID,
                    "%s: '%.64s' is no member of it; there is text, base64, name", path,
                    json_unknown_key(o, members));
    status = json_get_string(o, path, "name", JSON_OPTIONAL, &name, error);
    if (status)
        return status;
    out->name = name.ptr ? strndup((const char *)name.ptr, 256) : strdup(path);
    status = out->name ? read_chain(o, path, (void **)&out->bytes, &out->len, error)
                       : fail(error, BERTH_ERR_NO_MEMORY, "body: out of memory");
    if (status && name.ptr)
        fail_prefix(error, "%s", out->name);
    return status;
}

static berth_status read_tokens(struct json_object *o, spawn_order *order, berth_error *error)
{
    struct json_object *list = NULL;
    berth_status status = json_get_array(o, "", "tokens", JSON_OPTIONAL, &list, error);
    size_t n = list ? json_object_array_length(list) : 0;

    if (status || !list)
        return status;
    order->tokens = calloc(n + 1, sizeof *order->tokens);
    if (!order->tokens)
        return fail(error, BERTH_ERR_NO_MEMORY, "body: out of memory");
    for (size_t i = 0; i < n && !status; i++)
        status = read_token(json_object_array_get_idx(list, i), i,
                            &order->tokens[order->token_count++], error);
    return status;
}

static berth_status read_spawn(struct json_object *o, spawn_order *order, berth_error *error)
{
    berth_status status =
        order_string(o, "kind", JSON_REQUIRED, order->kind, sizeof order->kind, error);

    if (!status)
        status = order_string(o, "name", JSON_OPTIONAL, order->name, sizeof order->name, error);
    if (!status)
        status = read_durability(o, &order->durability, error);
    if (!status)
        status = json_get_u64(o, "", "auto_snapshot", JSON_OPTIONAL, &order->auto_snapshot, error);
    if (!status)
        status = read_config(o, &order->config, error);
    if (!status)
        status = read_identity(o, order, error);
    if (!status)
        status = read_strings(o, "subscribe", &order->subscribe, &order->subscribe_count, error);
    if (!status)
        status = read_strings(o, "serve", &order->serve, &order->serve_count, error);
    if (!status)
        status = read_tokens(o, order, error);
    if (!status)
        status =
            order_string(o, "accept", JSON_OPTIONAL, order->accept, sizeof order->accept, error);
    return status;
}

berth_status spawn_order_read(spawn_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"kind",          "name",     "config",    "durability",
                                          "auto_snapshot", "identity", "subscribe", "serve",
                                          "tokens",        "accept",   NULL};
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &order->lists, error);
    return status ? status : read_spawn(order->lists, order, error);
}

void spawn_order_fini(spawn_order *order)
{
    buf_unref(order->config);
    for (size_t i = 0; i < order->token_count; i++) {
        free((void *)order->tokens[i].bytes);
        free((void *)order->tokens[i].name);
    }
    free(order->tokens);
    free(order->subscribe);
    free(order->serve);
    json_object_put(order->lists);
    berth_keypair_wipe(&order->identity);
    memset(order, 0, sizeof *order);
}

static const char *const controls[] = {
    [0] = "",
    [BERTH_CONTROL_SHUTDOWN] = "shutdown",
    [BERTH_CONTROL_DRAIN_START] = "drain-start",
    [BERTH_CONTROL_DRAIN_FINISH] = "drain-finish",
    [BERTH_CONTROL_BACKPRESSURE_ON] = "backpressure-on",
    [BERTH_CONTROL_BACKPRESSURE_OFF] = "backpressure-off",
    NULL,
};

berth_status control_order_read(control_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"control", "operand", NULL};
    struct json_object *o;
    char name[64], names[256];
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &o, error);
    if (!status)
        status = order_string(o, "control", JSON_REQUIRED, name, sizeof name, error);
    if (!status)
        status = json_get_u64(o, "", "operand", JSON_OPTIONAL, &order->operand, error);
    for (int32_t i = 1; !status && controls[i]; i++)
        if (strcmp(name, controls[i]) == 0)
            order->control = i;
    if (!status && !order->control) {
        names_join(controls + 1, names, sizeof names);
        status = fail(error, BERTH_ERR_INVALID, "control: '%s' is none; there is %s", name, names);
    }
    json_object_put(o);
    return status;
}

berth_status subscribe_order_read(subscribe_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"channel", "group", NULL};
    struct json_object *o;
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &o, error);
    if (!status)
        status =
            order_string(o, "channel", JSON_REQUIRED, order->channel, sizeof order->channel, error);
    if (!status)
        status = order_string(o, "group", JSON_OPTIONAL, order->group, sizeof order->group, error);
    json_object_put(o);
    return status;
}

berth_status token_order_read(void **bytes, size_t *len, slice body, berth_error *error)
{
    static const char *const members[] = {"text", "base64", NULL};
    struct json_object *o;
    uint64_t n = 0;
    berth_status status = order_body(body, members, &o, error);

    *bytes = NULL;
    if (!status)
        status = read_chain(o, "", bytes, &n, error);
    *len = n;
    json_object_put(o);
    return status;
}

berth_status load_order_read(load_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"path", "allow_downgrade", NULL};
    struct json_object *o;
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &o, error);
    if (!status)
        status = order_string(o, "path", JSON_REQUIRED, order->path, sizeof order->path, error);
    if (!status)
        status =
            json_get_bool(o, "", "allow_downgrade", JSON_OPTIONAL, &order->allow_downgrade, error);
    if (!status && *order->path != '/')
        status = fail(error, BERTH_ERR_INVALID,
                      "path: must be absolute; the host has a working directory of its own");
    json_object_put(o);
    return status;
}
