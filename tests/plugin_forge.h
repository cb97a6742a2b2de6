/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_forge.h: the smallest shared object that admission accepts, made by hand, for the defects
 * that no tool produces. One segment holds everything; offsets equal addresses.
 */
#ifndef TESTS_PLUGIN_FORGE_H
#define TESTS_PLUGIN_FORGE_H

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FORGE_MAX (256 * 1024)
#define FORGE_JSON                                                                                 \
    "{\"name\":\"x\",\"version\":\"1.0.0\",\"license\":\"MIT\",\"abi\":[0,0],\"kinds\":[{"         \
    "\"name\":"                                                                                    \
    "\"x\"}]}"

enum { FORGE_LOAD, FORGE_DYNAMIC, FORGE_STACK, FORGE_NOTE, FORGE_NOTE_2, FORGE_HEADERS };

/* The file, and where its parts are, to be spoiled. */
typedef struct forge {
    _Alignas(16) uint8_t bytes[FORGE_MAX];
    size_t len;
    Elf64_Ehdr *header;
    Elf64_Phdr *headers; /* by FORGE_* */
    Elf64_Dyn *dynamic;
    size_t dynamic_count; /* with the end mark; there is room for eight more */
    Elf64_Sym *symbols;   /* nothing, berth_plugin_0, an import */
    char *strings;
    size_t strings_len;
    size_t note; /* offset */
} forge;

static inline size_t forge_room(forge *f, size_t n, size_t align)
{
    size_t at = (f->len + align - 1) / align * align;

    f->len = at + n;
    return at;
}

/* A note at an alignment of 4 or 8; its offset. */
static inline size_t forge_note(forge *f, size_t align, const char *owner, uint32_t type,
                                const void *body, size_t size)
{
    size_t owner_size = strlen(owner) + 1;
    size_t at = forge_room(f, 12, align);
    uint32_t head[3] = {(uint32_t)owner_size, (uint32_t)size, type};

    memcpy(f->bytes + at, head, sizeof head);
    memcpy(f->bytes + forge_room(f, owner_size, 1), owner, owner_size);
    memcpy(f->bytes + forge_room(f, size, align), body, size);
    forge_room(f, 0, align);
    return at;
}

static inline uint32_t forge_string(forge *f, const char *text)
{
    uint32_t at = (uint32_t)f->strings_len;

    memcpy(f->strings + at, text, strlen(text) + 1);
    f->strings_len += strlen(text) + 1;
    return at;
}

/* One more entry before the end mark. */
static inline void forge_dyn(forge *f, int64_t tag, uint64_t value)
{
    f->dynamic[f->dynamic_count - 1] = (Elf64_Dyn){.d_tag = tag, .d_un = {.d_val = value}};
    f->dynamic[f->dynamic_count++] = (Elf64_Dyn){.d_tag = DT_NULL};
    f->headers[FORGE_DYNAMIC].p_filesz = f->dynamic_count * sizeof *f->dynamic;
}

/* After the last change of len: the segment holds all. */
static inline void forge_close(forge *f)
{
    f->headers[FORGE_LOAD].p_filesz = f->headers[FORGE_LOAD].p_memsz = f->len;
}

static inline void forge_good(forge *f)
{
    static const uint32_t hash[] = {1, 3, 1, 0, 0, 0};
    size_t at, table;

    memset(f, 0, sizeof *f);
    f->header = (Elf64_Ehdr *)f->bytes;
    forge_room(f, sizeof *f->header, 1);
    *f->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
#ifdef __aarch64__
        .e_machine = EM_AARCH64,
#else
        .e_machine = EM_X86_64,
#endif
        .e_version = EV_CURRENT,
        .e_phoff = f->len,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = FORGE_HEADERS,
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    at = forge_room(f, FORGE_HEADERS * sizeof *f->headers, 8);
    f->headers = (Elf64_Phdr *)(f->bytes + at);
    at = forge_room(f, 16 * sizeof *f->dynamic, 8);
    f->dynamic = (Elf64_Dyn *)(f->bytes + at);
    f->dynamic_count = 1;
    f->headers[FORGE_DYNAMIC] = (Elf64_Phdr){
        .p_type = PT_DYNAMIC, .p_flags = PF_R, .p_offset = at, .p_vaddr = at, .p_align = 8};
    f->headers[FORGE_STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    f->headers[FORGE_LOAD] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_align = 4096};
    at = forge_room(f, 1024, 8);
    f->strings = (char *)f->bytes + at;
    f->strings_len = 1;
    forge_dyn(f, DT_STRTAB, at);
    forge_dyn(f, DT_STRSZ, 1024);
    table = forge_room(f, 48, 8);
    at = forge_room(f, 3 * sizeof *f->symbols, 8);
    f->symbols = (Elf64_Sym *)(f->bytes + at);
    f->symbols[1] = (Elf64_Sym){.st_name = forge_string(f, "berth_plugin_0"),
                                .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                .st_shndx = 1,
                                .st_value = table,
                                .st_size = 48};
    f->symbols[2] = (Elf64_Sym){.st_name = forge_string(f, "malloc"),
                                .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)};
    forge_dyn(f, DT_SYMTAB, at);
    at = forge_room(f, sizeof hash, 8);
    memcpy(f->bytes + at, hash, sizeof hash);
    forge_dyn(f, DT_HASH, at);
    forge_dyn(f, DT_NEEDED, forge_string(f, "libc.so.6"));
    f->note = forge_note(f, 4, "berth", 0x42450000, FORGE_JSON, sizeof FORGE_JSON - 1);
    f->headers[FORGE_NOTE] = (Elf64_Phdr){.p_type = PT_NOTE,
                                          .p_flags = PF_R,
                                          .p_offset = f->note,
                                          .p_vaddr = f->note,
                                          .p_filesz = f->len - f->note,
                                          .p_memsz = f->len - f->note,
                                          .p_align = 4};
    forge_close(f);
}

#endif
