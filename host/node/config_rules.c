/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in the file: add an option here, and a field in config.h. */
#include "mesh/record.h"
#include "migrate/migrations.h"
#include "node/config_parts.h"

#include <stddef.h>

static const char *const yes_no[] = {"yes", "no", NULL};
static const char *const unsigned_choices[] = {"refuse", "warn", NULL};
static const char *const isolation_choices[] = {"inline", "process", NULL};
static const char *const durability_choices[] = {"volatile", "snapshot", NULL};
static const char *const senders_choices[] = {"realm", "peers", "none", NULL};

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
    {.name = "subscribe",
     .type = VALUE_SUBSCRIBE,
     .list = true,
     .most = 256,
     .offset = AT(config_daemon, subscribe)},
    {.name = "tokens",
     .type = VALUE_PATH,
     .list = true,
     .most = 64,
     .offset = AT(config_daemon, tokens)},
    {.name = "serve",
     .type = VALUE_SERVICE,
     .list = true,
     .most = 64,
     .offset = AT(config_daemon, serve)},
    {.name = "accept",
     .type = VALUE_NODE,
     .list = true,
     .most = ACCEPT_NAMES_MAX,
     .offset = AT(config_daemon, accept)},
    {.name = NULL}};

#define SECOND (1000 * MS)
static const value_rule mesh_rules[] = {
    {.name = "listen",
     .type = VALUE_LISTEN,
     .list = true,
     .most = RECORD_ADDRESSES_MAX,
     .offset = AT(config, mesh.listen)},
    {.name = "advertise",
     .type = VALUE_ADDRESS,
     .list = true,
     .most = RECORD_ADDRESSES_MAX,
     .offset = AT(config, mesh.advertise)},
    {.name = "psk_file", .type = VALUE_PATH, .offset = AT(config, mesh.psk_file)},
    {.name = "revoked_tokens",
     .type = VALUE_PATH,
     .live = true,
     .offset = AT(config, mesh.revoked_tokens)},
    {.name = "heartbeat",
     .type = VALUE_TIME,
     .offset = AT(config, mesh.heartbeat_ns),
     .min = 10 * MS,
     .max = 3600 * SECOND},
    {.name = "timeout",
     .type = VALUE_TIME,
     .offset = AT(config, mesh.timeout_ns),
     .min = 20 * MS,
     .max = 86400 * SECOND},
    {.name = "max_peers",
     .type = VALUE_COUNT,
     .narrow = true,
     .offset = AT(config, mesh.max_peers),
     .min = 1,
     .max = 16384},
    {.name = "max_packet",
     .type = VALUE_SIZE,
     .narrow = true,
     .offset = AT(config, mesh.max_packet),
     .min = 1200,
     .max = 65000},
    {.name = "discover_mtu",
     .type = VALUE_CHOICE,
     .offset = AT(config, mesh.discover_mtu),
     .choices = yes_no},
    {.name = "max_message",
     .type = VALUE_SIZE,
     .offset = AT(config, mesh.max_message),
     .min = 64 * KIB,
     .max = 4 * GIB - 1},
    {.name = "allow_send",
     .type = VALUE_CHOICE,
     .offset = AT(config, mesh.allow_send),
     .choices = senders_choices},
    {.name = "impair", .type = VALUE_TEXT, .offset = AT(config, mesh.impair)},
    {.name = NULL}};

