/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/elf_parts.h"
#include "plugin/list.h"

#include <stdio.h>
#include <string.h>

static berth_status damaged(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_ADMISSION, "has a damaged dynamic segment (%s): build it again",
                what);
}

bool elf_string(const elf_image *e, const elf_tables *t, uint64_t index, slice *out)
{
    uint64_t room, at = elf_file_offset(e, t->strings, &room), most;
    const uint8_t *end;

    if (t->strings_size < room)
        room = t->strings_size;
    if (index >= room)
        return false;
    most = room - index < FACTS_MAX_NAME ? room - index : FACTS_MAX_NAME;
    end = memchr(e->bytes + at + index, 0, most);
    if (!end)
        return false;
    *out = slice_of(e->bytes + at + index, (size_t)(end - (e->bytes + at + index)));
    return true;
}

/* Addresses and flags; the loader takes the last entry of each kind. */
static void take_value(elf_facts *f, elf_tables *t, const GElf_Dyn *d)
{
    switch (d->d_tag) {
    case DT_STRTAB:
        t->strings = d->d_un.d_ptr;
        break;
    case DT_STRSZ:
        t->strings_size = d->d_un.d_val;
        break;
    case DT_SYMTAB:
        t->symbols = d->d_un.d_ptr;
        break;
    case DT_HASH:
        t->hash = d->d_un.d_ptr;
        break;
    case DT_GNU_HASH:
        t->gnu_hash = d->d_un.d_ptr;
        break;
    case DT_TEXTREL:
        f->layout |= FACTS_TEXTREL;
        break;
    case DT_FLAGS:
        if (d->d_un.d_val & DF_TEXTREL)
            f->layout |= FACTS_TEXTREL;
        if (d->d_un.d_val & DF_STATIC_TLS)
            f->layout |= FACTS_STATIC_TLS;
        break;
    case DT_FLAGS_1:
        f->flags_1 |= d->d_un.d_val;
        break;
    default:
        break;
    }
}

/* The name of a tag whose value is a string that admission asks about, and the list it goes to. */
static const char *string_tag(elf_facts *f, int64_t tag, manifest_list **list)
{
    switch (tag) {
    case DT_NEEDED:
        *list = &f->needed;
        return "";
    case DT_RPATH:
        *list = &f->search_paths;
        return "DT_RPATH";
    case DT_RUNPATH:
        *list = &f->search_paths;
        return "DT_RUNPATH";
    case DT_AUDIT:
        *list = &f->redirections;
        return "DT_AUDIT";
    case DT_DEPAUDIT:
        *list = &f->redirections;
        return "DT_DEPAUDIT";
    case DT_CONFIG:
        *list = &f->redirections;
        return "DT_CONFIG";
    case DT_FILTER:
        *list = &f->redirections;
        return "DT_FILTER";
    case DT_AUXILIARY:
        *list = &f->redirections;
        return "DT_AUXILIARY";
    default:
        return NULL;
    }
}

static berth_status take_string(elf_image *e, const elf_tables *t, const GElf_Dyn *d,
                                berth_error *error)
{
    elf_facts *f = e->facts;
    manifest_list *list = NULL;
    const char *tag = string_tag(f, d->d_tag, &list);
    char text[FACTS_MAX_NAME + 64];
    slice value;
    int n;

    if (!tag && d->d_tag != DT_SONAME)
        return BERTH_OK;
    if (!elf_string(e, t, d->d_un.d_val, &value))
        return damaged(error, "a string lies outside of the string table");
    if (!tag) {
        if (f->soname)
            return damaged(error, "two names");
        f->soname = text_dup(value);
        return f->soname ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (list->count == FACTS_MAX_NEEDED)
        return damaged(error, "too many libraries");
    if (*tag) {
        n = snprintf(text, sizeof text, "%s '%.*s'", tag, (int)value.len, (const char *)value.ptr);
        value = slice_of(text, (size_t)n);
    }
    return list_add(list, value) ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

berth_status elf_read_dynamic(elf_image *e, const GElf_Phdr *p, berth_error *error)
{
    uint64_t room, at = elf_file_offset(e, p->p_vaddr, &room);
    size_t entry = gelf_fsize(e->elf, ELF_T_DYN, 1, EV_CURRENT), count;
    elf_tables t = {0};
    berth_status status;
    Elf_Data *data;
    GElf_Dyn d;

    /* The loader reads it by its address; other tools by its offset. They must mean the same. */
    if (at != p->p_offset || p->p_filesz > room)
        return damaged(error, "its address and its place in the file disagree");
    count = p->p_filesz / entry;
    data = count ? elf_getdata_rawchunk(e->elf, (int64_t)at, count * entry, ELF_T_DYN) : NULL;
    if (!data)
        return damaged(error, "unreadable");

    for (size_t i = 0;; i++) {
        /* The loader would read on past the segment until it finds the end mark. */
        if (i == count || !gelf_getdyn(data, (int)i, &d))
            return damaged(error, "no end mark");
        if (d.d_tag == DT_NULL) {
            count = i;
            break;
        }
        take_value(e->facts, &t, &d);
    }
    for (size_t i = 0; i < count; i++) {
        if (!gelf_getdyn(data, (int)i, &d))
            return damaged(error, "unreadable");
        status = take_string(e, &t, &d, error);
        if (status)
            return status;
    }
    return elf_read_symbols(e, &t, error);
}
