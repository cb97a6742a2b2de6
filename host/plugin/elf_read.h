/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/elf_read.h: from the bytes of an ELF file to its facts, by way of libelf.
 *
 * Any thread. Bytes that nobody has signed are read in a process apart: see plugin/examine.h.
 */
#ifndef PLUGIN_ELF_READ_H
#define PLUGIN_ELF_READ_H

#include "berth/status.h"
#include "plugin/facts.h"

/*
 * image is private to the call and writable: what must not be interpreted is blanked in it before
 * libelf sees it. A file that is no ELF file, is cut short, or contradicts itself is ADMISSION; one
 * for another machine is read as far as its header and its notes. *out is the caller's.
 */
berth_status elf_read(void *image, size_t len, elf_facts **out, berth_error *error);

#endif
