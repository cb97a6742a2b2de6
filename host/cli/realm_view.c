/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/realm.h"

#include "cli/format.h"
#include "cli/input.h"
#include "cli/output.h"

#include "base/error.h"
#include "identity/certificate_file.h"
#include "identity/entity.h"
#include "identity/named_lines.h"
#include "identity/revocation_file.h"
#include "identity/token.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

static const char *const state_words[] = {"valid",   "not yet", "expired",
                                          "revoked", "forged",  "foreign"};
static const char *const kind_words[] = {"certificate", "revocations", "realm key"};

/* ---- Reading and judging --------------------------------------------------------------------- */

static berth_status parse(realm_view *v, slice text, berth_error *error)
{
    slice what = named_lines_what(text);

    if (slice_eq(what, slice_str(CERTIFICATE_FILE_WHAT))) {
        v->kind = REALM_IS_CERTIFICATE;
        return certificate_file_parse(text, &v->certificate, error);
    }
    if (slice_eq(what, slice_str(REVOCATION_FILE_WHAT))) {
        v->kind = REALM_IS_LIST;
        return revocation_file_parse(text, &v->list, error);
    }
    if (slice_eq(what, slice_str(REALM_KEY_WHAT))) {
        v->kind = REALM_IS_KEY;
        return realm_key_parse(text, &v->key, error);
    }
    return fail(
        error, BERTH_ERR_INVALID,
        "is no certificate, revocation list or key of a realm, as 'berth realm' makes them");
}

berth_status realm_view_read(realm_view *out, const char *path, berth_error *error)
{
    berth_status status;
    buf *text = NULL;
    slice all;

    memset(out, 0, sizeof *out);
    out->path = path;
    status = input_read(path, REVOCATION_FILE_SIZE, &text, error);
    if (status)
        return status;
    all = slice_of(text->data, text->len);
    if (slice_eq(named_lines_what(all), slice_str(REALM_KEY_WHAT)) && strcmp(path, "-") != 0) {
        out->kind = REALM_IS_KEY;
        status = realm_key_read(path, &out->key, error);
    } else {
        status = parse(out, all, error);
        if (status)
            fail_prefix(error, "%s", path);
    }
    realm_key_wipe(&out->key);
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status;
}

void realm_view_free(realm_view *v)
{
    revocation_free(&v->list);
    realm_key_wipe(&v->key);
}

static const uint8_t *realm_of(const realm_view *v)
{
    switch (v->kind) {
    case REALM_IS_CERTIFICATE:
        return v->certificate.realm;
    case REALM_IS_LIST:
        return v->list.realm;
    default:
        return v->key.pair.entity;
    }
}

static berth_status judge_certificate(realm_view *v, const realm_measure *m, berth_error *error)
{
    const realm_certificate *c = &v->certificate;
    berth_status status = certificate_verify(c, error);

    v->state = REALM_FORGED;
    if (status)
        return status;
    v->state = REALM_REVOKED;
    if (m->revoked && revocation_has_entity(m->revoked, c->entity))
        return fail(error, BERTH_ERR_REFUSED,
                    "certificate %" PRIu64 " of '%s': the realm has revoked its entity", c->serial,
                    c->name);
    if (m->revoked && revocation_has_serial(m->revoked, c->serial))
        return fail(error, BERTH_ERR_REFUSED,
                    "certificate %" PRIu64 " of '%s': the realm has revoked it", c->serial,
                    c->name);
    v->state = m->now_s < c->not_before ? REALM_NOT_YET : REALM_EXPIRED;
    status = certificate_in_time(c, m->now_s, 0, error);
    if (!status)
        v->state = REALM_VALID;
    return status;
}

