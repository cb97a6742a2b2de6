/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/examine.h: facts and manifest of a file, without running anything of it.
 *
 * Parsers are code that hostile bytes get to first. Bytes under a good signature are read here and
 * now; all others by a child process that has nothing but the file, little memory and five seconds.
 * Blocking; any thread.
 */
#ifndef PLUGIN_EXAMINE_H
#define PLUGIN_EXAMINE_H

#include "plugin/facts.h"

typedef struct examination {
    elf_facts *facts;   /* NULL only after an error */
    manifest *manifest; /* NULL when there is no note of our major, or manifest_error */
    berth_error manifest_error;
} examination;

/* image as for elf_read. An error is about the file as ELF; a bad manifest is no error of the call.
 */
berth_status examine_here(void *image, size_t len, examination *out, berth_error *error);

/* The same in a child. ADMISSION also when the child crashes or takes too long. */
berth_status examine_apart(int fd, uint64_t size, examination *out, berth_error *error);

/* The same with another limit than EXAMINE_LIMIT_NS. */
#define EXAMINE_LIMIT_NS (5ll * 1000 * 1000 * 1000)
berth_status examine_apart_within(int fd, uint64_t size, int64_t limit_ns, examination *out,
                                  berth_error *error);

/* examine_apart of the regular file at path, at most max bytes long. Errors name the path. */
berth_status examine_file(const char *path, uint64_t max, examination *out, berth_error *error);

void examination_free(examination *e);

/* What the child answers, and how that is read. Hostile: CORRUPT. */
void examination_encode(writer *w, berth_status status, const berth_error *error,
                        const examination *e);
berth_status examination_decode(slice answer, examination *out, berth_error *error);

#endif
