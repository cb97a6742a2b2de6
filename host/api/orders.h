/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/orders.h: what the JSON bodies ask for. Pure.
 *
 * INVALID names the member and what would be right; LIMIT for what is too long. A member that is
 * not known is refused: a misspelt one must not be a silent default.
 */
#ifndef API_ORDERS_H
#define API_ORDERS_H

#include "base/buf.h"
#include "base/json.h"
#include "berth/runtime.h"
#include "daemon/accept.h"

#define ORDER_JSON_MAX   (512 * 1024) /* holds any legal configuration, escaped or in base64 */
#define ORDER_CONFIG_MAX (64 * 1024)

/* Start a daemon. */
typedef struct spawn_order {
    char kind[128], name[128]; /* name "": none given */
    char accept[ACCEPT_TEXT_MAX + 1];
    buf *config; /* one reference, or NULL */
    uint64_t auto_snapshot;
    uint32_t durability; /* as in berth_daemon_config */
    bool has_identity;
    berth_keypair identity;
    /* What it hears, serves and holds; strings of `lists`, bytes of the order's own. */
    const char **subscribe, **serve;
    berth_daemon_token *tokens;
    size_t subscribe_count, serve_count, token_count;
    struct json_object *lists;
} spawn_order;

/* spawn_order_fini after it, whatever it answered: frees, and wipes the identity. */
berth_status spawn_order_read(spawn_order *order, slice body, berth_error *error);
void spawn_order_fini(spawn_order *order);

/* Have a daemon hear a channel. */
typedef struct subscribe_order {
    char channel[256], group[256]; /* group "": all of it */
} subscribe_order;
berth_status subscribe_order_read(subscribe_order *order, slice body, berth_error *error);

/* Give a daemon a token: the chain's bytes, or the text of a file with one; free(*bytes). */
berth_status token_order_read(void **bytes, size_t *len, slice body, berth_error *error);

/* Give a daemon a control event. */
typedef struct control_order {
    int32_t control; /* BERTH_CONTROL_* */
    uint64_t operand;
} control_order;
berth_status control_order_read(control_order *order, slice body, berth_error *error);

/* Load a plugin. */
typedef struct load_order {
    char path[4096];
    bool allow_downgrade;
} load_order;
berth_status load_order_read(load_order *order, slice body, berth_error *error);

/* For each kind of order: the body as an object with no members but these; NULL when it is
 * something else. */
berth_status order_body(slice body, const char *const *members, struct json_object **out,
                        berth_error *error);
/* A string member without zero bytes that fits; "" when it is not there. */
berth_status order_string(struct json_object *o, const char *key, enum json_need need, char *out,
                          size_t cap, berth_error *error);

#endif
