/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/examine.h: facts and manifest of a file, without running anything of it.
 *
 * Parsers are code that hostile bytes get to first. Bytes under a good signature are read here and
 * now; all others by a program of its own, berth-examine, which has nothing but the file, little
 * memory, five seconds of a processor, and no system call to do harm with. A fork of this process
 * would not do: in a child of a process with threads no lock can be relied on, and it would hold
 * copies of all secrets. Blocking; any thread.
 */
#ifndef PLUGIN_EXAMINE_H
#define PLUGIN_EXAMINE_H

#include "plugin/facts.h"

#include <limits.h>

typedef struct examination {
    elf_facts *facts;   /* NULL only after an error */
    manifest *manifest; /* NULL when there is no note of our major, or manifest_error */
    berth_error manifest_error;
} examination;

/* image as for elf_read. An error is about the file as ELF; a bad manifest is no error of the call.
 */
berth_status examine_here(void *image, size_t len, examination *out, berth_error *error);

/*
 * The berth-examine that belongs to this program or library: beside it where both were built, in
 * libexec/berth where they were installed. False: there is none, or one that others may write to.
 */
bool examine_helper(char out[PATH_MAX]);

/*
 * The same by that helper. What the file is to blame for is ADMISSION: the helper crashes on it, or
 * takes all its time, or answers without end. BUSY: it was killed by someone, or the machine is too
 * loaded to run it in time; another try may do. NOT_FOUND: there is no such program, it cannot be
 * run, or it is of another version. CORRUPT: its answer makes no sense.
 */
berth_status examine_apart(const char *helper, int fd, uint64_t size, int64_t limit_ns,
                           examination *out, berth_error *error);

/* How long that may take on a machine that has other things to do. */
#define EXAMINE_LIMIT_NS (30ll * 1000 * 1000 * 1000)
/* How a helper of another version ends. */
#define EXAMINE_OTHER_VERSION 3

/* examine_apart of the regular file at path, at most max bytes long. Errors name the path. Without
 * a helper NOT_FOUND: who only looks at a file does not want to risk anything. */
berth_status examine_file(const char *path, uint64_t max, examination *out, berth_error *error);

void examination_free(examination *e);

/* What the helper answers, and how that is read. Hostile: CORRUPT. */
void examination_encode(writer *w, berth_status status, const berth_error *error,
                        const examination *e);
berth_status examination_decode(slice answer, examination *out, berth_error *error);

#endif
