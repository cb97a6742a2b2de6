/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/facts.h"
#include "base/error.h"
#include "plugin/list.h"

#include <elf.h>
#include <stdlib.h>

const facts_note *facts_note_of(const elf_facts *facts, uint32_t major)
{
    for (size_t i = 0; i < facts->note_count; i++) {
        if (facts->notes[i].major == major)
            return &facts->notes[i];
    }
    return NULL;
}

bool facts_covers(const elf_facts *facts, uint64_t address, uint64_t length)
{
    for (size_t i = 0; i < facts->segment_count; i++) {
        const facts_segment *s = &facts->segments[i];

        if ((s->flags & PF_R) && address >= s->address && address - s->address <= s->memory_size &&
            length <= s->memory_size - (address - s->address))
            return true;
    }
    return false;
}

void facts_free(elf_facts *facts)
{
    if (!facts)
        return;
    for (size_t i = 0; i < facts->note_count; i++)
        buf_unref(facts->notes[i].json);
    free(facts->notes);
    free(facts->segments);
    free(facts->soname);
    list_free(&facts->needed);
    list_free(&facts->search_paths);
    list_free(&facts->redirections);
    list_free(&facts->exports);
    list_free(&facts->uniques);
    list_free(&facts->imports);
    free(facts);
}

void facts_encode(writer *w, const elf_facts *f)
{
    writer_u8(w, f->elf_class);
    writer_u8(w, f->elf_data);
    writer_u16(w, f->machine);
    writer_u16(w, f->type);
    writer_u64(w, f->file_size);
    writer_u32(w, f->layout);
    writer_u64(w, f->flags_1);
    text_encode(w, f->soname);
    list_encode(w, &f->needed);
    list_encode(w, &f->search_paths);
    list_encode(w, &f->redirections);
    list_encode(w, &f->exports);
    list_encode(w, &f->uniques);
    list_encode(w, &f->imports);
    writer_u64(w, f->export_count);
    writer_u64(w, f->unique_count);
    writer_u64(w, f->import_count);
    writer_u8(w, f->has_entry);
    writer_u8(w, f->entry_type);
    writer_u64(w, f->entry_address);
    writer_u64(w, f->entry_size);
    writer_u32(w, (uint32_t)f->segment_count);
    for (size_t i = 0; i < f->segment_count; i++) {
        const facts_segment *s = &f->segments[i];

        writer_u64(w, s->offset);
        writer_u64(w, s->file_size);
        writer_u64(w, s->address);
        writer_u64(w, s->memory_size);
        writer_u32(w, s->flags);
    }
    writer_u32(w, (uint32_t)f->note_count);
    for (size_t i = 0; i < f->note_count; i++) {
        const facts_note *n = &f->notes[i];

        writer_u32(w, n->major);
        writer_u64(w, n->address);
        writer_u64(w, n->json_address);
        writer_u32(w, (uint32_t)n->json->len);
        writer_bytes(w, n->json->data, n->json->len);
    }
}

static bool decode_lists(reader *r, elf_facts *f)
{
    return text_decode(r, &f->soname, FACTS_MAX_NAME) &&
           list_decode(r, &f->needed, FACTS_MAX_NEEDED, FACTS_MAX_NAME) &&
           list_decode(r, &f->search_paths, FACTS_MAX_NEEDED, FACTS_MAX_NAME + 64) &&
           list_decode(r, &f->redirections, FACTS_MAX_NEEDED, FACTS_MAX_NAME + 64) &&
           list_decode(r, &f->exports, FACTS_MAX_NAMES, FACTS_MAX_NAME) &&
           list_decode(r, &f->uniques, FACTS_MAX_NAMES, FACTS_MAX_NAME) &&
           list_decode(r, &f->imports, FACTS_MAX_NAMES, FACTS_MAX_NAME);
}

static bool decode_segments(reader *r, elf_facts *f)
{
    uint32_t count = reader_u32(r);

    if (!reader_ok(r) || count > FACTS_MAX_SEGMENTS)
        return false;
    f->segments = calloc(count ? count : 1, sizeof *f->segments);
    if (!f->segments)
        return false;
    f->segment_count = count;
    for (uint32_t i = 0; i < count; i++) {
        facts_segment *s = &f->segments[i];

        s->offset = reader_u64(r);
        s->file_size = reader_u64(r);
        s->address = reader_u64(r);
        s->memory_size = reader_u64(r);
        s->flags = reader_u32(r);
    }
    return reader_ok(r);
}

static bool decode_notes(reader *r, elf_facts *f)
{
    uint32_t count = reader_u32(r);

    if (!reader_ok(r) || count > FACTS_MAX_NOTES)
        return false;
    f->notes = calloc(count ? count : 1, sizeof *f->notes);
    if (!f->notes)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        facts_note *n = &f->notes[i];
        uint32_t len;
        slice json;

        n->major = reader_u32(r);
        n->address = reader_u64(r);
        n->json_address = reader_u64(r);
        len = reader_u32(r);
        if (!reader_ok(r) || len > MANIFEST_MAX_BYTES)
            return false;
        json = reader_bytes(r, len);
        if (!reader_ok(r))
            return false;
        n->json = buf_copy(json.ptr, json.len);
        if (!n->json)
            return false;
        f->note_count = i + 1;
    }
    return true;
}

berth_status facts_decode(reader *r, elf_facts **out, berth_error *error)
{
    elf_facts *f = calloc(1, sizeof *f);

    *out = NULL;
    if (!f)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    f->elf_class = reader_u8(r);
    f->elf_data = reader_u8(r);
    f->machine = reader_u16(r);
    f->type = reader_u16(r);
    f->file_size = reader_u64(r);
    f->layout = reader_u32(r);
    f->flags_1 = reader_u64(r);
    if (!decode_lists(r, f))
        goto corrupt;
    f->export_count = reader_u64(r);
    f->unique_count = reader_u64(r);
    f->import_count = reader_u64(r);
    f->has_entry = reader_u8(r) != 0;
    f->entry_type = reader_u8(r);
    f->entry_address = reader_u64(r);
    f->entry_size = reader_u64(r);
    if (!decode_segments(r, f) || !decode_notes(r, f) || f->exports.count > f->export_count ||
        f->uniques.count > f->unique_count || f->imports.count > f->import_count)
        goto corrupt;
    *out = f;
    return BERTH_OK;

corrupt:
    facts_free(f);
    return fail(error, BERTH_ERR_CORRUPT, "what the examining process answered makes no sense");
}
