/* SPDX-License-Identifier: Apache-2.0 */
#include "api/table.h"
#include "api/server.h"
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

static const char *const defer_param[] = {"defer", NULL};
static const char *const grace_param[] = {"grace_ms", NULL};
static const char *const restore_params[] = {"name", "kind", "accept", "takeover", NULL};
static const char *const events_params[] = {"framing", "reply", NULL};
static const char *const from_param[] = {"from", NULL};
static const char *const channel_param[] = {"channel", NULL};
static const char *const timeout_param[] = {"timeout_ms", NULL};
static const char *const service_params[] = {"deadline_ms", "node", NULL};
static const char *const wait_param[] = {"wait_ms", NULL};
static const char *const migration_param[] = {"migration", NULL};
static const char *const name_param[] = {"name", NULL};

const api_route api_routes[] = {
    {"GET", "/v1/health", BODY_NONE, NULL, NULL, health_get},
    {"GET", "/v1/status", BODY_NONE, NULL, NULL, status_get},
    {"GET", "/v1/metrics", BODY_NONE, NULL, NULL, metrics_get},
    {"POST", "/v1/reload", BODY_NONE, NULL, NULL, reload_post},
    {"GET", "/v1/plugins", BODY_NONE, NULL, NULL, plugins_list},
    {"POST", "/v1/plugins", BODY_JSON, NULL, NULL, plugins_post},
    {"GET", "/v1/plugins/{plugin}", BODY_NONE, NULL, NULL, plugins_get},
    {"DELETE", "/v1/plugins/{plugin}", BODY_NONE, defer_param, NULL, plugins_delete},
    {"GET", "/v1/daemons", BODY_NONE, NULL, NULL, daemons_list},
    {"POST", "/v1/daemons", BODY_JSON, NULL, NULL, daemons_post},
    {"GET", "/v1/daemons/{daemon}", BODY_NONE, NULL, NULL, daemons_get},
    {"DELETE", "/v1/daemons/{daemon}", BODY_NONE, grace_param, NULL, daemons_delete},
    {"POST", "/v1/daemons/{daemon}/snapshot", BODY_NONE, NULL, NULL, snapshot_post},
    {"POST", "/v1/restore", BODY_SNAPSHOT, restore_params, restore_begin, restore_post},
    {"POST", "/v1/daemons/{daemon}/control", BODY_JSON, NULL, NULL, control_post},
    {"POST", "/v1/daemons/{daemon}/events", BODY_STREAM, events_params, events_begin, events_end},
    {"DELETE", "/v1/daemons/{daemon}/sources/{source}", BODY_NONE, NULL, NULL, sources_delete},
    {"POST", "/v1/daemons/{daemon}/subscriptions", BODY_JSON, NULL, NULL, subscriptions_post},
    {"DELETE", "/v1/daemons/{daemon}/subscriptions", BODY_NONE, channel_param, NULL,
     subscriptions_delete},
    {"POST", "/v1/daemons/{daemon}/tokens", BODY_JSON, NULL, NULL, tokens_post},
    {"GET", "/v1/daemons/{daemon}/outputs", BODY_NONE, from_param, NULL, outputs_get},
    {"GET", "/v1/mesh", BODY_NONE, NULL, NULL, mesh_get},
    {"GET", "/v1/peers", BODY_NONE, NULL, NULL, peers_list},
    {"POST", "/v1/peers", BODY_JSON, NULL, NULL, peers_post},
    {"GET", "/v1/peers/{peer}", BODY_NONE, NULL, NULL, peers_get},
    {"DELETE", "/v1/peers/{peer}", BODY_NONE, NULL, NULL, peers_delete},
    {"POST", "/v1/peers/{peer}/ping", BODY_NONE, timeout_param, NULL, peers_ping_post},
    {"GET", "/v1/peers/{peer}/daemons/{name}", BODY_NONE, NULL, NULL, peers_daemon_get},
    {"GET", "/v1/services", BODY_NONE, NULL, NULL, services_list},
    {"POST", "/v1/services/{service}", BODY_EVENT, service_params, NULL, services_post},
    {"GET", "/v1/channels", BODY_NONE, NULL, NULL, channels_list},
    {"GET", "/v1/channels/messages", BODY_NONE, name_param, NULL, messages_get},
    {"POST", "/v1/channels/messages", BODY_EVENT, name_param, NULL, messages_post},
    {"GET", "/v1/migrations", BODY_NONE, NULL, NULL, moves_list},
    {"POST", "/v1/migrations", BODY_JSON, NULL, NULL, moves_post},
    {"GET", "/v1/migrations/events", BODY_NONE, migration_param, NULL, moves_events},
    {"GET", "/v1/migrations/{migration}", BODY_NONE, wait_param, NULL, moves_get},
    {"DELETE", "/v1/migrations/{migration}", BODY_NONE, NULL, NULL, moves_delete},
    {"POST", "/v1/migrations/{migration}/resolve", BODY_JSON, NULL, NULL, moves_resolve},
};
const unsigned api_route_count = sizeof api_routes / sizeof *api_routes;
_Static_assert(sizeof api_routes / sizeof *api_routes <= API_ROUTES_MAX,
               "a counter for each route");

