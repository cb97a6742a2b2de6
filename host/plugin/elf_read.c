/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/elf_read.h"
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/elf_parts.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Pages of this size at least separate what the loader maps. */
#define PAGE 4096u

/* Section headers mean nothing to the loader. Check that the file is long enough to hold them,
 * which finds files cut short, then take them from libelf's sight. */
static berth_status blank_sections(uint8_t *image, size_t len, berth_error *error)
{
    bool wide = image[EI_CLASS] == ELFCLASS64;
    bool big = image[EI_DATA] == ELFDATA2MSB;
    size_t header = wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    size_t at = wide ? offsetof(Elf64_Ehdr, e_shoff) : offsetof(Elf32_Ehdr, e_shoff);
    size_t width = wide ? 8 : 4;
    size_t counts = wide ? offsetof(Elf64_Ehdr, e_shentsize) : offsetof(Elf32_Ehdr, e_shentsize);
    uint64_t offset = 0, size;

    if (len < header)
        return fail(error, BERTH_ERR_ADMISSION,
                    "is cut short: %zu bytes are less than an ELF header; copy the file again",
                    len);
    for (size_t i = 0; i < width; i++)
        offset = offset << 8 | image[at + (big ? i : width - 1 - i)];
    /* e_shentsize and e_shnum, 16 bits each. */
    size = (uint64_t)(image[counts + (big ? 0 : 1)] << 8 | image[counts + (big ? 1 : 0)]) *
           (uint64_t)(image[counts + 2 + (big ? 0 : 1)] << 8 | image[counts + 2 + (big ? 1 : 0)]);
    if (offset > len || size > len - offset)
        return fail(error, BERTH_ERR_ADMISSION,
                    "is cut short or damaged: its section headers would end beyond its %zu bytes; "
                    "copy the file again",
                    len);
    memset(image + at, 0, width);
    memset(image + counts, 0, 6);
    return BERTH_OK;
}

static berth_status add_segment(elf_image *e, const GElf_Phdr *p, berth_error *error)
{
    elf_facts *f = e->facts;

    if (p->p_offset > e->len || p->p_filesz > e->len - p->p_offset)
        return fail(error, BERTH_ERR_ADMISSION,
                    "is cut short: a segment would end at byte %" PRIu64
                    ", it has %zu; copy the file again",
                    (uint64_t)(p->p_offset + p->p_filesz), e->len);
    if (p->p_filesz > p->p_memsz || p->p_vaddr + p->p_memsz < p->p_vaddr ||
        p->p_vaddr + p->p_memsz > UINT64_MAX - PAGE)
        return fail(error, BERTH_ERR_ADMISSION,
                    "has a segment of impossible size: it is damaged; build it again");
    if ((p->p_flags & PF_W) && (p->p_flags & PF_X))
        f->layout |= FACTS_RWX;
    f->segments[f->segment_count++] = (facts_segment){
        .offset = p->p_offset,
        .file_size = p->p_filesz,
        .address = p->p_vaddr,
        .memory_size = p->p_memsz,
        .flags = p->p_flags,
    };
    return BERTH_OK;
}

/* Two segments that share a page: the later one replaces bytes of the earlier one, and an address
 * has no single place in the file. Or two in falling order: the loader takes the first and the last
 * for the ends of all, and would map what lies beyond over other memory of the process. */
static bool segments_overlap(const elf_facts *f)
{
    for (size_t i = 0; i < f->segment_count; i++) {
        for (size_t j = i + 1; j < f->segment_count; j++) {
            const facts_segment *a = &f->segments[i], *b = &f->segments[j];
            uint64_t a_end = (a->address + a->memory_size + PAGE - 1) / PAGE;
            uint64_t b_end = (b->address + b->memory_size + PAGE - 1) / PAGE;

            if (b->address < a->address)
                return true;
            if (a->memory_size && b->memory_size && a->address / PAGE < b_end &&
                b->address / PAGE < a_end)
                return true;
        }
    }
    return false;
}

