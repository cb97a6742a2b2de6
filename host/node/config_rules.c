/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in the file: add an option here, and a field in config.h. */
#include "node/config_parts.h"

#include <stddef.h>

static const char *const yes_no[] = {"yes", "no", NULL};
static const char *const unsigned_choices[] = {"refuse", "warn", NULL};
static const char *const isolation_choices[] = {"inline", "process", NULL};
static const char *const durability_choices[] = {"volatile", "snapshot", NULL};

#define KIB             (1ull << 10)
#define MIB             (1ull << 20)
#define GIB             (1ull << 30)
#define MS              1000000ull
#define AT(type, field) offsetof(type, field)

static const value_rule host_rules[] = {
    {.name = "name", .type = VALUE_NAME, .offset = AT(config, name)},
    {.name = "state", .type = VALUE_PATH, .offset = AT(config, state_dir)},
    {.name = "socket", .type = VALUE_PATH, .offset = AT(config, socket)},
    {.name = "threads",
     .type = VALUE_COUNT,
     .narrow = true,
     .offset = AT(config, limits.threads),
     .min = 1,
     .max = 1024},
    {.name = "key_file", .type = VALUE_PATH, .offset = AT(config, key_file)},
    {.name = NULL}};

static const value_rule plugins_rules[] = {
    {.name = "dir", .type = VALUE_PATH, .offset = AT(config, plugin_dir)},
    {.name = "keys", .type = VALUE_KEY, .list = true, .offset = AT(config, keys)},
    {.name = "unsigned",
     .type = VALUE_CHOICE,
     .offset = AT(config, unsigned_plugins),
     .choices = unsigned_choices},
    {.name = "libs", .type = VALUE_LIBRARY, .list = true, .offset = AT(config, libs)},
    {.name = "revoked", .type = VALUE_DIGEST, .list = true, .offset = AT(config, revoked)},
    {.name = NULL}};

#define LIMIT(option, kind, field, low, high)                                                      \
    {                                                                                              \
        .name = option, .type = kind, .offset = AT(config, limits.field), .min = (low),            \
        .max = (high)                                                                              \
    }
static const value_rule limits_rules[] = {
    LIMIT("max_event", VALUE_SIZE, max_event, 1, 16 * MIB),
    LIMIT("max_outputs", VALUE_COUNT, max_outputs, 1, 1 << 20),
    LIMIT("max_output_bytes", VALUE_SIZE, max_output_bytes, 1, 4 * GIB),
    LIMIT("max_state", VALUE_SIZE, max_state, 1, 4 * GIB - 1),
    LIMIT("mailbox_events", VALUE_COUNT, mailbox_events, 1, 1 << 24),
    LIMIT("mailbox_bytes", VALUE_SIZE, mailbox_bytes, 1, 64 * GIB),
    LIMIT("ring_outputs", VALUE_COUNT, ring_outputs, 1, 1 << 24),
    LIMIT("ring_bytes", VALUE_SIZE, ring_bytes, 1, 64 * GIB),
    LIMIT("ring_total_bytes", VALUE_SIZE, ring_total_bytes, 1, 1024 * GIB),
    LIMIT("call_budget", VALUE_TIME, call_budget_ns, MS / 10, 3600000 * MS),
    LIMIT("send_deadline", VALUE_TIME, send_deadline_ns, MS, 86400000 * MS),
    LIMIT("horizon_origins", VALUE_COUNT, horizon_origins, 1, 1 << 24),
    LIMIT("status_period", VALUE_TIME, status_period_ns, MS, 86400000 * MS),
    LIMIT("breaks_allowed", VALUE_COUNT, breaks_allowed, 1, 1 << 20),
    {.name = NULL}};

static const value_rule key_rules[] = {
    {.name = "key", .type = VALUE_KEY, .required = true, .offset = AT(config_key, key)},
    {.name = "names", .type = VALUE_PATTERN, .list = true, .offset = AT(config_key, names)},
    {.name = "kinds", .type = VALUE_PATTERN, .list = true, .offset = AT(config_key, kinds)},
    {.name = "isolation",
     .type = VALUE_CHOICE,
     .offset = AT(config_key, isolation),
     .choices = isolation_choices},
    {.name = "fetch", .type = VALUE_BOOL, .offset = AT(config_key, fetch), .choices = yes_no},
    {.name = NULL}};

static const value_rule plugin_rules[] = {{.name = "isolation",
                                           .type = VALUE_CHOICE,
                                           .offset = AT(config_plugin, isolation),
                                           .choices = isolation_choices},
                                          {.name = NULL}};

static const value_rule daemon_rules[] = {
    {.name = "kind", .type = VALUE_NAME, .required = true, .offset = AT(config_daemon, kind)},
    {.name = "config", .type = VALUE_TEXT, .offset = AT(config_daemon, config)},
    {.name = "config_file", .type = VALUE_PATH, .offset = AT(config_daemon, config_file)},
    {.name = "identity_file", .type = VALUE_PATH, .offset = AT(config_daemon, identity_file)},
    {.name = "auto_snapshot",
     .type = VALUE_COUNT,
     .offset = AT(config_daemon, auto_snapshot),
     .min = 0,
     .max = UINT32_MAX},
    {.name = "durability",
     .type = VALUE_CHOICE,
     .offset = AT(config_daemon, durability),
     .choices = durability_choices},
    {.name = NULL}};

const section_rule config_sections[CONFIG_SECTIONS] = {
    {"host", host_rules, 0, 0, 0, true},
    {"plugins", plugins_rules, 0, 0, 0, false},
    {"limits", limits_rules, 0, 0, 0, true},
    {"plugin-key", key_rules, sizeof(config_key), AT(config, scoped), AT(config, scoped_count),
     false},
    {"plugin", plugin_rules, sizeof(config_plugin), AT(config, plugins), AT(config, plugin_count),
     false},
    {"daemon", daemon_rules, sizeof(config_daemon), AT(config, daemons), AT(config, daemon_count),
     false},
};
