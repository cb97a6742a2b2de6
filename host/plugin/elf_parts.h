/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/elf_parts.h: the parts that elf_read is made of. Inside this room only.
 *
 * Each adds to e->facts. Offsets and lengths from the file are checked against e->len before use.
 */
#ifndef PLUGIN_ELF_PARTS_H
#define PLUGIN_ELF_PARTS_H

#include "berth/status.h"
#include "plugin/facts.h"

#include <gelf.h>

typedef struct elf_image {
    uint8_t *bytes;
    size_t len;
    Elf *elf;
    size_t phdr_count;
    elf_facts *facts;
} elf_image;

/* Where the byte at this address lies in the file, and how many of its segment follow there, itself
 * included; *room is 0 when no segment takes it from the file. */
uint64_t elf_file_offset(const elf_image *e, uint64_t address, uint64_t *room);

/* Every note in one PT_NOTE; keeps ours. */
berth_status elf_read_notes(elf_image *e, const GElf_Phdr *p, berth_error *error);

/* The dynamic segment, and the symbols it leads to. */
berth_status elf_read_dynamic(elf_image *e, const GElf_Phdr *p, berth_error *error);

/* The addresses of the dynamic segment that lead to the symbols; 0: not there. */
typedef struct elf_tables {
    uint64_t strings, strings_size;
    uint64_t symbols, hash, gnu_hash;
} elf_tables;

berth_status elf_read_symbols(elf_image *e, const elf_tables *t, berth_error *error);

/* The zero-terminated string at this place of the string table; false when there is none, or it is
 * longer than FACTS_MAX_NAME. */
bool elf_string(const elf_image *e, const elf_tables *t, uint64_t index, slice *out);

#endif
