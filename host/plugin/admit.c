/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/admit.h"
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/list.h"

#include <elf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define HOST_MACHINE      EM_X86_64
#define HOST_MACHINE_NAME "x86-64"
#elif defined(__aarch64__)
#define HOST_MACHINE      EM_AARCH64
#define HOST_MACHINE_NAME "aarch64"
#else
#error "name this machine's ELF number here"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST_DATA ELFDATA2LSB
#else
#define HOST_DATA ELFDATA2MSB
#endif

typedef struct judge {
    const elf_facts *facts;
    const manifest *manifest;
    const admit_policy *policy;
    admission *out;
    bool failed; /* memory */
} judge;

static void __attribute__((format(printf, 4, 5)))
find(judge *j, admit_level level, const char *rule, const char *format, ...)
{
    admission *a = j->out;
    admit_finding *items = realloc(a->items, (a->count + 1) * sizeof *items);
    va_list args;
    char *text = NULL;
    int n;

    if (items)
        a->items = items;
    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (!items || n < 0) {
        if (n >= 0)
            free(text);
        j->failed = true;
        return;
    }
    a->items[a->count++] = (admit_finding){.rule = rule, .level = level, .text = text};
    a->refused += level == ADMIT_REFUSED;
}

/* For what spoils a shared process and does no harm in one of its own. */
static admit_level shared(const judge *j)
{
    return j->policy->process ? ADMIT_REPORTED : ADMIT_REFUSED;
}

static const char *machine_name(uint16_t machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390x";
    default:
        return "another machine";
    }
}

static void judge_header(judge *j)
{
    const elf_facts *f = j->facts;

    if (f->elf_class != ELFCLASS64)
        find(j, ADMIT_REFUSED, "class",
             "is a 32-bit object, this host runs 64-bit ones: build it without -m32");
    if (f->elf_data != HOST_DATA)
        find(j, ADMIT_REFUSED, "byte-order",
             "has the other byte order: build it for " HOST_MACHINE_NAME);
    if (f->machine != HOST_MACHINE)
        find(j, ADMIT_REFUSED, "machine",
             "is built for %s (machine %u), this host is " HOST_MACHINE_NAME
             ": build it for " HOST_MACHINE_NAME,
             machine_name(f->machine), (unsigned)f->machine);
    if (f->type != ET_DYN || (f->flags_1 & DF_1_PIE))
        find(j, ADMIT_REFUSED, "type", "is not a shared object but %s: link it with -shared",
             f->type == ET_REL    ? "an object file"
             : f->type == ET_CORE ? "a core dump"
                                  : "a program");
    if (f->layout & FACTS_NO_DYNAMIC)
        find(j, ADMIT_REFUSED, "dynamic", "has no dynamic segment: link it with -shared");
}

static void judge_mapping(judge *j)
{
    const elf_facts *f = j->facts;

    if (f->layout & FACTS_OVERLAP)
        find(j, ADMIT_REFUSED, "segments",
             "has segments that overlap in memory: link it with an unmodified linker script");
    if (f->layout & FACTS_RWX)
        find(j, ADMIT_REFUSED, "rwx",
             "has a segment both writable and executable: link it without -N and without a linker "
             "script of its own");
    if (f->layout & FACTS_STACK_MISSING)
        find(j, ADMIT_REFUSED, "stack",
             "has no PT_GNU_STACK, which would make every stack of the host executable: link it "
             "with -Wl,-z,noexecstack");
    if (f->layout & FACTS_STACK_EXEC)
        find(j, ADMIT_REFUSED, "stack",
             "asks for an executable stack: link it with -Wl,-z,noexecstack (an assembler file "
             "without .note.GNU-stack does this too)");
    if (f->layout & FACTS_TEXTREL)
        find(j, ADMIT_REFUSED, "textrel",
             "has relocations in its code (TEXTREL): compile all of it with -fPIC");
}

static bool allowed_library(const judge *j, const char *name)
{
    return admit_usual_library(name) || (j->policy->libs && list_has(j->policy->libs, name));
}

