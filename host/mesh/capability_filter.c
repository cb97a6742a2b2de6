/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/capability_filter.h"
#include "base/error.h"
#include "base/text.h"

#include <string.h>

static bool is_one_of(slice text, const slice *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(text, list[i]))
            return true;
    return false;
}

static bool models_match(const capability_filter *f, const capabilities *set)
{
    capability_model models[CAPABILITY_MODELS_MAX];
    bool named = !f->model_count, long_enough = !f->min_context_length;
    unsigned missing = f->modalities;
    size_t n;

    if (named && long_enough && !missing)
        return true;
    n = models_read(models, set);
    for (size_t i = 0; i < n; i++) {
        named = named || is_one_of(models[i].id, f->models, f->model_count);
        long_enough = long_enough || models[i].context_length >= f->min_context_length;
        missing &= ~models[i].modalities;
    }
    return named && long_enough && !missing;
}

static bool tools_match(const capability_filter *f, const capabilities *set)
{
    capability_tool tools[CAPABILITY_TOOLS_MAX];
    size_t n;

    if (!f->tool_count)
        return true;
    n = tools_read(tools, set);
    for (size_t i = 0; i < n; i++)
        if (is_one_of(tools[i].id, f->tools, f->tool_count))
            return true;
    return false;
}

bool filter_matches(const capability_filter *f, const capabilities *set)
{
    capability_hardware h;

    for (size_t i = 0; i < f->tag_count; i++)
        if (!capabilities_has_exact(set, f->tags[i]))
            return false;
    if (f->gpu || f->vendor || f->min_memory_gb || f->min_vram_gb) {
        hardware_read(&h, set);
        if ((f->gpu && !h.gpu) || (f->vendor && h.vendor != f->vendor) ||
            h.memory_gb < f->min_memory_gb || h.vram_gb < f->min_vram_gb)
            return false;
    }
    return models_match(f, set) && tools_match(f, set);
}

static double share(uint64_t value, double of)
{
    return (double)value >= of ? 1 : (double)value / of;
}

double filter_score(const capability_filter *f, const capability_weights *w,
                    const capabilities *set)
{
    capability_model models[CAPABILITY_MODELS_MAX];
    size_t n, loaded = 0;
    capability_hardware h;
    uint64_t fastest = 0;

    if (!filter_matches(f, set))
        return 0;
    hardware_read(&h, set);
    n = models_read(models, set);
    for (size_t i = 0; i < n; i++) {
        fastest = models[i].tokens_per_s > fastest ? models[i].tokens_per_s : fastest;
        loaded += models[i].loaded;
    }
    return 1 + w->memory * share(h.memory_gb, 256) + w->vram * share(h.vram_gb, 80) +
           w->speed * share(fastest, 1000) + (n ? w->loaded * (double)loaded / (double)n : 0);
}

/* ---- scope ---- */

/* The names behind a prefix: how many there are, and whether one of them is asked for. */
static bool has_named(const capabilities *set, const char *prefix, const capability_scope *scope,
                      bool *any)
{
    size_t n = strlen(prefix);
    bool found = false;

    *any = false;
    for (size_t i = 0; i < set->tag_count; i++) {
        slice t = set->tags[i];

        if (t.len <= n || memcmp(t.ptr, prefix, n) != 0)
            continue;
        *any = true;
        found = found || is_one_of(slice_of(t.ptr + n, t.len - n), scope->names, scope->count);
    }
    return found;
}

bool scope_admits(const capability_scope *scope, const capabilities *set, subnet_relation relation,
                  bool subnet_policy)
{
    bool tenants, regions, tenant, region;

    if (scope->kind == SCOPE_SAME_SUBNET)
        return relation == SUBNET_SAME || (relation == SUBNET_UNKNOWN && subnet_policy);
    /* the narrowest that a node says of itself is what counts */
    if (capabilities_has_exact(set, slice_str("scope:subnet-local")))
        return false;
    if (scope->kind == SCOPE_ANY)
        return true;
    tenant = has_named(set, "scope:tenant:", scope, &tenants);
    region = has_named(set, "scope:region:", scope, &regions);
    if (!tenants && !regions)
        return true;
    return (scope->kind == SCOPE_TENANTS && tenant) || (scope->kind == SCOPE_REGIONS && region);
}

/* ---- text ---- */

