/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/facts.h: what an ELF file is, as far as admission cares.
 *
 * Read from the program headers and the dynamic segment alone, which is what the dynamic loader
 * goes by; section headers may be stripped, or lie. Pure, no I/O; any thread. The facts own no part
 * of the file they came from and can be sent from one process to another.
 */
#ifndef PLUGIN_FACTS_H
#define PLUGIN_FACTS_H

#include "base/cursor.h"
#include "plugin/manifest.h"

/* The high half of the type of our notes; the low half is the ABI major. */
#define FACTS_NOTE_BASE 0x42450000u

#define FACTS_MAX_SEGMENTS   64
#define FACTS_MAX_NOTES      8         /* of ours; one per ABI major */
#define FACTS_MAX_NOTE_BYTES (1 << 20) /* of one note segment, with foreign notes */
#define FACTS_MAX_NEEDED     256
#define FACTS_MAX_SYMBOLS    (1 << 20)
#define FACTS_MAX_NAMES      1024 /* names kept of each list of symbols; the counts are exact */
#define FACTS_MAX_NAME       4096

/* One PT_LOAD. */
typedef struct facts_segment {
    uint64_t offset, file_size;
    uint64_t address, memory_size;
    uint32_t flags; /* PF_* */
} facts_segment;

/* One note of ours. */
typedef struct facts_note {
    uint32_t major;
    uint64_t address;      /* of the note's header, relative to the load address */
    uint64_t json_address; /* of its JSON */
    buf *json;             /* one reference */
} facts_note;

/* What is wrong with the way the file would be mapped; each is a bit of elf_facts.layout. */
#define FACTS_OVERLAP                                                                              \
    0x1 /* two segments share a page of memory: what runs may not be what we read */
#define FACTS_RWX           0x2 /* a segment both writable and executable */
#define FACTS_STACK_MISSING 0x4 /* no PT_GNU_STACK: the loader makes every stack executable */
#define FACTS_STACK_EXEC    0x8
#define FACTS_TEXTREL       0x10
#define FACTS_STATIC_TLS    0x20
#define FACTS_NO_DYNAMIC    0x40

typedef struct elf_facts {
    uint8_t elf_class, elf_data; /* ELFCLASS*, ELFDATA* */
    uint16_t machine, type;      /* EM_*, ET_* */
    uint64_t file_size;
    uint32_t layout;
    uint64_t flags_1; /* DT_FLAGS_1 */
    char *soname;     /* or NULL */
    manifest_list needed;
    manifest_list search_paths; /* "DT_RUNPATH '/opt/lib'" */
    manifest_list redirections; /* "DT_AUDIT 'libspy.so'", DT_FILTER, DT_AUXILIARY */
    /* Dynamic symbols that others could bind to, those of them that are STB_GNU_UNIQUE, and those
     * that must come from elsewhere. */
    manifest_list exports, uniques, imports;
    uint64_t export_count, unique_count, import_count;
    /* The symbol BERTH_PLUGIN_SYMBOL. */
    bool has_entry;
    uint8_t entry_type; /* STT_* */
    uint64_t entry_address, entry_size;
    facts_segment *segments;
    size_t segment_count;
    facts_note *notes;
    size_t note_count;
} elf_facts;

/* The note of this ABI major, or NULL. */
const facts_note *facts_note_of(const elf_facts *facts, uint32_t major);

/* Whether length bytes from this address on lie in one segment that can be read. */
bool facts_covers(const elf_facts *facts, uint64_t address, uint64_t length);

void facts_free(elf_facts *facts);

/* For the way between processes. Decoding takes hostile bytes: BERTH_ERR_CORRUPT. */
void facts_encode(writer *w, const elf_facts *facts);
berth_status facts_decode(reader *r, elf_facts **out, berth_error *error);

#endif