static void judge_dependencies(judge *j)
{
    const elf_facts *f = j->facts;

    for (size_t i = 0; i < f->search_paths.count; i++)
        find(j, ADMIT_REFUSED, "rpath",
             "has a library search path of its own (%s): link it without -rpath, or remove it with "
             "chrpath -d",
             f->search_paths.items[i]);
    for (size_t i = 0; i < f->redirections.count; i++)
        find(j, ADMIT_REFUSED, "redirection",
             "would bring in other code by %s: link it without that option",
             f->redirections.items[i]);
    for (size_t i = 0; i < f->needed.count; i++) {
        const char *name = f->needed.items[i];

        if (!allowed_library(j, name))
            find(j, ADMIT_REFUSED, "needed",
                 "needs the library '%s', which no signature covers: link it statically, or allow "
                 "it "
                 "with plugins { libs = {\"%s\"} }",
                 name, name);
    }
    if (f->flags_1 & (DF_1_GLOBAL | DF_1_INTERPOSE))
        find(j, shared(j), "global",
             "asks to put its symbols before those of others: link it without -z global and -z "
             "interpose");
    if (f->flags_1 & DF_1_NOOPEN)
        find(j, ADMIT_REFUSED, "noopen",
             "may not be opened at run time: link it without -z nodlopen");
}

/* "a, b, c and 4 more" */
static const char *some(const manifest_list *names, uint64_t count, char *out, size_t cap)
{
    size_t shown = 0, at = 0;

    out[0] = 0;
    for (; shown < names->count && shown < 3; shown++)
        at +=
            (size_t)snprintf(out + at, cap - at, "%s%.64s", shown ? ", " : "", names->items[shown]);
    if (count > shown)
        snprintf(out + at, cap - at, " and %" PRIu64 " more", count - shown);
    return out;
}

static void judge_symbols(judge *j)
{
    const elf_facts *f = j->facts;
    char names[256];

    if (!f->has_entry)
        find(j, ADMIT_REFUSED, "entry",
             "does not export %s: define it in one source file, with default visibility (the "
             "BERTH_EXPORT of the header)",
             BERTH_PLUGIN_SYMBOL);
    else if (f->entry_type != STT_OBJECT || f->entry_size < sizeof(uint32_t) ||
             f->entry_address % _Alignof(berth_plugin) != 0 ||
             !facts_covers(f, f->entry_address, f->entry_size))
        find(j, ADMIT_REFUSED, "entry",
             "exports %s as something that is not a table of data: define it as a const "
             "berth_plugin",
             BERTH_PLUGIN_SYMBOL);
    if (f->export_count)
        find(
            j, shared(j), "exports",
            "exports %s, which other code could bind to: compile with -fvisibility=hidden and link "
            "with the SDK's version script and -Wl,--exclude-libs,ALL",
            some(&f->exports, f->export_count, names, sizeof names));
    if (f->unique_count)
        find(j, shared(j), "unique",
             "has unique symbols (%s), which all copies in a process share and which are never "
             "unloaded: compile with -fno-gnu-unique",
             some(&f->uniques, f->unique_count, names, sizeof names));
    if (f->flags_1 & DF_1_NODELETE)
        find(j, shared(j), "nodelete",
             "asks never to be unloaded: link it without -Wl,-z,nodelete");
    if (f->layout & FACTS_STATIC_TLS)
        find(j, shared(j), "static-tls",
             "takes thread-local storage from the little that is left to the process: compile "
             "without -ftls-model=initial-exec");
}

static void judge_note(judge *j)
{
    const elf_facts *f = j->facts;
    const facts_note *note = facts_note_of(f, BERTH_ABI_MAJOR);

    if (!f->note_count) {
        find(j, ADMIT_REFUSED, "note",
             "has no manifest: embed berth.json with the SDK's berth_add_plugin() or its manifest "
             "macro");
        return;
    }
    if (!note) {
        find(j, ADMIT_REFUSED, "abi",
             "is built for ABI %" PRIu32 ", this host speaks ABI %d: build it with this host's SDK",
             f->notes[0].major, BERTH_ABI_MAJOR);
        return;
    }
    if (!facts_covers(f, note->json_address, note->json->len))
        find(j, ADMIT_REFUSED, "note",
             "has its manifest outside of what is loaded: put the note in an allocated section");
}

static bool known_privilege(const char *name)
{
    static const char *const known[] = {ADMIT_PRIVILEGES};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i], name) == 0)
            return true;
    }
    return false;
}

static bool has_extension(const char *const *extensions, const char *id)
{
    for (; extensions && *extensions; extensions++) {
        if (strcmp(*extensions, id) == 0)
            return true;
    }
    return false;
}