berth_status realm_view_judge(realm_view *v, const realm_measure *m, berth_error *error)
{
    char is[BERTH_ENTITY_DISPLAY], wanted[BERTH_ENTITY_DISPLAY];
    const uint8_t *realm = realm_of(v);
    berth_status status = BERTH_OK;

    v->state = REALM_VALID;
    if (m->realm && !entity_eq(realm, m->realm)) {
        v->state = REALM_FOREIGN;
        status = fail(error, BERTH_ERR_REFUSED, "is of realm %s, not of %s",
                      berth_entity_display(is, realm), berth_entity_display(wanted, m->realm));
    } else if (m->revoked && v->kind == REALM_IS_CERTIFICATE &&
               !entity_eq(realm, m->revoked->realm)) {
        v->state = REALM_FOREIGN;
        status =
            fail(error, BERTH_ERR_REFUSED, "is of realm %s, and the revocation list of %s",
                 berth_entity_display(is, realm), berth_entity_display(wanted, m->revoked->realm));
    } else if (v->kind == REALM_IS_CERTIFICATE) {
        status = judge_certificate(v, m, error);
    }
    return status ? fail_prefix(error, "%s", v->path ? v->path : "-") : status;
}

/* ---- For programs ---------------------------------------------------------------------------- */

static void put_time(struct json_object *object, const char *key, int64_t at_s)
{
    char when[TOKEN_TIME_TEXT];

    json_put_string(object, key, slice_str(token_time_text(when, (uint64_t)at_s)));
}

static void put_certificate(struct json_object *object, const realm_certificate *c)
{
    json_put_string(object, "name", slice_str(c->name));
    json_put_u64(object, "serial", c->serial);
    json_put_hex(object, "entity", slice_of(c->entity, sizeof c->entity));
    json_put_id(object, "node", berth_entity_node_id(c->entity));
    put_time(object, "not_before", c->not_before);
    put_time(object, "not_after", c->not_after);
}

static void put_list(struct json_object *object, const revocation_list *list)
{
    struct json_object *serials = json_object_new_array(), *entities = json_object_new_array();
    char text[BERTH_ENTITY_TEXT];

    json_put_u64(object, "number", list->number);
    put_time(object, "issued", list->issued);
    for (uint32_t i = 0; i < list->serial_count; i++)
        json_object_array_add(serials, json_object_new_uint64(list->serials[i]));
    for (uint32_t i = 0; i < list->entity_count; i++)
        json_object_array_add(entities,
                              json_object_new_string(berth_entity_text(text, list->entities[i])));
    json_put(object, "serials", serials);
    json_put(object, "entities", entities);
}

static void print_json(const realm_view *v)
{
    struct json_object *object = json_object_new_object();

    if (v->path)
        json_put_string(object, "file", slice_str(v->path));
    json_put_string(object, "is", slice_str(kind_words[v->kind]));
    json_put_hex(object, "realm", slice_of(realm_of(v), BERTH_ENTITY_SIZE));
    if (v->kind == REALM_IS_CERTIFICATE)
        put_certificate(object, &v->certificate);
    else if (v->kind == REALM_IS_LIST)
        put_list(object, &v->list);
    else if (v->key.name[0])
        json_put_string(object, "name", slice_str(v->key.name));
    json_put_string(object, "state", slice_str(state_words[v->state]));
    output_json(object);
    json_object_put(object);
}

/* ---- For people ------------------------------------------------------------------------------ */

static void page_time(tab *t, const char *name, int64_t at_s, int64_t now_s)
{
    char when[TOKEN_TIME_TEXT], ago[FORMAT_MAX];

    token_time_text(when, (uint64_t)at_s);
    if (at_s >= 0 && at_s < INT64_MAX / 1000000000)
        page_add(t, STYLE_PLAIN, name, "%s (%s)", when,
                 format_ago(ago, at_s * 1000000000, now_s * 1000000000));
    else
        page_add(t, STYLE_PLAIN, name, "%s", when);
}

static void page_certificate(tab *t, const realm_certificate *c, int64_t now_s)
{
    char entity[BERTH_ENTITY_TEXT];

    page_add(t, STYLE_PLAIN, "serial", "%" PRIu64, c->serial);
    page_add(t, STYLE_PLAIN, "entity", "%s", berth_entity_text(entity, c->entity));
    page_add(t, STYLE_PLAIN, "node", "%016" PRIx64, berth_entity_node_id(c->entity));
    page_time(t, "from", c->not_before, now_s);
    page_time(t, "until", c->not_after, now_s);
}

