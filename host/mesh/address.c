/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/address.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63

static berth_status wrong(const char *what, berth_error *error)
{
    return fail(error, BERTH_ERR_INVALID, "%s", what);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 1 to 5 digits, at most 65535. */
static bool port_read(slice text, uint16_t *out)
{
    unsigned n = 0;

    if (text.len < 1 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit((char)text.ptr[i]))
            return false;
        n = n * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = (uint16_t)n;
    return n <= UINT16_MAX;
}

/* Parts of 1 to 63 between the dots; the last one is no number, as that would be an IPv4 address
 * gone wrong. */
static bool name_ok(const char *host)
{
    size_t part = 0;
    bool number = true;

    for (; *host; host++) {
        if (*host == '.') {
            if (!part)
                return false;
            part = 0;
            number = true;
            continue;
        }
        if (!((*host >= 'a' && *host <= 'z') || (*host >= 'A' && *host <= 'Z') || is_digit(*host) ||
              *host == '-' || *host == '_') ||
            ++part > LABEL_MAX)
            return false;
        number = number && is_digit(*host);
    }
    return part && !number;
}

static bool is_v4(const char *host, address *out)
{
    *out = (address){.len = sizeof out->u.in};
    out->u.in.sin_family = AF_INET;
    return inet_pton(AF_INET, host, &out->u.in.sin_addr) == 1;
}

static bool is_v6(const char *host, address *out)
{
    *out = (address){.len = sizeof out->u.in6};
    out->u.in6.sin6_family = AF_INET6;
    return inet_pton(AF_INET6, host, &out->u.in6.sin6_addr) == 1;
}

/* Host and what follows it, the colon included or nothing. */
static berth_status split(slice text, bool bracket, slice *host, slice *rest, berth_error *error)
{
    const uint8_t *end = text.len ? memchr(text.ptr, bracket ? ']' : ':', text.len) : NULL;
    size_t len;

    if (bracket && !end)
        return wrong("the ] behind the IPv6 address is missing", error);
    len = end ? (size_t)(end - text.ptr) : text.len;
    *host = slice_of(text.ptr + bracket, len - bracket);
    *rest = slice_of(text.ptr + len + bracket, text.len - len - bracket);
    if (!bracket && rest->len && memchr(rest->ptr + 1, ':', rest->len - 1))
        return wrong("an IPv6 address needs brackets: [::1]:4700", error);
    return BERTH_OK;
}

berth_status address_parse(slice text, address_text *out, berth_error *error)
{
    bool bracket = text.len && text.ptr[0] == '[';
    slice host = {0}, rest = {0};
    berth_status status;

    *out = (address_text){.port = ADDRESS_PORT};
    status = split(text, bracket, &host, &rest, error);
    if (status != BERTH_OK)
        return status;
    if (!host.len)
        return wrong("must be HOST:PORT, [IPV6]:PORT, or either without the port", error);
    if (host.len > ADDRESS_HOST_MAX || memchr(host.ptr, 0, host.len))
        return wrong("is too long for the name of a machine", error);
    memcpy(out->host, host.ptr, host.len);
    if (rest.len &&
        (rest.ptr[0] != ':' || !port_read(slice_of(rest.ptr + 1, rest.len - 1), &out->port)))
        return wrong("the port must be a number up to 65535, behind a colon", error);
    if (bracket ? !is_v6(out->host, &out->numeric) : !is_v4(out->host, &out->numeric)) {
        out->numeric = (address){0};
        if (bracket)
            return wrong("what stands in brackets is no IPv6 address (and may have no %zone)",
                         error);
        if (!name_ok(out->host))
            return wrong("is neither an IPv4 address nor the name of a machine", error);
        out->is_name = true;
    } else if (bracket) {
        out->numeric.u.in6.sin6_port = htons(out->port);
    } else {
        out->numeric.u.in.sin_port = htons(out->port);
    }
    return BERTH_OK;
}

char *address_format(char out[ADDRESS_TEXT], const address *a)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (a->u.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->u.in6.sin6_addr, ip, sizeof ip);
        snprintf(out, ADDRESS_TEXT, "[%s]:%u", ip, ntohs(a->u.in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->u.in.sin_addr, ip, sizeof ip);
        snprintf(out, ADDRESS_TEXT, "%s:%u", ip, ntohs(a->u.in.sin_port));
    }
    return out;
}
