/* SPDX-License-Identifier: Apache-2.0 */
#include "api/source.h"
#include "base/error.h"

#include <string.h>

static bool id_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool id_valid(const char *id, size_t len)
{
    if (len < 1 || len > SOURCE_ID_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!id_byte(id[i]))
            return false;
    return true;
}

bool source_id_valid(const char *id)
{
    return id_valid(id, strlen(id));
}

bool decimal_parse(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (!*text || (*text == '0' && text[1]))
        return false;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || value > (max - digit) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

berth_status source_parse(const char *text, char id[SOURCE_ID_MAX + 1], uint64_t *seq,
                          berth_error *error)
{
    const char *slash = strchr(text, '/');
    uint64_t value = 0;

    if (!slash || !id_valid(text, (size_t)(slash - text)))
        return fail(error, BERTH_ERR_INVALID,
                    "Berth-Source: must be id/number, the id 1 to %d of A-Z a-z 0-9 . _ -",
                    SOURCE_ID_MAX);
    if (!decimal_parse(slash + 1, UINT64_MAX, &value) || !value)
        return fail(error, BERTH_ERR_INVALID,
                    "Berth-Source: after '/' must stand the number of the first event, 1 or more");
    memcpy(id, text, (size_t)(slash - text));
    id[slash - text] = '\0';
    *seq = value;
    return BERTH_OK;
}
