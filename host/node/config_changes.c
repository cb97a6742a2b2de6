/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config_parts.h"

#include <stdio.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Only of the types that sections of the start have. */
static bool same(const value_rule *rule, const config *a, const config *b)
{
    const char *x = (const char *)a + rule->offset, *y = (const char *)b + rule->offset;

    switch (rule->type) {
    case VALUE_COUNT:
    case VALUE_SIZE:
    case VALUE_TIME:
        return memcmp(x, y, rule->narrow ? sizeof(uint32_t) : sizeof(uint64_t)) == 0;
    default:
        return same_text(*(char *const *)x, *(char *const *)y);
    }
}

bool config_start_changes(const config *running, const config *now, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        const section_rule *section = &config_sections[i];
        unsigned found = 0;

        if (!section->at_start)
            continue;
        for (const value_rule *r = section->rules; r->name; r++) {
            if (same(r, running, now))
                continue;
            if (!found++ && used < cap)
                used += (size_t)snprintf(out + used, cap - used, "%s%s { ", used ? ", " : "",
                                         section->name);
            else if (used < cap)
                used += (size_t)snprintf(out + used, cap - used, ", ");
            if (used < cap)
                used += (size_t)snprintf(out + used, cap - used, "%s", r->name);
        }
        if (found && used < cap)
            used += (size_t)snprintf(out + used, cap - used, " }");
    }
    return used > 0;
}

bool config_daemon_born_same(const config_daemon *a, const config_daemon *b)
{
    return same_text(a->config, b->config) && same_text(a->config_file, b->config_file) &&
           same_text(a->identity_file, b->identity_file);
}
