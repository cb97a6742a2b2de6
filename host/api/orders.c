/* SPDX-License-Identifier: Apache-2.0 */
#include "api/orders.h"
#include "api/table.h"
#include "base/error.h"
#include "base/json.h"
#include "berth/abi.h"

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
    return status;
}

berth_status spawn_order_read(spawn_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"kind",          "name",     "config", "durability",
                                          "auto_snapshot", "identity", NULL};
    struct json_object *o;
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &o, error);
    if (!status)
        status = read_spawn(o, order, error);
    json_object_put(o);
    return status;
}

void spawn_order_fini(spawn_order *order)
{
    buf_unref(order->config);
    order->config = NULL;
    berth_keypair_wipe(&order->identity);
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
