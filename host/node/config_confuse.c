/* SPDX-License-Identifier: Apache-2.0 */
/* libconfuse, told what may stand in the file, and made to say what would have been right. */
#include "base/error.h"
#include "base/nearest.h"
#include "node/config_parts.h"

#include <confuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RULES 24

/*
 * libconfuse has one scanner per process, and tells its callbacks nothing of whom they work
 * for. So parsing is serialised, and these two belong to whoever holds the lock.
 */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;
static const char *parsing_path;
static berth_error *parsing_error;

static const section_rule *section_named(const char *name)
{
    for (size_t i = 0; name && i < CONFIG_SECTIONS; i++)
        if (strcmp(config_sections[i].name, name) == 0)
            return &config_sections[i];
    return NULL;
}

/* The names that may stand where cfg is, ended with NULL. */
static void legal_names(const cfg_t *cfg, const char *names[MAX_RULES])
{
    const section_rule *section = section_named(cfg->name);
    size_t n = 0;

    if (section)
        for (; section->rules[n].name; n++)
            names[n] = section->rules[n].name;
    else
        for (; n < CONFIG_SECTIONS; n++)
            names[n] = config_sections[n].name;
    names[n] = NULL;
}

static bool is_unit(const char *name)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "ns", "us", "ms", "s", "m", "h"};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(name, units[i]) == 0)
            return true;
    return false;
}

static void unknown_option(const cfg_t *cfg, const char *name)
{
    const char *names[MAX_RULES];
    const char *near;
    char known[320], hint[160] = "";
    size_t used = 0;
    bool inside = section_named(cfg->name) != NULL;

    legal_names(cfg, names);
    known[0] = '\0';
    for (size_t i = 0; names[i] && used < sizeof known; i++)
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    near = nearest_name(name, names);
    if (is_unit(name))
        snprintf(hint, sizeof hint, "write the unit right behind its number, or use quotes");
    else if (near)
        snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    for (size_t i = 0; !near && i < CONFIG_SECTIONS && !hint[0]; i++)
        for (const value_rule *rule = config_sections[i].rules; rule->name && !inside; rule++)
            if (strcmp(rule->name, name) == 0)
                snprintf(hint, sizeof hint, "it belongs into a section: %s%s { %s = ... }",
                         config_sections[i].name, config_sections[i].item ? " \"NAME\"" : "", name);
    fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: there is no %s '%.64s'%s%s: %s%s(%s)",
         parsing_path, cfg->line, inside ? "option" : "section", name, inside ? " in " : "",
         inside ? cfg->name : "", hint, hint[0] ? " " : "", known);
}

/* libconfuse's own findings; only the first one of a file is kept. */
static void report(cfg_t *cfg, const char *format, va_list args)
{
    char text[256];

    if (parsing_error->code)
        return;
    if (strcmp(format, "no such option '%s'") == 0) {
        unknown_option(cfg, va_arg(args, const char *));
        return;
    }
    vsnprintf(text, sizeof text, format, args);
    fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: %s", parsing_path, cfg->line, text);
}

static const value_rule *rule_named(const cfg_t *cfg, const char *name)
{
    const section_rule *section = section_named(cfg->name);

    for (const value_rule *rule = section ? section->rules : NULL; rule && rule->name; rule++)
        if (strcmp(rule->name, name) == 0)
            return rule;
    return NULL;
}

static int given_twice(const cfg_t *cfg, const cfg_opt_t *opt, const char *cure)
{
    fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: '%s' is given twice%s", parsing_path, cfg->line,
         opt->name, cure);
    return -1;
}

/*
 * Asked for each value, also of a list, before libconfuse copies *result. A list that begins again
 * has one value; one that begins again and is empty is found in config_tree.
 */
static int check_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const value_rule *rule = rule_named(cfg, opt->name);
    char why[256];

    if (!rule) {
        fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: option '%s' stands outside of its section",
             parsing_path, cfg->line, opt->name);
        return -1;
    }
    if (opt->flags & CONFIG_SEEN && !rule->list)
        return given_twice(cfg, opt, "");
    if (opt->flags & CONFIG_SEEN && opt->nvalues == 1)
        return given_twice(cfg, opt, ": write all values in one list");
    opt->flags |= CONFIG_SEEN;
    if (rule->most && opt->nvalues > rule->most) {
        fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: %s: at most %u values are allowed",
             parsing_path, cfg->line, rule->name, rule->most);
        return -1;
    }
    if (!value_check(rule, value, why, sizeof why)) {
        fail(parsing_error, BERTH_ERR_INVALID, "%s:%d: %s: '%.80s': %s", parsing_path, cfg->line,
             rule->name, value, why);
        return -1;
    }
    *(const char **)result = value;
    return 0;
}

/* Asked at the end of a section without a title. */
static int check_once(cfg_t *cfg, cfg_opt_t *opt)
{
    if (opt->flags & CONFIG_SEEN)
        return given_twice(cfg, opt, ": write one section with all its options");
    opt->flags |= CONFIG_SEEN;
    return 0;
}

static void make_options(const value_rule *rules, cfg_opt_t out[MAX_RULES])
{
    const cfg_opt_t end = CFG_END();
    size_t n = 0;

    for (; rules[n].name; n++) {
        const cfg_opt_t one = CFG_STR_CB(rules[n].name, NULL, CFGF_NONE, check_value);
        const cfg_opt_t many = CFG_STR_LIST_CB(rules[n].name, NULL, CFGF_NONE, check_value);
        out[n] = rules[n].list ? many : one;
    }
    out[n] = end;
}

/* With the lock held. */
static cfg_t *parse_tree(const char *text)
{
    cfg_opt_t inner[CONFIG_SECTIONS][MAX_RULES], outer[CONFIG_SECTIONS + 1];
    const cfg_opt_t end = CFG_END();
    cfg_t *tree;
    FILE *in;

    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        const cfg_opt_t section = CFG_SEC(config_sections[i].name, inner[i], CFGF_NONE);
        make_options(config_sections[i].rules, inner[i]);
        outer[i] = section;
        if (config_sections[i].item)
            outer[i].flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
        else
            outer[i].validcb = check_once;
    }
    outer[CONFIG_SECTIONS] = end;
    tree = cfg_init(outer, CFGF_NONE);
    if (!tree)
        return NULL;
    cfg_set_error_function(tree, report);
    tree->line = 1;
    in = text[0] ? fmemopen((void *)(uintptr_t)text, strlen(text), "r") : NULL;
    if (text[0] && (!in || cfg_parse_fp(tree, in) != CFG_SUCCESS)) {
        cfg_free(tree);
        tree = NULL;
    }
    if (in)
        fclose(in);
    return tree;
}

berth_status config_confuse(const char *text, const char *path, struct cfg_t **out,
                            berth_error *error)
{
    berth_status status = BERTH_OK;

    error->code = BERTH_OK;
    pthread_mutex_lock(&parsing);
    parsing_path = path;
    parsing_error = error;
    *out = parse_tree(text);
    parsing_error = NULL;
    parsing_path = NULL;
    pthread_mutex_unlock(&parsing);
    if (!*out)
        status = error->code ? error->code
                             : fail(error, BERTH_ERR_INVALID, "%s: is no configuration", path);
    return status;
}

void config_confuse_free(struct cfg_t *tree)
{
    /* Freeing a tree takes the scanner's buffers down with it. */
    pthread_mutex_lock(&parsing);
    cfg_free(tree);
    pthread_mutex_unlock(&parsing);
}
