/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peer_order.h"

#include "api/orders.h"
#include "base/error.h"

#include <string.h>

/* Element i of an array of strings, in an error that names it. */
static berth_status read_address(peer_order *order, struct json_object *list, size_t i,
                                 berth_error *error)
{
    berth_status status;

    if (order->address_count == RECORD_ADDRESSES_MAX)
        return fail(error, BERTH_ERR_INVALID, "address: there are at most %d",
                    RECORD_ADDRESSES_MAX);
    status =
        address_parse(json_string_at(list, i), &order->addresses[order->address_count++], error);
    return status ? (fail_prefix(error, "address[%zu]", i), status) : BERTH_OK;
}

berth_status peer_order_read(peer_order *order, slice body, berth_error *error)
{
    static const char *const members[] = {"name", "key", "entity", "address", "may", NULL};
    struct json_object *o, *addresses = NULL, *may = NULL;
    mesh_peer *p = &order->peer;
    berth_status status;

    memset(order, 0, sizeof *order);
    status = order_body(body, members, &o, error);
    if (!status)
        status = order_string(o, "name", JSON_REQUIRED, p->name, sizeof p->name, error);
    if (!status && certificate_name_check(slice_str(p->name), error))
        status = (fail_prefix(error, "name"), BERTH_ERR_INVALID);
    if (!status)
        status = json_get_hex(o, "", "key", JSON_REQUIRED, p->key, sizeof p->key, error);
    if (!status)
        status = json_get_hex(o, "", "entity", JSON_OPTIONAL, p->entity, sizeof p->entity, error);
    if (!status)
        status = json_get_strings(o, "", "address", JSON_OPTIONAL, &addresses, error);
    if (!status)
        status = json_get_strings(o, "", "may", JSON_OPTIONAL, &may, error);
    for (size_t i = 0; !status && addresses && i < json_object_array_length(addresses); i++)
        status = read_address(order, addresses, i, error);
    for (size_t i = 0; !status && may && i < json_object_array_length(may); i++)
        status = trust_grant_add(&p->may, json_string_at(may, i), error);
    p->has_key = true;
    p->has_entity = !status && json_object_object_get(o, "entity") != NULL;
    json_object_put(o);
    return status;
}