/* All but max_bytes a reload takes; the most of each is what migrations_set_policy takes. */
static const value_rule moving[] = {{.name = "accept",
                                     .type = VALUE_PATTERN,
                                     .list = true,
                                     .live = true,
                                     .most = MIGRATIONS_KIND_PATTERNS,
                                     .offset = AT(config, migration.accept)},
                                    {.name = "operators",
                                     .type = VALUE_ENTITY,
                                     .list = true,
                                     .live = true,
                                     .most = MIGRATIONS_OPERATORS,
                                     .offset = AT(config, migration.operators)},
                                    {.name = "expected_only",
                                     .type = VALUE_BOOL,
                                     .live = true,
                                     .offset = AT(config, migration.expected_only),
                                     .choices = yes_no},
                                    {.name = "fetch",
                                     .type = VALUE_BOOL,
                                     .live = true,
                                     .offset = AT(config, migration.fetch),
                                     .choices = yes_no},
                                    {.name = "precopy_from",
                                     .type = VALUE_SIZE,
                                     .live = true,
                                     .offset = AT(config, migration.precopy_from),
                                     .min = 1,
                                     .max = 1024 * GIB},
                                    {.name = "max_bytes",
                                     .type = VALUE_SIZE,
                                     .offset = AT(config, migration.max_bytes),
                                     .min = MIB,
                                     .max = 1024 * GIB},
                                    {.name = NULL}};

static const value_rule peer_rules[] = {
    {.name = "key", .type = VALUE_STATIC, .offset = AT(config_peer, key)},
    {.name = "entity", .type = VALUE_ENTITY, .offset = AT(config_peer, entity)},
    {.name = "address",
     .type = VALUE_HOST,
     .list = true,
     .most = RECORD_ADDRESSES_MAX,
     .offset = AT(config_peer, addresses)},
    {.name = "may", .type = VALUE_GRANTS, .list = true, .offset = AT(config_peer, may)},
    {.name = NULL}};

static const value_rule realm_rules[] = {
    {.name = "key", .type = VALUE_ENTITY, .required = true, .offset = AT(config_realm, key)},
    {.name = "certificate", .type = VALUE_PATH, .offset = AT(config_realm, certificate)},
    {.name = "revocations", .type = VALUE_PATH, .offset = AT(config_realm, revocations)},
    {.name = NULL}};

static const value_rule channel_options[] = {
    {.name = "prefix", .type = VALUE_BOOL, .offset = AT(config_channel, prefix), .choices = yes_no},
    {.name = "require_token",
     .type = VALUE_BOOL,
     .offset = AT(config_channel, require_token),
     .choices = yes_no},
    {.name = "roots", .type = VALUE_ENTITY, .list = true, .offset = AT(config_channel, roots)},
    {.name = "publish", .type = VALUE_FILTER, .offset = AT(config_channel, publish)},
    {.name = "subscribe", .type = VALUE_FILTER, .offset = AT(config_channel, subscribe)},
    {.name = NULL}};

#define TITLED(word, table, type, as, field, counted, where)                                       \
    {                                                                                              \
        .name = word, .rules = table, .title = as, .item = sizeof(type),                           \
        .items = AT(config, field), .count = AT(config, counted), .line = where                    \
    }
const section_rule config_sections[CONFIG_SECTIONS] = {
    {.name = "host", .rules = host_rules, .at_start = true},
    {.name = "mesh", .rules = mesh_rules, .at_start = true, .line = AT(config, mesh.line)},
    {.name = "migration", .rules = moving, .at_start = true, .line = AT(config, migration.line)},
    {.name = "plugins", .rules = plugins_rules},
    {.name = "limits", .rules = limits_rules, .at_start = true},
    TITLED("plugin-key", key_rules, config_key, VALUE_NAME, scoped, scoped_count,
           AT(config_key, line)),
    TITLED("plugin", plugin_rules, config_plugin, VALUE_NAME, plugins, plugin_count, 0),
    TITLED("daemon", daemon_rules, config_daemon, VALUE_NAME, daemons, daemon_count,
           AT(config_daemon, line)),
    TITLED("peer", peer_rules, config_peer, VALUE_NODE, peers, peer_count, AT(config_peer, line)),
    TITLED("realm", realm_rules, config_realm, VALUE_NAME, realms, realm_count,
           AT(config_realm, line)),
    /* What a channel may be called depends on what else the section says: config_check.c. */
    TITLED("channel", channel_options, config_channel, VALUE_TEXT, channels, channel_count,
           AT(config_channel, line)),
};
