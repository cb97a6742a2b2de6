/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/token.h"

#include "cli/format.h"
#include "cli/output.h"

#include "base/text.h"
#include "chain/channel.h"

#include <string.h>

#define ACTIONS (~(uint32_t)(BERTH_SCOPE_DELEGATE | BERTH_SCOPE_WILDCARD))

static const berth_token *leaf_of(const token_view *v)
{
    return &v->file->chain.links[v->file->chain.count - 1];
}

/* The channel that the chain as a whole is for: that of the first token for one. NULL: for all. */
static const berth_token *narrowest(const token_view *v)
{
    for (size_t i = 0; i < v->file->chain.count; i++)
        if (!berth_scope_has(v->file->chain.links[i].scope, BERTH_SCOPE_WILDCARD))
            return &v->file->chain.links[i];
    return NULL;
}

berth_token_fault token_view_fault(const token_view *v, berth_error *error)
{
    const berth_token *leaf = leaf_of(v), *narrow = narrowest(v);
    berth_token_policy policy = {
        .size = sizeof policy,
        .action = leaf->scope & ACTIONS,
        .channel = narrow ? narrow->channel : 0,
        .roots = v->root_count ? v->roots : v->file->chain.links[0].issuer,
        .root_count = v->root_count ? v->root_count : 1,
        .presenter = leaf->subject,
        .now_s = v->now_s,
        .revoked = v->revoked ? token_revocations_has : NULL,
        .revoked_ctx = v->revoked,
    };
    berth_token_fault fault = BERTH_TOKEN_FINE;

    if (!policy.action)
        token_refuse(BERTH_TOKEN_EMPTY, leaf, &fault, error);
    else
        berth_token_chain_verify(&v->file->chain, &policy, &fault, error);
    return fault;
}

/* What is wrong with one token by itself. */
static berth_token_fault link_fault(const token_view *v, const berth_token *link)
{
    berth_token_fault fault = BERTH_TOKEN_FINE;

    berth_token_verify(link, v->now_s, 0, &fault, NULL);
    if (!fault && v->revoked && token_revocations_has(v->revoked, link))
        fault = BERTH_TOKEN_REVOKED;
    return fault;
}

/* ---- For programs ---------------------------------------------------------------------------- */

static struct json_object *link_json(const token_view *v, const berth_token *link)
{
    struct json_object *object = json_object_new_object(), *allows = json_object_new_array();
    uint8_t id[BERTH_TOKEN_ID_SIZE];
    char scope[TOKEN_SCOPE_TEXT], when[TOKEN_TIME_TEXT], *save = NULL;

    berth_token_id(id, link);
    json_put_hex(object, "id", slice_of(id, sizeof id));
    json_put_hex(object, "issuer", slice_of(link->issuer, BERTH_ENTITY_SIZE));
    json_put_hex(object, "subject", slice_of(link->subject, BERTH_ENTITY_SIZE));
    token_scope_text(scope, link->scope);
    for (char *word = strtok_r(scope, ", ", &save); word && link->scope;
         word = strtok_r(NULL, ", ", &save))
        json_object_array_add(allows, json_object_new_string(word));
    json_put(object, "allows", allows);
    json_put_id(object, "channel_hash", link->channel);
    json_put_u64(object, "generation", link->generation);
    json_put_u64(object, "depth", link->depth);
    json_put_string(object, "not_before", slice_str(token_time_text(when, link->not_before_s)));
    json_put_string(object, "not_after", slice_str(token_time_text(when, link->not_after_s)));
    json_put_string(object, "state", slice_str(berth_token_fault_word(link_fault(v, link))));
    return object;
}

static void print_json(const token_view *v, berth_token_fault fault)
{
    struct json_object *object = json_object_new_object(), *chain = json_object_new_array();
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    const token_file *f = v->file;
    char when[TOKEN_TIME_TEXT], *base64;

    if (v->path)
        json_put_string(object, "file", slice_str(v->path));
    if (f->channel[0])
        json_put_string(object, "channel", slice_str(f->channel));
    json_put_hex(object, "subject", slice_of(leaf_of(v)->subject, BERTH_ENTITY_SIZE));
    json_put_string(object, "expires",
                    slice_str(token_time_text(when, berth_token_chain_end(&f->chain))));
    json_put_string(object, "state", slice_str(berth_token_fault_word(fault)));
    for (size_t i = 0; i < f->chain.count; i++)
        json_object_array_add(chain, link_json(v, &f->chain.links[i]));
    json_put(object, "chain", chain);
    base64 = base64_encode(slice_of(bytes, berth_token_chain_encode(bytes, &f->chain)));
    if (base64)
        json_put_string(object, "bytes", slice_str(base64));
    free(base64);
    output_json(object);
    json_object_put(object);
}

