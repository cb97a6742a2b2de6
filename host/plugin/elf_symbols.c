/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/elf_parts.h"
#include "plugin/list.h"

#include <string.h>

static berth_status damaged(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_ADMISSION, "has a damaged symbol table (%s): build it again",
                what);
}

/* count 32-bit words at an address, in our byte order, or NULL. */
static const uint32_t *words(elf_image *e, uint64_t address, uint64_t count)
{
    uint64_t room, at = elf_file_offset(e, address, &room);
    Elf_Data *data;

    if (count == 0 || count > room / 4)
        return NULL;
    data = elf_getdata_rawchunk(e->elf, (int64_t)at, count * 4, ELF_T_WORD);
    return data ? data->d_buf : NULL;
}

/* The symbols a DT_HASH table can lead to. */
static bool count_by_hash(elf_image *e, uint64_t address, uint64_t *count)
{
    const uint32_t *head = words(e, address, 2);

    if (!head)
        return false;
    *count = head[1];
    return true;
}

/* The same of a DT_GNU_HASH table: it has no count, so follow the chain of the highest bucket. */
static bool count_by_gnu_hash(elf_image *e, uint64_t address, uint64_t *count)
{
    const uint32_t *head = words(e, address, 4), *buckets, *chain;
    uint64_t bucket_count, first, bloom_bytes, chain_address, room, highest = 0, i = 0;

    if (!head)
        return false;
    bucket_count = head[0];
    first = head[1];
    bloom_bytes = (uint64_t)head[2] * (e->facts->elf_class == ELFCLASS64 ? 8 : 4);
    *count = first;
    if (bucket_count == 0)
        return true;
    buckets = words(e, address + 16 + bloom_bytes, bucket_count);
    if (!buckets)
        return false;
    for (uint64_t b = 0; b < bucket_count; b++) {
        if (buckets[b] > highest)
            highest = buckets[b];
    }
    if (highest == 0) /* no symbol at all */
        return true;
    if (highest < first)
        return false;
    chain_address = address + 16 + bloom_bytes + bucket_count * 4 + (highest - first) * 4;
    elf_file_offset(e, chain_address, &room);
    chain = words(e, chain_address, room / 4);
    if (!chain)
        return false;
    while (i < room / 4 && !(chain[i] & 1))
        i++;
    *count = highest + i + 1;
    return i < room / 4;
}

/* berth_plugin_<number> */
static bool is_entry(slice name)
{
    static const char prefix[] = "berth_plugin_";
    size_t at = sizeof prefix - 1;

    if (name.len <= at || memcmp(name.ptr, prefix, at) != 0)
        return false;
    for (; at < name.len; at++) {
        if (name.ptr[at] < '0' || name.ptr[at] > '9')
            return false;
    }
    return true;
}

static bool keep(manifest_list *list, uint64_t *count, slice name)
{
    (*count)++;
    return list->count >= FACTS_MAX_NAMES || list_add(list, name);
}

static berth_status take(elf_facts *f, const GElf_Sym *s, slice name, berth_error *error)
{
    unsigned bind = GELF_ST_BIND(s->st_info), type = GELF_ST_TYPE(s->st_info);
    unsigned visibility = GELF_ST_VISIBILITY(s->st_other);
    bool ok = true;

    if (bind == STB_LOCAL || type == STT_SECTION || type == STT_FILE)
        return BERTH_OK;
    if (s->st_shndx == SHN_UNDEF) {
        ok = keep(&f->imports, &f->import_count, name);
    } else if (visibility == STV_DEFAULT || visibility == STV_PROTECTED) {
        /* The name of a symbol version is an absolute symbol without value: nobody binds to it. */
        if (s->st_shndx == SHN_ABS && s->st_value == 0 && s->st_size == 0)
            return BERTH_OK;
        if (slice_eq(name, slice_str(BERTH_PLUGIN_SYMBOL))) {
            f->has_entry = true;
            f->entry_type = (uint8_t)type;
            f->entry_address = s->st_value;
            f->entry_size = s->st_size;
        }
        if (!is_entry(name))
            ok = keep(&f->exports, &f->export_count, name);
        if (ok && bind == STB_GNU_UNIQUE)
            ok = keep(&f->uniques, &f->unique_count, name);
    }
    return ok ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

berth_status elf_read_symbols(elf_image *e, const elf_tables *t, berth_error *error)
{
    size_t entry = gelf_fsize(e->elf, ELF_T_SYM, 1, EV_CURRENT);
    uint64_t by_hash = 0, by_gnu_hash = 0, count, room, at;
    Elf_Data *data;

    if ((t->hash && !count_by_hash(e, t->hash, &by_hash)) ||
        (t->gnu_hash && !count_by_gnu_hash(e, t->gnu_hash, &by_gnu_hash)))
        return damaged(error, "its hash table");
    count = by_hash > by_gnu_hash ? by_hash : by_gnu_hash;
    if (count <= 1)
        return BERTH_OK;
    at = elf_file_offset(e, t->symbols, &room);
    if (count > room / entry)
        return damaged(error, "it is longer than its segment");
    if (count > FACTS_MAX_SYMBOLS)
        return damaged(error, "more symbols than allowed");
    data = elf_getdata_rawchunk(e->elf, (int64_t)at, count * entry, ELF_T_SYM);
    if (!data)
        return damaged(error, "unreadable");
    for (uint64_t i = 1; i < count; i++) {
        berth_status status;
        GElf_Sym s;
        slice name;

        if (!gelf_getsym(data, (int)i, &s) || !elf_string(e, t, s.st_name, &name))
            return damaged(error, "a name lies outside of the string table, or is too long");
        status = take(e->facts, &s, name, error);
        if (status)
            return status;
    }
    return BERTH_OK;
}
