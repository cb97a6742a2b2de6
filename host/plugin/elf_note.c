/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/elf_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static berth_status keep(elf_image *e, const facts_note *note, slice json, berth_error *error)
{
    elf_facts *f = e->facts;

    if (facts_note_of(f, note->major))
        return fail(error, BERTH_ERR_ADMISSION,
                    "has two manifests for ABI %" PRIu32
                    ": link only one object that defines a manifest note",
                    note->major);
    if (f->note_count == FACTS_MAX_NOTES)
        return fail(error, BERTH_ERR_ADMISSION, "has more than %d manifest notes: build it again",
                    FACTS_MAX_NOTES);
    if (json.len > MANIFEST_MAX_BYTES)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a manifest of %zu bytes, at most %d are allowed: shorten it", json.len,
                    MANIFEST_MAX_BYTES);
    if (!f->notes)
        f->notes = calloc(FACTS_MAX_NOTES, sizeof *f->notes);
    if (!f->notes)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    f->notes[f->note_count] = *note;
    f->notes[f->note_count].json = buf_copy(json.ptr, json.len);
    if (!f->notes[f->note_count].json)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    f->note_count++;
    return BERTH_OK;
}

berth_status elf_read_notes(elf_image *e, const GElf_Phdr *p, berth_error *error)
{
    size_t at = 0, owner, desc, next;
    Elf_Data *data;
    GElf_Nhdr n;

    if (p->p_offset > e->len || p->p_filesz > e->len - p->p_offset)
        return fail(error, BERTH_ERR_ADMISSION, "is cut short in its notes: copy the file again");
    if (p->p_filesz == 0)
        return BERTH_OK;
    if (p->p_filesz > FACTS_MAX_NOTE_BYTES)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has notes of %" PRIu64 " bytes, at most %d are allowed: build it again",
                    (uint64_t)p->p_filesz, FACTS_MAX_NOTE_BYTES);
    data = elf_getdata_rawchunk(e->elf, (int64_t)p->p_offset, p->p_filesz,
                                p->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (!data)
        return fail(error, BERTH_ERR_ADMISSION, "has notes that cannot be read: build it again");

    while (at < data->d_size) {
        next = gelf_getnote(data, at, &n, &owner, &desc);
        if (next == 0)
            return fail(
                error, BERTH_ERR_ADMISSION,
                "has a truncated note: the manifest note's sizes do not fit; build it again "
                "with the macros or the CMake function of the SDK");
        if (n.n_namesz == sizeof BERTH_NOTE_OWNER &&
            memcmp((char *)data->d_buf + owner, BERTH_NOTE_OWNER, sizeof BERTH_NOTE_OWNER) == 0 &&
            (n.n_type & 0xFFFF0000u) == FACTS_NOTE_BASE) {
            facts_note note = {
                .major = n.n_type & 0xFFFF,
                .address = p->p_vaddr + at,
                .json_address = p->p_vaddr + desc,
            };
            berth_status status =
                keep(e, &note, slice_of((char *)data->d_buf + desc, n.n_descsz), error);

            if (status)
                return status;
        }
        at = next;
    }
    return BERTH_OK;
}
