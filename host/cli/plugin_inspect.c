/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin inspect`: all that can be known of a file without running any of it. */
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "cli/plugin_file.h"

#include "base/error.h"
#include "base/text.h"
#include "berth/abi.h"
#include "plugin/admit.h"
#include "plugin/examine.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (256ull << 20)

/* Everything found out about one file. */
typedef struct findings {
    const char *file;
    uint64_t size;
    uint8_t hash[MINISIGN_HASH_BYTES];
    bool is_signed;
    minisign_signature signature;
    berth_error signature_error;
    examination e;
    admission a;
} findings;

static berth_status look(findings *f, berth_error *error)
{
    /* Every extension that the manifest needs is taken as there: that depends on the host. */
    static const char *const none[] = {NULL};
    admit_policy policy = {.extensions = none};
    const char **extensions = NULL;
    berth_status status = plugin_file_hash(f->file, f->hash, &f->size, error);

    if (status == BERTH_OK)
        status = examine_file(f->file, FILE_MAX_BYTES, &f->e, error);
    if (status != BERTH_OK)
        return status;
    plugin_file_signature(f->file, &f->signature, &f->is_signed, &f->signature_error);
    if (f->e.manifest && f->e.manifest->needs_extensions.count) {
        const manifest_list *needs = &f->e.manifest->needs_extensions;

        extensions = (const char **)calloc(needs->count + 1, sizeof *extensions);
        if (!extensions)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        memcpy(extensions, needs->items, needs->count * sizeof *extensions);
        policy.extensions = extensions;
    }
    status = admit(f->e.facts, f->e.manifest, &policy, &f->a, error);
    free(extensions);
    return status;
}

static bool is_admitted(const findings *f)
{
    return f->e.manifest && !f->a.refused;
}

/* ---- For people ------------------------------------------------------------------------------ */

static void add_list(tab *t, const char *name, const manifest_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        page_add(t, STYLE_PLAIN, i ? "" : name, "%s", list->items[i]);
}

static void show_manifest(tab *t, const manifest *m)
{
    page_add(t, STYLE_BOLD, "plugin", "%s %s", m->name, m->version);
    if (m->license[0])
        page_add(t, STYLE_PLAIN, "licence", "%s", m->license);
    page_add(t, STYLE_PLAIN, "abi", "%u.%u", m->abi_major, m->abi_minor);
    if (m->runtime && m->runtime[0])
        page_add(t, STYLE_PLAIN, "runtime", "%s", m->runtime);
    add_list(t, "extensions", &m->needs_extensions);
    add_list(t, "privileges", &m->needs_privileges);
}

static void show_kinds(const manifest *m)
{
    static const tab_column columns[] = {
        {"KIND", false}, {"STATE", false}, {"CONFIG", false}, {"SUMMARY", false}};
    static const char *const configs[] = {"none", "text", "json"};
    tab t;

    putchar('\n');
    tab_begin(&t, columns, 4);
    for (size_t i = 0; i < m->kind_count; i++) {
        const manifest_kind *k = &m->kinds[i];

        tab_add(&t, STYLE_PLAIN, "%s", k->name);
        if (k->stateful)
            tab_add(&t, STYLE_PLAIN, "version %u, reads %u on", k->state_writes,
                    k->state_reads_oldest);
        else
            tab_add(&t, STYLE_PLAIN, "none");
        tab_add(&t, STYLE_PLAIN, "%s", configs[k->config]);
        tab_add(&t, STYLE_PLAIN, "%s", k->summary ? k->summary : "");
    }
    tab_end(&t, stdout, output_has_colours(stdout));
}

static void show_signature(tab *t, const findings *f)
{
    char id[MINISIGN_ID_TEXT];

    if (f->signature_error.code != BERTH_OK) {
        page_add(t, STYLE_BAD, "signature", "%s", f->signature_error.text);
    } else if (!f->is_signed) {
        page_add(t, STYLE_WARN, "signature", "none: 'berth plugin sign' makes one");
    } else {
        page_add(t, STYLE_PLAIN, "signature",
                 "by key %s (not verified here: 'berth plugin verify')",
                 minisign_id_text(id, f->signature.id));
        page_add(t, STYLE_PLAIN, "comment", "%s", f->signature.trusted_comment);
    }
}

/* Judgements, one a line; the cure stands in the text. */
static void show_judgement(const findings *f)
{
    bool colours = output_has_colours(stdout);
    static const tab_column columns[] = {{NULL, false}, {NULL, false}, {NULL, false}};
    tab t;

    tab_begin(&t, columns, 3);
    if (!f->e.manifest) {
        tab_add(&t, STYLE_BAD, "refused");
        tab_add(&t, STYLE_PLAIN, "manifest");
        tab_add(&t, STYLE_PLAIN, "%s",
                f->e.manifest_error.code ? f->e.manifest_error.text : "there is none");
    }
    for (size_t i = 0; i < f->a.count; i++) {
        const admit_finding *finding = &f->a.items[i];
        bool refused = finding->level == ADMIT_REFUSED;

        tab_add(&t, refused ? STYLE_BAD : STYLE_WARN, "%s", refused ? "refused" : "noted");
        tab_add(&t, STYLE_PLAIN, "%s", finding->rule);
        tab_add(&t, STYLE_PLAIN, "%s", finding->text);
    }
    for (size_t i = 0; f->e.manifest && i < f->e.manifest->warnings.count; i++) {
        tab_add(&t, STYLE_WARN, "noted");
        tab_add(&t, STYLE_PLAIN, "manifest");
        tab_add(&t, STYLE_PLAIN, "%s", f->e.manifest->warnings.items[i]);
    }
    putchar('\n');
    tab_end(&t, stdout, colours);
    tab_begin(&t, columns, 1);
    if (is_admitted(f))
        tab_add(&t, STYLE_GOOD, "a host would take this file");
    else
        tab_add(&t, STYLE_BAD, "a host would refuse this file");
    tab_end(&t, stdout, colours);
}

static void show(const findings *f)
{
    char digest[65], bytes[FORMAT_MAX];
    tab t;

    page_begin(&t);
    if (f->e.manifest)
        show_manifest(&t, f->e.manifest);
    page_add(&t, STYLE_PLAIN, "file", "%s, %s", f->file, format_bytes(bytes, f->size));
    page_add(&t, STYLE_PLAIN, "digest", "%s", hex_encode(digest, slice_of(f->hash, 32)));
    show_signature(&t, f);
    add_list(&t, "libraries", &f->e.facts->needed);
    tab_end(&t, stdout, output_has_colours(stdout));
    if (f->e.manifest)
        show_kinds(f->e.manifest);
    show_judgement(f);
}

/* ---- For programs ---------------------------------------------------------------------------- */

static struct json_object *list_json(const manifest_list *list)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < list->count; i++)
        json_object_array_add(array, json_object_new_string(list->items[i]));
    return array;
}

static struct json_object *signature_json(const findings *f)
{
    struct json_object *object;
    char id[MINISIGN_ID_TEXT];

    if (!f->is_signed)
        return NULL;
    object = json_object_new_object();
    if (f->signature_error.code != BERTH_OK) {
        json_put_string(object, "error", slice_str(f->signature_error.text));
        return object;
    }
    json_put_string(object, "key_id", slice_str(minisign_id_text(id, f->signature.id)));
    json_put_string(object, "trusted_comment", slice_str(f->signature.trusted_comment));
    return object;
}

/* The manifest as it lies in the file. */
static struct json_object *manifest_json(const findings *f)
{
    const facts_note *note = facts_note_of(f->e.facts, BERTH_ABI_MAJOR);
    struct json_object *object = NULL;

    if (f->e.manifest && note)
        json_parse(slice_of(note->json->data, note->json->len), MANIFEST_MAX_BYTES, &object, NULL);
    return object;
}

static void print_json(const findings *f)
{
    struct json_object *object = json_object_new_object(), *list = json_object_new_array();

    json_put_string(object, "file", slice_str(f->file));
    json_put_u64(object, "size", f->size);
    json_put_hex(object, "digest", slice_of(f->hash, 32));
    json_put_bool(object, "admitted", is_admitted(f));
    json_put(object, "signature", signature_json(f));
    json_put(object, "manifest", manifest_json(f));
    if (!f->e.manifest)
        json_put_string(
            object, "manifest_error",
            slice_str(f->e.manifest_error.code ? f->e.manifest_error.text : "there is none"));
    else
        json_put(object, "warnings", list_json(&f->e.manifest->warnings));
    json_put(object, "libraries", list_json(&f->e.facts->needed));
    for (size_t i = 0; i < f->a.count; i++) {
        const admit_finding *finding = &f->a.items[i];
        struct json_object *item = json_object_new_object();

        json_put_string(item, "rule", slice_str(finding->rule));
        json_put_bool(item, "refused", finding->level == ADMIT_REFUSED);
        json_put_string(item, "text", slice_str(finding->text));
        json_object_array_add(list, item);
    }
    json_put(object, "findings", list);
    output_json(object);
    json_object_put(object);
}

int cmd_plugin_inspect(const cli_invocation *inv)
{
    findings *f = (findings *)calloc(1, sizeof *f);
    berth_error error = {0};
    int code;

    if (!f)
        abort();
    f->file = cli_argument_at(inv, 0);
    if (look(f, &error) != BERTH_OK) {
        code = output_fail(&error);
    } else {
        if (cli_flag(inv, "json"))
            print_json(f);
        else
            show(f);
        code = is_admitted(f) ? EXIT_DONE : EXIT_REFUSED;
    }
    admission_free(&f->a);
    examination_free(&f->e);
    free(f);
    return code;
}