static bool matches(const char *pattern, const target *t)
{
    for (unsigned i = 0; i < t->segment_count; i++) {
        size_t len;

        if (i >= TARGET_SEGMENTS || *pattern++ != '/')
            return false;
        len = strcspn(pattern, "/");
        if (*pattern != '{' &&
            (strlen(t->segments[i]) != len || memcmp(pattern, t->segments[i], len) != 0))
            return false;
        pattern += len;
    }
    return !*pattern && t->segment_count;
}

const api_route *route_find(const target *t, const char *method, bool *same_path)
{
    *same_path = false;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (unsigned i = 0; i < api_route_count; i++) {
        if (!matches(api_routes[i].pattern, t))
            continue;
        *same_path = true;
        if (strcmp(api_routes[i].method, method) == 0)
            return &api_routes[i];
    }
    return NULL;
}

void route_methods(const target *t, char *out, size_t cap)
{
    size_t len = 0;

    *out = '\0';
    for (unsigned i = 0; i < api_route_count && len < cap; i++)
        if (matches(api_routes[i].pattern, t))
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "",
                                    api_routes[i].method);
}

#define PATH_MAX_COMPARED 127

/* The path as text; what stands where the pattern has {x} becomes that {x}. */
static void join_path(char out[PATH_MAX_COMPARED + 1], const target *t, const char *pattern)
{
    size_t len = 0;

    for (unsigned i = 0; i < t->segment_count && i < TARGET_SEGMENTS; i++) {
        const char *part = t->segments[i];
        int part_len = (int)strnlen(part, PATH_MAX_COMPARED);

        pattern += *pattern == '/';
        if (*pattern == '{') {
            part = pattern;
            part_len = (int)strcspn(pattern, "/");
        }
        pattern += strcspn(pattern, "/");
        if (len < PATH_MAX_COMPARED)
            len +=
                (size_t)snprintf(out + len, PATH_MAX_COMPARED + 1 - len, "/%.*s", part_len, part);
    }
    out[len < PATH_MAX_COMPARED ? len : PATH_MAX_COMPARED] = '\0';
}

/* How many letters one would have to change to come from the path to the pattern. */
static unsigned path_distance(const char *pattern, const target *t)
{
    char path[PATH_MAX_COMPARED + 1];

    join_path(path, t, pattern);
    return typing_distance(path, pattern);
}

const char *route_nearest(const target *t)
{
    const char *best = api_routes[0].pattern;
    unsigned least = path_distance(best, t);

    for (unsigned i = 1; i < api_route_count; i++) {
        unsigned d = path_distance(api_routes[i].pattern, t);

        if (d < least) {
            least = d;
            best = api_routes[i].pattern;
        }
    }
    return best;
}

void names_join(const char *const *names, char *out, size_t cap)
{
    size_t len = 0;

    snprintf(out, cap, "none");
    for (; names && *names && len < cap; names++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", *names);
}