static void page_list(tab *t, const revocation_list *list, int64_t now_s)
{
    char entity[BERTH_ENTITY_TEXT];

    page_add(t, STYLE_PLAIN, "number", "%" PRIu64, list->number);
    page_time(t, "issued", list->issued, now_s);
    for (uint32_t i = 0; i < list->serial_count; i++)
        page_add(t, STYLE_PLAIN, "revoked", "certificate %" PRIu64, list->serials[i]);
    for (uint32_t i = 0; i < list->entity_count; i++)
        page_add(t, STYLE_PLAIN, "revoked", "entity %s",
                 berth_entity_text(entity, list->entities[i]));
}

static void print_page(const realm_view *v, const realm_measure *m)
{
    char realm[BERTH_ENTITY_TEXT];
    const char *name = v->kind == REALM_IS_KEY ? v->key.name : v->certificate.name;
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_PLAIN, "is", "%s", kind_words[v->kind]);
    if (name[0])
        page_add(&t, STYLE_PLAIN, "name", "%s", name);
    page_add(&t, STYLE_PLAIN, "realm", "%s%s", berth_entity_text(realm, realm_of(v)),
             m->realm || v->kind == REALM_IS_KEY ? "" : " (not checked: --realm)");
    if (v->kind == REALM_IS_CERTIFICATE)
        page_certificate(&t, &v->certificate, m->now_s);
    else if (v->kind == REALM_IS_LIST)
        page_list(&t, &v->list, m->now_s);
    page_add(&t, v->state ? STYLE_BAD : STYLE_GOOD, "state", "%s", state_words[v->state]);
    if (v->path)
        page_add(&t, STYLE_PLAIN, "file", "%s", v->path);
    tab_end(&t, stdout, output_has_colours(stdout));
}

static void add_row(tab *t, const realm_view *v)
{
    const realm_certificate *c = &v->certificate;
    bool certificate = v->kind == REALM_IS_CERTIFICATE, list = v->kind == REALM_IS_LIST;
    const char *name = v->kind == REALM_IS_KEY ? v->key.name : c->name;
    char text[TOKEN_TIME_TEXT], who[BERTH_ENTITY_DISPLAY];

    tab_add(t, STYLE_PLAIN, "%s", v->path);
    tab_add(t, STYLE_PLAIN, "%s", kind_words[v->kind]);
    tab_add(t, STYLE_PLAIN, "%s", name[0] ? name : "-");
    tab_add(t, STYLE_PLAIN, "%s", berth_entity_display(who, realm_of(v)));
    if (v->kind == REALM_IS_KEY)
        tab_add(t, STYLE_PLAIN, "-");
    else
        tab_add(t, STYLE_PLAIN, "%" PRIu64, list ? v->list.number : c->serial);
    tab_add(t, STYLE_PLAIN, "%s", certificate ? berth_entity_display(who, c->entity) : "-");
    if (certificate)
        tab_add(t, STYLE_PLAIN, "%016" PRIx64, berth_entity_node_id(c->entity));
    else
        tab_add(t, STYLE_PLAIN, "-");
    tab_add(t, STYLE_PLAIN, "%s",
            certificate ? token_time_text(text, (uint64_t)c->not_before)
            : list      ? token_time_text(text, (uint64_t)v->list.issued)
                        : "-");
    tab_add(t, STYLE_PLAIN, "%s",
            certificate ? token_time_text(text, (uint64_t)c->not_after) : "-");
    tab_add(t, v->state ? STYLE_BAD : STYLE_GOOD, "%s", state_words[v->state]);
}

static void print_table(const realm_view *views, size_t count)
{
    static const tab_column columns[] = {
        {"FILE", false},   {"IS", false},   {"NAME", false}, {"REALM", false}, {"NUMBER", true},
        {"ENTITY", false}, {"NODE", false}, {"FROM", false}, {"UNTIL", false}, {"STATE", false}};
    tab t;

    tab_begin(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < count; i++)
        add_row(&t, &views[i]);
    tab_end(&t, stdout, output_has_colours(stdout));
}

void realm_view_print(const cli_invocation *inv, const realm_view *views, size_t count,
                      const realm_measure *m)
{
    if (cli_flag(inv, "json")) {
        for (size_t i = 0; i < count; i++)
            print_json(&views[i]);
    } else if (count == 1) {
        print_page(&views[0], m);
    } else if (count) {
        print_table(views, count);
    }
}
