/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/admit.h: whether a file may be loaded, judged by its facts and its manifest alone.
 *
 * Pure; any thread. Every rule is judged, so that an author sees all there is to fix at once. The
 * rules keep out what would run code that no signature covers, what would weaken the process, and
 * what would not stay apart from other plugins; docs/abi.md lists them for authors.
 */
#ifndef PLUGIN_ADMIT_H
#define PLUGIN_ADMIT_H

#include "plugin/facts.h"

/* What a plugin may ask for in "needs.privileges". */
#define ADMIT_PRIVILEGES "threads", "net.out", "net.listen", "fs.read"

typedef struct admit_policy {
    const manifest_list *libs; /* allowed in DT_NEEDED beside the usual; or NULL */
    bool process;              /* in a worker: what only concerns a shared process is reported */
    const char *const *extensions;   /* what this host has, NULL-terminated; NULL: none */
    const manifest_list *privileges; /* what is granted; NULL: all that exist */
} admit_policy;

typedef enum admit_level { ADMIT_REPORTED, ADMIT_REFUSED } admit_level;

typedef struct admit_finding {
    const char *rule; /* a word that stays the same from release to release, as "needed"; static */
    admit_level level;
    char *text; /* what is wrong, and what cures it */
} admit_finding;

typedef struct admission {
    admit_finding *items;
    size_t count;
    size_t refused;
} admission;

/*
 * manifest may be NULL when it could not be parsed: its own rules are then left out. NO_MEMORY or
 * OK; the judgement is in *out, which the caller frees either way.
 */
berth_status admit(const elf_facts *facts, const manifest *m, const admit_policy *policy,
                   admission *out, berth_error *error);
void admission_free(admission *a);

/* ADMISSION with the first refusal and how many more there are; OK when there is none. */
berth_status admission_verdict(const admission *a, berth_error *error);

/* Whether this DT_NEEDED is one of the C and C++ runtimes that every host has. */
bool admit_usual_library(const char *name);

#endif