/* ---- For people ------------------------------------------------------------------------------ */

static void page_channel(tab *t, const token_view *v)
{
    const berth_token *narrow = narrowest(v);

    if (!narrow)
        page_add(t, STYLE_PLAIN, "channel", "all");
    else if (!v->file->channel[0])
        page_add(t, STYLE_PLAIN, "channel", "%016llx (the name is not in the file)",
                 (unsigned long long)narrow->channel);
    else
        page_add(t, STYLE_PLAIN, "channel", "%s", v->file->channel);
}

static void print_page(const token_view *v, berth_token_fault fault)
{
    uint64_t end_s = berth_token_chain_end(&v->file->chain);
    const berth_token *leaf = leaf_of(v);
    char entity[BERTH_ENTITY_TEXT], scope[TOKEN_SCOPE_TEXT], when[TOKEN_TIME_TEXT], ago[FORMAT_MAX];
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_PLAIN, "for", "%s", berth_entity_text(entity, leaf->subject));
    page_add(&t, STYLE_PLAIN, "allows", "%s", token_scope_text(scope, leaf->scope));
    page_channel(&t, v);
    if (end_s < (uint64_t)(INT64_MAX / 1000000000))
        page_add(&t, STYLE_PLAIN, "expires", "%s (%s)", token_time_text(when, end_s),
                 format_ago(ago, (int64_t)end_s * 1000000000, (int64_t)v->now_s * 1000000000));
    else
        page_add(&t, STYLE_PLAIN, "expires", "%s", token_time_text(when, end_s));
    page_add(&t, STYLE_PLAIN, "root", "%s%s",
             berth_entity_text(entity, v->file->chain.links[0].issuer),
             v->root_count ? "" : " (not checked: --root)");
    page_add(&t, fault ? STYLE_BAD : STYLE_GOOD, "state", "%s",
             fault ? berth_token_fault_text(fault) : "valid");
    if (v->path)
        page_add(&t, STYLE_PLAIN, "file", "%s", v->path);
    tab_end(&t, stdout, output_has_colours(stdout));
}

static void print_links(const token_view *v)
{
    static const tab_column columns[] = {
        {"LINK", true},       {"ISSUER", false}, {"SUBJECT", false}, {"ALLOWS", false},
        {"CHANNEL", false},   {"FROM", false},   {"UNTIL", false},   {"DEPTH", true},
        {"GENERATION", true}, {"STATE", false}};
    char text[TOKEN_SCOPE_TEXT];
    tab t;

    tab_begin(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < v->file->chain.count; i++) {
        const berth_token *link = &v->file->chain.links[i];
        bool all = berth_scope_has(link->scope, BERTH_SCOPE_WILDCARD);
        berth_token_fault fault = link_fault(v, link);

        tab_add(&t, STYLE_PLAIN, "%zu", i + 1);
        tab_add(&t, STYLE_PLAIN, "%s", berth_entity_display(text, link->issuer));
        tab_add(&t, STYLE_PLAIN, "%s", berth_entity_display(text, link->subject));
        tab_add(&t, STYLE_PLAIN, "%s", token_scope_text(text, link->scope));
        if (all)
            tab_add(&t, STYLE_PLAIN, "all");
        else
            tab_add(&t, STYLE_PLAIN, "%016llx", (unsigned long long)link->channel);
        tab_add(&t, STYLE_PLAIN, "%s", token_time_text(text, link->not_before_s));
        tab_add(&t, STYLE_PLAIN, "%s", token_time_text(text, link->not_after_s));
        tab_add(&t, STYLE_PLAIN, "%u", link->depth);
        tab_add(&t, STYLE_PLAIN, "%u", link->generation);
        tab_add(&t, fault ? STYLE_BAD : STYLE_GOOD, "%s",
                fault ? berth_token_fault_word(fault) : "valid");
    }
    tab_end(&t, stdout, output_has_colours(stdout));
}

void token_view_print(const cli_invocation *inv, const token_view *v, berth_token_fault fault)
{
    if (cli_flag(inv, "json")) {
        print_json(v, fault);
        return;
    }
    print_page(v, fault);
    puts("");
    print_links(v);
}
