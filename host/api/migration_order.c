/* SPDX-License-Identifier: Apache-2.0 */
#include "api/migration_order.h"

#include "api/orders.h"
#include "base/error.h"

#include <string.h>

#define RETRY_MS 30000 /* as long as a host takes to start */

static berth_status read_time(struct json_object *o, const char *key, uint64_t *out,
                              berth_error *error)
{
    berth_status status = json_get_u64(o, "", key, JSON_OPTIONAL, out, error);

    if (!status && *out > MIGRATION_MOST_MS)
        return fail(error, BERTH_ERR_INVALID, "%s: must be at most %llu, a day", key,
                    (unsigned long long)MIGRATION_MOST_MS);
    return status;
}

static berth_status read_where(struct json_object *o, migration_order *order, berth_error *error)
{
    bool any = false;
    berth_status status =
        order_string(o, "node", JSON_OPTIONAL, order->node, sizeof order->node, error);

    if (!status)
        status = json_get_bool(o, "", "auto", JSON_OPTIONAL, &any, error);
    if (!status)
        status =
            order_string(o, "source", JSON_OPTIONAL, order->source, sizeof order->source, error);
    if (!status && any && *order->node)
        status =
            fail(error, BERTH_ERR_INVALID, "node: '%s' and auto: keep one of them", order->node);
    if (!status && !any && !*order->node)
        status =
            fail(error, BERTH_ERR_INVALID, "node: is missing: say where to, or \"auto\": true");
    return status;
}

berth_status migration_order_read(migration_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"daemon",
                                          "node",
                                          "auto",
                                          "source",
                                          "deadline_ms",
                                          "max_hold_ms",
                                          "dry_run",
                                          "retry_not_ready_ms",
                                          "transport_identity",
                                          NULL};
    struct json_object *o;
    berth_status status;

    *order = (migration_order){.transport_identity = true, .retry_not_ready_ms = RETRY_MS};
    status = order_body(body, members, &o, error);
    if (!status)
        status =
            order_string(o, "daemon", JSON_REQUIRED, order->daemon, sizeof order->daemon, error);
    if (!status)
        status = read_where(o, order, error);
    if (!status)
        status = json_get_bool(o, "", "transport_identity", JSON_OPTIONAL,
                               &order->transport_identity, error);
    if (!status)
        status = json_get_bool(o, "", "dry_run", JSON_OPTIONAL, &order->dry_run, error);
    if (!status)
        status = read_time(o, "retry_not_ready_ms", &order->retry_not_ready_ms, error);
    if (!status)
        status = read_time(o, "deadline_ms", &order->deadline_ms, error);
    if (!status)
        status = read_time(o, "max_hold_ms", &order->max_hold_ms, error);
    json_object_put(o);
    return status;
}

berth_status resolve_order_read(resolve_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"dead", NULL};
    struct json_object *o;
    berth_status status = order_body(body, members, &o, error);

    if (!status)
        status = order_string(o, "dead", JSON_REQUIRED, order->dead, sizeof order->dead, error);
    json_object_put(o);
    return status;
}
