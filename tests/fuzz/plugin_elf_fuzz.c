/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files, their notes, and what admission says of them. The first byte chooses: the rest is a
 * file, or a list of changes (offset u16, byte) to a good one, or the notes of a good one.
 */
#include "../plugin_forge.h"
#include "plugin/admit.h"
#include "plugin/elf_read.h"

#include <stdlib.h>

static forge file;

static void add_notes(const uint8_t *data, size_t size)
{
    size_t at = forge_room(&file, size, 8);

    memcpy(file.bytes + at, data, size);
    file.headers[FORGE_NOTE_2] = (Elf64_Phdr){.p_type = PT_NOTE,
                                              .p_offset = at,
                                              .p_vaddr = at,
                                              .p_filesz = size,
                                              .p_align = size % 2 ? 4 : 8};
    forge_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    elf_facts *facts = NULL;
    uint8_t *image;
    size_t len;

    if (size < 1 || size > 64 * 1024)
        return 0;
    forge_good(&file);
    if (data[0] % 3 == 1)
        add_notes(data + 1, size - 1);
    for (size_t at = 1; data[0] % 3 == 2 && at + 3 <= size; at += 3)
        file.bytes[(data[at] | data[at + 1] << 8) % file.len] = data[at + 2];
    len = data[0] % 3 == 0 ? size - 1 : file.len;
    /* A block of exactly its size, so that a read past its end is seen. */
    image = malloc(len ? len : 1);
    if (!image)
        return 0;
    memcpy(image, data[0] % 3 == 0 ? data + 1 : file.bytes, len);

    if (elf_read(image, len, &facts, &error) == BERTH_OK) {
        admit_policy policy = {0};
        admission a;

        if (admit(facts, NULL, &policy, &a, &error) != BERTH_OK)
            abort();
        /* What is let in has what the next steps rely on. */
        if (!a.refused && (!facts_note_of(facts, 0) || !facts->has_entry ||
                           !facts_covers(facts, facts->entry_address, facts->entry_size)))
            abort();
        admission_free(&a);
    } else if (!error.text[0] || facts) {
        abort();
    }
    facts_free(facts);
    free(image);
    return 0;
}
