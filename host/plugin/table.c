/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "plugin/set.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of version 0.0: whatever minor a plugin was built for, it has these members. */
#define PLUGIN_LEAST 48
#define KIND_LEAST   112

typedef struct bounds {
    const elf_facts *facts; /* NULL: everything is readable */
    uintptr_t base;
} bounds;

/* What a table of a file points to lies in that file. */
static bool readable(const bounds *b, const void *ptr, uint64_t len)
{
    return !b->facts || facts_covers(b->facts, (uintptr_t)ptr - b->base, len);
}

static bool aligned(const void *ptr)
{
    return (uintptr_t)ptr % _Alignof(berth_kind) == 0;
}

/* Copy a struct that begins with its size: what both sides know of it, the rest zero. */
static void copy_sized(void *to, size_t known, const void *from, uint32_t size)
{
    memset(to, 0, known);
    memcpy(to, from, size < known ? size : known);
}

static berth_status check_note(const plugin *p, const bounds *b, berth_error *error)
{
    const facts_note *note;

    if (!b->facts)
        return BERTH_OK;
    note = facts_note_of(b->facts, BERTH_ABI_MAJOR);
    if (!note || (uintptr_t)p->table.manifest != b->base + note->address)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a table whose manifest is not the note in its own file: point it to that "
                    "note");
    if (!readable(b, (void *)(b->base + note->json_address), note->json->len) ||
        memcmp((void *)(b->base + note->json_address), note->json->data, note->json->len) != 0)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has another manifest in memory than in the file: do not write to it in a "
                    "constructor");
    return BERTH_OK;
}

static const char *missing_slot(const berth_kind *k, bool stateful)
{
    if (!k->create)
        return "no create function";
    if (!k->destroy)
        return "no destroy function";
    if (!k->process)
        return "no process function";
    if (stateful && !k->snapshot)
        return "no snapshot function, though its manifest gives it a state";
    if (!stateful && k->snapshot)
        return "a snapshot function, though its manifest gives it no state";
    return NULL;
}

static berth_status take_kind(plugin *p, const bounds *b, const berth_kind *raw, void *user,
                              berth_error *error)
{
    const manifest_kind *facts;
    const char *wrong;
    berth_kind table;
    plugin_kind *kind;
    slice name;

    if (!raw || !aligned(raw) || !readable(b, raw, sizeof raw->size) || raw->size < KIND_LEAST ||
        !readable(b, raw, raw->size))
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a kind table of impossible size or place: set .size = sizeof(berth_kind)");
    copy_sized(&table, sizeof table, raw, raw->size);
    name = slice_of(table.name.ptr, table.name.len);
    if (!name.ptr || name.len > MANIFEST_MAX_NAME || !readable(b, name.ptr, name.len))
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a kind table without a proper name: set .name");
    facts = manifest_find(p->manifest, name);
    if (!facts)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a table for kind '%.*s', of which its manifest says nothing: add it to "
                    "\"kinds\", or correct the name",
                    (int)name.len, (const char *)name.ptr);
    kind = &p->kinds[facts - p->manifest->kinds];
    if (kind->facts)
        return fail(error, BERTH_ERR_ADMISSION, "has two tables for kind '%s': remove one",
                    facts->name);
    wrong = missing_slot(&table, facts->stateful);
    if (wrong)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has %s in the table of kind '%s': make table and manifest agree", wrong,
                    facts->name);
    *kind = (plugin_kind){.owner = p, .facts = facts, .table = table, .user = user};
    return BERTH_OK;
}

berth_status plugin_take_table(plugin *p, const berth_plugin *raw, uint64_t room,
                               const elf_facts *facts, void *user, berth_error *error)
{
    bounds b = {facts, p->base};
    berth_status status;

    if (room < sizeof raw->size || raw->size < PLUGIN_LEAST)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a table too small for any ABI: set .size = sizeof(berth_plugin)");
    if (raw->size > room)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a table that says it has %" PRIu32 " bytes in a symbol of %" PRIu64
                    ": set .size = sizeof(berth_plugin)",
                    raw->size, room);
    copy_sized(&p->table, sizeof p->table, raw, raw->size);
    status = check_note(p, &b, error);
    if (status)
        return status;
    if (p->table.kind_count != p->manifest->kind_count)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has %" PRIu32 " kinds in its table and %zu in its manifest: make them agree",
                    p->table.kind_count, p->manifest->kind_count);
    if (!p->table.kinds || !aligned(p->table.kinds) ||
        !readable(&b, p->table.kinds, (uint64_t)p->table.kind_count * sizeof(void *)))
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a table without kinds: set .kinds to an array of pointers");
    for (uint32_t i = 0; i < p->table.kind_count; i++) {
        status = take_kind(p, &b, p->table.kinds[i], user, error);
        if (status)
            return status;
    }
    return BERTH_OK;
}