static bool take(slice *text, const char *prefix)
{
    size_t n = strlen(prefix);

    if (text->len < n || memcmp(text->ptr, prefix, n) != 0)
        return false;
    *text = slice_of(text->ptr + n, text->len - n);
    return true;
}

static berth_status wrong(slice term, const char *what, berth_error *error)
{
    return fail(error, BERTH_ERR_INVALID, "filter: '%.*s': %s",
                (int)(term.len < TAG_MAX ? term.len : TAG_MAX), (const char *)term.ptr, what);
}

static berth_status add(slice *list, size_t *count, slice term, slice value, berth_error *error)
{
    if (!value.len)
        return wrong(term, "nothing follows the '='", error);
    if (*count == FILTER_TERMS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "filter: more than %d terms of one kind",
                    FILTER_TERMS_MAX);
    list[(*count)++] = value;
    return BERTH_OK;
}

static berth_status number(uint64_t *out, slice term, slice value, berth_error *error)
{
    *out = tag_number(value);
    return *out ? BERTH_OK : wrong(term, "must be a number from 1 up", error);
}

static berth_status parse_scope(capability_scope *scope, slice term, slice value,
                                berth_error *error)
{
    static const struct {
        const char *name;
        scope_kind kind;
    } words[] = {{"any", SCOPE_ANY}, {"global", SCOPE_GLOBAL}, {"same-subnet", SCOPE_SAME_SUBNET}};
    scope_kind kind;

    for (size_t i = 0; i < 3; i++) {
        if (!slice_eq(value, slice_str(words[i].name)))
            continue;
        if (scope->count)
            return wrong(term, "contradicts an earlier scope", error);
        scope->kind = words[i].kind;
        return BERTH_OK;
    }
    if (take(&value, "tenant:"))
        kind = SCOPE_TENANTS;
    else if (take(&value, "region:"))
        kind = SCOPE_REGIONS;
    else
        return wrong(term, "must be any, global, same-subnet, tenant:ID or region:NAME", error);
    if (scope->kind != SCOPE_ANY && scope->kind != kind)
        return wrong(term, "contradicts an earlier scope", error);
    scope->kind = kind;
    return add(scope->names, &scope->count, term, value, error);
}

static berth_status parse_term(capability_filter *f, capability_scope *scope, slice term,
                               berth_error *error)
{
    slice rest = term;
    modality m;

    if (take(&rest, "memory>="))
        return number(&f->min_memory_gb, term, rest, error);
    if (take(&rest, "vram>="))
        return number(&f->min_vram_gb, term, rest, error);
    if (take(&rest, "context>="))
        return number(&f->min_context_length, term, rest, error);
    if (take(&rest, "model="))
        return add(f->models, &f->model_count, term, rest, error);
    if (take(&rest, "tool="))
        return add(f->tools, &f->tool_count, term, rest, error);
    if (take(&rest, "scope="))
        return parse_scope(scope, term, rest, error);
    if (take(&rest, "modality=")) {
        m = modality_of(rest);
        f->modalities |= m < MODALITY_COUNT ? 1u << m : 0;
        return m < MODALITY_COUNT ? BERTH_OK : wrong(term, "is no modality", error);
    }
    if (take(&rest, "gpu=")) {
        f->gpu = true;
        f->vendor = gpu_vendor_of(rest);
        return f->vendor ? BERTH_OK : wrong(term, "is no vendor of GPUs", error);
    }
    if (slice_eq(term, slice_str("gpu"))) {
        f->gpu = true;
        return BERTH_OK;
    }
    take(&rest, "tag=");
    return add(f->tags, &f->tag_count, term, rest, error);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

berth_status filter_parse(capability_filter *f, capability_scope *scope, slice text,
                          berth_error *error)
{
    berth_status status = BERTH_OK;
    size_t from = 0;

    *f = (capability_filter){0};
    *scope = (capability_scope){0};
    if (!utf8_valid(text))
        return fail(error, BERTH_ERR_INVALID, "filter: is not UTF-8");
    for (size_t i = 0; !status && i <= text.len; i++) {
        if (i < text.len && !is_blank(text.ptr[i]))
            continue;
        if (i > from)
            status = parse_term(f, scope, slice_of(text.ptr + from, i - from), error);
        from = i + 1;
    }
    return status;
}
