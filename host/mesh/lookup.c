/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/lookup.h"

#include "base/error.h"
#include "mesh/record.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

static void take(const struct addrinfo *from, uint16_t port, address out[LOOKUP_MAX],
                 unsigned *count)
{
    address a = {.len = from->ai_addrlen};

    if (from->ai_addrlen > sizeof a.u)
        return;
    memcpy(&a.u, from->ai_addr, from->ai_addrlen);
    if (a.u.any.sa_family == AF_INET6)
        a.u.in6.sin6_port = htons(port);
    else if (a.u.any.sa_family == AF_INET)
        a.u.in.sin_port = htons(port);
    else
        return;
    for (unsigned i = 0; i < *count; i++)
        if (record_address_eq(&out[i], &a))
            return;
    if (*count < LOOKUP_MAX)
        out[(*count)++] = a;
}

berth_status address_lookup(const address_text *name, address out[LOOKUP_MAX], unsigned *count,
                            berth_error *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *list = NULL;
    int code;

    *count = 0;
    if (!name->is_name) {
        out[(*count)++] = name->numeric;
        return BERTH_OK;
    }
    code = getaddrinfo(name->host, NULL, &hints, &list);
    for (const struct addrinfo *at = code ? NULL : list; at; at = at->ai_next)
        take(at, name->port, out, count);
    if (!code)
        freeaddrinfo(list);
    if (*count)
        return BERTH_OK;
    return fail(error, BERTH_ERR_NOT_FOUND, "the address of '%s' cannot be found: %s", name->host,
                code == EAI_SYSTEM ? strerror(errno)
                : code             ? gai_strerror(code)
                                   : "it has none");
}
