/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/channel.h"
#include "base/error.h"
#include "chain/link.h"

#include <string.h>

static bool allowed(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '_' || byte == '.' || byte == '/';
}

/* The rule that a name of allowed length breaks, or NULL. */
static const char *broken_rule(slice name)
{
    slice part = slice_of(name.ptr, 0);

    for (size_t i = 0; i < name.len; i++)
        if (!allowed(name.ptr[i]))
            return "only a-z, 0-9, '-', '_', '.' and '/' are allowed";
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.ptr[i] != '/') {
            part.len++;
            continue;
        }
        if (part.len == 0)
            return "'/' may stand between two parts only";
        if (slice_eq(part, slice_str(".")) || slice_eq(part, slice_str("..")))
            return "no part may be '.' or '..'";
        part = slice_of(name.ptr + i + 1, 0);
    }
    return NULL;
}

berth_status channel_name_check(slice name, berth_error *error)
{
    const char *rule;

    if (name.len > CHANNEL_NAME_MAX)
        return fail(error, BERTH_ERR_LIMIT, "channel name of %zu bytes: at most %d are allowed",
                    name.len, CHANNEL_NAME_MAX);
    if (!name.len)
        return fail(error, BERTH_ERR_INVALID, "channel name: is empty");
    rule = broken_rule(name);
    if (rule)
        return fail(error, BERTH_ERR_INVALID, "channel name '%.*s': %s", (int)name.len,
                    (const char *)name.ptr, rule);
    return BERTH_OK;
}

berth_status channel_subscription_parse(slice text, slice *channel, slice *group,
                                        berth_error *error)
{
    const uint8_t *at = text.len ? memchr(text.ptr, '@', text.len) : NULL;
    berth_status status;

    *channel = slice_of(text.ptr, at ? (size_t)(at - text.ptr) : text.len);
    *group = at ? slice_of(at + 1, text.len - channel->len - 1) : slice_of(NULL, 0);
    status = channel_name_check(*channel, error);
    if (!status && at && !group->len)
        status = fail(error, BERTH_ERR_INVALID,
                      "nothing follows the @: name a queue group, or leave it out");
    return status;
}

uint64_t channel_hash(slice name)
{
    return xxh3(name.ptr, name.len);
}
