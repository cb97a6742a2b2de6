/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the mesh: addresses, public keys, names of nodes, channels and services. */
#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "chain/channel.h"
#include "identity/certificate.h"
#include "mesh/address.h"
#include "mesh/capability_filter.h"
#include "mesh/channel_message.h"
#include "mesh/record.h"
#include "mesh/trust.h"
#include "node/config_parts.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* A service has the channels NAME.requests and NAME.replies.ORIGIN. */
#define SERVICE_SUFFIX 25
#define SERVICE_MAX    (CHANNEL_NAME_MAX - SERVICE_SUFFIX)

static bool is_multicast(const address *a)
{
    return a->u.any.sa_family == AF_INET ? ntohl(a->u.in.sin_addr.s_addr) >> 28 >= 0xe
                                         : IN6_IS_ADDR_MULTICAST(&a->u.in6.sin6_addr);
}

static const char *wrong_listen(const address_text *at)
{
    const struct in6_addr *ip = &at->numeric.u.in6.sin6_addr;

    if (at->is_name)
        return "must be numeric, such as 0.0.0.0:4700 or [::]:4700";
    if (is_multicast(&at->numeric))
        return "is no address that a machine has";
    if (at->numeric.u.any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(ip))
        return "is an address of one wire only";
    if (at->numeric.u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip))
        return "is an IPv4 address: write it as one";
    return NULL;
}

static const char *wrong_address(const value_rule *rule, const address_text *at)
{
    if (rule->type == VALUE_LISTEN)
        return wrong_listen(at);
    if (rule->type == VALUE_ADDRESS && at->is_name)
        return "must be numeric: it is told to others, who look nothing up";
    if (!at->port)
        return "needs a port above 0";
    if (!at->is_name && !record_address_ok(&at->numeric))
        return "is no address that others can send to";
    return NULL;
}

/* NULL: right. Texts lie in error or are static. */
static const char *wrong_host(const value_rule *rule, const char *text, berth_error *error)
{
    address_text at;

    if (address_parse(slice_str(text), &at, error) != BERTH_OK)
        return error->text;
    return wrong_address(rule, &at);
}

/* A point of low order gives the same secret to everybody. */
static const char *wrong_static(const char *text)
{
    static const uint8_t any[32] = {1};
    uint8_t key[32], secret[32];

    sodium_ready();
    if (!hex_decode(key, sizeof key, slice_str(text)))
        return "must be 64 hex digits: the node's static key";
    return crypto_scalarmult(secret, any, key) == 0 ? NULL : "is no key that can be used";
}

static const char *wrong_entity(const char *text)
{
    uint8_t key[32];

    sodium_ready();
    if (!hex_decode(key, sizeof key, slice_str(text)))
        return "must be 64 hex digits: the public key of an identity";
    return crypto_core_ed25519_is_valid_point(key) ? NULL : "is no public key of an identity";
}

static const char *wrong_subscription(const char *text, berth_error *error)
{
    slice channel, group;

    config_subscription(text, &channel, &group);
    if (channel_name_check(channel, error) != BERTH_OK)
        return error->text;
    if (strchr(text, '@') && !group.len)
        return "nothing follows the @: name a group, or leave it out";
    return group.len > CHANNEL_GROUP_MAX ? "the name of a group has at most 255 bytes" : NULL;
}

static const char *wrong_service(const char *text)
{
    return strlen(text) <= SERVICE_MAX && channel_name_check(slice_str(text), NULL) == BERTH_OK
               ? NULL
               : "must be 1 to 230 of a-z, 0-9, '-', '_', '.', and '/' between two parts";
}

static const char *wrong_filter(const char *text, berth_error *error)
{
    capability_filter filter;
    capability_scope scope;

    if (!text[strspn(text, " \t\r\n")])
        return "an empty filter says nothing: leave the option out";
    if (filter_parse(&filter, &scope, slice_str(text), error) != BERTH_OK)
        return error->text;
    return scope.kind == SCOPE_ANY ? NULL : "scope= says who is found, and nothing about a channel";
}

static bool grant_ok(const char *text, char *why, size_t cap)
{
    static const char *const words[] = {
#define GRANT_WORD(name, bit, word) word,
        TRUST_GRANTS(GRANT_WORD)
#undef GRANT_WORD
            NULL};

    return value_check(&(value_rule){.type = VALUE_CHOICE, .choices = words}, text, why, cap);
}

bool value_check_mesh(const value_rule *rule, const char *text, char *why, size_t why_cap)
{
    berth_error error = {0};
    const char *wrong = NULL;

    switch (rule->type) {
    case VALUE_LISTEN:
    case VALUE_ADDRESS:
    case VALUE_HOST:
        wrong = wrong_host(rule, text, &error);
        break;
    case VALUE_STATIC:
        wrong = wrong_static(text);
        break;
    case VALUE_ENTITY:
        wrong = wrong_entity(text);
        break;
    case VALUE_NODE:
        if (certificate_name_check(slice_str(text), NULL) != BERTH_OK)
            wrong = "must be 1 to 63 of a-z A-Z 0-9 - _ and ., beginning with a letter or digit";
        break;
    case VALUE_SUBSCRIBE:
        wrong = wrong_subscription(text, &error);
        break;
    case VALUE_SERVICE:
        wrong = wrong_service(text);
        break;
    case VALUE_FILTER:
        wrong = wrong_filter(text, &error);
        break;
    case VALUE_GRANTS:
        return grant_ok(text, why, why_cap);
    default:
        wrong = "has no rule";
        break;
    }
    if (wrong)
        snprintf(why, why_cap, "%s", wrong);
    return !wrong;
}

char *value_address(const char *text)
{
    address_text at;
    char *out = NULL;

    if (address_parse(slice_str(text), &at, NULL) != BERTH_OK)
        return NULL;
    return asprintf(&out, text[0] == '[' ? "[%s]:%u" : "%s:%u", at.host, at.port) < 0 ? NULL : out;
}

void config_subscription(const char *text, slice *channel, slice *group)
{
    const char *at = strchr(text, '@');

    *channel = at ? slice_of(text, (size_t)(at - text)) : slice_str(text);
    *group = at ? slice_str(at + 1) : slice_of(NULL, 0);
}

void config_accept(const config_daemon *d, char out[ACCEPT_TEXT_MAX + 1])
{
    size_t used = 0;

    out[0] = 0;
    for (size_t i = 0; i < d->accept.count && used < ACCEPT_TEXT_MAX; i++)
        used += (size_t)snprintf(out + used, ACCEPT_TEXT_MAX + 1 - used, "%s%s", i ? "," : "",
                                 d->accept.items[i]);
}