static void judge_needs(judge *j)
{
    const manifest *m = j->manifest;

    for (size_t i = 0; i < m->needs_extensions.count; i++) {
        if (!has_extension(j->policy->extensions, m->needs_extensions.items[i]))
            find(
                j, ADMIT_REFUSED, "extension",
                "needs the extension '%.200s', which this host does not have: run a newer host, or "
                "take it from needs.extensions",
                m->needs_extensions.items[i]);
    }
    for (size_t i = 0; i < m->needs_privileges.count; i++) {
        const char *name = m->needs_privileges.items[i];

        if (!known_privilege(name))
            find(j, ADMIT_REFUSED, "privilege",
                 "needs the privilege '%.200s', which does not exist: there are threads, net.out, "
                 "net.listen and fs.read",
                 name);
        else if (j->policy->privileges && !list_has(j->policy->privileges, name))
            find(j, ADMIT_REFUSED, "privilege",
                 "needs the privilege '%s', which is not granted: take it from needs.privileges, "
                 "or use a host whose policy grants it",
                 name);
    }
}

static void judge_manifest(judge *j)
{
    const manifest *m = j->manifest;

    if (m->abi_major != BERTH_ABI_MAJOR)
        find(j, ADMIT_REFUSED, "abi",
             "says \"abi\": [%" PRIu32 ", %" PRIu32 "] in a note of ABI %d: make them agree",
             m->abi_major, m->abi_minor, BERTH_ABI_MAJOR);
    else if (m->abi_minor > BERTH_ABI_MINOR)
        find(j, ADMIT_REFUSED, "abi",
             "needs ABI %" PRIu32 ".%" PRIu32 ", this host has %d.%d: run a newer host, or lower "
             "BERTH_TARGET_MINOR",
             m->abi_major, m->abi_minor, BERTH_ABI_MAJOR, BERTH_ABI_MINOR);
    judge_needs(j);
    if (!j->policy->process && strcmp(m->runtime, "go") == 0)
        find(j, ADMIT_REFUSED, "runtime",
             "brings the Go runtime, which takes over signals and never leaves: it needs a process "
             "of its own, which this host cannot give yet; write it in C, C++ or Rust");
    for (size_t i = 0; i < m->kind_count && !j->policy->process; i++) {
        if (m->kinds[i].isolation == ISOLATION_PROCESS)
            find(j, ADMIT_REPORTED, "isolation",
                 "prefers a process of its own for kind '%s', which this host cannot give yet: it "
                 "will run inside of the host",
                 m->kinds[i].name);
    }
}

berth_status admit(const elf_facts *facts, const manifest *m, const admit_policy *policy,
                   admission *out, berth_error *error)
{
    judge j = {.facts = facts, .manifest = m, .policy = policy, .out = out};

    *out = (admission){0};
    judge_header(&j);
    if (out->refused == 0) { /* else the rest would be noise */
        judge_note(&j);
        judge_symbols(&j);
        judge_dependencies(&j);
        judge_mapping(&j);
        if (m)
            judge_manifest(&j);
    }
    return j.failed ? fail(error, BERTH_ERR_NO_MEMORY, "out of memory") : BERTH_OK;
}

void admission_free(admission *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->items[i].text);
    free(a->items);
    *a = (admission){0};
}

berth_status admission_verdict(const admission *a, berth_error *error)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->items[i].level != ADMIT_REFUSED)
            continue;
        if (a->refused == 1)
            return fail(error, BERTH_ERR_ADMISSION, "%s", a->items[i].text);
        return fail(error, BERTH_ERR_ADMISSION, "%s (and %zu more: berth plugin inspect shows all)",
                    a->items[i].text, a->refused - 1);
    }
    return BERTH_OK;
}

bool admit_usual_library(const char *name)
{
    static const char *const usual[] = {
        "libc.so.6",    "libm.so.6",      "libpthread.so.0",       "libdl.so.2",
        "librt.so.1",   "libgcc_s.so.1",  "libstdc++.so.6",        "ld-linux-x86-64.so.2",
        "libutil.so.1", "libresolv.so.2", "ld-linux-aarch64.so.1",
    };

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (strcmp(usual[i], name) == 0)
            return true;
    }
    return false;
}