static berth_status read_segments(elf_image *e, berth_error *error)
{
    elf_facts *f = e->facts;
    bool stack = false;
    GElf_Phdr p;

    f->segments = calloc(e->phdr_count ? e->phdr_count : 1, sizeof *f->segments);
    if (!f->segments)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < e->phdr_count; i++) {
        berth_status status = BERTH_OK;

        if (!gelf_getphdr(e->elf, (int)i, &p))
            return fail(error, BERTH_ERR_ADMISSION,
                        "is cut short: its program headers are not all there; copy the file again");
        if (p.p_type == PT_LOAD)
            status = add_segment(e, &p, error);
        if (p.p_type == PT_GNU_STACK) {
            stack = true;
            if (p.p_flags & PF_X)
                f->layout |= FACTS_STACK_EXEC;
        }
        if (status)
            return status;
    }
    if (!stack)
        f->layout |= FACTS_STACK_MISSING;
    if (segments_overlap(f))
        f->layout |= FACTS_OVERLAP;
    return BERTH_OK;
}

static berth_status read_rest(elf_image *e, berth_error *error)
{
    bool dynamic = false;
    GElf_Phdr p;

    for (size_t i = 0; i < e->phdr_count; i++) {
        berth_status status = BERTH_OK;

        if (!gelf_getphdr(e->elf, (int)i, &p))
            return fail(error, BERTH_ERR_ADMISSION, "has unreadable program headers");
        if (p.p_type == PT_NOTE) {
            status = elf_read_notes(e, &p, error);
        } else if (p.p_type == PT_DYNAMIC) {
            if (dynamic)
                return fail(error, BERTH_ERR_ADMISSION,
                            "has two dynamic segments: it is damaged; build it again");
            dynamic = true;
            status = elf_read_dynamic(e, &p, error);
        }
        if (status)
            return status;
    }
    if (!dynamic)
        e->facts->layout |= FACTS_NO_DYNAMIC;
    return BERTH_OK;
}

uint64_t elf_file_offset(const elf_image *e, uint64_t address, uint64_t *room)
{
    for (size_t i = 0; i < e->facts->segment_count; i++) {
        const facts_segment *s = &e->facts->segments[i];

        if (address >= s->address && address - s->address < s->file_size) {
            *room = s->file_size - (address - s->address);
            return s->offset + (address - s->address);
        }
    }
    *room = 0;
    return 0;
}

berth_status elf_read(void *image, size_t len, elf_facts **out, berth_error *error)
{
    elf_image e = {.bytes = image, .len = len};
    berth_status status;
    GElf_Ehdr header;

    *out = NULL;
    if (len == 0)
        return fail(error, BERTH_ERR_ADMISSION, "is empty: build or copy it again");
    if (len < EI_NIDENT || memcmp(image, ELFMAG, SELFMAG) != 0)
        return fail(error, BERTH_ERR_ADMISSION,
                    "is not a shared object (no ELF file): give the .so that the build made");
    if ((e.bytes[EI_CLASS] != ELFCLASS64 && e.bytes[EI_CLASS] != ELFCLASS32) ||
        (e.bytes[EI_DATA] != ELFDATA2LSB && e.bytes[EI_DATA] != ELFDATA2MSB) ||
        e.bytes[EI_VERSION] != EV_CURRENT)
        return fail(error, BERTH_ERR_ADMISSION, "has a damaged ELF header: copy the file again");
    status = blank_sections(image, len, error);
    if (status)
        return status;

    if (elf_version(EV_CURRENT) == EV_NONE)
        return fail(error, BERTH_ERR_INTERNAL, "libelf is too old");
    e.facts = calloc(1, sizeof *e.facts);
    e.elf = elf_memory(image, len);
    if (!e.facts || !e.elf) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        goto out;
    }
    if (!gelf_getehdr(e.elf, &header) || header.e_phnum > FACTS_MAX_SEGMENTS ||
        elf_getphdrnum(e.elf, &e.phdr_count) != 0 || e.phdr_count != header.e_phnum) {
        status = fail(error, BERTH_ERR_ADMISSION,
                      "has %u program headers that cannot be read (at most %d are allowed): it is "
                      "damaged; copy it again",
                      (unsigned)header.e_phnum, FACTS_MAX_SEGMENTS);
        goto out;
    }
    e.facts->elf_class = e.bytes[EI_CLASS];
    e.facts->elf_data = e.bytes[EI_DATA];
    e.facts->machine = header.e_machine;
    e.facts->type = header.e_type;
    e.facts->file_size = len;
    status = read_segments(&e, error);
    if (!status)
        status = read_rest(&e, error);
    if (!status) {
        *out = e.facts;
        e.facts = NULL;
    }

out:
    elf_end(e.elf);
    facts_free(e.facts);
    return status;
}
