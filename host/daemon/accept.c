/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/accept.h"

#include "base/error.h"
#include "identity/certificate.h"

#include <string.h>

/* The next name of the list; false: there was none left. */
static bool next_name(slice *rest, slice *name)
{
    const char *comma;

    if (!rest->ptr)
        return false;
    comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
    *name = *rest;
    if (!comma) {
        *rest = (slice){0};
        return true;
    }
    name->len = (size_t)(comma - (const char *)rest->ptr);
    *rest = slice_of(comma + 1, rest->len - name->len - 1);
    return true;
}

static bool is_word(slice name)
{
    return slice_eq(name, slice_str("realm")) || slice_eq(name, slice_str("peers")) ||
           slice_eq(name, slice_str("none"));
}

berth_status accept_check(slice text, berth_error *error)
{
    slice rest = text, name;
    unsigned count = 0;
    berth_status status = BERTH_OK;

    if (!text.len)
        return fail(error, BERTH_ERR_INVALID,
                    "accept: must be realm, peers, none, or names of peers with commas between");
    while (status == BERTH_OK && next_name(&rest, &name)) {
        if (is_word(name) && name.len != text.len)
            return fail(error, BERTH_ERR_INVALID,
                        "accept: '%.*s' says it all: leave the other names out, or it",
                        (int)name.len, (const char *)name.ptr);
        if (++count > ACCEPT_NAMES_MAX)
            return fail(error, BERTH_ERR_LIMIT,
                        "accept: at most %d peers can be named; 'peers' is "
                        "all that have a section",
                        ACCEPT_NAMES_MAX);
        status = certificate_name_check(name, error);
    }
    if (status != BERTH_OK)
        fail_prefix(error, "accept '%.*s'", (int)(text.len < 300 ? text.len : 300),
                    (const char *)text.ptr);
    return status;
}

bool accept_takes(slice text, const char *peer, bool named)
{
    slice rest = text, name;

    if (!text.len || slice_eq(text, slice_str("realm")))
        return true;
    if (slice_eq(text, slice_str("peers")))
        return named;
    if (slice_eq(text, slice_str("none")) || !peer[0])
        return false;
    while (next_name(&rest, &name))
        if (slice_eq(name, slice_str(peer)))
            return true;
    return false;
}
