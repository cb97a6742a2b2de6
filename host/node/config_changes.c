/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_list(const config_list *a, const config_list *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return a->count == b->count;
}

/* Only of the types that sections of the start have. */
static bool same(const value_rule *rule, const config *a, const config *b)
{
    const char *x = (const char *)a + rule->offset, *y = (const char *)b + rule->offset;

    if (rule->list)
        return same_list((const config_list *)(const void *)x,
                         (const config_list *)(const void *)y);
    switch (rule->type) {
    case VALUE_COUNT:
    case VALUE_SIZE:
    case VALUE_TIME:
        return memcmp(x, y, rule->narrow ? sizeof(uint32_t) : sizeof(uint64_t)) == 0;
    case VALUE_CHOICE:
        return memcmp(x, y, sizeof(uint32_t)) == 0;
    case VALUE_BOOL:
        return *(const bool *)x == *(const bool *)y;
    default:
        return same_text(*(char *const *)x, *(char *const *)y);
    }
}

bool config_mesh_on(const config *c)
{
    for (size_t i = 0; i < c->peer_count; i++)
        if (c->peers[i].addresses.count)
            return true;
    return c->mesh.listen.count > 0;
}

typedef struct changes {
    char *out;
    size_t used, cap;
} changes;

__attribute__((format(printf, 2, 3))) static void add(changes *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (c->used < c->cap)
        c->used += (size_t)vsnprintf(c->out + c->used, c->cap - c->used, format, args);
    va_end(args);
}

/* How many of its settings differ; `host { name, threads }` */
static unsigned compare(const section_rule *section, const config *a, const config *b, changes *c)
{
    unsigned found = 0;

    for (const value_rule *r = section->rules; r->name; r++) {
        if (r->live || same(r, a, b))
            continue;
        if (!found++)
            add(c, "%s%s { ", c->used ? ", " : "", section->name);
        else
            add(c, ", ");
        add(c, "%s", r->name);
    }
    if (found)
        add(c, " }");
    return found;
}

bool config_start_changes(const config *running, const config *now, char *out, size_t cap)
{
    changes c = {.out = out, .cap = cap};
    bool meshed = false;

    out[0] = '\0';
    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        const section_rule *section = &config_sections[i];
        if (section->at_start && compare(section, running, now, &c) &&
            strcmp(section->name, "mesh") == 0)
            meshed = true;
    }
    if (!meshed && config_mesh_on(running) != config_mesh_on(now))
        add(&c, "%smesh", c.used ? ", " : "");
    return c.used > 0;
}

bool config_daemon_born_same(const config_daemon *a, const config_daemon *b)
{
    return same_text(a->config, b->config) && same_text(a->config_file, b->config_file) &&
           same_text(a->identity_file, b->identity_file);
}

bool config_daemon_wired_same(const config_daemon *a, const config_daemon *b)
{
    return same_list(&a->subscribe, &b->subscribe) && same_list(&a->serve, &b->serve);
}
