/* SPDX-License-Identifier: Apache-2.0 */
/* From libconfuse's tree, whose values have all been checked, to the struct. */
#include "base/error.h"
#include "base/text.h"
#include "mesh/trust.h"
#include "node/config_parts.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

typedef struct walk {
    const config_place *place;
    berth_error *error;
} walk;

static berth_status no_memory(const walk *w)
{
    return fail(w->error, BERTH_ERR_NO_MEMORY, "out of memory for %s", w->place->path);
}

/* The text of a value as the struct keeps it. */
static berth_status read_text(const walk *w, const value_rule *rule, cfg_t *section,
                              const char *text, char **out)
{
    if (!w->place->home && value_in_home(rule, text))
        return fail(w->error, BERTH_ERR_INVALID,
                    "%s:%d: %s: '%.80s': nobody says where the home of this user is: set HOME, or "
                    "write the whole path",
                    w->place->path, section->line, rule->name, text);
    *out = value_string(rule, text, w->place->dir, w->place->home);
    return *out ? BERTH_OK : no_memory(w);
}

static berth_status read_list(const walk *w, const value_rule *rule, cfg_t *section,
                              config_list *out)
{
    cfg_opt_t *opt = cfg_getopt(section, rule->name);
    unsigned count = cfg_opt_size(opt);

    if (!count)
        return BERTH_OK;
    out->items = calloc(count + 1, sizeof *out->items);
    if (!out->items)
        return no_memory(w);
    for (; out->count < count; out->count++) {
        berth_status status = read_text(
            w, rule, section, cfg_opt_getnstr(opt, (unsigned)out->count), &out->items[out->count]);
        if (status != BERTH_OK)
            return status;
    }
    return BERTH_OK;
}

static berth_status read_ids(const walk *w, const value_rule *rule, cfg_t *section, config_ids *out)
{
    cfg_opt_t *opt = cfg_getopt(section, rule->name);
    unsigned count = cfg_opt_size(opt);

    if (!count)
        return BERTH_OK;
    out->bytes = malloc((size_t)count * 32);
    if (!out->bytes)
        return no_memory(w);
    for (; out->count < count; out->count++)
        (void)hex_decode(out->bytes + 32 * out->count, 32,
                         slice_str(cfg_opt_getnstr(opt, (unsigned)out->count)));
    return BERTH_OK;
}

static void read_grants(const value_rule *rule, cfg_t *section, uint32_t *may)
{
    cfg_opt_t *opt = cfg_getopt(section, rule->name);

    for (unsigned i = 0; i < cfg_opt_size(opt); i++)
        (void)trust_grant_add(may, slice_str(cfg_opt_getnstr(opt, i)), NULL);
}

static berth_status read_many(const walk *w, const value_rule *rule, cfg_t *section, void *at)
{
    switch (rule->type) {
    case VALUE_ENTITY:
        return read_ids(w, rule, section, at);
    case VALUE_GRANTS:
        read_grants(rule, section, at);
        return BERTH_OK;
    default:
        return read_list(w, rule, section, at);
    }
}

static berth_status read_one(const walk *w, const value_rule *rule, cfg_t *section,
                             const char *text, void *at)
{
    config_id *id;
    uint64_t n;

    switch (rule->type) {
    case VALUE_COUNT:
    case VALUE_SIZE:
    case VALUE_TIME:
        n = value_number(rule, text);
        if (rule->narrow)
            *(uint32_t *)at = (uint32_t)n;
        else
            *(uint64_t *)at = n;
        return BERTH_OK;
    case VALUE_CHOICE: /* all are enums or 32-bit numbers that begin with "not said" */
        *(uint32_t *)at = (uint32_t)value_number(rule, text);
        return BERTH_OK;
    case VALUE_BOOL:
        *(bool *)at = value_number(rule, text) == 1;
        return BERTH_OK;
    case VALUE_STATIC:
    case VALUE_ENTITY:
        id = at;
        id->said = hex_decode(id->bytes, sizeof id->bytes, slice_str(text));
        return BERTH_OK;
    default:
        return read_text(w, rule, section, text, (char **)at);
    }
}

static berth_status read_section(const walk *w, const section_rule *rule, cfg_t *section,
                                 void *item)
{
    for (const value_rule *r = rule->rules; r->name; r++) {
        void *at = (char *)item + r->offset;
        const char *text = r->list ? NULL : cfg_getstr(section, r->name);
        berth_status status = BERTH_OK;

        if (r->list)
            status = read_many(w, r, section, at);
        else if (text)
            status = read_one(w, r, section, text, at);
        else if (r->required)
            return fail(w->error, BERTH_ERR_INVALID, "%s:%d: %s \"%s\" has no %s: add `%s = ...`",
                        w->place->path, section->line, rule->name, cfg_title(section), r->name,
                        r->name);
        if (status != BERTH_OK)
            return status;
    }
    return BERTH_OK;
}

/* Titled sections begin with their name, and hold the line where they end. */
static berth_status read_titled(const walk *w, const section_rule *rule, cfg_t *tree, config *c)
{
    const value_rule title_rule = {.type = rule->title};
    unsigned count = cfg_size(tree, rule->name);
    char **items = (char **)((char *)c + rule->items);
    size_t *used = (size_t *)((char *)c + rule->count);
    char why[256];

    if (!count)
        return BERTH_OK;
    *items = calloc(count, rule->item);
    if (!*items)
        return no_memory(w);
    for (unsigned i = 0; i < count; i++) {
        cfg_t *section = cfg_getnsec(tree, rule->name, i);
        char *item = *items + i * rule->item;
        berth_status status;

        (*used)++;
        if (!value_check(&title_rule, cfg_title(section), why, sizeof why))
            return fail(w->error, BERTH_ERR_INVALID, "%s:%d: %s \"%.80s\": the name %s",
                        w->place->path, section->line, rule->name, cfg_title(section), why);
        *(char **)item = strdup(cfg_title(section));
        if (!*(char **)item)
            return no_memory(w);
        status = read_section(w, rule, section, item);
        if (status != BERTH_OK)
            return status;
        if (rule->line)
            *(unsigned *)(void *)(item + rule->line) = (unsigned)section->line;
    }
    return BERTH_OK;
}

/* What there is one of; also when it is not in the file, for then all of it is not said. */
static berth_status read_untitled(const walk *w, const section_rule *rule, cfg_t *tree, config *c)
{
    cfg_t *section = cfg_getsec(tree, rule->name);

    if (rule->line && cfg_getopt(tree, rule->name)->flags & CONFIG_SEEN)
        *(unsigned *)(void *)((char *)c + rule->line) = (unsigned)section->line;
    return read_section(w, rule, section, c);
}

berth_status config_tree(struct cfg_t *tree, const config_place *place, config *c,
                         berth_error *error)
{
    walk w = {place, error};
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < CONFIG_SECTIONS && status == BERTH_OK; i++)
        status = config_sections[i].item ? read_titled(&w, &config_sections[i], tree, c)
                                         : read_untitled(&w, &config_sections[i], tree, c);
    return status == BERTH_OK ? config_check(c, place->path, error) : status;
}
